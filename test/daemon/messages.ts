/** BGP messages put together octet by octet, right or wrong, independently of the encoder under test. */
import { parsePrefix, prefixParts } from "#base/prefix.ts";
import { ipBytes, type Ip } from "#base/ip.ts";
import { messageType } from "#wire/bgp/constants.ts";

export interface Announced {
  readonly nextHop: string;
  /** iBGP says so; eBGP leaves it out. */
  readonly localPref?: number;
  readonly asPath?: readonly number[];
  readonly med?: number;
}

/** A message of any type around any body. */
export function message(type: number, body: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.alloc(16, 0xff), u16(19 + body.length), Buffer.of(type), body]);
}

/** An UPDATE for one IPv4 prefix, four-octet AS numbers in one AS_SEQUENCE. */
export function announcement(prefix: string, { nextHop, localPref, asPath = [], med }: Announced): Uint8Array {
  const path = asPath.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.of(2, asPath.length), ...asPath.map(u32)]);
  const attributes = Buffer.concat([
    Buffer.of(0x40, 1, 1, 0),
    Buffer.of(0x40, 2, path.length),
    path,
    Buffer.of(0x40, 3, 4),
    ipBytes(nextHop as Ip),
    ...(med === undefined ? [] : [Buffer.of(0x80, 4, 4), u32(med)]),
    ...(localPref === undefined ? [] : [Buffer.of(0x40, 5, 4), u32(localPref)]),
  ]);
  return message(messageType.update, Buffer.concat([u16(0), u16(attributes.length), attributes, nlri(prefix)]));
}
export function withdrawal(prefix: string): Uint8Array {
  return message(messageType.update, Buffer.concat([u16(nlri(prefix).length), nlri(prefix), u16(0)]));
}
/** End-of-RIB for IPv4 unicast (RFC 4724 §2). */
export const endOfRib: Uint8Array = message(messageType.update, Buffer.alloc(4));

/** Prefixes an UPDATE's body withdraws and announces; IPv4 alone. */
export function prefixesOf(body: Uint8Array): { readonly withdrawn: readonly string[]; readonly announced: readonly string[] } {
  const b = Buffer.from(body),
    withdrawn = b.readUInt16BE(0),
    attributes = b.readUInt16BE(2 + withdrawn);
  return { withdrawn: [...prefixesIn(b.subarray(2, 2 + withdrawn))], announced: [...prefixesIn(b.subarray(4 + withdrawn + attributes))] };
}

function nlri(prefix: string): Uint8Array {
  const { bytes, length } = prefixParts(parsePrefix(prefix)!);
  return Buffer.concat([Buffer.of(length), bytes.subarray(0, (length + 7) >> 3)]);
}
function* prefixesIn(b: Buffer): Iterable<string> {
  for (let at = 0; at < b.length; at += 1 + ((b[at]! + 7) >> 3)) {
    const octets = [0, 1, 2, 3].map((i) => (i < (b[at]! + 7) >> 3 ? b[at + 1 + i] : 0));
    yield `${octets.join(".")}/${b[at]}`;
  }
}
function u16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff);
}
function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
