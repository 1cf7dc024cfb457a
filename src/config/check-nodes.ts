/** Whether each node can be told apart and reached, and whether nodes can keep the sessions `reflection` gives them. */
import type { Ip } from "#base/ip.ts";
import { rangeOf } from "./address-text.ts";
import { type DeclaredNode, builtInLabels, isMesh, nodeSessions } from "./declared-node.ts";
import { limits } from "./limits.ts";
import { type Finding, type Path, doubtful, wrong } from "./problem.ts";
import type { Document } from "./schema.ts";

/** Why an address cannot be a machine's own, by its range; ranges not listed here can. */
const unusable: Readonly<Record<string, string>> = {
  multicast: "is a multicast address",
  broadcast: "is the broadcast address",
  unspecified: "is not an address of a machine",
  linkLocal: "is a link-local address, which means something else on every link",
};

/** An error if `ip` cannot be a machine's own address. */
export function* checkUnicast(ip: Ip, path: Path): Iterable<Finding> {
  const why = unusable[rangeOf(ip)];
  if (why !== undefined) yield wrong(path, `${ip} ${why}; write a unicast address of the machine`);
}

export function* checkNodes(nodes: readonly DeclaredNode[]): Iterable<Finding> {
  if (nodes.length === 0) yield wrong(["nodes"], "declares no node; write NAME: { address: IP }");
  if (nodes.length > limits.nodes) yield wrong(["nodes"], `${nodes.length} nodes; one document holds at most ${limits.nodes}`);
  const addresses = new Map<string, string>(),
    routerIds = new Map<string, string>();
  for (const node of nodes) {
    yield* checkNode(node, nodes.length);
    for (const key of ["address", "address6"] as const) {
      const ip = node.entry[key];
      if (ip === undefined) continue;
      const other = addresses.get(ip);
      if (other !== undefined) yield wrong(["nodes", node.name, key], `${ip} is the address of ${other} already; give every node its own`);
      addresses.set(ip, node.name);
    }
    yield* checkRouterId(node, routerIds);
  }
}

function* checkNode({ name, entry, isReflector }: DeclaredNode, count: number): Iterable<Finding> {
  const path = ["nodes", name];
  yield* checkUnicast(entry.address, [...path, "address"]);
  if (entry.address6 !== undefined) yield* checkUnicast(entry.address6, [...path, "address6"]);
  if (count > 1 && rangeOf(entry.address) === "loopback")
    yield wrong([...path, "address"], `${entry.address} is a loopback address, which other nodes cannot reach; write one they can`);
  if (entry.address6 !== undefined && entry.address.includes(":"))
    yield wrong([...path, "address6"], "address is IPv6 already; leave address6 out, or write the IPv4 address in address");
  if (new Set(entry.roles).size < entry.roles.length) yield wrong([...path, "roles"], "names a role twice; write it once");
  for (const label of Object.keys(entry.labels))
    if ((builtInLabels as readonly string[]).includes(label))
      yield wrong([...path, "labels", label], `the label ${label} is set by Podway; choose another name`, "key");
  if (entry.clusterId !== undefined && !isReflector) yield doubtful([...path, "clusterId"], "only a reflector has a cluster id, so this one is not used");
  if (Object.keys(entry.labels).length > limits.labels) yield wrong([...path, "labels"], `more than ${limits.labels} labels; leave some out`);
}

function* checkRouterId({ name, entry, routerId }: DeclaredNode, seen: Map<string, string>): Iterable<Finding> {
  if (routerId === undefined)
    return yield wrong(["nodes", name], "has no IPv4 address to take its router id from; add routerId: with a number of its own, such as 10.255.0.1", "key");
  if (routerId === "0.0.0.0") yield wrong(["nodes", name, "routerId"], "0.0.0.0 is no BGP Identifier (RFC 6286); write another");
  const other = seen.get(routerId);
  // Two equal addresses have been told already; here only what differs from the address.
  if (other !== undefined && entry.routerId !== undefined)
    yield wrong(["nodes", name, "routerId"], `${routerId} is the router id of ${other} already; give every node its own`);
  seen.set(routerId, name);
}

export function* checkReflection(document: Document, nodes: readonly DeclaredNode[]): Iterable<Finding> {
  const mesh = isMesh(document, nodes);
  if (mesh && nodes.length > limits.meshNodes) {
    const cure =
      document.reflection === "mesh" ? "set reflection: auto and give two nodes roles: [node, reflector]" : "give two nodes roles: [node, reflector]";
    // Every pair would be a session: neither checked pair by pair nor ever built.
    return yield wrong(
      document.reflection === "mesh" ? ["reflection"] : ["nodes"],
      `${nodes.length} nodes would keep a full mesh, which ends at ${limits.meshNodes}; ${cure}`,
      "key",
    );
  }
  for (const node of nodes) {
    if (mesh && node.isReflector) yield doubtful(["nodes", node.name, "roles"], "reflection: mesh gives a reflector nothing to reflect; use auto");
    yield* checkListening(document, nodes, node);
    yield* checkFamilies(document, nodes, node);
  }
}

function* checkListening(document: Document, nodes: readonly DeclaredNode[], node: DeclaredNode): Iterable<Finding> {
  if ((node.entry.listen ?? document.listen) !== "off") return;
  const awaited = nodeSessions(document, nodes, node).find((session) => session.passive);
  const path = node.entry.listen === "off" ? ["nodes", node.name, "listen"] : ["listen"];
  if (awaited !== undefined)
    yield wrong(path, `${node.name} has to listen, since ${awaited.other.name} dials it; leave listen out, or set an address and a port`);
}

/** A node that shares no address family with one it should keep a session with. */
function* checkFamilies(document: Document, nodes: readonly DeclaredNode[], node: DeclaredNode): Iterable<Finding> {
  if (document.reflection === "off" || node.ipv4 !== undefined) return;
  const mesh = isMesh(document, nodes);
  const cutOff = nodes.find((other) => other.ipv6 === undefined && (mesh || other.isReflector || node.isReflector));
  if (cutOff !== undefined)
    yield wrong(
      ["nodes", node.name, "address"],
      `has IPv6 alone and ${cutOff.name} IPv4 alone, so they cannot keep their session; add address6 to ${cutOff.name}`,
    );
}
