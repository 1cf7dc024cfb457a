/**
 * npm run sim -- [--seed N] [--seeds K] [--hours H] [--trace] [--reflection]
 *
 * Lives through K simulated clusters of H hours each, from seed N on, on every core; with --reflection through twenty speakers each, with nothing
 * beside them, looked at after every event. Says what went wrong in them and how often;
 * a promise that is broken is told with its seed and the last events, and the exit code is 1.
 */
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { type Report, simulate } from "./cluster.ts";
import { type FaultCounts, faultKinds, noCounts } from "./faults.ts";
import { type ReflectionReport, simulateReflection } from "./reflection.ts";

const usage =
  "npm run sim -- [--seed N] [--seeds K] [--hours H] [--trace] [--reflection]   first seed (1), how many (20; 1 with --seed), simulated hours of each (1), every event in words, twenty speakers alone";
const lastEvents = 60;

interface Options {
  readonly seed: number;
  readonly seeds: number;
  readonly hours: number;
  readonly trace: boolean;
  readonly reflection: boolean;
}
interface Order {
  readonly seed: number;
  readonly hours: number;
  readonly reflection: boolean;
}
/** How one seed went: its report, or what was broken and the events before that. */
type Outcome =
  | { readonly seed: number; readonly report: Report | ReflectionReport }
  | { readonly seed: number; readonly fault: string; readonly last: readonly string[] };

function optionsOf(argv: string[]): Options | string {
  try {
    const { values } = parseArgs({
      args: argv,
      options: { seed: { type: "string" }, seeds: { type: "string" }, hours: { type: "string" }, trace: { type: "boolean" }, reflection: { type: "boolean" } },
    });
    const seed = Number(values.seed ?? 1),
      seeds = Number(values.seeds ?? (values.seed === undefined ? 20 : 1)),
      hours = Number(values.hours ?? 1);
    if (!Number.isInteger(seed) || seed < 0 || !Number.isInteger(seeds) || seeds < 1) return "--seed is a number from 0 on, --seeds one from 1 on";
    if (!(hours >= 1 && hours <= 1000)) return "--hours is 1 to 1000: claims, silent links and retained routes need an hour to show what they do";
    return { seed, seeds, hours, trace: values.trace === true, reflection: values.reflection === true };
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  }
}

function runSeed({ seed, hours, reflection }: Order, hear?: (line: string) => void): Outcome {
  try {
    return { seed, report: (reflection ? simulateReflection : simulate)(seed, hours, hear) };
  } catch (cause) {
    const isPromise = cause instanceof Error && cause.name === "SimulationFault";
    return { seed, fault: isPromise ? cause.message : `seed ${seed}: ${cause instanceof Error ? cause.stack : String(cause)}`, last: [] };
  }
}

/** A seed that failed is run again for its last events: runs are repeatable, so nothing need be kept of those that go well. */
function runAndTell(order: Order): Outcome {
  const outcome = runSeed(order);
  if ("report" in outcome) return outcome;
  const last: string[] = [];
  const again = runSeed(order, (line) => {
    last.push(line);
    if (last.length > 2 * lastEvents) last.splice(0, lastEvents);
  });
  if ("report" in again || again.fault !== outcome.fault)
    last.push("-- it went otherwise the second time: the simulator is not repeatable, which must be mended first");
  return { ...outcome, last: last.slice(-lastEvents) };
}

/** Hands the seeds out, one at a time, to as many threads as there are cores. */
async function runAll({ seed, seeds, hours, reflection }: Options, tell: (outcome: Outcome) => void): Promise<void> {
  let next = seed;
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL(import.meta.url));
    try {
      while (next < seed + seeds) {
        const answer = once(worker, "message") as Promise<[Outcome]>;
        worker.postMessage({ seed: next++, hours, reflection } satisfies Order);
        tell((await answer)[0]);
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(seeds, availableParallelism()) }, work));
}

async function main(argv: string[]): Promise<number> {
  const options = optionsOf(argv);
  if (typeof options === "string") {
    console.error(`${options}; usage: ${usage}`);
    return 2;
  }
  const began = performance.now(),
    reports: (Report | ReflectionReport)[] = [],
    failed: number[] = [];
  const tell = (outcome: Outcome): void => {
    if ("report" in outcome) return void reports.push(outcome.report);
    failed.push(outcome.seed);
    console.error(
      [
        ...outcome.last,
        outcome.fault,
        `again, with every event: npm run sim -- ${options.reflection ? "--reflection " : ""}--seed ${outcome.seed} --hours ${options.hours} --trace`,
      ].join("\n"),
    );
  };
  if (options.trace)
    for (let seed = options.seed; seed < options.seed + options.seeds; seed++) tell(runSeed({ ...options, seed }, (line) => console.log(line)));
  else await runAll(options, tell);
  const seconds = (performance.now() - began) / 1000;
  console.log(
    options.reflection
      ? reflectionTable(
          reports.filter((report) => "compared" in report),
          options.hours,
          seconds,
        )
      : table(
          reports.filter((report) => "counts" in report),
          seconds,
        ),
  );
  if (failed.length > 0) console.error(`${failed.length} of ${options.seeds} seeds failed: ${failed.toSorted((a, b) => a - b).join(", ")}`);
  return failed.length > 0 ? 1 : 0;
}

function table(reports: readonly Report[], seconds: number): string {
  const sum = (value: (report: Report) => number): number => reports.reduce((total, report) => total + value(report), 0);
  const counts = reports.reduce((total: FaultCounts, report) => {
    for (const kind of faultKinds) total[kind] += report.counts[kind];
    return total;
  }, noCounts());
  const rows: [string, string][] = [
    ["seeds that held", String(reports.length)],
    ["simulated hours", sum(({ hours }) => hours).toFixed(1)],
    ["events", String(sum(({ events }) => events))],
    ["seconds", `${seconds.toFixed(1)} (${Math.round(sum(({ events }) => events) / seconds)} events a second)`],
    ["sessions that went down", String(sum(({ seen }) => seen.sessionsLost))],
    ["CIDRs let go of", String(sum(({ seen }) => seen.leasesLost))],
    ["routes told", String(sum(({ seen }) => seen.routesTold))],
    ["restarts without loss", String(sum(({ seen }) => seen.restarts))],
    ["cuts without loss", String(sum(({ seen }) => seen.cuts))],
    ...(reports.length === 1 ? ([["trace", reports[0]!.trace]] as [string, string][]) : []),
    ["", ""],
    ...faultKinds.map((kind) => [kind, String(counts[kind])] as [string, string]),
  ];
  return printed(rows);
}

function reflectionTable(reports: readonly ReflectionReport[], hours: number, seconds: number): string {
  const sum = (value: (report: ReflectionReport) => number): string => String(reports.reduce((total, report) => total + value(report), 0));
  return printed([
    ["seeds that held", String(reports.length)],
    ["simulated hours", (reports.length * hours).toFixed(1)],
    ["events", sum(({ events }) => events)],
    ["seconds", seconds.toFixed(1)],
    ["sessions that went down", sum(({ sessionsLost }) => sessionsLost)],
    ["routes told", sum(({ routesTold }) => routesTold)],
    ["tables told, compared", sum(({ compared }) => compared)],
  ]);
}

const printed = (rows: readonly (readonly [string, string])[]): string => rows.map(([name, value]) => `${name.padEnd(34)}${value}`.trimEnd()).join("\n");

if (isMainThread) process.exit(await main(process.argv.slice(2)));
else parentPort!.on("message", (order: Order) => parentPort!.postMessage(runAndTell(order)));
