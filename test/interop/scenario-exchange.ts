/** Routes between us and them with all their attributes, and asking for them again. */
import { awaitFact } from "#lab/command.ts";
import { decodeAttributes } from "#wire/bgp/attribute.ts";
import { attributeType, messageType } from "#wire/bgp/constants.ts";
import { decodeRouteRefresh } from "#wire/bgp/message.ts";
import { decodePrefixes } from "#wire/bgp/nlri.ts";
import { emptyRanges, splitUpdate } from "#wire/bgp/update.ts";
import { type Bench, ourAs, outsideAs } from "./bench.ts";
import type { Announcement, Client } from "./client.ts";
import { type Scenario, Theirs } from "./matrix.ts";
import { canonical, differences, type Field, type Route } from "./route.ts";
import { afterExport, afterReflection, ofFamily, routesOf, samplesOf, samplesOfSpeaker } from "./sample-routes.ts";
import { untilSame } from "./waiting.ts";

const everything: readonly Field[] = [
  "nextHop",
  "origin",
  "asPath",
  "localPref",
  "med",
  "communities",
  "largeCommunities",
  "extendedCommunities",
  "originatorId",
  "clusterList",
  "aggregator",
  "atomicAggregate",
  "unknown",
];

const tableOf = (client: Client): Route[] => [...client.routes.values()];
const announceAll = (client: Client, announcements: readonly Announcement[]): void => {
  for (const announcement of announcements) client.announce(announcement);
  client.endOfRib();
};

/** Cluster ids: ours and the speaker's are our and its IPv4 address. */
const ourCluster = (bench: Bench): string => bench.network.address("pw");
const theirCluster = (bench: Bench): string => bench.network.address("sp");

/** What the speaker must have of client 1's routes. */
function toSpeaker(bench: Bench): Route[] {
  return afterReflection(routesOf(samplesOf(bench.network, 1)), { originator: bench.network.client(1), cluster: ourCluster(bench) });
}
/** What the speaker tells us over iBGP: its own, and with a client of its own that client's, reflected. */
function fromSpeaker(bench: Bench): Route[] {
  const { oddity, reflects } = bench.speaker,
    odd = (routes: readonly Route[], source: "own" | "client"): Route[] => routes.map((route) => oddity?.tells(route, source) ?? route);
  const own = odd(routesOf(bench.setup.announces), "own");
  if (!reflects) return own;
  return [
    ...own,
    ...odd(afterReflection(routesOf(samplesOf(bench.network, 2)), { originator: bench.network.client(2), cluster: theirCluster(bench) }), "client"),
  ];
}
/** What client 1 must have of that. */
function toClient1(bench: Bench): Route[] {
  return afterReflection(fromSpeaker(bench), { originator: theirCluster(bench), cluster: ourCluster(bench) });
}
/** What client 2, behind the speaker, must have of client 1's routes. */
function toClient2(bench: Bench): Route[] {
  return afterReflection(toSpeaker(bench), { originator: "", cluster: theirCluster(bench) });
}

async function connectAll(bench: Bench): Promise<void> {
  await bench.podwayd.established("speaker");
  announceAll(await bench.client(1), samplesOf(bench.network, 1));
  if (bench.speaker.reflects) announceAll(await bench.client(2), samplesOf(bench.network, 2));
}

/** The same table at every place that must have it: the speaker's own, client 2 behind it, and client 1 in return. */
async function sameEverywhere(bench: Bench, keep: (routes: readonly Route[]) => Route[], fields: readonly Field[]): Promise<void> {
  const { speaker } = bench,
    shown = fields.filter((field) => (speaker.shows as readonly Field[]).includes(field));
  const rib = async (): Promise<Route[]> => keep([...(await speaker.rib("ipv4")), ...(await speaker.rib("ipv6"))]);
  const first = await bench.client(1);
  await untilSame(`routes of ours in ${speaker.name}'s table`, async () => differences(keep(toSpeaker(bench)), await rib(), shown));
  await untilSame(`${speaker.name}'s routes at our client`, () => differences(keep(toClient1(bench)), keep(tableOf(first)), fields));
  if (!speaker.reflects) return;
  const second = await bench.client(2),
    own = new Set(routesOf([...bench.setup.announces, ...samplesOf(bench.network, 2)]).map(({ prefix }) => prefix));
  const ours = (): Route[] => keep(tableOf(second).filter(({ prefix }) => !own.has(prefix)));
  await untilSame(`routes of ours that ${speaker.name} passed on`, () => differences(keep(toClient2(bench)), ours(), fields));
}

