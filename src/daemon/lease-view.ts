/** Leases as values for people: those of the store, and for each pool of this node what its own machine says. */
import type { Lease } from "#base/lease.ts";
import type { NodeSettings, PoolSettings } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import { vtepMac } from "#overlay/vtep.ts";
import type { LeaseView } from "./control.ts";
import type { Leases, OwnLeases } from "./streams.ts";

export interface LeaseFacts {
  readonly settings: NodeSettings;
  readonly leases: Leases;
  readonly own: OwnLeases;
  readonly now: Instant;
}

export function viewLeases({ settings, leases, own, now }: LeaseFacts): readonly LeaseView[] {
  const out: LeaseView[] = [],
    pools = new Map(settings.pools.map((pool) => [pool.name, pool]));
  for (const pool of settings.pools) {
    const mine = own.get(pool.name);
    if (mine === undefined) continue;
    out.push({
      pool: pool.name,
      cidr: mine.cidr ?? null,
      node: settings.node,
      own: true,
      state: mine.state,
      backend: pool.backend,
      address: settings.address,
      vtepMac: pool.vni === undefined ? null : vtepMac(settings.node, pool.vni),
      expiresSeconds: mine.endsAt === undefined ? null : Math.max(0, Math.round((mine.endsAt - now) / 1000)),
      reason: mine.reason,
    });
  }
  for (const lease of leases.values()) if (lease.node !== settings.node) out.push(viewOther(lease, pools.get(lease.pool)));
  return out;
}

function viewOther(lease: Lease, pool: PoolSettings | undefined): LeaseView {
  return {
    pool: lease.pool,
    cidr: lease.cidr,
    node: lease.node,
    own: false,
    state: lease.reserved ? "reserved" : "held",
    backend: pool?.backend ?? "bgp",
    address: lease.address,
    vtepMac: lease.vtepMac ?? null,
    expiresSeconds: null,
    reason: lease.reserved ? "a reservation, kept without a lease" : `held by node ${lease.node}`,
  };
}
