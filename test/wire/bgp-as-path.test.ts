import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Reader, Writer } from "#base/bytes.ts";
import {
  type AsPath,
  asPathLength,
  decodeAsPath,
  encodeAsPath,
  hasAsSet,
  hasConfederation,
  mergeAs4Path,
  needsFourOctets,
  neighbourAs,
  pathContains,
  prependAs,
  printAsPath,
} from "#wire/bgp/as-path.ts";
import { asn, asPath } from "./arbitraries.ts";
import { hex, octets } from "./hex.ts";

const set = (...asns: number[]) => ({ type: 1, asns: Uint32Array.from(asns) }) as const;
const seq = (...asns: number[]) => ({ type: 2, asns: Uint32Array.from(asns) }) as const;
const confedSeq = (...asns: number[]) => ({ type: 3, asns: Uint32Array.from(asns) }) as const;
const confedSet = (...asns: number[]) => ({ type: 4, asns: Uint32Array.from(asns) }) as const;
const long = (length: number) => seq(...Array.from({ length }, (_, i) => i + 1));

const read = (text: string, size: 2 | 4) => decodeAsPath(new Reader(octets(text)), size);
function write(path: AsPath, size: 2 | 4): string {
  const into = new Writer();
  encodeAsPath(path, into, size);
  return hex(into.written);
}

describe("both ways", () => {
  test.each<[string, 2 | 4, AsPath]>([
    ["", 4, []],
    ["02 01 0000fde9", 4, [seq(65_001)]],
    ["02 02 0000fde9 00010000 01 01 00000001", 4, [seq(65_001, 65_536), set(1)]],
    ["03 01 0000fe00 04 02 0000fe01 0000fe02 02 01 00000007", 4, [confedSeq(65_024), confedSet(65_025, 65_026), seq(7)]],
    ["02 02 fde9 5ba0", 2, [seq(65_001, 23_456)]],
  ])("%s", (text, size, path) => {
    expect(read(text, size)).toEqual(path);
    expect(write(path, size)).toBe(hex(octets(text)));
  });

  test("decode(encode(v)) = v", () => {
    fc.assert(
      fc.property(asPath, (path) => {
        expect(read(write(path, 4), 4)).toEqual(path);
      }),
    );
  });

  test("a segment of more than 255 is written as two", () => {
    expect(read(write([long(300)], 4), 4)?.map(({ asns }) => asns.length)).toEqual([255, 45]);
  });

  test("what does not fit two octets becomes AS_TRANS", () => {
    expect(write([seq(1, 65_536)], 2)).toBe("020200015ba0");
  });

  test.each([
    ["unknown type", "05 01 00000001"],
    ["type 0", "00 01 00000001"],
    ["overrun", "02 02 00000001"],
    ["underrun", "02 01 00000001 02"],
    ["no AS numbers", "02 00"],
  ])("malformed (RFC 7606 §7.2): %s", (_, text) => {
    expect(read(text, 4)).toBeUndefined();
  });
});

describe("what the decision process asks", () => {
  test("a set counts one, confederation segments nothing", () => {
    expect(asPathLength([])).toBe(0);
    expect(asPathLength([confedSeq(9, 9), seq(1, 2), set(3, 4, 5), confedSet(9)])).toBe(3);
  });

  test.each<[AsPath, number | undefined]>([
    [[], undefined],
    [[seq(7, 8)], 7],
    [[set(7, 8)], undefined],
    [[confedSeq(1), seq(7)], 7],
    [[confedSet(1), set(7)], undefined],
    [[confedSeq(1)], undefined],
  ])("neighbour AS %#", (path, neighbour) => {
    expect(neighbourAs(path)).toBe(neighbour);
  });

  test("contains, sets, confederations, width", () => {
    const path = [confedSeq(9), seq(1, 70_000), set(3)];
    expect([9, 70_000, 3, 4].map((one) => pathContains(path, one))).toEqual([true, true, true, false]);
    expect([hasAsSet(path), hasAsSet([confedSet(1)]), hasAsSet([seq(1)])]).toEqual([true, true, false]);
    expect([hasConfederation(path), hasConfederation([seq(1)])]).toEqual([true, false]);
    expect([needsFourOctets(path), needsFourOctets([seq(65_535)])]).toEqual([true, false]);
  });

  test("is printed", () => {
    expect(printAsPath([seq(1, 2), set(3, 4), confedSeq(5), confedSet(6, 7)])).toBe("1 2 {3 4} (5) [6 7]");
    expect(printAsPath([])).toBe("");
  });
});

