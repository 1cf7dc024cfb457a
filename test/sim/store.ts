/**
 * A store in virtual time: what etcd does for us (ordered keys, compare-and-swap, leases, a watch that may be resumed), asked
 * by the requests of ipam/exchange.ts. Everything between a node and the store is unreliable: outages, nodes cut off, slow
 * answers, answers that are lost after the write was done, writes that are done long after they were given up, compaction.
 */
import type { Instant } from "#base/time.ts";
import type { StoreAnswer, StoreEvent, StoreRequest, StoredEntry } from "#ipam/exchange.ts";

/** What the store needs of the simulation. */
export interface StoreWorld {
  readonly now: Instant;
  readonly random: () => number;
  later(millis: number, label: string, run: () => void): void;
}

/** Chances per request while faults are on. */
export interface StoreFaults {
  readonly lostAnswer: number;
  readonly lateWrite: number;
  readonly slow: number;
}
const noStoreFaults: StoreFaults = { lostAnswer: 0, lateWrite: 0, slow: 0 };

/** A snapshot as an operator keeps one. */
interface SavedStore {
  readonly entries: readonly StoredEntry[];
  readonly leases: readonly (readonly [string, number])[];
  readonly revision: bigint;
}
interface SimLease {
  readonly ttlMillis: number;
  endsAt: number;
}
type Change = Extract<StoreEvent, { kind: "put" | "delete" }>;

const answerWithinMillis = 5000,
  lateMillis = 30_000,
  slowMillis = 3000,
  usualMillis = 8,
  noticeMillis = 1500,
  reconnectMillis = 800;
const isWrite = ({ kind }: StoreRequest): boolean => kind !== "keepAlive" && kind !== "grant";

export class SimStore {
  readonly #world: StoreWorld;
  readonly #entries = new Map<string, StoredEntry>();
  readonly #leases = new Map<string, SimLease>();
  readonly #log: { readonly revision: bigint; readonly change: Change }[] = [];
  readonly #clients = new Set<StoreClient>();
  #revision = 1n;
  #compacted = 0n;
  #lastLease = 0;
  #downUntil = 0;
  readonly #cutUntil = new Map<string, number>();
  /** Counts restores: what was under way before one never arrives. */
  life = 0;
  #saved: SavedStore | undefined;
  faults = noStoreFaults;
  /** How often each kind of unreliability struck. */
  readonly struck = { lostAnswer: 0, lateWrite: 0, slow: 0, refusedWhileAway: 0, leaseExpired: 0, resumed: 0, resumedBySnapshot: 0 };

  constructor(world: StoreWorld) {
    this.#world = world;
  }

