/**
 * The machine that knows which life of the store this is. A store that is restored from a snapshot goes on from an older
 * revision as if nothing had happened: claims made since are missing, others stand again. One key, `leases/epoch`, counts the
 * lives and names each by a random nonce; whoever remembers more than the store holds raises it.
 *
 *     in sync → same nonce, and nothing older than what was seen → that epoch
 *             → went back, or emptied → settling key (for a while) → epoch raised → claims are put back, new ones wait
 *
 * Must stay true: a claim's fence is (epoch, revision), so that claims of two lives of the store have an order; while the
 * settling key stands nobody makes a new claim, so that those who hold CIDRs put theirs back first.
 */
import { note } from "#base/note.ts";
import { Deadlines, type Instant, after, millis } from "#base/time.ts";
import {
  type NewRequest,
  type StoreAnswer,
  type StoreEvent,
  type StoreOutput,
  type StoreRequest,
  type StoredEntry,
  hashText,
  retryMillis,
} from "./exchange.ts";
import { type EpochRecord, encodeEpoch, epochKey, parseEpoch, settlingKey } from "./lease-record.ts";

/** What a daemon of this node wrote down of the store. */
export interface RememberedStore extends EpochRecord {
  /** The highest revision that was seen. */
  readonly revision: bigint;
  readonly entries: readonly StoredEntry[];
}
/** `number`: which life of the store; new claims wait until it is settled. */
export interface StoreEpoch {
  readonly number: number;
  readonly isSettled: boolean;
}

export interface EpochTerms {
  readonly node: string;
  /** Random; names the epoch if this machine begins one. */
  readonly nonce: string;
  /** How long holders have to put their claims back. */
  readonly settleSeconds: number;
}

export class EpochMachine {
  readonly #terms: EpochTerms;
  readonly #seed: number;
  readonly #deadlines = new Deadlines<"retry">();
  #out: StoreOutput[] = [];
  /** The epoch this node goes by; undefined before the first one. */
  #known: EpochRecord | undefined;
  #revision: bigint;
  /** Revisions of the keys that were seen. */
  readonly #seen = new Map<string, bigint>();
  #isSynced = false;
  /** The store holds less than is known. */
  #isBehind = false;
  #entry: StoredEntry | undefined;
  #settling: StoredEntry | undefined;
  #lease: string | undefined;
  #job: { readonly request: number; readonly kind: "grant" | "settle" | "raise"; readonly record?: EpochRecord } | undefined;
  #requests = 0;
  #attempts = 0;

  constructor(terms: EpochTerms, remembered: RememberedStore | undefined) {
    this.#terms = terms;
    this.#seed = hashText(`${terms.node}/epoch`);
    this.#known = remembered && { number: remembered.number, nonce: remembered.nonce };
    this.#revision = remembered?.revision ?? 0n;
    for (const { key, modRevision } of remembered?.entries ?? []) this.#seen.set(key, modRevision);
  }

