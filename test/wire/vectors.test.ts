/**
 * Messages other people's tests send (ExaBGP's `qa/encoding/*.ci`): every raw message is read, written again and read again,
 * and IPv4 and IPv6 unicast is compared with what ExaBGP says is in it. They are not part of this repository: the folder is
 * named by PODWAY_VECTORS.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Reader } from "#base/bytes.ts";
import { printIp, printIp4 } from "#base/ip.ts";
import { segmentType } from "#wire/bgp/as-path.ts";
import { decodeAttributes, type DecodedAttributes } from "#wire/bgp/attribute.ts";
import { attributeRow } from "#wire/bgp/attribute-row.ts";
import { printExtendedCommunity } from "#wire/bgp/community.ts";
import { familyKey, messageType } from "#wire/bgp/constants.ts";
import { decodeNotification, encodeNotification, frame } from "#wire/bgp/message.ts";
import { decodePrefixes, type Nlri } from "#wire/bgp/nlri.ts";
import { decodeOpen, encodeOpen } from "#wire/bgp/open.ts";
import type { AttributeContext } from "#wire/bgp/path-attributes.ts";
import { emptyRanges, encodeEndOfRib, encodeUpdate, endOfRib, splitUpdate, type Update } from "#wire/bgp/update.ts";
import { hex, octets } from "./hex.ts";
import { vectorFolder } from "./vector-folder.ts";

const folder = vectorFolder("exabgp-encoding");

interface Said {
  readonly attribute?: Readonly<Record<string, unknown>>;
  readonly announce?: Readonly<Record<string, Readonly<Record<string, readonly { readonly nlri: string; readonly "path-information"?: string }[]>>>>;
  readonly withdraw?: Readonly<Record<string, readonly { readonly nlri: string; readonly "path-information"?: string }[]>>;
}
interface Vector {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly said: Said | undefined;
}

function readVectors(folder: string): Vector[] {
  const out: Vector[] = [];
  for (const file of readdirSync(folder)
    .filter((one) => one.endsWith(".ci"))
    .toSorted()) {
    const lines = readFileSync(join(folder, file), "utf8").split("\n");
    for (const [i, line] of lines.entries()) {
      const raw = /^(?:# ?)?\d+:raw:(.*)$/.exec(line);
      if (!raw) continue;
      const json = /^\d+:json:(\{.*)$/.exec(lines[i + 1] ?? "");
      const said = json && (JSON.parse(json[1]!) as { neighbor: { message: { update?: Said } } }).neighbor.message.update;
      out.push({ name: `${file}:${i + 1}`, bytes: octets(raw[1]!), said: said ?? undefined });
    }
  }
  return out;
}

/** These sessions speak two octets, or ADD-PATH: the messages alone do not say so. */
const isNarrow = ({ name }: Vector): boolean => name.startsWith("conf-no-asn4");
const hasPathIds = ({ name, said }: Vector): boolean =>
  name.startsWith("conf-addpath") || name.startsWith("conf-path-information") || JSON.stringify(said ?? {}).includes('"path-information"');

const contextOf = (vector: Vector): AttributeContext => ({
  internal: true,
  fourOctetAs: !isNarrow(vector),
  addPath: hasPathIds(vector) ? [familyKey(1, 1), familyKey(2, 1)] : [],
});

/**
 * Not legal, and refused: an IPv6 route with an IPv4 next hop (RFC 2545 §3 knows 16 and 32 octets, RFC 8950 only the other way
 * round), and attribute 0x99 without the Optional bit, which makes it a well-known one that nobody knows.
 */
const refused = /^(extended-nexthop\.ci:6|conf-generic-attribute\.ci:(6|9))$/;

const isUnicast = (one: { readonly afi: number; readonly safi: number }): boolean => one.safi === 1 && one.afi <= 2;

type Kind = "open" | "notification" | "unicast" | "other family" | "end of rib" | "refused";

