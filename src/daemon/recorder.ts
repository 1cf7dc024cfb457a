/**
 * Everything a speaker is told, as JSON lines, so that the same machine can be run again elsewhere (`npm run replay`): each call
 * that may change it, each number chance gave it, and at intervals a digest of all it answered. Settings name secrets and never
 * hold them, so the file has none; it has what peers sent, and is readable by its owner alone.
 *
 * A call is written before it is made: the last line of a crash is what crashed it. The line of chance comes after its call's.
 */
import { createHash, type Hash } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import type { Speaker, SpeakerSettings } from "#bgp/speaker.ts";
import { viewPath } from "./route-view.ts";

export const recordLimits = {
  /** A recording ends here, and says so; the daemon goes on. */
  octets: 512 * 1024 * 1024,
  bufferOctets: 64 * 1024,
  /** What is not yet on disk when the machine loses power. */
  flushMillis: 1000,
  callsPerDigest: 1000,
  /** A larger table is not digested when the daemon stops. */
  digestedRoutes: 200_000,
} as const;

/** What changes a speaker, by where it hangs. Whatever else is called only reads. */
const recorded = {
  "": [
    "beginRestart",
    "configure",
    "gracefulShutdown",
    "accepted",
    "connected",
    "connectFailed",
    "bytes",
    "closed",
    "bfdDown",
    "reset",
    "shutDown",
    "enable",
    "refresh",
    "askAgain",
    "stop",
    "wake",
    "originate",
    "withdrawOwn",
    "usePolicies",
    "step",
    "pull",
    "takeActions",
  ],
  neighbours: ["sendBlocked", "sendProgressed"],
  "rib.deferral": ["awaitBack", "ownIsKnown"],
} as const;
const places = Object.keys(recorded) as (keyof typeof recorded)[];

export type RecordLine =
  | { readonly schema: 1; readonly settings: Omit<SpeakerSettings, "jitter"> }
  /** A call: where, what, with which arguments. */
  | { readonly c: string; readonly a: readonly unknown[] }
  | { readonly j: number }
  | { readonly digest: string; readonly calls: number }
  | { readonly end: "stopped" | "full"; readonly routes: string | null };

type Methods = Record<string, (...given: unknown[]) => unknown>;

/** The object a place of the table names. */
export function placeOf(speaker: Speaker, place: string): Methods {
  let at: unknown = speaker;
  for (const name of place === "" ? [] : place.split(".")) at = (at as Record<string, unknown>)[name];
  return at as Methods;
}

export class Recorder {
  readonly #fd: number;
  readonly #full: () => void;
  readonly #answers = new Answers();
  readonly #timer: NodeJS.Timeout;
  #speaker: Speaker | undefined;
  #lines: string[] = [];
  #buffered = 0;
  #written = 0;
  #calls = 0;
  #depth = 0;
  #isOver = false;

  /** Opens the file anew; throws the system's error. `full`: the limit was reached, or the disk. */
  constructor(path: string, full: () => void) {
    this.#fd = openSync(path, "w", 0o600);
    this.#full = full;
    this.#timer = setInterval(() => this.#flush(), recordLimits.flushMillis).unref();
  }

  /** A source of chance that is written down. */
  jitter(chance: () => number): () => number {
    return () => {
      const j = chance();
      this.#put({ j });
      return j;
    };
  }

  /** Writes down what this speaker is told from now on; it must be new. */
  follow(speaker: Speaker, settings: Omit<SpeakerSettings, "jitter">): void {
    this.#speaker = speaker;
    this.#put({ schema: 1, settings });
    for (const place of places)
      for (const name of recorded[place]) {
        const target = placeOf(speaker, place),
          call = target[name];
        if (call !== undefined)
          target[name] = (...given) => this.#call(place === "" ? name : `${place}.${name}`, given, () => call.apply(target, this.#heard(name, given)));
      }
  }

