import { describe, expect, test } from "vitest";
import { type Ip, ip4Number, printIp } from "#base/ip.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { none } from "#bgp/rib/adj-rib-in.ts";
import { AttributeTable } from "#bgp/rib/attributes.ts";
import { bestBySteps, candidatesOf, compareBySteps, steps } from "#bgp/rib/explain.ts";
import { NextHops, unreachable } from "#bgp/rib/next-hops.ts";
import { LocRib } from "#bgp/rib/loc-rib.ts";
import { localPeer, PeerTable, roleLocal } from "#bgp/rib/peer-table.ts";
import { chance } from "../sim/chance.ts";
import { type Arrival, pathIds, someArrivals, someRoles } from "./path-sets.ts";
import { sequence, termsOf, v4Hop } from "./rib-peers.ts";
import { bestByElimination, type TwinPath, type TwinRole } from "./twins.ts";

/** Of next hop 10.0.0.0, 10.0.0.1, and so on. */
const costs = [0, 10, "unreachable", 10, 0] as const;
/** A path as one number: that of its peer, and behind it the identifier the peer gave it. */
const numberOf = (peer: number, pathId = 0): number => peer + 1000 * pathId;

/** A RIB of one prefix. Peers 1 to 7 are told apart by role, identifier and address, with ties among identifiers. */
class OnePrefix {
  readonly attributes = new AttributeTable({ asn: 65_000, routerId: 1, clusterId: 1, addresses: [] });
  readonly peers = new PeerTable();
  readonly rib = new LocRib(0, this.attributes, this.peers);
  readonly prefix = this.rib.prefixes.intern(Uint8Array.of(10, 0, 0, 0), 0, 8);
  readonly roles: readonly TwinRole[];
  readonly addresses = ["", "10.0.0.9", "10.0.0.2", "192.0.2.1", "10.0.0.4", "fd00::1", "10.0.0.100", "fd00::2"];

  readonly resolves: boolean;

  /** `resolves`: next hops cost what `costs` says of them, and one has no route. */
  constructor(roles: readonly TwinRole[], resolves = false) {
    this.roles = roles;
    this.resolves = resolves;
    if (resolves) this.attributes.nextHops = new NextHops();
    this.peers.role[localPeer] = roleLocal;
    this.peers.routerId[localPeer] = 1;
    for (let peer = 1; peer < roles.length; peer++)
      this.peers.open(peer, termsOf(peer, roles[peer] as "client", { remote: this.addresses[peer] as Ip, remoteId: this.routerId(peer) }));
  }

  routerId(peer: number): number {
    return peer === 0 ? 1 : 100 + (peer % 3);
  }
  clear(): void {
    for (let peer = 0; peer < this.roles.length; peer++) for (const pathId of pathIds) this.rib.withdraw(this.prefix, peer, pathId);
    while (this.rib.dirty.size > 0) this.rib.settle(this.rib.dirty.shift());
  }
  put({ peer, pathId, weight, attributes }: Arrival): void {
    this.rib.put(this.prefix, peer, this.attributes.internValues(attributes, undefined, weight), pathId ?? 0);
    const known = costs.map((cost, hop) => [printIp(v4Hop(hop)), cost === "unreachable" ? unreachable : cost] as const);
    this.attributes.nextHops?.resolve(new Map(known));
    this.attributes.nextHops?.settled();
  }
  /** The best path (`numberOf`), by each of the three; -1 for none. */
  answers(arrivals: readonly Arrival[]): { readonly columns: number; readonly steps: number; readonly elimination: number } {
    const best = this.rib.decision.best(this.prefix),
      candidates = candidatesOf(this.prefix, this.rib.adjRibIn, this.attributes, this.peers);
    const paths = arrivals.map(({ peer, pathId, weight, attributes }): TwinPath => ({
      peer,
      weight: weight ?? 0,
      pathId: pathId ?? 0,
      role: this.roles[peer]!,
      routerId: this.routerId(peer),
      address: orderOf(this.addresses[peer]!),
      ...(this.resolves && { cost: costs[attributes.nextHop![3]!] }),
      attributes,
    }));
    const { adjRibIn } = this.rib,
      bySteps = bestBySteps(candidates, this.peers),
      byElimination = bestByElimination(paths);
    return {
      columns: best === none ? -1 : numberOf(adjRibIn.peer[best]!, adjRibIn.pathIdOf(best)),
      steps: bySteps ? numberOf(bySteps.peer, bySteps.pathId) : -1,
      elimination: byElimination ? numberOf(byElimination.peer, byElimination.pathId) : -1,
    };
  }
}

