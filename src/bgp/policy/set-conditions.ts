/** The conditions of a rule that ask for attributes alone: judged once for each attribute set, not for each route. */
import { type AsPathNode, originPattern, parseAsPathPattern } from "#base/as-path-pattern.ts";
import { assert } from "#base/assert.ts";
import type { CommunityMatch, NumberRange, PolicyConditions } from "#base/policy-settings.ts";
import { type Prefix, prefixParts } from "#base/prefix.ts";
import type { AttributeTable } from "../rib/attributes.ts";
import { AsPathAutomaton } from "./as-path-automaton.ts";
import type { AttributeView, Span } from "./attribute-view.ts";
import { CommunityMatcher } from "./community-matcher.ts";

/** The set has been read into the view. */
export type SetCondition = (view: AttributeView, attributes: AttributeTable, set: number) => boolean;

/** All of them must hold. The cheap ones stand first. */
export function setConditions(when: PolicyConditions): readonly SetCondition[] {
  const { med, localPref, asPathLength, nextHops, communities, extendedCommunities, largeCommunities, asPaths, originAs } = when;
  return [
    ...(med ? [inRange(med, (attributes, set) => attributes.med[set]!)] : []),
    ...(localPref ? [inRange(localPref, (attributes, set) => attributes.localPref[set]!)] : []),
    ...(asPathLength ? [inRange(asPathLength, (attributes, set) => attributes.asLength[set]!)] : []),
    ...(nextHops ? [hasNextHop(nextHops)] : []),
    ...(communities ? [hasCommunity(communities, 1, (view) => view.communities)] : []),
    ...(extendedCommunities ? [hasCommunity(extendedCommunities, 2, (view) => view.extendedCommunities)] : []),
    ...(largeCommunities ? [hasCommunity(largeCommunities, 3, (view) => view.largeCommunities)] : []),
    ...(asPaths ? [hasAsPath(new AsPathAutomaton({ kind: "choice", parts: asPaths.map(treeOf) }))] : []),
    ...(originAs ? [hasAsPath(new AsPathAutomaton(originPattern(originAs)))] : []),
  ];
}

function inRange({ ge, le }: NumberRange, read: (attributes: AttributeTable, set: number) => number): SetCondition {
  return (_view, attributes, set) => {
    const value = read(attributes, set);
    return value >= ge && value <= le;
  };
}

function hasCommunity(matches: readonly CommunityMatch[], words: 1 | 2 | 3, spanOf: (view: AttributeView) => Span): SetCondition {
  const matcher = new CommunityMatcher(matches, words);
  return (view) => matcher.matches(view.bytes, spanOf(view));
}

function hasAsPath(automaton: AsPathAutomaton): SetCondition {
  return (view) => automaton.matches(view.bytes, view.asPath.start, view.asPath.end);
}

function treeOf(pattern: string): AsPathNode {
  const tree = parseAsPathPattern(pattern);
  assert(tree.ok, "patterns are read before they come here");
  return tree.value;
}

function hasNextHop(prefixes: readonly Prefix[]): SetCondition {
  const within = prefixes.map(prefixParts);
  return (view) => {
    const { start, end } = view.nextHop,
      size = Math.min(16, end - start); // the second half of 32 octets is link-local
    return within.some(({ bytes, length }) => bytes.length === size && samePrefix(view.bytes, start, bytes, length));
  };
}

function samePrefix(a: Uint8Array, at: number, b: Uint8Array, bits: number): boolean {
  for (let i = 0; i < bits >> 3; i++) if (a[at + i] !== b[i]) return false;
  const rest = bits & 7;
  return rest === 0 || ((a[at + (bits >> 3)]! ^ b[bits >> 3]!) & (0xff00 >> rest) & 0xff) === 0;
}
