/** `policies:`, named lists of rules for `import` and `export`. */
import { z } from "zod";
import { type CommunityKind, wellKnownCommunities } from "./community-text.ts";
import { limits } from "./limits.ts";
import { AsPathText, PrefixEntry, community, communityPattern, entries } from "./match-schema.ts";
import { PolicyTest } from "./policy-test-schema.ts";
import { Address, Cidr } from "./scalar-schema.ts";

/** The four that every document has; a document may not redefine them (compiled in built-in-policies.ts). */
export const builtInPolicies = ["pods", "default-route", "all", "none"] as const;

export const PolicyName = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "a policy name: lower-case letters, digits and hyphens, at most 63");

const Unsigned = z.int().min(0).max(4_294_967_295);

const Range = z.union(
  [
    Unsigned,
    z.strictObject({
      ge: Unsigned.optional().meta({ description: "At least; 0 if left out." }),
      le: Unsigned.optional().meta({ description: "At most; no limit if left out." }),
    }),
  ],
  { error: "expected a number, or { ge: 10, le: 20 }" },
);

const communityList = (kind: CommunityKind, description: string) => entries(communityPattern(kind), limits.patternsPerRule).optional().meta({ description });

const When = z
  .strictObject({
    prefixes: entries(PrefixEntry, limits.prefixesPerRule)
      .optional()
      .meta({ description: "Any of these; a plain prefix matches itself alone, `{ set: NAME }` what the set holds." }),
    family: z.enum(["ipv4", "ipv6"]).optional().meta({ description: "Routes of this family alone." }),
    asPath: entries(AsPathText, limits.patternsPerRule)
      .optional()
      .meta({
        description:
          "AS_PATH matches any of these patterns over whole AS numbers: `^65001 .* 65002$`, `_65010_`, `^$`, `(65001|65002)+`, `[64512-65534]`, `65001{2,}`.",
      }),
    originAs: z.array(Unsigned).min(1).max(limits.patternsPerRule).optional().meta({ description: "The last AS of the path is one of these." }),
    asPathLength: Range.optional().meta({ description: "Length of AS_PATH as the decision counts it: a set is one." }),
    communities: communityList("communities", 'Has any of these: "65000:100", "65000:*", no-export, `{ set: NAME }`.'),
    extendedCommunities: communityList("extendedCommunities", 'Has any of these extended communities: "target:65000:*".'),
    largeCommunities: communityList("largeCommunities", 'Has any of these large communities: "65000:1:*".'),
    nextHop: z
      .array(z.union([Address, Cidr]))
      .min(1)
      .max(limits.patternsPerRule)
      .optional()
      .meta({ description: "The next hop is one of these addresses, or within one of these prefixes." }),
    med: Range.optional().meta({ description: "MULTI_EXIT_DISC; a route without one counts as 0." }),
    localPref: Range.optional().meta({ description: "LOCAL_PREF; a route without one counts as 100." }),
    source: z.enum(["local", "internal", "external"]).optional().meta({ description: "Where the route was learned: here, over iBGP, over eBGP." }),
    from: z
      .array(z.string().min(1).max(63))
      .min(1)
      .max(limits.patternsPerRule)
      .optional()
      .meta({ description: "Learned from one of these neighbours: names of peers, ranges or nodes." }),
  })
  .prefault({})
  .meta({ description: "All given conditions must hold, of a list any entry; none given: every route." });

const NumberChange = z.union(
  [
    Unsigned,
    z.strictObject({ add: Unsigned.meta({ description: "More than it was; it ends at 4294967295." }) }),
    z.strictObject({ subtract: Unsigned.meta({ description: "Less than it was; it ends at 0." }) }),
  ],
  { error: "expected a number, { add: 10 } or { subtract: 10 }" },
);

function communityChange(kind: CommunityKind, description: string) {
  const exact = z.array(community(kind)).max(limits.communitiesPerRule);
  return z
    .union(
      [
        exact,
        z.strictObject({
          replace: exact.optional().meta({ description: "These instead of all that are there; `[]` takes all away." }),
          remove: entries(communityPattern(kind), limits.patternsPerRule).optional().meta({ description: "Takes away what matches, `*` for any number." }),
          add: exact.optional().meta({ description: "These beside what is there." }),
        }),
      ],
      { error: "expected a list of communities to add, or { replace: [...], remove: [...], add: [...] }" },
    )
    .optional()
    .meta({ description });
}

const Prepend = z.union(
  [
    z.int().min(1).max(16),
    z.strictObject({
      asn: z.int().min(1).max(4_294_967_295).meta({ description: "AS number to put in front." }),
      times: z.int().min(1).max(16).default(1).meta({ description: "How many times." }),
    }),
  ],
  { error: "expected how many times our own AS number, or { asn: 65001, times: 2 }" },
);

const Changes = z.strictObject({
  weight: z
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .meta({ description: "Weight of the path, here alone: the highest wins before LOCAL_PREF is looked at. On import." }),
  localPref: NumberChange.optional().meta({ description: "LOCAL_PREF, or what to add to it or subtract. Not told to external neighbours." }),
  med: z
    .union([NumberChange, z.literal("remove")], { error: "expected a number, { add: 10 }, { subtract: 10 } or remove" })
    .optional()
    .meta({ description: "MULTI_EXIT_DISC, what to add to it or subtract, or `remove`." }),
  nextHop: z
    .union([z.enum(["self", "unchanged"]), Address], { error: "expected an address, self, or unchanged" })
    .optional()
    .meta({
      description: "NEXT_HOP: an address (for routes of its family), `self`, or `unchanged` (what the route came with, also towards external neighbours).",
    }),
  communities: communityChange("communities", `Communities to add ("65000:100", or ${Object.keys(wellKnownCommunities).join(", ")}), or what to change.`),
  extendedCommunities: communityChange("extendedCommunities", "Extended communities to add, or what to change."),
  largeCommunities: communityChange("largeCommunities", "Large communities to add, or what to change."),
  prepend: Prepend.optional().meta({ description: "Our AS number this many times more in AS_PATH, or a given one." }),
});

const Rule = z.strictObject({
  name: z.string().min(1).max(63).optional().meta({ description: "What `why` and `podway policy` call it, beside its number." }),
  when: When,
  then: z.enum(["accept", "reject"]).meta({ description: "What happens to the route." }),
  set: Changes.default({}).meta({ description: "Attributes set on accepted routes." }),
});

export const Policy = z.strictObject({
  rules: z.array(Rule).max(limits.policyRules).meta({ description: "In order; the first that matches decides." }),
  otherwise: z.enum(["accept", "reject"]).default("reject").meta({ description: "What happens to a route no rule matches." }),
  tests: z
    .array(PolicyTest)
    .max(limits.policyTests)
    .default([])
    .meta({ description: "Routes and what must become of them; `podway policy test`, `podwayd --check` and every apply run them." }),
});

export type PolicyEntry = z.output<typeof Policy>;
export type RuleEntry = z.output<typeof Rule>;
