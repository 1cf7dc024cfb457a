/** What would be lost by the end of a session, and a peer that becomes client or non-client while its session is up. */
import { describe, expect, test } from "vitest";
import { ip4Number } from "#base/ip.ts";
import { type Prefix, parsePrefix } from "#base/prefix.ts";
import type { PeerRole, SessionSettings } from "#base/settings.ts";
import { coverageOf } from "#bgp/rib/coverage.ts";
import { wellKnownCommunity } from "#wire/bgp/community.ts";
import { RibPeers, restartOf, termsOf, v4Hop } from "./rib-peers.ts";
import { session } from "./settings-of.ts";

const p = (text: string): Prefix => parsePrefix(text)!;
const [one, two, three] = [p("10.42.1.0/24"), p("10.42.2.0/24"), p("10.42.3.0/24")] as const;
const route = (last: number): Parameters<RibPeers["announce"]>[1] => ({ origin: 0, asPath: [], localPref: 100, nextHop: v4Hop(last) });
const reflected = (last: number): Parameters<RibPeers["announce"]>[1] => ({
  ...route(last),
  originatorId: ip4Number(`10.0.0.${last}`),
  clusterList: Uint32Array.of(7),
});

describe("coverage", () => {
  const world = (): RibPeers => {
    const peers = new RibPeers();
    for (const peer of [1, 2, 3]) peers.up(peer, termsOf(peer, "non-client", { gracefulRestart: restartOf([0, 1]) }));
    return peers;
  };
  const of = (peers: RibPeers, staying: readonly number[], reflecting: readonly number[], peer: number): string => {
    const {
      holds,
      marked,
      reflected: others,
      uncovered,
      uncoveredReflected,
    } = coverageOf(peers.rib, { staying: new Set(staying), reflecting: new Set(reflecting) }, [peer]).get(peer)!;
    return `${holds} held, ${marked} marked, ${others} reflected, ${uncovered} of them alone, ${uncoveredReflected} of these reflected`;
  };

  test("a prefix is covered by whoever stays and tells it himself, or reflects it as a reflector of the document", () => {
    const peers = world();
    peers.announce(1, route(1), one);
    peers.announce(1, reflected(2), two);
    expect(of(peers, [2, 3], [3], 1)).toBe("2 held, 0 marked, 1 reflected, 2 of them alone, 1 of these reflected");
    peers.announce(2, route(2), two);
    expect(of(peers, [2, 3], [3], 1)).toBe("2 held, 0 marked, 1 reflected, 1 of them alone, 0 of these reflected");
    peers.announce(2, reflected(1), one);
    expect(of(peers, [2, 3], [3], 1)).toBe("2 held, 0 marked, 1 reflected, 1 of them alone, 0 of these reflected");
    peers.announce(3, reflected(1), one);
    expect(of(peers, [2, 3], [3], 1)).toBe("2 held, 0 marked, 1 reflected, 0 of them alone, 0 of these reflected");
    expect(of(peers, [2], [3], 1)).toBe("2 held, 0 marked, 1 reflected, 1 of them alone, 0 of these reflected");
  });

  test("what is kept of a session that ended covers nothing, and is lost like the rest", () => {
    const peers = world();
    peers.announce(1, route(1), one);
    peers.announce(3, route(1), one);
    peers.down(3, true);
    expect(of(peers, [2, 3], [3], 1)).toBe("1 held, 0 marked, 0 reflected, 1 of them alone, 0 of these reflected");
    expect(of(peers, [2], [], 3)).toBe("0 held, 0 marked, 0 reflected, 1 of them alone, 0 of these reflected");
  });

  test("our own prefixes are covered; GRACEFUL_SHUTDOWN is counted", () => {
    const peers = world();
    peers.rib.originate(one);
    peers.announce(1, { ...route(1), communities: Uint32Array.of(wellKnownCommunity.gracefulShutdown) }, one, three);
    expect(of(peers, [2, 3], [], 1)).toBe("2 held, 2 marked, 0 reflected, 1 of them alone, 0 of these reflected");
  });
});

test("client and non-client change within a session: who is told its routes does, and no session begins anew", () => {
  const peers = new RibPeers(),
    roles = new Map<number, PeerRole>([1, 2, 3].map((peer) => [peer, "non-client"]));
  const settingsOf = (peer: number): SessionSettings => ({ ...session, role: roles.get(peer)! });
  for (const peer of roles.keys()) peers.up(peer, termsOf(peer, "non-client", { enhancedRefresh: true }), settingsOf(peer));
  const become = (role: PeerRole, ...changed: number[]): void => {
    for (const peer of changed) {
      roles.set(peer, role);
      const reader = peers.readers.get(peer)!;
      reader.mayRepeat = reader.mayForget = true; // it goes over to others of its kind, and is told between the marks of a refresh
    }
    expect(peers.rib.reconfigure(settingsOf)).toEqual({ ask: changed, reset: [] });
    peers.settle();
  };
  const told = (): string => [...roles.keys()].map((peer) => `${peer}: ${[...peers.told(peer).keys()].join(" ")}`).join(", ");
  peers.announce(1, route(1), one);
  peers.announce(2, route(2), two);
  peers.settle();
  expect(told()).toBe("1: , 2: , 3: ");
  become("client", 1);
  expect(told()).toBe(`1: ${two}, 2: ${one}, 3: ${one}`);
  become("client", 2, 3);
  expect(told()).toBe(`1: ${two}, 2: ${one}, 3: ${one} ${two}`);
  become("non-client", 1, 2, 3);
  expect(told()).toBe("1: , 2: , 3: ");
});
