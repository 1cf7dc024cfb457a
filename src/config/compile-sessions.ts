/** Sessions of one node: with the other nodes as `reflection` says, with the outside as `peers` says. */
import type { AttributeSettings, BfdSettings, FamilyName, PeerRole, PeerSettings, RangeSettings, SessionSettings } from "#base/settings.ts";
import { type DeclaredNode, fallbackSessions, type NodeSession, nodeSessions, sessionEnds } from "./declared-node.ts";
import { type PeerEntry, selectorOf } from "./peer-schema.ts";
import type { Document } from "./schema.ts";

/** How many clients of a range may be connected at once if the document does not say. */
const rangeLimit = 100;
/** Nodes of two AS numbers may be several hops apart: their addresses may be loopbacks. */
const nodeHops = 64;

/** Sessions with other nodes of the document. */
export function compileSessions(document: Document, nodes: readonly DeclaredNode[], self: DeclaredNode): readonly PeerSettings[] {
  return peersOf({ document, nodes, self }, nodeSessions(document, nodes, self));
}

/** What stands in for the reflectors while all of them are gone. */
export function compileFallback(document: Document, nodes: readonly DeclaredNode[], self: DeclaredNode): readonly PeerSettings[] {
  return document.timers.fallback === 0 ? [] : peersOf({ document, nodes, self }, fallbackSessions(document, nodes, self));
}

interface Whose {
  readonly document: Document;
  readonly nodes: readonly DeclaredNode[];
  readonly self: DeclaredNode;
}

function peersOf({ document, nodes, self }: Whose, sessions: readonly NodeSession[]): readonly PeerSettings[] {
  const usual = defaults(document, nodes);
  return sessions.map(({ other, client, passive }) => {
    const { local, remote } = sessionEnds(self, other)!;
    const external = other.asn !== self.asn;
    return {
      ...usual,
      name: other.name,
      address: remote,
      port: other.port,
      source: local,
      remoteAs: other.asn,
      role: external ? "external" : client ? "client" : "non-client",
      passive,
      multihop: external ? nodeHops : undefined,
      bfd: document.bfd && compileNodeBfd(document.bfd),
      // Both ends stand in one document, so the reject of RFC 8212 for eBGP without policy has been answered.
      import: external ? ["all"] : [],
      export: external ? ["all"] : [],
    };
  });
}

/** Configured neighbours outside the document that select this node. */
export function compilePeers(document: Document, nodes: readonly DeclaredNode[], self: DeclaredNode): readonly PeerSettings[] {
  return selectedPeers(document, self).flatMap((peer) => {
    if (peer.address === undefined) return [];
    const own = peer.address.includes(":") ? self.ipv6 : self.ipv4;
    const onLink = peer.asn !== self.asn && (peer.multihop ?? 1) === 1;
    return [
      {
        ...compileSession(document, nodes, self, peer),
        name: peer.name,
        address: peer.address,
        port: peer.port,
        source: peer.source ?? (onLink ? undefined : own),
      },
    ];
  });
}

/** Ranges of dynamic neighbours on this node. */
export function compileRanges(document: Document, nodes: readonly DeclaredNode[], self: DeclaredNode): readonly RangeSettings[] {
  return selectedPeers(document, self).flatMap((peer) => {
    if (peer.range === undefined) return [];
    return [{ ...compileSession(document, nodes, self, peer), name: peer.name, range: peer.range, limit: peer.limit ?? rangeLimit, passive: true }];
  });
}

/** Peers of the document whose selector holds for this node. */
function selectedPeers(document: Document, self: DeclaredNode): readonly PeerEntry[] {
  return document.peers.filter((peer) => selectorOf(peer)(self.labels));
}

