import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { describe, expect, test } from "vitest";
import { compareIp, familyOf, ip4Number, type Ip, ipBytes, macBytes, parseIp, parseIpBytes, parseMac, printIp, printIp4, printMac } from "#base/ip.ts";

const four = fc.uint8Array({ minLength: 4, maxLength: 4 });
/** Zeros come up often, so that runs of them do. */
const six = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((words) => Uint8Array.from(words.flatMap((word) => [word >> 8, word & 255])));
const address = fc.oneof(four, six);

test.each([
  ["0.0.0.0", "0.0.0.0"],
  ["255.255.255.255", "255.255.255.255"],
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
  ["2001:db8::1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
  ["0001::000a", "1::a"],
  ["::ffff:10.0.0.1", "::ffff:a00:1"],
  ["::10.0.0.1", "::a00:1"],
  ["64:ff9b::10.0.0.1", "64:ff9b::a00:1"],
  ["1:2:3:4:5:6:10.0.0.1", "1:2:3:4:5:6:a00:1"],
])("%s is %s (RFC 5952)", (text, canonical) => {
  expect(parseIp(text)).toBe(canonical);
  expect(parseIp(canonical)).toBe(canonical);
});

test.each([
  "",
  ".",
  ":",
  ":::",
  "1",
  "1.2.3",
  "1.2.3.4.5",
  "1.2.3.256",
  "01.2.3.4",
  "1.2.3.+4",
  " 1.2.3.4",
  "1.2.3.4 ",
  "1.2.3.4/8",
  "0x1.2.3.4",
  "1..2.3",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "1::2::3",
  "1:2:3:4:5:6:7:8::",
  "::1:2:3:4:5:6:7:8",
  "12345::",
  "g::",
  "fe80::1%eth0",
  "[::1]",
  ":1:2:3:4:5:6:7:8",
  "1:2:3:4:5:6:7:1.2.3.4",
  ":1.2.3.4",
  "::1.2.3",
  "::01.2.3.4",
  "1.2.3.4::",
  "-1::",
])("%j is no address", (text) => {
  expect(parseIp(text)).toBeUndefined();
  expect(parseIpBytes(text)).toBeUndefined();
});

describe("against another reader of addresses", () => {
  test("printed alike, and read back", () => {
    fc.assert(
      fc.property(address, (bytes) => {
        const text = printIp(bytes);
        const theirs = ipaddr.fromByteArray([...bytes]);
        expect(text).toBe(theirs instanceof ipaddr.IPv6 ? theirs.toRFC5952String() : theirs.toString());
        expect(parseIpBytes(text)).toEqual(bytes);
        expect(familyOf(text)).toBe(bytes.length === 4 ? 4 : 6);
      }),
      { numRuns: 1000 },
    );
  });

  test("every spelling of theirs is the same address here", () => {
    fc.assert(
      fc.property(six, (bytes) => {
        const theirs = ipaddr.fromByteArray([...bytes]) as ipaddr.IPv6;
        for (const text of [theirs.toNormalizedString(), theirs.toNormalizedString().toUpperCase()]) expect(parseIpBytes(text)).toEqual(bytes);
      }),
    );
  });

  test("what is no address there is none here", () => {
    const text = fc.stringMatching(/^[0-9a-f:.]{0,24}$/);
    fc.assert(
      fc.property(text, (candidate) => {
        const here = parseIpBytes(candidate) !== undefined;
        expect(!here || ipaddr.isValid(candidate)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

test("IPv4 addresses are unsigned numbers both ways", () => {
  expect(ip4Number("192.0.2.1")).toBe(0xc000_0201);
  expect(ip4Number("255.255.255.255")).toBe(0xffff_ffff);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (value) => {
      expect(ip4Number(printIp4(value))).toBe(value);
      expect(ipBytes(printIp4(value))).toEqual(Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
    }),
  );
});

test("order: IPv4 first, then by octets and not by text", () => {
  const sorted = ["2.0.0.0", "10.0.0.0", "10.0.0.9", "10.0.0.10", "::", "::2", "::10", "2001:db8::"] as Ip[];
  expect(sorted.toReversed().toSorted(compareIp)).toEqual(sorted);
  fc.assert(
    fc.property(address, address, (a, b) => {
      const [x, y] = [printIp(a), printIp(b)];
      expect(Math.sign(compareIp(x, y)) + Math.sign(compareIp(y, x))).toBe(0);
      expect(compareIp(x, y) === 0).toBe(x === y);
    }),
  );
});

test("MAC addresses", () => {
  expect(parseMac("02:AB:cd:00:00:0f")).toBe("02:ab:cd:00:00:0f");
  for (const text of ["", "02:ab:cd:00:00", "02:ab:cd:00:00:0f:00", "02-ab-cd-00-00-0f", "2:ab:cd:00:00:0f", "02:ab:cd:00:00:0g"])
    expect(parseMac(text)).toBeUndefined();
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
      expect(macBytes(printMac(bytes))).toEqual(bytes);
      expect(parseMac(printMac(bytes))).toBe(printMac(bytes));
    }),
  );
});
