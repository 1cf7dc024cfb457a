/** Policies of the document as the engine's: sets resolved, texts read, numbers with their defaults. */
import type {
  CommunityChange,
  NumberChange,
  NumberRange,
  PolicyChanges,
  PolicyConditions,
  PolicyRule,
  PolicySettings,
  PrefixMatch,
} from "#base/policy-settings.ts";
import { type Prefix, prefixParts } from "#base/prefix.ts";
import { type CommunityKind, readCommunity, readCommunityMatch } from "./community-text.ts";
import type { PrefixEntryValue, SetsEntry } from "./match-schema.ts";
import type { PolicyEntry, RuleEntry } from "./policy-schema.ts";

const most32 = 4_294_967_295;

/** Prefix sets that were read, by name: rules that name the same one share it, so that it is compiled once. */
type ReadSets = Map<string, readonly PrefixMatch[]>;

/** `sets` must hold every set the policy names (check-policies.ts sees to that). */
export function compileRules(name: string, policy: PolicyEntry, sets: SetsEntry): PolicySettings {
  const read: ReadSets = new Map();
  return { name, rules: policy.rules.map((rule) => compileRule(rule, sets, read)), otherwise: policy.otherwise };
}

function compileRule(rule: RuleEntry, sets: SetsEntry, read: ReadSets): PolicyRule {
  return {
    ...(rule.name === undefined ? {} : { name: rule.name }),
    when: compileWhen(rule.when, sets, read),
    then: rule.then,
    set: compileChanges(rule.set, sets),
  };
}

function compileWhen(when: RuleEntry["when"], sets: SetsEntry, read: ReadSets): PolicyConditions {
  const { prefixes, family, asPath, originAs, asPathLength, nextHop, med, localPref, source, from } = when;
  return {
    ...(prefixes && { prefixes: compilePrefixes(prefixes, sets.prefixes, read) }),
    ...(family && { family: family === "ipv4" ? 4 : 6 }),
    ...(asPath && { asPaths: resolve<string>(asPath, sets.asPaths) }),
    ...(originAs && { originAs }),
    ...(asPathLength !== undefined && { asPathLength: compileRange(asPathLength) }),
    ...(when.communities && { communities: compileMatches("communities", when.communities, sets) }),
    ...(when.extendedCommunities && { extendedCommunities: compileMatches("extendedCommunities", when.extendedCommunities, sets) }),
    ...(when.largeCommunities && { largeCommunities: compileMatches("largeCommunities", when.largeCommunities, sets) }),
    ...(nextHop && { nextHops: nextHop.map((text) => (text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`) as Prefix) }),
    ...(med !== undefined && { med: compileRange(med) }),
    ...(localPref !== undefined && { localPref: compileRange(localPref) }),
    ...(source && { source }),
    ...(from && { from }),
  };
}

type Listed<T> = readonly (T | { readonly set: string })[];

function isSet(entry: unknown): entry is { readonly set: string } {
  return typeof entry === "object" && entry !== null && "set" in entry;
}

/** The entries themselves, those of sets among them. */
function resolve<T>(list: Listed<T>, sets: Readonly<Record<string, readonly T[]>>): readonly T[] {
  return list.flatMap((entry) => (isSet(entry) ? sets[entry.set]! : [entry]));
}

function compilePrefixes(list: Listed<PrefixEntryValue>, sets: SetsEntry["prefixes"], read: ReadSets): readonly PrefixMatch[] {
  const only = list.length === 1 && isSet(list[0]) ? list[0].set : undefined,
    known = only === undefined ? undefined : read.get(only);
  if (known) return known;
  const made = resolve(list, sets).map(compileMatch);
  if (only !== undefined) read.set(only, made);
  return made;
}

function compileMatch(entry: PrefixEntryValue): PrefixMatch {
  const { prefix, ge, le } = typeof entry === "string" ? { prefix: entry, ge: undefined, le: undefined } : entry,
    { length, bytes } = prefixParts(prefix);
  return { prefix, ge: ge ?? length, le: le ?? (ge === undefined ? length : bytes.length * 8) };
}

function compileMatches(kind: CommunityKind, list: Listed<string>, sets: SetsEntry): NonNullable<PolicyConditions["communities"]> {
  return resolve(list, sets[kind]).map((text) => readCommunityMatch(kind, text)!);
}

function compileRange(range: NonNullable<RuleEntry["when"]["med"]>): NumberRange {
  return typeof range === "number" ? { ge: range, le: range } : { ge: range.ge ?? 0, le: range.le ?? most32 };
}

function compileChanges(set: RuleEntry["set"], sets: SetsEntry): PolicyChanges {
  const { weight, localPref, med, nextHop, prepend } = set;
  return {
    ...(weight !== undefined && { weight }),
    ...(localPref !== undefined && { localPref: compileNumber(localPref) }),
    ...(med !== undefined && { med: med === "remove" ? med : compileNumber(med) }),
    ...(nextHop !== undefined && { nextHop }),
    ...(prepend !== undefined && { prepend: typeof prepend === "number" ? { asn: undefined, times: prepend } : prepend }),
    ...(set.communities && { communities: compileChange("communities", set.communities, sets) }),
    ...(set.extendedCommunities && { extendedCommunities: compileChange("extendedCommunities", set.extendedCommunities, sets) }),
    ...(set.largeCommunities && { largeCommunities: compileChange("largeCommunities", set.largeCommunities, sets) }),
  };
}

function compileNumber(change: NonNullable<RuleEntry["set"]["localPref"]>): NumberChange {
  if (typeof change === "number") return { to: change };
  return { by: "add" in change ? change.add : -change.subtract };
}

function compileChange(kind: CommunityKind, change: NonNullable<RuleEntry["set"]["communities"]>, sets: SetsEntry): CommunityChange {
  const words = (list: readonly string[]): readonly (readonly number[])[] => list.map((text) => readCommunity(kind, text)!);
  if (Array.isArray(change)) return { add: words(change) };
  const { replace, remove, add } = change as Exclude<typeof change, readonly string[]>;
  return { ...(replace && { replace: words(replace) }), ...(remove && { remove: compileMatches(kind, remove, sets) }), ...(add && { add: words(add) }) };
}
