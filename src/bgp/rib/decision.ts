/**
 * The decision process over columns (RFC 4271 §9.1, RFC 4456 §9). A hot file; its twin, row by row with the section of each
 * step, is explain.ts, which also serves `podway why`; test/bgp/decision.test.ts compares the two.
 *
 * MED ranks only paths of one neighbouring AS, so a fold in order of arrival would depend on that order. Here a path drops
 * out when another of the same neighbouring AS, equal so far, has a lower MED (RFC 4271 §9.1.2.2 c): no order matters.
 */
import type { AdjRibIn } from "./adj-rib-in.ts";
import { none } from "./adj-rib-in.ts";
import type { AttributeTable } from "./attributes.ts";
import { type PeerTable, roleExternal, roleLocal } from "./peer-table.ts";
import { flagLongLivedStale } from "./scan.ts";

export class Decision {
  readonly #in: AdjRibIn;
  readonly #set: AttributeTable;
  readonly #peers: PeerTable;

  constructor(adjRibIn: AdjRibIn, attributes: AttributeTable, peers: PeerTable) {
    this.#in = adjRibIn;
    this.#set = attributes;
    this.#peers = peers;
  }

  /** False: of a single path nothing need be asked, it is the best. */
  get resolvesNextHops(): boolean {
    return this.#set.nextHops !== undefined;
  }

  /** The best path of a prefix, or `none`. */
  best(prefix: number): number {
    const first = this.#in.head[prefix]!;
    if (this.#set.nextHops) return this.#bestReachable(first);
    if (first === none || this.#in.next[first] === none) return first;
    return this.#choose(first);
  }

  /** Compares up to and including ORIGIN: the steps that need no company. <0: a is preferred. */
  compareRank(a: number, b: number): number {
    const set = this.#set,
      x = this.#in.attributes[a]!,
      y = this.#in.attributes[b]!;
    if (x === y) return 0;
    // RFC 9494 §4.4: stale for long comes after everything else, before anything is compared
    const stale = (set.flags[x]! & flagLongLivedStale) - (set.flags[y]! & flagLongLivedStale);
    if (stale !== 0) return stale;
    return set.weight[y]! - set.weight[x]! || set.localPref[y]! - set.localPref[x]! || set.asLength[x]! - set.asLength[y]! || set.origin[x]! - set.origin[y]!;
  }

  /** The steps behind MED. */
  compareRest(a: number, b: number): number {
    const set = this.#set,
      peers = this.#peers,
      p = this.#in.peer[a]!,
      q = this.#in.peer[b]!;
    const step = externality(peers.role[p]!) - externality(peers.role[q]!);
    if (step !== 0) return step;
    const hops = this.#set.nextHops,
      further = hops ? hops.cost[this.#in.attributes[a]!]! - hops.cost[this.#in.attributes[b]!]! : 0;
    if (further !== 0) return further;
    const x = this.#in.attributes[a]!,
      y = this.#in.attributes[b]!;
    const idA = set.originatorId[x]! || peers.routerId[p]!,
      idB = set.originatorId[y]! || peers.routerId[q]!;
    return idA - idB || set.clusterLength[x]! - set.clusterLength[y]! || peers.compareAddress(p, q) || p - q || this.#in.pathIdOf(a) - this.#in.pathIdOf(b);
  }

  /** True if `other`, equal to `path` in rank, takes it out of the running by its MED. */
  isBeatenByMed(path: number, other: number): boolean {
    const set = this.#set,
      x = this.#in.attributes[path]!,
      y = this.#in.attributes[other]!;
    return set.med[y]! < set.med[x]! && set.neighborAs[x] === set.neighborAs[y];
  }

  /** False for a path whose next hop cannot be reached: it is not looked at (RFC 4271 §9.1.2). */
  isEligible(path: number): boolean {
    const hops = this.#set.nextHops;
    return !hops || hops.isReachable(this.#in.attributes[path]!);
  }

  #bestReachable(first: number): number {
    const paths: number[] = [];
    for (let path = first; path !== none; path = this.#in.next[path]!) if (this.isEligible(path)) paths.push(path);
    return paths.length < 2 ? (paths[0] ?? none) : paths[this.#placeOfBest(paths, 0)]!;
  }

  #choose(first: number): number {
    const next = this.#in.next,
      set = this.#set,
      of = this.#in.attributes;
    let top = first,
      medsDiffer = false;
    for (let path = next[first]!; path !== none; path = next[path]!) {
      const order = this.compareRank(path, top);
      if (order < 0) {
        top = path;
        medsDiffer = false;
      } else if (order === 0 && set.med[of[path]!] !== set.med[of[top]!]) medsDiffer = true;
    }
    let best: number = none;
    for (let path = first; path !== none; path = next[path]!) {
      if (path !== top && this.compareRank(path, top) !== 0) continue;
      if (medsDiffer && this.#fallsByMed(path, first)) continue;
      if (best === none || this.compareRest(path, best) < 0) best = path;
    }
    return best;
  }

  /** Brings the best `count` of some paths of one prefix to the front, best first: each the best of those that are left. */
  bringForward(paths: number[], count: number): void {
    for (let n = 0; n < count && n < paths.length; n++) {
      const at = this.#placeOfBest(paths, n),
        best = paths[at]!;
      paths[at] = paths[n]!;
      paths[n] = best;
    }
  }

  /** `#choose` among paths[from…]. */
  #placeOfBest(paths: readonly number[], from: number): number {
    let best = from;
    for (let n = from + 1; n < paths.length; n++) if (this.compareRank(paths[n]!, paths[best]!) < 0) best = n;
    const top = paths[best]!;
    best = none;
    for (let n = from; n < paths.length; n++) {
      const path = paths[n]!;
      if (this.compareRank(path, top) !== 0) continue;
      if (paths.some((other, m) => m >= from && other !== path && this.isBeatenByMed(path, other) && this.compareRank(other, path) === 0)) continue;
      if (best === none || this.compareRest(path, paths[best]!) < 0) best = n;
    }
    return best;
  }

  #fallsByMed(path: number, first: number): boolean {
    for (let other = first; other !== none; other = this.#in.next[other]!)
      if (other !== path && this.isBeatenByMed(path, other) && this.compareRank(other, path) === 0) return true;
    return false;
  }
}

/** Locally originated routes come before external, external before internal (RFC 4271 §9.1.2.2 d). */
function externality(role: number): number {
  return role === roleLocal ? 0 : role === roleExternal ? 1 : 2;
}
