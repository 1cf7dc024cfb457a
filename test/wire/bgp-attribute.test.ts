import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Writer } from "#base/bytes.ts";
import { decodeAttributes, encodeAttributes, type PathAttributes } from "#wire/bgp/attribute.ts";
import { familyKey } from "#wire/bgp/constants.ts";
import type { AttributeContext } from "#wire/bgp/path-attributes.ts";
import { pathAttributes } from "./arbitraries.ts";
import { hex, octets } from "./hex.ts";

const internal: AttributeContext = { internal: true, fourOctetAs: true };
const narrow: AttributeContext = { internal: true, fourOctetAs: false };

const read = (bytes: Uint8Array, context = internal) => decodeAttributes(bytes, 0, bytes.length, context);
const readHex = (text: string, context = internal) => read(octets(text), context);
function write(attributes: PathAttributes, fourOctetAs = true): Uint8Array {
  const into = new Writer();
  encodeAttributes(attributes, into, { fourOctetAs });
  return into.written;
}
const words = (...list: number[]): Uint32Array => Uint32Array.from(list);
const seq = (...asns: number[]) => ({ type: 2, asns: words(...asns) }) as const;

/** Canonical octets ↔ value. */
const goldens: readonly (readonly [string, PathAttributes])[] = [
  ["400101 00", { origin: 0 }],
  ["400101 02", { origin: 2 }],
  ["400200", { asPath: [] }],
  ["40020a 0202 0000fde9 00010000", { asPath: [seq(65_001, 65_536)] }],
  ["400304 0a000001", { nextHop: octets("0a000001") }],
  ["800404 00000064", { med: 100 }],
  ["400504 ffffffff", { localPref: 0xffff_ffff }],
  ["400600", { atomicAggregate: true }],
  ["c00708 0000fde9 0a000001", { aggregator: { asn: 65_001, address: octets("0a000001") } }],
  ["c00808 fde80064 ffffff01", { communities: words(0xfde8_0064, 0xffff_ff01) }],
  ["e00804 fde80064", { communities: words(0xfde8_0064), partial: [8] }],
  ["800904 c0000201", { originatorId: 0xc000_0201 }],
  ["800a08 00000001 ffffffff", { clusterList: words(1, 0xffff_ffff) }],
  ["c01008 0002fde800000064", { extendedCommunities: octets("0002fde800000064") }],
  ["c0200c 0000fbf0 00000001 00000002", { largeCommunities: words(64_496, 1, 2) }],
  ["c02304 0000fde9", { otc: 65_001 }],
  ["e06302 abcd", { unknown: [{ flags: 0xe0, type: 99, value: octets("abcd") }] }],
  [
    "400101 00 e01e00 c02304 00000001 e06300",
    {
      origin: 0,
      otc: 1,
      unknown: [
        { flags: 0xe0, type: 30, value: octets("") },
        { flags: 0xe0, type: 99, value: octets("") },
      ],
    },
  ],
];

