import { describe, expect, test } from "vitest";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { Deferral } from "#bgp/rib/deferral.ts";
import type { FamilyIndex, SessionTerms } from "#bgp/terms.ts";
import { at, nothingLive, restartOf, RibPeers, sequence, termsOf, v4Hop, v6Hop } from "./rib-peers.ts";

const route: PathAttributes = { origin: 0, asPath: sequence(), nextHop: v4Hop(1), localPref: 100 };
const route6: PathAttributes = { ...route, nextHop: v6Hop(1) };
const restarting = (forwarding: readonly FamilyIndex[] = [0, 1], families: readonly FamilyIndex[] = [0, 1]): SessionTerms =>
  termsOf(1, "client", { gracefulRestart: restartOf(forwarding, families) });

/** Client 1 restarts gracefully and has told two routes of each family and End-of-RIB; client 2 reads. */
function world(terms = restarting(), isComplete = true): RibPeers {
  const one = new RibPeers();
  one.up(1, terms);
  one.up(2, termsOf(2, "client"));
  one.announce(1, route, "10.1.0.0/16", "10.2.0.0/16");
  one.announce(1, route6, "fd00:1::/48", "fd00:2::/48");
  if (isComplete) for (const family of [0, 1] as const) one.endOfRib(1, family);
  one.settle();
  return one;
}
const told = (one: RibPeers): string[] => [...one.told(2).keys()].toSorted();
const both = ["10.1.0.0/16", "10.2.0.0/16", "fd00:1::/48", "fd00:2::/48"];
const updatesOf = (one: RibPeers): number => one.readers.get(2)!.counts.updates;

