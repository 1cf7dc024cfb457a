/**
 * A whole cluster under one seed: reflectors, nodes that lease their CIDRs and announce them, a router of another AS, a store,
 * and everything between them unreliable for a while (faults.ts). The life of a run: up, faults, rest, restarts and cuts
 * one at a time, rest. What must hold then is in checkers.ts; what must hold all the time is looked at as it happens.
 */
import type { Note } from "#base/note.ts";
import type { Prefix } from "#base/prefix.ts";
import type { Instant } from "#base/time.ts";
import { presenceKey } from "#ipam/lease-record.ts";
import { alwaysTrue, doubles, trueAtRest, usedCidrs, type Watched } from "./checkers.ts";
import { Agent, type Onlooker, type SimMachine } from "./cluster-agent.ts";
import { type ClusterShape, edgeName, outsidePrefixes, settingsOf, shapeOf } from "./cluster-document.ts";
import { SimLeases } from "./cluster-leases.ts";
import { SimKernel, underlayOf } from "./cluster-kernel.ts";
import { expectedTold } from "./expected.ts";
import { Chaos, type FaultCounts } from "./faults.ts";
import { Network } from "./network.ts";
import type { SimNode } from "./network-event.ts";
import { SimStore } from "./store.ts";
import { type ToldSession, newSession, readAlong } from "./tap.ts";

/** Something that must hold did not. */
export class SimulationFault extends Error {
  override readonly name = "SimulationFault";
}

const second = 1000,
  minute = 60_000;
/** RFC 4271 hold time of every session here, with room for what was under way. */
const holdMillis = 95 * second;
/** Within so much calm a daemon has settled with a restored store who has what: presence of before must lapse, then holders put their claims back. */
const settlingMillis = 3 * minute;
/** Restarts of single machines and cuts of single connections in the calm part of a run, if it is long enough. */
const disturbances = 12;
/** How often `alwaysTrue` is looked at. */
const lookMillis = 10 * second;

export class Cluster implements Onlooker, Watched {
  readonly seed: number;
  readonly shape: ClusterShape;
  #document: ClusterShape;
  readonly network: Network<Agent>;
  readonly store: SimStore;
  readonly machines: SimMachine[] = [];
  refusals = 0;
  /** Sessions that went down, and leases let go of. */
  readonly seen = { sessionsLost: 0, leasesLost: 0, restarts: 0, cuts: 0, routesTold: 0 };
  readonly twins: { readonly name: string; readonly leases: SimLeases }[] = [];
  /** When the store was restored last, and who has had the time since to settle with it. */
  #restoredAt: number | undefined;
  readonly #settled = new Set<string>();
  readonly #startedAt = new Map<string, number>();
  readonly #nodes = new Map<string, SimNode<Agent>>();
  readonly #sessions = new WeakMap<Agent, Map<number, ToldSession>>();
  /** Machines whose sessions may end for want of a sign of life, and until when. */
  readonly #excused = new Map<string, number>();
  /** True while nothing is broken: then no session may end and no route may be lost, but for those of a machine that restarts. */
  #isCalm = false;
  #restarting: string | undefined;
  /** What is done to the calm cluster at the moment, in words. */
  #doing: string | undefined;
  /** Whose sessions may end meanwhile. */
  #touched: readonly string[] = [];

