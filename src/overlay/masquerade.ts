/**
 * Masquerade: what pods send to the world beyond every pool leaves under the node's address. Between pods, from outside to a pod,
 * and to multicast groups, sources stay as they are: a pod is known by its own address wherever that can be answered.
 */
import type { FilterMatch, FilterRule, FilterSet, FilterTable } from "#base/filter-table.ts";
import type { Family } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PoolSettings } from "#base/settings.ts";
import { planPorts, type PublishedPort } from "./published-ports.ts";

/** NF_IP_PRI_NAT_SRC, where everybody rewrites sources. */
const sourceNatPriority = 100;
/** What kube-proxy marks it masquerades itself. It sets one bit beside others, so the bit is compared, never the mark. */
const kubeProxyMark = 0x4000;
const multicast: Readonly<Record<Family, Prefix>> = { 4: "224.0.0.0/4" as Prefix, 6: "ff00::/8" as Prefix };

/**
 * Our table for these pools; undefined: no pool masquerades and no port leads to a pod, so there is to be none. The sources are whole pools, not this node's
 * CIDRs alone: a pod's address may move to another node, and a packet that another node let out has that node's address already.
 */
export function planMasquerade(pools: readonly PoolSettings[], ports: readonly PublishedPort[] = []): FilterTable | undefined {
  const families = ([4, 6] as const).filter((family) => pools.some((pool) => pool.masquerade && pool.family === family));
  if (families.length === 0 && ports.length === 0) return undefined;
  const { entering, leaving } = planPorts(ports);
  return {
    sets: families.flatMap((family) => setsOf(family, pools)),
    chains: [...entering, { name: "postrouting", priority: sourceNatPriority, rules: [leaveMarked, ...leaving, ...families.map(masquerade)] }],
  };
}

const leaveMarked: FilterRule = {
  matches: [{ kind: "mark", mask: kubeProxyMark, value: kubeProxyMark }],
  verdict: "return",
  comment: "marked by kube-proxy, which masquerades it itself",
};

function setsOf(family: Family, pools: readonly PoolSettings[]): readonly FilterSet[] {
  const all = pools.filter((pool) => pool.family === family),
    cidrs = (of: readonly PoolSettings[]): ReadonlySet<Prefix> => new Set(of.map((pool) => pool.cidr).toSorted());
  return [
    { name: `pools${family}`, family, prefixes: cidrs(all) },
    { name: `masquerade${family}`, family, prefixes: cidrs(all.filter((pool) => pool.masquerade)) },
  ];
}

function masquerade(family: Family): FilterRule {
  const to = (within: Prefix | { readonly set: string }): FilterMatch => ({ kind: "address", side: "destination", family, negated: true, within });
  return {
    matches: [
      { kind: "address", side: "source", family, negated: false, within: { set: `masquerade${family}` } },
      to({ set: `pools${family}` }),
      to(multicast[family]),
    ],
    verdict: "masquerade",
    comment: "from a pod to beyond every pool",
  };
}
