/** Machines on one link, each a network namespace with a daemon of its own, an etcd in their middle, and a wire to it for each that can be cut. */
import { request } from "node:http";
import { connect, createServer, type Server, type Socket } from "node:net";
import { type AllocationView, type AttachmentView, type AuditView, podPaths, type PoolView } from "#daemon/pod-control.ts";
import { Namespace } from "../contract/kernel-netns.ts";
import { type EtcdServer, startEtcd } from "../contract/store-etcd-server.ts";
import { DaemonProcess, until } from "./daemon-process.ts";

export interface Reply<T> {
  readonly status: number;
  readonly body: T & { readonly error?: { readonly code: string; readonly text: string } };
}

/** One machine: its address is 10.0.0.<index + 1>, the middle's 10.0.0.254. */
export class RoamingNode {
  readonly name: string;
  readonly namespace: Namespace;
  readonly daemon: DaemonProcess;
  readonly #proxy: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  constructor(name: string, namespace: Namespace, daemon: DaemonProcess, etcd: { readonly port: number; readonly listen: number }) {
    this.name = name;
    this.namespace = namespace;
    this.daemon = daemon;
    this.#proxy = createServer((from) => {
      if (this.#isCut) return void from.destroy();
      const to = connect(etcd.port, "127.0.0.1");
      for (const end of [from, to]) {
        this.#sockets.add(end);
        end.on("error", () => undefined).on("close", () => [from, to].forEach((each) => each.destroy()));
      }
      from.pipe(to).pipe(from);
    }).listen(etcd.listen, "10.0.0.254");
  }

  start(): void {
    const leave = this.namespace.enter();
    try {
      this.daemon.start();
    } finally {
      leave();
    }
  }
  /** Nothing passes between this machine and the store any more, or everything again. */
  cut(isCut: boolean): void {
    this.#isCut = isCut;
    if (isCut) for (const socket of this.#sockets) socket.destroy();
  }
  ask<T>(method: string, path: string, body?: unknown): Promise<Reply<T>> {
    return new Promise((resolve, reject) => {
      const sent = request({ socketPath: this.daemon.api, method, path }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => resolve({ status: response.statusCode!, body: JSON.parse(Buffer.concat(chunks).toString()) as Reply<T>["body"] }));
      });
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
  attach(containerId: string, pod: Namespace, more: object): Promise<Reply<AttachmentView>> {
    return this.ask("POST", podPaths.attachments, { containerId, ifname: "eth0", netns: `/run/netns/${pod.name}`, ...more });
  }
  allocate(containerId: string, more: object): Promise<Reply<AllocationView>> {
    return this.ask("POST", podPaths.addresses, { containerId, ifname: "eth0", ...more });
  }
  detach(containerId: string): Promise<Reply<{ found: boolean }>> {
    return this.ask("DELETE", `${podPaths.attachments}?containerId=${containerId}&ifname=eth0`);
  }
  async audit(): Promise<readonly AuditView[]> {
    return (await this.ask<readonly AuditView[]>("GET", podPaths.addressesAudit)).body;
  }
  async who(address: string): Promise<string> {
    return (await this.ask<{ text: string }>("GET", `${podPaths.addressWho}?address=${address}`)).body.text;
  }
  async isReady(): Promise<boolean> {
    const { status, body } = await this.ask<readonly PoolView[]>("GET", podPaths.pools);
    return status === 200 && body.every(({ nodeCidr }) => nodeCidr !== null);
  }
  async dispose(): Promise<void> {
    await this.daemon.dispose();
    this.cut(true);
    await new Promise((resolve) => this.#proxy.close(resolve));
    this.namespace.remove();
  }
}

export class RoamingWorld {
  readonly etcd: EtcdServer;
  readonly nodes: readonly RoamingNode[];
  readonly #middle: Namespace;
  readonly #leave: () => void;

  private constructor(middle: Namespace, leave: () => void, etcd: EtcdServer, nodes: readonly RoamingNode[]) {
    this.#middle = middle;
    this.#leave = leave;
    this.etcd = etcd;
    this.nodes = nodes;
  }

  /** `document`: what follows `store:`, the same for all. */
  static async make(label: string, names: readonly string[], document: string): Promise<RoamingWorld> {
    const middle = new Namespace(`${label}-m`),
      leave = middle.enter();
    middle.ip("link add sw0 type bridge");
    middle.ip("addr add 10.0.0.254/24 dev sw0");
    middle.ip("link set sw0 up");
    const etcd = await startEtcd();
    const nodes = names.map((name, i) => {
      const namespace = new Namespace(`${label}-${name}`);
      middle.ip(`link add p${i} type veth peer name eth0 netns ${namespace.name}`);
      middle.ip(`link set p${i} master sw0 up`);
      namespace.ip(`addr add 10.0.0.${i + 1}/24 dev eth0`);
      namespace.ip("link set eth0 up");
      const store = `{ etcd: { endpoints: ["http://10.0.0.254:${23_790 + i}"], prefix: /podway/t } }`;
      return new RoamingNode(name, namespace, new DaemonProcess(name, `podway: 1\nname: t\nstore: ${store}\n${document}`), {
        port: etcd.port,
        listen: 23_790 + i,
      });
    });
    for (const node of nodes) node.start();
    const world = new RoamingWorld(middle, leave, etcd, nodes);
    try {
      await until("every node holds its CIDRs", async () => (await Promise.all(nodes.map((node) => node.isReady().catch(() => false)))).every(Boolean));
      return world;
    } catch (cause) {
      const said = nodes.map(
        ({ name, daemon: { log, stderr } }) =>
          `${name}: ${log
            .slice(-8)
            .map(({ text }) => text)
            .join("\n  ")}\n${stderr}`,
      );
      await world.remove();
      throw new Error(said.join("\n"), { cause });
    }
  }

  /** The claim on an address as the store has it. */
  async claim(address: string): Promise<{ readonly node: string; readonly state: string } | undefined> {
    const text = await this.etcd.ctl("get", "--print-value-only", `/podway/t/addresses/${address}`);
    return text.trim() === "" ? undefined : (JSON.parse(text) as { node: string; state: string });
  }

  async remove(): Promise<void> {
    for (const node of this.nodes) await node.dispose();
    await this.etcd.close();
    this.#leave();
    this.#middle.remove();
  }
}
