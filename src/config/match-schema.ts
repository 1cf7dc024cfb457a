/** What policies compare routes with: entries of lists in rules, and `sets:`, the same lists with a name. */
import { z } from "zod";
import { parseAsPathPattern } from "#base/as-path-pattern.ts";
import { type CommunityKind, communityPhrases, readCommunity, readCommunityMatch } from "./community-text.ts";
import { limits } from "./limits.ts";
import { Cidr } from "./scalar-schema.ts";

export const SetName = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "a name of a set: lower-case letters, digits and hyphens, at most 63");

const prefixLength = z.int().min(0).max(128);

export const PrefixEntry = z.union(
  [
    Cidr,
    z.strictObject({
      prefix: Cidr.meta({ description: "Routes at or within this prefix." }),
      ge: prefixLength.optional().meta({ description: "Shortest length that matches; the prefix's own if left out." }),
      le: prefixLength
        .optional()
        .meta({ description: "Longest length that matches; the prefix's own if left out, or the longest of the family if only `ge` is given." }),
    }),
  ],
  { error: "expected a prefix such as 10.0.0.0/8, or { prefix: 10.0.0.0/8, ge: 16, le: 24 }" },
);

export const AsPathText = z.string().superRefine((text, context) => {
  const parsed = parseAsPathPattern(text);
  if (!parsed.ok) context.addIssue({ code: "custom", message: parsed.fault.text, params: { sentence: true, column: parsed.fault.offset + 1 } });
});

/** One to match, with `*` for any number. */
export const communityPattern = (kind: CommunityKind) =>
  z.string().refine((text) => readCommunityMatch(kind, text) !== undefined, `${communityPhrases[kind]}, where * stands for any number`);
/** One to give to a route. */
export const community = (kind: CommunityKind) => z.string().refine((text) => readCommunity(kind, text) !== undefined, communityPhrases[kind]);

const named = <T extends z.ZodType>(entry: T, most: number, description: string) =>
  z.record(SetName, z.array(entry).min(1).max(most).meta({ description })).prefault({}).meta({ description });

/** A list of entries and of sets. */
export function entries<T extends z.ZodType>(entry: T, most: number) {
  const SetEntry = z.strictObject({ set: SetName.meta({ description: "All entries of this set (`sets`)." }) });
  return z
    .array(z.union([SetEntry, entry]))
    .min(1)
    .max(most);
}

export const Sets = z
  .strictObject({
    prefixes: named(PrefixEntry, limits.prefixesPerSet, "Prefixes; a plain one matches itself alone."),
    asPaths: named(AsPathText, limits.patternsPerSet, "Patterns over AS paths, such as `^65001 .* 65002$`, `_65010_`, `^(65001|65002)+$` or `[64512-65534]$`."),
    communities: named(communityPattern("communities"), limits.patternsPerSet, 'Communities: "65000:100", "65000:*", no-export.'),
    extendedCommunities: named(communityPattern("extendedCommunities"), limits.patternsPerSet, 'Extended communities: "target:65000:*".'),
    largeCommunities: named(communityPattern("largeCommunities"), limits.patternsPerSet, 'Large communities: "65000:1:*".'),
  })
  .prefault({});

export type SetsEntry = z.output<typeof Sets>;
export type PrefixEntryValue = z.output<typeof PrefixEntry>;
