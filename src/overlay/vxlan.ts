/**
 * Leases of an overlay pool → one VXLAN device and, for each remote node, three rows (RFC 7348, unicast, without learning):
 *
 *   route      10.43.7.0/24 via 10.43.7.0 dev pw-vx43 onlink     which device
 *   neighbour  10.43.7.0 lladdr 02:… dev pw-vx43                  inner MAC: that node's VTEP
 *   fdb        02:… dst 10.0.0.27 dev pw-vx43                      outer address: that node
 *
 * The gateway is the first address of the remote CIDR, which its own device carries: no pod ever gets it. Nothing here is a
 * difference; a device that is deleted comes back with all its rows because they are all still wanted.
 */
import { familyOf, type Ip, type Mac } from "#base/ip.ts";
import { type FdbRow, keyOf, type NeighbourRow, type RouteRow } from "#base/kernel-row.ts";
import type { Lease } from "#base/lease.ts";
import { note } from "#base/note.ts";
import type { Underlay } from "#base/underlay.ts";
import { FabricBuilder, type Planned } from "./fabric.ts";
import { addOwn, addressOf, directHops, firstAddress, hostLength, type PoolPlan, remoteLeases, type Self } from "./remote.ts";
import { vtepMac, vxlanDevice } from "./vtep.ts";

/** Outer headers: IPv4 20 or IPv6 40, UDP 8, VXLAN 8, inner Ethernet 14. */
const overheadOctets = { 4: 50, 6: 70 } as const;
/** IPv6's least link MTU (RFC 8200 §5); an inner device below it would lose IPv6 altogether. */
const leastMtu = 1280;
const fallbackMtu = 1500;

/** Everything the pool needs in the kernel of this node. `pool.vni` must be set. */
export function planVxlan(plan: PoolPlan): Planned {
  const into = new FabricBuilder(),
    device = vxlanDevice(plan.pool.vni!);
  const tunnelled: Ip[] = [],
    macs = new Map<Mac, Lease>();
  for (const lease of remoteLeases(plan)) {
    if (goesByRoute(plan, lease)) continue;
    const hops = plan.pool.crossSubnet || lease.backend === "host-gw" ? directHops(lease, plan.underlay) : undefined;
    if (hops !== undefined) into.add("route", { prefix: lease.cidr, metric: plan.metric, hops });
    else addTunnel(into, plan, lease, { device, tunnelled, macs });
  }
  if (plan.own !== undefined) {
    const address = firstAddress(plan.own);
    into.add("address", { device, address, length: hostLength(address) });
    addOwn(into, plan.own, plan.metric);
  }
  into.add("link", {
    name: device,
    vni: plan.pool.vni!,
    local: plan.self.address,
    port: plan.pool.port,
    mac: vtepMac(plan.self.node, plan.pool.vni!),
    mtu: plan.pool.mtu ?? tunnelMtu(plan.self, tunnelled, plan.underlay),
    up: true,
  });
  return into.done();
}

/** BGP has a route, and it is the pool's way, or that of a node that has no tunnel (pool-moves.ts). */
function goesByRoute({ pool, routes }: PoolPlan, lease: Lease): boolean {
  return routes?.has(lease.cidr) === true && (pool.backend === "bgp" || lease.backend === "bgp");
}

interface Tunnels {
  readonly device: string;
  /** Outer addresses so far. */
  readonly tunnelled: Ip[];
  readonly macs: Map<Mac, Lease>;
}

function addTunnel(into: FabricBuilder, plan: PoolPlan, lease: Lease, { device, tunnelled, macs }: Tunnels): void {
  const destination = addressOf(lease, familyOf(plan.self.address));
  const mac = lease.vtepMac ?? vtepMac(lease.node, plan.pool.vni!);
  const about = { node: lease.node, pool: lease.pool, prefix: lease.cidr };
  if (destination === undefined) {
    const family = familyOf(plan.self.address);
    into.say(
      note(
        "warn",
        "vxlan.no-underlay",
        `${lease.cidr} is not reached: node ${lease.node} has no IPv${family} address; give it one or put both nodes on one family.`,
        about,
      ),
    );
    return;
  }
  const other = macs.get(mac);
  if (other !== undefined && other.node !== lease.node) {
    into.say(
      note(
        "error",
        "vxlan.duplicate-mac",
        `${lease.cidr} is not reached: nodes ${other.node} and ${lease.node} have one VTEP MAC ${mac}; rename one of them.`,
        about,
      ),
    );
    return;
  }
  macs.set(mac, lease);
  tunnelled.push(destination);
  const rows = tunnelRows(lease, { device, mac, destination, metric: plan.metric });
  into.addKeyed("neighbour", rows.neighbourKey, rows.neighbour);
  into.addKeyed("fdb", rows.fdbKey, rows.fdb);
  into.addKeyed("route", rows.routeKey, rows.route);
}

interface TunnelRows {
  readonly neighbour: NeighbourRow;
  readonly neighbourKey: string;
  readonly fdb: FdbRow;
  readonly fdbKey: string;
  readonly route: RouteRow;
  readonly routeKey: string;
}

/** The rows of leases that are planned again and again: of five thousand, one changes. Only a shorter way to what would be made anew. */
const made = new WeakMap<Lease, TunnelRows>();

function tunnelRows(lease: Lease, way: { readonly device: string; readonly mac: Mac; readonly destination: Ip; readonly metric: number }): TunnelRows {
  const { device, mac, destination, metric } = way,
    held = made.get(lease);
  if (held?.fdb.device === device && held.fdb.mac === mac && held.fdb.destination === destination && held.route.metric === metric) return held;
  const address = firstAddress(lease.cidr),
    neighbour = { device, address, mac },
    fdb = { device, mac, destination },
    route = { prefix: lease.cidr, metric, hops: [{ device, gateway: address, onlink: true }] };
  const rows = { neighbour, neighbourKey: keyOf.neighbour(neighbour), fdb, fdbKey: keyOf.fdb(fdb), route, routeKey: keyOf.route(route) };
  made.set(lease, rows);
  return rows;
}

/** The least MTU of the ways to the other ends less the outer headers; of our own address's device while there are none. */
function tunnelMtu(self: Self, ends: readonly Ip[], underlay: Underlay): number {
  let least = Infinity;
  for (const end of ends) least = Math.min(least, underlay.paths.get(end)?.mtu ?? Infinity);
  if (least === Infinity) {
    const link = underlay.links.get(underlay.addresses.get(self.address) ?? "");
    least = link === undefined || link.loopback ? fallbackMtu : link.mtu;
  }
  return Math.max(leastMtu, least - overheadOctets[familyOf(self.address)]);
}
