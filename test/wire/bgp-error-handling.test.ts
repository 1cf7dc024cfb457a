/** RFC 7606 as a table: what each malformed attribute costs, and the NOTIFICATION where it costs the session. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeAttributes } from "#wire/bgp/attribute.ts";
import { attributeRows } from "#wire/bgp/attribute-row.ts";
import { hex, octets } from "./hex.ts";

const read = (text: string, internal = true, fourOctetAs = true) => {
  const bytes = octets(text);
  return decodeAttributes(bytes, 0, bytes.length, { internal, fourOctetAs });
};
const six = "20010db8000000000000000000000001";

/** Section, what, the attributes, cost, subcode of UPDATE Message Error, attribute type. */
const rows: readonly (readonly [string, string, "discard" | "withdraw" | "reset", number, number])[] = [
  ["§7.1 ORIGIN of 0 octets", "400100", "withdraw", 5, 1],
  ["§7.1 ORIGIN of 2 octets", "400102 0000", "withdraw", 5, 1],
  ["§7.1 ORIGIN 3", "400101 03", "withdraw", 6, 1],
  ["§7.2 AS_PATH with an unknown segment type", "400206 0501 00000001", "withdraw", 11, 2],
  ["§7.2 AS_PATH with a segment overrun", "400206 0202 00000001", "withdraw", 11, 2],
  ["§7.2 AS_PATH with a single octet left", "400207 0201 00000001 02", "withdraw", 11, 2],
  ["§7.2 AS_PATH with an empty segment", "400202 0200", "withdraw", 11, 2],
  ["RFC 7607 AS 0 in AS_PATH", "40020a 0202 00000001 00000000", "withdraw", 11, 2],
  ["§7.3 NEXT_HOP of 0 octets", "400300", "withdraw", 5, 3],
  ["§7.3 NEXT_HOP of 5 octets", "400305 0a00000101", "withdraw", 5, 3],
  ["§7.4 MULTI_EXIT_DISC of 3 octets", "800403 000001", "withdraw", 5, 4],
  ["§7.4 MULTI_EXIT_DISC of 0 octets", "800400", "withdraw", 5, 4],
  ["§7.5 LOCAL_PREF of 5 octets", "400505 0000000001", "withdraw", 5, 5],
  ["§7.6 ATOMIC_AGGREGATE of 1 octet", "400601 00", "discard", 5, 6],
  ["§7.7 AGGREGATOR of 6 octets with four-octet AS numbers", "c00706 0001 0a000001", "discard", 5, 7],
  ["§7.7 AGGREGATOR of 0 octets", "c00700", "discard", 5, 7],
  ["RFC 7607 AS 0 in AGGREGATOR", "c00708 00000000 0a000001", "discard", 9, 7],
  ["§7.8 COMMUNITIES of 0 octets", "c00800", "withdraw", 5, 8],
  ["§7.8 COMMUNITIES of 6 octets", "c00806 000000010000", "withdraw", 5, 8],
  ["§7.9 ORIGINATOR_ID of 5 octets", "800905 0000000001", "withdraw", 5, 9],
  ["§7.9 ORIGINATOR_ID of 0 octets", "800900", "withdraw", 5, 9],
  ["§7.10 CLUSTER_LIST of 0 octets", "800a00", "withdraw", 5, 10],
  ["§7.10 CLUSTER_LIST of 6 octets", "800a06 000000010000", "withdraw", 5, 10],
  ["§7.11 MP_REACH_NLRI with a next hop of 5 octets", "800e0a 0002 01 05 0a00000101 00", "reset", 9, 14],
  ["§7.11 MP_REACH_NLRI of IPv6 with a next hop of 4 octets", "800e09 0002 01 04 0a000001 00", "reset", 9, 14],
  ["§7.11 MP_REACH_NLRI with a next hop past its end", "800e06 0002 01 10 20 00", "reset", 9, 14],
  ["§5.3 MP_REACH_NLRI of 4 octets", "800e04 0002 01 00", "reset", 5, 14],
  ["§5.3 MP_UNREACH_NLRI of 2 octets", "800f02 0002", "reset", 5, 15],
  ["§5.3 MP_UNREACH_NLRI of 0 octets", "800f00", "reset", 5, 15],
  ["§5.3 MP_REACH_NLRI with an IPv6 prefix of 129 bits", `800e27 0002 01 10 ${six} 00 81 ${"00".repeat(17)}`, "reset", 9, 14],
  ["§5.3 MP_REACH_NLRI with an IPv4 prefix of 33 bits", "800e0f 0001 01 04 0a000001 00 21 0000000000", "reset", 9, 14],
  ["§5.3 MP_REACH_NLRI with a prefix past its end", `800e17 0002 01 10 ${six} 00 10 20`, "reset", 9, 14],
  ["§5.3 MP_UNREACH_NLRI with a prefix of 129 bits", `800f15 0002 01 81 ${"00".repeat(17)}`, "reset", 9, 15],
  ["§5.3 MP_UNREACH_NLRI with a prefix past its end", "800f05 0002 01 10 20", "reset", 9, 15],
  ["§7.14 EXTENDED COMMUNITIES of 4 octets", "c01004 00000001", "withdraw", 5, 16],
  ["§7.14 EXTENDED COMMUNITIES of 0 octets", "c01000", "withdraw", 5, 16],
  ["RFC 8092 §5 LARGE_COMMUNITY of 8 octets", "c02008 0000000100000002", "withdraw", 5, 32],
  ["RFC 8092 §5 LARGE_COMMUNITY of 0 octets", "c02000", "withdraw", 5, 32],
  ["RFC 9234 §5 ONLY_TO_CUSTOMER of 3 octets", "c02303 000001", "withdraw", 5, 35],
  ["RFC 4271 §6.3 a well-known attribute nobody knows", "406301 00", "reset", 2, 99],
  ["§3 g ORIGIN twice", "400101 00 400101 01", "discard", 1, 1],
  ["§3 g an unknown attribute twice", "c06301 00 c06301 01", "discard", 1, 99],
  ["§3 g MP_UNREACH_NLRI twice", "800f03 000201 800f03 000201", "reset", 1, 15],
  ["§3 g MP_REACH_NLRI twice", `800e15 0002 01 10 ${six} 00 800e15 0002 01 10 ${six} 00`, "reset", 1, 14],
  ["§4 one octet left", "400101 00 40", "withdraw", 1, 0],
  ["§4 two octets left", "400101 00 4002", "withdraw", 1, 0],
  ["§4 three octets left with Extended Length", "400101 00 500200", "withdraw", 1, 0],
  ["§4 an overrun", "400101 00 400204 0201", "withdraw", 1, 0],
  ["§4 an overrun of an unknown attribute", "400101 00 c063ff 00", "withdraw", 1, 0],
  ["§4 an overrun of MP_REACH_NLRI", "800eff 0002", "withdraw", 1, 0],
];

