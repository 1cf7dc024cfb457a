/** Pods of a lab, planned: which node they hang on, where their address comes from, and the commands that attach one. Pure. */
import type { Family } from "#base/ip.ts";
import { prefixFamily, type Prefix } from "#base/prefix.ts";
import type { LabMachine } from "#config/lab-schema.ts";
import type { LabDocument } from "./plan.ts";

export interface PodPlan {
  readonly name: string;
  readonly namespace: string;
  readonly node: string;
  readonly nodeNamespace: string;
  /** The node's end of the veth; the pod's is eth0. */
  readonly device: string;
  /** Where its address comes from: the node's CIDR of a pool (the `index`-th address of it), or stated ones. */
  readonly source: { readonly pool: string; readonly index: number } | { readonly addresses: readonly string[] };
  readonly family: Family;
  readonly mtu: number;
  /** Source of what the node itself sends to the pod. */
  readonly nodeAddress: string | undefined;
}

const ethernetMtu = 1500;
/** Outer IPv4, UDP and VXLAN headers and the inner Ethernet header (RFC 7348 §5). */
const vxlanOverhead = 50;
/** Address 0 of a CIDR is the network's (and a tunnel device's), 1 is left to the node. */
const firstPodIndex = 2;

/** Name of a machine's network namespace (product §5). */
export function namespaceOf(lab: string, machine: string): string {
  return `pw-${lab}-${machine}`;
}

/** Every host that hangs on a node, in the document's order. */
export function planPods(document: LabDocument, machines: readonly LabMachine[]): PodPlan[] {
  const onNode = new Map<string, number>();
  const inPool = new Map<string, number>();
  const next = (counts: Map<string, number>, key: string): number => {
    const value = counts.get(key) ?? 0;
    counts.set(key, value + 1);
    return value;
  };
  return machines.flatMap((machine) => {
    if (machine.kind !== "host" || machine.node === undefined) return [];
    const pool = document.pools.find((one) => one.name === machine.pool);
    const cidr = (pool?.cidr ?? machine.addresses![0]!) as Prefix;
    const family = prefixFamily(cidr);
    const node = document.nodes[machine.node];
    return [
      {
        name: machine.name,
        namespace: namespaceOf(document.name, machine.name),
        node: machine.node,
        nodeNamespace: namespaceOf(document.name, machine.node),
        device: `pod${next(onNode, machine.node) + 1}`,
        source: pool
          ? { pool: pool.name, index: firstPodIndex + next(inPool, `${machine.node}/${pool.name}`) }
          : { addresses: machine.addresses!.map((text) => text.split("/")[0]!) },
        family,
        mtu: pool?.backend === "vxlan" ? ethernetMtu - vxlanOverhead : ethernetMtu,
        nodeAddress: family === 4 ? node?.address : node?.address6,
      },
    ];
  });
}

/** Addresses of a veth pair's node end: what every pod has as its gateway (product §6.12). */
export const gateways: Readonly<Record<Family, string>> = { 4: "169.254.1.1", 6: "fe80::1" };

/** Wire, node's lines and pod's lines that attach `pod` with `addresses` (without length). */
export function attachLines(pod: PodPlan, addresses: readonly string[]): { readonly wire: string; readonly node: string[]; readonly pod: string[] } {
  const node = [`link set ${pod.device} mtu ${pod.mtu} up`];
  const inside = [`link set eth0 mtu ${pod.mtu} up`];
  for (const family of [4, 6] as const) {
    const own = addresses.filter((address) => address.includes(":") === (family === 6));
    if (own.length === 0) continue;
    const full = family === 4 ? 32 : 128;
    node.push(`addr add ${gateways[family]}/${family === 4 ? "32 scope link" : "64 nodad"} dev ${pod.device}`);
    for (const address of own) {
      const from = pod.nodeAddress !== undefined && pod.family === family ? ` src ${pod.nodeAddress}` : "";
      node.push(`route add ${address}/${full} dev ${pod.device}${from}`);
      inside.push(`addr add ${address}/${full} dev eth0${family === 6 ? " nodad" : ""}`);
    }
    if (family === 4) inside.push(`route add ${gateways[4]}/32 dev eth0 scope link`);
    inside.push(`route add ${family === 4 ? "0.0.0.0/0" : "::/0"} via ${gateways[family]} dev eth0`);
  }
  return { wire: `link add ${pod.device} netns ${pod.nodeNamespace} type veth peer name eth0 netns ${pod.namespace}`, node, pod: inside };
}
