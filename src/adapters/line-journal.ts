/**
 * A state and what happened to it since, in one file: one line per write(2), `crc32 json`, synced before anybody is told. The first
 * line is the whole state, the others lists of steps. Only the last line can be torn, and then nobody was told of it, so it is
 * dropped; damage before a good line is no tear, and the file is refused rather than half of it forgotten.
 */
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { FaultError, callerFault, worldFault } from "#base/fault.ts";

const journalLimits = {
  /** The state is written anew when the journal is this long, and at least so many times as long as the state alone. */
  rewriteOctets: 1_048_576,
  rewriteTimes: 4,
} as const;
const newline = 0x0a;

/** Whose journal it is, for sentences: `the embedded store`, and the beginning of the codes of its faults: `store`. */
export interface JournalOwner {
  readonly name: string;
  readonly code: string;
}

export interface JournalContent<Image, Step> {
  readonly image: Image | undefined;
  readonly steps: readonly Step[];
  /** Octets of a torn last line that were dropped. */
  readonly torn: number;
}

export class LineJournal<Image, Step> {
  readonly #path: string;
  readonly #owner: JournalOwner;
  #file: FileHandle;
  #octets: number;
  #imageOctets: number;

  private constructor(place: Place, file: FileHandle, octets: number, imageOctets: number) {
    this.#path = place.path;
    this.#owner = place.owner;
    this.#file = file;
    this.#octets = octets;
    this.#imageOctets = imageOctets;
  }

  /** Opens or makes the file; what it held comes with it. Rejects with a sentence if the file is damaged. */
  static async open<Image, Step>(
    path: string,
    owner: JournalOwner,
    empty: Image,
  ): Promise<{ readonly journal: LineJournal<Image, Step>; readonly content: JournalContent<Image, Step> }> {
    const place = { path, owner };
    const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === "ENOENT") return undefined;
      throw worldError(`${owner.code}.journal-unreadable`, `${owner.name} cannot read ${path}: ${cause.message}`, cause);
    });
    const { lines, good, firstOctets } = readLines(bytes ?? Buffer.alloc(0), place);
    if (lines.length === 0) {
      const line = toLine(empty);
      const file = await replaceFile(place, line);
      const journal = new LineJournal<Image, Step>(place, file, line.length, line.length);
      return { journal, content: { image: undefined, steps: [], torn: bytes?.length ?? 0 } };
    }
    const file = await open(path, "r+");
    await file.truncate(good);
    await file.datasync();
    const content = { image: lines[0] as Image, steps: lines.slice(1).flat() as Step[], torn: bytes!.length - good };
    return { journal: new LineJournal<Image, Step>(place, file, good, firstOctets), content };
  }

  /** On the disk when it resolves. When it rejects the file is as it was, or, if even that fails, every later append fails too. */
  async append(steps: readonly Step[]): Promise<void> {
    const line = toLine(steps);
    try {
      await writeAll(this.#file, line, this.#octets);
      await this.#file.datasync();
    } catch (cause) {
      await this.#file.truncate(this.#octets).catch(() => this.#file.close());
      throw worldError(
        `${this.#owner.code}.journal-failed`,
        `${this.#owner.name} cannot write ${this.#path}: ${(cause as Error).message}; free the disk`,
        cause,
      );
    }
    this.#octets += line.length;
  }

  get isLong(): boolean {
    return this.#octets > Math.max(journalLimits.rewriteOctets, this.#imageOctets * journalLimits.rewriteTimes);
  }

  /** Writes the state anew, beside the old file, and puts it in its place. */
  async rewrite(image: Image): Promise<void> {
    const line = toLine(image);
    const file = await replaceFile({ path: this.#path, owner: this.#owner }, line);
    await this.#file.close();
    this.#file = file;
    this.#octets = this.#imageOctets = line.length;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function toLine(value: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  return Buffer.concat([Buffer.from(`${crc32(json).toString(16).padStart(8, "0")} `), json, Buffer.of(newline)]);
}

function fromLine(line: Buffer): unknown {
  const json = line.subarray(9);
  if (line[8] !== 0x20 || crc32(json).toString(16).padStart(8, "0") !== line.toString("latin1", 0, 8)) return undefined;
  return JSON.parse(json.toString()) as unknown;
}

interface Place {
  readonly path: string;
  readonly owner: JournalOwner;
}

function readLines(bytes: Buffer, { path, owner }: Place): { readonly lines: unknown[]; readonly good: number; readonly firstOctets: number } {
  const lines: unknown[] = [];
  let good = 0,
    firstOctets = 0,
    isTorn = false;
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(newline, at);
    const value = end < 0 ? undefined : fromLine(bytes.subarray(at, end));
    if (value !== undefined && isTorn)
      throw new FaultError(
        callerFault(
          `${owner.code}.journal-damaged`,
          `${owner.name}: the journal ${path} is damaged at octet ${good}; restore it, or move it away to start empty`,
        ),
      );
    if (value === undefined) isTorn = true;
    else {
      lines.push(value);
      good = end + 1;
      firstOctets ||= good;
    }
    at = end < 0 ? bytes.length : end + 1;
  }
  return { lines, good, firstOctets };
}

/** An open file at `path` that holds `line`, put there whole or not at all. */
async function replaceFile({ path, owner }: Place, line: Buffer): Promise<FileHandle> {
  const beside = `${path}.new`;
  let file: FileHandle | undefined;
  try {
    await rm(beside, { force: true });
    file = await open(beside, "wx+", 0o600);
    await writeAll(file, line, 0);
    await file.sync();
    await rename(beside, path);
    const directory = await open(dirname(path), "r");
    await directory.sync().finally(() => directory.close());
    return file;
  } catch (cause) {
    await file?.close();
    throw worldError(`${owner.code}.journal-failed`, `${owner.name} cannot write ${path}: ${(cause as Error).message}; check the state directory`, cause);
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
}

const worldError = (code: string, text: string, cause: unknown): FaultError => new FaultError(worldFault(code, text), cause);
