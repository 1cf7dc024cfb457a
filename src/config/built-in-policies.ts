/** Policies of the document, and the four every document has, as the engine's rules. */
import type { PolicyRule, PolicySettings } from "#base/settings.ts";
import { type Prefix, parsePrefix, prefixParts } from "#base/prefix.ts";
import { type PolicyEntry, type RuleEntry, builtInPolicies, readCommunity } from "./policy-schema.ts";
import type { Document } from "./schema.ts";

type PrefixRule = NonNullable<PolicyRule["when"]["prefixes"]>[number];

/** The policy of that name, declared or built in; undefined if there is none (refused by check-peers.ts). */
export function compilePolicy(document: Document, name: string): PolicySettings | undefined {
  if ((builtInPolicies as readonly string[]).includes(name)) return builtIn(document, name as (typeof builtInPolicies)[number]);
  return Object.hasOwn(document.policies, name) ? declared(name, document.policies[name]!) : undefined;
}

function builtIn(document: Document, name: (typeof builtInPolicies)[number]): PolicySettings {
  switch (name) {
    case "all":
      return { name, rules: [], otherwise: "accept" };
    case "none":
      return { name, rules: [], otherwise: "reject" };
    case "default-route":
      return accepting(name, [exact("0.0.0.0/0"), exact("::/0")]);
    case "pods":
      return accepting(
        name,
        document.pools.filter((pool) => pool.backend === "bgp").map((pool) => within(pool.cidr)),
      );
  }
}

function accepting(name: string, prefixes: readonly PrefixRule[]): PolicySettings {
  return { name, rules: prefixes.length === 0 ? [] : [{ when: { prefixes }, then: "accept", set: {} }], otherwise: "reject" };
}

const exact = (text: string): PrefixRule => {
  const prefix = parsePrefix(text)!;
  const { length } = prefixParts(prefix);
  return { prefix, ge: length, le: length };
};
/** The prefix and everything in it, down to host routes. */
const within = (prefix: Prefix): PrefixRule => ({ prefix, ge: prefixParts(prefix).length, le: longest(prefix) });
const longest = (prefix: Prefix): number => (prefix.includes(":") ? 128 : 32);

function declared(name: string, policy: PolicyEntry): PolicySettings {
  return { name, rules: policy.rules.map(compileRule), otherwise: policy.otherwise };
}

function compileRule(rule: RuleEntry): PolicyRule {
  const { prefixes, source } = rule.when;
  const { communities, localPref, med, prepend } = rule.set;
  return {
    when: { ...(prefixes === undefined ? {} : { prefixes: prefixes.map(compileMatch) }), ...(source === undefined ? {} : { source }) },
    then: rule.then,
    set: {
      ...(localPref === undefined ? {} : { localPref }),
      ...(med === undefined ? {} : { med }),
      ...(communities === undefined ? {} : { communities: communities.map((text) => readCommunity(text)!) }),
      ...(prepend === undefined ? {} : { prepend }),
    },
  };
}

function compileMatch(match: NonNullable<RuleEntry["when"]["prefixes"]>[number]): PrefixRule {
  if (typeof match === "string") return exact(match);
  const { length } = prefixParts(match.prefix);
  const ge = match.ge ?? length;
  return { prefix: match.prefix, ge, le: match.le ?? (match.ge === undefined ? length : longest(match.prefix)) };
}
