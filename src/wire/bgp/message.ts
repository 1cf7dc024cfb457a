/**
 * The header of every BGP message, and the three messages that are little more than one. Sole owner of message length.
 *
 *   | marker, 16 octets of ones | length 2, header included | type 1 | body |          (RFC 4271 §4.1)
 */
import { Writer } from "#base/bytes.ts";
import { errorCode, headerLength, headerSubcode, maxMessageLength, messageType, refreshErrorSubcode, refreshSubtype } from "./constants.ts";
import { type Decoded, type PeerFault, peerFault } from "./notification.ts";

/** Least length by type, header included (RFC 4271 §6.1, RFC 2918 §3). Index 0 is no type. */
const leastLength = [0, 29, 23, 21, 19, 23] as const;

const markerFault = -1,
  lengthFault = -2,
  typeFault = -3;

/**
 * What stands at bytes[at, end): the length of the whole message if all of it is there, 0 if more octets are needed, and a
 * negative number for `headerFault` if no message can begin like this, which is known before the body has come. `maxLength`
 * is 65535 once *we* advertised extended messages, else 4096 (RFC 8654 §4). Allocates nothing.
 */
export function frame(bytes: Uint8Array, at: number, end: number, maxLength: number): number {
  const marker = Math.min(at + 16, end);
  for (let i = at; i < marker; i++) if (bytes[i] !== 0xff) return markerFault;
  if (end - at < headerLength) return 0;
  const length = (bytes[at + 16]! << 8) | bytes[at + 17]!;
  const type = bytes[at + 18]!;
  if (type < messageType.open || type > messageType.routeRefresh) return typeFault;
  if (length < leastLength[type]! || length > longest(type, maxLength)) return lengthFault;
  return length <= end - at ? length : 0;
}

/** OPEN stays at 4096 with extended messages too, a KEEPALIVE is its header (RFC 8654 §4, RFC 4271 §4.4). */
function longest(type: number, maxLength: number): number {
  if (type === messageType.keepalive) return headerLength;
  return type === messageType.open ? Math.min(maxLength, maxMessageLength) : maxLength;
}

/** The NOTIFICATION for a negative answer of `frame` about the same octets: 1/2 carries the length, 1/3 the type. */
export function headerFault(bytes: Uint8Array, at: number, answer: number): PeerFault {
  const { messageHeader } = errorCode;
  if (answer === markerFault) return peerFault(messageHeader, headerSubcode.notSynchronized, "the marker of a message is not all ones");
  const length = (bytes[at + 16]! << 8) | bytes[at + 17]!,
    type = bytes[at + 18]!;
  if (answer === typeFault) return peerFault(messageHeader, headerSubcode.badType, `message type ${type} is unknown`, Uint8Array.of(type));
  const data = Uint8Array.of(length >> 8, length & 0xff);
  return peerFault(messageHeader, headerSubcode.badLength, `a message of type ${type} cannot be ${length} octets long`, data);
}

/** Writes a header whose length is still open; returns where it stands, for `endMessage`. */
export function beginMessage(into: Writer, type: number): number {
  const at = into.length;
  for (let i = 0; i < 4; i++) into.u32(0xffff_ffff);
  into.u16(0).u8(type);
  return at;
}

/** Fills in the length of the message that began at `at` and ends with what was written last. */
export function endMessage(into: Writer, at: number): void {
  into.patch16(at + 16, into.length - at);
}

export function encodeKeepalive(): Uint8Array {
  const into = new Writer(headerLength);
  endMessage(into, beginMessage(into, messageType.keepalive));
  return into.written;
}

export interface Notification {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
}

/** Data that would not fit into 4096 octets is cut: it is a help for people, and the message must be legal for any peer. */
export function encodeNotification({ code, subcode, data }: Notification): Uint8Array {
  const into = new Writer(headerLength + 2 + data.length);
  const at = beginMessage(into, messageType.notification);
  into
    .u8(code)
    .u8(subcode)
    .put(data.subarray(0, maxMessageLength - headerLength - 2));
  endMessage(into, at);
  return into.written;
}

/** Body of a NOTIFICATION, bytes[start, end). There is no bad one: it is never answered (RFC 4271 §6.4). Copies the data. */
export function decodeNotification(bytes: Uint8Array, start: number, end: number): Notification {
  const body = new Uint8Array(bytes.subarray(start, end));
  return { code: body[0] ?? 0, subcode: body[1] ?? 0, data: body.subarray(2) };
}

export interface RouteRefresh {
  readonly afi: number;
  readonly safi: number;
  /** 0 request (RFC 2918), 1 begin, 2 end (RFC 7313); any other is to be ignored. */
  readonly subtype: number;
}

export function encodeRouteRefresh({ afi, safi, subtype }: RouteRefresh): Uint8Array {
  const into = new Writer(headerLength + 4);
  const at = beginMessage(into, messageType.routeRefresh);
  into.u16(afi).u8(subtype).u8(safi);
  endMessage(into, at);
  return into.written;
}

/** Body of a ROUTE-REFRESH. A request may carry more behind (RFC 5291), which is not read; begin and end may not. */
export function decodeRouteRefresh(bytes: Uint8Array, start: number, end: number): Decoded<RouteRefresh> {
  const body = new Uint8Array(bytes.subarray(start, end));
  const subtype = body[2] ?? 0;
  const marks = subtype === refreshSubtype.begin || subtype === refreshSubtype.end;
  if (body.length >= 4 && !(marks && body.length !== 4)) {
    return { ok: true, value: { afi: (body[0]! << 8) | body[1]!, safi: body[3]!, subtype } };
  }
  // RFC 7313 §5: the data is the whole message.
  const whole = new Writer(headerLength + body.length);
  const at = beginMessage(whole, messageType.routeRefresh);
  whole.put(body);
  endMessage(whole, at);
  const text = `a ROUTE-REFRESH of subtype ${subtype} cannot have a body of ${body.length} octets`;
  return { ok: false, fault: peerFault(errorCode.routeRefresh, refreshErrorSubcode.invalidLength, text, whole.written) };
}
