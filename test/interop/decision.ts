/**
 * The decision process of BIRD with deterministic MED and of podwayd against the oracle of the tests, on the same seeded sets of paths: every set is
 * a prefix, every path a route of one of seven peers, and a client that has none of its own is told which was chosen.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Ip, printIp4 } from "#base/ip.ts";
import { awaitFact, run } from "#lab/command.ts";
import type { Capabilities } from "#wire/bgp/capability.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { someArrivals } from "../bgp/path-sets.ts";
import { bestByElimination, type TwinPath, type TwinRole } from "../bgp/twins.ts";
import { chance } from "../sim/chance.ts";
import { Client, unicast } from "./client.ts";
import { Network } from "./network.ts";
import { Podwayd } from "./podwayd.ts";
import { Program } from "./program.ts";

const asn = 65000;
const sets = 200;
/** By number of the client; those outside are of AS 7 and 8, which the paths are of as well. Ourselves have no path. */
const roles: readonly TwinRole[] = ["local", "client", "client", "non-client", "non-client", "external", "external", "external"];
const outside = new Map([
  [5, 7],
  [6, 8],
  [7, 7],
]);
const listener = 8;
const patienceMillis = 20_000;
const hosts = ["bird", "pw"] as const;
type Host = (typeof hosts)[number];

/** Who tells a path is in it, as a large community: what was chosen can be read off what was told. */
const markOf = (peer: number): Uint32Array => Uint32Array.of(asn, 0, peer);
const prefixOf = (set: number): string => `10.52.${set}.0/24`;
const routerIdOf = (peer: number): number => 100 + (peer % 3);
/** With it, routes that are stale for long are told to the listener. */
const longLived: Partial<Capabilities> = {
  gracefulRestart: { restarting: false, notification: false, restartSeconds: 1, families: [{ ...unicast.ipv4, forwarding: true }] },
  longLived: [{ ...unicast.ipv4, forwarding: true, staleSeconds: 60 }],
};

export interface DecisionComparison {
  readonly sets: number;
  readonly paths: number;
  /** Peers that won, by role. */
  readonly winners: Readonly<Record<string, number>>;
  readonly differences: readonly string[];
}

/** `seed` makes the sets, and the order in which their paths arrive. */
export async function compareDecisions(home: string, seed: number): Promise<DecisionComparison> {
  const directory = join(home, "decision");
  mkdirSync(directory, { recursive: true });
  const network = await Network.open("dec", hosts),
    podwayd = new Podwayd(network, "pw", join(directory, "podwayd"));
  const clients = new Map<string, Client>();
  let bird: Program | undefined;
  try {
    bird = await startBird(network, directory);
    await podwayd.start({ asn, gracefulRestart: "off", peers: Array.from({ length: listener }, (_, i) => peerOf(network, i + 1)) });
    for (const host of hosts)
      for (let number = 1; number <= listener; number++) {
        const client = clientOf(network, host, number);
        clients.set(`${number} ${host}`, client);
        await client.connect(patienceMillis);
      }
    return await compare((number, host) => clients.get(`${number} ${host}`)!, network, seed);
  } finally {
    for (const client of clients.values()) client.drop();
    await podwayd.stop("SIGKILL");
    await bird?.stop("SIGKILL");
    await network.close();
  }
}

async function compare(client: (number: number, host: Host) => Client, network: Network, seed: number): Promise<DecisionComparison> {
  const random = chance(seed),
    all = Array.from({ length: sets }, () => somePaths(random, network)),
    wanted = all.map((paths) => bestByElimination(paths)!.peer),
    nextHop = network.client(50);
  const said = all
    .flatMap((paths, set) => paths.map(({ peer, attributes }) => ({ set, peer, attributes, turn: random() })))
    .toSorted((a, b) => a.turn - b.turn);
  for (const { set, peer, attributes } of said)
    for (const host of hosts)
      client(peer, host).announce({ prefixes: [prefixOf(set)], attributes: { ...attributes, largeCommunities: markOf(peer) }, nextHop });
  const chosen = (host: Host, set: number): string => client(listener, host).routes.get(prefixOf(set))?.largeCommunities.join() ?? "nothing";
  const differences = (): string[] =>
    hosts.flatMap((host) =>
      wanted.flatMap((peer, set) => {
        const told = chosen(host, set);
        return told === markOf(peer).join(":") ? [] : [`${host} tells ${told} of set ${set}, and the oracle ${peer}: ${describe(all[set]!)}`];
      }),
    );
  await awaitFact(async () => (differences().length === 0 ? true : undefined), { millis: patienceMillis });
  const winners: Record<string, number> = {};
  for (const peer of wanted) winners[roles[peer]!] = (winners[roles[peer]!] ?? 0) + 1;
  return { sets, paths: said.length, winners, differences: differences() };
}

