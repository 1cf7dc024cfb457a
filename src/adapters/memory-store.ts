/**
 * The embedded store: the Store port in this process's memory, for one machine, journalled when given a directory.
 *
 * Operations run one after another. With a journal they run in batches: all of a batch change the state, one write and one sync
 * put them on the disk, then their callers and the watchers are told. If the write fails the batch is taken back, so that
 * nobody, readers included, ever sees what the disk does not hold.
 */
import { join } from "node:path";
import type { Clock } from "#ports/clock.ts";
import type { Compare, Entry, Store, StoreNews, SwapResult, Write } from "#ports/store.ts";
import { LineJournal } from "./line-journal.ts";
import { DirectoryLock } from "./directory-lock.ts";
import { MemoryState, type StateImage, type Transaction } from "./memory-state.ts";
import { Backoff } from "./store-backoff.ts";
import { checkTtl, checkWrites, storeClosed } from "./store-limits.ts";

const memoryLimits = {
  /** Transactions kept for watchers; one that lags further behind is given a snapshot. */
  history: 4096,
  batch: 256,
  retryMillis: 1_000,
  /** The longest a Node timer can wait. */
  timerMillis: 2 ** 31 - 1,
} as const;

const locked = { file: "store.lock", code: "store", user: "the embedded store", place: "the embedded store in" } as const;

const owner = { name: "the embedded store", code: "store" } as const;

export interface MemoryStore extends Store {
  /** Forgets past changes, as etcd's compaction does: watchers that lag behind get a snapshot. */
  compact(): void;
  /** Ends the leases that are due by the clock. The store's own timer does it in the product; a virtual clock's owner calls it. */
  expire(): Promise<void>;
}

/**
 * Opens the store. Without `directory` (made if only it is missing) nothing is kept. Leases count by `clock`, and anew from full when the store opens.
 * Rejects with a sentence if another process holds the directory or its journal is damaged.
 */
export async function createMemoryStore(options: { readonly clock: Clock; readonly directory?: string }): Promise<MemoryStore> {
  const state = new MemoryState();
  if (options.directory === undefined) return new EmbeddedStore(state, options.clock, undefined);
  const lock = await DirectoryLock.take(options.directory, locked);
  try {
    const { journal, content } = await LineJournal.open<StateImage, Transaction>(join(options.directory, "store.journal"), owner, state.image());
    if (content.image) state.load(content.image);
    for (const transaction of content.steps) state.apply(transaction);
    return new EmbeddedStore(state, options.clock, { journal, lock });
  } catch (cause) {
    await lock.release();
    throw cause;
  }
}

interface Job {
  run(): unknown;
  resolve(value: unknown): void;
  reject(cause: unknown): void;
}

