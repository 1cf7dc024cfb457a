/** Which peers an operator keeps down: on disk, so that a restart of the daemon does not bring them back. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "#adapters/files.ts";
import type { PeersDriver } from "./peers.ts";

const switchLimits = {
  /** Peers that may be kept down one by one; more than that is a `podway drain`. */
  peers: 4096,
  octets: 4 * 1024 * 1024,
} as const;

export class PeerSwitches {
  readonly #path: string;
  readonly #driver: PeersDriver;
  readonly #down = new Map<string, string>();
  #writing: Promise<void> = Promise.resolve();

  constructor(stateDirectory: string, driver: PeersDriver) {
    this.#path = join(stateDirectory, "shut-down.json");
    this.#driver = driver;
  }

  /** Shuts down whom the last run kept down; call before the first neighbour is configured. What cannot be read counts as nobody. */
  async recall(): Promise<void> {
    const text = await readFile(this.#path, "utf8").catch(() => "{}");
    for (const [name, why] of Object.entries(shutDownIn(text))) {
      this.#down.set(name, why);
      this.#driver.operate((speaker, now) => speaker.shutDown(name, why, now));
    }
  }

  get isFull(): boolean {
    return this.#down.size >= switchLimits.peers;
  }
  has(name: string): boolean {
    return this.#down.has(name);
  }
  /** Takes the peer down; rejects with the system's error if that cannot be written down (it is down all the same). */
  async shutDown(name: string, text: string): Promise<void> {
    this.#down.set(name, text);
    this.#driver.operate((speaker, now) => speaker.shutDown(name, text, now));
    await this.#write();
  }
  async enable(name: string): Promise<void> {
    this.#down.delete(name);
    this.#driver.operate((speaker, now) => speaker.enable(name, now));
    await this.#write();
  }

  #write(): Promise<void> {
    const write = (): Promise<void> => writeFileAtomic(this.#path, JSON.stringify({ schema: 1, shutDown: Object.fromEntries(this.#down) }));
    return (this.#writing = this.#writing.then(write, write));
  }
}

function shutDownIn(text: string): Readonly<Record<string, string>> {
  if (text.length > switchLimits.octets) return {};
  try {
    const { schema, shutDown } = JSON.parse(text) as { readonly schema?: unknown; readonly shutDown?: unknown };
    if (schema !== 1 || typeof shutDown !== "object" || shutDown === null) return {};
    return Object.fromEntries(Object.entries(shutDown).map(([name, why]) => [name, String(why)]));
  } catch {
    return {};
  }
}
