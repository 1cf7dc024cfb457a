/**
 * Path attributes both ways (RFC 4271 §4.3). The rows say what each one is and what a bad one costs; this is the loop.
 *
 *   | flags 1 | type 1 | length 1, or 2 with Extended Length | value |
 *
 * Structure only: whether the attributes make sense together is validate.ts.
 */
import { Reader, type Writer } from "#base/bytes.ts";
import { isConfederation, mergeAs4Path, needsFourOctets } from "./as-path.ts";
import { type AttributeDraft, type AttributeRow, attributeRow, attributeRows, type DraftKey, mayComeFrom } from "./attribute-row.ts";
import { asTrans, attributeFlag, attributeType, errorCode, maxMessageLength, updateSubcode } from "./constants.ts";
import { type PeerFault, peerFault } from "./notification.ts";
import {
  type AttributeContext,
  type AttributeFault,
  type Cost,
  type KnownAttributes,
  type MpReach,
  type MpUnreach,
  strongest,
  type Treatment,
} from "./path-attributes.ts";

/** All of one UPDATE's path attributes but those that carry prefixes. */
export interface PathAttributes extends KnownAttributes {
  /** Optional transitive attributes nobody here knows, passed on with Partial set (RFC 4271 §5). Ascending by type. */
  readonly unknown?: readonly UnknownAttribute[];
  /** Types of recognised attributes that came with Partial set: once set it is never cleared (RFC 4271 §5). Ascending. */
  readonly partial?: readonly number[];
}

export interface UnknownAttribute {
  /** Optional, Transitive and Partial bits as received; no Extended Length. */
  readonly flags: number;
  readonly type: number;
  readonly value: Uint8Array;
}

export interface DecodedAttributes {
  readonly attributes: PathAttributes;
  readonly reach?: MpReach;
  readonly unreach?: MpUnreach;
  /** The strongest of `faults` (RFC 7606 §3 h). */
  readonly cost: Cost;
  readonly faults: readonly AttributeFault[];
  /** Present when the cost is "reset". */
  readonly notification?: PeerFault;
}

type Everything = AttributeDraft & PathAttributes;
type Draft = { -readonly [K in keyof Everything]: Everything[K] };

/** Octets of a message that NOTIFICATION data may take (RFC 4271 §4.5: the whole is at most 4096). */
const maxDataLength = maxMessageLength - 21;

/**
 * The path attributes in bytes[start, end), in any order. Never throws; what is wrong is in `cost` and `faults`, and what
 * could be read nevertheless is in `attributes`, `reach` and `unreach`. Reading stops at the first fault that costs a reset
 * or hides where the next attribute starts.
 */
export function decodeAttributes(bytes: Uint8Array, start: number, end: number, context: AttributeContext): DecodedAttributes {
  const draft: Draft = {};
  const unknown: UnknownAttribute[] = [],
    faults: AttributeFault[] = [];
  const seen = new Set<number>();
  let at = start,
    cost: Cost = "none";
  const blame = (fault: AttributeFault): void => {
    faults.push(fault);
    cost = strongest(cost, fault.cost);
  };
  while (at < end && (cost as Cost) !== "reset") {
    const from = at;
    const flags = bytes[at]!,
      type = bytes[at + 1]!;
    const head = (flags & attributeFlag.extendedLength) !== 0 ? 4 : 3;
    const length = head === 4 ? (bytes[at + 2]! << 8) | bytes[at + 3]! : bytes[at + 2]!;
    if (at + head > end || at + head + length > end) {
      // RFC 7606 §4: too few octets left, or an overrun.
      blame(fault({ type: 0, cost: "withdraw", subcode: updateSubcode.malformedAttributeList, text: "path attributes run past their total length" }));
      break;
    }
    at += head + length;
    const raw = bytes.subarray(from, at);
    const treatment = context.treatments?.get(type);
    if (treatment !== undefined) {
      blame(configured(type, treatment));
      continue;
    }
    if (seen.has(type)) {
      blame(duplicate(type));
      continue;
    }
    seen.add(type);
    const row = attributeRow(type);
    if (row) {
      const bad = decodeKnown(row, { flags, value: new Reader(bytes, from + head, at), raw }, { context, draft });
      if (bad) blame(bad);
    } else if ((flags & attributeFlag.optional) === 0) {
      blame(fault({ type, cost: "reset", subcode: updateSubcode.unrecognizedWellKnown, text: `well-known attribute ${type} is not recognised` }, raw));
    } else if ((flags & attributeFlag.transitive) !== 0) {
      unknown.push({ flags: flags & ~attributeFlag.extendedLength & 0xf0, type, value: new Uint8Array(raw.subarray(head)) });
    }
  }
  if (unknown.length > 0) draft.unknown = unknown.sort((a, b) => a.type - b.type);
  return finish(draft, cost, faults);
}

