/** A short look at interoperation for every `npm test`: the long one is `npm run interop`. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Bird } from "./bird.ts";
import { Client } from "./client.ts";
import { GoBgp } from "./gobgp.ts";
import { Network, removeRemains } from "./network.ts";
import { Podwayd } from "./podwayd.ts";
import { differences, type Field, type Route } from "./route.ts";
import { afterExport, afterReflection, routesOf, samplesOf, samplesOfSpeaker } from "./sample-routes.ts";
import type { Setup, Speaker } from "./speaker.ts";
import { untilSame } from "./waiting.ts";

const asn = 65000,
  torAs = 65100;
const programs = ["/usr/sbin/bird", "/usr/bin/gobgpd", "/usr/bin/gobgp", "/usr/sbin/ip"];
const missing = programs.filter((path) => !existsSync(path));
const why =
  process.getuid?.() === 0
    ? missing.length > 0
      ? `${missing.join(", ")} missing: install bird2, gobgpd and iproute2`
      : undefined
    : "it needs root, for network namespaces";

/** `podway … --json` as a person calls it. */
const podway = (socket: string, ...words: string[]): unknown =>
  JSON.parse(
    execFileSync(process.execPath, [fileURLToPath(new URL("../../src/podway.ts", import.meta.url)), "--api", socket, ...words, "--json"], { encoding: "utf8" }),
  );

describe.skipIf(why !== undefined)(`reflecting between BIRD and GoBGP${why === undefined ? "" : `: skipped, ${why}`}`, () => {
  let network: Network, podwayd: Podwayd, home: string;
  const speakers: Record<string, Speaker> = {};
  const setups: Record<string, Setup> = {};
  let listener: Client;

  beforeAll(async () => {
    await removeRemains();
    home = mkdtempSync(join(tmpdir(), "podway-smoke-"));
    network = await Network.open("smoke", ["pw", "bird", "gobgp", "tor"]);
    podwayd = new Podwayd(network, "pw", join(home, "podwayd"));
    for (const [host, Make] of [
      ["bird", Bird],
      ["gobgp", GoBgp],
      ["tor", Bird],
    ] as const) {
      const directory = join(home, host),
        place = { network, host, ours: "pw", directory };
      mkdirSync(directory);
      speakers[host] = new Make(place);
      const announces = samplesOfSpeaker(network, host).map((one) => ({ ...one, prefixes: one.prefixes.map((prefix) => mine(prefix, host)) }));
      setups[host] = { theirAs: host === "tor" ? torAs : asn, ourAs: asn, transport: 4, families: ["ipv4", "ipv6"], holdSeconds: 30, announces };
    }
    const peer = (host: string): { name: string; address: string; asn: number; [key: string]: unknown } => ({
      name: host,
      address: network.address(host),
      connectRetry: "1s",
      families: ["ipv4", "ipv6"],
      ...(host === "tor" ? { asn: torAs, import: ["all"], export: ["all"] } : { asn, client: true }),
    });
    const own = { name: "c1", address: network.client(1), asn, client: true, passive: true, families: ["ipv4", "ipv6"] };
    await Promise.all([
      podwayd.start({ asn, gracefulRestart: "off", peers: [peer("bird"), peer("gobgp"), peer("tor"), own] }),
      ...Object.keys(speakers).map((host) => speakers[host]!.start(setups[host]!)),
    ]);
    listener = new Client({ namespace: network.bridge, local: network.client(1), remote: network.address("pw"), asn, peerAs: asn });
    await listener.connect();
    await Promise.all(Object.keys(speakers).map((host) => podwayd.established(host, 20_000)));
    for (const announcement of samplesOf(network, 1)) listener.announce(announcement);
  }, 40_000);

  afterAll(async () => {
    listener?.drop();
    await Promise.all([podwayd?.stop("SIGKILL"), ...Object.values(speakers).map((speaker) => speaker.stop("SIGKILL"))]);
    await network?.close();
    if (home) rmSync(home, { recursive: true, force: true });
  });

  /** What a host's own routes are once podwayd has reflected them; of the router outside, once podwayd has taken them in. */
  const reflectedOf = (host: string): Route[] => {
    const told = setups[host]!.announces,
      cluster = network.address("pw"),
      originator = network.address(host);
    if (host === "tor")
      return routesOf(told).map((route) => ({
        ...route,
        asPath: `${torAs}`,
        localPref: 100,
        nextHop: network.address("pw", route.prefix.includes(":") ? 6 : 4),
      }));
    const own = routesOf(told).map((route) => speakers[host]!.oddity?.tells(route, "own") ?? route);
    return afterReflection(own, { originator, cluster });
  };
  const ribOf = async (host: string): Promise<Route[]> => [...(await speakers[host]!.rib("ipv4")), ...(await speakers[host]!.rib("ipv6"))];
  const ours = (): Route[] => afterReflection(routesOf(samplesOf(network, 1)), { originator: network.client(1), cluster: network.address("pw") });

  test.each(["bird", "gobgp"])("%s, a client, holds what the others told, with every attribute as RFC 4456 demands", async (host) => {
    const other = host === "bird" ? "gobgp" : "bird",
      { shows } = speakers[host]!;
    await untilSame(host, async () => differences([...reflectedOf(other), ...reflectedOf("tor"), ...ours()], await ribOf(host), shows));
  });

  test("our own client holds all of it too", async () => {
    const fields = speakers["bird"]!.shows;
    await untilSame("our client", () => differences(["bird", "gobgp", "tor"].flatMap(reflectedOf), [...listener.routes.values()], fields));
  });

  test("the router outside sees our AS and our next hop, and nothing that is for the inside", async () => {
    const inside: readonly Field[] = ["localPref"],
      fields = speakers["tor"]!.shows.filter((field) => !inside.includes(field));
    const told = [...["bird", "gobgp"].flatMap((host) => routesOf(setups[host]!.announces)), ...routesOf(samplesOf(network, 1))];
    const expected = afterExport(told, { asn, address: network.address("pw"), address6: network.address("pw", 6) });
    await untilSame("tor", async () => differences(expected, await ribOf("tor"), fields));
  });

  test("podway peers and podway routes say the same", () => {
    const peers = podway(podwayd.socket, "peers") as { name: string; state: string; accepted: number; families: string[] }[];
    expect(peers.map(({ name, state, accepted, families }) => [name, state, accepted, families.join()])).toEqual([
      ["bird", "Established", 5, "ipv4,ipv6"],
      ["gobgp", "Established", 5, "ipv4,ipv6"],
      ["tor", "Established", 5, "ipv4,ipv6"],
      ["c1", "Established", 7, "ipv4,ipv6"],
    ]);
    const { routes } = podway(podwayd.socket, "routes") as { routes: { prefix: string; best: boolean }[] };
    expect(routes.filter(({ best }) => best)).toHaveLength(22);
  });

  test("what one speaker takes back is gone at the other", async () => {
    await speakers["bird"]!.shutdown("over");
    await untilSame("gobgp", async () => differences([...reflectedOf("tor"), ...ours()], await ribOf("gobgp"), speakers["gobgp"]!.shows));
    expect((await podwayd.peer("bird")).reason).toBe('peer sent Cease/Administrative Shutdown: "over"');
  });
});

/** Every host announces under prefixes of its own. */
function mine(prefix: string, host: string): string {
  const block = { bird: 200, gobgp: 201, tor: 202 }[host as "bird"]!;
  return prefix.replace(/^10\.200\./, `10.${block}.`).replace(/^fd00:200:/, `fd00:${block}:`);
}
