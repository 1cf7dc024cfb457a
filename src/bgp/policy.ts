/**
 * A policy document → functions over (prefix, attribute set). First match over the rules of the named policies in order;
 * without any policy an external neighbour is told nothing and believed nothing (RFC 8212).
 */
import type { PolicyRule, PolicySettings } from "#base/settings.ts";
import { prefixParts } from "#base/prefix.ts";
import { prependAs } from "#wire/bgp/as-path.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import type { AttributeTable } from "./rib/attributes.ts";
import type { LocRib } from "./rib/loc-rib.ts";
import { type Role, roleExternal, roleLocal } from "./rib/peer-table.ts";
import { SetMemo } from "./rib/set-memo.ts";

/** Answers the set to keep or tell instead (often the same), or 0 for none. */
export type ImportFilter = (rib: LocRib, prefix: number, set: number) => number;
export type PolicyFilter = (rib: LocRib, prefix: number, set: number, from: Role) => number;

export interface CompiledPolicies {
  readonly filter: PolicyFilter;
  /** Lets go of the sets it rewrote. */
  close(): void;
}

interface CompiledRule {
  matches(rib: LocRib, prefix: number, from: Role): boolean;
  readonly accept: boolean;
  readonly rewritten: SetMemo | undefined;
}

/**
 * Compiles policies once. `otherwise` of the last policy decides what no rule matched. `way`: on the way out LOCAL_PREF is not
 * set, whatever the policy says: it is for peers of the own AS alone (RFC 4271 §5.1.5).
 */
export function compilePolicies(policies: readonly PolicySettings[], attributes: AttributeTable, way: "import" | "export"): CompiledPolicies {
  const rules = policies.flatMap((policy) => policy.rules.map((rule) => compileRule(rule, attributes, way)));
  const otherwise = policies.at(-1)?.otherwise === "accept";
  return {
    filter: (rib, prefix, set, from) => {
      for (const rule of rules) {
        if (!rule.matches(rib, prefix, from)) continue;
        if (!rule.accept) return 0;
        return rule.rewritten ? rule.rewritten.of(set) : set;
      }
      return otherwise ? set : 0;
    },
    close: () => {
      for (const { rewritten } of rules) rewritten?.close();
    },
  };
}

/** Which rule decides, as a phrase for `podway why`. */
export function explainPolicies(policies: readonly PolicySettings[], rib: LocRib, prefix: number, from: Role): string {
  if (policies.length === 0) return "no policy is given, and without one an external neighbour gets nothing (RFC 8212)";
  for (const policy of policies)
    for (const [i, rule] of policy.rules.entries()) if (conditionOf(rule)(rib, prefix, from)) return `${rule.then}ed by policy ${policy.name}, rule ${i + 1}`;
  return `no rule of ${policies.map((policy) => policy.name).join(", ")} matches, so it is ${policies.at(-1)!.otherwise}ed`;
}

function compileRule(rule: PolicyRule, attributes: AttributeTable, way: "import" | "export"): CompiledRule {
  const { localPref, ...others } = rule.set,
    set = way === "export" || localPref === undefined ? others : rule.set;
  const changes = Object.keys(set).length > 0;
  const rewritten = changes ? new SetMemo(attributes, (values) => applySet(values, set, attributes.self.asn)) : undefined;
  return { matches: conditionOf(rule), accept: rule.then === "accept", rewritten };
}

function conditionOf({ when }: PolicyRule): (rib: LocRib, prefix: number, from: Role) => boolean {
  const source = when.source;
  const entries = when.prefixes?.map(({ prefix, ge, le }) => {
    const { bytes, length } = prefixParts(prefix);
    return { family: bytes.length === 4 ? 4 : 6, bytes, length, ge, le };
  });
  return (rib, prefix, from) => {
    if (source && source !== sourceOf(from)) return false;
    if (!entries) return true;
    const bits = rib.prefixes.lengthOf(prefix);
    for (const { family, bytes, length, ge, le } of entries)
      if (family === rib.prefixes.family && bits >= ge && bits <= le && rib.prefixes.isWithin(prefix, bytes, length)) return true;
    return false;
  };
}

function sourceOf(from: Role): "local" | "internal" | "external" {
  return from === roleLocal ? "local" : from === roleExternal ? "external" : "internal";
}

function applySet(values: PathAttributes, set: PolicyRule["set"], ownAs: number): PathAttributes {
  const communities = new Set([...(values.communities ?? []), ...(set.communities ?? [])]);
  return {
    ...values,
    ...(set.localPref !== undefined && { localPref: set.localPref }),
    ...(set.med !== undefined && { med: set.med }),
    ...(communities.size > 0 && { communities: Uint32Array.from(communities).toSorted() }),
    ...(set.prepend !== undefined && { asPath: prependAs(values.asPath ?? [], ownAs, set.prepend) }),
  };
}
