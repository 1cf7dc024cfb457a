import { describe, expect, test } from "vitest";
import type { FamilyIndex, SessionTerms } from "#bgp/terms.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { at, nothingLive, restartOf, RibPeers, sequence, termsOf, v4Hop } from "./rib-peers.ts";
import { session } from "./settings-of.ts";

const stale = 0xffff0006,
  noLongLived = 0xffff0007;
const route: PathAttributes = { origin: 0, asPath: sequence(), nextHop: v4Hop(1), localPref: 100 };
const withStale = { ...route, communities: Uint32Array.of(stale) };

function longOf(seconds: number, forwarding = true, families: readonly FamilyIndex[] = [0]): NonNullable<SessionTerms["longLived"]> {
  return families.map((family) => ({ family, forwarding, staleSeconds: seconds }));
}
const knows = (more: Partial<SessionTerms> = {}): SessionTerms =>
  termsOf(1, "client", { families: [0], gracefulRestart: restartOf([0], [0]), longLived: longOf(3600), ...more });

/** Client 1 knows long-lived restart and has told two routes; 2 knows it too, 3 does not. */
function world(terms = knows()): RibPeers {
  const one = new RibPeers();
  one.up(1, terms);
  one.up(2, termsOf(2, "client", { longLived: [] }));
  one.up(3, termsOf(3, "client"));
  one.announce(1, route, "10.1.0.0/16", "10.2.0.0/16");
  one.endOfRib(1, 0);
  one.settle();
  return one;
}
const pass = (one: RibPeers, seconds: number): void => {
  one.now = at(one.now + seconds * 1000);
  one.settle();
};
const told = (one: RibPeers, peer: number): string[] => [...one.told(peer).keys()].toSorted();
const isStale = (one: RibPeers, prefix = "10.1.0.0/16"): boolean => one.told(2).get(prefix)?.includes(String(stale)) === true;
const both = ["10.1.0.0/16", "10.2.0.0/16"];

describe("the restart time is over, the long-lived time begins (RFC 9494 §4.2)", () => {
  test("routes stay with LLGR_STALE for who knows it, and go for who does not; after the long-lived time they are gone", () => {
    const one = world();
    one.down(1, true);
    pass(one, 119);
    expect([told(one, 2), told(one, 3), isStale(one)]).toEqual([both, both, false]);
    pass(one, 1);
    expect([told(one, 2), told(one, 3), isStale(one)]).toEqual([both, [], true]);
    expect(one.rib.takeNotes().map(({ event }) => event)).toEqual(["bgp.long-lived-stale"]);
    pass(one, 3599);
    expect(told(one, 2)).toEqual(both);
    pass(one, 1);
    expect([told(one, 2), one.rib.takeNotes().map(({ event }) => event), one.rib.isForgotten(1)]).toEqual([[], ["bgp.stale-expired"], true]);
    for (const peer of [2, 3]) one.down(peer);
    one.settle();
    expect(one.live()).toEqual(nothingLive);
  });

  test("NO_LLGR goes where the long-lived time begins", () => {
    const one = world();
    one.announce(1, { ...route, communities: Uint32Array.of(noLongLived) }, "10.2.0.0/16");
    one.settle();
    one.down(1, true);
    pass(one, 119);
    expect(told(one, 2)).toEqual(both);
    pass(one, 1);
    expect(told(one, 2)).toEqual(["10.1.0.0/16"]);
  });

  test("a family without restart time, or a restart time of 0, begins at once; a long-lived time of 0 is none", () => {
    for (const [terms, left, marked] of [
      [knows({ gracefulRestart: restartOf([], []) }), both, true],
      [knows({ gracefulRestart: { ...restartOf([0], [0]), restartSeconds: 0 } }), both, true],
      [knows({ gracefulRestart: restartOf([], []), longLived: longOf(0) }), [], false],
    ] as const) {
      const one = world(terms);
      one.down(1, true);
      one.settle();
      expect([told(one, 2), isStale(one)]).toEqual([left, marked]);
    }
  });

  test("the peer comes back and tells again: fresh; what it leaves out goes with End-of-RIB", () => {
    const one = world();
    one.down(1, true);
    pass(one, 1000);
    one.up(1, knows());
    one.announce(1, route, "10.1.0.0/16");
    one.settle();
    expect([isStale(one), isStale(one, "10.2.0.0/16"), told(one, 3)]).toEqual([false, true, ["10.1.0.0/16"]]);
    one.endOfRib(1, 0);
    one.settle();
    expect([told(one, 2), one.rib.nextDeadline()]).toEqual([["10.1.0.0/16"], undefined]);
  });

  test.each([
    ["F clear in the long-lived capability", knows({ longLived: longOf(3600, false) })],
    ["the capability gone", knows({ longLived: undefined })],
    ["the family not in it", knows({ longLived: [] })],
    ["another BGP Identifier", knows({ remoteId: 77 })],
  ])("it comes back: %s: the stale routes go at once", (_, terms) => {
    const one = world();
    one.down(1, true);
    pass(one, 200);
    one.up(1, terms);
    one.settle();
    expect([told(one, 2), one.rib.nextDeadline()]).toEqual([[], undefined]);
  });
});

