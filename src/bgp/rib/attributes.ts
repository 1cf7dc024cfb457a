/**
 * Attribute set ↔ dense id, interned by its bytes. A hot file; twin: test/bgp/twins.ts.
 *
 * A set is its canonical octets without MP_REACH_NLRI and MP_UNREACH_NLRI, plus, for families that carry the next hop in
 * MP_REACH_NLRI, that next hop (4, 16 or 32 octets; none for classic IPv4, whose NEXT_HOP is among the octets).
 * Holds: equal octets and next hop have one id while anybody holds it; after the last `release` an id parts (a few at a time,
 * and is what it was if the set comes again before), keeps its room in the arena, and both are given to the next set of that size; a set never straddles two pages. What the decision compares stands
 * in columns beside the id.
 */
import { Writer } from "#base/bytes.ts";
import { decodeAttributes, encodeAttributes, type PathAttributes } from "#wire/bgp/attribute.ts";
import { describe } from "./describe.ts";
import type { NextHops } from "./next-hops.ts";
import { grown } from "./prefixes.ts";
import { emptyScan, flagOwnNextHop, type Scanned, scanAttributes, type Self } from "./scan.ts";

const pageSize = 1 << 20;
const unit = 16; // the arena hands out room in units, so that freed room fits a later set
const pageShift = 16; // 65,536 units make a page
const pageMask = (1 << pageShift) - 1;
const asLengthEnd = 0xffff;
const mostOctets = 0xffff;
const longestNextHop = 32;
/** So that columns and index grow in different moments. */
const leastSets = 384;
/** Sets that nobody holds any more are taken out of the index so many at a time: their slots are read first, so that the waits for memory overlap. */
const partingSets = 64;

export class AttributeTable {
  readonly self: Self;
  /** Set before the first set comes, or never: then every next hop counts as reachable. */
  nextHops: NextHops | undefined;
  // columns by id
  /** Of the path, here alone: part of what a set is, but not of its octets. */
  weight = new Uint16Array(leastSets);
  localPref = new Uint32Array(leastSets);
  med = new Uint32Array(leastSets);
  neighborAs = new Uint32Array(leastSets);
  originatorId = new Uint32Array(leastSets);
  asLength = new Uint16Array(leastSets);
  clusterLength = new Uint16Array(leastSets);
  origin = new Uint8Array(leastSets);
  flags = new Uint16Array(leastSets);
  /** Counts how often an id was given again: a memo that remembers it can tell an old set from a new one. */
  generation = new Uint32Array(leastSets);
  #hash = new Int32Array(leastSets);
  #place = new Uint32Array(leastSets); // arena offset in units
  #length = new Uint16Array(leastSets); // attribute octets
  #split = new Uint16Array(leastSets);
  #tail = new Uint16Array(leastSets);
  #nextHop = new Uint8Array(leastSets); // octets of next hop behind the attributes
  #refs = new Uint32Array(leastSets); // of a free id: the next one of its size
  /** Two words a slot: id (or 0), then the hash, so that probing, closing gaps and growing read no columns. */
  #index = new Int32Array(1024);
  #mask = 511;
  #next = 1; // id 0 is never given: it means "no attributes"
  #live = 0;
  readonly #free = new Uint32Array(Math.ceil((mostOctets + longestNextHop) / unit) + 1); // first free id by units of room
  /** Ids that nobody held when they were put in here; `#parting[id]` is 1 while it is in. */
  readonly #parted = new Uint32Array(partingSets);
  #partedCount = 0;
  #parting = new Uint8Array(leastSets);
  /** Never read: it keeps the reads of `#part` from being optimized away. */
  touched = 0;
  readonly #pages: Uint8Array[] = [];
  #arenaAt = pageSize; // within the last page
  readonly #scan: Scanned = emptyScan();
  /** Of the set that is looked for or added now. */
  #weight = 0;

  constructor(self: Self) {
    this.self = self;
  }

