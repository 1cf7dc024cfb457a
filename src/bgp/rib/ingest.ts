/**
 * An UPDATE → the Adj-RIBs-In. A hot file: the usual UPDATE (canonical attributes, seen or new) is never decoded; anything
 * unusual takes the slow path, where wire/bgp decides by RFC 7606 what it costs.
 *
 * In: the body of an UPDATE, valid only during the call. Out: paths put and withdrawn, prefixes marked dirty; a fault that
 * resets the session. Holds: NLRI are checked whole before the first is taken, so that a fault leaves nothing half done.
 */
import { countPrefixes } from "#wire/bgp/nlri.ts";
import { decodeAttributes, type PathAttributes } from "#wire/bgp/attribute.ts";
import { peerFault } from "#wire/bgp/notification.ts";
import { validateUpdate } from "#wire/bgp/validate.ts";
import type { FamilyIndex, NotificationFault } from "../terms.ts";
import { ipv4Unicast, ipv6Unicast } from "../terms.ts";
import type { ImportFilter } from "../policy.ts";
import { accepts } from "../reflector/reflect.ts";
import type { AttributeTable } from "./attributes.ts";
import type { LocRib } from "./loc-rib.ts";
import { type PeerTable, roleExternal } from "./peer-table.ts";
import { flagInternalOnly, flagLoop, flagOwnNextHop } from "./scan.ts";

/** What the RIB wants to know beyond paths. */
export interface IngestEvents {
  endOfRib(peer: number, family: FamilyIndex): void;
  /** RFC 7606: something was wrong and dealt with without a reset. */
  malformed(peer: number, treatment: "withdraw" | "discard", text: string): void;
}

export interface IngestParts {
  readonly attributes: AttributeTable;
  readonly peers: PeerTable;
  readonly ribs: readonly LocRib[];
  /** Import policies by peer; a peer without one is believed as it is. */
  readonly filters: ReadonlyMap<number, ImportFilter>;
  readonly events: IngestEvents;
}

export class Ingest {
  readonly #attributes: AttributeTable;
  readonly #peers: PeerTable;
  readonly #ribs: readonly LocRib[];
  readonly #events: IngestEvents;
  readonly #filters: ReadonlyMap<number, ImportFilter>;
  readonly #scratch = new Uint8Array(65_535 + 64);
  readonly #refused = new Map<number, number>();
  // what #split found
  #scratchEnd = 0;
  #nextHopLength = 0;
  #reachAt = 0;
  #reachEnd = 0;
  #unreachAt = 0;
  #unreachEnd = 0;

  constructor(parts: IngestParts) {
    this.#attributes = parts.attributes;
    this.#peers = parts.peers;
    this.#ribs = parts.ribs;
    this.#filters = parts.filters;
    this.#events = parts.events;
  }

  /** A new session of a peer: its count of refused prefixes starts anew. */
  begin(peer: number): void {
    this.#refused.delete(peer);
  }
  refusedOf(peer: number): number {
    return this.#refused.get(peer) ?? 0;
  }

