import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Prefix } from "#base/prefix.ts";
import { decodeAttributes } from "#wire/bgp/attribute.ts";
import { familyKey } from "#wire/bgp/constants.ts";
import { frame } from "#wire/bgp/message.ts";
import { decodePrefixes, type Nlri } from "#wire/bgp/nlri.ts";
import { emptyRanges, encodeEndOfRib, encodeUpdate, endOfRib, splitUpdate, type Update } from "#wire/bgp/update.ts";
import { nlri, octetsOf, pathAttributes } from "./arbitraries.ts";
import { hex, message, octets } from "./hex.ts";

const context = { internal: true, fourOctetAs: true };
const one = (prefix: string): Nlri[] => [{ prefix: prefix as Prefix }];

/** A whole message back into the values it was made of. */
function read(bytes: Uint8Array, addPath = false): Update {
  const ranges = emptyRanges();
  expect(splitUpdate(bytes, 19, bytes.length, ranges)).toBeUndefined();
  const classic = { family: 4, addPath } as const;
  const { attributes, reach, unreach, cost } = decodeAttributes(bytes, ranges.attributesStart, ranges.attributesEnd, {
    ...context,
    addPath: addPath ? [familyKey(2, 1)] : [],
  });
  expect(cost).toBe("none");
  return {
    withdrawn: decodePrefixes(bytes, ranges.withdrawnStart, ranges.withdrawnEnd, classic)!,
    attributes,
    nlri: decodePrefixes(bytes, ranges.nlriStart, ranges.nlriEnd, classic)!,
    ...(reach && {
      reach: { afi: reach.afi, safi: reach.safi, nextHop: reach.nextHop, nlri: decodePrefixes(bytes, reach.nlriStart, reach.nlriEnd, { family: 6, addPath })! },
    }),
    ...(unreach && {
      unreach: { afi: unreach.afi, safi: unreach.safi, withdrawn: decodePrefixes(bytes, unreach.start, unreach.end, { family: 6, addPath })! },
    }),
  };
}

describe("UPDATE both ways", () => {
  test.each<[string, string, Update]>([
    ["a withdrawal", "0004 180a2a07 0000", { withdrawn: one("10.42.7.0/24"), attributes: {}, nlri: [] }],
    [
      "an announcement",
      "0000 000e 400101 00 400200 400304 0a000001 180a2a07",
      { withdrawn: [], attributes: { origin: 0, asPath: [], nextHop: octets("0a000001") }, nlri: one("10.42.7.0/24") },
    ],
    [
      "IPv6: MP_REACH_NLRI comes first (RFC 7606 §5.1)",
      "0000 0026 800e1c 0002 01 10 20010db8000000000000000000000001 00 30 20010db80002 400101 00 400200",
      {
        withdrawn: [],
        attributes: { origin: 0, asPath: [] },
        nlri: [],
        reach: { afi: 2, safi: 1, nextHop: octets("20010db8000000000000000000000001"), nlri: one("2001:db8:2::/48") },
      },
    ],
    [
      "IPv6 withdrawn",
      "0000 000d 800f0a 0002 01 30 20010db80002",
      { withdrawn: [], attributes: {}, nlri: [], unreach: { afi: 2, safi: 1, withdrawn: one("2001:db8:2::/48") } },
    ],
  ])("%s", (_, body, value) => {
    const bytes = message(2, body);
    expect(read(bytes)).toEqual(value);
    expect(hex(encodeUpdate(value, context))).toBe(hex(bytes));
  });

  test("decode(encode(v)) = v, with and without ADD-PATH", () => {
    const update = (addPath: boolean) => {
      const list = (family: 4 | 6) => fc.array(nlri(family, addPath), { maxLength: 8 });
      const reach = fc.record({ afi: fc.constant(2), safi: fc.constant(1), nextHop: fc.constantFrom(16, 32).chain(octetsOf), nlri: list(6) });
      const unreach = fc.record({ afi: fc.constant(2), safi: fc.constant(1), withdrawn: list(6) });
      return fc.record(
        { withdrawn: list(4), attributes: pathAttributes, nlri: list(4), reach, unreach },
        { requiredKeys: ["withdrawn", "attributes", "nlri"] },
      );
    };
    for (const addPath of [false, true]) {
      fc.assert(
        fc.property(update(addPath), (value) => {
          const bytes = encodeUpdate(value, context);
          expect(frame(bytes, 0, bytes.length, 65_535)).toBe(bytes.length);
          expect(read(bytes, addPath)).toEqual(value);
        }),
        { numRuns: 60 },
      );
    }
  });
});

