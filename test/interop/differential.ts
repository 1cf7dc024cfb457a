/**
 * One stream into two reflectors, BIRD with deterministic MED and podwayd: when all is quiet every client has been told the
 * same by both. Injectors and listeners are our own clients, each with one session to either reflector and nothing else
 * between them; the reflectors share a cluster id, so that what they add is the same.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Ip } from "#base/ip.ts";
import { awaitFact, run } from "#lab/command.ts";
import { Client } from "./client.ts";
import { Network } from "./network.ts";
import { Podwayd } from "./podwayd.ts";
import { Program } from "./program.ts";
import { differences, type Field, type Route } from "./route.ts";
import { type Step, streamOf } from "./stream.ts";

const asn = 65000;
const clusterId = "10.77.0.200" as Ip;
/** 1 to 4 are clients of the reflectors, 5 and 6 are not, 7 is of another AS. */
const clients = [1, 2, 3, 4],
  nonClients = [5, 6],
  outside = new Map([[7, 65100]]);
const internal = [...clients, ...nonClients],
  everyone = [...internal, ...outside.keys()];
/** Addresses nobody has. */
const spare = [50, 51, 52];
const quietMillis = 40;
/** Nothing more comes of tables that stayed unequal this long. */
const stuckMillis = 300;
const settleMillis = 8000;
const fields: readonly Field[] = ["nextHop", "origin", "asPath", "localPref", "med", "communities", "originatorId", "clusterList"];

interface Pair {
  readonly ours: Client;
  readonly theirs: Client;
  /** What the injector says now, by prefix: said again after a lost session. */
  readonly said: Map<string, Step & { readonly type: "announce" }>;
}

export interface Differential {
  readonly seeds: number;
  readonly steps: number;
  readonly drops: number;
  /** Routes compared, over all seeds and clients. */
  readonly compared: number;
  /** Seeds after which BIRD's choice depended on history: told the same routes once more, it chose what podwayd had chosen. */
  readonly revised: number;
  readonly failures: readonly string[];
}

/** Seeds from `first` on until `millis` have passed. */
export async function runDifferential(home: string, first: number, millis: number, say: (line: string) => void): Promise<Differential> {
  const directory = join(home, "differential");
  mkdirSync(directory, { recursive: true });
  const network = await Network.open("diff", ["pw", "bird"]);
  const podwayd = new Podwayd(network, "pw", join(directory, "podwayd"));
  let bird: Program | undefined;
  const pairs = new Map<number, Pair>();
  try {
    bird = await startBird(network, directory);
    await podwayd.start({ asn, clusterId, gracefulRestart: "off", peers: everyone.map((number) => peerOf(network, number)) });
    for (const number of everyone) pairs.set(number, await connectPair(network, number));
    return await seeds({ network, pairs, mark: 0 }, { first, until: performance.now() + millis, say });
  } finally {
    for (const { ours, theirs } of pairs.values()) for (const client of [ours, theirs]) client.drop();
    await podwayd.stop("SIGKILL");
    await bird?.stop("SIGKILL");
    await network.close();
  }
}

interface Run {
  readonly network: Network;
  readonly pairs: ReadonlyMap<number, Pair>;
  /** MED of the marks that were sent last. */
  mark: number;
}

async function seeds(run: Run, { first, until, say }: { first: number; until: number; say: (line: string) => void }): Promise<Differential> {
  const { network, pairs } = run;
  // On the link, but no peer's own: BIRD tells nobody of a route that leads back to himself.
  const hops = spare.map((number) => ({ v4: network.client(number), v6: network.client(number, 6) }));
  const failures: string[] = [];
  let seed = first,
    steps = 0,
    drops = 0,
    compared = 0,
    revised = 0;
  for (; performance.now() < until && failures.length < 5; seed++) {
    for (const step of streamOf(seed, { injectors: everyone, outside, hops, clusterId, clients })) {
      steps++;
      if (step.type === "drop") drops++;
      await perform(pairs.get(step.injector)!, step);
    }
    const unequal = await settle(run, settleMillis);
    for (const number of internal) compared += pairs.get(number)!.ours.routes.size;
    if (unequal.length === 0) continue;
    const still = await tellAgain(run, unequal);
    if (still === undefined) revised++;
    else failures.push(`seed ${seed}: ${still}`);
    if (still !== undefined) say(failures.at(-1)!);
  }
  return { seeds: seed - first, steps, drops, compared, revised, failures };
}

/**
 * BIRD 2.0 with deterministic MED at times keeps a path that another has beaten (seen when a path is replaced by one of
 * another neighbouring AS). Who is right shows when both are told the routes in question once more, in order: podwayd must
 * choose as before, and BIRD now as podwayd. Answers what speaks against that.
 */
async function tellAgain(run: Run, unequal: readonly string[]): Promise<string | undefined> {
  const { pairs } = run,
    prefixes = new Set(unequal.map((text) => text.split(" ")[2]!)),
    before = oursNow(run);
  const each = (act: (client: Client, step: Step & { readonly type: "announce" }) => void): void => {
    for (const { ours, theirs, said } of pairs.values())
      for (const step of said.values()) if (prefixes.has(step.what.prefixes[0]!)) for (const client of [ours, theirs]) act(client, step);
  };
  each((client, { what }) => client.withdraw(what.prefixes));
  const gone = await settle(run, settleMillis);
  if (gone.length > 0) return `${unequal.slice(0, 3).join("; ")}; and with the routes withdrawn: ${gone.slice(0, 3).join("; ")}`;
  each((client, { what }) => client.announce(what));
  const again = await settle(run, settleMillis);
  if (again.length > 0) return `${again.slice(0, 4).join("; ")}, also when told again`;
  return oursNow(run) === before ? undefined : `${unequal.slice(0, 4).join("; ")}: podwayd chose otherwise when told again`;
}

