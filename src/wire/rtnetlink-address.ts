/**
 * Addresses (RTM_NEWADDR and kin; linux/if_addr.h).
 *
 *   ifaddrmsg:  | family 1 | prefix length 1 | flags 1 | scope 1 | index 4 |  then IFA_* attributes
 */
import { Truncated } from "#base/bytes.ts";
import type { Outcome, WorldFault } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import { decoding, eachAttribute, i32, messageFlag, type NetlinkMessage, type NetlinkWriter } from "./netlink.ts";
import { codeOf, octetsOf, readIp, rtm } from "./rtnetlink.ts";

const headerLength = 8;
const ifa = { address: 1, local: 2 } as const;
/** IFA_F_NODAD: our device has no neighbours that could answer, and an address that waits for them is of no use yet. */
const noDuplicateDetection = 0x02;
const scopeLink = 253;
/** RT_SCOPE_*: how far an address reaches; `host` is never chosen as the source of a packet. */
export const addressScope = { universe: 0, link: scopeLink, host: 254 } as const;
export type AddressScope = keyof typeof addressScope;

export interface AddressMessage {
  readonly index: number;
  readonly address: Ip;
  readonly length: number;
  readonly linkLocal: boolean;
}

export function encodeNewAddress(into: NetlinkWriter, sequence: number, index: number, address: Ip, length: number, scope: AddressScope = "universe"): void {
  header(into.begin(rtm.newAddress, messageFlag.create | messageFlag.replace, sequence), index, address, length, scope);
  into.end();
}

export function encodeDeleteAddress(into: NetlinkWriter, sequence: number, index: number, address: Ip, length: number): void {
  header(into.begin(rtm.delAddress, 0, sequence), index, address, length);
  into.end();
}

/** All addresses of both families. */
export function encodeGetAddresses(into: NetlinkWriter, sequence: number): void {
  into.begin(rtm.getAddress, messageFlag.dump, sequence).u32(0).u32(0).end();
}

/** Body of RTM_NEWADDR or RTM_DELADDR. On a point-to-point link IFA_ADDRESS is the peer: IFA_LOCAL wins where both are. */
export function decodeAddress(bytes: Uint8Array, message: NetlinkMessage): Outcome<AddressMessage | undefined, WorldFault> {
  return decoding("address", () => {
    const { start, end } = message;
    if (end - start < headerLength) throw new Truncated(headerLength, end - start);
    let address: Ip | undefined, local: Ip | undefined;
    eachAttribute(bytes, start + headerLength, end, (type, at, size) => {
      if (type === ifa.address) address = readIp(bytes, at, size);
      else if (type === ifa.local) local = readIp(bytes, at, size);
    });
    const own = local ?? address;
    if (own === undefined) return undefined;
    return { index: i32(bytes, start + 4), address: own, length: bytes[start + 1]!, linkLocal: bytes[start + 3] === scopeLink };
  });
}

function header(into: NetlinkWriter, index: number, address: Ip, length: number, scope: AddressScope = "universe"): void {
  into.u8(codeOf(address)).u8(length).u8(noDuplicateDetection).u8(addressScope[scope]).u32(index);
  into.attribute(ifa.local, octetsOf(address)).attribute(ifa.address, octetsOf(address));
}
