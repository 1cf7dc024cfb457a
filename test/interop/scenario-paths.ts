/** Several paths of one prefix (RFC 7911), IPv4 routes with IPv6 next hops (RFC 8950), messages of ours over 4096 octets (RFC 8654). */
import type { Ip } from "#base/ip.ts";
import { awaitFact } from "#lab/command.ts";
import { messageType } from "#wire/bgp/constants.ts";
import type { Bench } from "./bench.ts";
import type { Announcement, Client } from "./client.ts";
import { type Scenario, Theirs } from "./matrix.ts";
import { differences, type Field, type Route } from "./route.ts";
import { afterReflection, routesOf, samplesOf } from "./sample-routes.ts";
import { untilSame } from "./waiting.ts";

const shared4 = "10.150.1.0/24",
  shared6 = "fd00:150:1::/48",
  theirs4 = "10.151.1.0/24";
const families = [
  { afi: 1, safi: 1 },
  { afi: 2, safi: 1 },
];

/** The same two prefixes from each of our clients, with a next hop and a preference of its own. */
function shared(bench: Bench, number: number): Announcement[] {
  const attributes = { origin: 0, asPath: [], localPref: 100 + number } as const;
  return [
    { prefixes: [shared4], attributes, nextHop: bench.network.client(number) },
    { prefixes: [shared6], attributes, nextHop: bench.network.client(number, 6) },
  ];
}
/** As several routes of one prefix can be told apart: by their next hops. */
const apart = (routes: readonly Route[]): Route[] => routes.map((route) => ({ ...route, prefix: `${route.prefix} via ${route.nextHop}` }));

function expected(bench: Bench, numbers: readonly number[]): Route[] {
  return numbers.flatMap((number) =>
    afterReflection(routesOf(shared(bench, number)), { originator: bench.network.client(number), cluster: bench.network.address("pw") }),
  );
}
const compared: readonly Field[] = ["nextHop", "localPref", "originatorId", "clusterList"];

/** What its OPEN says of ADD-PATH for our two families. */
function offers(bench: Bench, way: "receive" | "send"): void {
  const listed = bench.tap.open(bench.them)!.capabilities.addPath;
  for (const family of families)
    if (!listed.some((one) => one.afi === family.afi && one[way]))
      throw new Theirs(`capability 69 of its OPEN does not say that it can ${way} for AFI ${family.afi}`);
}

async function theyReceive(bench: Bench): Promise<string> {
  offers(bench, "receive");
  const first = await bench.client(1),
    third = await bench.client(3),
    { speaker } = bench;
  const shown = compared.filter((field) => (speaker.shows as readonly Field[]).includes(field));
  const rib = async (): Promise<Route[]> => {
    const all = [...(await speaker.rib("ipv4")), ...(await speaker.rib("ipv6"))];
    return apart(all.filter(({ prefix }) => prefix === shared4 || prefix === shared6));
  };
  const holds = (what: string, numbers: readonly number[]): Promise<void> =>
    untilSame(`${what} in ${speaker.name}'s table`, async () => differences(apart(expected(bench, numbers)), await rib(), shown));
  for (const [number, client] of [
    [1, first],
    [3, third],
  ] as const)
    for (const one of shared(bench, number)) client.announce(one);
  await holds("two paths of each prefix", [1, 3]);
  first.withdraw([shared4]);
  first.withdraw([shared6]);
  await holds("the path that is left", [3]);
  for (const one of shared(bench, 1)) first.announce(one);
  await holds("two paths of each prefix again", [1, 3]);
  await speaker.refresh();
  await holds("two paths of each prefix after a refresh", [1, 3]);
  return "two paths of a prefix in each family, one taken back and told again";
}

async function theySend(bench: Bench): Promise<string> {
  offers(bench, "send");
  const { speaker, network, podwayd } = bench,
    hops = [network.address("sp"), network.client(2)];
  const second: Client | undefined = speaker.reflects ? await bench.client(2) : undefined;
  second?.announce({ prefixes: [theirs4], attributes: { origin: 0, asPath: [], localPref: 100 }, nextHop: network.client(2) });
  const paths = (): ReturnType<typeof podwayd.routes> => podwayd.routes(`prefix=${theirs4}&receivedFrom=speaker`);
  await untilSame("paths podwayd has from it", async () => {
    const seen = await paths(),
      ids = new Set(seen.map(({ pathId }) => pathId)),
      missing = hops.filter((hop) => !seen.some(({ nextHop }) => nextHop === hop));
    return [...missing.map((hop) => `none via ${hop}`), ...(ids.size === 2 && !ids.has(null) ? [] : [`its identifiers are ${[...ids].join(", ")}`])];
  });
  const ids = (await paths()).map(({ pathId }) => pathId);
  if (second) {
    second.withdraw([theirs4]);
    await untilSame("paths podwayd has left", async () => ((await paths()).map(({ nextHop }) => nextHop).join() === hops[0] ? [] : ["not its own alone"]));
  }
  return `two paths of one prefix, its identifiers ${ids.join(" and ")}`;
}

