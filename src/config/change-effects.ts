/** What a change of each key costs. First row that matches wins; a row matches its path and everything below. */
import type { Path } from "./problem.ts";

export type Effect = "applied now" | "route refresh" | "session reset" | "restart" | "refused";
type Kind = "added" | "removed" | "changed";
type Row = readonly [pattern: string, effect: Effect, text: string];

/** Whole entries that come or go; `*` stands for one name. */
const entries: Readonly<Record<"added" | "removed", readonly Row[]>> = {
  added: [
    ["pools.*", "applied now", "every node leases a CIDR of it"],
    ["nodes.*", "applied now", "the nodes that keep a session with it expect it from now on"],
    ["peers.*", "applied now", "the session opens; others are not touched"],
    ["policies.*", "applied now", "no session uses it before a peer names it"],
  ],
  removed: [
    ["pools.*", "applied now", "no lease is left in it, so nothing loses its address"],
    ["nodes.*", "applied now", "its sessions end"],
    ["peers.*", "session reset", "the session is closed for good, and what it sent is withdrawn"],
    ["policies.*", "applied now", "no peer names it any more"],
  ],
};

/** Keys by what reads them. */
const keys: readonly Row[] = [
  ["podway", "refused", "this version reads format 1 alone"],
  ["name", "refused", "the name is part of every key in the store; a cluster of another name is a new cluster"],
  ["asn", "restart", "every node without an asn of its own takes it when its daemon starts; until then its sessions stay as they are"],
  ["store", "restart", "each daemon reads it when it starts; what the old store holds is not moved"],
  ["listen", "applied now", "each daemon opens the new port and closes the old one; sessions stay"],
  ["reflection", "applied now", "old sessions close once the new ones have told everything both ways and nothing is heard by the old ones alone"],
  ["timers.connectRetry", "applied now", "used at the next attempt to connect"],
  ["timers.fallback", "applied now", "counts from the next time all reflectors are gone"],
  ["timers", "session reset", "the hold time is agreed upon when a session opens"],
  ["bfd", "applied now", "BFD begins, changes its times, or ends and says so; the sessions stay"],
  ["gracefulRestart.stale", "applied now", "counts from the next restart of a neighbour"],
  ["gracefulRestart.longLived.partial", "route refresh", "what differs is sent or withdrawn; the session stays"],
  ["gracefulRestart", "session reset", "graceful restart is agreed upon when a session opens"],
  ["attributes", "route refresh", "what peers sent is judged anew where they can be asked for it; sessions with others begin anew"],
  ["lease", "restart", "each daemon claims with these times when it starts"],
  ["routeProtocol", "restart", "each daemon marks its routes anew when it starts"],
  ["routeMetric", "restart", "each daemon writes its routes anew when it starts"],
  ["monitoring", "applied now", "stations and files are opened and closed as it says; sessions stay"],
  ["lab", "applied now", "labs read it when they start; daemons never do"],

  ["pools.*.state", "applied now", "draining hands out nothing new, active does; what is there stays"],
  ["pools.*.reservations", "applied now", "counts at the node's next claim"],
  ["pools.*.vni", "applied now", "the device is made anew: this pool's traffic between nodes stops for a moment"],
  ["pools.*.port", "applied now", "the device is made anew: this pool's traffic between nodes stops for a moment"],
  ["pools.*.crossSubnet", "applied now", "routes between nodes on one link change in place"],
  ["pools.*.mtu", "applied now", "devices change in place; pods that run keep their old MTU"],
  ["pools.*.masquerade", "applied now", "connections that are open keep their addresses"],
  ["pools.*.subnetEnv", "applied now", "every node writes the file; one that is no longer named stays as it is"],
  ["pools.*.pods", "applied now", "counts for the next pod; pods that run keep what they have"],
  ["pools.*", "applied now", "no lease is held in this pool"],

  ["nodes.*.labels", "applied now", "peers follow their selectors"],
  ["nodes.*.originValidation", "applied now", "the reflector judges the pod CIDRs it was told anew; sessions stay"],
  ["nodes.*.roles", "restart", "sessions follow now, new ones before old ones close; this node takes up or leaves its pools when its daemon starts"],
  ["nodes.*.listen", "applied now", "this node opens the new port and closes the old one; sessions stay"],
  ["nodes.*", "restart", "its neighbours expect it as it is now, and its sessions with them come back when its daemon starts"],

  ["peers.*.import", "route refresh", "what the peer sent is judged anew; the session stays"],
  ["peers.*.export", "route refresh", "what differs is sent or withdrawn; the session stays"],
  ["peers.*.asOverride", "route refresh", "paths are sent anew; the session stays"],
  ["peers.*.allowAsIn", "route refresh", "what the peer sent is judged anew; the session stays"],
  ["peers.*.gracefulShutdown", "route refresh", "routes are sent anew and judged anew; the session stays"],
  ["peers.*.client", "route refresh", "its routes are asked for again, and others are told of them or no longer; the session stays"],
  ["peers.*.sendHold", "applied now", "counts from the next time the peer stops reading"],
  ["peers.*.gracefulRestart.longLived.partial", "route refresh", "what differs is sent or withdrawn; the session stays"],
  ["peers.*.gracefulRestart.stale", "applied now", "counts from the next restart of the peer"],
  ["peers.*.nextHopSelf", "route refresh", "routes are sent anew; the session stays"],
  ["peers.*.attributes", "route refresh", "what the peer sent is judged anew; the session stays if it can be asked for its routes"],
  ["peers.*.nodes", "applied now", "sessions open on nodes that are selected now and close on others"],
  ["peers.*.maxPrefixes", "applied now", "counts from now on, also for what is there"],
  ["peers.*.limit", "applied now", "counts for the next to connect; nobody is sent away"],
  ["peers.*.bfd.multihop", "applied now", "another BFD session takes the place of this one; the BGP session stays"],
  ["peers.*.bfd", "applied now", "BFD begins, changes its times, or ends and says so; we keep the BGP session, as does a peer that heeds RFC 5882 §3.2"],
  ["peers.*.addPath", "session reset", "path identifiers are agreed upon when a session opens"],
  ["peers.*.extendedNextHop", "session reset", "next hops of another family are agreed upon when a session opens"],
  ["peers.*.password.file", "applied now", "the connection goes on under the new key, if the other side changes to it within the hold time"],
  ["peers.*.password.credential", "applied now", "the connection goes on under the new key, if the other side changes to it within the hold time"],
  ["peers.*.port", "applied now", "used at the next attempt to connect"],
  ["peers.*.passive", "applied now", "counts at the next attempt to connect; a session that is up stays"],
  ["peers.*.connectRetry", "applied now", "used at the next attempt to connect"],
  ["peers.*", "session reset", "the session opens anew"],

  ["policies.*.tests", "applied now", "they are run before every apply"],
  ["sets", "route refresh", "routes of the peers whose policies name it are judged anew; no session closes"],
  ["policies.*", "route refresh", "routes of the peers that name it are judged anew; no session closes"],
];

/** The cost of a change at `path`. Every key of the schema has a row (a test walks the schema). */
export function effectOf(path: Path, kind: Kind): { readonly effect: Effect; readonly text: string } {
  const whole = path.length === 2 && kind !== "changed" ? entries[kind].find(([pattern]) => matches(pattern, path)) : undefined;
  const row = whole ?? keys.find(([pattern]) => matches(pattern, path));
  // A key without a row is one nobody thought about: the dearest answer is the safe one.
  const [, effect, text] = row ?? (["", "restart", "each daemon reads it when it starts"] as const);
  return { effect, text };
}

function matches(pattern: string, path: Path): boolean {
  return pattern.split(".").every((part, i) => path[i] !== undefined && (part === "*" || part === path[i]));
}
