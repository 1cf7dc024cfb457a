/**
 * Adj-RIB-Out of an update group: for each prefix (or path of one: path-table.ts) the attribute set its members have been told (or will be, by messages
 * already written) and the peer the route came from, who alone has not. A hot file; twin: test/bgp/lanes.test.ts.
 *
 * Holds: one hold on every set in it. The source is kept as a label (peer-table.ts), so that another speaker that takes the id
 * of one that went is not taken for it: its ORIGINATOR_ID is another one.
 */
import type { AttributeTable } from "../rib/attributes.ts";
import { peerIds, peerOfLabel } from "../rib/peer-table.ts";
import { grown } from "../rib/prefixes.ts";

/** So that it grows in another moment than the tables of the RIB do (adj-rib-in.ts). */
const leastPrefixes = 1792;

export class Told {
  readonly #attributes: AttributeTable;
  #set = new Uint32Array(leastPrefixes);
  #label = new Uint16Array(leastPrefixes);
  readonly #from = new Uint32Array(peerIds); // by peer id
  #count = 0;

  constructor(attributes: AttributeTable) {
    this.#attributes = attributes;
  }

  /** Prefixes told. */
  get size(): number {
    return this.#count;
  }
  get bytes(): number {
    return this.#set.byteLength + this.#label.byteLength + this.#from.byteLength;
  }
  /** 0: nothing was told. */
  setOf(prefix: number): number {
    return prefix < this.#set.length ? this.#set[prefix]! : 0;
  }
  /** Meaningful where `setOf` is not 0. */
  labelOf(prefix: number): number {
    return prefix < this.#label.length ? this.#label[prefix]! : 0;
  }
  sourceOf(prefix: number): number {
    return peerOfLabel(this.labelOf(prefix));
  }

  /** How many were told from the routes of one peer: those that peer itself was not told. */
  countFrom(peer: number): number {
    return this.#from[peer]!;
  }

  put(prefix: number, set: number, label: number): void {
    if (prefix >= this.#set.length) this.#grow(prefix);
    const before = this.#set[prefix]!;
    if (before !== 0) {
      this.#from[peerOfLabel(this.#label[prefix]!)]!--;
      this.#count--;
    }
    if (set !== 0) {
      this.#attributes.retain(set);
      this.#from[peerOfLabel(label)]!++;
      this.#count++;
    }
    this.#set[prefix] = set;
    this.#label[prefix] = label;
    if (before !== 0) this.#attributes.release(before);
  }

  close(): void {
    for (const set of this.#set) if (set !== 0) this.#attributes.release(set);
    this.#set = new Uint32Array(0);
    this.#label = new Uint16Array(0);
    this.#from.fill(0);
    this.#count = 0;
  }

  #grow(prefix: number): void {
    let size = this.#set.length;
    while (size <= prefix) size *= 2;
    this.#set = grown(this.#set, size);
    this.#label = grown(this.#label, size);
  }
}
