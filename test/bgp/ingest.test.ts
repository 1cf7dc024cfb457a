import { describe, expect, test } from "vitest";
import type { Rib } from "#bgp/rib/rib.ts";
import type { NotificationFault } from "#bgp/terms.ts";
import { encodeUpdate } from "#wire/bgp/update.ts";
import { chance } from "../sim/chance.ts";
import { nothingLive, own, RibPeers, sequence, termsOf, v4Hop, v6Hop } from "./rib-peers.ts";

type Octets = readonly number[];
const attribute = (flags: number, type: number, ...value: Octets): Octets => [flags, type, value.length, ...value];
const origin = attribute(0x40, 1, 0),
  asPath = attribute(0x40, 2, 2, 1, 0, 0, 0xfc, 0xbc),
  nextHop = attribute(0x40, 3, 10, 0, 0, 9),
  localPref = attribute(0x40, 5, 0, 0, 0, 100);
const good: Octets = [...origin, ...asPath, ...nextHop, ...localPref];
const net = (...octets: Octets): Octets => [octets.length * 8, ...octets];
const hop6: Octets = [...v6Hop(9)];
const reach = (afi: number, hop: Octets, ...nlri: Octets): Octets => [0x90, 14, 0, 5 + hop.length + nlri.length, 0, afi, 1, hop.length, ...hop, 0, ...nlri];
const unreach = (afi: number, ...withdrawn: Octets): Octets => attribute(0x80, 15, 0, afi, 1, ...withdrawn);
const net6 = (third: number): Octets => [48, 0xfd, 0, 0, 1, 0, third];
const body = (withdrawn: Octets, attributes: Octets, nlri: Octets = []): Uint8Array =>
  Uint8Array.of(withdrawn.length >> 8, withdrawn.length & 255, ...withdrawn, attributes.length >> 8, attributes.length & 255, ...attributes, ...nlri);

/** A client (1) and an external peer (2) of AS 64602 that is believed all; 3 reads. */
function world(): RibPeers {
  const made = new RibPeers({ policies: { all: { name: "all", rules: [], otherwise: "accept" } } });
  made.up(1, termsOf(1, "client"));
  made.up(2, termsOf(2, "external"), { import: ["all"], export: ["all"] });
  made.up(3, termsOf(3, "client"));
  made.settle();
  return made;
}
const feed = ({ rib }: RibPeers, bytes: Uint8Array, peer = 1): ReturnType<Rib["update"]> => rib.update(peer, bytes, 0, bytes.length);
const held = ({ rib }: RibPeers, peer = 1): string[] =>
  rib.ribs
    .flatMap(({ adjRibIn, prefixes }) =>
      Array.from({ length: adjRibIn.end }, (_, path) => path)
        .filter((path) => adjRibIn.isUsed(path) && adjRibIn.peer[path] === peer)
        .map((path) => prefixes.text(adjRibIn.prefix[path]!)),
    )
    .toSorted();
const events = ({ rib }: RibPeers): string[] => rib.takeNotes().map(({ text }) => (text.includes("withdrawn") ? "withdraw" : "discard"));

