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
  /** Keys of what differs, kept up, so that a pass costs what is to be done and not what there is. */
  readonly #toSet = new Set<string>();
  readonly #toRemove = new Set<string>();
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
  /** How many rows `toSet` and `toRemove` would give. */
  get counts(): { readonly toSet: number; readonly toRemove: number } {
    return { toSet: this.#toSet.size, toRemove: this.#toRemove.size };
  }

  /** The whole of what should be; takes the map as it is, so it must not change afterwards. */
  want(all: ReadonlyMap<string, V>): void {
    if (all === this.#desired) return;
    this.#desired = all;
    this.#compare();
  }

  /** The whole of what is. Returns how many rows differ from what was believed: drift, when only we should have written. */
  saw(all: ReadonlyMap<string, V>): number {
    let drift = 0,
      held = 0;
    for (const [key, value] of all) {
      const believed = this.#actual.get(key);
      if (believed !== undefined) held++;
      if (believed === undefined || !this.#same(believed, value)) drift++;
    }
    drift += this.#actual.size - held;
    this.#actual = new Map(all);
    this.#compare();
    return drift;
  }

  /** A write was done: the row is now `value`, or gone. */
  did(key: string, value: V | undefined): void {
    if (value === undefined) this.#actual.delete(key);
    else this.#actual.set(key, value);
    this.#toSet.delete(key);
    this.#toRemove.delete(key);
    if (this.isSettled(key)) return;
    if (this.#desired.has(key)) this.#toSet.add(key);
    else this.#toRemove.add(key);
  }

  /** Rows to write, in the order of the desired map. */
  *toSet(): Generator<DeltaRow<V>> {
    for (const key of this.#toSet) yield { key, before: this.#actual.get(key), after: this.#desired.get(key)! };
  }

  /** Rows nobody wants. */
  *toRemove(): Generator<DeltaRow<V>> {
    for (const key of this.#toRemove) yield { key, before: this.#actual.get(key), after: undefined };
  }

  /** True if the row is as it should be, or neither wanted nor there. */
  isSettled(key: string): boolean {
    const desired = this.#desired.get(key),
      actual = this.#actual.get(key);
    if (desired === undefined || actual === undefined) return desired === actual;
    return desired === actual || this.#same(desired, actual);
  }

  #compare(): void {
    this.#toSet.clear();
    this.#toRemove.clear();
    let held = 0;
    for (const [key, after] of this.#desired) {
      const before = this.#actual.get(key);
      if (before !== undefined) held++;
      if (before !== after && (before === undefined || !this.#same(after, before))) this.#toSet.add(key);
    }
    // Every actual row is wanted: nothing to look for.
    if (held === this.#actual.size) return;
    for (const key of this.#actual.keys()) if (!this.#desired.has(key)) this.#toRemove.add(key);
  }
}
