/** What would be lost by the end of some sessions: which of their prefixes no other session tells us. One look at every path. */
import { none } from "./adj-rib-in.ts";
import { localPeer } from "./peer-table.ts";
import type { Rib } from "./rib.ts";
import { flagGracefulShutdown } from "./scan.ts";

export interface Coverage {
  /** Paths of the session of now. */
  holds: number;
  /** … of them with GRACEFUL_SHUTDOWN (RFC 8326). */
  marked: number;
  /** … of them with ORIGINATOR_ID (RFC 4456): the peer reflects them. */
  reflected: number;
  /** Prefixes, also of an earlier session, that are told us by nobody who goes on telling them. */
  uncovered: number;
  /** … of them reflected ones. */
  uncoveredReflected: number;
}

/** Who goes on telling us what: peers in `staying` their own routes, those in `reflecting` also those of others. */
export interface Staying {
  readonly staying: ReadonlySet<number>;
  readonly reflecting: ReadonlySet<number>;
}

/** By peer id, for each of `peers`. */
export function coverageOf(rib: Rib, { staying, reflecting }: Staying, peers: Iterable<number>): ReadonlyMap<number, Coverage> {
  const found = new Map<number, Coverage>(Array.from(peers, (peer) => [peer, { holds: 0, marked: 0, reflected: 0, uncovered: 0, uncoveredReflected: 0 }]));
  const { flags, originatorId } = rib.attributes;
  for (const { adjRibIn } of rib.ribs) {
    const isReflected = (path: number): boolean => originatorId[adjRibIn.attributes[path]!] !== 0;
    const isCovered = (prefix: number): boolean => {
      for (let path = adjRibIn.head[prefix]!; path !== none; path = adjRibIn.next[path]!) {
        const peer = adjRibIn.peer[path]!;
        if (peer === localPeer) return true;
        if (staying.has(peer) && !adjRibIn.isStale(path) && (reflecting.has(peer) || !isReflected(path))) return true;
      }
      return false;
    };
    for (let path = 0; path < adjRibIn.end; path++) {
      const of = adjRibIn.isUsed(path) ? found.get(adjRibIn.peer[path]!) : undefined;
      if (!of) continue;
      const reflected = isReflected(path);
      if (!adjRibIn.isStale(path)) {
        of.holds++;
        if (reflected) of.reflected++;
        if (flags[adjRibIn.attributes[path]!]! & flagGracefulShutdown) of.marked++;
      }
      if (isCovered(adjRibIn.prefix[path]!)) continue;
      of.uncovered++;
      if (reflected) of.uncoveredReflected++;
    }
  }
  return found;
}
