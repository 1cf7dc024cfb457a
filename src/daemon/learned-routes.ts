/** The routes the kernel should learn from BGP: best routes that came from a peer, with the next hops of all that are as good. */
import type { Ip } from "#base/ip.ts";
import { printIp } from "#base/ip.ts";
import { type Prefix, prefixFamily } from "#base/prefix.ts";
import { none } from "#bgp/rib/adj-rib-in.ts";
import { type Candidate, candidatesOf } from "#bgp/rib/explain.ts";
import { localPeer } from "#bgp/rib/peer-table.ts";
import type { Rib } from "#bgp/rib/rib.ts";

export class LearnedRoutes {
  readonly #rib: Rib;
  readonly #routes = new Map<Prefix, readonly Ip[]>();

  constructor(rib: Rib) {
    this.#rib = rib;
  }

  /** One map that `update` changes: copying it for each batch of a full table would cost more than the batch. */
  get routes(): ReadonlyMap<Prefix, readonly Ip[]> {
    return this.#routes;
  }

  /** Takes over what changed since the last call; true if anything is different for the kernel. */
  update(): boolean {
    const changes = this.#rib.takeChanges();
    let differs = false;
    for (const prefix of changes) {
      const hops = this.#nextHops(prefix);
      if (hops.join() === (this.#routes.get(prefix)?.join() ?? "")) continue; // told again, or a path that is not as good
      differs = true;
      if (hops.length > 0) this.#routes.set(prefix, hops);
      else this.#routes.delete(prefix);
    }
    return differs;
  }

  /** Next hops of the best path and of every path equal to it up to the choice between internal and external. */
  #nextHops(prefix: Prefix): readonly Ip[] {
    const rib = this.#rib.ribs[prefixFamily(prefix) === 4 ? 0 : 1],
      id = rib.prefixes.findText(prefix);
    const best = id < 0 ? none : rib.bestOf(id);
    if (best === none || rib.adjRibIn.peer[best] === localPeer) return [];
    const candidates = candidatesOf(id, rib.adjRibIn, this.#rib.attributes, this.#rib.peers);
    const chosen = candidates.find(({ path }) => path === best)!;
    const hops = new Set(candidates.filter((other) => isAsGood(other, chosen)).map(({ path }) => this.#nextHop(rib.adjRibIn.attributes[path]!)));
    return [...hops].toSorted();
  }

  #nextHop(set: number): Ip {
    const bytes = this.#rib.attributes.nextHopOf(set);
    return printIp(bytes.length === 32 ? bytes.subarray(0, 16) : bytes); // global, then link-local (RFC 2545 §3)
  }
}

function isAsGood(a: Candidate, b: Candidate): boolean {
  return (
    a.localPref === b.localPref &&
    a.asPathLength === b.asPathLength &&
    a.origin === b.origin &&
    a.externality === b.externality &&
    a.nextHopCost === b.nextHopCost &&
    a.neighborAs === b.neighborAs &&
    a.med === b.med
  );
}
