/**
 * Neighbours and VXLAN forwarding entries (RTM_NEWNEIGH and kin; linux/neighbour.h). They share the message: family IPv4 or
 * IPv6 maps an inner address to a MAC, family AF_BRIDGE with NTF_SELF maps a MAC to an outer address.
 *
 *   ndmsg:  | family 1 | pad 3 | index 4 | state 2 | flags 1 | type 1 |  then NDA_* attributes
 */
import { Truncated } from "#base/bytes.ts";
import type { Outcome, WorldFault } from "#base/fault.ts";
import { type Ip, type Mac, macBytes, printMac } from "#base/ip.ts";
import { decoding, eachAttribute, i32, messageFlag, type NetlinkMessage, type NetlinkWriter, u16 } from "./netlink.ts";
import { addressFamily, codeOf, octetsOf, readIp, rtm } from "./rtnetlink.ts";

const headerLength = 12;
const nda = { destination: 1, linkAddress: 2, index: 8 } as const;
const stateNoArp = 0x40;
const statePermanent = 0x80;
const flagSelf = 0x02;

export interface NeighbourMessage {
  readonly family: number;
  readonly index: number;
  /** Inner address (families 2 and 10) or outer address (family 7); an entry may be without. */
  readonly destination: Ip | undefined;
  readonly mac: Mac | undefined;
  readonly permanent: boolean;
}

/** Sets a permanent neighbour, whatever was there. */
export function encodeNewNeighbour(into: NetlinkWriter, sequence: number, index: number, address: Ip, mac: Mac): void {
  header(into.begin(rtm.newNeighbour, messageFlag.create | messageFlag.replace, sequence), codeOf(address), index, statePermanent);
  into.attribute(nda.destination, octetsOf(address)).attribute(nda.linkAddress, macBytes(mac)).end();
}

export function encodeDeleteNeighbour(into: NetlinkWriter, sequence: number, index: number, address: Ip): void {
  header(into.begin(rtm.delNeighbour, 0, sequence), codeOf(address), index, 0);
  into.attribute(nda.destination, octetsOf(address)).end();
}

/** Sets the one outer address of a unicast MAC on a VXLAN device, whatever was there. */
export function encodeNewFdb(into: NetlinkWriter, sequence: number, index: number, mac: Mac, destination: Ip): void {
  header(into.begin(rtm.newNeighbour, messageFlag.create | messageFlag.replace, sequence), addressFamily.bridge, index, stateNoArp | statePermanent, flagSelf);
  into.attribute(nda.linkAddress, macBytes(mac)).attribute(nda.destination, octetsOf(destination)).end();
}

export function encodeDeleteFdb(into: NetlinkWriter, sequence: number, index: number, mac: Mac): void {
  header(into.begin(rtm.delNeighbour, 0, sequence), addressFamily.bridge, index, 0, flagSelf);
  into.attribute(nda.linkAddress, macBytes(mac)).end();
}

/** Neighbours of one family on one device. Kernels without strict checks answer with more: filter. */
export function encodeGetNeighbours(into: NetlinkWriter, sequence: number, family: number, index: number): void {
  header(into.begin(rtm.getNeighbour, messageFlag.dump, sequence), family, 0, 0);
  into.attribute32(nda.index, index).end();
}

/** Forwarding entries of one device. The index stands in the header: an attribute here makes older kernels misread the request. */
export function encodeGetFdb(into: NetlinkWriter, sequence: number, index: number): void {
  header(into.begin(rtm.getNeighbour, messageFlag.dump, sequence), addressFamily.bridge, index, 0);
  into.end();
}

/** Body of RTM_NEWNEIGH or RTM_DELNEIGH. */
export function decodeNeighbour(bytes: Uint8Array, message: NetlinkMessage): Outcome<NeighbourMessage, WorldFault> {
  return decoding("neighbour", () => {
    const { start, end } = message;
    if (end - start < headerLength) throw new Truncated(headerLength, end - start);
    let destination: Ip | undefined, mac: Mac | undefined;
    eachAttribute(bytes, start + headerLength, end, (type, at, size) => {
      if (type === nda.destination) destination = readIp(bytes, at, size);
      else if (type === nda.linkAddress && size === 6) mac = printMac(bytes.subarray(at, at + 6));
    });
    return { family: bytes[start]!, index: i32(bytes, start + 4), destination, mac, permanent: (u16(bytes, start + 8) & statePermanent) !== 0 };
  });
}

function header(into: NetlinkWriter, family: number, index: number, state: number, flags = 0): void {
  into.u32(family).u32(index).u16(state).u8(flags).u8(0);
}
