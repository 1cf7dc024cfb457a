/** What podway doctor found: what is wrong first, then what is doubtful, then what is well. */
import type { Check } from "#base/check.ts";
import { printable, wrap } from "./display-text.ts";
import type { Paint, Terminal } from "./terminal.ts";

const order: readonly Check["state"][] = ["fail", "warn", "ok"];
const paints: Readonly<Record<Check["state"], (terminal: Terminal) => Paint>> = {
  fail: ({ red }) => red,
  warn: ({ yellow }) => yellow,
  ok: ({ green }) => green,
};
const indent = " ".repeat(6);

export function checkScreen(checks: readonly Check[], terminal: Terminal): string[] {
  const sorted = checks.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
  const lines = sorted.flatMap(({ state, name, text }) => {
    const [first = "", ...more] = wrap(`${indent}${printable(name)}: ${printable(text)}`, terminal.width, indent);
    return [paints[state](terminal)(state.padEnd(6)) + first.trimStart(), ...more];
  });
  const counts = order.map((state) => `${checks.filter((check) => check.state === state).length} ${state}`).join(", ");
  return [...lines, "", counts];
}
