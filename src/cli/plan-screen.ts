/** What a document would change, each line marked with its effect. */
import type { PlanView } from "#daemon/control.ts";
import { printable, truncate, wrap } from "./display-text.ts";
import type { Paint, Terminal } from "./terminal.ts";

type Change = PlanView["changes"][number];

export function planScreen({ changes }: PlanView, terminal: Terminal): string[] {
  if (changes.length === 0) return ["nothing would change"];
  return [...changes.flatMap((change) => lines(change, terminal)), "", summary(changes)];
}

export const isRefused = ({ changes }: PlanView): boolean => changes.some((change) => change.effect === "refused");

function lines(change: Change, terminal: Terminal): string[] {
  const sign = change.before === null ? "+" : change.after === null ? "-" : "~";
  const values = [change.before, change.after]
    .filter((value) => value !== null)
    .map(printable)
    .join(" -> ");
  const effect = change.effect.padEnd(15);
  const rest = truncate(`${sign} ${printable(change.path)}${values === "" ? "" : `: ${values}`}`, terminal.width - effect.length);
  return [paints[change.effect](terminal)(effect) + rest, ...wrap(change.text, terminal.width, " ".repeat(17)).map(terminal.dim)];
}

const paints: Readonly<Record<Change["effect"], (terminal: Terminal) => Paint>> = {
  "applied now": ({ green }) => green,
  "route refresh": ({ green }) => green,
  "session reset": ({ yellow }) => yellow,
  restart: ({ yellow }) => yellow,
  refused: ({ red }) => red,
};

/** `3 changes: 2 applied now, 1 session reset` */
function summary(changes: readonly Change[]): string {
  const effects = (Object.keys(paints) as Change["effect"][])
    .map((effect) => ({ effect, count: changes.filter((change) => change.effect === effect).length }))
    .filter(({ count }) => count > 0);
  return `${changes.length} ${changes.length === 1 ? "change" : "changes"}: ${effects.map(({ effect, count }) => `${count} ${effect}`).join(", ")}`;
}
