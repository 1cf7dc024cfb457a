/**
 * The routing information base of one speaker: Adj-RIBs-In, decision, Loc-RIB, Adj-RIBs-Out of all its peers.
 * A machine: sessions and UPDATEs come in, `step` decides in slices, `pull` gives a peer what it is owed.
 *
 * Graceful restart (RFC 4724): a path of an earlier session is stale by its epoch. It stays until the peer's End-of-RIB,
 * until a deadline, or until the peer comes back without having kept its forwarding state for that family.
 */
import type { Ip } from "#base/ip.ts";
import { ipBytes } from "#base/ip.ts";
import { note, type Note } from "#base/note.ts";
import { type Prefix, prefixParts } from "#base/prefix.ts";
import type { PolicySettings } from "#base/policy-settings.ts";
import type { SessionSettings } from "#base/settings.ts";
import { after, type Instant, millis, sooner } from "#base/time.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { explainPlace, type PolicyParts } from "../policy/compiled-policies.ts";
import { PolicyBook } from "../policy/policy-book.ts";
import { Groups } from "../reflector/groups.ts";
import type { UpdateGroup } from "../reflector/update-group.ts";
import { type FamilyIndex, ipv4Unicast, ipv6Unicast, type NotificationFault, type SessionEnd, type SessionTerms } from "../terms.ts";
import { mostPathsOfPeer, none } from "./adj-rib-in.ts";
import { AttributeTable } from "./attributes.ts";
import { Deferral } from "./deferral.ts";
import { ImportRules } from "./import-rules.ts";
import { Ingest, type Malformed } from "./ingest.ts";
import { LocRib } from "./loc-rib.ts";
import { MalformedUpdates, noteOfMalformed, prefixesOf, wholeUpdate } from "./malformed.ts";
import { OriginCheck } from "./origin-check.ts";
import { NextHops } from "./next-hops.ts";
import { OwnRoutes } from "./own-routes.ts";
import { localPeer, ownPathId, PeerTable, type Role, roleLocal, roleNumber } from "./peer-table.ts";
import { PrefixLimits } from "./prefix-limits.ts";
import { Resolution } from "./resolution.ts";
import type { Self } from "./scan.ts";
import { expiries, StalePaths } from "./stale.ts";

export interface RibSettings extends Omit<Self, "addresses"> {
  readonly address: Ip;
  readonly address6: Ip | undefined;
  readonly policies: Readonly<Record<string, PolicySettings>>;
  /** True: a path counts only while somebody says that its next hop can be reached (`resolveNextHops`). */
  readonly resolvesNextHops?: boolean;
  /** True if `takeChanges` is wanted: costs a text per changed prefix. */
  readonly observes: boolean;
  /** How far a peer may fall behind the others of its update group; by default update-group.ts says. */
  readonly lagLimitOctets?: number;
}

/** Prefixes decided in one go. */
const blockPrefixes = 512;

/** Peers for whom a change of settings is not done yet. */
export interface Reconfigured {
  /** Their routes must be asked for again (RFC 2918). */
  readonly ask: readonly number[];
  /** Their sessions must begin anew. */
  readonly reset: readonly number[];
}

const tooManyPaths = `the peer announced more than the ${mostPathsOfPeer} paths of one prefix it may (RFC 7911); further ones are refused and counted`;

export class Rib {
  readonly attributes: AttributeTable;
  readonly peers = new PeerTable();
  readonly ribs: readonly [LocRib, LocRib];
  readonly deferral = new Deferral();
  readonly malformed = new MalformedUpdates();
  readonly #settings: RibSettings;
  readonly #stale: StalePaths;
  readonly #resolution: Resolution | undefined;
  readonly #ingest: Ingest;
  readonly #rules: ImportRules;
  readonly #prefixLimits = new PrefixLimits(this.peers);
  readonly policies: PolicyBook;
  /** By whom pod CIDRs are taken: nobody is asked until it is told who holds what. */
  readonly origins: OriginCheck;
  /** Who is told what. */
  readonly groups: Groups;
  readonly #own: OwnRoutes;
  readonly #session = new Map<number, SessionSettings>();
  #changes = new Set<Prefix>();
  #notes: Note[] = [];
  #now = 0 as Instant;
  #steps = 0;
  /** How often a route was not told for want of room in a message (RFC 8654 §4), since we run. */
  tooLong = 0;
  #turn = 0;
  /** What is decided now: of these others are told, of those not. */
  readonly #block = new Uint32Array(blockPrefixes);
  readonly #stood = new Uint32Array(blockPrefixes);

