/**
 * Connection tracking over netlink (linux/netfilter/nfnetlink_conntrack.h): the addresses of tracked connections, and their removal one by one.
 *
 *   nfgenmsg:   | family 1 | version 1 | resource id 2 |  then CTA_*
 *   CTA_TUPLE_ORIG, CTA_TUPLE_REPLY:  CTA_TUPLE_IP { source, destination }, CTA_TUPLE_PROTO { … }
 *
 * Addresses are in network order, as every value of nfnetlink is.
 */
import { Truncated } from "#base/bytes.ts";
import type { Outcome, WorldFault } from "#base/fault.ts";
import { type Family, type Ip, printIp } from "#base/ip.ts";
import { decoding, eachAttribute, messageFlag, type NetlinkMessage, type NetlinkWriter } from "./netlink.ts";
import { familyCode } from "./rtnetlink.ts";

/** NFNL_SUBSYS_CTNETLINK and IPCTNL_MSG_CT_*. */
const message = { get: 0x0101, delete: 0x0102 } as const;
const cta = { original: 1, reply: 2, zone: 18 } as const;
const tupleIp = 1;
const headerLength = 4;
const nested = 0x8000;

/** One tracked connection, as far as it is needed to find and remove it. */
export interface TrackedConnection {
  readonly family: Family;
  /** Source and destination of both directions; with NAT, up to four different ones. */
  readonly addresses: readonly Ip[];
  /** The original direction's tuple, and the zone where there is one, as they came: what names the connection. Copies. */
  readonly tuple: Uint8Array;
  readonly zone: Uint8Array | undefined;
}

/** All tracked connections of one family. */
export function encodeGetConnections(into: NetlinkWriter, sequence: number, family: Family): void {
  into.begin(message.get, messageFlag.dump, sequence).u8(familyCode(family)).u8(0).u16(0).end();
}

/** Removes one connection; ENOENT if it is gone already. */
export function encodeDeleteConnection(into: NetlinkWriter, sequence: number, { family, tuple, zone }: TrackedConnection): void {
  into.begin(message.delete, 0, sequence).u8(familyCode(family)).u8(0).u16(0);
  into.attribute(cta.original | nested, tuple);
  if (zone !== undefined) into.attribute(cta.zone, zone);
  into.end();
}

/** Body of an IPCTNL_MSG_CT_NEW as a dump of `family` gives it. */
export function decodeConnection(bytes: Uint8Array, { start, end }: NetlinkMessage, family: Family): Outcome<TrackedConnection, WorldFault> {
  return decoding("tracked connection", () => {
    if (end - start < headerLength) throw new Truncated(headerLength, end - start);
    const addresses: Ip[] = [];
    let tuple = new Uint8Array(0),
      zone: Uint8Array | undefined;
    eachAttribute(bytes, start + headerLength, end, (type, at, size) => {
      if (type === cta.zone) zone = bytes.slice(at, at + size);
      if (type === cta.original) tuple = bytes.slice(at, at + size);
      if (type === cta.original || type === cta.reply) readAddresses(bytes, at, at + size, addresses);
    });
    return { family, addresses, tuple, zone };
  });
}

/** CTA_IP_V4_SRC and kin: 4 or 16 octets each. */
function readAddresses(bytes: Uint8Array, start: number, end: number, into: Ip[]): void {
  eachAttribute(bytes, start, end, (type, at, size) => {
    if (type !== tupleIp) return;
    eachAttribute(bytes, at, at + size, (_type, from, length) => {
      if (length === 4 || length === 16) into.push(printIp(bytes.subarray(from, from + length)));
    });
  });
}