describe("prepend", () => {
  test("in front of a sequence, a set, nothing", () => {
    expect(prependAs([seq(2)], 1)).toEqual([seq(1, 2)]);
    expect(prependAs([set(2)], 1, 2)).toEqual([seq(1, 1), set(2)]);
    expect(prependAs([], 1)).toEqual([seq(1)]);
    expect(prependAs([confedSeq(2)], 1)).toEqual([seq(1), confedSeq(2)]);
  });

  test("opens a new segment at 255", () => {
    expect(prependAs([long(255)], 9)).toEqual([seq(9), long(255)]);
    const grown = prependAs([long(254)], 9, 3);
    expect(grown.map(({ asns }) => asns.length)).toEqual([2, 255]);
    expect(grown[1]!.asns[0]).toBe(9);
  });

  test("adds exactly so many, and leaves the given path alone", () => {
    fc.assert(
      fc.property(asPath, asn, fc.integer({ min: 0, max: 600 }), (path, number, times) => {
        const before = printAsPath(path);
        const grown = prependAs(path, number, times);
        expect(asPathLength(grown)).toBe(asPathLength(path) + times);
        expect(grown.every(({ asns }) => asns.length <= 255)).toBe(true);
        expect(times === 0 || neighbourAs(grown) === number).toBe(true);
        expect(printAsPath(path)).toBe(before);
      }),
    );
  });
});

describe("the merge of AS4_PATH (RFC 6793 §4.2.3)", () => {
  test.each<[string, AsPath, AsPath, AsPath]>([
    ["all of it is told in four octets", [seq(23_456, 23_456)], [seq(70_000, 70_001)], [seq(70_000, 70_001)]],
    ["two-octet speakers prepended since", [seq(5, 6, 23_456)], [seq(70_000)], [seq(5, 6, 70_000)]],
    ["AS4_PATH longer: ignored", [seq(5)], [seq(70_000, 70_001)], [seq(5)]],
    ["a set counts one", [seq(5, 23_456), set(1, 2)], [seq(70_000), set(1, 70_002)], [seq(5, 70_000), set(1, 70_002)]],
    ["a whole set is in the leading part", [seq(5), set(1, 2), seq(23_456)], [seq(70_000)], [seq(5), set(1, 2), seq(70_000)]],
    ["a leading confederation segment stays", [confedSeq(9), seq(23_456)], [seq(70_000)], [confedSeq(9), seq(70_000)]],
    ["one adjacent to a prepended segment stays", [seq(5), confedSeq(9), seq(23_456)], [seq(70_000)], [seq(5), confedSeq(9), seq(70_000)]],
    ["one behind the cut does not", [seq(5, 23_456), confedSeq(9)], [seq(70_000)], [seq(5, 70_000)]],
    ["confederation segments of AS4_PATH are dropped", [seq(5, 23_456)], [confedSeq(9), seq(70_000)], [seq(5, 70_000)]],
    ["empty against empty", [], [], []],
  ])("%s", (_, path, as4, merged) => {
    expect(mergeAs4Path(path, as4)).toEqual(merged);
  });

  test("the result is as long as AS_PATH, and no segment is too long", () => {
    fc.assert(
      fc.property(asPath, asPath, (path, as4) => {
        const merged = mergeAs4Path(path, as4);
        expect(asPathLength(merged)).toBe(asPathLength(path));
        expect(merged.every(({ asns }) => asns.length >= 1 && asns.length <= 255)).toBe(true);
      }),
    );
  });

  test("a path sent in two octets with AS4_PATH comes back whole", () => {
    const plain = asPath.map((path) => path.filter(({ type }) => type < 3));
    fc.assert(
      fc.property(plain, (path) => {
        const narrow = read(write(path, 2), 2)!;
        expect(mergeAs4Path(narrow, path)).toEqual(path);
      }),
    );
  });
});
