/**
 * The meaning of a decoded UPDATE, after its structure (attribute.ts): what must be there is there, the next hop can be one,
 * the path begins with the neighbour. Answers what the whole UPDATE costs, and the NOTIFICATION if that is the session.
 */
import { printIp } from "#base/ip.ts";
import { type AsPath, hasAsSet, hasConfederation, neighbourAs } from "./as-path.ts";
import type { DecodedAttributes } from "./attribute.ts";
import { attributeType, errorCode, safi, updateSubcode } from "./constants.ts";
import { type PeerFault, peerFault } from "./notification.ts";
import { type AttributeFault, type Cost, strongest } from "./path-attributes.ts";

export interface ValidateContext {
  readonly internal: boolean;
  readonly remoteAs: number;
  /** The first AS of the path must be the neighbour's (RFC 4271 §6.3); external peers only. A route server is the exception. */
  readonly enforceFirstAs: boolean;
  /** RFC 9774 §3: a path with AS_SET is withdrawn unless this is set. */
  readonly acceptAsSet: boolean;
  /** Our own addresses, 4 or 16 octets each: never a next hop towards somebody else (RFC 4271 §5.1.3). */
  readonly ownAddresses: readonly Uint8Array[];
}

export interface Verdict {
  readonly cost: Cost;
  /** Everything that is wrong, structure and meaning, in the order it was found. */
  readonly faults: readonly AttributeFault[];
  /** Present when the cost is "reset". */
  readonly notification?: PeerFault;
}

/** `hasNlri`: the NLRI range of the UPDATE is not empty (IPv4 unicast in the classic fields). */
export function validateUpdate(decoded: DecodedAttributes, hasNlri: boolean, context: ValidateContext): Verdict {
  const { reach, faults } = decoded;
  if (decoded.notification) return { cost: "reset", faults, notification: decoded.notification };
  const reachable = hasNlri || (reach !== undefined && reach.nlriStart < reach.nlriEnd);
  const found = reachable ? [...faults, ...meaning(decoded, hasNlri, context)] : faults;
  const cost = found.reduce<Cost>((worst, one) => strongest(worst, one.cost), "none");
  const bad = found.find((one) => one.cost === "withdraw" && !one.configured);
  if (!bad || reachable) return { cost, faults: found };
  // RFC 7606 §5.2: nothing reachable was seen that a withdraw could be applied to, so it may have been overlooked.
  const text = `${bad.text}, and no reachable prefix to withdraw for it`;
  return { cost: "reset", faults: found, notification: peerFault(errorCode.updateMessage, bad.subcode, text, bad.data) };
}

/** Each fault found here costs the routes, never the session (RFC 7606 §3 d, e). */
function meaning({ attributes, reach, faults }: DecodedAttributes, hasNlri: boolean, context: ValidateContext): AttributeFault[] {
  const { origin, asPath, nextHop } = attributes;
  const out: AttributeFault[] = [];
  // One that was there but malformed has been blamed already.
  const require = (value: unknown, type: number, name: string): void => {
    if (value !== undefined || faults.some((one) => one.type === type)) return;
    out.push(fault(type, updateSubcode.missingWellKnown, `${name} is missing`, Uint8Array.of(type)));
  };
  require(origin, attributeType.origin, "ORIGIN");
  require(asPath, attributeType.asPath, "AS_PATH");
  if (hasNlri) require(nextHop, attributeType.nextHop, "NEXT_HOP");
  const wrongPath = asPath && pathFault(asPath, context);
  if (wrongPath !== undefined) out.push(fault(attributeType.asPath, updateSubcode.malformedAsPath, wrongPath));
  const classic = hasNlri && nextHop ? nextHopFault(nextHop, context) : undefined;
  if (classic !== undefined) out.push(fault(attributeType.nextHop, updateSubcode.invalidNextHop, classic));
  const multiprotocol = reach && reach.safi === safi.unicast ? nextHopFault(reach.nextHop, context) : undefined;
  if (multiprotocol !== undefined) out.push(fault(attributeType.mpReach, updateSubcode.optionalAttribute, multiprotocol));
  return out;
}

function fault(type: number, subcode: number, text: string, data: Uint8Array = new Uint8Array(0)): AttributeFault {
  return { type, cost: "withdraw", text, subcode, data };
}

function pathFault(path: AsPath, { internal, remoteAs, enforceFirstAs, acceptAsSet }: ValidateContext): string | undefined {
  if (!acceptAsSet && hasAsSet(path)) return "AS_PATH with an AS_SET (RFC 9774)";
  if (internal) return undefined;
  // We are in no confederation with anybody outside our AS (RFC 5065 §5).
  if (hasConfederation(path)) return "AS_PATH with confederation segments from an external peer";
  const first = neighbourAs(path);
  if (enforceFirstAs && first !== remoteAs) return `AS_PATH begins with ${first === undefined ? "no AS" : `AS ${first}`}, not with the peer's AS ${remoteAs}`;
  return undefined;
}

/**
 * Why 4, 16 or 32 octets cannot be the address of a host (RFC 4271 §6.3, RFC 2545 §3), or are our own. The link-local half of
 * 32 octets is not looked at. Loopback addresses pass: where they make no sense the next hop does not resolve.
 */
function nextHopFault(nextHop: Uint8Array, { ownAddresses }: ValidateContext): string | undefined {
  const address = nextHop.length === 32 ? nextHop.subarray(0, 16) : nextHop;
  const isHost = address.length === 4 ? address[0]! > 0 && address[0]! < 224 : address[0] !== 0xff && address.some((octet) => octet !== 0);
  if (!isHost) return `next hop ${printIp(address)} is not the address of a host`;
  return ownAddresses.some((own) => own.length === address.length && own.every((octet, i) => octet === address[i]))
    ? `next hop ${printIp(address)} is our own address`
    : undefined;
}