  get live(): number {
    let live = this.#live;
    for (let i = 0; i < this.#partedCount; i++) if (this.#refs[this.#parted[i]!] === 0) live--;
    return live;
  }
  get end(): number {
    return this.#next;
  }
  get arenaBytes(): number {
    return this.#pages.length * pageSize;
  }

  /** The id of a set seen before, or 0. Nothing is decoded. `nextHop` octets, if any, stand at b[nextHopAt]. */
  find(b: Uint8Array, start: number, end: number, nextHopAt = 0, nextHop = 0): number {
    const id = this.#find(hashOf(b, start, end, nextHopAt, nextHop), b, start, end, nextHopAt, nextHop);
    return this.#parting[id] === 1 && this.#refs[id] === 0 ? 0 : id;
  }

  /**
   * Interns octets that are canonical; 0 if they are not (see scan.ts) or lack ORIGIN or AS_PATH.
   * A new set starts with no holder: the caller retains it, or releases it at once.
   */
  intern(b: Uint8Array, start: number, end: number, nextHopAt = 0, nextHop = 0): number {
    const hash = hashOf(b, start, end, nextHopAt, nextHop),
      known = this.#find(hash, b, start, end, nextHopAt, nextHop);
    if (known !== 0) return known;
    const scan = this.#scan;
    if (!scanAttributes(b, start, end, this.self, scan) || !scan.hasMandatory || scan.nextHopAt >= 0 === nextHop > 0) return 0;
    return this.#add(hash, b, start, end, nextHopAt, nextHop);
  }

  /**
   * Interns a set given as values, as the slow path has them: whatever the scan leaves to the rows (sets in the AS path,
   * several large communities, unknown attributes, …) is described from the values instead. `nextHop` as in `intern`.
   * 0 if there are more octets than an UPDATE can hold: AS numbers of a two-octet peer take twice the room in here.
   * `weight`: at most 65535.
   */
  internValues(values: PathAttributes, nextHop: Uint8Array | undefined, weight = 0): number {
    const writer = new Writer(512);
    encodeAttributes(values, writer, { fourOctetAs: true });
    const end = writer.length,
      size = nextHop?.length ?? 0;
    if (end > mostOctets) return 0;
    if (nextHop) writer.put(nextHop);
    const bytes = writer.written;
    this.#weight = weight;
    const hash = hashOf(bytes, 0, end, end, size) ^ Math.imul(weight, 0x9e3779b1),
      known = this.#find(hash, bytes, 0, end, end, size);
    if (known === 0) describe(values, bytes.subarray(0, end), this.self, this.#scan);
    const id = known === 0 ? this.#add(hash, bytes, 0, end, end, size) : known;
    this.#weight = 0;
    return id;
  }

  retain(id: number): void {
    this.#refs[id]!++;
  }
  release(id: number): void {
    if (--this.#refs[id]! === 0) this.#leave(id);
  }
  /** Forgets a set that was interned and that nobody took. */
  drop(id: number): void {
    if (this.#refs[id] === 0) this.#leave(id);
  }

  lengthOf(id: number): number {
    return this.#length[id]!;
  }
  nextHopLength(id: number): number {
    return this.#nextHop[id]!;
  }

  /** Copies the set's octets from relative offset `from` to `to` into `out`; returns the offset behind them. */
  copy(id: number, from: number, to: number, out: Uint8Array, at: number): number {
    const place = this.#place[id]!,
      page = this.#pages[place >>> pageShift]!,
      base = (place & pageMask) * unit;
    if (to - from > 64) {
      out.set(page.subarray(base + from, base + to), at);
      return at + to - from;
    }
    for (let i = base + from; i < base + to; i++) out[at++] = page[i]!;
    return at;
  }
  /** Where ORIGINATOR_ID and CLUSTER_LIST stand or belong, and what follows them. */
  splitOf(id: number): number {
    return this.#split[id]!;
  }
  tailOf(id: number): number {
    return this.#tail[id]!;
  }
  /** The next hop: that of MP_REACH_NLRI as it came, or the value of NEXT_HOP. 4, 16 or 32 octets, a copy. */
  nextHopOf(id: number): Uint8Array {
    const size = this.#nextHop[id]!;
    if (size === 0) return this.decode(id).nextHop!;
    const out = new Uint8Array(size);
    this.copy(id, this.#length[id]!, this.#length[id]! + size, out, 0);
    return out;
  }

  /** Where the set's octets stand: they begin at `offsetOf` of this page, the next hop of MP_REACH_NLRI behind them. To be read at once. */
  pageOf(id: number): Uint8Array {
    return this.#pages[this.#place[id]! >>> pageShift]!;
  }
  offsetOf(id: number): number {
    return (this.#place[id]! & pageMask) * unit;
  }

  /** A copy of the canonical octets, without the next hop of MP_REACH_NLRI. */
  bytesOf(id: number): Uint8Array {
    const out = new Uint8Array(this.#length[id]!);
    this.copy(id, 0, out.length, out, 0);
    return out;
  }
  /** The set as values, for people and for slow paths. */
  decode(id: number): PathAttributes {
    const bytes = this.bytesOf(id);
    return decodeAttributes(bytes, 0, bytes.length, { internal: true, fourOctetAs: true }).attributes;
  }

  #find(hash: number, b: Uint8Array, start: number, end: number, nextHopAt: number, nextHop: number): number {
    const index = this.#index;
    for (let s = hash & this.#mask; ; s = (s + 1) & this.#mask) {
      const id = index[2 * s]!;
      if (id === 0) return 0;
      if (index[2 * s + 1] === hash && this.#equals(id, b, start, end, nextHopAt, nextHop)) return id;
    }
  }

  #add(hash: number, b: Uint8Array, start: number, end: number, nextHopAt: number, nextHop: number): number {
    const scan = this.#scan,
      length = end - start,
      id = this.#take(Math.ceil((length + nextHop) / unit));
    this.weight[id] = this.#weight;
    this.localPref[id] = scan.localPref;
    this.med[id] = scan.med;
    this.neighborAs[id] = scan.neighborAs;
    this.originatorId[id] = scan.originatorId;
    this.asLength[id] = Math.min(scan.asLength, asLengthEnd);
    this.clusterLength[id] = scan.clusterLength;
    this.origin[id] = scan.origin;
    const ownHop = nextHop > 0 ? this.#isOwn(b, nextHopAt, nextHop) : scan.nextHopAt >= 0 && this.#isOwn(b, start + scan.nextHopAt, 4);
    this.flags[id] = scan.flags | (ownHop ? flagOwnNextHop : 0);
    this.#length[id] = length;
    this.#split[id] = scan.splitAt;
    this.#tail[id] = scan.tailAt;
    this.#nextHop[id] = nextHop;
    this.#refs[id] = 0;
    const place = this.#place[id]!,
      page = this.#pages[place >>> pageShift]!;
    let at = (place & pageMask) * unit;
    for (let i = start; i < end; i++) page[at++] = b[i]!;
    for (let i = 0; i < nextHop; i++) page[at++] = b[nextHopAt + i]!;
    if (this.nextHops) this.nextHops.add(id, this.nextHopOf(id), ownHop);
    this.#hash[id] = hash;
    this.#link(id, hash);
    if (++this.#live * 2 > this.#mask) this.#rehash();
    return id;
  }

  /** The first 16 of 32 octets count: the others are link-local. */
  #isOwn(b: Uint8Array, at: number, size: number): boolean {
    const octets = Math.min(size, 16);
    for (const own of this.self.addresses) {
      let same = own.length === octets ? 0 : -1;
      while (same >= 0 && same < octets) same = b[at + same] === own[same] ? same + 1 : -1;
      if (same === octets) return true;
    }
    return false;
  }

  /** Nobody holds the set now. */
  #leave(id: number): void {
    if (this.#parting[id] === 1) return;
    this.#parting[id] = 1;
    this.#parted[this.#partedCount++] = id;
    if (this.#partedCount === partingSets || this.nextHops !== undefined) this.#part();
  }

  /** Forgets those that nobody holds still. */
  #part(): void {
    const parted = this.#parted,
      count = this.#partedCount,
      index = this.#index,
      hash = this.#hash,
      mask = this.#mask;
    let touched = 0;
    for (let i = 0; i < count; i++) touched ^= index[2 * (hash[parted[i]!]! & mask)]!;
    this.touched = touched;
    for (let i = 0; i < count; i++) {
      const id = parted[i]!;
      this.#parting[id] = 0;
      if (this.#refs[id] === 0) this.#forget(id);
    }
    this.#partedCount = 0;
  }

  #forget(id: number): void {
    this.#unlink(id);
    this.nextHops?.drop(id);
    const units = Math.ceil((this.#length[id]! + this.#nextHop[id]!) / unit);
    this.generation[id]!++;
    this.#refs[id] = this.#free[units]!;
    this.#free[units] = id;
    this.#live--;
  }

  /** An id with that much room in the arena: of a set that is gone, or new. */
  #take(units: number): number {
    const free = this.#free[units]!;
    if (free !== 0) {
      this.#free[units] = this.#refs[free]!;
      return free;
    }
    if (this.#next === this.#refs.length) this.#growColumns();
    if (this.#arenaAt + units * unit > pageSize) {
      this.#pages.push(new Uint8Array(pageSize));
      this.#arenaAt = 0;
    }
    this.#place[this.#next] = ((this.#pages.length - 1) << pageShift) + this.#arenaAt / unit;
    this.#arenaAt += units * unit;
    return this.#next++;
  }

  #equals(id: number, b: Uint8Array, start: number, end: number, nextHopAt: number, nextHop: number): boolean {
    if (this.#length[id] !== end - start || this.#nextHop[id] !== nextHop || this.weight[id] !== this.#weight) return false;
    const place = this.#place[id]!,
      page = this.#pages[place >>> pageShift]!;
    let at = (place & pageMask) * unit;
    for (let i = start; i < end; i++) if (page[at++] !== b[i]) return false;
    for (let i = 0; i < nextHop; i++) if (page[at++] !== b[nextHopAt + i]) return false;
    return true;
  }

  #link(id: number, hash: number): void {
    const index = this.#index;
    let s = hash & this.#mask;
    while (index[2 * s] !== 0) s = (s + 1) & this.#mask;
    index[2 * s] = id;
    index[2 * s + 1] = hash;
  }

  #unlink(id: number): void {
    const index = this.#index,
      mask = this.#mask;
    let hole = this.#hash[id]! & mask;
    while (index[2 * hole] !== id) hole = (hole + 1) & mask;
    for (let s = (hole + 1) & mask; ; s = (s + 1) & mask) {
      const held = index[2 * s]!,
        hash = index[2 * s + 1]!;
      if (held === 0) break;
      if (((s - hash) & mask) < ((s - hole) & mask)) continue;
      index[2 * hole] = held;
      index[2 * hole + 1] = hash;
      hole = s;
    }
    index[2 * hole] = 0;
  }

  #rehash(): void {
    const old = this.#index;
    this.#index = new Int32Array(old.length * 2);
    this.#mask = this.#index.length / 2 - 1;
    for (let at = 0; at < old.length; at += 2) if (old[at] !== 0) this.#link(old[at]!, old[at + 1]!);
  }

  #growColumns(): void {
    const size = this.#refs.length * 2;
    this.weight = grown(this.weight, size);
    this.localPref = grown(this.localPref, size);
    this.med = grown(this.med, size);
    this.neighborAs = grown(this.neighborAs, size);
    this.originatorId = grown(this.originatorId, size);
    this.asLength = grown(this.asLength, size);
    this.clusterLength = grown(this.clusterLength, size);
    this.origin = grown(this.origin, size);
    this.flags = grown(this.flags, size);
    this.generation = grown(this.generation, size);
    this.#hash = grown(this.#hash, size);
    this.#place = grown(this.#place, size);
    this.#length = grown(this.#length, size);
    this.#split = grown(this.#split, size);
    this.#tail = grown(this.#tail, size);
    this.#nextHop = grown(this.#nextHop, size);
    this.#refs = grown(this.#refs, size);
    this.#parting = grown(this.#parting, size);
  }
}

/** Four octets a step; the multipliers are odd, so nothing is lost on the way. */
function hashOf(b: Uint8Array, start: number, end: number, nextHopAt: number, nextHop: number): number {
  let h = Math.imul(end - start, 0x9e3779b1) ^ nextHop;
  let i = start;
  for (; i + 4 <= end; i += 4) {
    h = Math.imul(h ^ (b[i]! | (b[i + 1]! << 8) | (b[i + 2]! << 16) | (b[i + 3]! << 24)), 0x85ebca6b);
    h ^= h >>> 15;
  }
  for (; i < end; i++) h = Math.imul(h ^ b[i]!, 0xc2b2ae35);
  for (let k = 0; k < nextHop; k++) h = Math.imul(h ^ b[nextHopAt + k]!, 0x27d4eb2f);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  return (h ^ (h >>> 13)) | 0;
}
