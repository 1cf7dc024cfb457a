/** The document as text: read from the file or out of the store's record, and compiled for one node. Every fault is one sentence with its place. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { type CallerFault, callerFault, failed, ok, type Outcome } from "#base/fault.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { Document } from "#config/schema.ts";
import type * as documentReading from "./document-reading.ts";

export interface Reading {
  readonly text: string;
  readonly document: Document;
  readonly settings: NodeSettings;
  /** `line:column: sentence`. */
  readonly warnings: readonly string[];
}

const load = createRequire(import.meta.url);
/** Loaded at the first use, and at once: who follows a document does so in one step (document-reading.ts says why not before). */
const reading = (): typeof documentReading => load("./document-reading.ts") as typeof documentReading;
export const interpret: typeof documentReading.interpret = (text, place, node) => reading().interpret(text, place, node);
export const compare: typeof documentReading.compare = (...given) => reading().compare(...given);

/** Reads and compiles a file for one node. */
export async function readTopology(file: string, node: string): Promise<Outcome<Reading, CallerFault>> {
  try {
    return interpret(await readFile(file, "utf8"), file, node);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === undefined) throw cause;
    return failed(callerFault("config.unreadable", `${file} cannot be read (${code}): give the path of the topology with --topology.`));
  }
}

/** Relative to the cluster's prefix. */
export const documentKey = "document";

/** What the store's key holds: JSON with a schema version, so that versions run side by side. */
export function encodeRecord(text: string): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ schema: 1, text }));
}

export function decodeRecord(value: Uint8Array): Outcome<string, CallerFault> {
  let read: { readonly schema?: unknown; readonly text?: unknown } | null;
  try {
    read = JSON.parse(new TextDecoder().decode(value)) as typeof read;
  } catch {
    read = null;
  }
  if (typeof read?.schema === "number" && read.schema > 1)
    return failed(callerFault("config.newer-schema", `its schema is ${read.schema}, and this podwayd reads 1: upgrade this node`));
  if (read?.schema === 1 && typeof read.text === "string") return ok(read.text);
  return failed(callerFault("config.bad-record", "it is no record of podwayd; `podway apply` puts a document there once that key is removed"));
}