describe("RFC 7606: what a malformed attribute costs, and what is left of the routes around it", () => {
  const before = body([], good, net(10, 1));
  // 10.1/16 was announced before; the UPDATE in question announces it again together with 10.2/16 and takes 10.3/16 back
  const rows: readonly (readonly [what: string, attributes: Octets, cost: "withdraw" | "discard" | "reset" | "none", subcode?: number])[] = [
    ["all well", good, "none"],
    ["attributes in another order", [...localPref, ...nextHop, ...asPath, ...origin], "none"],
    ["ORIGIN of 3", [...attribute(0x40, 1, 3), ...asPath, ...nextHop, ...localPref], "withdraw"],
    ["ORIGIN of no octets", [...attribute(0x40, 1), ...asPath, ...nextHop, ...localPref], "withdraw"],
    ["ORIGIN missing", [...asPath, ...nextHop, ...localPref], "withdraw"],
    ["ORIGIN twice: the first counts", [...good, ...attribute(0x40, 1, 2)], "discard"],
    ["AS_PATH missing", [...origin, ...nextHop, ...localPref], "withdraw"],
    ["AS_PATH that overruns", [...origin, ...attribute(0x40, 2, 2, 2, 0, 0, 0, 7), ...nextHop, ...localPref], "withdraw"],
    ["AS_PATH with AS 0 (RFC 7607)", [...origin, ...attribute(0x40, 2, 2, 1, 0, 0, 0, 0), ...nextHop, ...localPref], "withdraw"],
    ["AS_PATH with an AS_SET (RFC 9774)", [...origin, ...attribute(0x40, 2, 1, 1, 0, 0, 0, 7), ...nextHop, ...localPref], "withdraw"],
    ["NEXT_HOP missing", [...origin, ...asPath, ...localPref], "withdraw"],
    ["NEXT_HOP of five octets", [...origin, ...asPath, ...attribute(0x40, 3, 10, 0, 0, 9, 9), ...localPref], "withdraw"],
    ["NEXT_HOP 0.0.0.0", [...origin, ...asPath, ...attribute(0x40, 3, 0, 0, 0, 0), ...localPref], "withdraw"],
    ["NEXT_HOP of class D", [...origin, ...asPath, ...attribute(0x40, 3, 224, 0, 0, 1), ...localPref], "withdraw"],
    ["our own NEXT_HOP", [...origin, ...asPath, ...attribute(0x40, 3, 10, 255, 0, 1), ...localPref], "withdraw"],
    ["LOCAL_PREF of three octets", [...origin, ...asPath, ...nextHop, ...attribute(0x40, 5, 0, 0, 1)], "withdraw"],
    ["MED with the flags of a transitive one", [...origin, ...asPath, ...nextHop, ...attribute(0xc0, 4, 0, 0, 0, 1), ...localPref], "withdraw"],
    ["ATOMIC_AGGREGATE of one octet", [...origin, ...asPath, ...nextHop, ...localPref, ...attribute(0x40, 6, 1)], "discard"],
    ["AGGREGATOR of AS 0 (RFC 7607)", [...good, ...attribute(0xc0, 7, 0, 0, 0, 0, 1, 2, 3, 4)], "discard"],
    ["COMMUNITIES of five octets", [...good, ...attribute(0xc0, 8, 0, 0, 0, 0, 0)], "withdraw"],
    ["COMMUNITIES of none", [...good, ...attribute(0xc0, 8)], "withdraw"],
    ["ORIGINATOR_ID of three octets", [...good, ...attribute(0x80, 9, 0, 0, 0)], "withdraw"],
    ["CLUSTER_LIST of five octets", [...good, ...attribute(0x80, 10, 0, 0, 0, 0, 0)], "withdraw"],
    ["an unknown well-known attribute", [...good, ...attribute(0x40, 99, 1)], "reset", 2],
    ["an unknown optional one that is not transitive", [...good, ...attribute(0x80, 99, 1)], "none"],
    ["attributes that overrun their total", [...good, 0xc0, 8, 200, 1], "withdraw"],
    ["MP_REACH_NLRI twice", [...good, ...reach(2, hop6, ...net6(1)), ...reach(2, hop6, ...net6(2))], "reset", 1],
    ["MP_REACH_NLRI with a next hop of five octets", [...good, ...reach(2, [1, 2, 3, 4, 5], ...net6(1))], "reset", 9],
    ["MP_REACH_NLRI with a prefix of 129 bits", [...good, ...reach(2, hop6, 129, ...hop6, 0)], "reset", 9],
    ["the strongest of several", [...origin, ...asPath, ...nextHop, ...localPref, ...attribute(0x40, 6, 1), ...attribute(0xc0, 8)], "withdraw"],
  ];
  const cases = rows.map(([what, attributes, cost, subcode]) => ({ what, attributes, cost, subcode }));

  test.each(cases)("$what", ({ attributes, cost, subcode }) => {
    const one = world();
    for (const bytes of [before, body([], good, net(10, 3)), body([], good, net(10, 9))]) expect(feed(one, bytes)).toBeUndefined();
    const fault = feed(one, body(net(10, 3), attributes, [...net(10, 1), ...net(10, 2)]));
    expect(fault && [fault.code, fault.subcode]).toEqual(cost === "reset" ? [3, subcode] : undefined);
    if (cost !== "reset") {
      expect(held(one)).toEqual(cost === "withdraw" ? ["10.9.0.0/16"] : ["10.1.0.0/16", "10.2.0.0/16", "10.9.0.0/16"]);
      expect(events(one)).toEqual(cost === "none" ? [] : [cost]);
    }
    one.settle();
    for (const peer of [1, 2, 3]) one.down(peer);
    one.settle();
    expect(one.live()).toEqual(nothingLive);
  });

  const milder = cases.filter(({ what, cost }) => cost !== "none" && cost !== "reset" && !what.includes("NEXT_HOP"));
  test.each(milder)("the same with its routes in MP_REACH_NLRI, wherever that stands: $what", ({ what, attributes, cost }) => {
    const withoutHop = splitAttributes(attributes).filter((one) => one[1] !== 3),
      overruns = what.includes("overrun their total");
    const mp = reach(2, hop6, ...net6(1), ...net6(2));
    for (let at = 0; at <= (overruns ? 0 : withoutHop.length); at++) {
      const one = world();
      expect(feed(one, body([], [...origin, ...asPath, ...localPref, ...reach(2, hop6, ...net6(1), ...net6(9))]))).toBeUndefined();
      expect(feed(one, body([], [...withoutHop.slice(0, at).flat(), ...mp, ...withoutHop.slice(at).flat()]))).toBeUndefined();
      expect(held(one)).toEqual(cost === "withdraw" ? ["fd00:1:9::/48"] : ["fd00:1:1::/48", "fd00:1:2::/48", "fd00:1:9::/48"]);
    }
  });

  test("a malformed attribute with nothing to withdraw resets (RFC 7606 §5.2)", () => {
    const one = world();
    expect(feed(one, body([], [...good, 0xc0, 8, 200, 1]))).toMatchObject({ code: 3 });
  });

  test("lists that cannot be: the session is reset, and nothing of the UPDATE was taken", () => {
    const faults: readonly (readonly [Uint8Array, number])[] = [
      [Uint8Array.of(0, 0, 0), 1],
      [Uint8Array.of(0, 9, 0, 0), 1],
      [Uint8Array.of(0, 0, 0, 9, 1), 1],
      [body([33, 1, 2, 3, 4, 5], []), 10],
      [body([24, 1, 2], []), 10],
      [body([], good, [33, 1, 2, 3, 4, 5]), 10],
      [body([], good, [...net(10, 2), 24, 10, 1]), 10],
    ];
    for (const [bytes, subcode] of faults) {
      const one = world();
      feed(one, before);
      expect(feed(one, bytes)).toMatchObject({ code: 3, subcode });
      expect(held(one)).toEqual(["10.1.0.0/16"]);
    }
  });
});

