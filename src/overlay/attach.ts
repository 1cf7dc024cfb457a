/**
 * The link of a pod (product §6.12): a veth pair, /32 or /128 inside, and a gateway that is the same for every pod. Pure: the steps in order.
 * Their undo is one: the pair goes, and everything on it with it; so nothing may be made that outlives the node's end.
 */
import type { Ip } from "#base/ip.ts";
import { familyOf } from "#base/ip.ts";
import type { PodLink, PodLinkStep, PodRate, Side } from "#base/pod-link.ts";
import type { Prefix } from "#base/prefix.ts";
import { FabricBuilder, type Planned } from "./fabric.ts";

/** What every pod has as its gateway, unless its pool says otherwise. */
export const podGateways = { 4: "169.254.1.1" as Ip, 6: "fe80::1" as Ip } as const;

/** `isInside`: the pod's end is in its own namespace, and ours to set up; else the caller moves it and does that (Docker). */
export function planAttachment(link: PodLink, isInside: boolean): readonly PodLinkStep[] {
  return [{ do: "pair", link }, ...planNodeEnd(link), ...(isInside ? planPodEnd(link) : [])];
}

/** The gateway answers on the link; it is never the source of what the node itself sends, since scope host is passed over. */
function planNodeEnd({ hostDevice, alias, addresses, isPublished, bandwidth }: PodLink): readonly PodLinkStep[] {
  const gateways = new Set(addresses.map(({ gateway }) => gateway));
  const steps = [...gateways].map((gateway): PodLinkStep => {
    if (familyOf(gateway) === 4) return { do: "address", side: "node", device: hostDevice, address: gateway, length: 32, scope: "host" };
    return { do: "address", side: "node", device: hostDevice, address: gateway, length: gateway.startsWith("fe80:") ? 64 : 128, scope: "link" };
  });
  // A pod is no router: what it advertises is not heard.
  const deaf: PodLinkStep = { do: "sysctl", side: "node", path: `net/ipv6/conf/${hostDevice}/accept_ra`, value: "0" };
  // The kernel lets no packet of 127.0.0.0/8 onto a link, unless told to; rules rewrite its source before it is sent.
  if (isPublished === true) steps.push({ do: "sysctl", side: "node", path: `net/ipv4/conf/${hostDevice}/route_localnet`, value: "1" });
  return [deaf, ...steps, ...rate("node", hostDevice, bandwidth?.ingress), { do: "up", side: "node", device: hostDevice, alias }];
}

/** What a device sends is what the other end receives: each end slows one direction. */
const rate = (side: Side, device: string, of: PodRate | undefined): readonly PodLinkStep[] =>
  of === undefined ? [] : [{ do: "rate", side, device, rate: of }];

/** Addresses before up: the kernel then tells the link of them (gratuitous ARP, unsolicited neighbour advertisement). */
function planPodEnd({ device, addresses, routes, hostMac, bandwidth }: PodLink): readonly PodLinkStep[] {
  const isDual = addresses.some(({ address }) => familyOf(address) === 6);
  const settings: PodLinkStep[] = [{ do: "sysctl", side: "pod", path: `net/ipv4/conf/${device}/arp_notify`, value: "1" }];
  if (isDual)
    for (const [name, value] of [
      ["disable_ipv6", "0"],
      ["accept_ra", "0"],
      ["ndisc_notify", "1"],
    ] as const)
      settings.push({ do: "sysctl", side: "pod", path: `net/ipv6/conf/${device}/${name}`, value });
  const own = addresses.map(({ address }): PodLinkStep => ({
    do: "address",
    side: "pod",
    device,
    address,
    length: familyOf(address) === 4 ? 32 : 128,
    scope: "universe",
  }));
  const gateways = [...new Set([...addresses, ...routes].map(({ gateway }) => gateway))];
  // Known from the start, the gateway costs the first packet no question.
  const neighbours = gateways.map((address): PodLinkStep => ({ do: "neighbour", side: "pod", device, address, mac: hostMac }));
  const onLink = gateways
    .filter((gateway) => familyOf(gateway) === 4 || !gateway.startsWith("fe80:"))
    .map((gateway): PodLinkStep => ({ do: "route", side: "pod", device, prefix: onlyOf(gateway), gateway: undefined }));
  const beyond = routes.map(({ destination, gateway }): PodLinkStep => ({ do: "route", side: "pod", device, prefix: destination, gateway }));
  return [...settings, ...own, ...rate("pod", device, bandwidth?.egress), { do: "up", side: "pod", device }, ...neighbours, ...onLink, ...beyond];
}

/** Routes to pods that live here: address → device. */
export function planPods(pods: ReadonlyMap<Ip, string>, metric: number): Planned {
  const into = new FabricBuilder();
  for (const [address, device] of pods) into.add("route", { prefix: onlyOf(address), metric, hops: [{ device, gateway: undefined, onlink: false }] });
  return into.done();
}

/** The prefix of one address. */
export const onlyOf = (address: Ip): Prefix => `${address}/${familyOf(address) === 4 ? 32 : 128}` as Prefix;
