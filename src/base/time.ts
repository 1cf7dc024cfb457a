/** Time as values. Machines never read a clock: *now* is an argument, a number of milliseconds on a monotonic clock. */
declare const instant: unique symbol;
declare const unitS: unique symbol;
declare const unitMs: unique symbol;

/** Milliseconds since some fixed point of a clock that never steps (boot time, counting suspend, in the product). */
export type Instant = number & { readonly [instant]: true };
export type Seconds = number & { readonly [unitS]: true };
export type Millis = number & { readonly [unitMs]: true };

export const seconds = (value: number): Seconds => value as Seconds;
export const millis = (value: number): Millis => value as Millis;
export const toMillis = (value: Seconds): Millis => (value * 1000) as Millis;
export const after = (now: Instant, wait: Millis): Instant => (now + wait) as Instant;

/** Named deadlines of one machine: a slot is armed, re-armed or disarmed; the driver sleeps to the nearest. */
export class Deadlines<Name extends string> {
  readonly #slots = new Map<Name, Instant>();

  arm(name: Name, at: Instant): void {
    this.#slots.set(name, at);
  }
  disarm(name: Name): void {
    this.#slots.delete(name);
  }
  at(name: Name): Instant | undefined {
    return this.#slots.get(name);
  }
  clear(): void {
    this.#slots.clear();
  }

  /** The earliest deadline of all slots. */
  nearest(): Instant | undefined {
    let least: Instant | undefined;
    for (const at of this.#slots.values()) if (least === undefined || at < least) least = at;
    return least;
  }

  /** Takes out one slot that is due, the earliest first. Ties: the slot armed first, and arming again keeps its place. */
  due(now: Instant): Name | undefined {
    let found: Name | undefined,
      least = Infinity;
    for (const [name, at] of this.#slots) if (at <= now && at < least) [found, least] = [name, at];
    if (found !== undefined) this.#slots.delete(found);
    return found;
  }
}

/** The earlier of two deadlines, where none is later than any. */
export function sooner(a: Instant | undefined, b: Instant | undefined): Instant | undefined {
  if (a === undefined) return b;
  return b === undefined || a < b ? a : b;
}
