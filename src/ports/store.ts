/**
 * The store as Podway needs it: ordered keys with revisions, compare-and-swap, leases, and a watch that never loses an event.
 * Keys are relative to the cluster's prefix (the adapter adds and strips it) and start without a slash: `leases/routed/10.42.7.0-24`.
 * Every method rejects with a FaultError (`store.unreachable`, `store.denied`, ...) when the store cannot answer; a rejected
 * write may or may not have happened, and callers find out by reading (that is what compare-and-swap is for).
 */
export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  /** Id of the lease the key is bound to; undefined if none. */
  readonly lease: string | undefined;
}

export type StoreNews =
  /** First, and again after any gap (compaction, restored store): everything under the prefix as of `revision`. */
  | { readonly kind: "snapshot"; readonly entries: readonly Entry[]; readonly revision: bigint }
  | { readonly kind: "put"; readonly entry: Entry }
  | { readonly kind: "delete"; readonly key: string; readonly revision: bigint }
  /** The stream was cut and is being resumed; state stays as it was. Followed by events, or by a snapshot. */
  | { readonly kind: "away"; readonly text: string }
  | { readonly kind: "back" };

export interface SwapResult {
  readonly done: boolean;
  /** The entry as it is now when the compare failed; undefined if the key does not exist. */
  readonly current: Entry | undefined;
  readonly revision: bigint;
}

export type Compare =
  | { readonly key: string; readonly is: "absent" }
  /** modRevision equals. */
  | { readonly key: string; readonly is: "at"; readonly modRevision: bigint };
export type Write =
  | { readonly kind: "put"; readonly key: string; readonly value: Uint8Array; readonly lease?: string }
  | { readonly kind: "delete"; readonly key: string };

export interface Store {
  /** List, then watch. Ends only by `signal`. Survives cuts and compaction without losing an event or showing one twice. */
  watch(prefix: string, signal: AbortSignal): AsyncIterable<StoreNews>;
  list(prefix: string): Promise<{ readonly entries: readonly Entry[]; readonly revision: bigint }>;
  get(key: string): Promise<Entry | undefined>;
  /** Compare-and-create: done only if the key did not exist. */
  create(key: string, value: Uint8Array, lease?: string): Promise<SwapResult>;
  /** Compare-and-swap on modRevision. */
  replace(key: string, value: Uint8Array, modRevision: bigint, lease?: string): Promise<SwapResult>;
  remove(key: string, modRevision: bigint): Promise<SwapResult>;
  /** All compares hold → all writes, else none. At most 128 operations. */
  transact(compares: readonly Compare[], writes: readonly Write[]): Promise<{ readonly done: boolean; readonly revision: bigint }>;
  /** A new store-side lease; returns its id. Nobody renews it but `keepAlive`. */
  grant(ttlSeconds: number): Promise<{ readonly id: string; readonly ttlSeconds: number }>;
  /** Renews once (writes nothing, wakes nobody). `ttlSeconds` 0: the lease is gone. */
  keepAlive(lease: string): Promise<{ readonly ttlSeconds: number }>;
  /** Ends a lease; its keys go with it. */
  revoke(lease: string): Promise<void>;
  close(): Promise<void>;
}
