/** Socket options that Node does not know, set on the bare descriptor before connect and listen. Numbers: Linux uapi. */
import { type Family, familyOf, type Ip, ipBytes, printIp } from "#base/ip.ts";
import { callerFault, FaultError } from "#base/fault.ts";
import { type Prefix, prefixParts } from "#base/prefix.ts";
import { checked, libc, SystemFault } from "./libc.ts";

const addressFamily = { 4: 2, 6: 10 } as const;
const socketType = { stream: 1, datagram: 2, cloexec: 0o2000000, nonblock: 0o4000 } as const;
const level = { ip: 0, socket: 1, tcp: 6, ipv6: 41 } as const;
const option = { reuseAddress: 2, bindToDevice: 25, v6Only: 26, noDelay: 1, md5: 14, md5Prefix: 32 } as const;
/** `told`: type of the control message a datagram's TTL comes in, once `tell` is set. */
const hops = {
  4: { level: level.ip, send: 2, least: 21, tell: 12, told: 2, trafficClass: 1 },
  6: { level: level.ipv6, send: 16, least: 73, tell: 51, told: 52, trafficClass: 67 },
} as const;

/** struct tcp_md5sig: sockaddr_storage, flags u8, prefixlen u8, keylen u16, ifindex s32, key[80]. */
const md5Layout = { size: 216, flags: 128, prefixLength: 129, keyLength: 130, key: 136, maxKey: 80, isPrefix: 1 } as const;
export const addressSize = { 4: 16, 6: 28 } as const;
const ifNameMax = 15;

/** A new TCP socket, non-blocking and closed on exec; the caller owns the descriptor. */
export function openTcp(family: Family): number {
  return checked(libc.socket(addressFamily[family], socketType.stream | socketType.cloexec | socketType.nonblock, 0), "socket");
}

/** A new UDP socket of the same kind. */
export function openUdp(family: Family): number {
  return checked(libc.socket(addressFamily[family], socketType.datagram | socketType.cloexec | socketType.nonblock, 0), "socket");
}

/** Flags for accept4: the accepted descriptor is like one of openTcp. */
export const acceptFlags = socketType.cloexec | socketType.nonblock;

/** The address in a struct sockaddr_in or sockaddr_in6 that the kernel wrote. */
export function ipOfSocketAddress(bytes: Uint8Array, family: Family): Ip {
  return printIp(family === 4 ? bytes.subarray(4, 8) : bytes.subarray(8, 24));
}

/** struct sockaddr_in or sockaddr_in6: family in host order (little-endian on x64 and arm64), port and address in network order. */
export function socketAddress(ip: Ip, port: number): Uint8Array {
  const family = familyOf(ip);
  const bytes = new Uint8Array(addressSize[family]);
  bytes[0] = addressFamily[family];
  bytes[2] = port >>> 8;
  bytes[3] = port & 0xff;
  bytes.set(ipBytes(ip), family === 4 ? 4 : 8);
  return bytes;
}

export function bindTo(fd: number, ip: Ip, port: number): void {
  const address = socketAddress(ip, port);
  checked(libc.bind(fd, address, address.length), "bind");
}

/** A listener may take over addresses that old connections still hold. */
export function setReuseAddress(fd: number): void {
  setNumber(fd, level.socket, option.reuseAddress, 1);
}

/** An IPv6 listener that leaves IPv4 to its sibling. */
export function setV6Only(fd: number): void {
  setNumber(fd, level.ipv6, option.v6Only, 1);
}

/** BGP writes whole messages: nothing to wait for (inherited by accepted sockets). */
export function setNoDelay(fd: number): void {
  setNumber(fd, level.tcp, option.noDelay, 1);
}

/** TTL or hop limit of what is sent; RFC 5082 wants 255. */
export function setTtl(fd: number, family: Family, ttl: number): void {
  setNumber(fd, hops[family].level, hops[family].send, ttl);
}

/** The kernel drops what arrives with less (RFC 5082, GTSM). */
export function setMinTtl(fd: number, family: Family, ttl: number): void {
  setNumber(fd, hops[family].level, hops[family].least, ttl);
}

/** Each datagram comes with the TTL or hop limit it arrived with: `arrivalTtl` reads it. */
export function setTellTtl(fd: number, family: Family): void {
  setNumber(fd, hops[family].level, hops[family].tell, 1);
}

/** The eight bits of TOS or traffic class; 0xc0 is CS6, network control. */
export function setTrafficClass(fd: number, family: Family, value: number): void {
  setNumber(fd, hops[family].level, hops[family].trafficClass, value);
}

/**
 * TTL or hop limit among the control messages of a datagram (struct cmsghdr: length u64, level s32, type s32, then the value, as
 * 64-bit Linux lays them out); undefined if the kernel did not tell.
 */
export function arrivalTtl(control: DataView, size: number, family: Family): number | undefined {
  const headerSize = 16;
  for (let at = 0; at + headerSize < size;) {
    const length = Number(control.getBigUint64(at, true));
    if (control.getInt32(at + 8, true) === hops[family].level && control.getInt32(at + 12, true) === hops[family].told)
      return control.getInt32(at + headerSize, true);
    if (length < headerSize) return undefined;
    at += (length + 7) & ~7;
  }
  return undefined;
}

export function setDevice(fd: number, device: string): void {
  const name = Buffer.from(`${device}\0`);
  if (name.length > ifNameMax + 1)
    throw new FaultError(callerFault("net.no-device", `"${device}" is no device name: it has more than ${ifNameMax} characters.`));
  set(fd, level.socket, option.bindToDevice, name);
}

/** Sets, changes or (without `key`) removes the TCP-MD5 key for an address or every address of a prefix (RFC 2385). */
export function setMd5(fd: number, peer: Ip | Prefix, key: Uint8Array | undefined): void {
  const size = key?.length ?? 0;
  if (key && (size === 0 || size > md5Layout.maxKey)) {
    throw new FaultError(callerFault("net.md5-key-size", `the TCP-MD5 key for ${peer} has ${size} octets: give one of 1 to ${md5Layout.maxKey}.`));
  }
  const signature = new Uint8Array(md5Layout.size);
  const prefix = peer.includes("/") ? prefixParts(peer as Prefix) : undefined;
  signature.set(socketAddress((prefix ? peer.slice(0, peer.indexOf("/")) : peer) as Ip, 0));
  if (prefix) {
    signature[md5Layout.flags] = md5Layout.isPrefix;
    signature[md5Layout.prefixLength] = prefix.length;
  }
  signature[md5Layout.keyLength] = size;
  if (key) signature.set(key, md5Layout.key);
  try {
    set(fd, level.tcp, prefix ? option.md5Prefix : option.md5, signature);
  } catch (error) {
    const gone = error instanceof SystemFault && error.code === "ENOENT" && !key;
    if (!gone) throw error;
  } finally {
    signature.fill(0);
  }
}

function setNumber(fd: number, of: number, name: number, value: number): void {
  set(fd, of, name, new Uint32Array([value]));
}

function set(fd: number, of: number, name: number, value: Uint8Array | Uint32Array): void {
  checked(libc.setsockopt(fd, of, name, value, value.byteLength), `setsockopt(${of}, ${name})`);
}
