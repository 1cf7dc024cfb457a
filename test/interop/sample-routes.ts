/** What is announced in the suites, and what must become of it on the way (RFC 4456 §8, §10; RFC 4271 §5.1), said apart from the product's code. */
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import type { Announcement } from "./client.ts";
import type { Network } from "./network.ts";
import { canonical, type Route, routeOf } from "./route.ts";
import { ipBytes } from "#base/ip.ts";

const community = (a: number, b: number): number => a * 0x1_0000 + b;
const path = (...asns: readonly number[]): NonNullable<PathAttributes["asPath"]> => [{ type: 2, asns: Uint32Array.from(asns) }];

/** Everything at once: an attribute of every kind a unicast route has, and one nobody knows. */
const rich: PathAttributes = {
  origin: 1,
  asPath: path(65010, 4_200_000_001, 65020),
  med: 30,
  localPref: 120,
  atomicAggregate: true,
  aggregator: { asn: 65010, address: Uint8Array.of(192, 0, 2, 9) },
  communities: Uint32Array.of(community(65000, 1), community(65000, 200)),
  extendedCommunities: Uint8Array.of(0, 2, 0xfd, 0xe8, 0, 0, 0, 9),
  largeCommunities: Uint32Array.of(65000, 7, 8, 4_200_000_001, 1, 2),
  unknown: [{ flags: 0xc0, type: 227, value: Uint8Array.of(1, 2, 3) }],
};
const plain: PathAttributes = { origin: 2, asPath: [], localPref: 100 };
/** As from another cluster: reflected before it comes to us. */
const reflected: PathAttributes = { ...plain, asPath: path(65030), originatorId: 0xc000_0207, clusterList: Uint32Array.of(0xc000_0208, 0xc000_0209) };

/** What our client `number` announces: four IPv4 and three IPv6 routes under 10.(100 + number). */
export function samplesOf(network: Network, number: number): Announcement[] {
  const four = network.client(number),
    six = network.client(number, 6),
    n = 100 + number;
  return [
    { prefixes: [`10.${n}.1.0/24`, `10.${n}.2.128/25`], attributes: rich, nextHop: four },
    { prefixes: [`10.${n}.3.0/24`], attributes: plain, nextHop: four },
    { prefixes: [`10.${n}.4.4/32`], attributes: reflected, nextHop: four },
    { prefixes: [`fd00:${n}:1::/48`, `fd00:${n}:2:8000::/49`], attributes: rich, nextHop: six },
    { prefixes: [`fd00:${n}:3::/64`], attributes: plain, nextHop: six },
  ];
}

/** What a foreign speaker is set up to announce: attributes that each of them can be told to set. */
export function samplesOfSpeaker(network: Network, host: string): Announcement[] {
  const four = network.address(host),
    six = network.address(host, 6);
  const marked: PathAttributes = {
    origin: 0,
    asPath: [],
    med: 50,
    localPref: 150,
    communities: Uint32Array.of(community(65000, 11), community(65000, 12)),
    largeCommunities: Uint32Array.of(65000, 1, 2),
  };
  const bare: PathAttributes = { origin: 0, asPath: [], med: 20 };
  return [
    { prefixes: ["10.200.1.0/24"], attributes: marked, nextHop: four },
    { prefixes: ["10.200.2.0/23", "10.200.5.5/32"], attributes: bare, nextHop: four },
    { prefixes: ["fd00:200:1::/48"], attributes: marked, nextHop: six },
    { prefixes: ["fd00:200:2::/49"], attributes: bare, nextHop: six },
  ];
}

/** As their announcer says them; internal routes without LOCAL_PREF get the default of RFC 4271 §5.1.5 from whoever sends them. */
export function routesOf(announcements: readonly Announcement[]): Route[] {
  return announcements.flatMap(({ prefixes, attributes, nextHop }) =>
    prefixes.map((prefix) => routeOf(canonical(prefix), { localPref: 100, ...attributes }, ipBytes(nextHop))),
  );
}

/** RFC 4456 §8: own cluster in front, ORIGINATOR_ID only where there is none; nothing else changes (§10). */
export function afterReflection(routes: readonly Route[], by: { readonly originator: string; readonly cluster: string }): Route[] {
  return routes.map((route) => ({ ...route, originatorId: route.originatorId ?? by.originator, clusterList: [by.cluster, ...route.clusterList] }));
}

/** What podwayd tells the outside of routes that are not its own (src/bgp/reflector/export.ts). */
const medOfOthers = 100;

/** To an external neighbour: own AS in front, own next hop and MED; LOCAL_PREF, others' MED, ORIGINATOR_ID and CLUSTER_LIST stay inside. */
export function afterExport(routes: readonly Route[], by: { readonly asn: number; readonly address: string; readonly address6: string }): Route[] {
  return routes.map((route) => ({
    ...route,
    asPath: `${by.asn} ${route.asPath}`.trim(),
    nextHop: route.prefix.includes(":") ? by.address6 : by.address,
    localPref: null,
    med: medOfOthers,
    originatorId: null,
    clusterList: [],
  }));
}

export const ofFamily = (routes: readonly Route[], family: "ipv4" | "ipv6"): Route[] =>
  routes.filter(({ prefix }) => prefix.includes(":") === (family === "ipv6"));
