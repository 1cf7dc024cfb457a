/**
 * Routes of the main table (RTM_NEWROUTE and kin; linux/rtnetlink.h).
 *
 *   rtmsg:      | family 1 | dst length 1 | src length 1 | tos 1 | table 1 | protocol 1 | scope 1 | type 1 | flags 4 |  then RTA_*
 *   rtnexthop:  | length 2 | flags 1 | weight-1 1 | index 4 |  then RTA_GATEWAY     (inside RTA_MULTIPATH)
 *
 * Equal-cost paths travel in RTA_MULTIPATH, not as nexthop objects: a route stays one message and one row that shows itself
 * whole in a dump, and there are no group ids to own, share with other daemons, or leak.
 */
import { Truncated } from "#base/bytes.ts";
import type { Outcome, WorldFault } from "#base/fault.ts";
import { type Family, type Ip, printIp } from "#base/ip.ts";
import { type Prefix, prefixParts, printPrefix } from "#base/prefix.ts";
import { decoding, eachAttribute, fixed, i32, messageFlag, type NetlinkMessage, type NetlinkWriter, u16, u32 } from "./netlink.ts";
import { codeOf, familyCode, familyOfCode, octetsOf, readIp, rtm } from "./rtnetlink.ts";

const headerLength = 12;
const nexthopLength = 8;
export const mainTable = 254;
const rta = { destination: 1, outInterface: 4, gateway: 5, priority: 6, metrics: 8, multipath: 9, table: 15, via: 18 } as const;
const metricMtu = 2;
const scope = { universe: 0, site: 200, link: 253, nowhere: 255 } as const;
export const routeType = { any: 0, unicast: 1, local: 2, blackhole: 6 } as const;
const hopOnlink = 0x4;
const cloned = 0x200;
/** RTM_F_FIB_MATCH: answer with the matching entry of the table, not with the flow it would make. IPv6 takes no other flag. */
const showMatch = 0x2000;

export interface RouteHop {
  readonly index: number;
  readonly gateway: Ip | undefined;
  readonly onlink: boolean;
}

export interface RouteMessage {
  readonly prefix: Prefix;
  readonly table: number;
  readonly protocol: number;
  /** RTN_*. */
  readonly type: number;
  readonly metric: number;
  /** RTAX_MTU; 0 if the route has none. */
  readonly mtu: number;
  readonly hops: readonly RouteHop[];
  /** An exception or cache entry, no route of the table. */
  readonly cloned: boolean;
}

export interface RouteRequest {
  readonly prefix: Prefix;
  readonly protocol: number;
  readonly metric: number;
  /** Empty: a blackhole. */
  readonly hops: readonly RouteHop[];
}

/** `replace` false: EEXIST if any route has that prefix and metric, whoever's it is. True: it takes that one's place. */
export function encodeNewRoute(into: NetlinkWriter, sequence: number, route: RouteRequest, replace: boolean): void {
  const only = route.hops.length === 1 ? route.hops[0] : undefined;
  const type = route.hops.length === 0 ? routeType.blackhole : routeType.unicast;
  const reach = only === undefined ? scope.universe : only.gateway === undefined ? scope.link : only.onlink ? spreadScope(route.prefix) : scope.universe;
  into.begin(rtm.newRoute, messageFlag.create | (replace ? messageFlag.replace : messageFlag.exclusive), sequence);
  header(into, route, { type, scope: reach, flags: only?.onlink === true ? hopOnlink : 0 });
  if (only?.gateway !== undefined) into.attribute(rta.gateway, octetsOf(only.gateway));
  into.attribute32(rta.priority, route.metric);
  if (only !== undefined) into.attribute32(rta.outInterface, only.index);
  if (route.hops.length > 1) encodeMultipath(into, route.hops);
  into.end();
}

/** Removes the route of that prefix, metric and protocol, whatever its hops. */
export function encodeDeleteRoute(into: NetlinkWriter, sequence: number, route: Omit<RouteRequest, "hops">): void {
  into.begin(rtm.delRoute, 0, sequence);
  header(into, route, { type: routeType.any, scope: scope.nowhere, flags: 0 });
  into.attribute32(rta.priority, route.metric).end();
}

/** Main-table routes of one family, of one protocol where the kernel checks requests strictly: filter all the same. */
export function encodeGetRoutes(into: NetlinkWriter, sequence: number, family: Family, protocol: number): void {
  into.begin(rtm.getRoute, messageFlag.dump, sequence);
  into.u8(familyCode(family)).u8(0).u8(0).u8(0).u8(mainTable).u8(protocol).u8(0).u8(0).u32(0).end();
}

/** The route a packet to `target` would take. */
export function encodeLookupRoute(into: NetlinkWriter, sequence: number, target: Ip): void {
  const octets = octetsOf(target);
  into.begin(rtm.getRoute, 0, sequence);
  into
    .u8(codeOf(target))
    .u8(octets.length * 8)
    .u8(0)
    .u8(0)
    .u8(0)
    .u8(0)
    .u8(0)
    .u8(0)
    .u32(showMatch);
  into.attribute(rta.destination, octets).end();
}

