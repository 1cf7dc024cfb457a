/** RFC 7606 in the RIB: what a malformed UPDATE costs, what survives around it, what is kept of it (§6), and what an operator may wish. */
import { describe, expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import { none } from "#bgp/rib/adj-rib-in.ts";
import { MalformedUpdates, malformedLimits, type MalformedUpdate } from "#bgp/rib/malformed.ts";
import { hex, octets } from "../wire/hex.ts";
import { session as base } from "./settings-of.ts";
import { at, nothingLive, RibPeers, sequence, termsOf, v4Hop } from "./rib-peers.ts";

const address = termsOf(1, "client").remote;
const origin = "400101 00",
  path = "400206 0201 00000007",
  hop = "400304 0a000009",
  pref = "400504 00000064",
  good = origin + path + hop + pref,
  good6 = origin + path + pref;
const six = "fd000001000000000000000000000009";
const reach6 = (flags = "80", nlri = "20 20010db8"): string => attribute(flags, 14, `0002 01 10 ${six} 00 ${nlri}`);
function attribute(flags: string, type: number, value: string): string {
  const length = octets(value).length;
  return `${flags} ${type.toString(16).padStart(2, "0")} ${length.toString(16).padStart(2, "0")} ${value}`;
}
/** The body of an UPDATE. */
function body(withdrawn: string, attributes: string, nlri: string): Uint8Array {
  const size = (text: string): string => octets(text).length.toString(16).padStart(4, "0");
  return octets(`${size(withdrawn)} ${withdrawn} ${size(attributes)} ${attributes} ${nlri}`);
}
const net = "18 0a0900"; // 10.9.0.0/24, announced before each row
const beside = "10.8.0.0/16"; // of the same peer, never mentioned again

/** A peer that has told two IPv4 prefixes and one IPv6 prefix. */
function world(more: Parameters<RibPeers["up"]>[2] = {}): RibPeers {
  const one = new RibPeers(),
    usual = { origin: 0, asPath: sequence(7), localPref: 100 };
  one.up(1, termsOf(1, "client"), more);
  one.up(2, termsOf(2, "client"));
  one.announce(1, { ...usual, nextHop: v4Hop(9) }, "10.9.0.0/24", beside);
  one.announce(1, { ...usual, nextHop: octets(six) }, "2001:db8::/32");
  one.settle();
  return one;
}
const feed = (one: RibPeers, bytes: Uint8Array): string | undefined => {
  const fault = one.rib.update(1, bytes, 0, bytes.length);
  one.settle();
  return fault && `${fault.code}/${fault.subcode}`;
};
const told = (one: RibPeers): string[] => [...one.told(2).keys()].toSorted();
const counts = (one: RibPeers): number[] => {
  const { discard, withdraw, reset, configured } = one.rib.malformed.of(address);
  return [discard, withdraw, reset, configured];
};

type Row = readonly [what: string, withdrawn: string, attributes: string, nlri: string];
const six4 = "2001:db8::/32";

describe("§7, §3: treat-as-withdraw takes the routes of the UPDATE and no other", () => {
  const rows: readonly Row[] = [
    ["§7.1 ORIGIN 7", "", `400101 07 ${path}${hop}${pref}`, net],
    ["§7.2 a segment overrun", "", `${origin}400206 0202 00000007 ${hop}${pref}`, net],
    ["RFC 7607 AS 0", "", `${origin}400206 0201 00000000 ${hop}${pref}`, net],
    ["RFC 9774 an AS_SET", "", `${origin}400206 0101 00000007 ${hop}${pref}`, net],
    ["§7.3 NEXT_HOP of 5 octets", "", `${origin}${path}400305 0a00000900 ${pref}`, net],
    ["RFC 4271 §6.3 NEXT_HOP 224.0.0.1", "", `${origin}${path}400304 e0000001 ${pref}`, net],
    ["§7.4 MED of 3 octets", "", `${good}800403 000001`, net],
    ["§7.5 LOCAL_PREF of 5 octets", "", `${origin}${path}${hop}400505 0000006400`, net],
    ["§7.8 COMMUNITIES of 5 octets", "", `${good}c00805 0000000100`, net],
    ["§7.9 ORIGINATOR_ID of 3 octets", "", `${good}800903 000001`, net],
    ["§7.10 CLUSTER_LIST of no octets", "", `${good}800a00`, net],
    ["§7.14 EXTENDED COMMUNITIES of 7 octets", "", `${good}c01007 00000000000000`, net],
    ["RFC 8092 §5 LARGE_COMMUNITY of 11 octets", "", `${good}c0200b 0000000000000000000000`, net],
    ["RFC 9234 §5 ONLY_TO_CUSTOMER of 5 octets", "", `${good}c02305 0000000100`, net],
    ["§3 c ORIGIN with the Optional bit", "", `c00101 00 ${path}${hop}${pref}`, net],
    ["§3 c ATOMIC_AGGREGATE with the Optional bit", "", `${good}c00600`, net],
    ["§3 d no ORIGIN", "", `${path}${hop}${pref}`, net],
    ["§3 d no AS_PATH", "", `${origin}${hop}${pref}`, net],
    ["§3 d no NEXT_HOP", "", `${origin}${path}${pref}`, net],
    ["§4 an overrun at the end", "", `${good}c00810 0000`, net],
    ["§4 one octet left", "", `${good}c0`, net],
    ["§3 h a discard and a withdraw at once", "", `${good}400601 00 800403 000001`, net],
    ["§3 h three at once", "", `400101 07 400206 0202 00000007 400305 0a00000900 ${pref}`, net],
  ];
  test.each(rows)("%s", (_, withdrawn, attributes, nlri) => {
    const one = world();
    expect(told(one)).toEqual([beside, "10.9.0.0/24", six4].toSorted());
    expect(feed(one, body(withdrawn, attributes, nlri))).toBeUndefined();
    expect(told(one)).toEqual([beside, six4].toSorted());
    expect(counts(one)).toEqual([0, 1, 0, 0]);
    expect(one.rib.malformed.of(address).messages).toMatchObject([{ treatment: "withdraw", prefixes: ["10.9.0.0/24"], prefixCount: 1 }]);
  });

  test("of MP_REACH_NLRI: the IPv6 routes go, IPv4 stays; withdrawals beside them are done", () => {
    const one = world();
    expect(feed(one, body(net, `${reach6()}400101 07 ${path}${pref}`, ""))).toBeUndefined();
    expect(told(one)).toEqual([beside]);
    expect(one.rib.malformed.of(address).messages[0]!.prefixes).toEqual(["2001:db8::/32", "10.9.0.0/24"]);
  });
});

describe("§7.6, §7.7, §3 g: attribute discard keeps the routes", () => {
  const rows: readonly Row[] = [
    ["§7.6 ATOMIC_AGGREGATE of 1 octet", "", `${good}400601 00`, net],
    ["§7.7 AGGREGATOR of 7 octets", "", `${good}c00707 00000001000000`, net],
    ["RFC 7607 AGGREGATOR of AS 0", "", `${good}c00708 00000000 0a000001`, net],
    ["§3 g COMMUNITIES twice, the second malformed", "", `${good}c00804 00000001 c00803 000000`, net],
    ["§3 g ORIGIN twice", "", `${good}400101 02`, net],
  ];
  test.each(rows)("%s", (_, withdrawn, attributes, nlri) => {
    const one = world();
    expect(feed(one, body(withdrawn, attributes, nlri))).toBeUndefined();
    expect(told(one)).toEqual([beside, "10.9.0.0/24", six4].toSorted());
    expect(counts(one)).toEqual([1, 0, 0, 0]);
    const set = one.rib.ribs[0].adjRibIn.attributes[one.rib.ribs[0].bestOf(one.rib.ribs[0].prefixes.findText("10.9.0.0/24" as never))]!;
    expect(one.rib.attributes.decode(set)).not.toMatchObject({ atomicAggregate: true });
    expect(one.rib.attributes.decode(set).aggregator).toBeUndefined();
    expect(one.rib.attributes.decode(set).origin).toBe(0);
  });
});

describe("§5.2, §5.3, §3 a, i, j: what resets the session, and that nothing of it was taken", () => {
  const rows: readonly (readonly [...Row, string])[] = [
    ["§3 a lengths beyond the message", "", good, `${net}`.slice(0, 2), "3/10"],
    ["§3 i a withdrawn prefix of 33 bits", "21 0a09000000", "", "", "3/10"],
    ["§3 j a prefix of 33 bits", "", good, "21 0a09000000", "3/10"],
    ["§5.3 MP_REACH_NLRI with the Transitive bit", "", `${reach6("c0")}${good6}`, "", "3/4"],
    ["§5.3 MP_UNREACH_NLRI with the Transitive bit", "", "c00f03 000201", "", "3/4"],
    ["§5.3 MP_REACH_NLRI with a prefix past its end", "", `${reach6("80", "30 20010d")}${good6}`, "", "3/9"],
    ["§7.11 MP_REACH_NLRI with a next hop of 5 octets", "", `800e0d 0002 01 05 0000000000 00 08 20 ${good6}`.replace("800e0d", "800e0c"), "", "3/9"],
    ["§3 g MP_REACH_NLRI twice", "", `${reach6()}${reach6()}${good6}`, "", "3/1"],
    ["§5.2 an overrun that hides what there may be", "", `${origin}800eff 0002`, "", "3/1"],
    ["§5.2 malformed, with nothing reachable in it", "", "400101 07", "", "3/6"],
    ["RFC 4271 §6.3 a well-known attribute nobody knows", "", `${good}406300`, net, "3/2"],
    ["§3 h a discard, a withdraw and a reset at once", "", `400601 00 400101 07 ${path}${hop}c00f03 000201`, net, "3/4"],
  ];
  test.each(rows)("%s", (_, withdrawn, attributes, nlri, code) => {
    const one = world();
    expect(feed(one, body(withdrawn, attributes, nlri))).toBe(code);
    expect(told(one)).toEqual([beside, "10.9.0.0/24", six4].toSorted());
    expect(counts(one)).toEqual([0, 0, 1, 0]);
  });
});

describe("§6: what is kept", () => {
  test("the whole message, what was wrong with it, and whom it concerned; a note says so once", () => {
    const one = world();
    one.rib.takeNotes();
    one.now = at(5000);
    one.settle();
    const bytes = body(
      "",
      `${good}400601 00 800403 000001`,
      `${net} ${Array.from({ length: 20 }, (_, i) => `18 0a0a${i.toString(16).padStart(2, "0")}`).join("")}`,
    );
    feed(one, bytes);
    const [message] = one.rib.malformed.of(address).messages;
    expect(message).toMatchObject({ treatment: "withdraw", attributes: [4, 6], prefixCount: 21, at: 5000 });
    expect(message!.prefixes).toHaveLength(malformedLimits.prefixes);
    expect(hex(message!.octets)).toBe(`${"ff".repeat(16)}${(bytes.length + 19).toString(16).padStart(4, "0")}02${hex(bytes)}`);
    const notes = one.rib.takeNotes().filter(({ event }) => event === "bgp.malformed");
    expect(notes).toMatchObject([{ peer: address, fields: { treatment: "withdraw" } }]);
    expect(notes[0]!.fields!["prefixes"]).toMatch(/^10\.9\.0\.0\/24 10\.10\.0\.0\/24 .* and 5 more$/);
    expect(notes[0]!.text).toContain("ATOMIC_AGGREGATE with a length of 1; MULTI_EXIT_DISC with a length of 3");
  });

  test("it outlives the session, and a prefix limit or a good UPDATE is none of it", () => {
    const one = world({ maxPrefixes: 2 });
    feed(one, body("", good, net));
    expect(feed(one, body("", good, "18 0b0000"))).toBe("6/1");
    expect(counts(one)).toEqual([0, 0, 0, 0]);
    feed(one, body("", "400101 07", ""));
    one.down(1);
    one.settle();
    expect(counts(one)).toEqual([0, 0, 1, 0]);
  });

  const some = (size: number, n = 0): MalformedUpdate => ({
    at: at(n),
    treatment: "discard",
    text: String(n),
    attributes: [6],
    prefixes: [],
    prefixCount: 0,
    octets: new Uint8Array(size),
  });
  const kept = (log: MalformedUpdates): MalformedUpdate[] => [...log.all()].flatMap(([, { messages }]) => [...messages]);

  test("bounded: the last few of a peer, the octets of all, the number of peers; counts go on", () => {
    const log = new MalformedUpdates();
    for (let n = 0; n < 20; n++) log.take("10.0.0.1" as Ip, some(100, n));
    expect(log.of("10.0.0.1" as Ip).messages.map(({ text }) => text)).toEqual(["12", "13", "14", "15", "16", "17", "18", "19"]);
    expect(log.of("10.0.0.1" as Ip).discard).toBe(20);
    for (let peer = 0; peer < 40; peer++) for (let n = 0; n < 8; n++) log.take(`10.1.0.${peer}` as Ip, some(65_535, n));
    expect(kept(log).reduce((sum, { octets: all }) => sum + all.length, 0)).toBeLessThanOrEqual(malformedLimits.octets);
    expect(kept(log).length).toBe(Math.floor(malformedLimits.octets / 65_535));
    expect(log.of("10.1.0.39" as Ip).messages).toHaveLength(8);
    expect(log.of("10.1.0.0" as Ip)).toMatchObject({ discard: 8, messages: [] });
    for (let peer = 0; peer < 2000; peer++) log.take(`10.2.${peer >> 8}.${peer & 255}` as Ip, some(30));
    expect([...log.all()]).toHaveLength(malformedLimits.peers);
    expect(log.of("10.1.0.39" as Ip)).toMatchObject({ discard: 0, messages: [] });
  });
});

describe("an operator's wish", () => {
  const attrSet = "c08005 0000fde800"; // 128, optional transitive, which nobody here knows

  test("discard: the route is told without it, and nothing of it counts as malformed", () => {
    const one = world({ attributes: [{ type: 128, treatment: "discard" }] });
    expect(feed(one, body("", good + attrSet, net))).toBeUndefined();
    expect(one.told(2).get("10.9.0.0/24")).not.toContain("128");
    expect(counts(one)).toEqual([0, 0, 0, 1]);
    const plain = world();
    feed(plain, body("", good + attrSet, net));
    expect(plain.told(2).get("10.9.0.0/24")).toContain("128");
  });

  test("treat-as-withdraw: the routes go, of IPv6 too; an UPDATE without any is no reset (§5.2 is about faults)", () => {
    const one = world({ attributes: [{ type: 128, treatment: "withdraw" }] });
    expect(feed(one, body("", good + attrSet, net))).toBeUndefined();
    expect(told(one)).toEqual([beside, six4].toSorted());
    expect(feed(one, body("", reach6() + good6 + attrSet, ""))).toBeUndefined();
    expect(feed(one, body("", attrSet, ""))).toBeUndefined();
    expect(told(one)).toEqual([beside]);
    expect(counts(one)).toEqual([0, 0, 0, 3]);
    expect(one.rib.takeNotes().filter(({ event }) => event === "bgp.malformed")).toEqual([]);
  });

  test("it is never read: a malformed one does no harm", () => {
    const one = world({ attributes: [{ type: 32, treatment: "discard" }] });
    expect(feed(one, body("", `${good}c0200b 0000000000000000000000`, net))).toBeUndefined();
    expect(told(one)).toEqual([beside, "10.9.0.0/24", six4].toSorted());
    expect(counts(one)).toEqual([0, 0, 0, 1]);
  });

  test("a change asks the peer for its routes again; one that cannot be asked begins anew; no change asks nobody", () => {
    const one = world(),
      sessionOf = (attributes: readonly { type: number; treatment: "discard" | "withdraw" }[]) => () => ({ ...settings, attributes });
    const settings = { ...base, attributes: undefined };
    expect(one.rib.reconfigure(sessionOf([{ type: 128, treatment: "discard" }]))).toEqual({ ask: [1, 2], reset: [] });
    expect(one.rib.reconfigure(sessionOf([{ type: 128, treatment: "discard" }]))).toEqual({ ask: [], reset: [] });
    expect(one.rib.reconfigure(sessionOf([{ type: 128, treatment: "withdraw" }])).ask).toEqual([1, 2]);
    feed(one, body("", good + attrSet, net));
    expect(told(one)).toEqual([beside, six4].toSorted());
    expect(one.rib.reconfigure(sessionOf([])).ask).toEqual([1, 2]);
    expect(one.rib.ribs[0].bestOf(one.rib.ribs[0].prefixes.findText(beside as never))).not.toBe(none);
  });

  test("when everybody has gone nothing is left", () => {
    const one = world({ attributes: [{ type: 128, treatment: "discard" }] });
    feed(one, body("", good + attrSet, net));
    for (const peer of [1, 2]) one.down(peer);
    one.settle();
    expect(one.live()).toEqual(nothingLive);
  });
});