describe("both ways", () => {
  test.each(goldens)("%s", (text, value) => {
    expect(readHex(text)).toEqual({ attributes: value, cost: "none", faults: [] });
    expect(hex(write(value))).toBe(hex(octets(text)));
  });

  test("decode(encode(v)) = v, and encoding is canonical", () => {
    fc.assert(
      fc.property(pathAttributes, (value) => {
        const bytes = write(value);
        const decoded = read(bytes);
        expect(decoded).toEqual({ attributes: value, cost: "none", faults: [] });
        expect(hex(write(decoded.attributes))).toBe(hex(bytes));
      }),
    );
  });

  test("towards a two-octet peer and back, all AS numbers are four octets again (RFC 6793)", () => {
    fc.assert(
      fc.property(pathAttributes, (value) => {
        const asPath = value.asPath?.filter(({ type }) => type < 3);
        const plain = { ...value, ...(asPath && { asPath }) };
        expect(read(write(plain, false), narrow)).toEqual({ attributes: plain, cost: "none", faults: [] });
      }),
    );
  });

  test("63 and 64 cluster ids: one octet of length, then two", () => {
    const list = (size: number) => write({ clusterList: new Uint32Array(size).fill(7) });
    expect(hex(list(63).subarray(0, 4))).toBe("800afc00");
    expect(hex(list(64).subarray(0, 5))).toBe("900a010000");
    for (const size of [63, 64, 1000]) expect(read(list(size)).attributes.clusterList).toEqual(new Uint32Array(size).fill(7));
  });

  test("duplicate communities are dropped both ways (RFC 8092 §3)", () => {
    const twice = { communities: words(1, 2, 1), largeCommunities: words(1, 2, 3, 1, 2, 3) };
    const once = { communities: words(1, 2), largeCommunities: words(1, 2, 3) };
    expect(read(write(twice)).attributes).toEqual(once);
    expect(readHex("c0080c 00000001 00000002 00000001 c02018 000000010000000200000003 000000010000000200000003").attributes).toEqual(once);
  });

  test("a next hop that is not of 4 octets is the packer's, for MP_REACH_NLRI", () => {
    expect(hex(write({ origin: 0, nextHop: new Uint8Array(16) }))).toBe("40010100");
    expect(hex(write({ atomicAggregate: false }))).toBe("");
  });

  test("nothing shares memory with the message, whatever kind of array that is", () => {
    const everything = goldens
      .filter(([text]) => !text.startsWith("e00804"))
      .map(([, value]) => value)
      .reduce((all, one) => ({ ...all, ...one }));
    const bytes = Buffer.from(write(everything));
    const { attributes } = read(bytes);
    bytes.fill(0xee);
    expect(attributes).toEqual(everything);
    const reach = Buffer.from(octets("800e1a 0002 01 10 20010db8000000000000000000000001 00 2020010db8"));
    const decoded = read(reach);
    reach.fill(0xee);
    expect(hex(decoded.reach!.nextHop)).toBe("20010db8000000000000000000000001");
  });
});

describe("what arrives in other shapes", () => {
  test("any order, any spare flag bits, extended length where it is not needed", () => {
    const expected = { origin: 0, asPath: [], med: 5 };
    expect(readHex("800404 00000005 400200 400101 00").attributes).toEqual(expected);
    expect(readHex("4f0101 00 400200 8f0404 00000005")).toMatchObject({ attributes: expected, cost: "none" });
    expect(readHex("50010001 00 50020000 90040004 00000005")).toMatchObject({ attributes: expected, cost: "none" });
  });

  test("the range alone counts, not what stands around it", () => {
    const bytes = octets("ffff 400101 01 400200 ffff");
    expect(decodeAttributes(bytes, 2, 9, internal)).toEqual({ attributes: { origin: 1, asPath: [] }, cost: "none", faults: [] });
  });

  test("unknown optional: transitive is kept and Partial set on the way out, non-transitive is dropped without a word", () => {
    const { attributes, cost, faults } = readHex("d0630002 abcd 806402 abcd");
    expect({ attributes, cost, faults }).toEqual({ attributes: { unknown: [{ flags: 0xc0, type: 99, value: octets("abcd") }] }, cost: "none", faults: [] });
    expect(hex(write(attributes))).toBe("e06302abcd");
  });

  test("MP_REACH_NLRI and MP_UNREACH_NLRI: where their prefixes are", () => {
    const six = "20010db8000000000000000000000001",
      local = "fe800000000000000000000000000001";
    for (const [afi, hop] of [
      ["0001", "0a000001"],
      ["0001", six],
      ["0001", six + local],
      ["0002", six],
      ["0002", six + local],
    ] as const) {
      const text = `${afi} 01 ${hex(Uint8Array.of(hop.length / 2))} ${hop} 00 180a2a07`;
      const size = octets(text).length;
      const { reach, cost } = readHex(`800e${hex(Uint8Array.of(size))} ${text}`);
      expect(cost).toBe("none");
      expect(reach).toEqual({ afi: Number(afi), safi: 1, nextHop: octets(hop), nlriStart: 3 + size - 4, nlriEnd: 3 + size });
    }
    expect(readHex("800f07 0002 01 180a2a07")).toEqual({ attributes: {}, unreach: { afi: 2, safi: 1, start: 6, end: 10 }, cost: "none", faults: [] });
    expect(readHex("800f03 000201").unreach).toEqual({ afi: 2, safi: 1, start: 6, end: 6 });
  });

  test("path identifiers are expected where they were agreed on, and nowhere else", () => {
    const withdrawn = "800f08 0002 01 00000007 00",
      plain = "800f05 0002 01 0820";
    expect(readHex(withdrawn, { ...internal, addPath: [familyKey(2, 1)] })).toMatchObject({ cost: "none", unreach: { start: 6, end: 11 } });
    expect(readHex(plain, { ...internal, addPath: [familyKey(2, 1)] }).cost).toBe("reset");
    expect(readHex(plain, { ...internal, addPath: [familyKey(1, 1)] }).cost).toBe("none");
  });

  test("a family nobody here knows keeps its own next hop rules", () => {
    expect(readHex("800e07 4004 47 02 abcd 00")).toMatchObject({ cost: "none", reach: { afi: 0x4004, safi: 71, nextHop: octets("abcd") } });
  });
});

