import { describe, expect, test } from "vitest";
import { type Ip, ip4Number } from "#base/ip.ts";
import { type Prefix, parsePrefix } from "#base/prefix.ts";
import { type OriginNode, type OriginView, originNode } from "#bgp/rib/origin-check.ts";
import { RibPeers, restartOf, sequence, termsOf, v4Hop, v6Hop } from "./rib-peers.ts";

const p = (text: string): Prefix => parsePrefix(text)!;
/** Node `n<peer>`: the neighbour of that id (rib-peers.ts). */
const node = (peer: number): OriginNode =>
  originNode(`n${peer}`, { address: `10.0.0.${peer}` as Ip, address6: `fd00::${peer}` as Ip, routerId: `10.0.0.${peer}` as Ip });
const pools = [
  { prefix: p("10.42.0.0/16"), nodePrefix: 24 },
  { prefix: p("fd42::/48"), nodePrefix: 64 },
];
const view = (holders: Record<string, OriginNode>, addresses: Record<string, OriginNode> = {}): OriginView => ({
  pools,
  holders: new Map(Object.entries(holders) as [Prefix, OriginNode][]),
  addresses: new Map(Object.entries(addresses) as [Prefix, OriginNode][]),
});
const route = (last: number): Parameters<RibPeers["announce"]>[1] => ({ origin: 0, asPath: [], localPref: 100, nextHop: v4Hop(last) });
const cidr = p("10.42.7.0/24");

class Desk extends RibPeers {
  constructor() {
    super();
    this.up(1, termsOf(1, "client", { gracefulRestart: restartOf([0, 1]) }), { gracefulRestart: { restartSeconds: 120, staleSeconds: 300 } });
    this.up(2, termsOf(2, "client"));
    this.up(8, termsOf(8, "non-client"));
    this.up(9, termsOf(9, "external"), { import: ["all"] });
  }
  /** The peers whose paths of the prefix are taken. */
  from(prefix: Prefix): number[] {
    while (this.rib.step(this.now, 4096));
    const rib = this.rib.ribs[prefix.includes(":") ? 1 : 0],
      id = rib.prefixes.findText(prefix),
      peers: number[] = [];
    for (let path = id < 0 ? -1 : rib.adjRibIn.head[id]!; path >= 0; path = rib.adjRibIn.next[path]!) peers.push(rib.adjRibIn.peer[path]!);
    return peers.toSorted((a, b) => a - b);
  }
  get ids(): number {
    while (this.rib.step(this.now, 4096));
    return this.rib.ribs[0].prefixes.live + this.rib.ribs[1].prefixes.live;
  }
}

