/**
 * A set of prefix ids in the order they came in: each id at most once, whatever the churn. Used for what is dirty and for
 * what is owed. A hot file; twin: test/bgp/twins.ts.
 */
import { grown } from "./prefixes.ts";

export class PrefixQueue {
  #ring = new Uint32Array(256);
  #first = 0;
  #count = 0;
  /** How many ids were ever taken out, and how many were ever put in: the queue keeps order, so a count taken now says when. */
  shifted = 0;
  get pushed(): number {
    return this.shifted + this.#count;
  }
  #marked = new Uint8Array(128); // one bit per prefix id

  get size(): number {
    return this.#count;
  }
  has(prefix: number): boolean {
    // an empty one may be short, and a read beyond its end is slow
    return this.#count > 0 && prefix >> 3 < this.#marked.length && (this.#marked[prefix >> 3]! & (1 << (prefix & 7))) !== 0;
  }

  /** False if it was in the queue already. */
  push(prefix: number): boolean {
    const cell = prefix >> 3,
      bit = 1 << (prefix & 7);
    if (cell >= this.#marked.length) this.#growMarks(cell);
    if (this.#marked[cell]! & bit) return false;
    this.#marked[cell]! |= bit;
    if (this.#count === this.#ring.length) this.#growRing();
    this.#ring[(this.#first + this.#count++) & (this.#ring.length - 1)] = prefix;
    return true;
  }

  /** `push` for the first `count` of some ids. */
  pushAll(prefixes: Uint32Array, count: number): void {
    for (let i = 0; i < count; i++) this.push(prefixes[i]!);
  }

  /** The oldest id, taken out; -1 if there is none. */
  shift(): number {
    if (this.#count === 0) return -1;
    const prefix = this.#ring[this.#first]!;
    this.#first = (this.#first + 1) & (this.#ring.length - 1);
    this.#count--;
    this.shifted++;
    this.#marked[prefix >> 3]! &= ~(1 << (prefix & 7));
    this.#rest();
    return prefix;
  }

  /** The oldest ids, up to `most` of them, taken out into `into` from its beginning; answers how many. */
  take(into: Uint32Array, most: number): number {
    const count = Math.min(most, this.#count, into.length),
      ring = this.#ring,
      marked = this.#marked,
      last = ring.length - 1,
      first = this.#first;
    for (let n = 0; n < count; n++) {
      const prefix = ring[(first + n) & last]!;
      marked[prefix >> 3]! &= ~(1 << (prefix & 7));
      into[n] = prefix;
    }
    this.#first = (first + count) & last;
    this.#count -= count;
    this.shifted += count;
    this.#rest();
    return count;
  }

  /** An empty ring begins at its beginning, and a long one is given back. */
  #rest(): void {
    if (this.#count > 0) return;
    if (this.#ring.length > 65_536) this.#ring = new Uint32Array(256);
    this.#first = 0;
  }

  #growRing(): void {
    const ring = new Uint32Array(this.#ring.length * 2);
    const tail = this.#ring.length - this.#first;
    ring.set(this.#ring.subarray(this.#first));
    ring.set(this.#ring.subarray(0, this.#first), tail);
    this.#ring = ring;
    this.#first = 0;
  }
  #growMarks(cell: number): void {
    let size = this.#marked.length;
    while (size <= cell) size *= 2;
    this.#marked = grown(this.#marked, size);
  }
}
