/**
 * Addresses and links of this node's pods: the allocator and its journal, the kernel's links, and the routes that lead there. One
 * container's interface is worked on by one request at a time; what is told has been written.
 */
import type { PodLinks } from "#adapters/pod-links.ts";
import { callerFault, failed, type Fault, FaultError, ok, type Outcome, worldFault } from "#base/fault.ts";
import { familyOf, type Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { NodeSettings, PoolSettings } from "#base/settings.ts";
import type { OwnLease } from "#ipam/lease-terms.ts";
import type { PodChange, PodKey, PodRecord, PodRequest } from "#ipam/pod-terms.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import type { PodBook } from "./pod-book.ts";
import { type CheckWorld, findNamespaces, judgeAddresses } from "./pod-check.ts";
import type {
  AddressCheckView,
  AddressQuery,
  AddressView,
  AllocateRequest,
  AllocationView,
  AttachmentKey,
  AttachmentView,
  AttachRequest,
  AuditView,
  CollectRequest,
  CollectView,
  PodControl,
  PoolView,
  ReleaseRequest,
  WhoView,
} from "./pod-control.ts";
import { makePodLink } from "./pod-linking.ts";
import type { PodPorts } from "./pod-ports.ts";
import { readAddress, readAllocation, readKey, readLink } from "./pod-request.ts";
import { choosePools, mtuOf, podPool } from "./pod-rules.ts";
import { fitsQuery, linkNames, viewAddress, viewAllocation, viewAttachment, viewPool, viewWho } from "./pod-view.ts";
import { findDifferences, registerPodGauges } from "./pod-watch.ts";
import { keysOf } from "./pod-lists.ts";
import type { PodRouting } from "./pod-routing.ts";
import type { PodRoaming } from "./pod-roaming.ts";
import { nothingBrought } from "./roam-keeper.ts";

const partLimits = {
  /** Addresses found in use by somebody else before a request gives up. */
  foreign: 8,
  quarantineSeconds: 600,
  /** For addresses that the store knows and a lost journal does not: as long as leases are held. */
  formerSeconds: 86_400,
} as const;

export interface PodPartOptions {
  readonly book: PodBook;
  readonly links: PodLinks | undefined;
  readonly routing: PodRouting;
  readonly ports: PodPorts;
  readonly settings: NodeSettings;
  readonly telemetry: Telemetry;
  readonly roaming: Pick<PodRoaming, "bring" | "isOurs" | "whose" | "force" | "forced" | "audit">;
  /** How many addresses of a pool a namespace has on other nodes. */
  readonly elsewhere: (pool: string, namespace: string) => number;
  /** Addresses of a CIDR that the store knows as taken, by index: asked for a CIDR of which the journal has nothing. */
  readonly former: (pool: string, cidr: Prefix) => Promise<readonly number[]>;
  /** Seconds of the wall clock. */
  readonly wallSeconds: () => number;
}

type Answered<T> = Promise<Outcome<T, Fault>>;

export class PodPart implements PodControl {
  readonly #options: PodPartOptions;
  #settings: NodeSettings;
  #own: ReadonlyMap<string, OwnLease> = new Map();
  #uplinkMtu: number | undefined;
  /** The last request of each container's interface. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #routes = new Map<Ip, string>();
  readonly #former = new Map<Prefix, "asked" | "known">();

  constructor(options: PodPartOptions) {
    this.#options = options;
    this.#settings = options.settings;
    for (const record of options.book.machine.records()) this.#route(record);
    options.routing.want(new Map(this.#routes));
    options.ports.load(options.book.machine.records());
    registerPodGauges(options.telemetry, () => this.pools());
  }

  follow(settings: NodeSettings): void {
    this.#settings = settings;
    this.#configure();
  }
  /** This node's claims now. A CIDR in doubt is handed out of: it is ours until the fence. */
  own(own: ReadonlyMap<string, OwnLease>): void {
    this.#own = own;
    this.#configure();
  }
  /** Octets the uplink carries; undefined: not known. */
  uplink(mtu: number | undefined): void {
    this.#uplinkMtu = mtu;
  }
  /** Pools that are nearly full. */
  warnings(): readonly string[] {
    return this.pools().flatMap(({ alarm }) => (alarm === null ? [] : [alarm]));
  }

  attach(request: AttachRequest): Answered<AttachmentView> {
    return this.#inTurn(request, (key) => this.#attach(key, request).finally(() => this.#options.ports.follow(key, this.#machine.of(key))));
  }
  detach(request: AttachmentKey): Answered<{ readonly found: boolean }> {
    return this.#inTurn(request, (key) => this.#detach(key));
  }
  allocate(request: AllocateRequest): Answered<AllocationView> {
    return this.#inTurn(request, async () => {
      const records = await this.#take(request, undefined);
      return records.ok ? ok(viewAllocation(this.#settings.pools, records.value, this.#mtu(records.value[0]!.pool))) : records;
    });
  }

  async release(request: ReleaseRequest): Answered<{ readonly released: readonly string[] }> {
    if (!("address" in request))
      return this.#inTurn(request, async (key) => {
        const had = this.#machine.of(key).map(({ address }) => address),
          gone = await this.#detach(key);
        return gone.ok ? ok({ released: had }) : gone;
      });
    const address = readAddress(request.address);
    if (!address.ok) return address;
    const record = this.#machine.at(address.value);
    if (record?.state !== "used") return request.force === true ? this.#options.roaming.force(address.value) : ok({ released: [] });
    if (record.link !== undefined && request.force !== true)
      return failed(callerFault("ipam.taken", `${record.address} is in use by container ${record.containerId}; delete its attachment, or release by force`));
    if (request.force === true) await this.#options.roaming.forced(record);
    return this.#inTurn({ containerId: record.containerId!, ifname: record.ifname! }, async (key) => {
      if (record.link !== undefined) return this.#detach(key).then((gone) => (gone.ok ? ok({ released: [record.address] }) : gone));
      const done = await this.#commit(this.#machine.releaseAddress(address.value, this.#now()));
      return done.ok ? ok({ released: [record.address] }) : done;
    });
  }

  async checkAttachment(request: AttachmentKey & { readonly netns?: string; readonly addresses?: readonly string[] }): Answered<AttachmentView> {
    const key = readKey(request);
    if (!key.ok) return key;
    const records = this.#machine.of(key.value),
      first = records[0];
    if (first?.link === undefined) return failed(callerFault("ipam.unknown", `container ${request.containerId} has no attachment ${request.ifname} here`));
    const view = viewAttachment(this.#settings.pools, records);
    const wrong = this.#options.links === undefined ? [noKernel.text] : await findDifferences(this.#options.links, view, request);
    return wrong.length === 0 ? ok(view) : failed(callerFault("attach.differs", wrong.join("; ")));
  }

  attachments(query: { readonly containerId?: string; readonly network?: string }): readonly AttachmentView[] {
    const fits = ({ containerId, network, link }: PodRecord): boolean =>
      link !== undefined && (query.containerId ?? containerId) === containerId && (query.network ?? network) === network;
    return keysOf(this.#machine.records(), fits).map((key) => viewAttachment(this.#settings.pools, this.#machine.of(key)));
  }

  async collect({ network, living }: CollectRequest): Answered<CollectView> {
    const kept = new Set(living.map(({ containerId, ifname }) => `${containerId} ${ifname}`));
    const dead = keysOf(this.#machine.records(), (record, key) => (network ?? record.network) === record.network && !kept.has(key));
    const removed: PodKey[] = [],
      failures: string[] = [];
    for (const key of dead) {
      const gone = await this.detach(key);
      if (gone.ok) removed.push(key);
      else failures.push(`${key.containerId} ${key.ifname}: ${gone.fault.text}`);
    }
    return ok({ removed, failures });
  }

  addresses(query: AddressQuery): readonly AddressView[] {
    return [...this.#machine.records()].map((record) => viewAddress(record, this.#settings.node)).filter((view) => fitsQuery(view, query));
  }

  who(text: string): Outcome<WhoView, Extract<Fault, { whose: "caller" }>> {
    const address = readAddress(text);
    if (!address.ok) return address;
    const record = this.#machine.at(address.value);
    if (record !== undefined) return ok(viewWho(record, this.#settings.node));
    const pool = this.#settings.pools.find(({ name }) => this.#machine.placeOf(address.value)?.name === name);
    const where =
      pool === undefined ? (this.#options.roaming.whose(address.value) ?? "is not in a CIDR of this node") : `is free: nobody has it (pool ${pool.name})`;
    return ok({ address: address.value, holder: null, text: `${address.value} ${where}.` });
  }

  async reserve({ address: text, owner, reason }: { readonly address: string; readonly owner?: string; readonly reason?: string }): Answered<AddressView> {
    const address = readAddress(text);
    if (!address.ok) return address;
    const reservation = { ...(owner !== undefined && { owner }), ...(reason !== undefined && { reason }) };
    const changes = this.#machine.reserve(address.value, reservation, this.#now());
    if (!changes.ok) return changes;
    const done = await this.#commit(changes.value);
    return done.ok ? ok(viewAddress(this.#machine.at(address.value)!, this.#settings.node)) : done;
  }
  async unreserve({ address: text }: { readonly address: string }): Answered<{ readonly found: boolean }> {
    const address = readAddress(text);
    if (!address.ok) return address;
    const changes = this.#machine.unreserve(address.value),
      done = await this.#commit(changes);
    return done.ok ? ok({ found: changes.length > 0 }) : done;
  }

  async checkAddresses({ repair = false }: { readonly repair?: boolean }): Answered<AddressCheckView> {
    const { links } = this.#options;
    if (links === undefined) return failed(noKernel);
    const world: CheckWorld = {
      records: [...this.#machine.records()],
      namespaces: await findNamespaces(),
      holds: (address) => this.#machine.placeOf(address) !== undefined,
    };
    const { checked, findings } = judgeAddresses(world);
    const told = [];
    for (const finding of findings) told.push({ ...finding, repaired: repair && (await this.#repair(finding)) });
    return ok({ checked, findings: told });
  }

  audit(): readonly AuditView[] {
    return this.#options.roaming.audit();
  }
  pools(): readonly PoolView[] {
    return this.#settings.pools.map((pool) =>
      viewPool(
        pool,
        this.#machine.pools().find(({ name }) => name === pool.name),
        this.#machine,
        this.#mtu(pool.name),
      ),
    );
  }
  readiness(): { readonly ready: boolean; readonly reasons: readonly string[] } {
    const reasons = this.#options.links === undefined ? [noKernel.text] : [];
    const held = this.#machine.pools().filter(({ cidr }) => cidr !== undefined);
    if (held.length === 0) reasons.push("this node holds no CIDR of any pool yet; podway leases says why");
    return { ready: reasons.length === 0, reasons };
  }

  get #machine(): PodBook["machine"] {
    return this.#options.book.machine;
  }
  readonly #now = (): number => this.#options.wallSeconds();
  #commit(changes: readonly PodChange[]): Promise<Outcome<void>> {
    return this.#options.book.commit([...changes, ...this.#machine.lapse(this.#now())]);
  }
  #pool(name: string): PoolSettings | undefined {
    return this.#settings.pools.find((pool) => pool.name === name);
  }
  #mtu(pool: string): number {
    return mtuOf(this.#pool(pool), { mtu: this.#uplinkMtu, family: familyOf(this.#settings.address) });
  }
  #configure(): void {
    this.#machine.configure(
      this.#settings.pools.map((pool) => podPool(pool, this.#known(pool.name), (namespace) => this.#options.elsewhere(pool.name, namespace))),
    );
  }

  /** The CIDR held in a pool, once all is known that was handed out of it before. */
  #known(pool: string): Prefix | undefined {
    const cidr = this.#own.get(pool)?.cidr;
    if (cidr === undefined) return undefined;
    let state = this.#former.get(cidr);
    if (state === undefined) {
      const isKnown = [...this.#machine.records()].some((record) => record.cidr === cidr);
      this.#former.set(cidr, (state = isKnown ? "known" : "asked"));
      if (!isKnown) void this.#options.former(pool, cidr).then((indexes) => this.#adopt(pool, cidr, indexes));
    }
    return state === "known" ? cidr : undefined;
  }
  async #adopt(pool: string, cidr: Prefix, indexes: readonly number[]): Promise<void> {
    this.#former.set(cidr, "known");
    this.#configure();
    const why = {
      reason: "it was in use before this node lost its journal; podway ip check says whether it still is",
      at: this.#now(),
      seconds: partLimits.formerSeconds,
    };
    await this.#commit(this.#machine.quarantineIndexes(pool, indexes, why));
  }

  /** One request of a container's interface after another. */
  async #inTurn<T>(asked: AttachmentKey, work: (key: PodKey) => Answered<T>): Answered<T> {
    const key = readKey(asked);
    if (!key.ok) return key;
    const name = `${key.value.containerId} ${key.value.ifname}`,
      before = this.#turns.get(name);
    const turn = before === undefined ? work(key.value) : before.then(() => work(key.value));
    const quiet = turn.catch(() => undefined);
    this.#turns.set(name, quiet);
    try {
      return await turn;
    } catch (cause) {
      if (cause instanceof FaultError) return failed(cause.fault);
      throw cause;
    } finally {
      if (this.#turns.get(name) === quiet) this.#turns.delete(name);
    }
  }

  /** Addresses for a request, written. */
  async #take(request: AllocateRequest, link: PodRequest["link"]): Answered<readonly PodRecord[]> {
    const read = readAllocation(request);
    if (!read.ok) return read;
    const pools = choosePools(this.#settings.pools, request.pools, read.value);
    if (!pools.ok) return pools;
    // What this container has already needs nobody's word.
    const isHad = this.#machine.of(read.value).length > 0;
    const brought = isHad ? ok(nothingBrought) : await this.#options.roaming.bring(read.value, pools.value);
    if (!brought.ok) return brought;
    try {
      const lapsed = this.#machine.lapse(this.#now()),
        wanted = { ...read.value, pools: pools.value, claimed: brought.value.claimed, ...(link !== undefined && { link }) };
      const granted = this.#machine.allocate(wanted, this.#now());
      const written = await this.#options.book.commit([...lapsed, ...(granted.ok ? granted.value.changes : [])]);
      if (!granted.ok) return granted;
      return written.ok ? ok(granted.value.records) : written;
    } finally {
      brought.value.done();
    }
  }

  async #attach(key: PodKey, request: AttachRequest): Answered<AttachmentView> {
    const { links } = this.#options;
    if (links === undefined) return failed(noKernel);
    const had = this.#machine.of(key);
    if (had.length > 0 && had[0]!.link?.netns === (request.netns ?? null)) {
      const view = viewAttachment(this.#settings.pools, had);
      // A daemon that was killed may have left half of it.
      if ((await findDifferences(links, view, {})).length === 0) return ok(view);
    }
    const mtu = request.mtu ?? this.#mtu(had[0]?.pool ?? request.pools?.[0] ?? this.#settings.pools[0]?.name ?? "");
    const link = readLink(request, mtu);
    if (!link.ok) return link;
    const taken = this.#options.ports.claim(key, link.value.ports);
    if (taken !== undefined) return failed(taken);
    const records = await this.#takeUnused(links, request, link.value);
    if (!records.ok) return records;
    const view = viewAttachment(this.#settings.pools, records.value);
    const fault = await this.#link(links, view, records.value);
    if (fault === undefined) return ok(view);
    await this.#detach(key);
    return failed(fault);
  }

  /** Addresses nobody else on this machine is reached by: another program's pod may sit on one. */
  async #takeUnused(links: PodLinks, request: AttachRequest, link: NonNullable<PodRequest["link"]>): Answered<readonly PodRecord[]> {
    for (let attempt = 0; attempt < partLimits.foreign; attempt++) {
      const records = await this.#take(request, link);
      if (!records.ok) return records;
      const foreign: { readonly address: Ip; readonly device: string }[] = [];
      for (const { address } of records.value) {
        // One that came from another node may still be routed there.
        const device = this.#options.roaming.isOurs(address) ? undefined : await links.wayTo(address);
        if (device !== undefined && device !== linkNames(request).hostDevice) foreign.push({ address, device });
      }
      if (foreign.length === 0) return records;
      const reason = (device: string): string => `this node reaches it by ${device}, which is not a pod's link of Podway`;
      const changes = foreign.flatMap(({ address, device }) => this.#machine.quarantine(address, reason(device), this.#now(), partLimits.quarantineSeconds));
      const done = await this.#commit([...changes, ...this.#machine.releaseKey(request, this.#now())]);
      if (!done.ok) return done;
      const isAsked = request.addresses !== undefined && request.addresses.length > 0;
      if (isAsked) return failed(callerFault("ipam.taken", `${foreign[0]!.address} is in use: ${reason(foreign[0]!.device)}`));
    }
    return failed(worldFault("ipam.try-later", `the ${partLimits.foreign} addresses tried are all in use by others; podway ip check lists them`));
  }

  #link(links: PodLinks, view: AttachmentView, records: readonly PodRecord[]): Promise<Fault | undefined> {
    return makePodLink({ ...this.#options, links }, view, records, () => {
      for (const record of records) this.#route(record);
      this.#options.routing.want(new Map(this.#routes));
    });
  }

  async #detach(key: PodKey): Answered<{ readonly found: boolean }> {
    const records = this.#machine.of(key);
    for (const { address } of records) this.#routes.delete(address);
    if (records.length > 0) this.#options.routing.want(new Map(this.#routes));
    const { links } = this.#options,
      hasLink = records.length === 0 || records[0]!.link !== undefined;
    const removed = hasLink && links !== undefined ? await links.remove(linkNames(key).hostDevice) : false;
    const done = await this.#commit(this.#machine.releaseKey(key, this.#now()));
    this.#options.ports.follow(key, this.#machine.of(key));
    return done.ok ? ok({ found: removed || records.length > 0 }) : done;
  }

  #route(record: PodRecord): void {
    if (record.state === "used" && record.link !== undefined) this.#routes.set(record.address, linkNames(record as PodKey).hostDevice);
  }

  async #repair({ kind, address }: { readonly kind: string; readonly address: string | null }): Promise<boolean> {
    const record = address === null ? undefined : this.#machine.at(address as Ip);
    if (kind === "leak" && record?.containerId !== undefined && record.ifname !== undefined)
      return (await this.detach({ containerId: record.containerId, ifname: record.ifname })).ok;
    if (kind !== "unknown" || address === null) return false;
    const reason = "it is in use in a namespace that has no allocation of it";
    return (await this.#commit(this.#machine.quarantine(address as Ip, reason, this.#now(), partLimits.quarantineSeconds))).ok;
  }
}

const noKernel = worldFault("ipam.try-later", "this daemon programs no kernel here: it is a reflector, or runs without the right to");
