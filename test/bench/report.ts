/** The table, and the comparison with what was recorded on a machine of the same kind. */
import { readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import type { Row } from "./scenarios.ts";
import type { SpeakerName } from "./speakers.ts";

/** Ratios to BIRD (or to another run of ours) by `scenario: what`, on one machine with these versions. */
interface Recorded {
  readonly versions: string;
  readonly ratios: Readonly<Record<string, number>>;
}
type Records = Record<string, Recorded>;

const recordsFile = new URL("results.json", import.meta.url);
/** Beyond this much more than recorded, something became slower. */
const slowerBy = 1.2;
/** More of the machine in other hands than this, and times are not to be trusted. */
const quietShare = 0.1;

export function printTable(rows: readonly Row[], peers: readonly SpeakerName[]): void {
  const head = ["scenario", "what", "ours", ...peers, "ratio", "bar", ""];
  const lines = rows.map((row) => [
    row.scenario,
    row.what,
    cell(row.ours),
    ...peers.map((peer) => cell(row.peers[peer] ?? "")),
    row.ratio === undefined ? "" : row.ratio.toFixed(2),
    row.bar,
    row.ok === undefined ? "" : row.ok ? "ok" : "MISSED",
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]!.length)));
  const isText = (column: number): boolean => column < 2 || column >= 3 + peers.length + 1;
  const print = (line: readonly string[]): void =>
    console.log(
      line
        .map((text, column) => (isText(column) ? text.padEnd(widths[column]!) : text.padStart(widths[column]!)))
        .join("  ")
        .trimEnd(),
    );
  print(head);
  for (const line of lines) print(line);
}

function cell(value: number | string): string {
  if (typeof value === "string") return value;
  if (Number.isNaN(value)) return "?";
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(2) : value.toPrecision(2);
}

export function printQuietness(noise: readonly number[]): boolean {
  const share = noise.length === 0 ? 0 : noise.toSorted((a, b) => a - b)[noise.length >> 1]!;
  const quiet = share <= quietShare;
  const text = `Others had ${(share * 100).toFixed(0)} % of this machine (median of the runs); load average now ${loadavg()[0]!.toFixed(1)}.`;
  console.log(quiet ? `\n${text}` : `\n${text} It is not quiet: read ratios and CPU seconds, not wall-clock times, and expect missed bars.`);
  return quiet;
}

const keyOf = (row: Row): string => `${row.scenario}: ${row.what}`;
const readRecords = (): Records => JSON.parse(readFileSync(recordsFile, "utf8")) as Records;
const ratiosOf = (rows: readonly Row[]): Record<string, number> =>
  Object.fromEntries(rows.flatMap((row) => (row.ratio === undefined ? [] : [[keyOf(row), Number(row.ratio.toFixed(3))]])));

/** Says what needs more than it did. */
export function printComparison(rows: readonly Row[], machine: string, versions: string): void {
  const before = readRecords()[`${machine}; ${versions}`];
  if (!before) return console.log(`Nothing is recorded for ${machine} with ${versions}; --save records this run.`);
  const now = ratiosOf(rows),
    slower = Object.keys(now).filter((key) => now[key]! > (before.ratios[key] ?? Infinity) * slowerBy);
  if (slower.length === 0) console.log("Nothing needs more than recorded.");
  for (const key of slower) console.log(`${key} needs more than recorded: ratio ${now[key]!.toFixed(2)}, recorded ${before.ratios[key]!.toFixed(2)}.`);
}

export function saveRecords(rows: readonly Row[], machine: string, versions: string): void {
  const records = readRecords(),
    key = `${machine}; ${versions}`;
  records[key] = { versions, ratios: { ...records[key]?.ratios, ...ratiosOf(rows) } };
  writeFileSync(recordsFile, `${JSON.stringify(records, null, 2)}\n`);
}
