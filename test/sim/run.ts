/**
 * npm run sim -- [--seed N] [--seeds K] [--hours H] [--trace]
 *
 * Lives through K simulated clusters of H hours each, from seed N on, one after the other. Says what went wrong in them and how
 * often; a promise that is broken is told with its seed and the last events, and the exit code is 1.
 */
import { parseArgs } from "node:util";
import { type Report, simulate } from "./cluster.ts";
import { type FaultCounts, faultKinds, noCounts } from "./faults.ts";

const usage = "npm run sim -- [--seed N] [--seeds K] [--hours H] [--trace]   first seed (1), how many (20), simulated hours of each (1), every event in words";
const lastEvents = 60;

interface Options {
  readonly seed: number;
  readonly seeds: number;
  readonly hours: number;
  readonly trace: boolean;
}

function optionsOf(argv: string[]): Options | string {
  try {
    const { values } = parseArgs({ args: argv, options: { seed: { type: "string" }, seeds: { type: "string" }, hours: { type: "string" }, trace: { type: "boolean" } } });
    const seed = Number(values.seed ?? 1), seeds = Number(values.seeds ?? (values.seed === undefined ? 20 : 1)), hours = Number(values.hours ?? 1);
    if (!Number.isInteger(seed) || seed < 0 || !Number.isInteger(seeds) || seeds < 1) return "--seed is a number from 0 on, --seeds one from 1 on";
    if (!(hours >= 1 && hours <= 1000)) return "--hours is 1 to 1000: claims, held links and retained routes need that long to show what they do";
    return { seed, seeds, hours, trace: values.trace === true };
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  }
}

/** The same seed again, with its last events in words: runs are repeatable, so that nothing need be kept of those that go well. */
function tellAgain(seed: number, hours: number): void {
  const last: string[] = [];
  try {
    simulate(seed, hours, (line) => {
      last.push(line);
      if (last.length > 2 * lastEvents) last.splice(0, lastEvents);
    });
    console.error(`seed ${seed} went well when it was run again: the simulator itself is not repeatable, which must be repaired first`);
  } catch {
    console.error(last.slice(-lastEvents).join("\n"));
  }
}

function main(argv: string[]): number {
  const options = optionsOf(argv);
  if (typeof options === "string") {
    console.error(`${options}; usage: ${usage}`);
    return 2;
  }
  const { seed, seeds, hours, trace } = options, began = performance.now(), reports: Report[] = [], failed: number[] = [];
  for (let n = seed; n < seed + seeds; n++) {
    try {
      reports.push(simulate(n, hours, trace ? (line) => console.log(line) : undefined));
    } catch (cause) {
      failed.push(n);
      if (!trace) tellAgain(n, hours);
      console.error(cause instanceof Error && cause.name === "SimulationFault" ? cause.message : cause);
      console.error(`again, with every event: npm run sim -- --seed ${n} --hours ${hours} --trace`);
    }
  }
  console.log(table(reports, (performance.now() - began) / 1000));
  if (failed.length > 0) console.error(`${failed.length} of ${seeds} seeds failed: ${failed.join(", ")}`);
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
    ...(reports.length === 1 ? ([["trace", reports[0]!.trace]] as [string, string][]) : []),
    ["", ""],
    ...faultKinds.map((kind) => [kind, String(counts[kind])] as [string, string]),
  ];
  return rows.map(([name, value]) => `${name.padEnd(34)}${value}`.trimEnd()).join("\n");
}

process.exit(main(process.argv.slice(2)));
