/** Runs the machine's own programs (`ip`, `ping`, `birdc`) and waits for facts, both within a time. */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { FaultError, worldFault } from "#base/fault.ts";

const commandLimits = { outputOctets: 16 * 1024 * 1024, millis: 15_000 } as const;

export interface Ran {
  /** Exit code; 128 + signal number if it was killed. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly millis?: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs `argv` to its end, killed after `millis`. A program that is not there is code 127. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const millis = options.millis ?? commandLimits.millis;
  return new Promise((resolve) => {
    const child = spawn(argv[0]!, argv.slice(1), { stdio: ["pipe", "pipe", "pipe"], env: options.env, timeout: millis, killSignal: "SIGKILL" });
    const chunks: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
    let octets = 0;
    for (const name of ["stdout", "stderr"] as const) {
      child[name].on("data", (chunk: Buffer) => {
        octets += chunk.length;
        if (octets <= commandLimits.outputOctets) chunks[name].push(chunk);
      });
    }
    const text = (name: "stdout" | "stderr"): string => Buffer.concat(chunks[name]).toString("utf8");
    child.once("error", (error) => resolve({ code: 127, stdout: "", stderr: error.message }));
    child.once("close", (code, signal) => resolve({ code: code ?? (signal ? 137 : 1), stdout: text("stdout"), stderr: text("stderr") }));
    // A program that does not read its input closes the pipe; its exit code says enough.
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
  });
}

/** As `run`, but anything but success is a fault that says what was tried and what the program said. */
export async function must(what: string, argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const ran = await run(argv, options);
  if (ran.code === 0) return ran.stdout;
  const said = (ran.stderr.trim() || ran.stdout.trim()).split("\n").slice(0, 3).join("; ");
  throw new FaultError(worldFault("lab.command", `${what}: ${argv[0]} said "${said || `exit code ${ran.code}`}"`));
}

/** The list that a tool prints as JSON; nothing if it fails, since what it was asked about may be coming or going. */
export async function runJson<T>(argv: readonly string[]): Promise<readonly T[]> {
  const ran = await run(argv);
  const text = ran.stdout.trim();
  return ran.code === 0 && text.endsWith("]") ? (JSON.parse(text) as readonly T[]) : [];
}

/** One `ip -batch`: all lines or a fault at the first that fails. */
export async function ipBatch(what: string, lines: readonly string[], namespace?: string): Promise<void> {
  if (lines.length === 0) return;
  await must(what, ["ip", ...(namespace === undefined ? [] : ["-n", namespace]), "-batch", "-"], { input: `${lines.join("\n")}\n` });
}

/** `argv` inside `namespace`. */
export function inside(namespace: string, argv: readonly string[]): string[] {
  return ["ip", "netns", "exec", namespace, ...argv];
}

export interface Patience {
  readonly millis: number;
  readonly everyMillis?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Looks until there is something to see, or time is up (undefined). Throws what aborted `signal`. */
export async function awaitFact<T>(look: () => Promise<T | undefined>, patience: Patience): Promise<T | undefined> {
  const deadline = performance.now() + patience.millis;
  for (;;) {
    patience.signal?.throwIfAborted();
    const seen = await look();
    if (seen !== undefined) return seen;
    if (performance.now() >= deadline) return undefined;
    await sleep(patience.everyMillis ?? 100);
  }
}

/** `work` over `items`, at most `limit` at a time; results in the order of the items. */
export async function eachBounded<T, R>(items: readonly T[], limit: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = Array.from({ length: items.length });
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const at = next++;
      results[at] = await work(items[at]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}
