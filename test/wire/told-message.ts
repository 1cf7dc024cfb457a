/** One message as one line for people, with what the RFCs say becomes of it: what captures are compared with. */
import { printIp, printIp4 } from "#base/ip.ts";
import { printAsPath } from "#wire/bgp/as-path.ts";
import { decodeAttributes, type PathAttributes } from "#wire/bgp/attribute.ts";
import type { Capabilities } from "#wire/bgp/capability.ts";
import { printCommunity, printExtendedCommunity, printLargeCommunity } from "#wire/bgp/community.ts";
import { familyKey, headerLength, messageType } from "#wire/bgp/constants.ts";
import { decodeNotification, decodeRouteRefresh } from "#wire/bgp/message.ts";
import { decodePrefixes, type Nlri } from "#wire/bgp/nlri.ts";
import { describeNotification } from "#wire/bgp/notification.ts";
import { decodeOpen } from "#wire/bgp/open.ts";
import { emptyRanges, endOfRib, splitUpdate } from "#wire/bgp/update.ts";
import { validateUpdate } from "#wire/bgp/validate.ts";

/** What both OPENs of the session agreed on, as far as the octets depend on it. */
export interface Agreed {
  readonly fourOctetAs: boolean;
  readonly addPath: boolean;
  readonly internal: boolean;
}

export function toldMessage(bytes: Uint8Array, agreed: Agreed): string {
  const end = bytes.length;
  switch (bytes[18]) {
    case messageType.open: {
      const open = decodeOpen(bytes, headerLength, end);
      if (!open.ok) return `OPEN refused ${open.fault.code}/${open.fault.subcode}: ${open.fault.text}`;
      const { asn, holdSeconds, bgpIdentifier, capabilities } = open.value;
      return `OPEN AS ${asn} hold ${holdSeconds} id ${printIp4(bgpIdentifier)}: ${toldCapabilities(capabilities)}`;
    }
    case messageType.keepalive:
      return "KEEPALIVE";
    case messageType.notification: {
      const { code, subcode, data } = decodeNotification(bytes, headerLength, end);
      return `NOTIFICATION ${describeNotification(code, subcode, data)}`;
    }
    case messageType.routeRefresh: {
      const refresh = decodeRouteRefresh(bytes, headerLength, end);
      return refresh.ok ? `ROUTE-REFRESH ${refresh.value.afi}/${refresh.value.safi} subtype ${refresh.value.subtype}` : `ROUTE-REFRESH: ${refresh.fault.text}`;
    }
    default:
      return toldUpdate(bytes, agreed);
  }
}

const family = ({ afi, safi }: { readonly afi: number; readonly safi: number }): string => `${afi}/${safi}`;

function toldCapabilities(of: Capabilities): string {
  const restart = of.gracefulRestart;
  const parts = [
    `families ${of.families.map(family).join(" ")}`,
    of.routeRefresh && "refresh",
    of.enhancedRouteRefresh && "enhanced refresh",
    of.extendedMessage && "extended messages",
    of.fourOctetAs !== undefined && `AS ${of.fourOctetAs}`,
    restart && `restart ${restart.restartSeconds} s${restart.restarting ? " R" : ""}${restart.notification ? " N" : ""}`,
    restart && restart.families.length > 0 && `for ${restart.families.map((one) => family(one) + (one.forwarding ? " F" : "")).join(" ")}`,
    of.addPath.length > 0 && `add-path ${of.addPath.map((one) => `${family(one)}${one.receive ? " receive" : ""}${one.send ? " send" : ""}`).join(" ")}`,
    of.longLived.length > 0 && `long-lived ${of.longLived.map((one) => `${family(one)} ${one.staleSeconds} s${one.forwarding ? " F" : ""}`).join(" ")}`,
    of.role !== undefined && `role ${of.role}`,
    of.unknown.length > 0 && `unknown ${of.unknown.map(({ code }) => code).join(" ")}`,
  ];
  return parts.filter((part) => typeof part === "string").join(", ");
}

