/**
 * What the embedded store holds: keys with revisions, leases, and the last changes for watchers. Pure and synchronous; every
 * change is a value, so that it can be journalled, replayed and taken back.
 */
import { FaultError, callerFault } from "#base/fault.ts";
import type { Compare, Entry, StoreNews, Write } from "#ports/store.ts";
import { leaseGone } from "./store-limits.ts";

/** One step of a transaction as the journal holds it (values in base64). */
export type Change =
  | { readonly put: string; readonly value: string; readonly created: string; readonly lease?: string }
  | { readonly gone: string }
  | { readonly grant: string; readonly ttl: number }
  | { readonly end: string };

/** Changes that happened as one. Key changes all carry `revision`; one that only touches leases keeps the revision before it. */
export interface Transaction {
  readonly revision: string;
  readonly changes: readonly Change[];
}

export interface StateImage {
  readonly schema: 1;
  readonly revision: string;
  readonly nextLease: number;
  readonly entries: readonly { readonly key: string; readonly value: string; readonly created: string; readonly modified: string; readonly lease?: string }[];
  readonly leases: readonly { readonly id: string; readonly ttl: number }[];
}

export class MemoryState {
  readonly #entries = new Map<string, Entry>();
  /** Lease → seconds it was granted for. */
  readonly #leases = new Map<string, number>();
  #revision = 1n;
  #nextLease = 1;

  get revision(): bigint {
    return this.#revision;
  }
  get leases(): ReadonlyMap<string, number> {
    return this.#leases;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** Entries under `prefix`, by key in code-unit order. */
  list(prefix: string): readonly Entry[] {
    const found = [...this.#entries.values()].filter((entry) => entry.key.startsWith(prefix));
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  holds(compare: Compare): boolean {
    const entry = this.#entries.get(compare.key);
    return compare.is === "absent" ? entry === undefined : entry?.modRevision === compare.modRevision;
  }

  /** The transaction that `writes` make; undefined if they change nothing (deletes of what is not there). */
  plan(writes: readonly Write[]): Transaction | undefined {
    const changes: Change[] = [];
    const revision = String(this.#revision + 1n);
    for (const write of writes) {
      const before = this.#entries.get(write.key);
      if (write.kind === "delete") {
        if (before) changes.push({ gone: write.key });
        continue;
      }
      if (write.lease !== undefined && !this.#leases.has(write.lease)) throw leaseGone(write.lease);
      const value = Buffer.from(write.value).toString("base64");
      changes.push({
        put: write.key,
        value,
        created: before ? String(before.createRevision) : revision,
        ...(write.lease !== undefined && { lease: write.lease }),
      });
    }
    return changes.length === 0 ? undefined : { revision, changes };
  }

  planGrant(ttlSeconds: number): Transaction {
    return { revision: String(this.#revision), changes: [{ grant: String(this.#nextLease), ttl: ttlSeconds }] };
  }

  /** The end of a lease and of every key bound to it, at one revision. */
  planEnd(lease: string): Transaction {
    const bound = this.list("").filter((entry) => entry.lease === lease);
    const revision = this.#revision + (bound.length > 0 ? 1n : 0n);
    return { revision: String(revision), changes: [...bound.map((entry) => ({ gone: entry.key })), { end: lease }] };
  }

  /** Does it; returns what takes it back. */
  apply({ revision, changes }: Transaction): () => void {
    const revisionBefore = this.#revision,
      undo: (() => void)[] = [];
    this.#revision = BigInt(revision);
    for (const change of changes) undo.push(this.#applyOne(change));
    return () => {
      for (const back of undo.reverse()) back();
      this.#revision = revisionBefore;
    };
  }

  /** What watchers see of a transaction that was applied. */
  news({ revision, changes }: Transaction): StoreNews[] {
    return changes.flatMap((change): StoreNews[] => {
      if ("gone" in change) return [{ kind: "delete", key: change.gone, revision: BigInt(revision) }];
      return "put" in change ? [{ kind: "put", entry: toEntry(change, revision) }] : [];
    });
  }

  image(): StateImage {
    return {
      schema: 1,
      revision: String(this.#revision),
      nextLease: this.#nextLease,
      entries: this.list("").map((entry) => ({
        key: entry.key,
        value: Buffer.from(entry.value).toString("base64"),
        created: String(entry.createRevision),
        modified: String(entry.modRevision),
        ...(entry.lease !== undefined && { lease: entry.lease }),
      })),
      leases: Array.from(this.#leases, ([id, ttl]) => ({ id, ttl })),
    };
  }

  /** Fills an empty state. */
  load(image: StateImage): void {
    if (image.schema !== 1)
      throw new FaultError(callerFault("store.newer-journal", `the embedded store's journal has schema ${String(image.schema)}; start a newer podwayd`));
    this.#revision = BigInt(image.revision);
    this.#nextLease = image.nextLease;
    for (const { id, ttl } of image.leases) this.#leases.set(id, ttl);
    for (const { key, value, created, modified, lease } of image.entries)
      this.#entries.set(key, toEntry({ put: key, value, created, ...(lease !== undefined && { lease }) }, modified));
  }

  #applyOne(change: Change): () => void {
    if ("grant" in change) {
      const before = this.#nextLease;
      this.#leases.set(change.grant, change.ttl);
      this.#nextLease = Math.max(before, Number(change.grant) + 1);
      return () => {
        this.#leases.delete(change.grant);
        this.#nextLease = before;
      };
    }
    if ("end" in change) {
      const ttl = this.#leases.get(change.end);
      this.#leases.delete(change.end);
      return () => void (ttl !== undefined && this.#leases.set(change.end, ttl));
    }
    const key = "put" in change ? change.put : change.gone;
    const before = this.#entries.get(key);
    if ("put" in change) this.#entries.set(key, toEntry(change, String(this.#revision)));
    else this.#entries.delete(key);
    return () => void (before ? this.#entries.set(key, before) : this.#entries.delete(key));
  }
}

function toEntry(change: Extract<Change, { put: string }>, revision: string): Entry {
  return {
    key: change.put,
    value: Buffer.from(change.value, "base64"),
    createRevision: BigInt(change.created),
    modRevision: BigInt(revision),
    lease: change.lease,
  };
}
