/** What a session does to routes beside policy: roles, graceful shutdown, AS numbers shown in place of others, our own first after a restart. */
import { describe, expect, test } from "vitest";
import type { PolicySettings } from "#base/policy-settings.ts";
import type { AsRole, SessionSettings } from "#base/settings.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { nothingLive, ownAs, restartOf, RibPeers, sequence, termsOf, v4Hop } from "./rib-peers.ts";
import { session } from "./settings-of.ts";

const all = { name: "all", rules: [], otherwise: "accept" } as const;
const outside = { import: ["all"], export: ["all"] };
const prefix = "10.1.0.0/16";
const from = (peer: number, more: Partial<PathAttributes> = {}): PathAttributes => ({
  origin: 0,
  asPath: sequence(64_600 + peer),
  nextHop: v4Hop(peer),
  ...more,
});
/** Client 1, external 5 and 6 with these settings. */
function world(of5: Partial<SessionSettings> = {}, of6: Partial<SessionSettings> = {}): RibPeers {
  const one = new RibPeers({ policies: { all } });
  one.up(1, termsOf(1, "client"));
  one.up(5, termsOf(5, "external"), { ...outside, ...of5 });
  one.up(6, termsOf(6, "external"), { ...outside, ...of6 });
  return one;
}
function toldOf(one: RibPeers, peer: number, key: string): unknown {
  const text = one.told(peer).get(prefix);
  return text === undefined ? "untold" : (JSON.parse(text) as Record<string, unknown>)[key];
}

describe("only to customer (RFC 9234 §5)", () => {
  const roles: readonly AsRole[] = ["provider", "rs", "rs-client", "customer", "peer"];
  /** In: our role, what comes with the route → what a client is told of it. */
  test.each([
    ["provider", undefined, undefined],
    ["provider", 64_605, "untold"],
    ["rs", undefined, undefined],
    ["rs", 7, "untold"],
    ["peer", undefined, 64_605],
    ["peer", 64_605, 64_605],
    ["peer", 7, "untold"],
    ["customer", undefined, 64_605],
    ["customer", 7, 7],
    ["rs-client", undefined, 64_605],
    ["rs-client", 7, 7],
  ] as const)("we are %s, the route has %s: %s is kept", (asRole, otc, kept) => {
    const one = world({ asRole });
    one.announce(5, from(5, otc === undefined ? {} : { otc }), prefix);
    one.settle();
    expect(toldOf(one, 1, "otc")).toBe(kept);
    for (const peer of [1, 5, 6]) one.down(peer);
    one.settle();
    expect(one.live()).toEqual(nothingLive);
  });

  test("out: marked for those below and beside; what is marked goes to nobody above or beside", () => {
    const out = Object.fromEntries(
      roles.map((asRole) => {
        const said = [undefined, 7].map((otc) => {
          const one = world({}, { asRole });
          one.announce(5, from(5, otc === undefined ? {} : { otc }), prefix);
          one.settle();
          return toldOf(one, 6, "otc");
        });
        return [asRole, said];
      }),
    );
    expect(out).toEqual({ provider: [ownAs, 7], rs: [ownAs, 7], peer: [ownAs, "untold"], customer: [undefined, "untold"], "rs-client": [undefined, "untold"] });
  });

  test("without a role nothing is added and nothing held back; a route server's paths need not begin with its AS", () => {
    const one = world({}, {});
    one.announce(5, from(5, { otc: 7 }), prefix);
    one.settle();
    expect([toldOf(one, 1, "otc"), toldOf(one, 6, "otc")]).toEqual([7, 7]);
    const server = world({ asRole: "rs-client" }, {});
    for (const peer of [5, 6]) server.announce(peer, from(peer, { asPath: sequence(64_999) }), peer === 5 ? prefix : "10.2.0.0/16");
    server.settle();
    expect([...server.told(1).keys()]).toEqual([prefix]);
  });
});

describe("graceful shutdown (RFC 8326)", () => {
  const leaving = Uint32Array.of(0xffff0000);

  test("a route that carries it has LOCAL_PREF 0 from an external peer, whatever the policy says; from an internal one it keeps its own", () => {
    const lift: PolicySettings = { name: "lift", rules: [{ when: {}, then: "accept", set: { localPref: { to: 500 } } }], otherwise: "reject" };
    const one = new RibPeers({ policies: { all, lift } });
    one.up(1, termsOf(1, "client"));
    one.up(2, termsOf(2, "client"));
    one.up(5, termsOf(5, "external"), { import: ["lift"], export: ["all"] });
    one.announce(5, from(5, { communities: leaving }), prefix);
    one.announce(1, { ...from(1), asPath: [], localPref: 100, communities: leaving }, "10.2.0.0/16");
    one.settle();
    one.announce(5, from(5), "10.3.0.0/16");
    one.settle();
    expect(one.told(1).get("10.3.0.0/16")).toContain('"localPref":500');
    expect([toldOf(one, 1, "localPref"), one.told(2).get("10.2.0.0/16")]).toEqual([0, expect.stringContaining('"localPref":100')]);
  });

  test("to an external peer the community is added, to an internal one LOCAL_PREF 0 too; others do not notice; and back", () => {
    const one = world();
    one.up(2, termsOf(2, "client"));
    one.announce(1, { ...from(1), asPath: [], localPref: 100 }, prefix);
    one.settle();
    const said = (): unknown[] => [2, 5, 6].map((peer) => [toldOf(one, peer, "communities"), toldOf(one, peer, "localPref")]);
    const set = (gracefulShutdown: boolean): unknown => {
      const answer = one.rib.reconfigure((peer) => {
        const terms = one.rib.peers.terms[peer]!;
        return {
          ...session,
          role: terms.role,
          remoteAs: terms.remoteAs,
          ...(terms.role === "external" && outside),
          gracefulShutdown: gracefulShutdown && (peer === 2 || peer === 5),
        };
      });
      for (const peer of [2, 5]) one.readers.get(peer)!.mayRepeat = true;
      one.settle();
      return answer;
    };
    expect(said()).toEqual([
      [undefined, 100],
      [undefined, undefined],
      [undefined, undefined],
    ]);
    // what an external peer told counts less now: it is asked to tell it again
    expect(set(true)).toEqual({ ask: [5], reset: [] });
    expect(said()).toEqual([
      [[0xffff0000], 0],
      [[0xffff0000], undefined],
      [undefined, undefined],
    ]);
    expect(set(false)).toEqual({ ask: [5], reset: [] });
    expect(said()).toEqual([
      [undefined, 100],
      [undefined, undefined],
      [undefined, undefined],
    ]);
  });

  test("our own routes, too", () => {
    const one = world({ gracefulShutdown: true });
    one.rib.originate(prefix as never);
    one.settle();
    expect([toldOf(one, 5, "communities"), toldOf(one, 6, "communities")]).toEqual([[0xffff0000], undefined]);
  });
});

