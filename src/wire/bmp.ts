/**
 * BGP Monitoring Protocol, version 3, as the monitored router speaks it (RFC 7854; Loc-RIB by RFC 9069). One way: a station
 * never answers, so there is no decoder here; the tests have one, and pmacct's.
 *
 *   | version 1 | length 4 | type 1 | per-peer header 42 (not in initiation and termination) | what the type says |
 */
import { Writer } from "#base/bytes.ts";
import { familyOf, type Ip, ipBytes } from "#base/ip.ts";

const version = 3;
export const bmpType = { routeMonitoring: 0, statistics: 1, peerDown: 2, peerUp: 3, initiation: 4, termination: 5, routeMirroring: 6 } as const;

/** Peer types (RFC 7854 §4.2, RFC 9069 §4.1). */
const peerType = { global: 0, locRib: 3 } as const;
/** Flags of the per-peer header for peers with an address (RFC 7854 §4.2): IPv6 address; AS_PATH in two octets. */
const peerFlag = { ipv6: 0x80, twoOctetAs: 0x20 } as const;
const informationType = { text: 0, sysDescr: 1, sysName: 2, tableName: 3 } as const;
const termination = { reason: 1, administrativelyClosed: 0 } as const;
const mirroring = { message: 0, information: 1, erroredPdu: 0 } as const;

/** Whose routes a message speaks of. */
export interface BmpPeer {
  /** Undefined: our own Loc-RIB. */
  readonly address: Ip | undefined;
  readonly asn: number;
  /** BGP Identifier, unsigned. */
  readonly bgpId: number;
  /** True if AS_PATH in its UPDATEs has two octets a number. */
  readonly twoOctetAs: boolean;
}

/** Microseconds since 1970; a double holds them exactly until the year 2255. */
export type EpochMicros = number;

/** A value of a statistics report (RFC 7854 §4.8); `afi` for those counted by family, SAFI unicast. */
export type BmpStatistic =
  | { readonly type: typeof bmpStatistic.rejected | typeof bmpStatistic.treatAsWithdraw; readonly value: number }
  | { readonly type: typeof bmpStatistic.adjRibIn | typeof bmpStatistic.locRib; readonly afi: number; readonly value: number };
export const bmpStatistic = { rejected: 0, adjRibIn: 9, locRib: 10, treatAsWithdraw: 11 } as const;

/** Why a session ended, as RFC 7854 §4.9 counts; the data is a NOTIFICATION message, or the number of an FSM event. */
export type BmpPeerDown =
  | { readonly reason: typeof bmpDownReason.localNotification | typeof bmpDownReason.remoteNotification; readonly notification: Uint8Array }
  | { readonly reason: typeof bmpDownReason.localFsm; readonly event: number }
  | { readonly reason: typeof bmpDownReason.remote | typeof bmpDownReason.deconfigured };
export const bmpDownReason = { localNotification: 1, localFsm: 2, remoteNotification: 3, remote: 4, deconfigured: 5 } as const;

/** RFC 7854 §4.3: first on every connection. */
export function encodeBmpInitiation(sysName: string, sysDescr: string): Uint8Array {
  return message(bmpType.initiation, undefined, 0, (into) => {
    putText(informationType.sysName, sysName, into);
    putText(informationType.sysDescr, sysDescr, into);
  });
}

/** RFC 7854 §4.5: we close for good. */
export function encodeBmpTermination(text: string): Uint8Array {
  return message(bmpType.termination, undefined, 0, (into) => {
    putText(informationType.text, text, into);
    into.u16(termination.reason).u16(2).u16(termination.administrativelyClosed);
  });
}

/** Both ends of a session and both OPEN messages, whole (RFC 7854 §4.10). For the Loc-RIB the ends are left out (RFC 9069 §4.4). */
export interface BmpSession {
  readonly local: Ip | undefined;
  readonly localPort: number;
  readonly remotePort: number;
  readonly sentOpen: Uint8Array;
  readonly receivedOpen: Uint8Array;
}

export function encodeBmpPeerUp(peer: BmpPeer, session: BmpSession, at: EpochMicros): Uint8Array {
  return message(bmpType.peerUp, peer, at, (into) => {
    putAddress(session.local, into);
    into.u16(session.localPort).u16(session.remotePort).put(session.sentOpen).put(session.receivedOpen);
    if (peer.address === undefined) putText(informationType.tableName, "global", into);
  });
}

export function encodeBmpPeerDown(peer: BmpPeer, down: BmpPeerDown, at: EpochMicros): Uint8Array {
  return message(bmpType.peerDown, peer, at, (into) => {
    into.u8(down.reason);
    if ("notification" in down) into.put(down.notification);
    else if ("event" in down) into.u16(down.event);
  });
}

/** One UPDATE, whole, as the peer sent it or as it says what the Loc-RIB holds (RFC 7854 §4.6). */
export function encodeBmpRouteMonitoring(peer: BmpPeer, update: Uint8Array, at: EpochMicros): Uint8Array {
  return message(bmpType.routeMonitoring, peer, at, (into) => into.put(update));
}

/** A message that reset the session or whose routes were taken as withdrawn, whole (RFC 7854 §4.7). */
export function encodeBmpErroredPdu(peer: BmpPeer, errored: Uint8Array, at: EpochMicros): Uint8Array {
  return message(bmpType.routeMirroring, peer, at, (into) => {
    into.u16(mirroring.information).u16(2).u16(mirroring.erroredPdu);
    into.u16(mirroring.message).u16(errored.length).put(errored);
  });
}

export function encodeBmpStatistics(peer: BmpPeer, statistics: readonly BmpStatistic[], at: EpochMicros): Uint8Array {
  return message(bmpType.statistics, peer, at, (into) => {
    into.u32(statistics.length);
    for (const statistic of statistics) {
      into.u16(statistic.type);
      if ("afi" in statistic) putGauge(into.u16(11).u16(statistic.afi).u8(1), statistic.value);
      else into.u16(4).u32(statistic.value >>> 0);
    }
  });
}

function putGauge(into: Writer, value: number): void {
  into.u32(Math.floor(value / 0x1_0000_0000)).u32(value >>> 0);
}

function message(type: number, peer: BmpPeer | undefined, at: EpochMicros, body: (into: Writer) => void): Uint8Array {
  const into = new Writer(512);
  into.u8(version).u32(0).u8(type);
  if (peer) putPeer(peer, at, into);
  body(into);
  into.patch16(1, into.length >>> 16);
  into.patch16(3, into.length & 0xffff);
  return into.written;
}

function putPeer({ address, asn, bgpId, twoOctetAs }: BmpPeer, at: EpochMicros, into: Writer): void {
  const flags = (address !== undefined && familyOf(address) === 6 ? peerFlag.ipv6 : 0) | (twoOctetAs ? peerFlag.twoOctetAs : 0);
  into.u8(address === undefined ? peerType.locRib : peerType.global).u8(address === undefined ? 0 : flags);
  into.u32(0).u32(0); // no distinguisher: the global table
  putAddress(address, into);
  into.u32(asn).u32(bgpId);
  into.u32(Math.floor(at / 1e6)).u32(at % 1e6);
}

/** 16 octets; an IPv4 address in the last four of them. */
function putAddress(address: Ip | undefined, into: Writer): void {
  const bytes = address === undefined ? new Uint8Array(16) : ipBytes(address);
  if (bytes.length === 4) into.u32(0).u32(0).u32(0);
  into.put(bytes);
}

function putText(type: number, text: string, into: Writer): void {
  const bytes = new TextEncoder().encode(text);
  into.u16(type).u16(bytes.length).put(bytes);
}
