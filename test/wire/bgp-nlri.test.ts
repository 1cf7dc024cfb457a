import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Writer } from "#base/bytes.ts";
import { countPrefixes, decodePrefixes, encodePrefixes, type Nlri } from "#wire/bgp/nlri.ts";
import { nlri } from "./arbitraries.ts";
import { hex, octets } from "./hex.ts";

const forms = [
  { family: 4, addPath: false },
  { family: 4, addPath: true },
  { family: 6, addPath: false },
  { family: 6, addPath: true },
] as const;
type Form = (typeof forms)[number];

const read = (bytes: Uint8Array, form: Form) => decodePrefixes(bytes, 0, bytes.length, form);
const count = (bytes: Uint8Array, form: Form) => countPrefixes(bytes, 0, bytes.length, form);
function write(prefixes: readonly Nlri[]): Uint8Array {
  const into = new Writer();
  encodePrefixes(prefixes, into);
  return into.written;
}

test.each([
  ["", forms[0], []],
  ["00", forms[0], [{ prefix: "0.0.0.0/0" }]],
  ["18 0a2a07", forms[0], [{ prefix: "10.42.7.0/24" }]],
  ["11 0a2a80 20 0a2a0701", forms[0], [{ prefix: "10.42.128.0/17" }, { prefix: "10.42.7.1/32" }]],
  ["00000000 08 0a", forms[1], [{ prefix: "10.0.0.0/8", pathId: 0 }]],
  ["ffffffff 00", forms[1], [{ prefix: "0.0.0.0/0", pathId: 0xffff_ffff }]],
  ["40 20010db800000001", forms[2], [{ prefix: "2001:db8:0:1::/64" }]],
  ["00", forms[2], [{ prefix: "::/0" }]],
  ["00000007 80 20010db8000000000000000000000001", forms[3], [{ prefix: "2001:db8::1/128", pathId: 7 }]],
])("%s both ways", (text, form, prefixes) => {
  expect(read(octets(text), form)).toEqual(prefixes);
  expect(hex(write(prefixes as Nlri[]))).toBe(hex(octets(text)));
  expect(count(octets(text), form)).toBe(prefixes.length);
});

test("bits beyond the length are masked: two spellings of one prefix are one key", () => {
  expect(read(octets("11 0a2aff"), forms[0])).toEqual([{ prefix: "10.42.128.0/17" }]);
  expect(read(octets("01 ff"), forms[2])).toEqual([{ prefix: "8000::/1" }]);
});

test.each([
  ["a length of 33 bits", "21 0a00000000", forms[0]],
  ["a length of 129 bits", `81 ${"00".repeat(17)}`, forms[2]],
  ["a length of 255 bits", `ff ${"00".repeat(32)}`, forms[0]],
  ["octets missing", "18 0a2a", forms[0]],
  ["a path identifier alone", "00000001", forms[1]],
  ["half a path identifier", "0000", forms[1]],
])("%s is no prefix", (_, text, form) => {
  expect(count(octets(text), form)).toBe(-1);
  expect(read(octets(text), form)).toBeUndefined();
});

describe.each(forms)("family $family, ADD-PATH $addPath", (form) => {
  test("decode(encode(v)) = v", () => {
    fc.assert(
      fc.property(fc.array(nlri(form.family, form.addPath), { maxLength: 20 }), (prefixes) => {
        expect(read(write(prefixes), form)).toEqual(prefixes);
      }),
    );
  });

  test("any octets are prefixes or none, and the count says the same as the values", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60, max: 140 }), fc.nat(5), (bytes, start) => {
        const from = Math.min(start, bytes.length);
        const values = decodePrefixes(bytes, from, bytes.length, form);
        expect(countPrefixes(bytes, from, bytes.length, form)).toBe(values?.length ?? -1);
      }),
      { numRuns: 500 },
    );
  });
});
