/** Keeps files as they should be, for others to read: written only where they differ, whole, and again if somebody takes them away. */
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { writeFileAtomic } from "#adapters/files.ts";
import { note } from "#base/note.ts";
import type { Telemetry } from "#ports/telemetry.ts";

/** Everybody may read them. */
const mode = 0o644;

export class SubnetFiles {
  readonly #telemetry: Telemetry;
  readonly #said = new Set<string>();
  #writing: Promise<void> = Promise.resolve();

  constructor(telemetry: Telemetry) {
    this.#telemetry = telemetry;
  }

  /** Path → text; files that are no longer named stay as they are. Never rejects. */
  want(files: ReadonlyMap<string, string>): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      for (const [path, text] of files) await this.#write(path, text);
    });
    return this.#writing;
  }

  async #write(path: string, text: string): Promise<void> {
    if ((await readFile(path, "utf8").catch(() => undefined)) === text) return;
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeFileAtomic(path, text, mode);
      this.#said.delete(path);
    } catch (cause) {
      if (this.#said.has(path)) return;
      this.#said.add(path);
      this.#telemetry.note(
        note("error", "subnet-env.not-written", `${path} is not written, so who reads it has an old subnet or none: ${(cause as Error).message}`),
      );
    }
  }
}