  get world(): StoreWorld {
    return this.#world;
  }
  list(prefix: string): readonly StoredEntry[] {
    return [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix));
  }

  open(node: string, hears: StoreListener): StoreClient {
    const client = new StoreClient(this, node, hears);
    this.#clients.add(client);
    client.start();
    return client;
  }
  forget(client: StoreClient): void {
    this.#clients.delete(client);
  }

  isReachable(node: string): boolean {
    return this.#world.now >= this.awayUntil(node);
  }
  awayUntil(node: string): number {
    return Math.max(this.#downUntil, this.#cutUntil.get(node) ?? 0);
  }
  /** Nobody reaches the store for a while. Its leases run on. */
  outage(millis: number): void {
    this.#downUntil = Math.max(this.#downUntil, this.#world.now + millis);
    this.#tellAway(millis, [...this.#clients]);
  }
  /** One node does not reach it for a while. */
  cut(node: string, millis: number): void {
    this.#cutUntil.set(node, Math.max(this.#cutUntil.get(node) ?? 0, this.#world.now + millis));
    this.#tellAway(
      millis,
      [...this.#clients].filter((client) => client.node === node),
    );
  }
  /** What happened so far can no longer be asked for: a watch that resumes from before gets a snapshot. */
  compact(): void {
    this.#compacted = this.#revision;
  }

  /** An operator keeps a snapshot. */
  save(): void {
    this.#saved = {
      entries: [...this.#entries.values()],
      leases: Array.from(this.#leases, ([id, { ttlMillis }]) => [id, ttlMillis]),
      revision: this.#revision,
    };
  }
  /**
   * The kept snapshot becomes the store, after an outage: what was written since is gone, leases that ended since are there again
   * and count from full. `past`: its revision goes beyond what anybody saw (`--bump-revision`). False if none was kept.
   */
  restore(outageMillis: number, past: bigint): boolean {
    const saved = this.#saved;
    if (!saved) return false;
    this.life++;
    this.#entries.clear();
    for (const entry of saved.entries) this.#entries.set(entry.key, entry);
    this.#leases.clear();
    for (const [id, ttlMillis] of saved.leases) {
      this.#leases.set(id, { ttlMillis, endsAt: this.#world.now + outageMillis + ttlMillis });
      this.#watchLease(id);
    }
    this.#revision = past > 0n ? this.#revision + past : saved.revision;
    this.#log.length = 0;
    this.outage(outageMillis);
    return true;
  }

  /** Runs a request now and answers it. */
  execute(request: StoreRequest): StoreAnswer {
    const { request: number } = request;
    switch (request.kind) {
      case "grant":
        return this.#grant(number, request.ttlSeconds);
      case "keepAlive": {
        const lease = this.#leases.get(request.lease);
        if (lease) lease.endsAt = this.#world.now + lease.ttlMillis;
        return { kind: "alive", request: number, ttlSeconds: lease ? lease.ttlMillis / 1000 : 0 };
      }
      case "create":
        return this.#write(request, this.#entries.get(request.key) === undefined, request.lease);
      case "replace":
        return this.#write(request, this.#entries.get(request.key)?.modRevision === request.modRevision, request.lease);
      case "remove": {
        const current = this.#entries.get(request.key),
          done = current?.modRevision === request.modRevision;
        if (done) this.#delete(request.key);
        return { kind: "swapped", request: number, done, current: done ? undefined : current, revision: this.#revision };
      }
    }
  }

  /** What a watch is told that has seen everything up to `cursor`: changes, or a snapshot if they are no longer there. */
  since(cursor: bigint | undefined, isResumed: boolean): { readonly events: readonly StoreEvent[]; readonly cursor: bigint } {
    if (isResumed) this.struck.resumed++;
    if (cursor === undefined || (isResumed && cursor < this.#compacted)) {
      if (isResumed && cursor !== undefined) this.struck.resumedBySnapshot++;
      return { events: [{ kind: "snapshot", entries: [...this.#entries.values()], revision: this.#revision }], cursor: this.#revision };
    }
    let from = this.#log.length;
    while (from > 0 && this.#log[from - 1]!.revision > cursor) from--;
    return { events: this.#log.slice(from).map(({ change }) => change), cursor: this.#revision };
  }

  #grant(request: number, ttlSeconds: number): StoreAnswer {
    const id = String(++this.#lastLease),
      ttlMillis = ttlSeconds * 1000;
    this.#leases.set(id, { ttlMillis, endsAt: this.#world.now + ttlMillis });
    this.#watchLease(id);
    return { kind: "granted", request, lease: id, ttlSeconds };
  }

  /** Looks again when the lease would end; keepalives only move the instant. */
  #watchLease(id: string): void {
    const lease = this.#leases.get(id)!;
    this.#world.later(lease.endsAt - this.#world.now, `lease ${id} looked at`, () => {
      if (this.#leases.get(id) !== lease) return;
      if (lease.endsAt > this.#world.now) return this.#watchLease(id);
      this.#leases.delete(id);
      const bound = [...this.#entries.values()].filter((entry) => entry.lease === id);
      if (bound.length > 0) this.struck.leaseExpired++;
      for (const { key } of bound) this.#delete(key);
    });
  }

  #write(request: Extract<StoreRequest, { kind: "create" | "replace" }>, done: boolean, lease: string | undefined): StoreAnswer {
    const { key, value, request: number } = request,
      current = this.#entries.get(key);
    if (lease !== undefined && !this.#leases.has(lease)) return { kind: "failed", request: number, code: "store.lease-gone", text: "the lease has ended" };
    if (!done) return { kind: "swapped", request: number, done, current, revision: this.#revision };
    this.#revision++;
    const entry: StoredEntry = { key, value, createRevision: current?.createRevision ?? this.#revision, modRevision: this.#revision, lease };
    this.#entries.set(key, entry);
    this.#changed({ kind: "put", entry });
    return { kind: "swapped", request: number, done, current: undefined, revision: this.#revision };
  }

  #delete(key: string): void {
    this.#revision++;
    this.#entries.delete(key);
    this.#changed({ kind: "delete", key, revision: this.#revision });
  }

  #changed(change: Change): void {
    this.#log.push({ revision: this.#revision, change });
    for (const client of this.#clients) client.notify();
  }

  #tellAway(millis: number, clients: readonly StoreClient[]): void {
    for (const client of clients) {
      this.#world.later(noticeMillis * (0.2 + this.#world.random()), `${client.node} notices that the store is away`, () => client.noticeAway());
      client.resumeAfter(millis);
    }
  }
}

export interface StoreListener {
  answered(answer: StoreAnswer): void;
  told(events: readonly StoreEvent[]): void;
}

/** One daemon's way to the store: its requests, and its watch of everything. */
export class StoreClient {
  readonly node: string;
  readonly #store: SimStore;
  readonly #hears: StoreListener;
  #cursor: bigint | undefined;
  /** The store's life this one has seen a snapshot of. */
  #life: number;
  #isAway = false;
  #isDue = false;
  #isClosed = false;

  constructor(store: SimStore, node: string, hears: StoreListener) {
    this.#store = store;
    this.#life = store.life;
    this.node = node;
    this.#hears = hears;
  }

  get now(): Instant {
    return this.#store.world.now;
  }
  start(): void {
    if (this.#store.isReachable(this.node)) return this.notify();
    this.noticeAway();
    this.resumeAfter(this.#store.awayUntil(this.node) - this.#store.world.now);
  }
  close(): void {
    this.#isClosed = true;
    this.#store.forget(this);
  }

  /** Sends a request; `answered` will hear of it exactly once, unless this client is closed before. */
  send(request: StoreRequest): void {
    const store = this.#store,
      { world, faults, struck } = store,
      about = `${this.node}: ${request.kind} ${"key" in request ? request.key : ""}`;
    const answer = (millis: number, what: StoreAnswer): void =>
      world.later(millis, `${about}: ${what.kind}`, () => void (this.#isClosed || this.#hears.answered(what)));
    const failed = (text: string): StoreAnswer => ({ kind: "failed", request: request.request, code: "store.unreachable", text });
    if (!store.isReachable(this.node) || this.#life !== store.life) {
      struck.refusedWhileAway++;
      return answer(world.random() < 0.5 ? usualMillis : answerWithinMillis, failed("the store cannot be reached"));
    }
    const life = store.life,
      isLate = isWrite(request) && world.random() < faults.lateWrite,
      isSlow = world.random() < faults.slow;
    if (isLate) {
      struck.lateWrite++;
      answer(answerWithinMillis, failed("the store did not answer in time"));
      return world.later(answerWithinMillis + world.random() * lateMillis, `${about} is done long after it was given up`, () => {
        if (life === store.life) store.execute(request);
      });
    }
    if (isSlow) struck.slow++;
    const way = (): number => world.random() * (isSlow ? slowMillis / 2 : usualMillis);
    world.later(way(), about, () => {
      if (!store.isReachable(this.node) || life !== store.life) return answer(answerWithinMillis, failed("the store did not answer in time"));
      const done = store.execute(request),
        isLost = world.random() < faults.lostAnswer;
      if (isLost) struck.lostAnswer++;
      answer(isLost ? answerWithinMillis : way(), isLost ? failed("the connection to the store was lost") : done);
    });
  }

  /** Something changed: the watch tells of it in a moment. */
  notify(): void {
    if (this.#isDue || this.#isAway || this.#isClosed) return;
    this.#isDue = true;
    const { world } = this.#store;
    world.later(0.1 + world.random() * 20, `${this.node} is told what changed in the store`, () => {
      this.#isDue = false;
      if (!this.#isClosed && !this.#isAway && this.#store.isReachable(this.node)) this.#tell(false);
    });
  }
  noticeAway(): void {
    if (this.#isClosed || this.#isAway || this.#store.isReachable(this.node)) return;
    this.#isAway = true;
    this.#hears.told([{ kind: "away", text: "the store cannot be reached" }]);
  }
  /** Tries again when the store should be back; if it is not, whoever took it away longer sees to that. */
  resumeAfter(millis: number): void {
    const { world } = this.#store;
    world.later(millis + reconnectMillis * world.random(), `${this.node} tries the store again`, () => this.#resume());
  }

  #resume(): void {
    if (this.#isClosed || !this.#store.isReachable(this.node)) return;
    const wasAway = this.#isAway;
    this.#isAway = false;
    this.#tell(wasAway);
  }

  #tell(isResumed: boolean): void {
    if (this.#life !== this.#store.life) this.#cursor = undefined;
    this.#life = this.#store.life;
    const { events, cursor } = this.#store.since(this.#cursor, isResumed);
    this.#cursor = cursor;
    const all: readonly StoreEvent[] = isResumed ? [{ kind: "back" }, ...events] : events;
    if (all.length > 0) this.#hears.told(all);
  }
}
