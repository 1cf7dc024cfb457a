/** A rule's changes of attribute sets, each done once: by family, since a next hop counts for routes of its family alone. */
import { ipBytes } from "#base/ip.ts";
import type { PolicyChanges } from "#base/policy-settings.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import type { AttributeTable } from "../rib/attributes.ts";
import type { LocRib } from "../rib/loc-rib.ts";
import type { Role } from "../rib/peer-table.ts";
import { SetMemo } from "../rib/set-memo.ts";
import type { FamilyIndex } from "../terms.ts";
import { changeAttributes } from "./attribute-changes.ts";

export interface RewritingParts {
  readonly attributes: AttributeTable;
  /** What `nextHop: self` stands for, by family; undefined where we have no such address. */
  readonly self: readonly [Uint8Array | undefined, Uint8Array | undefined];
}

export class Rewriting {
  readonly #set: PolicyChanges;
  readonly #parts: RewritingParts;
  readonly #memos: (SetMemo | undefined)[] = [];
  /** The set after our own rewriting, while a memo is asked by the one before it. */
  #told = 0;

  constructor(set: PolicyChanges, parts: RewritingParts) {
    this.#set = set;
    this.#parts = parts;
  }

  /** `told`: the set as it would go; `before`: as it was before our own rewriting at the edge of the AS. */
  of(rib: LocRib, told: number, before: number, from: Role): number {
    if (this.#set.nextHop !== "unchanged" || told === before) return (this.#memos[rib.family] ??= this.#changing(rib.family)).of(told);
    this.#told = told;
    return (this.#memos[2 + from] ??= this.#keepingHop()).of(before);
  }

  close(): void {
    for (const memo of this.#memos) memo?.close();
  }

  #changing(family: FamilyIndex): SetMemo {
    const { attributes } = this.#parts,
      { weight } = this.#set,
      hop = this.#hop(family);
    if (!hop) return new SetMemo(attributes, (values) => this.#change(values), undefined, weight);
    const inMp = hop.length === 16;
    const rewrite = (values: PathAttributes): PathAttributes => {
      const { nextHop: _, ...others } = this.#change(values);
      return inMp ? others : { ...others, nextHop: hop };
    };
    return new SetMemo(attributes, rewrite, () => (inMp ? hop : undefined), weight);
  }

  /** Asked by the set before our rewriting, whose next hop stays; all else is of the set after it. */
  #keepingHop(): SetMemo {
    const { attributes } = this.#parts;
    const hopInMp = (set: number): Uint8Array | undefined => (attributes.nextHopLength(set) > 0 ? attributes.nextHopOf(set) : undefined);
    const rewrite = (before: PathAttributes): PathAttributes => {
      const { nextHop: _, ...others } = this.#change(attributes.decode(this.#told));
      return before.nextHop ? { ...others, nextHop: before.nextHop } : others;
    };
    return new SetMemo(attributes, rewrite, hopInMp, this.#set.weight);
  }

  #change(values: PathAttributes): PathAttributes {
    return changeAttributes(values, this.#set, this.#parts.attributes.self.asn);
  }

  #hop(family: FamilyIndex): Uint8Array | undefined {
    const { nextHop } = this.#set;
    if (nextHop === undefined || nextHop === "unchanged") return undefined;
    if (nextHop === "self") return this.#parts.self[family];
    const bytes = ipBytes(nextHop);
    return (bytes.length === 4) === (family === 0) ? bytes : undefined;
  }
}
