/** Routes as values for people: read from the RIB's columns when somebody asks, never kept. */
import { printIp, printIp4 } from "#base/ip.ts";
import { callerFault, failed, ok, type CallerFault, type Outcome } from "#base/fault.ts";
import { familyOf, parseIp } from "#base/ip.ts";
import { parsePrefix, type Prefix, prefixFamily, prefixParts } from "#base/prefix.ts";
import { printAsPath } from "#wire/bgp/as-path.ts";
import { printCommunity, printLargeCommunity } from "#wire/bgp/community.ts";
import { none } from "#bgp/rib/adj-rib-in.ts";
import type { LocRib } from "#bgp/rib/loc-rib.ts";
import { localPeer } from "#bgp/rib/peer-table.ts";
import type { Speaker } from "#bgp/speaker.ts";
import type { RouteQuery, RouteView } from "./control.ts";

export const routeViewLimits = {
  routes: 1000,
  mostRoutes: 100_000,
  /** Prefixes looked at before others have the event loop: a fraction of a millisecond each thousand. */
  slicePrefixes: 4096,
  /** Walks over the table at a time; each costs a core what it takes. */
  walks: 4,
} as const;
const originNames = ["igp", "egp", "incomplete"] as const;

type Routes = { readonly total: number; readonly routes: readonly RouteView[] };

let walks = 0;

/**
 * Routes as the query asks, in the order of their prefixes' ids. The table may change between two slices: what comes or goes
 * meanwhile may or may not be in the answer, each route whole.
 */
export async function viewRoutes(speaker: Speaker, query: RouteQuery): Promise<Outcome<Routes, CallerFault>> {
  const peer = query.receivedFrom ?? query.sentTo;
  const id = peer === undefined ? undefined : findPeer(speaker, peer);
  if (peer !== undefined && id === undefined)
    return failed(callerFault("api.no-such-peer", `there is no peer ${JSON.stringify(peer)}; \`podway peers\` lists them.`));
  const prefixAsked = query.prefix === undefined ? undefined : parsePrefix(asPrefix(query.prefix), true);
  if (query.prefix !== undefined && prefixAsked === undefined)
    return failed(callerFault("api.bad-prefix", `${JSON.stringify(query.prefix)} is no prefix; write it like 10.42.0.0/24.`));
  if (walks >= routeViewLimits.walks)
    return failed(callerFault("api.too-many-walks", `${walks} others read the routing table already: ask again in a moment, or for one prefix.`));
  walks++;
  try {
    return ok(await walk(speaker, query, prefixAsked, id));
  } finally {
    walks--;
  }
}

async function walk(speaker: Speaker, query: RouteQuery, asked: Prefix | undefined, peer: number | undefined): Promise<Routes> {
  const limit = Math.min(query.limit ?? routeViewLimits.routes, routeViewLimits.mostRoutes),
    first = query.offset ?? 0,
    routes: RouteView[] = [];
  let total = 0,
    looked = 0;
  for (const rib of speaker.rib.ribs) {
    if (query.family && query.family !== (rib.family === 0 ? "ipv4" : "ipv6")) continue;
    for (const prefix of prefixesOf(rib, asked, query.longer === true)) {
      if (++looked % routeViewLimits.slicePrefixes === 0) await afterOthers();
      for (const path of rib.prefixes.isLive(prefix) ? pathsOf(speaker, { rib, prefix }, query, peer) : []) {
        if (total >= first && routes.length < limit) routes.push(path());
        total++;
      }
    }
  }
  return { total, routes };
}

/** Id of a peer by name or address. */
export function findPeer(speaker: Speaker, name: string): number | undefined {
  return speaker.neighbours.info().find((peer) => peer.name === name || peer.address === parseIp(name))?.id;
}

export function peerName(speaker: Speaker, peer: number): string {
  return peer === localPeer ? "local" : (speaker.neighbours.byId(peer)?.name ?? `former peer ${speaker.rib.peers.terms[peer]?.remote ?? peer}`);
}

