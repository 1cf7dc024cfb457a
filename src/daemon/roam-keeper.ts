/**
 * Pod addresses that follow their owners between nodes: does what ipam/roaming.ts says of each address, one step after another, with the
 * journal on one side and the store on the other; and brings an owner's address here when its next pod comes.
 *
 * Must stay true: one address is worked on by one of us at a time; the store is written by compare-and-swap alone; nobody is told of an
 * address before both its claim and its record stand.
 */
import { setTimeout as pause } from "node:timers/promises";
import { callerFault, failed, type Fault, FaultError, ok, type Outcome, worldFault } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import { note } from "#base/note.ts";
import { contains, type Prefix } from "#base/prefix.ts";
import { addressKey, encodeClaim, type AddressClaim, type StoredClaim } from "#ipam/address-claim.ts";
import type { PodChange, PodClaimed, PodPool, PodRecord, PodRequest } from "#ipam/pod-terms.ts";
import { nextRoamStep, type RoamHold, type RoamSight, type RoamStep } from "#ipam/roaming.ts";
import type { Store } from "#ports/store.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import type { AddressClaims } from "./address-claims.ts";
import type { PodAudit } from "./pod-audit.ts";
import type { PodBook } from "./pod-book.ts";

const roamLimits = {
  /** A pod waits for the one before it that long, then its runtime tries again: less than a runtime gives a plugin. */
  handOverMillis: 10_000,
  retryMillis: 1_000,
  /** Ends of kept claims are looked for this often. */
  lapseMillis: 5_000,
  /** Addresses worked on at once. */
  atOnce: 16,
  /** Steps of one address in a row; more would be two that undo each other. */
  steps: 8,
} as const;

export interface RoamParts {
  readonly store: Store;
  readonly claims: AddressClaims;
  readonly book: PodBook;
  readonly audit: PodAudit;
  readonly telemetry: Telemetry;
  readonly node: string;
  /** Undefined: this node holds no CIDR of the pool now. */
  readonly hold: (pool: string) => RoamHold | undefined;
  /** Whether this node has a CIDR of the pool, also in doubt. */
  readonly holds: (pool: string) => boolean;
  /** Nodes whose daemon is present. */
  readonly alive: () => ReadonlySet<string>;
  /** Hold time of leases. */
  readonly holdSeconds: () => number;
  readonly wallSeconds: () => number;
  /** What is used here of other nodes' CIDRs, and what is used here no more, may have changed. */
  readonly changed: () => void;
  /** How long a pod waits for the one before it; 10 s if left out. */
  readonly handOverMillis?: number;
  /** Connections through an address that is somewhere else now are to be forgotten. */
  readonly flush: (addresses: readonly Ip[]) => void;
}

/** Addresses the store gave to this node for one request. */
export interface Brought {
  readonly claimed: readonly PodClaimed[];
  /** Once they stand in the journal, or will not. */
  done(): void;
}

export const nothingBrought: Brought = { claimed: [], done: () => undefined };

export class RoamKeeper {
  readonly #parts: RoamParts;
  readonly #dirty = new Set<Ip>();
  readonly #busy = new Set<Ip>();
  readonly #confirmed = new Set<Ip>();
  readonly #lost = new Set<Ip>();
  #wake: () => void = () => undefined;
  #waiters = new Set<() => void>();
  /** Why claims are behind; undefined while they are not. */
  fault: string | undefined;

