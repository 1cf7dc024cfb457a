/** What of RFC 4271 a session was told not to insist on. */
import type { SessionSettings } from "#base/settings.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import type { Self } from "./scan.ts";

export interface Tolerance {
  /** Our own AS may stand so often in a path (§9.1.2 calls it a loop). */
  readonly ownAs: number;
  /** The path need not begin with the neighbour's AS: a route server adds none (§6.3, RFC 7947 §2.2.2.1). */
  readonly anyFirstAs: boolean;
}

/** Undefined: none. */
export function toleranceOf({ role, allowAsIn, asRole }: SessionSettings): Tolerance | undefined {
  const anyFirstAs = asRole === "rs-client";
  if (role !== "external" || (allowAsIn === undefined && !anyFirstAs)) return undefined;
  return { ownAs: allowAsIn ?? 0, anyFirstAs };
}

/** How often our AS stands in the path; Infinity where the route has been here by reflection (RFC 4456 §8), which nothing excuses. */
export function countOwn({ asPath = [], originatorId, clusterList }: PathAttributes, self: Self): number {
  if (originatorId === self.routerId || clusterList?.includes(self.clusterId)) return Infinity;
  return asPath.reduce((sum, { asns }) => sum + asns.filter((asn) => asn === self.asn).length, 0);
}
