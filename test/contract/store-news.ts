/** Reads a watch in the background and keeps what a daemon would: the state so far, and whether anything came twice or late. */
import type { Entry, Store, StoreNews } from "#ports/store.ts";

const untilMillis = 20_000;

export interface NewsReader {
  readonly seen: readonly StoreNews[];
  readonly state: ReadonlyMap<string, Entry>;
  /** Events at or before a revision that was already delivered. */
  readonly repeated: number;
  /** Resolves when `fact` holds; rejects with what was seen when it does not in time. */
  until(fact: (reader: NewsReader) => boolean): Promise<void>;
  /** Takes no more news from the watch until `resume`. */
  pause(): void;
  resume(): void;
  /** Ends the watch; resolves when it has ended. */
  stop(): Promise<void>;
}

/** Resolves when the first snapshot has come; with `eager` at once. */
export async function readNews(store: Store, prefix: string, eager = false): Promise<NewsReader> {
  const reader = new Reader(store, prefix);
  if (!eager) await reader.until(({ seen }) => seen.some(({ kind }) => kind === "snapshot"));
  return reader;
}

class Reader implements NewsReader {
  readonly seen: StoreNews[] = [];
  readonly state = new Map<string, Entry>();
  repeated = 0;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #revision = 0n;
  #gate: PromiseWithResolvers<void> | undefined;
  #waiting: (() => void)[] = [];
  #ended = false;

  constructor(store: Store, prefix: string) {
    this.#done = this.#read(store, prefix).finally(() => (this.#ended = true));
    this.#done.catch(() => undefined);
  }

  async until(fact: (reader: NewsReader) => boolean): Promise<void> {
    const deadline = AbortSignal.timeout(untilMillis);
    while (!fact(this)) {
      await Promise.race([this.#done, new Promise<void>((resolve) => this.#waiting.push(resolve)), aborted(deadline)]);
      if (deadline.aborted || (this.#ended && !fact(this)))
        throw new Error(`not seen in time; state of ${this.state.size}, last news: ${this.seen.slice(-5).map(brief).join(", ")}`);
    }
  }

  pause(): void {
    this.#gate = Promise.withResolvers();
  }
  resume(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.resume();
    await this.#done;
  }

  async #read(store: Store, prefix: string): Promise<void> {
    for await (const news of store.watch(prefix, this.#stop.signal)) {
      this.#take(news);
      for (const wake of this.#waiting.splice(0)) wake();
      await this.#gate?.promise;
    }
  }

  #take(news: StoreNews): void {
    this.seen.push(news);
    if (news.kind === "snapshot") {
      this.state.clear();
      for (const entry of news.entries) this.state.set(entry.key, entry);
      this.#revision = news.revision;
    }
    if (news.kind === "put") {
      if (news.entry.modRevision < this.#revision || this.state.get(news.entry.key)?.modRevision === news.entry.modRevision) this.repeated++;
      this.#revision = news.entry.modRevision;
      this.state.set(news.entry.key, news.entry);
    }
    if (news.kind === "delete") {
      if (news.revision < this.#revision || !this.state.has(news.key)) this.repeated++;
      this.#revision = news.revision;
      this.state.delete(news.key);
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", () => resolve(), { once: true })));
}

function brief(news: StoreNews): string {
  return news.kind === "away" ? `away (${news.text})` : news.kind;
}