describe("AS numbers and next hops", () => {
  const pathTo = (one: RibPeers, peer: number): number[] => (toldOf(one, peer, "asPath") as { asns: number[] }[]).flatMap(({ asns }) => asns);

  test("localAs stands in front of ours; asOverride puts ours in place of the neighbour's", () => {
    const one = world({}, { localAs: 64_999, asOverride: true });
    one.announce(5, from(5, { asPath: sequence(64_605, 64_606, 7, 64_606) }), prefix);
    one.settle();
    expect(pathTo(one, 6)).toEqual([64_999, ownAs, 64_605, ownAs, 7, ownAs]);
  });

  test("allowAsIn: our AS so often and no more; not what was reflected here", () => {
    const one = world({ allowAsIn: 2 });
    one.announce(5, from(5, { asPath: sequence(64_605, ownAs, ownAs) }), prefix);
    one.announce(5, from(5, { asPath: sequence(64_605, ownAs, ownAs, ownAs) }), "10.2.0.0/16");
    one.announce(6, from(6, { asPath: sequence(64_606, ownAs) }), "10.3.0.0/16");
    one.settle();
    expect([...one.told(1).keys()]).toEqual([prefix]);
  });

  test("nextHopSelf force: reflected routes, too", () => {
    const one = world();
    one.up(2, termsOf(2, "client"), { nextHopSelf: "force" });
    one.announce(1, { ...from(1), asPath: [], localPref: 100 }, prefix);
    one.settle();
    expect([toldOf(one, 2, "nextHop"), toldOf(one, 2, "originatorId")]).toEqual(["0aff0001", 0x0a00_0001]);
  });
});

describe("maxPrefixes", () => {
  test("counts each family by itself, and warns once on the way", () => {
    const one = new RibPeers({ policies: { all } });
    one.up(1, termsOf(1, "client"), { maxPrefixes: 4, prefixWarningPercent: 50 });
    one.announce(1, { ...from(1), asPath: [], localPref: 1 }, "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16");
    const hop6 = Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9);
    one.announce(1, { ...from(1), asPath: [], localPref: 1, nextHop: hop6 }, "fd00:1::/48", "fd00:2::/48");
    expect(one.rib.takeNotes().map(({ event }) => event)).toEqual(["bgp.prefixes-near-limit"]);
  });
});

describe("a restart of ours", () => {
  test("what we originate is told at once, without End-of-RIB; what others told waits; taken back, it is withdrawn", () => {
    const one = new RibPeers();
    const terms = { gracefulRestart: restartOf([0, 1]) };
    one.rib.originate("10.9.0.0/24" as never); // known before anybody said that this is a restart
    one.rib.deferral.begin([1, 2], false, 60_000, one.now);
    one.up(1, termsOf(1, "client", terms));
    one.up(2, termsOf(2, "non-client", terms));
    one.announce(1, { ...from(1), asPath: [], localPref: 100 }, prefix);
    const ends: number[] = [];
    for (const peer of [1, 2]) one.readers.get(peer)!.onHeard = (what) => void (what === "endOfRib" && ends.push(peer));
    one.rib.originate("10.8.0.0/24" as never);
    one.settle();
    const told = (): string[][] => [1, 2].map((peer) => [...one.told(peer).keys()].toSorted());
    expect([told(), ends]).toEqual([
      [
        ["10.8.0.0/24", "10.9.0.0/24"],
        ["10.8.0.0/24", "10.9.0.0/24"],
      ],
      [],
    ]);
    one.rib.withdrawOwn("10.8.0.0/24" as never);
    one.settle();
    expect(told()).toEqual([["10.9.0.0/24"], ["10.9.0.0/24"]]);
    for (const peer of [1, 2]) for (const family of [0, 1] as const) one.endOfRib(peer, family);
    one.settle();
    expect([told(), ends.toSorted((a, b) => a - b)]).toEqual([
      [["10.9.0.0/24"], ["10.1.0.0/16", "10.9.0.0/24"]],
      [1, 1, 2, 2],
    ]);
    one.rib.withdrawOwn("10.9.0.0/24" as never);
    for (const peer of [1, 2]) one.down(peer);
    one.settle();
    expect(one.live()).toEqual(nothingLive);
  });
});
