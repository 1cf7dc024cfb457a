/** What goes wrong in a simulated cluster, each kind counted. Everything is over when the time of faults is. */
import type { Prefix } from "#base/prefix.ts";
import type { SimMachine } from "./cluster-agent.ts";
import type { Cluster } from "./cluster.ts";
import { type ClusterShape, outsidePrefixes } from "./cluster-document.ts";

export const faultKinds = [
  "connection cut",
  "link silent",
  "link silent beyond hold",
  "dial refused",
  "node killed",
  "reflector killed",
  "outside router killed",
  "power lost",
  "node stopped",
  "reflector stopped",
  "process stalled",
  "process stalled beyond hold",
  "session reset",
  "store outage",
  "store outage beyond hold",
  "node cut from store",
  "node cut from store beyond hold",
  "store compacted",
  "store answer lost",
  "store write late",
  "store slow",
  "store restored",
  "store restored past its revision",
  "pool enlarged",
  "pool drained for a while",
  "second machine of a name",
  "kernel refuses",
  "kernel rows taken away",
  "disk lost",
  "two killed at once",
  "outside routes change",
] as const;
export type FaultKind = (typeof faultKinds)[number];
export type FaultCounts = Record<FaultKind, number>;
export const noCounts = (): FaultCounts => Object.fromEntries(faultKinds.map((kind) => [kind, 0])) as FaultCounts;

const second = 1000,
  minute = 60_000;
/** Faults come this often, on average. */
const everyMillis = 14_000;
/** Claims last this long without the store; a CIDR is let go of somewhat sooner. */
const holdMillis = 10 * minute;

interface Row {
  readonly kind: FaultKind;
  readonly weight: number;
  /** Strikes; false if there was nothing to strike. */
  strike(chaos: Chaos): boolean;
}

const rows: readonly Row[] = [
  { kind: "connection cut", weight: 10, strike: (chaos) => chaos.cut() },
  { kind: "link silent", weight: 6, strike: (chaos) => chaos.silence(1 * second, 60 * second) },
  { kind: "link silent beyond hold", weight: 3, strike: (chaos) => chaos.silence(95 * second, 240 * second) },
  { kind: "node killed", weight: 6, strike: (chaos) => chaos.kill("n", false) },
  { kind: "reflector killed", weight: 4, strike: (chaos) => chaos.kill("rr", false) },
  { kind: "outside router killed", weight: 2, strike: (chaos) => chaos.kill("edge", false) },
  { kind: "power lost", weight: 3, strike: (chaos) => chaos.kill("", true) },
  { kind: "node stopped", weight: 4, strike: (chaos) => chaos.stop("n") },
  { kind: "reflector stopped", weight: 3, strike: (chaos) => chaos.stop("rr") },
  { kind: "process stalled", weight: 6, strike: (chaos) => chaos.stall(1 * second, 60 * second) },
  { kind: "process stalled beyond hold", weight: 2, strike: (chaos) => chaos.stall(95 * second, 150 * second) },
  { kind: "session reset", weight: 4, strike: (chaos) => chaos.reset() },
  { kind: "store outage", weight: 4, strike: (chaos) => chaos.outage(1 * second, 120 * second) },
  { kind: "store outage beyond hold", weight: 0.8, strike: (chaos) => chaos.outage(holdMillis * 0.92, holdMillis * 1.2) },
  { kind: "node cut from store", weight: 5, strike: (chaos) => chaos.cutStore(1 * second, 200 * second) },
  { kind: "node cut from store beyond hold", weight: 1.5, strike: (chaos) => chaos.cutStore(holdMillis * 0.92, holdMillis * 1.4) },
  { kind: "store compacted", weight: 3, strike: (chaos) => chaos.compact() },
  { kind: "store restored", weight: 0.8, strike: (chaos) => chaos.restore(0n) },
  { kind: "store restored past its revision", weight: 0.8, strike: (chaos) => chaos.restore(1000n) },
  { kind: "pool enlarged", weight: 0.5, strike: (chaos) => chaos.enlarge() },
  { kind: "pool drained for a while", weight: 2, strike: (chaos) => chaos.drain() },
  { kind: "second machine of a name", weight: 2, strike: (chaos) => chaos.imitate() },
  { kind: "kernel refuses", weight: 3, strike: (chaos) => chaos.refuseRows() },
  { kind: "kernel rows taken away", weight: 4, strike: (chaos) => chaos.takeRows() },
  { kind: "disk lost", weight: 2, strike: (chaos) => chaos.loseDisk() },
  { kind: "two killed at once", weight: 2, strike: (chaos) => chaos.kill("", false) && chaos.kill("", false) },
  { kind: "outside routes change", weight: 30, strike: (chaos) => chaos.churn() },
];
const totalWeight = rows.reduce((sum, { weight }) => sum + weight, 0);

