/**
 * Which container has which address of this node's CIDRs: a machine over records. Requests and the time go in, grants and changes come
 * out; the caller writes the changes to the journal before it tells anybody, and takes them back (`undo`) if that fails.
 *
 * Must stay true: an address has one record, and a used one is nobody else's; a container's interface that asks again gets what it
 * has; a freed address is its owner's for `keepSeconds` and nobody's for `coolDownSeconds`; what is free the longest is used first.
 */
import { type CallerFault, callerFault, failed, ok, type Outcome, worldFault } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import { contains, type Prefix } from "#base/prefix.ts";
import { permits, rulesAside, taken, within } from "./pod-aside.ts";
import { PodRange } from "./pod-range.ts";
import type { PodChange, PodGrant, PodKey, PodPool, PodRecord, PodRequest, PodState } from "./pod-terms.ts";

interface Held {
  readonly pool: PodPool;
  readonly range: PodRange;
  /** By index: 1 if the rules keep it from being handed out unasked. */
  readonly aside: Uint8Array;
}

/** What an address is looked for: which one (`isClaimed`: the store gave it to this node), else any of the range. */
interface Wanted {
  readonly pool: PodPool;
  readonly cidr: Prefix;
  readonly range?: PodRange;
  readonly address?: Ip;
  readonly isClaimed?: true;
}

export class PodAddresses {
  /** Undefined: it is free again. Its place stays, since a Map that forgets and learns one key over and over gets slow (holes in one chain). */
  readonly #records = new Map<Ip, PodRecord | undefined>();
  readonly #byKey = new Map<string, Set<Ip>>();
  /** Kept and reserved addresses by pool and owner, the latest freed last. */
  readonly #byOwner = new Map<string, Set<Ip>>();
  /** Used addresses by pool and namespace. */
  readonly #tenants = new Map<string, number>();
  readonly #counts = new Map<string, Map<PodState, number>>();
  #pools: readonly PodPool[] = [];
  readonly #held = new Map<string, Held>();

