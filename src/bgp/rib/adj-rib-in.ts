/**
 * Adj-RIBs-In of one family as columns: one row per (prefix, peer), chained by prefix. A hot file; twin: test/bgp/twins.ts.
 *
 * Holds: at most one path per prefix and peer; the row keeps one hold on its attribute set; a row given back is reused.
 * A path whose epoch is not its peer's is stale: of an earlier session, kept under graceful restart or waiting to be swept.
 */
import type { AttributeTable } from "./attributes.ts";
import { grown } from "./prefixes.ts";
import type { PeerTable } from "./peer-table.ts";

export const none = -1;
const noPrefix = 0xffff_ffff;

export class AdjRibIn {
  readonly #attributes: AttributeTable;
  readonly #peers: PeerTable;
  readonly #family: number;
  prefix = new Uint32Array(1024);
  peer = new Uint16Array(1024);
  attributes = new Uint32Array(1024);
  next = new Int32Array(1024);
  epoch = new Uint8Array(1024);
  /** First path of each prefix, by prefix id, or `none`. */
  head = new Int32Array(1024).fill(none);
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
    return this.prefix.byteLength + this.peer.byteLength + this.attributes.byteLength + this.next.byteLength + this.epoch.byteLength + this.head.byteLength;
  }

  /** The path of this prefix from this peer, or `none`. */
  find(prefix: number, peer: number): number {
    if (prefix >= this.head.length) return none;
    let path = this.head[prefix]!;
    while (path !== none && this.peer[path] !== peer) path = this.next[path]!;
    return path;
  }

  /** Puts or replaces the path; true if anything but its freshness changed. */
  set(prefix: number, peer: number, attributes: number): boolean {
    if (prefix >= this.head.length) this.#growHead(prefix);
    const path = this.find(prefix, peer);
    if (path !== none) {
      this.epoch[path] = this.#peers.epoch[peer]!;
      const before = this.attributes[path]!;
      if (before === attributes) return false;
      this.#attributes.retain(attributes);
      this.#attributes.release(before);
      this.attributes[path] = attributes;
      return true;
    }
    const made = this.#take();
    this.prefix[made] = prefix;
    this.peer[made] = peer;
    this.attributes[made] = attributes;
    this.epoch[made] = this.#peers.epoch[peer]!;
    this.next[made] = this.head[prefix]!;
    this.head[prefix] = made;
    this.#attributes.retain(attributes);
    this.#peers.paths[peer * 2 + this.#family]!++;
    this.#live++;
    return true;
  }

  /** Takes the path away; true if there was one. */
  remove(prefix: number, peer: number): boolean {
    if (prefix >= this.head.length) return false;
    let before: number = none,
      path = this.head[prefix]!;
    while (path !== none && this.peer[path] !== peer) {
      before = path;
      path = this.next[path]!;
    }
    if (path === none) return false;
    if (before === none) this.head[prefix] = this.next[path]!;
    else this.next[before] = this.next[path]!;
    this.#attributes.release(this.attributes[path]!);
    this.#peers.paths[peer * 2 + this.#family]!--;
    this.prefix[path] = noPrefix;
    this.next[path] = this.#free;
    this.#free = path;
    this.#live--;
    return true;
  }

  isUsed(path: number): boolean {
    return this.prefix[path] !== noPrefix;
  }
  isStale(path: number): boolean {
    const peer = this.peer[path]!;
    return this.#peers.up[peer] === 0 || this.epoch[path] !== this.#peers.epoch[peer];
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
    }
    return path;
  }

  #growHead(prefix: number): void {
    let size = this.head.length;
    while (size <= prefix) size *= 2;
    const before = this.head.length;
    this.head = grown(this.head, size);
    this.head.fill(none, before);
  }
}