function compileSession(document: Document, nodes: readonly DeclaredNode[], self: DeclaredNode, peer: PeerEntry): SessionSettings {
  const role: PeerRole = peer.asn !== self.asn ? "external" : peer.client ? "client" : "non-client";
  const usual = defaults(document, nodes);
  return {
    remoteAs: peer.asn,
    role,
    holdSeconds: peer.holdTime ?? usual.holdSeconds,
    connectRetrySeconds: peer.connectRetry ?? usual.connectRetrySeconds,
    families: peer.families ?? usual.families,
    passive: peer.passive,
    gracefulRestart: peer.gracefulRestart === undefined ? usual.gracefulRestart : restart(peer.gracefulRestart),
    md5: peer.password,
    multihop: role !== "external" || peer.ttlSecurity !== undefined ? undefined : (peer.multihop ?? 1),
    ttlSecurityHops: peer.ttlSecurity,
    nextHopSelf: peer.nextHopSelf ?? true,
    asRole: peer.role,
    strictRole: peer.strictRole,
    localAs: peer.localAs,
    asOverride: peer.asOverride,
    allowAsIn: peer.allowAsIn,
    gracefulShutdown: peer.gracefulShutdown,
    sendHoldSeconds: peer.sendHold,
    import: peer.import,
    export: peer.export,
    ...prefixLimit(peer.maxPrefixes),
    attributes: peer.attributes === undefined ? usual.attributes : treatments(peer.attributes),
    addPath: peer.addPath && { receive: peer.addPath.receive, send: peer.addPath.send ?? 0 },
    extendedNextHop: peer.extendedNextHop,
    bfd: peer.bfd && compileBfd(peer, peer.bfd, role),
  };
}

function prefixLimit(entry: PeerEntry["maxPrefixes"]): Pick<SessionSettings, "maxPrefixes" | "prefixWarningPercent" | "prefixRestartSeconds"> {
  if (entry === undefined || typeof entry === "number") return { maxPrefixes: entry };
  return { maxPrefixes: entry.most, prefixWarningPercent: entry.warning, prefixRestartSeconds: entry.restart };
}

/** RFC 5881 §5: what comes over one link has the full TTL. Over routers only `ttlSecurity` says how far away the peer may be. */
function compileBfd(peer: PeerEntry, bfd: NonNullable<PeerEntry["bfd"]>, role: PeerRole): BfdSettings {
  const multihop = bfd.multihop ?? (role !== "external" || (peer.multihop ?? peer.ttlSecurity ?? 1) > 1);
  const minTtl = !multihop ? 255 : peer.ttlSecurity === undefined ? 1 : 256 - peer.ttlSecurity;
  return { intervalMillis: bfd.interval, multiplier: bfd.multiplier, multihop, minTtl };
}

/** Over routers unless told otherwise, whatever lies between: both ends read the same document. */
function compileNodeBfd({ interval, multiplier, multihop = true }: NonNullable<Document["bfd"]>): BfdSettings {
  return { intervalMillis: interval, multiplier, multihop, minTtl: multihop ? 1 : 255 };
}

function defaults(document: Document, nodes: readonly DeclaredNode[]): SessionSettings {
  return {
    remoteAs: document.asn,
    role: "non-client",
    holdSeconds: document.timers.hold,
    connectRetrySeconds: document.timers.connectRetry,
    families: usualFamilies(document, nodes),
    passive: false,
    gracefulRestart: restart(document.gracefulRestart),
    md5: undefined,
    multihop: undefined,
    ttlSecurityHops: undefined,
    nextHopSelf: true,
    import: [],
    export: [],
    maxPrefixes: undefined,
    attributes: treatments(document.attributes),
  };
}

/** IPv4 always; IPv6 as soon as a pool or a node has it. */
function usualFamilies(document: Document, nodes: readonly DeclaredNode[]): readonly FamilyName[] {
  const ipv6 = document.pools.some((pool) => pool.cidr.includes(":")) || nodes.some((node) => node.ipv6 !== undefined);
  return ipv6 ? ["ipv4", "ipv6"] : ["ipv4"];
}

function restart(entry: Document["gracefulRestart"]): SessionSettings["gracefulRestart"] {
  if (entry === "off") return undefined;
  const { restart: restartSeconds, stale: staleSeconds, longLived } = entry;
  return { restartSeconds, staleSeconds, longLivedSeconds: longLived?.staleTime, ...(longLived?.partial && { longLivedPartial: true }) };
}

function treatments(entries: Document["attributes"]): readonly AttributeSettings[] | undefined {
  if (entries.length === 0) return undefined;
  return entries.map((entry) => ({ type: entry.type, treatment: entry.do === "discard" ? "discard" : "withdraw" }));
}
