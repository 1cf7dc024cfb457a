/**
 * What is known of one pool's claims, from the watch and from answers to our own writes, whichever is newer. An answer can
 * overtake the watch and the other way round; revisions decide.
 */
import type { Lease } from "#base/lease.ts";
import type { Note } from "#base/note.ts";
import type { Prefix } from "#base/prefix.ts";
import type { StoreEvent, StoredEntry } from "./exchange.ts";
import { parseLease, parseLeaseKey } from "./lease-record.ts";

export interface Claim {
  readonly key: string;
  readonly cidr: Prefix;
  /** Undefined: the key is there, so the CIDR is taken, but its value cannot be read. */
  readonly record: Lease | undefined;
  readonly modRevision: bigint;
  readonly lease: string | undefined;
}

export class Claims {
  readonly #pool: string;
  readonly #byCidr = new Map<Prefix, Claim>();
  /** Everything up to this revision has been seen by the watch. */
  #seen: bigint | undefined;

  constructor(pool: string) {
    this.#pool = pool;
  }

  get isSynced(): boolean {
    return this.#seen !== undefined;
  }
  get(cidr: Prefix): Claim | undefined {
    return this.#byCidr.get(cidr);
  }
  all(): Iterable<Claim> {
    return this.#byCidr.values();
  }

  /** Takes in an event of the watch on `leases/`; returns true if a claim of this pool has gone. */
  see(event: StoreEvent, notes: Note[]): boolean {
    if (event.kind === "snapshot") return this.#replaceAll(event.entries, event.revision, notes);
    if (event.kind === "put") {
      this.#seen = event.entry.modRevision;
      this.#put(event.entry, notes);
    }
    if (event.kind !== "delete") return false;
    this.#seen = event.revision;
    const known = this.#find(event.key);
    if (!known || known.modRevision > event.revision) return false;
    return this.#byCidr.delete(known.cidr);
  }

  /** Takes in what the store answered to a write of ours: the entry it holds under `key` at `revision`, or that it holds none. */
  learn(key: string, entry: StoredEntry | undefined, revision: bigint): void {
    const known = this.#find(key);
    if (this.#seen !== undefined && revision < this.#seen) return;
    if (entry) this.#put(entry, []);
    else if (known && known.modRevision <= revision) this.#byCidr.delete(known.cidr);
  }

  #replaceAll(entries: readonly StoredEntry[], revision: bigint, notes: Note[]): boolean {
    const before = this.#byCidr.size,
      isRestored = this.#seen !== undefined && revision < this.#seen;
    for (const [cidr, claim] of this.#byCidr) if (isRestored || claim.modRevision <= revision) this.#byCidr.delete(cidr);
    for (const entry of entries) this.#put(entry, notes);
    this.#seen = revision;
    return this.#byCidr.size < before;
  }

  #put(entry: StoredEntry, notes: Note[]): void {
    const key = parseLeaseKey(entry.key);
    if (key?.pool !== this.#pool) return;
    const known = this.#byCidr.get(key.cidr);
    if (known && known.modRevision >= entry.modRevision) return;
    const parsed = parseLease(entry);
    if (!parsed.ok) notes.push(parsed.fault);
    this.#byCidr.set(key.cidr, {
      key: entry.key,
      cidr: key.cidr,
      record: parsed.ok ? parsed.value : undefined,
      modRevision: entry.modRevision,
      lease: entry.lease,
    });
  }

  #find(key: string): Claim | undefined {
    const parsed = parseLeaseKey(key);
    return parsed?.pool === this.#pool ? this.#byCidr.get(parsed.cidr) : undefined;
  }
}