const print = ({ prefix, pathId }: Nlri): string => (pathId === undefined ? prefix : `${prefix}(${pathId})`);

function toldUpdate(bytes: Uint8Array, { fourOctetAs, addPath, internal }: Agreed): string {
  const ranges = emptyRanges(),
    fault = splitUpdate(bytes, headerLength, bytes.length, ranges);
  if (fault) return `UPDATE reset ${fault.code}/${fault.subcode}: ${fault.text}`;
  const marked = endOfRib(bytes, ranges);
  if (marked !== 0) return `End-of-RIB ${marked >> 8}/${marked & 255}`;
  const families = addPath ? [familyKey(1, 1), familyKey(2, 1)] : [];
  const decoded = decodeAttributes(bytes, ranges.attributesStart, ranges.attributesEnd, { internal, fourOctetAs, addPath: families });
  const context = { internal, remoteAs: 0, enforceFirstAs: false, acceptAsSet: false, ownAddresses: [] };
  const { cost, faults, notification } = validateUpdate(decoded, ranges.nlriStart < ranges.nlriEnd, context);
  const list = (start: number, end: number, afi = 1): string =>
    (decodePrefixes(bytes, start, end, { family: afi === 1 ? 4 : 6, addPath }) ?? []).map(print).join(" ");
  const { reach, unreach, attributes } = decoded;
  const parts = [
    cost === "none" ? "" : `${cost}${notification ? ` ${notification.code}/${notification.subcode}` : ""} (${faults.map(({ text }) => text).join("; ")})`,
    ranges.withdrawnStart < ranges.withdrawnEnd && `gone ${list(ranges.withdrawnStart, ranges.withdrawnEnd)}`,
    ranges.nlriStart < ranges.nlriEnd && `routes ${list(ranges.nlriStart, ranges.nlriEnd)}`,
    reach &&
      `reach ${family(reach)} by ${printIp(reach.nextHop.subarray(0, 16))} ${reach.safi === 1 ? list(reach.nlriStart, reach.nlriEnd, reach.afi) : "opaque"}`,
    unreach && `unreach ${family(unreach)} ${unreach.safi === 1 ? list(unreach.start, unreach.end, unreach.afi) : "opaque"}`,
    toldAttributes(attributes),
  ];
  return `UPDATE ${parts.filter((part) => typeof part === "string" && part !== "").join(", ")}`;
}

function toldAttributes(of: PathAttributes): string {
  const large = of.largeCommunities;
  const parts = [
    of.origin !== undefined && `origin ${of.origin}`,
    of.asPath && `path [${printAsPath(of.asPath)}]`,
    of.nextHop && `next hop ${printIp(of.nextHop)}`,
    of.med !== undefined && `MED ${of.med}`,
    of.localPref !== undefined && `LOCAL_PREF ${of.localPref}`,
    of.communities && `communities ${Array.from(of.communities, printCommunity).join(" ")}`,
    of.originatorId !== undefined && `originator ${printIp4(of.originatorId)}`,
    of.clusterList && `clusters ${Array.from(of.clusterList, printIp4).join(" ")}`,
    of.extendedCommunities && `extended ${eights(of.extendedCommunities).map(printExtendedCommunity).join(" ")}`,
    large && `large ${Array.from({ length: large.length / 3 }, (_, i) => printLargeCommunity(large[3 * i]!, large[3 * i + 1]!, large[3 * i + 2]!)).join(" ")}`,
    of.otc !== undefined && `OTC ${of.otc}`,
    of.unknown && `unknown ${of.unknown.map(({ type }) => type).join(" ")}`,
  ];
  return parts.filter((part) => typeof part === "string").join(", ");
}

const eights = (octets: Uint8Array): Uint8Array[] => Array.from({ length: octets.length / 8 }, (_, i) => octets.subarray(8 * i, 8 * i + 8));
