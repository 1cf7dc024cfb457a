/**
 * Addresses and prefixes as a person writes them. `ipaddr.js` reads more than is unambiguous (10.1, 0x0a.1, 010.0.0.1, zones,
 * ::ffff:10.0.0.1); here each of those is answered with what to write instead, and all that passes is canonical (base/ip.ts).
 */
import ipaddr from "ipaddr.js";
import { type Outcome, failed, ok } from "#base/fault.ts";
import { type Ip, printIp } from "#base/ip.ts";
import { type Prefix, maskBytes, printPrefix } from "#base/prefix.ts";

type Parsed = ipaddr.IPv4 | ipaddr.IPv6;
/** What an address is for, by the registries of special addresses (RFC 6890); "documentation" and the like are "reserved". */
export type AddressRange = ReturnType<Parsed["range"]>;

const example = "write one such as 10.0.0.21 or fd00::21";
const prefixExample = "write one such as 10.42.0.0/16 or fd42::/48";

/** Canonical form of `text`, or a sentence that says what to write. */
export function readAddress(text: string): Outcome<Ip, string> {
  if (text.includes("/")) return failed(`${quote(text)} has a length; write the address alone, such as ${quote(text.slice(0, text.indexOf("/")))}`);
  if (!ipaddr.isValid(text)) return failed(`${quote(text)} is not an IP address; ${example}`);
  const parsed = ipaddr.parse(text);
  const odd = oddity(parsed, text, text);
  return odd === undefined ? ok(printIp(octets(parsed))) : failed(odd);
}

/** Canonical prefix of `text`; bits beyond the length are refused, since they are a slip more often than not. */
export function readPrefix(text: string): Outcome<Prefix, string> {
  if (!text.includes("/")) return failed(`${quote(text)} has no length; ${prefixExample}`);
  if (!ipaddr.isValidCIDR(text)) return failed(`${quote(text)} is not a prefix; ${prefixExample}`);
  const [parsed, length] = ipaddr.parseCIDR(text);
  const odd = oddity(parsed, text.slice(0, text.lastIndexOf("/")), text);
  if (odd !== undefined) return failed(odd);
  const bytes = octets(parsed);
  const network = printPrefix(maskBytes(bytes, length), length);
  return network === printPrefix(bytes, length) ? ok(network) : failed(`${quote(text)} has bits set beyond its length; write ${network}`);
}

/** What kind of address this is: unicast, private, multicast, loopback, … */
export function rangeOf(address: Ip | Prefix): AddressRange {
  return ipaddr.parse(address.split("/")[0]!).range();
}

function oddity(parsed: Parsed, address: string, text: string): string | undefined {
  if (parsed instanceof ipaddr.IPv4) {
    return ipaddr.IPv4.isValidFourPartDecimal(address)
      ? undefined
      : `${quote(text)} is ambiguous; write four decimal numbers without leading zeros (it may mean ${parsed.toString()})`;
  }
  if (parsed.zoneId !== undefined) return `${quote(text)} has a zone, which no other node can use; write a global or unique local address`;
  return parsed.isIPv4MappedAddress() ? `${quote(text)} is an IPv4 address in IPv6 form; write ${parsed.toIPv4Address().toString()}` : undefined;
}

const octets = (parsed: Parsed): Uint8Array => Uint8Array.from(parsed.toByteArray());
const quote = (text: string): string => JSON.stringify(text.slice(0, 60));