describe("one restart after another (RFC 9494 §4.2)", () => {
  test("what was stale stays, and the time that runs is not set anew by sessions that did not synchronize", () => {
    const one = world();
    one.down(1, true);
    pass(one, 120);
    pass(one, 3000);
    for (let n = 0; n < 5; n++) {
      one.up(1, knows());
      pass(one, 50);
      one.down(1, true);
      pass(one, 50);
    }
    expect(told(one, 2)).toEqual(both);
    pass(one, 99);
    expect(told(one, 2)).toEqual(both);
    pass(one, 1);
    expect(told(one, 2)).toEqual([]);
  });

  test("before the long-lived time, too: plain graceful restart would drop what the first one left", () => {
    const one = world();
    one.down(1, true);
    pass(one, 60);
    one.up(1, knows());
    one.settle();
    one.down(1, true);
    pass(one, 100);
    expect([told(one, 2), isStale(one)]).toEqual([both, false]);
    pass(one, 20);
    expect([told(one, 2), isStale(one)]).toEqual([both, true]);
  });

  test("the time ends while the peer tells: the stale ones go; a session that then ends before End-of-RIB takes the rest with it", () => {
    const one = world();
    one.down(1, true);
    pass(one, 120);
    pass(one, 3590);
    one.up(1, knows());
    one.announce(1, route, "10.1.0.0/16");
    pass(one, 10);
    expect(told(one, 2)).toEqual(["10.1.0.0/16"]);
    one.down(1, true);
    one.settle();
    expect(told(one, 2)).toEqual([]);
  });

  test("after End-of-RIB everything begins anew", () => {
    const one = world();
    one.down(1, true);
    pass(one, 120);
    pass(one, 3590);
    one.up(1, knows());
    one.announce(1, route, "10.1.0.0/16");
    one.endOfRib(1, 0);
    pass(one, 1000);
    one.down(1, true);
    pass(one, 120);
    pass(one, 3590);
    expect([told(one, 2), isStale(one)]).toEqual([["10.1.0.0/16"], true]);
  });
});

describe("routes with LLGR_STALE (RFC 9494 §4.3, §4.4)", () => {
  test("are told to internal peers without the capability, as the last to use, where we are asked to (RFC 9494 §4.6)", () => {
    const one = world(),
      partial = { ...session, gracefulRestart: { restartSeconds: 120, staleSeconds: 300, longLivedPartial: true } };
    one.up(4, termsOf(4, "client"), partial);
    one.up(5, termsOf(5, "external"), { ...partial, role: "external", export: ["all"] });
    one.announce(1, { ...withStale, localPref: 900 }, "10.1.0.0/16");
    one.settle();
    expect(one.told(2).get("10.1.0.0/16")).toContain('"localPref":900');
    const told4 = one.told(4).get("10.1.0.0/16");
    expect(told4).toContain('"localPref":0');
    expect(told4).toContain(String(0xffff_ff01));
    expect([one.told(3).has("10.1.0.0/16"), one.told(5).has("10.1.0.0/16")]).toEqual([false, false]);
    one.announce(1, { ...route, localPref: 900 }, "10.1.0.0/16");
    one.settle();
    expect(one.told(4).get("10.1.0.0/16")).toContain('"localPref":900');
    for (const peer of [1, 2, 3, 4, 5]) one.down(peer);
    one.settle();
    expect(one.live()).toEqual(nothingLive);
  });

  test("come last, before LOCAL_PREF is looked at, whoever marked them; two of them compare as ever", () => {
    const one = world();
    one.up(4, termsOf(4, "client"));
    one.announce(4, { ...withStale, localPref: 900 }, "10.1.0.0/16");
    one.settle();
    expect(one.told(2).get("10.1.0.0/16")).toContain('"localPref":100');
    one.withdraw(1, "10.1.0.0/16");
    one.settle();
    expect([one.told(2).get("10.1.0.0/16")?.includes('"localPref":900'), one.told(3).has("10.1.0.0/16")]).toEqual([true, false]);
    one.announce(1, { ...withStale, localPref: 901 }, "10.1.0.0/16");
    one.settle();
    expect(one.told(2).get("10.1.0.0/16")).toContain('"localPref":901');
  });
});

test("a refresh that began and does not end is ended for the peer, with one note (RFC 7313 §4)", () => {
  const one = world();
  one.rib.refresh(1, 0, 1, one.now);
  one.announce(1, route, "10.1.0.0/16");
  pass(one, 599);
  expect(told(one, 2)).toEqual(both);
  pass(one, 1);
  expect([told(one, 2), one.rib.takeNotes().map(({ event }) => event), one.rib.nextDeadline()]).toEqual([["10.1.0.0/16"], ["bgp.refresh-unended"], undefined]);
});