  /** Undefined until it is known: nobody claims anything before. */
  get epoch(): StoreEpoch | undefined {
    if (!this.#isSynced || !this.#known || this.#isBehind || !this.#entry) return undefined;
    return { number: this.#known.number, isSettled: this.#settling === undefined };
  }
  /** What is worth writing down. */
  get memory(): (EpochRecord & { readonly revision: bigint }) | undefined {
    return this.#known && !this.#isBehind ? { ...this.#known, revision: this.#revision } : undefined;
  }
  nextDeadline(): Instant | undefined {
    return this.#deadlines.nearest();
  }

  /** Events are those of the watch on `leases/`. */
  handle(input: StoreEvent | StoreAnswer, now: Instant): void {
    switch (input.kind) {
      case "snapshot":
        return this.#replaceAll(input.entries, input.revision);
      case "put":
        this.#revision = input.entry.modRevision;
        this.#seen.set(input.entry.key, input.entry.modRevision);
        return this.#learn(input.entry.key, input.entry);
      case "delete":
        this.#revision = input.revision;
        this.#seen.delete(input.key);
        return this.#learn(input.key, undefined);
      case "away":
        return;
      case "back":
        return this.#deadlines.disarm("retry");
      default:
        if (input.request === this.#job?.request) this.#answered(input, now);
    }
  }

  step(now: Instant): StoreOutput[] {
    while (this.#deadlines.due(now) !== undefined);
    if (this.#isSynced && this.#job === undefined && this.#deadlines.at("retry") === undefined) this.#settle();
    const out = this.#out;
    this.#out = [];
    return out;
  }

  #replaceAll(entries: readonly StoredEntry[], revision: bigint): void {
    const older = revision < this.#revision ? `revision ${revision} after ${this.#revision}` : this.#olderKey(entries);
    if (older !== undefined && this.#known) this.#isBehind = true;
    if (older !== undefined && this.#known)
      this.#say(`the store went back in time (${older}), so it was restored from a snapshot; nodes put back the claims they hold, new claims wait meanwhile`);
    this.#seen.clear();
    for (const { key, modRevision } of entries) this.#seen.set(key, modRevision);
    this.#revision = revision;
    this.#isSynced = true;
    this.#settling = entries.find(({ key }) => key === settlingKey);
    this.#entry = undefined;
    this.#deadlines.disarm("retry");
    this.#learn(
      epochKey,
      entries.find(({ key }) => key === epochKey),
    );
  }

  /** A key that stands at a revision before the one it was seen at: that history is not ours. */
  #olderKey(entries: readonly StoredEntry[]): string | undefined {
    const older = entries.find(({ key, modRevision }) => modRevision < (this.#seen.get(key) ?? 0n));
    return older && `${older.key} stands at revision ${older.modRevision} after ${this.#seen.get(older.key)}`;
  }

  #learn(key: string, entry: StoredEntry | undefined): void {
    if (key === settlingKey) this.#settling = entry;
    if (key !== epochKey) return;
    this.#entry = entry;
    const record = entry && parseEpoch(entry),
      known = this.#known;
    if (!entry || !record) return void (this.#isBehind = known !== undefined);
    if (known === undefined || record.number > known.number) {
      if (known && !this.#isBehind) this.#say(`the store was restored from a snapshot: its epoch is ${record.number} after ${known.number}`);
      this.#known = record;
      this.#isBehind = false;
    } else if (record.nonce !== known.nonce || record.number !== known.number) this.#isBehind = true;
  }

  /** One request towards an epoch that is not behind what is known. */
  #settle(): void {
    const entry = this.#entry;
    if (entry && this.#known && !this.#isBehind) return;
    const record = { number: (this.#known?.number ?? 0) + 1, nonce: this.#terms.nonce };
    if (this.#known && !this.#settling) {
      if (this.#lease === undefined) return this.#ask({ kind: "grant", ttlSeconds: this.#terms.settleSeconds }, "grant");
      const value = new TextEncoder().encode(JSON.stringify({ schema: 1, node: this.#terms.node }));
      return this.#ask({ kind: "create", key: settlingKey, value, lease: this.#lease }, "settle");
    }
    const value = encodeEpoch(record);
    if (entry) this.#ask({ kind: "replace", key: epochKey, value, modRevision: entry.modRevision, lease: undefined }, "raise", record);
    else this.#ask({ kind: "create", key: epochKey, value, lease: undefined }, "raise", record);
  }

  #answered(answer: StoreAnswer, now: Instant): void {
    const job = this.#job!;
    this.#job = undefined;
    if (answer.kind === "failed") {
      if (answer.code === "store.lease-gone") this.#lease = undefined;
      return this.#deadlines.arm("retry", after(now, millis(retryMillis(this.#attempts++, this.#seed))));
    }
    this.#attempts = 0;
    if (answer.kind === "granted") this.#lease = answer.lease;
    if (answer.kind !== "swapped" || answer.revision < this.#revision) return;
    const { done, current, revision } = answer;
    if (job.kind === "settle") {
      const made = { key: settlingKey, value: new Uint8Array(), createRevision: revision, modRevision: revision, lease: this.#lease };
      this.#lease = undefined;
      return this.#learn(settlingKey, done ? made : current);
    }
    const raised = job.record && { key: epochKey, value: encodeEpoch(job.record), createRevision: revision, modRevision: revision, lease: undefined };
    this.#learn(epochKey, done ? raised : current);
  }

  #say(text: string): void {
    this.#out.push({ kind: "note", note: note("warn", "store.restored", text) });
  }
  #ask(request: NewRequest, kind: "grant" | "settle" | "raise", record?: EpochRecord): void {
    this.#out.push({ ...request, request: ++this.#requests } as StoreRequest);
    this.#job = { request: this.#requests, kind, ...(record && { record }) };
  }
}