/** IPv4 before IPv6, then by number, as text. */
function orderOf(address: string): string {
  if (address === "") return "";
  return address.includes(":") ? `6 ${address}` : `4 ${String(ip4Number(address)).padStart(10, "0")}`;
}

function permutations<T>(of: readonly T[]): T[][] {
  if (of.length <= 1) return [[...of]];
  return of.flatMap((one, i) => permutations([...of.slice(0, i), ...of.slice(i + 1)]).map((rest) => [one, ...rest]));
}

test("columns, numbered steps and the elimination of the RFC agree on 20,000 sets of up to eight paths, with ties", { timeout: 60_000 }, () => {
  const random = chance(1),
    wins = new Map<string, number>();
  const ones = Array.from({ length: 30 }, (_, i) => new OnePrefix(someRoles(random), i % 2 === 0));
  for (let n = 0; n < 20_000; n++) {
    const one = ones[n % ones.length]!,
      { roles } = one,
      arrivals = someArrivals(random, 1 + Math.floor(random() * 8), roles);
    one.clear();
    for (const arrival of arrivals) one.put(arrival);
    const { columns, steps: bySteps, elimination } = one.answers(arrivals);
    if (columns !== elimination || bySteps !== elimination)
      throw new Error(`set ${n}: columns ${columns}, steps ${bySteps}, elimination ${elimination}: ${JSON.stringify(arrivals)}`);
    const candidates = candidatesOf(one.prefix, one.rib.adjRibIn, one.attributes, one.peers),
      best = candidates.find(({ peer, pathId }) => numberOf(peer, pathId) === columns);
    if (!best) continue;
    for (const other of candidates) {
      if (other === best) continue;
      const { step } = compareBySteps(best, other, one.peers);
      wins.set(step.name, (wins.get(step.name) ?? 0) + 1);
    }
  }
  // each step decided somewhere, but for the peer's id: addresses differ
  for (const { name } of steps.filter((step) => step.name !== "lowest peer id")) expect(wins.get(name) ?? 0, name).toBeGreaterThan(20);
});

test("the order of arrival makes no difference: all orders of up to five paths, 400 sets", { timeout: 60_000 }, () => {
  const random = chance(2);
  const ones = Array.from({ length: 30 }, () => new OnePrefix(someRoles(random)));
  for (let n = 0; n < 400; n++) {
    const one = ones[n % ones.length]!,
      { roles } = one,
      arrivals = someArrivals(random, 2 + Math.floor(random() * 4), roles),
      winners = new Set<number>();
    for (const order of permutations(arrivals)) {
      one.clear();
      for (const arrival of order) one.put(arrival);
      const { columns, steps: bySteps } = one.answers(order);
      winners.add(columns).add(bySteps);
    }
    expect([...winners], JSON.stringify(arrivals)).toHaveLength(1);
  }
});

