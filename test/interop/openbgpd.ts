/** OpenBGPD: a file, bgpctl, JSON. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { awaitFact, must, run } from "#lab/command.ts";
import type { Announcement } from "./client.ts";
import { Program } from "./program.ts";
import { canonical, communityText, ordered, type Route } from "./route.ts";
import type { Place, Setup, Speaker } from "./speaker.ts";

export class OpenBgpd implements Speaker {
  readonly name = "OpenBGPD";
  readonly version = /([\d.]+)/.exec(spawnSync("/usr/sbin/bgpd", ["-V"], { encoding: "utf8" }).stderr)?.[1] ?? "";
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
    "unknown",
  ] as const;
  readonly reflects = true;
  readonly lacks = {
    "md5 accepting": "its listener has no key, as the kernel on its side counts (TcpExtTCPMD5Unexpected)",
    "refresh answer": 'it refuses what it negotiated, from our test client too: "route refresh: AID IPv4 unicast not negotiated" in its log',
  };
  readonly #place: Place;
  #program: Program | undefined;
  #setup: Setup | undefined;

  constructor(place: Place) {
    this.#place = place;
    // Its processes without privileges live in an empty root.
    mkdirSync("/run/openbgpd", { recursive: true });
  }

  async start(setup: Setup): Promise<void> {
    await this.stop();
    await this.restart(setup);
  }
  async restart(setup: Setup): Promise<void> {
    this.#setup = setup;
    writeFileSync(join(this.#place.directory, "bgpd.conf"), this.#config(setup));
    chmodSync(join(this.#place.directory, "bgpd.conf"), 0o600);
    const { network, host, directory } = this.#place;
    rmSync(this.#socket, { force: true });
    const program = new Program(["/usr/sbin/bgpd", "-d", "-v", "-f", join(directory, "bgpd.conf")], {
      name: "openbgpd",
      namespace: network.namespace(host),
      directory,
    });
    this.#program = program;
    const answers = async (): Promise<boolean> => (await run(this.#command(["show"]))).code === 0;
    const ready = await awaitFact(async () => program.ended ?? ((await answers()) ? "ready" : undefined), { millis: 10_000, everyMillis: 50 });
    if (ready !== "ready") throw new Error(`bgpd is not ready (${ready}): ${program.tail()}`);
  }
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.#program?.stop(signal);
    this.#program = undefined;
  }
  freeze(): void {
    this.#program?.signalAll("SIGSTOP");
  }
  thaw(): void {
    this.#program?.signalAll("SIGCONT");
  }

  async rib(family: "ipv4" | "ipv6"): Promise<readonly Route[]> {
    const own = this.#place.network.address(this.#place.host);
    return (await this.#paths(family)).map((path) => routeOfPath(path, own));
  }
  async refresh(): Promise<void> {
    await this.#ask(["neighbor", this.#peer, "refresh"]);
  }
  async shutdown(text: string): Promise<void> {
    await this.#ask(["neighbor", this.#peer, "down", text]);
  }
  async enable(): Promise<void> {
    await this.#ask(["neighbor", this.#peer, "up"]);
  }
  async isEstablished(): Promise<boolean> {
    return (await this.session()).includes("BGP state = Established");
  }
  session(): Promise<string> {
    return this.#ask(["show", "neighbor", this.#peer]);
  }

  get #peer(): string {
    return this.#place.network.address(this.#place.ours, this.#setup!.transport);
  }
  get #socket(): string {
    return join(this.#place.directory, "bgpd.sock");
  }
  #command(words: readonly string[]): string[] {
    return ["bgpctl", "-s", this.#socket, ...words];
  }
  #ask(words: readonly string[]): Promise<string> {
    return must(`bgpctl ${words.join(" ")}`, this.#command(words));
  }

  async #paths(family: "ipv4" | "ipv6"): Promise<readonly BgpdPath[]> {
    const { rib } = JSON.parse(await this.#ask(["-j", "show", "rib", "detail", "in", "neighbor", this.#peer])) as { readonly rib?: readonly BgpdPath[] };
    return (rib ?? []).filter(({ prefix }) => prefix.includes(":") === (family === "ipv6"));
  }

  #config(setup: Setup): string {
    const { network, host } = this.#place,
      { theirAs, ourAs } = setup;
    return `
AS ${theirAs}
router-id ${network.address(host)}
fib-update no
listen on ${network.address(host)}
listen on ${network.address(host, 6)}
socket "${this.#socket}"
holdtime min 3
nexthop qualify via default
${setup.announces.flatMap(networks).join("\n")}
neighbor ${this.#peer} {
  remote-as ${ourAs}
  descr "us"
  local-address ${network.address(host, setup.transport)}
${setup.holdSeconds === 0 ? "" : `  holdtime ${setup.holdSeconds}\n`}${setup.families.map((name) => `  announce ${name === "ipv4" ? "IPv4" : "IPv6"} unicast`).join("\n")}
${setup.families.includes("ipv4") ? "" : "  announce IPv4 none\n"}  announce refresh yes
  announce enhanced refresh yes
${setup.addPath ? "  announce add-path recv yes\n  announce add-path send all\n" : ""}  announce restart ${setup.restartSeconds === undefined ? "no" : "yes"}
${setup.twoOctetAs ? "  announce as-4byte no\n" : ""}${setup.md5 === undefined ? "" : `  tcp md5sig password ${setup.md5}\n`}${setup.gtsm ? "  ttl-security yes\n" : ""}${setup.passive ? "  passive\n" : ""}${setup.maxPrefixes === undefined ? "" : `  max-prefix ${setup.maxPrefixes}\n`}}
neighbor ${network.client(2)} {
  remote-as ${theirAs}
  passive
  route-reflector ${network.address(host)}
  announce IPv4 unicast
  announce IPv6 unicast
}
allow from any
allow to any
`;
  }
}

/** The next hop is said: it does not look for the address of the other family on the session's link. */
function networks({ prefixes, attributes, nextHop }: Announcement): string[] {
  const { communities, largeCommunities, med, localPref } = attributes,
    set: string[] = [`nexthop ${nextHop}`, "origin igp"];
  for (const value of communities ?? []) set.push(`community ${communityText(value)}`);
  for (let i = 0; i < (largeCommunities?.length ?? 0); i += 3) set.push(`large-community ${largeCommunities!.subarray(i, i + 3).join(":")}`);
  if (med !== undefined) set.push(`metric ${med}`);
  if (localPref !== undefined) set.push(`localpref ${localPref}`);
  return prefixes.map((prefix) => `network ${prefix} set { ${set.join(" ")} }`);
}

