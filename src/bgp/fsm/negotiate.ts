/**
 * Two OPENs → the terms of a session, or the NOTIFICATION that refuses it (RFC 4271 §6.2). The codec has refused what no
 * OPEN may hold; here is what this one may not hold, given who we are and whom we expect.
 *
 * Graceful restart (RFC 4724) is offered for every family of the neighbour, whatever we are:
 * - as a helper we keep the routes of a peer that restarts; for that it must see the families listed by us too;
 * - as a restarting speaker we set F for a family where forwarding went on while we were away. On a node that is so while
 *   the kernel kept its routes. An off-path reflector has no forwarding state to lose: the packets of the routes it
 *   reflects go from next hop to next hop, so F is true of it at every start (the caller says so, per family).
 * - N is always set (RFC 8538): a hold timer or an error of ours need not cost the peer its routes.
 */
import type { Ip } from "#base/ip.ts";
import { type Outcome, failed, ok } from "#base/fault.ts";
import { printIp4 } from "#base/ip.ts";
import type { AsRole, FamilyName, SessionSettings } from "#base/settings.ts";
import { type AddressFamily, type Capabilities, noCapabilities, offeredFamilies } from "#wire/bgp/capability.ts";
import { afi, capabilityCode, errorCode, openSubcode, safi } from "#wire/bgp/constants.ts";
import { peerFault } from "#wire/bgp/notification.ts";
import type { Open } from "#wire/bgp/open.ts";
import { type FamilyIndex, type NotificationFault, type SessionTerms, ipv4Unicast, ipv6Unicast } from "../terms.ts";

/** Who we are in every OPEN. */
export interface SpeakerIdentity {
  readonly asn: number;
  /** BGP Identifier, unsigned. */
  readonly routerId: number;
  /** RFC 4456 §7; not part of an OPEN, but of who we are. */
  readonly clusterId: number;
  /** Chance in [0, 1) for the jitter of timers (RFC 4271 §10). */
  readonly jitter: () => number;
}

/** What our OPENs say of a restart of ours (RFC 4724 §3): the R bit, and the families whose F bit is set. */
export interface RestartState {
  readonly restarting: boolean;
  readonly forwarding: readonly FamilyIndex[];
}

/** Registry "BGP Role Value". */
const roleNumbers: Readonly<Record<AsRole, number>> = { provider: 0, rs: 1, "rs-client": 2, customer: 3, peer: 4 };
const partnerOf: Readonly<Record<AsRole, AsRole>> = { provider: "customer", customer: "provider", rs: "rs-client", "rs-client": "rs", peer: "peer" };

const indexOfName: Readonly<Record<FamilyName, FamilyIndex>> = { ipv4: ipv4Unicast, ipv6: ipv6Unicast };
const familyOfIndex: Readonly<Record<FamilyIndex, AddressFamily>> = {
  [ipv4Unicast]: { afi: afi.ipv4, safi: safi.unicast },
  [ipv6Unicast]: { afi: afi.ipv6, safi: safi.unicast },
};

/** Index of a family on the wire; undefined if it is none of ours. */
export function familyIndex({ afi: number, safi: sub }: AddressFamily): FamilyIndex | undefined {
  if (sub !== safi.unicast) return undefined;
  return number === afi.ipv4 ? ipv4Unicast : number === afi.ipv6 ? ipv6Unicast : undefined;
}

