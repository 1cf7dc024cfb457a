/** Next hops as routes to them come and go: which path counts, what peers are told, and that nothing is left behind. */
import { expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { Instant } from "#base/time.ts";
import { unreachable } from "#bgp/rib/next-hops.ts";
import { Rib } from "#bgp/rib/rib.ts";
import { encodeUpdate } from "#wire/bgp/update.ts";
import { session } from "./settings-of.ts";
import { sequence, termsOf, v4Hop } from "./rib-peers.ts";

const now = 1000 as Instant;
const prefix = "192.0.2.0/24" as Prefix;
const hop = (last: number): Ip => `10.0.0.${last}` as Ip;

function ribOf(): Rib {
  const rib = new Rib({
    asn: 65_000,
    routerId: 1,
    clusterId: 1,
    address: "10.0.0.250" as Ip,
    address6: undefined,
    policies: {},
    observes: true,
    resolvesNextHops: true,
  });
  for (const peer of [1, 2]) rib.up(peer, termsOf(peer, "client"), { ...session, role: "client" }, now);
  return rib;
}
function announce(rib: Rib, peer: number, nextHop: number, localPref = 100, of: readonly Prefix[] = [prefix]): void {
  const attributes = { origin: 0, asPath: sequence(7), nextHop: v4Hop(nextHop), localPref } as const;
  const bytes = encodeUpdate({ attributes, nlri: of.map((each) => ({ prefix: each })) }, { fourOctetAs: true });
  expect(rib.update(peer, bytes, 19, bytes.length)).toBeUndefined();
}
function withdraw(rib: Rib, peer: number, of: Prefix = prefix): void {
  const bytes = encodeUpdate({ withdrawn: [{ prefix: of }] }, { fourOctetAs: true });
  rib.update(peer, bytes, 19, bytes.length);
}
function settle(rib: Rib): void {
  while (rib.step(now, 4096)) continue;
}
/** The peer whose path is chosen. */
function chosen(rib: Rib): number | undefined {
  settle(rib);
  const [v4] = rib.ribs,
    best = v4.bestOf(v4.prefixes.findText(prefix));
  return best < 0 ? undefined : v4.adjRibIn.peer[best];
}
const known = (...costs: readonly (readonly [number, number])[]): ReadonlyMap<Ip, number> => new Map(costs.map(([last, cost]) => [hop(last), cost]));

test("a path counts from the moment its next hop has a route, and no longer than that", () => {
  const rib = ribOf();
  announce(rib, 1, 1, 200);
  announce(rib, 2, 2);
  expect(chosen(rib)).toBeUndefined();
  expect(rib.attributes.nextHops!.takeNews()?.toSorted()).toEqual([hop(1), hop(2)]);
  rib.resolveNextHops(known([1, unreachable], [2, 0]));
  expect(chosen(rib)).toBe(2);
  rib.resolveNextHops(known([1, 0], [2, 0]));
  expect(chosen(rib)).toBe(1);
  rib.resolveNextHops(known([1, unreachable], [2, 0]));
  expect(chosen(rib)).toBe(2);
  rib.resolveNextHops(known([1, unreachable], [2, unreachable]));
  expect(chosen(rib)).toBeUndefined();
  expect(rib.ribs[0].chosen).toBe(0);
});

test("of equal paths the one with the closer next hop is chosen, before any identifier is looked at", () => {
  const rib = ribOf();
  announce(rib, 1, 1);
  announce(rib, 2, 2);
  rib.resolveNextHops(known([1, 10], [2, 0]));
  expect(chosen(rib)).toBe(2);
  rib.resolveNextHops(known([1, 0], [2, 10]));
  expect(chosen(rib)).toBe(1);
});

test("what changes while a walk is under way is heard after it, and a next hop nobody names any more is forgotten", () => {
  const rib = ribOf();
  for (let i = 0; i < 70_000; i += 500)
    announce(
      rib,
      1,
      1,
      100,
      Array.from({ length: 500 }, (_, k) => `172.${16 + ((i + k) >> 16)}.${((i + k) >> 8) & 255}.${(i + k) & 255}/32` as Prefix),
    );
  announce(rib, 2, 2);
  settle(rib);
  rib.resolveNextHops(known([1, 0]));
  rib.step(now, 1); // the first rows only
  rib.resolveNextHops(known([1, unreachable], [2, 0]));
  settle(rib);
  expect(rib.ribs[0].chosen).toBe(1);
  withdraw(rib, 2);
  settle(rib);
  expect(rib.attributes.nextHops!.all()).toEqual([hop(1)]);
});

test("our own address is a next hop that needs no route", () => {
  const rib = ribOf();
  rib.originate(prefix);
  expect(chosen(rib)).toBe(0);
  expect(rib.attributes.nextHops!.all()).toEqual([]);
});