  update(peer: number, b: Uint8Array, start: number, end: number): NotificationFault | undefined {
    if (start + 4 > end) return malformedList("UPDATE shorter than 4 octets");
    const withdrawnAt = start + 2,
      withdrawnEnd = withdrawnAt + u16(b, start);
    if (withdrawnEnd + 2 > end) return malformedList("withdrawn routes run past the UPDATE");
    const attributesAt = withdrawnEnd + 2,
      nlriAt = attributesAt + u16(b, withdrawnEnd);
    if (nlriAt > end) return malformedList("path attributes run past the UPDATE");
    if (withdrawnEnd > withdrawnAt && countPrefixes(b, withdrawnAt, withdrawnEnd, v4) < 0) return invalidNetwork("withdrawn routes");
    if (end > nlriAt && countPrefixes(b, nlriAt, end, v4) < 0) return invalidNetwork("network layer reachability information");

    const takes4 = this.#peers.speaks(peer, ipv4Unicast);
    if (withdrawnEnd > withdrawnAt && takes4) this.#withdraw(this.#ribs[ipv4Unicast]!, peer, b, withdrawnAt, withdrawnEnd);
    if (nlriAt === attributesAt) {
      if (end > nlriAt) return this.#slow(peer, b, attributesAt, nlriAt, nlriAt, end);
      if (withdrawnEnd === withdrawnAt && takes4) this.#events.endOfRib(peer, ipv4Unicast);
      return undefined;
    }
    if (!this.#peers.terms[peer]!.fourOctetAs) return this.#slow(peer, b, attributesAt, nlriAt, nlriAt, end);
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

  /** IPv6 alone in MP_REACH_NLRI or MP_UNREACH_NLRI, the usual way; else the slow path. */
  #multiprotocol(peer: number, b: Uint8Array, at: number, end: number): NotificationFault | undefined {
    if (!this.#split(b, at, end)) return this.#slow(peer, b, at, end, end, end);
    const rib = this.#ribs[ipv6Unicast]!,
      speaks = this.#peers.speaks(peer, ipv6Unicast);
    if (this.#unreachAt > 0) {
      if (this.#scratchEnd > 0 || countPrefixes(b, this.#unreachAt, this.#unreachEnd, v6) < 0) return this.#slow(peer, b, at, end, end, end);
      if (!speaks) return undefined;
      if (this.#unreachAt === this.#unreachEnd) this.#events.endOfRib(peer, ipv6Unicast);
      else this.#withdraw(rib, peer, b, this.#unreachAt, this.#unreachEnd);
      return undefined;
    }
    if (countPrefixes(b, this.#reachAt, this.#reachEnd, v6) < 0) return this.#slow(peer, b, at, end, end, end);
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

  /** Canonical octets may still not be right from this peer: a next hop of ours, internal attributes from outside, a strange first AS. */
  #suits(peer: number, set: number): boolean {
    // A route of ours that comes back by another reflector has our next hop too: that is a loop, not a fault of the peer's.
    if ((this.#attributes.flags[set]! & (flagOwnNextHop | flagLoop)) === flagOwnNextHop) return false;
    if (this.#peers.role[peer] !== roleExternal) return true;
    return (this.#attributes.flags[set]! & flagInternalOnly) === 0 && this.#attributes.neighborAs[set] === this.#peers.remoteAs[peer];
  }

  #take(rib: LocRib, peer: number, set: number, b: Uint8Array, start: number, end: number): void {
    const attributes = this.#attributes,
      prefixes = rib.prefixes,
      filter = this.#filters.get(peer);
    if (!accepts(attributes.flags[set]!)) {
      attributes.drop(set);
      this.#refuse(peer, countPrefixes(b, start, end, rib.family === ipv4Unicast ? v4 : v6));
      this.#withdraw(rib, peer, b, start, end); // a loop is an implicit withdraw (RFC 4456 §8)
      return;
    }
    attributes.retain(set);
    for (let at = start; at < end;) {
      at = prefixes.internBlock(b, at, end);
      for (let i = 0; i < prefixes.blockCount; i++) {
        const prefix = prefixes.block[i]!,
          told = filter ? filter(rib, prefix, set) : set;
        if (told !== 0) rib.put(prefix, peer, told);
        else {
          this.#refuse(peer, 1);
          rib.refuse(prefix, peer);
        }
      }
    }
    attributes.release(set);
  }

  #refuse(peer: number, count: number): void {
    this.#refused.set(peer, this.refusedOf(peer) + count);
  }

  #withdraw(rib: LocRib, peer: number, b: Uint8Array, start: number, end: number): void {
    const prefixes = rib.prefixes;
    for (let at = start; at < end;) {
      at = prefixes.findBlock(b, at, end);
      for (let i = 0; i < prefixes.blockCount; i++) if (prefixes.block[i]! >= 0) rib.withdraw(prefixes.block[i]!, peer);
    }
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
        if (this.#reachAt > 0 || (b[at]! & 0xe0) !== 0x80 || length < 21 || u16(b, v) !== 2 || b[v + 2] !== 1) return false;
        if ((size !== 16 && size !== 32) || size + 5 > length || !isUsualNextHop(b, v + 4)) return false;
        nextHopAt = v + 4;
        this.#nextHopLength = size;
        this.#reachAt = nextHopAt + size + 1;
        this.#reachEnd = v + length;
      } else if (type === 15) {
        if (this.#unreachAt > 0 || (b[at]! & 0xe0) !== 0x80 || length < 3 || u16(b, v) !== 2 || b[v + 2] !== 1) return false;
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

  /** RFC 7606 in full, by the rows of wire/bgp. */
  #slow(peer: number, b: Uint8Array, at: number, end: number, nlriAt: number, nlriEnd: number): NotificationFault | undefined {
    const terms = this.#peers.terms[peer]!,
      internal = this.#peers.role[peer] !== roleExternal;
    const decoded = decodeAttributes(b, at, end, { internal, fourOctetAs: terms.fourOctetAs });
    const context = { internal, remoteAs: terms.remoteAs, enforceFirstAs: true, acceptAsSet: false, ownAddresses: this.#attributes.self.addresses };
    const verdict = validateUpdate(decoded, nlriEnd > nlriAt, context);
    if (verdict.cost === "reset") return verdict.notification!;
    if (verdict.cost !== "none") this.#events.malformed(peer, verdict.cost, verdict.faults.map((fault) => fault.text).join("; "));
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

  /** An IPv6 next hop of IPv4 routes is for those who agreed on it; we offer it to nobody (RFC 8950 §4). */
  #mayCome(peer: number, family: FamilyIndex, nextHop: Uint8Array): boolean {
    if (family === ipv6Unicast || nextHop.length === 4) return true;
    this.#events.malformed(peer, "withdraw", `an IPv4 route has a next hop of ${nextHop.length} octets, which was not negotiated (RFC 8950)`);
    return false;
  }

  /** `values`: undefined to take the prefixes back. IPv4 keeps its next hop among the attributes, IPv6 beside them. */
  #takeValues(rib: LocRib, peer: number, values: PathAttributes | undefined, b: Uint8Array, start: number, end: number): void {
    let set = 0;
    if (values) {
      const { nextHop, ...others } = values;
      set = rib.family === ipv4Unicast ? this.#attributes.internValues(values, undefined) : this.#attributes.internValues(others, nextHop);
      if (set === 0) this.#events.malformed(peer, "withdraw", "the attributes take more than 65535 octets with AS numbers of four");
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

const v4 = { family: 4, addPath: false } as const;
const v6 = { family: 6, addPath: false } as const;

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
