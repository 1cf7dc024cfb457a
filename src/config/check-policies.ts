/** Whether policies can match and do what they say. */
import { prefixParts } from "#base/prefix.ts";
import { limits } from "./limits.ts";
import { type RuleEntry, builtInPolicies } from "./policy-schema.ts";
import { type Finding, type Path, wrong } from "./problem.ts";
import type { Document } from "./schema.ts";

export function* checkPolicies(document: Document): Iterable<Finding> {
  const policies = Object.entries(document.policies);
  if (policies.length > limits.policies) yield wrong(["policies"], `${policies.length} policies; one document holds at most ${limits.policies}`);
  for (const [name, policy] of policies) {
    if ((builtInPolicies as readonly string[]).includes(name))
      yield wrong(["policies", name], `${name} is built in and stays as it is; choose another name`, "key");
    for (const [i, rule] of policy.rules.entries()) yield* checkRule(rule, ["policies", name, "rules", i]);
  }
}

function* checkRule(rule: RuleEntry, path: Path): Iterable<Finding> {
  if (rule.then === "reject" && Object.keys(rule.set).length > 0)
    yield wrong([...path, "set"], "a rejected route has no attributes to set; leave set out, or accept");
  for (const [i, match] of (rule.when.prefixes ?? []).entries()) {
    if (typeof match === "string") continue;
    const { bytes, length } = prefixParts(match.prefix);
    const longest = bytes.length * 8;
    const ge = match.ge ?? length,
      le = match.le ?? longest;
    if (ge < length || ge > le || le > longest)
      yield wrong([...path, "when", "prefixes", i], `no route within ${match.prefix} is /${ge} to /${le} long; write ${length} ≤ ge ≤ le ≤ ${longest}`);
  }
}
