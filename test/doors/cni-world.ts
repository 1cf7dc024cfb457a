/** Three nodes on one switch, each with a podwayd and the plugin installed as a user installs it, and an etcd: routed and overlay pools. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AddressView, podPaths } from "#daemon/pod-control.ts";
import { Namespace } from "../contract/kernel-netns.ts";
import { DaemonProcess, until } from "../daemon/daemon-process.ts";

const names = ["n1", "n2", "n3"] as const;
export const stockPlugins = "/usr/lib/cni";

const document = `podway: 1
name: cni
asn: 64512
store: { etcd: { endpoints: ["http://10.0.0.1:2379"], prefix: /podway/cni } }
pools:
  - { name: routed, cidr: 10.42.0.0/16, backend: bgp, pods: { pair: six, coolDown: 1s } }
  - { name: six, cidr: "fd42::/48", backend: bgp, pods: { coolDown: 1s } }
  - { name: overlay, cidr: 10.44.0.0/16, backend: vxlan, vni: 44, pods: { coolDown: 1s } }
  - { name: stock, cidr: 10.46.0.0/16, backend: bgp, pods: { coolDown: 0, keep: 0 } }
nodes:
${names.map((name, at) => `  ${name}: { address: 10.0.0.${at + 1}, address6: "fd00::${at + 1}" }`).join("\n")}
`;

export interface CniNode {
  readonly name: string;
  readonly address: string;
  readonly namespace: Namespace;
  readonly daemon: DaemonProcess;
  readonly directory: string;
  /** Folder of networks: podway (routed, both families) and wide (overlay). Runtimes that take one take the first by name. */
  readonly networks: string;
  readonly plugins: string;
  start(): Promise<void>;
}

export class CniWorld {
  readonly nodes: readonly [CniNode, CniNode, CniNode];
  readonly directory: string;
  readonly #switch: Namespace;
  readonly #etcd: ChildProcess;

  private constructor(directory: string, bridge: Namespace, etcd: ChildProcess, nodes: readonly CniNode[]) {
    this.directory = directory;
    this.#switch = bridge;
    this.#etcd = etcd;
    this.nodes = nodes as [CniNode, CniNode, CniNode];
  }

  static async make(): Promise<CniWorld> {
    const directory = mkdtempSync(join(tmpdir(), "pwc-")),
      bridge = new Namespace("cnisw");
    bridge.ip("link add br0 type bridge");
    bridge.ip("link set br0 up");
    const spaces = names.map((name, at) => {
      const space = new Namespace(`cni-${name}`);
      bridge.ip(`link add p${at} type veth peer name eth0 netns ${space.name}`);
      bridge.ip(`link set p${at} master br0 up`);
      for (const line of [`addr add 10.0.0.${at + 1}/24 dev eth0`, `-6 addr add fd00::${at + 1}/64 dev eth0 nodad`, "link set eth0 up"]) space.ip(line);
      return space;
    });
    const urls = [
      "--listen-client-urls",
      "http://10.0.0.1:2379",
      "--advertise-client-urls",
      "http://10.0.0.1:2379",
      "--listen-peer-urls",
      "http://127.0.0.1:2380",
    ];
    const etcd = spawn("ip", ["netns", "exec", spaces[0]!.name, "etcd", "--data-dir", join(directory, "etcd"), ...urls], { stdio: "ignore" });
    const world = new CniWorld(
      directory,
      bridge,
      etcd,
      names.map((name, at) => makeNode(name, spaces[at]!, { at, directory: join(directory, name) })),
    );
    try {
      await Promise.all(world.nodes.map((node) => node.start()));
      for (const node of world.nodes) {
        const where = ["--bin", node.plugins, "--conf", node.networks, "--socket", node.daemon.api, "--state", node.daemon.state];
        await node.daemon.podway("cni", "install", ...where, "--pools", "routed,six");
        await node.daemon.podway("cni", "install", ...where, "--pools", "overlay", "--network", "wide");
        // Ours makes no loopback: runtimes call the stock one.
        symlinkSync(join(stockPlugins, "loopback"), join(node.plugins, "loopback"));
      }
    } catch (cause) {
      await world.remove();
      throw cause;
    }
    return world;
  }

  async remove(): Promise<void> {
    for (const { daemon } of this.nodes) await daemon.dispose();
    this.#etcd.kill("SIGKILL");
    for (const { namespace } of this.nodes) namespace.remove();
    this.#switch.remove();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function makeNode(name: string, namespace: Namespace, { at, directory }: { readonly at: number; readonly directory: string }): CniNode {
  const daemon = new DaemonProcess(name, document);
  const start = async (): Promise<void> => {
    const leave = namespace.enter();
    try {
      daemon.start();
    } finally {
      leave();
    }
    await until(
      `${name} holds its CIDRs`,
      async () => (await daemon.get<readonly { nodeCidr: string | null }[]>(podPaths.pools)).every(({ nodeCidr }) => nodeCidr !== null),
      60_000,
    );
  };
  return { name, address: `10.0.0.${at + 1}`, namespace, daemon, directory, networks: join(directory, "net.d"), plugins: join(directory, "bin"), start };
}

/** What a program printed; throws what it said if it failed. */
export function need(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}, input = ""): string {
  const ran = spawnSync(program, args, { encoding: "utf8", input, env: { ...process.env, ...env }, timeout: 120_000 });
  if (ran.status !== 0) throw new Error(`${program} ${args.join(" ").slice(0, 200)}: ${(ran.stderr || ran.stdout || String(ran.error)).trim().slice(-600)}`);
  return ran.stdout.trim();
}

export const inNode = ({ namespace }: CniNode, program: string, ...args: string[]): readonly [string, readonly string[]] => [
  "nsenter",
  [`--net=/run/netns/${namespace.name}`, program, ...args],
];

/** Containers that have addresses of this node. */
export async function holders({ daemon }: CniNode): Promise<readonly string[]> {
  const all = await daemon.get<readonly AddressView[]>(podPaths.addresses);
  return all.filter(({ state }) => state === "used").map(({ containerId }) => containerId!);
}

/** Nothing of ours is left on a node: no address in use, no link, no rule of a port. */
export async function nothingLeft(node: CniNode): Promise<string> {
  const held = await holders(node),
    links = node.namespace.json("link show").flatMap(({ ifname }) => (/^p[wc][0-9a-f]{11}$/.test(String(ifname)) ? [String(ifname)] : []));
  if (held.length + links.length > 0) throw new Error(`left: ${[...held, ...links].join(", ")}`);
  return "no address in use, no link";
}
