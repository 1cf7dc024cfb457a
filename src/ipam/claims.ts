/**
 * What is known of one pool's claims, from the watch and from answers to our own writes, whichever is newer. An answer can
 * overtake the watch and the other way round; revisions decide.
 */
import type { Lease } from "#base/lease.ts";
import type { Note } from "#base/note.ts";
import type { Prefix } from "#base/prefix.ts";
import type { StoreEvent, StoredEntry } from "./exchange.ts";
import { parseFormer, parseFormerKey, parseLease, parseLeaseKey } from "./lease-record.ts";

export interface Claim {
  readonly key: string;
  readonly cidr: Prefix;
  /** Undefined: the key is there, so the CIDR is taken, but its value cannot be read. */
  readonly record: Lease | undefined;
  readonly modRevision: bigint;
  readonly lease: string | undefined;
}

/** Who had a CIDR last: nobody else may claim it while this stands. */
export interface Former {
  readonly key: string;
  readonly cidr: Prefix;
  /** Undefined: somebody, but the value cannot be read. */
  readonly node: string | undefined;
  readonly modRevision: bigint;
  readonly lease: string | undefined;
}

export class Claims {
  readonly #pool: string;
  readonly #byCidr = new Map<Prefix, Claim>();
  readonly #formers = new Map<Prefix, Former>();
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
  former(cidr: Prefix): Former | undefined {
    return this.#formers.get(cidr);
  }
  formers(): Iterable<Former> {
    return this.#formers.values();
  }

  /** Takes in an event of the watch on `leases/`; returns true if a claim of this pool has gone, or what kept its CIDR. */
  see(event: StoreEvent, notes: Note[]): boolean {
    if (event.kind === "snapshot") return this.#replaceAll(event.entries, event.revision, notes);
    if (event.kind === "put") {
      this.#seen = event.entry.modRevision;
      this.#put(event.entry, notes);
    }
    if (event.kind !== "delete") return false;
    this.#seen = event.revision;
    return this.#delete(event.key, event.revision);
  }

  /** Takes in what the store answered to a write of ours: the entry it holds under `key` at `revision`, or that it holds none. */
  learn(key: string, entry: StoredEntry | undefined, revision: bigint): void {
    if (this.#seen !== undefined && revision < this.#seen) return;
    if (entry) this.#put(entry, []);
    else this.#delete(key, revision);
  }

  #delete(key: string, revision: bigint): boolean {
    const known = this.#find(key);
    if (known) return known.modRevision <= revision && this.#byCidr.delete(known.cidr);
    const named = parseFormerKey(key),
      former = named?.pool === this.#pool ? this.#formers.get(named.cidr) : undefined;
    return former !== undefined && former.modRevision <= revision && this.#formers.delete(former.cidr);
  }

  #replaceAll(entries: readonly StoredEntry[], revision: bigint, notes: Note[]): boolean {
    const before = this.#byCidr.size,
      isRestored = this.#seen !== undefined && revision < this.#seen;
    for (const each of [this.#byCidr, this.#formers]) for (const [cidr, { modRevision }] of each) if (isRestored || modRevision <= revision) each.delete(cidr);
    for (const entry of entries) this.#put(entry, notes);
    this.#seen = revision;
    return this.#byCidr.size < before;
  }

  #put(entry: StoredEntry, notes: Note[]): void {
    const key = parseLeaseKey(entry.key);
    if (key === undefined) return this.#putFormer(entry);
    if (key.pool !== this.#pool) return;
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

  #putFormer(entry: StoredEntry): void {
    const key = parseFormerKey(entry.key);
    if (key?.pool !== this.#pool || (this.#formers.get(key.cidr)?.modRevision ?? 0n) >= entry.modRevision) return;
    const { modRevision, lease } = entry;
    this.#formers.set(key.cidr, { key: entry.key, cidr: key.cidr, node: parseFormer(entry), modRevision, lease });
  }

  #find(key: string): Claim | undefined {
    const parsed = parseLeaseKey(key);
    return parsed?.pool === this.#pool ? this.#byCidr.get(parsed.cidr) : undefined;
  }
}