  constructor(seed: number, shape: ClusterShape = shapeOf(seed)) {
    this.seed = seed;
    this.shape = shape;
    this.#document = shape;
    this.network = new Network<Agent>(seed);
    const { network } = this;
    this.store = new SimStore(network);
    const settings = settingsOf(shape),
      addresses = [...settings.values()].flatMap(({ address, address6 }) => [address, address6].filter((ip) => ip !== undefined));
    for (const [name, own] of settings) {
      const machine: SimMachine = {
        name,
        settings: own,
        kernel: new SimKernel((prefix) => this.#unrouted(name, prefix), network.random),
        underlay: underlayOf(own, addresses),
        remembered: new Map(),
        rememberedStore: undefined,
        sessions: [],
        identity: `id-${name}`,
        ranAt: undefined,
        isRebooted: false,
        announces: new Set(name === edgeName ? (outsidePrefixes.slice(0, 6) as Prefix[]) : []),
        agent: undefined,
      };
      this.machines.push(machine);
      const world = { store: this.store, random: network.random, onlooker: this, wake: () => this.wake(machine) };
      const isListening = own.listen !== undefined;
      this.#nodes.set(
        name,
        network.add(own.address, isListening, (now, start) => this.#start(machine, world, now, start)),
      );
    }
    this.#look();
  }

  get now(): Instant {
    return this.network.now;
  }
  /** Everything that must hold when all has come to rest, and does not. */
  unrest(): string[] {
    return trueAtRest(this);
  }
  told(agent: Agent, peer: number): ToldSession | undefined {
    const connection = agent.speaker.neighbours.connectionOf(peer);
    return connection === undefined ? undefined : this.#sessions.get(agent)?.get(connection);
  }

  /** The daemon's turn, as soon as its process runs. */
  wake(machine: SimMachine): void {
    const node = this.#nodes.get(machine.name)!,
      agent = machine.agent;
    if (!agent || node.speaker !== agent) return;
    if (this.isStalled(machine)) return this.network.later(node.stalledUntil - this.now, `${machine.name} goes on`, () => this.wake(machine));
    agent.turn(this.now);
    this.network.poke(node);
    this.owned();
  }
  isStalled(machine: SimMachine): boolean {
    return this.#nodes.get(machine.name)!.stalledUntil > this.now;
  }

  /** SIGKILL, or the power fails: then the kernel's tables are gone and peers hear nothing. */
  kill(machine: SimMachine, downMillis: number, losesPower: boolean): void {
    this.#end(machine);
    if (losesPower) {
      machine.isRebooted = true;
      machine.kernel.forget();
      for (const [pool, { cidr, fence }] of machine.remembered) machine.remembered.set(pool, { cidr, confirmedAt: -Infinity as Instant, fence });
    }
    this.excuse([machine], downMillis);
    this.network.kill(machine.settings.address, downMillis, losesPower);
  }
  /** SIGTERM: what the daemon says before it goes. */
  stop(machine: SimMachine, downMillis: number): void {
    if (this.isStalled(machine)) return this.kill(machine, downMillis, false);
    machine.agent!.turn(this.now);
    machine.agent!.speaker.stop("restart", "podwayd is stopping", this.now);
    this.network.poke(this.#nodes.get(machine.name)!);
    this.kill(machine, downMillis, false);
  }
  announce(machine: SimMachine, prefix: Prefix, isThere: boolean): void {
    if (isThere) machine.announces.add(prefix);
    else machine.announces.delete(prefix);
    machine.agent?.announce(prefix, isThere);
    this.wake(machine);
  }
  /** A sign of life of these may be missing for `millis`. */
  excuse(machines: readonly SimMachine[], millis: number): void {
    for (const { name } of machines) this.#excused.set(name, Math.max(this.#excused.get(name) ?? 0, this.now + millis + holdMillis));
  }

  // What only leases suffer.

  /** The store goes back to the snapshot that was kept; false if none was. */
  restoreStore(outageMillis: number, past: bigint): boolean {
    if (!this.store.restore(outageMillis, past)) return false;
    this.#restoredAt = this.now;
    this.#settled.clear();
    return true;
  }
  isSettling(name: string): boolean {
    if (this.#restoredAt === undefined || this.#settled.has(name)) return false;
    const trouble = [this.#restoredAt, this.#startedAt.get(name) ?? 0, this.#nodes.get(name)!.stalledUntil, this.store.awayUntil(name)];
    if (this.now < Math.max(...trouble) + settlingMillis) return true;
    this.#settled.add(name);
    return false;
  }
  /** Another document for everybody: the routed pool is larger, or drained. */
  redocument(change: Partial<ClusterShape>): void {
    this.#document = { ...this.#document, ...change };
    const settings = settingsOf(this.#document);
    for (const machine of this.machines) {
      machine.settings = settings.get(machine.name)!;
      machine.agent?.follow();
      this.wake(machine);
    }
  }
  /** A second machine under the name of another runs for a while. */
  imitate({ name, settings, identity }: SimMachine, millis: number): void {
    const until = this.now + millis,
      twin: { name: string; leases: SimLeases } = { name, leases: undefined as unknown as SimLeases };
    let isDue = false;
    const step = (): void => {
      isDue = false;
      if (!this.twins.includes(twin)) return;
      const before = twin.leases.machines.map(({ own }) => own.cidr);
      twin.leases.step(this.now);
      twin.leases.notes.splice(0);
      const isFirstPresent = this.store.list(presenceKey(name)).some(({ value }) => String(Buffer.from(value)).includes(`"${identity}"`));
      twin.leases.machines.forEach(({ own }, i) => {
        if (own.cidr !== undefined && before[i] === undefined && isFirstPresent)
          this.#fail(`a second machine takes ${own.cidr} under the name ${name}, whose first one is present`);
      });
      this.owned();
    };
    const wake = (): void => {
      if (!isDue) this.network.later(0.1, `a second ${name} goes on`, step);
      isDue = true;
    };
    const home = { settings, identity: `${identity}~`, remembered: new Map(), rememberedStore: undefined };
    twin.leases = new SimLeases(home, this.store, wake, this.now);
    this.twins.push(twin);
    const look = (): void => {
      if (!this.twins.includes(twin)) return;
      if (this.now >= until) {
        this.twins.splice(this.twins.indexOf(twin), 1);
        return twin.leases.close();
      }
      wake();
      this.network.later(second, `a second ${name} looks around`, look);
    };
    look();
  }

  // The life of a run.

  /** Everybody comes up and is at rest within `millis`. */
  come(millis = 2 * minute): void {
    this.settle("after the first start", millis);
  }
  /** Faults of every kind for a while. */
  suffer(millis: number): Chaos {
    this.#isCalm = false;
    const chaos = new Chaos(this, this.now + millis);
    this.network.run(millis);
    return chaos;
  }
  /** Waits until all is at rest; it must be by `millis`, and is watched as calm from then on. */
  settle(when: string, millis: number): void {
    const until = this.now + millis;
    while (this.now < until) {
      this.network.run(Math.min(10 * second, until - this.now));
      if (this.unrest().length === 0) break;
    }
    this.#isCalm = true;
    this.expectRest(when);
  }
  expectRest(when: string): void {
    const faults = this.unrest();
    if (faults.length > 0) this.#fail(`${when}: ${faults.slice(0, 8).join("; ")}${faults.length > 8 ? `; and ${faults.length - 8} more` : ""}`);
  }
  /** One machine restarts within its restart time, the rest is calm: nobody else may lose a route (RFC 4724), and all comes to rest again. */
  restartOne(machine: SimMachine, how: "kill" | "stop", downMillis: number): void {
    this.seen.restarts++;
    this.#restarting = machine.name;
    this.#disturb(`${machine.name} was ${how === "kill" ? "killed" : "stopped"} for ${(downMillis / 1000).toFixed(1)} s`, [machine.name]);
    if (how === "kill") this.kill(machine, downMillis, false);
    else this.stop(machine, downMillis);
    this.#recover(downMillis);
    this.#restarting = undefined;
  }
  /** The connection of one session breaks: it comes back, and meanwhile nobody at all may lose a route. */
  cutOne(a: SimMachine, b: SimMachine): void {
    this.seen.cuts++;
    this.#disturb(`the connection of ${a.name} and ${b.name} was cut`, [a.name, b.name]);
    this.network.cut(a.settings.address, b.settings.address);
    this.#recover(0);
  }
  #disturb(doing: string, touched: readonly string[]): void {
    this.#doing = doing;
    this.#touched = touched;
    this.network.onEvent?.(`${(this.now / 1000).toFixed(3)} -- while all is calm: ${doing}`);
  }
  #recover(downMillis: number): void {
    this.network.run(downMillis + minute);
    this.expectRest(`a minute after ${this.#doing}`);
    this.#doing = undefined;
    this.#touched = [];
  }

  // What the checkers hear (Onlooker).

  noted(machine: SimMachine, { level, event, text, peer }: Note): void {
    this.network.onEvent?.(`${(this.now / 1000).toFixed(3)} ${machine.name}: ${event}: ${text}`);
    if (event === "lease.lost") this.seen.leasesLost++;
    else if (level === "error" && event !== "node.name-taken") this.#fail(`${machine.name} says ${event}: ${text}`);
    if (event === "bgp.malformed") this.#fail(`${machine.name} got a malformed UPDATE from one of us: ${text}`);
    if (event !== "bgp.down") return;
    this.seen.sessionsLost++;
    const involved = [machine.name, peer!],
      isExcused = involved.some((name) => (this.#excused.get(name) ?? 0) >= this.now);
    if (text.includes("hold timer expired") && !isExcused) this.#fail(`${machine.name}: a hold timer expired though nothing was wrong: ${text}`);
    const isTouched =
      this.#restarting === undefined ? this.#touched.length > 0 && involved.every((name) => this.#touched.includes(name)) : involved.includes(this.#restarting);
    if (this.#isCalm && !isTouched) this.#fail(`${machine.name}: a session ended while ${this.#doing ?? "all was calm"}: ${text}`);
  }

  sent(agent: Agent, connection: number, peer: number | undefined, bytes: Uint8Array): void {
    const { machine, speaker } = agent;
    let sessions = this.#sessions.get(agent);
    if (!sessions) this.#sessions.set(agent, (sessions = new Map()));
    let session = sessions.get(connection);
    if (!session) sessions.set(connection, (session = newSession()));
    const info = peer === undefined ? undefined : speaker.neighbours.byId(peer)!,
      to = info?.name ?? `connection ${connection}`;
    readAlong(session, bytes, info?.role !== "external", {
      open: ({ capabilities }) => {
        if (capabilities.gracefulRestart?.restarting && !agent.isRestart) this.#fail(`${machine.name} says in an OPEN that it restarts, and does not`);
      },
      announced: (prefix) => {
        this.seen.routesTold++;
        session.news.add(prefix);
      },
      needless: (prefix) => this.#fail(`${machine.name} withdraws ${prefix} from ${to}, which it never told in this session`),
      ended: (family) => this.#expectComplete(agent, peer!, family, session),
      faulty: (text) => this.#fail(`${machine.name} to ${to}: ${text}`),
    });
  }

  /** A route never goes back to where it came from: what was told just now and stands is from somebody else. */
  toldAll(agent: Agent, connection: number, peer: number): void {
    const session = this.#sessions.get(agent)?.get(connection);
    if (!session || session.news.size === 0) return;
    for (const prefix of session.news) {
      if (session.told.has(prefix) && this.#isBestFrom(agent, peer, prefix))
        this.#fail(`${agent.machine.name} tells ${agent.speaker.neighbours.byId(peer)!.name} of ${prefix}, which it has from there`);
    }
    session.news.clear();
  }

  owned(): void {
    const faults = doubles(this);
    if (faults.length > 0) this.#fail(faults.join("; "));
  }

  lost(machine: SimMachine, prefix: Prefix): void {
    if (!this.#isCalm || machine.name === this.#restarting || !this.#isSomebodys(prefix)) return;
    this.#fail(`${machine.name} lost its route to ${prefix} while ${this.#doing ?? "all was calm"}`);
  }

  #unrouted(name: string, prefix: Prefix): void {
    if (this.#isCalm && this.#isSomebodys(prefix)) this.#fail(`the kernel of ${name} lost its route to ${prefix} while ${this.#doing ?? "all was calm"}`);
  }
  /** Somebody runs who uses it, or somebody who restarts will. */
  #isSomebodys(prefix: Prefix): boolean {
    return (
      usedCidrs(this.machines).some(({ cidr }) => cidr === prefix) ||
      this.machines.some(
        ({ agent, announces, remembered }) => announces.has(prefix) || (!agent && [...remembered.values()].some(({ cidr }) => cidr === prefix)),
      )
    );
  }

  #isBestFrom({ speaker: { rib } }: Agent, peer: number, prefix: Prefix): boolean {
    const table = rib.ribs[prefix.includes(":") ? 1 : 0],
      id = table.prefixes.findText(prefix),
      best = id < 0 ? -1 : table.bestOf(id);
    return best >= 0 && table.adjRibIn.peer[best] === peer;
  }

  /** RFC 4724 §2: End-of-RIB comes after everything there was to tell. */
  #expectComplete(agent: Agent, peer: number, family: 4 | 6, { told }: ToldSession): void {
    const terms = agent.speaker.neighbours.byId(peer)?.terms;
    if (!terms) return;
    for (const prefix of expectedTold(agent, peer, terms).keys()) {
      if ((prefix.includes(":") ? 6 : 4) === family && !told.has(prefix))
        this.#fail(`${agent.machine.name} sends End-of-RIB to ${agent.speaker.neighbours.byId(peer)!.name} before it told ${prefix}`);
    }
  }

  #start(machine: SimMachine, world: ConstructorParameters<typeof Agent>[1], now: Instant, start: number): Agent {
    if (start > 0) this.network.onEvent?.(`${(now / 1000).toFixed(3)} ${machine.name} starts again`);
    this.#startedAt.set(machine.name, now);
    machine.agent = new Agent(machine, world, now);
    this.owned();
    return machine.agent;
  }

  #end(machine: SimMachine): void {
    machine.agent?.end();
    machine.sessions = machine.agent?.speaker.sessions() ?? [];
    this.refusals += machine.agent?.refusals ?? 0;
    machine.agent = undefined;
    machine.ranAt = this.now;
  }

  #look(): void {
    this.network.later(lookMillis, "everything is looked at", () => {
      const faults = alwaysTrue(this);
      if (faults.length > 0) this.#fail(faults.slice(0, 4).join("; "));
      this.#look();
    });
  }

  #fail(text: string): never {
    throw new SimulationFault(`seed ${this.seed}, at ${(this.now / 1000).toFixed(3)} s: ${text}`);
  }
}

export interface Report {
  readonly seed: number;
  readonly hours: number;
  readonly events: number;
  readonly trace: string;
  readonly counts: FaultCounts;
  readonly seen: Cluster["seen"];
}

/** One run of `hours` simulated hours. Throws `SimulationFault`. `hear`: every event in words. */
export function simulate(seed: number, hours: number, hear?: (line: string) => void): Report {
  const cluster = new Cluster(seed),
    { network } = cluster,
    end = hours * 60 * minute;
  network.onEvent = hear;
  cluster.come();
  const chaos = cluster.suffer(end * 0.5);
  // Claims of machines that are no more lapse within the hold time; half-open sessions and stale routes go sooner.
  cluster.settle("after the faults", 16 * minute);
  const restartable = cluster.machines.filter(({ name }) => name !== edgeName);
  for (let n = 0; n < disturbances && network.now < end - 4 * minute; n++) {
    const machine = restartable[Math.floor(network.random() * restartable.length)]!,
      { peers } = machine.settings;
    const other = peers[Math.floor(network.random() * peers.length)]!.address,
      dice = network.random();
    if (dice < 0.25)
      cluster.cutOne(
        machine,
        cluster.machines.find(({ settings }) => settings.address === other)!,
      );
    else cluster.restartOne(machine, dice < 0.65 ? "kill" : "stop", 100 + network.random() ** 2 * 20 * second);
  }
  network.run(Math.max(end - network.now, 3 * minute));
  cluster.expectRest("at the end");
  return { seed, hours: network.now / (60 * minute), events: network.happened, trace: network.trace, counts: chaos.total(), seen: cluster.seen };
}