  constructor(settings: RibSettings) {
    this.#settings = settings;
    this.policies = new PolicyBook(settings.policies);
    const { asn, routerId, clusterId, address, address6 } = settings;
    this.attributes = new AttributeTable({ asn, routerId, clusterId, addresses: [address, address6].filter((ip) => ip !== undefined).map(ipBytes) });
    this.#rules = new ImportRules(this.policies, this.importParts);
    this.ribs = [new LocRib(ipv4Unicast, this.attributes, this.peers), new LocRib(ipv6Unicast, this.attributes, this.peers)];
    this.origins = new OriginCheck({ attributes: this.attributes, peers: this.peers, ribs: this.ribs });
    if (settings.resolvesNextHops === true) this.attributes.nextHops = new NextHops();
    this.#resolution = this.attributes.nextHops && new Resolution(this.ribs, this.attributes.nextHops);
    this.#stale = new StalePaths(this.peers, this.ribs, this.attributes);
    const { attributes, peers, ribs, policies } = this,
      { lagLimitOctets } = settings;
    const tables = { attributes, peers, ribs, policies, address, address6, lagLimitOctets };
    this.groups = new Groups({
      ...tables,
      keeps: (family, prefix) => this.origins.keeps(family, prefix),
      isSweeping: (peer) => this.#stale.isSweeping(peer),
      opened: (family) => this.#own.tellOpened(family),
      tooLong: (prefix, count) => this.#sayTooLong(prefix, count),
    });
    const isDeferring = (): boolean => this.deferral.isDeferring(this.#now);
    this.#own = new OwnRoutes({ ribs, attributes, address, address6, isDeferring, groups: (family) => this.groups.all(family) });
    this.peers.role[localPeer] = roleLocal;
    this.peers.routerId[localPeer] = settings.routerId;
    this.peers.up[localPeer] = 1;
    this.peers.pathId[localPeer] = ownPathId;
    this.#ingest = new Ingest({
      attributes: this.attributes,
      peers: this.peers,
      ribs: this.ribs,
      filters: this.#rules.filters.byPeer,
      origins: this.origins,
      treatments: this.#rules.treatments,
      tolerances: this.#rules.tolerances,
      events: {
        endOfRib: (peer, family) => this.#endOfRib(peer, family),
        tooManyPaths: (peer) => this.#note("warn", "bgp.too-many-paths", tooManyPaths, peer),
        malformed: (peer, found, b, start, end) => this.#malformed(peer, found, wholeUpdate(b, start, end)),
      },
    });
  }

  up(peer: number, terms: SessionTerms, session: SessionSettings, now: Instant): void {
    this.#now = now;
    this.#ingest.begin(peer);
    const isSame = this.peers.open(peer, terms);
    this.#session.set(peer, session);
    this.#rules.use(peer, terms, session);
    this.#stale.up(peer, terms, isSame, after(now, millis((session.gracefulRestart?.staleSeconds ?? 0) * 1000)));
    this.groups.join({ peer, terms, session });
    this.deferral.up(peer, terms, now);
  }

  /** The session ended. With `retain` its paths stay, stale, for the restart time the peer stated. */
  down(peer: number, end: SessionEnd, now: Instant): void {
    this.#now = now;
    const terms = this.peers.terms[peer];
    if (!terms || this.peers.up[peer] === 0) return;
    this.peers.close(peer);
    this.#stale.down(peer, terms, end.retain, now);
    this.origins.down(peer);
    this.#rules.forget(peer);
    this.#session.delete(peer);
    this.deferral.down(peer);
    this.groups.leave(peer);
  }

  /** Policies by name, as they are from now on; `reconfigure` makes them count for sessions that run. */
  usePolicies(policies: Readonly<Record<string, PolicySettings>>): void {
    this.policies.use(policies);
  }

  /**
   * Settings of running sessions or the policies they name may have changed. What is told to others is told anew. Answers whose
   * routes must be asked for again (what a policy refused is not kept), and whose session must begin anew.
   */
  reconfigure(sessionOf: (peer: number) => SessionSettings | undefined): Reconfigured {
    const ask: number[] = [],
      reset = new Set<number>();
    for (const peer of this.#session.keys()) {
      const session = sessionOf(peer);
      if (!session || !this.peers.terms[peer] || this.peers.up[peer] === 0) continue;
      this.#session.set(peer, session);
      const isOther = this.#useRole(peer, session),
        terms = this.peers.terms[peer]!,
        isJudgedAnew = this.#rules.use(peer, terms, session);
      if (!isOther && !isJudgedAnew) continue;
      if (terms.routeRefresh) ask.push(peer);
      else reset.add(peer);
    }
    this.groups.regroup((peer) => ({ peer, terms: this.peers.terms[peer]!, session: this.#session.get(peer)! }));
    return { ask: ask.filter((peer) => !reset.has(peer)), reset: [...reset] };
  }

  /**
   * Client and non-client are what we call an internal peer: nothing of it was agreed upon in OPENs, so the session stays. Others are
   * told of its routes by the other rule from now on (RFC 4456 §6). True if it is another.
   */
  #useRole(peer: number, { role }: SessionSettings): boolean {
    const terms = this.peers.terms[peer]!;
    if (role === terms.role || role === "external" || terms.role === "external") return false;
    this.peers.terms[peer] = { ...terms, role };
    this.peers.role[peer] = roleNumber(role);
    for (const rib of this.ribs) {
      const { adjRibIn } = rib,
        groups = this.groups.all(rib.family);
      for (let path = 0; path < adjRibIn.end; path++)
        if (adjRibIn.isUsed(path) && adjRibIn.peer[path] === peer) for (const group of groups) group.owe(adjRibIn.prefix[path]!);
    }
    return true;
  }

  update(peer: number, bytes: Uint8Array, start: number, end: number): NotificationFault | undefined {
    const fault = this.#ingest.update(peer, bytes, start, end);
    if (fault) return fault;
    const session = this.#session.get(peer);
    if (session?.maxPrefixes === undefined) return undefined;
    const found = this.#prefixLimits.check(peer, session.maxPrefixes, session.prefixWarningPercent);
    if (found?.kind === "warning") this.#note("warn", "bgp.prefixes-near-limit", found.text, peer);
    return found?.kind === "fault" ? found.fault : undefined;
  }

  /** ROUTE-REFRESH: 0 asks for everything again, 1 and 2 enclose the peer's own telling again (RFC 7313). */
  refresh(peer: number, family: FamilyIndex, subtype: number, now: Instant): void {
    this.#now = now;
    if (!this.peers.speaks(peer, family)) return;
    if (subtype === 0) {
      const { first, last } = this.groups.marks(peer, family);
      this.groups.of(peer, family)?.refresh(peer, first, last);
    } else if (subtype === 1) this.#stale.beginRefresh(peer, family, now);
    else if (subtype === 2) this.#stale.endRefresh(peer, family);
  }

  /** Announces a prefix of our own; the next hop defaults to this node. Without one of the family it is not announced, and a note says so. */
  originate(prefix: Prefix, values: PathAttributes = {}): void {
    if (!this.#own.originate(prefix, values))
      this.#notes.push(note("error", "bgp.no-next-hop", "a prefix of ours is not announced: this node has no address of its family", { prefix }));
  }
  withdrawOwn(prefix: Prefix): void {
    this.#own.withdraw(prefix);
  }

  /** Decides up to `budget` prefixes. True if there is more to decide. */
  step(now: Instant, budget: number): boolean {
    this.#now = now;
    this.#expire(now);
    this.#stale.step();
    this.#resolution?.step();
    if (this.deferral.isDeferring(now)) return !this.#stale.isIdle;
    let left = Math.max(budget >> 1, budget - this.ribs[1].dirty.size); // neither family waits for the other
    for (const rib of this.ribs) {
      const groups = this.groups.all(rib.family);
      for (const group of groups) group.passDeadline(now);
      const most = Math.min(left, rib.dirty.size);
      for (let n = 0; n < most;) n += this.#settle(rib, most - n, groups);
      left = budget - most;
    }
    return this.ribs.some((rib) => rib.dirty.size > 0) || !this.#stale.isIdle || this.#resolution?.isIdle === false;
  }

  /** What next hops cost now, `unreachable` for those without a route; only with `resolvesNextHops`. `step` takes it to the routes. */
  resolveNextHops(costs: ReadonlyMap<Ip, number>): void {
    this.#resolution?.resolve(costs);
  }

  /** See UpdateGroup.pull. */
  pull(peer: number, room: number, now: Instant, give: (bytes: Uint8Array) => void): number {
    this.#now = now;
    const tells = !this.deferral.isDeferring(now);
    let given = 0;
    this.#turn ^= 1; // the family that comes first takes what room it needs
    for (let n = 0; n < 2; n++) {
      const group = this.groups.of(peer, (n ^ this.#turn) as FamilyIndex);
      if (!group || given >= room) continue;
      const before = group.steps;
      given += group.pull(peer, room - given, now, tells, give);
      this.#steps += group.steps - before;
    }
    return given;
  }

  /** Grows while `pull` gets something done, even where it gave no octets: then another round is worth while. */
  get steps(): number {
    return this.#steps;
  }

  nextDeadline(): Instant | undefined {
    return sooner(sooner(this.#stale.nextDeadline(), this.deferral.nextDeadline()), this.groups.nextDeadline());
  }

  /** Prefixes one of whose paths changed, the best or another, since the last call (only with `observes`). */
  takeChanges(): ReadonlySet<Prefix> {
    const changes = this.#changes;
    if (changes.size > 0) this.#changes = new Set();
    return changes;
  }
  takeNotes(): readonly Note[] {
    const notes = this.#notes;
    if (notes.length > 0) this.#notes = [];
    return notes;
  }

  isForgotten(peer: number): boolean {
    return this.peers.holds(peer) === 0 && !this.#stale.isSweeping(peer) && !this.groups.has(peer);
  }
  /** True if the peer is up and has sent End-of-RIB for every family of its session. */
  hasToldAll(peer: number): boolean {
    return this.peers.up[peer] === 1 && this.#stale.hasToldAll(peer);
  }
  /** True if the peer is up and was given our End-of-RIB for every family of its session, and nothing again since. */
  wasToldAll(peer: number): boolean {
    return this.peers.up[peer] === 1 && this.groups.hasToldAll(peer);
  }
  /** Prefixes a peer announced and that are not held: a loop, or refused by policy. Counted since its session began. */
  refusedOf(peer: number): number {
    return this.#ingest.refusedOf(peer);
  }
  /** Of those, paths of a prefix beyond the most a peer may announce under ADD-PATH. */
  overflowsOf(peer: number): number {
    return this.#ingest.overflowsOf(peer);
  }
  /** UPDATEs given to a peer since its session began. */
  updatesTo(peer: number): number {
    return this.groups.messagesTo(peer);
  }
  /** Which peers announced a prefix and which rule of their import policies refused it, as far as that is remembered (policy/refusals.ts). */
  refusalsOf(prefix: Prefix): readonly { readonly peer: number; readonly text: string }[] {
    const { bytes, length } = prefixParts(prefix),
      family = bytes.length === 4 ? ipv4Unicast : ipv6Unicast;
    return this.#rules.filters.refusals
      .of(family, bytes, length)
      .map(({ peer, place }) => ({ peer, text: explainPlace(this.policies.named(this.#session.get(peer)?.import ?? []), place) }));
  }
  /** Which rule of a peer's export policies decides about the chosen path of a prefix; undefined where no policy is asked. */
  explainExport(peer: number, family: FamilyIndex, prefix: number): string | undefined {
    const rib = this.ribs[family],
      path = rib.bestOf(prefix),
      names = this.#session.get(peer)?.export;
    if (path === none || !names) return undefined;
    const source = rib.adjRibIn.peer[path]!,
      role = this.peers.role[source]! as Role;
    const place = this.groups.of(peer, family)?.placeOf(prefix, rib.adjRibIn.attributes[path]!, { role, peer: source });
    return place === undefined ? undefined : explainPlace(this.policies.named(names), place);
  }
  /** Decides a block of what is dirty, at most `most`; answers how many. */
  #settle(rib: LocRib, most: number, groups: readonly UpdateGroup[]): number {
    const block = this.#block,
      stood = this.#stood,
      count = rib.dirty.take(block, most);
    // Also where the choice stands: a path as good as the chosen one may have come or gone.
    if (this.#settings.observes) for (let i = 0; i < count; i++) this.#changes.add(rib.prefixes.text(block[i]!));
    const told = rib.settleAll(block, count, stood);
    for (const group of groups) {
      group.oweAll(block, told);
      if (group.tellsPaths) group.oweAll(stood, count - told); // the best stands, another path came, went or changed
    }
    for (let i = 0; i < count - told; i++) if (rib.adjRibIn.head[stood[i]!] === none) this.groups.forget(rib, stood[i]!);
    if (groups.length === 0) for (let i = 0; i < told; i++) if (rib.bestOf(block[i]!) === none) this.groups.forget(rib, block[i]!);
    return count;
  }

  /** What import policies are compiled with. */
  get importParts(): PolicyParts {
    const { address, address6 } = this.#settings;
    return { attributes: this.attributes, peers: this.peers, way: "import", self: [ipBytes(address), address6 && ipBytes(address6)] };
  }

  #endOfRib(peer: number, family: FamilyIndex): void {
    this.#stale.endOfRib(peer, family);
    this.deferral.endOfRib(peer, family, this.#now);
  }

  #expire(now: Instant): void {
    for (const { peer, why } of this.#stale.expire(now)) this.#note("warn", ...expiries[why], peer);
  }

  #sayTooLong(prefix: Prefix, count: number): void {
    this.tooLong += count;
    const others = count > 1 ? ` and ${count - 1} more` : "";
    const text = `the attributes of a route leave no room for it in a message, so it is withdrawn${others} (RFC 8654 §4)`;
    this.#notes.push(note("warn", "bgp.too-long", text, { prefix }));
  }

  /** RFC 7606 §6: counted, kept whole, and told with the prefixes it was about. */
  #malformed(peer: number, { cost, faults }: Malformed, octets: Uint8Array): void {
    const { remote } = this.peers.terms[peer]!;
    if (faults.every((fault) => fault.configured)) return this.malformed.countConfigured(remote);
    const text = [...new Set(faults.map((fault) => fault.text))].join("; "),
      attributes = [...new Set(faults.map((fault) => fault.type))].toSorted((a, b) => a - b);
    const told = prefixesOf(octets, (afi) => (afi === 1 || afi === 2 ? this.#ingest.formOf(peer, afi === 1 ? ipv4Unicast : ipv6Unicast) : undefined));
    const found = { at: this.#now, treatment: cost, text, attributes, prefixes: told.first, prefixCount: told.count, octets };
    this.malformed.take(remote, found);
    this.#notes.push(noteOfMalformed(remote, found));
  }

  #note(level: Note["level"], event: string, text: string, peer: number): void {
    this.#notes.push(note(level, event, text, { peer: this.peers.terms[peer]?.remote ?? String(peer) }));
  }
}
