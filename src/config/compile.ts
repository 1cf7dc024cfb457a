/** Document → settings of one node. The engine never sees the document: defaults are filled in and sessions decided once, here. */
import { type CallerFault, type Outcome, callerFault, failed, ok } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import { prefixFamily } from "#base/prefix.ts";
import type { PolicySettings } from "#base/policy-settings.ts";
import type {
  ListenSettings,
  NodeSettings,
  PeerSettings,
  PodSettings,
  PoolSettings,
  RangeSettings,
  ReflectionSettings,
  StoreSettings,
} from "#base/settings.ts";
import { compilePolicy } from "./built-in-policies.ts";
import { compileMonitoring } from "./compile-monitoring.ts";
import { compileFallback, compilePeers, compileRanges, compileSessions } from "./compile-sessions.ts";
import { type DeclaredNode, declaredNodes } from "./declared-node.ts";
import { listNames, nearestName } from "./nearest-name.ts";
import type { PodPoolEntry } from "./pod-schema.ts";
import type { PoolEntry } from "./pool-schema.ts";
import type { Document } from "./schema.ts";

/** What `name` is told to do by `document`, which parse.ts accepted. Fault `config.unknown-node` if it declares no such node. */
export function compileNode(document: Document, name: string): Outcome<NodeSettings, CallerFault> {
  const nodes = declaredNodes(document);
  const self = nodes.find((node) => node.name === name);
  if (self === undefined) return failed(unknownNode(name, Object.keys(document.nodes)));
  const sessions = compileSessions(document, nodes, self),
    fallback = compileFallback(document, nodes, self);
  const peers = [...sessions, ...compilePeers(document, nodes, self)];
  const ranges = compileRanges(document, nodes, self);
  // Checked when the document was parsed: an IPv6-only node states its router id (check-nodes.ts).
  const routerId = self.routerId!;
  return ok({
    cluster: document.name,
    node: name,
    roles: self.entry.roles,
    asn: self.asn,
    routerId,
    clusterId: self.entry.clusterId ?? routerId,
    address: self.entry.address,
    address6: self.ipv6,
    labels: self.entry.labels,
    listen: compileListen(document, self, ranges.length > 0 || peers.some((peer) => peer.passive)),
    store: compileStore(document),
    pools: document.pools.map(compilePool),
    peers,
    ranges,
    reflection: compileReflection({ document, nodes, self }, sessions, fallback),
    policies: usedPolicies(document, [...peers, ...ranges, ...fallback]),
    kernel: { enabled: self.isNode, routeProtocol: document.routeProtocol, metric: document.routeMetric },
    lease: { holdSeconds: document.lease.hold, livenessSeconds: document.lease.liveness, quarantineSeconds: document.lease.quarantine },
    monitoring: compileMonitoring(document, self),
    nodes: Object.fromEntries(
      nodes.map((node) => [node.name, { address: node.entry.address, address6: node.ipv6, routerId: node.routerId!, roles: node.entry.roles }]),
    ),
    resolvesNextHops: self.entry.nextHopResolution === "kernel",
    originValidation: self.isReflector && document.store !== "none" && self.entry.originValidation === "lease",
  });
}

function unknownNode(name: string, declared: readonly string[]): CallerFault {
  const near = nearestName(name, declared);
  const hint = near === undefined ? `it declares ${listNames(declared)}` : `did you mean ${JSON.stringify(near)}?`;
  return callerFault(
    "config.unknown-node",
    `there is no node ${JSON.stringify(name)} in this document; ${hint} (choose with --node NAME, or add it under nodes:)`,
  );
}

/** Which sessions are those with other nodes, and what stands in for the reflectors of a node that is none. */
function compileReflection(
  { document, nodes, self }: { readonly document: Document; readonly nodes: readonly DeclaredNode[]; readonly self: DeclaredNode },
  sessions: readonly PeerSettings[],
  fallback: readonly PeerSettings[],
): ReflectionSettings {
  const reflecting = document.reflection === "auto" ? nodes.filter(({ isReflector }) => isReflector).map(({ name }) => name) : [];
  const afterSeconds = document.timers.fallback,
    listen = compileListen(document, self, true);
  return {
    sessions: sessions.map(({ name }) => name),
    reflectors: self.isReflector ? [] : reflecting,
    reflecting,
    nodes: nodes.map(({ name }) => name),
    fallback: fallback.length === 0 ? undefined : { peers: fallback, listen, afterSeconds },
  };
}

/** Product §6.10: reflectors and whoever has passive peers listen; a `listen` of the node's own always counts. */
function compileListen(document: Document, self: DeclaredNode, awaited: boolean): ListenSettings | undefined {
  const listen = self.entry.listen ?? document.listen ?? { port: 179 };
  if (listen === "off") return undefined;
  if (self.entry.listen === undefined && !self.isReflector && !awaited) return undefined;
  const addresses = "address" in listen ? listen.address : undefined;
  return { addresses: addresses === undefined ? [] : Array.isArray(addresses) ? addresses : [addresses as Ip], port: listen.port };
}

function compileStore(document: Document): StoreSettings {
  const { store } = document;
  if (store === undefined || store === "embedded") return { kind: "embedded" };
  if (store === "none") return { kind: "none" };
  const { endpoints, prefix, tls, username, password } = store.etcd;
  return {
    kind: "etcd",
    endpoints: endpoints.map((endpoint) => endpoint.replace(/\/$/, "")),
    prefix: prefix?.replace(/\/$/, "") ?? `/podway/${document.name}`,
    ca: tls?.ca,
    cert: tls?.cert,
    key: tls?.key,
    username,
    password,
  };
}

/** A pool with its defaults: 24 or 64 for one node's CIDR. */
export function compilePool(pool: PoolEntry): PoolSettings {
  const family = prefixFamily(pool.cidr);
  return { ...pool, family, nodePrefix: pool.nodePrefix ?? (family === 4 ? 24 : 64), vni: pool.vni, mtu: pool.mtu, pods: compilePods(pool.pods) };
}

function compilePods({ coolDown, keep, alarm, ...pods }: PodPoolEntry): PodSettings {
  return { ...pods, coolDownSeconds: coolDown, keepSeconds: keep, alarmPercent: alarm };
}

function usedPolicies(document: Document, sessions: readonly (PeerSettings | RangeSettings)[]): Readonly<Record<string, PolicySettings>> {
  const names = new Set(sessions.flatMap((session) => [...session.import, ...session.export]));
  return Object.fromEntries(
    [...names].flatMap((name) => {
      const policy = compilePolicy(document, name);
      return policy === undefined ? [] : [[name, policy]];
    }),
  );
}
