/**
 * Adj-RIB-Out of an update group: for each prefix the attribute set its members have been told (or will be, by messages
 * already written) and the peer the route came from, who alone has not. A hot file.
 * Holds: one hold on every set in it.
 */
import type { AttributeTable } from "../rib/attributes.ts";
import { grown } from "../rib/prefixes.ts";

export class Told {
  readonly #attributes: AttributeTable;
  #set = new Uint32Array(1024);
  #source = new Uint16Array(1024);
  #count = 0;

  constructor(attributes: AttributeTable) {
    this.#attributes = attributes;
  }

  /** Prefixes told. */
  get size(): number {
    return this.#count;
  }
  get bytes(): number {
    return this.#set.byteLength + this.#source.byteLength;
  }
  /** 0: nothing was told. */
  setOf(prefix: number): number {
    return prefix < this.#set.length ? this.#set[prefix]! : 0;
  }
  sourceOf(prefix: number): number {
    return prefix < this.#source.length ? this.#source[prefix]! : 0;
  }

  /** How many were told from the routes of one peer: those that peer itself was not told. */
  countFrom(peer: number): number {
    let count = 0;
    for (let prefix = 0; prefix < this.#set.length; prefix++) if (this.#set[prefix] !== 0 && this.#source[prefix] === peer) count++;
    return count;
  }

  put(prefix: number, set: number, source: number): void {
    if (prefix >= this.#set.length) {
      let size = this.#set.length;
      while (size <= prefix) size *= 2;
      this.#set = grown(this.#set, size);
      this.#source = grown(this.#source, size);
    }
    const before = this.#set[prefix]!;
    if (set !== 0) this.#attributes.retain(set);
    this.#set[prefix] = set;
    this.#source[prefix] = source;
    if (set !== 0 && before === 0) this.#count++;
    if (set === 0 && before !== 0) this.#count--;
    if (before !== 0) this.#attributes.release(before);
  }

  close(): void {
    for (const set of this.#set) if (set !== 0) this.#attributes.release(set);
    this.#set = new Uint32Array(0);
    this.#source = new Uint16Array(0);
    this.#count = 0;
  }
}
