/**
 * A rewriting of attribute sets, done once per set. An entry is good while its input's generation is the same (the id was
 * not given to another set since); the memo holds the outcome, not the input, and is swept as it grows.
 */
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import type { AttributeTable } from "./attributes.ts";

interface Entry {
  readonly generation: number;
  /** 0: the rewriting refuses the set. */
  readonly out: number;
}
const leastSweep = 1024;

export class SetMemo {
  readonly #attributes: AttributeTable;
  readonly #rewrite: (values: PathAttributes, set: number) => PathAttributes | undefined;
  readonly #nextHop: (set: number) => Uint8Array | undefined;
  readonly #weight: number | undefined;
  readonly #entries = new Map<number, Entry>();
  #sweepAt = leastSweep;

  /** `nextHop` answers the next hop for MP_REACH_NLRI of the outcome; by default that of the input. So is the weight. */
  constructor(
    attributes: AttributeTable,
    rewrite: (values: PathAttributes, set: number) => PathAttributes | undefined,
    nextHop?: (set: number) => Uint8Array | undefined,
    weight?: number,
  ) {
    this.#weight = weight;
    this.#attributes = attributes;
    this.#rewrite = rewrite;
    this.#nextHop = nextHop ?? ((set) => (attributes.nextHopLength(set) > 0 ? attributes.nextHopOf(set) : undefined));
  }

  /** The outcome for a set; 0 if there is none. Good until the next call. */
  of(set: number): number {
    const generation = this.#attributes.generation[set]!,
      known = this.#entries.get(set);
    if (known && known.generation === generation) return known.out;
    const values = this.#rewrite(this.#attributes.decode(set), set);
    const out = values ? this.#attributes.internValues(values, this.#nextHop(set), this.#weight ?? this.#attributes.weight[set]) : 0;
    if (out !== 0) this.#attributes.retain(out);
    this.#entries.set(set, { generation, out });
    if (known && known.out !== 0) this.#attributes.release(known.out);
    if (this.#entries.size > this.#sweepAt) this.#sweep();
    return out;
  }

  close(): void {
    for (const { out } of this.#entries.values()) if (out !== 0) this.#attributes.release(out);
    this.#entries.clear();
  }

  #sweep(): void {
    for (const [set, { generation, out }] of this.#entries) {
      if (this.#attributes.generation[set] === generation) continue;
      this.#entries.delete(set);
      if (out !== 0) this.#attributes.release(out);
    }
    this.#sweepAt = Math.max(leastSweep, this.#entries.size * 2);
  }
}