/** Attributes one by one; what overruns is one more. */
function splitAttributes(octets: Octets): Octets[] {
  const out: Octets[] = [];
  for (let at = 0; at < octets.length;) {
    const size = octets[at]! & 0x10 ? 4 + octets[at + 2]! * 256 + octets[at + 3]! : 3 + octets[at + 2]!;
    out.push(octets.slice(at, at + size));
    at += size;
  }
  return out;
}

describe("the two places of routes", () => {
  test("classic NLRI, MP_REACH_NLRI and withdrawn routes of both families in one UPDATE", () => {
    const one = world();
    for (const bytes of [
      body([], good, [...net(10, 5), ...net(10, 6)]),
      body([], [...reach(2, hop6, ...net6(5), ...net6(6)), ...origin, ...asPath, ...localPref]),
    ])
      feed(one, bytes);
    expect(
      feed(one, body([...net(10, 5), ...net(10, 1)], [...unreach(2, ...net6(5), ...net6(1)), ...good, ...reach(2, hop6, ...net6(1))], net(10, 1))),
    ).toBeUndefined();
    // what stands in both places of a family is there: NLRI win
    expect(held(one)).toEqual(["10.1.0.0/16", "10.6.0.0/16", "fd00:1:1::/48", "fd00:1:6::/48"]);
    expect(events(one)).toEqual([]);
  });

  test("IPv4 in MP_REACH_NLRI and MP_UNREACH_NLRI is IPv4; End-of-RIB is understood in both forms", () => {
    const one = world();
    expect(feed(one, body([], [...reach(1, [10, 0, 0, 9], ...net(10, 1), ...net(10, 2)), ...origin, ...asPath, ...localPref]))).toBeUndefined();
    feed(one, body([], unreach(1, ...net(10, 2))));
    one.settle();
    expect(held(one)).toEqual(["10.1.0.0/16"]);
    expect(JSON.parse(one.told(3).get("10.1.0.0/16")!)).toMatchObject({ nextHop: "0a000009" });
    expect(one.rib.hasToldAll(1)).toBe(false);
    feed(one, body([], unreach(1)));
    expect(one.rib.hasToldAll(1)).toBe(false);
    feed(one, body([], unreach(2)));
    expect(one.rib.hasToldAll(1)).toBe(true);
  });

  test("MP_UNREACH_NLRI among other attributes withdraws", () => {
    const one = world();
    feed(one, body([], [...reach(2, hop6, ...net6(1), ...net6(2)), ...origin, ...asPath, ...localPref]));
    expect(feed(one, body([], [...origin, ...unreach(2, ...net6(2))]))).toBeUndefined();
    expect(held(one)).toEqual(["fd00:1:1::/48"]);
  });

  test("a family that was not negotiated is ignored, in every place; others of the UPDATE count", () => {
    const one = new RibPeers();
    one.up(1, termsOf(1, "client", { families: [1] }));
    one.up(2, termsOf(2, "client", { families: [0] }));
    feed(one, body(net(10, 1), [...good, ...reach(2, hop6, ...net6(1))], net(10, 2)), 1);
    feed(one, body([], good, net(10, 3)), 1);
    feed(one, body([], [...good, ...reach(2, hop6, ...net6(2))], net(10, 4)), 2);
    feed(one, body([], [...origin, ...asPath, ...localPref, ...reach(2, hop6, ...net6(3))]), 2);
    feed(one, body([], unreach(2)), 2);
    feed(one, body([], [...good, ...reach(3, hop6, 1, 2, 3)], net(10, 5)), 2);
    expect([held(one, 1), held(one, 2)]).toEqual([["fd00:1:1::/48"], ["10.4.0.0/16", "10.5.0.0/16"]]);
    expect([one.rib.attributes.live, one.rib.ribs[0].prefixes.live]).toEqual([2, 2]);
  });

  test("an IPv6 next hop of IPv4 routes was agreed on with nobody (RFC 8950): they are taken back", () => {
    const one = world();
    feed(one, body([], good, net(10, 1)));
    expect(feed(one, body([], [...origin, ...asPath, ...localPref, ...reach(1, hop6, ...net(10, 1), ...net(10, 2))]))).toBeUndefined();
    one.settle();
    expect([held(one), one.told(3).size, events(one)]).toEqual([[], 0, ["withdraw"]]);
  });

  test("our own next hop of IPv6, also with a link-local one behind; somebody else's with ours behind is not ours", () => {
    const one = world(),
      ours = [...hexOf("fd0002550000000000000000000000" + "01")],
      linkLocal = [0xfe, 0x80, ...new Uint8Array(13), 1];
    for (const [hop, taken] of [
      [ours, 0],
      [[...ours, ...linkLocal], 0],
      [[...hop6, ...ours], 1],
    ] as const) {
      expect(feed(one, body([], [...origin, ...asPath, ...localPref, ...reach(2, hop, ...net6(1))]))).toBeUndefined();
      expect(held(one)).toHaveLength(taken);
    }
  });
});

const hexOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));

test("a route of ours that comes back with our next hop is a loop and no fault of the peer's, whichever way it is read", () => {
  const ours = [...origin, ...asPath, ...attribute(0x40, 3, 10, 255, 0, 1), ...localPref],
    back = attribute(0x80, 9, 10, 255, 0, 1),
    toCustomers = attribute(0xc0, 35, 0, 0, 253, 232); // leaves the usual way in
  for (const [attributes, said] of [
    [[...ours, ...back], []],
    [[...ours, ...back, ...toCustomers], []],
    [[...ours, ...toCustomers], ["withdraw"]],
  ] as const) {
    const one = world();
    feed(one, body([], good, net(10, 1)));
    expect(feed(one, body([], attributes, net(10, 1)))).toBeUndefined();
    expect([held(one), events(one)]).toEqual([[], said]);
  }
});

describe("prefixes and peers", () => {
  test("host bits are cleared, so that two spellings are one route; /0, /32 and /128 are routes", () => {
    const one = world();
    feed(one, body([], good, [20, 10, 1, 0x1f, 0, 32, 10, 1, 2, 3, 12, 10, 0xff]));
    feed(one, body([], [...reach(2, hop6, 0, 128, ...hop6, 20, 0xfd, 0, 0xff), ...origin, ...asPath, ...localPref]));
    expect(held(one)).toEqual(["0.0.0.0/0", "10.1.16.0/20", "10.1.2.3/32", "10.240.0.0/12", "::/0", "fd00:1::9/128", "fd00:f000::/20"].toSorted());
    one.settle();
    expect(one.told(3).size).toBe(7);
    feed(one, body([20, 10, 1, 0x10], []));
    feed(one, body([], unreach(2, 20, 0xfd, 0, 0xf0)));
    expect(held(one)).toHaveLength(5);
  });

  test("an external peer: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST do not count, the first AS must be its own", () => {
    const one = world(),
      from = (asn: number): Octets => attribute(0x40, 2, 2, 1, 0, 0, asn >> 8, asn & 255);
    const inside = [...attribute(0x40, 5, 0, 0, 0, 9), ...attribute(0x80, 9, 1, 2, 3, 4), ...attribute(0x80, 10, 1, 2, 3, 4)];
    feed(one, body([], [...origin, ...from(64_602), ...nextHop, ...inside], net(10, 1)), 2);
    expect([held(one, 2), events(one)]).toEqual([["10.1.0.0/16"], ["discard"]]);
    one.settle();
    expect(JSON.parse(one.told(3).get("10.1.0.0/16")!)).toEqual({ asPath: [{ type: 2, asns: [64_602] }], localPref: 100, nextHop: "0a000009", origin: 0 });
    feed(one, body([], [...origin, ...from(64_603), ...nextHop], net(10, 1)), 2);
    expect([held(one, 2), events(one)]).toEqual([[], ["withdraw"]]);
  });

  test("a two-octet peer: AS4_PATH is merged; a set like that of a four-octet peer is one set", () => {
    const one = new RibPeers(),
      attributes = { origin: 0, asPath: sequence(64_700, 70_000), nextHop: v4Hop(9), localPref: 100 };
    one.up(1, termsOf(1, "client", { fourOctetAs: false }));
    one.up(2, termsOf(2, "client"));
    one.announce(1, attributes, "10.1.0.0/16");
    one.announce(2, attributes, "10.2.0.0/16");
    expect(one.rib.attributes.live).toBe(1);
    expect(one.rib.attributes.decode(one.rib.ribs[0].adjRibIn.attributes[0]!).asPath).toEqual(sequence(64_700, 70_000));
    one.endOfRib(1, 0);
    one.endOfRib(1, 1);
    expect(one.rib.hasToldAll(1)).toBe(true);
  });

  test("a two-octet path that no UPDATE of ours could hold is not taken", () => {
    const one = new RibPeers(),
      asns = Uint32Array.from({ length: 20_000 }, () => 7);
    one.up(1, termsOf(1, "client", { fourOctetAs: false }));
    one.announce(1, { origin: 0, asPath: sequence(7), nextHop: v4Hop(9) }, "10.1.0.0/16");
    const bytes = encodeUpdate(
      { attributes: { origin: 0, asPath: [{ type: 2, asns }], nextHop: v4Hop(9) }, nlri: [{ prefix: "10.1.0.0/16" as never }] },
      { fourOctetAs: false },
    );
    expect([one.rib.update(1, bytes, 19, bytes.length), held(one), events(one)]).toEqual([undefined, [], ["withdraw"]]);
  });

  test("maxPrefixes: one more than allowed is a Cease with the limit; a prefix told again is none more, nor is what is on its way out", () => {
    const one = new RibPeers(),
      say = (count: number, from = 0): NotificationFault | undefined => {
        let fault: NotificationFault | undefined;
        for (let i = from; i < from + count; i++) fault ??= feed(one, body([], good, net(10, i)));
        return fault;
      };
    one.up(1, termsOf(1, "client"), { maxPrefixes: 5 });
    expect([say(5), say(5)]).toEqual([undefined, undefined]);
    one.down(1);
    one.up(1, termsOf(1, "client"), { maxPrefixes: 5 });
    expect(say(5, 100)).toBeUndefined();
    expect(say(1, 200)).toMatchObject({ code: 6, subcode: 1, data: Uint8Array.of(0, 1, 1, 0, 0, 0, 5) });
  });

  test("a flood of prefixes that are refused ends, and leaves nothing", () => {
    const one = new RibPeers();
    one.up(1, termsOf(1, "external"));
    const path = attribute(0x40, 2, 2, 1, 0, 0, 64_601 >> 8, 64_601 & 255);
    for (let i = 0; i < 5000; i++) feed(one, body([], [...origin, ...path, ...nextHop], [24, 10, i >> 8, i & 255]));
    one.settle();
    expect([one.live(), one.rib.refusedOf(1)]).toEqual([nothingLive, 5000]);
  });
});

