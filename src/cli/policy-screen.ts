/** Policies with what each rule decided, and what a dry run found. */
import type { PolicyTrialView, PolicyView } from "#daemon/control.ts";
import { printable } from "./display-text.ts";
import { table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

const columns = [
  { head: "policy" },
  { head: "rule" },
  { head: "then" },
  { head: "imported", leaves: 1, align: "right" },
  { head: "exported", leaves: 1, align: "right" },
  { head: "import of", leaves: 3 },
  { head: "export to", leaves: 2 },
] as const;

/** A number counts routes the rule decided about; one that is looked at again counts again. */
export function policyScreen(policies: readonly PolicyView[], terminal: Terminal): string[] {
  if (policies.length === 0) return ["no peer of this node names a policy"];
  const rows = policies.flatMap(({ name, rules, otherwise, importOf, exportTo }) => [
    ...rules.map((rule, i) => [
      i === 0 ? name : "",
      `${i + 1}${rule.name === null ? "" : ` ${rule.name}`}`,
      rule.then,
      `${rule.imported}`,
      `${rule.exported}`,
      i === 0 ? importOf.join(" ") : "",
      i === 0 ? exportTo.join(" ") : "",
    ]),
    [
      rules.length === 0 ? name : "",
      "otherwise",
      otherwise.then,
      `${otherwise.imported}`,
      `${otherwise.exported}`,
      rules.length === 0 ? importOf.join(" ") : "",
      rules.length === 0 ? exportTo.join(" ") : "",
    ],
  ]);
  return table(columns, rows, terminal);
}

export function trialScreen({ import: imported, export: exported, notJudged, routes }: PolicyTrialView, terminal: Terminal): string[] {
  const line = (what: string, count: PolicyTrialView["import"]): string =>
    `${what}: ${count.judged} routes judged, ${count.accepted} would be accepted now, ${count.rejected} rejected now, ${count.changed} with other attributes`;
  const rows = routes.map(({ direction, peer, prefix, before, after }) => [direction, peer, prefix, before, after].map(printable));
  const listed = [{ head: "way" }, { head: "peer" }, { head: "prefix" }, { head: "before", leaves: 1 }, { head: "after" }] as const;
  return [
    line("import", imported),
    line("export", exported),
    ...(notJudged > 0 ? [`${notJudged} routes that import policies refuse today are not held and were not judged`] : []),
    ...(routes.length > 0 ? ["", ...table(listed, rows, terminal)] : []),
  ];
}
