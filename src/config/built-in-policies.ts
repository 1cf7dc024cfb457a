/** Policies by name: those of the document, and the four every document has. */
import type { PolicySettings, PrefixMatch } from "#base/policy-settings.ts";
import { type Prefix, parsePrefix, prefixParts } from "#base/prefix.ts";
import { compileRules } from "./compile-policies.ts";
import { builtInPolicies } from "./policy-schema.ts";
import type { Document } from "./schema.ts";

/** The policy of that name, declared or built in; undefined if there is none (refused by check-peers.ts). */
export function compilePolicy(document: Document, name: string): PolicySettings | undefined {
  if ((builtInPolicies as readonly string[]).includes(name)) return builtIn(document, name as (typeof builtInPolicies)[number]);
  return Object.hasOwn(document.policies, name) ? compileRules(name, document.policies[name]!, document.sets) : undefined;
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

function accepting(name: string, prefixes: readonly PrefixMatch[]): PolicySettings {
  return { name, rules: prefixes.length === 0 ? [] : [{ when: { prefixes }, then: "accept", set: {} }], otherwise: "reject" };
}

const exact = (text: string): PrefixMatch => {
  const prefix = parsePrefix(text)!;
  const { length } = prefixParts(prefix);
  return { prefix, ge: length, le: length };
};
/** The prefix and everything in it, down to host routes. */
const within = (prefix: Prefix): PrefixMatch => ({ prefix, ge: prefixParts(prefix).length, le: longest(prefix) });
const longest = (prefix: Prefix): number => (prefix.includes(":") ? 128 : 32);
