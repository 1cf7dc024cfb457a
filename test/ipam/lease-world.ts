/**
 * Nodes with their machines around one real memory store, on one virtual clock, with everything between them unreliable: links
 * that are cut, writes whose answer is lost, writes that happen long after they were given up, daemons that die and come back.
 */
import { type MemoryStore, createMemoryStore } from "#adapters/memory-store.ts";
import { FaultError } from "#base/fault.ts";
import { parseIp } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { LeaseSettings, PoolSettings } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import type { StoreAnswer, StoreOutput, StoreRequest } from "#ipam/exchange.ts";
import { LeaseMachine } from "#ipam/lease.ts";
import type { LeaseOutput, RememberedLease } from "#ipam/lease-terms.ts";
import { PresenceMachine } from "#ipam/presence.ts";
import type { StoreNews } from "#ports/store.ts";

export const testPool = (more: Partial<PoolSettings> & { readonly cidr: Prefix; readonly nodePrefix: number }): PoolSettings => ({
  name: "p",
  family: more.cidr.includes(":") ? 6 : 4,
  backend: "bgp",
  vni: undefined,
  port: 4789,
  crossSubnet: true,
  mtu: undefined,
  masquerade: false,
  state: "active",
  reservations: {},
  ...more,
});

interface Pending {
  readonly machine: "lease" | "presence";
  readonly request: StoreRequest;
  /** Ticks until the store runs it; the answer comes a tick later at the earliest. */
  delay: number;
  /** The answer never comes: a fault comes instead, now. */
  isGivenUp: boolean;
}

export class WorldNode {
  readonly name: string;
  readonly identity: string;
  lease: LeaseMachine;
  presence: PresenceMachine;
  isCut = false;
  isDead = false;
  pending: Pending[] = [];
  answers: { readonly machine: "lease" | "presence"; readonly answer: StoreAnswer }[] = [];
  news: { readonly machine: "lease" | "presence"; readonly news: StoreNews }[] = [];
  readonly said: LeaseOutput[] = [];
  stop = new AbortController();
  toldAway = false;

  constructor(name: string, identity: string, lease: LeaseMachine, presence: PresenceMachine) {
    this.name = name;
    this.identity = identity;
    this.lease = lease;
    this.presence = presence;
  }
  get holds(): Prefix | undefined {
    return this.isDead ? undefined : this.lease.own.cidr;
  }
}

export class LeaseWorld {
  readonly store: MemoryStore;
  readonly pool: PoolSettings;
  readonly terms: LeaseSettings;
  readonly nodes: WorldNode[] = [];
  #now: number;
  readonly #random: () => number;
  readonly #clock: { now: number };

  private constructor(store: MemoryStore, clock: { now: number }, pool: PoolSettings, random: () => number) {
    this.store = store;
    this.#clock = clock;
    this.#now = clock.now;
    this.pool = pool;
    this.terms = { holdSeconds: 60, livenessSeconds: 10, quarantineSeconds: 0 };
    this.#random = random;
  }
  static async make(pool: PoolSettings, random: () => number = () => 0.5): Promise<LeaseWorld> {
    const clock = { now: 1_000_000 };
    return new LeaseWorld(await createMemoryStore({ clock: { now: () => clock.now as Instant } }), clock, pool, random);
  }
  get now(): Instant {
    return this.#now as Instant;
  }

  start(name: string, identity = `id-of-${name}`, remembered?: RememberedLease): WorldNode {
    const node = new WorldNode(name, identity, this.#lease(name, identity, remembered), this.#presence(name, identity));
    this.nodes.push(node);
    this.#watch(node);
    return node;
  }
  kill(node: WorldNode): void {
    node.isDead = true;
    node.stop.abort();
    // What it had sent may still arrive.
    for (const pending of node.pending) pending.isGivenUp = true;
  }
  restart(node: WorldNode, remembers: boolean): WorldNode {
    const { cidr, confirmedAt } = node.lease.own;
    if (!node.isDead) this.kill(node);
    this.nodes.splice(this.nodes.indexOf(node), 1);
    return this.start(node.name, node.identity, remembers && cidr !== undefined && confirmedAt !== undefined ? { cidr, confirmedAt } : undefined);
  }

  /** Lets `millis` pass and everything happen that is due; `lossy`: answers may be lost and writes be late. */
  async tick(millis: number, lossy: boolean): Promise<void> {
    this.#now = this.#clock.now += millis;
    for (const node of this.nodes) this.#step(node);
    await this.store.expire();
    for (const node of [...this.nodes].sort(() => this.#random() - 0.5)) await this.#run(node, lossy);
    await settled();
    for (const node of this.nodes) this.#deliver(node);
  }
  async until(fact: () => boolean, ticks = 400): Promise<boolean> {
    for (let i = 0; i < ticks && !fact(); i++) await this.tick(250, false);
    return fact();
  }

  #lease(node: string, identity: string, remembered: RememberedLease | undefined): LeaseMachine {
    const holder = { node, identity, address: parseIp("10.0.0.1")!, address6: undefined, vtepMac: undefined };
    const machine = new LeaseMachine({ pool: this.pool, lease: this.terms, holder }, remembered, this.now);
    machine.handle({ kind: "epoch", epoch: { number: 1, isSettled: true } }, this.now);
    return machine;
  }
  #presence(node: string, identity: string): PresenceMachine {
    return new PresenceMachine({ schema: 1, node, identity, address: parseIp("10.0.0.1")!, version: "0" }, this.terms.livenessSeconds);
  }
  #watch(node: WorldNode): void {
    for (const [machine, prefix] of [
      ["lease", "leases/"],
      ["presence", "nodes/"],
    ] as const)
      void (async () => {
        for await (const news of this.store.watch(prefix, node.stop.signal)) node.news.push({ machine, news });
      })();
  }