describe("anything may come", () => {
  test("200,000 mutated UPDATEs: no exception, and the counts agree with the rows to the end", { timeout: 120_000 }, () => {
    const random = chance(9),
      one = world();
    one.up(4, termsOf(4, "client", { fourOctetAs: false }));
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
    const seeds = [
      body([], good, [...net(10, 1), ...net(10, 2, 3)]),
      body(net(10, 1), []),
      body(
        net(10, 2, 3),
        [...good, ...attribute(0xc0, 8, 255, 255, 255, 1), ...attribute(0x80, 9, 1, 2, 3, 4), ...attribute(0x80, 10, 1, 2, 3, 4)],
        [0, 32, 10, 0, 0, 1],
      ),
      body([], [...reach(2, hop6, ...net6(1), ...net6(2)), ...origin, ...asPath, ...localPref]),
      body([], [...unreach(2, ...net6(1))]),
      body([], [...good, ...reach(2, hop6, ...net6(3)), ...unreach(2, ...net6(2))], net(10, 9)),
      body(
        [],
        [
          ...reach(1, [10, 0, 0, 1], ...net(10, 7)),
          ...origin,
          ...asPath,
          ...attribute(0xc0, 7, 0, 0, 0, 7, 1, 2, 3, 4),
          ...attribute(0xc0, 32, ...new Uint8Array(24)),
        ],
      ),
      body([], [...origin, ...attribute(0x40, 2, 2, 1, 0xfc, 0x5a), ...nextHop, ...attribute(0xc0, 17, 2, 1, 0, 0, 0xfc, 0x5a)], net(10, 4)),
      body([], []),
    ];
    const costs = { none: 0, reset: 0, held: 0 };
    for (let n = 0; n < 200_000; n++) {
      let bytes = Uint8Array.from(pick(seeds));
      for (let times = Math.floor(random() * 4); times > 0; times--) {
        const at = Math.floor(random() * bytes.length),
          how = random();
        if (how < 0.6) bytes[at] = random() < 0.5 ? bytes[at]! ^ (1 << Math.floor(random() * 8)) : Math.floor(random() * 256);
        else if (how < 0.7) bytes = bytes.slice(0, at);
        else if (how < 0.85) bytes = Uint8Array.of(...bytes.subarray(0, at), Math.floor(random() * 256), ...bytes.subarray(at));
        else bytes = Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(at + 1));
      }
      const peer = pick([1, 1, 2, 4]),
        fault = feed(one, bytes, peer);
      costs[fault ? "reset" : "none"]++;
      if (fault && (fault.code !== 3 || fault.subcode < 1 || fault.subcode > 11)) throw new Error(`${fault.text} of ${Buffer.from(bytes).toString("hex")}`);
      if (n % 100 !== 0) continue;
      one.settle();
      one.rib.takeNotes();
      for (const family of [0, 1] as const) {
        const { adjRibIn, prefixes, chosen } = one.rib.ribs[family],
          used = Array.from({ length: adjRibIn.end }, (_, path) => path).filter((path) => adjRibIn.isUsed(path));
        const counted = [1, 2, 3, 4].reduce((sum, id) => sum + one.rib.peers.paths[id * 2 + family]!, 0),
          distinct = new Set(used.map((path) => adjRibIn.prefix[path])).size;
        if (used.length !== adjRibIn.live || used.length !== counted || prefixes.live !== distinct || chosen !== distinct)
          throw new Error(`after ${n}: ${used.length} paths, ${adjRibIn.live}, ${counted}; ${prefixes.live} prefixes, ${distinct}, ${chosen}`);
        costs.held += used.length;
      }
    }
    expect(costs.none).toBeGreaterThan(60_000);
    expect(costs.reset).toBeGreaterThan(30_000);
    expect(costs.held).toBeGreaterThan(10_000);
    for (const peer of [1, 2, 3, 4]) one.down(peer);
    one.settle();
    expect(one.live()).toEqual(nothingLive);
  });

  test("our own address among the settings of the test is what the RIB refuses", () => {
    expect([own.address, own.address6]).toEqual(["10.255.0.1", "fd00:255::1"]);
  });
});
