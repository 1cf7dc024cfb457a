/** `policies:`, named lists of rules for `import` and `export`. */
import { z } from "zod";
import { limits } from "./limits.ts";
import { Cidr } from "./scalar-schema.ts";

/** The four that every document has; a document may not redefine them (compiled in built-in-policies.ts). */
export const builtInPolicies = ["pods", "default-route", "all", "none"] as const;

/** Well-known communities (RFC 1997, RFC 7999, RFC 8326) by the names people write. */
export const wellKnownCommunities: Readonly<Record<string, number>> = {
  "graceful-shutdown": 0xffff0000,
  blackhole: 0xffff029a,
  "no-export": 0xffffff01,
  "no-advertise": 0xffffff02,
  "no-export-subconfed": 0xffffff03,
};

const communityPhrase = 'a community such as "65000:100" or no-export';

/** The number a community is on the wire, or undefined if `text` is none. */
export function readCommunity(text: string): number | undefined {
  if (Object.hasOwn(wellKnownCommunities, text)) return wellKnownCommunities[text];
  const match = /^(\d{1,5}):(\d{1,5})$/.exec(text);
  const high = Number(match?.[1]),
    low = Number(match?.[2]);
  return high <= 65535 && low <= 65535 ? high * 65536 + low : undefined;
}

export const PolicyName = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "a policy name: lower-case letters, digits and hyphens, at most 63");

const PrefixMatch = z.union(
  [
    Cidr,
    z.strictObject({
      prefix: Cidr.meta({ description: "Routes at or within this prefix." }),
      ge: z.int().min(0).max(128).optional().meta({ description: "Shortest length that matches; the prefix's own if left out." }),
      le: z
        .int()
        .min(0)
        .max(128)
        .optional()
        .meta({ description: "Longest length that matches; the prefix's own if left out, or the longest of the family if only `ge` is given." }),
    }),
  ],
  { error: "expected a prefix such as 10.0.0.0/8, or { prefix: 10.0.0.0/8, ge: 16, le: 24 }" },
);

const Rule = z.strictObject({
  when: z
    .strictObject({
      prefixes: z.array(PrefixMatch).min(1).max(limits.prefixesPerRule).optional().meta({ description: "Any of these; a plain prefix matches itself alone." }),
      source: z.enum(["local", "internal", "external"]).optional().meta({ description: "Where the route was learned: here, over iBGP, over eBGP." }),
    })
    .prefault({})
    .meta({ description: "All given conditions must hold; none given: every route." }),
  then: z.enum(["accept", "reject"]).meta({ description: "What happens to the route." }),
  set: z
    .strictObject({
      localPref: z.int().min(0).max(4_294_967_295).optional().meta({ description: "LOCAL_PREF." }),
      med: z.int().min(0).max(4_294_967_295).optional().meta({ description: "MULTI_EXIT_DISC." }),
      communities: z
        .array(z.string().refine((text) => readCommunity(text) !== undefined, communityPhrase))
        .max(limits.communitiesPerRule)
        .optional()
        .meta({ description: `Communities added: "65000:100", or ${Object.keys(wellKnownCommunities).join(", ")}.` }),
      prepend: z.int().min(1).max(16).optional().meta({ description: "Our AS number this many times more in AS_PATH." }),
    })
    .default({})
    .meta({ description: "Attributes set on accepted routes." }),
});

export const Policy = z.strictObject({
  rules: z.array(Rule).max(limits.policyRules).meta({ description: "In order; the first that matches decides." }),
  otherwise: z.enum(["accept", "reject"]).default("reject").meta({ description: "What happens to a route no rule matches." }),
});

export type PolicyEntry = z.output<typeof Policy>;
export type RuleEntry = z.output<typeof Rule>;