  /** Takes over the pools and this node's CIDRs as they are now. Records of what is no longer here stay until they are released. */
  configure(pools: readonly PodPool[]): void {
    const before = new Map(this.#held);
    this.#pools = pools;
    this.#held.clear();
    for (const pool of pools) {
      if (pool.cidr === undefined) continue;
      const old = before.get(pool.name);
      const isSame = old !== undefined && old.pool.cidr === pool.cidr && shape(old.pool) === shape(pool);
      this.#held.set(pool.name, isSame ? { ...old, pool } : this.#layOut(pool, pool.cidr));
    }
  }

  /** Records as the journal has them; once, before anything is asked. */
  load(records: Iterable<PodRecord>): void {
    for (const record of [...records].toSorted((a, b) => a.since - b.since)) this.#put(record.address, record);
  }
  *records(): Iterable<PodRecord> {
    for (const record of this.#records.values()) if (record !== undefined) yield record;
  }
  at(address: Ip): PodRecord | undefined {
    return this.#records.get(address);
  }
  of({ containerId, ifname }: PodKey): readonly PodRecord[] {
    return [...(this.#byKey.get(keyText(containerId, ifname)) ?? [])].map((address) => this.#records.get(address)!);
  }
  pools(): readonly PodPool[] {
    return this.#pools;
  }
  /** How many addresses of the pool are in each state. */
  counts(pool: string): ReadonlyMap<PodState, number> {
    return this.#counts.get(pool) ?? new Map();
  }
  /** Addresses of the pool's CIDR here that can be handed out unasked, in any state. */
  capacity(pool: string): number {
    const held = this.#held.get(pool);
    return held === undefined ? 0 : held.range.size - held.aside.reduce((sum, bit) => sum + bit, 0);
  }

  /** One bit for each address of the pool's CIDR here that is not free: bit i of octet i/8 is the i-th. */
  bitmap(pool: string): Uint8Array {
    const held = this.#held.get(pool),
      bits = new Uint8Array(Math.ceil((held?.range.size ?? 0) / 8));
    for (const record of held === undefined ? [] : this.records()) {
      const index = record.pool === pool && record.state !== "cooling" ? indexIn(held!, record.address) : undefined;
      if (index !== undefined) bits[index >>> 3]! |= 1 << (index & 7);
    }
    return bits;
  }
  /** Namespace → used addresses of the pool. */
  tenants(pool: string): Readonly<Record<string, number>> {
    const own = [...this.#tenants].filter(([key, count]) => key.startsWith(`${pool} `) && count > 0);
    return Object.fromEntries(own.map(([key, count]) => [key.slice(pool.length + 1), count]));
  }
  /** Sets addresses aside, by index in the pool's CIDR, that are known to be taken by whom nobody knows. */
  quarantineIndexes(
    pool: string,
    indexes: readonly number[],
    why: { readonly reason: string; readonly at: number; readonly seconds: number },
  ): readonly PodChange[] {
    const held = this.#held.get(pool);
    const free = indexes
      .flatMap((index) => (held === undefined || held.aside[index] !== 0 ? [] : [held.range.addressAt(index)]))
      .filter((address) => this.#records.get(address) === undefined);
    return free.flatMap((address) => this.quarantine(address, why.reason, why.at, why.seconds));
  }

  /** The pool whose CIDR here an address lies in. */
  placeOf(address: Ip): PodPool | undefined {
    const place = this.#placeOf(address);
    return place.ok ? place.value.pool : undefined;
  }

  /** One address of each pool asked for, or all of them refused. */
  allocate(request: PodRequest, at: number): Outcome<PodGrant> {
    const had = this.of(request);
    if (had.length > 0) return this.#again(request, had, at);
    const changes: PodChange[] = [],
      records: PodRecord[] = [];
    for (const wanted of this.#wanted(request)) {
      const found = wanted.ok ? this.#choose(wanted.value, request, at) : wanted;
      if (!found.ok) {
        this.undo(changes);
        return found;
      }
      records.push(found.value);
      changes.push(this.#put(found.value.address, found.value));
    }
    return ok({ records, changes });
  }

  /** Frees what the container's interface has. */
  releaseKey(key: PodKey, at: number): readonly PodChange[] {
    return this.of(key).map((record) => this.#free(record, at));
  }
  /** Frees one address, whoever has it; none if it is free already. */
  releaseAddress(address: Ip, at: number): readonly PodChange[] {
    const record = this.#records.get(address);
    return record?.state === "used" ? [this.#free(record, at)] : [];
  }

  /** Keeps an address from everybody but `owner`, if given. A used one goes on being used. */
  reserve(address: Ip, reservation: NonNullable<PodRecord["reservation"]>, at: number): Outcome<readonly PodChange[], CallerFault> {
    const place = this.#placeOf(address);
    if (!place.ok) return place;
    const there = this.#records.get(address);
    if (there?.state === "elsewhere" || there?.shared === true) return failed(taken(there));
    if (there?.state === "used") return ok([this.#put(address, { ...there, reservation })]);
    const { pool, range } = place.value;
    return ok([this.#put(address, { address, pool: pool.name, cidr: range.cidr, state: "reserved", since: at, reservation })]);
  }
  /** Ends a reservation, and any wait of a free address (kept, cooling, quarantined). */
  unreserve(address: Ip): readonly PodChange[] {
    const there = this.#records.get(address);
    if (there === undefined || there.state === "elsewhere" || there.shared === true) return [];
    if (there.state !== "used") return [this.#put(address, undefined)];
    const { reservation: _ended, ...record } = there;
    return there.reservation === undefined ? [] : [this.#put(address, record)];
  }
  /** Sets an address aside: somebody answers to it, or nobody knows whose it is. */
  quarantine(address: Ip, reason: string, at: number, seconds: number): readonly PodChange[] {
    const there = this.#records.get(address),
      place = this.#placeOf(address);
    if (!place.ok && there === undefined) return [];
    const pool = there?.pool ?? (place.ok ? place.value.pool.name : ""),
      cidr = there?.cidr ?? (place.ok ? place.value.range.cidr : ("" as Prefix));
    return [this.#put(address, { address, pool, cidr, state: "quarantined", since: at, until: at + seconds, reason })];
  }
  /** Takes records as they are: for what another node's claim says. */
  adopt(record: PodRecord): readonly PodChange[] {
    return [this.#put(record.address, record)];
  }
  /** Forgets a record: nobody has the address any more. */
  forget(address: Ip): readonly PodChange[] {
    return this.#records.get(address) === undefined ? [] : [this.#put(address, undefined)];
  }

  /** Forgets waits that are over: cooled down, no longer kept, out of quarantine. */
  lapse(at: number): readonly PodChange[] {
    const changes: PodChange[] = [];
    for (const { range } of this.#held.values()) for (const index of range.lapsed(at)) changes.push(this.#put(range.addressAt(index), undefined));
    return changes;
  }

  /** Takes changes back, the last first: they could not be written. */
  undo(changes: readonly PodChange[]): void {
    for (const { address, before } of changes.toReversed()) this.#put(address, before);
  }

  /** A container that was started again has its addresses, and a link of now. */
  #again(request: PodRequest, had: readonly PodRecord[], at: number): Outcome<PodGrant> {
    const other = request.addresses.find((address) => !had.some((record) => record.address === address));
    const { link } = request;
    if (other === undefined) {
      if (link === undefined) return ok({ records: had, changes: [] });
      const records = had.map((record): PodRecord => ({ ...record, since: at, link }));
      return ok({ records, changes: records.map((record) => this.#put(record.address, record)) });
    }
    const list = had.map(({ address }) => address).join(" and ");
    const text = `container ${request.containerId} has ${list} on ${request.ifname} already, and asks for ${other}; release that first`;
    return failed(callerFault("ipam.taken", text));
  }

  /** What to look for: an address each, or a free one of each pool that no address asked for came out of. */
  *#wanted(request: PodRequest): Iterable<Outcome<Wanted>> {
    const served = new Set<string>(),
      claimed = request.claimed ?? [];
    for (const { address, pool: name, cidr } of claimed) {
      const pool = this.#pools.find((each) => each.name === name);
      if (pool !== undefined) yield ok({ pool, address, cidr, isClaimed: true });
      served.add(name);
    }
    for (const address of request.addresses) {
      if (claimed.some((each) => each.address === address)) continue;
      const place = this.#placeOf(address);
      if (!place.ok) yield place;
      else {
        served.add(place.value.pool.name);
        yield ok({ ...place.value, cidr: place.value.range.cidr, address });
      }
    }
    for (const name of request.pools) {
      if (served.has(name)) continue;
      const held = this.#held.get(name);
      if (held !== undefined) yield ok({ ...held, cidr: held.range.cidr });
      else if (this.#pools.some((pool) => pool.name === name))
        yield failed(worldFault("ipam.try-later", `this node holds no CIDR of pool ${name} yet; podway leases says why`));
      else yield failed(callerFault("ipam.no-such-pool", `there is no pool ${name}; podway ip pools lists them`));
    }
  }

  #choose({ pool, range, cidr, address, isClaimed }: Wanted, request: PodRequest, at: number): Outcome<PodRecord> {
    const there = address === undefined ? undefined : this.#records.get(address);
    const isTaken = passes(there, request) || (isClaimed === true && there?.state !== "used");
    const refused = isTaken && isClaimed !== true ? undefined : this.#refusal(pool, request);
    if (refused !== undefined) return failed(refused);
    const found = isTaken
      ? ok(address!)
      : address === undefined
        ? (this.#owned(pool, request) ?? this.#any(pool, range!, at))
        : this.#asked(address, pool, request);
    if (!found.ok) return found;
    const { containerId, ifname, network, owner, namespace, mac, labels, link } = request,
      reservation = this.#records.get(found.value)?.reservation;
    return ok({
      address: found.value,
      pool: pool.name,
      cidr,
      state: "used",
      since: at,
      containerId,
      ifname,
      ...(network !== undefined && { network }),
      ...(owner !== undefined && { owner }),
      ...(namespace !== undefined && { namespace }),
      ...(mac !== undefined && { mac }),
      ...(labels !== undefined && { labels }),
      ...(link !== undefined && { link }),
      ...(reservation !== undefined && { reservation }),
    });
  }

  #refusal(pool: PodPool, { namespace }: PodRequest): CallerFault | undefined {
    const { rules, name } = pool;
    if (!pool.active) return callerFault("ipam.exhausted", `pool ${name} is draining and hands out nothing new; ask for another pool`);
    if (!permits(rules.namespaces, namespace))
      return callerFault("ipam.not-permitted", `pool ${name} is not for ${namespace === undefined ? "pods without a namespace" : `namespace ${namespace}`}`);
    const limit = namespace === undefined ? undefined : (rules.quota[namespace] ?? rules.quota["*"]);
    const here = this.#tenants.get(`${name} ${namespace}`) ?? 0,
      used = here + (namespace === undefined ? 0 : (pool.elsewhere?.(namespace) ?? 0));
    if (limit === undefined || used < limit) return undefined;
    return callerFault(
      "ipam.quota",
      `namespace ${namespace} has ${used} addresses of pool ${name} (${here} on this node), which is its quota; raise it or release some`,
    );
  }

  #asked(address: Ip, pool: PodPool, { owner }: PodRequest): Outcome<Ip> {
    if (within(pool.rules.exclude, address)) return failed(callerFault("ipam.not-in-pool", `${address} is excluded from pool ${pool.name}`));
    const there = this.#records.get(address);
    if (there === undefined || there.state === "cooling") return ok(address);
    const isOwners =
      owner !== undefined && (there.state === "reserved" ? there.reservation?.owner : there.state === "kept" && there.shared !== true && there.owner) === owner;
    return isOwners ? ok(address) : failed(taken(there));
  }

  #owned(pool: PodPool, { owner }: PodRequest): Outcome<Ip> | undefined {
    if (owner === undefined) return undefined;
    const address = [...(this.#byOwner.get(`${pool.name} ${owner}`) ?? [])].at(-1);
    return address === undefined || (pool.cidr !== undefined && !contains(pool.cidr, address)) ? undefined : ok(address);
  }

  #any(pool: PodPool, range: PodRange, at: number): Outcome<Ip> {
    const index = range.next(at);
    if (index !== undefined) return ok(range.addressAt(index));
    const counts = this.counts(pool.name),
      soon = range.nextReadyAt();
    const of = (state: PodState): number => counts.get(state) ?? 0;
    const later = soon === undefined ? "" : `; the next is free in ${Math.max(1, Math.ceil(soon - at))} s`;
    const text = `no address of ${range.cidr} (pool ${pool.name}) is free: ${of("used")} used, ${of("kept")} kept for owners, ${of("cooling")} cooling${later}`;
    return failed(callerFault("ipam.exhausted", text));
  }

  #free(record: PodRecord, at: number): PodChange {
    const { address, pool, cidr, owner, namespace, mac, reservation } = record,
      rules = this.#pools.find(({ name }) => name === pool)?.rules;
    const rest = { address, pool, cidr, since: at, ...(owner !== undefined && { owner }), ...(namespace !== undefined && { namespace }) };
    if (reservation !== undefined) return this.#put(address, { address, pool, cidr, since: at, state: "reserved", reservation });
    if (rules === undefined || this.#held.get(pool)?.range.cidr !== cidr) return this.#put(address, undefined);
    if (owner !== undefined && rules.keepSeconds > 0)
      return this.#put(address, { ...rest, state: "kept", until: at + rules.keepSeconds, ...(mac !== undefined && { mac }) });
    return this.#put(address, rules.coolDownSeconds > 0 ? { ...rest, state: "cooling", until: at + rules.coolDownSeconds } : undefined);
  }

  #placeOf(address: Ip): Outcome<Held, CallerFault> {
    for (const held of this.#held.values()) if (contains(held.range.cidr, address)) return ok(held);
    const pool = this.#pools.find((each) => contains(each.pool, address));
    const where = pool === undefined ? "is in no pool" : `is in pool ${pool.name} but not in this node's CIDR ${pool.cidr ?? "(none yet)"}`;
    return failed(callerFault("ipam.not-in-pool", `${address} ${where}; podway ip pools lists what there is`));
  }

  /** The one place where a record changes: indexes, counts and the range follow. */
  #put(address: Ip, after: PodRecord | undefined): PodChange {
    const before = this.#records.get(address);
    if (before !== undefined) this.#index(before, -1);
    this.#records.set(address, after);
    if (after !== undefined) this.#index(after, 1);
    this.#place(address, (after ?? before)?.pool, after);
    return { address, before, after };
  }

  #place(address: Ip, pool: string | undefined, after: PodRecord | undefined): void {
    const held = pool === undefined ? undefined : this.#held.get(pool);
    if (held !== undefined && contains(held.range.cidr, address)) place(held, address, after);
  }

  #index(record: PodRecord, by: 1 | -1): void {
    const { address, containerId, ifname, pool, state, namespace } = record;
    if (containerId !== undefined && ifname !== undefined && state === "used") mark(this.#byKey, keyText(containerId, ifname), address, by);
    const owner = state === "reserved" ? record.reservation?.owner : state === "kept" && record.shared !== true ? record.owner : undefined;
    if (owner !== undefined) mark(this.#byOwner, `${pool} ${owner}`, address, by);
    const counts = this.#counts.get(pool) ?? new Map<PodState, number>();
    this.#counts.set(pool, counts.set(state, (counts.get(state) ?? 0) + by));
    if (state === "used" && namespace !== undefined) this.#tenants.set(`${pool} ${namespace}`, (this.#tenants.get(`${pool} ${namespace}`) ?? 0) + by);
  }

  /** A CIDR with everything set aside that is not simply free. */
  #layOut(pool: PodPool, cidr: Prefix): Held {
    const range = new PodRange(cidr),
      held = { pool, range, aside: rulesAside(range, pool.rules) };
    held.aside.forEach((bit, index) => bit === 1 && range.take(index));
    for (const record of this.records()) if (contains(cidr, record.address)) place(held, record.address, record);
    return held;
  }
}

const indexIn = ({ range }: Held, address: Ip): number | undefined => (contains(range.cidr, address) ? range.indexOf(address) : undefined);

function place({ range, aside }: Held, address: Ip, after: PodRecord | undefined): void {
  const index = range.indexOf(address);
  if (index === undefined || aside[index] === 1) return;
  if (after === undefined) range.free(index);
  else if (after.until === undefined || after.shared === true) range.take(index);
  else range.freeLater(index, after.until, after.state !== "cooling");
}

/** What decides how a CIDR is laid out. */
const shape = ({ rules: { ranges, exclude, reserve } }: PodPool): string => JSON.stringify([ranges, exclude, reserve]);

const keyText = (containerId: string, ifname: string): string => `${containerId} ${ifname}`;

function mark(index: Map<string, Set<Ip>>, key: string, address: Ip, by: 1 | -1): void {
  const set = index.get(key) ?? new Set();
  if (by === 1) set.add(address);
  else set.delete(address);
  if (set.size > 0) index.set(key, set);
  else index.delete(key);
}

/** Whether an address is handed over: it has been counted and permitted when it was given to whom the request takes it from. */
const passes = (record: PodRecord | undefined, { takes = [] }: PodRequest): boolean =>
  record?.state === "used" &&
  record.link === undefined &&
  takes.some(({ containerId, ifname }) => containerId === record.containerId && ifname === record.ifname);
