/**
 * An UPDATE → the Adj-RIBs-In. A hot file: the usual UPDATE (canonical attributes, seen or new) is never decoded; anything
 * unusual takes the slow path, where wire/bgp decides by RFC 7606 what it costs.
 *
 * In: the body of an UPDATE, valid only during the call. Out: paths put and withdrawn, prefixes marked dirty; a fault that
 * resets the session. Holds: NLRI are checked whole before the first is taken, so that a fault leaves nothing half done.
 */
import { countPrefixes, type NlriForm } from "#wire/bgp/nlri.ts";
import { decodeAttributes, type PathAttributes } from "#wire/bgp/attribute.ts";
import { attributeType, familyKey } from "#wire/bgp/constants.ts";
import { peerFault } from "#wire/bgp/notification.ts";
import { type AttributeFault, type Cost, strongest, type Treatment } from "#wire/bgp/path-attributes.ts";
import { validateUpdate } from "#wire/bgp/validate.ts";
import type { FamilyIndex, NotificationFault } from "../terms.ts";
import { ipv4Unicast, ipv6Unicast } from "../terms.ts";
import type { ImportFilter } from "./import-filters.ts";
import { accepts } from "../reflector/reflect.ts";
import type { AttributeTable } from "./attributes.ts";
import { hasBeenHere } from "./describe.ts";
import type { LocRib } from "./loc-rib.ts";
import type { OriginCheck } from "./origin-check.ts";
import { type PeerTable, roleExternal } from "./peer-table.ts";
import { countOwn, type Tolerance } from "./tolerance.ts";
import { flagInternalOnly, flagLoop, flagOwnNextHop } from "./scan.ts";

/** What the RIB wants to know beyond paths. */
export interface IngestEvents {
  endOfRib(peer: number, family: FamilyIndex): void;
  /** The first time in a session that a peer announced more paths of a prefix than it may. */
  tooManyPaths(peer: number): void;
  /** RFC 7606: something was wrong with the UPDATE whose body is b[start, end), and this has become of it. */
  malformed(peer: number, found: Malformed, b: Uint8Array, start: number, end: number): void;
}

/** What was wrong with one UPDATE, all of it. */
export interface Malformed {
  /** The strongest of `faults` (RFC 7606 §3 h). */
  readonly cost: Exclude<Cost, "none">;
  readonly faults: readonly BadPart[];
}
type BadPart = Pick<AttributeFault, "type" | "text" | "configured">;
export type Treatments = ReadonlyMap<number, Treatment>;

export interface IngestParts {
  readonly attributes: AttributeTable;
  readonly peers: PeerTable;
  readonly ribs: readonly LocRib[];
  /** Import policies by peer; a peer without one is believed as it is. */
  readonly filters: ReadonlyMap<number, ImportFilter>;
  /** What an operator has done to attributes, by peer and type; a peer without any is not in here. */
  readonly treatments: ReadonlyMap<number, Treatments>;
  /** By peer; a peer without one has none. */
  readonly tolerances: ReadonlyMap<number, Tolerance>;
  /** By whom pod CIDRs are taken. */
  readonly origins: OriginCheck;
  readonly events: IngestEvents;
}

export class Ingest {
  readonly #attributes: AttributeTable;
  readonly #peers: PeerTable;
  readonly #ribs: readonly LocRib[];
  readonly #events: IngestEvents;
  readonly #origins: OriginCheck;
  readonly #filters: ReadonlyMap<number, ImportFilter>;
  readonly #treatments: ReadonlyMap<number, Treatments>;
  readonly #scratch = new Uint8Array(65_535 + 64);
  readonly #tolerances: ReadonlyMap<number, Tolerance>;
  readonly #refused = new Map<number, number>();
  readonly #overflows = new Map<number, number>();
  #found: Malformed | undefined;
  // what #split found
  #scratchEnd = 0;
  #nextHopLength = 0;
  #mpFamily: FamilyIndex = ipv6Unicast;
  #reachAt = 0;
  #reachEnd = 0;
  #unreachAt = 0;
  #unreachEnd = 0;

  constructor(parts: IngestParts) {
    this.#attributes = parts.attributes;
    this.#peers = parts.peers;
    this.#ribs = parts.ribs;
    this.#filters = parts.filters;
    this.#origins = parts.origins;
    this.#treatments = parts.treatments;
    this.#events = parts.events;
    this.#tolerances = parts.tolerances;
  }

