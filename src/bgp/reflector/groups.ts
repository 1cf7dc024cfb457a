/**
 * All update groups of a speaker: which peers are told the same, how a peer moves from one to another without a new session, and
 * those who read the Loc-RIB. A group lives while it has members; a prefix's id lives while any of them knows it.
 */
import { familyOf, type Ip, ipBytes } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PathCount, SessionSettings } from "#base/settings.ts";
import { type Instant, sooner } from "#base/time.ts";
import { refreshSubtype } from "#wire/bgp/constants.ts";
import { encodeRouteRefresh } from "#wire/bgp/message.ts";
import type { PolicyParts } from "../policy/compiled-policies.ts";
import type { PolicyBook } from "../policy/policy-book.ts";
import { none } from "../rib/adj-rib-in.ts";
import type { AttributeTable } from "../rib/attributes.ts";
import type { LocRib } from "../rib/loc-rib.ts";
import { type PeerTable, type Role, roleExternal, roleMonitor, roleNumber } from "../rib/peer-table.ts";
import { type FamilyIndex, ipv4Unicast, type SessionTerms } from "../terms.ts";
import { exportEdge, openEdge } from "./edge.ts";
import { Exporter } from "./export.ts";
import { Packer } from "./pack.ts";
import { type GroupParts, type Marks, UpdateGroup } from "./update-group.ts";
import { Window } from "./window.ts";

/** Key of the group of those who read the Loc-RIB. */
const monitors = "monitors";

export interface GroupsParts {
  readonly attributes: AttributeTable;
  readonly peers: PeerTable;
  readonly ribs: readonly [LocRib, LocRib];
  readonly policies: PolicyBook;
  /** Our addresses. */
  readonly address: Ip;
  readonly address6: Ip | undefined;
  readonly lagLimitOctets: number | undefined;
  /** True if a prefix's id is needed beside the groups. */
  readonly keeps: (family: FamilyIndex, prefix: number) => boolean;
  readonly isSweeping: (peer: number) => boolean;
  /** A group has its first member: what is told at once is told to it, too. */
  readonly opened: (family: FamilyIndex) => void;
  readonly tooLong: (prefix: Prefix, count: number) => void;
}

/** A peer's session, as what its groups depend on. */
export interface GroupMember {
  readonly peer: number;
  readonly terms: SessionTerms;
  readonly session: SessionSettings;
}

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

export class Groups {
  readonly #parts: GroupsParts;
  readonly #byKey: readonly [Map<string, UpdateGroup>, Map<string, UpdateGroup>] = [new Map(), new Map()];
  readonly #ofPeer: readonly [Map<number, UpdateGroup>, Map<number, UpdateGroup>] = [new Map(), new Map()];
  readonly #packers = new Map<string, Packer>();
  readonly #window: Window;

  constructor(parts: GroupsParts) {
    this.#parts = parts;
    this.#window = new Window(parts.attributes, parts.peers);
  }

