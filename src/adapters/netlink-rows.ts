/** Rows ↔ rtnetlink messages. Rows name devices, messages number them: this file is where the two meet. */
import { getSystemErrorMessage, getSystemErrorName } from "node:util";
import { type WorldFault, worldFault } from "#base/fault.ts";
import { type Ip } from "#base/ip.ts";
import { type AddressRow, compareHops, type FdbRow, type Hop, type LinkRow, type NeighbourRow, type RouteRow, type RowChange } from "#base/kernel-row.ts";
import type { Acknowledgement } from "#wire/netlink.ts";
import { addressFamily } from "#wire/rtnetlink.ts";
import { type AddressMessage, encodeDeleteAddress, encodeNewAddress } from "#wire/rtnetlink-address.ts";
import type { LinkMessage } from "#wire/rtnetlink-link.ts";
import { encodeDeleteFdb, encodeDeleteNeighbour, encodeNewFdb, encodeNewNeighbour, type NeighbourMessage } from "#wire/rtnetlink-neighbour.ts";
import { encodeDeleteRoute, encodeNewRoute, mainTable, type RouteHop, type RouteMessage, routeType } from "#wire/rtnetlink-route.ts";
import type { Encode } from "./netlink-requests.ts";

/** IFLA_IFALIAS of every device we make; `ip link` shows it. */
export const deviceMark = "podway";
const devicePrefix = "pw-";

/** The links of one moment, by name and by index. */
export class LinkTable {
  readonly #byName = new Map<string, LinkMessage>();
  readonly #byIndex = new Map<number, LinkMessage>();

  constructor(links: Iterable<LinkMessage>) {
    for (const link of links) {
      this.#byName.set(link.name, link);
      this.#byIndex.set(link.index, link);
    }
  }