/** Routes with many communities: more than 4096 octets of attributes. */
const large = (bench: Bench): Announcement => ({
  prefixes: ["10.102.99.0/24"],
  nextHop: bench.network.client(2),
  attributes: { origin: 0, asPath: [], localPref: 100, largeCommunities: Uint32Array.from({ length: 3 * 500 }, (_, i) => i) },
});

async function extendedMessages(bench: Bench): Promise<string> {
  if (!bench.tap.open(bench.us)!.capabilities.extendedMessage) throw new Error("our OPEN does not offer it");
  if (!bench.tap.open(bench.them)!.capabilities.extendedMessage) throw new Theirs("no capability 6 in its OPEN");
  if (!bench.speaker.reflects) return "offered by both; a message over 4096 octets was not made, as it announces nothing so long";
  const second = await bench.client(2);
  if (!second.theirOpen!.capabilities.extendedMessage) throw new Theirs("no capability 6 in its OPEN");
  second.announce(large(bench));
  const seen = await awaitFact(async () => (await bench.podwayd.routes("prefix=10.102.99.0/24"))[0], { millis: 4000 });
  const longest = Math.max(0, ...bench.tap.from(bench.them, messageType.update).map(({ body }) => 19 + body.length));
  second.withdraw(["10.102.99.0/24"]);
  if (!seen && longest <= 4096) return "offered by both; it does not pass on a route that needs more than 4096 octets";
  if (seen?.largeCommunities.length !== 500)
    throw new Error(`a message of ${longest} octets came, and the route has ${seen?.largeCommunities.length ?? "no"} large communities`);
  return `it sent us a message of ${longest} octets`;
}

interface Refreshed {
  readonly asked: readonly string[];
  readonly marks: readonly string[];
}

/** ROUTE-REFRESH messages either side sent, as `afi/subtype`. */
function refreshes(bench: Bench): Refreshed {
  const of = (address: typeof bench.us): string[] =>
    bench.tap.from(address, messageType.routeRefresh).map(({ body }) => {
      const decoded = decodeRouteRefresh(body, 0, body.length);
      return decoded.ok ? `${decoded.value.afi}/${decoded.value.subtype}` : "malformed";
    });
  return { asked: of(bench.them), marks: of(bench.us) };
}

async function theyAsk(bench: Bench): Promise<string> {
  if (!bench.tap.open(bench.them)!.capabilities.routeRefresh) throw new Theirs("no capability 2 in its OPEN");
  const before = bench.tap.heard.length,
    lacks = bench.speaker.lacks.refresh;
  await bench.speaker.refresh();
  const asks = await awaitFact(async () => (refreshes(bench).asked.length > 0 ? true : undefined), { millis: 3000 });
  if (!asks && lacks !== undefined) throw new Theirs(lacks);
  const again = (): readonly string[] => {
    const told = new Set(
      bench.tap.heard.slice(before).flatMap(({ from, type, body }) => (from === bench.us && type === messageType.update ? prefixesOf(body) : [])),
    );
    return toSpeaker(bench).flatMap(({ prefix }) => (told.has(prefix) ? [] : [`${prefix} was not told again`]));
  };
  await untilSame("after its ROUTE-REFRESH", again);
  const asked = refreshes(bench).asked.filter((one) => one.endsWith("/0"));
  if (asked.length === 0) throw new Error("routes were told again, but it never asked");
  await sameEverywhere(bench, (routes) => [...routes], everything);
  return `asked for ${asked.join(", ")} (AFI/subtype), all told again, tables still equal`;
}

async function enhanced(bench: Bench): Promise<string> {
  if (!bench.tap.open(bench.them)!.capabilities.enhancedRouteRefresh) throw new Theirs("no capability 70 in its OPEN");
  const wanted = ["1/1", "1/2", "2/1", "2/2"];
  await untilSame("our marks", () => wanted.filter((mark) => !refreshes(bench).marks.includes(mark)).map((mark) => `${mark} was not sent`), 3000);
  const { stale, state } = await bench.podwayd.peer("speaker");
  if (stale !== 0 || state !== "Established") throw new Error(`${stale} of its routes are stale, the session is ${state}`);
  return "we enclosed the routes in BoRR and EoRR of each family";
}