  of(peer: number, family: FamilyIndex): UpdateGroup | undefined {
    return this.#ofPeer[family].get(peer);
  }
  /** Every group of a family, as they are now. */
  all(family: FamilyIndex): readonly UpdateGroup[] {
    return [...this.#byKey[family].values()];
  }
  has(peer: number): boolean {
    return this.#ofPeer.some((groups) => groups.has(peer));
  }
  /** True if the peer was given our End-of-RIB of every family it has, and nothing again since. */
  hasToldAll(peer: number): boolean {
    return this.#ofPeer.every((groups) => groups.get(peer)?.hasToldAll(peer) ?? true);
  }
  /** UPDATEs given to a peer since its session began. */
  messagesTo(peer: number): number {
    return this.#ofPeer.reduce((sum, groups) => sum + (groups.get(peer)?.messagesTo(peer) ?? 0), 0);
  }
  nextDeadline(): Instant | undefined {
    let due: Instant | undefined;
    for (const groups of this.#byKey) for (const group of groups.values()) due = sooner(due, group.nextDeadline());
    return due;
  }

  join({ peer, terms, session }: GroupMember): void {
    for (const family of terms.families) {
      const group = this.#group(family, terms, session);
      this.#ofPeer[family].set(peer, group);
      group.join(peer);
    }
  }
  leave(peer: number): void {
    for (const groups of this.#ofPeer) {
      groups.get(peer)?.leave(peer);
      groups.delete(peer);
    }
    this.#closeEmpty();
  }

  /** What encloses everything told again to a peer (RFC 7313). */
  marks(peer: number, family: FamilyIndex): Marks {
    const enhanced = this.#parts.peers.terms[peer]!.enhancedRefresh,
      mark = (subtype: 1 | 2): Uint8Array | undefined => (enhanced ? encodeRouteRefresh({ afi: family + 1, safi: 1, subtype }) : undefined);
    return { first: mark(refreshSubtype.begin), last: mark(refreshSubtype.end) };
  }

  /**
   * A reader of the Loc-RIB (RFC 9069): told every chosen path as it stands, then End-of-RIB, then what changes. `reader`: a peer id
   * that no peer has; `leave` ends it.
   */
  watch(reader: number): void {
    for (const rib of this.#parts.ribs) {
      let group = this.#byKey[rib.family].get(monitors);
      if (!group) {
        const family = rib.family === ipv4Unicast ? 4 : 6;
        const exporter = new Exporter({ to: roleMonitor, family, self: undefined, edge: openEdge, policy: undefined }, this.#parts.attributes);
        group = this.#make(rib, roleMonitor, exporter, { fourOctetAs: true, extended: true, paths: 0, ipv6NextHop: true });
        this.#byKey[rib.family].set(monitors, group);
      }
      this.#ofPeer[rib.family].set(reader, group);
      group.join(reader);
    }
  }

  /** Settings of members changed: a group whose members change alike is told anew in place, and others move. */
  regroup(memberOf: (peer: number) => GroupMember): void {
    for (const family of [0, 1] as const) this.#regroup(family, memberOf);
    this.#closeEmpty();
  }

  #regroup(family: FamilyIndex, memberOf: (peer: number) => GroupMember): void {
    const groups = this.#byKey[family];
    for (const [key, group] of Array.from(groups)) {
      if (key === monitors) continue;
      const members = [...group.members.keys()].map(memberOf);
      const keys = members.map(({ terms, session }) => this.#key(family, terms, session)),
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
  }
  #moveTo(family: FamilyIndex, group: UpdateGroup, peer: number): void {
    const from = this.#ofPeer[family].get(peer)!;
    if (group === from) return;
    group.take(peer, from, this.marks(peer, family));
    this.#ofPeer[family].set(peer, group);
  }

  /** Gives a prefix id back if nothing refers to it any more. */
  forget(rib: LocRib, prefix: number): void {
    if (!rib.prefixes.isLive(prefix) || rib.adjRibIn.head[prefix] !== none || rib.dirty.has(prefix)) return;
    if (this.#parts.keeps(rib.family, prefix)) return;
    for (const group of this.#byKey[rib.family].values()) if (group.holds(prefix)) return;
    rib.prefixes.release(prefix);
  }

  /** `forget` for the first `count` of some prefixes; their array is made use of. */
  #forgetAll(rib: LocRib, prefixes: Uint32Array, count: number): void {
    const groups = this.all(rib.family);
    let gone = 0;
    for (let i = 0; i < count; i++) {
      const prefix = prefixes[i]!;
      if (rib.adjRibIn.head[prefix] !== none || rib.dirty.has(prefix)) continue;
      let isHeld = this.#parts.keeps(rib.family, prefix);
      for (let g = 0; g < groups.length && !isHeld; g++) isHeld = groups[g]!.holds(prefix);
      if (!isHeld) prefixes[gone++] = prefix;
    }
    rib.prefixes.releaseAll(prefixes, gone);
  }

  /** Our next hop towards a peer, if we have one of the family. */
  #self(family: FamilyIndex, terms: SessionTerms): Ip | undefined {
    const { address, address6 } = this.#parts,
      wanted = family === ipv4Unicast ? 4 : 6,
      own = wanted === 4 ? address : address6;
    const mayBe6 = family === ipv4Unicast && terms.extendedNextHop === true;
    // over IPv6 the neighbour reaches that address of ours, and perhaps no other (RFC 8950)
    if (terms.role === "external" && (familyOf(terms.local) === wanted || mayBe6)) return terms.local;
    if (own && familyOf(own) === wanted) return own;
    return mayBe6 ? [address6, own].find((one) => one !== undefined && familyOf(one) === 6) : undefined;
  }

  /** Peers with one key are told the same. */
  #key(family: FamilyIndex, terms: SessionTerms, session: SessionSettings): string {
    const form = Object.values(messageForm(family, terms)).join();
    const edge = JSON.stringify(exportEdge(terms, session));
    const isJudged = session.export.length > 0 || terms.role === "external",
      judged = isJudged ? `|${this.#self(family, terms) ?? ""}|${this.#parts.policies.keyOf(session.export)}` : "";
    return `${form}|${terms.role}|${edge}${judged}`;
  }

  /** What tells a peer of these terms its routes; with another book by the policies in there. The caller closes it. */
  // oxlint-disable-next-line max-params -- what an exporter is made of
  makeExporter(family: FamilyIndex, terms: SessionTerms, session: SessionSettings, book = this.#parts.policies): Exporter {
    const { attributes, peers } = this.#parts,
      to = roleNumber(terms.role),
      self = this.#self(family, terms),
      way: PolicyParts["way"] = to === roleExternal ? "export to outside" : "export",
      octets = self && ipBytes(self);
    // RFC 8212: an external neighbour without policies is told nothing; an internal one everything.
    const isJudged = to === roleExternal || session.export.length > 0;
    const policy = isJudged ? book.compile(session.export, { attributes, peers, way, self: [octets, octets] }) : undefined;
    return new Exporter({ to, family: family === ipv4Unicast ? 4 : 6, self, edge: exportEdge(terms, session), policy }, attributes);
  }

  #group(family: FamilyIndex, terms: SessionTerms, session: SessionSettings): UpdateGroup {
    const key = this.#key(family, terms, session),
      known = this.#byKey[family].get(key);
    if (known) return known;
    const exporter = this.makeExporter(family, terms, session),
      group = this.#make(this.#parts.ribs[family], roleNumber(terms.role), exporter, messageForm(family, terms));
    this.#byKey[family].set(key, group);
    this.#parts.opened(family);
    return group;
  }

  // oxlint-disable-next-line max-params -- what a group is made of
  #make(rib: LocRib, role: Role, exporter: Exporter, form: MessageForm): UpdateGroup {
    const { attributes, peers, isSweeping, tooLong, lagLimitOctets } = this.#parts;
    const parts: GroupParts = {
      rib,
      attributes,
      peers,
      isSweeping,
      lagLimitOctets,
      packer: this.#packer(form),
      window: this.#window,
      paths: form.paths,
      takesIpv6NextHop: form.ipv6NextHop,
      forget: (prefix) => this.forget(rib, prefix),
      forgetAll: (prefixes, count) => this.#forgetAll(rib, prefixes, count),
      tooLong: (prefix, count) => tooLong(rib.prefixes.text(prefix), count),
    };
    return new UpdateGroup(role, exporter, parts);
  }

  #packer({ fourOctetAs, extended }: MessageForm): Packer {
    const key = `${fourOctetAs} ${extended}`,
      made = this.#packers.get(key) ?? new Packer(this.#parts.attributes, fourOctetAs, extended);
    this.#packers.set(key, made);
    return made;
  }

  #closeEmpty(): void {
    for (const rib of this.#parts.ribs)
      for (const [key, group] of this.#byKey[rib.family]) {
        if (group.members.size > 0) continue;
        this.#byKey[rib.family].delete(key);
        group.close();
        for (let prefix = 0; prefix < rib.prefixes.end; prefix++) if (rib.adjRibIn.head[prefix] === none) this.forget(rib, prefix);
      }
  }
}
