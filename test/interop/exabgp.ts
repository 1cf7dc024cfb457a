/** ExaBGP: a file, its API over a helper process. It keeps no table: what it tells as JSON is put together here. */
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { awaitFact } from "#lab/command.ts";
import type { Announcement } from "./client.ts";
import { Program } from "./program.ts";
import { canonical, communityText, ordered, type Route } from "./route.ts";
import type { Place, Setup, Speaker } from "./speaker.ts";

const relay = fileURLToPath(new URL("exabgp-relay.ts", import.meta.url));

export class ExaBgp implements Speaker {
  readonly name = "ExaBGP";
  readonly version = /ExaBGP : ([\d.]+)/.exec(execFileSync("exabgp", ["--version"], { encoding: "utf8" }))?.[1] ?? "";
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
  readonly reflects = false;
  readonly lacks = {
    helper: "it keeps no table of what it hears, so there is nothing it could keep",
    "prefix limit": "its configuration has no prefix limit",
    "refresh answer": "a ROUTE-REFRESH ends its session: \"TypeError: 'RouteRefresh' object is not iterable\" in its log",
    "gtsm accepting": "its listener answers with the kernel's TTL of 64: incoming-ttl and outgoing-ttl are for connections it dials",
    "shutdown text": "its API has `teardown CODE` and no text",
  };
  readonly #place: Place;
  #program: Program | undefined;
  #setup: Setup | undefined;

  constructor(place: Place) {
    this.#place = place;
  }

