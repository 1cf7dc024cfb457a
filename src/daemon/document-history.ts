/**
 * What the store remembers of former documents (product §6.3): one entry per change, written in the same transaction as the
 * document, so that its revision is the document's. At most `historyLimits.entries` are kept; the oldest go first.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import type { Entry, Store, Write } from "#ports/store.ts";
import type { PlanView } from "./control.ts";

/** Relative to the cluster's prefix. */
export const historyPrefix = "history/";
export const historyLimits = {
  entries: 50,
  /** Changes named in an entry; the rest is counted. */
  changes: 12,
  /** Characters of one change as it is remembered. */
  changeCharacters: 160,
  /** A document out of the store that unpacks to more is no document. */
  textOctets: 8 * 1024 * 1024,
} as const;

/** How a document came to rule. */
export type Origin = "filled" | "apply" | "apply, to be confirmed" | "rollback" | "not confirmed";

export interface Author {
  /** Who asked for it, as the client says. */
  readonly by: string;
  /** The node whose daemon wrote it. */
  readonly node: string;
}

export interface HistoryEntry extends Author {
  /** The document's revision in the store. */
  readonly revision: bigint;
  /** Milliseconds since 1970, by the clock of the node that wrote it. */
  readonly at: number;
  readonly how: Origin;
  readonly changes: readonly string[];
  /** Changes that are not named. */
  readonly more: number;
  readonly text: string;
}

interface Remembered extends Author {
  readonly how: Origin;
  readonly changes: PlanView["changes"];
  readonly text: string;
}

/** The write that remembers a document; `before` is the revision it takes the place of, undefined for the first. */
export function rememberDocument(before: bigint | undefined, { by, node, how, changes, text }: Remembered): Write {
  const lines = changes.slice(0, historyLimits.changes).map(changeLine);
  const value = { schema: 1, at: Date.now(), by, node, how, changes: lines, more: changes.length - lines.length, text: pack(text) };
  return { kind: "put", key: `${historyPrefix}${String(before ?? 0n).padStart(20, "0")}`, value: new TextEncoder().encode(JSON.stringify(value)) };
}

function changeLine({ path, before, after, effect }: PlanView["changes"][number]): string {
  const line = `${path}: ${before ?? "(none)"} -> ${after ?? "(none)"} (${effect})`;
  return line.length <= historyLimits.changeCharacters ? line : `${line.slice(0, historyLimits.changeCharacters - 1)}…`;
}

/** Every readable entry, newest first. Rejects with the store's fault. */
export async function readHistory(store: Store): Promise<readonly HistoryEntry[]> {
  const { entries } = await store.list(historyPrefix);
  return entries.flatMap((entry) => decodeEntry(entry) ?? []).toSorted((a, b) => (a.revision < b.revision ? 1 : -1));
}

/** Removes what is beyond the limit, oldest first. Rejects with the store's fault; nothing depends on it. */
export async function trimHistory(store: Store): Promise<void> {
  const { entries } = await store.list(historyPrefix);
  const old = entries.toSorted((a, b) => (a.modRevision < b.modRevision ? 1 : -1)).slice(historyLimits.entries, historyLimits.entries + 60);
  if (old.length === 0) return;
  await store.transact(
    old.map(({ key, modRevision }) => ({ key, is: "at" as const, modRevision })),
    old.map(({ key }) => ({ kind: "delete" as const, key })),
  );
}

/** Undefined if it is none, or one of a newer schema: history then has a gap there. */
function decodeEntry({ value, modRevision }: Entry): HistoryEntry | undefined {
  try {
    const read = JSON.parse(new TextDecoder().decode(value)) as Partial<Record<keyof HistoryEntry | "schema", unknown>>;
    if (read.schema !== 1 || typeof read.text !== "string" || typeof read.at !== "number" || !Array.isArray(read.changes)) return undefined;
    const { by, node, how, changes, more, at } = read;
    const text = unpack(read.text);
    return { revision: modRevision, at, by: String(by), node: String(node), how: how as Origin, changes: changes.map(String), more: Number(more), text };
  } catch {
    return undefined;
  }
}

/** Text as the store keeps it beside the document: a topology file shrinks to a tenth. */
export const pack = (text: string): string => gzipSync(text).toString("base64");

/** Throws on what `pack` did not make. */
export const unpack = (packed: string): string => gunzipSync(Buffer.from(packed, "base64"), { maxOutputLength: historyLimits.textOctets }).toString("utf8");
