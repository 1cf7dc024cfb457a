/** The kernel's tables of ours for a person: what is as it should be, and what is not and why. */
import type { KernelView } from "#daemon/control.ts";
import { wrap } from "./display-text.ts";
import { type Cell, type Column, table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

type Entry = KernelView["tables"][number]["entries"][number];

const columns: readonly Column[] = [
  { head: "table" },
  { head: "entry", least: 16 },
  { head: "state" },
  { head: "desired", least: 16 },
  { head: "actual", least: 8, leaves: 1 },
];

export function kernelScreen({ tables }: KernelView, terminal: Terminal): string[] {
  const rows = tables.flatMap(({ name, entries }) => entries.map((entry) => ({ name, entry })));
  if (rows.length === 0) return ["the kernel holds nothing of podway, and nothing is wanted there"];
  const [head, ...lines] = table(
    columns,
    rows.map(({ name, entry }) => row(name, entry, terminal)),
    terminal,
  );
  const why = ({ failure }: Entry): string[] => (failure === null ? [] : wrap(failure, terminal.width, "    ").map(terminal.dim));
  const differing = rows.filter(({ entry }) => stateOf(entry) !== "in place").length;
  const foot = `${rows.length} entries, ${differing === 0 ? "all in place" : `${differing} not as they should be`}`;
  return [head!, ...rows.flatMap(({ entry }, i) => [lines[i]!, ...why(entry)]), "", foot];
}

function stateOf({ desired, actual }: Entry): "in place" | "missing" | "left over" | "differs" {
  if (desired === actual) return "in place";
  if (actual === null) return "missing";
  return desired === null ? "left over" : "differs";
}

function row(name: string, entry: Entry, terminal: Terminal): Cell[] {
  const state = stateOf(entry);
  const same = state === "in place";
  return [name, entry.key, { text: state, paint: same ? terminal.green : terminal.red }, entry.desired ?? "-", same ? "same" : (entry.actual ?? "-")];
}
