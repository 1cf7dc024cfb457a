/** Rows as a table for people. */
import type { Row } from "./fault.ts";

const columns: readonly (readonly [title: string, cell: (row: Row) => string])[] = [
  ["fault", (row) => row.fault.name],
  ["sent", (row) => String(row.sent)],
  ["lost", (row) => String(row.lost)],
  ["control", (row) => `${row.control.lost}/${row.control.sent}`],
  ["repair", (row) => (row.repairMillis === undefined ? "-" : `${(row.repairMillis / 1000).toFixed(2)} s`)],
  ["equal", (row) => (row.equal ? "yes" : "NO")],
  ["deleted", (row) => String(row.deletions)],
  ["took", (row) => `${row.seconds.toFixed(0)} s`],
  ["", (row) => (row.wrong.length === 0 ? "ok" : "FAILED")],
];

export function printTable(rows: readonly Row[], run: { readonly scale: number; readonly seconds: number }): string {
  const cells = [columns.map(([title]) => title), ...rows.map((row) => columns.map(([, cell]) => cell(row)))];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i]!.length)));
  const lines = cells.map((line) =>
    line
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
  const wrong = rows.flatMap((row) => row.wrong.map((sentence) => `${row.fault.name}: ${sentence}`));
  const failed = rows.filter((row) => row.wrong.length > 0).length;
  return [
    "",
    `Long waits and timers are multiplied by ${run.scale}. Lost: no answer within 1 s. Control: pings between the nodes' own addresses, beside.`,
    `Deleted: deletions of our rows that ip monitor and bridge monitor saw (where the fault itself deletes, they are its own).`,
    "",
    ...lines,
    "",
    ...wrong,
    `${rows.length - failed} of ${rows.length} faults passed in ${(run.seconds / 60).toFixed(1)} minutes.`,
    "",
  ].join("\n");
}
