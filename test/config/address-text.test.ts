import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Ip, parseIp } from "#base/ip.ts";
import { parsePrefix } from "#base/prefix.ts";
import { rangeOf, readAddress, readPrefix } from "#config/address-text.ts";

const text = (read: { readonly ok: true; readonly value: string } | { readonly ok: false; readonly fault: string }): string =>
  read.ok ? read.value : `✗ ${read.fault}`;

describe("addresses as people write them", () => {
  test.each([
    ["10.0.0.21", "10.0.0.21"],
    ["FD00:0000::0021", "fd00::21"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["::", "::"],
    ["10.1", '✗ "10.1" is ambiguous; write four decimal numbers without leading zeros (it may mean 10.0.0.1)'],
    ["0x0a.0.0.1", '✗ "0x0a.0.0.1" is ambiguous; write four decimal numbers without leading zeros (it may mean 10.0.0.1)'],
    ["167772161", '✗ "167772161" is ambiguous; write four decimal numbers without leading zeros (it may mean 10.0.0.1)'],
    ["10.0.0.256", '✗ "10.0.0.256" is not an IP address; write one such as 10.0.0.21 or fd00::21'],
    ["fd00::1::2", '✗ "fd00::1::2" is not an IP address; write one such as 10.0.0.21 or fd00::21'],
    ["rr1", '✗ "rr1" is not an IP address; write one such as 10.0.0.21 or fd00::21'],
    ["", '✗ "" is not an IP address; write one such as 10.0.0.21 or fd00::21'],
    ["::ffff:10.0.0.1", '✗ "::ffff:10.0.0.1" is an IPv4 address in IPv6 form; write 10.0.0.1'],
  ])("%s", (written, says) => {
    expect(text(readAddress(written))).toBe(says);
  });
});

describe("prefixes as people write them", () => {
  test.each([
    ["10.42.0.0/16", "10.42.0.0/16"],
    ["FD42:0::/48", "fd42::/48"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["::/0", "::/0"],
    ["10.42.0.1/16", '✗ "10.42.0.1/16" has bits set beyond its length; write 10.42.0.0/16'],
    ["fd42::1/48", '✗ "fd42::1/48" has bits set beyond its length; write fd42::/48'],
    ["10.42/16", '✗ "10.42/16" is ambiguous; write four decimal numbers without leading zeros (it may mean 10.0.0.42)'],
    ["10.42.0.0/33", '✗ "10.42.0.0/33" is not a prefix; write one such as 10.42.0.0/16 or fd42::/48'],
    ["10.42.0.0/255.255.0.0", '✗ "10.42.0.0/255.255.0.0" is not a prefix; write one such as 10.42.0.0/16 or fd42::/48'],
    ["fd42::", '✗ "fd42::" has no length; write one such as 10.42.0.0/16 or fd42::/48'],
  ])("%s", (written, says) => {
    expect(text(readPrefix(written))).toBe(says);
  });
});

test("kinds of addresses", () => {
  const kinds = {
    "10.0.0.1": "private",
    "224.0.0.5": "multicast",
    "127.0.0.1": "loopback",
    "169.254.1.1": "linkLocal",
    "ff02::1": "multicast",
    "fe80::1": "linkLocal",
    "fd00::1": "uniqueLocal",
    "8.8.8.8": "unicast",
  };
  expect(Object.fromEntries(Object.keys(kinds).map((ip) => [ip, rangeOf(ip as Ip)]))).toEqual(kinds);
});

test("what is accepted is the canonical text of the rest of the program, and reads as itself", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(128), (written, length) => {
      const address = readAddress(written);
      if (address.ok) expect([parseIp(written), readAddress(address.value)]).toEqual([address.value, address]);
      const prefix = readPrefix(`${written}/${length}`);
      if (prefix.ok) expect([parsePrefix(`${written}/${length}`), readPrefix(prefix.value)]).toEqual([prefix.value, prefix]);
    }),
    { numRuns: 2000 },
  );
});

test("any text is answered", () => {
  const characters = fc.string({ unit: fc.constantFrom(...Array.from("0123456789abcdef:./%x- ")), maxLength: 45 });
  fc.assert(
    fc.property(fc.oneof(characters, fc.string()), (written) => {
      for (const answer of [readAddress(written), readPrefix(written)]) if (!answer.ok) expect(answer.fault).toMatch(/; write /);
    }),
    { numRuns: 5000 },
  );
});
