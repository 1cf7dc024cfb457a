/**
 * Some owed prefixes, grouped by what is to be said about them, so that one message carries all that share an attribute set
 * and a source. A hot file; twin: test/bgp/rib-model.ts. Filled by an update group or a catch-up, emptied into a lane by `emit`.
 *
 * What is called a prefix here is a path of one in a group that tells several (path-table.ts).
 * Holds: a bucket's routes have one source peer, so that a member's own can be left out of what it reads (lane.ts).
 */
import type { AttributeTable } from "../rib/attributes.ts";
import { none } from "../rib/adj-rib-in.ts";
import { type PeerTable, peerOfLabel, type Role, roleClient } from "../rib/peer-table.ts";
import { grown } from "../rib/prefixes.ts";
import { everyone, type Lane, only, soleReader } from "./lane.ts";
import { type NlriTable, type Packer, writeWithdraw } from "./pack.ts";
import { isReflected } from "./reflect.ts";

export const windowPrefixes = 4096;
const withdrawal = 0;
const bulkPrefixes = 512; // from here on lanes use large chunks
const places = 2 * windowPrefixes; // a route that moves from one peer to another may take two

/** What changes for one prefix: the set and the label of its source (told.ts), as told before and now; set 0 is nothing. */
export interface Change {
  prefix: number;
  wasSet: number;
  wasFrom: number;
  set: number;
  from: number;
}

/** Those who read the lane that is written. */
export interface Readers {
  has(peer: number): boolean;
}

export class Window {
  readonly #attributes: AttributeTable;
  readonly #peers: PeerTable;
  readonly #clusterId: number;
  readonly prefixes = new Uint32Array(places);
  readonly next = new Int32Array(places);
  readonly #nextHeld = new Int32Array(places); // chain of those the source itself had been told
  /** Filled in before `tell`; one object, reused. */
  readonly change: Change = { prefix: 0, wasSet: 0, wasFrom: 0, set: 0, from: 0 };
  /** How many places of `prefixes` the last `emit` wrote. */
  lastCount = 0;
  #to: Role = roleClient;
  #members: Readers = new Set<number>();
  #asked: number = none; // of whom `#isMember` was asked last, and what it said
  #answer = false;
  #count = 0;
  #buckets = 0;
  readonly #set = new Uint32Array(places);
  readonly #readers = new Int32Array(places); // the source, who reads nothing of it, or as lane.ts says
  readonly #head = new Int32Array(places);
  readonly #tail = new Int32Array(places);
  readonly #held = new Int32Array(places);
  readonly #same = new Int32Array(places); // another bucket of the same set for other readers
  #bucketOf = new Int32Array(256); // attribute set → bucket + 1
  readonly #reflection = { originatorId: 0, clusterId: 0 };
  readonly #scratch = new Uint8Array(4096);

  constructor(attributes: AttributeTable, peers: PeerTable) {
    this.#attributes = attributes;
    this.#peers = peers;
    this.#clusterId = attributes.self.clusterId;
  }

  /** True if there may be no room for another change. */
  get isFull(): boolean {
    return this.#count > places - 2;
  }

  /** Begins a window for the members of one lane, `to` their role. */
  begin(to: Role, members: Readers): void {
    this.#to = to;
    this.#members = members;
    this.#asked = none;
  }

  /** Members stay the same while a window is filled, and what is withdrawn mostly came from one peer. */
  #isMember(peer: number): boolean {
    if (peer === this.#asked) return this.#answer;
    this.#asked = peer;
    this.#answer = this.#members.has(peer);
    return this.#answer;
  }

