/** One run after the other, speakers in turn, each on a fresh process; medians, and how much of the machine was taken by others. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:http";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Answer, generate, type Measure } from "./generator.ts";
import { ownSocket, portOf, type SpeakerName, start } from "./speakers.ts";

export interface Bench {
  readonly program: string;
  /** The peers to compare with. */
  readonly peers: readonly SpeakerName[];
  readonly runs: number;
  readonly quick: boolean;
  readonly timeoutSeconds: number;
  /** Shares of the machine that others had, one a run. */
  readonly noise: number[];
  readonly say: (text: string) => void;
}

/** Values by the metric's name as the daemon tells it, labels included. */
export type Metrics = ReadonlyMap<string, number>;
export type Samples = Readonly<Record<string, Metrics>>;

export interface Run {
  readonly answer: Answer;
  /** Of ours alone: the daemon's metrics at the phases that were asked for. */
  readonly samples: Samples;
}

const waitBetweenPhasesMillis = 1500;

/** One run of one speaker. With `phases` the metrics of ours are read then. */
export async function runOnce(bench: Bench, name: SpeakerName, argv: readonly string[], phases?: readonly string[]): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), "podway-bench-"));
  const samples: Record<string, Metrics> = {};
  const atPhase = async (phase: string): Promise<void> => {
    if (name !== "ours" || !phases?.includes(phase)) return;
    await delay(waitBetweenPhasesMillis);
    samples[phase] = await readMetrics(ownSocket(folder));
  };
  const speaker = await start(name, folder);
  try {
    const before = machineTime();
    const given = ["--port", `${portOf(name)}`, "--pids", speaker.pids.join(","), "--timeout", `${bench.timeoutSeconds}`, ...argv];
    const answer = await generate(bench.program, given, phases && atPhase);
    const after = machineTime(),
      used = (answer.generatorCpuSeconds ?? 0) + (answer.loadCpuSeconds ?? 0) + (answer.withdrawCpuSeconds ?? 0);
    if (!answer.error && !("addPath" in answer)) bench.noise.push(Math.max(0, (after.busy - before.busy - used) / (after.all - before.all)));
    bench.say(`  ${name}: ${answer.error ?? summary(answer)}`);
    return { answer, samples };
  } finally {
    await speaker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const summary = (answer: Answer): string =>
  (["loadSeconds", "loadCpuSeconds", "withdrawSeconds", "withdrawCpuSeconds", "loadedMegabytes"] as const)
    .flatMap((key) => (typeof answer[key] === "number" ? [`${key} ${answer[key]}`] : []))
    .join(", ");

/** Medians of a speaker, or why it has none. */
export interface Medians {
  readonly error: string | undefined;
  readonly of: (measure: Measure) => number;
  readonly last: Answer;
}

/** The same work on ours and the peers, interleaved: A B C, B C A, … */
export async function compare(bench: Bench, argv: readonly string[], peers: readonly SpeakerName[] = bench.peers): Promise<ReadonlyMap<SpeakerName, Medians>> {
  const names: SpeakerName[] = ["ours", ...peers];
  const answers = new Map<SpeakerName, Answer[]>(names.map((name) => [name, []]));
  for (let run = 0; run < bench.runs; run++) {
    for (let n = 0; n < names.length; n++) {
      const name = names[(run + n) % names.length]!;
      if (answers.get(name)!.some((answer) => answer.error)) continue; // it failed: no need to wait for it again
      answers.get(name)!.push((await runOnce(bench, name, argv)).answer);
    }
  }
  return new Map([...answers].map(([name, given]) => [name, mediansOf(given)]));
}

export function mediansOf(answers: readonly Answer[]): Medians {
  return { error: answers.find((answer) => answer.error)?.error, of: (measure) => median(answers.map((answer) => answer[measure])), last: answers.at(-1)! };
}
function median(values: readonly number[]): number {
  const sorted = values.filter((value) => value !== undefined).toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

/** Seconds of CPU time since the machine started: in use (time stolen by the host counts), and in all. */
function machineTime(): { readonly busy: number; readonly all: number } {
  const [, user, nice, system, idle, wait, interrupts, soft, steal] = readFileSync("/proc/stat", "utf8").split("\n")[0]!.split(/\s+/).map(Number);
  const busy = user! + nice! + system! + interrupts! + soft! + steal!;
  return { busy: busy / 100, all: (busy + idle! + wait!) / 100 };
}

function readMetrics(socketPath: string): Promise<Metrics> {
  const { promise, resolve, reject } = Promise.withResolvers<Metrics>();
  get({ socketPath, path: "/metrics" }, (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    response.on("end", () => resolve(new Map([...text.matchAll(/^(\w+(?:\{[^}]*\})?) (\S+)$/gm)].map(([, name, value]) => [name!, Number(value)]))));
  }).on("error", reject);
  return promise;
}

/** What results are compared by: on another machine they mean nothing. */
export const machineName = (): string => `${cpus()[0]?.model.trim() ?? "unknown"}, ${cpus().length} cores`;
