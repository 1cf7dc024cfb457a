/** BIRD 2: configuration, birdc. Its tables are text. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { awaitFact, must, run } from "#lab/command.ts";
import { printAsPath } from "#wire/bgp/as-path.ts";
import type { Announcement } from "./client.ts";
import { Program } from "./program.ts";
import { canonical, communityText, ordered, type Route } from "./route.ts";
import type { Place, Setup, Speaker } from "./speaker.ts";

export class Bird implements Speaker {
  readonly name = "BIRD";
  readonly version = spawnSync("bird", ["--version"], { encoding: "utf8" }).stderr.replace("BIRD version", "").trim();
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
  readonly lacks = {};
  readonly #place: Place;
  #program: Program | undefined;

  constructor(place: Place) {
    this.#place = place;
  }

  async start(setup: Setup): Promise<void> {
    await this.stop();
    writeFileSync(this.#file("bird.conf"), this.#config(setup));
    await this.#run([]);
  }
  /** With -R it is in recovery: R and F bits. */
  async restart(setup: Setup): Promise<void> {
    writeFileSync(this.#file("bird.conf"), this.#config(setup));
    await this.#run(["-R"]);
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
    return parseRoutes(await this.#ask(`show route table ${family === "ipv4" ? "master4" : "master6"} protocol pw all`)).map(({ route }) => route);
  }
  async stale(family: "ipv4" | "ipv6"): Promise<readonly string[]> {
    const text = await this.#ask(`show route table ${family === "ipv4" ? "master4" : "master6"} protocol pw all`);
    return parseRoutes(text).flatMap(({ route, isStale }) => (isStale ? [route.prefix] : []));
  }
  async refresh(): Promise<void> {
    await this.#ask("reload in pw");
  }
  async shutdown(text: string): Promise<void> {
    await this.#ask(`disable pw "${text}"`);
  }
  async enable(): Promise<void> {
    await this.#ask("enable pw");
  }
  async isEstablished(): Promise<boolean> {
    return (await this.session()).includes("Established");
  }
  session(): Promise<string> {
    return this.#ask("show protocols all pw");
  }

  #file(name: string): string {
    return join(this.#place.directory, name);
  }

  async #run(more: readonly string[]): Promise<void> {
    const { network, host, directory } = this.#place;
    const argv = ["bird", "-f", "-c", "bird.conf", "-s", "bird.ctl", ...more];
    const program = new Program(argv, { name: "bird", namespace: network.namespace(host), directory });
    this.#program = program;
    const ready = await awaitFact(async () => program.ended ?? ((await this.#try("show status")).stdout.includes("Daemon is up") ? "ready" : undefined), {
      millis: 10_000,
      everyMillis: 30,
    });
    if (ready !== "ready") throw new Error(`bird is not ready (${ready}): ${program.tail()}`);
  }

  #try(command: string): ReturnType<typeof run> {
    return run(["birdc", "-s", this.#file("bird.ctl"), ...command.split(" ")]);
  }
  #ask(command: string): Promise<string> {
    return must(`birdc ${command}`, ["birdc", "-s", this.#file("bird.ctl"), command]);
  }

  #config(setup: Setup): string {
    const { network, host, ours } = this.#place,
      { transport, theirAs, ourAs } = setup;
    const us = network.address(ours, transport),
      them = network.address(host, transport),
      client = network.client(2),
      internal = theirAs === ourAs;
    const channel = (name: string): string => {
      const limit = setup.maxPrefixes === undefined ? "" : `import limit ${setup.maxPrefixes} action disable; `;
      const more = `${setup.addPath ? "add paths on; " : ""}${setup.ipv6NextHop && name === "ipv4" ? "extended next hop on; " : ""}`;
      return `  ${name} { import all; export filter told; ${more}${limit}};`;
    };
    const statics = (["ipv4", "ipv6"] as const).map((name) => {
      const mine = setup.announces.filter(({ prefixes }) => prefixes[0]!.includes(":") === (name === "ipv6"));
      return `protocol static s_${name} { ${name};\n${mine.map(staticRoutes).join("\n")}\n}`;
    });
    return `
router id ${network.address(host)};
log "bird-all.log" all;
debug protocols { states, events };
# MED leaves the AS only where the export filter has set it.
filter told { if source = RTS_STATIC then { if defined(bgp_med) then bgp_med = bgp_med; accept; } if source = RTS_BGP then accept; reject; }
protocol device { scan time 1; }
protocol direct { ipv4; ipv6; interface "eth0"; }
${statics.join("\n")}
protocol bgp pw {
  local ${them} as ${theirAs}; neighbor ${us} as ${ourAs}; ${internal ? "direct;" : ""}
  hold time ${setup.holdSeconds}; connect retry time 1; connect delay time 1; error wait time 1, 1; error forget time 1;
  startup hold time 30; enable extended messages on; enable as4 ${setup.twoOctetAs ? "off" : "on"}; allow local as 0;
  ${setup.restartSeconds === undefined ? "graceful restart off;" : `graceful restart on; graceful restart time ${setup.restartSeconds};`}
  ${setup.longLivedSeconds === undefined ? "" : `long lived graceful restart on; long lived stale time ${setup.longLivedSeconds};`} ${setup.role === undefined ? "" : `local role ${setup.role};`}
  ${setup.md5 === undefined ? "" : `password "${setup.md5}";`} ${setup.gtsm ? "ttl security on;" : ""} ${setup.passive ? "passive on;" : ""}
${setup.families.map(channel).join("\n")}
}
protocol bgp c2 {
  local ${network.address(host)} as ${theirAs}; neighbor ${client} as ${theirAs}; direct; passive on; rr client; rr cluster id ${network.address(host)};
  error wait time 1, 1; connect delay time 1; enable extended messages on; graceful restart off;
${(["ipv4", "ipv6"] as const).map((name) => `  ${name} { import all; export where source = RTS_BGP; };`).join("\n")}
}
`;
  }
}

function staticRoutes({ prefixes, attributes }: Announcement): string {
  const { communities, largeCommunities, med, localPref, asPath } = attributes,
    set: string[] = [];
  for (const value of communities ?? []) set.push(`bgp_community.add((${communityText(value).replace(":", ",")}));`);
  for (let i = 0; i < (largeCommunities?.length ?? 0); i += 3) set.push(`bgp_large_community.add((${largeCommunities!.subarray(i, i + 3).join(",")}));`);
  if (med !== undefined) set.push(`bgp_med = ${med};`);
  if (localPref !== undefined) set.push(`bgp_local_pref = ${localPref};`);
  for (const asn of printAsPath(asPath ?? [])
    .split(" ")
    .reverse())
    if (asn !== "") set.push(`bgp_path.prepend(${asn});`);
  return prefixes.map((prefix) => `  route ${prefix} blackhole { bgp_origin = ORIGIN_IGP; ${set.join(" ")} };`).join("\n");
}

interface Entry {
  readonly route: Route;
  readonly isStale: boolean;
}

/** `show route all`: a line per route, then its attributes, one a line with a tab before. */
export function parseRoutes(text: string): Entry[] {
  const entries: Entry[] = [];
  let prefix = "",
    head = "",
    attributes = new Map<string, string>();
  const finish = (): void => {
    if (head !== "") entries.push({ route: routeOfText(prefix, attributes), isStale: head.includes("s]") || / \(\d+s\)/.test(head) || /\[.*stale/.test(head) });
    head = "";
    attributes = new Map();
  };
  for (const line of text.split("\n")) {
    const first = /^(\S+\/\d+)?\s+(?:unicast|unreachable|blackhole|prohibit) \[/.exec(line);
    if (first) {
      finish();
      prefix = first[1] ?? prefix;
      head = line;
    }
    const pair = /^\tBGP\.([^:]+): ?(.*)$/.exec(line);
    if (pair) attributes.set(pair[1]!, pair[2]!);
  }
  finish();
  return entries;
}

function routeOfText(prefix: string, of: ReadonlyMap<string, string>): Route {
  const number = (name: string): number | null => (of.has(name) ? Number(of.get(name)) : null);
  const groups = (name: string): string[] =>
    Array.from((of.get(name) ?? "").matchAll(/\(([^)]*)\)/g), (match) => match[1]!.replaceAll(" ", "").replaceAll(",", ":"));
  const aggregator = /^(\S+) AS(\d+)/.exec(of.get("aggregator") ?? "");
  const unknown = [...of].flatMap(([name, value]) => {
    const match = /^([0-9a-f]{2}) \[/.exec(name);
    return match
      ? [
          `${parseInt(match[1]!, 16)}:${value
            .trim()
            .split(/\s+/)
            .map((octet) => octet.padStart(2, "0"))
            .join("")}`,
        ]
      : [];
  });
  return {
    prefix: canonical(prefix),
    nextHop: (of.get("next_hop") ?? "").split(" ")[0]!,
    origin: (of.get("origin") ?? "").toLowerCase() as Route["origin"],
    asPath: (of.get("as_path") ?? "").trim(),
    localPref: number("local_pref"),
    med: number("med"),
    communities: ordered(groups("community")),
    largeCommunities: ordered(groups("large_community")),
    extendedCommunities: ordered(groups("ext_community").map(extendedHex)),
    originatorId: of.get("originator_id") ?? null,
    clusterList: (of.get("cluster_list") ?? "")
      .trim()
      .split(" ")
      .filter((id) => id !== ""),
    aggregator: aggregator ? `${aggregator[2]} ${aggregator[1]}` : null,
    atomicAggregate: of.has("atomic_aggr"),
    unknown,
  };
}

/** `rt:65000:100` → the eight octets; of two-octet AS numbers, which is all that is sent here. */
function extendedHex(text: string): string {
  const [kind, admin, assigned] = text.split(":");
  const octets = Buffer.alloc(8);
  octets[1] = kind === "rt" ? 2 : 3;
  octets.writeUInt16BE(Number(admin), 2);
  octets.writeUInt32BE(Number(assigned), 4);
  return octets.toString("hex");
}
