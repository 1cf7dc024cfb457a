/**
 * Prefix ↔ dense id, per family. A hot file: typed arrays behind a few verbs; twin: test/bgp/twins.ts.
 *
 * In: NLRI octets as they stand on the wire. Out: a small integer that every other table of the RIB uses as its index.
 * Holds: equal prefixes have one id; an id is stable until `release`; host bits are masked before keying (RFC 4271 §4.3:
 * their value is irrelevant). Growing the index is spread over later calls, so that no call stops the loop for long.
 */
import type { Family } from "#base/ip.ts";
import { type Prefix, parsePrefix, prefixParts, printPrefix } from "#base/prefix.ts";

const empty = 0;
const moved = -1; // a slot of the old index whose entry lives in the new one, or is gone
const slotsMovedPerCall = 64;
/** Prefixes of one UPDATE that are looked up together: their slots are read first, so that the waits for memory overlap. */
const blockPrefixes = 128;

export class PrefixTable {
  readonly family: Family;
  readonly longestNlri: number;
  readonly #words: number;
  #keys: Uint32Array; // `#words` words for each id, most significant first
  #lengths: Uint8Array;
  /** Two words a slot: id + 1 (or empty), then the hash, so that probing, closing gaps and growing read no keys. */
  #index: Int32Array;
  #mask: number;
  #old: Int32Array | undefined;
  #oldMask = 0;
  #oldAt = 0;
  #next = 0; // ids never used start here
  #free: Int32Array = new Int32Array(64);
  #freeCount = 0;
  readonly #key = new Uint32Array(4);
  /** What `internBlock` and `findBlock` answer: ids, -1 for one that is not known; the first `blockCount` of them. */
  readonly block = new Int32Array(blockPrefixes);
  blockCount = 0;
  /** Beside `block`: the path identifiers in front of the prefixes (RFC 7911 §3), if there were any. */
  readonly blockPathIds = new Uint32Array(blockPrefixes);
  readonly #blockKeys: Uint32Array;
  readonly #blockLengths = new Uint8Array(blockPrefixes);
  readonly #blockHashes = new Int32Array(blockPrefixes);
  /** Never read: it keeps the reads of `#touch` from being optimized away. */
  touched = 0;

  constructor(family: Family, capacity = 1024) {
    this.family = family;
    this.#words = family === 4 ? 1 : 4;
    this.longestNlri = 1 + 4 * this.#words;
    this.#keys = new Uint32Array(capacity * this.#words);
    this.#lengths = new Uint8Array(capacity);
    this.#index = new Int32Array(capacity * 4);
    this.#mask = capacity * 2 - 1;
    this.#blockKeys = new Uint32Array(blockPrefixes * this.#words);
  }

  /** One more than the largest id ever given: columns beside this table need this length. */
  get end(): number {
    return this.#next;
  }
  get live(): number {
    return this.#next - this.#freeCount;
  }
  get bytes(): number {
    return this.#keys.byteLength + this.#lengths.byteLength + this.#index.byteLength + this.#free.byteLength + (this.#old?.byteLength ?? 0);
  }

  /** The id of the prefix whose `length` bits start at bytes[at]; made if it is new. */
  intern(bytes: Uint8Array, at: number, length: number): number {
    this.#load(bytes, at, length);
    return this.#intern(this.#hash(length), length);
  }

  /** The id of a prefix that is known, or -1. */
  find(bytes: Uint8Array, at: number, length: number): number {
    this.#load(bytes, at, length);
    return this.#find(this.#hash(length), length);
  }

  /**
   * `intern` for a block of NLRI from bytes[at] on, none at `end` or beyond. Answers the offset behind them; ids in `block`.
   * `hasPathIds`: each has a path identifier in front.
   */
  internBlock(bytes: Uint8Array, at: number, end: number, hasPathIds = false): number {
    const next = this.#loadBlock(bytes, at, end, hasPathIds);
    for (let i = 0; i < this.blockCount; i++) {
      this.#select(i);
      this.block[i] = this.#intern(this.#blockHashes[i]!, this.#blockLengths[i]!);
    }
    return next;
  }

