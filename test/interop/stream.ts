/** A seeded stream of what injectors do to a reflector: announce, change, withdraw, lose their session. */
import type { Ip } from "#base/ip.ts";
import { ip4Number } from "#base/ip.ts";
import { wellKnownCommunity } from "#wire/bgp/community.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { chance } from "../sim/chance.ts";
import type { Announcement } from "./client.ts";

export type Step =
  | { readonly type: "announce"; readonly injector: number; readonly what: Announcement }
  | { readonly type: "withdraw"; readonly injector: number; readonly prefix: string }
  | { readonly type: "drop"; readonly injector: number };

export interface StreamOptions {
  readonly injectors: readonly number[];
  /** Of those, the ones of another AS; their paths begin with it. */
  readonly outside: ReadonlyMap<number, number>;
  /** Next hops to choose from, by family. */
  readonly hops: readonly { readonly v4: Ip; readonly v6: Ip }[];
  /** The reflectors' own cluster id: in a CLUSTER_LIST it makes a loop. BIRD looks for it in what its clients send, in nothing else. */
  readonly clusterId: Ip;
  readonly clients: readonly number[];
}

const steps = 60;
const prefixes = [...Array.from({ length: 14 }, (_, i) => `10.50.${i}.0/24`), ...Array.from({ length: 8 }, (_, i) => `fd00:50:${i + 1}::/48`)];
const dropsPerSeed = 0.15;

/** The same steps for the same seed. */
export function streamOf(seed: number, options: StreamOptions): Step[] {
  const random = chance(seed),
    pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const out: Step[] = [];
  for (let n = 0; n < steps; n++) {
    const injector = pick(options.injectors),
      prefix = pick(prefixes);
    if (random() < dropsPerSeed / steps) out.push({ type: "drop", injector });
    else if (random() < 0.25) out.push({ type: "withdraw", injector, prefix });
    else {
      const hop = pick(options.hops),
        first = options.outside.get(injector);
      const attributes =
        first === undefined ? inside(random, options.clients.includes(injector) ? options.clusterId : undefined) : { ...shared(random, [first]) };
      out.push({ type: "announce", injector, what: { prefixes: [prefix], attributes, nextHop: prefix.includes(":") ? hop.v6 : hop.v4 } });
    }
  }
  return out;
}

/** What every step of the decision looks at, with few values, so that ties are common down to the last. */
function shared(random: () => number, lead: readonly number[]): PathAttributes {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const more = Array.from({ length: Math.floor(random() * 3) }, () => pick([65010, 65020, 65030]));
  const path = [...lead, ...more],
    med = pick([undefined, 0, 10, 20]);
  const community = random() < 0.06 ? wellKnownCommunity.noAdvertise : random() < 0.06 ? wellKnownCommunity.noExport : undefined;
  return {
    origin: pick([0, 0, 0, 1, 2]),
    asPath: path.length === 0 ? [] : [{ type: 2, asns: Uint32Array.from(path) }],
    ...(med !== undefined && { med }),
    ...(community !== undefined && { communities: Uint32Array.of(community) }),
  };
}

/** From the own AS: LOCAL_PREF, and sometimes the marks of a reflector before us. */
function inside(random: () => number, ownCluster: Ip | undefined): PathAttributes {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const clusters = Array.from({ length: Math.floor(random() * 4) }, () => ip4Number(pick(["192.0.2.1", "192.0.2.2", "192.0.2.3"])));
  if (random() < 0.08 && ownCluster !== undefined) clusters.push(ip4Number(ownCluster));
  const isReflected = random() < 0.4;
  return {
    ...shared(random, []),
    localPref: pick([100, 100, 100, 90, 200]),
    ...(isReflected && {
      originatorId: ip4Number(pick(["192.0.2.7", "10.66.0.1", "203.0.113.1"])),
      ...(clusters.length > 0 && { clusterList: Uint32Array.from(clusters) }),
    }),
  };
}