  named(name: string): LinkMessage | undefined {
    return this.#byName.get(name);
  }
  numbered(index: number): LinkMessage | undefined {
    return this.#byIndex.get(index);
  }
  all(): Iterable<LinkMessage> {
    return this.#byName.values();
  }
  ours(): readonly LinkMessage[] {
    return [...this.#byName.values()].filter(isOurs);
  }
  isOurs(index: number): boolean {
    const link = this.#byIndex.get(index);
    return link !== undefined && isOurs(link);
  }
  /** A name for a hop's device, also if it vanished since. */
  nameOf(index: number): string {
    return this.#byIndex.get(index)?.name ?? `if${index}`;
  }
}

export function isOurs(link: LinkMessage): boolean {
  return link.kind === "vxlan" && link.alias === deviceMark && link.name.startsWith(devicePrefix);
}

export function linkRow(link: LinkMessage): LinkRow | undefined {
  const { vxlan, mac } = link;
  if (vxlan === undefined || mac === undefined) return undefined;
  // Without a local address the device is not as we make it: any other value than the wanted one has it replaced.
  return { name: link.name, vni: vxlan.vni, local: vxlan.local ?? ("0.0.0.0" as Ip), port: vxlan.port, mac, mtu: link.mtu, up: link.up };
}

export function addressRow(message: AddressMessage, links: LinkTable): AddressRow | undefined {
  if (message.linkLocal || !links.isOurs(message.index)) return undefined;
  return { device: links.nameOf(message.index), address: message.address, length: message.length };
}

export function neighbourRow(message: NeighbourMessage, device: LinkMessage): NeighbourRow | undefined {
  const { destination, mac } = message;
  if (message.index !== device.index || !message.permanent || message.family === addressFamily.bridge) return undefined;
  return destination === undefined || mac === undefined ? undefined : { device: device.name, address: destination, mac };
}

/** A forwarding entry without outer address is none of ours (the bridge's own view of the device, for one). */
export function fdbRow(message: NeighbourMessage, device: LinkMessage): FdbRow | undefined {
  const { destination, mac } = message;
  if (message.index !== device.index || !message.permanent || message.family !== addressFamily.bridge) return undefined;
  return destination === undefined || mac === undefined ? undefined : { device: device.name, mac, destination };
}

export function routeRow(message: RouteMessage, protocol: number, links: LinkTable): RouteRow | undefined {
  if (message.protocol !== protocol || message.table !== mainTable || message.cloned) return undefined;
  const hops = message.type === routeType.unicast ? message.hops : [];
  const named = hops.map((hop): Hop => ({ device: links.nameOf(hop.index), gateway: hop.gateway, onlink: hop.onlink }));
  return { prefix: message.prefix, metric: message.metric, hops: named.toSorted(compareHops) };
}

/** What to send for a change of any table but link and sysctl; `gone`: it went with its device; a string: the device that is missing. */
export function encodeChange(change: RowChange, protocol: number, links: LinkTable): Encode | "gone" | { readonly missing: string } {
  if (change.table === "route") return encodeRouteChange(change, protocol, links);
  if (change.table === "link" || change.table === "sysctl") return "gone";
  const device = (change.after ?? change.before)!.device,
    link = links.named(device);
  // A device of that name that is not ours is as good as none.
  if (link === undefined || !isOurs(link)) return change.after === undefined ? "gone" : { missing: device };
  const { index } = link;
  switch (change.table) {
    case "address": {
      const { address, length } = (change.after ?? change.before)!;
      const encode = change.after === undefined ? encodeDeleteAddress : encodeNewAddress;
      return (into, sequence) => encode(into, sequence, index, address, length);
    }
    case "neighbour": {
      const { after } = change,
        { address } = (after ?? change.before)!;
      if (after === undefined) return (into, sequence) => encodeDeleteNeighbour(into, sequence, index, address);
      return (into, sequence) => encodeNewNeighbour(into, sequence, index, address, after.mac);
    }
    case "fdb": {
      const { after } = change,
        { mac } = (after ?? change.before)!;
      if (after === undefined) return (into, sequence) => encodeDeleteFdb(into, sequence, index, mac);
      return (into, sequence) => encodeNewFdb(into, sequence, index, mac, after.destination);
    }
  }
}

function encodeRouteChange(change: Extract<RowChange, { table: "route" }>, protocol: number, links: LinkTable): Encode | { readonly missing: string } {
  const { before, after } = change;
  if (after === undefined) {
    const { prefix, metric } = before!;
    return (into, sequence) => encodeDeleteRoute(into, sequence, { prefix, metric, protocol });
  }
  const hops: RouteHop[] = [];
  for (const hop of after.hops) {
    const link = links.named(hop.device);
    if (link === undefined) return { missing: hop.device };
    hops.push({ index: link.index, gateway: hop.gateway, onlink: hop.onlink });
  }
  return (into, sequence) => encodeNewRoute(into, sequence, { prefix: after.prefix, metric: after.metric, protocol, hops }, before !== undefined);
}

const code = { permission: 1, noEntry: 2, noProcess: 3, noAddressDevice: 6, exists: 17, noDevice: 19, addressGone: 99 } as const;
const alreadyGone: ReadonlySet<number> = new Set([code.noEntry, code.noProcess, code.noAddressDevice, code.noDevice, code.addressGone]);

/** The fault of a refused change, or undefined where the refusal means that what was to go is gone. */
export function faultOf(change: RowChange, reason: Acknowledgement): WorldFault | undefined {
  if (change.after === undefined && alreadyGone.has(reason.errno)) return undefined;
  const what = `${change.table} ${change.key}`;
  if (reason.errno === code.permission) return worldFault("kernel.permission", `${what}: not permitted; run podwayd as root or give it CAP_NET_ADMIN.`);
  if (reason.errno === code.exists && change.table === "route") {
    return worldFault("kernel.foreign", `${what}: another route of this machine has that prefix and metric; remove it, or give Podway another metric.`);
  }
  return worldFault("kernel.refused", `${what}: ${reason.text || getSystemErrorMessage(-reason.errno)} (${getSystemErrorName(-reason.errno)})`);
}
