/**
 * Adj-RIBs-In of one family as columns: one row per (prefix, peer), chained by prefix. A hot file; twin: test/bgp/rib-model.ts.
 *
 * Holds: at most one path per prefix and peer; the row keeps one hold on its attribute set; a row given back is reused.
 * A path whose epoch is not its peer's is stale: of an earlier session, kept under graceful restart or waiting to be swept,
 * or not told again in a refresh under way.
 */
import type { AttributeTable } from "./attributes.ts";
import { grown } from "./prefixes.ts";
import { isOlder, type PeerTable } from "./peer-table.ts";

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
  epoch = new Uint16Array(1024);
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
    let path = this.head[prefix]!;
    while (path !== none && this.peer[path] !== peer) path = this.next[path]!;
    return path;
  }

  /** Puts or replaces the path; true if anything but its freshness changed: the attributes, or who it is that has the peer's id. */
  set(prefix: number, peer: number, attributes: number): boolean {
    const path = this.find(prefix, peer),
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
      if (before === attributes) return isOther;
      this.#attributes.retain(attributes);
      this.#attributes.release(before);
      this.attributes[path] = attributes;
      return true;
    }
    const made = this.#take();
    this.prefix[made] = prefix;
    this.peer[made] = peer;
    this.attributes[made] = attributes;
    this.epoch[made] = epoch;
    this.next[made] = this.head[prefix]!;
    this.head[prefix] = made;
    this.#attributes.retain(attributes);
    this.#peers.paths[column]!++;
    this.#live++;
    return true;
  }

  /** Takes the path away; true if there was one. */
  remove(prefix: number, peer: number): boolean {
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
    const column = peer * 2 + this.#family;
    this.#peers.paths[column]!--;
    if (this.epoch[path] !== this.#peers.epoch[column]) this.#peers.old[column]!--;
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
