/** Import policies by peer. Neighbours with the same policies share one filter, and with it what it has rewritten already. */
import type { PolicySettings } from "#base/settings.ts";
import { type CompiledPolicies, compilePolicies, type ImportFilter } from "../policy.ts";
import type { AttributeTable } from "./attributes.ts";
import { EdgeFilter, type ImportEdge } from "./import-edge.ts";
import { roleExternal } from "./peer-table.ts";

const noEdge: ImportEdge = { asRole: undefined, remoteAs: undefined, shutdown: false };

interface Shared {
  readonly key: string;
  readonly compiled: CompiledPolicies;
  readonly edge: EdgeFilter;
  readonly filter: ImportFilter;
  users: number;
}

export class ImportFilters {
  readonly #attributes: AttributeTable;
  readonly #shared = new Map<string, Shared>();
  readonly #ofPeer = new Map<number, Shared>();
  readonly #byPeer = new Map<number, ImportFilter>();

  constructor(attributes: AttributeTable) {
    this.#attributes = attributes;
  }

  /** A peer that is not in here is believed as it is. */
  get byPeer(): ReadonlyMap<number, ImportFilter> {
    return this.#byPeer;
  }

  /** Gives a peer its policies, or none. True if they are not those it had. */
  use(peer: number, policies: readonly PolicySettings[] | undefined, edge: ImportEdge = noEdge): boolean {
    const key = policies && JSON.stringify([policies, edge]),
      before = this.#ofPeer.get(peer);
    if (before?.key === key) return false;
    if (key !== undefined) {
      const shared = this.#shared.get(key) ?? this.#compile(key, policies!, edge);
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

  #compile(key: string, policies: readonly PolicySettings[], around: ImportEdge): Shared {
    const compiled = compilePolicies(policies, this.#attributes, "import");
    const edge = new EdgeFilter(around, this.#attributes);
    const filter: ImportFilter = (rib, prefix, set) => {
      const seen = edge.before(set);
      return seen === 0 ? 0 : edge.after(compiled.filter(rib, prefix, seen, roleExternal));
    };
    const shared = { key, compiled, edge, filter, users: 0 };
    this.#shared.set(key, shared);
    return shared;
  }
}