class EmbeddedStore implements MemoryStore {
  readonly #state: MemoryState;
  readonly #clock: Clock;
  readonly #disk: { readonly journal: LineJournal<StateImage, Transaction>; readonly lock: DirectoryLock } | undefined;
  /** Lease → instant it ends, in milliseconds of the clock. */
  readonly #ends = new Map<string, number>();
  #jobs: Job[] = [];
  #isDraining = false;
  #drained: Promise<void> = Promise.resolve();
  #batch: { readonly transaction: Transaction; readonly undo: () => void }[] = [];
  #history: { readonly revision: bigint; readonly news: readonly StoreNews[] }[] = [];
  /** Changes up to this revision are not in the history. */
  #forgotten: bigint;
  #published: bigint;
  readonly #waiting = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(state: MemoryState, clock: Clock, disk: { readonly journal: LineJournal<StateImage, Transaction>; readonly lock: DirectoryLock } | undefined) {
    this.#state = state;
    this.#clock = clock;
    this.#disk = disk;
    this.#forgotten = this.#published = state.revision;
    for (const [id, ttl] of state.leases) this.#ends.set(id, clock.now() + ttl * 1000);
    this.#schedule();
  }

  async *watch(prefix: string, signal: AbortSignal): AsyncGenerator<StoreNews, void> {
    const backoff = new Backoff(50, 5_000);
    let next: bigint | undefined,
      isAway = false;
    while (!signal.aborted && !this.#closed) {
      if (next === undefined || next <= this.#forgotten) {
        const listed = await this.list(prefix).catch((cause: Error) => cause);
        if (listed instanceof Error) {
          if (!isAway) yield { kind: "away", text: listed.message };
          isAway = true;
          await backoff.pause(signal);
          continue;
        }
        if (isAway) yield { kind: "back" };
        isAway = false;
        next = listed.revision + 1n;
        yield { kind: "snapshot", ...listed };
      } else if (next <= this.#published) {
        const step = this.#history.find(({ revision }) => revision >= next!);
        next = (step?.revision ?? this.#published) + 1n;
        for (const each of step?.news ?? []) if (keyOf(each).startsWith(prefix) && !signal.aborted) yield each;
      } else await this.#changed(signal);
    }
  }

  list(prefix: string): Promise<{ readonly entries: readonly Entry[]; readonly revision: bigint }> {
    return this.#enqueue(() => ({ entries: this.#state.list(prefix), revision: this.#state.revision }));
  }

  get(key: string): Promise<Entry | undefined> {
    return this.#enqueue(() => this.#state.get(key));
  }

  create(key: string, value: Uint8Array, lease?: string): Promise<SwapResult> {
    return this.#swap({ key, is: "absent" }, { kind: "put", key, value, ...(lease !== undefined && { lease }) });
  }

  replace(key: string, value: Uint8Array, modRevision: bigint, lease?: string): Promise<SwapResult> {
    return this.#swap({ key, is: "at", modRevision }, { kind: "put", key, value, ...(lease !== undefined && { lease }) });
  }

  remove(key: string, modRevision: bigint): Promise<SwapResult> {
    return this.#swap({ key, is: "at", modRevision }, { kind: "delete", key });
  }

  transact(compares: readonly Compare[], writes: readonly Write[]): Promise<{ readonly done: boolean; readonly revision: bigint }> {
    return this.#enqueue(() => {
      checkWrites(compares, writes);
      const done = compares.every((compare) => this.#state.holds(compare));
      if (done) this.#apply(this.#state.plan(writes));
      return { done, revision: this.#state.revision };
    });
  }

  grant(ttlSeconds: number): Promise<{ readonly id: string; readonly ttlSeconds: number }> {
    return this.#enqueue(() => {
      checkTtl(ttlSeconds);
      const transaction = this.#state.planGrant(ttlSeconds);
      this.#apply(transaction);
      const id = (transaction.changes[0] as { readonly grant: string }).grant;
      this.#ends.set(id, this.#clock.now() + ttlSeconds * 1000);
      return { id, ttlSeconds };
    });
  }

  keepAlive(lease: string): Promise<{ readonly ttlSeconds: number }> {
    return this.#enqueue(() => {
      const ttlSeconds = this.#state.leases.get(lease) ?? 0;
      if (ttlSeconds > 0) this.#ends.set(lease, this.#clock.now() + ttlSeconds * 1000);
      return { ttlSeconds };
    });
  }

  revoke(lease: string): Promise<void> {
    return this.#enqueue(() => {
      if (this.#state.leases.has(lease)) this.#apply(this.#state.planEnd(lease));
    });
  }

  compact(): void {
    this.#forgotten = this.#published;
    this.#history = [];
  }

  expire(): Promise<void> {
    return this.#enqueue(() => undefined);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#drained;
    this.#wake();
    await this.#disk?.journal.close();
    await this.#disk?.lock.release();
  }

  #swap(compare: Compare, write: Write): Promise<SwapResult> {
    return this.#enqueue(() => {
      checkWrites([compare], [write]);
      const done = this.#state.holds(compare);
      const current = done ? undefined : this.#state.get(write.key);
      if (done) this.#apply(this.#state.plan([write]));
      return { done, current, revision: this.#state.revision };
    });
  }

  #enqueue<T>(run: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(storeClosed());
    return new Promise<T>((resolve, reject) => {
      this.#jobs.push({ run, resolve: resolve as (value: unknown) => void, reject });
      if (!this.#isDraining) this.#drained = this.#drain();
    });
  }

  async #drain(): Promise<void> {
    this.#isDraining = true;
    while (this.#jobs.length > 0) {
      const settle: (() => void)[] = [];
      const jobs = this.#jobs.splice(0, memoryLimits.batch);
      this.#endDue();
      for (const job of jobs) {
        try {
          const value = job.run();
          settle.push(() => job.resolve(value));
        } catch (cause) {
          settle.push(() => job.reject(cause));
        }
      }
      const fault = await this.#keep();
      if (fault) for (const job of jobs) job.reject(fault);
      else for (const tell of settle) tell();
      this.#schedule();
    }
    this.#isDraining = false;
  }

  /** Puts the batch on the disk and tells the watchers, or takes it back and returns why. */
  async #keep(): Promise<unknown> {
    const batch = this.#batch;
    this.#batch = [];
    if (batch.length === 0) return undefined;
    try {
      if (this.#disk) await this.#disk.journal.append(batch.map(({ transaction }) => transaction));
    } catch (cause) {
      for (const { undo } of batch.reverse()) undo();
      return cause;
    }
    for (const { transaction } of batch) {
      const news = this.#state.news(transaction);
      if (news.length > 0) this.#history.push({ revision: BigInt(transaction.revision), news });
    }
    this.#published = this.#state.revision;
    if (this.#history.length > memoryLimits.history * 2)
      this.#forgotten = this.#history.splice(0, this.#history.length - memoryLimits.history).at(-1)!.revision;
    this.#wake();
    // A journal that cannot be made short stays long: the next batch tries again.
    if (this.#disk?.journal.isLong) await this.#disk.journal.rewrite(this.#state.image()).catch(() => undefined);
    return undefined;
  }

  #apply(transaction: Transaction | undefined): void {
    if (transaction) this.#batch.push({ transaction, undo: this.#state.apply(transaction) });
  }

  #endDue(): void {
    const now = this.#clock.now();
    for (const [id, end] of this.#ends) {
      if (end <= now && this.#state.leases.has(id)) this.#apply(this.#state.planEnd(id));
    }
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    for (const id of this.#ends.keys()) if (!this.#state.leases.has(id)) this.#ends.delete(id);
    if (this.#closed || this.#ends.size === 0) return;
    const wait = Math.min(...this.#ends.values()) - this.#clock.now();
    // An end that is overdue could not be written down: trying again at once would spin.
    const millis = wait <= 0 ? memoryLimits.retryMillis : Math.min(wait, memoryLimits.timerMillis);
    this.#timer = setTimeout(() => void this.expire().catch(() => undefined), millis).unref();
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}

function keyOf(news: StoreNews): string {
  if (news.kind === "put") return news.entry.key;
  return news.kind === "delete" ? news.key : "";
}
