/** One policy in our words and in BIRD's, over the same seeded routes: both accept the same ones, with the same attributes. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ipBytes } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import { tryRoute } from "#bgp/policy/try-route.ts";
import { compilePolicy } from "#config/built-in-policies.ts";
import { parseDocument } from "#config/parse.ts";
import { awaitFact, run } from "#lab/command.ts";
import type { AsPath } from "#wire/bgp/as-path.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { chance } from "../sim/chance.ts";
import { Client } from "./client.ts";
import { Network } from "./network.ts";
import { Program } from "./program.ts";
import { differences, type Field, type Route, routeOf } from "./route.ts";

const asn = 65000;
const routes = 600;
const quietMillis = 500;
const mark = "198.18.255.255/32";
const fields: readonly Field[] = ["nextHop", "asPath", "localPref", "med", "communities", "largeCommunities", "extendedCommunities"];

const ours = `podway: 1
name: same
asn: ${asn}
store: none
nodes: { rr: { address: 10.0.0.1, roles: [reflector] } }
sets:
  prefixes: { few: [{ prefix: 10.0.0.0/8, ge: 14, le: 22 }, { prefix: 172.16.0.0/12, ge: 24 }, 192.0.2.0/24] }
policies:
  judge:
    rules:
      - { when: { prefixes: [{ set: few }] }, then: reject }
      - { when: { asPath: ["^65001 .* 65002$"] }, then: accept, set: { localPref: { add: 50 } } }
      - { when: { asPath: ["_65003$", "^65004 65004"], asPathLength: { le: 3 } }, then: accept, set: { med: 77 } }
      - { when: { communities: ["65001:*", "65002:7"] }, then: accept, set: { communities: { remove: ["65001:*"], add: ["65000:1"] } } }
      - { when: { largeCommunities: ["65000:2:*"] }, then: accept, set: { med: remove, largeCommunities: ["65000:9:9"] } }
      - { when: { extendedCommunities: ["target:65000:*"] }, then: accept, set: { prepend: { asn: 65009, times: 2 } } }
      - { when: { originAs: [65001], localPref: { ge: 110 } }, then: accept, set: { localPref: { subtract: 20 } } }
      - { when: { med: { ge: 3 } }, then: reject }
    otherwise: accept
`;
const theirs = `filter judge {
  if net ~ [10.0.0.0/8{14,22}, 172.16.0.0/12{24,32}, 192.0.2.0/24] then reject;
  if bgp_path ~ [= 65001 * 65002 =] then { bgp_local_pref = bgp_local_pref + 50; accept; }
  if (bgp_path ~ [= * 65003 =] || bgp_path ~ [= 65004 65004 * =]) && bgp_path.len <= 3 then { bgp_med = 77; accept; }
  if bgp_community ~ [(65001, *), (65002, 7)] then { bgp_community.delete([(65001, *)]); bgp_community.add((65000, 1)); accept; }
  if bgp_large_community ~ [(65000, 2, *)] then { unset(bgp_med); bgp_large_community.add((65000, 9, 9)); accept; }
  if bgp_ext_community ~ [(rt, 65000, *)] then { bgp_path.prepend(65009); bgp_path.prepend(65009); accept; }
  if bgp_path ~ [= * 65001 =] && bgp_local_pref >= 110 then { bgp_local_pref = bgp_local_pref - 20; accept; }
  if defined(bgp_med) && bgp_med >= 3 then reject;
  accept;
}`;

export interface PolicyComparison {
  readonly routes: number;
  readonly accepted: number;
  readonly differences: readonly string[];
}

/** `seed` makes the routes. */
export async function comparePolicies(home: string, seed: number): Promise<PolicyComparison> {
  const directory = join(home, "policy");
  mkdirSync(directory, { recursive: true });
  const network = await Network.open("pol", ["bird"]);
  let bird: Program | undefined;
  const clients: Client[] = [];
  try {
    bird = await startBird(network, directory);
    for (const number of [1, 2])
      clients.push(
        new Client({ namespace: network.bridge, local: network.client(number), remote: network.address("bird"), asn, peerAs: asn, holdSeconds: 240 }),
      );
    const [injector, listener] = clients as [Client, Client];
    for (const client of clients) await client.connect(20_000);
    const random = chance(seed),
      nextHop = network.client(50),
      table = new Map(Array.from({ length: routes }, () => [somePrefix(random), someAttributes(random)] as const));
    for (const [prefix, attributes] of table) injector.announce({ prefixes: [prefix], attributes, nextHop });
    injector.announce({ prefixes: [mark], attributes: { origin: 0, asPath: [], localPref: 100 }, nextHop });
    await listener.until("the mark", () => listener.routes.has(mark) && performance.now() - listener.lastHeardAt > quietMillis, 20_000);
    const said = [...listener.routes.values()].filter(({ prefix }) => prefix !== mark),
      wanted = judged(table, nextHop);
    return { routes: table.size, accepted: wanted.length, differences: differences(said, wanted, fields) };
  } finally {
    for (const client of clients) client.drop();
    await bird?.stop("SIGKILL");
    await network.close();
  }
}