/** All that podwayd has told, but for the marks, as one text. */
function oursNow({ pairs }: Run): string {
  return internal
    .map((number) =>
      JSON.stringify(
        [...pairs.get(number)!.ours.routes.values()].filter(({ prefix }) => !prefix.startsWith(markNet)).toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1)),
      ),
    )
    .join("\n");
}

async function perform({ ours, theirs, said }: Pair, step: Step): Promise<void> {
  const both = [ours, theirs];
  if (step.type === "announce") {
    said.set(step.what.prefixes[0]!, step);
    for (const client of both) client.announce(step.what);
  } else if (step.type === "withdraw") {
    said.delete(step.prefix);
    for (const client of both) client.withdraw([step.prefix]);
  } else {
    for (const client of both) client.drop();
    await Promise.all(both.map((client) => client.connect(20_000)));
    for (const { what } of said.values()) for (const client of both) client.announce(what);
  }
}

/** A route of each injector with a number that was not there before: who has been told of it took in all that came before it. */
function mark({ network, pairs, mark: med }: Run): void {
  for (const [number, { ours, theirs }] of pairs) {
    const first = outside.get(number),
      asPath = first === undefined ? [] : [{ type: 2 as const, asns: Uint32Array.of(first) }];
    const attributes = { origin: 0, asPath, med, ...(first === undefined && { localPref: 100 }) };
    for (const client of [ours, theirs]) client.announce({ prefixes: [markOf(number)], attributes, nextHop: network.client(spare[0]!) });
  }
}
const markNet = "10.51.0.";
const markOf = (injector: number): string => `${markNet}${injector}/32`;

/** Waits for marks, then until both have told the same and go on doing so; answers what differs when time is up or all is quiet. */
async function settle(run: Run, millis: number): Promise<readonly string[]> {
  const { network, pairs } = run;
  run.mark++;
  mark(run);
  let last: readonly string[] = ["client 0: the marks did not come"];
  await awaitFact(
    async () => {
      if (!internal.every((number) => isMarked(pairs.get(number)!, number, run.mark))) return undefined;
      const heard = Math.max(...internal.flatMap((number) => [pairs.get(number)!.ours.lastHeardAt, pairs.get(number)!.theirs.lastHeardAt]));
      last = internal.flatMap((number) => compare(network, pairs.get(number)!).map((text) => `client ${number}: ${text}`));
      const quiet = performance.now() - heard;
      return (last.length === 0 && quiet > quietMillis) || quiet > stuckMillis ? true : undefined;
    },
    { millis, everyMillis: 10 },
  );
  return last;
}

/** Non-clients hear nothing of each other. */
function isMarked({ ours, theirs }: Pair, number: number, med: number): boolean {
  const from = everyone.filter((other) => other !== number && !(nonClients.includes(number) && nonClients.includes(other)));
  return from.every((other) => [ours, theirs].every((client) => client.routes.get(markOf(other))?.med === med));
}

function compare(network: Network, { ours, theirs }: Pair): string[] {
  return differences(tableOf(theirs, network, "bird"), tableOf(ours, network, "pw"), fields);
}

/** Each puts itself as next hop of what comes from outside: the same thing said of both. */
function tableOf(client: Client, network: Network, host: string): Route[] {
  const self: readonly string[] = [network.address(host), network.address(host, 6)];
  return [...client.routes.values()].map((route) => (self.includes(route.nextHop) ? { ...route, nextHop: "the reflector" } : route));
}

async function connectPair(network: Network, number: number): Promise<Pair> {
  const own = outside.get(number) ?? asn;
  const make = (host: string): Client =>
    new Client({ namespace: network.bridge, local: network.client(number), remote: network.address(host), asn: own, peerAs: asn, holdSeconds: 240 });
  const pair = { ours: make("pw"), theirs: make("bird"), said: new Map() };
  await Promise.all([pair.ours.connect(20_000), pair.theirs.connect(20_000)]);
  return pair;
}

function peerOf(network: Network, number: number): { name: string; address: Ip; asn: number; [key: string]: unknown } {
  const external = outside.get(number),
    usual = { name: `c${number}`, address: network.client(number), passive: true, families: ["ipv4", "ipv6"], holdTime: 240 };
  return external === undefined ? { ...usual, asn, client: clients.includes(number) } : { ...usual, asn: external, import: ["all"] };
}

async function startBird(network: Network, directory: string): Promise<Program> {
  const protocols = everyone.map((number) => {
    const external = outside.get(number),
      remote = external ?? asn,
      reflects = clients.includes(number) ? "rr client; " : "";
    const channel = external === undefined ? "import all; export where source = RTS_BGP; next hop self ebgp;" : "import all; export none;";
    return `protocol bgp c${number} {
  local ${network.address("bird")} as ${asn}; neighbor ${network.client(number)} as ${remote}; passive on; ${external === undefined ? `direct; ${reflects}rr cluster id ${clusterId};` : ""}
  deterministic med on; hold time 240; graceful restart off; error wait time 1, 1; error forget time 1; connect delay time 1;
  ipv4 { ${channel} }; ipv6 { ${channel} };
}`;
  });
  const config = `router id ${network.address("bird")};\nlog "bird-all.log" all;\nprotocol device { }\nprotocol direct { ipv4; ipv6; interface "eth0"; }\n${protocols.join("\n")}\n`;
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