describe("origin validation by lease", () => {
  test("without leases to go by everything is taken, from the first ones on only what a node holds", () => {
    const desk = new Desk();
    desk.announce(1, route(1), cidr, p("192.0.2.0/24"));
    desk.announce(2, route(2), cidr);
    expect(desk.from(cidr)).toEqual([1, 2]);
    desk.rib.origins.follow(view({ [cidr]: node(1) }));
    expect([desk.from(cidr), desk.from(p("192.0.2.0/24"))]).toEqual([[1], [1]]);
    desk.rib.origins.follow(undefined);
    expect(desk.from(cidr)).toEqual([1, 2]);
  });

  test("an unknown CIDR waits and is taken as soon as its lease is known, unless it was withdrawn or its session ended meanwhile", () => {
    const desk = new Desk();
    desk.rib.origins.follow(view({}));
    desk.announce(1, route(1), cidr, p("10.42.8.0/24"), p("10.42.9.0/24"));
    desk.announce(1, { origin: 0, asPath: [], localPref: 100, nextHop: v6Hop(1) }, p("fd42:0:0:7::/64"));
    desk.announce(2, route(2), p("10.42.10.0/24"));
    expect([desk.from(cidr), desk.rib.origins.waiting]).toEqual([[], 5]);
    desk.withdraw(1, p("10.42.9.0/24"));
    desk.down(2);
    expect([desk.rib.origins.waiting, desk.ids]).toEqual([3, 3]);
    const all = { [cidr]: node(1), "10.42.8.0/24": node(2), "10.42.9.0/24": node(1), "10.42.10.0/24": node(2), "fd42:0:0:7::/64": node(1) };
    desk.rib.origins.follow(view(all));
    expect(Object.keys(all).map((each) => desk.from(each as Prefix))).toEqual([[1], [], [], [], [1]]);
    expect(desk.rib.origins.explain(p("10.42.8.0/24"))).toBe(
      "By the store's leases 10.42.8.0/24 is taken from node n2 alone (origin validation); 1 path from elsewhere waits for that.",
    );
  });

  test("a path kept over its peer's restart goes at once when its CIDR is leased anew", () => {
    const desk = new Desk();
    desk.rib.origins.follow(view({ [cidr]: node(1) }));
    desk.announce(1, route(1), cidr);
    desk.announce(2, route(2), cidr);
    desk.down(1, true);
    expect(desk.from(cidr)).toEqual([1]);
    desk.rib.origins.follow(view({ [cidr]: node(2) }));
    expect(desk.from(cidr)).toEqual([2]);
    expect(desk.rib.origins.counts).toMatchObject({ waited: 1, admitted: 1, evicted: 1 });
  });

  test("by another reflector a path counts as its originator's, and nobody but a client's own address counts for a client", () => {
    const desk = new Desk();
    desk.rib.origins.follow(view({ [cidr]: node(1) }));
    desk.announce(8, { ...route(1), originatorId: ip4Number("10.0.0.1"), clusterList: Uint32Array.of(7) }, cidr);
    desk.announce(2, { ...route(2), originatorId: ip4Number("10.0.0.1") }, cidr);
    expect(desk.from(cidr)).toEqual([8]);
    desk.announce(8, { ...route(1), originatorId: ip4Number("10.0.0.2"), clusterList: Uint32Array.of(7) }, cidr);
    expect(desk.from(cidr)).toEqual([]);
  });

  test("a client that was a reflector a moment ago still tells of the holder, if its route leads to the holder itself", () => {
    const desk = new Desk();
    desk.rib.origins.follow(view({ [cidr]: node(1) }));
    desk.announce(2, { ...route(1), originatorId: ip4Number("10.0.0.1"), clusterList: Uint32Array.of(7) }, cidr);
    expect(desk.from(cidr)).toEqual([2]);
    desk.announce(2, { ...route(1), originatorId: ip4Number("10.0.0.2"), clusterList: Uint32Array.of(7) }, cidr);
    expect(desk.from(cidr)).toEqual([]);
  });

  test("what an outside peer says of a pool is a matter of policy, not of leases", () => {
    const desk = new Desk();
    desk.rib.usePolicies({});
    desk.rib.origins.follow(view({ [cidr]: node(1) }));
    const before = desk.rib.origins.counts.waited;
    desk.announce(9, { ...route(9), asPath: sequence(64_609) }, cidr);
    expect(desk.rib.origins.counts.waited).toBe(before);
  });

  test("a host route is its claimant's, else that of the node whose CIDR it lies in; what is wider than a node's CIDR is nobody's", () => {
    const desk = new Desk(),
      host = p("10.42.7.9/32");
    desk.rib.origins.follow(view({ [cidr]: node(1) }));
    desk.announce(1, route(1), host, p("10.42.0.0/16"));
    desk.announce(2, route(2), host);
    expect([desk.from(host), desk.from(p("10.42.0.0/16"))]).toEqual([[1], []]);
    // The pod moved to n2, and with it the claim on its address.
    desk.rib.origins.follow(view({ [cidr]: node(1) }, { [host]: node(2) }));
    expect(desk.from(host)).toEqual([2]);
    desk.rib.origins.follow(view({ [cidr]: node(1) }));
    expect(desk.from(host)).toEqual([1]);
    // ... and a CIDR that becomes another's takes its host routes along.
    desk.rib.origins.follow(view({ [cidr]: node(2) }));
    expect(desk.from(host)).toEqual([2]);
  });

  test("gives back every attribute set and prefix id", () => {
    const desk = new Desk();
    desk.rib.origins.follow(view({ "10.42.1.0/24": node(1) }));
    desk.announce(1, route(1), cidr, p("10.42.1.0/24"));
    desk.announce(2, route(2), p("10.42.1.0/24"));
    desk.announce(2, route(2), p("10.42.1.0/24"));
    desk.withdraw(2, p("10.42.1.0/24"));
    desk.rib.origins.follow(view({ [cidr]: node(1) }));
    desk.withdraw(1, cidr, p("10.42.1.0/24"));
    expect([desk.rib.origins.waiting, desk.ids, desk.rib.attributes.live]).toEqual([0, 0, 0]);
  });
});