/** Prefixes an UPDATE of ours announces, as the foreign side would read it. */
function prefixesOf(body: Uint8Array): string[] {
  const ranges = emptyRanges();
  if (splitUpdate(body, 0, body.length, ranges)) return [];
  const { reach } = decodeAttributes(body, ranges.attributesStart, ranges.attributesEnd, { internal: true, fourOctetAs: true });
  const classic = decodePrefixes(body, ranges.nlriStart, ranges.nlriEnd, { family: 4, addPath: false }) ?? [];
  const mp = reach ? (decodePrefixes(body, reach.nlriStart, reach.nlriEnd, { family: reach.afi === 1 ? 4 : 6, addPath: false }) ?? []) : [];
  return [...classic, ...mp].map(({ prefix }) => prefix);
}

async function withdrawals(bench: Bench): Promise<void> {
  const first = await bench.client(1),
    gone = ["10.101.3.0/24", "fd00:101:3::/64"];
  const theirs = async (): Promise<string[]> => [...(await bench.speaker.rib("ipv4")), ...(await bench.speaker.rib("ipv6"))].map(({ prefix }) => prefix);
  for (const prefix of gone) first.withdraw([prefix]);
  await untilSame("after a withdrawal of ours", async () =>
    (await theirs()).filter((prefix) => gone.includes(prefix)).map((prefix) => `${prefix} is still there`),
  );
  for (const announcement of samplesOf(bench.network, 1)) if (gone.includes(announcement.prefixes[0]!)) first.announce(announcement);
  if (!bench.speaker.reflects) return;
  const second = await bench.client(2);
  second.withdraw(["10.102.3.0/24"]);
  await first.until("their withdrawal", () => !first.routes.has("10.102.3.0/24"));
  second.announce(samplesOf(bench.network, 2)[1]!);
}

const whole = (routes: readonly Route[]): Route[] => [...routes];
const rich = (routes: readonly Route[]): Route[] => routes.filter(({ prefix }) => /^(10\.10[12]\.[12]\.|fd00:10[12]:[12]:)/.test(prefix));

export const internalClient: Scenario = {
  rows: [
    "iBGP client, IPv4 routes",
    "iBGP client, IPv6 routes",
    "withdrawals",
    "large communities",
    "unknown transitive attributes",
    "extended messages",
    "route refresh, they ask",
    "enhanced refresh, they ask",
  ],
  scene: (bench) => ({ setup: { announces: samplesOfSpeaker(bench.network, "sp") } }),
  prepare: connectAll,
  trials: [
    async (bench) => {
      await sameEverywhere(bench, (routes) => ofFamily(routes, "ipv4"), everything);
      return bench.speaker.oddity?.text;
    },
    (bench) => sameEverywhere(bench, (routes) => ofFamily(routes, "ipv6"), everything),
    withdrawals,
    (bench) => sameEverywhere(bench, rich, ["largeCommunities"]),
    async (bench) => {
      await sameEverywhere(bench, rich, ["unknown"]);
      if (!(bench.speaker.shows as readonly Field[]).includes("unknown")) return "its table does not show them; seen at its client and at ours";
      return undefined;
    },
    extendedMessages,
    theyAsk,
    enhanced,
  ],
};