  constructor(parts: RoamParts) {
    this.#parts = parts;
    parts.claims.onChange((changed) => {
      for (const address of changed) this.#mark(address as Ip);
      this.#tell();
    });
    parts.telemetry.gauge("podway_roam_behind", "Addresses whose claim in the store does not say yet what the journal says.", () => this.#dirty.size);
    parts.telemetry.gauge("podway_roam_lost", "Addresses that pods here have and may not use: another node's claim counts.", () => this.#lost.size);
  }

  /** The journal has these steps. */
  written(changes: readonly PodChange[]): void {
    const concerned = changes.filter(({ before, after }) => this.#concerns(before) || this.#concerns(after));
    for (const { address } of concerned) this.#mark(address);
    if (concerned.length > 0) this.#parts.changed();
  }
  /** Before a CIDR is handed out of: what the store has of its addresses goes into the journal. */
  async takeOver(cidr: Prefix): Promise<void> {
    const { book, claims, wallSeconds } = this.#parts,
      changes: PodChange[] = [];
    for (const { address } of claims.all()) {
      const step = contains(cidr, address) ? nextRoamStep({ ...this.#look(address), isHome: true }, wallSeconds()) : undefined;
      if (step?.do === "follow" && step.record !== undefined) changes.push(...book.machine.adopt(step.record));
    }
    const done = await book.commit(changes);
    if (!done.ok) throw new FaultError(done.fault);
  }
  /** This node's own claims, or the pools, changed. */
  reconsider(): void {
    for (const record of this.#parts.book.machine.records()) if (this.#concerns(record)) this.#mark(record.address);
    for (const claim of this.#parts.claims.all()) this.#mark(claim.address);
    for (const address of this.#confirmed) if (!this.#parts.holds(this.#parts.book.machine.at(address)?.pool ?? "")) this.#confirmed.delete(address);
    this.#parts.changed();
  }

  /** Addresses used here that lie in no CIDR of this node: to be announced one by one. */
  visiting(): readonly PodRecord[] {
    return [...this.#parts.book.machine.records()].filter((record) => record.state === "used" && !this.#isHome(record) && this.mayUse(record.address));
  }
  /** False for what another node's claim counts on, and for what lies elsewhere once this node holds nothing or its claim there ended. */
  mayUse(address: Ip): boolean {
    const { book, claims, node, holds } = this.#parts,
      record = book.machine.at(address),
      claim = claims.at(address);
    if (this.#lost.has(address) || (claim?.state === "held" && claim.node !== node)) return false;
    if (record?.owner === undefined || this.#isHome(record)) return true;
    // Until the store has told its claims, the journal's word stands: only who is evicted loses what it holds.
    return holds(record.pool) && (!claims.isKnown || claim?.node === node || this.#confirmed.has(address));
  }

  /** The addresses of the request's owner that wait for it, on whatever node, taken over; none if none does, or none can be had now. */
  async bring(request: Omit<PodRequest, "pools">, pools: readonly string[]): Promise<Outcome<Brought>> {
    const { owner } = request,
      roaming = this.#pools().filter(({ name, rules, active }) => pools.includes(name) && rules.roam === true && active);
    if (owner === undefined || roaming.length === 0) return ok(nothingBrought);
    const claimed: PodClaimed[] = [],
      locked: Ip[] = [];
    const done = (): void => {
      for (const address of locked) this.#release(address);
    };
    for (const pool of roaming) {
      const found = await this.#bringOne(pool.name, owner, request.addresses, locked);
      if (!found.ok) {
        done();
        return found;
      }
      if (found.value !== undefined) claimed.push(found.value);
    }
    return ok({ claimed, done });
  }

  /** An operator's word that the pod that had `address` on a node that is gone is gone too. */
  async force(address: Ip): Promise<Outcome<boolean>> {
    const claim = this.#parts.claims.at(address);
    if (claim === undefined || claim.state === "kept" || claim.node === this.#parts.node) return ok(false);
    if (this.#parts.alive().has(claim.node))
      return failed(callerFault("ipam.taken", `${address} is held by node ${claim.node}, which is alive: release it there, or delete its pod`));
    const keep = this.#pools().find(({ name }) => name === claim.pool)?.rules.keepSeconds ?? 0,
      kept: AddressClaim = { ...plain(claim), state: "kept", until: this.#parts.wallSeconds() + keep };
    try {
      const isDone = await this.#swap(kept, undefined, claim.modRevision);
      if (isDone) await this.#parts.audit.write({ event: "forced", address, pool: claim.pool, node: claim.node, owner: claim.owner });
      return isDone ? ok(true) : failed(worldFault("ipam.try-later", `the claim on ${address} changed in the same moment; look again who holds it`));
    } catch (cause) {
      if (cause instanceof FaultError) return failed(cause.fault);
      throw cause;
    }
  }

  /** Works until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const woken = (): void => this.#wake();
    signal.addEventListener("abort", woken);
    const lapsing = setInterval(() => this.#markLapsed(), roamLimits.lapseMillis).unref();
    while (!signal.aborted) {
      if (!this.#parts.claims.isKnown || this.#next() === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
      if (signal.aborted || !this.#parts.claims.isKnown) continue;
      this.fault = undefined;
      await Promise.all(Array.from({ length: roamLimits.atOnce }, () => this.#work()));
      if (this.fault !== undefined) await pause(roamLimits.retryMillis, undefined, { signal, ref: false }).catch(() => undefined);
    }
    clearInterval(lapsing);
    signal.removeEventListener("abort", woken);
  }

  async #work(): Promise<void> {
    for (let address = this.#next(); address !== undefined && this.fault === undefined; address = this.#next()) {
      this.#dirty.delete(address);
      this.#busy.add(address);
      try {
        await this.#settle(address);
      } catch (cause) {
        if (!(cause instanceof FaultError)) throw cause;
        this.fault = cause.fault.text;
        this.#dirty.add(address);
      } finally {
        this.#busy.delete(address);
        this.#tell();
      }
    }
  }
  #next(): Ip | undefined {
    for (const address of this.#dirty) if (!this.#busy.has(address)) return address;
    return undefined;
  }

  async #settle(address: Ip): Promise<void> {
    for (let steps = 0; steps < roamLimits.steps; steps++) {
      const step = nextRoamStep(this.#look(address), this.#parts.wallSeconds());
      if (step?.do !== "lose" && this.#lost.delete(address)) this.#parts.changed();
      if (step === undefined) return;
      if (step.do === "lose") return this.#lose(address, step.to);
      await this.#do(address, step);
    }
    this.#dirty.add(address);
  }
  async #do(address: Ip, step: Exclude<RoamStep, { do: "lose" }>): Promise<void> {
    const { store, claims, book, flush } = this.#parts;
    if (step.do === "write") {
      const isDone = await this.#swap(step.claim, step.lease, step.over);
      if (isDone && step.claim.state === "kept") flush([address]);
      return;
    }
    if (step.do === "remove") return claims.saw(address, await store.remove(addressKey(address), step.over));
    const changes = step.record === undefined ? book.machine.forget(address) : book.machine.adopt(step.record);
    const done = await book.commit(changes);
    if (!done.ok) throw new FaultError(done.fault);
    if (step.record?.state === "elsewhere") flush([address]);
  }
  /** True if it was written; what stands there is known afterwards in any case. */
  async #swap(claim: AddressClaim, lease: string | undefined, over: bigint | undefined): Promise<boolean> {
    const { store, claims } = this.#parts,
      key = addressKey(claim.address),
      value = encodeClaim(claim);
    const result = over === undefined ? await store.create(key, value, lease) : await store.replace(key, value, over, lease);
    const current = result.done ? { key, value, createRevision: result.revision, modRevision: result.revision, lease } : result.current;
    claims.saw(claim.address, { current, revision: result.revision });
    return result.done;
  }

  #look(address: Ip): RoamSight {
    const { book, claims, node, holdSeconds } = this.#parts,
      record = book.machine.at(address),
      claim = claims.at(address),
      pool = this.#pools().find(({ name }) => name === (record?.pool ?? claim?.pool)),
      hold = this.#holdOf(pool?.name);
    if (claim?.node === node && claim.state === "held" && hold !== undefined) this.#confirmed.add(address);
    else if (claim !== undefined) this.#confirmed.delete(address);
    const isHome = pool?.cidr !== undefined && contains(pool.cidr, address);
    return { record, claim, isHome, rules: pool?.rules, node, hold, isConfirmed: this.#confirmed.has(address), restSeconds: holdSeconds() };
  }

  async #lose(address: Ip, to: string | undefined): Promise<void> {
    if (this.#lost.has(address)) return;
    this.#lost.add(address);
    const { audit, telemetry, book, changed } = this.#parts,
      { pool = "", containerId = "?" } = book.machine.at(address) ?? {};
    const whose = to === undefined ? "no longer this node's: its claim ended" : `node ${to}'s by its claim`,
      text = `${address} of container ${containerId} here is ${whose}; it is cut off, delete the pod`;
    telemetry.note(note("error", "ipam.address-lost", text, { pool }));
    changed();
    await audit.write({ event: "lost", address, pool, ...(to !== undefined && { node: to }) });
  }

  async #bringOne(pool: string, owner: string, asked: readonly Ip[], locked: Ip[]): Promise<Outcome<PodClaimed | undefined>> {
    const until = performance.now() + (this.#parts.handOverMillis ?? roamLimits.handOverMillis);
    for (;;) {
      const found = this.#parts.claims.ofOwner(pool, owner).filter(({ address }) => asked.length === 0 || asked.includes(address)),
        waiting = found.filter(({ state, until: end = 0 }) => state === "kept" && end > this.#parts.wallSeconds()),
        kept = waiting.find(({ address }) => !this.#busy.has(address)),
        held = found.find(({ state, node }) => state === "held" && node !== this.#parts.node);
      const hold = this.#holdOf(pool);
      if (hold === undefined || (waiting.length === 0 && held === undefined)) return ok(undefined);
      if (kept !== undefined) {
        const taken = await this.#take(kept, hold, locked);
        if (taken !== "changed") return taken ? ok(kept) : this.#cannot(kept, asked);
        continue;
      }
      const left = until - performance.now();
      if (left <= 0) return failed(inHandOver(held ?? waiting[0]!));
      await this.#change(left);
    }
  }
  /** False: the store does not answer. `changed`: somebody was faster, look again. */
  async #take(claim: StoredClaim, hold: RoamHold, locked: Ip[]): Promise<boolean | "changed"> {
    const { node, identity, lease } = hold,
      { until: _over, ...rest } = plain(claim);
    this.#busy.add(claim.address);
    locked.push(claim.address);
    try {
      if (await this.#swap({ ...rest, node, identity, state: "held" }, lease, claim.modRevision)) {
        await this.#parts.audit.write({ event: "moved", address: claim.address, pool: claim.pool, node: claim.node, owner: claim.owner });
        this.#parts.flush([claim.address]);
        return true;
      }
    } catch (cause) {
      if (!(cause instanceof FaultError)) throw cause;
      this.#release(claim.address);
      return false;
    }
    this.#release(claim.address);
    return "changed";
  }
  /** Unasked, a pod is given another address rather than none. */
  #cannot({ address, owner, node }: StoredClaim, asked: readonly Ip[]): Outcome<undefined> {
    const text = `${address} waits for ${owner} (last on node ${node}), and the store does not answer; try again`;
    if (asked.includes(address)) return failed(worldFault("ipam.try-later", text));
    this.#parts.telemetry.note(note("warn", "ipam.not-moved", `${text}. Its pod is given another address meanwhile`));
    return ok(undefined);
  }

  #release(address: Ip): void {
    this.#busy.delete(address);
    this.#mark(address);
    this.#tell();
  }
  /** Resolves when a claim or what is worked on changes, or after `millis`. */
  #change(millis: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(end);
        resolve();
      };
      const timer = setTimeout(end, millis);
      this.#waiters.add(end);
    });
  }
  #tell(): void {
    for (const waiter of this.#waiters) waiter();
    this.#wake();
  }
  #mark(address: Ip): void {
    this.#dirty.add(address);
    this.#wake();
  }
  #markLapsed(): void {
    const at = this.#parts.wallSeconds();
    for (const { address, state, until = 0 } of this.#parts.claims.all()) if (state === "kept" && until <= at) this.#mark(address);
  }
  #pools(): readonly PodPool[] {
    return this.#parts.book.machine.pools();
  }
  #holdOf(pool: string | undefined): RoamHold | undefined {
    return pool === undefined ? undefined : this.#parts.hold(pool);
  }
  #isHome({ pool, address }: PodRecord): boolean {
    const cidr: Prefix | undefined = this.#pools().find(({ name }) => name === pool)?.cidr;
    return cidr !== undefined && contains(cidr, address);
  }
  #concerns(record: PodRecord | undefined): boolean {
    if (record === undefined) return false;
    return (
      record.state === "elsewhere" ||
      record.shared === true ||
      (record.owner !== undefined && this.#pools().some(({ name, rules }) => name === record.pool && rules.roam === true)) ||
      this.#parts.claims.at(record.address) !== undefined
    );
  }
}

/** A claim without what the store adds to it. */
function plain({ modRevision: _at, lease: _lease, ...claim }: StoredClaim): AddressClaim {
  return claim;
}

function inHandOver({ address, owner, node, state }: StoredClaim): Fault {
  const text = state === "kept" ? "is being handed over" : `is still used by its pod on node ${node}`;
  const remedy = `if that pod is gone: podway ip release ${address} --force there, or podway evict ${node} if the node is`;
  return worldFault("ipam.try-later", `${address} of ${owner} ${text}; this pod waits for it and is tried again; ${remedy}`);
}
