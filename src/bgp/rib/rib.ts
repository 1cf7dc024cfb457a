/**
 * The routing information base of one speaker: Adj-RIBs-In, decision, Loc-RIB, Adj-RIBs-Out of all its peers.
 * A machine: sessions and UPDATEs come in, `step` decides in slices, `pull` gives a peer what it is owed.
 *
 * Graceful restart (RFC 4724): a path of an earlier session is stale by its epoch. It stays until the peer's End-of-RIB,
 * until a deadline, or until the peer comes back without having kept its forwarding state for that family.
 */
import type { Ip } from "#base/ip.ts";
import { familyOf, ipBytes } from "#base/ip.ts";
import { note, type Note } from "#base/note.ts";
import { type Prefix, prefixFamily, prefixParts } from "#base/prefix.ts";
import type { PolicySettings } from "#base/policy-settings.ts";
import type { PathCount, SessionSettings } from "#base/settings.ts";
import { after, type Instant, millis, sooner } from "#base/time.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { refreshSubtype } from "#wire/bgp/constants.ts";
import { encodeRouteRefresh } from "#wire/bgp/message.ts";
import { explainPlace, type PolicyParts } from "../policy/compiled-policies.ts";
import { PolicyBook } from "../policy/policy-book.ts";
import { exportEdge, openEdge } from "../reflector/edge.ts";
import { Exporter } from "../reflector/export.ts";
import { Packer } from "../reflector/pack.ts";
import { type GroupParts, type Marks, UpdateGroup } from "../reflector/update-group.ts";
import { Window } from "../reflector/window.ts";
import { type FamilyIndex, ipv4Unicast, ipv6Unicast, type NotificationFault, type SessionEnd, type SessionTerms } from "../terms.ts";
import { mostPathsOfPeer, none } from "./adj-rib-in.ts";
import { AttributeTable } from "./attributes.ts";
import { Deferral } from "./deferral.ts";
import { importEdge } from "./import-edge.ts";
import { ImportFilters } from "./import-filters.ts";
import { Ingest, type Malformed, type Treatments } from "./ingest.ts";
import { LocRib } from "./loc-rib.ts";
import { MalformedUpdates, prefixesOf, wholeUpdate } from "./malformed.ts";
import { OriginCheck } from "./origin-check.ts";
import { NextHops } from "./next-hops.ts";
import { localPeer, ownPathId, PeerTable, type Role, roleExternal, roleLocal, roleMonitor, roleNumber } from "./peer-table.ts";
import { PrefixLimits } from "./prefix-limits.ts";
import { Resolution } from "./resolution.ts";
import type { Self } from "./scan.ts";
import { type Expiry, StalePaths } from "./stale.ts";
import { type Tolerance, toleranceOf } from "./tolerance.ts";

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

/** Key of the group of those who read the Loc-RIB. */
const monitors = "monitors";

/** Peers for whom a change of settings is not done yet. */
export interface Reconfigured {
  /** Their routes must be asked for again (RFC 2918). */
  readonly ask: readonly number[];
  /** Their sessions must begin anew. */
  readonly reset: readonly number[];
}

/** What the log says of times that are over (stale.ts). */
const expiries: Readonly<Record<Expiry, readonly [event: string, text: string]>> = {
  gone: ["bgp.stale-expired", "the time to keep its routes while it restarts is over; what it has not announced again is withdrawn (RFC 4724 §4.2)"],
  "long-lived": ["bgp.long-lived-stale", "it has not come back in its restart time; its routes stay, as the last to use (LLGR_STALE, RFC 9494 §4.2)"],
  refresh: ["bgp.refresh-unended", "it began a refresh and did not end it in time; what it has not told again is withdrawn (RFC 7313 §4)"],
};

const noTreatments: Treatments = new Map();
/** What became of a malformed UPDATE, for people. */
const becameOf = {
  discard: "its routes were kept without the bad attribute",
  withdraw: "its routes were withdrawn",
  reset: "the session was reset for it",
} as const;

