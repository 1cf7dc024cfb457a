/**
 * List, then watch: every change of a prefix exactly once and in order, over cuts, compaction and restored stores.
 *
 *     list → snapshot → stream from revision+1 → events … cut → away → is it the same store? → stream from the last event on
 *
 * Must stay true: only delivered events move the resume point (`next`). Neither the stream's creation (etcd3's watcher lost
 * 3000 of 3001 events that way) nor progress notifications (etcd before 3.4.25 sends them ahead of events) may. A slow consumer
 * is not read ahead of: the stream is pulled, so HTTP/2 flow control holds the rest back in etcd.
 */
import type { Duplex } from "node:stream";
import type { IEvent, IWatchResponse } from "etcd3";
import { FaultError, worldFault } from "#base/fault.ts";
import type { Entry, StoreNews } from "#ports/store.ts";
import type { EtcdClient, EtcdLink } from "./etcd-client.ts";
import { etcdFault } from "./etcd-fault.ts";
import { Backoff } from "./store-backoff.ts";

/** Where a store stands: a lower revision or term, or another cluster, is a restored store. */
export interface Position {
  readonly cluster: string;
  readonly term: bigint;
  readonly revision: bigint;
}

export interface WatchSource {
  readonly client: EtcdClient;
  readonly start: Buffer;
  readonly end: Buffer;
  list(): Promise<{ readonly entries: readonly Entry[]; readonly position: Position }>;
  /** A linearizable answer from any endpoint; it also logs in again after etcd has forgotten our token. */
  head(): Promise<Position>;
  news(event: IEvent): StoreNews;
}

type Step = { readonly kind: "open" } | { readonly kind: "gap" } | { readonly kind: "events"; readonly events: readonly IEvent[] };

const createdMillis = 10_000;
/** A stream that lived this long was a good one: the next failure starts with a short wait again. */
const goodMillis = 10_000;

export async function* watchEtcd(source: WatchSource, signal: AbortSignal): AsyncGenerator<StoreNews, void> {
  const backoff = new Backoff(50, 5_000);
  let seen: Position | undefined;
  let away = false,
    openedAt = 0;
  while (!signal.aborted) {
    let gap = false;
    try {
      const head = seen && (await source.head());
      if (seen && head && isSameStore(seen, head)) seen = { ...seen, term: head.term };
      else {
        const { entries, position } = await source.list();
        if (away) yield { kind: "back" };
        away = false;
        yield { kind: "snapshot", entries, revision: position.revision };
        seen = position;
      }
      for await (const step of readStream(source, seen, signal)) {
        if (step.kind === "gap") gap = true;
        if (step.kind === "open") openedAt = performance.now();
        if (away && step.kind === "open") yield { kind: "back" };
        away &&= step.kind !== "open";
        if (step.kind !== "events") continue;
        for (const event of step.events) yield source.news(event);
        seen = { ...seen, revision: BigInt(step.events.at(-1)!.kv.mod_revision) };
        backoff.reset();
      }
      if (gap) seen = undefined;
    } catch (cause) {
      if (signal.aborted || (cause instanceof FaultError && cause.fault.code === "store.closed")) return;
      if (!away) yield { kind: "away", text: etcdFault(cause, source.client.endpoint).message };
      away = true;
    }
    if (performance.now() - openedAt > goodMillis) backoff.reset();
    await backoff.pause(signal);
  }
}

function isSameStore(seen: Position, head: Position): boolean {
  return head.cluster === seen.cluster && head.term >= seen.term && head.revision >= seen.revision;
}

/** One raw stream from `seen.revision + 1` on. Ends after a gap; fails when the stream does. Events of one revision come in one step. */
async function* readStream(source: WatchSource, seen: Position, signal: AbortSignal): AsyncGenerator<Step, void> {
  const link = await source.client.link();
  const stream = await link.client.watchClient.watch();
  const messages = stream as unknown as Duplex & { cancel(): void };
  const stop = (): void => messages.cancel();
  let isLate = false;
  const late = setTimeout(() => {
    isLate = true;
    stop();
  }, createdMillis);
  // A cancelled stream still says so after nobody reads it any more.
  messages.on("error", () => undefined);
  signal.addEventListener("abort", stop, { once: true });
  link.streams.add(messages);
  try {
    if (signal.aborted) return;
    stream.write({ create_request: { key: source.start, range_end: source.end, start_revision: String(seen.revision + 1n), fragment: true } });
    let parts: IEvent[] = [];
    for await (const message of messages as AsyncIterable<IWatchResponse>) {
      if (message.canceled) {
        // Compacted past our resume point. etcd3 drops this field of the message in its own watcher.
        if (message.compact_revision !== "0") return yield { kind: "gap" };
        throw cancelFault(message, link);
      }
      if (isOther(message, seen)) return yield { kind: "gap" };
      if (message.created) {
        clearTimeout(late);
        yield { kind: "open" };
      }
      parts.push(...message.events.filter((event) => BigInt(event.kv.mod_revision) > seen.revision));
      if (message.fragment || parts.length === 0) continue;
      yield { kind: "events", events: parts };
      parts = [];
    }
    throw new FaultError(worldFault("store.unreachable", `etcd at ${link.endpoint} ended the watch`));
  } catch (cause) {
    if (isLate) throw new FaultError(worldFault("store.timeout", `etcd at ${link.endpoint} did not start the watch within ${createdMillis / 1000} s`), cause);
    throw etcdFault(cause, link.endpoint);
  } finally {
    clearTimeout(late);
    signal.removeEventListener("abort", stop);
    link.streams.delete(messages);
    messages.cancel();
  }
}

/** The stream reached another store than the one that was listed: other cluster, or back in time. */
function isOther(message: IWatchResponse, seen: Position): boolean {
  return message.header.cluster_id !== seen.cluster || (message.created && BigInt(message.header.revision) < seen.revision);
}

function cancelFault(message: IWatchResponse, link: EtcdLink): FaultError {
  const reason = message.cancel_reason.replace(/^etcdserver: /, "") || "no reason given";
  const denied = /auth|permission/.test(reason);
  return new FaultError(worldFault(denied ? "store.denied" : "store.unreachable", `etcd at ${link.endpoint} cancelled the watch: ${reason}`));
}
