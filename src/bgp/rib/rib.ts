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
import type { PolicySettings, SessionSettings } from "#base/settings.ts";
import { after, type Instant, millis, sooner } from "#base/time.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { encodeRouteRefresh } from "#wire/bgp/message.ts";
import { peerFault } from "#wire/bgp/notification.ts";
import { compilePolicies } from "../policy.ts";
import { Exporter } from "../reflector/export.ts";
import { Packer } from "../reflector/pack.ts";
import { type GroupParts, UpdateGroup } from "../reflector/update-group.ts";
import { Window } from "../reflector/window.ts";
import { type FamilyIndex, ipv4Unicast, ipv6Unicast, type NotificationFault, type SessionEnd, type SessionTerms } from "../terms.ts";
import { none } from "./adj-rib-in.ts";
import { AttributeTable } from "./attributes.ts";
import { Deferral } from "./deferral.ts";
import { ImportFilters } from "./import-filters.ts";
import { Ingest } from "./ingest.ts";
import { LocRib } from "./loc-rib.ts";
import { localPeer, PeerTable, type Role, roleExternal, roleLocal, roleMonitor, roleNumber } from "./peer-table.ts";
import type { Self } from "./scan.ts";
import { StalePaths } from "./stale.ts";

export interface RibSettings extends Omit<Self, "addresses"> {
  readonly address: Ip;
  readonly address6: Ip | undefined;
  readonly policies: Readonly<Record<string, PolicySettings>>;
  /** True if `takeChanges` is wanted: costs a text per changed prefix. */
  readonly observes: boolean;
  /** How far a peer may fall behind the others of its update group; by default update-group.ts says. */
  readonly lagLimitOctets?: number;
}

/** Key of the group of those who read the Loc-RIB. */
const monitors = "monitors";

/** Peers for whom a change of settings is not done yet. */
export interface Reconfigured {
  /** Their routes must be asked for again (RFC 2918). */
  readonly ask: readonly number[];
  /** Their sessions must begin anew. */
  readonly reset: readonly number[];
}

export class Rib {
  readonly attributes: AttributeTable;
  readonly peers = new PeerTable();
  readonly ribs: readonly [LocRib, LocRib];
  readonly deferral = new Deferral();
  readonly #settings: RibSettings;
  readonly #stale: StalePaths;
  readonly #ingest: Ingest;
  readonly #filters: ImportFilters;
  #policies: Readonly<Record<string, PolicySettings>>;
  readonly #groups: readonly [Map<string, UpdateGroup>, Map<string, UpdateGroup>] = [new Map(), new Map()];
  readonly #groupOf: readonly [Map<number, UpdateGroup>, Map<number, UpdateGroup>] = [new Map(), new Map()];
  readonly #session = new Map<number, SessionSettings>();
  readonly #packers: { readonly four: Packer; readonly two: Packer };
  readonly #window: Window;
  #changes = new Set<Prefix>();
  #notes: Note[] = [];
  #now = 0 as Instant;
  #steps = 0;
  #turn = 0;