describe("the three ranges", () => {
  test("stand where the lengths say, wherever the body stands", () => {
    const out = emptyRanges();
    const bytes = octets("eeee 0002 08 0a 0004 400101 00 10 0a2a ee");
    expect(splitUpdate(bytes, 2, bytes.length - 1, out)).toBeUndefined();
    expect(out).toEqual({ withdrawnStart: 4, withdrawnEnd: 6, attributesStart: 8, attributesEnd: 12, nlriStart: 12, nlriEnd: 15 });
  });

  test.each([
    ["withdrawn routes past the message", "0005 0000"],
    ["withdrawn routes that leave no room for the second length", "0001 00 00"],
    ["attributes past the message", "0000 0001"],
    ["attributes past the message, behind withdrawn routes", "0002 080a 0003 4001"],
    ["less than two lengths", "0000 00"],
    ["nothing", ""],
  ])("%s: reset with 3/1 (RFC 7606 §3 a)", (_, body) => {
    const bytes = octets(body);
    expect(splitUpdate(bytes, 0, bytes.length, emptyRanges())).toMatchObject({ code: 3, subcode: 1 });
  });

  test("any octets give ranges within the body, or a fault", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40, max: 12 }), (bytes) => {
        const out = emptyRanges();
        if (splitUpdate(bytes, 0, bytes.length, out)) return;
        const { withdrawnStart, withdrawnEnd, attributesStart, attributesEnd, nlriStart, nlriEnd } = out;
        const order = [0, withdrawnStart, withdrawnEnd, attributesStart, attributesEnd, nlriStart, nlriEnd];
        expect(order.toSorted((a, b) => a - b)).toEqual(order);
        expect(nlriEnd).toBe(bytes.length);
      }),
      { numRuns: 500 },
    );
  });
});

describe("End-of-RIB (RFC 4724 §2)", () => {
  const family = (body: string): number => {
    const bytes = octets(body);
    const out = emptyRanges();
    expect(splitUpdate(bytes, 0, bytes.length, out)).toBeUndefined();
    return endOfRib(bytes, out);
  };

  test.each([
    ["IPv4 unicast", 1, 1, "0000 0000"],
    ["IPv6 unicast", 2, 1, "0000 0006 800f03 000201"],
    ["EVPN", 25, 70, "0000 0006 800f03 001946"],
  ])("%s is written and recognised", (_, afi, safi, body) => {
    expect(hex(encodeEndOfRib(afi, safi))).toBe(hex(message(2, body)));
    expect(family(body)).toBe(familyKey(afi, safi));
  });

  test("other spellings: extended length, IPv4 unicast as MP_UNREACH_NLRI, spare flag bits", () => {
    expect(family("0000 0007 900f0003 000201")).toBe(familyKey(2, 1));
    expect(family("0000 0006 800f03 000101")).toBe(familyKey(1, 1));
    expect(family("0000 0006 8f0f03 000201")).toBe(familyKey(2, 1));
  });

  test.each([
    ["a withdrawal", "0002 080a 0000"],
    ["an announcement", "0000 0000 080a"],
    ["a withdrawal of IPv6", "0000 0008 800f05 000201 0820"],
    ["MP_UNREACH_NLRI with company", "0000 000a 800f03 000201 400101 00"],
    ["something else of six octets", "0000 0006 c00103 000201"],
    ["MP_REACH_NLRI", "0000 0006 800e03 000201"],
    ["wrong flags", "0000 0006 c00f03 000201"],
    ["a wrong length inside", "0000 0006 800f02 000201"],
    ["a wrong extended length inside", "0000 0007 900f0103 000201"],
    ["MP_UNREACH_NLRI behind a withdrawal", "0001 00 0006 800f03 000201"],
  ])("%s is none", (_, body) => {
    expect(family(body)).toBe(0);
  });
});