  /**
   * Tells members who were told one thing another, as `change` says: nothing if for each of them it is the same. Each of them
   * was told before what `wasSet` says, but for `wasFrom`, whose route it was.
   */
  tell(): void {
    const { prefix, wasSet, wasFrom, set, from } = this.change;
    const before = peerOfLabel(wasFrom),
      source = peerOfLabel(from);
    if (set === 0) {
      if (wasSet !== 0) this.#add(prefix, withdrawal, this.#isMember(before) ? before : everyone);
    } else if (set !== wasSet || !this.#readsAlike(set, wasFrom, from)) {
      this.announce(prefix, set, source, wasSet !== 0 && source !== before);
    } else if (source !== before) {
      if (this.#members.has(before)) this.#add(prefix, set, only(before));
      if (this.#members.has(source)) this.#add(prefix, withdrawal, only(source));
    }
  }

  /** `isHeld`: the source itself had been told the prefix (by another peer's route) and must now lose it. */
  announce(prefix: number, set: number, source: number, isHeld: boolean): void {
    const reader = isReflected(this.#to, this.#peers.role[source]! as Role) || this.#members.has(source) ? source : everyone;
    const place = this.#add(prefix, set, reader);
    if (!isHeld || reader === everyone || !this.#members.has(source)) return;
    const bucket = this.#find(set, reader);
    this.#nextHeld[place] = this.#held[bucket]!;
    this.#held[bucket] = place;
  }

  /** Writes everything into the lane and empties the window. */
  emit(lane: Lane, table: NlriTable, packer: Packer): void {
    const bulk = this.#count >= bulkPrefixes;
    let open: number = none; // a bucket whose run may go on with the next one's messages
    for (let bucket = 0; bucket < this.#buckets; bucket++) {
      const set = this.#set[bucket]!,
        readers = this.#readers[bucket]!,
        head = this.#head[bucket]!;
      this.#bucketOf[set] = 0;
      if (set === withdrawal) {
        if (open === none || this.#readers[open] !== readers) lane.begin(readers, undefined, bulk);
        open = bucket;
        packer.withdraw(lane, table, this, head);
        continue;
      }
      const alternative = this.#alternative(table, this.#held[bucket]!);
      if (alternative !== undefined || open === none || this.#readers[open] !== readers) lane.begin(readers, alternative, bulk);
      open = alternative === undefined ? bucket : none;
      // a route told to one reader alone carries its ORIGINATOR_ID, or gets none: whose it is makes no difference
      const source = readers >= 0 ? readers : soleReader(readers),
        reflected = source >= 0 && isReflected(this.#to, this.#peers.role[source]! as Role);
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

  /** True if a set reads the same whichever of two peers it came from. */
  #readsAlike(set: number, a: number, b: number): boolean {
    if (a === b) return true;
    const role = this.#peers.role,
      p = peerOfLabel(a),
      q = peerOfLabel(b);
    const isOne = isReflected(this.#to, role[p]! as Role),
      isOther = isReflected(this.#to, role[q]! as Role);
    if (!isOne && !isOther) return true;
    // reflection adds the identifier of the peer it came from, unless there is one
    return isOne && isOther && this.#attributes.originatorId[set] !== 0;
  }

  #add(prefix: number, set: number, readers: number): number {
    const place = this.#count++;
    this.prefixes[place] = prefix;
    this.next[place] = none;
    const bucket = this.#find(set, readers);
    if (this.#head[bucket] === none) this.#head[bucket] = place;
    else this.next[this.#tail[bucket]!] = place;
    this.#tail[bucket] = place;
    return place;
  }

  #find(set: number, readers: number): number {
    if (set >= this.#bucketOf.length) this.#bucketOf = grown(this.#bucketOf, Math.max(this.#attributes.end, this.#bucketOf.length * 2));
    const first = this.#bucketOf[set]! - 1;
    for (let bucket = first; bucket !== none; bucket = this.#same[bucket]!) if (this.#readers[bucket] === readers) return bucket;
    const made = this.#buckets++;
    this.#set[made] = set;
    this.#readers[made] = readers;
    this.#head[made] = none;
    this.#held[made] = none;
    this.#same[made] = first;
    this.#bucketOf[set] = made + 1;
    return made;
  }

  #alternative(table: NlriTable, held: number): Uint8Array | undefined {
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