describe("graceful restart of a peer (RFC 4724 §4.2)", () => {
  test("what it told stays, and nobody hears of the restart; what it tells again is not told again", () => {
    const one = world(),
      before = updatesOf(one);
    one.down(1, true);
    one.settle();
    expect(one.rib.ribs[0].adjRibIn.isStale(0)).toBe(true);
    one.up(1, restarting());
    one.announce(1, route, "10.1.0.0/16", "10.2.0.0/16");
    one.announce(1, route6, "fd00:1::/48", "fd00:2::/48");
    for (const family of [0, 1] as const) one.endOfRib(1, family);
    one.settle();
    expect([told(one), updatesOf(one), one.rib.peers.holdsOld(1), one.rib.nextDeadline()]).toEqual([both, before, 0, undefined]);
    one.now = at(one.now + 1_000_000);
    one.settle();
    expect([told(one), one.rib.takeNotes()]).toEqual([both, []]);
  });

  test("what it does not tell again goes with End-of-RIB, one family at a time", () => {
    const one = world();
    one.down(1, true);
    one.up(1, restarting());
    one.announce(1, route, "10.1.0.0/16");
    one.announce(1, route6, "fd00:1::/48");
    one.settle();
    expect(told(one)).toEqual(both);
    one.endOfRib(1, 0);
    one.settle();
    expect([told(one), one.rib.peers.holdsOld(1)]).toEqual([["10.1.0.0/16", "fd00:1::/48", "fd00:2::/48"], 1]);
    one.endOfRib(1, 1);
    one.settle();
    expect([told(one), one.rib.peers.holdsOld(1)]).toEqual([["10.1.0.0/16", "fd00:1::/48"], 0]);
  });

  test.each([
    ["F bit clear for IPv6", restarting([0]), ["10.1.0.0/16", "10.2.0.0/16"]],
    ["F bit clear for both", restarting([]), []],
    ["IPv6 not in the capability any more", restarting([0], [0]), ["10.1.0.0/16", "10.2.0.0/16"]],
    ["IPv4 not in the session any more", { ...restarting(), families: [1] as const }, ["fd00:1::/48", "fd00:2::/48"]],
    ["without the capability", termsOf(1, "client"), []],
    ["another BGP Identifier", { ...restarting(), remoteId: 77 }, []],
  ] as const)("it comes back: %s", (_, terms, left) => {
    const one = world();
    one.down(1, true);
    one.up(1, terms);
    one.settle();
    expect(told(one)).toEqual(left);
  });

  test("families it did not list go when the session ends; so does everything without graceful restart, or when it may not be kept", () => {
    for (const [terms, retain, left] of [
      [restarting([0], [0]), true, ["10.1.0.0/16", "10.2.0.0/16"]],
      [termsOf(1, "client"), true, []],
      [restarting(), false, []],
    ] as const) {
      const one = world(terms);
      one.down(1, retain);
      one.settle();
      expect(told(one)).toEqual(left);
    }
  });

  test("the restart time is over: everything goes, with one note; the peer comes back in time: it does not", () => {
    const one = world();
    one.down(1, true);
    expect(one.rib.nextDeadline()).toBe(one.now + 120_000);
    one.now = at(one.now + 119_999);
    one.settle();
    expect(told(one)).toEqual(both);
    one.now = at(one.now + 1);
    one.settle();
    expect([told(one), one.rib.takeNotes().map(({ event }) => event), one.live()["paths4"], one.rib.isForgotten(1)]).toEqual([
      [],
      ["bgp.stale-expired"],
      0,
      true,
    ]);
    const other = world();
    other.down(1, true);
    other.now = at(other.now + 119_999);
    other.up(1, restarting());
    expect(other.rib.nextDeadline()).toBe(other.now + 300_000);
    other.now = at(other.now + 200_000);
    other.settle();
    expect(told(other)).toEqual(both);
    other.now = at(other.now + 100_000);
    other.settle();
    expect([told(other), other.rib.takeNotes().map(({ event }) => event)]).toEqual([[], ["bgp.stale-expired"]]);
  });

  test("the stale time spares a family that is complete", () => {
    const one = world();
    one.down(1, true);
    one.up(1, restarting());
    one.announce(1, route, "10.1.0.0/16");
    one.endOfRib(1, 0);
    one.now = at(one.now + 300_000);
    one.settle();
    expect(told(one)).toEqual(["10.1.0.0/16"]);
  });

  test("a second restart before End-of-RIB: what the first left stale goes, what came since stays", () => {
    const one = world();
    one.down(1, true);
    one.up(1, restarting());
    one.announce(1, route, "10.1.0.0/16");
    one.down(1, true);
    one.settle();
    expect(told(one)).toEqual(["10.1.0.0/16"]);
    one.up(1, restarting());
    one.settle();
    expect(told(one)).toEqual(["10.1.0.0/16"]);
  });

  test("sessions that come and go faster than the sweep: the paths of now stay", () => {
    const one = world(termsOf(1, "client"));
    for (let n = 0; n < 300; n++) {
      one.down(1);
      one.up(1, termsOf(1, "client"));
      one.announce(1, route, "10.1.0.0/16");
    }
    one.settle();
    expect([told(one), one.rib.peers.holds(1), one.rib.peers.holdsOld(1)]).toEqual([["10.1.0.0/16"], 1, 0]);
  });

  test("a stale path is a path like others for the decision", () => {
    const one = world();
    one.down(1, true);
    one.announce(2, { ...route, localPref: 50 }, "10.1.0.0/16");
    one.settle();
    expect(told(one)).toEqual(both);
  });

  test("everybody goes for good: nothing is left", () => {
    const one = world();
    one.down(1, true);
    one.up(1, restarting([0]));
    one.down(1, true);
    one.now = at(one.now + 120_000);
    one.down(2);
    one.settle();
    expect(one.live()).toEqual(nothingLive);
  });
});

