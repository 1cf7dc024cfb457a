/** What the store holds under a prefix, kept up by its watch; every value is read once, when it comes. */
import type { Lease } from "#base/lease.ts";
import type { StoredEntry, StoreEvent } from "#ipam/exchange.ts";
import { parseLease, parsePresence } from "#ipam/lease-record.ts";

/** Entries under one prefix as the watch tells them. */
export class Mirror<T> {
  readonly entries = new Map<string, StoredEntry>();
  revision: bigint | undefined;
  /** What the readable ones of them say, by key. Each is read once. */
  readonly values = new Map<string, T>();
  readonly #read: (entry: StoredEntry) => T | undefined;

  constructor(read: (entry: StoredEntry) => T | undefined) {
    this.#read = read;
  }

  see(event: StoreEvent): void {
    if (event.kind === "snapshot") this.entries.clear();
    if (event.kind === "snapshot") this.values.clear();
    if (event.kind === "snapshot") for (const entry of event.entries) this.#put(entry);
    if (event.kind === "put") this.#put(event.entry);
    if (event.kind === "delete") this.entries.delete(event.key);
    if (event.kind === "delete") this.values.delete(event.key);
    if (event.kind === "put") this.revision = event.entry.modRevision;
    if (event.kind === "snapshot" || event.kind === "delete") this.revision = event.revision;
  }
  #put(entry: StoredEntry): void {
    const value = this.#read(entry);
    this.entries.set(entry.key, entry);
    if (value === undefined) this.values.delete(entry.key);
    else this.values.set(entry.key, value);
  }
  snapshot(): StoreEvent | undefined {
    return this.revision === undefined ? undefined : { kind: "snapshot", entries: [...this.entries.values()], revision: this.revision };
  }
}

/** The lease an entry under `leases/` holds, if it can be read. */
export function leaseOf(entry: StoredEntry): Lease | undefined {
  const parsed = parseLease(entry);
  return parsed.ok ? parsed.value : undefined;
}
/** The node whose daemon an entry under `nodes/` says is present. */
export function nodeOf(entry: StoredEntry): string | undefined {
  const parsed = parsePresence(entry);
  return parsed.ok ? parsed.value.node : undefined;
}
/** The leases among entries of an earlier time, by key. */
export function readable(entries: readonly StoredEntry[]): ReadonlyMap<string, Lease> {
  const mirror = new Mirror(leaseOf);
  mirror.see({ kind: "snapshot", entries, revision: 0n });
  return mirror.values;
}