interface Found {
  readonly flags: number;
  readonly value: Reader;
  /** The whole attribute, for the data of a NOTIFICATION. */
  readonly raw: Uint8Array;
}

/** Puts one recognised attribute into the draft, or says what is wrong with it. */
function decodeKnown(row: AttributeRow, { flags, value, raw }: Found, into: { context: AttributeContext; draft: Draft }): AttributeFault | undefined {
  const { context, draft } = into;
  const { type, name } = row;
  if (!mayComeFrom(row, context)) {
    // AS4_PATH and AS4_AGGREGATOR mean nothing on a four-octet session (RFC 6793 §4.1) and are no fault worth a line.
    if (row.onlyFrom === "two-octet") return undefined;
    return fault({ type, cost: "discard", subcode: updateSubcode.optionalAttribute, text: `${name} from an external peer` }, raw);
  }
  const mask = attributeFlag.optional | attributeFlag.transitive;
  if ((flags & mask) !== row.flags) {
    return fault({ type, cost: row.whenFlags ?? "withdraw", subcode: updateSubcode.attributeFlags, text: `${name} with flags 0x${flags.toString(16)}` }, raw);
  }
  const length = value.left;
  if (!row.fits(length, context)) {
    return fault({ type, cost: row.whenBad, subcode: updateSubcode.attributeLength, text: `${name} with a length of ${length}` }, raw);
  }
  const decoded = row.decode(value, context);
  if (decoded === undefined) {
    return fault({ type, cost: row.whenBad, subcode: row.subcode ?? updateSubcode.optionalAttribute, text: `${name} is malformed` }, raw);
  }
  (draft as Record<DraftKey, unknown>)[row.key] = decoded;
  if ((flags & attributeFlag.partial) !== 0 && (row.flags & mask) === mask && row.onlyFrom === undefined) {
    draft.partial = [...(draft.partial ?? []), type].sort((a, b) => a - b);
  }
  return undefined;
}

/** RFC 7606 §3 g: the first of several is kept, but two MP attributes of one type leave nothing to trust. */
function duplicate(type: number): AttributeFault {
  const mp = type === attributeType.mpReach || type === attributeType.mpUnreach;
  const name = attributeRow(type)?.name ?? `attribute ${type}`;
  return fault({ type, cost: mp ? "reset" : "discard", subcode: updateSubcode.malformedAttributeList, text: `${name} is there twice` });
}

/** Neither flags nor length nor value were looked at: nothing of it is to hurt, whatever it is. */
function configured(type: number, treatment: Treatment): AttributeFault {
  const name = attributeRow(type)?.name ?? `attribute ${type}`;
  const text = treatment === "discard" ? `${name} is discarded as configured` : `routes with ${name} are treated as withdrawn as configured`;
  return { ...fault({ type, cost: treatment, subcode: updateSubcode.optionalAttribute, text }), configured: true };
}

function fault(of: Omit<AttributeFault, "data">, data: Uint8Array = new Uint8Array(0)): AttributeFault {
  return { ...of, data: new Uint8Array(data.subarray(0, maxDataLength)) };
}

