/**
 * Some owed prefixes, grouped by what is to be said about them, so that one message carries all that share an attribute set
 * and a source. A hot file. Filled by an update group or a catch-up, emptied into a lane by `emit`.
 *
 * Holds: a bucket's routes have one source peer, so that a member's own can be left out of what it reads (lane.ts).
 */
import type { AttributeTable } from "../rib/attributes.ts";
import { none } from "../rib/adj-rib-in.ts";
import type { PeerTable, Role } from "../rib/peer-table.ts";
import { grown, type PrefixTable } from "../rib/prefixes.ts";
import type { Lane } from "./lane.ts";
import { type Packer, writeWithdraw } from "./pack.ts";
import { isReflected } from "./reflect.ts";

export const windowPrefixes = 4096;
const withdrawal = 0;
const bulkPrefixes = 512; // from here on lanes use large chunks

export class Window {
  readonly #attributes: AttributeTable;
  readonly #peers: PeerTable;
  readonly #clusterId: number;
  readonly prefixes = new Uint32Array(windowPrefixes);
  readonly next = new Int32Array(windowPrefixes);
  readonly #nextHeld = new Int32Array(windowPrefixes); // chain of those the source itself had been told
  /** How many places of `prefixes` the last `emit` wrote. */
  lastCount = 0;
  #count = 0;
  #buckets = 0;
  readonly #set = new Uint32Array(windowPrefixes);
  readonly #source = new Uint16Array(windowPrefixes);
  readonly #head = new Int32Array(windowPrefixes);
  readonly #tail = new Int32Array(windowPrefixes);
  readonly #held = new Int32Array(windowPrefixes);
  readonly #same = new Int32Array(windowPrefixes); // another bucket of the same set with another source
  #bucketOf = new Int32Array(256); // attribute set → bucket + 1
  readonly #reflection = { originatorId: 0, clusterId: 0 };
  readonly #scratch = new Uint8Array(4096);

  constructor(attributes: AttributeTable, peers: PeerTable) {
    this.#attributes = attributes;
    this.#peers = peers;
    this.#clusterId = attributes.self.clusterId;
  }

  /** `isHeld`: the source itself had been told the prefix (by another peer's route) and must now lose it. */
  announce(prefix: number, set: number, source: number, isHeld: boolean): void {
    const place = this.#add(prefix, set, source);
    if (!isHeld) return;
    const bucket = this.#find(set, source);
    this.#nextHeld[place] = this.#held[bucket]!;
    this.#held[bucket] = place;
  }
  /** `toldFrom`: the peer whose route is withdrawn; it was never told. */
  withdraw(prefix: number, toldFrom: number): void {
    this.#add(prefix, withdrawal, toldFrom);
  }

  /** Writes everything into the lane and empties the window. `to` is the role of the lane's members. */
  emit(lane: Lane, table: PrefixTable, to: Role, packer: Packer): void {
    const bulk = this.#count >= bulkPrefixes;
    for (let bucket = 0; bucket < this.#buckets; bucket++) {
      const set = this.#set[bucket]!,
        source = this.#source[bucket]!,
        head = this.#head[bucket]!;
      this.#bucketOf[set] = 0;
      if (set === withdrawal) {
        lane.begin(source, undefined, bulk);
        packer.withdraw(lane, table, this, head);
        continue;
      }
      lane.begin(source, this.#alternative(table, this.#held[bucket]!), bulk);
      const reflected = isReflected(to, this.#peers.role[source]! as Role);
      if (reflected) {
        this.#reflection.originatorId = this.#peers.routerId[source]!;
        this.#reflection.clusterId = this.#clusterId;
      }
      packer.announce(lane, table, set, reflected ? this.#reflection : undefined, this, head);
    }
    this.lastCount = this.#count;
    this.#count = 0;
    this.#buckets = 0;
  }

  #add(prefix: number, set: number, source: number): number {
    const place = this.#count++;
    this.prefixes[place] = prefix;
    this.next[place] = none;
    const bucket = this.#find(set, source);
    if (this.#head[bucket] === none) this.#head[bucket] = place;
    else this.next[this.#tail[bucket]!] = place;
    this.#tail[bucket] = place;
    return place;
  }

  #find(set: number, source: number): number {
    if (set >= this.#bucketOf.length) this.#bucketOf = grown(this.#bucketOf, Math.max(this.#attributes.end, this.#bucketOf.length * 2));
    const first = this.#bucketOf[set]! - 1;
    for (let bucket = first; bucket !== none; bucket = this.#same[bucket]!) if (this.#source[bucket] === source) return bucket;
    const made = this.#buckets++;
    this.#set[made] = set;
    this.#source[made] = source;
    this.#head[made] = none;
    this.#held[made] = none;
    this.#same[made] = first;
    this.#bucketOf[set] = made + 1;
    return made;
  }

  #alternative(table: PrefixTable, held: number): Uint8Array | undefined {
    if (held === none) return undefined;
    const chain = { prefixes: this.prefixes, next: this.#nextHeld },
      parts: Uint8Array[] = [];
    let place = held;
    while (place !== none) {
      const [end, rest] = writeWithdraw(table, chain, place, this.#scratch, 0, this.#scratch.length);
      parts.push(this.#scratch.slice(0, end));
      place = rest;
    }
    return join(parts);
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
