import { describe, expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import type { PeerRole } from "#base/settings.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { isReflected, mayTell, whyNotTold } from "#bgp/reflector/reflect.ts";
import { type Role, roleClient, roleExternal, roleLocal, roleNonClient } from "#bgp/rib/peer-table.ts";
import { flagNoAdvertise, flagNoExport } from "#bgp/rib/scan.ts";
import { own, ownAs, RibPeers, sequence, termsOf, v4Hop, v6Hop } from "./rib-peers.ts";
import { routeText } from "./told-reader.ts";

const all = { name: "all", rules: [], otherwise: "accept" } as const;
const prefix = "10.1.0.0/16",
  prefix6 = "fd00:1::/48";
const base: PathAttributes = { origin: 1, asPath: sequence(64_700), nextHop: v4Hop(9), med: 5, localPref: 150, communities: Uint32Array.of(0xfde8_0001) };
const outside = (peer: number): PathAttributes => ({
  origin: 1,
  asPath: sequence(64_600 + peer, 64_700),
  nextHop: v4Hop(9),
  med: 5,
  communities: Uint32Array.of(0xfde8_0001),
});

/** Clients 1 and 2, non-clients 3 and 4, external 5 and 6: everything is let through. */
function allRoles(): RibPeers {
  const world = new RibPeers({ policies: { all } });
  const roles: readonly PeerRole[] = ["client", "client", "non-client", "non-client", "external", "external"];
  roles.forEach((role, i) => world.up(i + 1, termsOf(i + 1, role), role === "external" ? { import: ["all"], export: ["all"] } : {}));
  world.settle();
  return world;
}
const whoKnows = (world: RibPeers, of: string): number[] => [...world.readers.keys()].filter((peer) => world.told(peer).has(of));

describe("RFC 4456 §6: who is told", () => {
  const rows = [
    ["a client (1)", 1, [2, 3, 4, 5, 6]],
    ["a non-client (3)", 3, [1, 2, 5, 6]],
    ["an external peer (5)", 5, [1, 2, 3, 4, 6]],
    ["ourselves (0)", 0, [1, 2, 3, 4, 5, 6]],
  ] as const;

  test.each(rows)("a route from %s, in both families", (_, from, told) => {
    const world = allRoles();
    for (const one of [prefix, prefix6]) {
      if (from === 0) world.rib.originate(one as never);
      else world.announce(from, { ...(from >= 5 ? outside(from) : base), nextHop: one === prefix ? v4Hop(9) : v6Hop(9) }, one);
    }
    world.settle();
    expect([whoKnows(world, prefix), whoKnows(world, prefix6)]).toEqual([told, told]);
    if (from === 0) for (const one of [prefix, prefix6]) world.rib.withdrawOwn(one as never);
    else world.withdraw(from, prefix);
    if (from !== 0) world.withdraw(from, prefix6);
    world.settle();
    expect([whoKnows(world, prefix), whoKnows(world, prefix6)]).toEqual([[], []]);
  });

  test("the functions say the same, and say why", () => {
    const roles: readonly Role[] = [roleLocal, roleClient, roleNonClient, roleExternal];
    for (const from of roles)
      for (const to of roles.slice(1)) {
        expect(mayTell(to, from, 0)).toBe(!(from === roleNonClient && to === roleNonClient));
        for (const flags of [0, flagNoExport, flagNoAdvertise]) expect(whyNotTold(to, from, flags) === undefined).toBe(mayTell(to, from, flags));
        expect(isReflected(to, from)).toBe(to !== roleExternal && (from === roleClient || from === roleNonClient));
      }
    expect([
      mayTell(roleExternal, roleClient, flagNoExport),
      mayTell(roleClient, roleClient, flagNoExport),
      mayTell(roleClient, roleLocal, flagNoAdvertise),
    ]).toEqual([false, true, false]);
  });

  test("NO_ADVERTISE is told to nobody, NO_EXPORT and NO_EXPORT_SUBCONFED stay inside; the change of mind is told", () => {
    const world = allRoles();
    for (const [community, told] of [
      [0xffff_ff02, []],
      [0xffff_ff01, [2, 3, 4]],
      [0xffff_ff03, [2, 3, 4]],
      [0xfde8_0001, [2, 3, 4, 5, 6]],
      [0xffff_ff02, []],
    ] as const) {
      world.announce(1, { ...base, communities: Uint32Array.of(community) }, prefix);
      world.settle();
      expect(whoKnows(world, prefix), community.toString(16)).toEqual(told);
    }
  });
});

describe("what is told", () => {
  const toldTo = (world: RibPeers, peer: number, of = prefix): string | undefined => world.told(peer).get(of);
  const reflected = (from: number, attributes: PathAttributes = base): string =>
    routeText({
      ...attributes,
      originatorId: attributes.originatorId ?? termsOf(from, "client").remoteId,
      clusterList: Uint32Array.of(own.clusterId, ...(attributes.clusterList ?? [])),
    });

  test("reflection adds ORIGINATOR_ID and CLUSTER_LIST, from client to client too, and touches nothing else (RFC 4456 §8, §10)", () => {
    const world = allRoles();
    world.announce(1, base, prefix);
    world.announce(3, { ...base, nextHop: v6Hop(7) }, prefix6);
    world.settle();
    for (const peer of [2, 3, 4]) expect(toldTo(world, peer)).toBe(reflected(1));
    for (const peer of [1, 2]) expect(toldTo(world, peer, prefix6)).toBe(reflected(3, { ...base, nextHop: v6Hop(7) }));
  });

  test("an ORIGINATOR_ID that is there stays; our CLUSTER_ID goes in front of others", () => {
    const world = allRoles(),
      attributes = { ...base, originatorId: 77, clusterList: Uint32Array.of(5, 6) };
    world.announce(3, attributes, prefix);
    world.settle();
    expect(toldTo(world, 1)).toBe(routeText({ ...attributes, clusterList: Uint32Array.of(own.clusterId, 5, 6) }));
  });

  test("the 64th cluster takes CLUSTER_LIST over 255 octets", () => {
    const world = allRoles(),
      clusterList = Uint32Array.from({ length: 63 }, (_, i) => i + 1);
    world.announce(1, { ...base, clusterList, unknown: [{ flags: 0xe0, type: 200, value: Uint8Array.of(1) }] }, prefix);
    world.settle();
    expect(JSON.parse(toldTo(world, 2)!)).toMatchObject({ clusterList: [own.clusterId, ...clusterList], unknown: [{ type: 200 }] });
  });

  test("a 32-octet next hop and attributes nobody knows go through as they came, Partial set", () => {
    const world = allRoles(),
      nextHop = Uint8Array.of(...v6Hop(1), 0xfe, 0x80, ...new Uint8Array(13), 1);
    const attributes = { ...base, nextHop, unknown: [{ flags: 0xc0, type: 99, value: Uint8Array.of(1, 2) }] };
    world.announce(1, attributes, prefix6);
    world.settle();
    expect(toldTo(world, 2, prefix6)).toBe(reflected(1, { ...attributes, unknown: [{ flags: 0xe0, type: 99, value: Uint8Array.of(1, 2) }] }));
  });

  test("our own routes are not reflected", () => {
    const world = allRoles();
    world.rib.originate(prefix as never);
    world.settle();
    expect(toldTo(world, 1)).toBe(routeText({ origin: 0, asPath: [], nextHop: Uint8Array.of(10, 255, 0, 1), localPref: 100 }));
  });

  test("to an external peer: our AS in front, our next hop, no LOCAL_PREF, no reflection, a MED of ours", () => {
    const world = allRoles();
    world.announce(1, { ...base, originatorId: 77, clusterList: Uint32Array.of(5) }, prefix);
    world.rib.originate("10.2.0.0/16" as never);
    world.settle();
    const { localPref: _, ...kept } = base;
    expect(toldTo(world, 5)).toBe(routeText({ ...kept, med: 100, asPath: sequence(ownAs, 64_700), nextHop: Uint8Array.of(10, 255, 0, 1) }));
    expect(toldTo(world, 5, "10.2.0.0/16")).toBe(routeText({ origin: 0, asPath: sequence(ownAs), med: 0, nextHop: Uint8Array.of(10, 255, 0, 1) }));
  });

  test("from an external peer to internal ones: LOCAL_PREF is added; the next hop changes only with nextHopSelf", () => {
    const world = allRoles();
    world.up(7, termsOf(7, "client"), { nextHopSelf: true });
    world.announce(5, outside(5), prefix);
    world.announce(1, base, "10.3.0.0/16");
    world.settle();
    expect(toldTo(world, 1)).toBe(routeText({ ...outside(5), localPref: 100 }));
    expect(toldTo(world, 7)).toBe(routeText({ ...outside(5), localPref: 100, nextHop: Uint8Array.of(10, 255, 0, 1) }));
    // what is reflected keeps its next hop even so (RFC 4456 §10)
    expect(toldTo(world, 7, "10.3.0.0/16")).toBe(reflected(1));
  });

  test("without policies an external peer is believed nothing and told nothing (RFC 8212)", () => {
    const world = allRoles();
    world.up(8, termsOf(8, "external"));
    world.announce(1, base, prefix);
    world.announce(8, outside(8), "10.9.0.0/16");
    world.settle();
    expect([world.told(8).size, whoKnows(world, "10.9.0.0/16"), world.rib.refusedOf(8)]).toEqual([0, [], 1]);
  });

  test("a two-octet peer gets AS_TRANS and AS4_PATH, and reads the path that was meant", () => {
    const world = allRoles(),
      attributes = { ...base, asPath: sequence(64_700, 70_000, 5) };
    world.up(7, termsOf(7, "client", { fourOctetAs: false }));
    world.up(8, termsOf(8, "external", { fourOctetAs: false }), { import: ["all"], export: ["all"] });
    world.announce(1, attributes, prefix);
    world.announce(7, { ...attributes, asPath: sequence(80_000) }, "10.4.0.0/16");
    world.settle();
    expect(toldTo(world, 7)).toBe(reflected(1, attributes));
    expect(toldTo(world, 1, "10.4.0.0/16")).toBe(reflected(7, { ...attributes, asPath: sequence(80_000) }));
    expect(JSON.parse(toldTo(world, 8)!)).toMatchObject({ asPath: [{ asns: [ownAs, 64_700, 70_000, 5] }] });
  });

  test("a prefix of ours without an address of its family is not announced, and said so", () => {
    const world = new RibPeers({ address6: undefined });
    world.up(1, termsOf(1, "client"));
    world.rib.originate("fd00:7::/64" as never);
    world.settle();
    expect(world.told(1).size).toBe(0);
    expect(world.rib.takeNotes()).toMatchObject([{ event: "bgp.no-next-hop", prefix: "fd00:7::/64" }]);
  });
});

describe("who must lose a route", () => {
  test("the best path moves from one client to another: the new source gets a withdrawal, the old one the route", () => {
    const world = allRoles();
    world.announce(1, base, prefix);
    world.settle();
    world.announce(2, { ...base, localPref: 200 }, prefix);
    world.settle();
    expect(whoKnows(world, prefix)).toEqual([1, 3, 4, 5, 6]);
    world.withdraw(2, prefix);
    world.settle();
    expect(whoKnows(world, prefix)).toEqual([2, 3, 4, 5, 6]);
  });

  test("the best path moves from a client to a non-client: non-clients lose it", () => {
    const world = allRoles();
    world.announce(1, base, prefix);
    world.settle();
    world.announce(3, { ...base, localPref: 200 }, prefix);
    world.settle();
    expect(whoKnows(world, prefix)).toEqual([1, 2, 5, 6]);
  });

  test.each([
    ["own ORIGINATOR_ID", { originatorId: own.routerId }],
    ["own CLUSTER_ID", { clusterList: Uint32Array.of(4, own.clusterId) }],
    ["own AS", { asPath: sequence(7, ownAs) }],
  ])("a loop (%s) is refused, and takes back what the peer said before", (_, loop) => {
    const world = allRoles();
    world.announce(1, base, prefix);
    world.settle();
    expect(whoKnows(world, prefix)).toHaveLength(5);
    world.announce(1, { ...base, ...loop }, prefix);
    world.settle();
    expect([whoKnows(world, prefix), world.rib.refusedOf(1)]).toEqual([[], 1]);
  });

  test("a move between two peers that reads the same is told to those two alone", () => {
    const world = allRoles(),
      attributes = { ...base, originatorId: 77, clusterList: Uint32Array.of(5) };
    world.announce(4, attributes, prefix);
    world.settle();
    const before = new Map([...world.readers].map(([peer, { counts }]) => [peer, counts.updates]));
    world.announce(3, attributes, prefix); // the lower address
    world.announce(2, attributes, "10.2.0.0/16");
    world.withdraw(2, "10.2.0.0/16");
    world.settle();
    expect(world.rib.ribs[0].adjRibIn.peer[world.rib.ribs[0].bestOf(world.rib.ribs[0].prefixes.findText(prefix))]).toBe(3);
    for (const [peer, { counts }] of world.readers) expect(counts.updates, `peer ${peer}`).toBe(before.get(peer));
    expect(whoKnows(world, prefix)).toEqual([1, 2, 5, 6]);
    // among clients: the old source learns it, the new one loses it, others hear nothing
    world.withdraw(3, prefix);
    world.withdraw(4, prefix);
    world.announce(2, attributes, prefix);
    world.settle();
    const counts = world.readers.get(3)!.counts.updates;
    world.announce(1, attributes, prefix);
    world.settle();
    expect(whoKnows(world, prefix)).toEqual([2, 3, 4, 5, 6]);
    expect(world.readers.get(3)!.counts.updates).toBe(counts);
  });

  test("announced and withdrawn before anybody was told: nothing is told; there and back again: nothing either (RFC 4271 §9.2)", () => {
    const world = allRoles(),
      updates = (): number[] => [...world.readers.values()].map(({ counts }) => counts.updates);
    world.announce(2, base, "10.2.0.0/16");
    world.settle();
    const before = updates();
    world.announce(1, base, prefix);
    world.withdraw(1, prefix);
    world.announce(2, { ...base, med: 99 }, "10.2.0.0/16");
    world.announce(2, base, "10.2.0.0/16");
    world.settle();
    expect(updates()).toEqual(before);
    expect(world.rib.ribs[0].prefixes.live).toBe(1);
  });

  test("attributes that outgrow a message take the route away, with one note for all of them (RFC 8654 §4)", () => {
    const world = allRoles(),
      prefixes = ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"];
    world.announce(1, base, ...prefixes);
    world.settle();
    const big = { ...base, unknown: [{ flags: 0xe0, type: 99, value: new Uint8Array(4015) }] };
    for (const one of prefixes) world.announce(1, big, one);
    world.settle();
    // as it stands it fits, with ORIGINATOR_ID and CLUSTER_LIST it does not; externals lose LOCAL_PREF and gain an AS
    expect(whoKnows(world, prefix)).toEqual([5, 6]);
    const notes = world.rib.takeNotes();
    expect(notes.map(({ event }) => event)).toEqual(["bgp.too-long", "bgp.too-long"]);
    expect(notes[0]!.text).toContain("and 2 more");
  });
});

describe("another speaker under an id", () => {
  test("with another BGP Identifier what it tells is told anew with that ORIGINATOR_ID", () => {
    const world = allRoles(),
      terms = termsOf(1, "client");
    world.announce(1, base, prefix);
    world.settle();
    world.down(1);
    world.up(1, { ...terms, remoteId: 4242, remote: "10.0.0.1" as Ip });
    world.announce(1, base, prefix);
    world.settle();
    expect(JSON.parse(world.told(2).get(prefix)!)).toMatchObject({ originatorId: 4242 });
  });

  test("with another role it is reflected as that", () => {
    const world = allRoles();
    world.announce(1, base, prefix);
    world.settle();
    world.down(1);
    world.up(1, termsOf(1, "non-client"));
    world.announce(1, base, prefix);
    world.settle();
    expect(whoKnows(world, prefix)).toEqual([2, 5, 6]);
  });
});
