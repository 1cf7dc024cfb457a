/** Import policies by peer. Neighbours with the same policies share one filter, and with it what it has rewritten already. */
import type { CompiledPolicies, PolicyParts } from "../policy/compiled-policies.ts";
import type { PolicyBook } from "../policy/policy-book.ts";
import { Refusals } from "../policy/refusals.ts";
import { EdgeFilter, type ImportEdge, noEdge } from "./import-edge.ts";
import type { LocRib } from "./loc-rib.ts";
import type { Role } from "./peer-table.ts";

/** Answers the set to keep instead of what came (often the same), or 0 for none. */
export type ImportFilter = (rib: LocRib, prefix: number, set: number, peer: number) => number;

interface Shared {
  readonly key: string;
  readonly compiled: CompiledPolicies;
  readonly edge: EdgeFilter;
  readonly filter: ImportFilter;
  users: number;
}

export class ImportFilters {
  readonly #book: PolicyBook;
  readonly #parts: PolicyParts;
  readonly refusals = new Refusals();
  readonly #shared = new Map<string, Shared>();
  readonly #ofPeer = new Map<number, Shared>();
  readonly #byPeer = new Map<number, ImportFilter>();

  constructor(book: PolicyBook, parts: PolicyParts) {
    this.#book = book;
    this.#parts = parts;
  }

  /** A peer that is not in here is believed as it is. */
  get byPeer(): ReadonlyMap<number, ImportFilter> {
    return this.#byPeer;
  }

  /** Gives a peer the policies of these names, or none. True if they are not those it had. */
  use(peer: number, names: readonly string[] | undefined, edge: ImportEdge = noEdge): boolean {
    const key = names && JSON.stringify([this.#book.keyOf(names), edge]),
      before = this.#ofPeer.get(peer);
    if (before?.key === key) return false;
    if (before) this.refusals.forget(peer);
    if (key !== undefined) {
      const shared = this.#shared.get(key) ?? this.#compile(key, names!, edge);
      shared.users++;
      this.#ofPeer.set(peer, shared);
      this.#byPeer.set(peer, shared.filter);
    } else {
      this.#ofPeer.delete(peer);
      this.#byPeer.delete(peer);
    }
    if (before && --before.users === 0) {
      this.#shared.delete(before.key);
      before.compiled.close();
      before.edge.close();
    }
    return true;
  }

  #compile(key: string, names: readonly string[], around: ImportEdge): Shared {
    const { attributes, peers } = this.#parts,
      compiled = this.#book.compile(names, this.#parts);
    const edge = new EdgeFilter(around, attributes);
    const filter: ImportFilter = (rib, prefix, set, peer) => {
      const seen = edge.before(set);
      if (seen === 0) return 0;
      const from = peers.role[peer]! as Role,
        kept = compiled.filter(rib, prefix, seen, from, peer);
      if (kept === 0) this.refusals.note(rib, prefix, peer, compiled.decide(rib, prefix, seen, from, peer));
      return edge.after(kept);
    };
    const shared = { key, compiled, edge, filter, users: 0 };
    this.#shared.set(key, shared);
    return shared;
  }
}
