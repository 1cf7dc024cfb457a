/**
 * Peers that are not where their update group is: new ones that must first be told everything, and stragglers split off
 * because they stopped reading. Both are described relative to what the group has been told (the group's Adj-RIB-Out), so
 * neither costs a table of its own. A hot file; twin: test/bgp/twins.ts.
 *
 * A catch-up has walked the group's table up to `#walked` (a straggler: to the end) and owes the prefixes the group changed
 * behind that point, each with what its members were told before. When nothing is owed and the walk is done, its members
 * know exactly what the group was told, and join it.
 */
import type { AttributeTable } from "../rib/attributes.ts";
import { PrefixQueue } from "../rib/queue.ts";
import { Lane } from "./lane.ts";
import type { Told } from "./told.ts";
import { type Window, windowPrefixes } from "./window.ts";

const whole = Number.MAX_SAFE_INTEGER;
const sources = 0x1_0000;

export class CatchUp {
  readonly lane = new Lane();
  readonly members = new Set<number>();
  readonly #told: Told;
  readonly #attributes: AttributeTable;
  #walked: number;
  #begun = false;
  readonly #owed = new PrefixQueue();
  readonly #before = new Map<number, number>(); // prefix → set × 65536 + source, where the members had been told something

  /** `fromStart`: members know nothing yet; otherwise they know what the group was told. */
  constructor(told: Told, attributes: AttributeTable, fromStart: boolean) {
    this.#told = told;
    this.#attributes = attributes;
    this.#walked = fromStart ? 0 : whole;
  }

  /** True while a further new peer may still come along without missing anything. */
  get isOpen(): boolean {
    return !this.#begun && this.#walked === 0;
  }
  get isDone(): boolean {
    return this.#walked === whole && this.#owed.size === 0;
  }
  holds(prefix: number): boolean {
    return this.#owed.has(prefix);
  }

  /** The group is about to tell something new about `prefix`; its members had been told `set` from `source` (0: nothing). */
  note(prefix: number, set: number, source: number): void {
    if (prefix >= this.#walked || !this.#owed.push(prefix) || set === 0) return;
    this.#attributes.retain(set);
    this.#before.set(prefix, set * sources + source);
  }

  /** Moves up to a window's worth of what is owed into the window. Answers how many prefixes were looked at; `forget` is told of those no longer needed. */
  fill(window: Window, end: number, forget: (prefix: number) => void): number {
    this.#begun = true;
    let looked = 0;
    for (; this.#walked < end && looked < windowPrefixes; this.#walked++, looked++) {
      const set = this.#told.setOf(this.#walked);
      if (set !== 0) window.announce(this.#walked, set, this.#told.sourceOf(this.#walked), false);
    }
    if (this.#walked >= end) this.#walked = whole;
    for (; looked < windowPrefixes && this.#owed.size > 0; looked++) this.#settle(this.#owed.shift(), window, forget);
    return looked;
  }

  /** A copy for one member that falls behind the others of this catch-up. */
  split(): CatchUp {
    const copy = new CatchUp(this.#told, this.#attributes, false);
    copy.#walked = this.#walked;
    copy.#begun = true;
    for (let left = this.#owed.size; left > 0; left--) {
      const prefix = this.#owed.shift();
      this.#owed.push(prefix);
      copy.#owed.push(prefix);
    }
    for (const [prefix, packed] of this.#before) {
      copy.#before.set(prefix, packed);
      this.#attributes.retain(Math.floor(packed / sources));
    }
    return copy;
  }

  /** Lets go of everything held. */
  close(forget: (prefix: number) => void): void {
    for (const packed of this.#before.values()) this.#attributes.release(Math.floor(packed / sources));
    this.#before.clear();
    while (this.#owed.size > 0) forget(this.#owed.shift());
  }

  #settle(prefix: number, window: Window, forget: (prefix: number) => void): void {
    const packed = this.#before.get(prefix) ?? 0;
    const before = Math.floor(packed / sources),
      from = packed % sources;
    const set = this.#told.setOf(prefix),
      source = this.#told.sourceOf(prefix);
    if (before !== 0) this.#before.delete(prefix);
    if (set !== 0 && (set !== before || source !== from)) window.announce(prefix, set, source, before !== 0 && from !== source);
    if (set === 0 && before !== 0) window.withdraw(prefix, from);
    if (before !== 0) this.#attributes.release(before);
    if (set === 0) forget(prefix);
  }
}
