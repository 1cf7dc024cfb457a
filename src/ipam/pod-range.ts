/**
 * Which address of one CIDR is given next: never-used ones in order, then the one that has been free the longest. Every operation
 * costs the same in a full /16 as in an empty /24: a bitmap walked once, and two lists threaded through arrays.
 */
import type { Ip } from "#base/ip.ts";
import { ipBytes } from "#base/ip.ts";
import { addressAt, type Prefix, prefixFamily, prefixParts } from "#base/prefix.ts";

/** Addresses of a CIDR that are handed out unasked; those beyond it (a /64 has many) can be asked for by name. */
export const podSpan = 65_536;
const none = -1;

/** First in, first out, with removal from the middle; an index is in one list of its range at most. */
class IndexList {
  #head = none;
  #tail = none;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  length = 0;

  constructor(next: Int32Array, previous: Int32Array) {
    this.#next = next;
    this.#previous = previous;
  }
  get first(): number | undefined {
    return this.#head === none ? undefined : this.#head;
  }
  push(index: number): void {
    this.#next[index] = none;
    this.#previous[index] = this.#tail;
    if (this.#tail === none) this.#head = index;
    else this.#next[this.#tail] = index;
    this.#tail = index;
    this.length++;
  }
  remove(index: number): void {
    const next = this.#next[index]!,
      previous = this.#previous[index]!;
    if (previous === none) this.#head = next;
    else this.#next[previous] = next;
    if (next === none) this.#tail = previous;
    else this.#previous[next] = previous;
    this.length--;
  }
}

type Where = "untouched" | "busy" | "ready" | "cooling" | "kept";
const codes: readonly Where[] = ["untouched", "busy", "ready", "cooling", "kept"];
type Listed = Exclude<Where, "untouched" | "busy">;

export class PodRange {
  readonly cidr: Prefix;
  /** Indexes 0 to size − 1 are handed out. */
  readonly size: number;
  readonly #where: Uint8Array;
  /** One bit each: 1 if it was handed out, asked for or blocked before; walked by `#cursor`. */
  readonly #touched: Uint32Array;
  #cursor = 0;
  /** When each free address becomes anybody's: seconds. */
  readonly #readyAt: Float64Array;
  readonly #lists: { readonly [L in Listed]: IndexList };
  readonly #base: Uint8Array;

  constructor(cidr: Prefix) {
    const { bytes, length } = prefixParts(cidr),
      bits = bytes.length * 8 - length;
    this.cidr = cidr;
    this.#base = bytes;
    this.size = bits >= 16 ? podSpan : 2 ** bits;
    this.#where = new Uint8Array(this.size);
    this.#touched = new Uint32Array(Math.ceil(this.size / 32));
    this.#readyAt = new Float64Array(this.size);
    const next = new Int32Array(this.size),
      previous = new Int32Array(this.size);
    this.#lists = { ready: new IndexList(next, previous), cooling: new IndexList(next, previous), kept: new IndexList(next, previous) };
    for (let index = this.size; index < this.#touched.length * 32; index++) this.#touch(index);
  }

  /** Addresses a CIDR has for no pod: its own, the node's, and IPv4's last. */
  blocked(): readonly number[] {
    if (this.size < 4) return [];
    return prefixFamily(this.cidr) === 4 ? [0, 1, this.size - 1] : [0, 1];
  }

  /** Place of an address of this CIDR; undefined if it is beyond what is handed out. */
  indexOf(address: Ip): number | undefined {
    const bytes = ipBytes(address);
    let index = 0;
    for (let i = 0; i < bytes.length; i++) {
      index = index * 256 + bytes[i]! - this.#base[i]!;
      if (index >= this.size) return undefined;
    }
    return index;
  }
  addressAt(index: number): Ip {
    return addressAt(this.cidr, BigInt(index));
  }
  /** Not to be handed out until `free`. */
  take(index: number): void {
    this.#move(index, "busy");
  }
  /** Nobody's, and from now on anybody's, after all that are so already. */
  free(index: number): void {
    this.#move(index, "ready");
  }
  /** Nobody's, and from `readyAt` on anybody's. `kept`: longer than the usual cool-down. */
  freeLater(index: number, readyAt: number, kept: boolean): void {
    this.#move(index, kept ? "kept" : "cooling");
    this.#readyAt[index] = readyAt;
  }

  /** The index to hand out at `at` (not taken yet); undefined if there is none. */
  next(at: number): number | undefined {
    for (; this.#cursor < this.#touched.length; this.#cursor++) {
      const word = ~this.#touched[this.#cursor]! >>> 0;
      if (word !== 0) return this.#cursor * 32 + 31 - Math.clz32(word & -word);
    }
    const ready = this.#lists.ready.first;
    if (ready !== undefined) return ready;
    const cooled = this.#due("cooling", at),
      lapsed = this.#due("kept", at);
    if (cooled === undefined || lapsed === undefined) return cooled ?? lapsed;
    return this.#readyAt[cooled]! <= this.#readyAt[lapsed]! ? cooled : lapsed;
  }
  /** When the next one can be handed out, if none can now. */
  nextReadyAt(): number | undefined {
    const times = [this.#lists.cooling.first, this.#lists.kept.first].flatMap((index) => (index === undefined ? [] : [this.#readyAt[index]!]));
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Indexes whose wait is over at `at`; each must be freed or taken before the next is asked for. */
  *lapsed(at: number): Generator<number> {
    for (const list of ["cooling", "kept"] as const) for (let index = this.#due(list, at); index !== undefined; index = this.#due(list, at)) yield index;
  }

  /** The first whose wait is over at `at`. */
  #due(list: "cooling" | "kept", at: number): number | undefined {
    const { first } = this.#lists[list];
    return first !== undefined && this.#readyAt[first]! <= at ? first : undefined;
  }
  #move(index: number, to: Where): void {
    const from = codes[this.#where[index]!]!;
    if (from !== "untouched" && from !== "busy") this.#lists[from].remove(index);
    if (to !== "untouched" && to !== "busy") this.#lists[to].push(index);
    this.#where[index] = codes.indexOf(to);
    this.#touch(index);
  }
  #touch(index: number): void {
    this.#touched[index >>> 5]! |= 1 << (index & 31);
  }
}
