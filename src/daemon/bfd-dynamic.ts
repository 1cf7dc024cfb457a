/** Neighbours out of a range, as BFD knows them: their paths are watched from the moment their sessions are up until these end. */
import type { Ip } from "#base/ip.ts";
import type { Speaker } from "#bgp/speaker.ts";
import type { Bfd } from "./bfd-task.ts";

export function watchDynamic(speaker: Speaker, bfd: Pick<Bfd, "watch" | "unwatch">): void {
  const watched = new Map<number, Ip>();
  speaker.observe({
    up(peer) {
      const info = speaker.neighbours.byId(peer),
        wanted = info?.settings.bfd;
      if (!info?.dynamic || !info.terms || !wanted) return;
      watched.set(peer, info.address);
      bfd.watch({ name: info.name, address: info.address, local: info.terms.local, bfd: wanted });
    },
    down(peer) {
      const address = watched.get(peer);
      if (address !== undefined && watched.delete(peer)) bfd.unwatch(address);
    },
    received() {},
  });
}
