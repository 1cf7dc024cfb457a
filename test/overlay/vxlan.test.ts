import { describe, expect, test } from "vitest";
import { mergePlanned } from "#overlay/fabric.ts";
import type { PoolPlan } from "#overlay/remote.ts";
import { planVxlan } from "#overlay/vxlan.ts";
import { vtepMac } from "#overlay/vtep.ts";
import { ip, lease, lines, path, pool, prefix, underlay } from "./world.ts";

const self = { node: "n1", address: ip("10.0.0.1"), address6: undefined };
const near = path("10.0.0.0/24", "eth0"),
  far = path("0.0.0.0/0", "eth0", "10.0.0.254");

function plan(change: Partial<PoolPlan> = {}): PoolPlan {
  return { self, pool: pool(), own: prefix("10.43.1.0/24"), leases: [], underlay: underlay(), metric: 117, ...change };
}

describe("an overlay pool", () => {
  test("without other nodes is a device, its address and a blackhole", () => {
    const { fabric, notes } = planVxlan(plan({ leases: [lease("n1", "10.43.1.0/24", "10.0.0.1")] }));
    expect(notes).toEqual([]);
    expect(lines(fabric)).toEqual([
      `link pw-vx43: vxlan id 43 local 10.0.0.1 dstport 4789 address ${vtepMac("n1", 43)} mtu 1450 up`,
      "address pw-vx43 10.43.1.0/32: 10.43.1.0/32 dev pw-vx43",
      "route 10.43.1.0/24 metric 117: blackhole",
    ]);
  });

  test("gives each other node a neighbour, a forwarding entry and a route", () => {
    const { fabric } = planVxlan(
      plan({
        leases: [lease("n2", "10.43.2.0/24", "10.0.0.2"), lease("n3", "10.43.3.0/24", "10.1.0.3")],
        underlay: underlay({ "10.0.0.2": near, "10.1.0.3": far }),
      }),
    );
    const n2 = vtepMac("n2", 43),
      n3 = vtepMac("n3", 43);
    expect(lines(fabric).filter((line) => !/^(link|address)/.test(line))).toEqual([
      `neighbour pw-vx43 10.43.2.0: lladdr ${n2} dev pw-vx43 permanent`,
      `neighbour pw-vx43 10.43.3.0: lladdr ${n3} dev pw-vx43 permanent`,
      `fdb pw-vx43 ${n2}: dst 10.0.0.2 dev pw-vx43 self permanent`,
      `fdb pw-vx43 ${n3}: dst 10.1.0.3 dev pw-vx43 self permanent`,
      "route 10.43.2.0/24 metric 117: via 10.43.2.0 dev pw-vx43 onlink",
      "route 10.43.3.0/24 metric 117: via 10.43.3.0 dev pw-vx43 onlink",
      "route 10.43.1.0/24 metric 117: blackhole",
    ]);
  });

  test("crossSubnet routes straight to nodes on the link and tunnels to the rest", () => {
    const leases = [lease("n2", "10.43.2.0/24", "10.0.0.2"), lease("n3", "10.43.3.0/24", "10.1.0.3"), lease("n4", "10.43.4.0/24", "10.2.0.4")];
    const { fabric } = planVxlan(plan({ pool: pool({ crossSubnet: true }), leases, underlay: underlay({ "10.0.0.2": near, "10.1.0.3": far }) }));
    expect(lines(fabric).filter((line) => line.startsWith("route"))).toEqual([
      "route 10.43.2.0/24 metric 117: via 10.0.0.2 dev eth0",
      "route 10.43.3.0/24 metric 117: via 10.43.3.0 dev pw-vx43 onlink",
      "route 10.43.4.0/24 metric 117: via 10.43.4.0 dev pw-vx43 onlink",
      "route 10.43.1.0/24 metric 117: blackhole",
    ]);
    expect(fabric.fdb.size).toBe(2);
  });

  test("a default route without gateway is no proof of one link", () => {
    const { fabric } = planVxlan(
      plan({
        pool: pool({ crossSubnet: true }),
        leases: [lease("n2", "10.43.2.0/24", "10.0.0.2")],
        underlay: underlay({ "10.0.0.2": path("0.0.0.0/0", "ppp0") }),
      }),
    );
    expect(fabric.route.get("10.43.2.0/24 metric 117")!.hops[0]!.device).toBe("pw-vx43");
  });

  test.each([
    ["the least MTU of the ways to the others, less 50", { "10.0.0.2": near, "10.1.0.3": { ...far, mtu: 1400 } }, undefined, 1350],
    ["of our own link while nobody else is known", {}, undefined, 1450],
    ["what the pool says, if it says", { "10.0.0.2": near }, 8950, 8950],
    ["never below what IPv6 needs", { "10.0.0.2": { ...near, mtu: 1300 } }, undefined, 1280],
  ])("MTU is %s", (_, paths, mtu, expected) => {
    const leases = Object.keys(paths).map((address, i) => lease(`n${i + 2}`, `10.43.${i + 2}.0/24`, address));
    expect(planVxlan(plan({ pool: pool({ mtu }), leases, underlay: underlay(paths) })).fabric.link.get("pw-vx43")!.mtu).toBe(expected);
  });

  test("an IPv6 pool over IPv6 loses 70 octets and speaks to the others' IPv6 addresses", () => {
    const self6 = { node: "n1", address: ip("fd00::1"), address6: ip("fd00::1") };
    const pool6 = pool({ name: "overlay", cidr: prefix("fd43::/48"), family: 6, nodePrefix: 64, vni: 44 });
    const remote = lease("n2", "fd43:0:0:2::/64", "10.0.0.2", { address6: ip("fd00::2") });
    const { fabric, notes } = planVxlan(
      plan({
        self: self6,
        pool: pool6,
        own: prefix("fd43:0:0:1::/64"),
        leases: [remote],
        underlay: underlay({ "fd00::2": path("fd00::/64", "eth0") }, { addresses: new Map([[ip("fd00::1"), "eth0"]]) }),
      }),
    );
    expect(notes).toEqual([]);
    expect(lines(fabric)).toEqual([
      `link pw-vx44: vxlan id 44 local fd00::1 dstport 4789 address ${vtepMac("n1", 44)} mtu 1430 up`,
      "address pw-vx44 fd43:0:0:1::/128: fd43:0:0:1::/128 dev pw-vx44",
      `neighbour pw-vx44 fd43:0:0:2::: lladdr ${remote.vtepMac} dev pw-vx44 permanent`,
      `fdb pw-vx44 ${remote.vtepMac}: dst fd00::2 dev pw-vx44 self permanent`,
      "route fd43:0:0:2::/64 metric 117: via fd43:0:0:2:: dev pw-vx44 onlink",
      "route fd43:0:0:1::/64 metric 117: blackhole",
    ]);
  });

  test("an IPv6 pool over IPv4 is tunnelled between the IPv4 addresses", () => {
    const { fabric } = planVxlan(
      plan({ pool: pool({ cidr: prefix("fd43::/48"), family: 6 }), own: undefined, leases: [lease("n2", "fd43:0:0:2::/64", "10.0.0.2")] }),
    );
    expect([...fabric.fdb.values()].map((row) => row.destination)).toEqual(["10.0.0.2"]);
    expect(fabric.link.get("pw-vx43")!.mtu).toBe(1450);
  });

  test("a node without an address of the underlay's family is named, not guessed", () => {
    const { fabric, notes } = planVxlan(plan({ leases: [lease("n2", "10.43.2.0/24", "fd00::2")] }));
    expect(fabric.fdb.size).toBe(0);
    expect(notes.map((said) => said.text)).toEqual(["10.43.2.0/24 is not reached: node n2 has no IPv4 address; give it one or put both nodes on one family."]);
  });

  test("of two claims on one CIDR the younger is programmed, in whatever order they come", () => {
    const old = lease("n2", "10.43.2.0/24", "10.0.0.2", { createRevision: 5n }),
      young = lease("n3", "10.43.2.0/24", "10.0.0.3", { createRevision: 9n });
    for (const leases of [
      [old, young],
      [young, old],
    ])
      expect([...planVxlan(plan({ leases })).fabric.fdb.values()].map((row) => row.destination)).toEqual(["10.0.0.3"]);
  });

  test("two nodes with one VTEP MAC: the younger is refused loudly, by every node alike", () => {
    const mac = vtepMac("n2", 43);
    const { fabric, notes } = planVxlan(
      plan({
        leases: [
          lease("n3", "10.43.3.0/24", "10.0.0.3", { vtepMac: mac, createRevision: 7n }),
          lease("n2", "10.43.2.0/24", "10.0.0.2", { createRevision: 3n }),
        ],
      }),
    );
    expect([...fabric.fdb.values()].map((row) => row.destination)).toEqual(["10.0.0.2"]);
    expect(notes[0]!.event).toBe("vxlan.duplicate-mac");
  });

  test("a changed address or MAC of a node replaces its one entry (no stale ones stay)", () => {
    const before = planVxlan(plan({ leases: [lease("n2", "10.43.2.0/24", "10.0.0.2")] })).fabric,
      after = planVxlan(plan({ leases: [lease("n2", "10.43.2.0/24", "10.0.0.99")] })).fabric;
    expect([...after.fdb.keys()]).toEqual([...before.fdb.keys()]);
    expect([...after.fdb.values()][0]!.destination).toBe("10.0.0.99");
  });

  test("a lost lease takes the address and the blackhole away and leaves the rest", () => {
    const { fabric } = planVxlan(plan({ own: undefined, leases: [lease("n2", "10.43.2.0/24", "10.0.0.2")] }));
    expect([fabric.address.size, fabric.link.size, [...fabric.route.keys()]]).toEqual([0, 1, ["10.43.2.0/24 metric 117"]]);
  });
});

