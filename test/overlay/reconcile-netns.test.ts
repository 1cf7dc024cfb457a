import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Kernel } from "#ports/kernel.ts";
import { createReconciler, type Reconciler } from "#daemon/reconcile.ts";
import { type Fabric, mergePlanned } from "#overlay/fabric.ts";
import { planForwarding } from "#overlay/forwarding.ts";
import { planRouted } from "#overlay/routed.ts";
import { planVxlan } from "#overlay/vxlan.ts";
import { openNetlinkKernel } from "../../src/adapters/netlink-kernel.ts";
import { kernelMissing, Namespace, until } from "../contract/kernel-netns.ts";
import { ip, lease, lines, path, pool, prefix, underlay } from "./world.ts";

const self = { node: "n1", address: ip("10.0.0.1"), address6: undefined };
const silent = { note: () => undefined, gauge: () => undefined };
/** A drift must be repaired within a second of the deed; the rest of the deadline is for a busy machine. */
const repairMillis = 5000;

function fabricOf(others: number, cidrOf: (i: number) => string, addressOf: (i: number) => string, nodePool = pool()): Fabric {
  const leases = Array.from({ length: others }, (_, i) => lease(`node-${i}`, cidrOf(i), addressOf(i)));
  const routes = new Map([
    [prefix("10.60.0.0/16"), [ip("10.0.0.7"), ip("10.0.0.8")]],
    [prefix("10.61.0.0/16"), [ip("10.0.0.7")]],
  ]);
  const under = underlay({ "10.0.0.7": path("10.0.0.0/24", "eth0"), "10.0.0.8": path("10.0.0.0/24", "eth0") });
  return mergePlanned([
    planForwarding(new Set([4]), under),
    planVxlan({ self, pool: nodePool, own: prefix("10.43.255.0/24"), leases, underlay: under, metric: 117 }),
    planRouted({ own: [prefix("10.62.1.0/24")], routes, underlay: under, metric: 117 }),
  ]).fabric;
}

describe.skipIf(kernelMissing !== undefined)(`a real kernel${kernelMissing ?? ""}`, () => {
  let namespace: Namespace, leave: () => void, kernel: Kernel, reconciler: Reconciler, stop: AbortController, running: Promise<void>;
  const fabric = fabricOf(
      3,
      (i) => `10.43.${i + 2}.0/24`,
      (i) => `10.0.0.${i + 2}`,
    ),
    whole = lines(fabric).toSorted();
  const held = async (): Promise<readonly string[]> => lines(await kernel.look(fabric.sysctl.keys())).toSorted();
  const isWhole = async (): Promise<boolean> => JSON.stringify(await held()) === JSON.stringify(whole);

  beforeAll(async () => {
    namespace = new Namespace("drift");
    for (const line of [
      "link add eth0 type veth peer name eth1",
      "link set eth0 up",
      "link set eth1 up",
      "addr add 10.0.0.1/24 dev eth0",
      "route add blackhole 10.71.0.0/16 proto 186 metric 117",
      "link add pw-vx9 type vxlan id 9 dstport 4790 local 10.0.0.1",
    ])
      namespace.ip(line);
    leave = namespace.enter();
    kernel = await openNetlinkKernel(117);
    stop = new AbortController();
    reconciler = createReconciler({ kernel, telemetry: silent, lookMillis: 3_600_000 });
    running = reconciler.run(stop.signal);
    reconciler.want(fabric, true);
    await reconciler.settled();
  });
  afterAll(async () => {
    stop.abort();
    await running;
    kernel.close();
    leave();
    namespace.remove();
  });

  const meddling: readonly (readonly [string, (namespace: Namespace) => void])[] = [
    ["the device deleted", (n) => n.ip("link delete pw-vx43")],
    ["the device set down", (n) => n.ip("link set pw-vx43 down")],
    ["the device's MTU changed", (n) => n.ip("link set pw-vx43 mtu 1200")],
    ["the device's MAC changed (which costs its neighbours)", (n) => n.ip("link set pw-vx43 address 02:11:22:33:44:55")],
    ["the device's address deleted", (n) => n.ip("addr del 10.43.255.0/32 dev pw-vx43")],
    ["a neighbour deleted", (n) => n.ip("neigh del 10.43.2.0 dev pw-vx43")],
    ["a neighbour changed", (n) => n.ip("neigh replace 10.43.2.0 lladdr 02:00:00:00:00:99 dev pw-vx43 nud permanent")],
    ["a forwarding entry deleted", (n) => n.bridge(`fdb del ${[...fabric.fdb.values()][0]!.mac} dev pw-vx43 self`)],
    ["a forwarding entry changed", (n) => n.bridge(`fdb replace ${[...fabric.fdb.values()][0]!.mac} dev pw-vx43 dst 10.0.0.99 self permanent`)],
    ["a forwarding entry added", (n) => n.bridge("fdb add 02:00:00:00:00:98 dev pw-vx43 dst 10.0.0.99 self permanent")],
    ["a tunnel route deleted", (n) => n.ip("route del 10.43.3.0/24 proto 117")],
    ["a blackhole deleted", (n) => n.ip("route del blackhole 10.43.255.0/24 metric 117")],
    ["an equal-cost route narrowed", (n) => n.ip("route replace 10.60.0.0/16 via 10.0.0.7 proto 117 metric 117")],
    ["a route with our protocol added", (n) => n.ip("route add 10.99.0.0/16 via 10.0.0.7 proto 117")],
    ["forwarding switched off", (n) => n.exec("sysctl -qw net.ipv4.ip_forward=0")],
    ["all routes flushed by protocol", (n) => n.ip("route flush proto 117")],
    ["the uplink down and up, which takes the routed routes along", (n) => (n.ip("link set eth0 down"), n.ip("link set eth0 up"))],
    [
      "everything at once",
      (n) => (
        n.ip("route flush proto 117"),
        n.ip("neigh flush dev pw-vx43 nud permanent"),
        n.ip("link delete pw-vx43"),
        n.exec("sysctl -qw net.ipv4.ip_forward=0")
      ),
    ],
  ];
  for (const [what, deed] of meddling) {
    test(`repairs: ${what}`, async () => {
      await until("whole before", isWhole, repairMillis);
      deed(namespace);
      await until("whole again", isWhole, repairMillis);
    });
  }

  test("leaves foreign routes and devices alone all the while", () => {
    expect(namespace.json("route show proto 186")).toMatchObject([{ dst: "10.71.0.0/16", metric: 117 }]);
    expect(namespace.json("link show pw-vx9")).toHaveLength(1);
  });

  test("counted the drift", () => {
    expect(reconciler.status().drift).toBeGreaterThanOrEqual(meddling.length);
  });

  test("ten thousand nodes: figures", async () => {
    const big = pool({ cidr: prefix("11.0.0.0/8") });
    const timed = async <T>(work: () => T | Promise<T>): Promise<readonly [T, number]> => {
      const started = performance.now(),
        value = await work();
      return [value, Math.round(performance.now() - started)];
    };
    const [many, planMillis] = await timed(() =>
      fabricOf(
        10_000,
        (i) => `11.${i >> 8}.${i & 255}.0/24`,
        (i) => `172.16.${i >> 8}.${i & 255}`,
        big,
      ),
    );
    const [, passMillis] = await timed(() => (reconciler.want(many, true), reconciler.settled()));
    const [seen, lookMillis] = await timed(() => kernel.look(many.sysctl.keys()));
    const [, idleMillis] = await timed(() => (reconciler.want(many, true), reconciler.settled()));
    const [, sweepMillis] = await timed(() => (reconciler.want(fabric, true), reconciler.settled()));
    console.log(
      `10,000 nodes, 30,000 rows: plan ${planMillis} ms, pass ${passMillis} ms, look ${lookMillis} ms, pass without a difference ${idleMillis} ms, removal ${sweepMillis} ms`,
    );
    expect([seen.neighbour.size, seen.fdb.size]).toEqual([10_000, 10_000]);
    expect(await isWhole()).toBe(true);
  }, 60_000);
});

