/**
 * Links (RTM_NEWLINK and kin; linux/if_link.h).
 *
 *   ifinfomsg:  | family 1 | pad 1 | type 2 | index 4 | flags 4 | change mask 4 |  then IFLA_* attributes
 */
import { Truncated } from "#base/bytes.ts";
import type { Outcome, WorldFault } from "#base/fault.ts";
import { type Ip, type Mac, macBytes, printMac } from "#base/ip.ts";
import { decoding, eachAttribute, fixed, i32, messageFlag, type NetlinkMessage, type NetlinkWriter, readString, u32 } from "./netlink.ts";
import { codeOf, octetsOf, readIp, rtm } from "./rtnetlink.ts";

const headerLength = 16;
const flagUp = 0x1;
const flagLoopback = 0x8;
const ifla = { address: 1, name: 3, mtu: 4, linkInfo: 18, alias: 20, namespaceDescriptor: 28, extensionMask: 29, infoKind: 1, infoData: 2 } as const;
const vxlan = { id: 1, local: 4, learning: 7, port: 15, local6: 17 } as const;
/** "vxlan"; the kernel wants no terminating zero here. */
const vxlanKind = Uint8Array.of(0x76, 0x78, 0x6c, 0x61, 0x6e);
/** "veth", and VETH_INFO_PEER: an ifinfomsg and attributes of the other end. */
const vethKind = Uint8Array.of(0x76, 0x65, 0x74, 0x68);
const vethPeer = 1;
/** RTEXT_FILTER_SKIP_STATS: nobody here reads counters. */
const skipStatistics = 0x8;

export interface VxlanAttributes {
  readonly vni: number;
  readonly local: Ip | undefined;
  /** UDP destination port. */
  readonly port: number;
  readonly learning: boolean;
}

export interface LinkMessage {
  readonly index: number;
  readonly name: string;
  readonly mac: Mac | undefined;
  readonly mtu: number;
  readonly up: boolean;
  readonly loopback: boolean;
  /** IFLA_INFO_KIND; empty for hardware. */
  readonly kind: string;
  readonly alias: string;
  readonly vxlan: VxlanAttributes | undefined;
}

/** Asks for one VXLAN device, not yet up; EEXIST if the name, or the VNI on that port, is taken. */
export function encodeNewVxlan(
  into: NetlinkWriter,
  sequence: number,
  link: { readonly name: string; readonly mac: Mac; readonly mtu: number; readonly vni: number; readonly local: Ip; readonly port: number },
): void {
  header(into.begin(rtm.newLink, messageFlag.create | messageFlag.exclusive, sequence), 0, 0, 0);
  into.attribute32(ifla.mtu, link.mtu).attribute(ifla.address, macBytes(link.mac)).attributeText(ifla.name, link.name);
  const info = into.nest(ifla.linkInfo);
  into.attribute(ifla.infoKind, vxlanKind);
  const data = into.nest(ifla.infoData);
  into.attribute32(vxlan.id, link.vni).attribute(codeOf(link.local) === 2 ? vxlan.local : vxlan.local6, octetsOf(link.local));
  into.attribute8(vxlan.learning, 0).attributePort(vxlan.port, link.port);
  into.close(data);
  into.close(info);
  into.end();
}

/** A pair of connected devices, neither up. The second is made in the network namespace of the open descriptor, if one is given. */
export function encodeNewVeth(
  into: NetlinkWriter,
  sequence: number,
  pair: {
    readonly name: string;
    readonly mac: Mac;
    readonly mtu: number;
    readonly peer: { readonly name: string; readonly mac: Mac; readonly namespace: number | undefined };
  },
): void {
  header(into.begin(rtm.newLink, messageFlag.create | messageFlag.exclusive, sequence), 0, 0, 0);
  into.attribute32(ifla.mtu, pair.mtu).attribute(ifla.address, macBytes(pair.mac)).attributeText(ifla.name, pair.name);
  const info = into.nest(ifla.linkInfo);
  into.attribute(ifla.infoKind, vethKind);
  const data = into.nest(ifla.infoData),
    peer = into.nest(vethPeer);
  header(into, 0, 0, 0);
  into.attribute32(ifla.mtu, pair.mtu).attribute(ifla.address, macBytes(pair.peer.mac)).attributeText(ifla.name, pair.peer.name);
  if (pair.peer.namespace !== undefined) into.attribute32(ifla.namespaceDescriptor, pair.peer.namespace);
  into.close(peer);
  into.close(data);
  into.close(info);
  into.end();
}