/** What our policy leaves of the routes. */
function judged(table: ReadonlyMap<Prefix, PathAttributes>, nextHop: Parameters<typeof ipBytes>[0]): Route[] {
  const parsed = parseDocument(ours, "policy");
  if (!parsed.ok) throw new Error(parsed.fault.text);
  const policy = compilePolicy(parsed.value.document, "judge")!,
    hop = ipBytes(nextHop);
  return [...table].flatMap(([prefix, attributes]) => {
    const route = { prefix, attributes: { ...attributes, nextHop: hop }, source: "internal", from: undefined } as const;
    const { accepted } = tryRoute([policy], route, { ownAs: asn, way: "import", self: [undefined, undefined] });
    return accepted ? [routeOf(prefix, accepted.attributes, accepted.attributes.nextHop!)] : [];
  });
}

function somePrefix(random: () => number): Prefix {
  const length = 12 + Math.floor(random() * 17),
    [first, second] = (
      [
        [10, 0],
        [172, 16],
        [192, 0],
        [100, 64],
      ] as const
    )[Math.floor(random() * 4)]!;
  if (first === 192 && random() < 0.2) return "192.0.2.0/24" as Prefix;
  const address = ((first << 24) | ((second + Math.floor(random() * 16)) << 16) | Math.floor(random() * 65_536)) & (-1 << (32 - length));
  return `${[24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".")}/${length}` as Prefix;
}

function someAttributes(random: () => number): PathAttributes {
  const below = (most: number): number => Math.floor(random() * most),
    maybe = (odds: number): boolean => random() < odds;
  // Without sets: BIRD lets one stand for none or several of a pattern's numbers, we for exactly one, as the decision counts it.
  const asns = Array.from({ length: below(5) }, () => 65_001 + below(4)),
    asPath: AsPath = asns.length > 0 ? [{ type: 2, asns: Uint32Array.from(asns) }] : [];
  const pairs = [...new Set(Array.from({ length: 1 + below(3) }, () => (65_001 + below(3)) * 65_536 + 5 + below(4)))].toSorted((a, b) => a - b);
  return {
    origin: 0,
    asPath,
    localPref: 95 + below(20),
    ...(maybe(0.5) && { med: below(6) }),
    ...(maybe(0.3) && { communities: Uint32Array.from(pairs) }),
    ...(maybe(0.3) && { largeCommunities: Uint32Array.of(65_000 + below(2), below(3), 1 + below(2)) }),
    ...(maybe(0.3) && { extendedCommunities: Uint8Array.of(0, 2 + below(2), 0xfd, 0xe8 + below(2), 0, 0, 0, below(9)) }),
  };
}

async function startBird(network: Network, directory: string): Promise<Program> {
  const protocols = [1, 2].map(
    (number) => `protocol bgp c${number} {
  local ${network.address("bird")} as ${asn}; neighbor ${network.client(number)} as ${asn}; passive on; direct; rr client; hold time 240;
  ipv4 { import filter judge; export where source = RTS_BGP; };
}`,
  );
  const config = `router id ${network.address("bird")};\nprotocol device { }\nprotocol direct { ipv4; interface "eth0"; }\n${theirs}\n${protocols.join("\n")}\n`;
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
