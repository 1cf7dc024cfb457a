/**
 * A pool that goes from one backend to another while packets flow. Every node follows the document in its own time and says in its
 * lease how it is reached; meanwhile a packet goes the way that its sender has and its receiver takes:
 *
 *   bgp → vxlan   who is a vxlan node has its device, sends by tunnel to those who say that they have theirs and by BGP's route to
 *                 the others, and goes on announcing its CIDR as long as anybody is a bgp node
 *   vxlan → bgp   who is a bgp node announces its CIDR, takes BGP's route where there is one, and keeps device and tunnels to the
 *                 others as long as anybody is a vxlan node
 *
 * What was there for the others stays a little longer than they say they need it: they may have said so before all was in place.
 */
import type { Lease } from "#base/lease.ts";
import type { PoolSettings } from "#base/settings.ts";
import { after, type Instant, millis, sooner } from "#base/time.ts";

/** How long the old way outlives the last node that says it goes by it. */
export const lingerMillis = 10_000;

export interface Tunnel {
  readonly vni: number;
  readonly port: number;
}

/** How one pool goes. */
export interface PoolMove {
  /** The pool's tunnel: its own, or one that others are still in. */
  readonly tunnel: Tunnel | undefined;
  /** Our CIDR of the pool is to be announced by BGP. */
  readonly announces: boolean;
}
export type Moves = ReadonlyMap<string, PoolMove>;

interface Move {
  tunnel: Tunnel | undefined;
  /** Undefined: as long as the document says so, or another node's lease. */
  tunnelUntil: Instant | undefined;
  announces: boolean;
  announcesUntil: Instant | undefined;
}

export class PoolMoves {
  readonly #moves = new Map<string, Move>();
  #now: Moves = new Map();

  /** Pools and leases as they are now; `node` is ourselves. Answers the same map until anything is otherwise. */
  see(pools: readonly PoolSettings[], leases: Iterable<Lease>, node: string, now: Instant): Moves {
    const byPool = new Map<string, Lease[]>(pools.map(({ name }) => [name, []]));
    for (const lease of leases) byPool.get(lease.pool)?.push(lease);
    for (const name of this.#moves.keys()) if (!byPool.has(name)) this.#moves.delete(name);
    for (const pool of pools) {
      const move = this.#moves.get(pool.name) ?? { tunnel: undefined, tunnelUntil: undefined, announces: false, announcesUntil: undefined };
      this.#moves.set(pool.name, move);
      seeTunnel(move, pool, byPool.get(pool.name)!, now);
      seeAnnouncing(
        move,
        pool,
        byPool.get(pool.name)!.filter((lease) => lease.node !== node),
        now,
      );
    }
    const next = new Map(Array.from(this.#moves, ([name, { tunnel, announces }]) => [name, { tunnel, announces }]));
    if (JSON.stringify([...next]) !== JSON.stringify([...this.#now])) this.#now = next;
    return this.#now;
  }

  /** When to see again though nothing changed. */
  nextDeadline(): Instant | undefined {
    let due: Instant | undefined;
    for (const { tunnelUntil, announcesUntil } of this.#moves.values()) due = sooner(due, sooner(tunnelUntil, announcesUntil));
    return due;
  }
}

function seeTunnel(move: Move, pool: PoolSettings, leases: readonly Lease[], now: Instant): void {
  const said = leases.find((lease) => lease.vni !== undefined && lease.port !== undefined);
  const wanted = pool.backend === "vxlan" ? { vni: pool.vni!, port: pool.port } : said && { vni: said.vni!, port: said.port! };
  if (wanted) {
    move.tunnel = wanted;
    move.tunnelUntil = undefined;
    return;
  }
  if (!move.tunnel) return;
  move.tunnelUntil ??= after(now, millis(lingerMillis));
  if (now < move.tunnelUntil) return;
  move.tunnel = undefined;
  move.tunnelUntil = undefined;
}

function seeAnnouncing(move: Move, pool: PoolSettings, others: readonly Lease[], now: Instant): void {
  if (pool.backend === "bgp" || others.some(({ backend }) => backend === "bgp")) {
    move.announces = true;
    move.announcesUntil = undefined;
    return;
  }
  if (!move.announces) return;
  move.announcesUntil ??= after(now, millis(lingerMillis));
  if (now < move.announcesUntil) return;
  move.announces = false;
  move.announcesUntil = undefined;
}
