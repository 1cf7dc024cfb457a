/** rtnetlink (linux/rtnetlink.h): message types, and the small pieces the files rtnetlink-*.ts share. */
import { ipBytes, type Family, type Ip, printIp } from "#base/ip.ts";
import { decoding, eachAttribute, fixed, i32, type NetlinkMessage } from "./netlink.ts";

export const rtm = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  setLink: 19,
  newAddress: 20,
  delAddress: 21,
  getAddress: 22,
  newRoute: 24,
  delRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  delNeighbour: 29,
  getNeighbour: 30,
  newQdisc: 36,
  newNetconf: 80,
} as const;

/** RTNLGRP_*: multicast groups of changes. */
export const rtnlGroup = { link: 1, neighbour: 3, ipv4Address: 5, ipv4Route: 7, ipv6Address: 9, ipv6Route: 11, ipv4Netconf: 24, ipv6Netconf: 25 } as const;

/** AF_INET, AF_INET6, AF_BRIDGE. */
export const addressFamily = { ipv4: 2, ipv6: 10, bridge: 7 } as const;

export const familyCode = (family: Family): number => (family === 4 ? addressFamily.ipv4 : addressFamily.ipv6);
export const familyOfCode = (code: number): Family | undefined => (code === addressFamily.ipv4 ? 4 : code === addressFamily.ipv6 ? 6 : undefined);

export const codeOf = (ip: Ip): number => (ip.includes(":") ? addressFamily.ipv6 : addressFamily.ipv4);
export const octetsOf = (ip: Ip): Uint8Array => ipBytes(ip);

/** An attribute that is an IPv4 or IPv6 address, by its size. Throws `Truncated` on any other size below 16. */
export function readIp(bytes: Uint8Array, start: number, size: number): Ip {
  const length = size === 4 ? 4 : 16;
  const at = fixed(start, size, length);
  return printIp(bytes.subarray(at, at + length));
}

/**
 * Whether an RTM_NEWNETCONF (netconfmsg: family 1, pad 3; NETCONFA_IFINDEX first) is of the switch for all devices: one is sent for each device
 * beside it, and for each that is made.
 */
export function netconfIsAll(bytes: Uint8Array, { start, end }: NetlinkMessage): boolean {
  let index = 0;
  const read = decoding("netconf", () =>
    eachAttribute(bytes, start + 4, end, (type, at, size) => {
      if (type === netconfIndex) index = i32(bytes, fixed(at, size, 4));
    }),
  );
  return !read.ok || index === allDevices;
}
const netconfIndex = 1; // NETCONFA_IFINDEX
const allDevices = -1; // NETCONFA_IFINDEX_ALL
