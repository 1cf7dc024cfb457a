/**
 * Routed pools → kernel routes, two ways: `planRouted` takes what BGP chose (prefix → next hops), `planHostGateway` takes leases
 * and needs every node on one link. Both make our own CIDRs blackholes, and neither ever routes to ourselves.
 */
import type { Ip } from "#base/ip.ts";
import { compareHops, type Hop } from "#base/kernel-row.ts";
import { note } from "#base/note.ts";
import { contains, type Prefix, prefixFamily, prefixParts } from "#base/prefix.ts";
import type { Underlay } from "#base/underlay.ts";
import { FabricBuilder, type Planned } from "./fabric.ts";
import { addOwn, addressOf, directHops, type PoolPlan, remoteLeases } from "./remote.ts";

export interface RoutedPlan {
  /** CIDRs of this node's routed pools. */
  readonly own: readonly Prefix[];
  /** Best routes of the Loc-RIB that came from a peer, with their next hops (several: equal cost). */
  readonly routes: ReadonlyMap<Prefix, readonly Ip[]>;
  readonly underlay: Underlay;
  readonly metric: number;
  /** Prefixes for which a pool has found another way. */
  readonly taken?: ReadonlySet<Prefix>;
}

/** A route for every prefix with a next hop the kernel can reach; one note for each next hop it cannot. */
export function planRouted(plan: RoutedPlan): Planned {
  const into = new FabricBuilder(),
    own = new Set(plan.own),
    unreached = new Map<Ip, number>();
  for (const cidr of own) addOwn(into, cidr, plan.metric);
  for (const [prefix, nextHops] of plan.routes) {
    if (own.has(prefix) || plan.taken?.has(prefix)) continue;
    const hops = new Map<string, Hop>();
    for (const nextHop of nextHops) {
      if (plan.underlay.addresses.has(nextHop)) continue;
      const found = resolve(prefix, nextHop, plan.underlay);
      if (found.length === 0) unreached.set(nextHop, (unreached.get(nextHop) ?? 0) + 1);
      for (const hop of found) hops.set(`${hop.device} ${hop.gateway}`, hop);
    }
    if (hops.size > 0) into.add("route", { prefix, metric: plan.metric, hops: [...hops.values()].toSorted(compareHops) });
  }
  for (const [nextHop, count] of unreached) {
    into.say(
      note("warn", "route.next-hop-unreachable", `${count} routes are not in the kernel: it has no route to their next hop ${nextHop}.`, {
        fields: { nextHop, count },
      }),
    );
  }
  return into.done();
}

/** Nodes of a routed pool that go by host-gw already, or still, and that BGP has no route for (pool-moves.ts). */
export function planOnLink(plan: PoolPlan): Planned {
  const others = Array.from(plan.leases).filter(({ backend, cidr }) => backend === "host-gw" && plan.routes?.has(cidr) !== true);
  return planHostGateway({ ...plan, own: undefined, leases: others });
}

/** host-gw: each remote CIDR through its node's own address, on one link. */
export function planHostGateway(plan: PoolPlan): Planned {
  const into = new FabricBuilder();
  if (plan.own !== undefined) addOwn(into, plan.own, plan.metric);
  for (const lease of remoteLeases(plan)) {
    const hops = directHops(lease, plan.underlay);
    if (hops !== undefined) {
      into.add("route", { prefix: lease.cidr, metric: plan.metric, hops });
      continue;
    }
    if (plan.routes?.has(lease.cidr)) continue;
    const address = addressOf(lease, prefixFamily(lease.cidr)) ?? lease.address;
    const text = `${lease.cidr} is not reached: node ${lease.node} (${address}) is not on one link with us, as host-gw needs it; use vxlan or bgp.`;
    into.say(note("warn", "host-gw.not-on-link", text, { node: lease.node, pool: lease.pool, prefix: lease.cidr }));
  }
  return into.done();
}

/**
 * Gateways on a link of ours for a next hop (RFC 4271 §5.1.3: recursive lookup). A next hop that would be reached through
 * the very route it resolves is no next hop: the matching route must be more specific than the prefix if that holds it.
 */
function resolve(prefix: Prefix, nextHop: Ip, underlay: Underlay): readonly Hop[] {
  const path = underlay.paths.get(nextHop);
  if (path === undefined || path.local) return [];
  if (contains(prefix, nextHop) && prefixParts(path.prefix).length <= prefixParts(prefix).length) return [];
  return path.hops.map((hop): Hop => ({ device: hop.device, gateway: hop.gateway ?? nextHop, onlink: false }));
}
