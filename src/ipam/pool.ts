/**
 * Which CIDR of a pool a node tries next. Pure: the same node asks in the same order at every start, different nodes begin at
 * different places, so that a cluster that starts at once hardly ever races.
 */
import type { PoolSettings } from "#base/settings.ts";
import { type Prefix, contains, countSubnets, overlaps, prefixParts, subnetAt } from "#base/prefix.ts";
import { hashText } from "./exchange.ts";

export interface Asker {
  readonly node: string;
  /** The CIDR it had last, if any: first choice, also long after it lapsed. */
  readonly former: Prefix | undefined;
  /** Every CIDR of this pool somebody else claims, or that is kept for its last node, as the store holds it. */
  readonly taken: Iterable<Prefix>;
}

export type Candidate =
  | { readonly kind: "try"; readonly cidr: Prefix }
  /** The node's own reservation is claimed by somebody else. */
  | { readonly kind: "reservation-taken"; readonly cidr: Prefix }
  | { readonly kind: "exhausted"; readonly total: bigint };

/** The next CIDR to claim. A node with a reservation gets that one and no other. Costs memory for the taken ones only. */
export function nextCidr(pool: PoolSettings, asker: Asker): Candidate {
  const blocked = new Blocked(pool);
  for (const cidr of asker.taken) blocked.add(cidr);
  const reserved = Object.hasOwn(pool.reservations, asker.node) ? pool.reservations[asker.node] : undefined;
  if (reserved !== undefined) return { kind: blocked.has(reserved) ? "reservation-taken" : "try", cidr: reserved };
  for (const cidr of Object.values(pool.reservations)) blocked.add(cidr);
  const { former } = asker;
  if (former !== undefined && isOfPool(pool, former) && !blocked.has(former)) return { kind: "try", cidr: former };
  const total = countSubnets(pool.cidr, pool.nodePrefix);
  if (blocked.isWhole) return { kind: "exhausted", total };
  // Subnets are a power of two in number, so an odd step visits each exactly once.
  const start = hash64(asker.node),
    step = hash64(`${asker.node}/${pool.name}`) | 1n;
  for (let i = 0n; i < total; i++) {
    const cidr = subnetAt(pool.cidr, pool.nodePrefix, BigInt.asUintN(64, start + i * step) % total);
    if (!blocked.has(cidr)) return { kind: "try", cidr };
  }
  return { kind: "exhausted", total };
}

/** True if `cidr` is one that a node may hold of this pool as it is now. */
export function isOfPool(pool: PoolSettings, cidr: Prefix): boolean {
  return prefixParts(cidr).length === pool.nodePrefix && contains(pool.cidr, cidr);
}

/** Claimed CIDRs; those of another length than the pool's (it was other once) are compared one by one. */
class Blocked {
  readonly #pool: PoolSettings;
  readonly #same = new Set<Prefix>();
  readonly #others: Prefix[] = [];
  constructor(pool: PoolSettings) {
    this.#pool = pool;
  }

  get isWhole(): boolean {
    return this.#others.some((other) => contains(other, this.#pool.cidr));
  }
  add(cidr: Prefix): void {
    if (prefixParts(cidr).length === this.#pool.nodePrefix) this.#same.add(cidr);
    else if (overlaps(this.#pool.cidr, cidr)) this.#others.push(cidr);
  }
  has(cidr: Prefix): boolean {
    return this.#same.has(cidr) || this.#others.some((other) => overlaps(other, cidr));
  }
}

function hash64(text: string): bigint {
  return (BigInt(hashText(text)) << 32n) | BigInt(hashText(text, 0x9747b28c));
}
