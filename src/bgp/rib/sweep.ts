/**
 * Takes old paths of some peers, some rows at a time, out of a family's Adj-RIBs-In (a session that ended, a graceful restart
 * or a refresh that is over), or into the long-lived stale state.
 * One walk serves every peer that was asked for before it began; others wait for the next walk.
 *
 * Holds: what is asked for is a fact about paths ("older than this epoch"), not about the state of the peer, so that the peer
 * may come, go and tell new paths while the walk is under way. Later asks about a peer never name an earlier epoch.
 */
import type { LocRib } from "./loc-rib.ts";
import { isOlder, peerIds } from "./peer-table.ts";

const rowsPerStep = 32_768;
const nothing = -1;

export class Sweep {
  readonly #rib: LocRib;
  readonly #take: (path: number) => void;
  /** Peer → its paths older than this epoch are taken. */
  #next = new Map<number, number>();
  #now = new Map<number, number>();
  readonly #least = new Int32Array(peerIds).fill(nothing); // #now as a column
  #at = 0;

  /** `take`: what becomes of such a path; by default it is withdrawn. */
  constructor(rib: LocRib, take = (path: number): void => rib.withdrawPath(path)) {
    this.#rib = rib;
    this.#take = take;
  }

  get isIdle(): boolean {
    return this.#now.size === 0 && this.#next.size === 0;
  }
  isFor(peer: number): boolean {
    return this.#now.has(peer) || this.#next.has(peer);
  }

  ask(peer: number, olderThan: number): void {
    this.#next.set(peer, olderThan);
  }

  step(): void {
    if (this.#now.size === 0 && !this.#begin()) return;
    const table = this.#rib.adjRibIn,
      end = Math.min(table.end, this.#at + rowsPerStep),
      least = this.#least;
    for (let path = this.#at; path < end; path++) {
      const peer = table.peer[path]!;
      if (least[peer] !== nothing && table.isUsed(path) && isOlder(table.epoch[path]!, least[peer]!)) this.#take(path);
    }
    this.#at = end;
    if (end === table.end) this.#finish();
  }

  #begin(): boolean {
    if (this.#next.size === 0) return false;
    [this.#now, this.#next] = [this.#next, this.#now];
    for (const [peer, epoch] of this.#now) this.#least[peer] = epoch;
    this.#at = 0;
    return true;
  }
  #finish(): void {
    for (const peer of this.#now.keys()) this.#least[peer] = nothing;
    this.#now.clear();
  }
}
