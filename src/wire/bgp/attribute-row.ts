/**
 * The path attributes as rows: what one is called, its flags, its value both ways, and what a malformed one costs (RFC 7606
 * §7 and the RFC of each attribute). A new attribute is a new row; the loop in attribute.ts never changes.
 *
 * Wrong flags: RFC 7606 §3 c says treat-as-withdraw for all, §5.3 says reset for the two MP attributes. For ATOMIC_AGGREGATE
 * and AGGREGATOR §3 c and §3 f can be read against each other; §3 c is the one that speaks of flags, so it is obeyed.
 */
import type { Reader, Writer } from "#base/bytes.ts";
import { type AsPath, decodeAsPath, encodeAsPath, pathContains } from "./as-path.ts";
import { dropDuplicates } from "./community.ts";
import { afi, asTrans, attributeFlag, attributeType, familyKey, origin, safi, updateSubcode } from "./constants.ts";
import { countPrefixes } from "./nlri.ts";
import type { Aggregator, AttributeContext, KnownAttributes, MpReach, MpUnreach } from "./path-attributes.ts";

/** What the rows read and write: the attributes before the two-octet ones are merged and the MP ones are set aside. */
export interface AttributeDraft extends KnownAttributes {
  readonly as4Path?: AsPath;
  readonly as4Aggregator?: Aggregator;
  readonly reach?: MpReach;
  readonly unreach?: MpUnreach;
}
export type DraftKey = keyof AttributeDraft;

type Decodable = "discard" | "withdraw" | "reset";

interface RowOf<K extends DraftKey> {
  readonly type: number;
  readonly name: string;
  readonly key: K;
  /** Optional and Transitive as they must be. */
  readonly flags: number;
  /** What a malformed value costs. */
  readonly whenBad: Decodable;
  /** What wrong flags cost; treat-as-withdraw if absent. */
  readonly whenFlags?: Decodable;
  /** Discarded unread, before flags and length are looked at, on any other session. */
  readonly onlyFrom?: "internal" | "two-octet";
  /** UPDATE Message Error subcode of a bad value; Optional Attribute Error if absent. */
  readonly subcode?: number;
  readonly fits: (length: number, context: AttributeContext) => boolean;
  /** Undefined: malformed. The length was found to fit. */
  readonly decode: (value: Reader, context: AttributeContext) => AttributeDraft[K];
  /** Absent: written by the packer, not here (the MP attributes). */
  readonly encode?: (value: NonNullable<AttributeDraft[K]>, into: Writer, options: { readonly fourOctetAs: boolean }) => void;
}

export interface AttributeRow extends Omit<RowOf<DraftKey>, "encode"> {
  readonly encode?: (value: unknown, into: Writer, options: { readonly fourOctetAs: boolean }) => void;
}

/** Ties key, decode and encode together for the compiler; the table then forgets which key it was. */
const row = <K extends DraftKey>(of: RowOf<K>): AttributeRow => of as unknown as AttributeRow;

const wellKnown = attributeFlag.transitive;
const optional = attributeFlag.optional;
const optionalTransitive = attributeFlag.optional | attributeFlag.transitive;

const exactly =
  (size: number) =>
  (length: number): boolean =>
    length === size;
const manyOf =
  (size: number) =>
  (length: number): boolean =>
    length > 0 && length % size === 0;

const words = (v: Reader): Uint32Array => Uint32Array.from({ length: v.left / 4 }, () => v.u32());
const putWords = (value: Uint32Array, into: Writer): void => value.forEach((word) => into.u32(word));
/** Not `slice`: on a Buffer that is a view, and the message's memory is used again. */
const copy = (v: Reader, size = v.left): Uint8Array => new Uint8Array(v.view(size));

