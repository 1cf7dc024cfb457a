/**
 * IP and MAC addresses. On the control plane an address is its canonical text (RFC 5952 for IPv6), so that it is a key,
 * a log field and JSON as it stands; on the wire it is 4 or 16 octets in network order. This file is the only converter.
 */
declare const ipBrand: unique symbol;
declare const macBrand: unique symbol;
/** Canonical text of an IPv4 or IPv6 address. */
export type Ip = string & { readonly [ipBrand]: true };
/** Lower-case, colon-separated. */
export type Mac = string & { readonly [macBrand]: true };
export type Family = 4 | 6;

/** 4 or 16 octets of `text`, or undefined if it is no address. No zones, no leading zeros in IPv4 octets. */
export function parseIpBytes(text: string): Uint8Array | undefined {
  return text.includes(":") ? parse6(text) : parse4(text);
}

/** The canonical form of `text`, or undefined if it is no address. */
export function parseIp(text: string): Ip | undefined {
  const bytes = parseIpBytes(text);
  return bytes && printIp(bytes);
}

/** Canonical text of 4 or 16 octets. */
export function printIp(bytes: Uint8Array): Ip {
  return (bytes.length === 4 ? `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` : print6(bytes)) as Ip;
}

/** 4 or 16 octets of an address that is known to be one. */
export function ipBytes(ip: Ip): Uint8Array {
  return parseIpBytes(ip)!;
}

export function familyOf(ip: string): Family {
  return ip.includes(":") ? 6 : 4;
}

/** An IPv4 address (or a BGP Identifier) as an unsigned number in host order. */
export function ip4Number(ip: string): number {
  const b = parse4(ip)!;
  return ((b[0]! << 24) | (b[1]! << 16) | (b[2]! << 8) | b[3]!) >>> 0;
}

/** Dotted quad of an unsigned 32-bit number. */
export function printIp4(value: number): Ip {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}` as Ip;
}

/** IPv4 before IPv6, then by octets: the order of "lowest peer address" (RFC 4271 §9.1.2.2 g). */
export function compareIp(a: Ip, b: Ip): number {
  const x = ipBytes(a),
    y = ipBytes(b);
  if (x.length !== y.length) return x.length - y.length;
  for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return x[i]! - y[i]!;
  return 0;
}

export function parseMac(text: string): Mac | undefined {
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text) ? (text.toLowerCase() as Mac) : undefined;
}
export function macBytes(mac: Mac): Uint8Array {
  const out = new Uint8Array(6);
  for (let i = 0; i < 6; i++) out[i] = parseInt(mac.slice(i * 3, i * 3 + 2), 16);
  return out;
}
const hexOctets = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, "0"));
export function printMac(bytes: Uint8Array): Mac {
  let text = hexOctets[bytes[0]!]!;
  for (let i = 1; i < bytes.length; i++) text += `:${hexOctets[bytes[i]!]}`;
  return text as Mac;
}

/** By hand: a fabric of a hundred thousand rows is some hundred thousand addresses. */
function parse4(text: string): Uint8Array | undefined {
  const out = new Uint8Array(4);
  let octet = 0,
    value = 0,
    digits = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit >= 0 && digit <= 9) {
      if (digits > 0 && value === 0) return undefined;
      value = value * 10 + digit;
      if (++digits > 3 || value > 255) return undefined;
    } else {
      if (digit !== dot || digits === 0 || octet === 3) return undefined;
      out[octet++] = value;
      value = digits = 0;
    }
  }
  if (octet !== 3 || digits === 0) return undefined;
  out[3] = value;
  return out;
}
const dot = -2; // "." less "0"

function parse6(text: string): Uint8Array | undefined {
  let rest = text;
  const tail: number[] = [];
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted) {
    const four = parse4(dotted[2]!);
    if (!four) return undefined;
    tail.push((four[0]! << 8) | four[1]!, (four[2]! << 8) | four[3]!);
    rest = dotted[1]!.endsWith("::") ? dotted[1]! : dotted[1]!.slice(0, -1);
  }
  const halves = rest.split("::");
  if (halves.length > 2) return undefined;
  const head = groups(halves[0]!),
    back = halves.length === 2 ? groups(halves[1]!) : [];
  if (!head || !back) return undefined;
  back.push(...tail);
  const missing = 8 - head.length - back.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const words = [...head, ...Array<number>(missing).fill(0), ...back];
  return Uint8Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? words[i >> 1]! >> 8 : words[i >> 1]! & 255));
}

function groups(text: string): number[] | undefined {
  if (text === "") return [];
  const out: number[] = [];
  for (const part of text.split(":")) {
    if (!/^[0-9a-f]{1,4}$/i.test(part)) return undefined;
    out.push(parseInt(part, 16));
  }
  return out;
}

/** RFC 5952 §4: lower case, no leading zeros, the longest run (first of equals, two words at least) becomes "::". */
function print6(bytes: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  let from = -1,
    length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && words[end] === 0) end++;
    if (end - i > length) [from, length] = [i, end - i];
    if (end > i) i = end;
  }
  const hex = (part: number[]): string => part.map((word) => word.toString(16)).join(":");
  return from < 0 ? hex(words) : `${hex(words.slice(0, from))}::${hex(words.slice(from + length))}`;
}
