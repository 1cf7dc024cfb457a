/** Policies as the engine gets them: sets resolved, names and patterns read (config/compile-policies.ts), nothing compiled yet. */
import type { Family, Ip } from "./ip.ts";
import type { Prefix } from "./prefix.ts";

export interface PolicySettings {
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  readonly otherwise: "accept" | "reject";
}

export interface PolicyRule {
  /** What a person calls it. */
  readonly name?: string;
  /** All given conditions must hold; of a list any entry. */
  readonly when: PolicyConditions;
  readonly then: "accept" | "reject";
  readonly set: PolicyChanges;
}

export interface PolicyConditions {
  readonly prefixes?: readonly PrefixMatch[];
  readonly family?: Family;
  /** Patterns over AS numbers (base/as-path-pattern.ts). */
  readonly asPaths?: readonly string[];
  /** The last AS of the path. */
  readonly originAs?: readonly number[];
  /** As the decision counts it: a set is one. */
  readonly asPathLength?: NumberRange;
  readonly communities?: readonly CommunityMatch[];
  readonly extendedCommunities?: readonly CommunityMatch[];
  readonly largeCommunities?: readonly CommunityMatch[];
  readonly nextHops?: readonly Prefix[];
  /** MULTI_EXIT_DISC; a route without one has 0. */
  readonly med?: NumberRange;
  /** LOCAL_PREF; a route without one has 100. */
  readonly localPref?: NumberRange;
  readonly source?: RouteSource;
  /** Names of the neighbours the route may have been learned from. */
  readonly from?: readonly string[];
}

/** Where a route was learned: here, over iBGP, over eBGP. */
export type RouteSource = "local" | "internal" | "external";

/** Prefixes within `prefix` from `ge` to `le` long. */
export interface PrefixMatch {
  readonly prefix: Prefix;
  readonly ge: number;
  readonly le: number;
}

/** Both ends count. */
export interface NumberRange {
  readonly ge: number;
  readonly le: number;
}

/**
 * A community as unsigned 32-bit words: one of a community, two of an extended one (its eight octets), three of a large one.
 * Bits that are not set in `mask` may be anything; what they are in `value` does not count.
 */
export interface CommunityMatch {
  readonly value: readonly number[];
  readonly mask: readonly number[];
}

export interface PolicyChanges {
  /** Of the path, here alone: the decision compares it before LOCAL_PREF. */
  readonly weight?: number;
  readonly localPref?: NumberChange;
  readonly med?: NumberChange | "remove";
  /** An address counts for routes of its family. `unchanged`: as it was before our own rewriting. */
  readonly nextHop?: Ip | "self" | "unchanged";
  /** `asn` undefined: our own. */
  readonly prepend?: { readonly asn: number | undefined; readonly times: number };
  readonly communities?: CommunityChange;
  readonly extendedCommunities?: CommunityChange;
  readonly largeCommunities?: CommunityChange;
}

/** A value, or a difference to what is there; what leaves the range of 32 bits stays at its end. */
export type NumberChange = { readonly to: number } | { readonly by: number };

/** In this order; communities in the words of `CommunityMatch`. */
export interface CommunityChange {
  /** Instead of all that are there. */
  readonly replace?: readonly (readonly number[])[];
  readonly remove?: readonly CommunityMatch[];
  readonly add?: readonly (readonly number[])[];
}
