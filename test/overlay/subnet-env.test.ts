/** The file flannel writes, to the octet (its pkg/subnet/subnet.go). */
import { expect, test } from "vitest";
import type { PoolSettings } from "#base/settings.ts";
import { planSubnetFiles } from "#overlay/subnet-env.ts";
import { planVxlan } from "#overlay/vxlan.ts";
import { ip, lease, path, pool, prefix, underlay } from "./world.ts";

const self = { node: "n1", address: ip("10.0.0.1"), address6: ip("fd00::1") };
const file = "/run/flannel/subnet.env";

function filesOf(pools: readonly PoolSettings[], own: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  const leases = [lease("n2", "10.43.2.0/24", "10.0.1.2")],
    beneath = underlay({ "10.0.1.2": path("10.0.1.0/24", "eth1", "10.0.0.254", 1400) });
  const held = new Map(Object.entries(own).map(([name, cidr]) => [name, prefix(cidr)]));
  const { fabric } = planVxlan({ self, pool: pool(), own: held.get("overlay"), leases, underlay: beneath, metric: 117 });
  return planSubnetFiles({ self, pools, own: held, fabric, underlay: beneath });
}

test("a VXLAN pool: its first host, and the MTU the tunnel has", () => {
  const text = filesOf([pool({ subnetEnv: file, masquerade: true })], { overlay: "10.43.1.0/24" }).get(file);
  expect(text).toBe("FLANNEL_NETWORK=10.43.0.0/16\nFLANNEL_SUBNET=10.43.1.1/24\nFLANNEL_MTU=1350\nFLANNEL_IPMASQ=true\n");
});

test("two families in one file, IPv4 first whatever the document's order; the smaller MTU", () => {
  const six = pool({ name: "six", cidr: prefix("fd43::/48"), family: 6, nodePrefix: 64, backend: "host-gw", vni: undefined, subnetEnv: file });
  const files = filesOf([six, pool({ subnetEnv: file })], { overlay: "10.43.1.0/24", six: "fd43:0:0:1::/64" });
  expect([...files]).toEqual([
    [
      file,
      "FLANNEL_NETWORK=10.43.0.0/16\nFLANNEL_SUBNET=10.43.1.1/24\nFLANNEL_IPV6_NETWORK=fd43::/48\nFLANNEL_IPV6_SUBNET=fd43:0:0:1::1/64\nFLANNEL_MTU=1350\nFLANNEL_IPMASQ=false\n",
    ],
  ]);
});

test("a pool's own MTU; the uplink's of a routed pool; nothing of a pool without CIDR, or without file", () => {
  const routed = pool({ name: "routed", backend: "bgp", vni: undefined, subnetEnv: "/run/routed.env" });
  expect(filesOf([pool({ subnetEnv: file, mtu: 1300 })], { overlay: "10.43.1.0/24" }).get(file)).toContain("\nFLANNEL_MTU=1300\n");
  expect(filesOf([routed], { routed: "10.42.1.0/24" }).get("/run/routed.env")).toContain("\nFLANNEL_MTU=1500\n");
  expect(filesOf([pool({ subnetEnv: file }), routed], {}).size).toBe(0);
  expect(filesOf([pool()], { overlay: "10.43.1.0/24" }).size).toBe(0);
});
