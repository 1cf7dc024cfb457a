/** Neighbours as values for people. */
import { printIp4 } from "#base/ip.ts";
import type { Instant } from "#base/time.ts";
import type { NeighbourInfo } from "#bgp/neighbours.ts";
import type { Speaker } from "#bgp/speaker.ts";
import type { Bfd } from "./bfd-task.ts";
import type { PeerView } from "./control.ts";

export function viewPeers(speaker: Speaker, bfd: Bfd, now: Instant): readonly PeerView[] {
  const stale = countStale(speaker);
  return speaker.neighbours.info().map((info) => ({ ...viewPeer(speaker, info, stale.get(info.id) ?? 0, now), bfd: bfd.view(info.address, now) }));
}

function viewPeer(speaker: Speaker, info: NeighbourInfo, stale: number, now: Instant): PeerView {
  const accepted = speaker.rib.peers.holds(info.id);
  return {
    name: info.name,
    address: info.address,
    asn: info.asn,
    role: info.role,
    dynamic: info.dynamic,
    state: info.state,
    reason: info.reason,
    sinceSeconds: Math.max(0, Math.round((now - info.since) / 1000)),
    families: info.families,
    holdSeconds: info.holdSeconds,
    remoteId: info.remoteId === null ? null : printIp4(info.remoteId),
    received: accepted + speaker.rib.refusedOf(info.id),
    accepted,
    sent: speaker.sentTo(info),
    stale,
    flaps: info.flaps,
    gracefulRestart: info.gracefulRestart,
    messages: {
      updatesIn: info.updatesIn,
      updatesOut: speaker.rib.updatesTo(info.id),
      notificationsIn: info.notificationsIn,
      notificationsOut: info.notificationsOut,
    },
  };
}

/** Stale paths by peer: one walk over the columns, when somebody asks. */
function countStale(speaker: Speaker): ReadonlyMap<number, number> {
  const out = new Map<number, number>();
  for (const { adjRibIn } of speaker.rib.ribs)
    for (let path = 0; path < adjRibIn.end; path++) {
      if (!adjRibIn.isUsed(path) || !adjRibIn.isStale(path)) continue;
      const peer = adjRibIn.peer[path]!;
      out.set(peer, (out.get(peer) ?? 0) + 1);
    }
  return out;
}