/** How messages to a peer are written, as the OPENs agreed. */
interface MessageForm {
  readonly fourOctetAs: boolean;
  /** Up to 65,535 octets (RFC 8654). */
  readonly extended: boolean;
  /** RFC 7911. */
  readonly paths: PathCount;
  /** RFC 8950; IPv4 alone. */
  readonly ipv6NextHop: boolean;
}

function messageForm(family: FamilyIndex, terms: SessionTerms): MessageForm {
  const paths = terms.addPath?.find((one) => one.family === family)?.send ?? 0;
  const ipv6NextHop = family === ipv4Unicast && terms.extendedNextHop === true;
  return { fourOctetAs: terms.fourOctetAs, extended: terms.extendedMessages, paths, ipv6NextHop };
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
  readonly #filters: ImportFilters;
  readonly #tolerances = new Map<number, Tolerance>();
  readonly #prefixLimits = new PrefixLimits(this.peers);
  readonly #treatments = new Map<number, Treatments>();
  readonly policies: PolicyBook;
  /** By whom pod CIDRs are taken: nobody is asked until it is told who holds what. */
  readonly origins: OriginCheck;
  readonly #groups: readonly [Map<string, UpdateGroup>, Map<string, UpdateGroup>] = [new Map(), new Map()];
  /** Prefixes we originate. */
  readonly #own: readonly [Set<number>, Set<number>] = [new Set(), new Set()];
  readonly #groupOf: readonly [Map<number, UpdateGroup>, Map<number, UpdateGroup>] = [new Map(), new Map()];
  readonly #session = new Map<number, SessionSettings>();
  readonly #packers = new Map<string, Packer>();
  readonly #window: Window;
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
    this.#filters = new ImportFilters(this.policies, this.importParts);
    this.ribs = [new LocRib(ipv4Unicast, this.attributes, this.peers), new LocRib(ipv6Unicast, this.attributes, this.peers)];
    this.origins = new OriginCheck({ attributes: this.attributes, peers: this.peers, ribs: this.ribs });
    if (settings.resolvesNextHops === true) this.attributes.nextHops = new NextHops();
    this.#resolution = this.attributes.nextHops && new Resolution(this.ribs, this.attributes.nextHops);
    this.#stale = new StalePaths(this.peers, this.ribs, this.attributes);
    this.#window = new Window(this.attributes, this.peers);
    this.peers.role[localPeer] = roleLocal;
    this.peers.routerId[localPeer] = settings.routerId;
    this.peers.up[localPeer] = 1;
    this.peers.pathId[localPeer] = ownPathId;
    this.#ingest = new Ingest({
      attributes: this.attributes,
      peers: this.peers,
      ribs: this.ribs,
      filters: this.#filters.byPeer,
      origins: this.origins,
      treatments: this.#treatments,
      tolerances: this.#tolerances,
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
    this.#useImport(peer, terms, session);
    this.#useTreatments(peer, session);
    this.#stale.up(peer, terms, isSame, after(now, millis((session.gracefulRestart?.staleSeconds ?? 0) * 1000)));
    for (const family of terms.families) {
      const group = this.#group(family, terms, session);
      this.#groupOf[family].set(peer, group);
      group.join(peer);
    }
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
    this.#filters.use(peer, undefined);
    this.#tolerances.delete(peer);
    this.#treatments.delete(peer);
    this.#session.delete(peer);
    this.deferral.down(peer);
    this.#leaveGroups(peer);
  }

  #leaveGroups(peer: number): void {
    for (const groups of this.#groupOf) {
      groups.get(peer)?.leave(peer);
      groups.delete(peer);
    }
    this.#closeEmptyGroups();
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
        terms = this.peers.terms[peer]!;
      const judgedAnew = [isOther, this.#useImport(peer, terms, session), this.#useTreatments(peer, session)];
      if (!judgedAnew.includes(true)) continue;
      if (terms.routeRefresh) ask.push(peer);
      else reset.add(peer);
    }
    for (const family of [ipv4Unicast, ipv6Unicast] as const) this.#regroup(family);
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
        groups = [...this.#groups[rib.family].values()];
      for (let path = 0; path < adjRibIn.end; path++)
        if (adjRibIn.isUsed(path) && adjRibIn.peer[path] === peer) for (const group of groups) group.owe(adjRibIn.prefix[path]!);
    }
    return true;
  }

  /** A group whose members change alike is told anew in place, and others move. */
  #regroup(family: FamilyIndex): void {
    const groups = this.#groups[family];
    for (const [key, group] of Array.from(groups)) {
      if (key === monitors) continue;
      const members = [...group.members.keys()].map((peer) => ({ peer, terms: this.peers.terms[peer]!, session: this.#session.get(peer)! }));
      const keys = members.map(({ terms, session }) => this.#groupKey(family, terms, session)),
        next = keys[0];
      if (next === undefined || keys.every((each) => each === key)) continue;
      const isOtherRole = roleNumber(members[0]!.terms.role) !== group.role;
      if (isOtherRole || groups.has(next) || keys.some((each) => each !== next)) {
        for (const { peer, terms, session } of members.filter((_, i) => keys[i] !== key)) this.#moveTo(family, this.#group(family, terms, session), peer);
        continue;
      }
      groups.delete(key);
      groups.set(next, group);
      group.retell(this.makeExporter(family, members[0]!.terms, members[0]!.session));
    }
    this.#closeEmptyGroups();
  }
  #moveTo(family: FamilyIndex, group: UpdateGroup, peer: number): void {
    const from = this.#groupOf[family].get(peer)!;
    if (group === from) return;
    group.take(peer, from, this.#marks(peer, family));
    this.#groupOf[family].set(peer, group);
  }
  #marks(peer: number, family: FamilyIndex): Marks {
    const enhanced = this.peers.terms[peer]!.enhancedRefresh,
      mark = (subtype: 1 | 2): Uint8Array | undefined => (enhanced ? encodeRouteRefresh({ afi: family + 1, safi: 1, subtype }) : undefined);
    return { first: mark(refreshSubtype.begin), last: mark(refreshSubtype.end) };
  }

  /**
   * A reader of the Loc-RIB (RFC 9069): told every chosen path as it stands, then End-of-RIB, then what changes. `pull` gives it
   * UPDATEs as it gives peers theirs. `reader`: a peer id that no peer has.
   */
  watch(reader: number): void {
    for (const rib of this.ribs) {
      let group = this.#groups[rib.family].get(monitors);
      if (!group) {
        const family = rib.family === ipv4Unicast ? 4 : 6;
        const exporter = new Exporter({ to: roleMonitor, family, self: undefined, edge: openEdge, policy: undefined }, this.attributes);
        group = this.#makeGroup(rib, roleMonitor, exporter, { fourOctetAs: true, extended: true, paths: 0, ipv6NextHop: true });
        this.#groups[rib.family].set(monitors, group);
      }
      this.#groupOf[rib.family].set(reader, group);
      group.join(reader);
    }
  }
  unwatch(reader: number): void {
    this.#leaveGroups(reader);
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
      const { first, last } = this.#marks(peer, family);
      this.#groupOf[family].get(peer)?.refresh(peer, first, last);
    } else if (subtype === 1) this.#stale.beginRefresh(peer, family, now);
    else if (subtype === 2) this.#stale.endRefresh(peer, family);
  }

  /** Announces a prefix of our own; the next hop defaults to this node. Without one of the family it is not announced, and a note says so. */
  originate(prefix: Prefix, values: PathAttributes = {}): void {
    const family: FamilyIndex = prefixFamily(prefix) === 4 ? ipv4Unicast : ipv6Unicast,
      rib = this.ribs[family];
    const self = family === ipv4Unicast ? this.#settings.address : this.#settings.address6;
    const hop = values.nextHop ?? (self && ipBytes(self));
    if (!hop || (hop.length === 4) !== (family === ipv4Unicast)) {
      this.#notes.push(note("error", "bgp.no-next-hop", "a prefix of ours is not announced: this node has no address of its family", { prefix }));
      return;
    }
    const base: PathAttributes = { origin: 0, asPath: [], localPref: 100, ...values };
    const set = hop.length === 4 ? this.attributes.internValues({ ...base, nextHop: hop }, undefined) : this.attributes.internValues(base, hop);
    const { bytes, length } = prefixParts(prefix);
    const id = rib.prefixes.intern(bytes, 0, length);
    rib.put(id, localPeer, set);
    this.attributes.drop(set);
    this.#own[family].add(id);
    this.#tellNow(rib, id);
  }
  withdrawOwn(prefix: Prefix): void {
    const rib = this.ribs[prefixFamily(prefix) === 4 ? 0 : 1],
      id = rib.prefixes.findText(prefix);
    if (id < 0 || !rib.withdraw(id, localPeer)) return;
    this.#own[rib.family].delete(id);
    this.#tellNow(rib, id);
  }
  /**
   * What is our own is told while the selection after a restart is deferred, too: nobody else can tell it, and should we end again
   * before our End-of-RIB, it is of the session that ended, which peers keep for the next (RFC 4724 §4.2).
   */
  #tellNow(rib: LocRib, prefix: number): void {
    if (!this.deferral.isDeferring(this.#now)) return;
    rib.settle(prefix); // it stays dirty for those who are told later
    for (const group of this.#groups[rib.family].values()) group.oweNow(prefix);
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
      const groups = [...this.#groups[rib.family].values()];
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
      const group = this.#groupOf[(n ^ this.#turn) as FamilyIndex].get(peer);
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
    let due = sooner(this.#stale.nextDeadline(), this.deferral.nextDeadline());
    for (const groups of this.#groups) for (const group of groups.values()) due = sooner(due, group.nextDeadline());
    return due;
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
    return this.peers.holds(peer) === 0 && !this.#stale.isSweeping(peer) && !this.#groupOf.some((groups) => groups.has(peer));
  }
  /** True if the peer is up and has sent End-of-RIB for every family of its session. */
  hasToldAll(peer: number): boolean {
    return this.peers.up[peer] === 1 && this.#stale.hasToldAll(peer);
  }
  /** True if the peer is up and was given our End-of-RIB for every family of its session, and nothing again since. */
  wasToldAll(peer: number): boolean {
    return this.peers.up[peer] === 1 && this.#groupOf.every((groups) => groups.get(peer)?.hasToldAll(peer) ?? true);
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
    return this.#groupOf.reduce((sum, groups) => sum + (groups.get(peer)?.messagesTo(peer) ?? 0), 0);
  }
  /** Which peers announced a prefix and which rule of their import policies refused it, as far as that is remembered (policy/refusals.ts). */
  refusalsOf(prefix: Prefix): readonly { readonly peer: number; readonly text: string }[] {
    const { bytes, length } = prefixParts(prefix),
      family = bytes.length === 4 ? ipv4Unicast : ipv6Unicast;
    return this.#filters.refusals
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
    const place = this.#groupOf[family].get(peer)?.placeOf(prefix, rib.adjRibIn.attributes[path]!, { role, peer: source });
    return place === undefined ? undefined : explainPlace(this.policies.named(names), place);
  }
  groupOf(peer: number, family: FamilyIndex): UpdateGroup | undefined {
    return this.#groupOf[family].get(peer);
  }
  groups(family: FamilyIndex): Iterable<UpdateGroup> {
    return this.#groups[family].values();
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
    for (let i = 0; i < count - told; i++) if (rib.adjRibIn.head[stood[i]!] === none) this.#forget(rib, stood[i]!);
    if (groups.length === 0) for (let i = 0; i < told; i++) if (rib.bestOf(block[i]!) === none) this.#forget(rib, block[i]!);
    return count;
  }

  /** Gives a prefix id back if nothing refers to it any more. */
  #forget(rib: LocRib, prefix: number): void {
    if (!rib.prefixes.isLive(prefix) || rib.adjRibIn.head[prefix] !== none || rib.dirty.has(prefix)) return;
    if (this.origins.keeps(rib.family, prefix)) return;
    for (const group of this.#groups[rib.family].values()) if (group.holds(prefix)) return;
    rib.prefixes.release(prefix);
  }

  /** `#forget` for the first `count` of some prefixes; their array is made use of. */
  #forgetAll(rib: LocRib, prefixes: Uint32Array, count: number): void {
    const groups = [...this.#groups[rib.family].values()];
    let gone = 0;
    for (let i = 0; i < count; i++) {
      const prefix = prefixes[i]!;
      if (rib.adjRibIn.head[prefix] !== none || rib.dirty.has(prefix)) continue;
      let isHeld = this.origins.keeps(rib.family, prefix);
      for (let g = 0; g < groups.length && !isHeld; g++) isHeld = groups[g]!.holds(prefix);
      if (!isHeld) prefixes[gone++] = prefix;
    }
    rib.prefixes.releaseAll(prefixes, gone);
  }

  /** Our next hop towards a peer, if we have one of the family. */
  #self(family: FamilyIndex, terms: SessionTerms): Ip | undefined {
    const wanted = family === ipv4Unicast ? 4 : 6,
      own = wanted === 4 ? this.#settings.address : this.#settings.address6;
    const mayBe6 = family === ipv4Unicast && terms.extendedNextHop === true;
    // over IPv6 the neighbour reaches that address of ours, and perhaps no other (RFC 8950)
    if (terms.role === "external" && (familyOf(terms.local) === wanted || mayBe6)) return terms.local;
    if (own && familyOf(own) === wanted) return own;
    return mayBe6 ? [this.#settings.address6, own].find((one) => one !== undefined && familyOf(one) === 6) : undefined;
  }

  /** Peers with one key are told the same. */
  #groupKey(family: FamilyIndex, terms: SessionTerms, session: SessionSettings): string {
    const form = Object.values(messageForm(family, terms)).join();
    const edge = JSON.stringify(exportEdge(terms, session));
    const judged = session.export.length > 0 || terms.role === "external" ? `|${this.#self(family, terms) ?? ""}|${this.policies.keyOf(session.export)}` : "";
    return `${form}|${terms.role}|${edge}${judged}`;
  }

  /** What tells a peer of these terms its routes; with another book by the policies in there. The caller closes it. */
  // oxlint-disable-next-line max-params -- what an exporter is made of
  makeExporter(family: FamilyIndex, terms: SessionTerms, session: SessionSettings, book = this.policies): Exporter {
    const to = roleNumber(terms.role),
      self = this.#self(family, terms),
      way = to === roleExternal ? "export to outside" : "export";
    // RFC 8212: an external neighbour without policies is told nothing; an internal one everything.
    const policy = to === roleExternal || session.export.length > 0 ? book.compile(session.export, this.#policyParts(way, [self, self])) : undefined;
    return new Exporter({ to, family: family === ipv4Unicast ? 4 : 6, self, edge: exportEdge(terms, session), policy }, this.attributes);
  }

  /** What import policies are compiled with. */
  get importParts(): PolicyParts {
    return this.#policyParts("import", [this.#settings.address, this.#settings.address6]);
  }
  #policyParts(way: PolicyParts["way"], [four, six]: readonly [Ip | undefined, Ip | undefined]): PolicyParts {
    return { attributes: this.attributes, peers: this.peers, way, self: [four && ipBytes(four), six && ipBytes(six)] };
  }

  #group(family: FamilyIndex, terms: SessionTerms, session: SessionSettings): UpdateGroup {
    const key = this.#groupKey(family, terms, session),
      known = this.#groups[family].get(key);
    if (known) return known;
    const group = this.#makeGroup(this.ribs[family], roleNumber(terms.role), this.makeExporter(family, terms, session), messageForm(family, terms));
    this.#groups[family].set(key, group);
    if (this.deferral.isDeferring(this.#now)) for (const prefix of this.#own[family]) this.#tellNow(this.ribs[family], prefix);
    return group;
  }

  // oxlint-disable-next-line max-params -- what a group is made of
  #makeGroup(rib: LocRib, role: Role, exporter: Exporter, form: MessageForm): UpdateGroup {
    const parts: GroupParts = {
      rib,
      attributes: this.attributes,
      peers: this.peers,
      packer: this.#packer(form),
      window: this.#window,
      paths: form.paths,
      takesIpv6NextHop: form.ipv6NextHop,
      forget: (prefix) => this.#forget(rib, prefix),
      forgetAll: (prefixes, count) => this.#forgetAll(rib, prefixes, count),
      tooLong: (prefix, count) => this.#sayTooLong(rib.prefixes.text(prefix), count),
      isSweeping: (peer) => this.#stale.isSweeping(peer),
      lagLimitOctets: this.#settings.lagLimitOctets,
    };
    return new UpdateGroup(role, exporter, parts);
  }

  #packer({ fourOctetAs, extended }: MessageForm): Packer {
    const key = `${fourOctetAs} ${extended}`,
      made = this.#packers.get(key) ?? new Packer(this.attributes, fourOctetAs, extended);
    this.#packers.set(key, made);
    return made;
  }

  #closeEmptyGroups(): void {
    for (const [family, groups] of this.#groups.entries())
      for (const [key, group] of groups) {
        if (group.members.size > 0) continue;
        groups.delete(key);
        group.close();
        const rib = this.ribs[family]!;
        for (let prefix = 0; prefix < rib.prefixes.end; prefix++) if (rib.adjRibIn.head[prefix] === none) this.#forget(rib, prefix);
      }
  }

  /** True if the peer's policies are not those it had. */
  #useImport(peer: number, terms: SessionTerms, session: SessionSettings): boolean {
    const names = terms.role === "external" || session.import.length > 0 ? session.import : undefined;
    const tolerance = toleranceOf(session),
      before = this.#tolerances.get(peer);
    if (tolerance) this.#tolerances.set(peer, tolerance);
    else this.#tolerances.delete(peer);
    const isOther = before?.ownAs !== tolerance?.ownAs || before?.anyFirstAs !== tolerance?.anyFirstAs;
    return this.#filters.use(peer, names, importEdge(session)) || isOther;
  }
  /** True if what is done to the peer's attributes is not what it was. */
  #useTreatments(peer: number, { attributes = [] }: SessionSettings): boolean {
    const before = this.#treatments.get(peer) ?? noTreatments,
      next = new Map(attributes.map(({ type, treatment }) => [type, treatment]));
    if (next.size > 0) this.#treatments.set(peer, next);
    else this.#treatments.delete(peer);
    return before.size !== next.size || [...next].some(([type, treatment]) => before.get(type) !== treatment);
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
    const { first, count } = prefixesOf(octets, (afi) =>
      afi === 1 || afi === 2 ? this.#ingest.formOf(peer, afi === 1 ? ipv4Unicast : ipv6Unicast) : undefined,
    );
    this.malformed.take(remote, { at: this.#now, treatment: cost, text, attributes, prefixes: first, prefixCount: count, octets });
    const named = `${first.join(" ")}${count > first.length ? ` and ${count - first.length} more` : ""}`,
      fields = { treatment: cost, prefixes: named };
    const said = `an UPDATE was malformed and ${becameOf[cost]} (RFC 7606): ${text}; podway peers errors has the message`;
    this.#notes.push(note("warn", "bgp.malformed", said, { peer: remote, fields }));
  }

  #note(level: Note["level"], event: string, text: string, peer: number): void {
    this.#notes.push(note(level, event, text, { peer: this.peers.terms[peer]?.remote ?? String(peer) }));
  }
}
