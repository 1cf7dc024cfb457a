/**
 * `npm run fuzz`: mutated messages through codec and RIB, mutated sessions through the whole speaker. Exit 1 on an exception, a
 * promise that did not hold, a hang, or memory that grows. The seed is printed; the same seed is the same run.
 *
 *   npm run fuzz -- --messages 1000000 --sessions 10000 --seed 4711
 *   npm run fuzz -- --seed 4711 --kind messages --round 17      one round again
 */
import { fork } from "node:child_process";
import { parseArgs } from "node:util";
import type { Progress, Work } from "./fuzz-child.ts";
import { messagesPerRound } from "./messages.ts";
import { sessionsPerRound } from "./sessions.ts";

const { values: given } = parseArgs({
  options: {
    messages: { type: "string", default: "1000000" },
    sessions: { type: "string", default: "10000" },
    seed: { type: "string" },
    kind: { type: "string" },
    round: { type: "string" },
  },
});
/** A round takes a second at most; longer than this, on however slow a machine, is a hang. */
const hangMillis = 120_000;
/** Resident memory after the second half, compared with what it was after the first. */
const mostGrowth = 1.05;
/** A nursery that stays small, as the daemon's does (deploy/bin/launch.mjs): V8 would let it grow, and resident memory with it. */
const execArgv = ["--expose-gc", "--max-semi-space-size=4"];
const seed = given.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(given.seed);

interface Ended {
  readonly tally: object | undefined;
  readonly failure: string | undefined;
  /** Resident octets after each look. */
  readonly memory: readonly number[];
  readonly seconds: number;
}

function perform(task: Work): Promise<Ended> {
  const child = fork(new URL("./fuzz-child.ts", import.meta.url), [JSON.stringify(task)], { execArgv });
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const began = performance.now(),
    memory: number[] = [];
  let round = task.from - 1,
    guard: NodeJS.Timeout;
  const end = (failure: string | undefined, tally?: object): void => {
    clearTimeout(guard);
    child.kill("SIGKILL");
    resolve({ tally, failure, memory, seconds: (performance.now() - began) / 1000 });
  };
  const watch = (): void => {
    clearTimeout(guard);
    guard = setTimeout(() => end(`${task.kind}, seed ${task.seed}: round ${round + 1} does not end`), hangMillis);
  };
  child.on("message", (progress: Progress) => {
    if (progress.type === "failed") return end(progress.text);
    if (progress.type === "done") return end(undefined, progress.tally);
    round = progress.round;
    if (progress.residentBytes > 0) memory.push(progress.residentBytes);
    watch();
  });
  child.once("exit", (code, signal) => end(`${task.kind}, seed ${task.seed}: ended in round ${round + 1} (${signal ?? code})`));
  watch();
  return promise;
}

function told(kind: string, { tally, failure, memory, seconds }: Ended): boolean {
  const half = memory[Math.floor(memory.length / 2) - 1],
    last = memory.at(-1),
    growth = half === undefined || last === undefined ? undefined : last / half,
    hasGrown = growth !== undefined && growth > mostGrowth;
  const counts = Object.entries(tally ?? {})
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
  process.stdout.write(`${failure === undefined && !hasGrown ? "ok    " : "FAILED"} ${kind}: ${counts || "ended early"}; ${seconds.toFixed(0)} s\n`);
  if (growth !== undefined)
    process.stdout.write(`       memory ${mib(half!)} MiB after the first half, ${mib(last!)} MiB after the second: ${growth.toFixed(3)} times\n`);
  if (failure !== undefined) process.stdout.write(`${failure}\n`);
  return failure === undefined && !hasGrown;
}
const mib = (octets: number): string => (octets / 2 ** 20).toFixed(1);

const rounds = (count: string, each: number): number => Math.max(1, Math.ceil(Number(count) / each));
const from = given.round === undefined ? 0 : Number(given.round);
const tasks = (
  [
    { kind: "messages", seed, from, to: given.round === undefined ? rounds(given.messages, messagesPerRound) : from + 1 },
    { kind: "sessions", seed, from, to: given.round === undefined ? rounds(given.sessions, sessionsPerRound) : from + 1 },
  ] as const
).filter(({ kind }) => given.kind === undefined || given.kind === kind);

process.stdout.write(`seed ${seed}\n`);
let good = tasks.length > 0;
for (const task of tasks) good = told(task.kind, await perform(task)) && good;
process.exitCode = good ? 0 : 1;