describe("route refresh", () => {
  test("the peer tells again, enclosed (RFC 7313): what it leaves out goes, in that family alone", () => {
    const one = world(termsOf(1, "client"));
    one.rib.refresh(1, 0, 1, one.now);
    one.announce(1, route, "10.1.0.0/16");
    one.settle();
    expect([told(one), one.rib.peers.holdsOld(1)]).toEqual([both, 1]);
    one.rib.refresh(1, 1, 2, one.now); // an end without a beginning
    one.endOfRib(1, 1); // and End-of-RIB once more, of the other family
    one.settle();
    expect(told(one)).toEqual(both);
    one.rib.refresh(1, 0, 2, one.now);
    one.settle();
    expect([told(one), one.rib.peers.holdsOld(1)]).toEqual([["10.1.0.0/16", "fd00:1::/48", "fd00:2::/48"], 0]);
  });

  test("End-of-RIB of one family after a refresh of the other has begun takes nothing away", () => {
    const one = world(termsOf(1, "client"), false);
    one.endOfRib(1, 0);
    one.rib.refresh(1, 0, 1, one.now);
    one.endOfRib(1, 1);
    one.settle();
    expect(told(one)).toEqual(both);
  });

  test("a beginning before the End-of-RIB of a peer that restarts gracefully is ignored, and so is its end (RFC 7313 §4)", () => {
    const one = world();
    one.down(1, true);
    one.up(1, restarting());
    one.rib.refresh(1, 0, 1, one.now);
    one.rib.refresh(1, 0, 2, one.now);
    one.settle();
    expect([told(one), one.rib.peers.holdsOld(1)]).toEqual([both, 4]);
  });

  test("a beginning without an end, then a restart: what was told before the restart is kept", () => {
    const one = world();
    one.rib.refresh(1, 0, 1, one.now);
    one.down(1, true);
    one.settle();
    expect(told(one)).toEqual(both);
  });

  test("beginnings without an end are heeded 64 times, and what is swept afterwards is right", () => {
    const one = world(termsOf(1, "client"));
    for (let n = 0; n < 100_000; n++) one.rib.refresh(1, 0, 1, one.now);
    one.announce(1, route, "10.1.0.0/16");
    one.rib.refresh(1, 0, 2, one.now);
    one.settle();
    expect(told(one)).toEqual(["10.1.0.0/16", "fd00:1::/48", "fd00:2::/48"]);
  });

  test("asked by a peer: everything again, between the marks where it speaks them; after End-of-RIB if that is still owed", () => {
    for (const enhancedRefresh of [true, false]) {
      const one = world(),
        heard: string[] = [];
      const reader = one.up(3, termsOf(3, "client", { enhancedRefresh }));
      reader.onHeard = (what, family) => heard.push(`${what} ${family} after ${reader.counts.announced}`);
      reader.mayRepeat = true;
      one.rib.refresh(3, 0, 0, one.now); // before anything was told
      one.settle();
      one.rib.refresh(3, 0, 0, one.now);
      one.settle();
      expect(heard.filter((line) => line.startsWith("endOfRib"))).toHaveLength(2);
      expect(heard.filter((line) => line.startsWith("beginRefresh"))).toHaveLength(enhancedRefresh ? 2 : 0);
      expect(heard.filter((line) => line.startsWith("endRefresh"))).toHaveLength(enhancedRefresh ? 2 : 0);
      if (enhancedRefresh)
        expect(heard.findIndex((line) => line.startsWith("beginRefresh"))).toBeGreaterThan(heard.findIndex((line) => line.startsWith("endOfRib 0")));
      expect([reader.counts.announced, reader.routes[0].size]).toEqual([8, 2]);
    }
  });

  test("a withdrawal that was not read yet is not lost by it", () => {
    const one = world();
    const reader = one.readers.get(2)!;
    reader.mayRepeat = true;
    one.withdraw(1, "10.1.0.0/16");
    while (one.rib.step(one.now, 100));
    one.up(3, termsOf(3, "client"));
    one.pull(3); // the group's stream now holds the withdrawal; 2 has not read it
    one.rib.refresh(2, 0, 0, one.now);
    one.settle();
    expect([told(one), reader.counts.withdrawn]).toEqual([["10.2.0.0/16", "fd00:1::/48", "fd00:2::/48"], 1]);
  });

  test("a family the session does not have is ignored", () => {
    const one = world();
    one.up(3, termsOf(3, "client", { families: [1] }));
    one.settle();
    one.rib.refresh(3, 0, 0, one.now);
    one.rib.refresh(3, 0, 1, one.now);
    one.settle();
    expect(one.told(3).size).toBe(2);
  });
});

describe("End-of-RIB of ours comes after what was held when the session began", () => {
  test("though it was held and not decided yet", () => {
    const one = new RibPeers();
    one.up(1, termsOf(1, "client"));
    for (let i = 0; i < 50; i++) one.announce(1, route, `10.${i}.0.0/16`);
    const reader = one.up(2, termsOf(2, "client", { families: [0] })),
      known: number[] = [];
    reader.onHeard = () => known.push(reader.routes[0].size);
    for (let n = 0; n < 200; n++) {
      one.pull(2);
      one.rib.step(one.now, 1);
    }
    expect(known).toEqual([50]);
  });

  test("after a restart of ours: when selection begins, not before (RFC 4724 §4.1)", () => {
    const one = new RibPeers();
    one.rib.deferral.begin([1], false, 30_000, one.now);
    const reader = one.up(1, restarting()),
      source = one.up(2, termsOf(2, "client", { gracefulRestart: restartOf([0, 1]) }));
    const heard: string[] = [];
    for (const each of [reader, source]) each.onHeard = (what, family) => heard.push(`${each.peer} ${what} ${family} ${each.routes[family].size}`);
    for (let i = 0; i < 20; i++) one.announce(2, { ...route, med: i }, `10.${i}.0.0/16`);
    one.endOfRib(2, 0);
    one.endOfRib(2, 1);
    one.endOfRib(1, 0);
    one.settle();
    expect([reader.counts.octets, source.counts.octets, one.rib.ribs[0].chosen]).toEqual([0, 0, 0]);
    one.endOfRib(1, 1);
    for (let n = 0; n < 60; n++) {
      one.rib.step(one.now, 1);
      for (const peer of [1, 2]) one.pull(peer, 1);
    }
    one.settle();
    expect(heard.toSorted()).toEqual(["1 endOfRib 0 20", "1 endOfRib 1 0", "2 endOfRib 0 0", "2 endOfRib 1 0"]);
  });
});