test("the best of several: each the best of those that are left, in every order of arrival", () => {
  const random = chance(5);
  for (let n = 0; n < 2000; n++) {
    const one = new OnePrefix(someRoles(random)),
      arrivals = someArrivals(random, 2 + Math.floor(random() * 10), one.roles),
      count = 1 + Math.floor(random() * 5);
    for (const arrival of arrivals) one.put(arrival);
    const candidates = [...candidatesOf(one.prefix, one.rib.adjRibIn, one.attributes, one.peers)],
      paths = candidates.map(({ path }) => path),
      wanted: number[] = [];
    one.rib.decision.bringForward(paths, count);
    while (wanted.length < count && candidates.length > 0) {
      const best = bestBySteps(candidates, one.peers)!;
      wanted.push(best.path);
      candidates.splice(candidates.indexOf(best), 1);
    }
    expect(paths.slice(0, count)).toEqual(wanted);
    expect(new Set(paths).size).toBe(arrivals.length);
  }
});

test("paths replaced and taken away: what is left decides, and what settle says has changed has changed", () => {
  const random = chance(4);
  for (let n = 0; n < 200; n++) {
    const roles = someRoles(random),
      one = new OnePrefix(roles),
      there = new Map<number, Arrival>();
    let told = -1,
      toldSet = 0;
    for (let act = 0; act < 30; act++) {
      const arrival = someArrivals(random, 1, roles)[0]!;
      if (random() < 0.6) {
        one.put(arrival);
        there.set(numberOf(arrival.peer, arrival.pathId), arrival);
      } else expect(one.rib.withdraw(one.prefix, arrival.peer, arrival.pathId)).toBe(there.delete(numberOf(arrival.peer, arrival.pathId)));
      const { columns, elimination } = one.answers([...there.values()]),
        best = one.rib.bestOf(one.prefix);
      expect(columns).toBe(elimination);
      if (random() < 0.4) continue;
      const isDirty = one.rib.dirty.size > 0,
        changed = isDirty && one.rib.settle(one.rib.dirty.shift());
      const now = one.rib.bestOf(one.prefix),
        peer = now === none ? -1 : numberOf(one.rib.adjRibIn.peer[now]!, one.rib.adjRibIn.pathIdOf(now)),
        set = now === none ? 0 : one.rib.adjRibIn.attributes[now]!;
      expect(peer).toBe(elimination);
      if (peer !== told || set !== toldSet) expect(changed).toBe(true);
      if (!isDirty) expect(now).toBe(best);
      [told, toldSet] = [peer, set];
      expect(one.rib.chosen).toBe(there.size > 0 ? 1 : 0);
    }
  }
});