export class Chaos {
  readonly #cluster: Cluster;
  readonly #until: number;
  readonly counts = noCounts();
  #shape: ClusterShape;

  /** Begins now and lasts until `until`. */
  constructor(cluster: Cluster, until: number) {
    this.#cluster = cluster;
    this.#until = until;
    this.#shape = cluster.shape;
    this.#keepSnapshots();
    const { network, store } = cluster;
    network.refusal = 0.1;
    store.faults = { lostAnswer: 0.02, lateWrite: 0.05, slow: 0.05 };
    network.later(until - network.now, "the faults are over", () => {
      network.refusal = 0;
      store.faults = { lostAnswer: 0, lateWrite: 0, slow: 0 };
    });
    this.#next();
  }

  cut(): boolean {
    const { network } = this.#cluster,
      [a, b] = this.#pair();
    return network.cut(a.settings.address, b.settings.address) > 0;
  }

  silence(least: number, most: number): boolean {
    const { network } = this.#cluster,
      [a, b] = this.#pair(),
      millis = this.#span(least, most);
    if (millis < least) return false;
    network.hold(a.settings.address, b.settings.address, millis);
    this.#cluster.excuse([a, b], millis);
    return true;
  }

  kill(stem: string, losesPower: boolean): boolean {
    const machine = this.#running(stem);
    if (!machine) return false;
    const most = this.#random() < 0.7 ? 20 * second : this.#random() < 0.7 ? 4 * minute : holdMillis * 1.2;
    this.#cluster.kill(machine, this.#span(50, most), losesPower);
    return true;
  }

  stop(stem: string): boolean {
    const machine = this.#running(stem);
    if (!machine) return false;
    this.#cluster.stop(machine, this.#span(50, this.#random() < 0.8 ? 20 * second : 3 * minute));
    return true;
  }

  /** A machine gets a new disk: the daemon that starts there is somebody else under the same name. */
  loseDisk(): boolean {
    const machine = this.#running("n");
    if (!machine) return false;
    this.#cluster.kill(machine, this.#span(50, 2 * minute), true);
    machine.remembered.clear();
    machine.rememberedStore = undefined;
    machine.identity += "'";
    return true;
  }

  stall(least: number, most: number): boolean {
    const machine = this.#running(""),
      millis = this.#span(least, most);
    if (!machine || millis < least) return false;
    this.#cluster.network.stall(machine.settings.address, millis);
    this.#cluster.excuse([machine], millis);
    return true;
  }

