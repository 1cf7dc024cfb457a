/** FRR: zebra and bgpd in a directory of their own, vtysh. Its tables are JSON. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { awaitFact, must, run } from "#lab/command.ts";
import { printAsPath } from "#wire/bgp/as-path.ts";
import type { Announcement } from "./client.ts";
import { Program } from "./program.ts";
import { canonical, communityText, ordered, type Route } from "./route.ts";
import type { Place, Setup, Speaker } from "./speaker.ts";

const daemons = ["zebra", "bgpd"] as const;

export class Frr implements Speaker {
  readonly name = "FRR";
  readonly version = /version ([\d.]+)/.exec(execFileSync("/usr/lib/frr/bgpd", ["--version"], { encoding: "utf8" }))?.[1] ?? "";
  readonly shows = [
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
  ] as const;
  readonly reflects = true;
  readonly lacks = {
    "refresh answer": "with enhanced refresh agreed on it answers no ROUTE-REFRESH at all, from our test client neither; without, it answers",
    "two-octet aggregator": 'not offering the capability itself, it takes its length from our offer alone: "AGGREGATOR, fetch error" and 3/5',
  };
  readonly oddity = {
    text: "it passes a client's route that has neither MED nor an AS path on with MED 0",
    tells: (route: Route, source: "own" | "client"): Route => (source === "client" && route.med === null && route.asPath === "" ? { ...route, med: 0 } : route),
  };
  readonly #place: Place;
  #programs: Program[] = [];
  #setup: Setup | undefined;

  constructor(place: Place) {
    this.#place = place;
    mkdirSync(this.#home, { recursive: true });
  }

  async start(setup: Setup): Promise<void> {
    await this.stop();
    await this.restart(setup);
  }
  /** It sets the R and F bits at every start. */
  async restart(setup: Setup): Promise<void> {
    this.#setup = setup;
    writeFileSync(join(this.#home, "bgpd.conf"), this.#config(setup));
    writeFileSync(join(this.#home, "zebra.conf"), "");
    await must("its directory", ["chown", "-R", "frr:frr", this.#home]);
    await must("the way to it", ["chmod", "a+rx", join(this.#place.directory, ".."), this.#place.directory]);
    await this.#run();
  }
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.stop(signal)));
    this.#programs = [];
  }
  freeze(): void {
    this.#bgpd?.signal("SIGSTOP");
  }
  thaw(): void {
    this.#bgpd?.signal("SIGCONT");
  }

  async rib(family: "ipv4" | "ipv6"): Promise<readonly Route[]> {
    return (await this.#paths(family)).map(({ prefix, path }) => routeOfPath(prefix, path));
  }
  async stale(family: "ipv4" | "ipv6"): Promise<readonly string[]> {
    return (await this.#paths(family)).flatMap(({ prefix, path }) => (path.stale ? [prefix] : []));
  }
  async refresh(): Promise<void> {
    for (const family of this.#setup!.families) await this.#ask(`clear bgp ${family} unicast ${this.#peer} in`);
  }
  async shutdown(text: string): Promise<void> {
    await this.#configure(`neighbor ${this.#peer} shutdown message ${text}`);
  }
  async enable(): Promise<void> {
    await this.#configure(`no neighbor ${this.#peer} shutdown`);
  }
  async isEstablished(): Promise<boolean> {
    return (await this.session()).includes("BGP state = Established");
  }
  session(): Promise<string> {
    return this.#ask(`show bgp neighbors ${this.#peer}`);
  }

  get #home(): string {
    return join(this.#place.directory, "frr");
  }
  get #bgpd(): Program | undefined {
    return this.#programs.find(({ name }) => name === "bgpd");
  }
  get #peer(): string {
    return this.#place.network.address(this.#place.ours, this.#setup!.transport);
  }

  /** zebra first: bgpd asks it about next hops. */
  async #run(): Promise<void> {
    const home = this.#home,
      { network, host } = this.#place;
    for (const name of daemons) {
      if (this.#programs.some((program) => program.name === name && program.ended === undefined)) continue;
      rmSync(join(home, `${name}.vty`), { force: true });
      const own = [
        "-f",
        `${name}.conf`,
        "-z",
        `${home}/zserv.api`,
        "-i",
        `${home}/${name}.pid`,
        "--vty_socket",
        home,
        "-A",
        "127.0.0.1",
        "--log",
        "stdout",
        "--log-level",
        "informational",
      ];
      const program = new Program([`/usr/lib/frr/${name}`, ...own], { name, namespace: network.namespace(host), directory: home });
      this.#programs = [...this.#programs.filter((one) => one.name !== name), program];
      const answers = async (): Promise<boolean> => existsSync(join(home, `${name}.vty`)) && (await run(this.#vtysh(["show version"], name))).code === 0;
      const ready = await awaitFact(async () => program.ended ?? ((await answers()) ? "ready" : undefined), { millis: 10_000, everyMillis: 30 });
      if (ready !== "ready") throw new Error(`${name} is not ready (${ready}): ${program.tail()}`);
    }
  }

  #vtysh(commands: readonly string[], daemon = "bgpd"): string[] {
    return ["vtysh", "--vty_socket", this.#home, "-d", daemon, ...commands.flatMap((command) => ["-c", command])];
  }
  #ask(command: string): Promise<string> {
    return must(`vtysh ${command}`, this.#vtysh([command]));
  }
  async #configure(line: string): Promise<void> {
    await must(`vtysh ${line}`, this.#vtysh(["configure terminal", `router bgp ${this.#setup!.theirAs}`, line]));
  }

  /** The routes it has from us: a list of prefixes, then each in full in one go. */
  async #paths(family: "ipv4" | "ipv6"): Promise<{ readonly prefix: string; readonly path: FrrPath }[]> {
    const table = JSON.parse(await this.#ask(`show bgp ${family} unicast json`)) as { readonly routes?: Readonly<Record<string, unknown>> };
    const prefixes = Object.keys(table.routes ?? {});
    if (prefixes.length === 0) return [];
    const text = await must("vtysh routes", this.#vtysh(prefixes.map((prefix) => `show bgp ${family} unicast ${prefix} json`)));
    const documents = text.split(/^(?=\{)/m).filter((part) => part.startsWith("{"));
    return documents.flatMap((document) => {
      // A prefix may have gone since it was listed.
      const { prefix, paths = [] } = JSON.parse(document) as { readonly prefix: string; readonly paths?: readonly FrrPath[] };
      return paths.filter((path) => path.peer.peerId === this.#peer).map((path) => ({ prefix, path }));
    });
  }

  #config(setup: Setup): string {
    const { network, host } = this.#place,
      { transport, theirAs, ourAs } = setup;
    const us = this.#peer,
      them = network.address(host, transport),
      client = network.client(2);
    const families = (["ipv4", "ipv6"] as const).map((name) => {
      const mine = setup.announces.filter(({ prefixes }) => prefixes[0]!.includes(":") === (name === "ipv6"));
      const networks = mine.flatMap(({ prefixes }, i) => prefixes.map((prefix) => `  network ${prefix} route-map m-${name}-${i}`));
      const paths = setup.addPath ? [`  neighbor ${us} addpath-tx-all-paths`] : [];
      const ours = [
        `  neighbor ${us} activate`,
        ...paths,
        ...(setup.maxPrefixes === undefined ? [] : [`  neighbor ${us} maximum-prefix ${setup.maxPrefixes}`]),
      ];
      const reflected = [`  neighbor ${client} activate`, `  neighbor ${client} route-reflector-client`];
      return [` address-family ${name} unicast`, ...networks, ...(setup.families.includes(name) ? ours : []), ...reflected, " exit-address-family"].join("\n");
    });
    const maps = (["ipv4", "ipv6"] as const).flatMap((name) =>
      setup.announces.filter(({ prefixes }) => prefixes[0]!.includes(":") === (name === "ipv6")).map((one, i) => routeMap(`m-${name}-${i}`, one)),
    );
    return `
frr defaults traditional
${maps.join("\n")}
router bgp ${theirAs}
 bgp router-id ${network.address(host)}
 bgp cluster-id ${network.address(host)}
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp log-neighbor-changes
 ${setup.restartSeconds === undefined ? "bgp graceful-restart-disable" : `bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time ${setup.restartSeconds}`}
 ${setup.longLivedSeconds === undefined ? "!" : `bgp long-lived-graceful-restart stale-time ${setup.longLivedSeconds}`}
 neighbor ${us} remote-as ${ourAs}
 ${setup.role === undefined ? "!" : `neighbor ${us} local-role ${setup.role}`}
 neighbor ${us} update-source ${them}
 neighbor ${us} advertisement-interval 0
 neighbor ${us} timers ${Math.floor(setup.holdSeconds / 3)} ${setup.holdSeconds}
 neighbor ${us} timers connect 1
 ${setup.md5 === undefined ? "!" : `neighbor ${us} password ${setup.md5}`}
 ${setup.gtsm ? `neighbor ${us} ttl-security hops 1` : "!"}
 ${setup.passive ? `neighbor ${us} passive` : "!"}
 ${setup.ipv6NextHop ? `neighbor ${us} capability extended-nexthop` : "!"}
 ${setup.twoOctetAs ? `neighbor ${us} dont-capability-negotiate` : "!"}
 neighbor ${client} remote-as ${theirAs}
 neighbor ${client} passive
 neighbor ${client} advertisement-interval 0
${families.join("\n")}
`;
  }
}

function routeMap(name: string, { attributes }: Announcement): string {
  const { communities, largeCommunities, med, localPref, asPath } = attributes,
    lines: string[] = [];
  if (communities) lines.push(` set community ${Array.from(communities, communityText).join(" ")}`);
  if (largeCommunities)
    lines.push(
      ` set large-community ${Array.from({ length: largeCommunities.length / 3 }, (_, i) => largeCommunities.subarray(3 * i, 3 * i + 3).join(":")).join(" ")}`,
    );
  if (med !== undefined) lines.push(` set metric ${med}`);
  if (localPref !== undefined) lines.push(` set local-preference ${localPref}`);
  if (asPath && asPath.length > 0) lines.push(` set as-path prepend ${printAsPath(asPath)}`);
  return [`route-map ${name} permit 10`, " set origin igp", ...lines, "exit"].join("\n");
}

interface FrrPath {
  readonly aspath: { readonly string: string };
  readonly origin: string;
  readonly metric?: number;
  readonly med?: number;
  readonly locPrf?: number;
  readonly community?: { readonly string: string };
  readonly largeCommunity?: { readonly string: string };
  readonly extendedCommunity?: { readonly string: string };
  readonly originatorId?: string;
  readonly clusterList?: { readonly list: readonly string[] };
  readonly aggregatorAs?: number;
  readonly aggregatorId?: string;
  readonly atomicAggregate?: boolean;
  readonly stale?: boolean;
  readonly nexthops: readonly { readonly ip: string; readonly scope?: string }[];
  readonly peer: { readonly peerId: string };
}

function routeOfPath(prefix: string, path: FrrPath): Route {
  const words = (text: string | undefined): string[] => (text ?? "").split(" ").filter((word) => word !== "");
  return {
    prefix: canonical(prefix),
    nextHop: (path.nexthops.find(({ scope }) => scope !== "link-local") ?? path.nexthops[0])?.ip ?? "",
    origin: path.origin.toLowerCase() as Route["origin"],
    asPath: path.aspath.string === "Local" ? "" : path.aspath.string,
    localPref: path.locPrf ?? null,
    med: path.med ?? path.metric ?? null,
    communities: ordered(words(path.community?.string)),
    largeCommunities: ordered(words(path.largeCommunity?.string)),
    extendedCommunities: ordered(words(path.extendedCommunity?.string).map(extendedHex)),
    originatorId: path.originatorId ?? null,
    clusterList: path.clusterList?.list ?? [],
    aggregator: path.aggregatorAs === undefined ? null : `${path.aggregatorAs} ${path.aggregatorId}`,
    atomicAggregate: path.atomicAggregate ?? false,
    unknown: [],
  };
}

/** `RT:65000:9` → the eight octets; of two-octet AS numbers, which is all that is sent here. */
function extendedHex(text: string): string {
  const [kind, admin, assigned] = text.split(":");
  const octets = Buffer.alloc(8);
  octets[1] = kind === "RT" ? 2 : 3;
  octets.writeUInt16BE(Number(admin), 2);
  octets.writeUInt32BE(Number(assigned), 4);
  return octets.toString("hex");
}
