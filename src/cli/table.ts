/** Rows in columns that fit the terminal: first the columns that matter least go, then the widest text is shortened. */
import { columnsOf, printable, truncate } from "./display-text.ts";
import type { Paint, Terminal } from "./terminal.ts";

export interface Column {
  readonly head: string;
  /** Numbers stand at the right and are never shortened. */
  readonly align?: "right";
  /** A text that may be shortened to this many columns. */
  readonly least?: number;
  /** May be left out on a narrow terminal; the highest number goes first. */
  readonly leaves?: number;
}

export type Cell = string | { readonly text: string; readonly paint: Paint };

const gap = "  ";

/** The head, then one line per row, in that order; cells are made printable here. Lines have no trailing space. */
export function table(columns: readonly Column[], rows: readonly (readonly Cell[])[], terminal: Terminal, indent = ""): string[] {
  const texts = rows.map((row) => row.map((cell) => printable(typeof cell === "string" ? cell : cell.text)));
  const natural = columns.map((column, i) => texts.reduce((most, row) => Math.max(most, columnsOf(row[i]!)), column.head.length));
  const shown = visible(columns, natural, terminal.width - indent.length);
  const widths = fit(
    shown.map((i) => columns[i]!),
    shown.map((i) => natural[i]!),
    terminal.width - indent.length,
  );
  const line = (cells: readonly string[], paint: (i: number) => Paint): string => {
    const parts = shown.map((i, at) => pad(truncate(cells[i]!, widths[at]!), widths[at]!, columns[i]!.align, paint(i)));
    return (indent + parts.join(gap)).trimEnd();
  };
  const head = line(
    columns.map((column) => column.head),
    () => terminal.dim,
  );
  return [head, ...texts.map((cells, row) => line(cells, (i) => paintOf(rows[row]![i]!)))];
}

const paintOf = (cell: Cell): Paint => (typeof cell === "string" ? asIs : cell.paint);
const asIs: Paint = (text) => text;

/** Padding stays outside the paint, so that a line can be trimmed. */
function pad(text: string, width: number, align: Column["align"], paint: Paint): string {
  const space = " ".repeat(Math.max(0, width - columnsOf(text)));
  return align === "right" ? space + paint(text) : paint(text) + space;
}

const gaps = (count: number): number => gap.length * Math.max(0, count - 1);

/** Indexes of the columns that have room when every text is as short as it may be. */
function visible(columns: readonly Column[], natural: readonly number[], width: number): number[] {
  const shown = columns.map((_, i) => i);
  const needed = (): number => shown.reduce((sum, i) => sum + Math.min(natural[i]!, leastOf(columns[i]!, natural[i]!)), gaps(shown.length));
  while (needed() > width) {
    const leaving = shown.reduce((most, i) => ((columns[i]!.leaves ?? 0) > (columns[most]?.leaves ?? 0) ? i : most), -1);
    if (leaving < 0) break;
    shown.splice(shown.indexOf(leaving), 1);
  }
  return shown;
}

const leastOf = (column: Column, natural: number): number => Math.max(column.least ?? natural, column.head.length);

function fit(columns: readonly Column[], natural: readonly number[], width: number): number[] {
  const widths = [...natural];
  for (let excess = widths.reduce((sum, each) => sum + each, gaps(widths.length)) - width; excess > 0; excess--) {
    let widest = -1;
    for (let i = 0; i < widths.length; i++) {
      if (widths[i]! > leastOf(columns[i]!, natural[i]!) && widths[i]! > (widths[widest] ?? 0)) widest = i;
    }
    if (widest < 0) break;
    widths[widest]!--;
  }
  return widths;
}
