/**
 * Peers that are not where their update group is: new ones that must first be told everything, those that asked for everything
 * again, and stragglers split off because they stopped reading. All are described relative to what the group has been told (the
 * group's Adj-RIB-Out), so none costs a table of its own. A hot file; twin: test/bgp/rib-model.ts.
 *
 * A catch-up has walked the group's table up to `#walked` (a straggler: to the end) and owes the prefixes the group changed
 * since its members learned of them, each with what they were told before. When nothing is owed and the walk is done, its
 * members know exactly what the group was told, and join it.
 *
 * What is called a prefix here is a path of one in a group that tells several (path-table.ts).
 */
import type { AttributeTable } from "../rib/attributes.ts";
import { peerOfLabel } from "../rib/peer-table.ts";
import { PrefixQueue } from "../rib/queue.ts";
import { Lane } from "./lane.ts";
import type { Told } from "./told.ts";
import { type Window, windowPrefixes } from "./window.ts";

const whole = Number.MAX_SAFE_INTEGER;
const labels = 0x1_0000;

/** `nothing`: new peers. `all`: they know what the group was told; with `again` they are to be told it once more. */
export type Knowledge = "nothing" | "all" | "again";

export class CatchUp {
  readonly lane = new Lane();
  readonly members = new Set<number>();
  readonly knowledge: Knowledge;
  readonly #told: Told;
  readonly #attributes: AttributeTable;
  #walked: number;
  #begun = false;
  readonly #owed = new PrefixQueue();
  readonly #before = new Map<number, number>(); // prefix → set × 65536 + label, where the members had been told something
  readonly #again = new Set<number>(); // owed, and to be told even if it is what they had been told

  constructor(told: Told, attributes: AttributeTable, knowledge: Knowledge) {
    this.#told = told;
    this.#attributes = attributes;
    this.knowledge = knowledge;
    this.#walked = knowledge === "all" ? whole : 0;
  }

  /** True while a further peer that knows as much may still come along without missing anything. */
  get isOpen(): boolean {
    return !this.#begun && this.#walked === 0 && this.#owed.size === 0;
  }
  get isDone(): boolean {
    return this.#walked === whole && this.#owed.size === 0;
  }
  holds(prefix: number): boolean {
    return this.#owed.has(prefix);
  }

  /** True if its members know of `prefix`, told by the routes of another than `peer`, once they have read what was written for them. */
  knows(prefix: number, peer: number): boolean {
    if (this.#owed.has(prefix)) {
      const packed = this.#before.get(prefix);
      return packed !== undefined && peerOfLabel(packed % labels) !== peer;
    }
    if (this.knowledge === "nothing" && prefix >= this.#walked) return false;
    return this.#told.setOf(prefix) !== 0 && this.#told.sourceOf(prefix) !== peer;
  }

  /** The group is about to tell something new about `prefix`; its members had been told `set` from `label` (0: nothing). */
  note(prefix: number, set: number, label: number): void {
    if ((this.knowledge === "nothing" && prefix >= this.#walked) || !this.#owed.push(prefix) || set === 0) return;
    this.#attributes.retain(set);
    this.#before.set(prefix, set * labels + label);
  }

  /** Moves up to a window's worth of what is owed into the window; `forget` is told of prefixes no longer needed. */
  fill(window: Window, end: number, forget: (prefix: number) => void): void {
    this.#begun = true;
    const told = this.#told;
    let looked = 0;
    for (; this.#walked < end && looked < windowPrefixes; this.#walked++, looked++) {
      const set = told.setOf(this.#walked);
      if (set === 0) continue;
      if (this.#owed.has(this.#walked)) this.#again.add(this.#walked);
      else window.announce(this.#walked, set, told.sourceOf(this.#walked), false);
    }
    if (this.#walked >= end) this.#walked = whole;
    for (; looked < windowPrefixes && this.#owed.size > 0; looked++) this.#settle(this.#owed.shift(), window, forget);
  }

  /** A copy for one member that falls behind the others of this catch-up. */
  split(): CatchUp {
    const copy = new CatchUp(this.#told, this.#attributes, this.knowledge);
    copy.#walked = this.#walked;
    copy.#begun = true;
    for (let left = this.#owed.size; left > 0; left--) {
      const prefix = this.#owed.shift();
      this.#owed.push(prefix);
      copy.#owed.push(prefix);
    }
    for (const [prefix, packed] of this.#before) {
      copy.#before.set(prefix, packed);
      this.#attributes.retain(Math.floor(packed / labels));
    }
    for (const prefix of this.#again) copy.#again.add(prefix);
    return copy;
  }

  /** Lets go of everything held. */
  close(forget: (prefix: number) => void): void {
    for (const packed of this.#before.values()) this.#attributes.release(Math.floor(packed / labels));
    this.#before.clear();
    while (this.#owed.size > 0) forget(this.#owed.shift());
  }

  #settle(prefix: number, window: Window, forget: (prefix: number) => void): void {
    const packed = this.#before.get(prefix) ?? 0,
      change = window.change;
    change.prefix = prefix;
    change.wasSet = Math.floor(packed / labels);
    change.wasFrom = packed % labels;
    change.set = this.#told.setOf(prefix);
    change.from = this.#told.labelOf(prefix);
    if (this.#again.size > 0 && this.#again.delete(prefix) && change.set !== 0) {
      const source = peerOfLabel(change.from);
      window.announce(prefix, change.set, source, change.wasSet !== 0 && source !== peerOfLabel(change.wasFrom));
    } else window.tell();
    if (change.wasSet !== 0) {
      this.#before.delete(prefix);
      this.#attributes.release(change.wasSet);
    }
    if (change.set === 0) forget(prefix);
  }
}
