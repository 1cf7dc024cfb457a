/**
 * Next hops and whether they can be reached (RFC 4271 §9.1.2: "the route is resolvable"), by attribute set. Somebody who can ask
 * the kernel is told which next hops there are and says what each costs; until it has said so a next hop counts as unreachable.
 * A speaker that does not resolve (an off-path reflector has no routes to the nodes) has none of this.
 *
 * Holds: a next hop is known while an attribute set names it · a set that is our own next hop costs nothing and is not asked for.
 */
import { type Ip, printIp } from "#base/ip.ts";
import { grown } from "./prefixes.ts";

/** Cost of what cannot be reached. */
export const unreachable = 0xffff_ffff;

interface NextHop {
  readonly ip: Ip;
  cost: number;
  /** Attribute sets that name it. */
  sets: number;
  /** Its cost changed and the paths that have it were not decided again yet. */
  isStale: boolean;
}

export class NextHops {
  /** By attribute set id. */
  cost = new Uint32Array(256);
  #hopOf: (NextHop | undefined)[] = [];
  readonly #hops = new Map<Ip, NextHop>();
  #isNews = false;
  #hasStale = false;

  /** An attribute set came: `nextHop` has 4, 16 or 32 octets, of 32 the global address counts (RFC 2545 §3). */
  add(set: number, nextHop: Uint8Array, isOwn: boolean): void {
    while (set >= this.cost.length) this.cost = grown(this.cost, this.cost.length * 2);
    this.cost[set] = 0;
    if (isOwn) return;
    const ip = printIp(nextHop.length === 32 ? nextHop.subarray(0, 16) : nextHop);
    let hop = this.#hops.get(ip);
    if (!hop) {
      hop = { ip, cost: unreachable, sets: 0, isStale: false };
      this.#hops.set(ip, hop);
      this.#isNews = true;
    }
    hop.sets++;
    this.#hopOf[set] = hop;
    this.cost[set] = hop.cost;
  }

  /** Nobody holds the set any more. */
  drop(set: number): void {
    const hop = this.#hopOf[set];
    this.#hopOf[set] = undefined;
    if (hop && --hop.sets === 0) this.#hops.delete(hop.ip);
  }

  isReachable(set: number): boolean {
    return this.cost[set] !== unreachable;
  }

  /** Every next hop there is, if there is a new one since the last call. */
  takeNews(): readonly Ip[] | undefined {
    if (!this.#isNews) return undefined;
    this.#isNews = false;
    return this.all();
  }
  all(): readonly Ip[] {
    return [...this.#hops.keys()];
  }

  /** What is known now: the cost of each, `unreachable` for those that have none. True if paths must be decided again (`isStale`). */
  resolve(costs: ReadonlyMap<Ip, number>): boolean {
    for (const hop of this.#hops.values()) {
      const cost = costs.get(hop.ip);
      if (cost === undefined || cost === hop.cost) continue;
      hop.cost = cost;
      hop.isStale = true;
      this.#hasStale = true;
    }
    if (this.#hasStale) for (const [set, hop] of this.#hopOf.entries()) if (hop?.isStale) this.cost[set] = hop.cost;
    return this.#hasStale;
  }

  /** True if the cost of the set's next hop changed since the last `settled`. */
  isStale(set: number): boolean {
    return this.#hopOf[set]?.isStale === true;
  }
  /** Every path was looked at. */
  settled(): void {
    for (const hop of this.#hops.values()) hop.isStale = false;
    this.#hasStale = false;
  }
}
