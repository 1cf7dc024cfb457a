/** A node of the document with its defaults filled in: what checks and compile both ask of it. */
import { type Ip, compareIp } from "#base/ip.ts";
import { limits } from "./limits.ts";
import type { NodeEntry } from "./node-schema.ts";
import type { Document } from "./schema.ts";

export interface DeclaredNode {
  readonly name: string;
  readonly entry: NodeEntry;
  readonly asn: number;
  readonly ipv4: Ip | undefined;
  readonly ipv6: Ip | undefined;
  readonly isNode: boolean;
  readonly isReflector: boolean;
  /** Dotted quad; undefined for an IPv6-only node that states none (refused by check-nodes.ts). */
  readonly routerId: Ip | undefined;
  /** Port others dial. */
  readonly port: number;
  /** What selectors see: the labels, and `node` and `role`. */
  readonly labels: ReadonlyMap<string, readonly string[]>;
}

export const builtInLabels = ["node", "role"] as const;

/** Every node of the document, in its order. */
export function declaredNodes(document: Document): readonly DeclaredNode[] {
  return Object.entries(document.nodes).map(([name, entry]) => {
    const isIpv6Only = entry.address.includes(":");
    const ipv4 = isIpv6Only ? undefined : entry.address;
    const listen = entry.listen ?? document.listen ?? "off";
    return {
      name,
      entry,
      asn: entry.asn ?? document.asn,
      ipv4,
      ipv6: isIpv6Only ? entry.address : entry.address6,
      isNode: entry.roles.includes("node"),
      isReflector: entry.roles.includes("reflector"),
      routerId: entry.routerId ?? ipv4,
      port: listen === "off" ? 179 : listen.port,
      labels: new Map<string, readonly string[]>([
        ...Object.entries(entry.labels).map(([key, value]) => [key, [value]] as const),
        ["node", [name]],
        ["role", entry.roles],
      ]),
    };
  });
}

/** The two ends of a session between two nodes, IPv4 when both have it (product §6.4); undefined if they share no family. */
export function sessionEnds(self: DeclaredNode, other: DeclaredNode): { readonly local: Ip; readonly remote: Ip } | undefined {
  if (self.ipv4 !== undefined && other.ipv4 !== undefined) return { local: self.ipv4, remote: other.ipv4 };
  return self.ipv6 !== undefined && other.ipv6 !== undefined ? { local: self.ipv6, remote: other.ipv6 } : undefined;
}

/** How one node sees another under `reflection`; undefined if they keep no session (product §6.5). */
export interface NodeSession {
  readonly other: DeclaredNode;
  readonly client: boolean;
  /** One side of every pair only accepts, so that connections rarely collide (RFC 4271 §6.8). */
  readonly passive: boolean;
}

/** True if every node peers with every other. */
export function isMesh(document: Document, nodes: readonly DeclaredNode[]): boolean {
  return document.reflection === "mesh" || (document.reflection === "auto" && !nodes.some((node) => node.isReflector));
}

/** Whether a node accepts connections if it is dialled: it does unless the document says off. */
export function mayListen(document: Document, node: DeclaredNode): boolean {
  return (node.entry.listen ?? document.listen) !== "off";
}

/**
 * The sessions `self` keeps while all reflectors are gone: a mesh of the nodes that are none. Nothing where there is a mesh anyhow,
 * or where it would have more than `limits.meshNodes`. Pairs of which neither listens are left out.
 */
export function fallbackSessions(document: Document, nodes: readonly DeclaredNode[], self: DeclaredNode): readonly NodeSession[] {
  const members = nodes.filter((node) => !node.isReflector);
  if (document.reflection !== "auto" || members.length === nodes.length || self.isReflector || members.length > limits.meshNodes) return [];
  return members.flatMap((other) => {
    const ends = other.name === self.name ? undefined : sessionEnds(self, other);
    if (ends === undefined) return [];
    const iListen = mayListen(document, self),
      itListens = mayListen(document, other);
    if (!iListen && !itListens) return [];
    const passive = iListen && itListens ? compareIp(ends.local, ends.remote) > 0 : iListen;
    return [{ other, client: false, passive }];
  });
}

/** The sessions `self` keeps with other nodes. Both ends compute the same pairs, and opposite `passive`. */
export function nodeSessions(document: Document, nodes: readonly DeclaredNode[], self: DeclaredNode): readonly NodeSession[] {
  if (document.reflection === "off") return [];
  const mesh = isMesh(document, nodes);
  return nodes
    .filter((other) => other.name !== self.name)
    .flatMap((other) => {
      if (!mesh && !self.isReflector && !other.isReflector) return [];
      const ends = sessionEnds(self, other);
      if (ends === undefined) return [];
      const equals = mesh || self.isReflector === other.isReflector;
      const passive = equals ? compareIp(ends.local, ends.remote) > 0 : self.isReflector;
      return [{ other, client: !equals && self.isReflector, passive }];
    });
}