describe.skipIf(kernelMissing !== undefined)(`somebody else's device of our name${kernelMissing ?? ""}`, () => {
  test("gets no row of ours, is told of, and counts as no drift however often it is looked at; once it goes, all is written", async () => {
    const namespace = new Namespace("foreign");
    for (const line of [
      "link add eth0 type veth peer name eth1",
      "link set eth0 up",
      "link set eth1 up",
      "addr add 10.0.0.1/24 dev eth0",
      "link add pw-vx43 type vxlan id 9 dstport 4790 local 10.0.0.1",
      "link set pw-vx43 up",
    ])
      namespace.ip(line);
    const leave = namespace.enter(),
      kernel = await openNetlinkKernel(117),
      stop = new AbortController();
    const reconciler = createReconciler({ kernel, telemetry: silent, lookMillis: 100, eventMillis: 10 }),
      running = reconciler.run(stop.signal);
    try {
      const fabric = fabricOf(
        3,
        (i) => `10.43.${i + 2}.0/24`,
        (i) => `10.0.0.${i + 2}`,
      );
      reconciler.want(fabric, true);
      const before = reconciler.status().passes;
      await until("it was tried several times", () => reconciler.status().passes > before + 3);
      expect(reconciler.status().drift).toBe(0);
      expect(namespace.bridgeJson("fdb show dev pw-vx43")).toEqual([]);
      expect(namespace.json("neigh show dev pw-vx43 nud permanent")).toEqual([]);
      expect(namespace.ip("route show dev pw-vx43")).toBe("");
      const failures = reconciler.view().tables.flatMap(({ entries }) => entries.flatMap(({ failure }) => failure ?? []));
      expect(failures.some((text) => text.includes("is not Podway's"))).toBe(true);
      expect(failures.filter((text) => text.endsWith("waits for link pw-vx43."))).toHaveLength(10);
      expect(namespace.json("route show 10.61.0.0/16")).toHaveLength(1);
      namespace.ip("link delete pw-vx43");
      await until("all is written", () => reconciler.status().differing === 0, 10_000);
      expect(reconciler.status().drift).toBe(0);
    } finally {
      stop.abort();
      await running;
      kernel.close();
      leave();
      namespace.remove();
    }
  }, 30_000);
});