/** What a message is, looked at from outside. */
function kindOf(vector: Vector): Kind {
  const { name, bytes } = vector;
  if (bytes[18] === messageType.open) return "open";
  if (bytes[18] === messageType.notification) return "notification";
  if (refused.test(name)) return "refused";
  const ranges = emptyRanges();
  splitUpdate(bytes, 19, bytes.length, ranges);
  if (endOfRib(bytes, ranges) !== 0) return "end of rib";
  const { reach, unreach } = decodeAttributes(bytes, ranges.attributesStart, ranges.attributesEnd, contextOf(vector));
  return [reach, unreach].every((one) => one === undefined || isUnicast(one)) ? "unicast" : "other family";
}

/** Each reads the message, writes it and reads it again. */
const checks: Readonly<Record<Kind, (vector: Vector) => void>> = {
  open: ({ bytes }) => {
    const open = decodeOpen(bytes, 19, bytes.length);
    const again = open.ok ? encodeOpen(open.value) : undefined;
    expect(again).toBeDefined();
    expect(decodeOpen(again!, 19, again!.length)).toEqual(open);
  },
  notification: ({ bytes }) => {
    expect(hex(encodeNotification(decodeNotification(bytes, 19, bytes.length)))).toBe(hex(bytes));
  },
  refused: (vector) => {
    expect(readUpdate(vector.bytes, vector).decoded.notification).toBeDefined();
  },
  "end of rib": ({ bytes }) => {
    const ranges = emptyRanges();
    splitUpdate(bytes, 19, bytes.length, ranges);
    const family = endOfRib(bytes, ranges);
    const again = encodeEndOfRib(family >> 8, family & 255);
    splitUpdate(again, 19, again.length, ranges);
    expect(endOfRib(again, ranges)).toBe(family);
  },
  "other family": (vector) => {
    writeAgain(vector);
    carry(vector);
  },
  unicast: (vector) => {
    const { decoded, update } = writeAgain(vector);
    if (vector.said) compare(vector.said, decoded, update);
  },
};

interface Parts {
  readonly decoded: DecodedAttributes;
  readonly update: Update;
}

/** The prefixes of a family that is not ours to read are left out of `update`. */
function readUpdate(bytes: Uint8Array, vector: Vector): Parts {
  const ranges = emptyRanges();
  expect(splitUpdate(bytes, 19, bytes.length, ranges)).toBeUndefined();
  const addPath = hasPathIds(vector);
  const decoded = decodeAttributes(bytes, ranges.attributesStart, ranges.attributesEnd, contextOf(vector));
  const { reach, unreach, attributes } = decoded;
  const list = (start: number, end: number, afi = 1): Nlri[] => {
    const prefixes = decodePrefixes(bytes, start, end, { family: afi === 1 ? 4 : 6, addPath });
    expect(prefixes).toBeDefined();
    return prefixes!;
  };
  const update: Update = {
    attributes,
    withdrawn: list(ranges.withdrawnStart, ranges.withdrawnEnd),
    nlri: list(ranges.nlriStart, ranges.nlriEnd),
    ...(reach && isUnicast(reach) && { reach: { afi: reach.afi, safi: 1, nextHop: reach.nextHop, nlri: list(reach.nlriStart, reach.nlriEnd, reach.afi) } }),
    ...(unreach && isUnicast(unreach) && { unreach: { afi: unreach.afi, safi: 1, withdrawn: list(unreach.start, unreach.end, unreach.afi) } }),
  };
  return { decoded, update };
}

function writeAgain(vector: Vector): Parts {
  const parts = readUpdate(vector.bytes, vector);
  const { decoded, update } = parts;
  expect(decoded.faults).toEqual([]);
  const { update: same } = readUpdate(encodeUpdate(update, { fourOctetAs: !isNarrow(vector) }), vector);
  const partial = (update.attributes?.unknown ?? []).map((one) => ({ ...one, flags: one.flags | 0x20 }));
  expect(same).toEqual({ ...update, attributes: { ...update.attributes, ...(partial.length > 0 && { unknown: partial }) } });
  return parts;
}