/** Ascending by type: the order they are written in. */
export const attributeRows: readonly AttributeRow[] = [
  row({
    type: attributeType.origin,
    name: "ORIGIN",
    key: "origin",
    flags: wellKnown,
    whenBad: "withdraw",
    subcode: updateSubcode.invalidOrigin,
    fits: exactly(1),
    decode: (v) => {
      const value = v.u8();
      return value <= origin.incomplete ? value : undefined;
    },
    encode: (value, into) => into.u8(value),
  }),
  row({
    // AS 0 makes it malformed (RFC 7607 §2). An empty one is not (RFC 4271 §5.1.2).
    type: attributeType.asPath,
    name: "AS_PATH",
    key: "asPath",
    flags: wellKnown,
    whenBad: "withdraw",
    subcode: updateSubcode.malformedAsPath,
    fits: () => true,
    decode: (v, { fourOctetAs }) => withoutAsZero(decodeAsPath(v, fourOctetAs ? 4 : 2)),
    encode: (value, into, { fourOctetAs }) => encodeAsPath(value, into, fourOctetAs ? 4 : 2),
  }),
  row({
    type: attributeType.nextHop,
    name: "NEXT_HOP",
    key: "nextHop",
    flags: wellKnown,
    whenBad: "withdraw",
    subcode: updateSubcode.invalidNextHop,
    fits: exactly(4),
    decode: (v) => copy(v),
    encode: (value, into) => into.put(value),
  }),
  row({
    type: attributeType.med,
    name: "MULTI_EXIT_DISC",
    key: "med",
    flags: optional,
    whenBad: "withdraw",
    fits: exactly(4),
    decode: (v) => v.u32(),
    encode: (value, into) => into.u32(value),
  }),
  row({
    type: attributeType.localPref,
    name: "LOCAL_PREF",
    key: "localPref",
    flags: wellKnown,
    whenBad: "withdraw",
    onlyFrom: "internal",
    fits: exactly(4),
    decode: (v) => v.u32(),
    encode: (value, into) => into.u32(value),
  }),
  row({
    type: attributeType.atomicAggregate,
    name: "ATOMIC_AGGREGATE",
    key: "atomicAggregate",
    flags: wellKnown,
    whenBad: "discard",
    fits: exactly(0),
    decode: () => true,
    encode: () => {},
  }),
  row({
    type: attributeType.aggregator,
    name: "AGGREGATOR",
    key: "aggregator",
    flags: optionalTransitive,
    whenBad: "discard",
    fits: (length, { fourOctetAs }) => length === (fourOctetAs ? 8 : 6),
    decode: (v, { fourOctetAs }) => decodeAggregator(v, fourOctetAs),
    encode: ({ asn, address }, into, { fourOctetAs }) => {
      if (fourOctetAs) into.u32(asn).put(address);
      else into.u16(asn > 0xffff ? asTrans : asn).put(address);
    },
  }),
  row({
    type: attributeType.communities,
    name: "COMMUNITIES",
    key: "communities",
    flags: optionalTransitive,
    whenBad: "withdraw",
    fits: manyOf(4),
    decode: (v) => dropDuplicates(words(v), 1),
    encode: (value, into) => putWords(dropDuplicates(value, 1), into),
  }),
  row({
    type: attributeType.originatorId,
    name: "ORIGINATOR_ID",
    key: "originatorId",
    flags: optional,
    whenBad: "withdraw",
    onlyFrom: "internal",
    fits: exactly(4),
    decode: (v) => v.u32(),
    encode: (value, into) => into.u32(value),
  }),
  row({
    type: attributeType.clusterList,
    name: "CLUSTER_LIST",
    key: "clusterList",
    flags: optional,
    whenBad: "withdraw",
    onlyFrom: "internal",
    fits: manyOf(4),
    decode: words,
    encode: putWords,
  }),
  row({
    type: attributeType.mpReach,
    name: "MP_REACH_NLRI",
    key: "reach",
    flags: optional,
    whenBad: "reset",
    whenFlags: "reset",
    fits: (length) => length >= 5,
    decode: decodeReach,
  }),
  row({
    type: attributeType.mpUnreach,
    name: "MP_UNREACH_NLRI",
    key: "unreach",
    flags: optional,
    whenBad: "reset",
    whenFlags: "reset",
    fits: (length) => length >= 3,
    decode: decodeUnreach,
  }),
  row({
    type: attributeType.extendedCommunities,
    name: "EXTENDED COMMUNITIES",
    key: "extendedCommunities",
    flags: optionalTransitive,
    whenBad: "withdraw",
    fits: manyOf(8),
    decode: (v) => copy(v),
    encode: (value, into) => into.put(value),
  }),
  row({
    // RFC 6793 §6: malformed ones are discarded; AS 0 in here counts as malformed (RFC 7607 §2).
    type: attributeType.as4Path,
    name: "AS4_PATH",
    key: "as4Path",
    flags: optionalTransitive,
    whenBad: "discard",
    whenFlags: "discard",
    onlyFrom: "two-octet",
    fits: (length) => length > 0,
    decode: (v) => withoutAsZero(decodeAsPath(v, 4)),
    encode: (value, into) => encodeAsPath(value, into, 4),
  }),
  row({
    type: attributeType.as4Aggregator,
    name: "AS4_AGGREGATOR",
    key: "as4Aggregator",
    flags: optionalTransitive,
    whenBad: "discard",
    whenFlags: "discard",
    onlyFrom: "two-octet",
    fits: exactly(8),
    decode: (v) => decodeAggregator(v, true),
    encode: ({ asn, address }, into) => into.u32(asn).put(address),
  }),
  row({
    type: attributeType.largeCommunities,
    name: "LARGE_COMMUNITY",
    key: "largeCommunities",
    flags: optionalTransitive,
    whenBad: "withdraw",
    fits: manyOf(12),
    decode: (v) => dropDuplicates(words(v), 3),
    encode: (value, into) => putWords(dropDuplicates(value, 3), into),
  }),
  row({
    type: attributeType.onlyToCustomer,
    name: "ONLY_TO_CUSTOMER",
    key: "otc",
    flags: optionalTransitive,
    whenBad: "withdraw",
    fits: exactly(4),
    decode: (v) => v.u32(),
    encode: (value, into) => into.u32(value),
  }),
];

