/**
 * Runs a pattern over the octets of AS_PATH. The pattern becomes a position automaton whose sets of places are made into states
 * when a path first needs them, so that a path costs one look into a table for each of its numbers, whatever the pattern.
 *
 * An AS_SET is one letter that is each of its members; confederation segments count like the others.
 */
import { type AsPathNode, largestAs } from "#base/as-path-pattern.ts";

/** What the places of one part look like from outside. Sets of places are the bits of a bigint. */
interface Part {
  readonly first: bigint;
  readonly last: bigint;
  readonly isNullable: boolean;
}

const unknown = -1;
const mostStates = 1024;
const asSet = 1;
const confedSet = 4;

export class AsPathAutomaton {
  readonly #follow: bigint[] = [];
  readonly #ranges: { readonly low: number; readonly high: number }[] = [];
  readonly #whole: Part;
  /** First numbers of the classes of AS numbers that the pattern tells apart, ascending, and the places each may stand at. */
  readonly #cuts: Uint32Array;
  readonly #placesOf: bigint[];
  /** States: sets of places, which of them accept, and where each class leads. State 0 is the beginning: before any place. */
  #sets: bigint[] = [];
  #ids = new Map<bigint, number>();
  #next: Int32Array;

  constructor(node: AsPathNode) {
    this.#whole = this.#build(node);
    const cuts = new Set([0]);
    for (const { low, high } of this.#ranges) {
      cuts.add(low);
      if (high < largestAs) cuts.add(high + 1);
    }
    this.#cuts = Uint32Array.from(cuts).toSorted();
    this.#placesOf = Array.from(this.#cuts, (asn) => this.#ranges.reduce((bits, { low, high }, i) => (low <= asn && asn <= high ? bits | bit(i) : bits), 0n));
    this.#next = new Int32Array(0);
    this.#forget();
  }

  /** Whether the path in bytes[start, end) matches: segments of four-octet AS numbers, well-formed. */
  matches(bytes: Uint8Array, start: number, end: number): boolean {
    let state = 0;
    for (let at = start; at < end;) {
      const type = bytes[at]!,
        count = bytes[at + 1]!;
      at += 2;
      if (type === asSet || type === confedSet) state = this.#stepSet(state, bytes, at, count);
      else for (let i = 0; i < count; i++) state = this.#step(state, u32(bytes, at + 4 * i));
      at += 4 * count;
    }
    return state === 0 ? this.#whole.isNullable : (this.#sets[state]! & this.#whole.last) !== 0n;
  }

  #step(state: number, asn: number): number {
    const letter = this.#classOf(asn),
      slot = state * this.#cuts.length + letter,
      known = this.#next[slot]!;
    if (known !== unknown) return known;
    const set = this.#after(state, letter);
    const before = this.#sets.length,
      made = this.#idOf(set);
    if (this.#sets.length >= before) this.#next[slot] = made; // otherwise the states were forgotten, and this one with them
    return made;
  }

  #stepSet(state: number, bytes: Uint8Array, at: number, count: number): number {
    let set = 0n;
    for (let i = 0; i < count; i++) set |= this.#after(state, this.#classOf(u32(bytes, at + 4 * i)));
    return this.#idOf(set);
  }

  #after(state: number, letter: number): bigint {
    let reach = state === 0 ? this.#whole.first : 0n;
    if (state > 0) for (const place of placesIn(this.#sets[state]!)) reach |= this.#follow[place]!;
    return reach & this.#placesOf[letter]!;
  }

  #idOf(set: bigint): number {
    const known = this.#ids.get(set);
    if (known !== undefined) return known;
    if (this.#sets.length === mostStates) this.#forget();
    const id = this.#sets.push(set) - 1,
      room = (id + 1) * this.#cuts.length;
    this.#ids.set(set, id);
    if (room > this.#next.length) {
      const next = new Int32Array(room * 2).fill(unknown);
      next.set(this.#next);
      this.#next = next;
    }
    return id;
  }

  #forget(): void {
    this.#sets = [0n];
    this.#ids = new Map();
    this.#next = new Int32Array(this.#cuts.length * 8).fill(unknown);
  }

  #classOf(asn: number): number {
    const cuts = this.#cuts;
    let low = 0,
      high = cuts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (cuts[middle]! <= asn) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #build(node: AsPathNode): Part {
    switch (node.kind) {
      case "one": {
        const place = bit(this.#ranges.push({ low: node.low, high: node.high }) - 1);
        this.#follow.push(0n);
        return { first: place, last: place, isNullable: false };
      }
      case "sequence":
        return node.parts.map((part) => this.#build(part)).reduce((a, b) => this.#join(a, b), empty);
      case "choice": {
        const parts = node.parts.map((part) => this.#build(part));
        return {
          first: parts.reduce((bits, { first }) => bits | first, 0n),
          last: parts.reduce((bits, { last }) => bits | last, 0n),
          isNullable: parts.some(({ isNullable }) => isNullable),
        };
      }
      case "repeat":
        return this.#repeat(node);
    }
  }

  #repeat({ part, min, max }: AsPathNode & { readonly kind: "repeat" }): Part {
    let all = empty;
    for (let i = 0; i < min; i++) all = this.#join(all, this.#build(part));
    if (max === undefined) {
      const loop = this.#build(part);
      this.#lead(loop.last, loop.first);
      return this.#join(all, { ...loop, isNullable: true });
    }
    for (let i = min; i < max; i++) all = this.#join(all, { ...this.#build(part), isNullable: true });
    return all;
  }

  #join(a: Part, b: Part): Part {
    this.#lead(a.last, b.first);
    return { first: a.isNullable ? a.first | b.first : a.first, last: b.isNullable ? a.last | b.last : b.last, isNullable: a.isNullable && b.isNullable };
  }
  #lead(from: bigint, to: bigint): void {
    for (const place of placesIn(from)) this.#follow[place]! |= to;
  }
}

const empty: Part = { first: 0n, last: 0n, isNullable: true };
const bit = (place: number): bigint => 1n << BigInt(place);

function* placesIn(set: bigint): Iterable<number> {
  for (let place = 0; set !== 0n; place++, set >>= 1n) if ((set & 1n) === 1n) yield place;
}

function u32(b: Uint8Array, at: number): number {
  return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0;
}
