/** Our table as wanted and as it is → the one transaction between the two. */
import type { FilterChange, FilterSet, FilterTable } from "#base/filter-table.ts";
import type { Prefix } from "#base/prefix.ts";

/**
 * Undefined: nothing to do. `actual`: what a look found, `none` or `foreign` if there is no table of ours or it holds what we never
 * write. Where only prefixes of sets differ, these alone are written; everything else is replaced as a whole, which forwarded
 * packets do not notice: connections keep the addresses they were given, and new ones meet the old rules or the new.
 */
export function changeTo(desired: FilterTable | undefined, actual: FilterTable | "none" | "foreign"): FilterChange | undefined {
  if (desired === undefined) return actual === "none" ? undefined : { kind: "remove" };
  if (actual === "none" || actual === "foreign" || !sameButPrefixes(desired, actual)) return { kind: "replace", table: desired };
  const before = new Map(actual.sets.map(({ name, prefixes }) => [name, prefixes]));
  const sets = desired.sets.map((set) => prefixChange(set, before.get(set.name)!)).filter(({ add, remove }) => add.length + remove.length > 0);
  return sets.length === 0 ? undefined : { kind: "elements", sets };
}

type PrefixChange = Extract<FilterChange, { kind: "elements" }>["sets"][number];

function prefixChange({ name, prefixes }: FilterSet, before: ReadonlySet<Prefix>): PrefixChange {
  return { name, add: [...prefixes].filter((prefix) => !before.has(prefix)), remove: [...before].filter((prefix) => !prefixes.has(prefix)) };
}

/** The order of sets, and of prefixes in them, is nobody's; that of rules is. */
function sameButPrefixes(a: FilterTable, b: FilterTable): boolean {
  const bare = ({ sets, chains }: FilterTable): string => JSON.stringify([sets.map(({ name, family }) => `${name} ${family}`).toSorted(), chains]);
  return bare(a) === bare(b);
}
