/** The matrix: who was tried for what, what came of it, and the table a person reads. */
import type { Bench, Scene } from "./bench.ts";

/** In the order they are printed. */
export const rows = [
  "iBGP client, IPv4 routes",
  "iBGP client, IPv6 routes",
  "withdrawals",
  "large communities",
  "unknown transitive attributes",
  "extended messages",
  "extended messages, ours to them",
  "ADD-PATH, they receive",
  "ADD-PATH, they send",
  "IPv4 routes over an IPv6 next hop",
  "route refresh, they ask",
  "enhanced refresh, they ask",
  "shutdown text, theirs",
  "shutdown text, ours",
  "iBGP non-client (two reflectors)",
  "eBGP, our routes to them",
  "eBGP, their routes to us",
  "route refresh, we ask",
  "IPv6 transport",
  "TCP-MD5",
  "GTSM",
  "graceful restart, they restart",
  "graceful restart, we restart",
  "long-lived restart, they are away",
  "long-lived restart, we are away",
  "roles that go together",
  "roles that do not",
  "hold time 0",
  "hold timer, they fall silent",
  "hold timer, we fall silent",
  "prefix limit, ours",
  "prefix limit, theirs",
  "collision",
  "wrong AS, we refuse",
  "wrong AS, they refuse",
  "two-octet AS numbers",
  "BFD on a link",
  "BFD over a router",
] as const;
export type Row = (typeof rows)[number];

/** yes; no, and why; not supported by the other side, and how that is known. */
export interface Cell {
  readonly verdict: "yes" | "no" | "theirs";
  readonly note: string;
}

/** Thrown by a trial: the other side cannot do it, and this is how we know. */
export class Theirs extends Error {}

export interface Scenario {
  readonly rows: readonly Row[];
  /** How the bench is set before the first trial; a trial may set it anew. */
  scene(bench: Bench): Scene;
  /** Sessions and routes all trials need; if it fails, all rows have failed. */
  prepare?(bench: Bench): Promise<void>;
  /** One per row, in its order. What it answers is the note of a yes. */
  readonly trials: readonly ((bench: Bench) => Promise<string | void>)[];
}

export type Column = Map<Row, Cell>;

/** Runs the trials of one scenario; a row that fails does not stop the next. */
export async function runScenario(scenario: Scenario, bench: Bench, column: Column, wanted: (row: Row) => boolean): Promise<void> {
  const mine = scenario.rows.map((row, i) => ({ row, trial: scenario.trials[i]! })).filter(({ row }) => wanted(row));
  if (mine.length === 0) return;
  const broken = await attempt(async () => {
    await bench.set(scenario.scene(bench));
    await scenario.prepare?.(bench);
  });
  for (const { row, trial } of mine) column.set(row, broken.verdict === "yes" ? await attempt(() => trial(bench)) : broken);
}

async function attempt(work: () => Promise<string | void>): Promise<Cell> {
  try {
    return { verdict: "yes", note: (await work()) ?? "" };
  } catch (error) {
    if (error instanceof Theirs) return { verdict: "theirs", note: error.message };
    return { verdict: "no", note: error instanceof Error ? error.message : String(error) };
  }
}

/** The table, and under it each note with the columns it belongs to. */
export function printMatrix(columns: ReadonlyMap<string, Column>, tried: readonly Row[]): string {
  const names = [...columns.keys()],
    widths = names.map((name) => Math.max(name.length, 7)),
    left = Math.max(...rows.map(({ length }) => length));
  const line = (head: string, cells: readonly string[]): string =>
    `${head.padEnd(left)}  ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join("  ")}`.trimEnd();
  const out = [
    line("", names),
    line(
      "",
      widths.map((width) => "-".repeat(width)),
    ),
  ];
  for (const row of tried)
    out.push(
      line(
        row,
        names.map((name) => shown[columns.get(name)!.get(row)?.verdict ?? "none"]),
      ),
    );
  out.push("", "yes: seen to work.  NO: tried and failed.  theirs: the other side cannot, with the proof below.", "");
  for (const row of tried) for (const [note, who] of notesOf(row, columns)) out.push(`${row}: ${who.join(", ")}: ${note}`);
  return out.join("\n");
}

const shown = { yes: "yes", no: "NO", theirs: "theirs", none: "-" } as const;

function notesOf(row: Row, columns: ReadonlyMap<string, Column>): Map<string, string[]> {
  const notes = new Map<string, string[]>();
  for (const [name, column] of columns) {
    const cell = column.get(row);
    if (!cell || cell.note === "") continue;
    const text = cell.verdict === "no" ? `NO: ${cell.note}` : cell.note;
    notes.set(text, [...(notes.get(text) ?? []), name]);
  }
  return notes;
}
