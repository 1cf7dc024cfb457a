/** What a peer did wrong, as the NOTIFICATION that answers it, and what a NOTIFICATION says to a person. */
import { ceaseSubcode, errorCode } from "./constants.ts";

/** A fault of the peer's. The message to send is NOTIFICATION code/subcode with `data` (RFC 4271 §4.5). */
export interface PeerFault {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
  /** A sentence for the log. */
  readonly text: string;
}

/** Result of a decoder: the value, or whose fault it was that there is none. */
export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly fault: PeerFault };

const none = new Uint8Array(0);

export function peerFault(code: number, subcode: number, text: string, data: Uint8Array = none): PeerFault {
  return { code, subcode, data, text };
}

interface Code {
  readonly name: string;
  /** By subcode; a gap is an unassigned or withdrawn one. */
  readonly subcodes: Readonly<Record<number, string>>;
}

/** Registries "BGP Error (Notification) Codes" and "BGP Error Subcodes". */
const codes: Readonly<Record<number, Code>> = {
  1: { name: "Message Header Error", subcodes: { 1: "Connection Not Synchronized", 2: "Bad Message Length", 3: "Bad Message Type" } },
  2: {
    name: "OPEN Message Error",
    subcodes: {
      1: "Unsupported Version Number",
      2: "Bad Peer AS",
      3: "Bad BGP Identifier",
      4: "Unsupported Optional Parameter",
      6: "Unacceptable Hold Time",
      7: "Unsupported Capability",
      11: "Role Mismatch",
    },
  },
  3: {
    name: "UPDATE Message Error",
    subcodes: {
      1: "Malformed Attribute List",
      2: "Unrecognized Well-known Attribute",
      3: "Missing Well-known Attribute",
      4: "Attribute Flags Error",
      5: "Attribute Length Error",
      6: "Invalid ORIGIN Attribute",
      8: "Invalid NEXT_HOP Attribute",
      9: "Optional Attribute Error",
      10: "Invalid Network Field",
      11: "Malformed AS_PATH",
    },
  },
  4: { name: "Hold Timer Expired", subcodes: {} },
  5: {
    name: "Finite State Machine Error",
    subcodes: { 1: "Unexpected Message in OpenSent", 2: "Unexpected Message in OpenConfirm", 3: "Unexpected Message in Established" },
  },
  6: {
    name: "Cease",
    subcodes: {
      1: "Maximum Number of Prefixes Reached",
      2: "Administrative Shutdown",
      3: "Peer De-configured",
      4: "Administrative Reset",
      5: "Connection Rejected",
      6: "Other Configuration Change",
      7: "Connection Collision Resolution",
      8: "Out of Resources",
      9: "Hard Reset",
      10: "BFD Down",
    },
  },
  7: { name: "ROUTE-REFRESH Message Error", subcodes: { 1: "Invalid Message Length" } },
  8: { name: "Send Hold Timer Expired", subcodes: {} },
};

/**
 * One line for a person: `Cease/Administrative Shutdown: "maintenance"`. Any code, subcode and data are accepted; what is
 * not known is shown as a number, and text of the peer's is shown without its control characters.
 */
export function describeNotification(code: number, subcode: number, data: Uint8Array): string {
  const known = codes[code];
  const name = known?.name ?? `code ${code}`;
  const detail = known?.subcodes[subcode] ?? (subcode === 0 ? undefined : `subcode ${subcode}`);
  const title = detail === undefined ? name : `${name}/${detail}`;
  return data.length === 0 ? title : title + describeData(code, subcode, data);
}

function describeData(code: number, subcode: number, data: Uint8Array): string {
  if (code === errorCode.cease) {
    if (subcode === ceaseSubcode.administrativeShutdown || subcode === ceaseSubcode.administrativeReset) return describeShutdown(data);
    if (subcode === ceaseSubcode.hardReset && data.length >= 2) return describeHardReset(data);
    if (subcode === ceaseSubcode.maximumPrefixes && data.length === 7) return describePrefixLimit(data);
  }
  const hex = Array.from(data.subarray(0, 16), (octet) => octet.toString(16).padStart(2, "0")).join("");
  return ` (data ${hex}${data.length > 16 ? `… ${data.length} octets` : ""})`;
}

/** RFC 9003 §2: one octet of length, then UTF-8. */
function describeShutdown(data: Uint8Array): string {
  const length = data[0]!;
  if (length === 0) return "";
  if (length > data.length - 1) return " (its text is cut off)";
  // Control characters (C0, DEL, C1) and bidirectional overrides could rewrite the line of whoever reads the log.
  const text = new TextDecoder().decode(data.subarray(1, 1 + length)).replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\ufffd");
  return `: ${JSON.stringify(text)}`;
}

/** RFC 8538 §3: the data of a Hard Reset holds the code, subcode and data of the real reason. Looked into once. */
function describeHardReset(data: Uint8Array): string {
  const [code, subcode] = [data[0]!, data[1]!];
  const nested = code === errorCode.cease && subcode === ceaseSubcode.hardReset;
  return ` (${describeNotification(code, subcode, nested ? none : data.subarray(2))})`;
}

/** RFC 4486 §4: AFI, SAFI, upper bound. */
function describePrefixLimit(data: Uint8Array): string {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return ` (AFI ${view.getUint16(0)} SAFI ${view.getUint8(2)}, limit ${view.getUint32(3)})`;
}

/**
 * Data of an administrative shutdown or reset (RFC 9003 §2). Cut at a code point to `limit` octets of UTF-8: 255, or 128 to
 * a peer that may only know RFC 8203. An empty text gives the length octet 0.
 */
export function shutdownData(text: string, limit = 255): Uint8Array {
  const out = new Uint8Array(1 + Math.min(limit, 255));
  const { written } = new TextEncoder().encodeInto(text, out.subarray(1));
  out[0] = written;
  return out.subarray(0, 1 + written);
}