/** Changes what is given of an existing device. */
export function encodeSetLink(
  into: NetlinkWriter,
  sequence: number,
  index: number,
  change: { readonly mac?: Mac; readonly mtu?: number; readonly alias?: string; readonly up?: boolean },
): void {
  const mask = change.up === undefined ? 0 : flagUp;
  header(into.begin(rtm.setLink, 0, sequence), index, change.up === true ? flagUp : 0, mask);
  if (change.mac !== undefined) into.attribute(ifla.address, macBytes(change.mac));
  if (change.mtu !== undefined) into.attribute32(ifla.mtu, change.mtu);
  if (change.alias !== undefined) into.attributeText(ifla.alias, change.alias);
  into.end();
}

export function encodeDeleteLink(into: NetlinkWriter, sequence: number, index: number): void {
  header(into.begin(rtm.delLink, 0, sequence), index, 0, 0);
  into.end();
}

/** One link by its name, or by `name` undefined all of them. */
export function encodeGetLink(into: NetlinkWriter, sequence: number, name?: string): void {
  header(into.begin(rtm.getLink, name === undefined ? messageFlag.dump : 0, sequence), 0, 0, 0);
  if (name !== undefined) into.attributeText(ifla.name, name);
  into.attribute32(ifla.extensionMask, skipStatistics).end();
}

/** Body of RTM_NEWLINK or RTM_DELLINK. */
export function decodeLink(bytes: Uint8Array, message: NetlinkMessage): Outcome<LinkMessage, WorldFault> {
  return decoding("link", () => {
    const { start, end } = message;
    if (end - start < headerLength) throw new Truncated(headerLength, end - start);
    const flags = u32(bytes, start + 8);
    let name = "",
      alias = "",
      mtu = 0,
      mac: Mac | undefined,
      info: LinkInfo = { kind: "", vxlan: undefined };
    eachAttribute(bytes, start + headerLength, end, (type, at, size) => {
      if (type === ifla.name) name = readString(bytes, at, size);
      else if (type === ifla.address && size === 6) mac = printMac(bytes.subarray(at, at + 6));
      else if (type === ifla.mtu) mtu = u32(bytes, fixed(at, size, 4));
      else if (type === ifla.alias) alias = readString(bytes, at, size);
      else if (type === ifla.linkInfo) info = readLinkInfo(bytes, at, at + size);
    });
    return { index: i32(bytes, start + 4), name, mac, mtu, up: (flags & flagUp) !== 0, loopback: (flags & flagLoopback) !== 0, alias, ...info };
  });
}

interface LinkInfo {
  readonly kind: string;
  readonly vxlan: VxlanAttributes | undefined;
}

function readLinkInfo(bytes: Uint8Array, start: number, end: number): LinkInfo {
  let kind = "",
    from = 0,
    to = 0;
  eachAttribute(bytes, start, end, (type, at, size) => {
    if (type === ifla.infoKind) kind = readString(bytes, at, size);
    else if (type === ifla.infoData) [from, to] = [at, at + size];
  });
  return { kind, vxlan: kind === "vxlan" ? readVxlan(bytes, from, to) : undefined };
}

function readVxlan(bytes: Uint8Array, start: number, end: number): VxlanAttributes {
  let vni = 0,
    port = 0,
    learning = false,
    local: Ip | undefined;
  eachAttribute(bytes, start, end, (type, at, size) => {
    if (type === vxlan.id) vni = u32(bytes, fixed(at, size, 4));
    else if (type === vxlan.local || type === vxlan.local6) local = readIp(bytes, at, size);
    else if (type === vxlan.learning) learning = bytes[fixed(at, size, 1)] !== 0;
    else if (type === vxlan.port) port = (bytes[fixed(at, size, 2)]! << 8) | bytes[at + 1]!;
  });
  return { vni, local, port, learning };
}

function header(into: NetlinkWriter, index: number, flags: number, mask: number): void {
  into.u32(0).u32(index).u32(flags).u32(mask);
}
