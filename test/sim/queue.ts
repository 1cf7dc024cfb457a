/** What will happen when, on a virtual clock: earliest first, and in the order asked for among equals. */
export class EventQueue<T> {
  readonly #heap: { readonly at: number; readonly turn: number; readonly event: T }[] = [];
  #turn = 0;

  /** When the next event is; Infinity if there is none. */
  get nextAt(): number {
    return this.#heap[0]?.at ?? Infinity;
  }

  push(at: number, event: T): void {
    const heap = this.#heap;
    let child = heap.push({ at, turn: this.#turn++, event }) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!this.#before(child, parent)) break;
      this.#swap(child, parent);
      child = parent;
    }
  }

  pop(): { readonly at: number; readonly event: T } | undefined {
    const heap = this.#heap;
    if (heap.length === 0) return undefined;
    this.#swap(0, heap.length - 1);
    const top = heap.pop();
    let parent = 0;
    for (;;) {
      let least = 2 * parent + 1;
      if (least >= heap.length) return top;
      if (least + 1 < heap.length && this.#before(least + 1, least)) least++;
      if (this.#before(parent, least)) return top;
      this.#swap(parent, least);
      parent = least;
    }
  }

  #before(a: number, b: number): boolean {
    const x = this.#heap[a]!,
      y = this.#heap[b]!;
    return x.at < y.at || (x.at === y.at && x.turn < y.turn);
  }
  #swap(a: number, b: number): void {
    [this.#heap[a], this.#heap[b]] = [this.#heap[b]!, this.#heap[a]!];
  }
}
