/**
 * Which document rules (product §6.3). Without a store the file, read again on SIGHUP. With a store the store's document: an
 * empty store is filled once by compare-and-create, a file that differs is shown and never applied silently; while the store
 * is away the last known one rules, kept in the state directory.
 *
 * Holds: after the start only the watch changes what rules, in the store's order; what cannot be read or compiled rules nothing.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type CallerFault, callerFault, failed, type Outcome } from "#base/fault.ts";
import { note } from "#base/note.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { HeldCidr } from "#config/diff.ts";
import type { Document } from "#config/schema.ts";
import { writeFileAtomic } from "#adapters/files.ts";
import type { Entry, Store, StoreNews } from "#ports/store.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import type { DocumentView, PlanView } from "./control.ts";
import { writeDocument } from "./document-change.ts";
import { DocumentDesk, type DocumentHost } from "./document-desk.ts";
import { compare, decodeRecord, documentKey, interpret, type Reading, readTopology } from "./document-text.ts";
import { readTrial, trialKey } from "./document-trial.ts";

const lastKnownFile = "document.yaml";
const documentLimits = {
  /** How long a start waits for the store before it goes on with what it knows. */
  firstAnswerMillis: 3000,
  /** How long an apply waits until this daemon follows what it wrote. */
  followMillis: 2000,
} as const;

interface Ruling extends Reading {
  readonly source: "file" | "store";
  readonly revision: bigint | undefined;
}

export interface DocumentParts {
  readonly file: string;
  readonly node: string;
  readonly stateDirectory: string;
  readonly telemetry: Telemetry;
  /** CIDRs held now: what a plan may not take away. */
  readonly held: () => readonly HeldCidr[];
}

export class DocumentKeeper {
  readonly #parts: DocumentParts;
  #store: Store | undefined;
  #fileText: string;
  #ruling: Ruling;
  /** Revision of the store's document that was seen last, followed or not. */
  #seen: bigint | undefined;
  /** Why the store's document, or the file as it was read last, is not followed. */
  #refusals: { readonly store?: string; readonly file?: string } = {};
  #mustFill = false;
  #follow: (settings: NodeSettings) => void = () => {};
  readonly #waiting = new Set<() => void>();
  #remembering: Promise<void> = Promise.resolve();
  /** Where operators change it. */
  readonly desk: DocumentDesk;