export function viewPath(speaker: Speaker, rib: LocRib, path: number): RouteView {
  const peer = rib.adjRibIn.peer[path]!;
  const hasPathIds = speaker.rib.peers.givesPathIds[peer * 2 + rib.family] === 1;
  return viewSet(speaker, { rib, prefix: rib.adjRibIn.prefix[path]! }, rib.adjRibIn.attributes[path]!, {
    peer: peerName(speaker, peer),
    pathId: hasPathIds ? rib.adjRibIn.pathIdOf(path) : null,
    best: rib.bestOf(rib.adjRibIn.prefix[path]!) === path,
    stale: rib.adjRibIn.isStale(path),
  });
}

/** An address means its host prefix. */
export function asPrefix(text: string): string {
  return text.includes("/") ? text : `${text}/${familyOf(text) === 4 ? 32 : 128}`;
}

/** Every id there is, also of prefixes that are not live any more when it is their turn; with `longer` those within what is asked. */
function* prefixesOf(rib: LocRib, asked: Prefix | undefined, longer: boolean): Iterable<number> {
  if (asked !== undefined && !longer) {
    const found = rib.prefixes.findText(asked);
    if (found >= 0) yield found;
    return;
  }
  const within = asked === undefined ? undefined : prefixParts(asked);
  if (asked !== undefined && prefixFamily(asked) !== (rib.family === 0 ? 4 : 6)) return;
  for (let prefix = 0; prefix < rib.prefixes.end; prefix++)
    if (within === undefined || rib.prefixes.isWithin(prefix, within.bytes, within.length)) yield prefix;
}

const afterOthers = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Place {
  readonly rib: LocRib;
  readonly prefix: number;
}

function* pathsOf(speaker: Speaker, { rib, prefix }: Place, query: RouteQuery, peer: number | undefined): Iterable<() => RouteView> {
  if (query.sentTo !== undefined) {
    for (const { set, source, pathId } of speaker.rib.groups.of(peer!, rib.family)?.toldOf(prefix) ?? []) {
      if (source === peer) continue;
      const best = pathId === undefined || isBest(rib, prefix, pathId);
      yield () => viewSet(speaker, { rib, prefix }, set, { peer: peerName(speaker, source), pathId: pathId ?? null, best, stale: false });
    }
    return;
  }
  const best = rib.bestOf(prefix);
  for (let path = rib.adjRibIn.head[prefix] ?? none; path !== none; path = rib.adjRibIn.next[path]!) {
    const meant = peer !== undefined ? rib.adjRibIn.peer[path] === peer && (query.best !== true || path === best) : query.all || path === best;
    if (meant) yield () => viewPath(speaker, rib, path);
  }
}

/** `pathId`: that of a path as we tell it. */
function isBest(rib: LocRib, prefix: number, pathId: number): boolean {
  const best = rib.bestOf(prefix);
  return best !== none && rib.adjRibIn.toldIdOf(best) === pathId;
}

function viewSet(speaker: Speaker, { rib, prefix }: Place, set: number, of: Pick<RouteView, "peer" | "pathId" | "best" | "stale">): RouteView {
  const table = speaker.rib.attributes,
    values = table.decode(set),
    large = values.largeCommunities ?? new Uint32Array(0);
  return {
    prefix: rib.prefixes.text(prefix),
    ...of,
    nextHop: printIp(table.nextHopOf(set).subarray(0, table.nextHopLength(set) > 16 ? 16 : undefined)),
    origin: originNames[values.origin ?? 2]!,
    asPath: printAsPath(values.asPath ?? []),
    localPref: values.localPref ?? null,
    med: values.med ?? null,
    communities: Array.from(values.communities ?? [], printCommunity),
    largeCommunities: Array.from({ length: large.length / 3 }, (_, i) => printLargeCommunity(large[3 * i]!, large[3 * i + 1]!, large[3 * i + 2]!)),
    originatorId: values.originatorId === undefined ? null : printIp4(values.originatorId),
    clusterList: Array.from(values.clusterList ?? [], printIp4),
  };
}
