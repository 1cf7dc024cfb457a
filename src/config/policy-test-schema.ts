/** `tests:` of a policy: a route, and what must become of it. */
import { z } from "zod";
import { community } from "./match-schema.ts";
import { limits } from "./limits.ts";
import { Address, Cidr } from "./scalar-schema.ts";

const Unsigned = z.int().min(0).max(4_294_967_295);

/** AS numbers, with sets in braces: `65001 65002 {65003,65004}`. */
const AsPath = z
  .string()
  .max(1024)
  .regex(/^( *(\d{1,10}|\{\d{1,10}(,\d{1,10})*\}))* *$/, 'an AS path such as "65001 65002", a set in braces: "65001 {65002,65003}"');

const lists = {
  communities: z.array(community("communities")).max(limits.communitiesPerRule).optional(),
  extendedCommunities: z.array(community("extendedCommunities")).max(limits.communitiesPerRule).optional(),
  largeCommunities: z.array(community("largeCommunities")).max(limits.communitiesPerRule).optional(),
} as const;

const Route = z.strictObject({
  prefix: Cidr.meta({ description: "Prefix of the route." }),
  asPath: AsPath.default("").meta({ description: 'AS_PATH, such as "65001 65002"; empty if left out.' }),
  nextHop: Address.optional().meta({ description: "Next hop; 192.0.2.1 or 2001:db8::1 if left out." }),
  med: Unsigned.optional().meta({ description: "MULTI_EXIT_DISC; none if left out." }),
  localPref: Unsigned.optional().meta({ description: "LOCAL_PREF; none if left out." }),
  communities: lists.communities.meta({ description: "Communities." }),
  extendedCommunities: lists.extendedCommunities.meta({ description: "Extended communities." }),
  largeCommunities: lists.largeCommunities.meta({ description: "Large communities." }),
  source: z.enum(["local", "internal", "external"]).default("external").meta({ description: "Where it was learned." }),
  from: z.string().min(1).max(63).optional().meta({ description: "Name of the neighbour it was learned from." }),
});

const Verdict = z.enum(["accept", "reject"]);

const Expectation = z.union(
  [
    Verdict,
    z.strictObject({
      then: Verdict.meta({ description: "What must happen to the route." }),
      rule: z.int().min(1).optional().meta({ description: "The rule that must decide, counted from 1." }),
      weight: z.int().min(0).max(65_535).optional().meta({ description: "Weight of the path afterwards." }),
      localPref: Unsigned.optional().meta({ description: "LOCAL_PREF afterwards." }),
      med: z
        .union([Unsigned, z.literal("none")], { error: "expected a number or none" })
        .optional()
        .meta({ description: "MULTI_EXIT_DISC afterwards, or `none`." }),
      nextHop: Address.optional().meta({ description: "Next hop afterwards." }),
      asPath: AsPath.optional().meta({ description: "AS_PATH afterwards." }),
      communities: lists.communities.meta({ description: "All communities afterwards, in any order." }),
      extendedCommunities: lists.extendedCommunities.meta({ description: "All extended communities afterwards." }),
      largeCommunities: lists.largeCommunities.meta({ description: "All large communities afterwards." }),
    }),
  ],
  { error: "expected accept, reject, or { then: accept, localPref: 200 }" },
);

export const PolicyTest = z.strictObject({
  name: z.string().min(1).max(120).optional().meta({ description: "What is tested." }),
  direction: z
    .enum(["import", "export"])
    .default("import")
    .meta({ description: "As `import` of a neighbour, or as `export` to an external one, after our own rewriting." }),
  route: Route.meta({ description: "A route as the policy gets it." }),
  expect: Expectation.meta({ description: "`accept`, `reject`, or a map with the attributes that must come out; what it does not name may be anything." }),
});

export type PolicyTestEntry = z.output<typeof PolicyTest>;
