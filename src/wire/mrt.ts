/**
 * MRT records (RFC 6396): what a router held (TABLE_DUMP_V2) and what it was sent (BGP4MP). AS numbers always in four octets.
 *
 *   | seconds since 1970, 4 | type 2 | subtype 2 | length of what follows 4 | record |
 */
import { Writer } from "#base/bytes.ts";
import { familyOf, type Ip, ipBytes } from "#base/ip.ts";
import { type Prefix, prefixFamily, prefixParts } from "#base/prefix.ts";

const mrtType = { tableDumpV2: 13, bgp4mp: 16 } as const;
/** RFC 6396 §4.3, RFC 8050 §4. */
const tableSubtype = { peerIndex: 1, ipv4Unicast: 2, ipv6Unicast: 4, ipv4UnicastAddPath: 8, ipv6UnicastAddPath: 10 } as const;
/** RFC 6396 §4.4, RFC 8050 §3. */
const bgp4mpSubtype = { message: 1, messageAs4: 4, stateChangeAs4: 5, messageAddPath: 8, messageAs4AddPath: 9 } as const;
/** Peer types of the index (RFC 6396 §4.3.1): the AS number in four octets, the address in sixteen. */
const indexType = { ipv6: 1, fourOctetAs: 2 } as const;

export interface MrtPeer {
  readonly address: Ip;
  readonly asn: number;
  readonly bgpId: number;
}

/** RFC 6396 §4.4.1, in the numbers of RFC 4271's states. */
export const mrtState = { Idle: 1, Connect: 2, Active: 3, OpenSent: 4, OpenConfirm: 5, Established: 6 } as const;

/** PEER_INDEX_TABLE (§4.3.1): first of a dump; the entries after it name peers by their place in `peers`. */
export function encodeMrtPeerIndex(collectorId: number, viewName: string, peers: readonly MrtPeer[], seconds: number): Uint8Array {
  return record(mrtType.tableDumpV2, tableSubtype.peerIndex, seconds, (into) => {
    const name = new TextEncoder().encode(viewName);
    into.u32(collectorId).u16(name.length).put(name).u16(peers.length);
    for (const { address, asn, bgpId } of peers) {
      into.u8(indexType.fourOctetAs | (familyOf(address) === 6 ? indexType.ipv6 : 0)).u32(bgpId);
      into.put(ipBytes(address)).u32(asn);
    }
  });
}

/** One path of a prefix. `attributes`: canonical octets, AS numbers in four octets, without MP_REACH_NLRI. */
export interface MrtEntry {
  readonly peerIndex: number;
  readonly originatedSeconds: number;
  readonly pathId: number | undefined;
  readonly attributes: Uint8Array;
  /** What MP_REACH_NLRI would have said: 4, 16 or 32 octets; undefined where NEXT_HOP is among the attributes. */
  readonly nextHop: Uint8Array | undefined;
}

/** RIB_IPV4_UNICAST, RIB_IPV6_UNICAST (§4.3.2), or their ADD-PATH forms as soon as one entry has a path identifier (RFC 8050 §4). */
export function encodeMrtRib(sequence: number, prefix: Prefix, entries: readonly MrtEntry[], seconds: number): Uint8Array {
  const isIpv4 = prefixFamily(prefix) === 4,
    addPath = entries.some((entry) => entry.pathId !== undefined);
  const plain = isIpv4 ? tableSubtype.ipv4Unicast : tableSubtype.ipv6Unicast,
    withIds = isIpv4 ? tableSubtype.ipv4UnicastAddPath : tableSubtype.ipv6UnicastAddPath;
  return record(mrtType.tableDumpV2, addPath ? withIds : plain, seconds, (into) => {
    const { bytes, length } = prefixParts(prefix);
    into
      .u32(sequence)
      .u8(length)
      .put(bytes.subarray(0, (length + 7) >> 3))
      .u16(entries.length);
    for (const entry of entries) {
      into.u16(entry.peerIndex).u32(entry.originatedSeconds);
      if (addPath) into.u32(entry.pathId ?? 0);
      putAttributes(entry, into);
    }
  });
}

/** §4.3.4: of MP_REACH_NLRI only the length of the next hop and the next hop. */
function putAttributes({ attributes, nextHop }: MrtEntry, into: Writer): void {
  const reach = nextHop === undefined ? 0 : 4 + nextHop.length;
  into.u16(attributes.length + reach).put(attributes);
  if (nextHop)
    into
      .u8(0x80)
      .u8(14)
      .u8(1 + nextHop.length)
      .u8(nextHop.length)
      .put(nextHop);
}

/** The two ends of a session. */
export interface MrtSession {
  readonly peer: MrtPeer;
  readonly localAsn: number;
  readonly local: Ip;
  /** What its messages are encoded with. */
  readonly fourOctetAs: boolean;
  /** True if the message's NLRI carry path identifiers. */
  readonly addPath: boolean;
}

/** A BGP message, whole, as it came (§4.4.2, §4.4.3). */
export function encodeMrtMessage(session: MrtSession, message: Uint8Array, seconds: number): Uint8Array {
  const { fourOctetAs, addPath } = session;
  const plain = fourOctetAs ? bgp4mpSubtype.messageAs4 : bgp4mpSubtype.message,
    withIds = fourOctetAs ? bgp4mpSubtype.messageAs4AddPath : bgp4mpSubtype.messageAddPath;
  return record(mrtType.bgp4mp, addPath ? withIds : plain, seconds, (into) => {
    putEnds(session, fourOctetAs, into);
    into.put(message);
  });
}

export function encodeMrtStateChange(session: MrtSession, from: keyof typeof mrtState, to: keyof typeof mrtState, seconds: number): Uint8Array {
  return record(mrtType.bgp4mp, bgp4mpSubtype.stateChangeAs4, seconds, (into) => {
    putEnds(session, true, into);
    into.u16(mrtState[from]).u16(mrtState[to]);
  });
}

/** A number that two octets cannot hold is AS_TRANS there (RFC 6793 §4.2.1). */
function putEnds({ peer, localAsn, local }: MrtSession, fourOctetAs: boolean, into: Writer): void {
  const asTrans = 23_456;
  for (const asn of [peer.asn, localAsn])
    if (fourOctetAs) into.u32(asn);
    else into.u16(asn > 0xffff ? asTrans : asn);
  const isIpv6 = familyOf(peer.address) === 6;
  into.u16(0).u16(isIpv6 ? 2 : 1); // no interface index
  into.put(ipBytes(peer.address)).put(ipBytes(local));
}

function record(type: number, subtype: number, seconds: number, body: (into: Writer) => void): Uint8Array {
  const into = new Writer(512);
  into.u32(seconds).u16(type).u16(subtype).u32(0);
  body(into);
  const length = into.length - 12;
  into.patch16(8, length >>> 16);
  into.patch16(10, length & 0xffff);
  return into.written;
}
