/** Paths into the long-lived stale state (RFC 9494 §4.2): LLGR_STALE is added, and what carries NO_LLGR goes. */
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { wellKnownCommunity } from "#wire/bgp/community.ts";
import type { AttributeTable } from "./attributes.ts";
import type { LocRib } from "./loc-rib.ts";
import { flagLongLivedStale, flagNoLongLived } from "./scan.ts";
import { SetMemo } from "./set-memo.ts";

/** Does it to paths of one family's Adj-RIBs-In. */
export class LongLivedMark {
  readonly #rib: LocRib;
  readonly #attributes: AttributeTable;
  readonly #marked: SetMemo;

  constructor(rib: LocRib, attributes: AttributeTable) {
    this.#rib = rib;
    this.#attributes = attributes;
    this.#marked = new SetMemo(attributes, withStale);
  }

  /** How fresh the path is stays: it is stale all the same. */
  put(path: number): void {
    const rib = this.#rib,
      set = rib.adjRibIn.attributes[path]!,
      flags = this.#attributes.flags[set]!;
    if (flags & flagLongLivedStale && !(flags & flagNoLongLived)) return;
    const made = flags & flagNoLongLived ? 0 : this.#marked.of(set);
    if (made !== 0) rib.restate(path, made);
    else rib.withdrawPath(path);
  }

  /** Lets go of the sets that were made. */
  close(): void {
    this.#marked.close();
  }
}

function withStale(values: PathAttributes): PathAttributes {
  return { ...values, communities: Uint32Array.from([...(values.communities ?? []), wellKnownCommunity.llgrStale]).toSorted() };
}