interface BgpdPath {
  readonly prefix: string;
  readonly aspath: string;
  readonly exit_nexthop: string;
  readonly origin: string;
  readonly metric: number;
  readonly localpref: number;
  readonly communities?: readonly string[];
  readonly extended_communities?: readonly string[];
  readonly large_communities?: readonly string[];
  readonly attributes?: readonly BgpdAttribute[];
}
interface BgpdAttribute {
  readonly type: string;
  readonly AS?: number;
  readonly router_id?: string;
  readonly originator?: string;
  readonly cluster_list?: readonly string[];
  readonly data?: string;
}

/** Of no MED it says 0, and its CLUSTER_LIST begins with `own` already, which it will only add when it reflects. */
function routeOfPath(path: BgpdPath, own: string): Route {
  const of = (type: string): BgpdAttribute | undefined => path.attributes?.find((one) => one.type === type);
  const clusters = of("Cluster Id List")?.cluster_list ?? [],
    aggregator = of("Aggregator");
  return {
    prefix: canonical(path.prefix),
    nextHop: path.exit_nexthop,
    origin: path.origin.toLowerCase() as Route["origin"],
    asPath: path.aspath,
    localPref: path.localpref,
    med: path.metric === 0 ? null : path.metric,
    communities: ordered(path.communities ?? []),
    largeCommunities: ordered(path.large_communities ?? []),
    extendedCommunities: ordered((path.extended_communities ?? []).map(extendedHex)),
    originatorId: of("Originator Id")?.originator ?? null,
    clusterList: clusters[0] === own ? clusters.slice(1) : clusters,
    aggregator: aggregator ? `${aggregator.AS} ${aggregator.router_id}` : null,
    atomicAggregate: of("Atomic Aggregate") !== undefined,
    unknown: (path.attributes ?? []).flatMap(({ type, data }) =>
      type.startsWith("Unknown Attribute #") ? [`${type.slice("Unknown Attribute #".length)}:${data}`] : [],
    ),
  };
}

/** `rt 65000:9` → the eight octets; of two-octet AS numbers, which is all that is sent here. */
function extendedHex(text: string): string {
  const [kind, value] = text.split(" "),
    [admin, assigned] = value!.split(":");
  const octets = Buffer.alloc(8);
  octets[1] = kind === "rt" ? 2 : 3;
  octets.writeUInt16BE(Number(admin), 2);
  octets.writeUInt32BE(Number(assigned), 4);
  return octets.toString("hex");
}
