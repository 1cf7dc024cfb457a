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
  readonly name: string;
  matches(rib: LocRib, prefix: number, from: Role): boolean;
  readonly accept: boolean;
  readonly rewritten: SetMemo | undefined;
}

/** Compiles policies once. `otherwise` of the last policy decides what no rule matched. */
export function compilePolicies(policies: readonly PolicySettings[], attributes: AttributeTable): CompiledPolicies {
  const rules = policies.flatMap((policy) => policy.rules.map((rule, i) => compileRule(`${policy.name} rule ${i + 1}`, rule, attributes)));
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

function compileRule(name: string, rule: PolicyRule, attributes: AttributeTable): CompiledRule {
  const changes = Object.keys(rule.set).length > 0;
  const rewritten = changes ? new SetMemo(attributes, (values) => applySet(values, rule, attributes.self.asn)) : undefined;
  return { name, matches: conditionOf(rule), accept: rule.then === "accept", rewritten };
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
    return entries.some((entry) => entry.family === rib.prefixes.family && bits >= entry.ge && bits <= entry.le && isWithin(rib, prefix, entry));
  };
}

function isWithin(rib: LocRib, prefix: number, entry: { readonly bytes: Uint8Array; readonly length: number }): boolean {
  return rib.prefixes.isWithin(prefix, entry.bytes, entry.length);
}

function sourceOf(from: Role): "local" | "internal" | "external" {
  return from === roleLocal ? "local" : from === roleExternal ? "external" : "internal";
}

function applySet(values: PathAttributes, { set }: PolicyRule, ownAs: number): PathAttributes {
  const communities = new Set([...(values.communities ?? []), ...(set.communities ?? [])]);
  return {
    ...values,
    ...(set.localPref !== undefined && { localPref: set.localPref }),
    ...(set.med !== undefined && { med: set.med }),
    ...(communities.size > 0 && { communities: Uint32Array.from(communities).toSorted() }),
    ...(set.prepend !== undefined && { asPath: prependAs(values.asPath ?? [], ownAs, set.prepend) }),
  };
}
