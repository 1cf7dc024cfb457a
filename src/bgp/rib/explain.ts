/**
 * The decision process as a numbered list that can say why (RFC 4271 §9.1.2.2 with RFC 4456 §9 woven in): the slow, readable
 * twin of decision.ts. The order of the rows is the decision process.
 */
import type { AdjRibIn } from "./adj-rib-in.ts";
import { none } from "./adj-rib-in.ts";
import type { AttributeTable } from "./attributes.ts";
import { unreachable } from "./next-hops.ts";
import { type PeerTable, roleExternal, roleLocal } from "./peer-table.ts";
import { flagLongLivedStale } from "./scan.ts";

/** One path, as the decision sees it. */
export interface Candidate {
  readonly path: number;
  readonly peer: number;
  /** As the peer gave it; 0 without ADD-PATH. */
  readonly pathId: number;
  /** 1 if it has LLGR_STALE. */
  readonly longLivedStale: number;
  /** A policy's, for this speaker alone. */
  readonly weight: number;
  readonly localPref: number;
  readonly asPathLength: number;
  readonly origin: number;
  readonly med: number;
  readonly neighborAs: number;
  /** 0 local, 1 external, 2 internal. */
  readonly externality: number;
  /** 0 where next hops are not resolved; `unreachable` (next-hops.ts) for a path that is not eligible. */
  readonly nextHopCost: number;
  readonly originatorId: number;
  readonly clusterListLength: number;
}

export interface Step {
  readonly name: string;
  readonly source: string;
  /** <0: a is preferred, >0: b, 0: the next step decides. */
  prefer(a: Candidate, b: Candidate, peers: PeerTable): number;
}

export const steps: readonly Step[] = [
  {
    name: "next hop that can be reached",
    source: "RFC 4271 §9.1.2",
    prefer: (a, b) => Number(a.nextHopCost === unreachable) - Number(b.nextHopCost === unreachable),
  },
  { name: "not stale for long", source: "RFC 9494 §4.4", prefer: (a, b) => a.longLivedStale - b.longLivedStale },
  { name: "highest weight", source: "local choice", prefer: (a, b) => b.weight - a.weight },
  { name: "highest LOCAL_PREF", source: "RFC 4271 §9.1.1", prefer: (a, b) => b.localPref - a.localPref },
  { name: "shortest AS_PATH", source: "RFC 4271 §9.1.2.2 a", prefer: (a, b) => a.asPathLength - b.asPathLength },
  { name: "lowest ORIGIN", source: "RFC 4271 §9.1.2.2 b", prefer: (a, b) => a.origin - b.origin },
  { name: "lowest MED of one neighbouring AS", source: "RFC 4271 §9.1.2.2 c", prefer: (a, b) => (a.neighborAs === b.neighborAs ? a.med - b.med : 0) },
  { name: "local before external before internal", source: "RFC 4271 §9.1.2.2 d", prefer: (a, b) => a.externality - b.externality },
  { name: "closest next hop", source: "RFC 4271 §9.1.2.2 e", prefer: (a, b) => a.nextHopCost - b.nextHopCost },
  { name: "lowest ORIGINATOR_ID or BGP Identifier", source: "RFC 4271 §9.1.2.2 f, RFC 4456 §9", prefer: (a, b) => a.originatorId - b.originatorId },
  { name: "shortest CLUSTER_LIST", source: "RFC 4456 §9", prefer: (a, b) => a.clusterListLength - b.clusterListLength },
  { name: "lowest peer address", source: "RFC 4271 §9.1.2.2 g", prefer: (a, b, peers) => peers.compareAddress(a.peer, b.peer) },
  { name: "lowest peer id", source: "local choice", prefer: (a, b) => a.peer - b.peer },
  { name: "lowest path identifier", source: "local choice", prefer: (a, b) => a.pathId - b.pathId },
];

/** Which of two is preferred, and by which step. */
export function compareBySteps(a: Candidate, b: Candidate, peers: PeerTable): { readonly order: number; readonly step: Step } {
  for (const step of steps) {
    const order = step.prefer(a, b, peers);
    if (order !== 0) return { order, step };
  }
  return { order: 0, step: steps.at(-1)! };
}

/** The best of several, by groups of one neighbouring AS first, so that the order of arrival does not matter. */
export function bestBySteps(candidates: readonly Candidate[], peers: PeerTable): Candidate | undefined {
  const champions = new Map<number, Candidate>();
  for (const candidate of candidates) {
    if (candidate.nextHopCost === unreachable) continue;
    const held = champions.get(candidate.neighborAs);
    if (!held || compareBySteps(candidate, held, peers).order < 0) champions.set(candidate.neighborAs, candidate);
  }
  let best: Candidate | undefined;
  for (const champion of champions.values()) if (!best || compareBySteps(champion, best, peers).order < 0) best = champion;
  return best;
}

export function candidatesOf(prefix: number, table: AdjRibIn, attributes: AttributeTable, peers: PeerTable): readonly Candidate[] {
  const out: Candidate[] = [];
  for (let path = table.head[prefix] ?? none; path !== none; path = table.next[path]!) {
    const peer = table.peer[path]!,
      set = table.attributes[path]!,
      role = peers.role[peer]!;
    out.push({
      path,
      peer,
      pathId: table.pathIdOf(path),
      longLivedStale: attributes.flags[set]! & flagLongLivedStale ? 1 : 0,
      weight: attributes.weight[set]!,
      localPref: attributes.localPref[set]!,
      asPathLength: attributes.asLength[set]!,
      origin: attributes.origin[set]!,
      med: attributes.med[set]!,
      neighborAs: attributes.neighborAs[set]!,
      externality: role === roleLocal ? 0 : role === roleExternal ? 1 : 2,
      nextHopCost: attributes.nextHops?.cost[set] ?? 0,
      originatorId: attributes.originatorId[set]! || peers.routerId[peer]!,
      clusterListLength: attributes.clusterLength[set]!,
    });
  }
  return out;
}
