/**
 * The whole RIB against a model of maps: peers of all roles come, go, restart, announce, withdraw, refresh and read slowly, under
 * one seed. After each rest every peer must have been told exactly what the model says, and nothing else on the way.
 */
import { assert } from "#base/assert.ts";
import { type Ip, ipBytes } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PolicyRule, PolicySettings } from "#base/policy-settings.ts";
import type { PeerRole, SessionSettings } from "#base/settings.ts";
import { refreshMillis } from "#bgp/rib/stale.ts";
import type { FamilyIndex, SessionTerms } from "#bgp/terms.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { chance } from "../sim/chance.ts";
import { at, nothingLive, own, type RouteName, restartOf, RibPeers, sequence, splitName, termsOf, v4Hop, v6Hop } from "./rib-peers.ts";
import { session } from "./settings-of.ts";
import { routeText, type ToldReader } from "./told-reader.ts";
import { judge } from "./policy-twin.ts";
import { bestByElimination, isLoop, severalByElimination, toldByTable, type TwinPath, type TwinRole } from "./twins.ts";

interface ModelPath {
  attributes: PathAttributes;
  stale: boolean;
}
interface ModelPeer {
  readonly id: number;
  role: PeerRole;
  terms: SessionTerms;
  settings: SessionSettings;
  isUp: boolean;
  readonly isSlow: boolean;
  deadline: number | undefined;
  readonly complete: Set<FamilyIndex>;
  /** … and when what was not told again goes anyhow. */
  readonly refreshing: Map<FamilyIndex, number>;
  /** Families in the long-lived period (RFC 9494 §4.2), and when it ends; Infinity: it has ended before End-of-RIB. */
  readonly longLived: Map<FamilyIndex, number>;
  /** By prefix and path identifier. */
  readonly paths: readonly [Map<RouteName, ModelPath>, Map<RouteName, ModelPath>];
  /** What it announces, whatever becomes of it. */
  readonly says: readonly [Map<RouteName, PathAttributes>, Map<RouteName, PathAttributes>];
  reader: ToldReader | undefined;
}

const families: readonly FamilyIndex[] = [0, 1];
const prefixes: readonly (readonly Prefix[])[] = [
  Array.from({ length: 40 }, (_, i) => `10.1.${i}.0/24` as Prefix).concat(["0.0.0.0/0", "10.1.0.0/16", "10.1.3.7/32"] as Prefix[]),
  Array.from({ length: 16 }, (_, i) => `fd00:1:${i + 1}::/64` as Prefix).concat(["::/0", "fd00:1:1::7/128"] as Prefix[]),
];
const familyOf = (prefix: RouteName): FamilyIndex => (prefix.includes(":") ? 1 : 0);

const longLivedStale = 0xffff0006,
  noLongLived = 0xffff0007;

const rule = (more: Partial<PolicyRule>): PolicyRule => ({ when: {}, then: "accept", set: {}, ...more });
const within = (prefix: string, ge: number, le: number): PolicyRule["when"] => ({ prefixes: [{ prefix: prefix as Prefix, ge, le }] });
const policy = (name: string, otherwise: "accept" | "reject", ...rules: PolicyRule[]): PolicySettings => ({ name, rules, otherwise });
const policiesOf = (variant: number): Record<string, PolicySettings> => ({
  all: policy("all", "accept"),
  lift: policy(
    "lift",
    "accept",
    rule({ when: within("10.1.0.0/20", 20, 32), set: { localPref: { to: 200 + variant }, communities: { add: [[0xfde8_0063]] } } }),
    rule({ when: within("10.1.16.0/20", 20, 32), then: "reject" }),
  ),
  out: policy(
    "out",
    variant === 2 ? "reject" : "accept",
    rule({ when: { source: "internal", ...within("10.1.0.0/21", 21, 32) }, then: "reject" }),
    rule({ when: { source: "local" }, set: { med: { to: 7 + variant }, prepend: { asn: undefined, times: 2 }, localPref: { to: 9 } } }),
    rule({ when: within("fd00:1:4::/46", 46, 64), then: "reject" }),
  ),
});

