/**
 * The deadlines of many machines: which is due next, without asking each. A binary heap whose entries are left in place
 * when a machine's deadline moves later: they come up early once, find nothing due, and are put back where they belong.
 * So moving a deadline later costs nothing; thousands of hold timers are re-armed far more often than they are due.
 */
import type { Instant } from "./time.ts";

export class Agenda {
  /** Heap of (instant, key), least instant first. */
  readonly #at: number[] = [];
  readonly #key: number[] = [];
  /** Instant of the one valid entry of each key; other entries of the key are leftovers. */
  readonly #entry = new Map<number, number>();

  /** Machine `key` wants to be woken at `at`, or not at all. */
  set(key: number, at: Instant | undefined): void {
    if (at === undefined) return; // its entry, if any, comes up once for nothing
    const known = this.#entry.get(key);
    if (known !== undefined && known <= at) return;
    this.#entry.set(key, at);
    this.#push(at, key);
  }

  forget(key: number): void {
    this.#entry.delete(key);
  }

  /** The earliest instant at which `due` may find something; never later than the earliest deadline. */
  nearest(): Instant | undefined {
    this.#dropLeftovers();
    return this.#at[0] as Instant | undefined;
  }

  /** Takes out one key that may be due; the caller wakes the machine and calls `set` again. */
  due(now: Instant): number | undefined {
    this.#dropLeftovers();
    if (this.#at.length === 0 || this.#at[0]! > now) return undefined;
    const key = this.#key[0]!;
    this.#entry.delete(key);
    this.#pop();
    return key;
  }

  #dropLeftovers(): void {
    while (this.#at.length > 0 && this.#entry.get(this.#key[0]!) !== this.#at[0]) this.#pop();
  }

  #push(at: number, key: number): void {
    let child = this.#at.length;
    this.#at.push(at);
    this.#key.push(key);
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (this.#at[parent]! <= at) break;
      this.#swap(child, parent);
      child = parent;
    }
  }

  #pop(): void {
    const last = this.#at.length - 1;
    this.#swap(0, last);
    this.#at.pop();
    this.#key.pop();
    let parent = 0;
    for (;;) {
      let least = 2 * parent + 1;
      if (least >= last) return;
      if (least + 1 < last && this.#at[least + 1]! < this.#at[least]!) least++;
      if (this.#at[parent]! <= this.#at[least]!) return;
      this.#swap(parent, least);
      parent = least;
    }
  }

  #swap(a: number, b: number): void {
    const at = this.#at[a]!,
      key = this.#key[a]!;
    this.#at[a] = this.#at[b]!;
    this.#key[a] = this.#key[b]!;
    this.#at[b] = at;
    this.#key[b] = key;
  }
}
