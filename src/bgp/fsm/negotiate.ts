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
import type { FamilyName, SessionSettings } from "#base/settings.ts";
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
  const capabilities: Capabilities = {
    ...noCapabilities,
    families: families.map((family) => familyOfIndex[family]),
    routeRefresh: true,
    enhancedRouteRefresh: true,
    extendedMessage: true,
    fourOctetAs: identity.asn,
    ...(settings.gracefulRestart && {
      gracefulRestart: {
        restarting: restart.restarting,
        notification: true,
        restartSeconds: settings.gracefulRestart.restartSeconds,
        families: families.map((family) => ({ ...familyOfIndex[family], forwarding: restart.forwarding.includes(family) })),
      },
    }),
  };
  return { asn: identity.asn, holdSeconds: settings.holdSeconds, bgpIdentifier: identity.routerId, capabilities };
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
    gracefulRestart: commonRestart(mine, its, families),
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
  return undefined;
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