  async start(setup: Setup): Promise<void> {
    await this.stop();
    await this.restart(setup);
  }
  async restart(setup: Setup): Promise<void> {
    this.#setup = setup;
    writeFileSync(this.#file("exabgp.conf"), this.#config(setup));
    const { network, host, directory } = this.#place,
      { transport } = setup;
    rmSync(this.#file("exabgp.json"), { force: true });
    rmSync(this.#file("exabgp.sock"), { force: true });
    const settings = {
      "daemon.drop": "false",
      "daemon.user": "root",
      "api.cli": "false",
      "tcp.bind": network.address(host, transport),
      "tcp.port": "179",
      "tcp.delay": "0",
      "log.all": "true",
    };
    const env = Object.entries(settings).map(([key, value]) => `exabgp.${key}=${value}`);
    const program = new Program(["env", ...env, "exabgp", this.#file("exabgp.conf")], { name: "exabgp", namespace: network.namespace(host), directory });
    this.#program = program;
    const ready = await awaitFact(async () => program.ended ?? ((await this.#say("")) ? "ready" : undefined), { millis: 15_000, everyMillis: 50 });
    if (ready !== "ready") throw new Error(`exabgp is not ready (${ready}): ${program.tail()}`);
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

  rib(family: "ipv4" | "ipv6"): Promise<readonly Route[]> {
    const table = new Map<string, Route>();
    for (const line of this.#told()) {
      const { type, neighbor } = line;
      if (type === "state" && neighbor.state === "down") table.clear();
      const update = neighbor.message?.update;
      if (!update) continue;
      for (const list of Object.values(update.withdraw ?? {})) for (const nlri of list) table.delete(keyOf(nlri));
      for (const hops of Object.values(update.announce ?? {}))
        for (const [nextHop, list] of Object.entries(hops))
          for (const nlri of list) table.set(keyOf(nlri), routeOfUpdate(prefixOf(nlri), nextHop, update.attribute ?? {}));
    }
    return Promise.resolve([...table.values()].filter(({ prefix }) => prefix.includes(":") === (family === "ipv6")));
  }
  async refresh(): Promise<void> {
    for (const family of this.#setup!.families) await this.#say(`neighbor ${this.#peer} announce route-refresh ${family} unicast\n`);
  }
  async shutdown(): Promise<void> {
    await this.#say(`neighbor ${this.#peer} teardown 2\n`);
  }
  enable(): Promise<void> {
    return Promise.resolve();
  }
  isEstablished(): Promise<boolean> {
    return Promise.resolve(this.#told().findLast(({ type }) => type === "state")?.neighbor.state === "up");
  }
  session(): Promise<string> {
    return Promise.resolve(readFileSync(this.#program!.log, "utf8"));
  }

  get #peer(): string {
    return this.#place.network.address(this.#place.ours, this.#setup!.transport);
  }
  #file(name: string): string {
    return join(this.#place.directory, name);
  }

  /** Gives a command to the helper; false if it is not there. */
  #say(command: string): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.#file("exabgp.sock"));
      socket.once("error", () => resolve(false));
      socket.once("connect", () => socket.end(command, () => resolve(true)));
    });
  }

  #told(): ExaLine[] {
    let text = "";
    try {
      text = readFileSync(this.#file("exabgp.json"), "utf8");
    } catch {
      return [];
    }
    return text
      .split("\n")
      .flatMap((line) => (line.startsWith("{") && line.endsWith("}") ? [JSON.parse(line) as ExaLine] : []))
      .filter(({ neighbor }) => neighbor !== undefined);
  }

  #config(setup: Setup): string {
    const { network, host } = this.#place,
      { transport, theirAs, ourAs, holdSeconds } = setup;
    const capability = [
      `asn4 ${setup.twoOctetAs ? "disable" : "enable"};`,
      "route-refresh enable;",
      "extended-message enable;",
      ...(setup.addPath ? ["add-path send/receive;"] : []),
      ...(setup.ipv6NextHop ? ["nexthop enable;"] : []),
      setup.restartSeconds === undefined ? "graceful-restart disable;" : `graceful-restart ${setup.restartSeconds};`,
    ];
    return `
process relay { run ${process.execPath} ${relay} ${this.#file("exabgp.json")} ${this.#file("exabgp.sock")}; encoder json; }
neighbor ${this.#peer} {
  router-id ${network.address(host)}; local-address ${network.address(host, transport)}; local-as ${theirAs}; peer-as ${ourAs}; hold-time ${holdSeconds};
  ${setup.passive ? "passive true;" : ""} ${setup.md5 === undefined ? "" : `md5-password "${setup.md5}";`} ${setup.gtsm ? "outgoing-ttl 255; incoming-ttl 255;" : ""}
  family { ${setup.families.map((name) => `${name} unicast;`).join(" ")} }
  capability { ${capability.join(" ")} }
  ${setup.ipv6NextHop ? "nexthop { ipv4 unicast ipv6; }" : ""}
  api { processes [ relay ]; neighbor-changes; receive { parsed; update; notification; } }
  static {
${setup.announces.flatMap((one, i) => statics(one).map((line) => (setup.addPath ? line.replace(";", ` path-information 0.0.0.${i + 1};`) : line))).join("\n")}
  }
}
`;
  }
}

function statics({ prefixes, attributes, nextHop }: Announcement): string[] {
  const { communities, largeCommunities, med, localPref, asPath } = attributes,
    words: string[] = ["origin igp"];
  if (communities) words.push(`community [ ${Array.from(communities, communityText).join(" ")} ]`);
  if (largeCommunities)
    words.push(
      `large-community [ ${Array.from({ length: largeCommunities.length / 3 }, (_, i) => largeCommunities.subarray(3 * i, 3 * i + 3).join(":")).join(" ")} ]`,
    );
  if (med !== undefined) words.push(`med ${med}`);
  if (localPref !== undefined) words.push(`local-preference ${localPref}`);
  if (asPath && asPath.length > 0) words.push(`as-path [ ${asPath.flatMap(({ asns }) => [...asns]).join(" ")} ]`);
  return prefixes.map((prefix) => `    route ${prefix} next-hop ${nextHop} ${words.join(" ")};`);
}

type Nlri = string | { readonly nlri: string; readonly "path-information"?: string };
interface ExaLine {
  readonly type: string;
  readonly neighbor: {
    readonly state?: string;
    readonly message?: {
      readonly update?: {
        readonly attribute?: Readonly<Record<string, unknown>>;
        readonly announce?: Readonly<Record<string, Readonly<Record<string, readonly Nlri[]>>>>;
        readonly withdraw?: Readonly<Record<string, readonly Nlri[]>>;
      };
    };
  };
}

/** With ADD-PATH a prefix has as many routes as identifiers. */
const keyOf = (nlri: Nlri): string => `${canonical(prefixOf(nlri))} ${typeof nlri === "string" ? "" : (nlri["path-information"] ?? "")}`;
const prefixOf = (nlri: Nlri): string => (typeof nlri === "string" ? nlri : nlri.nlri);

function routeOfUpdate(prefix: string, nextHop: string, of: Readonly<Record<string, unknown>>): Route {
  const numbers = (name: string): readonly (readonly number[])[] => (of[name] ?? []) as readonly (readonly number[])[];
  const extended = (of["extended-community"] ?? []) as readonly { readonly value: number | string }[];
  const aggregator = ((of["aggregator"] ?? "") as string).split(":"),
    path = of["as-path"];
  return {
    prefix: canonical(prefix),
    nextHop,
    origin: of["origin"] as Route["origin"],
    asPath: Array.isArray(path)
      ? path.join(" ")
      : Object.values((path ?? {}) as Record<string, { value: number[] }>)
          .flatMap(({ value }) => value)
          .join(" "),
    localPref: (of["local-preference"] as number | undefined) ?? null,
    med: (of["med"] as number | undefined) ?? null,
    communities: ordered(numbers("community").map((parts) => parts.join(":"))),
    largeCommunities: ordered(numbers("large-community").map((parts) => parts.join(":"))),
    extendedCommunities: ordered(extended.map(({ value }) => BigInt(value).toString(16).padStart(16, "0"))),
    originatorId: (of["originator-id"] as string | undefined) ?? null,
    clusterList: (of["cluster-list"] as readonly string[] | undefined) ?? [],
    aggregator: of["aggregator"] === undefined ? null : aggregator.join(" "),
    atomicAggregate: of["atomic-aggregate"] === true,
    unknown: Object.entries(of).flatMap(([name, value]) => {
      const match = /^attribute-0x([0-9A-Fa-f]{2})-/.exec(name);
      return match ? [`${parseInt(match[1]!, 16)}:${String(value).replace("0x", "").toLowerCase()}`] : [];
    }),
  };
}