export function ourOpen(identity: SpeakerIdentity, settings: SessionSettings, restart: RestartState): Open {
  const families = settings.families.map((name) => indexOfName[name]);
  const { gracefulRestart, asRole, localAs: asn = identity.asn } = settings,
    longLivedSeconds = gracefulRestart?.longLivedSeconds;
  const listed = families.map((family) => ({ ...familyOfIndex[family], forwarding: restart.forwarding.includes(family) }));
  const capabilities: Capabilities = {
    ...noCapabilities,
    families: families.map((family) => familyOfIndex[family]),
    routeRefresh: true,
    enhancedRouteRefresh: true,
    extendedMessage: true,
    fourOctetAs: asn,
    addPath: families.flatMap((family) => offeredPaths(family, settings)),
    extendedNextHop: settings.extendedNextHop && families.includes(ipv4Unicast) ? [{ ...familyOfIndex[ipv4Unicast], nextHopAfi: afi.ipv6 }] : [],
    ...(asRole && { role: roleNumbers[asRole] }),
    ...(longLivedSeconds !== undefined && { longLived: listed.map((family) => ({ ...family, staleSeconds: longLivedSeconds })) }),
    ...(gracefulRestart && {
      gracefulRestart: { restarting: restart.restarting, notification: true, restartSeconds: gracefulRestart.restartSeconds, families: listed },
    }),
  };
  return { asn, holdSeconds: settings.holdSeconds, bgpIdentifier: identity.routerId, capabilities };
}

/** RFC 7911 §4. */
function offeredPaths(family: FamilyIndex, { addPath }: SessionSettings): Capabilities["addPath"] {
  const receive = addPath?.receive === true,
    send = addPath !== undefined && addPath.send !== 0;
  return receive || send ? [{ ...familyOfIndex[family], receive, send }] : [];
}

/** The same for a peer that refused optional parameters with (2, 4): RFC 5492 §3. */
export function withoutCapabilities(open: Open): Open {
  return { ...open, capabilities: noCapabilities };
}

interface Ends {
  readonly local: Ip;
  readonly remote: Ip;
}

/** What both agree on. `ours` is the OPEN that was sent on this connection. */
export function negotiate(ours: Open, theirs: Open, settings: SessionSettings, ends: Ends): Outcome<SessionTerms, NotificationFault> {
  const fault = refusal(ours, theirs, settings);
  if (fault) return failed(fault);
  const families = commonFamilies(ours.capabilities, theirs.capabilities);
  if (families.length === 0) return failed(noCommonFamily(ours.capabilities));
  const [mine, its] = [ours.capabilities, theirs.capabilities];
  const holdSeconds = Math.min(ours.holdSeconds, theirs.holdSeconds);
  return ok({
    remoteAs: theirs.asn,
    remoteId: theirs.bgpIdentifier,
    role: settings.role,
    holdSeconds,
    keepaliveMillis: (holdSeconds * 1000) / 3,
    families,
    fourOctetAs: mine.fourOctetAs !== undefined && its.fourOctetAs !== undefined,
    routeRefresh: mine.routeRefresh && its.routeRefresh,
    enhancedRefresh: mine.enhancedRouteRefresh && its.enhancedRouteRefresh,
    // RFC 8654 §4: what we may send is up to the peer; what we take (session.ts) is up to us.
    extendedMessages: its.extendedMessage,
    addPath: commonAddPath(mine, its, families, settings),
    extendedNextHop: families.includes(ipv4Unicast) && takesIpv6NextHop(mine) && takesIpv6NextHop(its),
    gracefulRestart: commonRestart(mine, its, families),
    longLived: commonLongLived(mine, its, families),
    ...ends,
  });
}

function refusal(ours: Open, theirs: Open, settings: SessionSettings): NotificationFault | undefined {
  const { openMessage } = errorCode;
  if (theirs.asn !== settings.remoteAs) {
    return peerFault(openMessage, openSubcode.badPeerAs, `the peer is AS ${theirs.asn}, configured is AS ${settings.remoteAs}`);
  }
  // RFC 6286 §2.2: unique within an AS; two ASes may use one number twice.
  if (theirs.asn === ours.asn && theirs.bgpIdentifier === ours.bgpIdentifier) {
    return peerFault(
      openMessage,
      openSubcode.badBgpIdentifier,
      `the peer uses our own BGP Identifier ${printIp4(theirs.bgpIdentifier)}: give one of the two another router id`,
    );
  }
  return roleRefusal(theirs.capabilities.role, settings);
}

