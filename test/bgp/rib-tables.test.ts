import { describe, expect, test } from "vitest";
import { Writer } from "#base/bytes.ts";
import { printPrefix } from "#base/prefix.ts";
import { maskBytes } from "#base/prefix.ts";
import { encodeAttributes, type PathAttributes } from "#wire/bgp/attribute.ts";
import { AttributeTable } from "#bgp/rib/attributes.ts";
import { PrefixTable } from "#bgp/rib/prefixes.ts";
import { PrefixQueue } from "#bgp/rib/queue.ts";
import { chance } from "../sim/chance.ts";
import { sequence, v4Hop, v6Hop } from "./rib-peers.ts";
import { bitsOf, IdTwin, QueueTwin } from "./twins.ts";

const self = { asn: 65_000, routerId: 1, clusterId: 2, addresses: [] };

/** Octets of an NLRI, often one that was there before, with bits set behind the length. */
function someAddress(random: () => number, size: 4 | 16): Uint8Array {
  const octets = Uint8Array.from({ length: size }, () => Math.floor(random() * 256));
  octets[0] = 10;
  if (random() < 0.3) octets[1] = Math.floor(random() * 4);
  return octets;
}

describe.each([4, 6] as const)("prefixes of IPv%i", (family) => {
  test("200,000 operations against a map: ids are stable, given again, and mean one prefix; host bits make no difference", { timeout: 60_000 }, () => {
    const random = chance(family),
      table = new PrefixTable(family, 16),
      twin = new IdTwin(),
      size = family === 4 ? 4 : 16;
    const out = new Uint8Array(18);
    let mostLive = 0,
      ids = 0;
    for (let n = 0; n < 200_000; n++) {
      // it fills and empties in turn, so that the index grows while ids are released
      const fills = n % 100_000 < 60_000;
      const octets = someAddress(random, size),
        length = Math.floor(random() * (size * 8 + 1));
      const key = `${length} ${bitsOf(octets, length)}`;
      if (random() < (fills ? 0.85 : 0.15)) {
        const id = table.intern(octets, 0, length);
        if (!twin.saw(key, id)) throw new Error(`${key} is ${id}`);
        ids = Math.max(ids, id + 1);
      } else if (twin.ids.size > 0 && random() < 0.8) {
        const live = twin.keys.keys();
        let id = live.next().value!;
        for (let skip = Math.floor(random() * 8); skip > 0; skip--) id = live.next().value ?? id;
        table.release(id);
        twin.released(id);
        if (table.isLive(id)) throw new Error(`${id} was released`);
      } else if (table.find(octets, 0, length) !== (twin.ids.get(key) ?? -1)) throw new Error(`find ${key}`);
      if (table.live !== twin.ids.size) throw new Error(`${table.live} live, ${twin.ids.size} there`);
      mostLive = Math.max(mostLive, table.live);
    }
    for (const [key, id] of twin.ids) {
      const [length, bits] = [Number(key.split(" ")[0]), key.split(" ")[1]!];
      const octets = Uint8Array.from({ length: size }, (_, i) => parseInt(bits.slice(i * 8, i * 8 + 8).padEnd(8, "0") || "0", 2));
      expect([table.text(id), table.lengthOf(id), table.findText(table.text(id)), table.isLive(id)]).toEqual([printPrefix(octets, length), length, id, true]);
      expect([...out.subarray(0, table.write(id, out, 0))]).toEqual([length, ...octets.subarray(0, (length + 7) >> 3)]);
      expect(table.headOf(id)).toBe(new DataView(octets.buffer).getUint32(0));
    }
    expect(mostLive).toBeGreaterThan(10_000);
    expect(ids, "ids are given again").toBeLessThan(mostLive * 1.5);
    expect(table.end).toBe(ids);
  });

  test("blocks of NLRI: the ids, the order and the releases of one by one", { timeout: 60_000 }, () => {
    const random = chance(family + 20),
      blocks = new PrefixTable(family, 16),
      single = new PrefixTable(family, 16),
      size = family === 4 ? 4 : 16;
    let looked = 0,
      unknown = 0,
      released = 0;
    for (let round = 0; round < 400; round++) {
      const nlri: number[] = [3], // what stands before is not looked at
        wanted: number[] = [],
        doesIntern = random() < 0.6;
      for (let n = Math.floor(random() * 400); n > 0; n--) {
        const octets = someAddress(random, size),
          length = Math.floor(random() * (size * 8 + 1));
        nlri.push(length, ...octets.subarray(0, (length + 7) >> 3));
        wanted.push(doesIntern ? single.intern(octets, 0, length) : single.find(octets, 0, length));
      }
      const bytes = Uint8Array.from([...nlri, 255, 255]),
        got: number[] = [];
      for (let at = 1; at < nlri.length; looked++) {
        at = doesIntern ? blocks.internBlock(bytes, at, nlri.length) : blocks.findBlock(bytes, at, nlri.length);
        got.push(...blocks.block.subarray(0, blocks.blockCount));
      }
      expect(got).toEqual(wanted);
      unknown += wanted.filter((id) => id < 0).length;
      const gone = Uint32Array.from(wanted.filter((id) => id >= 0 && random() < 0.5)); // some of them twice
      blocks.releaseAll(gone, gone.length);
      for (const id of new Set(gone)) single.release(id);
      released += new Set(gone).size;
      expect([blocks.live, blocks.end]).toEqual([single.live, single.end]);
    }
    expect([looked > 600, unknown > 1000, released > 5000, blocks.live > 5000]).toEqual([true, true, true, true]);
  });

  test("within: as bits say, for every length", () => {
    const random = chance(7),
      table = new PrefixTable(family),
      size = family === 4 ? 4 : 16;
    let within = 0;
    for (let n = 0; n < 20_000; n++) {
      const inner = someAddress(random, size),
        outer = someAddress(random, size),
        length = Math.floor(random() * (size * 8 + 1));
      const shared = Math.floor(random() * (size * 8 + 1)),
        bits = Math.floor(random() * (size * 8 + 1));
      for (let i = 0; i < size; i++) if (8 * i < shared) outer[i] = inner[i]!;
      const isWithin = length >= bits && bitsOf(inner, length).startsWith(bitsOf(outer, bits));
      const answer = table.isWithin(table.intern(inner, 0, length), maskBytes(outer, bits), bits);
      if (answer !== isWithin) throw new Error(`${inner.join(".")}/${length} in ${outer.join(".")}/${bits}: ${answer}`);
      if (isWithin) within++;
    }
    expect(within).toBeGreaterThan(2000);
  });
});

