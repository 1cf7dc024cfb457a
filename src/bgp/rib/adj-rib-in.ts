/**
 * Adj-RIBs-In of one family as columns: one row per (prefix, peer, path identifier), chained by prefix. A hot file; twin:
 * test/bgp/rib-model.ts.
 *
 * Path identifiers (RFC 7911): 0 where the peer gives none. The columns for them are made when the first other one comes, so
 * that without ADD-PATH they cost nothing. A path is told with an identifier of ours: a function of the peer's address and the
 * peer's identifier, so that it is the same after any churn and after a restart of ours; where two paths of one prefix would
 * have the same, the later gets the next that is free.
 *
 * Holds: at most one path per prefix, peer and identifier; the row keeps one hold on its attribute set; a row given back is reused.
 * A path whose epoch is not its peer's is stale: of an earlier session, kept under graceful restart or waiting to be swept,
 * or not told again in a refresh under way.
 */
import type { AttributeTable } from "./attributes.ts";
import { grown } from "./prefixes.ts";
import { isOlder, type PeerTable } from "./peer-table.ts";

export const none = -1;
const noPrefix = 0xffff_ffff;
/** Paths of one prefix that one peer may announce under ADD-PATH; further ones are refused and counted (ingest.ts). */
export const mostPathsOfPeer = 256;

/** No powers of two, as the table of prefixes has: rows, heads and what was told double in moments of their own, so that no turn is long. */
const leastRows = 1536;
export const leastHeads = 1280;

/** What `set` did. */
export const unchanged = 0;
export const changed = 1;
export const refused = -1;

export class AdjRibIn {
  readonly #attributes: AttributeTable;
  readonly #peers: PeerTable;
  readonly #family: number;
  prefix = new Uint32Array(leastRows);
  peer = new Uint16Array(leastRows);
  attributes = new Uint32Array(leastRows);
  next = new Int32Array(leastRows);
  epoch = new Uint16Array(leastRows);
  #pathId: Uint32Array | undefined;
  #toldId: Uint32Array | undefined;
  /** First path of each prefix, by prefix id, or `none`. */
  head = new Int32Array(leastHeads).fill(none);
  #end = 0;
  #free: number = none; // chained through `next`
  #live = 0;

  constructor(attributes: AttributeTable, peers: PeerTable, family: number) {
    this.#attributes = attributes;
    this.#peers = peers;
    this.#family = family;
  }

