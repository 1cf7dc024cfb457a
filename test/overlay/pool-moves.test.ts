/** A pool on its way from one backend to another: what a node keeps for the others, and how long. */
import { describe, expect, test } from "vitest";
import type { Lease } from "#base/lease.ts";
import type { Backend, PoolSettings } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import { planNode } from "#daemon/streams.ts";
import { lingerMillis, PoolMoves } from "#overlay/pool-moves.ts";
import { compileNode } from "#config/compile.ts";
import { goodDocument } from "../config/topology.ts";
import { ip, lease, lines, path, pool, prefix, underlay } from "./world.ts";

const at = (millis: number): Instant => millis as Instant;
const bgp = pool({ backend: "bgp", vni: undefined }),
  vxlan = pool();
const says = (node: string, backend: Backend): Lease => {
  const { vtepMac, ...rest } = lease(node, `10.43.${node.slice(1)}.0/24`, `10.0.0.${node.slice(1)}`, { backend });
  return backend === "vxlan" ? { ...rest, vtepMac: vtepMac!, vni: 43, port: 4789 } : rest;
};

describe("what is kept", () => {
  const see = (moves: PoolMoves, one: PoolSettings, leases: readonly Lease[], now: number): string => {
    const move = moves.see([one], leases, "n1", at(now)).get("overlay")!;
    return `${move.tunnel ? `vx${move.tunnel.vni}` : "-"} ${move.announces ? "announces" : "-"}`;
  };

  test("bgp → vxlan: announced as long as anybody says bgp, and a while longer", () => {
    const moves = new PoolMoves();
    expect(see(moves, bgp, [says("n1", "bgp"), says("n2", "bgp")], 0)).toBe("- announces");
    expect(see(moves, vxlan, [says("n1", "bgp"), says("n2", "bgp")], 1000)).toBe("vx43 announces");
    expect(see(moves, vxlan, [says("n1", "vxlan"), says("n2", "bgp")], 600_000)).toBe("vx43 announces");
    expect(see(moves, vxlan, [says("n1", "vxlan"), says("n2", "vxlan")], 700_000)).toBe("vx43 announces");
    expect(moves.nextDeadline()).toBe(700_000 + lingerMillis);
    expect(see(moves, vxlan, [says("n1", "vxlan"), says("n2", "vxlan")], 700_000 + lingerMillis - 1)).toBe("vx43 announces");
    expect(see(moves, vxlan, [says("n1", "vxlan"), says("n2", "vxlan")], 700_000 + lingerMillis)).toBe("vx43 -");
    expect(moves.nextDeadline()).toBe(undefined);
  });

  test("vxlan → bgp: the tunnel as long as anybody has one, and a while longer; announced at once", () => {
    const moves = new PoolMoves();
    expect(see(moves, vxlan, [says("n1", "vxlan"), says("n2", "vxlan")], 0)).toBe("vx43 -");
    expect(see(moves, bgp, [says("n1", "vxlan"), says("n2", "vxlan")], 1000)).toBe("vx43 announces");
    expect(see(moves, bgp, [says("n1", "bgp"), says("n2", "bgp")], 2000)).toBe("vx43 announces");
    expect(see(moves, bgp, [says("n1", "bgp"), says("n2", "vxlan")], 3000)).toBe("vx43 announces");
    expect(see(moves, bgp, [says("n1", "bgp"), says("n2", "bgp")], 4000)).toBe("vx43 announces");
    expect(see(moves, bgp, [says("n1", "bgp"), says("n2", "bgp")], 4000 + lingerMillis)).toBe("- announces");
  });

  test("a daemon that starts in the middle of it knows the tunnel from the leases of others", () => {
    expect(see(new PoolMoves(), bgp, [says("n1", "bgp"), says("n2", "vxlan")], 0)).toBe("vx43 announces");
  });

  test("the same answer until anything is otherwise; a pool that goes is forgotten", () => {
    const moves = new PoolMoves(),
      first = moves.see([bgp], [], "n1", at(0));
    expect(moves.see([bgp], [says("n2", "bgp")], "n1", at(1))).toBe(first);
    expect(moves.see([], [], "n1", at(2)).size).toBe(0);
  });
});

describe("routes in between", () => {
  const base = compileNode(goodDocument("podway: 1\nname: move\nnodes:\n  n1: { address: 10.0.0.1 }\n"), "n1");
  const beneath = underlay({ "10.0.0.2": path("10.0.0.0/24", "eth0"), "10.0.0.3": path("10.0.0.0/24", "eth0") });
  /** n1 as its document has the pool; what others say; whom BGP has a route to. */
  const planned = (one: PoolSettings, others: readonly Lease[], heard: readonly string[]): string[] => {
    if (!base.ok) throw new Error(base.fault.text);
    const moves = new PoolMoves().see([one], others, "n1", at(0));
    const { fabric, notes } = planNode({
      settings: { ...base.value, pools: [one] },
      own: new Map([
        ["overlay", { pool: "overlay", state: "held", reason: "", cidr: prefix("10.43.1.0/24"), confirmedAt: undefined, endsAt: undefined, fence: undefined }],
      ]),
      routes: new Map(heard.map((node) => [prefix(`10.43.${node.slice(1)}.0/24`), [ip(`10.0.0.${node.slice(1)}`)]])),
      leases: [says("n1", "vxlan"), ...others],
      underlay: beneath,
      inSync: true,
      moves,
    });
    expect(notes).toEqual([]);
    return lines(fabric)
      .filter((line) => line.startsWith("route") || line.startsWith("link"))
      .map((line) => line.replace(/:.* vxlan id (\d+) .*/, ": vxlan $1").replace(/ metric \d+/, ""));
  };
  const tunnel = (node: string): string => `route 10.43.${node.slice(1)}.0/24: via 10.43.${node.slice(1)}.0 dev pw-vx43 onlink`,
    plain = (node: string): string => `route 10.43.${node.slice(1)}.0/24: via 10.0.0.${node.slice(1)} dev eth0`,
    own = "route 10.43.1.0/24: blackhole";

  test.each([
    [
      "vxlan: a tunnel to who has one, BGP's route to who has none",
      vxlan,
      [says("n2", "vxlan"), says("n3", "bgp")],
      ["n2", "n3"],
      [tunnel("n2"), plain("n3"), own],
    ],
    ["vxlan: a tunnel all the same where BGP has no route", vxlan, [says("n2", "vxlan"), says("n3", "bgp")], [], [tunnel("n2"), tunnel("n3"), own]],
    [
      "bgp: BGP's route to all who have one, the tunnel to the others",
      bgp,
      [says("n2", "vxlan"), says("n3", "vxlan")],
      ["n3"],
      [tunnel("n2"), plain("n3"), own],
    ],
    [
      "host-gw: on the link to all, the device for who sends by it",
      pool({ backend: "host-gw", vni: undefined }),
      [says("n2", "vxlan"), says("n3", "bgp")],
      ["n3"],
      [plain("n2"), plain("n3"), own],
    ],
    ["bgp: on the link to who has gone to host-gw already", bgp, [says("n2", "host-gw"), says("n3", "bgp")], ["n3"], [plain("n2"), plain("n3"), own]],
  ])("%s", (_name, one, others, heard, routes) => {
    const all = planned(one, others, heard);
    expect(all.filter((line) => line.startsWith("route")).toSorted()).toEqual(routes.toSorted());
    const hasDevice = one.backend === "vxlan" || others.some(({ vni }) => vni !== undefined);
    expect(all.some((line) => line.startsWith("link pw-vx43"))).toBe(hasDevice);
  });
});
