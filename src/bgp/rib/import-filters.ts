/** Import policies by peer. Neighbours with the same policies share one filter, and with it what it has rewritten already. */
import type { PolicySettings } from "#base/settings.ts";
import { type CompiledPolicies, compilePolicies, type ImportFilter } from "../policy.ts";
import type { AttributeTable } from "./attributes.ts";
import { roleExternal } from "./peer-table.ts";

interface Shared {
  readonly key: string;
  readonly compiled: CompiledPolicies;
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
  use(peer: number, policies: readonly PolicySettings[] | undefined): boolean {
    const key = policies && JSON.stringify(policies),
      before = this.#ofPeer.get(peer);
    if (before?.key === key) return false;
    if (key !== undefined) {
      const shared = this.#shared.get(key) ?? this.#compile(key, policies!);
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
    }
    return true;
  }

  #compile(key: string, policies: readonly PolicySettings[]): Shared {
    const compiled = compilePolicies(policies, this.#attributes, "import");
    const shared = { key, compiled, filter: ((rib, prefix, set) => compiled.filter(rib, prefix, set, roleExternal)) satisfies ImportFilter, users: 0 };
    this.#shared.set(key, shared);
    return shared;
  }
}
