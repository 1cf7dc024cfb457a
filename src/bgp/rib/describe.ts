/** What the decision compares, read from attribute values: the slow twin of scan.ts, for sets the scan does not take. */
import { asPathLength, neighbourAs, pathContains } from "#wire/bgp/as-path.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import {
  defaultLocalPref,
  flagGracefulShutdown,
  flagHasLocalPref,
  flagHasMed,
  flagInternalOnly,
  flagLongLivedStale,
  flagLoop,
  flagNoAdvertise,
  flagNoExport,
  flagNoLongLived,
  flagOnlyToCustomer,
  type Scanned,
  type Self,
} from "./scan.ts";

/** `bytes`: the canonical octets of `values`. */
export function describe(values: PathAttributes, bytes: Uint8Array, self: Self, out: Scanned): void {
  const path = values.asPath ?? [];
  out.origin = values.origin ?? 2;
  out.asLength = asPathLength(path);
  out.neighborAs = neighbourAs(path) ?? 0;
  out.localPref = values.localPref ?? defaultLocalPref;
  out.hasLocalPref = values.localPref !== undefined;
  out.med = values.med ?? 0;
  out.originatorId = values.originatorId ?? 0;
  out.clusterLength = values.clusterList?.length ?? 0;
  out.hasMandatory = values.origin !== undefined && values.asPath !== undefined;
  out.flags = flagsOf(values, self);
  locate(bytes, out);
}

function flagsOf(values: PathAttributes, self: Self): number {
  let flags = 0;
  const internal = values.localPref !== undefined || values.originatorId !== undefined || values.clusterList !== undefined;
  if (internal) flags |= flagInternalOnly;
  if (values.localPref !== undefined) flags |= flagHasLocalPref;
  if (values.med !== undefined) flags |= flagHasMed;
  if (hasBeenHere(values, self)) flags |= flagLoop;
  for (const community of values.communities ?? []) {
    if (community === 0xffffff01 || community === 0xffffff03) flags |= flagNoExport;
    if (community === 0xffffff02) flags |= flagNoAdvertise;
    if (community === 0xffff0000) flags |= flagGracefulShutdown;
    if (community === 0xffff0006) flags |= flagLongLivedStale;
    if (community === 0xffff0007) flags |= flagNoLongLived;
  }
  if (values.otc !== undefined) flags |= flagOnlyToCustomer;
  return flags;
}

/** Own ORIGINATOR_ID, own CLUSTER_ID (RFC 4456 §8) or own AS (RFC 4271 §9.1.2) is in it. */
export function hasBeenHere({ originatorId, clusterList, asPath }: PathAttributes, self: Self): boolean {
  return originatorId === self.routerId || clusterList?.includes(self.clusterId) === true || pathContains(asPath ?? [], self.asn);
}

/** Where NEXT_HOP stands, and where types 9 and 10 stand or belong. */
function locate(bytes: Uint8Array, out: Scanned): void {
  out.splitAt = out.tailAt = bytes.length;
  out.nextHopAt = -1;
  for (let at = 0; at < bytes.length;) {
    const type = bytes[at + 1]!,
      extended = (bytes[at]! & 0x10) !== 0;
    if (type === 3) out.nextHopAt = at + 3;
    if (type >= 9 && out.splitAt === bytes.length) out.splitAt = at;
    if (type > 10) {
      out.tailAt = at;
      return;
    }
    at += extended ? 4 + ((bytes[at + 2]! << 8) | bytes[at + 3]!) : 3 + bytes[at + 2]!;
  }
}