/** A set of the oracle's as sessions can bring it: one path a peer, none of our own, no weight; LOCAL_PREF inside, the neighbour's AS in front outside. */
function somePaths(random: () => number, network: Network): TwinPath[] {
  for (;;) {
    const arrivals = someArrivals(random, 3 + Math.floor(random() * 8), roles).filter(({ peer, pathId }) => peer !== 0 && (pathId ?? 0) === 0);
    if (arrivals.length < 2) continue;
    return arrivals.map(({ peer, attributes }) => ({
      peer,
      pathId: 0,
      role: roles[peer]!,
      routerId: routerIdOf(peer),
      address: network.client(peer),
      attributes: asTold(peer, attributes),
    }));
  }
}

function asTold(peer: number, { nextHop: _, localPref, ...attributes }: PathAttributes): PathAttributes {
  const neighbour = outside.get(peer);
  if (neighbour === undefined) return { ...attributes, localPref: localPref ?? 100 };
  const rest = attributes.asPath?.[0]?.asns.subarray(1) ?? [];
  return { ...attributes, asPath: [{ type: 2, asns: Uint32Array.of(neighbour, ...rest) }] };
}

const describe = (paths: readonly TwinPath[]): string =>
  paths
    .map(({ peer, role, attributes: { localPref, asPath, origin, med, originatorId, clusterList, communities } }) => {
      const words = [role, `pref ${localPref ?? "-"}`, `path ${asPath?.[0]?.asns.join(" ") ?? ""}`, `origin ${origin}`, `med ${med ?? "-"}`];
      return `${peer} (${[...words, `from ${originatorId ?? routerIdOf(peer)}`, `through ${clusterList?.length ?? 0}`, ...(communities ? ["stale"] : [])].join(", ")})`;
    })
    .join("; ");

function clientOf(network: Network, host: Host, number: number): Client {
  return new Client({
    namespace: network.bridge,
    local: network.client(number),
    remote: network.address(host),
    asn: outside.get(number) ?? asn,
    peerAs: asn,
    holdSeconds: 240,
    routerId: printIp4(number === listener ? 99 : routerIdOf(number)) as Ip,
    ...(number === listener && { capabilities: longLived }),
  });
}

function peerOf(network: Network, number: number): { name: string; address: Ip; asn: number; [key: string]: unknown } {
  const external = outside.get(number),
    usual = { name: `c${number}`, address: network.client(number), passive: true, families: ["ipv4", "ipv6"], holdTime: 240 };
  if (external !== undefined) return { ...usual, asn: external, import: ["all"] };
  const restart = { gracefulRestart: { restart: "1s", stale: "60s", longLived: { staleTime: "60s" } } };
  return { ...usual, asn, client: number === listener || roles[number] === "client", ...(number === listener && restart) };
}

async function startBird(network: Network, directory: string): Promise<Program> {
  const protocols = Array.from({ length: listener }, (_, i) => {
    const number = i + 1,
      external = outside.get(number),
      inside = `direct; ${number === listener || roles[number] === "client" ? "rr client; " : ""}`;
    return `protocol bgp c${number} {
  local ${network.address("bird")} as ${asn}; neighbor ${network.client(number)} as ${external ?? asn}; passive on; ${external === undefined ? inside : ""}
  deterministic med on; hold time 240; graceful restart aware;
  ipv4 { import all; ${external === undefined ? "export where source = RTS_BGP" : "export none"}; };
}`;
  });
  const config = `router id ${network.address("bird")};\nprotocol device { }\nprotocol direct { ipv4; interface "eth0"; }\n${protocols.join("\n")}\n`;
  writeFileSync(join(directory, "bird.conf"), config);
  const bird = new Program(["bird", "-f", "-c", "bird.conf", "-s", "bird.ctl"], { name: "bird", namespace: network.namespace("bird"), directory });
  const ready = await awaitFact(
    async () =>
      bird.ended ?? ((await run(["birdc", "-s", join(directory, "bird.ctl"), "show", "status"])).stdout.includes("Daemon is up") ? "ready" : undefined),
    { millis: 10_000, everyMillis: 30 },
  );
  if (ready !== "ready") throw new Error(`bird is not ready (${ready}): ${bird.tail()}`);
  return bird;
}