describe("two-octet sessions (RFC 6793 §4.2.3)", () => {
  const aggregator = (asn: string) => `c00706 ${asn} 0a000001`;
  const as4 = "c01106 0201 00011170";
  const as4Aggregator = "c01208 00011170 0a000002";

  test("AS4_PATH and AS4_AGGREGATOR are merged, in whatever order they come", () => {
    const expected = { asPath: [seq(5, 70_000)], aggregator: { asn: 70_000, address: octets("0a000002") } };
    const parts = ["400206 0202 0005 5ba0", aggregator("5ba0"), as4, as4Aggregator];
    for (const text of [parts, parts.toReversed()]) expect(readHex(text.join(""), narrow)).toEqual({ attributes: expected, cost: "none", faults: [] });
  });

  test("an AGGREGATOR that is not AS_TRANS drops both, but only if AS4_AGGREGATOR came", () => {
    const path = "400206 0202 0005 5ba0";
    expect(readHex(path + aggregator("0007") + as4 + as4Aggregator, narrow).attributes).toEqual({
      asPath: [seq(5, 23_456)],
      aggregator: { asn: 7, address: octets("0a000001") },
    });
    expect(readHex(path + aggregator("0007") + as4, narrow).attributes.asPath).toEqual([seq(5, 70_000)]);
    expect(readHex(path + as4 + as4Aggregator, narrow).attributes).toEqual({ asPath: [seq(5, 70_000)] });
  });

  test("on a four-octet session they mean nothing", () => {
    expect(readHex(`400206 0201 00000005 ${as4} ${as4Aggregator}`)).toEqual({ attributes: { asPath: [seq(5)] }, cost: "none", faults: [] });
  });

  test("a malformed one costs itself alone (§6)", () => {
    for (const bad of ["c01105 0201 000111", "c01106 0201 00000000", "c01100", "801106 0201 00011170", "c01206 0011 0a000002", "c01208 00000000 0a000002"]) {
      expect(readHex(`400204 0201 5ba0 ${bad}`, narrow)).toMatchObject({ attributes: { asPath: [seq(23_456)] }, cost: "discard" });
    }
  });

  test("what is sent: AS_TRANS, and AS4_PATH only where two octets do not say it all", () => {
    expect(hex(write({ asPath: [seq(5, 70_000)] }, false))).toBe(hex(octets("400206 0202 0005 5ba0 c0110a 0202 00000005 00011170")));
    expect(hex(write({ asPath: [seq(5)], aggregator: { asn: 7, address: octets("0a000001") } }, false))).toBe(
      hex(octets("400204 0201 0005 c00706 0007 0a000001")),
    );
    expect(hex(write({ aggregator: { asn: 70_000, address: octets("0a000001") } }, false))).toBe(hex(octets("c00706 5ba0 0a000001 c01208 00011170 0a000001")));
  });
});