interface RawAttribute {
  readonly flags: number;
  readonly type: number;
  readonly value: string;
}

function rawAttributes(bytes: Uint8Array, start: number, end: number): RawAttribute[] {
  const out: RawAttribute[] = [];
  for (let at = start; at < end;) {
    const head = (bytes[at]! & 0x10) === 0 ? 3 : 4,
      length = head === 3 ? bytes[at + 2]! : (bytes[at + 2]! << 8) | bytes[at + 3]!;
    out.push({ flags: bytes[at]! & 0xe0, type: bytes[at + 1]!, value: hex(bytes.subarray(at + head, at + head + length)) });
    at += head + length;
  }
  return out;
}

/** What is not ours to read goes on octet by octet: attributes nobody knows (but for Partial), and what the MP attributes of other families hold. */
function carry(vector: Vector): void {
  const { bytes } = vector,
    ranges = emptyRanges(),
    addPath = contextOf(vector);
  splitUpdate(bytes, 19, bytes.length, ranges);
  const raw = rawAttributes(bytes, ranges.attributesStart, ranges.attributesEnd),
    { attributes, reach, unreach } = decodeAttributes(bytes, ranges.attributesStart, ranges.attributesEnd, addPath);
  const again = encodeUpdate({ attributes }, { fourOctetAs: !isNarrow(vector) }),
    written = rawAttributes(again, 23, again.length);
  const optional = (one: RawAttribute): boolean => (one.flags & 0xc0) === 0x80 && attributeRow(one.type) === undefined;
  for (const one of raw.filter(({ type }) => type !== 14 && type !== 15)) {
    const found = written.find(({ type }) => type === one.type);
    // RFC 4271 §5: an optional non-transitive one that is not recognised is not passed along
    if (optional(one)) expect(found).toBeUndefined();
    else expect({ type: one.type, value: found?.value }).toEqual({ type: one.type, value: one.value });
    if (found && attributeRow(one.type) === undefined) expect(found.flags).toBe(one.flags | 0x20);
  }
  const word = (one: { readonly afi: number; readonly safi: number }): Uint8Array => Uint8Array.of(one.afi >> 8, one.afi & 255, one.safi);
  if (reach) {
    const whole = [word(reach), Uint8Array.of(reach.nextHop.length), reach.nextHop, Uint8Array.of(0), bytes.subarray(reach.nlriStart, reach.nlriEnd)];
    expect(whole.map(hex).join("")).toBe(raw.find(({ type }) => type === 14)!.value);
  }
  if (unreach) expect(hex(word(unreach)) + hex(bytes.subarray(unreach.start, unreach.end))).toBe(raw.find(({ type }) => type === 15)!.value);
}

const spell = ({ prefix, pathId }: Nlri): object => ({ nlri: prefix, ...(pathId !== undefined && { "path-information": printIp4(pathId) }) });
const names = ["igp", "egp", "incomplete"];