test("a queue of ids against an array: order, once each, also while it grows and goes round", () => {
  const random = chance(3),
    queue = new PrefixQueue(),
    twin = new QueueTwin();
  let shifted = 0,
    most = 0;
  for (let n = 0; n < 60_000; n++) {
    const id = Math.floor(random() * 3000);
    const isMany = random() < 0.05;
    if (random() < (n % 20_000 < 10_000 ? 0.7 : 0.3)) {
      const ids = isMany ? Uint32Array.from({ length: 9 }, (_, i) => (id * (i + 1)) % 3000) : Uint32Array.of(id);
      if (isMany) queue.pushAll(ids, 8);
      else expect(queue.push(id)).toBe(twin.push(id));
      if (isMany) for (const each of ids.subarray(0, 8)) twin.push(each);
    } else if (isMany) {
      const into = new Uint32Array(8),
        count = queue.take(into, id % 11);
      for (const out of into.subarray(0, count)) expect(out).toBe(twin.shift());
      if (count < Math.min(id % 11, 8)) expect(twin.size).toBe(0);
      shifted += count;
    } else {
      const out = queue.shift();
      expect(out).toBe(twin.shift());
      if (out >= 0) shifted++;
    }
    most = Math.max(most, twin.size);
    if (queue.size !== twin.size || queue.has(id) !== twin.has(id)) throw new Error(`after ${n} operations`);
    if (queue.shifted !== shifted || queue.pushed !== shifted + twin.size) throw new Error(`counts after ${n} operations`);
  }
  expect(most).toBeGreaterThan(600);
});

test("a queue that was long gives its room back and goes on", () => {
  const queue = new PrefixQueue();
  for (let round = 0; round < 2; round++) {
    for (let id = 0; id < 100_000; id++) queue.push(id);
    for (let id = 0; id < 100_000; id++) if (queue.shift() !== id) throw new Error(`${id} is out of order`);
    expect([queue.shift(), queue.size, queue.has(5)]).toEqual([-1, 0, false]);
  }
});