  constructor(parts: DocumentParts, first: Reading) {
    this.#parts = parts;
    this.#fileText = first.text;
    this.#ruling = { ...first, source: "file", revision: undefined };
    this.desk = new DocumentDesk(this.#host());
  }

  get settings(): NodeSettings {
    return this.#ruling.settings;
  }

  /** What `status` should warn of, one sentence each. */
  get warnings(): readonly string[] {
    const { file } = this.#parts,
      { source, warnings, text } = this.#ruling;
    const place = source === "file" ? file : "the store's document";
    const { pending } = this.desk.trials;
    return [
      ...warnings.map((warning) => `${place}:${warning}`),
      ...Object.values(this.#refusals),
      ...(pending
        ? [`the document goes back to the one before in ${pending.secondsLeft} s: \`podway confirm\` keeps it, \`podway rollback\` takes it back now.`]
        : []),
      ...(source === "store" && this.#fileText !== text ? [`${file} differs from the store's document, which rules: \`podway plan ${file}\` shows how.`] : []),
    ];
  }

  /** Called with the new settings whenever another document rules. */
  onChange(follow: (settings: NodeSettings) => void): void {
    this.#follow = follow;
  }

  /** Finds out what rules, before anything else starts. */
  async open(store: Store): Promise<void> {
    this.#store = store;
    const entry = await Promise.race([this.#firstEntry(store), after(documentLimits.firstAnswerMillis)]);
    if (!entry || !this.#adopt(entry)) await this.#recall();
  }

  /** Follows the store's document until the signal. */
  async watch(signal: AbortSignal): Promise<void> {
    if (!this.#store) return;
    for await (const news of this.#store.watch(documentKey, signal)) await this.#hear(news, this.#store);
    this.desk.trials.stop();
    await this.#remembering;
  }

  /** SIGHUP: the file rules where there is no store; otherwise only the difference is shown. */
  async reload(): Promise<void> {
    const { file, node } = this.#parts,
      read = await readTopology(file, node);
    if (!read.ok) return this.#refuse("file", read.fault.text);
    this.#accept("file");
    this.#fileText = read.value.text;
    if (!this.#store) this.desk.trials.see(undefined, false); // what the file says now is what somebody wants now
    if (!this.#store) this.#rule({ ...read.value, source: "file", revision: undefined });
    else if (this.#fileText !== this.#ruling.text)
      this.#say("warn", "config.file-differs", `${file} differs from the store's document, which rules: \`podway apply ${file}\` puts it into force.`);
  }

  view(): DocumentView {
    const { source, revision, text } = this.#ruling;
    return { source, revision: revision === undefined ? null : String(revision), text, fileDiffers: this.#fileText !== text };
  }

  plan(text: string, file: string): Outcome<PlanView & { readonly document: Document }, CallerFault> {
    return compare(this.#ruling.document, text, file, this.#parts.held());
  }

  #host(): DocumentHost {
    const { file, node } = this.#parts;
    // oxlint-disable-next-line typescript/no-this-alias -- the getters below are another object's
    const keeper = this;
    return {
      file,
      node,
      get store() {
        return keeper.#store;
      },
      get text() {
        return keeper.#ruling.text;
      },
      get revision() {
        return keeper.#ruling.revision;
      },
      get fileText() {
        return keeper.#fileText;
      },
      get refusal() {
        return keeper.#refusals.store;
      },
      plan: (text, name) => this.plan(text, name),
      rule: (reading) => this.#rule({ ...reading, source: "file", revision: undefined }),
      keepFile: (text) => void (this.#fileText = text),
      followed: (revision) => this.#followed(revision),
      say: (event, text) => this.#say("warn", event, text),
    };
  }

  async #hear(news: StoreNews, store: Store): Promise<void> {
    switch (news.kind) {
      case "put":
        if (news.entry.key === documentKey) this.#adopt(news.entry);
        if (news.entry.key === trialKey) this.desk.trials.see(readTrial(news.entry), false);
        if (news.entry.key === documentKey) this.desk.trials.seeDocument(news.entry.modRevision, false);
        break;
      case "snapshot": {
        const entry = news.entries.find(({ key }) => key === documentKey);
        this.#mustFill = entry === undefined;
        if (entry) this.#adopt(entry);
        const trial = news.entries.find(({ key }) => key === trialKey);
        this.desk.trials.see(trial && readTrial(trial), true);
        this.desk.trials.seeDocument(entry?.modRevision, true);
        break;
      }
      case "delete":
        if (news.key === trialKey) this.desk.trials.see(undefined, false);
        if (news.key !== documentKey) break;
        this.#seen = undefined;
        this.desk.trials.seeDocument(undefined, false);
        this.#ruling = { ...this.#ruling, revision: undefined };
        this.#say("warn", "config.gone", "the document was removed from the store; what runs goes on unchanged, and `podway apply` puts one there");
        break;
      case "away":
      case "back":
    }
    // What rules here goes into a store that has lost it, or never had it: not the file, which may be older.
    if (this.#mustFill && news.kind !== "away")
      await this.#fill(store, this.#ruling.text).then(
        (entry) => entry && this.#adopt(entry),
        (cause: unknown) => this.#complain(cause),
      );
  }

  async #firstEntry(store: Store): Promise<Entry | undefined> {
    try {
      return (await store.get(documentKey)) ?? (await this.#fill(store, this.#fileText));
    } catch (cause) {
      this.#complain(cause);
      return undefined;
    }
  }

  /** Gives an empty store a document; answers what it holds then, which may be another daemon's. */
  async #fill(store: Store, text: string): Promise<Entry | undefined> {
    const standing = { revision: undefined, text, trial: this.desk.trials.trial };
    const made = await writeDocument(store, standing, { text, by: "podwayd", node: this.#parts.node, how: "filled", changes: [] });
    const entry = await store.get(documentKey);
    this.#mustFill = made === undefined && entry === undefined; // a trial was in the way that the watch has yet to show
    return entry;
  }

  /** The last known document, where the store does not answer or holds one that cannot be followed. */
  async #recall(): Promise<void> {
    const text = await readFile(join(this.#parts.stateDirectory, lastKnownFile), "utf8").catch(() => undefined);
    const read = text === undefined ? undefined : interpret(text, lastKnownFile, this.#parts.node);
    if (read?.ok && read.value.document.name === this.#ruling.document.name) this.#rule({ ...read.value, source: "store", revision: undefined });
  }

  /** True if the entry rules from now on. */
  #adopt(entry: Entry): boolean {
    this.#seen = entry.modRevision;
    const read = this.#read(entry);
    if (!read.ok) this.#refuse("store", read.fault.text);
    else {
      this.#accept("store");
      this.#rule({ ...read.value, source: "store", revision: entry.modRevision });
      this.#remember(read.value.text);
      void this.#compareFile();
    }
    for (const wake of this.#waiting) wake();
    return read.ok;
  }

  #read(entry: Entry): Outcome<Reading, CallerFault> {
    const record = decodeRecord(entry.value),
      { name } = this.#ruling.document;
    if (!record.ok) return record;
    const read = interpret(record.value, "the store's document", this.#parts.node);
    if (!read.ok || read.value.document.name === name) return read;
    const text = `it is that of cluster ${read.value.document.name}, and this is ${name}; give one of the two another prefix in its store section`;
    return failed(callerFault("config.other-cluster", text));
  }

  #rule(next: Ruling): void {
    const changed = next.text !== this.#ruling.text;
    this.#ruling = next;
    if (!changed) return;
    this.#say("info", "config.changed", `the document of the ${next.source} rules now${next.revision === undefined ? "" : `, revision ${next.revision}`}`);
    this.#follow(next.settings);
  }

  /** Who applied it may have changed our file as well. */
  async #compareFile(): Promise<void> {
    this.#fileText = await readFile(this.#parts.file, "utf8").catch(() => this.#fileText);
  }

  /** One write after another: two at once would share the file beside it. */
  #remember(text: string): void {
    const path = join(this.#parts.stateDirectory, lastKnownFile);
    this.#remembering = this.#remembering.then(() =>
      writeFileAtomic(path, text, 0o640).catch((cause: Error) =>
        this.#say("warn", "config.not-remembered", `the document cannot be kept for a start without the store: ${cause.message}`),
      ),
    );
  }

  /** Resolves when the watch has shown the revision, or after a while. */
  async #followed(revision: bigint): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => void ((this.#seen ?? 0n) >= revision && resolve());
    this.#waiting.add(look);
    look();
    await Promise.race([promise, after(documentLimits.followMillis)]);
    this.#waiting.delete(look);
  }

  #refuse(whose: "store" | "file", why: string): void {
    const text = `the ${whose === "file" ? "file" : "store's document"} is not followed, and what runs goes on unchanged: ${why}`;
    this.#refusals = { ...this.#refusals, [whose]: text };
    this.#say("error", "config.refused", text);
  }
  #accept(whose: "store" | "file"): void {
    const { [whose]: _, ...others } = this.#refusals;
    this.#refusals = others;
  }
  #complain(cause: unknown): void {
    this.#say("warn", "config.store-away", cause instanceof Error ? cause.message : String(cause));
  }
  #say(level: "info" | "warn" | "error", event: string, text: string): void {
    this.#parts.telemetry.note(note(level, event, text));
  }
}

function after(millis: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, millis, undefined).unref());
}