  /** The last line; nothing is written after it. */
  end(why: "stopped" | "full" = "stopped"): void {
    if (this.#isOver) return;
    const { ribs } = this.#speaker?.rib ?? { ribs: [] };
    const isSmall = ribs.reduce((sum, rib) => sum + rib.chosen, 0) <= recordLimits.digestedRoutes;
    this.#put({ digest: this.#answers.digest(), calls: this.#calls });
    this.#put({ end: why, routes: this.#speaker && isSmall ? digestRoutes(this.#speaker) : null });
    this.#flush();
    this.#isOver = true;
    clearInterval(this.#timer);
    closeSync(this.#fd);
  }

  #call(name: string, given: readonly unknown[], make: () => unknown): unknown {
    if (this.#isOver || this.#depth > 0) return make();
    this.#put({ c: name, a: given.map((each) => argument(name, each)) });
    this.#depth++;
    try {
      const answer = make();
      this.#answers.add(name, answer);
      return answer;
    } finally {
      this.#depth--;
      if (++this.#calls % recordLimits.callsPerDigest === 0) this.#put({ digest: this.#answers.digest(), calls: this.#calls });
    }
  }

  /** What `pull` gives away is an answer as well. */
  #heard(name: string, given: readonly unknown[]): unknown[] {
    if (name !== "pull" || this.#isOver) return [...given];
    const give = given[3] as (bytes: Uint8Array) => void;
    return [...given.slice(0, 3), (bytes: Uint8Array) => (this.#answers.bytes(bytes), give(bytes))];
  }

  #put(line: RecordLine): void {
    if (this.#isOver) return;
    const text = `${JSON.stringify(line, encodeValue)}\n`;
    this.#lines.push(text);
    this.#buffered += text.length;
    if (this.#buffered >= recordLimits.bufferOctets) this.#flush();
  }

  #flush(): void {
    if (this.#lines.length === 0 || this.#isOver) return;
    const text = this.#lines.join("");
    this.#lines = [];
    this.#buffered = 0;
    try {
      writeSync(this.#fd, text);
    } catch {
      this.#isOver = true; // the disk is full: what is there can be run again up to here
      this.#full();
      return;
    }
    this.#written += text.length;
    if (this.#written < recordLimits.octets) return;
    this.#full();
    this.#written = 0;
    this.end("full");
  }
}

/** All that a speaker answered, as one number. The same for whoever records and whoever runs it again. */
export class Answers {
  readonly #hash: Hash = createHash("sha256");

  add(name: string, answer: unknown): void {
    if (answer === undefined) return;
    this.#hash.update(`${name} ${JSON.stringify(answer, encodeValue)}\n`);
  }
  bytes(given: Uint8Array): void {
    this.#hash.update(given);
  }
  digest(): string {
    return this.#hash.copy().digest("hex");
  }
}

/** The Loc-RIB as one number: every chosen path with its attributes, whatever order they came in. */
export function digestRoutes(speaker: Speaker): string {
  const lines: string[] = [];
  for (const rib of speaker.rib.ribs)
    for (let prefix = 0; prefix < rib.prefixes.end; prefix++) {
      const best = rib.prefixes.isLive(prefix) ? rib.bestOf(prefix) : -1;
      if (best >= 0 && rib.adjRibIn.isUsed(best)) lines.push(JSON.stringify(viewPath(speaker, rib, best)));
    }
  return createHash("sha256").update(lines.toSorted().join("\n")).digest("hex");
}

/** An argument as a value: of connections and chunks what the speaker reads. */
function argument(name: string, given: unknown): unknown {
  if (typeof given === "function") return null;
  if (typeof given !== "object" || given === null) return given;
  if (name === "connected") return "local" in given && "remote" in given ? { local: given.local, remote: given.remote } : given;
  if (name !== "bytes") return given;
  const { buffer, start, end } = given as { readonly buffer: Uint8Array; readonly start: number; readonly end: number };
  return { buffer: buffer.subarray(start, end), start: 0, end: end - start };
}

/** Octets as base64 under `$b`, maps and sets as lists under `$m` and `$s`, numbers JSON lacks under `$n`. */
function encodeValue(this: unknown, key: string, value: unknown): unknown {
  const own = key === "" ? value : (this as Record<string, unknown>)[key];
  if (own instanceof Uint8Array) return { $b: Buffer.from(own.buffer, own.byteOffset, own.byteLength).toString("base64") };
  if (own instanceof Map) return { $m: [...own] };
  if (own instanceof Set) return { $s: [...own] };
  if (typeof own === "bigint") return { $n: String(own) };
  if (typeof own === "number" && !Number.isFinite(own)) return { $n: String(own) };
  return value;
}

/** The reverse of what a line was written with. */
export function decodeValue(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if ("$b" in value) return new Uint8Array(Buffer.from(String(value.$b), "base64"));
  if ("$m" in value) return new Map(value.$m as [unknown, unknown][]);
  if ("$s" in value) return new Set(value.$s as unknown[]);
  if ("$n" in value) return /^-?\d+$/.test(String(value.$n)) ? BigInt(String(value.$n)) : Number(value.$n);
  return value;
}