  get live(): number {
    return this.#live;
  }
  /** One more than the largest path ever made: a sweep goes from 0 to here. */
  get end(): number {
    return this.#end;
  }
  get bytes(): number {
    const columns = [this.prefix, this.peer, this.attributes, this.next, this.epoch, this.head, this.#pathId, this.#toldId];
    return columns.reduce((sum, column) => sum + (column?.byteLength ?? 0), 0);
  }

  /** The identifier the peer gave a path; 0 without ADD-PATH. */
  pathIdOf(path: number): number {
    return this.#pathId === undefined ? 0 : this.#pathId[path]!;
  }
  /** The identifier a path is told with to peers that take several. Never 0, and no two paths of a prefix have one. */
  toldIdOf(path: number): number {
    return this.#toldId === undefined ? this.#peers.pathId[this.peer[path]!]! : this.#toldId[path]!;
  }

  /** The path of this prefix from this peer with this identifier, or `none`. */
  find(prefix: number, peer: number, pathId = 0): number {
    const ids = this.#pathId;
    if (ids === undefined && pathId !== 0) return none;
    let path = this.head[prefix]!;
    while (path !== none && (this.peer[path] !== peer || (ids !== undefined && ids[path] !== pathId))) path = this.next[path]!;
    return path;
  }

  /**
   * Puts or replaces the path. `changed` if anything but its freshness did: the attributes, or who it is that has the peer's id.
   * `refused`: it would be one more than a peer may have.
   */
  set(prefix: number, peer: number, attributes: number, pathId = 0): typeof unchanged | typeof changed | typeof refused {
    if (pathId !== 0 && this.#pathId === undefined) this.#usePathIds();
    const path = this.find(prefix, peer, pathId),
      column = peer * 2 + this.#family,
      epoch = this.#peers.epoch[column]!;
    if (path !== none) {
      const before = this.attributes[path]!,
        held = this.epoch[path]!;
      let isOther = false;
      if (held !== epoch) {
        isOther = isOlder(held, this.#peers.since[column]!);
        this.epoch[path] = epoch;
        this.#peers.old[column]!--;
      }
      if (before === attributes) return isOther ? changed : unchanged;
      this.#attributes.retain(attributes);
      this.#attributes.release(before);
      this.attributes[path] = attributes;
      return changed;
    }
    if (this.#pathId !== undefined && this.#countOf(prefix, peer, epoch) >= mostPathsOfPeer) return refused;
    const made = this.#take();
    if (this.#pathId !== undefined) this.#identify(made, prefix, peer, pathId);
    this.prefix[made] = prefix;
    this.peer[made] = peer;
    this.attributes[made] = attributes;
    this.epoch[made] = epoch;
    this.next[made] = this.head[prefix]!;
    this.head[prefix] = made;
    this.#attributes.retain(attributes);
    this.#peers.paths[column]!++;
    this.#live++;
    return changed;
  }

  /** Gives a path other attributes; how fresh it is stays. True if they are others. */
  restate(path: number, attributes: number): boolean {
    const before = this.attributes[path]!;
    if (before === attributes) return false;
    this.#attributes.retain(attributes);
    this.#attributes.release(before);
    this.attributes[path] = attributes;
    return true;
  }

  /** Takes the path away; true if there was one. */
  remove(prefix: number, peer: number, pathId = 0): boolean {
    const ids = this.#pathId;
    if (ids === undefined && pathId !== 0) return false;
    let before: number = none,
      path = this.head[prefix]!;
    while (path !== none && (this.peer[path] !== peer || (ids !== undefined && ids[path] !== pathId))) {
      before = path;
      path = this.next[path]!;
    }
    if (path === none) return false;
    this.#unlink(prefix, before, path);
    return true;
  }

  /** Takes away a path that is known by its row. */
  removePath(path: number): void {
    const prefix = this.prefix[path]!;
    let before: number = none;
    for (let at = this.head[prefix]!; at !== path; at = this.next[at]!) before = at;
    this.#unlink(prefix, before, path);
  }

  /** `before`: the path in front of it in the chain, or `none`. */
  #unlink(prefix: number, before: number, path: number): void {
    if (before === none) this.head[prefix] = this.next[path]!;
    else this.next[before] = this.next[path]!;
    this.#attributes.release(this.attributes[path]!);
    const column = this.peer[path]! * 2 + this.#family;
    this.#peers.paths[column]!--;
    if (this.epoch[path] !== this.#peers.epoch[column]) this.#peers.old[column]!--;
    this.prefix[path] = noPrefix;
    this.next[path] = this.#free;
    this.#free = path;
    this.#live--;
  }

  /** Paths of a peer for a prefix that are of this epoch: what an earlier session left does not stand in the way of new ones. */
  #countOf(prefix: number, peer: number, epoch: number): number {
    let count = 0;
    for (let path = this.head[prefix]!; path !== none; path = this.next[path]!) if (this.peer[path] === peer && this.epoch[path] === epoch) count++;
    return count;
  }

  /** Before the path is put into the chain of its prefix. */
  #identify(path: number, prefix: number, peer: number, pathId: number): void {
    let told = toldId(this.#peers.pathId[peer]!, pathId);
    while (told === 0 || this.#isTold(prefix, told)) told = (told + 1) >>> 0;
    this.#pathId![path] = pathId;
    this.#toldId![path] = told;
  }
  #isTold(prefix: number, told: number): boolean {
    for (let path = this.head[prefix]!; path !== none; path = this.next[path]!) if (this.#toldId![path] === told) return true;
    return false;
  }

  #usePathIds(): void {
    this.#pathId = new Uint32Array(this.prefix.length);
    this.#toldId = new Uint32Array(this.prefix.length);
    for (let path = 0; path < this.#end; path++) this.#toldId[path] = this.#peers.pathId[this.peer[path]!]!;
  }

  isUsed(path: number): boolean {
    return this.prefix[path] !== noPrefix;
  }
  isStale(path: number): boolean {
    const peer = this.peer[path]!;
    return this.#peers.up[peer] === 0 || this.epoch[path] !== this.#peers.epoch[peer * 2 + this.#family];
  }

  #take(): number {
    if (this.#free !== none) {
      const path = this.#free;
      this.#free = this.next[path]!;
      return path;
    }
    const path = this.#end++;
    if (path >= this.prefix.length) {
      const size = this.prefix.length * 2;
      this.prefix = grown(this.prefix, size);
      this.peer = grown(this.peer, size);
      this.attributes = grown(this.attributes, size);
      this.next = grown(this.next, size);
      this.epoch = grown(this.epoch, size);
      if (this.#pathId !== undefined) this.#pathId = grown(this.#pathId, size);
      if (this.#toldId !== undefined) this.#toldId = grown(this.#toldId, size);
    }
    return path;
  }

  /** Makes room for paths of this prefix: before the first of the other verbs that name it. */
  cover(prefix: number): void {
    if (prefix < this.head.length) return;
    let size = this.head.length;
    while (size <= prefix) size *= 2;
    const before = this.head.length;
    this.head = grown(this.head, size);
    this.head.fill(none, before);
  }
}

/** The peer's own identifiers spread from that of the peer: no two of one peer meet, since the factor is odd. */
function toldId(base: number, pathId: number): number {
  return (base + Math.imul(pathId, 0x9e37_79b1)) >>> 0;
}
