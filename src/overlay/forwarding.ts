/**
 * Forwarding switches. A node with pods is a router; that much we set, and no more: rp_filter and proxy_arp stay as they are.
 */
import type { Family } from "#base/ip.ts";
import type { Underlay } from "#base/underlay.ts";
import { FabricBuilder, type Planned } from "./fabric.ts";

/**
 * `families`: those of the node's pools. IPv6 forwarding makes the kernel ignore router advertisements where accept_ra is 1
 * (net/ipv6, ip-sysctl), so the uplinks that live by them get accept_ra 2 first; 0 is somebody's choice and stays.
 * Pod links are no uplinks: with 2 a pod could make itself the node's default router.
 */
export function planForwarding(families: ReadonlySet<Family>, underlay: Underlay): Planned {
  const into = new FabricBuilder();
  if (families.has(4)) into.add("sysctl", { path: "net/ipv4/ip_forward", value: "1" });
  if (families.has(6)) {
    for (const device of uplinks(underlay)) into.add("sysctl", { path: `net/ipv6/conf/${device}/accept_ra`, value: "2", unless: "0" });
    into.add("sysctl", { path: "net/ipv6/conf/all/forwarding", value: "1" });
  }
  return into.done();
}

function uplinks(underlay: Underlay): readonly string[] {
  const found = new Set(underlay.advertised);
  for (const path of underlay.paths.values()) {
    if (path.local) continue;
    for (const hop of path.hops) found.add(hop.device);
  }
  return [...found].filter((device) => underlay.links.has(device) && !underlay.links.get(device)!.loopback).toSorted();
}