  reset(): boolean {
    const machine = this.#running(""),
      peers = machine?.settings.peers;
    if (!machine?.agent || !peers?.length || this.#cluster.isStalled(machine)) return false;
    machine.agent.turn(this.#cluster.network.now);
    machine.agent.speaker.neighbours.reset(peers[Math.floor(this.#random() * peers.length)]!.name, "reset by the operator", this.#cluster.network.now);
    this.#cluster.wake(machine);
    return true;
  }

  outage(least: number, most: number): boolean {
    const millis = this.#span(least, most);
    if (millis < least) return false;
    this.#cluster.store.outage(millis);
    return true;
  }
  cutStore(least: number, most: number): boolean {
    const machine = this.#running("n"),
      millis = this.#span(least, most);
    if (!machine || millis < least) return false;
    this.#cluster.store.cut(machine.name, millis);
    return true;
  }
  compact(): boolean {
    this.#cluster.store.compact();
    return true;
  }

  /** Back to a snapshot of some minutes ago; one is kept from time to time. */
  restore(past: bigint): boolean {
    return this.#cluster.restoreStore(this.#span(2 * second, 60 * second), past);
  }
  enlarge(): boolean {
    const { room } = this.#shape;
    if (room === 16 || room === 256) return false;
    this.#cluster.redocument((this.#shape = { ...this.#shape, room: room === 4 ? 8 : 16 }));
    return true;
  }
  drain(): boolean {
    if (this.#shape.draining) return false;
    this.#cluster.redocument((this.#shape = { ...this.#shape, draining: true }));
    this.#cluster.network.later(this.#span(20 * second, 5 * minute), "the pool is active again", () =>
      this.#cluster.redocument((this.#shape = { ...this.#shape, draining: false })),
    );
    return true;
  }
  imitate(): boolean {
    const machine = this.#running("n");
    if (!machine || this.#cluster.twins.length > 0) return false;
    this.#cluster.imitate(machine, this.#span(10 * second, 5 * minute));
    return true;
  }
  refuseRows(): boolean {
    const machine = this.#running("n");
    if (!machine) return false;
    machine.kernel.refusal = 0.5;
    this.#cluster.network.later(this.#span(1 * second, 30 * second), `the kernel of ${machine.name} is well again`, () => {
      machine.kernel.refusal = 0;
      this.#cluster.wake(machine);
    });
    return true;
  }
  takeRows(): boolean {
    const machine = this.#running("n");
    if (!machine || machine.kernel.meddle(this.#random()) === 0) return false;
    machine.agent!.lookAgain();
    this.#cluster.wake(machine);
    return true;
  }

  churn(): boolean {
    const machine = this.#cluster.machines.find(({ name }) => name === "edge")!;
    for (let n = 1 + Math.floor(this.#random() * 6); n > 0; n--) {
      const prefix = outsidePrefixes[Math.floor(this.#random() * outsidePrefixes.length)]! as Prefix;
      this.#cluster.announce(machine, prefix, !machine.announces.has(prefix));
    }
    return true;
  }

  /** The counts, with those that the network and the store keep. */
  total(): FaultCounts {
    const { struck } = this.#cluster.store;
    return {
      ...this.counts,
      "dial refused": this.#cluster.refusals,
      "store answer lost": struck.lostAnswer,
      "store write late": struck.lateWrite,
      "store slow": struck.slow,
    };
  }

  #next(): void {
    const { network } = this.#cluster,
      wait = this.#random() * 2 * everyMillis;
    if (network.now + wait >= this.#until) return;
    network.later(wait, "a fault", () => {
      let at = this.#random() * totalWeight;
      const row = rows.find(({ weight }) => (at -= weight) < 0) ?? rows[0]!;
      if (row.strike(this)) this.counts[row.kind]++;
      network.onEvent?.(`${(network.now / 1000).toFixed(3)} -- ${row.kind}`);
      this.#next();
    });
  }

  /** An operator keeps a snapshot of the store every few minutes. */
  #keepSnapshots(): void {
    this.#cluster.store.save();
    const { network } = this.#cluster;
    network.later((1 + 6 * this.#random()) * minute, "a snapshot of the store is kept", () => void (network.now < this.#until && this.#keepSnapshots()));
  }

  #random(): number {
    return this.#cluster.network.random();
  }
  /** A time between the two, cut off where the time of faults ends. */
  #span(least: number, most: number): number {
    return Math.min(least + this.#random() ** 2 * (most - least), this.#until - this.#cluster.network.now);
  }
  #running(stem: string): SimMachine | undefined {
    const found = this.#cluster.machines.filter(({ name, agent }) => agent && name.startsWith(stem));
    return found[Math.floor(this.#random() * found.length)];
  }
  /** Two machines that keep a session. */
  #pair(): readonly [SimMachine, SimMachine] {
    const { machines } = this.#cluster,
      a = machines[Math.floor(this.#random() * machines.length)]!,
      { peers } = a.settings;
    const other = peers[Math.floor(this.#random() * peers.length)]!.address;
    return [a, machines.find(({ settings }) => settings.address === other)!];
  }
}
