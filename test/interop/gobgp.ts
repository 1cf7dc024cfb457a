/** GoBGP: a TOML file, the gobgp command line, JSON. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { awaitFact, inside, must, run } from "#lab/command.ts";
import { printAsPath } from "#wire/bgp/as-path.ts";
import type { Announcement } from "./client.ts";
import { Program } from "./program.ts";
import { canonical, communityText, hex, ordered, type Route } from "./route.ts";
import type { Place, Setup, Speaker } from "./speaker.ts";

export class GoBgp implements Speaker {
  readonly name = "GoBGP";
  readonly version = execFileSync("gobgpd", ["--version"], { encoding: "utf8" }).replace("gobgpd version", "").trim();
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
    refresh: "told to (softresetin), it reads its own Adj-RIB-In again and sends no ROUTE-REFRESH: none on the wire",
    "hold 0": 'agreed on 0, it gives its own writes no time: "i/o timeout" in its log, and it closes',
    "shutdown text": "asked for a text (disable --reason), its NOTIFICATION on the wire has none",
  };
  /** It adds ORIGINATOR_ID and CLUSTER_LIST towards its clients only, so we are one, and to its own routes too. */
  readonly oddity = {
    text: "set up with us as its client: to others it passes a client's routes on without ORIGINATOR_ID and CLUSTER_LIST; it adds both to its own routes too",
    tells: (route: Route, source: "own" | "client"): Route => {
      const self = this.#place.network.address(this.#place.host);
      return source === "own" ? { ...route, originatorId: self, clusterList: [self] } : route;
    },
  };
  readonly #place: Place;
  #program: Program | undefined;
  #setup: Setup | undefined;

  constructor(place: Place) {
    this.#place = place;
  }

  async start(setup: Setup): Promise<void> {
    await this.stop();
    await this.#run(setup, []);
  }
  /** With -r it says that it restarts. */
  restart(setup: Setup): Promise<void> {
    return this.#run(setup, ["-r"]);
  }
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.#program?.stop(signal);
    this.#program = undefined;
  }
  freeze(): void {
    this.#program?.signal("SIGSTOP");
  }
  thaw(): void {
    this.#program?.signal("SIGCONT");
  }

  async rib(family: "ipv4" | "ipv6"): Promise<readonly Route[]> {
    return (await this.#paths(family)).map(routeOfPath);
  }
  async stale(family: "ipv4" | "ipv6"): Promise<readonly string[]> {
    return (await this.#paths(family)).flatMap((path) => (path.stale ? [canonical(path.nlri.prefix)] : []));
  }
  async refresh(): Promise<void> {
    await this.#ask(["neighbor", this.#peer, "softresetin"]);
  }
  async shutdown(text: string): Promise<void> {
    await this.#ask(["neighbor", this.#peer, "disable", "--reason", text]);
  }
  async enable(): Promise<void> {
    await this.#ask(["neighbor", this.#peer, "enable"]);
  }
  async isEstablished(): Promise<boolean> {
    return (await this.session()).includes("BGP state = ESTABLISHED");
  }
  session(): Promise<string> {
    return this.#ask(["neighbor", this.#peer]);
  }

  get #peer(): string {
    return this.#place.network.address(this.#place.ours, this.#setup!.transport);
  }

  /** The session is let up once it has its routes: else its End-of-RIB would come before them. */
  async #run(setup: Setup, more: readonly string[]): Promise<void> {
    this.#setup = setup;
    writeFileSync(join(this.#place.directory, "gobgpd.toml"), this.#config(setup));
    const { network, host, directory } = this.#place;
    const argv = ["gobgpd", "-f", "gobgpd.toml", "--api-hosts", "127.0.0.1:50051", "--log-level", "debug", ...more];
    const program = new Program(argv, { name: "gobgpd", namespace: network.namespace(host), directory });
    this.#program = program;
    const answers = async (): Promise<boolean> => (await run(this.#command(["global"]))).stdout.includes(`AS:        ${this.#setup!.theirAs}`);
    const ready = await awaitFact(async () => program.ended ?? ((await answers()) ? "ready" : undefined), { millis: 15_000, everyMillis: 50 });
    if (ready !== "ready") throw new Error(`gobgpd is not ready (${ready}): ${program.tail()}`);
    for (const announcement of setup.announces) await this.#announce(announcement);
    await this.enable();
  }

  async #announce({ prefixes, attributes, nextHop }: Announcement): Promise<void> {
    const { communities, largeCommunities, med, localPref, asPath } = attributes,
      more: string[] = [];
    if (communities) more.push("community", Array.from(communities, communityText).join(","));
    if (largeCommunities)
      more.push(
        "large-community",
        Array.from({ length: largeCommunities.length / 3 }, (_, i) => largeCommunities.subarray(3 * i, 3 * i + 3).join(":")).join(","),
      );
    if (med !== undefined) more.push("med", `${med}`);
    if (localPref !== undefined) more.push("local-pref", `${localPref}`);
    if (asPath && asPath.length > 0) more.push("aspath", printAsPath(asPath));
    for (const prefix of prefixes)
      await this.#ask(["global", "rib", "add", prefix, "origin", "igp", "nexthop", nextHop, ...more, "-a", prefix.includes(":") ? "ipv6" : "ipv4"]);
  }

  #command(words: readonly string[]): string[] {
    return inside(this.#place.network.namespace(this.#place.host), ["gobgp", ...words]);
  }
  #ask(words: readonly string[]): Promise<string> {
    return must(`gobgp ${words.join(" ")}`, this.#command(words));
  }

  async #paths(family: "ipv4" | "ipv6"): Promise<readonly GoPath[]> {
    const ran = await run(this.#command(["-j", "neighbor", this.#peer, "adj-in", "-a", family]));
    if (ran.code !== 0 || !ran.stdout.trim().startsWith("{")) return [];
    return Object.values(JSON.parse(ran.stdout) as Readonly<Record<string, readonly GoPath[]>>).flat();
  }

  #config(setup: Setup): string {
    const { network, host } = this.#place,
      { theirAs, ourAs } = setup;
    const restart = setup.restartSeconds !== undefined;
    const channel = (name: string, limit: boolean): string => `
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "${name}-unicast"
${setup.addPath && limit ? "    [neighbors.afi-safis.add-paths.config]\n      receive = true\n      send-max = 8\n" : ""}${restart && limit ? "    [neighbors.afi-safis.mp-graceful-restart.config]\n      enabled = true\n" : ""}${
      limit && setup.longLivedSeconds !== undefined
        ? `    [neighbors.afi-safis.long-lived-graceful-restart.config]\n      enabled = true\n      restart-time = ${setup.longLivedSeconds}\n`
        : ""
    }${limit && setup.maxPrefixes !== undefined ? `    [neighbors.afi-safis.prefix-limit.config]\n      max-prefixes = ${setup.maxPrefixes}\n` : ""}`;
    const reflector = `  [neighbors.route-reflector.config]\n    route-reflector-client = true\n    route-reflector-cluster-id = "${network.address(host)}"\n`;
    return `
[global.config]
  as = ${theirAs}
  router-id = "${network.address(host)}"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "${this.#peer}"
    peer-as = ${ourAs}
    admin-down = true
${setup.md5 === undefined ? "" : `    auth-password = "${setup.md5}"\n`}  [neighbors.transport.config]
    local-address = "${network.address(host, setup.transport)}"
${setup.passive ? "    passive-mode = true\n" : ""}${setup.gtsm ? "  [neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = 255\n" : ""}  [neighbors.timers.config]
    connect-retry = 1
    idle-hold-time-after-reset = 1
    hold-time = ${setup.holdSeconds}
    keepalive-interval = ${setup.holdSeconds / 3}
${theirAs === ourAs ? reflector : ""}${restart ? `  [neighbors.graceful-restart.config]\n    enabled = true\n    restart-time = ${setup.restartSeconds}\n    notification-enabled = true\n${setup.longLivedSeconds === undefined ? "" : "    long-lived-enabled = true\n"}` : ""}${setup.families.map((name) => channel(name, true)).join("")}
[[neighbors]]
  [neighbors.config]
    neighbor-address = "${network.client(2)}"
    peer-as = ${theirAs}
  [neighbors.transport.config]
    passive-mode = true
${reflector}${(["ipv4", "ipv6"] as const).map((name) => channel(name, false)).join("")}
`;
  }
}

interface GoPath {
  readonly nlri: { readonly prefix: string };
  readonly stale?: boolean;
  readonly attrs: readonly GoAttribute[];
}
/** By type code; GoBGP's own names for the values. */
interface GoAttribute {
  readonly type: number;
  readonly value?: unknown;
  readonly flags?: number;
  readonly nexthop?: string;
  readonly metric?: number;
  readonly as_paths?: readonly { readonly segment_type: number; readonly asns: readonly number[] }[];
  readonly communities?: readonly number[];
  readonly as?: number;
  readonly AS?: number;
  readonly address?: string;
  readonly Address?: string;
}

function routeOfPath({ nlri, attrs }: GoPath): Route {
  const of = (type: number): GoAttribute | undefined => attrs.find((one) => one.type === type);
  const large = (of(32)?.value ?? []) as readonly { ASN: number; LocalData1: number; LocalData2: number }[];
  const aggregator = of(7)?.value as { AS?: number; as?: number; address?: string; Address?: string } | undefined;
  const med = of(4),
    known = new Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 16, 32]);
  return {
    prefix: canonical(nlri.prefix),
    nextHop: of(14)?.nexthop ?? of(3)?.nexthop ?? "",
    origin: (["igp", "egp", "incomplete"] as const)[(of(1)?.value ?? 2) as number]!,
    asPath: (of(2)?.as_paths ?? []).flatMap(({ asns }) => asns).join(" "),
    localPref: (of(5)?.value as number | undefined) ?? null,
    med: med?.metric ?? (med?.value as number | undefined) ?? null,
    communities: ordered((of(8)?.communities ?? []).map(communityText)),
    largeCommunities: ordered(large.map(({ ASN, LocalData1, LocalData2 }) => `${ASN}:${LocalData1}:${LocalData2}`)),
    extendedCommunities: ordered(((of(16)?.value ?? []) as readonly { type: number; subtype: number; value: string }[]).map(extendedHex)),
    originatorId: (of(9)?.value as string | undefined) ?? null,
    clusterList: (of(10)?.value as readonly string[] | undefined) ?? [],
    aggregator: of(7)
      ? `${of(7)!.as ?? of(7)!.AS ?? aggregator?.as ?? aggregator?.AS} ${of(7)!.address ?? of(7)!.Address ?? aggregator?.address ?? aggregator?.Address}`
      : null,
    atomicAggregate: of(6) !== undefined,
    unknown: attrs.filter(({ type }) => !known.has(type)).map(({ type, value }) => `${type}:${hex(Buffer.from(String(value), "base64"))}`),
  };
}

/** A two-octet-AS community, value "65000:9" → the eight octets. */
function extendedHex({ type, subtype, value }: { type: number; subtype: number; value: string }): string {
  const [admin, assigned] = value.split(":"),
    octets = Buffer.alloc(8);
  octets[0] = type;
  octets[1] = subtype;
  octets.writeUInt16BE(Number(admin), 2);
  octets.writeUInt32BE(Number(assigned), 4);
  return octets.toString("hex");
}
