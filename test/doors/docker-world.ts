/** Two nodes on one link, each with a podwayd and a dockerd, and an etcd beside: what a small site has. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PoolView, podPaths } from "#daemon/pod-control.ts";
import { Namespace } from "../contract/kernel-netns.ts";
import { DaemonProcess, until } from "../daemon/daemon-process.ts";
import { DockerEngine } from "./docker-engine.ts";

const etcdPort = 2379;
const names = ["n1", "n2"] as const;

const document = `podway: 1
name: doors
asn: 64512
store: { etcd: { endpoints: ["http://10.0.0.1:${etcdPort}"], prefix: /podway/doors } }
pools:
  - { name: routed, cidr: 10.42.0.0/16, backend: bgp, pods: { pair: six, coolDown: 1s } }
  - { name: six, cidr: "fd42::/48", backend: bgp, pods: { coolDown: 1s } }
  - { name: overlay, cidr: 10.44.0.0/16, backend: vxlan, vni: 44, pods: { coolDown: 1s } }
  - { name: small, cidr: 10.45.0.0/24, nodePrefix: 29, backend: bgp, pods: { coolDown: 0, keep: 0 } }
nodes:
  n1: { address: 10.0.0.1, address6: "fd00::1" }
  n2: { address: 10.0.0.2, address6: "fd00::2" }
`;

export interface DockerNode {
  readonly name: string;
  readonly address: string;
  readonly namespace: Namespace;
  readonly daemon: DaemonProcess;
  readonly engine: DockerEngine;
  /** Name of the driver: the plugin socket's. */
  readonly driver: string;
  startDaemon(): Promise<void>;
}

export class DockerWorld {
  readonly nodes: readonly [DockerNode, DockerNode];
  readonly #directory: string;
  readonly #etcd: ChildProcess;

  private constructor(directory: string, etcd: ChildProcess, nodes: readonly DockerNode[]) {
    this.#directory = directory;
    this.#etcd = etcd;
    this.nodes = nodes as [DockerNode, DockerNode];
  }

  static async make(): Promise<DockerWorld> {
    const directory = mkdtempSync(join(tmpdir(), "pwd-"));
    const spaces = names.map((name) => new Namespace(`doors-${name}`));
    spaces[0]!.wire(spaces[1]!);
    for (const [at, space] of spaces.entries()) {
      space.ip(`addr add 10.0.0.${at + 1}/24 dev eth0`);
      space.ip(`-6 addr add fd00::${at + 1}/64 dev eth0 nodad`);
    }
    const etcdArgs = [
      "--data-dir",
      join(directory, "etcd"),
      "--listen-client-urls",
      `http://10.0.0.1:${etcdPort}`,
      "--listen-peer-urls",
      "http://127.0.0.1:2380",
    ];
    const etcd = spawn("nsenter", [`--net=/run/netns/${spaces[0]!.name}`, "etcd", ...etcdArgs, "--advertise-client-urls", `http://10.0.0.1:${etcdPort}`], {
      stdio: "ignore",
    });
    const nodes = names.map((name, at) => makeNode(name, spaces[at]!, join(directory, name)));
    const world = new DockerWorld(directory, etcd, nodes);
    try {
      await Promise.all(nodes.flatMap((node) => [node.startDaemon(), node.engine.start()]));
    } catch (cause) {
      const said = nodes.map(
        ({ name, daemon }) =>
          `${name}: ${daemon.stderr}${daemon.log
            .slice(-5)
            .map(({ text }) => text)
            .join("; ")}`,
      );
      await world.remove();
      throw new Error(`${(cause as Error).message}\n${said.join("\n")}`, { cause });
    }
    return world;
  }

  async remove(): Promise<void> {
    for (const { engine } of this.nodes) await engine.dispose();
    for (const { daemon } of this.nodes) await daemon.dispose();
    this.#etcd.kill("SIGKILL");
    for (const { namespace } of this.nodes) namespace.remove();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function makeNode(name: string, namespace: Namespace, directory: string): DockerNode {
  const daemon = new DaemonProcess(name, document);
  const driver = `podway-${name}-${process.pid}`;
  const startDaemon = async (): Promise<void> => {
    const leave = namespace.enter();
    try {
      daemon.start("--docker", `/run/docker/plugins/${driver}.sock`);
    } finally {
      leave();
    }
    await until(
      `${name} holds its CIDRs`,
      async () => (await daemon.get<readonly PoolView[]>(podPaths.pools)).every(({ nodeCidr }) => nodeCidr !== null),
      60_000,
    );
  };
  return {
    name,
    address: name === "n1" ? "10.0.0.1" : "10.0.0.2",
    namespace,
    daemon,
    engine: new DockerEngine(namespace.name, directory),
    driver,
    startDaemon,
  };
}
