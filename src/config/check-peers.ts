/** Whether each peer can be reached from the nodes it is given to, and says what it must. */
import { rangeOf } from "./address-text.ts";
import { checkUnicast } from "./check-nodes.ts";
import type { DeclaredNode } from "./declared-node.ts";
import { limits } from "./limits.ts";
import { listNames, nearestName } from "./nearest-name.ts";
import { type PeerEntry, selectorOf } from "./peer-schema.ts";
import { builtInPolicies } from "./policy-schema.ts";
import { type Finding, type Path, doubtful, wrong } from "./problem.ts";
import type { Document } from "./schema.ts";

export function* checkPeers(document: Document, nodes: readonly DeclaredNode[]): Iterable<Finding> {
  const names = new Set<string>();
  const neighbours = new Map<string, string>();
  const watched = document.peers.filter((peer) => peer.bfd !== undefined && peer.range === undefined).length;
  if (document.bfd !== undefined && nodes.length > limits.bfdPeers)
    yield wrong(["bfd"], `there are ${nodes.length} nodes, and a reflector watches ${limits.bfdPeers} paths at most; leave bfd out`, "key");
  if (watched > limits.bfdPeers) yield wrong(["peers"], `${watched} peers have bfd, and ${limits.bfdPeers} is the most; leave it out for some`);
  for (const [i, peer] of document.peers.entries()) {
    const path = ["peers", i];
    const selector = selectorOf(peer);
    const selected = nodes.filter((node) => selector(node.labels));
    if (names.has(peer.name)) yield wrong([...path, "name"], `there is a peer ${peer.name} already; choose another name`);
    if (Object.hasOwn(document.nodes, peer.name)) yield wrong([...path, "name"], `${peer.name} is the name of a node; choose another name`);
    names.add(peer.name);
    yield* checkWho(peer, path);
    yield* checkSession(peer, path);
    yield* checkEdge(peer, path, selected);
    yield* checkNames(document, peer, path);
    yield* checkSelected(document, peer, path, selected);
    yield* checkUnique(peer, path, selected, neighbours);
    yield* checkNotANode(document, peer, path, nodes);
  }
}

/** Exactly one of address and range, and what belongs to each. */
function* checkWho(peer: PeerEntry, path: Path): Iterable<Finding> {
  if (peer.address === undefined && peer.range === undefined)
    yield wrong(path, "names nobody; write address: IP for one neighbour, or range: CIDR for all that connect from it");
  if (peer.address !== undefined && peer.range !== undefined)
    yield wrong([...path, "range"], "a peer has an address or a range, not both; write two peers", "key");
  if (peer.limit !== undefined && peer.range === undefined)
    yield wrong([...path, "limit"], "counts the neighbours of a range, and this peer has an address; leave it out", "key");
  if (peer.address !== undefined) yield* checkUnicast(peer.address, [...path, "address"]);
  if (peer.range !== undefined && rangeOf(peer.range) === "multicast")
    yield wrong([...path, "range"], `${peer.range} is multicast space, which nobody connects from; write a unicast CIDR`);
}

function* checkSession(peer: PeerEntry, path: Path): Iterable<Finding> {
  const remote = peer.address ?? peer.range;
  if (peer.source !== undefined && remote !== undefined && peer.source.includes(":") !== remote.includes(":"))
    yield wrong([...path, "source"], `${peer.source} and ${remote} are of two families; write a source of the neighbour's family`);
  if (peer.families !== undefined && new Set(peer.families).size < peer.families.length)
    yield wrong([...path, "families"], "names a family twice; write it once");
  if (peer.multihop !== undefined && peer.ttlSecurity !== undefined)
    yield wrong([...path, "ttlSecurity"], "counts hops as multihop does; write one of the two (ttlSecurity is the safer)", "key");
}

/** What only eBGP has. */
function* checkEdge(peer: PeerEntry, path: Path, selected: readonly DeclaredNode[]): Iterable<Finding> {
  const internal = selected.find((node) => node.asn === peer.asn);
  for (const key of ["role", "localAs", "asOverride", "allowAsIn"] as const)
    if (peer[key] !== undefined && internal !== undefined)
      yield wrong([...path, key], `is for neighbours of another AS, and ${internal.name} is of AS ${internal.asn} too; leave it out`, "key");
  if (peer.strictRole !== undefined && peer.role === undefined)
    yield wrong([...path, "strictRole"], "insists on the counterpart of our role, and none is given; write role, or leave it out", "key");
  if (peer.localAs !== undefined && peer.localAs === peer.asn)
    yield wrong([...path, "localAs"], `is the neighbour's own AS ${peer.asn}, which would make the session internal to it; write another`);
}