function compare({ attribute = {}, announce = {}, withdraw = {} }: Said, { attributes, reach }: DecodedAttributes, update: Update): void {
  const nextHop = reach ? printIp(reach.nextHop.subarray(0, 16)) : attributes.nextHop && printIp(attributes.nextHop);
  const routes = [...(update.nlri ?? []), ...(update.reach?.nlri ?? [])].map(spell);
  const said = Object.values(announce).flatMap((hops) => Object.values(hops).flat());
  expect(said).toMatchObject(routes);
  expect(said.length).toBe(routes.length);
  for (const hop of Object.values(announce).flatMap((hops) => Object.keys(hops))) expect(nextHop).toBe(hop);
  const gone = [...(update.withdrawn ?? []), ...(update.unreach?.withdrawn ?? [])].map(spell);
  expect(Object.values(withdraw).flat().length).toBe(gone.length);
  expect(Object.values(withdraw).flat()).toMatchObject(gone);
  const mine: Record<string, unknown> = {
    origin: attributes.origin === undefined ? undefined : names[attributes.origin],
    med: attributes.med,
    "local-preference": attributes.localPref,
    "originator-id": attributes.originatorId === undefined ? undefined : printIp4(attributes.originatorId),
    community: attributes.communities && Array.from(attributes.communities, (one) => [one >>> 16, one & 0xffff]),
    "large-community": attributes.largeCommunities && triples(attributes.largeCommunities),
    "cluster-list": attributes.clusterList && Array.from(attributes.clusterList, printIp4),
    "atomic-aggregate": attributes.atomicAggregate,
    aggregator: attributes.aggregator && `${attributes.aggregator.asn}:${printIp(attributes.aggregator.address)}`,
  };
  for (const [key, value] of Object.entries(mine)) expect(value).toEqual(attribute[key]);
  comparePath(attributes.asPath, attribute["as-path"]);
  compareExtended(attributes.extendedCommunities, attribute["extended-community"]);
  for (const [key, value] of Object.entries(attribute).filter(([one]) => one.startsWith("attribute-0x"))) {
    const type = parseInt(key.slice("attribute-0x".length), 16);
    expect(`0x${hex(attributes.unknown?.find((one) => one.type === type)?.value ?? octets(""))}`).toBe(String(value).toLowerCase());
  }
}

function triples(list: Uint32Array): number[][] {
  return Array.from({ length: list.length / 3 }, (_, i) => [...list.subarray(3 * i, 3 * i + 3)]);
}

type SaidPath = Readonly<Record<string, { readonly element: string; readonly value: readonly number[] }>>;
function comparePath(path: DecodedAttributes["attributes"]["asPath"], said: unknown): void {
  const kinds: Readonly<Record<string, number>> = { "as-sequence": segmentType.asSequence, "as-set": segmentType.asSet };
  const expected = Object.values((said ?? {}) as SaidPath).map(({ element, value }) => ({ type: kinds[element], asns: Uint32Array.from(value) }));
  expect(path ?? []).toEqual(expected);
}

function compareExtended(list: Uint8Array | undefined, said: unknown): void {
  const all = (said ?? []) as readonly { readonly value: number; readonly string: string }[];
  expect((list?.length ?? 0) / 8).toBe(all.length);
  for (const [i, { value, string }] of all.entries()) {
    const octet = list!.subarray(8 * i, 8 * i + 8);
    const reader = new Reader(octet);
    // JSON numbers above 2^53 have lost their last digits before we see them.
    if (Number.isSafeInteger(value)) expect(reader.u32() * 2 ** 32 + reader.u32()).toBe(value);
    if (string.startsWith("target:")) expect(printExtendedCommunity(octet)).toBe(string);
  }
}

describe.skipIf(folder === undefined)("ExaBGP's messages", () => {
  const vectors = folder === undefined ? [] : readVectors(folder);

  test.each(vectors)("$name", (vector) => {
    expect(frame(vector.bytes, 0, vector.bytes.length, 4096)).toBe(vector.bytes.length);
    checks[kindOf(vector)](vector);
  });

  test("there were as many as there should be", () => {
    const kinds = vectors.map(kindOf);
    const compared = vectors.filter(({ said }, i) => said && kinds[i] === "unicast").length;
    const board = [...new Set(kinds)].map((kind) => `${kinds.filter((one) => one === kind).length} ${kind}`).join(", ");
    process.stdout.write(
      `vectors: ${vectors.length} of 168 messages read (${board}); the meaning of ${compared} compared, the others carried octet by octet\n`,
    );
    expect(vectors.length).toBeGreaterThanOrEqual(168);
    expect(compared).toBeGreaterThanOrEqual(55);
  });
});