/** Two reflectors: the speaker is no client of ours, and has a client of its own. */
export const internalNonClient: Scenario = {
  rows: ["iBGP non-client (two reflectors)"],
  scene: (bench) => ({ setup: { announces: samplesOfSpeaker(bench.network, "sp") }, peer: { client: false } }),
  prepare: async (bench) => {
    await connectAll(bench);
    announceAll(await bench.client(4), samplesOf(bench.network, 4));
  },
  trials: [
    async (bench) => {
      const first = await bench.client(1),
        fourth = await bench.client(4);
      const others = (routes: readonly Route[]): Route[] => routes.filter(({ prefix }) => !/^(10\.104|fd00:104)/.test(prefix));
      await first.until("the non-client's routes at our client", () => first.routes.has("10.104.1.0/24") && first.routes.has("fd00:104:3::/64"));
      await sameEverywhere(bench, others, everything);
      const leaked = [...(await bench.speaker.rib("ipv4")), ...(await bench.speaker.rib("ipv6"))].filter(({ prefix }) => /^(10\.104|fd00:104)/.test(prefix));
      if (leaked.length > 0) throw new Error(`${leaked[0]!.prefix} came from a non-client and was told to a non-client`);
      const told = [...fourth.routes.keys()].filter((prefix) => /^(10\.(102|200)|fd00:(102|200))/.test(prefix));
      if (told.length > 0) throw new Error(`${told[0]} came from a non-client and was told to our client 4, a non-client`);
    },
  ],
};

const outside: readonly Field[] = [
  "nextHop",
  "origin",
  "asPath",
  "med",
  "communities",
  "largeCommunities",
  "extendedCommunities",
  "aggregator",
  "atomicAggregate",
  "unknown",
];

/** What is for the inside is looked for on the wire: tables show defaults there. */
async function exported(bench: Bench): Promise<void> {
  const expected = afterExport(routesOf(samplesOf(bench.network, 1)), {
    asn: ourAs,
    address: bench.network.address("pw"),
    address6: bench.network.address("pw", 6),
  });
  const { speaker } = bench,
    shown = outside.filter((field) => (speaker.shows as readonly Field[]).includes(field));
  await untilSame(`routes of ours in ${speaker.name}'s table`, async () =>
    differences(expected, [...(await speaker.rib("ipv4")), ...(await speaker.rib("ipv6"))], shown),
  );
  const inside = new Set<number>([attributeType.localPref, attributeType.originatorId, attributeType.clusterList]);
  for (const { body } of bench.tap.from(bench.us, messageType.update)) {
    const leaked = attributeTypes(body).find((type) => inside.has(type));
    if (leaked !== undefined) throw new Error(`an UPDATE to the external neighbour carries attribute ${leaked}`);
  }
}

function attributeTypes(body: Uint8Array): number[] {
  const ranges = emptyRanges(),
    types: number[] = [];
  splitUpdate(body, 0, body.length, ranges);
  for (let at = ranges.attributesStart; at < ranges.attributesEnd;) {
    types.push(body[at + 1]!);
    at += (body[at]! & 0x10) === 0 ? 3 + body[at + 2]! : 4 + ((body[at + 2]! << 8) | body[at + 3]!);
  }
  return types;
}

async function imported(bench: Bench): Promise<void> {
  const us = { "10": bench.network.address("pw"), fd: bench.network.address("pw", 6) };
  const expected = routesOf(bench.setup.announces).map((route) => ({
    ...route,
    asPath: `${outsideAs}`,
    localPref: 100,
    nextHop: route.prefix.startsWith("fd") ? us.fd : us["10"],
  }));
  const first = await bench.client(1),
    theirs = (): Route[] => tableOf(first).filter(({ prefix }) => /^(10\.200|fd00:200)/.test(prefix));
  await untilSame("their routes at our client", () => differences(expected, theirs(), [...outside, "localPref", "originatorId", "clusterList"]));
}

