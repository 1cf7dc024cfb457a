/**
 * UPDATE (RFC 4271 §4.3): three ranges, and what stands in them is for attribute.ts and nlri.ts.
 *
 *   | length 2 | withdrawn routes | length 2 | path attributes | NLRI up to the end of the message |
 */
import { Writer } from "#base/bytes.ts";
import { beginAttribute, encodeAttributes, endAttribute, type PathAttributes } from "./attribute.ts";
import { afi as afiOf, attributeFlag, attributeType, errorCode, familyKey, messageType, safi as safiOf, updateSubcode } from "./constants.ts";
import { beginMessage, endMessage } from "./message.ts";
import { encodePrefixes, type Nlri } from "./nlri.ts";
import { type PeerFault, peerFault } from "./notification.ts";

/** Offsets into the message; filled in by `splitUpdate`, so that one object serves every message. */
export interface UpdateRanges {
  withdrawnStart: number;
  withdrawnEnd: number;
  attributesStart: number;
  attributesEnd: number;
  nlriStart: number;
  nlriEnd: number;
}

export function emptyRanges(): UpdateRanges {
  return { withdrawnStart: 0, withdrawnEnd: 0, attributesStart: 0, attributesEnd: 0, nlriStart: 0, nlriEnd: 0 };
}

/** Where the ranges of the body bytes[start, end) are. Lengths beyond the message reset the session (RFC 7606 §3 a). */
export function splitUpdate(bytes: Uint8Array, start: number, end: number, out: UpdateRanges): PeerFault | undefined {
  if (end - start < 4) return beyond("an UPDATE has at least 4 octets of lengths");
  out.withdrawnStart = start + 2;
  out.withdrawnEnd = out.withdrawnStart + ((bytes[start]! << 8) | bytes[start + 1]!);
  if (out.withdrawnEnd + 2 > end) return beyond("withdrawn routes run past the message");
  out.attributesStart = out.withdrawnEnd + 2;
  out.attributesEnd = out.attributesStart + ((bytes[out.withdrawnEnd]! << 8) | bytes[out.withdrawnEnd + 1]!);
  if (out.attributesEnd > end) return beyond("path attributes run past the message");
  out.nlriStart = out.attributesEnd;
  out.nlriEnd = end;
  return undefined;
}

function beyond(text: string): PeerFault {
  return peerFault(errorCode.updateMessage, updateSubcode.malformedAttributeList, text);
}

/**
 * The family whose End-of-RIB this UPDATE is (RFC 4724 §2), as AFI × 256 + SAFI, or 0 if it is none: nothing at all for IPv4
 * unicast, or one MP_UNREACH_NLRI with no prefixes, which some send for IPv4 unicast as well.
 */
export function endOfRib(bytes: Uint8Array, { withdrawnStart, withdrawnEnd, attributesStart, attributesEnd, nlriStart, nlriEnd }: UpdateRanges): number {
  if (withdrawnStart !== withdrawnEnd || nlriStart !== nlriEnd) return 0;
  const size = attributesEnd - attributesStart;
  if (size === 0) return familyKey(afiOf.ipv4, safiOf.unicast);
  if (size < 6 || bytes[attributesStart + 1] !== attributeType.mpUnreach) return 0;
  const flags = bytes[attributesStart]!;
  const extended = (flags & attributeFlag.extendedLength) !== 0 ? 1 : 0;
  const mask = attributeFlag.optional | attributeFlag.transitive;
  if ((flags & mask) !== attributeFlag.optional || size !== 6 + extended) return 0;
  if (bytes[attributesStart + 2 + extended] !== 3 || (extended === 1 && bytes[attributesStart + 2] !== 0)) return 0;
  const at = attributesStart + 3 + extended;
  return familyKey((bytes[at]! << 8) | bytes[at + 1]!, bytes[at + 2]!);
}

/** One UPDATE as values: for control, monitoring and tests. The reflector has a packer of its own. */
export interface Update {
  readonly withdrawn?: readonly Nlri[];
  readonly attributes?: PathAttributes;
  readonly nlri?: readonly Nlri[];
  readonly reach?: { readonly afi: number; readonly safi: number; readonly nextHop: Uint8Array; readonly nlri: readonly Nlri[] };
  readonly unreach?: { readonly afi: number; readonly safi: number; readonly withdrawn: readonly Nlri[] };
}

/** The whole message. The MP attributes come first (RFC 7606 §5.1). The caller keeps it within the peer's limit. */
export function encodeUpdate({ withdrawn = [], attributes = {}, nlri = [], reach, unreach }: Update, options: { readonly fourOctetAs: boolean }): Uint8Array {
  const into = new Writer();
  const at = beginMessage(into, messageType.update);
  const withdrawnAt = into.hole16();
  encodePrefixes(withdrawn, into);
  into.patch16(withdrawnAt, into.length - withdrawnAt - 2);
  const attributesAt = into.hole16();
  if (reach) {
    const reachAt = beginAttribute(attributeFlag.optional, attributeType.mpReach, into);
    into.u16(reach.afi).u8(reach.safi).u8(reach.nextHop.length).put(reach.nextHop).u8(0);
    encodePrefixes(reach.nlri, into);
    endAttribute(reachAt, into);
  }
  if (unreach) {
    const unreachAt = beginAttribute(attributeFlag.optional, attributeType.mpUnreach, into);
    into.u16(unreach.afi).u8(unreach.safi);
    encodePrefixes(unreach.withdrawn, into);
    endAttribute(unreachAt, into);
  }
  encodeAttributes(attributes, into, options);
  into.patch16(attributesAt, into.length - attributesAt - 2);
  encodePrefixes(nlri, into);
  endMessage(into, at);
  return into.written;
}

/** The End-of-RIB marker of a family: the empty UPDATE for IPv4 unicast, else an empty MP_UNREACH_NLRI (RFC 4724 §2). */
export function encodeEndOfRib(afi: number, safi: number): Uint8Array {
  if (afi === afiOf.ipv4 && safi === safiOf.unicast) return encodeUpdate({}, { fourOctetAs: true });
  return encodeUpdate({ unreach: { afi, safi, withdrawn: [] } }, { fourOctetAs: true });
}
