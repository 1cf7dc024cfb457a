/**
 * Desired, actual, and what lies between them. Pure: it never touches what it describes. A change that failed is simply still
 * there at the next look, so nothing is undone by hand and no retry list exists.
 */
export interface DeltaRow<V> {
  readonly key: string;
  /** Undefined: there is none yet. */
  readonly before: V | undefined;
  /** Undefined: it is to go. */
  readonly after: V | undefined;
}

export class Delta<V> {
  #desired: ReadonlyMap<string, V> = new Map<string, V>();
  #actual = new Map<string, V>();
  readonly #same: (desired: V, actual: V) => boolean;

  /** `same`: the actual row needs no change to serve as the desired one. */
  constructor(same: (desired: V, actual: V) => boolean) {
    this.#same = same;
  }

  get desired(): ReadonlyMap<string, V> {
    return this.#desired;
  }
  get actual(): ReadonlyMap<string, V> {
    return this.#actual;
  }

  /** The whole of what should be; takes the map as it is, so it must not change afterwards. */
  want(all: ReadonlyMap<string, V>): void {
    this.#desired = all;
  }

  /** The whole of what is. Returns how many rows differ from what was believed: drift, when only we should have written. */
  saw(all: ReadonlyMap<string, V>): number {
    let drift = 0;
    for (const [key, value] of all) {
      const believed = this.#actual.get(key);
      if (believed === undefined || !this.#same(believed, value)) drift++;
    }
    for (const key of this.#actual.keys()) if (!all.has(key)) drift++;
    this.#actual = new Map(all);
    return drift;
  }

  /** A write was done: the row is now `value`, or gone. */
  did(key: string, value: V | undefined): void {
    if (value === undefined) this.#actual.delete(key);
    else this.#actual.set(key, value);
  }

  /** Rows to write, in the order of the desired map. */
  *toSet(): Generator<DeltaRow<V>> {
    for (const [key, after] of this.#desired) {
      const before = this.#actual.get(key);
      if (before === undefined || !this.#same(after, before)) yield { key, before, after };
    }
  }

  /** Rows nobody wants. */
  *toRemove(): Generator<DeltaRow<V>> {
    for (const [key, before] of this.#actual) if (!this.#desired.has(key)) yield { key, before, after: undefined };
  }

  /** True if the row is as it should be, or neither wanted nor there. */
  isSettled(key: string): boolean {
    const desired = this.#desired.get(key),
      actual = this.#actual.get(key);
    if (desired === undefined || actual === undefined) return desired === actual;
    return this.#same(desired, actual);
  }
}
