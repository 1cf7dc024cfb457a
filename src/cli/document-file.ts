/** A topology file named on the command line. */
import { readFile, stat } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { callerFault, FaultError } from "#base/fault.ts";
import { limits } from "#config/limits.ts";

export interface DocumentFile {
  readonly text: string;
  readonly file: string;
}

/** The text of `file`; "-" is standard input. Rejects with one sentence. */
export async function readDocumentFile(file: string): Promise<DocumentFile> {
  const document = file === "-" ? { text: await text(process.stdin), file: "(standard input)" } : { text: await readText(file), file };
  if (Buffer.byteLength(document.text) <= limits.documentOctets) return document;
  throw tooLarge(document.file);
}

async function readText(file: string): Promise<string> {
  try {
    if ((await stat(file)).size > limits.documentOctets) throw tooLarge(file);
    return await readFile(file, "utf8");
  } catch (error) {
    throw error instanceof FaultError
      ? error
      : new FaultError(callerFault("cli.no-file", `cannot read ${file}: ${reason(error as NodeJS.ErrnoException)}.`), error);
  }
}

const tooLarge = (file: string): FaultError =>
  new FaultError(callerFault("cli.large-file", `${file} is larger than ${limits.documentOctets} octets: no topology file is.`));

function reason(error: NodeJS.ErrnoException): string {
  const known: Readonly<Record<string, string>> = { ENOENT: "there is no such file", EISDIR: "it is a directory", EACCES: "permission denied" };
  return known[error.code ?? ""] ?? error.message;
}
