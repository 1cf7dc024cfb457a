import fc from "fast-check";
import { expect, test } from "vitest";
import {
  dropDuplicates,
  parseCommunity,
  parseExtendedCommunity,
  parseLargeCommunity,
  printCommunity,
  printExtendedCommunity,
  printLargeCommunity,
  wellKnownCommunity,
} from "#wire/bgp/community.ts";
import { octetsOf, u32 } from "./arbitraries.ts";
import { hex, octets } from "./hex.ts";

test.each([
  ["65000:100", 0xfde8_0064],
  ["0:0", 0],
  ["65535:65535", 0xffff_ffff],
  ["no-export", 0xffff_ff01],
  ["no-advertise", 0xffff_ff02],
  ["no-export-subconfed", 0xffff_ff03],
  ["no-peer", 0xffff_ff04],
  ["graceful-shutdown", 0xffff_0000],
  ["accept-own", 0xffff_0001],
  ["llgr-stale", 0xffff_0006],
  ["no-llgr", 0xffff_0007],
  ["blackhole", 0xffff_029a],
])("community %s both ways", (text, value) => {
  expect(parseCommunity(text)).toBe(value);
  expect(printCommunity(value)).toBe(text);
});

test("every well-known community has a name, and is also read as two numbers", () => {
  for (const value of Object.values(wellKnownCommunity)) expect(printCommunity(value)).toMatch(/^[a-z-]+$/);
  expect(parseCommunity("65535:65281")).toBe(wellKnownCommunity.noExport);
});

test.each(["", "1", "1:2:3", "65536:1", "1:65536", "-1:1", "01:1", "1: 2", "1:2 ", "no_export", "0x1:1"])("%j is no community", (text) => {
  expect(parseCommunity(text)).toBeUndefined();
});

test("large communities both ways", () => {
  expect(parseLargeCommunity("64496:4294967295:0")).toEqual([64_496, 0xffff_ffff, 0]);
  expect(printLargeCommunity(64_496, 0xffff_ffff, 0)).toBe("64496:4294967295:0");
  for (const text of ["1:2", "1:2:4294967296", "1:2:x", "1:02:3"]) expect(parseLargeCommunity(text)).toBeUndefined();
});

test.each([
  ["target:65000:100", "0002 fde8 00000064"],
  ["origin:65000:4294967295", "0003 fde8 ffffffff"],
  ["target:10.0.0.1:5", "0102 0a000001 0005"],
  ["target:70000L:5", "0202 00011170 0005"],
  ["target:5L:6", "0202 00000005 0006"],
  ["0x030c000000000008", "030c 000000000008"],
])("extended community %s both ways", (text, octet) => {
  expect(hex(parseExtendedCommunity(text)!)).toBe(hex(octets(octet)));
  expect(printExtendedCommunity(octets(octet))).toBe(text);
});

test.each([
  "target:1",
  "target:70000:65536",
  "target:10.0.0.1:65536",
  "target:65000:4294967296",
  "target:4294967296:1",
  "soo:1:1",
  "0x00",
  "target:2001:db8:1",
])("%j is no extended community", (text) => {
  expect(parseExtendedCommunity(text)).toBeUndefined();
});

test("parse(print(v)) = v", () => {
  fc.assert(
    fc.property(u32, u32, u32, (a, b, c) => {
      expect(parseCommunity(printCommunity(a))).toBe(a);
      expect(parseLargeCommunity(printLargeCommunity(a, b, c))).toEqual([a, b, c]);
    }),
  );
  const typed = fc
    .tuple(fc.constantFrom(0, 1, 2, 3), fc.constantFrom(2, 3, 12), octetsOf(6))
    .map(([type, subtype, rest]) => Uint8Array.of(type, subtype, ...rest));
  fc.assert(
    fc.property(fc.oneof(octetsOf(8), typed), (value) => {
      expect(parseExtendedCommunity(printExtendedCommunity(value))).toEqual(value);
    }),
  );
});

test("duplicates go, order stays, and a list without them is not copied", () => {
  expect(dropDuplicates(Uint32Array.of(3, 1, 3, 2, 1), 1)).toEqual(Uint32Array.of(3, 1, 2));
  expect(dropDuplicates(Uint32Array.of(1, 2, 3, 1, 2, 4, 1, 2, 3), 3)).toEqual(Uint32Array.of(1, 2, 3, 1, 2, 4));
  const clean = Uint32Array.of(1, 2);
  expect(dropDuplicates(clean, 1)).toBe(clean);
});
