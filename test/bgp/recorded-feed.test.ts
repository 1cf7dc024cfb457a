/**
 * One real full feed through codec and RIB, compared with a computation that shares no line with them: last word per prefix wins, attributes sorted,
 * duplicates of communities dropped, Partial set on what nobody knows, what RFC 7607 and RFC 9774 refuse withdrawn. Both digests must be equal.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { assert } from "#base/assert.ts";
import { none } from "#bgp/rib/adj-rib-in.ts";
import { bgpMessages } from "../bench/recorded-feed.ts";
import { vectorFolder } from "../wire/vector-folder.ts";
import { RibPeers, termsOf } from "./rib-peers.ts";

const folder = vectorFolder("mrt");
const hex = (octets: Uint8Array): string => Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString("hex");

interface Attribute {
  readonly flags: number;
  readonly type: number;
  readonly value: Buffer;
}

/** By hand: prefix (as its octets in hex) → attributes as canonical octets in hex. */
function byHand(messages: readonly Buffer[]): { readonly routes: Map<string, string>; readonly refused: number } {
  const routes = new Map<string, string>();
  let refused = 0;
  for (const message of messages) {
    if (message[18] !== 2) continue;
    const attributesAt = 21 + message.readUInt16BE(19),
      nlriAt = attributesAt + 2 + message.readUInt16BE(attributesAt);
    for (const prefix of prefixes(message, 21, attributesAt)) routes.delete(prefix);
    const list = attributes(message.subarray(attributesAt + 2, nlriAt)),
      isRefused = list.some(({ type, value }) => type === 2 && segments(value).some((one) => one.type === 1 || one.asns.includes(0))),
      kept = isRefused ? undefined : canonical(list);
    for (const prefix of prefixes(message, nlriAt, message.length)) {
      if (isRefused) refused++;
      if (kept === undefined) routes.delete(prefix);
      else routes.set(prefix, kept);
    }
  }
  return { routes, refused };
}

function prefixes(b: Buffer, start: number, end: number): string[] {
  const out: string[] = [];
  for (let at = start; at < end;) {
    const bits = b[at]!,
      size = Math.ceil(bits / 8),
      octets = Buffer.from(b.subarray(at + 1, at + 1 + size));
    if (bits % 8 !== 0) octets[size - 1] = octets[size - 1]! & (0xff << (8 - (bits % 8)));
    out.push(`${bits}/${octets.toString("hex")}`);
    at += 1 + size;
  }
  return out;
}

function attributes(b: Buffer): Attribute[] {
  const out: Attribute[] = [];
  for (let at = 0; at < b.length;) {
    const long = (b[at]! & 0x10) !== 0,
      length = long ? b.readUInt16BE(at + 2) : b[at + 2]!,
      from = at + (long ? 4 : 3);
    out.push({ flags: b[at]! & 0xe0, type: b[at + 1]!, value: b.subarray(from, from + length) });
    at = from + length;
  }
  return out;
}

function segments(path: Buffer): { readonly type: number; readonly asns: readonly number[] }[] {
  const out = [];
  for (let at = 0; at < path.length; at += 2 + 4 * path[at + 1]!) {
    const from = at + 2;
    out.push({ type: path[at]!, asns: Array.from({ length: path[at + 1]! }, (_, i) => path.readUInt32BE(from + 4 * i)) });
  }
  return out;
}

/** An AGGREGATOR of AS 0 is left out (RFC 7607 §2). */
const isBadAggregator = ({ type, value }: Attribute): boolean => type === 7 && value.readUInt32BE(0) === 0;

const ours = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 32, 35];

function canonical(list: readonly Attribute[]): string {
  return list
    .filter((one) => !isBadAggregator(one))
    .filter(({ type, flags }) => type !== 14 && type !== 15 && (ours.includes(type) || (flags & 0xc0) === 0xc0))
    .toSorted((a, b) => a.type - b.type)
    .map(({ flags, type, value: raw }) => {
      const width = type === 8 ? 4 : type === 32 ? 12 : 0,
        value = width === 0 ? raw : once(raw, width),
        partial = ours.includes(type) ? flags & (flags & 0x40 ? 0x20 : 0) : 0x20;
      const head =
        value.length > 255 ? [(flags & 0xc0) | partial | 0x10, type, value.length >> 8, value.length & 255] : [(flags & 0xc0) | partial, type, value.length];
      return Buffer.concat([Buffer.from(head), value]).toString("hex");
    })
    .join("");
}

function once(list: Buffer, width: number): Buffer {
  const seen = new Set<string>();
  for (let at = 0; at < list.length; at += width) seen.add(list.toString("hex", at, at + width));
  return Buffer.from([...seen].join(""), "hex");
}

function digest(routes: ReadonlyMap<string, string>): string {
  const hash = createHash("sha256");
  for (const prefix of [...routes.keys()].toSorted()) hash.update(`${prefix} ${routes.get(prefix)}\n`);
  return hash.digest("hex");
}

/** What the RIB has chosen, in the same form. */
function held({ rib }: RibPeers): Map<string, string> {
  const { prefixes: table, adjRibIn } = rib.ribs[0],
    routes = new Map<string, string>(),
    octetsOf = new Map<number, string>();
  for (let prefix = 0; prefix < table.end; prefix++) {
    const best = table.isLive(prefix) ? rib.ribs[0].bestOf(prefix) : none;
    if (best === none) continue;
    const [address, bits] = table.text(prefix).split("/"),
      octets = Buffer.from(address!.split(".").map(Number)).subarray(0, Math.ceil(Number(bits) / 8)),
      set = adjRibIn.attributes[best]!;
    if (!octetsOf.has(set)) octetsOf.set(set, hex(rib.attributes.bytesOf(set)));
    routes.set(`${bits}/${octets.toString("hex")}`, octetsOf.get(set)!);
  }
  return routes;
}

test.skipIf(folder === undefined)("a recorded full feed: nothing is lost and nothing is changed", { timeout: 300_000 }, () => {
  const messages = bgpMessages(readFileSync(join(folder!, "updates.et-header.2015.gz"))),
    // an AS nobody has: 65000 stands in some of the paths, and they would be loops
    world = new RibPeers({ asn: 4_199_999_999 });
  // as a client: whoever recorded it heard several neighbours, and what each path begins with is not the question here
  world.up(1, termsOf(1, "client", { families: [0] }));
  const began = performance.now();
  for (const message of messages) {
    if (message[18] !== 2) continue;
    const fault = world.rib.update(1, message, 19, message.length);
    assert(fault === undefined, `a real UPDATE resets nothing: ${fault?.text}`);
  }
  while (world.rib.step(world.now, 10_000)) world.rib.takeNotes();
  const seconds = (performance.now() - began) / 1000,
    expected = byHand(messages),
    found = held(world);
  process.stdout.write(
    `feed: ${messages.length} messages, ${found.size} prefixes held of ${expected.routes.size}, ${expected.refused} announced with an AS_SET (RFC 9774) or AS 0 (RFC 7607) and refused; ${seconds.toFixed(1)} s\n`,
  );
  // three UPDATEs of the feed have an AGGREGATOR of AS 0; they lose it, and their routes stay
  expect(world.rib.malformed.of(termsOf(1, "client").remote)).toMatchObject({ reset: 0, discard: 3 });
  expect(messages.length).toBeGreaterThan(80_000);
  expect(found.size).toBeGreaterThan(500_000);
  expect(found.size).toBe(expected.routes.size);
  expect(digest(found)).toBe(digest(expected.routes));
});