  /** A new session of a peer: its count of refused prefixes starts anew. */
  begin(peer: number): void {
    this.#refused.delete(peer);
    this.#overflows.delete(peer);
  }
  refusedOf(peer: number): number {
    return this.#refused.get(peer) ?? 0;
  }
  /** Of those, paths beyond `mostPathsOfPeer`. */
  overflowsOf(peer: number): number {
    return this.#overflows.get(peer) ?? 0;
  }

  update(peer: number, b: Uint8Array, start: number, end: number): NotificationFault | undefined {
    const fault = this.#update(peer, b, start, end);
    if (fault === undefined && this.#found === undefined) return undefined;
    const found = this.#found ?? { cost: "reset", faults: [{ type: 0, text: fault!.text }] };
    this.#found = undefined;
    this.#events.malformed(peer, found, b, start, end);
    return fault;
  }

  /** Something is wrong with the UPDATE that is being worked on; `update` tells it when all is known. */
  #blame(cost: Malformed["cost"], faults: readonly BadPart[]): void {
    const before = this.#found;
    this.#found = before ? { cost: strongest(before.cost, cost) as Malformed["cost"], faults: [...before.faults, ...faults] } : { cost, faults };
  }

  #update(peer: number, b: Uint8Array, start: number, end: number): NotificationFault | undefined {
    if (start + 4 > end) return malformedList("UPDATE shorter than 4 octets");
    const withdrawnAt = start + 2,
      withdrawnEnd = withdrawnAt + u16(b, start);
    if (withdrawnEnd + 2 > end) return malformedList("withdrawn routes run past the UPDATE");
    const attributesAt = withdrawnEnd + 2,
      nlriAt = attributesAt + u16(b, withdrawnEnd);
    if (nlriAt > end) return malformedList("path attributes run past the UPDATE");
    const form = this.formOf(peer, ipv4Unicast);
    if (withdrawnEnd > withdrawnAt && countPrefixes(b, withdrawnAt, withdrawnEnd, form) < 0) return invalidNetwork("withdrawn routes");
    if (end > nlriAt && countPrefixes(b, nlriAt, end, form) < 0) return invalidNetwork("network layer reachability information");

    const takes4 = this.#peers.speaks(peer, ipv4Unicast);
    if (withdrawnEnd > withdrawnAt && takes4) this.#withdraw(this.#ribs[ipv4Unicast]!, peer, b, withdrawnAt, withdrawnEnd);
    if (nlriAt === attributesAt) {
      if (end > nlriAt) return this.#slow(peer, b, attributesAt, nlriAt, nlriAt, end);
      if (withdrawnEnd === withdrawnAt && takes4) this.#events.endOfRib(peer, ipv4Unicast);
      return undefined;
    }
    if (!this.#peers.terms[peer]!.fourOctetAs || this.#isTreated(peer)) return this.#slow(peer, b, attributesAt, nlriAt, nlriAt, end);
    if (end > nlriAt) {
      const set = this.#attributes.intern(b, attributesAt, nlriAt);
      if (set !== 0 && this.#suits(peer, set)) {
        if (takes4) this.#take(this.#ribs[ipv4Unicast]!, peer, set, b, nlriAt, end);
        else this.#attributes.drop(set);
        return undefined;
      }
      if (set !== 0) this.#attributes.drop(set);
      return this.#slow(peer, b, attributesAt, nlriAt, nlriAt, end);
    }
    return this.#multiprotocol(peer, b, attributesAt, nlriAt);
  }

