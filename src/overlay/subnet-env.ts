/**
 * What a node has of a pool, as flannel writes it for others to read (flannel's pkg/subnet/subnet.go, WriteSubnetFile): shell variables,
 * in its order. Tools that start Docker or a CNI plugin by that file go on as they are.
 */
import { printIp } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import { prefixParts } from "#base/prefix.ts";
import type { PoolSettings } from "#base/settings.ts";
import type { Underlay } from "#base/underlay.ts";
import type { Fabric } from "./fabric.ts";
import type { Self } from "./remote.ts";
import { vxlanDevice } from "./vtep.ts";

const fallbackMtu = 1500;

export interface SubnetFilesPlan {
  readonly self: Self;
  readonly pools: readonly PoolSettings[];
  /** Pool → this node's CIDR, while it may be used. */
  readonly own: ReadonlyMap<string, Prefix>;
  readonly fabric: Fabric;
  readonly underlay: Underlay;
}

/** Path → text. A pool whose CIDR this node does not have (yet, or any more) has no part in it, and a file stays as it was then. */
export function planSubnetFiles(plan: SubnetFilesPlan): ReadonlyMap<string, string> {
  const paths = new Set(plan.pools.flatMap(({ subnetEnv }) => subnetEnv ?? []));
  const files = new Map<string, string>();
  for (const path of paths) {
    const pools = plan.pools.filter(({ name, subnetEnv }) => subnetEnv === path && plan.own.has(name));
    if (pools.length > 0) files.set(path, fileOf(pools, plan));
  }
  return files;
}

/** A pool of each family at most (config/check-pools.ts). */
function fileOf(pools: readonly PoolSettings[], plan: SubnetFilesPlan): string {
  const families = pools
    .toSorted((a, b) => a.family - b.family)
    .flatMap(({ name, family, cidr }) => {
      const stem = family === 4 ? "FLANNEL" : "FLANNEL_IPV6";
      return [`${stem}_NETWORK=${cidr}`, `${stem}_SUBNET=${firstHost(plan.own.get(name)!)}`];
    });
  const mtu = Math.min(...pools.map((pool) => mtuOf(pool, plan)));
  return [...families, `FLANNEL_MTU=${mtu}`, `FLANNEL_IPMASQ=${pools.some(({ masquerade }) => masquerade)}`, ""].join("\n");
}

/** The address after the first, with the length of the CIDR: a bridge's own, as flannel has it. */
function firstHost(cidr: Prefix): string {
  const { bytes, length } = prefixParts(cidr),
    host = Uint8Array.from(bytes);
  host[host.length - 1]! += 1;
  return `${printIp(host)}/${length}`;
}

/** What a packet of the pool may have: the pool's own word, the tunnel's MTU, or that of the link with our address. */
function mtuOf(pool: PoolSettings, { fabric, underlay, self }: SubnetFilesPlan): number {
  if (pool.mtu !== undefined) return pool.mtu;
  if (pool.backend === "vxlan") return fabric.link.get(vxlanDevice(pool.vni!))?.mtu ?? fallbackMtu;
  const link = underlay.links.get(underlay.addresses.get(self.address) ?? "");
  return link === undefined || link.loopback ? fallbackMtu : link.mtu;
}