  constructor(settings: RibSettings) {
    this.#settings = settings;
    this.#policies = settings.policies;
    const { asn, routerId, clusterId, address, address6 } = settings;
    this.attributes = new AttributeTable({ asn, routerId, clusterId, addresses: [address, address6].filter((ip) => ip !== undefined).map(ipBytes) });
    this.#filters = new ImportFilters(this.attributes);
    this.ribs = [new LocRib(ipv4Unicast, this.attributes, this.peers), new LocRib(ipv6Unicast, this.attributes, this.peers)];
    this.#stale = new StalePaths(this.peers, this.ribs);
    this.#packers = { four: new Packer(this.attributes, true), two: new Packer(this.attributes, false) };
    this.#window = new Window(this.attributes, this.peers);
    this.peers.role[localPeer] = roleLocal;
    this.peers.routerId[localPeer] = settings.routerId;
    this.peers.up[localPeer] = 1;
    this.#ingest = new Ingest({
      attributes: this.attributes,
      peers: this.peers,
      ribs: this.ribs,
      filters: this.#filters.byPeer,
      events: {
        endOfRib: (peer, family) => this.#endOfRib(peer, family),
        malformed: (peer, treatment, text) =>
          this.#note(
            "warn",
            "bgp.malformed",
            `an UPDATE was malformed and its routes were ${treatment === "withdraw" ? "withdrawn" : "kept without the bad attribute"} (RFC 7606): ${text}`,
            peer,
          ),
      },
    });
  }

  up(peer: number, terms: SessionTerms, session: SessionSettings, now: Instant): void {
    this.#now = now;
    this.#ingest.begin(peer);
    const isSame = this.peers.open(peer, terms);
    this.#session.set(peer, session);
    this.#useImport(peer, terms, session);
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
    this.#filters.use(peer, undefined);
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
    this.#policies = policies;
  }

  /**
   * Settings of running sessions or the policies they name may have changed. What is told to others is told anew. Answers whose
   * routes must be asked for again (what a policy refused is not kept), and whose session must begin anew.
   */
  reconfigure(sessionOf: (peer: number) => SessionSettings | undefined): Reconfigured {
    const ask: number[] = [],
      reset = new Set<number>();
    for (const peer of this.#session.keys()) {
      const session = sessionOf(peer),
        terms = this.peers.terms[peer];
      if (!session || !terms || this.peers.up[peer] === 0) continue;
      this.#session.set(peer, session);
      if (!this.#useImport(peer, terms, session)) continue;
      if (terms.routeRefresh) ask.push(peer);
      else reset.add(peer);
    }
    for (const family of [ipv4Unicast, ipv6Unicast] as const) for (const peer of this.#regroup(family)) reset.add(peer);
    return { ask: ask.filter((peer) => !reset.has(peer)), reset: [...reset] };
  }

  /** A group whose members change alike is told anew in place. Answers the members of others that do not belong there any more. */
  #regroup(family: FamilyIndex): number[] {
    const groups = this.#groups[family],
      strays: number[] = [];
    for (const [key, group] of Array.from(groups)) {
      if (key === monitors) continue;
      const members = [...group.members.keys()].map((peer) => ({ peer, terms: this.peers.terms[peer]!, session: this.#session.get(peer)! }));
      const keys = members.map(({ terms, session }) => this.#groupKey(family, terms, session)),
        next = keys[0];
      if (next === undefined || keys.every((each) => each === key)) continue;
      if (groups.has(next) || keys.some((each) => each !== next)) {
        strays.push(...members.filter((_, i) => keys[i] !== key).map(({ peer }) => peer));
        continue;
      }
      groups.delete(key);
      groups.set(next, group);
      group.retell(this.#exporter(family, members[0]!.terms, members[0]!.session));
    }
    return strays;
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
        const exporter = new Exporter({ to: roleMonitor, family, self: undefined, nextHopSelf: false, policy: undefined }, this.attributes);
        group = this.#makeGroup(rib, roleMonitor, exporter, this.#packers.four);
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
    const most = this.#session.get(peer)?.maxPrefixes;
    // what an earlier session left and this one has not told again is on its way out, or will be told again
    if (most === undefined || this.peers.holds(peer) - this.peers.holdsOld(peer) <= most) return undefined;
    const data = Uint8Array.of(0, 1, 1, most >>> 24, (most >>> 16) & 255, (most >>> 8) & 255, most & 255);
    return peerFault(6, 1, `the peer announced more than the ${most} prefixes it may (maxPrefixes)`, data);
  }

  /** ROUTE-REFRESH: 0 asks for everything again, 1 and 2 enclose the peer's own telling again (RFC 7313). */
  refresh(peer: number, family: FamilyIndex, subtype: number, now: Instant): void {
    this.#now = now;
    if (!this.peers.speaks(peer, family)) return;
    if (subtype === 0) {
      const enhanced = this.peers.terms[peer]!.enhancedRefresh,
        afi = family + 1;
      const mark = (kind: 1 | 2): Uint8Array | undefined => (enhanced ? encodeRouteRefresh({ afi, safi: 1, subtype: kind }) : undefined);
      this.#groupOf[family].get(peer)?.refresh(peer, mark(1), mark(2));
    } else if (subtype === 1) this.#stale.beginRefresh(peer, family);
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
    rib.put(rib.prefixes.intern(bytes, 0, length), localPeer, set);
    this.attributes.drop(set);
  }
  withdrawOwn(prefix: Prefix): void {
    const rib = this.ribs[prefixFamily(prefix) === 4 ? 0 : 1],
      id = rib.prefixes.findText(prefix);
    if (id >= 0) rib.withdraw(id, localPeer);
  }

  /** Decides up to `budget` prefixes. True if there is more to decide. */
  step(now: Instant, budget: number): boolean {
    this.#now = now;
    this.#expire(now);
    this.#stale.step();
    if (this.deferral.isDeferring(now)) return !this.#stale.isIdle;
    let left = Math.max(budget >> 1, budget - this.ribs[1].dirty.size); // neither family waits for the other
    for (const rib of this.ribs) {
      const groups = [...this.#groups[rib.family].values()];
      for (const group of groups) group.passDeadline(now);
      const most = Math.min(left, rib.dirty.size);
      for (let n = 0; n < most; n++) this.#settle(rib, rib.dirty.shift(), groups);
      left = budget - most;
    }
    return this.ribs.some((rib) => rib.dirty.size > 0) || !this.#stale.isIdle;
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
  /** Prefixes a peer announced and that are not held: a loop, or refused by policy. Counted since its session began. */
  refusedOf(peer: number): number {
    return this.#ingest.refusedOf(peer);
  }
  /** UPDATEs given to a peer since its session began. */
  updatesTo(peer: number): number {
    return this.#groupOf.reduce((sum, groups) => sum + (groups.get(peer)?.messagesTo(peer) ?? 0), 0);
  }
  groupOf(peer: number, family: FamilyIndex): UpdateGroup | undefined {
    return this.#groupOf[family].get(peer);
  }
  groups(family: FamilyIndex): Iterable<UpdateGroup> {
    return this.#groups[family].values();
  }

  #settle(rib: LocRib, prefix: number, groups: readonly UpdateGroup[]): void {
    // Also where the choice stands: a path as good as the chosen one may have come or gone.
    if (this.#settings.observes) this.#changes.add(rib.prefixes.text(prefix));
    if (!rib.settle(prefix)) {
      if (rib.adjRibIn.head[prefix] === none) this.#forget(rib, prefix);
      return;
    }
    for (const group of groups) group.owe(prefix);
    if (groups.length === 0 && rib.bestOf(prefix) === none) this.#forget(rib, prefix);
  }

  /** Gives a prefix id back if nothing refers to it any more. */
  #forget(rib: LocRib, prefix: number): void {
    if (!rib.prefixes.isLive(prefix) || rib.adjRibIn.head[prefix] !== none || rib.dirty.has(prefix)) return;
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
      let isHeld = false;
      for (let g = 0; g < groups.length && !isHeld; g++) isHeld = groups[g]!.holds(prefix);
      if (!isHeld) prefixes[gone++] = prefix;
    }
    rib.prefixes.releaseAll(prefixes, gone);
  }

  /** Our next hop towards a peer, if we have one of the family. */
  #self(family: FamilyIndex, terms: SessionTerms): Ip | undefined {
    const wanted = family === ipv4Unicast ? 4 : 6,
      own = wanted === 4 ? this.#settings.address : this.#settings.address6;
    if (terms.role === "external" && familyOf(terms.local) === wanted) return terms.local;
    return own && familyOf(own) === wanted ? own : undefined;
  }

  /** Peers with one key are told the same. */
  #groupKey(family: FamilyIndex, terms: SessionTerms, session: SessionSettings): string {
    const octets = terms.fourOctetAs ? 4 : 2;
    if (terms.role !== "external") return `${octets}|${terms.role}|${session.nextHopSelf}`;
    return `${octets}|external|${this.#self(family, terms) ?? ""}|${JSON.stringify(this.#named(session.export))}`;
  }

  #exporter(family: FamilyIndex, terms: SessionTerms, session: SessionSettings): Exporter {
    const to = roleNumber(terms.role),
      policy = to === roleExternal ? compilePolicies(this.#named(session.export), this.attributes, "export") : undefined;
    return new Exporter(
      { to, family: family === ipv4Unicast ? 4 : 6, self: this.#self(family, terms), nextHopSelf: session.nextHopSelf, policy },
      this.attributes,
    );
  }

  #group(family: FamilyIndex, terms: SessionTerms, session: SessionSettings): UpdateGroup {
    const key = this.#groupKey(family, terms, session),
      known = this.#groups[family].get(key);
    if (known) return known;
    const packer = terms.fourOctetAs ? this.#packers.four : this.#packers.two;
    const group = this.#makeGroup(this.ribs[family], roleNumber(terms.role), this.#exporter(family, terms, session), packer);
    this.#groups[family].set(key, group);
    return group;
  }

  // oxlint-disable-next-line max-params -- what a group is made of
  #makeGroup(rib: LocRib, role: Role, exporter: Exporter, packer: Packer): UpdateGroup {
    const parts: GroupParts = {
      rib,
      attributes: this.attributes,
      peers: this.peers,
      packer,
      window: this.#window,
      forget: (prefix) => this.#forget(rib, prefix),
      forgetAll: (prefixes, count) => this.#forgetAll(rib, prefixes, count),
      tooLong: (prefix, count) => this.#sayTooLong(rib.prefixes.text(prefix), count),
      isSweeping: (peer) => this.#stale.isSweeping(peer),
      lagLimitOctets: this.#settings.lagLimitOctets,
    };
    return new UpdateGroup(role, exporter, parts);
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
    return this.#filters.use(peer, terms.role === "external" ? this.#named(session.import) : undefined);
  }
  #named(names: readonly string[]): readonly PolicySettings[] {
    return names.map((name) => this.#policies[name]).filter((policy) => policy !== undefined);
  }

  #endOfRib(peer: number, family: FamilyIndex): void {
    this.#stale.endOfRib(peer, family);
    this.deferral.endOfRib(peer, family, this.#now);
  }

  #expire(now: Instant): void {
    const text = "the time to keep routes of a restarting peer is over; what it has not announced again is withdrawn (RFC 4724 §4.2)";
    for (const peer of this.#stale.expire(now)) this.#note("warn", "bgp.stale-expired", text, peer);
  }

  #sayTooLong(prefix: Prefix, count: number): void {
    const others = count > 1 ? ` and ${count - 1} more` : "";
    const text = `the attributes of a route leave no room for it in a message, so it is withdrawn${others} (RFC 8654 §4)`;
    this.#notes.push(note("warn", "bgp.too-long", text, { prefix }));
  }

  #note(level: Note["level"], event: string, text: string, peer: number): void {
    this.#notes.push(note(level, event, text, { peer: this.peers.terms[peer]?.remote ?? String(peer) }));
  }
}