/** RFC 9234 §4.2: the roles must be a pair; a peer without one is refused only where we were told to be strict. */
function roleRefusal(theirs: number | undefined, { asRole, strictRole }: SessionSettings): NotificationFault | undefined {
  if (asRole === undefined || (theirs === undefined && strictRole !== true)) return undefined;
  const partner = roleNumbers[partnerOf[asRole]];
  if (theirs === partner) return undefined;
  const name = Object.entries(roleNumbers).find(([, number]) => number === theirs)?.[0] ?? theirs;
  const said = name === undefined ? "says no role" : `says its role is ${name}`;
  const text = `the peer ${said}, and ours is ${asRole}: it must be ${partnerOf[asRole]} (RFC 9234)`;
  return peerFault(errorCode.openMessage, openSubcode.roleMismatch, text);
}

function commonFamilies(mine: Capabilities, its: Capabilities): FamilyIndex[] {
  const offered = offeredFamilies(its).map(familyIndex);
  return offeredFamilies(mine)
    .flatMap((family) => familyIndex(family) ?? [])
    .filter((family) => offered.includes(family));
}

/** RFC 5492 §5: the data lists the capabilities that were missed, as they would stand in an OPEN. */
function noCommonFamily({ families }: Capabilities): NotificationFault {
  const data = families.flatMap(({ afi: number, safi: sub }) => [capabilityCode.multiprotocol, 4, number >> 8, number & 0xff, 0, sub]);
  const text = "no address family is offered by both sides";
  return peerFault(errorCode.openMessage, openSubcode.unsupportedCapability, text, Uint8Array.from(data));
}

/** Each direction by itself: what one offers to send and the other to receive (RFC 7911 §4). */
function commonAddPath(
  mine: Capabilities,
  its: Capabilities,
  families: readonly FamilyIndex[],
  { addPath }: SessionSettings,
): NonNullable<SessionTerms["addPath"]> {
  return families.flatMap((family) => {
    const [ours, theirs] = [mine, its].map((one) => one.addPath.find((listed) => familyIndex(listed) === family));
    const receive = ours?.receive === true && theirs?.send === true,
      send = ours?.send === true && theirs?.receive === true ? (addPath?.send ?? 0) : 0;
    return receive || send !== 0 ? [{ family, receive, send }] : [];
  });
}

/** RFC 8950 §4: both must have said so for IPv4 unicast. */
function takesIpv6NextHop({ extendedNextHop }: Capabilities): boolean {
  return extendedNextHop.some((listed) => familyIndex(listed) === ipv4Unicast && listed.nextHopAfi === afi.ipv6);
}

function commonRestart(mine: Capabilities, its: Capabilities, families: readonly FamilyIndex[]): SessionTerms["gracefulRestart"] {
  const ours = mine.gracefulRestart,
    theirs = its.gracefulRestart;
  if (!ours || !theirs) return undefined;
  return {
    restarting: theirs.restarting,
    notification: ours.notification && theirs.notification,
    restartSeconds: theirs.restartSeconds,
    families: theirs.families.flatMap((listed) => {
      const family = familyIndex(listed);
      return family === undefined || !families.includes(family) ? [] : [{ family, forwarding: listed.forwarding }];
    }),
  };
}

/** RFC 9494 §4.1, §4.5: without graceful restart the capability counts for nothing. Ours bounds what the peer asks for (§4.2). */
function commonLongLived(mine: Capabilities, its: Capabilities, families: readonly FamilyIndex[]): SessionTerms["longLived"] {
  if (!mine.gracefulRestart || !its.gracefulRestart || mine.longLived.length === 0 || its.longLived.length === 0) return undefined;
  const most = Math.max(...mine.longLived.map(({ staleSeconds }) => staleSeconds));
  return its.longLived.flatMap((listed) => {
    const family = familyIndex(listed);
    if (family === undefined || !families.includes(family)) return [];
    return [{ family, forwarding: listed.forwarding, staleSeconds: Math.min(listed.staleSeconds, most) }];
  });
}
