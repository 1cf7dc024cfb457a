/** Documents of before, for a person: newest first, what changed below each. */
import type { HistoryView, RevisionView } from "#daemon/operator-control.ts";
import { printable, truncate, wrap } from "./display-text.ts";
import { duration } from "./duration.ts";
import { type Column, table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

const columns: readonly Column[] = [
  { head: "" },
  { head: "revision", align: "right" },
  { head: "when" },
  { head: "by", least: 8 },
  { head: "on node", least: 8, leaves: 1 },
  { head: "how", least: 8 },
];

export function historyScreen({ pending, revisions }: HistoryView, terminal: Terminal): string[] {
  const waits = pending
    ? wrap(`revision ${pending.revision} goes back in ${duration(pending.secondsLeft)} unless somebody confirms it (podway confirm)`, terminal.width)
    : [];
  if (revisions.length === 0) return [...waits, "nothing is remembered: history is kept by a store, from the first apply on"];
  const [head, ...lines] = table(
    columns,
    revisions.map((each) => [{ text: each.rules ? "*" : "", paint: terminal.green }, each.revision, each.at, each.by, each.node, each.how]),
    terminal,
  );
  return [...waits.map(terminal.yellow), head!, ...revisions.flatMap((each, i) => [lines[i]!, ...changes(each, terminal)]), "", "* rules now"];
}

function changes({ changes: lines, more }: RevisionView, terminal: Terminal): string[] {
  const shown = lines.map((line) => `    ${truncate(printable(line), terminal.width - 4)}`);
  return [...shown, ...(more > 0 ? [`    and ${more} more`] : [])].map(terminal.dim);
}
