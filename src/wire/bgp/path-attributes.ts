/** The path attributes of one UPDATE as values, and what a bad one costs. Octets in here are copies, never views of a message. */
import type { AsPath } from "./as-path.ts";

/** All AS numbers are of four octets, whatever the session speaks (RFC 6793 §4). Absent means not present in the UPDATE. */
export interface KnownAttributes {
  /** 0 IGP, 1 EGP, 2 INCOMPLETE. */
  readonly origin?: number;
  readonly asPath?: AsPath;
  /** 4 octets of the NEXT_HOP attribute, or 16 or 32 octets set by whoever keeps the next hop of MP_REACH_NLRI here. */
  readonly nextHop?: Uint8Array;
  readonly med?: number;
  readonly localPref?: number;
  readonly atomicAggregate?: boolean;
  readonly aggregator?: Aggregator;
  readonly communities?: Uint32Array;
  /** BGP Identifier, unsigned (RFC 4456 §8). */
  readonly originatorId?: number;
  readonly clusterList?: Uint32Array;
  /** Eight octets each, as they came (RFC 4360). */
  readonly extendedCommunities?: Uint8Array;
  /** Three numbers each (RFC 8092). */
  readonly largeCommunities?: Uint32Array;
  /** ONLY_TO_CUSTOMER, an AS number (RFC 9234 §5). */
  readonly otc?: number;
}

export interface Aggregator {
  readonly asn: number;
  /** 4 octets. */
  readonly address: Uint8Array;
}

/** MP_REACH_NLRI (RFC 4760 §3): the offsets point into the message that was decoded. */
export interface MpReach {
  readonly afi: number;
  readonly safi: number;
  /** A copy; 4, 16 or 32 octets for the unicast families. */
  readonly nextHop: Uint8Array;
  readonly nlriStart: number;
  readonly nlriEnd: number;
}

/** MP_UNREACH_NLRI (RFC 4760 §4): bytes[start, end) of the message are its withdrawn prefixes. */
export interface MpUnreach {
  readonly afi: number;
  readonly safi: number;
  readonly start: number;
  readonly end: number;
}

/** RFC 7606 §2, mildest first; "AFI/SAFI disable" is not used. */
export const costs = ["none", "discard", "withdraw", "reset"] as const;
export type Cost = (typeof costs)[number];

/** RFC 7606 §3 h: of several errors the strongest treatment wins. */
export function strongest(a: Cost, b: Cost): Cost {
  return costs.indexOf(a) >= costs.indexOf(b) ? a : b;
}

/** One thing wrong with the attributes, and the UPDATE Message Error it would be if the session had to be reset for it. */
export interface AttributeFault {
  /** Attribute type code; 0 if the list itself is malformed. */
  readonly type: number;
  readonly cost: Exclude<Cost, "none">;
  readonly text: string;
  readonly subcode: number;
  /** Data field of that NOTIFICATION (RFC 4271 §6.3): a copy. */
  readonly data: Uint8Array;
  /** Not malformed: an operator has this attribute treated like that (`AttributeContext.treatments`). */
  readonly configured?: true;
}

/** What an operator has done to attributes of a type, read or not: the attribute is left out, or its routes are. */
export type Treatment = "discard" | "withdraw";

export interface AttributeContext {
  /** The peer is in our AS. */
  readonly internal: boolean;
  /** Both sides offered four-octet AS numbers (RFC 6793). */
  readonly fourOctetAs: boolean;
  /** Families (`familyKey`) whose prefixes come from this peer with path identifiers (RFC 7911); none if absent. */
  readonly addPath?: readonly number[];
  /** By attribute type; none if absent. Never of a mandatory attribute or one that carries prefixes. */
  readonly treatments?: ReadonlyMap<number, Treatment>;
}
