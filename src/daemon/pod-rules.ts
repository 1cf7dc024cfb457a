/** Pools of the document → what the allocator and the doors need of them: defaults, who is given which, routes, MTU. */
import { type CallerFault, callerFault, failed, ok, type Outcome } from "#base/fault.ts";
import { familyOf, type Ip } from "#base/ip.ts";
import { addressAt, contains, type Prefix, prefixParts } from "#base/prefix.ts";
import type { PodSettings, PoolSettings } from "#base/settings.ts";
import { parseSelector } from "#config/selector.ts";
import type { PodPool, PodRecord, PodRequest } from "#ipam/pod-terms.ts";
import { podGateways } from "#overlay/attach.ts";

const defaults: PodSettings = {
  ranges: [],
  exclude: [],
  reserve: [],
  routes: [],
  dns: { nameservers: [], search: [], options: [] },
  namespaces: [],
  quota: {},
  coolDownSeconds: 30,
  keepSeconds: 86_400,
  alarmPercent: 90,
};
/** Octets the tunnel adds: outer IP, UDP, VXLAN and inner Ethernet headers (RFC 7348 §5). */
const vxlanOverhead = { 4: 50, 6: 70 } as const;
const ethernetMtu = 1500;

export const podSettings = (pool: PoolSettings): PodSettings => pool.pods ?? defaults;

export function podPool(pool: PoolSettings, cidr: Prefix | undefined, elsewhere: (namespace: string) => number): PodPool {
  return { name: pool.name, family: pool.family, pool: pool.cidr, cidr, active: pool.state === "active", rules: podSettings(pool), elsewhere };
}

/** Pools a request is served from: those it names, those of its addresses, or the first that fits, with its pair. */
export function choosePools(
  pools: readonly PoolSettings[],
  named: readonly string[] | undefined,
  request: Omit<PodRequest, "pools">,
): Outcome<readonly string[], CallerFault> {
  if (pools.length === 0) return failed(callerFault("ipam.no-such-pool", "the document declares no pool; add one under pools: and apply it"));
  if (named !== undefined && named.length > 0) return ok([...new Set(named)]);
  if (request.addresses.length > 0) {
    const homes = request.addresses.map((address) => pools.find((pool) => contains(pool.cidr, address)));
    return ok([...new Set(homes.flatMap((pool) => (pool === undefined ? [] : withPair(pool))))]);
  }
  const words = labelsOf(request);
  const fits = (pool: PoolSettings): boolean => {
    const { select } = podSettings(pool);
    const selector = select === undefined ? undefined : parseSelector(select);
    return selector?.ok === true && selector.value(words);
  };
  const selected =
    pools.find(fits) ?? pools.find((pool) => podSettings(pool).select === undefined && pool.state === "active" && permitsAny(pool, request.namespace));
  return ok(withPair(selected ?? pools[0]!));
}

/** An address with its gateway. */
export function gatewayOf(pool: PoolSettings | undefined, address: Ip): Ip {
  const given = pool === undefined ? undefined : podSettings(pool).gateway;
  return given !== undefined && familyOf(given) === familyOf(address) ? given : podGateways[familyOf(address)];
}

/** The gateway of an address that was handed out: its link's own, or its pool's. */
export const gatewayFor = (pool: PoolSettings | undefined, { address, link }: PodRecord): Ip =>
  link?.gateways?.find((gateway) => familyOf(gateway) === familyOf(address)) ?? gatewayOf(pool, address);

/**
 * Router of a link that is a subnet (a bridge, macvlan) and not a pod's own: the pool's gateway if it lies in the CIDR, else the CIDR's first host,
 * which is handed out to no pod; null in a CIDR too small to set one aside.
 */
export function subnetGatewayOf(pool: PoolSettings | undefined, cidr: Prefix): Ip | null {
  const given = pool === undefined ? undefined : podSettings(pool).gateway;
  if (given !== undefined && contains(cidr, given)) return given;
  const { bytes, length } = prefixParts(cidr);
  return bytes.length * 8 - length < 2 ? null : addressAt(cidr, 1n);
}

export interface PodRoute {
  readonly destination: Prefix;
  readonly gateway: Ip;
}

/** Routes in the pod: those of its pools, else a default route per family. */
export function routesOf(pools: readonly PoolSettings[], records: readonly PodRecord[]): readonly PodRoute[] {
  return records.flatMap((record): readonly PodRoute[] => {
    const pool = pools.find(({ name }) => name === record.pool),
      gateway = gatewayFor(pool, record);
    const routes = (pool === undefined ? [] : podSettings(pool).routes).map((route) => ({ destination: route.destination, gateway: route.gateway ?? gateway }));
    const all = (familyOf(record.address) === 4 ? "0.0.0.0/0" : "::/0") as Prefix;
    return routes.length > 0 ? routes : [{ destination: all, gateway }];
  });
}

/** MTU of a pod's link: the pool's, or what the uplink leaves. */
export function mtuOf(pool: PoolSettings | undefined, uplink: { readonly mtu: number | undefined; readonly family: 4 | 6 }): number {
  if (pool?.mtu !== undefined) return pool.mtu;
  const carried = Math.min(uplink.mtu ?? ethernetMtu, 65_535);
  return pool?.backend === "vxlan" ? carried - vxlanOverhead[uplink.family] : carried;
}

function withPair(pool: PoolSettings): readonly string[] {
  const { pair } = podSettings(pool);
  return pair === undefined ? [pool.name] : [pool.name, pair];
}

function permitsAny(pool: PoolSettings, namespace: string | undefined): boolean {
  const { namespaces } = podSettings(pool);
  return namespaces.length === 0 || namespaces.some((name) => (name.endsWith("*") ? (namespace ?? "").startsWith(name.slice(0, -1)) : name === namespace));
}

function labelsOf({ labels, namespace, network }: Omit<PodRequest, "pools">): ReadonlyMap<string, readonly string[]> {
  const words = { ...labels, ...(namespace !== undefined && { namespace }), ...(network !== undefined && { network }) };
  return new Map(Object.entries(words).map(([name, value]) => [name, [value]]));
}
