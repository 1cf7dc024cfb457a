/** A flannel network as flanneld leaves it, in etcd and in every kernel, taken over while its nodes ping each other. */
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import type { Ip } from "#base/ip.ts";
import { awaitFact } from "#lab/command.ts";
import type { Fault, Measured, Scene } from "./fault.ts";
import { type FaultLab, type NodeName, nodes } from "./lab.ts";
import type { ProbePair } from "./prober.ts";
import { etcd } from "./store-faults.ts";

const podway = fileURLToPath(new URL("../../src/podway.ts", import.meta.url));
const readyMillis = 60_000;

/** What flannel gave each node: a subnet out of 10.5.0.0/16, and a MAC of its own making. */
const members: Readonly<Record<NodeName, { readonly address: string; readonly octet: number; readonly mac: string }>> = {
  n1: { address: "10.0.0.21", octet: 52, mac: "c6:21:00:00:00:01" },
  n2: { address: "10.0.0.22", octet: 9, mac: "c6:22:00:00:00:02" },
  n3: { address: "10.0.0.23", octet: 200, mac: "c6:23:00:00:00:03" },
};
const subnetOf = (node: NodeName): string => `10.5.${members[node].octet}.0/24`;

export const flannelFaults: readonly Fault[] = [
  {
    name: "flannel-takeover",
    what: "a flannel network is imported and applied; its routes go node by node, then its devices; every node keeps its subnet",
    loss: "none",
    pairs: (lab) => nodes.flatMap((from) => nodes.flatMap((to) => (from === to ? [] : [pair(lab, from, to)]))),
    differs: /10\.5\.\d+\.|flannel\.1|pw-vx1\b|c6:2[123]|02:\S+ dev pw-vx1/,
    prepare: layFlannel,
    run: takeOver,
  },
];

const pair = (lab: FaultLab, from: NodeName, to: NodeName): ProbePair => ({
  name: `${from}>${to} of flannel`,
  namespace: lab.namespace(from),
  to: `10.5.${members[to].octet}.1` as Ip,
});

/** Keys as flannel's pkg/subnet/etcd/registry.go writes them, rows as its pkg/backend/vxlan lays them. */
async function layFlannel(lab: FaultLab): Promise<undefined> {
  const config = JSON.stringify({ Network: "10.5.0.0/16", SubnetLen: 24, Backend: { Type: "vxlan", VNI: 1 } });
  const leases = nodes.map((node) => ({
    key: `/coreos.com/network/subnets/${subnetOf(node).replace("/", "-")}`,
    value: JSON.stringify({ PublicIP: members[node].address, PublicIPv6: null, BackendType: "vxlan", BackendData: { VNI: 1, VtepMAC: members[node].mac } }),
  }));
  await etcd(
    lab,
    `await ask("kv/put", { key: btoa("/coreos.com/network/config"), value: btoa(${JSON.stringify(config)}) });
    for (const { key, value } of ${JSON.stringify(leases)}) {
      const { ID } = await ask("lease/grant", { TTL: 86400 });
      await ask("kv/put", { key: btoa(key), value: btoa(value), lease: ID });
    }`,
  );
  for (const node of nodes) {
    const { address, octet, mac } = members[node],
      others = nodes.filter((other) => other !== node).map((other) => members[other]);
    await lab.batch(node, "ip", [
      `link add flannel.1 address ${mac} type vxlan id 1 local ${address} dev eth1 dstport 8472 nolearning`,
      `address add 10.5.${octet}.0/32 dev flannel.1`,
      "link set flannel.1 up",
      ...others.map((other) => `neigh add 10.5.${other.octet}.0 lladdr ${other.mac} dev flannel.1 nud permanent`),
      // Stands for a pod.
      `address add 10.5.${octet}.1/32 dev lo`,
    ]);
    await lab.batch(
      node,
      "bridge",
      others.map((other) => `fdb append ${other.mac} dev flannel.1 dst ${other.address} self permanent`),
    );
    await lab.batch(
      node,
      "ip",
      others.map((other) => `route add 10.5.${other.octet}.0/24 via 10.5.${other.octet}.0 dev flannel.1 onlink`),
    );
  }
  return undefined;
}

async function takeOver({ lab, say }: Scene): Promise<Measured> {
  const wrong: string[] = [];
  const names = nodes.flatMap((node) => ["--name", `${members[node].address}=${node}`]);
  const text = await lab.in("n1", [process.execPath, podway, "import", "flannel", "--etcd", "http://10.0.0.2:2379", ...names]);
  // One file for all: the lab's machines share their disk.
  const { subnetEnv: _, ...pool } = (parse(text) as { readonly pools: readonly Record<string, unknown>[] }).pools[0]!;
  say(`apply: ${JSON.stringify(pool)}`);
  await lab.apply(lab.document.replace("\nnodes:", `\n  - ${JSON.stringify(pool)}\nnodes:`));
  if (!(await awaitFact(() => isBeside(lab), { millis: readyMillis, everyMillis: 200 })))
    wrong.push("60 s after the apply our routes do not lie beside flannel's");
  for (const node of nodes) await lab.batch(node, "ip", ["route flush dev flannel.1 proto boot"]);
  for (const node of nodes) {
    const left = await lab.in(node, ["ip", "-4", "route", "show", "dev", "flannel.1"]);
    if (left.trim() !== "") wrong.push(`${node} still routes by flannel.1: ${left}`);
  }
  for (const node of nodes) await lab.batch(node, "ip", ["link delete flannel.1"]);
  for (const node of nodes) {
    const lease = (await lab.status(node))?.leases.find((one) => one.pool === "flannel");
    if (lease?.cidr !== subnetOf(node)) wrong.push(`${node} has ${lease?.cidr ?? "nothing"} and not ${subnetOf(node)}, which flannel gave it`);
  }
  return { wrong };
}

/** Every node has our route to every other by our device, and still flannel's. */
async function isBeside(lab: FaultLab): Promise<true | undefined> {
  for (const node of nodes) {
    const routes = (await lab.in(node, ["ip", "-4", "route", "show", "to", "root", "10.5.0.0/16"])).split("\n");
    for (const device of ["pw-vx1", "flannel.1"])
      if (!nodes.every((other) => other === node || routes.some((line) => line.startsWith(`${subnetOf(other)} `) && line.includes(` dev ${device} `))))
        return undefined;
  }
  return true;
}
