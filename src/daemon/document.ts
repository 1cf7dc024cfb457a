/**
 * Which document rules (product §6.3). Without a store the file, read again on SIGHUP. With a store the store's document: an
 * empty store is filled once by compare-and-create, a file that differs is shown and never applied silently; while the store
 * is away the last known one rules, kept in the state directory.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type CallerFault, callerFault, failed, FaultError, ok, type Outcome } from "#base/fault.ts";
import { note } from "#base/note.ts";
import type { NodeSettings } from "#base/settings.ts";
import { compileNode } from "#config/compile.ts";
import { diffDocuments, type HeldCidr } from "#config/diff.ts";
import { parseDocument } from "#config/parse.ts";
import type { Document } from "#config/schema.ts";
import { writeFileAtomic } from "#adapters/files.ts";
import type { Entry, Store } from "#ports/store.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import type { DocumentView, PlanView } from "./control.ts";

/** Relative to the cluster's prefix. */
export const documentKey = "document";
const lastKnownFile = "document.yaml";
/** How long a start waits for the store before it goes on with what it knows. */
const firstAnswerMillis = 3000;

interface Ruling {
  readonly text: string;
  readonly document: Document;
  readonly settings: NodeSettings;
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

/** Reads and compiles a file for one node; every fault is a sentence with its place. */
export async function readTopology(file: string, node: string): Promise<Outcome<{ text: string; document: Document; settings: NodeSettings; warnings: readonly string[] }, CallerFault>> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    return failed(callerFault("config.unreadable", `${file} cannot be read (${(cause as NodeJS.ErrnoException).code}): give the path of the topology with --topology.`));
  }
  const read = interpret(text, file, node);
  return read.ok ? ok({ text, ...read.value }) : read;
}

export class DocumentKeeper {
  readonly #parts: DocumentParts;
  #store: Store | undefined;
  #fileText: string;
  #ruling: Ruling;
  #follow: (settings: NodeSettings) => void = () => {};

  constructor(parts: DocumentParts, first: { readonly text: string; readonly document: Document; readonly settings: NodeSettings }) {
    this.#parts = parts;
    this.#fileText = first.text;
    this.#ruling = { ...first, source: "file", revision: undefined };
  }

  get settings(): NodeSettings {
    return this.#ruling.settings;
  }

  /** Called with the new settings whenever another document rules. */
  onChange(follow: (settings: NodeSettings) => void): void {
    this.#follow = follow;
  }

