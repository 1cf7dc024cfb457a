/**
 * `npm run faults [-- --only NAME[,NAME…]] [--scale 0.25] [--list]`: one fault after the other is done to a lab (quickstart: real etcd,
 * BIRD, kernel), while all pods ping each other 100 times a second. Prints a table; exit code 1 if any row failed.
 */
import { parseArgs } from "node:util";
import { daemonFaults } from "./daemon-faults.ts";
import { documentFaults } from "./document-faults.ts";
import { type Fault, perform, type Row } from "./fault.ts";
import { flannelFaults } from "./flannel-faults.ts";
import { kernelFaults } from "./kernel-faults.ts";
import { withLab } from "./lab.ts";
import { saidSince } from "./said.ts";
import { sessionFaults } from "./session-faults.ts";
import { storeFaults } from "./store-faults.ts";
import { printTable } from "./table.ts";
import { uplinkFaults } from "./uplink-faults.ts";

const all: readonly Fault[] = [...daemonFaults, ...storeFaults, ...kernelFaults, ...uplinkFaults, ...sessionFaults, ...documentFaults, ...flannelFaults];
const began = performance.now();
const say = (line: string): void => void process.stderr.write(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${line}\n`);

function choose(only: string | undefined): readonly Fault[] {
  if (only === undefined) return all;
  const patterns = only.split(",");
  const unknown = patterns.find((pattern) => !all.some((fault) => matches(fault, pattern)));
  if (unknown !== undefined) throw new Error(`there is no fault "${unknown}"; --list names them`);
  return all.filter((fault) => patterns.some((pattern) => matches(fault, pattern)));
}

/** A name, or the beginning of some with a star: `kill-*`. */
const matches = (fault: Fault, pattern: string): boolean => (pattern.endsWith("*") ? fault.name.startsWith(pattern.slice(0, -1)) : fault.name === pattern);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { only: { type: "string" }, scale: { type: "string", default: "0.25" }, list: { type: "boolean", default: false } },
  });
  const scale = Number(values.scale),
    faults = choose(values.only);
  if (!(scale > 0 && scale <= 1)) throw new Error("--scale is a number above 0, at most 1");
  if (values.list) {
    for (const { name, what } of faults) process.stdout.write(`${name.padEnd(20)} ${what}\n`);
    return 0;
  }
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interrupted.abort(new Error("interrupted; the lab is removed")));
  const rows = await withLab({ scale, say, signal: interrupted.signal }, async (lab) => {
    const done: Row[] = [];
    for (const fault of faults) {
      interrupted.signal.throwIfAborted();
      say(`== ${fault.name}: ${fault.what}`);
      const row = await perform(fault, lab, say);
      for (const sentence of row.wrong) say(`   WRONG: ${sentence}`);
      if (row.wrong.length > 0) for (const line of saidSince(lab, row)) say(`   ${line}`);
      done.push(row);
    }
    return done;
  });
  process.stdout.write(printTable(rows, { scale, seconds: (performance.now() - began) / 1000 }));
  return rows.every((row) => row.wrong.length === 0) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
