/**
 * Prefixes on the control plane: canonical text `address/length` with host bits cleared, so that equal prefixes are equal
 * strings. The RIB has its own numbers (bgp/rib/prefixes.ts).
 */
import { type Family, type Ip, parseIpBytes, printIp } from "./ip.ts";

declare const brand: unique symbol;
export type Prefix = string & { readonly [brand]: true };

export interface PrefixParts {
  /** 4 or 16 octets, host bits zero. */
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** Canonical prefix of `text`; undefined if it is none, or if bits beyond the length are set and `mask` is false. */
export function parsePrefix(text: string, mask = false): Prefix | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const bytes = match && parseIpBytes(match[1]!);
  const length = Number(match?.[2]);
  if (!bytes || length > bytes.length * 8) return undefined;
  const masked = maskBytes(bytes, length);
  if (!mask && masked.some((octet, i) => octet !== bytes[i])) return undefined;
  return printPrefix(masked, length);
}

export function printPrefix(bytes: Uint8Array, length: number): Prefix {
  return `${printIp(bytes)}/${length}` as Prefix;
}

export function prefixParts(prefix: Prefix): PrefixParts {
  const slash = prefix.indexOf("/");
  return { bytes: parseIpBytes(prefix.slice(0, slash))!, length: Number(prefix.slice(slash + 1)) };
}

export function prefixFamily(prefix: string): Family {
  return prefix.includes(":") ? 6 : 4;
}

/** A copy with every bit beyond `length` cleared. */
export function maskBytes(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((octet, i) => octet & (0xff00 >> Math.min(8, Math.max(0, length - 8 * i))) & 0xff);
}

/** True if `inner` (an address or a prefix) lies within `outer`. */
export function contains(outer: Prefix, inner: Ip | Prefix): boolean {
  const a = prefixParts(outer);
  const b = inner.includes("/") ? prefixParts(inner as Prefix) : { bytes: parseIpBytes(inner)!, length: 128 };
  if (a.bytes.length !== b.bytes.length || a.length > b.length) return false;
  return maskBytes(b.bytes, a.length).every((octet, i) => octet === a.bytes[i]);
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return contains(a, b) || contains(b, a);
}

/** How many prefixes of `length` fit into `prefix`; a bigint, since IPv6 pools are larger than 2^53. */
export function countSubnets(prefix: Prefix, length: number): bigint {
  return 1n << BigInt(length - prefixParts(prefix).length);
}

/** The `index`-th prefix of `length` within `prefix`, counted from its start. */
export function subnetAt(prefix: Prefix, length: number, index: bigint): Prefix {
  const { bytes } = prefixParts(prefix);
  return printPrefix(add(bytes, index << BigInt(bytes.length * 8 - length)), length);
}

/** The `index`-th address within `prefix`, counted from its first (network) address. */
export function addressAt(prefix: Prefix, index: bigint): Ip {
  return printIp(add(prefixParts(prefix).bytes, index));
}

/** Order by family, then address, then length (shorter first). */
export function comparePrefix(a: Prefix, b: Prefix): number {
  const x = prefixParts(a),
    y = prefixParts(b);
  if (x.bytes.length !== y.bytes.length) return x.bytes.length - y.bytes.length;
  for (let i = 0; i < x.bytes.length; i++) if (x.bytes[i] !== y.bytes[i]) return x.bytes[i]! - y.bytes[i]!;
  return x.length - y.length;
}

function add(bytes: Uint8Array, value: bigint): Uint8Array {
  const out = Uint8Array.from(bytes);
  let carry = value;
  for (let i = out.length - 1; i >= 0 && carry > 0n; i--) {
    const sum = BigInt(out[i]!) + (carry & 0xffn);
    out[i] = Number(sum & 0xffn);
    carry = (carry >> 8n) + (sum >> 8n);
  }
  return out;
}
