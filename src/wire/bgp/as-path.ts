/**
 * AS_PATH (RFC 4271 §4.3, §5.1.2): segments of at most 255 AS numbers, two or four octets each (RFC 6793).
 *
 *   0        8        16
 *   +--------+--------+----------------- - -
 *   | type   | count  | count × AS number
 *   +--------+--------+----------------- - -
 */
import type { Reader, Writer } from "#base/bytes.ts";
import { asTrans } from "./constants.ts";

/** Registry "BGP AS_PATH Segment Types": the confederation ones are RFC 5065's. */
export const segmentType = { asSet: 1, asSequence: 2, confedSequence: 3, confedSet: 4 } as const;
export type SegmentType = 1 | 2 | 3 | 4;

export interface AsPathSegment {
  readonly type: SegmentType;
  readonly asns: Uint32Array;
}
export type AsPath = readonly AsPathSegment[];

const maxSegmentLength = 255;

/** `asnSize` 2 or 4 octets. Undefined if malformed as RFC 7606 §7.2 says: type unknown, overrun, underrun, count 0. */
export function decodeAsPath(value: Reader, asnSize: 2 | 4): AsPath | undefined {
  const path: AsPathSegment[] = [];
  while (value.left > 0) {
    if (value.left < 2) return undefined;
    const type = value.u8();
    const count = value.u8();
    if (type < 1 || type > 4 || count === 0 || count * asnSize > value.left) return undefined;
    const asns = new Uint32Array(count);
    for (let i = 0; i < count; i++) asns[i] = asnSize === 4 ? value.u32() : value.u16();
    path.push({ type: type as SegmentType, asns });
  }
  return path;
}

/** Writes the value of AS_PATH; in two octets a number that does not fit becomes AS_TRANS. Longer segments are split. */
export function encodeAsPath(path: AsPath, into: Writer, asnSize: 2 | 4): void {
  for (const { type, asns } of path) {
    for (let at = 0; at < asns.length; at += maxSegmentLength) {
      const part = asns.subarray(at, at + maxSegmentLength);
      into.u8(type).u8(part.length);
      for (const asn of part) {
        if (asnSize === 4) into.u32(asn);
        else into.u16(asn > 0xffff ? asTrans : asn);
      }
    }
  }
}

/** Length for the decision process: a set counts 1 (RFC 4271 §9.1.2.2 a), confederation segments 0 (RFC 5065 §5.3). */
export function asPathLength(path: AsPath): number {
  let length = 0;
  for (const segment of path) length += weight(segment);
  return length;
}

function weight({ type, asns }: AsPathSegment): number {
  if (type === segmentType.asSequence) return asns.length;
  return type === segmentType.asSet ? 1 : 0;
}

/**
 * The neighbouring AS the path was learned from (RFC 4271 §9.1.2.2 c), confederation segments skipped. Undefined for an
 * empty path or one that starts with an AS_SET: there the local AS stands in.
 */
export function neighbourAs(path: AsPath): number | undefined {
  const first = path.find(({ type }) => type === segmentType.asSequence || type === segmentType.asSet);
  return first?.type === segmentType.asSequence ? first.asns[0] : undefined;
}

/** `asn` put in front `times` times. Opens a new AS_SEQUENCE when the first is full or is none (RFC 4271 §5.1.2). */
export function prependAs(path: AsPath, asn: number, times = 1): AsPath {
  let rest = times;
  const out = [...path];
  while (rest > 0) {
    const first = out[0]?.type === segmentType.asSequence ? out[0] : undefined;
    const room = first ? maxSegmentLength - first.asns.length : 0;
    const count = Math.min(rest, room > 0 ? room : maxSegmentLength);
    const old = room > 0 ? first!.asns : new Uint32Array(0);
    const asns = new Uint32Array(count + old.length).fill(asn, 0, count);
    asns.set(old, count);
    out.splice(0, room > 0 ? 1 : 0, { type: segmentType.asSequence, asns });
    rest -= count;
  }
  return out;
}

/** True if `asn` stands anywhere in the path: the AS loop of RFC 4271 §9.1.2, and AS 0 of RFC 7607. */
export function pathContains(path: AsPath, asn: number): boolean {
  return path.some(({ asns }) => asns.includes(asn));
}

/** True if the path holds an AS_SET or AS_CONFED_SET (RFC 9774). */
export function hasAsSet(path: AsPath): boolean {
  return path.some(({ type }) => type === segmentType.asSet || type === segmentType.confedSet);
}

export function hasConfederation(path: AsPath): boolean {
  return path.some(isConfederation);
}

export function isConfederation({ type }: AsPathSegment): boolean {
  return type === segmentType.confedSequence || type === segmentType.confedSet;
}

/** True if some AS number needs four octets, so that a two-octet peer must be sent AS4_PATH too (RFC 6793 §4.2.2). */
export function needsFourOctets(path: AsPath): boolean {
  return path.some(({ asns }) => asns.some((asn) => asn > 0xffff));
}

/**
 * The path a two-octet peer meant (RFC 6793 §4.2.3): the leading part of AS_PATH in front of AS4_PATH, so that the result is
 * as long as AS_PATH. An AS4_PATH longer than AS_PATH is ignored; confederation segments are not part of AS4_PATH.
 */
export function mergeAs4Path(asPath: AsPath, as4Path: AsPath): AsPath {
  const tail = as4Path.filter((segment) => !isConfederation(segment));
  let missing = asPathLength(asPath) - asPathLength(tail);
  if (missing < 0) return asPath;
  const lead: AsPathSegment[] = [];
  for (const segment of asPath) {
    // "Leading or adjacent to a path segment that is prepended": every confederation segment up to the cut.
    if (!isConfederation(segment) && missing === 0) break;
    if (weight(segment) > missing) {
      lead.push({ type: segment.type, asns: segment.asns.slice(0, missing) });
      break;
    }
    missing -= weight(segment);
    lead.push(segment);
  }
  return join(lead, tail);
}

/** A sequence cut in two by the merge is one sequence again, as far as one segment can hold it. */
function join(lead: readonly AsPathSegment[], tail: AsPath): AsPath {
  const a = lead.at(-1),
    b = tail[0];
  const joins = a?.type === segmentType.asSequence && b?.type === segmentType.asSequence && a.asns.length + b.asns.length <= maxSegmentLength;
  if (!joins) return [...lead, ...tail];
  return [...lead.slice(0, -1), { type: segmentType.asSequence, asns: Uint32Array.of(...a.asns, ...b.asns) }, ...tail.slice(1)];
}

/** `65001 65002 {1 2} (64512) [64513 64514]`: sequence, set, confederation sequence, confederation set. */
export function printAsPath(path: AsPath): string {
  const around = { 1: ["{", "}"], 2: ["", ""], 3: ["(", ")"], 4: ["[", "]"] } as const;
  return path.map(({ type, asns }) => `${around[type][0]}${asns.join(" ")}${around[type][1]}`).join(" ");
}
