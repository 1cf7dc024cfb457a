/** A neighbour as values, read when somebody asks. */
import type { NeighbourInfo } from "./neighbours.ts";
import type { Peer } from "./peer.ts";

export function describeNeighbour(peer: Peer): NeighbourInfo {
  const { id, facts, terms } = peer;
  return {
    id,
    name: facts.name,
    address: facts.address,
    asn: facts.session.remoteAs,
    role: facts.session.role,
    settings: facts.session,
    dynamic: peer.isDynamic,
    range: facts.range,
    state: peer.state,
    reason: peer.reason,
    since: peer.since,
    families: terms ? terms.families.map((family) => (family === 0 ? "ipv4" : "ipv6")) : [],
    holdSeconds: terms?.holdSeconds ?? null,
    remoteId: terms?.remoteId ?? null,
    flaps: peer.flaps,
    gracefulRestart: terms?.gracefulRestart !== undefined,
    updatesIn: peer.updatesIn,
    notificationsIn: peer.notificationsIn,
    notificationsOut: peer.notificationsOut,
    lastSent: peer.lastSent,
    lastReceived: peer.lastReceived,
    attempts: peer.backOff.attempts,
    barredUntil: peer.backOff.barredUntil,
    terms,
  };
}
