/**
 * Prefixes as they stand in NLRI, Withdrawn Routes, MP_REACH_NLRI and MP_UNREACH_NLRI (RFC 4271 §4.3, RFC 4760 §5), with a
 * path identifier in front where ADD-PATH was negotiated for that family and direction (RFC 7911 §3).
 *
 *   [path identifier, 4] | length in bits, 1 | the octets that hold them, 0 to 4 or 16
 */
import type { Writer } from "#base/bytes.ts";
import type { Family } from "#base/ip.ts";
import { maskBytes, type Prefix, prefixParts, printPrefix } from "#base/prefix.ts";

export interface Nlri {
  /** Host bits cleared: two spellings of one prefix are one key. */
  readonly prefix: Prefix;
  /** Present with ADD-PATH; 0 is a legal one. */
  readonly pathId?: number;
}

export interface NlriForm {
  readonly family: Family;
  readonly addPath: boolean;
}

/**
 * How many prefixes bytes[start, end) holds, or -1 if it is no sequence of prefixes (a length over 32 or 128 bits, an
 * overrun): then the whole field cannot be trusted and the session is reset (RFC 7606 §3 j, §5.3). Allocates nothing.
 */
export function countPrefixes(bytes: Uint8Array, start: number, end: number, options: NlriForm): number {
  const lead = options.addPath ? 4 : 0,
    maxBits = options.family === 4 ? 32 : 128;
  let at = start,
    count = 0;
  while (at < end) {
    at += lead;
    if (at >= end) return -1;
    const bits = bytes[at]!;
    if (bits > maxBits) return -1;
    at += 1 + ((bits + 7) >> 3);
    count++;
  }
  return at === end ? count : -1;
}

/** The same as values: for control, monitoring and tests. Undefined where `countPrefixes` says -1. */
export function decodePrefixes(bytes: Uint8Array, start: number, end: number, options: NlriForm): Nlri[] | undefined {
  const size = options.family === 4 ? 4 : 16;
  if (countPrefixes(bytes, start, end, options) < 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: Nlri[] = [];
  let at = start;
  while (at < end) {
    const pathId = options.addPath ? { pathId: view.getUint32(at) } : undefined;
    if (pathId) at += 4;
    const bits = bytes[at++]!;
    const octets = (bits + 7) >> 3;
    const address = new Uint8Array(size);
    address.set(bytes.subarray(at, at + octets));
    at += octets;
    out.push({ prefix: printPrefix(maskBytes(address, bits), bits), ...pathId });
  }
  return out;
}

/** Appends `prefixes`; one that has a path identifier is written in the ADD-PATH form. */
export function encodePrefixes(prefixes: readonly Nlri[], into: Writer): void {
  for (const { prefix, pathId } of prefixes) {
    const { bytes, length } = prefixParts(prefix);
    if (pathId !== undefined) into.u32(pathId);
    into.u8(length).put(bytes.subarray(0, (length + 7) >> 3));
  }
}