function finish(draft: Draft, cost: Cost, faults: readonly AttributeFault[]): DecodedAttributes {
  const { as4Path, as4Aggregator, reach, unreach, ...attributes } = draft;
  mergeFourOctet(attributes, as4Path, as4Aggregator);
  const worst = cost === "reset" ? faults.find((one) => one.cost === "reset") : undefined;
  return {
    attributes,
    ...(reach && { reach }),
    ...(unreach && { unreach }),
    cost,
    faults,
    ...(worst && { notification: peerFault(errorCode.updateMessage, worst.subcode, worst.text, worst.data) }),
  };
}

/** RFC 6793 §4.2.3; on a four-octet session neither of the two was read. */
function mergeFourOctet(attributes: Draft, as4Path: Draft["as4Path"], as4Aggregator: Draft["as4Aggregator"]): void {
  if (attributes.aggregator && as4Aggregator) {
    if (attributes.aggregator.asn !== asTrans) return;
    attributes.aggregator = as4Aggregator;
  }
  if (attributes.asPath && as4Path) attributes.asPath = mergeAs4Path(attributes.asPath, as4Path);
}

/**
 * Appends the attributes in canonical form: ascending by type, length in one octet where it fits, duplicate communities
 * dropped, so that equal values are equal octets. Without MP_REACH_NLRI and MP_UNREACH_NLRI: those are the packer's, and so
 * is a next hop of 16 or 32 octets. To a two-octet peer AS4_PATH and AS4_AGGREGATOR are added where needed (RFC 6793 §4.2.2).
 */
export function encodeAttributes(attributes: PathAttributes, into: Writer, options: { readonly fourOctetAs: boolean }): void {
  const draft: Everything = options.fourOctetAs ? attributes : withFourOctet(attributes);
  const unknown = draft.unknown ?? [];
  let next = 0;
  for (const { key, type, flags, encode } of attributeRows) {
    while (next < unknown.length && unknown[next]!.type < type) encodeUnknown(unknown[next++]!, into);
    const value = draft[key];
    if (!encode || value === undefined || value === false) continue;
    if (type === attributeType.nextHop && draft.nextHop!.length !== 4) continue;
    const partial = draft.partial?.includes(type) ? attributeFlag.partial : 0;
    const at = beginAttribute(flags | partial, type, into);
    encode(value, into, options);
    endAttribute(at, into);
  }
  while (next < unknown.length) encodeUnknown(unknown[next++]!, into);
}

function encodeUnknown({ flags, type, value }: UnknownAttribute, into: Writer): void {
  const at = beginAttribute(flags | attributeFlag.partial, type, into);
  into.put(value);
  endAttribute(at, into);
}

/** Writes flags, type and a one-octet length to be filled in; returns where. */
export function beginAttribute(flags: number, type: number, into: Writer): number {
  const at = into.length;
  into.u8(flags).u8(type).u8(0);
  return at;
}

/** Fills the length in; a value over 255 octets is moved by one to make room for Extended Length. */
export function endAttribute(at: number, into: Writer): void {
  const length = into.length - at - 3;
  if (length <= 255) {
    into.patch8(at + 2, length);
    return;
  }
  into.u8(0);
  const { written } = into;
  written.copyWithin(at + 4, at + 3, at + 3 + length);
  into.patch8(at, written[at]! | attributeFlag.extendedLength);
  into.patch16(at + 2, length);
}

/** AS4_PATH has no confederation segments (RFC 6793 §3) and is left out when two octets say it all. */
function withFourOctet(attributes: PathAttributes): Everything {
  const { asPath, aggregator } = attributes;
  // without confederation segments (RFC 6793 §3), and not at all if those alone need it: an empty AS4_PATH is malformed
  const as4Path = asPath?.filter((segment) => !isConfederation(segment));
  return {
    ...attributes,
    ...(as4Path && needsFourOctets(as4Path) && { as4Path }),
    ...(aggregator && aggregator.asn > 0xffff && { as4Aggregator: aggregator }),
  };
}