describe("what a malformed attribute costs", () => {
  test.each(rows)("%s", (_, text, cost, subcode, type) => {
    const decoded = read(text);
    expect(decoded.cost).toBe(cost);
    expect(decoded.faults).toMatchObject([{ type, cost, subcode }]);
    expect(decoded.notification?.subcode).toBe(cost === "reset" ? subcode : undefined);
    expect(decoded.notification?.code).toBe(cost === "reset" ? 3 : undefined);
  });

  test("every row of the table of attributes has a row here", () => {
    const twoOctet = new Set([17, 18]); // bgp-attribute.test.ts: two-octet sessions
    const tested = new Set(rows.map(([, , , , type]) => type));
    expect(attributeRows.map(({ type }) => type).filter((type) => !tested.has(type) && !twoOctet.has(type))).toEqual([]);
  });

  test("§3 c: wrong flags cost the routes; of the MP attributes the session (§5.3)", () => {
    for (const { type, name, flags, onlyFrom } of attributeRows.filter((row) => row.onlyFrom !== "two-octet")) {
      for (const wrong of [0x00, 0x40, 0x80, 0xc0].filter((one) => one !== flags)) {
        const { cost, faults, attributes } = read(`${hex(Uint8Array.of(wrong, type, 4))} 00000000`);
        expect(cost, `${name} ${wrong} ${onlyFrom}`).toBe(type === 14 || type === 15 ? "reset" : "withdraw");
        expect(faults).toMatchObject([{ type, subcode: 4, data: octets(`${hex(Uint8Array.of(wrong, type, 4))} 00000000`) }]);
        expect(attributes).toEqual({});
      }
    }
  });

  test("an external peer's LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST are discarded unread (§7.5, §7.9, §7.10)", () => {
    for (const type of ["05", "09", "0a"]) {
      for (const head of ["40", "80", "c0"]) {
        expect(read(`400101 00 ${head}${type}03 000000`, false)).toMatchObject({ cost: "discard", attributes: { origin: 0 } });
      }
    }
  });

  test("AGGREGATOR is of 6 octets on a two-octet session", () => {
    expect(read("c00706 0001 0a000001", true, false)).toMatchObject({ cost: "none", attributes: { aggregator: { asn: 1 } } });
    expect(read("c00708 00000001 0a000001", true, false)).toMatchObject({ cost: "discard" });
  });

  test("§3 g: the first of several is kept", () => {
    expect(read("400101 00 400101 01 400101 03").attributes).toEqual({ origin: 0 });
    expect(read("400101 03 400101 01")).toMatchObject({ attributes: {}, cost: "withdraw" });
  });

  test("§3 h: the strongest of several wins", () => {
    expect(read("400601 00 400101 03")).toMatchObject({ cost: "withdraw", faults: [{ type: 6 }, { type: 1 }] });
    expect(read("400601 00 400101 03 800f02 0002")).toMatchObject({ cost: "reset", notification: { subcode: 5 } });
  });

  test("§3 j, §4: what stands before an overrun is read", () => {
    expect(read("400101 00 800f03 000201 400204 0201")).toMatchObject({ attributes: { origin: 0 }, unreach: { afi: 2 }, cost: "withdraw" });
  });

  test("the data is the attribute as it came, as far as a NOTIFICATION can hold it", () => {
    expect(read("406302 abcd").notification!.data).toEqual(octets("406302abcd"));
    const long = read(`506313ec ${"00".repeat(5100)}`).notification!;
    expect(long.data.length).toBe(4096 - 21);
  });
});

test("any octets give attributes and a cost, never an exception", () => {
  const type = fc.constantFrom(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 35, 99);
  const attribute = fc
    .tuple(fc.constantFrom(0x40, 0x80, 0xc0, 0x50, 0xe0), type, fc.uint8Array({ maxLength: 24 }))
    .map(([flags, code, value]) => Uint8Array.of(flags, code, ...((flags & 0x10) === 0 ? [value.length] : [0, value.length]), ...value));
  const list = fc.array(attribute, { maxLength: 6 }).map((all) => Uint8Array.from(all.flatMap((one) => [...one])));
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.oneof(list, fc.uint8Array({ maxLength: 60 })), fc.boolean(), fc.boolean(), (bytes, internal, fourOctetAs) => {
      const decoded = decodeAttributes(bytes, 0, bytes.length, { internal, fourOctetAs });
      seen.add(decoded.cost);
      expect(decoded.cost === "reset").toBe(decoded.notification !== undefined);
      expect(decoded.cost === "none").toBe(decoded.faults.length === 0);
    }),
    { numRuns: 2000 },
  );
  expect([...seen].toSorted()).toEqual(["discard", "none", "reset", "withdraw"]);
});
