import { describe, expect, test } from "vitest";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { type Cursor, everyone, Lane, only, read, soleReader } from "#bgp/reflector/lane.ts";
import { Told } from "#bgp/reflector/told.ts";
import { AttributeTable } from "#bgp/rib/attributes.ts";
import { peerIds, peerOfLabel } from "#bgp/rib/peer-table.ts";
import { chance } from "../sim/chance.ts";
import { nothingLive, RibPeers, sequence, termsOf, v4Hop } from "./rib-peers.ts";

describe("a lane", () => {
  test("against a list: every member reads everything but its own, or the alternative, or what is for it alone, in order", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = chance(seed),
        lane = new Lane(),
        written: { readonly readers: number; readonly text: string; readonly alternative: boolean }[] = [];
      const members = new Map<number, { readonly cursor: Cursor; readonly from: number; got: string; messages: number }>();
      const join = (member: number): void => void members.set(member, { cursor: lane.cursor(), from: written.length, got: "", messages: 0 });
      const readAll = (member: number, room: number): void => {
        const of = members.get(member)!;
        read(of.cursor, member, room, (bytes) => (of.got += Buffer.from(bytes).toString()));
      };
      join(1);
      for (let n = 0; n < 300; n++) {
        const readers = [everyone, 1, 2, 3, only(1), only(2)][Math.floor(random() * 6)]!;
        lane.begin(readers, readers > 0 && random() < 0.3 ? Buffer.from(`[instead of ${n}]`) : undefined, random() < 0.5);
        const alternative = readers > 0 && lane.written >= 0;
        for (let message = Math.floor(random() * 3); message >= 0; message--) {
          const text = `<${n}.${message} ${"x".repeat(Math.floor(random() * 3000))}>`,
            out = lane.room(4096),
            at = lane.at;
          out.set(Buffer.from(text), at);
          lane.advance(at + text.length);
          written.push({ readers, text, alternative });
        }
        if (n === 50) join(2);
        if (n === 120) join(3);
        for (const member of members.keys()) if (random() < 0.2) readAll(member, random() * 20_000);
      }
      for (const [member, of] of members) {
        readAll(member, Number.MAX_SAFE_INTEGER);
        const own = written
          .slice(of.from)
          .filter(({ readers }) => (readers >= 0 ? readers !== member : readers === everyone || soleReader(readers) === member));
        expect(of.got.replaceAll(/\[[^\]]*\]/g, ""), `seed ${seed}`).toBe(own.map(({ text }) => text).join(""));
        // an alternative is where the member's own would have been, before what follows
        for (const [, n] of of.got.matchAll(/\[instead of (\d+)\]/g)) {
          const place = of.got.indexOf(`[instead of ${n}]`),
            after = /<(\d+)\./.exec(of.got.slice(place));
          expect(Number(after?.[1] ?? Infinity)).toBeGreaterThan(Number(n));
        }
        expect([of.cursor.position, of.cursor.messages]).toEqual([lane.written, own.length + [...of.got.matchAll(/\[instead/g)].length]);
      }
      if (seed === 1) expect([...members.values()].some(({ got }) => got.includes("[instead"))).toBe(true);
    }
  });

  test("readers of a run as numbers", () => {
    for (const peer of [0, 1, 4095]) expect(soleReader(only(peer))).toBe(peer);
    expect([soleReader(everyone) < 0, only(0) < everyone]).toEqual([true, true]);
  });
});

test("what was told, against a map: sets are held while they are in it, and counted by their source", () => {
  const random = chance(3),
    attributes = new AttributeTable({ asn: 1, routerId: 1, clusterId: 1, addresses: [] }),
    told = new Told(attributes);
  const twin = new Map<number, { readonly set: number; readonly label: number }>();
  const sets = Array.from({ length: 5 }, (_, med) => {
    const set = attributes.internValues({ origin: 0, asPath: [], nextHop: v4Hop(1), med }, undefined);
    attributes.retain(set);
    return set;
  });
  for (let n = 0; n < 20_000; n++) {
    const prefix = Math.floor(random() * 3000),
      set = random() < 0.4 ? 0 : sets[Math.floor(random() * 5)]!,
      label = 1 + Math.floor(random() * 3) + peerIds * Math.floor(random() * 8);
    told.put(prefix, set, label);
    if (set === 0) twin.delete(prefix);
    else twin.set(prefix, { set, label });
  }
  for (let prefix = 0; prefix < 3100; prefix++)
    expect([told.setOf(prefix), told.setOf(prefix) && told.labelOf(prefix)]).toEqual([twin.get(prefix)?.set ?? 0, twin.get(prefix)?.label ?? 0]);
  for (const peer of [1, 2, 3, 4]) expect(told.countFrom(peer)).toBe([...twin.values()].filter(({ label }) => peerOfLabel(label) === peer).length);
  expect(told.size).toBe(twin.size);
  for (const set of sets) attributes.release(set);
  expect(attributes.live).toBe(5);
  told.close();
  expect([attributes.live, told.size]).toEqual([0, 0]);
});