  /** Finds out what rules, before anything else starts. */
  async open(store: Store): Promise<void> {
    this.#store = store;
    const entry = await Promise.race([this.#firstEntry(store), after(firstAnswerMillis)]);
    if (entry) this.#adopt(entry);
    else await this.#recall();
  }

  /** Follows the store's document until the signal. */
  async watch(signal: AbortSignal): Promise<void> {
    if (!this.#store) return;
    for await (const news of this.#store.watch(documentKey, signal)) {
      if (news.kind === "put" && news.entry.key === documentKey) this.#adopt(news.entry);
      if (news.kind !== "snapshot") continue;
      const entry = news.entries.find(({ key }) => key === documentKey);
      if (entry) this.#adopt(entry);
      else await this.#fill(this.#store).then((made) => made && this.#adopt(made), (cause: unknown) => this.#complain(cause));
    }
  }

  /** SIGHUP: the file rules where there is no store; otherwise only the difference is shown. */
  async reload(): Promise<void> {
    const read = await readTopology(this.#parts.file, this.#parts.node);
    if (!read.ok) {
      this.#parts.telemetry.note(note("error", "config.refused", `${read.fault.text} What runs goes on unchanged.`));
      return;
    }
    this.#fileText = read.value.text;
    if (this.#store) return;
    this.#rule({ ...read.value, source: "file", revision: undefined });
  }

  view(): DocumentView {
    const { source, revision, text } = this.#ruling;
    return { source, revision: revision === undefined ? null : String(revision), text, fileDiffers: this.#fileText !== text };
  }

  plan(text: string, file: string): Outcome<PlanView & { readonly document: Document }, CallerFault> {
    const parsed = parseDocument(text, file);
    if (!parsed.ok) return parsed;
    return ok({ changes: diffDocuments(this.#ruling.document, parsed.value.document, this.#parts.held()), document: parsed.value.document });
  }

  async apply(text: string, file: string): Promise<Outcome<PlanView & { readonly revision: string }, CallerFault>> {
    const plan = this.plan(text, file);
    if (!plan.ok) return plan;
    const { changes } = plan.value, refused = changes.find((change) => change.effect === "refused");
    if (refused) return failed(callerFault("config.refused", refused.text));
    if (!this.#store) return failed(callerFault("config.no-store", `this node has no store, so its file rules: edit ${this.#parts.file} and send SIGHUP.`));
    try {
      const done = await this.#write(this.#store, text);
      if (done) return ok({ changes, revision: String(done.modRevision) });
      return failed(callerFault("config.changed-meanwhile", "somebody else changed the document meanwhile: look at `podway plan` again, then apply."));
    } catch (cause) {
      if (cause instanceof FaultError) return failed(callerFault("config.store-away", `nothing was applied: ${cause.fault.text}`));
      throw cause;
    }
  }

  /** Compare-and-swap on the revision that rules here; the entry as written, or undefined if another was faster. */
  async #write(store: Store, text: string): Promise<Entry | undefined> {
    const revision = this.#ruling.revision, value = encode(text);
    const result = revision === undefined ? await store.create(documentKey, value) : await store.replace(documentKey, value, revision);
    if (!result.done) return undefined;
    const entry = await store.get(documentKey);
    if (entry) this.#adopt(entry);
    return entry;
  }

  async #firstEntry(store: Store): Promise<Entry | undefined> {
    try {
      return (await store.get(documentKey)) ?? (await this.#fill(store));
    } catch (cause) {
      this.#complain(cause);
      return undefined;
    }
  }

  /** An empty store is given the file's document, once. */
  async #fill(store: Store): Promise<Entry | undefined> {
    const made = await store.create(documentKey, encode(this.#fileText));
    return made.done ? await store.get(documentKey) : made.current;
  }

  /** The last known document, where the store does not answer. */
  async #recall(): Promise<void> {
    const text = await readFile(join(this.#parts.stateDirectory, lastKnownFile), "utf8").catch(() => undefined);
    const read = text === undefined ? undefined : interpret(text, lastKnownFile, this.#parts.node);
    if (text !== undefined && read?.ok) this.#rule({ text, ...read.value, source: "store", revision: undefined });
  }

  #adopt(entry: Entry): void {
    if (this.#ruling.revision !== undefined && entry.modRevision <= this.#ruling.revision) return;
    const text = decode(entry.value);
    const read = text === undefined ? undefined : interpret(text, "the store's document", this.#parts.node);
    if (text === undefined || !read?.ok) {
      const why = read && !read.ok ? read.fault.text : "its schema is newer than this podwayd";
      this.#parts.telemetry.note(note("error", "config.refused", `the store's document is not followed, and what runs goes on unchanged: ${why}`));
      return;
    }
    this.#rule({ text, ...read.value, source: "store", revision: entry.modRevision });
    void writeFileAtomic(join(this.#parts.stateDirectory, lastKnownFile), text, 0o640).catch((cause: unknown) => this.#complain(cause));
  }

  #rule(next: Ruling): void {
    const changed = next.text !== this.#ruling.text;
    this.#ruling = next;
    if (!changed) return;
    this.#parts.telemetry.note(note("info", "config.changed", `the document of the ${next.source} rules now${next.revision === undefined ? "" : `, revision ${next.revision}`}`));
    this.#follow(next.settings);
  }

  #complain(cause: unknown): void {
    this.#parts.telemetry.note(note("warn", "config.store-away", cause instanceof Error ? cause.message : String(cause)));
  }
}

function interpret(text: string, file: string, node: string): Outcome<{ document: Document; settings: NodeSettings; warnings: readonly string[] }, CallerFault> {
  const parsed = parseDocument(text, file);
  if (!parsed.ok) return parsed;
  const settings = compileNode(parsed.value.document, node);
  if (!settings.ok) return failed(callerFault(settings.fault.code, `${file}: ${settings.fault.text}`));
  return ok({ document: parsed.value.document, settings: settings.value, warnings: parsed.value.warnings.map((problem) => `${problem.line}:${problem.column}: ${problem.text}`) });
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ schema: 1, text }));
}
function decode(value: Uint8Array): string | undefined {
  try {
    const read = JSON.parse(new TextDecoder().decode(value)) as { schema?: unknown; text?: unknown };
    return read.schema === 1 && typeof read.text === "string" ? read.text : undefined;
  } catch {
    return undefined;
  }
}
function after(millis: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, millis, undefined).unref());
}
