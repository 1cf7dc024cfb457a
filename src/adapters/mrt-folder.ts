/**
 * A folder of MRT files, each seen under its name only when it is whole: it is written beside as `….part`, made durable and
 * then takes the name. The oldest of a kind go when there are more than `keep`; nothing else in the folder is touched.
 */
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

export type MrtKind = "rib" | "updates";
const unfinished = ".part";

export class MrtFolder {
  readonly #directory: string;
  readonly #node: string;
  readonly #keep: number;

  constructor(directory: string, node: string, keep: number) {
    this.#directory = directory;
    this.#node = node;
    this.#keep = keep;
  }

  /** Makes the folder; what a run before this one did not finish takes its name as it is, so that nothing heard is lost. */
  async prepare(): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    for (const name of await readdir(this.#directory))
      if (this.#kindOf(name) !== undefined && name.endsWith(unfinished)) await rename(this.#path(name), this.#path(name.slice(0, -unfinished.length)));
  }

  /** A new file, named by the moment it begins. Rejects with the system's error. */
  async begin(kind: MrtKind, epochMillis: number): Promise<MrtFile> {
    const moment = new Date(epochMillis).toISOString().replace(/[-:]|\.\d+/g, "");
    const name = `${kind}.${this.#node}.${moment}.mrt`;
    const file = await open(this.#path(name + unfinished), "w", 0o640);
    return {
      name,
      write: async (bytes) => void (await file.write(bytes)),
      finish: async () => {
        await file.sync();
        await file.close();
        await rename(this.#path(name + unfinished), this.#path(name));
        await this.#prune(kind);
      },
      discard: async () => {
        await file.close();
        await rm(this.#path(name + unfinished), { force: true });
      },
    };
  }

  async #prune(kind: MrtKind): Promise<void> {
    const whole = (await readdir(this.#directory)).filter((name) => this.#kindOf(name) === kind && !name.endsWith(unfinished)).toSorted();
    for (const name of whole.slice(0, Math.max(0, whole.length - this.#keep))) await rm(this.#path(name), { force: true });
  }

  #kindOf(name: string): MrtKind | undefined {
    const kinds: readonly MrtKind[] = ["rib", "updates"];
    return kinds.find((kind) => name.startsWith(`${kind}.${this.#node}.`) && /\.\d{8}T\d{6}Z\.mrt(\.part)?$/.test(name));
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }
}

export interface MrtFile {
  readonly name: string;
  write(bytes: Uint8Array): Promise<void>;
  /** Makes it durable and gives it its name. */
  finish(): Promise<void>;
  /** Takes it away: it will never be whole. */
  discard(): Promise<void>;
}
