/** Neighbours out of a range, as BFD knows them: their paths are watched from the moment their sessions are up until these end. */
import type { Ip } from "#base/ip.ts";
import type { Speaker } from "#bgp/speaker.ts";
import type { Bfd } from "./bfd-task.ts";

/** Answers what to call when the ranges are others: what they say of BFD then counts for sessions that are up. */
export function watchDynamic(speaker: Speaker, bfd: Pick<Bfd, "watch" | "unwatch">): () => void {
  const watched = new Map<number, { readonly address: Ip; readonly as: string }>();
  const forget = (peer: number): void => {
    const before = watched.get(peer);
    if (before && watched.delete(peer)) bfd.unwatch(before.address);
  };
  const look = (peer: number): void => {
    const info = speaker.neighbours.byId(peer),
      wanted = info?.settings.bfd;
    if (!info?.dynamic || !info.terms || !wanted) return forget(peer);
    const as = JSON.stringify(wanted);
    if (watched.get(peer)?.as === as) return;
    watched.set(peer, { address: info.address, as });
    bfd.watch({ name: info.name, address: info.address, local: info.terms.local, bfd: wanted });
  };
  speaker.observe({ up: look, down: forget, received() {} });
  return () => {
    for (const { id } of speaker.neighbours.info()) look(id);
  };
}
