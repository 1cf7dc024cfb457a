/** What every pool's planner needs to know of the other nodes: whose claims count, and how they are reached without a tunnel. */
import { type Family, familyOf, type Ip, printIp } from "#base/ip.ts";
import type { Hop } from "#base/kernel-row.ts";
import { compareHops } from "#base/kernel-row.ts";
import type { Lease } from "#base/lease.ts";
import { type Prefix, prefixFamily, prefixParts } from "#base/prefix.ts";
import type { PoolSettings } from "#base/settings.ts";
import { isOnLink, type Underlay } from "#base/underlay.ts";
import type { FabricBuilder } from "./fabric.ts";

export interface Self {
  readonly node: string;
  readonly address: Ip;
  readonly address6: Ip | undefined;
}

export interface PoolPlan {
  readonly self: Self;
  readonly pool: PoolSettings;
  /** This node's CIDR of the pool, while it may be used; undefined when it is not held or is lost. */
  readonly own: Prefix | undefined;
  /** Every lease of the store; those of other pools are passed over. */
  readonly leases: Iterable<Lease>;
  readonly underlay: Underlay;
  readonly metric: number;
  /** What BGP has routes for, where nodes of the pool may go by them; undefined: nothing. */
  readonly routes?: ReadonlyMap<Prefix, unknown> | undefined;
}

/**
 * The pool's leases of other nodes, oldest first, so that every node settles a clash alike. Of two claims on one CIDR the younger
 * counts: its node is the one the store let in last.
 */
export function remoteLeases(plan: PoolPlan): readonly Lease[] {
  const newest = new Map<Prefix, Lease>();
  for (const lease of plan.leases) {
    if (lease.pool !== plan.pool.name) continue;
    const held = newest.get(lease.cidr);
    if (held === undefined || held.createRevision < lease.createRevision) newest.set(lease.cidr, lease);
  }
  const others = [...newest.values()].filter((lease) => lease.node !== plan.self.node && lease.cidr !== plan.own);
  // As numbers (revisions stay below 2^53): comparing bigints takes several times as long.
  const aged = others.map((lease) => ({ lease, age: Number(lease.createRevision) }));
  return aged.sort((a, b) => a.age - b.age).map(({ lease }) => lease);
}

/** The underlay address of that family a lease's node is reached by. */
export function addressOf(lease: Lease, family: Family): Ip | undefined {
  return familyOf(lease.address) === family ? lease.address : lease.address6;
}

/** The hop straight to the lease's node, if it is on one link with us and has an address of the CIDR's family. */
export function directHops(lease: Lease, underlay: Underlay): readonly Hop[] | undefined {
  const address = addressOf(lease, prefixFamily(lease.cidr));
  const path = address === undefined ? undefined : underlay.paths.get(address);
  if (path === undefined || !isOnLink(path)) return undefined;
  return path.hops.map((hop): Hop => ({ device: hop.device, gateway: address, onlink: false })).toSorted(compareHops);
}

/** A CIDR of our own swallows what no pod of ours claims: without it such a packet would go up the default route and come back. */
export function addOwn(into: FabricBuilder, cidr: Prefix, metric: number): void {
  into.add("route", { prefix: cidr, metric, hops: [] });
}

/** The first address of a CIDR. */
export function firstAddress(cidr: Prefix): Ip {
  return printIp(prefixParts(cidr).bytes);
}

/** Prefix length of a single address. */
export const hostLength = (address: Ip): number => (familyOf(address) === 4 ? 32 : 128);

/** Addresses whose paths the planners ask the underlay for: the other nodes', and the next hops of what BGP chose. */
export function underlayTargets(self: Self, leases: Iterable<Lease>, routes: ReadonlyMap<Prefix, readonly Ip[]>): ReadonlySet<Ip> {
  const targets = new Set<Ip>();
  for (const lease of leases) {
    if (lease.node === self.node) continue;
    targets.add(lease.address);
    if (lease.address6 !== undefined) targets.add(lease.address6);
  }
  for (const nextHops of routes.values()) for (const nextHop of nextHops) targets.add(nextHop);
  return targets;
}
