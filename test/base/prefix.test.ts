import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { describe, expect, test } from "vitest";
import { type Ip, parseIp, printIp } from "#base/ip.ts";
import {
  addressAt,
  comparePrefix,
  contains,
  countSubnets,
  maskBytes,
  overlaps,
  parsePrefix,
  prefixFamily,
  prefixParts,
  type Prefix,
  printPrefix,
  subnetAt,
} from "#base/prefix.ts";

const bytesOf = (size: 4 | 16) => fc.uint8Array({ minLength: size, maxLength: size });
const prefixOf = (size: 4 | 16): fc.Arbitrary<Prefix> =>
  fc.tuple(bytesOf(size), fc.integer({ min: 0, max: size * 8 })).map(([bytes, length]) => printPrefix(maskBytes(bytes, length), length));
/** Few bits, so that two of them meet often. */
const crowded: fc.Arbitrary<Prefix> = fc
  .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 8 }))
  .map(([octet, length]) => printPrefix(maskBytes(Uint8Array.of(octet, 0, 0, 0), length), length));
const prefix = fc.oneof(prefixOf(4), prefixOf(16));
const p = (text: string): Prefix => parsePrefix(text)!;

test.each([
  ["10.0.0.0/8", "10.0.0.0/8"],
  ["0.0.0.0/0", "0.0.0.0/0"],
  ["10.1.2.3/32", "10.1.2.3/32"],
  ["2001:DB8:0::/48", "2001:db8::/48"],
  ["::/0", "::/0"],
  ["::1/128", "::1/128"],
])("%s is %s", (text, canonical) => {
  expect(parsePrefix(text)).toBe(canonical);
});

test.each([
  "",
  "10.0.0.0",
  "10.0.0.0/",
  "/8",
  "10.0.0.0/33",
  "::/129",
  "10.0.0.0/-1",
  "10.0.0.0/8 ",
  "10.0.0.0/08",
  "10.0.0/8",
  "10.0.0.0/8/8",
  "10.0.0.0/999",
])("%j is no prefix", (text) => {
  expect(parsePrefix(text)).toBeUndefined();
  expect(parsePrefix(text, true)).toBeUndefined();
});

test("host bits are an error unless they may be masked", () => {
  expect(parsePrefix("10.0.0.1/8")).toBeUndefined();
  expect(parsePrefix("10.0.0.1/8", true)).toBe("10.0.0.0/8");
  expect(parsePrefix("2001:db8::1/64", true)).toBe("2001:db8::/64");
});

describe("properties", () => {
  test("parse(print(v)) = v", () => {
    fc.assert(
      fc.property(prefix, (one) => {
        const { bytes, length } = prefixParts(one);
        expect(parsePrefix(one)).toBe(one);
        expect(printPrefix(bytes, length)).toBe(one);
        expect(prefixFamily(one)).toBe(bytes.length === 4 ? 4 : 6);
      }),
    );
  });

  test("an address lies within a prefix if another library says so", () => {
    fc.assert(
      fc.property(fc.oneof(fc.tuple(prefixOf(4), bytesOf(4)), fc.tuple(prefixOf(16), bytesOf(16)), fc.tuple(crowded, bytesOf(4))), ([outer, bytes]) => {
        const theirs = (ipaddr.fromByteArray([...bytes]) as ipaddr.IPv4).match(ipaddr.parseCIDR(outer) as [ipaddr.IPv4, number]);
        expect(contains(outer, printIp(bytes))).toBe(theirs);
      }),
      { numRuns: 500 },
    );
  });

  test("containment: of itself, of nothing wider, and two prefixes overlap only by containment", () => {
    fc.assert(
      fc.property(fc.oneof(fc.tuple(crowded, crowded), fc.tuple(prefix, prefix)), ([a, b]) => {
        expect(contains(a, a)).toBe(true);
        expect(contains(a, b) && contains(b, a)).toBe(a === b);
        expect(overlaps(a, b)).toBe(overlaps(b, a));
        expect(overlaps(a, b)).toBe(contains(a, b) || contains(b, a));
      }),
      { numRuns: 500 },
    );
  });

  test("the n-th subnet lies within, is the only one that holds its first address, and they do not meet", () => {
    const within = prefix
      .filter((one) => prefixParts(one).length < prefixParts(one).bytes.length * 8)
      .chain((outer) => {
        const { bytes, length } = prefixParts(outer);
        return fc.integer({ min: length, max: bytes.length * 8 }).chain((inner) => {
          const count = countSubnets(outer, inner);
          return fc.tuple(fc.constant(outer), fc.constant(inner), fc.bigInt({ min: 0n, max: count - 1n }), fc.bigInt({ min: 0n, max: count - 1n }));
        });
      });
    fc.assert(
      fc.property(within, ([outer, length, i, j]) => {
        const [a, b] = [subnetAt(outer, length, i), subnetAt(outer, length, j)];
        expect(parsePrefix(a)).toBe(a);
        expect(contains(outer, a)).toBe(true);
        expect(overlaps(a, b)).toBe(i === j);
        expect(Math.sign(comparePrefix(a, b))).toBe(i < j ? -1 : Number(i > j));
        expect(contains(a, addressAt(a, 0n))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("order is total", () => {
    fc.assert(
      fc.property(fc.oneof(crowded, prefix), fc.oneof(crowded, prefix), (a, b) => {
        expect(Math.sign(comparePrefix(a, b)) + Math.sign(comparePrefix(b, a))).toBe(0);
        expect(comparePrefix(a, b) === 0).toBe(a === b);
      }),
    );
  });
});

test("families never contain one another", () => {
  expect(contains(p("0.0.0.0/0"), p("::/0"))).toBe(false);
  expect(contains(p("::/0"), parseIp("10.0.0.1") as Ip)).toBe(false);
});

test("counting and picking", () => {
  expect(countSubnets(p("10.42.0.0/16"), 24)).toBe(256n);
  expect(countSubnets(p("2001:db8::/32"), 128)).toBe(1n << 96n);
  expect(countSubnets(p("10.0.0.0/24"), 24)).toBe(1n);
  expect(subnetAt(p("10.42.0.0/16"), 24, 255n)).toBe("10.42.255.0/24");
  expect(subnetAt(p("2001:db8::/32"), 64, 0xffff_ffffn)).toBe("2001:db8:ffff:ffff::/64");
  expect(addressAt(p("10.42.7.0/24"), 1n)).toBe("10.42.7.1");
  expect(addressAt(p("10.42.0.0/16"), 256n)).toBe("10.42.1.0");
  expect(addressAt(p("2001:db8::/64"), 0x1_0000_0000n)).toBe("2001:db8::1:0:0");
});

test("order: family, address, length", () => {
  const sorted = ["0.0.0.0/0", "2.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "10.0.1.0/24", "::/0", "2001:db8::/32", "2001:db8::/48"].map(p);
  expect(sorted.toReversed().toSorted(comparePrefix)).toEqual(sorted);
});
