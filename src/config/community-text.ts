/** Communities as people write them, with `*` for any number, as words to match (base/policy-settings.ts). */
import { parseIpBytes } from "#base/ip.ts";
import type { CommunityMatch } from "#base/policy-settings.ts";

export type CommunityKind = "communities" | "extendedCommunities" | "largeCommunities";

/** Well-known communities (RFC 1997, RFC 3765, RFC 7999, RFC 8326, RFC 9494) by the names people write. */
export const wellKnownCommunities: Readonly<Record<string, number>> = {
  "graceful-shutdown": 0xffff0000,
  "llgr-stale": 0xffff0006,
  "no-llgr": 0xffff0007,
  blackhole: 0xffff029a,
  "no-export": 0xffffff01,
  "no-advertise": 0xffffff02,
  "no-export-subconfed": 0xffffff03,
  "no-peer": 0xffffff04,
};

/** What to write, for messages. */
export const communityPhrases: Readonly<Record<CommunityKind, string>> = {
  communities: 'a community such as "65000:100" or no-export',
  extendedCommunities: 'an extended community such as "target:65000:100", "origin:10.0.0.1:5" or 0x and 16 hexadecimal digits',
  largeCommunities: 'a large community such as "65000:1:2"',
};

const most16 = 0xffff;
const most32 = 0xffff_ffff;

/** The words of `text`, with what may be anything masked out; undefined if it is no community of that kind. */
export function readCommunityMatch(kind: CommunityKind, text: string): CommunityMatch | undefined {
  switch (kind) {
    case "communities":
      return readPlain(text);
    case "largeCommunities":
      return readLarge(text);
    case "extendedCommunities":
      return readExtended(text);
  }
}

/** The words of one community, or undefined if `text` is none or leaves something open. */
export function readCommunity(kind: CommunityKind, text: string): readonly number[] | undefined {
  const match = text.includes("*") ? undefined : readCommunityMatch(kind, text);
  return match?.value;
}

function readPlain(text: string): CommunityMatch | undefined {
  if (Object.hasOwn(wellKnownCommunities, text)) return { value: [wellKnownCommunities[text]!], mask: [most32] };
  const parts = readParts(text.split(":"), [most16, most16]);
  if (!parts) return undefined;
  const [high, low] = parts as [Part, Part];
  return { value: [high.value * 65536 + low.value], mask: [((high.mask << 16) | low.mask) >>> 0] };
}

function readLarge(text: string): CommunityMatch | undefined {
  const parts = readParts(text.split(":"), [most32, most32, most32]);
  return parts && { value: parts.map(({ value }) => value), mask: parts.map(({ mask }) => mask) };
}

/** RFC 4360 §3, RFC 5668: type and subtype, then AS and number, or IPv4 address and number, or four-octet AS and number. */
function readExtended(text: string): CommunityMatch | undefined {
  const raw = /^0x([0-9a-f]{8})([0-9a-f]{8})$/i.exec(text);
  if (raw) return { value: [parseInt(raw[1]!, 16), parseInt(raw[2]!, 16)], mask: [most32, most32] };
  const written = /^(target|origin):([^:]+):([^:]+)$/.exec(text);
  if (!written) return undefined;
  const [, name, admin, assigned] = written as unknown as readonly [string, string, string, string];
  const subtype = name === "target" ? 2 : 3;
  if (admin === "*") return assigned === "*" ? { value: [subtype << 16, 0], mask: [0xfcff_0000, 0] } : undefined;
  const ip = parseIpBytes(admin),
    asn = /^(\d{1,10})(L?)$/.exec(admin);
  if (ip?.length === 4) return wide(1, subtype, new DataView(ip.buffer, ip.byteOffset).getUint32(0), assigned);
  if (!asn || Number(asn[1]) > most32) return undefined;
  if (asn[2] === "L" || Number(asn[1]) > most16) return wide(2, subtype, Number(asn[1]), assigned);
  const parts = readParts([assigned], [most32]);
  return parts && { value: [(subtype << 16) | Number(asn[1]), parts[0]!.value], mask: [most32, parts[0]!.mask] };
}

/** Four octets of administrator and two of number. */
function wide(type: number, subtype: number, admin: number, assigned: string): CommunityMatch | undefined {
  const parts = readParts([assigned], [most16]);
  if (!parts) return undefined;
  const first = (type << 24) | (subtype << 16) | (admin >>> 16),
    [{ value, mask }] = parts as [Part];
  return { value: [first, (((admin & most16) << 16) | value) >>> 0], mask: [most32, (0xffff_0000 | mask) >>> 0] };
}

interface Part {
  readonly value: number;
  readonly mask: number;
}

function readParts(texts: readonly string[], limits: readonly number[]): readonly Part[] | undefined {
  if (texts.length !== limits.length) return undefined;
  const parts = texts.map((text, i) => {
    if (text === "*") return { value: 0, mask: 0 };
    return /^\d{1,10}$/.test(text) && Number(text) <= limits[i]! ? { value: Number(text), mask: limits[i]! } : undefined;
  });
  return parts.every((part) => part !== undefined) ? parts : undefined;
}
