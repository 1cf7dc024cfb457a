import { describe, expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import type { PathCount } from "#base/settings.ts";
import { mostPathsOfPeer, none } from "#bgp/rib/adj-rib-in.ts";
import type { FamilyIndex, SessionTerms } from "#bgp/terms.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { own, restartOf, RibPeers, sequence, splitName, termsOf, v4Hop, v6Hop } from "./rib-peers.ts";
import { AdjRibInDump } from "#bgp/monitor/adj-rib-in-dump.ts";
import { routeText, ToldReader } from "./told-reader.ts";

const prefix = "10.1.0.0/16",
  prefix6 = "fd00:1::/48";
const base: PathAttributes = { origin: 0, asPath: sequence(64_700), nextHop: v4Hop(9), med: 5, localPref: 100 };
const via = (hop: number, more: Partial<PathAttributes> = {}): PathAttributes => ({ ...base, nextHop: v4Hop(hop), ...more });
const paths = (receive: boolean, send: PathCount, families: readonly FamilyIndex[] = [0, 1]): Pick<SessionTerms, "addPath"> => ({
  addPath: families.map((family) => ({ family, receive, send })),
});

/** Client 1 announces several paths, client 2 is told all of them, client 3 the best. */
function three(): RibPeers {
  const world = new RibPeers();
  world.up(1, termsOf(1, "client", paths(true, 0)));
  world.up(2, termsOf(2, "client", paths(false, "all")));
  world.up(3, termsOf(3, "client"));
  world.settle();
  return world;
}
/** Last octet of the next hop by path identifier, as a peer was told of a prefix. */
function hops(world: RibPeers, peer: number, of = prefix): Map<number, number> {
  const out = new Map<number, number>();
  for (const [name, text] of world.told(peer)) {
    const { prefix: told, pathId = -1 } = splitName(name);
    if (told === of) out.set(pathId, Number.parseInt((JSON.parse(text) as { nextHop: string }).nextHop.slice(-2), 16));
  }
  return out;
}
const sorted = (values: Iterable<number>): number[] => [...values].toSorted((a, b) => a - b);

describe("several paths of one prefix from one peer (RFC 7911)", () => {
  test("are kept by their identifiers, 0 among them, and withdrawn by them", () => {
    const world = three(),
      { adjRibIn } = world.rib.ribs[0];
    for (const [hop, id] of [
      [1, 0],
      [2, 7],
      [3, 0xffff_ffff],
    ] as const)
      world.announce(1, via(hop), `${prefix}#${id}`);
    world.settle();
    expect([adjRibIn.live, sorted(hops(world, 2).values())]).toEqual([3, [1, 2, 3]]);
    world.announce(1, via(8), `${prefix}#7`);
    world.withdraw(1, `${prefix}#0`, `${prefix}#99`);
    world.settle();
    expect([adjRibIn.live, sorted(hops(world, 2).values())]).toEqual([2, [3, 8]]);
    world.withdraw(1, `${prefix}#7`, `${prefix}#${0xffff_ffff}`);
    world.settle();
    expect([adjRibIn.live, hops(world, 2).size, hops(world, 3).size, world.rib.ribs[0].prefixes.live]).toEqual([0, 0, 0, 0]);
  });

  test("a withdrawal of an identifier that was never announced takes no other path away", () => {
    const world = three();
    world.announce(1, via(1), `${prefix}#0`);
    world.withdraw(1, `${prefix}#7`);
    world.settle();
    expect(world.rib.ribs[0].adjRibIn.live).toBe(1);
  });

  test("a path that is a loop is withdrawn alone (RFC 4456 §8), a malformed one too (RFC 7606)", () => {
    const world = three();
    for (const id of [1, 2, 3]) world.announce(1, via(id), `${prefix}#${id}`);
    world.settle();
    world.announce(1, via(2, { clusterList: Uint32Array.of(own.clusterId) }), `${prefix}#2`);
    world.announce(1, via(3, { origin: 9 }), `${prefix}#3`);
    world.settle();
    expect([[...hops(world, 2).values()], world.rib.refusedOf(1)]).toEqual([[1], 1]);
  });

  test("identifiers stand where they were agreed on: by family, and in one direction alone", () => {
    const world = new RibPeers();
    world.up(1, termsOf(1, "client", paths(true, 0, [1])));
    world.up(2, termsOf(2, "client", paths(false, "all", [1])));
    world.up(3, termsOf(3, "client", paths(false, 2, [0])));
    world.announce(1, base, prefix);
    world.announce(1, { ...base, nextHop: v6Hop(1) }, `${prefix6}#4`, `${prefix6}#5`);
    world.settle();
    const names = (peer: number): boolean[] => [...world.told(peer).keys()].map((name) => name.includes("#")).toSorted((a, b) => Number(a) - Number(b));
    expect([names(2), names(3)]).toEqual([
      [false, true, true],
      [false, true],
    ]);
  });

  test(`${mostPathsOfPeer} paths of a prefix are taken from a peer, a further one is refused, counted and noted once`, () => {
    const world = three(),
      { adjRibIn } = world.rib.ribs[0];
    const names = Array.from({ length: mostPathsOfPeer + 2 }, (_, id) => `${prefix}#${id}`);
    world.announce(1, base, ...names);
    expect([adjRibIn.live, world.rib.overflowsOf(1), world.rib.refusedOf(1)]).toEqual([mostPathsOfPeer, 2, 2]);
    expect(world.rib.takeNotes().map(({ event }) => event)).toEqual(["bgp.too-many-paths"]);
    world.withdraw(1, names[5]!);
    world.announce(1, base, names.at(-1)!, names[0]!);
    expect([adjRibIn.live, world.rib.overflowsOf(1)]).toEqual([mostPathsOfPeer, 2]);
  });

  test("stale paths of an earlier session stay beside new ones until End-of-RIB (RFC 7911 §6), and leave room for them", () => {
    const world = new RibPeers(),
      terms = termsOf(1, "client", { ...paths(true, 0), gracefulRestart: restartOf([0, 1]) });
    world.up(2, termsOf(2, "client", paths(false, "all")));
    world.up(1, terms);
    const before = Array.from({ length: mostPathsOfPeer }, (_, id) => `${prefix}#${id}`);
    world.announce(1, base, ...before);
    world.settle();
    world.down(1, true);
    world.up(1, terms);
    world.announce(1, via(7), `${prefix}#1000`, `${prefix}#0`);
    world.settle();
    expect([world.rib.ribs[0].adjRibIn.live, world.rib.overflowsOf(1), hops(world, 2).size]).toEqual([mostPathsOfPeer + 1, 0, mostPathsOfPeer + 1]);
    world.endOfRib(1, 0);
    world.settle();
    expect([...hops(world, 2).values()]).toEqual([7, 7]);
  });

  test("a session without identifiers after one with them: the stale paths go at End-of-RIB, the plain one stays", () => {
    const world = new RibPeers(),
      more = { gracefulRestart: restartOf([0, 1]) };
    world.up(2, termsOf(2, "client", paths(false, "all")));
    world.up(1, termsOf(1, "client", { ...more, ...paths(true, 0) }));
    world.announce(1, base, `${prefix}#3`, `${prefix}#4`);
    world.settle();
    world.down(1, true);
    world.up(1, termsOf(1, "client", more));
    world.announce(1, via(6), prefix);
    world.endOfRib(1, 0);
    world.settle();
    expect([...hops(world, 2).values()]).toEqual([6]);
  });
});

describe("what a peer that takes several paths is told", () => {
  test("identifiers of ours: no two alike, the same after any churn, in another group and after a restart of ours", () => {
    const build = (): RibPeers => {
      const world = three();
      world.up(4, termsOf(4, "client"));
      world.up(5, termsOf(5, "non-client", paths(false, "all")));
      world.announce(4, via(4), prefix);
      world.announce(1, via(1), `${prefix}#1`);
      world.announce(1, via(2), `${prefix}#2`);
      world.rib.originate(prefix as never);
      world.settle();
      return world;
    };
    const world = build(),
      told = hops(world, 2);
    expect([told.size, told.has(0)]).toEqual([4, false]);
    expect(hops(world, 5)).toEqual(told);
    for (let n = 0; n < 3; n++) {
      world.withdraw(1, `${prefix}#1`);
      world.withdraw(4, prefix);
      world.settle();
      expect(hops(world, 2).size).toBe(2);
      world.announce(4, via(4), prefix);
      world.announce(1, via(1), `${prefix}#1`);
      world.settle();
      expect(hops(world, 2)).toEqual(told);
    }
    expect(hops(build(), 2)).toEqual(told);
  });

  test("a change that the best path does not show is told to it, and to nobody else", () => {
    const world = three();
    world.announce(1, via(1, { localPref: 200 }), `${prefix}#1`);
    world.announce(1, via(2), `${prefix}#2`);
    world.settle();
    const updates = world.readers.get(3)!.counts.updates;
    world.announce(1, via(3), `${prefix}#2`);
    world.settle();
    expect(sorted(hops(world, 2).values())).toEqual([1, 3]);
    world.withdraw(1, `${prefix}#2`);
    world.settle();
    expect([[...hops(world, 2).values()], world.readers.get(3)!.counts.updates]).toEqual([[1], updates]);
  });

  test("the best two: in the order of the decision, one that comes in takes another's place", () => {
    const world = new RibPeers();
    for (const peer of [1, 2, 3, 4]) world.up(peer, termsOf(peer, "client"));
    world.up(9, termsOf(9, "client", paths(false, 2)));
    for (const [peer, localPref] of [
      [1, 100],
      [2, 300],
      [3, 200],
    ] as const)
      world.announce(peer, via(peer, { localPref }), prefix);
    world.settle();
    expect(sorted(hops(world, 9).values())).toEqual([2, 3]);
    world.announce(4, via(4, { localPref: 250 }), prefix);
    world.settle();
    expect(sorted(hops(world, 9).values())).toEqual([2, 4]);
    world.withdraw(2, prefix);
    world.settle();
    expect(sorted(hops(world, 9).values())).toEqual([3, 4]);
    expect(world.readers.get(9)!.counts.withdrawn).toBe(2);
  });

  test("each path by its own rules: none back to its source, non-clients' not to non-clients, ORIGINATOR_ID by its peer", () => {
    const world = new RibPeers();
    world.up(1, termsOf(1, "client", paths(false, "all")));
    world.up(2, termsOf(2, "non-client", paths(false, "all")));
    world.up(3, termsOf(3, "non-client", paths(false, "all")));
    for (const peer of [1, 2, 3]) world.announce(peer, via(peer), prefix);
    world.announce(2, via(2, { communities: Uint32Array.of(0xffff_ff02) }), "10.2.0.0/16");
    world.settle();
    const of = (peer: number): number[] => sorted(hops(world, peer).values());
    expect([of(1), of(2), of(3)]).toEqual([[2, 3], [1], [1]]);
    const originators = [...world.told(1).values()].map((text) => (JSON.parse(text) as { originatorId: number }).originatorId);
    expect(sorted(originators)).toEqual([termsOf(2, "client").remoteId, termsOf(3, "client").remoteId]);
  });

  test("one that comes late is told every path before End-of-RIB; a refresh tells every path again", () => {
    const world = three();
    for (let n = 0; n < 50; n++) world.announce(1, via(n), `10.${n}.0.0/16#1`, `10.${n}.0.0/16#2`);
    world.settle();
    const late = world.up(4, termsOf(4, "client", { ...paths(false, "all"), enhancedRefresh: true })),
      heard: string[] = [];
    late.onHeard = (what, family) => heard.push(`${what} ${family} ${late.routes[0].size}`);
    world.settle();
    expect(heard).toContain("endOfRib 0 100");
    late.mayRepeat = true;
    const announced = late.counts.announced;
    world.rib.refresh(4, 0, 0, world.now);
    world.settle();
    expect([late.counts.announced - announced, heard.at(-1)]).toEqual([100, "endRefresh 0 100"]);
  });

  test("more paths of one prefix than one window has room for, told and withdrawn", () => {
    const world = new RibPeers(),
      names = Array.from({ length: 250 }, (_, id) => `${prefix}#${id}`);
    for (let peer = 1; peer <= 40; peer++) world.up(peer, termsOf(peer, "client", paths(true, 0)));
    world.up(50, termsOf(50, "client", paths(false, "all")));
    for (let peer = 1; peer <= 40; peer++) world.announce(peer, via(peer), ...names);
    world.settle();
    expect(world.told(50).size).toBe(40 * 250);
    for (let peer = 1; peer <= 40; peer++) world.withdraw(peer, ...names);
    world.settle();
    expect([world.told(50).size, world.rib.ribs[0].prefixes.live, world.rib.attributes.live]).toEqual([0, 0, 0]);
  });

  test("a slow member of the group, its paths coming and going, is told what holds in the end", () => {
    const world = new RibPeers({ lagLimitOctets: 500 }),
      terms = paths(false, "all");
    world.up(1, termsOf(1, "client", paths(true, 0)));
    for (const peer of [2, 3]) world.up(peer, termsOf(peer, "client", terms));
    world.settle();
    for (let n = 0; n < 400; n++) {
      const name = `10.${n % 20}.0.0/16#${n % 7}`;
      if (n % 3 === 2) world.withdraw(1, name);
      else world.announce(1, via(n % 250), name);
      while (world.rib.step(world.now, 100));
      world.now = (world.now + 50) as typeof world.now;
      world.pull(2);
    }
    world.settle();
    expect(world.told(3)).toEqual(world.told(2));
    expect(world.told(3).size).toBeGreaterThan(20);
  });
});

describe("messages of up to 65,535 octets (RFC 8654)", () => {
  const world = (): RibPeers => {
    const one = new RibPeers();
    one.up(1, termsOf(1, "client", { extendedMessages: true }));
    one.up(2, termsOf(2, "client", { extendedMessages: true }));
    one.up(3, termsOf(3, "client"));
    one.settle();
    return one;
  };
  const large = (octets: number): PathAttributes => ({ ...base, unknown: [{ flags: 0xe0, type: 99, value: new Uint8Array(octets) }] });

  test("are written for those who take them, and filled", () => {
    const one = world(),
      names = Array.from({ length: 20_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
    for (let from = 0; from < names.length; from += 500) one.announce(1, base, ...names.slice(from, from + 500));
    while (one.rib.step(one.now, 100_000));
    one.settle();
    expect([one.told(2).size, one.told(3).size]).toEqual([20_000, 20_000]);
    // 80,000 octets of prefixes, a window of 4096 at a time
    expect(one.readers.get(2)!.counts.updates).toBeLessThan(10);
    expect(one.readers.get(3)!.counts.updates).toBeGreaterThan(20);
  });

  test("an attribute set that needs one is told to those; others lose the route, and learn of no other one", () => {
    const one = world();
    one.announce(1, base, prefix);
    one.settle();
    one.announce(1, large(5000), prefix);
    one.settle();
    expect([one.told(2).has(prefix), one.told(3).has(prefix)]).toEqual([true, false]);
    expect(one.rib.takeNotes().map(({ event }) => event)).toEqual(["bgp.too-long"]);
    one.announce(1, large(50_000), prefix);
    one.announce(1, base, "10.2.0.0/16");
    one.settle();
    expect([one.told(2).get(prefix)!.length > 100_000, one.told(3).size, one.rib.tooLong]).toEqual([true, 1, 2]);
  });

  test("what may be discarded is left out before a route is not told (RFC 8654 §4)", () => {
    const one = world(),
      aggregated = (octets: number): PathAttributes => ({ ...large(octets), aggregator: { asn: 7, address: v4Hop(9) }, atomicAggregate: true });
    one.announce(1, aggregated(4005), prefix);
    one.announce(1, aggregated(3000), "10.2.0.0/16");
    one.settle();
    const has = (peer: number, of: string): boolean => "aggregator" in (JSON.parse(one.told(peer).get(of)!) as object);
    expect([has(2, prefix), has(3, prefix), has(2, "10.2.0.0/16"), has(3, "10.2.0.0/16")]).toEqual([true, false, true, true]);
    expect(one.rib.takeNotes()).toEqual([]);
  });
});

describe("IPv4 routes with an IPv6 next hop (RFC 8950)", () => {
  const agreed = { extendedNextHop: true };

  test("16 or 32 octets: reflected as they came to those who agreed, told to nobody else, withdrawn in the classic field", () => {
    const world = new RibPeers();
    world.up(1, termsOf(1, "client", agreed));
    world.up(2, termsOf(2, "client", agreed));
    world.up(3, termsOf(3, "client"));
    const both = Uint8Array.of(...v6Hop(1), 0xfe, 0x80, ...new Uint8Array(13), 1);
    world.announce(1, { ...base, nextHop: v6Hop(7) }, prefix);
    world.announce(1, { ...base, nextHop: both }, "10.2.0.0/16");
    world.settle();
    const hop = (of: string): unknown => (JSON.parse(world.told(2).get(of)!) as { nextHop: string }).nextHop;
    expect([hop(prefix), hop("10.2.0.0/16")]).toEqual([Buffer.from(v6Hop(7)).toString("hex"), Buffer.from(both).toString("hex")]);
    expect(world.told(3).size).toBe(0);
    expect(world.rib.groups.of(3, 0)!.refusalOf(world.rib.ribs[0].adjRibIn.attributes[world.rib.ribs[0].bestOf(0)]!)).toContain("RFC 8950");
    // the peer changes its mind: now everybody may have it
    world.announce(1, base, prefix);
    world.withdraw(1, "10.2.0.0/16");
    world.settle();
    expect([world.told(2).get(prefix), world.told(2).size]).toEqual([world.told(3).get(prefix), 1]);
  });

  test("without agreement such a route is withdrawn, and said to be malformed", () => {
    const world = new RibPeers();
    world.up(1, termsOf(1, "client"));
    world.announce(1, base, prefix);
    world.announce(1, { ...base, nextHop: v6Hop(7) }, prefix);
    world.settle();
    expect([world.rib.ribs[0].adjRibIn.live, world.rib.takeNotes().map(({ event }) => event)]).toEqual([0, ["bgp.malformed"]]);
  });

  test("over an IPv6 session our next hop of IPv4 routes is the address of the session; without agreement it is our IPv4 address", () => {
    const all = { name: "all", rules: [], otherwise: "accept" } as const,
      world = new RibPeers({ policies: { all } });
    const outside = { local: "fd00:9::1" as Ip, remote: "fd00:9::2" as Ip };
    world.up(1, termsOf(1, "client"));
    world.up(5, termsOf(5, "external", { ...outside, ...agreed }), { import: ["all"], export: ["all"] });
    world.up(6, termsOf(6, "external", { ...outside, remote: "fd00:9::3" as Ip }), { import: ["all"], export: ["all"] });
    world.announce(1, base, prefix);
    world.settle();
    const hop = (peer: number): unknown => (JSON.parse(world.told(peer).get(prefix)!) as { nextHop: string }).nextHop;
    expect([hop(5), hop(6)]).toEqual(["fd000009000000000000000000000001", "0aff0001"]);
  });
});

test("a monitoring station that comes later reads the peer's paths with the peer's identifiers (RFC 7854 §5)", () => {
  const world = three(),
    station = new ToldReader(1, termsOf(1, "client", paths(false, "all", [0])));
  world.announce(1, via(1), `${prefix}#0`, `${prefix}#7`, "10.2.0.0/16#7");
  world.announce(3, via(3), prefix);
  world.settle();
  const dump = new AdjRibInDump(world.rib, [1]);
  while (!dump.isDone) dump.step((_, update) => station.take(update));
  expect([...station.routes[0].keys()].toSorted()).toEqual(["10.1.0.0/16#0", "10.1.0.0/16#7", "10.2.0.0/16#7"]);
});

test("ADD-PATH, reflection and 63 clusters: the 64th makes CLUSTER_LIST longer than 255 octets", () => {
  const world = three(),
    clusterList = Uint32Array.from({ length: 63 }, (_, i) => i + 1);
  world.announce(1, via(1, { clusterList }), `${prefix}#1`);
  world.announce(1, via(2), `${prefix}#2`);
  world.settle();
  const told = [...world.told(2).values()];
  expect(told).toContain(routeText({ ...via(1), originatorId: termsOf(1, "client").remoteId, clusterList: Uint32Array.of(own.clusterId, ...clusterList) }));
  const { adjRibIn, prefixes } = world.rib.ribs[0];
  expect(adjRibIn.find(prefixes.findText(prefix), 1, 3)).toBe(none);
});