describe("attribute sets", () => {
  const bytesOf = (values: PathAttributes): Uint8Array => {
    const into = new Writer();
    encodeAttributes(values, into, { fourOctetAs: true });
    return into.written;
  };
  const someValues = (random: () => number): PathAttributes => ({
    origin: Math.floor(random() * 3),
    asPath: sequence(...Array.from({ length: Math.floor(random() * 60) }, () => 1 + Math.floor(random() * 3))),
    nextHop: v4Hop(Math.floor(random() * 4)),
    ...(random() < 0.3 && { communities: Uint32Array.from({ length: 1 + Math.floor(random() * 60) }, (_, i) => i) }),
  });

  test("100,000 operations against a map: equal octets are one id while somebody holds it, then room and id are given again", { timeout: 60_000 }, () => {
    const random = chance(11),
      table = new AttributeTable(self),
      twin = new IdTwin(),
      holds = new Map<number, number>(),
      bytes = new Map<number, Uint8Array>();
    const generations = new Map<number, { readonly generation: number; readonly key: string }>();
    let mostLive = 0,
      again = 0;
    for (let n = 0; n < 100_000; n++) {
      if (random() < (n % 20_000 < 12_000 ? 0.65 : 0.3)) {
        const values = bytesOf(someValues(random)),
          start = Math.floor(random() * 5),
          hop = random() < 0.3 ? v6Hop(1) : new Uint8Array(0);
        // with a next hop of its own the classic one is left out: the last attribute of these that begin with it goes
        const octets = hop.length > 0 ? without(values, 3) : values;
        const b = Uint8Array.of(...new Uint8Array(start), ...octets, ...hop, 99),
          end = start + octets.length;
        const known = table.find(b, start, end, end, hop.length),
          id = table.intern(b, start, end, end, hop.length),
          key = `${Buffer.from(octets).toString("hex")} ${hop.length}`;
        if (id === 0 || !twin.saw(key, id) || known !== (holds.has(id) ? id : 0)) throw new Error(`${key} is ${id}, found ${known}`);
        if (!holds.has(id)) {
          const earlier = generations.get(id);
          if (earlier !== undefined) again++;
          if (earlier?.generation === table.generation[id] && earlier?.key !== key) throw new Error(`id ${id} came again with its generation`);
          generations.set(id, { generation: table.generation[id]!, key });
        }
        table.retain(id);
        holds.set(id, (holds.get(id) ?? 0) + 1);
        bytes.set(id, octets);
      } else if (holds.size > 0) {
        const id = [...holds.keys()][Math.floor(random() * Math.min(holds.size, 4))]!,
          left = holds.get(id)! - 1;
        const copy = table.bytesOf(id);
        if (Buffer.compare(copy, bytes.get(id)!) !== 0) throw new Error(`the octets of ${id} changed`);
        table.release(id);
        if (left > 0) holds.set(id, left);
        else {
          holds.delete(id);
          twin.released(id);
        }
      }
      if (table.live !== holds.size) throw new Error(`${table.live} live, ${holds.size} held`);
      mostLive = Math.max(mostLive, table.live);
    }
    for (const id of holds.keys()) expect(Buffer.compare(table.bytesOf(id), bytes.get(id)!)).toBe(0);
    expect(mostLive).toBeGreaterThan(1000);
    expect(again).toBeGreaterThan(1000);
    // an id is given again to sets of its size: there are as many as each size ever needed at once
    expect(table.end).toBeLessThan(mostLive * 1.1);
    // every set there ever was would take several times as much
    expect(table.arenaBytes).toBeLessThanOrEqual(4 << 20);
  });

  test("what nobody took is dropped; a set that is held is not", () => {
    const table = new AttributeTable(self),
      bytes = bytesOf({ origin: 0, asPath: [], nextHop: v4Hop(1) });
    const id = table.intern(bytes, 0, bytes.length);
    table.drop(id);
    expect([table.live, table.find(bytes, 0, bytes.length)]).toEqual([0, 0]);
    const second = table.intern(bytes, 0, bytes.length);
    table.retain(second);
    table.drop(second);
    expect([table.live, table.find(bytes, 0, bytes.length)]).toEqual([1, second]);
  });

  test("a path of a two-octet peer that does not fit an UPDATE in four octets is no set", () => {
    const table = new AttributeTable(self),
      asns = Uint32Array.from({ length: 16_400 }, () => 7);
    expect(table.internValues({ origin: 0, asPath: [{ type: 2, asns }], nextHop: v4Hop(1) }, undefined)).toBe(0);
    expect(table.internValues({ origin: 0, asPath: [{ type: 2, asns: asns.subarray(0, 16_000) }], nextHop: v4Hop(1) }, undefined)).not.toBe(0);
  });
});

/** The attributes without one of a type. */
function without(bytes: Uint8Array, type: number): Uint8Array {
  const out: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const head = bytes[at]! & 0x10 ? 4 : 3,
      length = head === 4 ? (bytes[at + 2]! << 8) | bytes[at + 3]! : bytes[at + 2]!;
    if (bytes[at + 1] !== type) out.push(...bytes.subarray(at, at + head + length));
    at += head + length;
  }
  return Uint8Array.from(out);
}