const byType: ReadonlyMap<number, AttributeRow> = new Map(attributeRows.map((one) => [one.type, one]));

export function attributeRow(type: number): AttributeRow | undefined {
  return byType.get(type);
}

/** False: the attribute is discarded unread on such a session. */
export function mayComeFrom({ onlyFrom }: AttributeRow, { internal, fourOctetAs }: AttributeContext): boolean {
  return onlyFrom === undefined || (onlyFrom === "internal" ? internal : !fourOctetAs);
}

function withoutAsZero(path: AsPath | undefined): AsPath | undefined {
  return path && pathContains(path, 0) ? undefined : path;
}

/** AS 0 makes it malformed (RFC 7607 §2). */
function decodeAggregator(v: Reader, fourOctetAs: boolean): Aggregator | undefined {
  const asn = fourOctetAs ? v.u32() : v.u16();
  return asn === 0 ? undefined : { asn, address: copy(v) };
}

/**
 * AFI 2, SAFI 1, next hop length 1 and the next hop, reserved 1, NLRI (RFC 4760 §3). Both unicast families may have a next
 * hop of 16 or 32 octets (RFC 2545 §3, RFC 8950 §3), IPv4 one of 4; other families are not ours to judge.
 */
function decodeReach(v: Reader, context: AttributeContext): MpReach | undefined {
  const reach = { afi: v.u16(), safi: v.u8() };
  const length = v.u8();
  if (length + 1 > v.left) return undefined;
  if (isUnicast(reach) && length !== 16 && length !== 32 && !(length === 4 && reach.afi === afi.ipv4)) return undefined;
  const nextHop = copy(v, length);
  v.skip(1);
  return arePrefixes(v, reach, context) ? { ...reach, nextHop, nlriStart: v.at, nlriEnd: v.end } : undefined;
}

/** AFI 2, SAFI 1, withdrawn routes (RFC 4760 §4). */
function decodeUnreach(v: Reader, context: AttributeContext): MpUnreach | undefined {
  const unreach = { afi: v.u16(), safi: v.u8() };
  return arePrefixes(v, unreach, context) ? { ...unreach, start: v.at, end: v.end } : undefined;
}

interface MpFamily {
  readonly afi: number;
  readonly safi: number;
}

const isUnicast = (one: MpFamily): boolean => one.safi === safi.unicast && (one.afi === afi.ipv4 || one.afi === afi.ipv6);

/** RFC 7606 §5.3: what is left must be prefixes, as far as the family is one whose prefixes we can read. */
function arePrefixes(v: Reader, one: MpFamily, { addPath }: AttributeContext): boolean {
  if (!isUnicast(one)) return true;
  const form = { family: one.afi === afi.ipv4 ? 4 : 6, addPath: addPath?.includes(familyKey(one.afi, one.safi)) ?? false } as const;
  return countPrefixes(v.bytes, v.at, v.end, form) >= 0;
}
