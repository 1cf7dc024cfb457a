/**
 * Runs one node's lease machines and its presence against a store: news in, requests out, answers in, one timer. It also keeps
 * the cluster's leases and present nodes for everybody else, and writes what it knows to the disk.
 *
 * Must stay true: own claims are told before the leases of others, so that nobody plans with the one and without the other;
 * stopping revokes nothing (the next start of this node renews the same claims); nothing is told after `run` has ended.
 */
import { randomBytes } from "node:crypto";
import { note } from "#base/note.ts";
import { FaultError } from "#base/fault.ts";
import type { Lease } from "#base/lease.ts";
import type { NodeSettings, PoolSettings } from "#base/settings.ts";
import { type Instant, sooner } from "#base/time.ts";
import type { StoreAnswer, StoreEvent, StoreRequest } from "#ipam/exchange.ts";
import { leaseKey, leasesPrefix, nodesPrefix } from "#ipam/lease-record.ts";
import type { LeaseTerms, OwnLease, RememberedLease } from "#ipam/lease-terms.ts";
import { LeaseMachine } from "#ipam/lease.ts";
import { PresenceMachine } from "#ipam/presence.ts";
import { EpochMachine } from "#ipam/store-epoch.ts";
import { vtepMac } from "#overlay/vtep.ts";
import type { Clock } from "#ports/clock.ts";
import type { Store } from "#ports/store.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import { leaseOf, Mirror, nodeOf, readable } from "./lease-mirror.ts";
import { LeaseFile, type LeaseMemory, readIdentity } from "./node-memory.ts";

const driverLimits = {
  /** The longest sleep: Node's timers stand still in a suspend, the machines' clock does not. */
  sleepMillis: 5_000,
  /** The store has this long to answer before the last known leases are told instead. */
  graceMillis: 2_000,
  /** What others hold is written down this often at most; a claim of our own at once. */
  saveEveryMillis: 5_000,
  /** The instant of the last renewal is written this often at least: in a hold time, and in seconds at most. */
  savesPerHold: 20,
  saveSeconds: 300,
} as const;

export interface LeaseDriverParts {
  readonly settings: NodeSettings;
  readonly store: Store;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly stateDirectory: string;
  readonly version: string;
  /** False for a pure reflector: it is present, sees all leases, and holds none. */
  readonly isHolder: boolean;
}

export interface StoreState {
  readonly state: "connected" | "away";
  /** One sentence. */
  readonly text: string;
  readonly revision: string | null;
}

type Watched = "leases" | "nodes";
const notYet = "the store has not answered yet";

interface Handler {
  handle(input: StoreAnswer, now: Instant): void;
}

export function createLeaseDriver(parts: LeaseDriverParts): LeaseDriver {
  return new LeaseDriver(parts);
}

export class LeaseDriver {
  readonly #parts: LeaseDriverParts;
  #settings: NodeSettings;
  readonly #file: LeaseFile;
  #identity = "";
  #presence: PresenceMachine | undefined;
  #epoch: EpochMachine | undefined;
  readonly #machines = new Map<string, LeaseMachine>();
  readonly #mirrors = { leases: new Mirror(leaseOf), nodes: new Mirror(nodeOf) };
  #remembered: LeaseMemory | undefined;
  /** The last CIDR held in each pool, also when it is held no more. */
  readonly #former = new Map<string, RememberedLease>();
  /** Why a watch is away; undefined while it is not. */
  readonly #away: Record<Watched, string | undefined> = { leases: notYet, nodes: notYet };
  #isRunning = false;
  #leasesChanged = false;
  #flush: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  #saveTimer: NodeJS.Timeout | undefined;
  #saving: Promise<void> = Promise.resolve();
  #savedAt = -Infinity;
  /** Why what is known is not on the disk. */
  #unwritten: string | undefined;
  #leases: ReadonlyMap<string, Lease> = new Map();
  readonly #leasesListeners: ((leases: ReadonlyMap<string, Lease>) => void)[] = [];
  readonly #ownListeners: ((own: ReadonlyMap<string, OwnLease>) => void)[] = [];

  constructor(parts: LeaseDriverParts) {
    this.#parts = parts;
    this.#settings = parts.settings;
    this.#file = new LeaseFile(parts.stateDirectory, parts.settings.cluster);
  }

