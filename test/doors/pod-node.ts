/** One node with an etcd, asked over its control socket and by its installed plugin: what the model and the killer work on. */
import { spawn } from "node:child_process";
import { request } from "node:http";
import { join } from "node:path";
import { DaemonProcess, until } from "../daemon/daemon-process.ts";
import { etcdStore, NodeWorld } from "../daemon/node-world.ts";

const document = (store: string): string => `podway: 1
name: t
asn: 64512
store: ${store}
reflection: off
pools:
  - { name: v4, cidr: 10.42.0.0/16, nodePrefix: 24, backend: host-gw, pods: { pair: v6, coolDown: 0, keep: 0 } }
  - { name: v6, cidr: "fd42::/48", backend: host-gw, pods: { coolDown: 0, keep: 0 } }
nodes:
  n1: { address: 10.0.0.21, address6: "fd00::21" }
`;

export interface Reply<T> {
  /** 0: the daemon went away before it answered. */
  readonly status: number;
  readonly body: T & { readonly error?: { readonly code: string; readonly text: string } };
}

export class PodNode {
  readonly world: NodeWorld;
  readonly daemon: DaemonProcess;

  private constructor(world: NodeWorld, daemon: DaemonProcess) {
    this.world = world;
    this.daemon = daemon;
  }

  static async make(label: string): Promise<PodNode> {
    const world = await NodeWorld.make(label);
    world.namespace.ip("-6 addr add fd00::21/64 dev eth0 nodad");
    const node = new PodNode(world, new DaemonProcess("n1", document(etcdStore(world.etcd.url))));
    await node.start();
    const { daemon } = node;
    await daemon.podway("cni", "install", "--bin", node.plugins, "--conf", join(daemon.directory, "net.d"), "--socket", daemon.api, "--state", daemon.state);
    return node;
  }

  get plugins(): string {
    return join(this.daemon.directory, "bin");
  }
  async start(): Promise<void> {
    this.daemon.start();
    await until("pools are held", async () => (await this.daemon.get<{ ready: boolean }>("/v1/pods/ready")).ready);
  }
  async remove(): Promise<void> {
    await this.daemon.dispose();
    await this.world.remove();
  }

  ask<T>(method: string, path: string, body?: unknown): Promise<Reply<T>> {
    return new Promise((resolve) => {
      const sent = request({ socketPath: this.daemon.api, method, path }, (response) => {
        const chunks: Buffer[] = [];
        response
          .on("data", (chunk: Buffer) => chunks.push(chunk))
          .on("end", () => {
            const text = Buffer.concat(chunks).toString();
            resolve({ status: response.statusCode!, body: JSON.parse(text === "" ? "{}" : text) as Reply<T>["body"] });
          });
        response.on("error", () => resolve({ status: 0, body: {} as Reply<T>["body"] }));
      });
      sent.on("error", () => resolve({ status: 0, body: {} as Reply<T>["body"] }));
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** The plugin as a runtime runs it. */
  plugin(command: string, of: { readonly id: string; readonly netns: string }): Promise<{ readonly code: number | null; readonly out: string }> {
    const env = { PATH: process.env["PATH"], CNI_COMMAND: command, CNI_CONTAINERID: of.id, CNI_NETNS: of.netns, CNI_IFNAME: "eth0" };
    const config = { cniVersion: "1.0.0", name: "net", type: "podway-cni", socket: this.daemon.api, spool: join(this.daemon.state, "cni-spool") };
    return new Promise((resolve) => {
      const child = spawn(join(this.plugins, "podway-cni"), [], { env, stdio: ["pipe", "pipe", "inherit"] });
      let out = "";
      child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      child.on("close", (code) => resolve({ code, out }));
      child.stdin.end(JSON.stringify(config));
    });
  }
}