function* checkNames(document: Document, peer: PeerEntry, path: Path): Iterable<Finding> {
  const known = [...builtInPolicies, ...Object.keys(document.policies)];
  for (const key of ["import", "export"] as const)
    for (const [i, name] of peer[key].entries()) {
      if (known.includes(name)) continue;
      const near = nearestName(name, known);
      yield wrong(
        [...path, key, i],
        `there is no policy ${JSON.stringify(name)}; ${near === undefined ? `there are ${listNames(known)}` : `did you mean ${JSON.stringify(near)}?`}`,
      );
    }
}

/** What depends on the nodes a peer is given to. One finding of a kind is enough: the first node stands for the rest. */
function* checkSelected(document: Document, peer: PeerEntry, path: Path, selected: readonly DeclaredNode[]): Iterable<Finding> {
  if (selected.length === 0) return yield doubtful([...path, "nodes"], "selects no node, so nobody keeps this session; compare it with the nodes' labels");
  const external = selected.filter((node) => node.asn !== peer.asn),
    internal = selected.filter((node) => node.asn === peer.asn);
  if (peer.client && external[0])
    yield wrong([...path, "client"], `only iBGP neighbours are clients, and ${external[0].name} is of AS ${external[0].asn}; leave client out, or correct asn`);
  const plain = internal.find((node) => !node.isReflector);
  if (peer.client && plain) yield wrong([...path, "client"], `${plain.name} is no reflector and has no clients; add nodes: "role == 'reflector'"`);
  if (peer.multihop !== undefined && internal[0]) yield wrong([...path, "multihop"], "iBGP crosses any number of hops by itself; leave multihop out");
  if (external[0] && peer.import.length === 0 && peer.export.length === 0)
    yield doubtful(path, "an outside peer without import and export exchanges nothing (RFC 8212); add policies such as export: [pods]");
  if (external[0] && peer.nextHopSelf === false) yield wrong([...path, "nextHopSelf"], "over eBGP the next hop is always our own; leave it out");
  const deaf = selected.find((node) => (node.entry.listen ?? document.listen) === "off");
  if ((peer.passive || peer.range !== undefined) && deaf)
    yield wrong(path, `only waits to be dialled, and ${deaf.name} does not listen; set listen there, or leave passive out`);
  yield* checkSource(peer, path, [...internal, ...((peer.multihop ?? 1) > 1 ? external : [])]);
}

/** Sessions that are not to a neighbour on the link start from the node's own address. */
function* checkSource(peer: PeerEntry, path: Path, away: readonly DeclaredNode[]): Iterable<Finding> {
  if (peer.address === undefined || peer.source !== undefined) return;
  const ipv6 = peer.address.includes(":");
  const without = away.find((node) => (ipv6 ? node.ipv6 : node.ipv4) === undefined);
  if (without !== undefined)
    yield wrong(
      [...path, "address"],
      `${without.name} has no ${ipv6 ? "IPv6" : "IPv4"} address to speak from; add ${ipv6 ? "address6 to it" : "one"}, or write source`,
    );
}

/** One neighbour per node and address (or range): a connection must have one owner. */
function* checkUnique(peer: PeerEntry, path: Path, selected: readonly DeclaredNode[], seen: Map<string, string>): Iterable<Finding> {
  const remote = peer.address ?? peer.range;
  for (const node of selected) {
    const key = `${node.name} ${remote}`;
    const other = seen.get(key);
    if (other !== undefined)
      return yield wrong(
        [...path, peer.address === undefined ? "range" : "address"],
        `${remote} is peer ${other} of node ${node.name} already; keep one of the two`,
      );
    seen.set(key, peer.name);
  }
}

function* checkNotANode(document: Document, peer: PeerEntry, path: Path, nodes: readonly DeclaredNode[]): Iterable<Finding> {
  if (document.reflection === "off" || peer.address === undefined) return;
  const node = nodes.find((one) => one.ipv4 === peer.address || one.ipv6 === peer.address);
  if (node !== undefined)
    yield wrong([...path, "address"], `${peer.address} is node ${node.name}, whose sessions reflection makes; leave this peer out, or set reflection: off`);
}