describe("members of one group", () => {
  const route = (med: number): PathAttributes => ({ origin: 0, asPath: sequence(64_700), nextHop: v4Hop(1), localPref: 100, med });
  /** Client 1 tells, 2 reads, 3 reads slowly or not at all. */
  function group(lagLimitOctets: number): RibPeers {
    const one = new RibPeers({ lagLimitOctets });
    for (const peer of [1, 2, 3]) one.up(peer, termsOf(peer, "client", { families: [0] }));
    one.settle();
    return one;
  }
  const say = (one: RibPeers, from: number, med: number): void => {
    for (let i = 0; i < 40; i++) one.announce(1, route(med + i), `10.${from + i}.0.0/16`);
    while (one.rib.step(one.now, 1000));
  };

  test("others wait for one that lags, for 300 ms; then it is left behind, and comes back with what it missed", () => {
    const one = group(500);
    say(one, 0, 0);
    one.pull(2);
    for (let n = 0; n < 5; n++) one.pull(2);
    const known = one.told(2).size;
    expect(known).toBe(40);
    say(one, 0, 100);
    one.pull(2);
    // the lane is more than 500 octets ahead of peer 3: peer 2 is told no more
    expect(one.told(2).get("10.39.0.0/16")).toContain('"med":39');
    expect(one.rib.nextDeadline()).toBe(one.now + 300);
    one.now = one.rib.nextDeadline()!;
    one.rib.step(one.now, 1);
    expect(one.rib.nextDeadline()).toBeUndefined();
    one.pull(2);
    expect(one.told(2).get("10.39.0.0/16")).toContain('"med":139');
    for (let i = 0; i < 20; i++) one.withdraw(1, `10.${i}.0.0/16`);
    one.settle();
    expect(one.told(3)).toEqual(one.told(2));
    expect(one.told(3).size).toBe(20);
    // what changed twice while it was away it was told once
    expect(one.readers.get(3)!.counts.announced).toBeLessThanOrEqual(40 + 20);
  });

  test("one that reads is waited for", () => {
    const one = group(500);
    for (let n = 0; n < 20; n++) {
      say(one, 0, n * 100);
      for (let i = 0; i < 6; i++) for (const peer of [2, 3]) one.pull(peer, 64);
      one.now = (one.now + 50) as typeof one.now;
    }
    one.settle();
    expect(one.told(3)).toEqual(one.told(2));
  });

  test("a dead reader keeps one lane's worth of octets, not all there ever were", () => {
    const one = group(2000),
      group1 = one.rib.groups.of(3, 0)!;
    for (let n = 0; n < 200; n++) {
      say(one, 0, n * 100);
      one.now = (one.now + 400) as typeof one.now;
      one.rib.step(one.now, 1);
      for (let i = 0; i < 4; i++) one.pull(2);
    }
    expect(group1.told.size).toBe(40);
    const before = one.readers.get(3)!.counts.octets;
    one.settle();
    // the state of now, and at most what was written before it was left behind
    expect(one.readers.get(3)!.counts.octets - before).toBeLessThan(40 * 120 * 2 + 2 * 8192);
    expect(one.told(3)).toEqual(one.told(2));
  });

  test("a straggler that goes lets go of everything", () => {
    const one = group(300);
    say(one, 0, 0);
    for (let i = 0; i < 4; i++) one.pull(2);
    one.now = (one.now + 200) as typeof one.now;
    say(one, 0, 100);
    for (let i = 0; i < 4; i++) one.pull(2);
    one.now = (one.now + 200) as typeof one.now;
    for (let i = 0; i < 4; i++) one.pull(2);
    say(one, 0, 200);
    for (const peer of [3, 1, 2]) one.down(peer);
    one.settle();
    expect(one.live()).toEqual(nothingLive);
  });

  test("newcomers that come together share one telling; one that comes later gets its own, and all know the same", () => {
    const one = group(100_000);
    say(one, 0, 0);
    one.settle();
    one.up(4, termsOf(4, "client", { families: [0] }));
    one.up(5, termsOf(5, "client", { families: [0] }));
    one.pull(4, 10);
    one.withdraw(1, "10.3.0.0/16");
    one.up(6, termsOf(6, "client", { families: [0] }));
    one.settle();
    for (const peer of [3, 4, 5, 6]) expect(one.told(peer)).toEqual(one.told(2));
    expect(one.told(6).size).toBe(39);
  });

  test("told everything again while it changes: each prefix once, as it is in the end, also what changed and changed back", () => {
    const one = group(100_000),
      reader = one.readers.get(2)!;
    say(one, 0, 0);
    one.settle();
    const before = reader.counts.announced;
    reader.mayRepeat = true;
    one.rib.refresh(2, 0, 0, one.now);
    for (const med of [500, 0]) {
      one.announce(1, route(med), "10.0.0.0/16");
      one.announce(1, route(med + 900), "10.1.0.0/16");
      while (one.rib.step(one.now, 1000));
      for (let i = 0; i < 3; i++) one.pull(3);
    }
    one.settle();
    expect([reader.counts.announced - before, one.told(2).get("10.0.0.0/16"), one.told(2).size]).toEqual([40, one.told(3).get("10.0.0.0/16"), 40]);
    expect(one.told(2)).toEqual(one.told(3));
  });

  test("told everything again together, and one falls behind the other in the middle", () => {
    const one = group(3000),
      prefixes = Array.from({ length: 5000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
    for (let i = 0; i < 5000; i += 500) one.announce(1, route(i), ...prefixes.slice(i, i + 500));
    one.settle();
    one.up(4, termsOf(4, "client", { families: [0] }));
    one.settle();
    for (const peer of [2, 3]) {
      one.readers.get(peer)!.mayRepeat = true;
      one.rib.refresh(peer, 0, 0, one.now);
    }
    for (const med of [9999, 0]) {
      one.announce(1, route(med), prefixes[0]!);
      while (one.rib.step(one.now, 1000));
      for (let i = 0; i < 3; i++) one.pull(4);
    }
    for (let i = 0; i < 20; i++) one.pull(2);
    one.settle();
    for (const peer of [2, 3]) expect(one.told(peer)).toEqual(one.told(4));
  });

  test("messages given are counted", () => {
    const one = group(100_000);
    say(one, 0, 0);
    one.settle();
    for (const peer of [2, 3]) expect(one.rib.updatesTo(peer)).toBeGreaterThan(30);
    expect(one.rib.updatesTo(1)).toBe(0);
  });
});