/** The import policy changes under the running session: what was refused before must be asked for (RFC 2918). */
async function weAsk(bench: Bench): Promise<string> {
  if (!bench.tap.open(bench.them)!.capabilities.routeRefresh) throw new Theirs("no capability 2 in its OPEN");
  const first = await bench.client(1),
    before = bench.tap.heard.length,
    lacks = bench.speaker.lacks["refresh answer"];
  bench.podwayd.rewrite((document) => ({
    ...document,
    policies: { preferred: { rules: [{ then: "accept", set: { localPref: 333 } }] } },
    peers: document.peers.map((peer) => (peer.name === "speaker" ? { ...peer, import: ["preferred"] } : peer)),
  }));
  // Before anything is said about an answer: a machine under load reads the document late.
  const asks = (): number => bench.tap.heard.slice(before).filter(({ from, type }) => from === bench.us && type === messageType.routeRefresh).length;
  await awaitFact(async () => asks() >= 2 || undefined, { millis: 10_000 });
  const renewed = (): boolean => ["10.200.1.0/24", "fd00:200:1::/48"].every((prefix) => first.routes.get(prefix)?.localPref === 333);
  const done = await awaitFact(async () => renewed() || undefined, { millis: lacks === undefined ? 15_000 : 3000 });
  const said = bench.tap.heard.slice(before);
  if (asks() < 2) throw new Error("no ROUTE-REFRESH for each family was seen");
  if ((!done || said.some(({ type }) => type === messageType.open)) && lacks !== undefined) throw new Theirs(lacks);
  if (!done) throw new Error("15 s after our ROUTE-REFRESH the new import policy has no effect");
  if (said.some(({ type }) => type === messageType.open)) throw new Error("the session was reset for it");
  const marks = said.filter(({ from, type, body }) => from === bench.them && type === messageType.routeRefresh && body[2] !== 0).length;
  await untilSame("after the refresh", async () => ((await bench.podwayd.peer("speaker")).stale === 0 ? [] : ["its routes are still stale"]));
  return marks > 0 ? "by a changed import policy; it answered between BoRR and EoRR" : "by a changed import policy";
}

export const external: Scenario = {
  rows: ["eBGP, our routes to them", "eBGP, their routes to us", "route refresh, we ask"],
  scene: (bench) => ({ external: true, setup: { announces: samplesOfSpeaker(bench.network, "sp") } }),
  prepare: async (bench) => {
    await bench.podwayd.established("speaker");
    announceAll(await bench.client(1), samplesOf(bench.network, 1));
  },
  trials: [exported, imported, weAsk],
};

export const overIpv6: Scenario = {
  rows: ["IPv6 transport"],
  scene: (bench) => ({ setup: { transport: 6, announces: samplesOfSpeaker(bench.network, "sp") } }),
  prepare: connectAll,
  trials: [(bench) => sameEverywhere(bench, whole, everything)],
};

/** Its two-octet path says 23456 where ours has a number that needs four, and AS4_PATH says the rest (RFC 6793 §4.2.2). */
export const twoOctet: Scenario = {
  rows: ["two-octet AS numbers"],
  scene: (bench) => ({ setup: { twoOctetAs: true, families: ["ipv4"], announces: samplesOfSpeaker(bench.network, "sp") } }),
  trials: [
    async (bench) => {
      await bench.podwayd.established("speaker");
      if (bench.tap.open(bench.them)!.capabilities.fourOctetAs !== undefined) throw new Theirs("its OPEN carries capability 65 whatever it is told");
      const lacks = bench.speaker.lacks["two-octet aggregator"],
        without = <T extends { aggregator?: unknown }>({ aggregator: _, ...kept }: T): Omit<T, "aggregator"> => kept;
      const samples = samplesOf(bench.network, 1).map((one) => (lacks === undefined ? one : { ...one, attributes: without(one.attributes) }));
      announceAll(await bench.client(1), samples);
      const ours = ofFamily(afterReflection(routesOf(samples), { originator: bench.network.client(1), cluster: ourCluster(bench) }), "ipv4");
      const first = await bench.client(1),
        four = (routes: readonly Route[]): Route[] => ofFamily(routes, "ipv4");
      const rib = async (): Promise<Route[]> => [...(await bench.speaker.rib("ipv4"))];
      const shown = everything.filter((field) => (bench.speaker.shows as readonly Field[]).includes(field) && field !== "asPath" && field !== "unknown");
      await untilSame(`routes of ours in ${bench.speaker.name}'s table`, async () => differences(ours, await rib(), shown));
      const path = (await rib()).find(({ prefix }) => prefix === canonical("10.101.1.0/24"))!.asPath;
      if (path !== "65010 4200000001 65020" && path !== "65010 23456 65020") throw new Error(`the path of 10.101.1.0/24 is "${path}" in its table`);
      await untilSame("its routes at our client", () =>
        differences(
          four(afterReflection(routesOf(bench.setup.announces), { originator: theirCluster(bench), cluster: ourCluster(bench) })),
          tableOf(first),
          everything,
        ),
      );
      return `in its table: "${path}"${lacks === undefined ? "" : `; without AGGREGATOR, as ${lacks}`}`;
    },
  ],
};