describe("deferral: who is waited for (RFC 4724 §4.1)", () => {
  const graceful = (more: Partial<NonNullable<SessionTerms["gracefulRestart"]>> = {}): SessionTerms =>
    termsOf(1, "client", { gracefulRestart: { ...restartOf([0, 1]), ...more } });
  const besides: typeof graceful = (more) => ({ ...graceful(more), role: "non-client" });
  const begun = (expected: readonly number[], hasRanges = false): Deferral => {
    const deferral = new Deferral();
    deferral.begin(expected, hasRanges, 30_000, at(0));
    deferral.ownIsKnown();
    return deferral;
  };

  test("never begun: nothing is deferred", () => {
    const deferral = new Deferral();
    deferral.up(1, graceful(), at(0));
    expect([deferral.isDeferring(at(0)), deferral.nextDeadline()]).toEqual([false, undefined]);
  });

  const quiet = 6000;
  const rows: readonly (readonly [what: string, run: () => Deferral, until: number])[] = [
    ["nobody is configured", () => begun([]), 0],
    ["ranges: the quiet time", () => begun([], true), quiet],
    ["a peer that never comes: the quiet time", () => begun([1]), quiet],
    ["a peer that is up and owes End-of-RIB: the limit", () => with1(begun([1]), graceful()), 30_000],
    ["a peer without graceful restart: not at all", () => with1(begun([1]), termsOf(1, "client")), 0],
    ["a peer that restarts itself: the quiet time, as another may come", () => with1(begun([1, 2]), besides({ restarting: true })), 100 + quiet],
    ["the only peer restarts itself: not at all", () => with1(begun([1]), besides({ restarting: true })), 0],
    ["a client that restarts itself: the limit, as the others use its routes", () => with1(begun([1]), graceful({ restarting: true })), 30_000],
    ["a peer that was up before: the limit", () => awaiting(begun([1])), 30_000],
    ["a peer out of a range that was up before: the limit", () => awaiting(begun([], true)), 30_000],
    ["a peer that was up before is back and has told all: not at all", () => ended(with1(awaiting(begun([1])), graceful()), 0, 1), 0],
    ["it went again: the limit, as it will come back", () => gone(with1(begun([1]), graceful())), 30_000],
    ["End-of-RIB of one family: the limit", () => ended(with1(begun([1]), graceful()), 0), 30_000],
    ["End-of-RIB of both: not at all", () => ended(with1(begun([1]), graceful()), 0, 1), 0],
    ["End-of-RIB of both, another expected: the quiet time since", () => ended(with1(begun([1, 2]), graceful()), 0, 1), 200 + quiet],
  ];
  const awaiting = (deferral: Deferral): Deferral => {
    deferral.awaitBack([graceful().remote]);
    return deferral;
  };
  const with1 = (deferral: Deferral, terms: SessionTerms): Deferral => {
    deferral.up(1, terms, at(100));
    return deferral;
  };
  const gone = (deferral: Deferral): Deferral => {
    deferral.down(1);
    return deferral;
  };
  const ended = (deferral: Deferral, ...families: FamilyIndex[]): Deferral => {
    for (const family of families) deferral.endOfRib(1, family, at(200));
    return deferral;
  };

  test.each(rows)("%s", (_, run, until) => {
    if (until > 0) {
      const deferral = run(),
        early = deferral.nextDeadline()!;
      expect([deferral.isDeferring(at(until - 1)), deferral.isDeferring(at(until))]).toEqual([true, false]);
      expect(early).toBeLessThanOrEqual(until);
      expect([deferral.isDeferring(at(0)), deferral.nextDeadline()]).toEqual([false, undefined]);
    } else expect(run().isDeferring(at(250))).toBe(false);
  });

  test("what is our own must be in place first; at the limit it ends even so", () => {
    const deferral = new Deferral();
    deferral.begin([], false, 30_000, at(0));
    expect([deferral.isDeferring(at(29_999)), deferral.nextDeadline()]).toEqual([true, 30_000]);
    expect(deferral.isDeferring(at(30_000))).toBe(false);
  });
});
