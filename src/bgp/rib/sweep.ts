/**
 * Takes the stale paths of some peers out of a family's Adj-RIBs-In, some rows at a time: a session that ended, a graceful
 * restart that is over. One walk serves every peer that was asked for before it began; others wait for the next walk.
 */
import type { LocRib } from "./loc-rib.ts";

const rowsPerStep = 32_768;

export class Sweep {
  readonly #rib: LocRib;
  #now = new Set<number>();
  #next = new Set<number>();
  #at = 0;

  constructor(rib: LocRib) {
    this.#rib = rib;
  }

  get isIdle(): boolean {
    return this.#now.size === 0 && this.#next.size === 0;
  }
  isFor(peer: number): boolean {
    return this.#now.has(peer) || this.#next.has(peer);
  }

  ask(peer: number): void {
    this.#next.add(peer);
  }

  /** Ends the walk for one peer at once: what is stale by its state now goes, before that state changes. */
  finish(peer: number): void {
    if (!this.isFor(peer)) return;
    this.#now.delete(peer);
    this.#next.delete(peer);
    this.#rows(0, this.#rib.adjRibIn.end, (of) => of === peer);
  }

  step(): void {
    if (this.#now.size === 0) {
      if (this.#next.size === 0) return;
      [this.#now, this.#next] = [this.#next, this.#now];
      this.#at = 0;
    }
    const end = Math.min(this.#rib.adjRibIn.end, this.#at + rowsPerStep);
    this.#rows(this.#at, end, (of) => this.#now.has(of));
    this.#at = end;
    if (end === this.#rib.adjRibIn.end) this.#now.clear();
  }

  #rows(from: number, to: number, isMeant: (peer: number) => boolean): void {
    const table = this.#rib.adjRibIn;
    for (let path = from; path < to; path++) {
      const peer = table.peer[path]!;
      if (table.isUsed(path) && isMeant(peer) && table.isStale(path)) this.#rib.withdraw(table.prefix[path]!, peer);
    }
  }
}
