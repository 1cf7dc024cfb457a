/**
 * The machine that keeps one key, `nodes/<name>`, bound to a short liveness lease, so that others know this node is alive, and
 * that no second machine works under its name: the key is taken by compare-and-create, and another machine's is waited out.
 */
import { type Note, note } from "#base/note.ts";
import { Deadlines, type Instant, after, millis } from "#base/time.ts";
import {
  type NewRequest,
  type StoreAnswer,
  type StoreEvent,
  type StoreOutput,
  type StoreRequest,
  type StoredEntry,
  hashText,
  nameTaken,
  retryMillis,
} from "./exchange.ts";
import { type PresenceRecord, encodePresence, parsePresence, presenceKey } from "./lease-record.ts";

export type PresenceInput = StoreEvent | StoreAnswer;

interface Job {
  readonly request: number;
  readonly lease: string | undefined;
}

export class PresenceMachine {
  readonly #record: PresenceRecord;
  readonly #livenessSeconds: number;
  readonly #key: string;
  readonly #seed: number;
  readonly #deadlines = new Deadlines<"retry" | "beat">();
  #out: StoreOutput[] = [];
  #isSynced = false;
  #entry: StoredEntry | undefined;
  /** The identity in `#entry`; undefined too if its value cannot be read. */
  #identity: string | undefined;
  /** Revision up to which `#entry` is known. */
  #seen = 0n;
  /** Our liveness lease, once granted or adopted. */
  #lease: string | undefined;
  #job: Job | undefined;
  #requests = 0;
  #attempts = 0;

  constructor(record: PresenceRecord, livenessSeconds: number) {
    this.#record = record;
    this.#livenessSeconds = livenessSeconds;
    this.#key = presenceKey(record.node);
    this.#seed = hashText(this.#key);
  }

  /** Whose key stands under our name, as far as is known; undefined: nobody's. */
  get identity(): string | undefined {
    return this.#identity;
  }
  nextDeadline(): Instant | undefined {
    return this.#deadlines.nearest();
  }

  handle(input: PresenceInput, now: Instant): void {
    switch (input.kind) {
      case "snapshot":
        this.#isSynced = true;
        // A snapshot is the truth, also of a store that was restored and starts lower.
        this.#seen = input.revision;
        return this.#learn(
          input.entries.find(({ key }) => key === this.#key),
          input.revision,
        );
      case "put":
        return input.entry.key === this.#key ? this.#learn(input.entry, input.entry.modRevision) : undefined;
      case "delete":
        return input.key === this.#key ? this.#learn(undefined, input.revision) : undefined;
      case "away":
        return;
      case "back":
        this.#deadlines.disarm("retry");
        return void (this.#lease !== undefined && this.#deadlines.arm("beat", now));
      default:
        if (input.request === this.#job?.request) this.#answered(input, this.#job, now);
    }
  }

  step(now: Instant): StoreOutput[] {
    let isBeat = false;
    for (let due = this.#deadlines.due(now); due !== undefined; due = this.#deadlines.due(now)) isBeat ||= due === "beat";
    if (isBeat && this.#job !== undefined) this.#deadlines.arm("beat", after(now, millis(this.#beatMillis())));
    else if (isBeat && this.#lease !== undefined) this.#ask({ kind: "keepAlive", lease: this.#lease }, this.#lease);
    if (this.#isSynced && this.#job === undefined && this.#deadlines.at("retry") === undefined) this.#settle();
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** One request towards a key that is ours, as it should be, and bound to a lease we renew. */
  #settle(): void {
    const entry = this.#entry,
      isOurs = entry !== undefined && this.#identity === this.#record.identity;
    // Somebody else's, or rubbish that a lease will end. Without a lease it would never end, and nobody alive keeps it.
    if (entry?.lease !== undefined && !isOurs) return;
    if (this.#lease === undefined && isOurs && entry.lease !== undefined) return this.#ask({ kind: "keepAlive", lease: entry.lease }, entry.lease);
    const lease = this.#lease;
    if (lease === undefined) return this.#ask({ kind: "grant", ttlSeconds: this.#livenessSeconds }, undefined);
    const value = encodePresence(this.#record);
    if (!entry) return this.#ask({ kind: "create", key: this.#key, value, lease }, lease);
    if (entry.lease === lease && String(entry.value) === String(value)) return;
    this.#ask({ kind: "replace", key: this.#key, value, modRevision: entry.modRevision, lease }, lease);
  }

  #answered(answer: StoreAnswer, job: Job, now: Instant): void {
    this.#job = undefined;
    if (answer.kind === "failed") {
      if (answer.code === "store.lease-gone") this.#lease = undefined;
      const again = after(now, millis(retryMillis(this.#attempts++, this.#seed)));
      this.#deadlines.arm("retry", again);
      return void (this.#lease !== undefined && this.#deadlines.arm("beat", again));
    }
    this.#attempts = 0;
    if (answer.kind === "granted") this.#lease = answer.lease;
    if (answer.kind === "alive") this.#lease = answer.ttlSeconds > 0 ? job.lease : undefined;
    // The key of a lease that has ended is gone or going: it is made anew, over what may still stand there.
    if (answer.kind === "alive" && answer.ttlSeconds === 0 && this.#entry?.lease === job.lease)
      this.#entry = this.#entry && { ...this.#entry, lease: undefined };
    if (answer.kind === "swapped") {
      const value = encodePresence(this.#record),
        { done, current, revision } = answer;
      this.#learn(done ? { key: this.#key, value, createRevision: revision, modRevision: revision, lease: job.lease } : current, revision);
    }
    if (this.#lease !== undefined) this.#deadlines.arm("beat", after(now, millis(this.#beatMillis())));
  }

  /** `entry` stood under our key (or none did) as of `revision`. Answers and the watch overtake each other; the newer one counts. */
  #learn(entry: StoredEntry | undefined, revision: bigint): void {
    if (revision < this.#seen) return;
    const parsed = entry && parsePresence(entry);
    const identity = parsed?.ok ? parsed.value.identity : undefined;
    if (entry?.modRevision !== this.#entry?.modRevision) this.#tell(entry, identity, parsed && !parsed.ok ? parsed.fault : undefined);
    this.#seen = revision;
    this.#entry = entry;
    this.#identity = identity;
    this.#deadlines.disarm("retry");
  }

  #tell(entry: StoredEntry | undefined, identity: string | undefined, unreadable: Note | undefined): void {
    const { node } = this.#record;
    if (unreadable) this.#out.push({ kind: "note", note: unreadable });
    if (entry && !unreadable && identity !== this.#record.identity)
      this.#out.push({ kind: "note", note: note("error", "node.name-taken", nameTaken(node, identity!), { node }) });
  }

  #ask(request: NewRequest, lease: string | undefined): void {
    this.#out.push({ ...request, request: ++this.#requests } as StoreRequest);
    this.#job = { request: this.#requests, lease };
  }

  #beatMillis(): number {
    return (this.#livenessSeconds / 3) * (850 + (this.#seed % 150));
  }
}
