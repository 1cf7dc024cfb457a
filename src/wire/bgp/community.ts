/** Communities (RFC 1997), extended communities (RFC 4360, RFC 5668) and large communities (RFC 8092) ↔ text. */
import { parseIpBytes, printIp } from "#base/ip.ts";

/** Registry "BGP Well-known Communities". */
export const wellKnownCommunity = {
  gracefulShutdown: 0xffff_0000,
  acceptOwn: 0xffff_0001,
  llgrStale: 0xffff_0006,
  noLlgr: 0xffff_0007,
  blackhole: 0xffff_029a,
  noExport: 0xffff_ff01,
  noAdvertise: 0xffff_ff02,
  noExportSubconfed: 0xffff_ff03,
  noPeer: 0xffff_ff04,
} as const;

const names: readonly (readonly [number, string])[] = [
  [wellKnownCommunity.gracefulShutdown, "graceful-shutdown"],
  [wellKnownCommunity.acceptOwn, "accept-own"],
  [wellKnownCommunity.llgrStale, "llgr-stale"],
  [wellKnownCommunity.noLlgr, "no-llgr"],
  [wellKnownCommunity.blackhole, "blackhole"],
  [wellKnownCommunity.noExport, "no-export"],
  [wellKnownCommunity.noAdvertise, "no-advertise"],
  [wellKnownCommunity.noExportSubconfed, "no-export-subconfed"],
  [wellKnownCommunity.noPeer, "no-peer"],
];
const nameOf = new Map<number, string>(names);
const valueOf = new Map<string, number>(names.map(([value, name]) => [name, value]));

/** `65000:100`, or the name of a well-known one. */
export function printCommunity(value: number): string {
  return nameOf.get(value) ?? `${value >>> 16}:${value & 0xffff}`;
}

/** Unsigned 32 bits, or undefined if `text` is no community. */
export function parseCommunity(text: string): number | undefined {
  const parts = numbers(text, [0xffff, 0xffff]);
  return parts ? parts[0]! * 0x1_0000 + parts[1]! : valueOf.get(text);
}

/** `64496:1:2` (RFC 8092 §4.1). */
export function printLargeCommunity(global: number, local1: number, local2: number): string {
  return `${global}:${local1}:${local2}`;
}

export function parseLargeCommunity(text: string): readonly [number, number, number] | undefined {
  const parts = numbers(text, [0xffff_ffff, 0xffff_ffff, 0xffff_ffff]);
  return parts && [parts[0]!, parts[1]!, parts[2]!];
}

/** Decimal numbers between colons, as many as there are limits, each within its limit; no leading zeros. */
function numbers(text: string, limits: readonly number[]): readonly number[] | undefined {
  const parts = text.split(":");
  if (parts.length !== limits.length || !parts.every((part) => /^(0|[1-9]\d{0,9})$/.test(part))) return undefined;
  const values = parts.map(Number);
  return values.every((value, i) => value <= limits[i]!) ? values : undefined;
}

/** Registry "BGP Transitive Extended Community Types": how the six octets after type and subtype are split. */
const extendedType = { twoOctetAs: 0, ip4: 1, fourOctetAs: 2 } as const;
const extendedSubtype: Readonly<Record<number, string>> = { 2: "target", 3: "origin" };

/** `target:65000:100`, `origin:10.0.0.1:5`, or `0x` and 16 hexadecimal digits for what has no other spelling here. */
export function printExtendedCommunity(octets: Uint8Array): string {
  const view = new DataView(octets.buffer, octets.byteOffset, 8);
  const type = view.getUint8(0),
    name = extendedSubtype[view.getUint8(1)];
  if (name !== undefined && type === extendedType.twoOctetAs) return `${name}:${view.getUint16(2)}:${view.getUint32(4)}`;
  if (name !== undefined && type === extendedType.ip4) return `${name}:${printIp(octets.subarray(2, 6))}:${view.getUint16(6)}`;
  // RFC 5668: an "L" keeps a small four-octet AS number apart from a two-octet one.
  if (name !== undefined && type === extendedType.fourOctetAs) return `${name}:${view.getUint32(2)}L:${view.getUint16(6)}`;
  return `0x${Array.from(octets.subarray(0, 8), (octet) => octet.toString(16).padStart(2, "0")).join("")}`;
}

/** Eight octets, or undefined. An AS number over 65535 or with an `L` makes a four-octet-AS community. */
export function parseExtendedCommunity(text: string): Uint8Array | undefined {
  const raw = /^0x([0-9a-f]{16})$/i.exec(text);
  if (raw) return Uint8Array.from(raw[1]!.match(/../g)!, (octet) => parseInt(octet, 16));
  const match = /^(target|origin):([^:]+):(\d{1,10})$/.exec(text);
  if (!match) return undefined;
  const [, name, admin, assigned] = match as unknown as readonly [string, string, string, string];
  const value = Number(assigned),
    ip = parseIpBytes(admin);
  const out = new Uint8Array(8);
  const view = new DataView(out.buffer);
  view.setUint8(1, name === "target" ? 2 : 3);
  if (ip?.length === 4 && value <= 0xffff) {
    view.setUint8(0, extendedType.ip4);
    out.set(ip, 2);
    view.setUint16(6, value);
    return out;
  }
  const asn = /^(\d{1,10})(L?)$/.exec(admin);
  if (!asn || Number(asn[1]) > 0xffff_ffff) return undefined;
  if (asn[2] === "L" || Number(asn[1]) > 0xffff) {
    if (value > 0xffff) return undefined;
    view.setUint8(0, extendedType.fourOctetAs);
    view.setUint32(2, Number(asn[1]));
    view.setUint16(6, value);
    return out;
  }
  if (value > 0xffff_ffff) return undefined;
  view.setUint16(2, Number(asn[1]));
  view.setUint32(4, value);
  return out;
}

/** The same list without repetitions, the first of each kept; `width` numbers make one entry. The input itself if it has none. */
export function dropDuplicates(list: Uint32Array, width: 1 | 3): Uint32Array {
  if (list.length <= width) return list;
  const seen = new Set<string>();
  const kept: number[] = [];
  for (let at = 0; at < list.length; at += width) {
    const entry = list.subarray(at, at + width);
    const key = entry.join(":");
    if (seen.has(key)) continue;
    seen.add(key);
    kept.push(...entry);
  }
  return kept.length === list.length ? list : Uint32Array.from(kept);
}
