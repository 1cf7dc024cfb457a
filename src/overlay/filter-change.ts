/** Our table as wanted and as it is → the next of few transactions between the two. */
import type { FilterChange, FilterObject, FilterSet, FilterTable, SeenTable } from "#base/filter-table.ts";
import type { Prefix } from "#base/prefix.ts";

/**
 * Undefined: nothing to do. `seen`: what a look found, undefined if there is no table. `knownRules`: the `rulesText` of rules that
 * are right although they read otherwise than they were written. Look again after each change: the steps are sets, elements, rules,
 * and last what nobody wants, so that no packet meets rules without their sets. (The kernel shows the elements of a new set only
 * after the rules of the same transaction: in one step, packets would pass between the two.)
 */
export function changeTo(desired: FilterTable | undefined, seen: SeenTable | undefined, knownRules?: string): FilterChange | undefined {
  if (desired === undefined) return seen === undefined ? undefined : { kind: "remove" };
  if (seen !== undefined && isInTheWay(desired, seen)) return { kind: "anew", table: desired };
  const before = new Map(seen?.sets.map(({ name, prefixes }) => [name, prefixes]));
  const missing = desired.sets.filter(({ name }) => !before.has(name));
  if (missing.length > 0 || seen === undefined) return { kind: "sets", add: missing };
  const sets = desired.sets.map((set) => prefixChange(set, before.get(set.name)!)).filter(({ add, remove }) => add.length + remove.length > 0);
  if (sets.length > 0) return { kind: "elements", sets };
  if (!hasRules(desired, seen) && seen.rulesText !== knownRules) return { kind: "rules", chains: desired.chains };
  const remove = surplus(desired, seen);
  return remove.length === 0 ? undefined : { kind: "objects", remove };
}

/** Something has a name of ours and cannot be changed into what we want: its type, or where its packets come from. */
function isInTheWay({ sets, chains }: FilterTable, seen: SeenTable): boolean {
  return (
    sets.some(({ name, family }) => named(seen.others, "set", name) || seen.sets.some((set) => set.name === name && set.family !== family)) ||
    chains.some(({ name, priority }) => named(seen.others, "chain", name) || seen.chains.some((chain) => chain.name === name && chain.priority !== priority))
  );
}
const named = (objects: readonly FilterObject[], kind: string, name: string): boolean => objects.some((each) => each.kind === kind && each.name === name);

type PrefixChange = Extract<FilterChange, { kind: "elements" }>["sets"][number];

function prefixChange({ name, prefixes }: FilterSet, before: ReadonlySet<Prefix>): PrefixChange {
  return { name, add: [...prefixes].filter((prefix) => !before.has(prefix)), remove: [...before].filter((prefix) => !prefixes.has(prefix)) };
}

/** Chains that are none of the wanted may stand there still, without rules. */
function hasRules({ chains }: FilterTable, seen: SeenTable): boolean {
  const wanted = new Map(chains.map((chain) => [chain.name, chain.rules]));
  const areRight = seen.chains.every(({ name, rules }) => JSON.stringify(rules) === JSON.stringify(wanted.get(name) ?? []));
  return seen.isReadable && areRight && chains.every(({ name }) => seen.chains.some((chain) => chain.name === name));
}

function surplus(desired: FilterTable, { sets, chains, others }: SeenTable): readonly FilterObject[] {
  const over = (kind: "set" | "chain", has: readonly { readonly name: string }[], wanted: readonly { readonly name: string }[]): readonly FilterObject[] =>
    has.flatMap(({ name }) => (wanted.some((each) => each.name === name) ? [] : [{ kind, name }]));
  return [...others, ...over("set", sets, desired.sets), ...over("chain", chains, desired.chains)];
}
