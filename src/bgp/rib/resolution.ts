/**
 * Takes what changed about next hops to the prefixes whose paths have them, some rows of the Adj-RIBs-In at a time. What changes
 * during a walk begins another after it.
 */
import type { Ip } from "#base/ip.ts";
import type { LocRib } from "./loc-rib.ts";
import type { NextHops } from "./next-hops.ts";

const rowsPerStep = 32_768;

export class Resolution {
  readonly #ribs: readonly LocRib[];
  readonly #hops: NextHops;
  /** What came while a walk was under way. */
  #next: ReadonlyMap<Ip, number> | undefined;
  #family = 0;
  #at = 0;
  #isWalking = false;

  constructor(ribs: readonly LocRib[], hops: NextHops) {
    this.#ribs = ribs;
    this.#hops = hops;
  }

  get isIdle(): boolean {
    return !this.#isWalking;
  }

  resolve(costs: ReadonlyMap<Ip, number>): void {
    if (this.#isWalking) this.#next = new Map([...(this.#next ?? []), ...costs]);
    else this.#begin(costs);
  }

  step(): void {
    if (!this.#isWalking) return;
    const rib = this.#ribs[this.#family]!,
      table = rib.adjRibIn,
      end = Math.min(table.end, this.#at + rowsPerStep);
    for (let path = this.#at; path < end; path++) if (table.isUsed(path) && this.#hops.isStale(table.attributes[path]!)) rib.reconsider(table.prefix[path]!);
    this.#at = end;
    if (end < table.end) return;
    this.#at = 0;
    if (++this.#family < this.#ribs.length) return;
    this.#isWalking = false;
    this.#hops.settled();
    if (this.#next) this.#begin(this.#next);
  }

  #begin(costs: ReadonlyMap<Ip, number>): void {
    this.#next = undefined;
    this.#family = 0;
    this.#isWalking = this.#hops.resolve(costs);
  }
}
