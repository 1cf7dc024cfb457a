/**
 * Which twenty speakers a seed stands for: reflectors in a full mesh, some more that are clients of those, clients with one parent or two,
 * speakers without a reflector, and routers of other ASes at the edge; with and without graceful restart, its long-lived form, and roles.
 */
import type { Ip } from "#base/ip.ts";
import type { PolicySettings } from "#base/policy-settings.ts";
import type { Prefix } from "#base/prefix.ts";
import type { AsRole, NodeSettings, PeerRole, PeerSettings } from "#base/settings.ts";
import { peerOf } from "../bgp/settings-of.ts";
import { chance } from "./chance.ts";

export const speakers = 20;
const insideAs = 64_512;
/** Short, so that what is away for minutes becomes stale for long. */
const restartSeconds = 30,
  staleSeconds = 60,
  longLivedSeconds = 240;

export interface Plan {
  readonly name: string;
  readonly settings: Pick<NodeSettings, "asn" | "address" | "address6" | "routerId" | "clusterId" | "policies"> & { readonly peers: readonly PeerSettings[] };
  /** What it may originate. */
  readonly pool: readonly Prefix[];
}

const shared = Array.from({ length: 12 }, (_, i) => `10.80.${i}.0/24` as Prefix),
  outer = Array.from({ length: 6 }, (_, i) => `198.51.${100 + i}.0/24` as Prefix),
  shared6 = Array.from({ length: 4 }, (_, i) => `fd80:${i + 1}::/48` as Prefix);

const rules = (localPref: number): PolicySettings["rules"] => [{ when: {}, then: "accept", set: { localPref: { to: localPref } } }];
const policies: Readonly<Record<string, PolicySettings>> = {
  all: { name: "all", rules: [], otherwise: "accept" },
  low: { name: "low", rules: rules(90), otherwise: "accept" },
  high: { name: "high", rules: rules(110), otherwise: "accept" },
};

type Kind = "top" | "second" | "client" | "plain" | "outside";
interface Draft {
  readonly name: string;
  readonly kind: Kind;
  readonly number: number;
  readonly asn: number;
  cluster: number;
  readonly knowsLongLived: boolean;
  readonly peers: PeerSettings[];
}

export function planOf(seed: number): readonly Plan[] {
  const random = chance(seed),
    below = (most: number): number => Math.floor(random() * most),
    pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const counts: Record<Kind, number> = { top: 1 + (seed % 4), second: seed % 3, plain: 2 * (seed % 2), outside: 3, client: 0 };
  counts.client = speakers - counts.top - counts.second - counts.plain - counts.outside;
  const drafts: Draft[] = [];
  for (const kind of ["top", "second", "client", "plain", "outside"] as const)
    for (let n = 1; n <= counts[kind]; n++) {
      const number = drafts.length + 1;
      drafts.push({
        name: `${kind}${n}`,
        kind,
        number,
        asn: kind === "outside" ? 65_100 + n : insideAs,
        cluster: number,
        knowsLongLived: random() < 0.5,
        peers: [],
      });
    }
  const of = (...kinds: readonly Kind[]): readonly Draft[] => drafts.filter(({ kind }) => kinds.includes(kind));
  const tops = of("top");
  // Two reflectors of one cluster refuse each other's routes: then who is a client of one is a client of both (RFC 4456 §7).
  const twins = seed % 5 === 0 && tops.length > 1 ? tops.slice(0, 2) : [];
  for (const twin of twins) twin.cluster = twins[0]!.number;
  const link = (a: Draft, b: Draft, ofB: PeerRole, ofA: PeerRole): void => {
    const hasRestart = random() < 0.8,
      passive = random() < 0.7;
    const session = (other: Draft, role: PeerRole, own: Draft): PeerSettings =>
      peerOf(other.name, addressOf(other.number), {
        remoteAs: other.asn,
        role,
        connectRetrySeconds: 5,
        gracefulRestart: hasRestart ? { restartSeconds, staleSeconds, ...(own.knowsLongLived && { longLivedSeconds }) } : undefined,
        multihop: role === "external" ? 1 : undefined,
        nextHopSelf: role !== "external" && own.number % 3 === 0,
        import: role === "external" ? [own.kind === "outside" ? "all" : pick(["all", "low", "high"])] : [],
        export: role === "external" ? ["all"] : [],
      });
    a.peers.push({ ...session(b, ofB, a), passive });
    b.peers.push(session(a, ofA, b));
  };
  const parentsFor = (from: readonly Draft[]): readonly Draft[] => {
    const chosen = new Set(Array.from({ length: 1 + below(2) }, () => pick(from)));
    if (twins.some((twin) => chosen.has(twin))) for (const twin of twins) chosen.add(twin);
    return [...chosen];
  };
  for (const [i, a] of [...tops, ...of("plain")].entries()) for (const b of [...tops, ...of("plain")].slice(i + 1)) link(a, b, "non-client", "non-client");
  for (const second of of("second")) for (const parent of parentsFor(tops)) link(parent, second, "client", "non-client");
  for (const client of of("client")) for (const parent of parentsFor(of("top", "second"))) link(parent, client, "client", "non-client");
  for (const outside of of("outside"))
    for (const inside of new Set(Array.from({ length: 1 + below(2) }, () => pick(of("client", "second", "top"))))) {
      link(inside, outside, "external", "external");
      const [ours, theirs] = pick<readonly [AsRole?, AsRole?]>([[], ["customer", "provider"], ["provider", "customer"], ["peer", "peer"]]);
      if (ours === undefined || theirs === undefined) continue;
      for (const [{ peers }, asRole] of [
        [inside, ours],
        [outside, theirs],
      ] as const)
        peers.push({ ...peers.pop()!, asRole });
    }
  return drafts.map(finished);
}

function finished({ name, kind, number, asn, cluster, peers }: Draft): Plan {
  const address = addressOf(number);
  return {
    name,
    settings: { asn, address, address6: `fd00::${number}` as Ip, routerId: address, clusterId: addressOf(cluster), policies, peers },
    pool: kind === "outside" ? outer : [...shared, ...shared6],
  };
}

const addressOf = (number: number): Ip => `10.0.0.${number}` as Ip;
