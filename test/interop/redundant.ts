/**
 * Two reflectors for the same clients, one of them BIRD, once with two cluster ids and once with one (RFC 4456 §7): what the other clients are told while
 * a client has lost its session to one of the two. With two ids the reflector that lost it still has its routes from the other; with one id
 * it refuses them as a loop, and the clients have them from the other alone. Nobody may be left without the route, and nobody told it wrongly.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Ip } from "#base/ip.ts";
import { awaitFact, run } from "#lab/command.ts";
import { Client } from "./client.ts";
import { Network } from "./network.ts";
import { Podwayd } from "./podwayd.ts";
import { Program } from "./program.ts";

const asn = 65000;
const prefix = "10.60.0.0/24";
const patienceMillis = 15_000;
const teller = 1,
  listener = 2;
const clusters = { two: ["10.77.0.201", "10.77.0.202"], one: ["10.77.0.200", "10.77.0.200"] } as const;
type Host = "pw" | "bird";

interface Pair {
  readonly network: Network;
  readonly clusterOf: Readonly<Record<Host, string>>;
  /** One session of each client to each reflector. */
  readonly client: (number: number, host: Host) => Client;
}

/** True if both ways to number the clusters and both losses came out as they must; a line for each. */
export async function runRedundant(home: string, say: (line: string) => void): Promise<boolean> {
  let good = true;
  for (const [name, ids] of Object.entries(clusters)) {
    try {
      await withPair(join(home, `pair-${name}`), ids, async (pair) => {
        for (const lost of ["pw", "bird"] as const) {
          await lose(pair, lost);
          say(`ok     ${name} cluster id${name === "one" ? "" : "s"}, a client loses ${lost === "pw" ? "podwayd" : "BIRD"}`);
        }
      });
    } catch (error) {
      good = false;
      say(`FAILED ${name} cluster id${name === "one" ? "" : "s"}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return good;
}

/** The client that tells the route loses one reflector, the listener is asked what it was told by each, and all comes back. */
async function lose({ client, clusterOf }: Pair, lost: Host): Promise<void> {
  const kept: Host = lost === "pw" ? "bird" : "pw",
    isShared = clusterOf.pw === clusterOf.bird,
    clustersTold = (host: Host): readonly string[] | undefined => client(listener, host).routes.get(prefix)?.clusterList,
    tells = (host: Host, list: readonly string[] | undefined) => () => JSON.stringify(clustersTold(host)) === JSON.stringify(list);
  const both = async (): Promise<void> => {
    for (const host of ["pw", "bird"] as const) await client(listener, host).until(`${host} to tell it`, tells(host, [clusterOf[host]]), patienceMillis);
  };
  await both();
  client(teller, lost).drop();
  // the one that lost the client hears of its route from the other: with one cluster id that is a loop (RFC 4456 §8)
  const around = isShared ? undefined : [clusterOf[lost], clusterOf[kept]];
  await client(listener, lost).until(`${lost} to tell it by way of ${kept}, or to take it back`, tells(lost, around), patienceMillis);
  await client(listener, kept).until(`${kept} to go on telling it`, tells(kept, [clusterOf[kept]]), patienceMillis);
  await client(teller, lost).connect(patienceMillis);
  announce(client(teller, lost));
  await both();
}

function announce(client: Client): void {
  client.announce({ prefixes: [prefix], attributes: { origin: 0, asPath: [], localPref: 100 }, nextHop: client.options.local });
}

async function withPair(directory: string, [ofPw, ofBird]: readonly [string, string], act: (pair: Pair) => Promise<void>): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const network = await Network.open("pair", ["pw", "bird"]),
    podwayd = new Podwayd(network, "pw", join(directory, "podwayd"));
  const sessions = new Map<string, Client>();
  let bird: Program | undefined;
  try {
    bird = await startBird(network, directory, ofBird);
    const usual = { asn, passive: true, families: ["ipv4"], holdTime: 240 };
    const peers = [teller, listener].map((number) => ({ ...usual, name: `c${number}`, address: network.client(number), client: true }));
    const other = { ...usual, name: "bird", address: network.address("bird"), passive: false };
    await podwayd.start({ asn, clusterId: ofPw, gracefulRestart: "off", timers: { connectRetry: "1s" }, peers: [...peers, other] });
    await podwayd.established("bird", 30_000);
    for (const number of [teller, listener])
      for (const host of ["pw", "bird"] as const) {
        const made = new Client({
          namespace: network.bridge,
          local: network.client(number),
          remote: network.address(host),
          asn,
          peerAs: asn,
          holdSeconds: 240,
        });
        sessions.set(`${number} ${host}`, made);
        await made.connect(20_000);
      }
    const client = (number: number, host: Host): Client => sessions.get(`${number} ${host}`)!;
    for (const host of ["pw", "bird"] as const) announce(client(teller, host));
    await act({ network, clusterOf: { pw: ofPw, bird: ofBird }, client });
  } finally {
    for (const client of sessions.values()) client.drop();
    await podwayd.stop("SIGKILL");
    await bird?.stop("SIGKILL");
    await network.close();
  }
}

async function startBird(network: Network, directory: string, clusterId: string): Promise<Program> {
  const session = (name: string, neighbour: Ip, more: string): string => `protocol bgp ${name} {
  local ${network.address("bird")} as ${asn}; neighbor ${neighbour} as ${asn}; passive on; direct; rr cluster id ${clusterId}; ${more}
  hold time 240; graceful restart off; error wait time 1, 1; error forget time 1; connect delay time 1;
  ipv4 { import all; export where source = RTS_BGP; };
}`;
  const protocols = [teller, listener].map((number) => session(`c${number}`, network.client(number), "rr client;"));
  const config = `router id ${network.address("bird")};\nprotocol device { }\nprotocol direct { ipv4; interface "eth0"; }\n${[...protocols, session("pw", network.address("pw"), "")].join("\n")}\n`;
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