/** Body of RTM_NEWROUTE or RTM_DELROUTE; undefined for families other than IPv4 and IPv6. */
export function decodeRoute(bytes: Uint8Array, message: NetlinkMessage): Outcome<RouteMessage | undefined, WorldFault> {
  return decoding("route", () => {
    const { start, end } = message;
    if (end - start < headerLength) throw new Truncated(headerLength, end - start);
    const family = familyOfCode(bytes[start]!),
      flags = u32(bytes, start + 8);
    if (family === undefined) return undefined;
    const octets = new Uint8Array(family === 4 ? 4 : 16);
    let metric = 0,
      mtu = 0,
      table = bytes[start + 4]!,
      index = 0,
      gateway: Ip | undefined,
      hops: RouteHop[] = [];
    eachAttribute(bytes, start + headerLength, end, (type, at, size) => {
      if (type === rta.destination) octets.set(bytes.subarray(fixed(at, size, octets.length), at + octets.length));
      else if (type === rta.outInterface) index = i32(bytes, fixed(at, size, 4));
      else if (type === rta.gateway) gateway = readIp(bytes, at, size);
      else if (type === rta.via) gateway = readVia(bytes, at, size);
      else if (type === rta.priority) metric = u32(bytes, fixed(at, size, 4));
      else if (type === rta.table) table = u32(bytes, fixed(at, size, 4));
      else if (type === rta.metrics) mtu = readMtu(bytes, at, at + size);
      else if (type === rta.multipath) hops = readMultipath(bytes, at, at + size);
    });
    const type = bytes[start + 7]!;
    if (hops.length === 0 && index !== 0) hops = [{ index, gateway, onlink: (flags & hopOnlink) !== 0 }];
    const prefix = printPrefix(octets, Math.min(bytes[start + 1]!, octets.length * 8));
    return { prefix, table, protocol: bytes[start + 5]!, type, metric, mtu, hops, cloned: (flags & cloned) !== 0 };
  });
}

/** Protocol of a route message, without decoding the rest: what the event listener sorts by. */
export function routeProtocolOf(bytes: Uint8Array, message: NetlinkMessage): number {
  return message.end - message.start < headerLength ? 0 : bytes[message.start + 5]!;
}

/**
 * A scope for an IPv4 route through a gateway of its own. The kernel keeps next hops in a hash by device, protocol, scope and metric, without
 * the gateway (net/ipv4/fib_semantics.c, fib_info_hashfn), and walks a whole chain for each route it adds: with one scope, the n-th tunnel
 * costs n steps. Scopes below 200 are the administrator's, and nothing that forwards packets asks for one above universe (rtnetlink(7)).
 */
function spreadScope(prefix: Prefix): number {
  const { bytes, length } = prefixParts(prefix);
  if (bytes.length !== 4) return scope.universe;
  return Math.floor(u32be(bytes) / 2 ** (32 - length)) % scope.site;
}
const u32be = (bytes: Uint8Array): number => ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;

function header(
  into: NetlinkWriter,
  route: { readonly prefix: Prefix; readonly protocol: number },
  more: { readonly type: number; readonly scope: number; readonly flags: number },
): void {
  const { bytes, length } = prefixParts(route.prefix);
  into
    .u8(bytes.length === 4 ? familyCode(4) : familyCode(6))
    .u8(length)
    .u8(0)
    .u8(0);
  into.u8(mainTable).u8(route.protocol).u8(more.scope).u8(more.type).u32(more.flags);
  into.attribute(rta.destination, bytes);
}

function encodeMultipath(into: NetlinkWriter, hops: readonly RouteHop[]): void {
  const list = into.nest(rta.multipath);
  for (const hop of hops) {
    const at = into.length;
    into
      .u16(0)
      .u8(hop.onlink ? hopOnlink : 0)
      .u8(0)
      .u32(hop.index);
    if (hop.gateway !== undefined) into.attribute(rta.gateway, octetsOf(hop.gateway));
    into.patch16(at, into.length - at);
  }
  into.close(list);
}

function readMultipath(bytes: Uint8Array, start: number, end: number): RouteHop[] {
  const hops: RouteHop[] = [];
  for (let at = start; at < end;) {
    const length = end - at < nexthopLength ? 0 : u16(bytes, at);
    if (length < nexthopLength || length > end - at) throw new Truncated(nexthopLength, end - at);
    let gateway: Ip | undefined;
    eachAttribute(bytes, at + nexthopLength, at + length, (type, from, size) => {
      if (type === rta.gateway) gateway = readIp(bytes, from, size);
      else if (type === rta.via) gateway = readVia(bytes, from, size);
    });
    hops.push({ index: i32(bytes, at + 4), gateway, onlink: (bytes[at + 2]! & hopOnlink) !== 0 });
    at += (length + 3) & ~3;
  }
  return hops;
}

/** RTA_VIA: family (2) and address: an IPv4 route through an IPv6 gateway (RFC 8950's data plane). */
function readVia(bytes: Uint8Array, start: number, size: number): Ip {
  const length = familyOfCode(u16(bytes, fixed(start, size, 2))) === 4 ? 4 : 16;
  const at = fixed(start, size, 2 + length) + 2;
  return printIp(bytes.subarray(at, at + length));
}

function readMtu(bytes: Uint8Array, start: number, end: number): number {
  let mtu = 0;
  eachAttribute(bytes, start, end, (type, at, size) => {
    if (type === metricMtu) mtu = u32(bytes, fixed(at, size, 4));
  });
  return mtu;
}