export const severalPaths: Scenario = {
  rows: ["ADD-PATH, they receive", "ADD-PATH, they send"],
  scene: (bench) => {
    const attributes = { origin: 0, asPath: [] } as const,
      own: Announcement = { prefixes: [theirs4], attributes, nextHop: bench.network.address("sp") };
    // one that reflects nothing has both paths itself
    const other: Announcement = { prefixes: [theirs4], attributes, nextHop: bench.network.client(2) };
    return { setup: { addPath: true, announces: bench.speaker.reflects ? [own] : [own, other] }, peer: { addPath: { receive: true, send: "all" } } };
  },
  prepare: async (bench) => void (await bench.podwayd.established("speaker")),
  trials: [theyReceive, theySend],
};

export const ipv6NextHops: Scenario = {
  rows: ["IPv4 routes over an IPv6 next hop"],
  scene: (bench) => ({
    setup: {
      transport: 6,
      ipv6NextHop: true,
      announces: [{ prefixes: [theirs4], attributes: { origin: 0, asPath: [] }, nextHop: bench.network.address("sp", 6) }],
    },
    peer: { extendedNextHop: true },
    clients: { extendedNextHop: true },
  }),
  trials: [
    async (bench) => {
      const { speaker, network, podwayd } = bench,
        capability = { afi: 1, safi: 1, nextHopAfi: 2 };
      await podwayd.established("speaker");
      const listed = bench.tap.open(bench.them)!.capabilities.extendedNextHop;
      if (!listed.some(({ afi, nextHopAfi }) => afi === 1 && nextHopAfi === 2)) throw new Theirs("capability 5 of its OPEN does not list IPv4 over IPv6");
      const first = await bench.client(1, { capabilities: { extendedNextHop: [capability] } }),
        fourth = await bench.client(4); // has not agreed to it
      const samples = samplesOf(network, 1)
        .filter(({ prefixes }) => !prefixes[0]!.includes(":"))
        .map((one) => ({ ...one, nextHop: network.client(1, 6) as Ip }));
      for (const one of samples) first.announce(one);
      const wanted = afterReflection(routesOf(samples), { originator: network.client(1), cluster: network.address("pw") });
      await untilSame(`routes of ours in ${speaker.name}'s table`, async () =>
        differences(
          wanted,
          (await speaker.rib("ipv4")).filter(({ prefix }) => prefix !== theirs4),
          ["nextHop", "originatorId"],
        ),
      );
      if (fourth.routes.size > 0) throw new Error(`${[...fourth.routes.keys()][0]} was told to a peer that has not agreed to IPv6 next hops`);
      const back = await awaitFact(async () => (await podwayd.routes(`prefix=${theirs4}&receivedFrom=speaker`))[0], { millis: 4000 });
      return `ours in its table; its own came with next hop ${back?.nextHop ?? "none: it was not announced"}`;
    },
  ],
};

export const longMessages: Scenario = {
  rows: ["extended messages, ours to them"],
  scene: () => ({}),
  trials: [
    async (bench) => {
      const { podwayd, speaker, network, tap } = bench;
      await podwayd.established("speaker");
      const first = await bench.client(1),
        takes = tap.open(bench.them)!.capabilities.extendedMessage,
        largeCommunities = Uint32Array.from({ length: 3 * 500 }, (_, i) => i);
      const announce = (more: object): void =>
        first.announce({ prefixes: ["10.101.99.0/24"], nextHop: network.client(1), attributes: { origin: 0, asPath: [], localPref: 100, ...more } });
      const there = async (): Promise<Route | undefined> => (await speaker.rib("ipv4")).find(({ prefix }) => prefix === "10.101.99.0/24");
      announce({});
      await untilSame("the short route", async () => ((await there()) ? [] : ["is not there"]));
      announce({ largeCommunities });
      const longest = (): number => Math.max(0, ...tap.from(bench.us, messageType.update).map(({ body }) => 19 + body.length));
      if (takes) {
        // some tables cut long lists short when they show them: what they show must be the beginning of it
        const sent = Array.from({ length: 500 }, (_, i) => `${3 * i}:${3 * i + 1}:${3 * i + 2}`);
        const shows = (shown: readonly string[]): boolean => shown.length >= 10 && shown.every((one, i) => one === sent[i]);
        await untilSame("the long route", async () => (shows((await there())?.largeCommunities ?? []) ? [] : ["has not its 500 large communities"]));
        if (longest() <= 4096) throw new Error(`the longest message we sent has ${longest()} octets`);
        return `we sent it a message of ${longest()} octets`;
      }
      await untilSame("the route that is too long for it", async () => ((await there()) ? ["is there still"] : []));
      if (longest() > 4096) throw new Error(`it was sent a message of ${longest()} octets, and had not said that it takes them`);
      if ((await podwayd.peer("speaker")).state !== "Established") throw new Error("the session was lost");
      announce({});
      await untilSame("the route that is short again", async () => ((await there()) ? [] : ["is not there"]));
      return "it offers no capability 6: the route that needs more than 4096 octets was withdrawn from it, and came back when it was shorter";
    },
  ],
};
