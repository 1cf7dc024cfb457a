/** Whether policies can match and do what they say. */
import { prefixParts } from "#base/prefix.ts";
import { limits } from "./limits.ts";
import type { PrefixEntryValue } from "./match-schema.ts";
import { listNames, nearestName } from "./nearest-name.ts";
import { type PolicyEntry, type RuleEntry, builtInPolicies } from "./policy-schema.ts";
import { type Finding, type Path, wrong } from "./problem.ts";
import type { Document } from "./schema.ts";

export function* checkPolicies(document: Document): Iterable<Finding> {
  const policies = Object.entries(document.policies);
  if (policies.length > limits.policies) yield wrong(["policies"], `${policies.length} policies; one document holds at most ${limits.policies}`);
  for (const [name, list] of Object.entries(document.sets.prefixes))
    for (const [i, entry] of list.entries()) yield* checkPrefix(entry, ["sets", "prefixes", name, i]);
  for (const [name, policy] of policies) {
    if ((builtInPolicies as readonly string[]).includes(name))
      yield wrong(["policies", name], `${name} is built in and stays as it is; choose another name`, "key");
    for (const [i, rule] of policy.rules.entries()) yield* checkRule(document, rule, ["policies", name, "rules", i]);
    yield* checkTests(policy, ["policies", name, "tests"]);
  }
}

function* checkRule(document: Document, rule: RuleEntry, path: Path): Iterable<Finding> {
  if (rule.then === "reject" && Object.keys(rule.set).length > 0)
    yield wrong([...path, "set"], "a rejected route has no attributes to set; leave set out, or accept");
  for (const [i, match] of (rule.when.prefixes ?? []).entries())
    if (typeof match === "string" || "prefix" in match) yield* checkPrefix(match, [...path, "when", "prefixes", i]);
  yield* checkSets(document, rule, path);
  yield* checkNumbers(rule, path);
  yield* checkFrom(document, rule, path);
}

function* checkPrefix(match: PrefixEntryValue, path: Path): Iterable<Finding> {
  if (typeof match === "string") return;
  const { bytes, length } = prefixParts(match.prefix);
  const longest = bytes.length * 8;
  const ge = match.ge ?? length,
    le = match.le ?? longest;
  if (ge < length || ge > le || le > longest)
    yield wrong(path, `no route within ${match.prefix} is /${ge} to /${le} long; write ${length} ≤ ge ≤ le ≤ ${longest}`);
}

/** Lists of a rule that may name sets, and which kind of set each takes. */
function setLists({ when, set }: RuleEntry): readonly (readonly [keyof Document["sets"], readonly unknown[] | undefined, Path])[] {
  const removed = (change: RuleEntry["set"]["communities"]): readonly unknown[] | undefined =>
    change === undefined || Array.isArray(change) ? undefined : (change as { readonly remove?: readonly unknown[] }).remove;
  return [
    ["prefixes", when.prefixes, ["when", "prefixes"]],
    ["asPaths", when.asPath, ["when", "asPath"]],
    ...(["communities", "extendedCommunities", "largeCommunities"] as const).flatMap((kind) => [
      [kind, when[kind], ["when", kind]] as const,
      [kind, removed(set[kind]), ["set", kind, "remove"]] as const,
    ]),
  ];
}

function* checkSets(document: Document, rule: RuleEntry, path: Path): Iterable<Finding> {
  for (const [kind, list = [], within] of setLists(rule))
    for (const [i, entry] of list.entries()) {
      const name = typeof entry === "object" && entry !== null && "set" in entry ? String(entry.set) : undefined;
      if (name === undefined || Object.hasOwn(document.sets[kind], name)) continue;
      const known = Object.keys(document.sets[kind]),
        near = nearestName(name, known);
      const advice =
        near !== undefined
          ? `did you mean ${JSON.stringify(near)}?`
          : known.length === 0
            ? `declare it under sets: { ${kind}: { ${name}: [...] } }`
            : `there are ${listNames(known)}`;
      yield wrong([...path, ...within, i, "set"], `there is no set ${JSON.stringify(name)} in sets.${kind}; ${advice}`);
    }
}

function* checkNumbers({ when }: RuleEntry, path: Path): Iterable<Finding> {
  for (const key of ["med", "localPref", "asPathLength"] as const) {
    const range = when[key];
    if (typeof range === "object" && (range.ge ?? 0) > (range.le ?? Number.POSITIVE_INFINITY))
      yield wrong([...path, "when", key], `no number is at least ${range.ge} and at most ${range.le}; write ge ≤ le`);
  }
}

function* checkFrom(document: Document, { when }: RuleEntry, path: Path): Iterable<Finding> {
  const known = [...document.peers.map((peer) => peer.name), ...Object.keys(document.nodes)];
  for (const [i, name] of (when.from ?? []).entries()) {
    if (known.includes(name)) continue;
    const near = nearestName(name, known);
    yield wrong(
      [...path, "when", "from", i],
      `there is no neighbour ${JSON.stringify(name)}; ${near === undefined ? "write the name of a peer or of a node" : `did you mean ${JSON.stringify(near)}?`}`,
    );
  }
}

function* checkTests(policy: PolicyEntry, path: Path): Iterable<Finding> {
  for (const [i, { route, expect }] of policy.tests.entries()) {
    if (route.nextHop !== undefined && route.nextHop.includes(":") !== route.prefix.includes(":"))
      yield wrong([...path, i, "route", "nextHop"], `${route.nextHop} and ${route.prefix} are of two families; write a next hop of the route's family`);
    if (typeof expect === "string") continue;
    if (expect.then === "reject" && Object.keys(expect).some((key) => key !== "then" && key !== "rule"))
      yield wrong([...path, i, "expect"], "a rejected route has no attributes to expect; leave them out, or expect accept");
    if (expect.rule !== undefined && expect.rule > policy.rules.length)
      yield wrong([...path, i, "expect", "rule"], `this policy has ${policy.rules.length} rules; write the number of one of them`);
  }
}