describe("one row for each step, in the order of the process", () => {
  const base: PathAttributes = { origin: 0, asPath: sequence(7, 8), nextHop: v4Hop(1), localPref: 100, med: 10 };
  const rows: readonly (readonly [step: string, roles: readonly TwinRole[], better: Arrival, worse: Arrival])[] = [
    [
      "next hop that can be reached",
      ["local", "client", "client"],
      { peer: 1, attributes: base },
      { peer: 2, attributes: { ...base, localPref: 200, nextHop: v4Hop(2) } },
    ],
    [
      "not stale for long",
      ["local", "client", "client"],
      { peer: 1, attributes: base },
      { peer: 2, attributes: { ...base, localPref: 200, communities: Uint32Array.of(0xffff0006) } },
    ],
    ["highest weight", ["local", "client", "client"], { peer: 1, weight: 1, attributes: base }, { peer: 2, attributes: { ...base, localPref: 200 } }],
    [
      "highest LOCAL_PREF",
      ["local", "client", "client"],
      { peer: 1, attributes: { ...base, localPref: 200, asPath: sequence(7, 8, 9) } },
      { peer: 2, attributes: base },
    ],
    ["shortest AS_PATH", ["local", "client", "client"], { peer: 1, attributes: { ...base, asPath: sequence(7), origin: 2 } }, { peer: 2, attributes: base }],
    ["lowest ORIGIN", ["local", "client", "client"], { peer: 1, attributes: { ...base, med: 99 } }, { peer: 2, attributes: { ...base, origin: 1 } }],
    ["lowest MED of one neighbouring AS", ["local", "client", "external"], { peer: 1, attributes: { ...base, med: 9 } }, { peer: 2, attributes: base }],
    [
      "local before external before internal",
      ["local", "client", "external"],
      { peer: 2, attributes: base },
      { peer: 1, attributes: { ...base, originatorId: 1 } },
    ],
    [
      "closest next hop",
      ["local", "client", "client"],
      { peer: 2, attributes: { ...base, nextHop: v4Hop(0) } },
      { peer: 1, attributes: { ...base, originatorId: 1 } },
    ],
    [
      "lowest ORIGINATOR_ID or BGP Identifier",
      ["local", "client", "client"],
      { peer: 2, attributes: { ...base, originatorId: 1, clusterList: Uint32Array.of(1, 2) } },
      { peer: 1, attributes: base },
    ],
    [
      "shortest CLUSTER_LIST",
      ["local", "client", "client"],
      { peer: 1, attributes: { ...base, originatorId: 1 } },
      { peer: 2, attributes: { ...base, originatorId: 1, clusterList: Uint32Array.of(3) } },
    ],
    [
      "lowest peer address",
      ["local", "client", "client"],
      { peer: 2, attributes: { ...base, originatorId: 1 } },
      { peer: 1, attributes: { ...base, originatorId: 1 } },
    ],
    ["lowest path identifier", ["local", "client"], { peer: 1, attributes: base }, { peer: 1, pathId: 2, attributes: base }],
  ];

  test.each(rows)("%s", (name, roles, better, worse) => {
    for (const order of [
      [better, worse],
      [worse, better],
    ]) {
      const one = new OnePrefix(roles, name.includes("next hop"));
      for (const arrival of order) one.put(arrival);
      const wanted = numberOf(better.peer, better.pathId);
      expect(one.answers(order)).toEqual({ columns: wanted, steps: wanted, elimination: wanted });
      const candidates = candidatesOf(one.prefix, one.rib.adjRibIn, one.attributes, one.peers);
      const { step } = compareBySteps(
        candidates.find(({ peer, pathId }) => peer === better.peer && pathId === (better.pathId ?? 0))!,
        candidates.find(({ peer, pathId }) => peer === worse.peer && pathId === (worse.pathId ?? 0))!,
        one.peers,
      );
      expect(step.name).toBe(name);
    }
  });

  test("the table has these rows and the last resort", () => {
    expect(steps.map(({ name }) => name)).toEqual([...rows.slice(0, -1).map(([name]) => name), "lowest peer id", "lowest path identifier"]);
  });

  test("a missing MED is 0; MEDs of two neighbouring ASes do not meet; an AS_SET counts one and stands for the local AS", () => {
    const best = (...arrivals: Arrival[]): number => {
      const one = new OnePrefix(["local", "client", "client", "client"]);
      for (const arrival of arrivals) one.put(arrival);
      return one.answers(arrivals).columns;
    };
    const { med: _, ...withoutMed } = base;
    expect(best({ peer: 1, attributes: { ...base, med: 1 } }, { peer: 2, attributes: withoutMed })).toBe(2);
    // identifiers are 101 and 102: without the MED in the way peer 1 wins
    expect(best({ peer: 1, attributes: { ...base, med: 50 } }, { peer: 2, attributes: { ...base, med: 1, asPath: sequence(8, 7) } })).toBe(1);
    const set = [
      { type: 1, asns: Uint32Array.of(7, 8, 9) },
      { type: 2, asns: Uint32Array.of(7) },
    ] as const;
    expect(best({ peer: 1, attributes: { ...base, asPath: sequence(7, 8, 9) } }, { peer: 2, attributes: { ...base, asPath: set } })).toBe(2);
    expect(best({ peer: 1, attributes: { ...base, med: 5, asPath: [] } }, { peer: 2, attributes: { ...base, med: 4, asPath: [] } })).toBe(2);
  });
});