  #step(node: WorldNode): void {
    if (node.isDead) return;
    this.#collect(node, "presence", node.presence.step(this.now));
    node.lease.handle({ kind: "presence", identity: node.presence.identity }, this.now);
    const said = node.lease.step(this.now);
    node.said.push(...said.filter(({ kind }) => kind === "own"));
    this.#collect(
      node,
      "lease",
      said.filter((each): each is StoreOutput => each.kind !== "own"),
    );
  }
  #collect(node: WorldNode, machine: "lease" | "presence", outputs: readonly StoreOutput[]): void {
    for (const request of outputs)
      if (request.kind !== "note") node.pending.push({ machine, request, delay: Math.floor(this.#random() * 2), isGivenUp: false });
  }

  async #run(node: WorldNode, lossy: boolean): Promise<void> {
    for (const pending of node.pending.slice()) {
      const isLost = lossy && !pending.isGivenUp && this.#random() < 0.1;
      if ((node.isCut || isLost) && !pending.isGivenUp) {
        node.answers.push({
          machine: pending.machine,
          answer: { kind: "failed", request: pending.request.request, code: "store.timeout", text: "the store did not answer" },
        });
        pending.isGivenUp = true;
        pending.delay = Math.floor(this.#random() * 60);
        // A cut link loses half of what was on it; the rest arrives when it is mended, or much later.
        if (this.#random() < 0.5) node.pending.splice(node.pending.indexOf(pending), 1);
        continue;
      }
      if (node.isCut || pending.delay-- > 0) continue;
      node.pending.splice(node.pending.indexOf(pending), 1);
      const answer = await ask(this.store, pending.request);
      if (!pending.isGivenUp) node.answers.push({ machine: pending.machine, answer });
    }
  }

  #deliver(node: WorldNode): void {
    if (node.isDead) return;
    if (node.isCut !== node.toldAway) {
      node.toldAway = node.isCut;
      for (const machine of ["lease", "presence"] as const) node[machine].handle(node.isCut ? { kind: "away", text: "cut" } : { kind: "back" }, this.now);
    }
    const late = this.#random() < 0.2;
    if (!node.isCut && !late) for (const { machine, news } of node.news.splice(0)) node[machine].handle(news, this.now);
    for (const { machine, answer } of node.answers.splice(0)) node[machine].handle(answer, this.now);
    this.#step(node);
  }
}

/** Lets every promise that can go on go on. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

async function ask(store: MemoryStore, request: StoreRequest): Promise<StoreAnswer> {
  try {
    switch (request.kind) {
      case "grant": {
        const { id, ttlSeconds } = await store.grant(request.ttlSeconds);
        return { kind: "granted", request: request.request, lease: id, ttlSeconds };
      }
      case "keepAlive":
        return { kind: "alive", request: request.request, ...(await store.keepAlive(request.lease)) };
      case "create":
        return { kind: "swapped", request: request.request, ...(await store.create(request.key, request.value, request.lease)) };
      case "replace":
        return { kind: "swapped", request: request.request, ...(await store.replace(request.key, request.value, request.modRevision, request.lease)) };
      case "remove":
        return { kind: "swapped", request: request.request, ...(await store.remove(request.key, request.modRevision)) };
    }
  } catch (cause) {
    if (!(cause instanceof FaultError)) throw cause;
    return { kind: "failed", request: request.request, code: cause.fault.code, text: cause.message };
  }
}
