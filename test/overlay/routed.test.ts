import { describe, expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import { planForwarding } from "#overlay/forwarding.ts";
import { underlayTargets } from "#overlay/remote.ts";
import { planHostGateway, planRouted } from "#overlay/routed.ts";
import { ip, lease, lines, path, pool, prefix, underlay } from "./world.ts";

const near = path("10.0.0.0/24", "eth0");
const under = underlay({
  "10.0.0.2": near,
  "10.0.0.3": near,
  "10.9.0.9": {
    prefix: prefix("10.9.0.0/16"),
    hops: [
      { device: "eth0", gateway: ip("10.0.0.254") },
      { device: "eth1", gateway: ip("10.1.0.254") },
    ],
    local: false,
    mtu: 1500,
  },
  "fd00::2": path("fd00::/64", "eth0"),
  "10.0.0.1": { prefix: prefix("10.0.0.1/32"), hops: [], local: true, mtu: 0 },
  "10.66.0.6": { prefix: prefix("10.66.0.0/16"), hops: [], local: false, mtu: 0 },
});

function routed(routes: Readonly<Record<string, readonly string[]>>, own: readonly string[] = []) {
  return planRouted({
    own: own.map(prefix),
    routes: new Map(Object.entries(routes)) as ReadonlyMap<string, readonly string[]> as ReadonlyMap<Prefix, readonly Ip[]>,
    underlay: under,
    metric: 117,
  });
}

describe("BGP routes", () => {
  test.each([
    ["one next hop on the link", { "10.42.2.0/24": ["10.0.0.2"] }, ["route 10.42.2.0/24 metric 117: via 10.0.0.2 dev eth0"]],
    ["IPv6", { "fd42:0:0:2::/64": ["fd00::2"] }, ["route fd42:0:0:2::/64 metric 117: via fd00::2 dev eth0"]],
    [
      "equal cost, in one order whatever came first",
      { "10.42.2.0/24": ["10.0.0.3", "10.0.0.2"] },
      ["route 10.42.2.0/24 metric 117: via 10.0.0.2 dev eth0 nexthop via 10.0.0.3 dev eth0"],
    ],
    [
      "a next hop beyond gateways is resolved, over both",
      { "10.42.2.0/24": ["10.9.0.9"] },
      ["route 10.42.2.0/24 metric 117: via 10.0.0.254 dev eth0 nexthop via 10.1.0.254 dev eth1"],
    ],
    ["never to ourselves", { "10.42.2.0/24": ["10.0.0.1"] }, []],
    ["ourselves among others: only the others", { "10.42.2.0/24": ["10.0.0.1", "10.0.0.2"] }, ["route 10.42.2.0/24 metric 117: via 10.0.0.2 dev eth0"]],
    ["not through a route that contains its own next hop", { "10.9.0.0/16": ["10.9.0.9"] }, []],
    ["a default route may contain its next hop", { "0.0.0.0/0": ["10.0.0.2"] }, ["route 0.0.0.0/0 metric 117: via 10.0.0.2 dev eth0"]],
  ])("%s", (_, routes, expected) => {
    expect(lines(routed(routes).fabric)).toEqual(expected);
  });

  test("own CIDRs are blackholes, and stay so when a peer announces them", () => {
    expect(lines(routed({ "10.42.1.0/24": ["10.0.0.2"] }, ["10.42.1.0/24", "fd42:0:0:1::/64"]).fabric)).toEqual([
      "route 10.42.1.0/24 metric 117: blackhole",
      "route fd42:0:0:1::/64 metric 117: blackhole",
    ]);
  });

  test("next hops the kernel cannot reach are said once each, with the number of routes", () => {
    const { fabric, notes } = routed({ "10.42.2.0/24": ["192.0.2.1"], "10.42.3.0/24": ["192.0.2.1"], "10.42.4.0/24": ["10.66.0.6"] });
    expect(fabric.route.size).toBe(0);
    expect(notes.map((said) => said.text)).toEqual([
      "2 routes are not in the kernel: it has no route to their next hop 192.0.2.1.",
      "1 routes are not in the kernel: it has no route to their next hop 10.66.0.6.",
    ]);
  });
});

test("host-gw routes to nodes on the link and names those that are not", () => {
  const plan = {
    self: { node: "n1", address: ip("10.0.0.1"), address6: undefined },
    pool: pool({ backend: "host-gw" }),
    own: prefix("10.43.1.0/24"),
    underlay: under,
    metric: 117,
  };
  const { fabric, notes } = planHostGateway({
    ...plan,
    leases: [lease("n2", "10.43.2.0/24", "10.0.0.2"), lease("n3", "10.43.3.0/24", "10.9.0.9"), lease("n4", "10.44.0.0/24", "10.0.0.3", { pool: "other" })],
  });
  expect(lines(fabric)).toEqual(["route 10.43.1.0/24 metric 117: blackhole", "route 10.43.2.0/24 metric 117: via 10.0.0.2 dev eth0"]);
  expect(notes.map((said) => [said.event, said.node])).toEqual([["host-gw.not-on-link", "n3"]]);
});

describe("forwarding", () => {
  test("IPv4 alone sets one switch", () => {
    expect(lines(planForwarding(new Set([4]), under).fabric)).toEqual(["sysctl net/ipv4/ip_forward: 1"]);
  });
  test("IPv6 first keeps router advertisements on the uplinks, unless somebody switched them off, and never on pod links", () => {
    const links = new Map([...under.links, ["veth1", { name: "veth1", kind: "veth", mtu: 1500, up: true, loopback: false }] as const]);
    expect(lines(planForwarding(new Set([4, 6]), { ...under, links, advertised: ["eth1"] }).fabric)).toEqual([
      "sysctl net/ipv4/ip_forward: 1",
      "sysctl net/ipv6/conf/eth0/accept_ra: 2 (or 0)",
      "sysctl net/ipv6/conf/eth1/accept_ra: 2 (or 0)",
      "sysctl net/ipv6/conf/all/forwarding: 1",
    ]);
  });
});

test("the underlay is asked for the other nodes and every next hop, once each", () => {
  const self = { node: "n1", address: ip("10.0.0.1"), address6: undefined };
  const leases = [lease("n1", "10.43.1.0/24", "10.0.0.1"), lease("n2", "10.43.2.0/24", "10.0.0.2", { address6: ip("fd00::2") })];
  expect([...underlayTargets(self, leases, new Map([[prefix("10.42.2.0/24"), [ip("10.0.0.2"), ip("10.9.0.9")]]]))]).toEqual([
    "10.0.0.2",
    "fd00::2",
    "10.9.0.9",
  ]);
});
