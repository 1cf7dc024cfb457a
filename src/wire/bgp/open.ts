/**
 * OPEN (RFC 4271 §4.2) with capabilities (RFC 5492) and extended optional parameters (RFC 9072).
 *
 *   | version 1 | my AS 2 | hold time 2 | BGP Identifier 4 | parameters' length 1 | (type 1, length 1, value)…
 *                                                    or:     | 255 | 255 | length 2 | (type 1, length 2, value)…
 */
import { Reader, Truncated, Writer } from "#base/bytes.ts";
import { type Capabilities, decodeCapabilities, encodeCapabilities, noCapabilities } from "./capability.ts";
import { asTrans, errorCode, messageType, openSubcode } from "./constants.ts";
import { beginMessage, endMessage } from "./message.ts";
import { type Decoded, peerFault } from "./notification.ts";

export interface Open {
  /** Four octets: the one of the capability if there is one (RFC 6793 §4.2.1), else My Autonomous System. */
  readonly asn: number;
  /** 0, or 3 and more. */
  readonly holdSeconds: number;
  /** Unsigned, never 0 (RFC 6286 §2.2). */
  readonly bgpIdentifier: number;
  readonly capabilities: Capabilities;
}

const version = 4;
const parameterType = { capabilities: 2, extendedLength: 255 } as const;

/** Body of an OPEN, bytes[start, end). What it means for this peer (its AS, our identifier) is for bgp/fsm/negotiate.ts. */
export function decodeOpen(bytes: Uint8Array, start: number, end: number): Decoded<Open> {
  try {
    return decodeBody(new Reader(bytes, start, end));
  } catch (error) {
    if (error instanceof Truncated) return refused(0, `OPEN is cut off: ${error.message}`);
    throw error;
  }
}

function decodeBody(body: Reader): Decoded<Open> {
  const spoken = body.u8();
  // The data is the version we speak (RFC 4271 §6.2).
  if (spoken !== version) return refused(openSubcode.unsupportedVersion, `BGP version ${spoken} is not spoken here`, Uint8Array.of(0, version));
  const as2 = body.u16(),
    holdSeconds = body.u16(),
    bgpIdentifier = body.u32();
  const parsed = decodeParameters(body);
  if (!parsed.ok) return parsed;
  const capabilities = parsed.value;
  const asn = capabilities.fourOctetAs ?? as2;
  if (asn === 0 || as2 === 0) return refused(openSubcode.badPeerAs, "AS 0 is nobody's (RFC 7607)");
  if (holdSeconds === 1 || holdSeconds === 2) return refused(openSubcode.unacceptableHoldTime, `a hold time of ${holdSeconds} s is neither 0 nor at least 3`);
  if (bgpIdentifier === 0) return refused(openSubcode.badBgpIdentifier, "BGP Identifier 0.0.0.0 is nobody's (RFC 6286)");
  return { ok: true, value: { asn, holdSeconds, bgpIdentifier, capabilities } };
}

/** Every optional parameter up to the end of the message, which must be where the length says it is. */
function decodeParameters(body: Reader): Decoded<Capabilities> {
  let length = body.u8();
  // RFC 9072 §2: any non-zero length followed by the type 255 announces the extended form.
  const extended = length !== 0 && body.left > 0 && body.bytes[body.at] === parameterType.extendedLength;
  if (extended) {
    body.skip(1);
    length = body.u16();
  }
  if (length !== body.left) return refused(0, `optional parameters of ${length} octets where ${body.left} are left`);
  let capabilities = noCapabilities;
  while (body.left > 0) {
    const type = body.u8();
    const value = body.slice(extended ? body.u16() : body.u8());
    if (type !== parameterType.capabilities) return refused(openSubcode.unsupportedOptionalParameter, `optional parameter ${type} is not known`);
    const decoded = decodeCapabilities(value, capabilities);
    if (!decoded.ok) return decoded;
    capabilities = decoded.value;
  }
  return { ok: true, value: capabilities };
}

function refused(subcode: number, text: string, data?: Uint8Array): { readonly ok: false; readonly fault: ReturnType<typeof peerFault> } {
  return { ok: false, fault: peerFault(errorCode.openMessage, subcode, text, data) };
}

/** The whole message. All capabilities go into one optional parameter; without any there is none (RFC 5492 §3). */
export function encodeOpen({ asn, holdSeconds, bgpIdentifier, capabilities }: Open): Uint8Array {
  const values = new Writer();
  encodeCapabilities(capabilities, values);
  const list = values.written;
  const into = new Writer();
  const at = beginMessage(into, messageType.open);
  into
    .u8(version)
    .u16(asn > 0xffff ? asTrans : asn)
    .u16(holdSeconds)
    .u32(bgpIdentifier);
  if (list.length === 0) into.u8(0);
  else if (list.length + 2 <= 255)
    into
      .u8(list.length + 2)
      .u8(parameterType.capabilities)
      .u8(list.length)
      .put(list);
  else
    into
      .u8(255)
      .u8(parameterType.extendedLength)
      .u16(list.length + 3)
      .u8(parameterType.capabilities)
      .u16(list.length)
      .put(list);
  endMessage(into, at);
  return into.written;
}
