/** flannel's own data, as its sources write it, becomes a document that is accepted and keeps every subnet. */
import { expect, test } from "vitest";
import { importFlannel } from "#config/flannel.ts";
import { compileNode } from "#config/compile.ts";
import { parseDocument } from "#config/parse.ts";

const lease = (publicIp: string, more: object = {}): string =>
  JSON.stringify({ PublicIP: publicIp, PublicIPv6: null, BackendType: "vxlan", BackendData: { VNI: 1, VtepMAC: "c6:11:22:33:44:55" }, ...more });
const options = { cluster: "flannel", endpoints: ["http://127.0.0.1:2379"], names: new Map([["192.168.64.3", "n1"]]) };

function settings(text: string, node: string) {
  const document = parseDocument(text, "imported.yaml");
  if (!document.ok) throw new Error(JSON.stringify(document.fault));
  const compiled = compileNode(document.value.document, node);
  if (!compiled.ok) throw new Error(compiled.fault.text);
  return compiled.value;
}
function imported(config: object | string, keys: readonly { readonly name: string; readonly value: string }[]) {
  const done = importFlannel(typeof config === "string" ? config : JSON.stringify(config), keys, options);
  if (!done.ok) throw new Error(done.fault.text);
  return done.value;
}

test("vxlan: network, subnet length, VNI, port, and who has which subnet", () => {
  const { text, warnings } = imported({ Network: "10.5.0.0/16", SubnetLen: 24, Backend: { Type: "vxlan", VNI: 7, DirectRouting: true } }, [
    { name: "10.5.52.0-24", value: lease("192.168.64.3") },
    { name: "10.5.9.0-24", value: lease("192.168.64.4") },
  ]);
  expect(warnings).toEqual(["tunnels use UDP port 4789 instead of flannel's 8472, so that both can be there at once: let it pass between the nodes"]);
  const { pools, nodes } = settings(text, "n1");
  expect(pools).toMatchObject([
    {
      name: "flannel",
      cidr: "10.5.0.0/16",
      nodePrefix: 24,
      backend: "vxlan",
      vni: 7,
      port: 4789,
      crossSubnet: true,
      masquerade: true,
      subnetEnv: "/run/flannel/subnet.env",
    },
  ]);
  expect(pools[0]!.reservations).toEqual({ n1: "10.5.52.0/24", "node-192-168-64-4": "10.5.9.0/24" });
  expect(Object.keys(nodes)).toEqual(["n1", "node-192-168-64-4"]);
});

test("keys in any capitals and flannel's defaults, as Go reads them", () => {
  const { text } = imported('{ "network": "10.5.0.0/23", "backend": { "type": "host-gw" } }', [{ name: "10.5.0.0-25", value: lease("192.168.64.3") }]);
  expect(settings(text, "n1").pools).toMatchObject([{ backend: "host-gw", nodePrefix: 25 }]);
});

test("both families: two pools, and a node's subnet of each", () => {
  const { text } = imported({ EnableIPv6: true, Network: "10.5.0.0/16", IPv6Network: "fd00::/48", Backend: { Type: "vxlan" } }, [
    { name: "10.5.52.0-24&fd00:0:0:1::-64", value: lease("192.168.64.3", { PublicIPv6: "fd01::3" }) },
  ]);
  const { pools, address6 } = settings(text, "n1");
  expect(address6).toBe("fd01::3");
  expect(pools.map(({ cidr, vni, reservations }) => ({ cidr, vni, reservations }))).toEqual([
    { cidr: "10.5.0.0/16", vni: 1, reservations: { n1: "10.5.52.0/24" } },
    { cidr: "fd00::/48", vni: 2, reservations: { n1: "fd00:0:0:1::/64" } },
  ]);
});

test("what cannot be taken over is said, and the rest is", () => {
  const { text, warnings } = imported({ Network: "10.5.0.0/16", SubnetMin: "10.5.8.0", Backend: { Type: "vxlan", GBP: true } }, [
    { name: "10.5.52.0-24", value: lease("192.168.64.3") },
    { name: "10.9.0.0-24", value: lease("192.168.64.4") },
    { name: "rubbish", value: "{}" },
    { name: "10.5.1.0-24", value: "no JSON" },
  ]);
  expect(warnings).toEqual([
    "GBP is not taken over: packets carry no group",
    "tunnels use UDP port 4789 instead of flannel's 8472, so that both can be there at once: let it pass between the nodes",
    'subnetmin "10.5.8.0" is not taken over: nodes may lease from the whole network',
    "the key rubbish is left out: it is no subnet with a public address",
    "the key 10.5.1.0-24 is left out: it is no subnet with a public address",
    "node node-192-168-64-4 does not keep 10.9.0.0/24: flannel's config is now 10.5.0.0/16 in pieces of /24",
  ]);
  expect(settings(text, "n1").pools[0]!.reservations).toEqual({ n1: "10.5.52.0/24" });
});

test("no config, no network, and a backend without a like are one sentence each", () => {
  const fault = (config: string): string => {
    const done = importFlannel(config, [], options);
    return done.ok ? "accepted" : done.fault.text;
  };
  expect(fault("rubbish")).toMatch(/no JSON object/);
  expect(fault("{}")).toMatch(/no Network/);
  expect(fault('{"Network":"10.5.0.0/16","Backend":{"Type":"wireguard"}}')).toMatch(/wireguard has no like here/);
  expect(fault('{"Network":"10.5.0.0/16"}')).toMatch(/udp has no like here/);
});
