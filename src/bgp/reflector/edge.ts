/**
 * What the session to a group asks for beside policy, on the way out: roles (RFC 9234 §5), long-lived stale routes (RFC 9494
 * §4.3), a graceful shutdown under way (RFC 8326 §4), AS numbers shown in place of others. Peers alike in it may share a group.
 */
import type { AsRole, SessionSettings } from "#base/settings.ts";
import type { AsPath } from "#wire/bgp/as-path.ts";
import { prependAs } from "#wire/bgp/as-path.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { wellKnownCommunity } from "#wire/bgp/community.ts";
import { flagLongLivedStale, flagOnlyToCustomer } from "../rib/scan.ts";
import type { SessionTerms } from "../terms.ts";

/** How routes leave by a group, but for policy. As a value, so that two can be compared as text. */
export interface ExportEdge {
  /** Told what has LLGR_STALE; `last`: with NO_EXPORT and LOCAL_PREF 0, as the peer does not know that it is stale (RFC 9494 §4.6). */
  readonly longLived: boolean | "last";
  /** Sessions are about to be shut down: others are to be preferred. */
  readonly shutdown: boolean;
  readonly nextHopSelf: boolean | "force";
  /** External neighbours only. */
  readonly asRole: AsRole | undefined;
  /** AS number shown in front of ours; external neighbours only. */
  readonly localAs: number | undefined;
  /** AS of the neighbour, which is replaced by ours in the paths it is told; undefined: it stays. */
  readonly override: number | undefined;
}

/** Everything leaves as it stands. */
export const openEdge: ExportEdge = { longLived: true, shutdown: false, nextHopSelf: false, asRole: undefined, localAs: undefined, override: undefined };

export function exportEdge(terms: SessionTerms, session: SessionSettings): ExportEdge {
  const isExternal = terms.role === "external";
  return {
    longLived: terms.longLived !== undefined || (!isExternal && session.gracefulRestart?.longLivedPartial === true ? "last" : false),
    shutdown: session.gracefulShutdown === true,
    nextHopSelf: session.nextHopSelf,
    asRole: isExternal ? session.asRole : undefined,
    localAs: isExternal ? session.localAs : undefined,
    override: isExternal && session.asOverride === true ? terms.remoteAs : undefined,
  };
}

/** Why a set may not leave by the edge, for `podway why`; undefined if it may. */
export function whyKept({ longLived, asRole }: ExportEdge, flags: number): string | undefined {
  if (flags & flagLongLivedStale && !longLived)
    return "it is stale for long (LLGR_STALE), and the peer does not know long-lived graceful restart (RFC 9494 §4.3)";
  if (flags & flagOnlyToCustomer && (asRole === "customer" || asRole === "peer" || asRole === "rs-client"))
    return `it carries ONLY_TO_CUSTOMER, and our role towards the peer is ${asRole} (RFC 9234 §5)`;
  return undefined;
}

/** A set on its way to an external neighbour, `asn` our own number: AS path, ONLY_TO_CUSTOMER, GRACEFUL_SHUTDOWN. */
export function passOut(values: PathAttributes, edge: ExportEdge, asn: number): PathAttributes {
  const { asRole, localAs, override, shutdown } = edge;
  const before = values.asPath ?? [],
    path = prependAs(override === undefined ? before : replaceAs(before, override, asn), asn);
  const marks = asRole === "provider" || asRole === "peer" || asRole === "rs";
  const told: PathAttributes = { ...values, asPath: localAs === undefined || localAs === asn ? path : prependAs(path, localAs) };
  const marked = marks && told.otc === undefined ? { ...told, otc: asn } : told;
  return shutdown ? withCommunity(marked, wellKnownCommunity.gracefulShutdown) : marked;
}

/** A set told to an internal peer while the session to it is shut down gracefully. */
export function shutDownInside(values: PathAttributes): PathAttributes {
  return { ...withCommunity(values, wellKnownCommunity.gracefulShutdown), localPref: 0 };
}

/** A long-lived stale set told to an internal peer that does not know what it is (RFC 9494 §4.6). */
export function lastInside(values: PathAttributes): PathAttributes {
  return { ...withCommunity(values, wellKnownCommunity.noExport), localPref: 0 };
}

function withCommunity(values: PathAttributes, community: number): PathAttributes {
  const communities = new Set([...(values.communities ?? []), community]);
  return { ...values, communities: Uint32Array.from(communities).toSorted() };
}

function replaceAs(path: AsPath, old: number, asn: number): AsPath {
  return path.map((segment) => ({ ...segment, asns: segment.asns.map((each) => (each === old ? asn : each)) }));
}