describe("VTEP MACs", () => {
  test("are the same every time, differ by node and VNI, and are local unicast", () => {
    expect(vtepMac("n1", 43)).toBe(vtepMac("n1", 43));
    const seen = new Set<string>();
    for (let node = 0; node < 2000; node++) for (const vni of [1, 43, 16_777_215]) seen.add(vtepMac(`node-${node}`, vni));
    expect(seen.size).toBe(6000);
    for (const mac of seen) expect(parseInt(mac.slice(0, 2), 16) & 3).toBe(2);
  });
  test("have not changed since the first release: devices out there carry them", () => {
    expect([vtepMac("n1", 43), vtepMac("n2", 43), vtepMac("n1", 44)]).toMatchInlineSnapshot(`
      [
        "52:8f:62:aa:de:10",
        "72:53:9c:63:1a:de",
        "de:4a:ca:41:ac:76",
      ]
    `);
  });
});

test("two planners that want one row differently: the first is kept, and it is said", () => {
  const one = planVxlan(plan()),
    two = planVxlan(plan({ self: { ...self, node: "other" } }));
  const { fabric, notes } = mergePlanned([one, two]);
  expect(fabric.link.get("pw-vx43")!.mac).toBe(vtepMac("n1", 43));
  expect(notes.map((said) => said.event)).toEqual(["fabric.conflict"]);
});
