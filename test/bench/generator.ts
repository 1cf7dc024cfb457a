/** Builds and runs the load generator (generator/*.c). */
import { execFileSync, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** What it answers; times in seconds. Which members are there depends on the options. */
export interface Answer {
  readonly error?: string;
  readonly clients: number;
  readonly routes: number;
  readonly upSeconds: number;
  readonly loadSeconds: number;
  readonly loadCpuSeconds: number;
  readonly withdrawSeconds: number;
  readonly withdrawCpuSeconds: number;
  readonly idleMegabytes: number;
  readonly loadedMegabytes: number;
  readonly peakMegabytes: number;
  readonly generatorCpuSeconds: number;
  readonly announced: number;
  readonly digest: string;
  readonly stalledSeconds: number;
  readonly mostTellings: number;
  readonly keepaliveGapSeconds: number;
  readonly messageGapSeconds: number;
  readonly churnChanges: number;
  readonly churnSettleSeconds: number;
  readonly churnedMegabytes: number;
  readonly undoneMegabytes: number;
  readonly addPath?: "offered" | "not offered";
  readonly capabilities: readonly number[];
}

/** Names of the answer that are one number. */
export type Measure = { [Key in keyof Answer]-?: Answer[Key] extends number ? Key : never }[keyof Answer];

const sources = fileURLToPath(new URL("generator", import.meta.url));

/** Returns the path of the program. */
export function build(folder: string): string {
  const program = join(folder, "generator");
  const files = readdirSync(sources)
    .filter((file) => file.endsWith(".c"))
    .map((file) => join(sources, file));
  execFileSync("cc", ["-O2", "-o", program, ...files, "-lpthread"], { stdio: ["ignore", "inherit", "inherit"] });
  return program;
}

/** Runs it to its end. `atPhase` is called between phases while the sessions stay up, and awaited. */
export async function generate(program: string, argv: readonly string[], atPhase?: (phase: string) => Promise<void>): Promise<Answer> {
  const child = spawn(program, [...argv, ...(atPhase ? ["--ask"] : [])], { stdio: ["pipe", "pipe", "pipe"] });
  const out: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stdin.on("error", () => {}); // it ended while we looked: its answer says why
  createInterface({ input: child.stderr }).on("line", (phase) => {
    if (!atPhase) process.stderr.write(`${phase}\n`);
    else void atPhase(phase).finally(() => child.stdin.write("\n"));
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  child.on("close", () => resolve());
  await promise;
  const text = Buffer.concat(out).toString();
  try {
    return JSON.parse(text) as Answer;
  } catch {
    return { error: text.trim() || "the generator gave no answer" } as Answer;
  }
}