/** What the policies make of a route; undefined is a refusal. Export is towards outside. */
function applyPolicies(
  policies: readonly PolicySettings[],
  prefix: Prefix,
  attributes: PathAttributes,
  from: TwinRole,
  isExport: boolean,
): PathAttributes | undefined {
  const source = from === "local" || from === "external" ? from : "internal";
  const way = isExport ? "export to outside" : "import";
  return judge(policies, { prefix, attributes, weight: 0, source, names: [] }, { ownAs: own.asn, way, self: undefined, hopBefore: undefined }).accepted
    ?.attributes;
}

export class RibModel {
  readonly world: RibPeers;
  readonly #random: () => number;
  readonly #peers: ModelPeer[] = [];
  readonly #own = new Set<Prefix>();
  /** Counts changes of what is held for a prefix. */
  readonly #version = new Map<Prefix, number>();
  /** What paths were told with (RFC 7911): by prefix, peer and the peer's identifier. */
  readonly #toldIds = new Map<string, number>();
  #variant = 0;
  readonly done = { ends: 0, refreshes: 0, checks: 0, told: 0, moves: 0 };

  constructor(seed: number) {
    this.#random = chance(seed);
    this.world = new RibPeers({ policies: policiesOf(0), lagLimitOctets: this.#pick([300, 2000, 100_000]), observes: this.#is(0.5) });
    for (let id = 1; id <= 7; id++) this.#addPeer(id);
  }

  run(rounds: number): void {
    for (let round = 0; round < rounds; round++) {
      for (let n = Math.floor(this.#random() * 60); n >= 0; n--) this.#act();
      this.#rest();
    }
    for (const peer of this.#peers) if (peer.isUp) this.#down(peer, false);
    for (const prefix of this.#own) this.world.rib.withdrawOwn(prefix);
    // the restart times, then the long-lived times that begin with their end
    for (let n = 0; n < 2; n++) this.#advance(1_000_000);
    this.world.settle();
    for (const [what, count] of Object.entries(this.world.live()))
      assert(count === nothingLive[what as keyof typeof nothingLive], `${count} ${what} are left when everybody is gone`);
    for (const { id } of this.#peers) assert(this.world.rib.isForgotten(id), `peer ${id} is forgotten`);
  }

  #addPeer(id: number): void {
    const role = this.#pick(["client", "client", "non-client", "non-client", "external"] as const);
    const terms = termsOf(id, role, {
      families: this.#pick([[0, 1], [0, 1], [0], [1]] as FamilyIndex[][]),
      fourOctetAs: this.#is(0.85),
      enhancedRefresh: this.#is(0.6),
      gracefulRestart: this.#is(0.6) ? restartOf([]) : undefined,
      addPath: this.#addPath(),
      extendedNextHop: this.#is(0.3),
      longLived: this.#is(0.4) ? [] : undefined,
    });
    const outside = role === "external" && this.#is(0.9);
    const settings: SessionSettings = {
      ...session,
      role,
      remoteAs: terms.remoteAs,
      nextHopSelf: this.#is(0.3),
      import: outside ? [this.#pick(["all", "lift"])] : [],
      export: outside ? [this.#pick(["all", "out", "out"])] : [],
    };
    const peer: ModelPeer = {
      id,
      role,
      terms,
      settings,
      isUp: false,
      isSlow: this.#is(0.3),
      deadline: undefined,
      complete: new Set(),
      refreshing: new Map(),
      longLived: new Map(),
      paths: [new Map(), new Map()],
      says: [new Map(), new Map()],
      reader: undefined,
    };
    this.#peers.push(peer);
  }

  #addPath(): NonNullable<SessionTerms["addPath"]> {
    if (this.#is(0.5)) return [];
    return families.map((family) => ({ family, receive: this.#is(0.5), send: this.#pick([0, 2, 3, "all", "all"] as const) }));
  }

  #act(): void {
    const peer = this.#pick(this.#peers),
      n = this.#random();
    this.#advance(this.#pick([0, 1, 20, 60]));
    if (n < 0.02) this.#advance(this.#pick([130_000, 310_000]));
    else if (n < 0.05) this.#flipOwn();
    else if (n < 0.06) this.#changePolicies();
    else if (n < 0.07) this.#changeExport(peer);
    else if (!peer.isUp) {
      if (n < 0.5) this.#up(peer);
    } else if (n < 0.11) this.#down(peer, this.#is(0.6));
    else if (n < 0.15) this.#endOfRib(peer, this.#pick(families));
    else if (n < 0.19) this.#askRefresh(peer);
    else if (n < 0.24) this.#refresh(peer, this.#pick(families));
    else if (n < 0.8) this.#announceSome(peer);
    else this.#withdrawSome(peer);
    if (this.#is(0.5)) this.world.rib.step(this.world.now, this.#pick([1, 5, 1000]));
    for (const reader of this.#peers) if (reader.isUp && this.#is(reader.isSlow ? 0.02 : 0.4)) this.world.pull(reader.id, this.#pick([1, 60, 500, 65_536]));
  }

  #up(peer: ModelPeer): void {
    const isSettled = this.#is(0.6);
    if (isSettled) while (this.world.rib.step(this.world.now, 1000));
    const isSame = this.#is(0.9),
      { terms } = peer;
    const gracefulRestart =
      terms.gracefulRestart && restartOf(this.#pick([[0, 1], [0, 1], [0], []] as FamilyIndex[][]), this.#pick([[0, 1], [0, 1], [1]] as FamilyIndex[][]));
    // another speaker under its address: by its identifier, or by its role
    if (!isSame && peer.role !== "external" && this.#is(0.5)) peer.role = peer.role === "client" ? "non-client" : "client";
    const isOther = !isSame && peer.role === terms.role;
    const longLived = terms.longLived && gracefulRestart && this.#longLivedOf(terms);
    peer.terms = { ...terms, role: peer.role, gracefulRestart, longLived, remoteId: isOther ? terms.remoteId + 256 : terms.remoteId };
    peer.settings = { ...peer.settings, role: peer.role };
    peer.isUp = true;
    peer.complete.clear();
    peer.refreshing.clear();
    let keeps = false;
    for (const family of families) {
      const isLong = peer.longLived.has(family),
        listed = isLong ? longLived : gracefulRestart?.families;
      const kept = isSame && peer.terms.families.includes(family) && listed?.some((one) => one.family === family && one.forwarding);
      if (!kept) peer.longLived.delete(family);
      for (const [prefix, path] of peer.paths[family]) {
        if (!kept) this.#drop(peer, prefix);
        else {
          path.stale = true;
          keeps ||= !isLong;
        }
      }
    }
    peer.deadline = keeps ? this.world.now + peer.settings.gracefulRestart!.staleSeconds * 1000 : undefined;
    peer.says[0].clear();
    peer.says[1].clear();
    peer.reader = this.world.up(peer.id, peer.terms, peer.settings);
    this.#listen(peer.reader, isSettled);
  }

  /** End-of-RIB comes once per family, and not before what was held when the session began. */
  #listen(reader: ToldReader, isSettled: boolean): void {
    const heard: FamilyIndex[] = [],
      versions = new Map(this.#version);
    const atFirst = families.map((family) => (isSettled ? this.#expected(reader.peer, family) : new Map<RouteName, string>()));
    reader.onHeard = (what, family) => {
      if (what === "endRefresh") this.done.refreshes++;
      if (what !== "endOfRib") return;
      assert(!heard.includes(family) && reader.terms.families.includes(family), `peer ${reader.peer}: End-of-RIB once for each family`);
      heard.push(family);
      this.done.ends++;
      for (const name of atFirst[family]!.keys())
        assert(
          versions.get(splitName(name).prefix) !== this.#version.get(splitName(name).prefix) || reader.routes[family].has(name),
          `peer ${reader.peer}: ${name} was held when the session began and is told before End-of-RIB`,
        );
    };
  }

  #down(peer: ModelPeer, retain: boolean): void {
    const restart = retain ? peer.terms.gracefulRestart : undefined;
    peer.isUp = false;
    if (peer.terms.longLived) while (this.world.rib.step(this.world.now, 1000));
    let waits = false;
    for (const family of families) {
      const listed = peer.longLived.get(family) !== Infinity && restart?.families.some((one) => one.family === family);
      const isLong = restart && this.#staysLong(peer, family);
      if (!isLong) peer.longLived.delete(family);
      for (const [prefix, path] of peer.paths[family]) {
        if (!(listed || isLong) || (path.stale && !isLong && !peer.refreshing.has(family))) this.#drop(peer, prefix);
        else path.stale = true;
      }
      if (peer.paths[family].size === 0) continue;
      if (isLong && !listed) this.#beginLongLived(peer, family);
      else waits = true;
    }
    peer.deadline = waits ? this.world.now + restart!.restartSeconds * 1000 : undefined;
    peer.reader = undefined;
    this.world.down(peer.id, retain);
  }

  #staysLong({ longLived, terms }: ModelPeer, family: FamilyIndex): boolean {
    return longLived.get(family) !== Infinity && terms.longLived?.some((one) => one.family === family && one.staleSeconds > 0) === true;
  }

  /** RFC 9494 §4.2: LLGR_STALE on all that is stale, NO_LLGR goes; a time that runs is not set anew. */
  #beginLongLived(peer: ModelPeer, family: FamilyIndex): void {
    const { staleSeconds } = peer.terms.longLived!.find((one) => one.family === family)!;
    if (!peer.longLived.has(family)) peer.longLived.set(family, this.world.now + staleSeconds * 1000);
    for (const [prefix, path] of peer.paths[family]) {
      const communities = new Set(path.attributes.communities);
      if (communities.has(noLongLived)) this.#drop(peer, prefix);
      else if (!communities.has(longLivedStale)) {
        path.attributes = { ...path.attributes, communities: Uint32Array.from(communities.add(longLivedStale)).toSorted() };
        this.#touch(splitName(prefix).prefix);
      }
    }
  }

  #longLivedOf({ families: spoken }: SessionTerms): SessionTerms["longLived"] {
    return spoken.filter(() => this.#is(0.8)).map((family) => ({ family, forwarding: this.#is(0.8), staleSeconds: this.#pick([0, 200, 400, 900]) }));
  }

  #endOfRib(peer: ModelPeer, family: FamilyIndex): void {
    if (!peer.terms.families.includes(family)) return;
    this.world.endOfRib(peer.id, family);
    if (peer.complete.has(family)) return;
    peer.complete.add(family);
    peer.longLived.delete(family);
    this.#sweep(peer, family);
    if (peer.complete.size === peer.terms.families.length) peer.deadline = undefined;
  }

  /** The peer tells everything again, or most of it, or stops in the middle. */
  #refresh(peer: ModelPeer, family: FamilyIndex): void {
    if (!peer.terms.families.includes(family)) return;
    this.world.rib.refresh(peer.id, family, 1, this.world.now);
    if (!peer.terms.gracefulRestart || peer.complete.has(family)) {
      peer.refreshing.set(family, this.world.now + refreshMillis);
      for (const path of peer.paths[family].values()) path.stale = true;
    }
    for (const [prefix, attributes] of peer.says[family]) if (this.#is(0.8)) this.#announce(peer, [prefix], attributes);
    if (this.#is(0.2)) return;
    this.world.rib.refresh(peer.id, family, 2, this.world.now);
    if (peer.refreshing.delete(family)) this.#sweep(peer, family);
  }

  #askRefresh(peer: ModelPeer): void {
    peer.reader!.mayRepeat = true;
    this.world.rib.refresh(peer.id, this.#pick(families), 0, this.world.now);
  }

  #announceSome(peer: ModelPeer): void {
    const family = this.#pick(families),
      count = this.#pick([1, 1, 3, 12]);
    const attributes = this.#attributes(peer, family);
    this.#announce(peer, this.#names(peer, family, count), attributes);
  }

  /** Some prefixes as the peer names them. */
  #names(peer: ModelPeer, family: FamilyIndex, count: number): RouteName[] {
    const hasPathIds = peer.terms.addPath?.some((one) => one.family === family && one.receive) === true;
    const name = (): RouteName => {
      const prefix = this.#pick(prefixes[family]!);
      return hasPathIds ? `${prefix}#${this.#pick([0, 1, 7, 0xffff_ffff])}` : prefix;
    };
    return [...new Set(Array.from({ length: count }, name))];
  }

  #announce(peer: ModelPeer, some: readonly RouteName[], attributes: PathAttributes): void {
    const family = familyOf(some[0]!),
      takes = peer.terms.families.includes(family);
    this.world.announce(peer.id, attributes, ...some);
    if (!takes) return;
    for (const name of some) {
      const { prefix } = splitName(name);
      peer.says[family].set(name, attributes);
      const taken = this.#taken(peer, prefix, attributes);
      if (taken) {
        peer.paths[family].set(name, { attributes: taken, stale: false });
        this.#touch(prefix);
      } else this.#drop(peer, name);
    }
  }

  #withdrawSome(peer: ModelPeer): void {
    const family = this.#pick(families),
      some = this.#names(peer, family, this.#pick([1, 4, 20]));
    this.world.withdraw(peer.id, ...some);
    if (!peer.terms.families.includes(family)) return;
    for (const prefix of some) {
      peer.says[family].delete(prefix);
      this.#drop(peer, prefix);
    }
  }

  #flipOwn(): void {
    const prefix = this.#pick(prefixes[this.#pick(families)]!);
    this.#touch(prefix);
    if (this.#own.delete(prefix)) this.world.rib.withdrawOwn(prefix);
    else {
      this.#own.add(prefix);
      this.world.rib.originate(prefix);
    }
  }

  #changePolicies(): void {
    this.#variant = this.#pick([0, 1, 2]);
    const { rib } = this.world;
    rib.usePolicies(policiesOf(this.#variant));
    const { ask, reset } = rib.reconfigure((id) => this.#peers[id - 1]!.settings);
    for (const id of reset) this.#down(this.#peers[id - 1]!, false);
    for (const prefix of prefixes.flat()) this.#touch(prefix);
    for (const id of ask) {
      const peer = this.#peers[id - 1]!;
      for (const family of families) for (const [prefix, attributes] of peer.says[family]) this.#announce(peer, [prefix], attributes);
    }
  }

  /** One peer is told by other rules than those who were told the same: no session ends, and nobody is asked for anything. */
  #changeExport(peer: ModelPeer): void {
    const outside = peer.settings.export.length > 0;
    peer.settings = outside
      ? { ...peer.settings, export: [peer.settings.export[0] === "all" ? "out" : "all"] }
      : { ...peer.settings, nextHopSelf: peer.settings.nextHopSelf !== true };
    if (peer.reader) peer.reader.mayRepeat = peer.reader.mayForget = true;
    if (peer.isUp) this.done.moves++;
    const { ask, reset } = this.world.rib.reconfigure((id) => this.#peers[id - 1]!.settings);
    assert(ask.length + reset.length === 0, "a change of what is told asks nobody and ends no session");
    for (const prefix of prefixes.flat()) this.#touch(prefix);
  }

  #advance(millis: number): void {
    this.world.now = at(this.world.now + millis);
    for (const peer of this.#peers) {
      // in the order of time, as the speaker would be woken
      const due = [
        ...(peer.deadline === undefined ? [] : [{ at: peer.deadline, run: () => this.#endWait(peer) }]),
        ...Array.from(peer.longLived, ([family, until]) => ({ at: until, run: () => this.#endLongLived(peer, family) })),
        ...Array.from(peer.isUp ? peer.refreshing : [], ([family, until]) => ({ at: until, run: () => this.#endLateRefresh(peer, family) })),
      ].filter((one) => one.at <= this.world.now);
      for (const { run } of due.toSorted((a, b) => a.at - b.at)) run();
    }
    this.world.rib.step(this.world.now, 1);
  }

  #endWait(peer: ModelPeer): void {
    peer.deadline = undefined;
    for (const family of families) {
      if (peer.isUp ? peer.complete.has(family) || peer.longLived.has(family) : this.#staysLong(peer, family)) continue;
      this.#sweep(peer, family);
    }
    if (peer.isUp) return;
    for (const family of families) if (peer.paths[family].size > 0) this.#beginLongLived(peer, family);
  }
  #endLongLived(peer: ModelPeer, family: FamilyIndex): void {
    if (peer.isUp) peer.longLived.set(family, Infinity);
    else peer.longLived.delete(family);
    this.#sweep(peer, family);
  }
  #endLateRefresh(peer: ModelPeer, family: FamilyIndex): void {
    peer.refreshing.delete(family);
    this.#sweep(peer, family);
  }

  #sweep(peer: ModelPeer, family: FamilyIndex): void {
    for (const [prefix, path] of peer.paths[family]) if (path.stale) this.#drop(peer, prefix);
  }
  #drop(peer: ModelPeer, name: RouteName): void {
    if (peer.paths[familyOf(name)].delete(name)) this.#touch(splitName(name).prefix);
  }
  #touch(prefix: Prefix): void {
    this.#version.set(prefix, (this.#version.get(prefix) ?? 0) + 1);
  }

  /** What the RIB keeps of an announcement; undefined for nothing. */
  #taken(peer: ModelPeer, prefix: Prefix, attributes: PathAttributes): PathAttributes | undefined {
    if (isLoop(attributes, own)) return undefined;
    if (peer.role !== "external") return attributes;
    if (attributes.asPath?.[0]?.asns[0] !== peer.terms.remoteAs) return undefined;
    return applyPolicies(this.#policies(peer.settings.import), prefix, attributes, "external", false);
  }
  #policies(names: readonly string[]): readonly PolicySettings[] {
    return names.map((name) => policiesOf(this.#variant)[name]!);
  }

  #attributes(peer: ModelPeer, family: FamilyIndex): PathAttributes {
    const outside = peer.role === "external",
      hop = this.#pick([1, 2, peer.id + 10]);
    const first = outside ? [this.#is(0.95) ? peer.terms.remoteAs : 64_999] : [];
    return {
      origin: this.#pick([0, 0, 1]),
      asPath: sequence(...first, ...this.#pick([[], [], [64_701], [64_701, 70_000], [64_702], [own.asn]])),
      nextHop: family === 0 && !(peer.terms.extendedNextHop && this.#is(0.5)) ? v4Hop(hop) : v6Hop(hop),
      ...(this.#is(0.3) && { med: this.#pick([10, 20]) }),
      ...(!outside && this.#is(0.9) && { localPref: this.#pick([100, 100, 200]) }),
      ...(this.#is(0.15) && { communities: Uint32Array.of(this.#pick([0xfde8_0001, longLivedStale, noLongLived, 0xffff_ff01, 0xffff_ff02, 0xffff_ff03])) }),
      ...(!outside && this.#is(0.2) && { originatorId: this.#pick([own.routerId, 0x0a00_0909, 0x0a00_0808]) }),
      ...(!outside &&
        this.#is(0.2) && { clusterList: this.#pick([Uint32Array.of(0x0a09_0909), Uint32Array.of(0x0a09_0909, 0x0a09_0908), Uint32Array.of(own.clusterId)]) }),
      ...(this.#is(0.1) && { largeCommunities: Uint32Array.of(1, 2, 3, 4, 5, 6) }),
      ...(this.#is(0.1) && { unknown: [{ flags: 0xe0, type: 99, value: Uint8Array.of(1, 2, 3) }] }),
    };
  }

  #expected(id: number, family: FamilyIndex): Map<RouteName, string> {
    const reader = this.#peers[id - 1]!,
      out = new Map<RouteName, string>();
    if (!reader.terms.families.includes(family)) return out;
    const policies = this.#policies(reader.settings.export);
    const to = {
      peer: id,
      role: reader.role,
      nextHopSelf: reader.settings.nextHopSelf === true,
      longLived: reader.terms.longLived !== undefined,
      self: ipBytes(family === 0 ? (reader.role === "external" ? reader.terms.local : own.address) : own.address6!),
      policy: (prefix: Prefix, attributes: PathAttributes, from: TwinRole) => applyPolicies(policies, prefix, attributes, from, true),
    };
    const several = reader.terms.addPath?.find((one) => one.family === family)?.send ?? 0;
    const isTaken = (told: PathAttributes | undefined): told is PathAttributes =>
      told !== undefined && (family === 1 || told.nextHop!.length === 4 || reader.terms.extendedNextHop === true);
    for (const [prefix, candidates] of this.#candidates(family)) {
      // the choice is that of the group: a route of the reader's own takes a place in it
      const able = several === 0 ? [] : candidates.filter((path) => isTaken(toldByTable(prefix, path, { ...to, peer: -1 }, own)));
      const paths = several === 0 ? [bestByElimination(candidates)] : several === "all" ? able : severalByElimination(able, several);
      for (const path of paths) {
        const told = toldByTable(prefix, path, to, own);
        if (isTaken(told)) out.set(several === 0 ? prefix : `${prefix}#${this.#toldId(prefix, path!)}`, routeText(told));
      }
    }
    return out;
  }

  /** As the RIB says; the same each time for one path, and no two of a prefix have one. */
  #toldId(prefix: Prefix, { peer, pathId }: TwinPath): number {
    const { prefixes: table, adjRibIn } = this.world.rib.ribs[familyOf(prefix)];
    const told = adjRibIn.toldIdOf(adjRibIn.find(table.findText(prefix), peer, pathId)),
      key = `${prefix} ${peer} ${pathId}`;
    assert((this.#toldIds.get(key) ?? told) === told, `${key} is told with another identifier than before`);
    this.#toldIds.set(key, told);
    return told;
  }

  /** All paths of the prefixes that have any. */
  #candidates(family: FamilyIndex): Map<Prefix, TwinPath[]> {
    const out = new Map<Prefix, TwinPath[]>(),
      nextHop = ipBytes(family === 0 ? own.address : own.address6!);
    const add = (prefix: Prefix, path: TwinPath): void => {
      const known = out.get(prefix);
      if (known) known.push(path);
      else out.set(prefix, [path]);
    };
    const ours = {
      peer: 0,
      pathId: 0,
      role: "local",
      routerId: own.routerId,
      address: "",
      attributes: { origin: 0, asPath: [], localPref: 100, nextHop },
    } as const;
    for (const prefix of this.#own) if (familyOf(prefix) === family) add(prefix, ours);
    for (const { id, role, terms, paths } of this.#peers) {
      for (const [name, { attributes }] of paths[family]) {
        const { prefix, pathId = 0 } = splitName(name);
        add(prefix, { peer: id, pathId, role, routerId: terms.remoteId, address: (terms.remote as Ip).padStart(20), attributes });
      }
    }
    return out;
  }

  #rest(): void {
    const { world } = this;
    world.settle();
    // a member that is waited for is waited for no longer than that
    this.#advance(200);
    world.settle();
    this.done.checks++;
    for (const { id, isUp, reader } of this.#peers) {
      if (!isUp) continue;
      reader!.mayRepeat = reader!.mayForget = false;
      for (const family of families) {
        const want = this.#expected(id, family),
          got = reader!.routes[family];
        for (const prefix of new Set([...want.keys(), ...got.keys()]))
          assert(
            want.get(prefix) === got.get(prefix),
            `peer ${id} (${reader!.terms.role}), ${prefix}: told ${got.get(prefix)}, should have been told ${want.get(prefix)}`,
          );
        this.done.told += want.size;
      }
    }
    this.#count();
  }

  #count(): void {
    const { rib } = this.world,
      paths = [0, 0],
      chosen = [0, 0];
    for (const family of families) {
      for (const peer of this.#peers) {
        paths[family]! += peer.paths[family].size;
        const stale = peer.isUp ? [...peer.paths[family].values()].filter((path) => path.stale).length : undefined;
        if (stale !== undefined)
          assert(rib.peers.old[peer.id * 2 + family] === stale, `peer ${peer.id} has ${stale} stale paths, counted are ${rib.peers.old[peer.id * 2 + family]}`);
      }
      chosen[family] = this.#candidates(family).size;
      for (const prefix of this.#own) if (familyOf(prefix) === family) paths[family]!++;
      const { adjRibIn, prefixes: table, chosen: count } = rib.ribs[family];
      assert(adjRibIn.live === paths[family] && count === chosen[family], `${adjRibIn.live} paths of ${paths[family]}, ${count} chosen of ${chosen[family]}`);
      assert(table.live === chosen[family], `${table.live} prefix ids for ${chosen[family]} prefixes`);
    }
  }

  #is(probability: number): boolean {
    return this.#random() < probability;
  }
  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)]!;
  }
}