  /** Hears of all readable leases, by store key, whenever one changed; first when they are known. */
  onLeases(listener: (leases: ReadonlyMap<string, Lease>) => void): void {
    this.#leasesListeners.push(listener);
  }
  /** Hears of this node's claims, by pool, whenever one changed; first as soon as the driver runs. */
  onOwn(listener: (own: ReadonlyMap<string, OwnLease>) => void): void {
    this.#ownListeners.push(listener);
  }
  /** This node's claims now, with the instants of the last renewal (`onOwn` does not repeat for those). */
  own(): ReadonlyMap<string, OwnLease> {
    return new Map(Array.from(this.#machines, ([pool, machine]) => [pool, machine.own]));
  }
  /** Names of the nodes whose daemon is present. */
  alive(): ReadonlySet<string> {
    return new Set(this.#mirrors.nodes.values.values());
  }
  /** By which right this node may claim single addresses of the pool; undefined: it holds no CIDR of it, or the store does not show it. */
  holdOf(pool: string): { readonly node: string; readonly identity: string; readonly lease: string | undefined } | undefined {
    const cidr = this.#machines.get(pool)?.own.cidr,
      key = cidr && leaseKey(pool, cidr),
      record = key && this.#mirrors.leases.values.get(key);
    if (!record || record.node !== this.#settings.node || record.identity !== this.#identity) return undefined;
    return { node: record.node, identity: this.#identity, lease: this.#mirrors.leases.entries.get(key)!.lease };
  }
  /** What a person should know; one sentence each. */
  warnings(): readonly string[] {
    return this.#unwritten === undefined ? [] : [this.#unwritten];
  }
  storeState(): StoreState {
    const away = this.#awayText(),
      revision = this.#mirrors.leases.revision;
    return { state: away === undefined ? "connected" : "away", text: away ?? "connected", revision: revision === undefined ? null : String(revision) };
  }

  /** Goes on with changed settings: pools that came, went or changed, and addresses. */
  follow(settings: NodeSettings): void {
    const before = this.#settings;
    this.#settings = settings;
    if (!this.#isRunning) return;
    const now = this.#parts.clock.now();
    const isMoved = before.address !== settings.address || before.address6 !== settings.address6;
    if (isMoved || before.lease.livenessSeconds !== settings.lease.livenessSeconds) this.#makePresence(now);
    this.#makeMachines(now);
    this.#turn();
    this.#tellOwn();
  }

  /** Ends when `signal` says so. Claims stay in the store. */
  async run(signal: AbortSignal): Promise<void> {
    const { stateDirectory, clock } = this.#parts;
    this.#identity = await readIdentity(stateDirectory);
    this.#remembered = await this.#file.read();
    for (const [pool, lease] of this.#remembered?.own ?? []) this.#former.set(pool, lease);
    if (signal.aborted) return;
    this.#isRunning = true;
    this.#registerGauges();
    this.#makeEpoch();
    this.#makePresence(clock.now());
    this.#makeMachines(clock.now());
    this.#turn();
    this.#tellOwn();
    const grace = setTimeout(() => this.#tellRemembered(), driverLimits.graceMillis);
    try {
      await Promise.all([this.#watch("leases", leasesPrefix, signal), this.#watch("nodes", nodesPrefix, signal)]);
    } finally {
      this.#isRunning = false;
      for (const timer of [grace, this.#timer, this.#saveTimer]) clearTimeout(timer);
      clearImmediate(this.#flush);
      await this.#save();
    }
  }

  async #watch(which: Watched, prefix: string, signal: AbortSignal): Promise<void> {
    for await (const news of this.#parts.store.watch(prefix, signal)) {
      if (signal.aborted) return;
      const now = this.#parts.clock.now();
      this.#setAway(which, news.kind === "away" ? news.text : undefined);
      this.#mirrors[which].see(news);
      if (which === "nodes") this.#seePresence(news, now);
      else for (const machine of this.#claimants()) if (news.kind !== "away" && news.kind !== "back") machine.handle(news, now);
      if (which === "leases" && news.kind !== "away" && news.kind !== "back") this.#leasesChanged = true;
      this.#turn();
    }
  }

  #seePresence(news: StoreEvent, now: Instant): void {
    if (news.kind !== "away" && news.kind !== "back") this.#presence?.handle(news, now);
  }

  #awayText(): string | undefined {
    return this.#away.leases ?? this.#away.nodes;
  }

  #setAway(which: Watched, text: string | undefined): void {
    const before = this.#awayText();
    this.#away[which] = text;
    const away = this.#awayText();
    if ((before === undefined) === (away === undefined) && before !== notYet) return;
    if (before === away) return;
    this.#parts.telemetry.note(away === undefined ? note("info", "store.back", "the store answers") : note("warn", "store.away", away));
    for (const machine of [this.#presence, ...this.#claimants()])
      machine?.handle(away === undefined ? { kind: "back" } : { kind: "away", text: away }, this.#parts.clock.now());
  }

  /** Those who follow the claims, whose epoch first. */
  #claimants(): readonly (EpochMachine | LeaseMachine)[] {
    return [...(this.#epoch ? [this.#epoch] : []), ...this.#machines.values()];
  }

  #makeEpoch(): void {
    const { node, lease } = this.#settings,
      { epoch, entries = [] } = this.#remembered ?? {};
    if (!this.#parts.isHolder) return;
    const terms = { node, nonce: randomBytes(8).toString("hex"), settleSeconds: 2 * lease.livenessSeconds };
    this.#epoch = new EpochMachine(terms, epoch && { ...epoch, entries });
  }

  #makePresence(now: Instant): void {
    const { node, address, address6, lease } = this.#settings;
    const record = { schema: 1, node, identity: this.#identity, address, ...(address6 !== undefined && { address6 }), version: this.#parts.version } as const;
    this.#presence = new PresenceMachine(record, lease.livenessSeconds);
    const known = this.#mirrors.nodes.snapshot();
    if (known) this.#presence.handle(known, now);
  }

  #makeMachines(now: Instant): void {
    const pools = this.#parts.isHolder ? this.#settings.pools : [];
    for (const name of this.#machines.keys()) if (!pools.some((pool) => pool.name === name)) this.#machines.delete(name);
    for (const pool of pools) {
      const terms = this.#terms(pool),
        machine = this.#machines.get(pool.name);
      if (machine) machine.handle({ kind: "terms", terms }, now);
      else {
        const made = new LeaseMachine(terms, this.#former.get(pool.name), now),
          known = this.#mirrors.leases.snapshot();
        if (known) made.handle(known, now);
        this.#machines.set(pool.name, made);
      }
    }
  }

  #terms(pool: PoolSettings): LeaseTerms {
    const { node, address, address6, lease } = this.#settings;
    const mac = pool.backend === "vxlan" && pool.vni !== undefined ? vtepMac(node, pool.vni) : undefined;
    const way = { backend: pool.backend, ...(mac !== undefined && { vni: pool.vni!, port: pool.port }) };
    return { pool, lease, holder: { node, identity: this.#identity, address, address6, vtepMac: mac, way } };
  }

  /** Lets every machine decide, does what they ask, tells what changed, and sleeps until the next deadline. */
  #turn(): void {
    if (!this.#isRunning) return;
    const now = this.#parts.clock.now();
    let isOwnChanged = false,
      deadline: Instant | undefined;
    for (const machine of [this.#presence, this.#epoch]) {
      for (const output of machine?.step(now) ?? []) {
        if (output.kind === "note") this.#parts.telemetry.note(output.note);
        else void this.#answer(machine!, output);
      }
      deadline = sooner(deadline, machine?.nextDeadline());
    }
    for (const machine of this.#machines.values()) {
      machine.handle({ kind: "presence", identity: this.#presence?.identity }, now);
      machine.handle({ kind: "epoch", epoch: this.#epoch?.epoch }, now);
      for (const output of machine.step(now)) {
        if (output.kind === "note") this.#parts.telemetry.note(output.note);
        else if (output.kind === "own") isOwnChanged = true;
        else void this.#answer(machine, output);
      }
      deadline = sooner(deadline, machine.nextDeadline());
    }
    if (isOwnChanged) this.#tellOwn();
    if (this.#leasesChanged) this.#flush ??= setImmediate(() => this.#tellLeases());
    if (isOwnChanged) void this.#save();
    else if (this.#leasesChanged || now - this.#savedAt > this.#saveMillis()) this.#saveSoon();
    this.#sleep(deadline === undefined ? driverLimits.sleepMillis : deadline - now);
  }

  #sleep(millis: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#turn(), Math.min(Math.max(millis, 1), driverLimits.sleepMillis));
  }

  async #answer(machine: Handler, request: StoreRequest): Promise<void> {
    const answer = await ask(this.#parts.store, request);
    if (!this.#isRunning) return;
    machine.handle(answer, this.#parts.clock.now());
    this.#turn();
  }

  #tellOwn(): void {
    const own = this.own();
    for (const tell of this.#ownListeners) tell(own);
  }

  #tellLeases(): void {
    this.#flush = undefined;
    this.#leasesChanged = false;
    this.#leases = new Map(this.#mirrors.leases.values);
    for (const tell of this.#leasesListeners) tell(this.#leases);
  }

  /** The store has not answered: what was known when this node stopped is better than nothing. */
  #tellRemembered(): void {
    if (this.#mirrors.leases.revision !== undefined || this.#remembered === undefined) return;
    this.#parts.telemetry.note(note("warn", "lease.remembered", "the store has not answered yet; the leases known before this start are used"));
    this.#leases = readable(this.#remembered.entries);
    for (const tell of this.#leasesListeners) tell(this.#leases);
  }

  #saveMillis(): number {
    return Math.min(driverLimits.saveSeconds, this.#settings.lease.holdSeconds / driverLimits.savesPerHold) * 1000;
  }

  #saveSoon(): void {
    this.#savedAt = this.#parts.clock.now();
    this.#saveTimer ??= setTimeout(() => {
      this.#saveTimer = undefined;
      void this.#save();
    }, driverLimits.saveEveryMillis);
  }

  /** Writes after any write before it. A store that never answered teaches nothing worth writing. */
  #save(): Promise<void> {
    this.#saving = this.#saving.then(async () => {
      const entries = this.#mirrors.leases.revision === undefined ? this.#remembered?.entries : [...this.#mirrors.leases.entries.values()];
      if (entries === undefined) return;
      for (const [pool, { cidr, confirmedAt, fence }] of this.own())
        if (cidr !== undefined && confirmedAt !== undefined) this.#former.set(pool, { cidr, confirmedAt, fence });
      const memory = { own: this.#former, entries, epoch: this.#epoch?.memory ?? this.#remembered?.epoch };
      await this.#file.write(memory).then(
        () => this.#sayUnwritten(undefined),
        (cause: NodeJS.ErrnoException) => this.#sayUnwritten(cause.code ?? cause.message),
      );
    });
    return this.#saving;
  }

  /** Told once, however often it is tried. */
  #sayUnwritten(why: string | undefined): void {
    const { stateDirectory, telemetry } = this.#parts,
      text = `the leases this node knows cannot be written to ${stateDirectory} (${why}): if it starts while the store is away it has none; make room there`;
    if (why !== undefined && this.#unwritten !== text) telemetry.note(note("error", "lease.not-written", text));
    if (why === undefined && this.#unwritten !== undefined) telemetry.note(note("info", "lease.written", "the leases this node knows are written again"));
    this.#unwritten = why === undefined ? undefined : text;
  }

  #registerGauges(): void {
    const { telemetry } = this.#parts;
    telemetry.gauge("podway_store_connected", "1 while the store answers.", () => (this.#awayText() === undefined ? 1 : 0));
    telemetry.gauge("podway_leases", "Leases of the cluster that can be read.", () => this.#leases.size);
    telemetry.gauge("podway_nodes_present", "Nodes whose daemon is present.", () => this.#mirrors.nodes.values.size);
    telemetry.gauge("podway_lease_state", "1 for the state each pool's own lease is in.", () =>
      Array.from(this.own().values(), ({ pool, state }) => ({ labels: { pool, state }, value: 1 })),
    );
  }
}

async function ask(store: Store, request: StoreRequest): Promise<StoreAnswer> {
  const number = request.request;
  try {
    switch (request.kind) {
      case "grant": {
        const { id, ttlSeconds } = await store.grant(request.ttlSeconds);
        return { kind: "granted", request: number, lease: id, ttlSeconds };
      }
      case "keepAlive":
        return { kind: "alive", request: number, ...(await store.keepAlive(request.lease)) };
      case "create":
        return { kind: "swapped", request: number, ...(await store.create(request.key, request.value, request.lease)) };
      case "replace":
        return { kind: "swapped", request: number, ...(await store.replace(request.key, request.value, request.modRevision, request.lease)) };
      case "remove":
        return { kind: "swapped", request: number, ...(await store.remove(request.key, request.modRevision)) };
    }
  } catch (cause) {
    // Anything but the store's own word is a broken promise of ours; the machine's next try will show it again, here it is told.
    const code = cause instanceof FaultError ? cause.fault.code : "store.failed";
    return { kind: "failed", request: number, code, text: cause instanceof Error ? cause.message : String(cause) };
  }
}
