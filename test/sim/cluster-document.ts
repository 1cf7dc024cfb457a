/** Which cluster a seed stands for: a document as an operator would write it, compiled for each of its machines. */
import type { NodeSettings } from "#base/settings.ts";
import { compileNode } from "#config/compile.ts";
import { parseDocument } from "#config/parse.ts";

export interface ClusterShape {
  /** None: a full mesh. */
  readonly reflectors: number;
  readonly nodes: number;
  /** CIDRs in the routed pool: with fewer than nodes, somebody waits. */
  readonly room: 4 | 8 | 16 | 256;
  readonly ipv6: boolean;
  readonly overlay: boolean;
  /** The routed pool gives out nothing new. */
  readonly draining?: boolean;
}

export const edgeName = "edge";
export const edgeAs = 65_001;
const edgeAddress = "10.0.9.1";
const bits = { 4: 22, 8: 21, 16: 20, 256: 16 } as const;

/** Seeds go through the shapes: one to three reflectors or none, five or six nodes, pools with room and without. */
export function shapeOf(seed: number): ClusterShape {
  return {
    reflectors: [2, 1, 2, 3, 2, 1, 0][seed % 7]!,
    nodes: 5 + (seed % 2),
    room: ([8, 8, 4, 256, 8] as const)[seed % 5]!,
    ipv6: seed % 3 === 0,
    overlay: seed % 4 === 0,
  };
}

/** Settings by machine name: reflectors `rr1` …, nodes `n1` …, and the router of another AS that peers with n1 and n2. */
export function settingsOf(shape: ClusterShape): ReadonlyMap<string, NodeSettings> {
  const inside = documentOf(shape),
    outside = edgeDocument();
  const names = [...numbered("rr", shape.reflectors), ...numbered("n", shape.nodes)];
  return new Map([...names.map((name) => [name, compiled(inside, name)] as const), [edgeName, compiled(outside, edgeName)]]);
}

const numbered = (stem: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${stem}${i + 1}`);
const addressOf = (name: string): string => (name.startsWith("rr") ? `10.0.0.${10 + Number(name.slice(2))}` : `10.0.0.${20 + Number(name.slice(1))}`);

function documentOf({ reflectors, nodes, room, ipv6, overlay, draining }: ClusterShape): string {
  const machine = (name: string, more: string): string => {
    const second = ipv6 ? `, address6: "fd00::${addressOf(name).split(".").at(-1)}"` : "";
    return `  ${name}: { address: ${addressOf(name)}${second}${more} }`;
  };
  return [
    "podway: 1",
    "name: sim",
    'store: { etcd: { endpoints: ["http://10.0.0.2:2379"] } }',
    "lease: { hold: 10m, liveness: 60s, quarantine: 1m }",
    "pools:",
    `  - { name: routed, cidr: 10.42.0.0/${bits[room]}, nodePrefix: 24, backend: bgp${draining ? ", state: draining" : ""} }`,
    ...(ipv6 ? ['  - { name: routed6, cidr: "fd42::/48", nodePrefix: 64, backend: bgp }'] : []),
    ...(overlay ? ["  - { name: overlay, cidr: 10.43.0.0/20, nodePrefix: 24, backend: vxlan, vni: 43 }"] : []),
    "nodes:",
    ...numbered("rr", reflectors).map((name) => machine(name, ", roles: [reflector]")),
    ...numbered("n", nodes).map((name) => machine(name, name === "n1" || name === "n2" ? ', labels: { edge: "yes" }' : "")),
    "peers:",
    `  - { name: ${edgeName}, address: ${edgeAddress}, asn: ${edgeAs}, nodes: "has(edge)", import: [all], export: [pods] }`,
    "",
  ].join("\n");
}

function edgeDocument(): string {
  const peers = ["n1", "n2"].map((name) => `  - { name: ${name}, address: ${addressOf(name)}, asn: 64512, passive: true, import: [all], export: [all] }`);
  return ["podway: 1", "name: outside", `asn: ${edgeAs}`, "store: none", "nodes:", `  ${edgeName}: { address: ${edgeAddress} }`, "peers:", ...peers, ""].join(
    "\n",
  );
}

function compiled(text: string, name: string): NodeSettings {
  const parsed = parseDocument(text, "sim.yaml");
  if (!parsed.ok) throw new Error(`the simulator's own document is refused: ${parsed.fault.text}\n${text}`);
  const settings = compileNode(parsed.value.document, name);
  if (!settings.ok) throw new Error(settings.fault.text);
  return settings.value;
}

/** Prefixes the outside router may announce. */
export const outsidePrefixes = Array.from({ length: 24 }, (_, i) => `198.51.${100 + i}.0/24`);