  /** `find` for a block of NLRI, as `internBlock`. */
  findBlock(bytes: Uint8Array, at: number, end: number, hasPathIds = false): number {
    const next = this.#loadBlock(bytes, at, end, hasPathIds);
    for (let i = 0; i < this.blockCount; i++) {
      this.#select(i);
      this.block[i] = this.#find(this.#blockHashes[i]!, this.#blockLengths[i]!);
    }
    return next;
  }

  /** Forgets an id that nobody holds any more; it will be given again. */
  release(id: number): void {
    this.#release(id, this.#hashOf(id));
  }

  /** `release` for the first `count` of some ids; one that was released already is passed over. */
  releaseAll(ids: Uint32Array, count: number): void {
    for (let from = 0; from < count; from += blockPrefixes) {
      const size = Math.min(blockPrefixes, count - from);
      for (let i = 0; i < size; i++) this.#blockHashes[i] = this.#hashOf(ids[from + i]!);
      this.#touch(size);
      for (let i = 0; i < size; i++) if (this.isLive(ids[from + i]!)) this.#release(ids[from + i]!, this.#blockHashes[i]!);
    }
  }

  lengthOf(id: number): number {
    return this.#lengths[id]!;
  }
  /** Most significant 32 bits of the address: all of it for IPv4. */
  headOf(id: number): number {
    return this.#keys[id * this.#words]!;
  }
  /** One of the 32-bit words of the address, most significant first: one of IPv4, four of IPv6. */
  wordOf(id: number, word: number): number {
    return this.#keys[id * this.#words + word]!;
  }
  /** True if the prefix lies within the first `length` bits of `octets` (4 or 16 of them). */
  isWithin(id: number, octets: Uint8Array, length: number): boolean {
    if (this.#lengths[id]! < length) return false;
    for (let w = 0; w * 32 < length; w++) {
      const bits = Math.min(32, length - 32 * w);
      const want = ((octets[4 * w]! << 24) | (octets[4 * w + 1]! << 16) | (octets[4 * w + 2]! << 8) | octets[4 * w + 3]!) >>> 0;
      if ((this.#keys[id * this.#words + w]! ^ want) >>> (32 - bits) !== 0) return false;
    }
    return true;
  }
  isLive(id: number): boolean {
    return id < this.#next && this.#lengths[id] !== 255;
  }

  /** Writes the NLRI form (length octet, then as few octets as hold it) and returns the offset behind it. At most `longestNlri` octets. */
  write(id: number, out: Uint8Array, at: number): number {
    const length = this.#lengths[id]!,
      size = (length + 7) >> 3,
      from = id * this.#words;
    out[at++] = length;
    for (let i = 0; i < size; i++) out[at++] = (this.#keys[from + (i >> 2)]! >>> (24 - 8 * (i & 3))) & 255;
    return at;
  }

  text(id: number): Prefix {
    const octets = new Uint8Array(this.#words * 4),
      from = id * this.#words;
    for (let i = 0; i < octets.length; i++) octets[i] = (this.#keys[from + (i >> 2)]! >>> (24 - 8 * (i & 3))) & 255;
    return printPrefix(octets, this.#lengths[id]!);
  }

  /** The id of a prefix a person wrote, or -1. */
  findText(text: string): number {
    const prefix = parsePrefix(text, true);
    if (!prefix) return -1;
    const { bytes, length } = prefixParts(prefix);
    return bytes.length === this.#words * 4 ? this.find(bytes, 0, length) : -1;
  }

  #load(bytes: Uint8Array, at: number, length: number): void {
    if (this.#words === 1) {
      const word =
        length > 16
          ? (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | (length > 24 ? bytes[at + 3]! : 0)
          : length > 0
            ? (bytes[at]! << 24) | (length > 8 ? bytes[at + 1]! << 16 : 0)
            : 0;
      this.#key[0] = length === 0 ? 0 : word & (-1 << (32 - length));
      return;
    }
    const size = (length + 7) >> 3;
    for (let w = 0; w < 4; w++) {
      let word = 0;
      for (let i = 0; i < 4; i++) word = (word << 8) | (4 * w + i < size ? bytes[at + 4 * w + i]! : 0);
      const bits = length - 32 * w;
      this.#key[w] = bits <= 0 ? 0 : bits >= 32 ? word : word & (-1 << (32 - bits));
    }
  }

  #loadBlock(bytes: Uint8Array, start: number, end: number, hasPathIds: boolean): number {
    const words = this.#words;
    let at = start,
      count = 0;
    for (; at < end && count < blockPrefixes; count++) {
      if (hasPathIds) {
        this.blockPathIds[count] = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
        at += 4;
      }
      const length = bytes[at]!;
      this.#load(bytes, at + 1, length);
      for (let w = 0; w < words; w++) this.#blockKeys[count * words + w] = this.#key[w]!;
      this.#blockLengths[count] = length;
      this.#blockHashes[count] = this.#hash(length);
      at += 1 + ((length + 7) >> 3);
    }
    this.blockCount = count;
    this.#touch(count);
    return at;
  }

  /** Reads the slots where a block begins to look: a loop so short that the processor waits for many at once. */
  #touch(count: number): void {
    const index = this.#index,
      hashes = this.#blockHashes,
      mask = this.#mask;
    let touched = 0;
    for (let i = 0; i < count; i++) touched ^= index[2 * (hashes[i]! & mask)]!;
    this.touched = touched;
  }

  /** Loads the key of a place in the block. */
  #select(place: number): void {
    for (let w = 0; w < this.#words; w++) this.#key[w] = this.#blockKeys[place * this.#words + w]!;
  }

  /** The loaded key's id, made if it is new. */
  #intern(hash: number, length: number): number {
    if (this.#old) this.#move(slotsMovedPerCall);
    const place = this.#placeOf(hash, length),
      held = this.#index[place]!;
    if (held !== empty) return held - 1;
    if (this.#old) {
      const id = this.#inOld(hash, length);
      if (id >= 0) return id;
    }
    const id = this.#add(length);
    this.#index[place] = id + 1;
    this.#index[place + 1] = hash;
    if (this.live * 2 > this.#mask) this.#grow();
    return id;
  }

  #find(hash: number, length: number): number {
    const held = this.#index[this.#placeOf(hash, length)]!;
    if (held !== empty) return held - 1;
    return this.#old ? this.#inOld(hash, length) : -1;
  }

  #release(id: number, hash: number): void {
    const slot = this.#slotOf(hash, id);
    if (slot >= 0) this.#close(slot);
    else if (this.#old) this.#forgetInOld(hash, id);
    if (this.#freeCount === this.#free.length) this.#free = grown(this.#free, this.#free.length * 2);
    this.#free[this.#freeCount++] = id;
    this.#lengths[id] = 255; // never a length: a released id reads as no prefix
  }

  #hashOf(id: number): number {
    for (let w = 0; w < this.#words; w++) this.#key[w] = this.#keys[id * this.#words + w]!;
    return this.#hash(this.#lengths[id]!);
  }

  #hash(length: number): number {
    const key = this.#key;
    let h = key[0]! ^ Math.imul(length, 0x9e3779b9);
    if (this.#words === 4) {
      h = Math.imul(h ^ (h >>> 15), 0x85ebca6b) + key[1]!;
      h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35) + key[2]!;
      h = Math.imul(h ^ (h >>> 15), 0x27d4eb2f) + key[3]!;
    }
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return h ^ (h >>> 16);
  }

  #equals(id: number, length: number): boolean {
    if (this.#lengths[id] !== length) return false;
    const from = id * this.#words,
      key = this.#key,
      keys = this.#keys;
    if (keys[from] !== key[0]) return false;
    return this.#words === 1 || (keys[from + 1] === key[1] && keys[from + 2] === key[2] && keys[from + 3] === key[3]);
  }

  /** Where in the index the loaded key stands, or the empty place where it belongs. */
  #placeOf(hash: number, length: number): number {
    const index = this.#index;
    for (let s = hash & this.#mask; ; s = (s + 1) & this.#mask) {
      const held = index[2 * s]!;
      if (held === empty || (index[2 * s + 1] === hash && this.#equals(held - 1, length))) return 2 * s;
    }
  }

  /** The slot of an id, or -1 if it stands in the old index. */
  #slotOf(hash: number, id: number): number {
    for (let s = hash & this.#mask; ; s = (s + 1) & this.#mask) {
      const held = this.#index[2 * s]!;
      if (held === id + 1) return s;
      if (held === empty) return -1;
    }
  }

  #inOld(hash: number, length: number): number {
    const old = this.#old!;
    for (let s = hash & this.#oldMask; ; s = (s + 1) & this.#oldMask) {
      const held = old[2 * s]!;
      if (held === empty) return -1;
      if (held !== moved && old[2 * s + 1] === hash && this.#equals(held - 1, length)) return held - 1;
    }
  }

  #forgetInOld(hash: number, id: number): void {
    const old = this.#old!;
    for (let s = hash & this.#oldMask; ; s = (s + 1) & this.#oldMask) {
      const held = old[2 * s]!;
      if (held === id + 1) old[2 * s] = moved;
      if (held === id + 1 || held === empty) return;
    }
  }

  #add(length: number): number {
    const id = this.#freeCount > 0 ? this.#free[--this.#freeCount]! : this.#next++;
    if (id >= this.#lengths.length) {
      this.#lengths = grown(this.#lengths, this.#lengths.length * 2);
      this.#keys = grown(this.#keys, this.#keys.length * 2);
    }
    this.#lengths[id] = length;
    for (let w = 0; w < this.#words; w++) this.#keys[id * this.#words + w] = this.#key[w]!;
    return id;
  }

  #grow(): void {
    if (this.#old) this.#move(this.#oldMask + 1);
    this.#old = this.#index;
    this.#oldMask = this.#mask;
    this.#oldAt = 0;
    this.#index = new Int32Array(this.#index.length * 2);
    this.#mask = this.#index.length / 2 - 1;
  }

  /** Carries some slots of the old index over. */
  #move(slots: number): void {
    const old = this.#old!,
      index = this.#index,
      end = Math.min(this.#oldMask + 1, this.#oldAt + slots);
    for (; this.#oldAt < end; this.#oldAt++) {
      const held = old[2 * this.#oldAt]!,
        hash = old[2 * this.#oldAt + 1]!;
      if (held === empty || held === moved) continue;
      let s = hash & this.#mask;
      while (index[2 * s] !== empty) s = (s + 1) & this.#mask;
      index[2 * s] = held;
      index[2 * s + 1] = hash;
      old[2 * this.#oldAt] = moved;
    }
    if (this.#oldAt > this.#oldMask) this.#old = undefined;
  }

  /** Empties a slot and closes the gap, so that every probe still ends where it should (no tombstones to pile up). */
  #close(slot: number): void {
    const index = this.#index,
      mask = this.#mask;
    let hole = slot;
    for (let s = (slot + 1) & mask; ; s = (s + 1) & mask) {
      const held = index[2 * s]!;
      if (held === empty) break;
      const hash = index[2 * s + 1]!;
      if (((s - hash) & mask) < ((s - hole) & mask)) continue; // it stands between its home and the hole's far side
      index[2 * hole] = held;
      index[2 * hole + 1] = hash;
      hole = s;
    }
    index[2 * hole] = empty;
  }
}

/** A longer copy of a column. */
export function grown<T extends Uint8Array | Uint16Array | Uint32Array | Int32Array>(column: T, length: number): T {
  const out = new (column.constructor as new (length: number) => T)(length);
  out.set(column);
  return out;
}