  /** IPv6, or IPv4 with IPv6 next hops, alone in MP_REACH_NLRI or MP_UNREACH_NLRI, the usual way; else the slow path. */
  #multiprotocol(peer: number, b: Uint8Array, at: number, end: number): NotificationFault | undefined {
    if (!this.#split(b, at, end)) return this.#slow(peer, b, at, end, end, end);
    const family = this.#mpFamily,
      rib = this.#ribs[family]!,
      speaks = this.#peers.speaks(peer, family);
    const form = this.formOf(peer, family);
    if (this.#unreachAt > 0) {
      if (this.#scratchEnd > 0 || countPrefixes(b, this.#unreachAt, this.#unreachEnd, form) < 0) return this.#slow(peer, b, at, end, end, end);
      if (!speaks) return undefined;
      if (this.#unreachAt === this.#unreachEnd) this.#events.endOfRib(peer, family);
      else this.#withdraw(rib, peer, b, this.#unreachAt, this.#unreachEnd);
      return undefined;
    }
    if (family === ipv4Unicast && this.#peers.terms[peer]!.extendedNextHop !== true) return this.#slow(peer, b, at, end, end, end);
    if (countPrefixes(b, this.#reachAt, this.#reachEnd, form) < 0) return this.#slow(peer, b, at, end, end, end);
    const set = this.#attributes.intern(this.#scratch, 0, this.#scratchEnd, this.#scratchEnd, this.#nextHopLength);
    if (set === 0) return this.#slow(peer, b, at, end, end, end);
    if (!this.#suits(peer, set)) {
      this.#attributes.drop(set);
      return this.#slow(peer, b, at, end, end, end);
    }
    if (speaks) this.#take(rib, peer, set, b, this.#reachAt, this.#reachEnd);
    else this.#attributes.drop(set);
    return undefined;
  }

  /** Then the rows read every UPDATE of it: it is an incident, and need not be fast. */
  #isTreated(peer: number): boolean {
    return this.#treatments.size > 0 && this.#treatments.has(peer);
  }

  /** Canonical octets may still not be right from this peer: a next hop of ours, internal attributes from outside, a strange first AS. */
  #suits(peer: number, set: number): boolean {
    // A route of ours that comes back by another reflector has our next hop too: that is a loop, not a fault of the peer's.
    if ((this.#attributes.flags[set]! & (flagOwnNextHop | flagLoop)) === flagOwnNextHop) return false;
    if (this.#peers.role[peer] !== roleExternal) return true;
    if (this.#attributes.flags[set]! & flagInternalOnly) return false;
    return this.#attributes.neighborAs[set] === this.#peers.remoteAs[peer] || this.#tolerances.get(peer)?.anyFirstAs === true;
  }

  /** Own AS in the path, but no more often than this peer may send it. */
  #tolerates(peer: number, set: number): boolean {
    const most = this.#tolerances.get(peer)?.ownAs ?? 0;
    return most > 0 && countOwn(this.#attributes.decode(set), this.#attributes.self) <= most;
  }

  #take(rib: LocRib, peer: number, set: number, b: Uint8Array, start: number, end: number): void {
    const attributes = this.#attributes,
      prefixes = rib.prefixes,
      filter = this.#filters.get(peer),
      hasPathIds = this.#peers.givesPathIds[peer * 2 + rib.family] === 1;
    if (!accepts(attributes.flags[set]!) && !this.#tolerates(peer, set)) {
      attributes.drop(set);
      this.#refuse(peer, countPrefixes(b, start, end, this.formOf(peer, rib.family)));
      this.#withdraw(rib, peer, b, start, end); // a loop is an implicit withdraw (RFC 4456 §8)
      return;
    }
    attributes.retain(set);
    const isPlain = !filter && !hasPathIds && !this.#origins.isAsked;
    for (let at = start; at < end;) {
      at = prefixes.internBlock(b, at, end, hasPathIds);
      if (isPlain) {
        rib.putAll(prefixes.block, prefixes.blockCount, peer, set);
        continue;
      }
      for (let i = 0; i < prefixes.blockCount; i++) {
        const prefix = prefixes.block[i]!,
          pathId = hasPathIds ? prefixes.blockPathIds[i]! : 0,
          told = filter ? filter(rib, prefix, set, peer) : set;
        if (told === 0) {
          this.#refuse(peer, 1);
          rib.refuse(prefix, peer, pathId);
        } else if (!this.#origins.admits(rib, prefix, peer, told, pathId)) rib.refuse(prefix, peer, pathId);
        else if (!rib.put(prefix, peer, told, pathId)) this.#overflow(peer);
      }
    }
    attributes.release(set);
  }

  #refuse(peer: number, count: number): void {
    this.#refused.set(peer, this.refusedOf(peer) + count);
  }

  /** One path of a prefix too many (`mostPathsOfPeer`): it is not taken. */
  #overflow(peer: number): void {
    this.#refuse(peer, 1);
    const before = this.#overflows.get(peer) ?? 0;
    this.#overflows.set(peer, before + 1);
    if (before === 0) this.#events.tooManyPaths(peer);
  }

  #withdraw(rib: LocRib, peer: number, b: Uint8Array, start: number, end: number): void {
    const prefixes = rib.prefixes,
      hasPathIds = this.#peers.givesPathIds[peer * 2 + rib.family] === 1,
      isPlain = !hasPathIds && this.#origins.waiting === 0;
    for (let at = start; at < end;) {
      at = prefixes.findBlock(b, at, end, hasPathIds);
      if (isPlain) {
        rib.withdrawAll(prefixes.block, prefixes.blockCount, peer);
        continue;
      }
      for (let i = 0; i < prefixes.blockCount; i++) {
        const prefix = prefixes.block[i]!,
          pathId = hasPathIds ? prefixes.blockPathIds[i]! : 0;
        if (prefix >= 0) rib.withdraw(prefix, peer, pathId);
        if (prefix >= 0 && this.#origins.waiting > 0) this.#origins.withdraw(rib.family, prefix, peer, pathId);
      }
    }
  }

  /** How the peer writes prefixes of a family. */
  formOf(peer: number, family: FamilyIndex): NlriForm {
    return forms[family * 2 + this.#peers.givesPathIds[peer * 2 + family]!]!;
  }

  /** Copies all but MP_REACH_NLRI and MP_UNREACH_NLRI aside, with the next hop behind; false if anything is unusual. */
  #split(b: Uint8Array, start: number, end: number): boolean {
    const scratch = this.#scratch;
    let at = start,
      to = 0,
      nextHopAt = 0;
    this.#reachAt = this.#unreachAt = 0;
    while (at < end) {
      if (at + 3 > end) return false;
      const type = b[at + 1]!,
        extended = (b[at]! & 0x10) !== 0;
      const v = at + (extended ? 4 : 3),
        length = extended ? (b[at + 2]! << 8) | b[at + 3]! : b[at + 2]!;
      if (v + length > end) return false;
      if (type === 14) {
        const size = b[v + 3]!;
        if (this.#reachAt > 0 || (b[at]! & 0xe0) !== 0x80 || length < 21 || !this.#isUnicast(b, v)) return false;
        if ((size !== 16 && size !== 32) || size + 5 > length || !isUsualNextHop(b, v + 4)) return false;
        nextHopAt = v + 4;
        this.#nextHopLength = size;
        this.#reachAt = nextHopAt + size + 1;
        this.#reachEnd = v + length;
      } else if (type === 15) {
        if (this.#unreachAt > 0 || (b[at]! & 0xe0) !== 0x80 || length < 3 || !this.#isUnicast(b, v)) return false;
        this.#unreachAt = v + 3;
        this.#unreachEnd = v + length;
      } else for (let i = at; i < v + length; i++) scratch[to++] = b[i]!;
      at = v + length;
    }
    if (this.#reachAt > 0 === this.#unreachAt > 0) return false; // neither or both
    this.#scratchEnd = to;
    if (this.#reachAt > 0) for (let i = 0; i < this.#nextHopLength; i++) scratch[to + i] = b[nextHopAt + i]!;
    return true;
  }

  /** Takes note of the family an MP attribute begins with, if it is one of ours. */
  #isUnicast(b: Uint8Array, at: number): boolean {
    const afi = u16(b, at);
    this.#mpFamily = afi === 1 ? ipv4Unicast : ipv6Unicast;
    return b[at + 2] === 1 && (afi === 1 || afi === 2);
  }

  /** RFC 7606 in full, by the rows of wire/bgp. */
  #slow(peer: number, b: Uint8Array, at: number, end: number, nlriAt: number, nlriEnd: number): NotificationFault | undefined {
    const terms = this.#peers.terms[peer]!,
      internal = this.#peers.role[peer] !== roleExternal;
    const treatments = this.#treatments.get(peer);
    const addPath = ([ipv4Unicast, ipv6Unicast] as const).filter((one) => this.#peers.givesPathIds[peer * 2 + one] === 1).map((one) => familyKey(one + 1, 1));
    const decoded = decodeAttributes(b, at, end, { internal, fourOctetAs: terms.fourOctetAs, addPath, ...(treatments && { treatments }) });
    const context = {
      internal,
      remoteAs: terms.remoteAs,
      enforceFirstAs: this.#tolerances.get(peer)?.anyFirstAs !== true,
      acceptAsSet: false,
      // as in #suits: a route of ours that comes back has our next hop, and is no fault of the peer's
      ownAddresses: hasBeenHere(decoded.attributes, this.#attributes.self) ? [] : this.#attributes.self.addresses,
    };
    const verdict = validateUpdate(decoded, nlriEnd > nlriAt, context);
    if (verdict.cost !== "none") this.#blame(verdict.cost, verdict.faults);
    if (verdict.cost === "reset") return verdict.notification!;
    const { reach, unreach } = decoded;
    if (unreach) this.#slowUnreach(peer, b, unreach, reach === undefined && nlriEnd === nlriAt);
    const withdrawn = verdict.cost === "withdraw";
    if (nlriEnd > nlriAt && this.#peers.speaks(peer, ipv4Unicast)) {
      this.#takeValues(this.#ribs[ipv4Unicast]!, peer, withdrawn ? undefined : decoded.attributes, b, nlriAt, nlriEnd);
    }
    if (!reach || reach.safi !== 1 || (reach.afi !== 1 && reach.afi !== 2)) return undefined;
    const family: FamilyIndex = reach.afi === 1 ? ipv4Unicast : ipv6Unicast;
    if (!this.#peers.speaks(peer, family)) return undefined; // not negotiated: ignored, not a reset
    // The next hop of MP_REACH_NLRI is the one that counts (RFC 4760 §3).
    const values = withdrawn || !this.#mayCome(peer, family, reach.nextHop) ? undefined : { ...decoded.attributes, nextHop: reach.nextHop };
    this.#takeValues(this.#ribs[family]!, peer, values, b, reach.nlriStart, reach.nlriEnd);
    return undefined;
  }

  /** An IPv6 next hop of IPv4 routes is for those who agreed on it (RFC 8950 §4). */
  #mayCome(peer: number, family: FamilyIndex, nextHop: Uint8Array): boolean {
    if (family === ipv6Unicast || nextHop.length === 4 || this.#peers.terms[peer]!.extendedNextHop === true) return true;
    const text = `an IPv4 route has a next hop of ${nextHop.length} octets, which was not negotiated (RFC 8950)`;
    this.#blame("withdraw", [{ type: attributeType.mpReach, text }]);
    return false;
  }

  /** `values`: undefined to take the prefixes back. A next hop of four octets stands among the attributes, an IPv6 one beside them. */
  #takeValues(rib: LocRib, peer: number, values: PathAttributes | undefined, b: Uint8Array, start: number, end: number): void {
    let set = 0;
    if (values) {
      const { nextHop, ...others } = values;
      set = nextHop?.length === 4 ? this.#attributes.internValues(values, undefined) : this.#attributes.internValues(others, nextHop);
      if (set === 0) this.#blame("withdraw", [{ type: attributeType.asPath, text: "the attributes take more than 65535 octets with AS numbers of four" }]);
    }
    if (set === 0) this.#withdraw(rib, peer, b, start, end);
    else this.#take(rib, peer, set, b, start, end);
  }

  #slowUnreach(peer: number, b: Uint8Array, unreach: { afi: number; safi: number; start: number; end: number }, alone: boolean): void {
    if (unreach.safi !== 1 || (unreach.afi !== 1 && unreach.afi !== 2)) return;
    const family: FamilyIndex = unreach.afi === 1 ? ipv4Unicast : ipv6Unicast;
    if (!this.#peers.speaks(peer, family)) return;
    if (unreach.start < unreach.end) this.#withdraw(this.#ribs[family]!, peer, b, unreach.start, unreach.end);
    else if (alone) this.#events.endOfRib(peer, family);
  }
}

/** By family, without and with path identifiers. */
const forms: readonly NlriForm[] = [
  { family: 4, addPath: false },
  { family: 4, addPath: true },
  { family: 6, addPath: false },
  { family: 6, addPath: true },
];

const u16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;

/** Neither unspecified nor multicast nor loopback: what begins with an ordinary octet passes, the rest goes to the rows. */
function isUsualNextHop(b: Uint8Array, at: number): boolean {
  return b[at] !== 0 && b[at] !== 0xff;
}
function malformedList(text: string): NotificationFault {
  return peerFault(3, 1, text);
}
function invalidNetwork(where: string): NotificationFault {
  return peerFault(3, 10, `a prefix in the ${where} is longer than its family allows or runs past its field`);
}
