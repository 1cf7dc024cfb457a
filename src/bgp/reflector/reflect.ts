/**
 * RFC 4456: who is told what. Two functions: one on the way in (is the route a loop), one on the way out (may this group
 * have it). That a route never goes back to the one it came from is the lane's part (lane.ts): it depends on the member,
 * not on the group.
 */
import { type Role, roleExternal, roleMonitor, roleNonClient } from "../rib/peer-table.ts";
import { flagLoop, flagNoAdvertise, flagNoExport } from "../rib/scan.ts";

/**
 * False for a route that has been here: own ORIGINATOR_ID or own CLUSTER_ID in it (RFC 4456 §8), own AS in its path
 * (RFC 4271 §9.1.2). The UPDATE still counts: it implicitly withdraws what that peer said before about the prefix.
 */
export function accepts(attributeFlags: number): boolean {
  return (attributeFlags & flagLoop) === 0;
}

/** RFC 4456 §6: from a non-client to clients and external peers only; from anyone else to all. RFC 1997 on top. */
export function mayTell(to: Role, from: Role, attributeFlags: number): boolean {
  if (from === roleNonClient && to === roleNonClient) return false;
  if (to === roleMonitor) return true;
  if (attributeFlags & flagNoAdvertise) return false;
  return !(to === roleExternal && attributeFlags & flagNoExport);
}

/** Why `mayTell` said no, for `podway why`; undefined if it said yes. */
export function whyNotTold(to: Role, from: Role, attributeFlags: number): string | undefined {
  if (from === roleNonClient && to === roleNonClient) return "learned from a non-client, so other non-clients are not told (RFC 4456 §6)";
  if (attributeFlags & flagNoAdvertise) return "it carries NO_ADVERTISE (RFC 1997)";
  if (to === roleExternal && attributeFlags & flagNoExport) return "it carries NO_EXPORT (RFC 1997)";
  return undefined;
}

/** True if a route from `from` is reflected (and gets ORIGINATOR_ID and CLUSTER_LIST) when told to `to`. */
export function isReflected(to: Role, from: Role): boolean {
  return to < roleExternal && (from === 1 || from === roleNonClient);
}
