/**
 * podwayd and a foreign speaker with BFD, on one link or with a router between them, and a third with many routes beside:
 *
 *   link:     pw 10.9.1.1 ── 10.9.1.2 sp        router:   pw 10.9.1.1 ── r ── 10.9.2.2 sp        load:  pw 10.9.9.1 ── 10.9.9.2 ld
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { PeerView } from "#daemon/control.ts";
import { awaitFact, inside, ipBatch, must, run } from "#lab/command.ts";
import { getJson } from "#lab/daemon-client.ts";
import { Program } from "./program.ts";

const podwayd = fileURLToPath(new URL("../../deploy/bin/podwayd.mjs", import.meta.url));
const opened = new Set<BfdWorld>();

export interface BfdScene {
  readonly family: 4 | 6;
  /** A router stands between the two. */
  readonly routed: boolean;
  readonly intervalMillis: number;
}

export class BfdWorld {
  readonly scene: BfdScene;
  readonly directory: string;
  readonly #tag: string;
  readonly #programs: Program[] = [];

  private constructor(tag: string, directory: string, scene: BfdScene) {
    this.#tag = tag;
    this.scene = scene;
    this.directory = join(directory, tag);
    mkdirSync(this.directory, { recursive: true, mode: 0o755 });
  }

  static async open(tag: string, directory: string, scene: BfdScene): Promise<BfdWorld> {
    const world = new BfdWorld(tag, directory, scene);
    opened.add(world);
    await ipBatch(
      "namespaces",
      world.#hosts.map((host) => `netns add ${world.namespace(host)}`),
    );
    for (const host of world.#hosts) await world.#sysctls(host);
    if (scene.routed) {
      await world.#wire(["pw", "eth0", "10.9.1.1", "fd09:1::1"], ["r", "eth0", "10.9.1.254", "fd09:1::fe"]);
      await world.#wire(["sp", "eth0", "10.9.2.2", "fd09:2::2"], ["r", "eth1", "10.9.2.254", "fd09:2::fe"]);
      await ipBatch("routes of pw", ["route add 10.9.2.0/24 via 10.9.1.254", "route add fd09:2::/64 via fd09:1::fe"], world.namespace("pw"));
      await ipBatch("routes of sp", ["route add 10.9.1.0/24 via 10.9.2.254", "route add fd09:1::/64 via fd09:2::fe"], world.namespace("sp"));
    } else await world.#wire(["pw", "eth0", "10.9.1.1", "fd09:1::1"], ["sp", "eth0", "10.9.1.2", "fd09:1::2"]);
    await world.#wire(["pw", "eth9", "10.9.9.1", "fd09:9::1"], ["ld", "eth0", "10.9.9.2", "fd09:9::2"]);
    return world;
  }

  async close(): Promise<void> {
    opened.delete(this);
    await Promise.all(this.#programs.map((program) => program.stop("SIGKILL")));
    for (const host of this.#hosts) await run(["ip", "netns", "del", this.namespace(host)]);
  }

  get us(): string {
    return this.scene.family === 4 ? "10.9.1.1" : "fd09:1::1";
  }
  get them(): string {
    if (this.scene.routed) return this.scene.family === 4 ? "10.9.2.2" : "fd09:2::2";
    return this.scene.family === 4 ? "10.9.1.2" : "fd09:1::2";
  }
  namespace(host: string): string {
    return `t-bfd-${process.pid}-${this.#tag}-${host}`;
  }
  start(host: string, name: string, argv: readonly string[]): Program {
    const program = new Program(argv, { name, namespace: this.namespace(host), directory: this.directory });
    this.#programs.push(program);
    return program;
  }
  async ready(what: string, program: Program, answers: () => Promise<boolean>): Promise<void> {
    const seen = await awaitFact(async () => program.ended ?? ((await answers()) ? "ready" : undefined), { millis: 20_000, everyMillis: 30 });
    if (seen !== "ready") throw new Error(`${what} is not ready (${seen ?? "silent"}): ${program.tail()}`);
  }

  /** From now on the peer's packets and ours vanish without a sign: no link goes down, nothing is refused. */
  async cut(): Promise<number> {
    await must("the cut", inside(this.namespace(this.scene.routed ? "r" : "sp"), ["nft", "-f", "-"]), { input: this.scene.routed ? cutRouter : cutHost });
    return performance.now();
  }
  async mend(): Promise<number> {
    await must("the mending", inside(this.namespace(this.scene.routed ? "r" : "sp"), ["nft", "delete", "table", "inet", "cut"]));
    return performance.now();
  }

  /** podwayd as a reflector with the foreign speaker as an outside peer. */
  async startPodwayd(): Promise<Program> {
    this.document();
    const argv = [process.execPath, podwayd, "--topology", "topology.yaml", "--node", "rr", "--api", this.#socket, "--state", "state", "--log", "debug"];
    const program = this.start("pw", "podwayd", argv);
    await this.ready("podwayd", program, async () => (await getJson(this.#socket, "/v1/status")).ok);
    return program;
  }
  program(name: string): Program {
    return this.#programs.find((program) => program.name === name && program.ended === undefined)!;
  }
  /** Its document, with or without BFD. */
  document(bfd = true): void {
    const { routed, intervalMillis } = this.scene;
    const peer = {
      name: "sp",
      address: this.them,
      asn: 65_001,
      import: ["all"],
      export: ["all"],
      connectRetry: "1s",
      ...(this.scene.family === 6 && { families: ["ipv4", "ipv6"] }),
      ...(routed && { multihop: 2, source: this.us }),
      ...(bfd && { bfd: { interval: `${intervalMillis}ms` } }),
    };
    const load = { name: "ld", address: "10.9.9.2", asn: 65_009, import: ["all"], export: ["all"], connectRetry: "1s" };
    const nodes = { rr: { address: "10.9.1.1", address6: "fd09:1::1", roles: ["reflector"] } };
    const document = { podway: 1, name: "bfd", asn: 65_000, store: "none", reflection: "off", listen: { port: 179 }, nodes, peers: [peer, load] };
    writeFileSync(join(this.directory, "topology.yaml"), JSON.stringify(document, undefined, 1));
  }

  /** Undefined before the daemon has looked into its document. */
  async peer(name = "sp"): Promise<PeerView | undefined> {
    const answer = await getJson<readonly PeerView[]>(this.#socket, "/v1/peers");
    if (!answer.ok) throw new Error(answer.fault.text);
    return answer.value.find((peer) => peer.name === name);
  }
  /** Looks until it is true of the peer. */
  async until(what: string, look: (peer: PeerView) => boolean, millis = 20_000): Promise<PeerView> {
    let last: PeerView | undefined;
    const seen = await awaitFact(async () => ((last = await this.peer()) && look(last) ? last : undefined), { millis, everyMillis: 20 });
    if (!seen) throw new Error(`not within ${millis / 1000} s: ${what}; ${last?.state}: ${last?.reason}; BFD ${JSON.stringify(last?.bfd)}`);
    return seen;
  }
  both(): Promise<PeerView> {
    return this.until("BGP Established and BFD Up", (peer) => peer.state === "Established" && peer.bfd?.state === "Up");
  }
  /** Listens to our own control packets; `gaps` ends that and says how far apart they were, in milliseconds, least first. */
  async listen(): Promise<{ gaps(): Promise<readonly number[]> }> {
    const filter = `udp dst port ${this.scene.routed ? 4784 : 3784} and src ${this.us}`;
    const program = this.start("pw", "tcpdump", ["tcpdump", "-i", "eth0", "-n", "-tt", "-l", filter]);
    const lines = (): readonly string[] => readFileSync(program.log, "utf8").split("\n");
    await this.ready("tcpdump", program, async () => lines().some((line) => line.startsWith("listening on")));
    const gaps = async (): Promise<readonly number[]> => {
      await program.stop("SIGINT");
      const times = lines().flatMap((line) => (/^\d+\.\d{6} /.test(line) ? [Number(line.split(" ")[0]) * 1000] : []));
      return times
        .slice(1)
        .map((time, i) => time - times[i]!)
        .toSorted((x, y) => x - y);
    };
    return { gaps };
  }

  get #hosts(): readonly string[] {
    return ["pw", "sp", "ld", ...(this.scene.routed ? ["r"] : [])];
  }
  get #socket(): string {
    return join(this.directory, "api.sock");
  }
  async #sysctls(host: string): Promise<void> {
    const settings = ["net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"];
    await must("sysctl", inside(this.namespace(host), ["sysctl", "-q", "-w", ...settings]));
    await ipBatch("loopback", ["link set lo up"], this.namespace(host));
  }
  async #wire(...ends: readonly (readonly [host: string, device: string, ip: string, ip6: string])[]): Promise<void> {
    const [a, b] = ends.map(([host, device]) => ({ device, namespace: this.namespace(host) })) as [Wire, Wire];
    await ipBatch("link", [`link add ${a.device} netns ${a.namespace} type veth peer name ${b.device} netns ${b.namespace}`]);
    for (const [host, device, ip, ip6] of ends)
      await ipBatch(
        `addresses of ${host}`,
        [`address add ${ip}/24 dev ${device}`, `address add ${ip6}/64 dev ${device} nodad`, `link set ${device} up`],
        this.namespace(host),
      );
  }
}

interface Wire {
  readonly device: string;
  readonly namespace: string;
}

const cutHost = `table inet cut {
  chain in { type filter hook input priority 0; iifname "eth0" drop; }
  chain out { type filter hook output priority 0; oifname "eth0" drop; }
}
`;
const cutRouter = `table inet cut {
  chain through { type filter hook forward priority 0; drop; }
}
`;

export async function closeBfdWorlds(): Promise<void> {
  for (const world of opened) await world.close();
}

/** Removes what runs that were killed have left. */
export async function removeBfdRemains(): Promise<void> {
  for (const line of (await must("namespaces", ["ip", "netns", "list"])).split("\n")) {
    const name = line.split(" ")[0]!,
      pid = /^t-bfd-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await run(["ip", "netns", "del", name]);
  }
}
