/**
 * Many prefix sets asked at once: prefixes that the same sets hold are of one class, and the class of a prefix is found by one
 * search among the borders of all entries. Twin: a walk over all entries, in test/bgp/policy-twin.ts.
 *
 * The address space of a family falls into stretches in which the entries that cover an address are the same ones; what is left
 * to decide is the length, so each stretch has a row with one class for each length. Equal rows are one row.
 */
import type { Family } from "#base/ip.ts";
import type { PrefixMatch } from "#base/policy-settings.ts";
import { prefixParts } from "#base/prefix.ts";
import type { PrefixTable } from "../rib/prefixes.ts";

interface Entry {
  readonly start: bigint;
  /** The first address behind it. */
  readonly end: bigint;
  readonly set: number;
  readonly ge: number;
  readonly le: number;
}

/** Stretches of one family. */
interface Stretches {
  /** Where each begins, in words of 32 bits. */
  readonly starts: Uint32Array;
  readonly rowOf: Uint32Array;
  /** By the first bits of an address: the stretch in which they, and zeros behind them, lie. As many bits as make it worth while. */
  readonly byHead: Uint32Array;
  /** 32 less those bits. */
  readonly shift: number;
}

export class PrefixClasses {
  /** By class: whether each set holds its prefixes. */
  readonly #members: (readonly boolean[])[] = [];
  readonly #familyOf: Family[] = [];
  readonly #four: Stretches;
  readonly #six: Stretches;
  #classes = new Uint16Array(0);

  constructor(sets: readonly (readonly PrefixMatch[])[]) {
    const rows: number[] = [];
    this.#four = this.#build(4, sets, rows);
    this.#six = this.#build(6, sets, rows);
    this.#classes = Uint16Array.from(rows);
  }

  get count(): number {
    return this.#members.length;
  }
  /** Whether a set (by its place in the constructor's list) holds the prefixes of a class. */
  holds(set: number, prefixClass: number): boolean {
    return this.#members[prefixClass]![set]!;
  }
  familyOf(prefixClass: number): Family {
    return this.#familyOf[prefixClass]!;
  }

  classOf(prefixes: PrefixTable, id: number): number {
    const length = prefixes.lengthOf(id);
    if (prefixes.family === 6) return this.#classes[this.#six.rowOf[this.#find6(prefixes, id)]! + length]!;
    const { starts, rowOf, byHead, shift } = this.#four,
      address = prefixes.headOf(id);
    let low = byHead[address >>> shift]!,
      high = byHead[(address >>> shift) + 1]!;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= address) low = middle;
      else high = middle - 1;
    }
    return this.#classes[rowOf[low]! + length]!;
  }

  #find6(prefixes: PrefixTable, id: number): number {
    const { starts, byHead, shift } = this.#six,
      head = prefixes.headOf(id) >>> shift;
    let low = byHead[head]!,
      high = byHead[head + 1]!;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      let word = 0;
      while (word < 3 && starts[4 * middle + word] === prefixes.wordOf(id, word)) word++;
      if (starts[4 * middle + word]! <= prefixes.wordOf(id, word)) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #build(family: Family, sets: readonly (readonly PrefixMatch[])[], rows: number[]): Stretches {
    const entries = sets.flatMap((set, i) => set.flatMap((match) => entryOf(match, i, family))).toSorted(outerFirst);
    const last = 1n << BigInt(family === 4 ? 32 : 128);
    const borders = new Set([0n]);
    for (const { start, end } of entries) {
      borders.add(start);
      if (end < last) borders.add(end);
    }
    const begins = [...borders].toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
      rowOf = new Uint32Array(begins.length),
      known = new Map<string, number>(),
      classes = new Map<string, number>();
    let covering: Entry[] = [],
      next = 0;
    for (const [i, begin] of begins.entries()) {
      covering = covering.filter(({ end }) => end > begin);
      while (next < entries.length && entries[next]!.start === begin) covering.push(entries[next++]!);
      const key = [...new Set(covering.map(({ set, ge, le }) => `${set} ${ge} ${le}`))].toSorted().join(",");
      let row = known.get(key);
      if (row === undefined) {
        row = rows.length;
        known.set(key, row);
        for (let length = 0; length <= (family === 4 ? 32 : 128); length++) rows.push(this.#classFor(family, sets.length, covering, length, classes));
      }
      rowOf[i] = row;
    }
    return { starts: wordsOf(begins, family), rowOf, ...headsOf(begins, family) };
  }

  // oxlint-disable-next-line max-params -- one step of #build
  #classFor(family: Family, sets: number, covering: readonly Entry[], length: number, classes: Map<string, number>): number {
    const members = Array.from({ length: sets }, () => false);
    for (const { set, ge, le } of covering) if (length >= ge && length <= le) members[set] = true;
    const key = members.map(Number).join("");
    let made = classes.get(key);
    if (made === undefined) {
      made = this.#members.push(members) - 1;
      this.#familyOf.push(family);
      classes.set(key, made);
    }
    return made;
  }
}

function entryOf({ prefix, ge, le }: PrefixMatch, set: number, family: Family): Entry[] {
  const { bytes, length } = prefixParts(prefix),
    bits = bytes.length * 8;
  if (bytes.length !== (family === 4 ? 4 : 16)) return [];
  const start = bytes.reduce((value, octet) => (value << 8n) | BigInt(octet), 0n);
  // Nothing shorter lies within it: the row is found by the first address, which longer entries have too.
  return [{ start, end: start + (1n << BigInt(bits - length)), set, ge: Math.max(ge, length), le }];
}

function outerFirst(a: Entry, b: Entry): number {
  return a.start < b.start ? -1 : a.start > b.start ? 1 : a.end > b.end ? -1 : a.end < b.end ? 1 : 0;
}

function wordsOf(begins: readonly bigint[], family: Family): Uint32Array {
  const words = family === 4 ? 1 : 4,
    out = new Uint32Array(begins.length * words);
  for (const [i, begin] of begins.entries())
    for (let word = 0; word < words; word++) out[i * words + word] = Number((begin >> BigInt(32 * (words - 1 - word))) & 0xffff_ffffn);
  return out;
}

function headsOf(begins: readonly bigint[], family: Family): Pick<Stretches, "byHead" | "shift"> {
  const bits = Math.min(16, 4 + Math.ceil(Math.log2(begins.length))),
    behind = BigInt((family === 4 ? 32 : 128) - bits),
    byHead = new Uint32Array((1 << bits) + 1).fill(begins.length - 1);
  let at = 0;
  for (let head = 0; head < 1 << bits; head++) {
    const address = BigInt(head) << behind;
    while (at + 1 < begins.length && begins[at + 1]! <= address) at++;
    byHead[head] = at;
  }
  return { byHead, shift: 32 - bits };
}
