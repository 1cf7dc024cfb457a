/**
 * Nodes out of service. A flag in the store says so to everybody; without a store, and for the next start, the state directory
 * does. A drained node keeps what it holds and forwards what comes; its sessions are down and it takes no new pods.
 *
 * Two steps, so that nothing is lost: graceful shutdown (RFC 8326) makes others prefer other paths, then the sessions end hard.
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "#adapters/files.ts";
import { note } from "#base/note.ts";
import type { Entry, Store } from "#ports/store.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import type { PeersDriver } from "./peers.ts";

export const drainsPrefix = "drains/";
export const drainKey = (node: string): string => `${drainsPrefix}${node}`;

/** Stands for every neighbour, those that come later too: no peer has this name. */
const everyPeer = "*";

/** Why a node is out of service, and how long its neighbours have to take other paths before its sessions end. */
export interface DrainFlag {
  readonly text: string;
  readonly graceSeconds: number;
}
export const defaultGraceSeconds = 10;

export type DrainState = "active" | "draining" | "drained";

export interface DrainParts {
  readonly node: string;
  readonly store: Store | undefined;
  readonly stateDirectory: string;
  readonly driver: PeersDriver;
  readonly telemetry: Telemetry;
  /** Marks every route told with GRACEFUL_SHUTDOWN and prefers none that is learned (RFC 8326 §4), or ends that. */
  readonly shutGracefully: (on: boolean) => void;
}

export class DrainKeeper {
  readonly #parts: DrainParts;
  readonly #path: string;
  #drained = new Map<string, DrainFlag>();
  #state: DrainState = "active";
  #timer: NodeJS.Timeout | undefined;
  #isFirst = true;

  constructor(parts: DrainParts) {
    this.#parts = parts;
    this.#path = join(parts.stateDirectory, "drained.json");
  }

  get state(): DrainState {
    return this.#state;
  }
  isDrained(node: string): boolean {
    return this.#drained.has(node);
  }
  get sentence(): string | undefined {
    if (this.#state === "active") return undefined;
    const text = this.#drained.get(this.#parts.node)?.text;
    const state = this.#state === "draining" ? "is being drained" : "is drained: its sessions are down and it takes no new pods";
    return `this node ${state}${text ? ` (${text})` : ""}; \`podway undrain\` ends it.`;
  }

  /** What the last run of this node knew; call before the first neighbour is configured. */
  async recall(): Promise<void> {
    const text = await readFile(this.#path, "utf8").catch(() => undefined);
    if (text === undefined) return;
    this.#drained.set(this.#parts.node, flagOf(text));
    this.#end();
  }

  /** Follows the store's flags until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { store } = this.#parts;
    if (!store) return;
    for await (const news of store.watch(drainsPrefix, signal)) {
      if (news.kind === "snapshot") this.#drained = new Map(news.entries.map((entry) => [nodeOf(entry), flagOf(entry.value)]));
      if (news.kind === "put") this.#drained.set(nodeOf(news.entry), flagOf(news.entry.value));
      if (news.kind === "delete") this.#drained.delete(news.key.slice(drainsPrefix.length));
      if (news.kind !== "away" && news.kind !== "back") await this.#settle(this.#isFirst);
      this.#isFirst = false;
    }
    clearTimeout(this.#timer);
  }

  /** Sets or takes a node's flag. Rejects with the store's fault. */
  async set(node: string, flag: (DrainFlag & { readonly by: string }) | undefined): Promise<void> {
    const { store } = this.#parts;
    const value = flag && new TextEncoder().encode(JSON.stringify({ schema: 1, at: new Date().toISOString(), ...flag }));
    if (store) return void (await store.transact([], [value ? { kind: "put", key: drainKey(node), value } : { kind: "delete", key: drainKey(node) }]));
    if (flag) this.#drained.set(node, flag);
    else this.#drained.delete(node);
    await this.#settle(false);
  }

  /** `atOnce`: it was so before we started, nobody has to move away. */
  async #settle(atOnce: boolean): Promise<void> {
    const { node, driver, telemetry, shutGracefully } = this.#parts,
      flag = this.#drained.get(node);
    if (flag === undefined) {
      if (this.#state === "active") return;
      clearTimeout(this.#timer);
      this.#state = "active";
      shutGracefully(false);
      driver.operate((speaker, now) => speaker.enable(everyPeer, now));
      telemetry.note(note("info", "drain.ended", "this node is in service again"));
      await rm(this.#path, { force: true }).catch((cause: Error) => this.#unwritten(cause));
      return;
    }
    if (this.#state !== "active") return;
    const { text, graceSeconds } = flag;
    await writeFileAtomic(this.#path, JSON.stringify({ schema: 1, text })).catch((cause: Error) => this.#unwritten(cause));
    if (atOnce) return this.#end();
    this.#state = "draining";
    shutGracefully(true);
    telemetry.note(note("warn", "drain.begun", `this node is drained${text === "" ? "" : `: ${text}`}; its sessions end in ${graceSeconds} s`));
    this.#timer = setTimeout(() => this.#end(), graceSeconds * 1000).unref();
  }

  #end(): void {
    const { node, driver } = this.#parts;
    this.#state = "drained";
    driver.operate((speaker, now) => speaker.shutDown(everyPeer, this.#drained.get(node)?.text || "drained", now));
  }

  #unwritten(cause: Error): void {
    this.#parts.telemetry.note(note("warn", "drain.not-written", `the next start will not know at once whether this node is drained: ${cause.message}`));
  }
}

const nodeOf = ({ key }: Entry): string => key.slice(drainsPrefix.length);

/** As whoever drained it said; a record that cannot be read drains all the same. */
function flagOf(value: Uint8Array | string): DrainFlag {
  try {
    const { text, graceSeconds } = JSON.parse(typeof value === "string" ? value : new TextDecoder().decode(value)) as Record<string, unknown>;
    return { text: typeof text === "string" ? text : "", graceSeconds: typeof graceSeconds === "number" ? graceSeconds : defaultGraceSeconds };
  } catch {
    return { text: "", graceSeconds: defaultGraceSeconds };
  }
}
