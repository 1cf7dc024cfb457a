/**
 * What passes between the machines of this room and a store: events in, requests out, answers in. The shapes of keys and events
 * are those of the Store port, so that a driver hands them through as they are.
 */
import type { Note } from "#base/note.ts";

export interface StoredEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly lease: string | undefined;
}

export type StoreEvent =
  | { readonly kind: "snapshot"; readonly entries: readonly StoredEntry[]; readonly revision: bigint }
  | { readonly kind: "put"; readonly entry: StoredEntry }
  | { readonly kind: "delete"; readonly key: string; readonly revision: bigint }
  | { readonly kind: "away"; readonly text: string }
  | { readonly kind: "back" };

/** Each is answered exactly once, by its number. */
export type StoreRequest =
  | { readonly kind: "grant"; readonly request: number; readonly ttlSeconds: number }
  | { readonly kind: "keepAlive"; readonly request: number; readonly lease: string }
  | { readonly kind: "create"; readonly request: number; readonly key: string; readonly value: Uint8Array; readonly lease: string | undefined }
  | {
      readonly kind: "replace";
      readonly request: number;
      readonly key: string;
      readonly value: Uint8Array;
      readonly modRevision: bigint;
      readonly lease: string | undefined;
    }
  | { readonly kind: "remove"; readonly request: number; readonly key: string; readonly modRevision: bigint };

/** A request before it has its number. */
export type NewRequest = Distribute<StoreRequest>;
type Distribute<T> = T extends unknown ? Omit<T, "request"> : never;

export type StoreAnswer =
  | { readonly kind: "granted"; readonly request: number; readonly lease: string; readonly ttlSeconds: number }
  /** `ttlSeconds` 0: the store holds no such lease any more. */
  | { readonly kind: "alive"; readonly request: number; readonly ttlSeconds: number }
  /** To create, replace and remove: `current` is the entry as it is when the compare failed. */
  | { readonly kind: "swapped"; readonly request: number; readonly done: boolean; readonly current: StoredEntry | undefined; readonly revision: bigint }
  /** The store could not answer; a write may or may not have happened. `code` is the fault's (`store.lease-gone`: the lease it names has ended). */
  | { readonly kind: "failed"; readonly request: number; readonly code: string; readonly text: string };

export type StoreOutput = StoreRequest | { readonly kind: "note"; readonly note: Note };

/** Waits before another try, in milliseconds: doubling from 1 s to 30 s, spread by `seed` so that nodes do not return in step. */
export function retryMillis(attempt: number, seed: number): number {
  const step = Math.min(1000 * 2 ** Math.min(attempt, 5), 30_000);
  return step * (0.5 + ((seed >>> (attempt % 16)) & 0xff) / 512);
}

/** FNV-1a over the code units of `text`: the same on every node and at every start. */
export function hashText(text: string, basis = 0x811c9dc5): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  // A last mix, since FNV's high bits hardly depend on the last characters (n1, n2, ...).
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The sentence for the second machine of one name. */
export function nameTaken(node: string, identity: string): string {
  return `node name ${node} is in use by another machine (identity ${identity}); stop that one, or give this one another name`;
}
