/**
 * A bridge in a namespace of its own and a namespace per host behind it. The bridge's namespace also has the addresses of our
 * own BGP clients, which are sockets of this process (namespace.ts). Everything is named after this process, so that what a
 * killed run left behind is known and removed by the next.
 */
import { existsSync } from "node:fs";
import type { Ip } from "#base/ip.ts";
import { ipBatch, must, run } from "#lab/command.ts";

const prefix = "t-io";
export const clientCount = 8;
const open = new Set<Network>();

export class Network {
  readonly tag: string;
  readonly #hosts: readonly string[];

  private constructor(tag: string, hosts: readonly string[]) {
    this.tag = tag;
    this.#hosts = hosts;
  }

  static async open(tag: string, hosts: readonly string[]): Promise<Network> {
    const network = new Network(tag, hosts);
    open.add(network);
    const names = [network.bridge, ...hosts.map((host) => network.namespace(host))];
    await ipBatch(
      "namespaces",
      names.map((name) => `netns add ${name}`),
    );
    await ipBatch("bridge", ["link set lo up", "link add br0 type bridge forward_delay 0", "link set br0 up", ...network.#clientAddresses()], network.bridge);
    for (const [index, host] of hosts.entries()) await network.#attach(host, index);
    return network;
  }

  get bridge(): string {
    return `${prefix}-${process.pid}-${this.tag}-sw`;
  }
  namespace(host: string): string {
    return `${prefix}-${process.pid}-${this.tag}-${host}`;
  }
  address(host: string, family: 4 | 6 = 4): Ip {
    return addressOf(1 + this.#hosts.indexOf(host), family);
  }
  /** Address of one of our own clients, 1 to `clientCount`. */
  client(number: number, family: 4 | 6 = 4): Ip {
    return addressOf(100 + number, family);
  }

  async close(): Promise<void> {
    open.delete(this);
    for (const name of [...this.#hosts.map((host) => this.namespace(host)), this.bridge]) await remove(name);
  }

  #clientAddresses(): string[] {
    const numbers = Array.from({ length: clientCount }, (_, i) => i + 1);
    return numbers.flatMap((n) => [`address add ${this.client(n)}/24 dev br0`, `address add ${this.client(n, 6)}/64 dev br0 nodad`]);
  }

  async #attach(host: string, index: number): Promise<void> {
    const name = this.namespace(host);
    await must("sysctl", ["ip", "netns", "exec", name, "sysctl", "-q", "-w", "net.ipv6.conf.default.accept_dad=0"]);
    await ipBatch(`link of ${host}`, [`link add ${portOf(host)} netns ${this.bridge} type veth peer name eth0 netns ${name}`]);
    await ipBatch(`port of ${host}`, [`link set ${portOf(host)} master br0 up`], this.bridge);
    const setup = [`address add ${addressOf(index + 1, 4)}/24 dev eth0`, `address add ${addressOf(index + 1, 6)}/64 dev eth0 nodad`];
    await ipBatch(`addresses of ${host}`, ["link set lo up", ...setup, "link set eth0 up"], name);
  }
}

const portOf = (host: string): string => `p-${host}`;

function addressOf(number: number, family: 4 | 6): Ip {
  return (family === 4 ? `10.77.0.${number}` : `fd77::${number}`) as Ip;
}

/** Removes what is still there of this process, for the end that nobody planned. */
export async function closeNetworks(): Promise<void> {
  for (const network of open) await network.close();
}

/** Removes what runs that were killed have left. */
export async function removeRemains(): Promise<void> {
  for (const line of (await must("namespaces", ["ip", "netns", "list"])).split("\n")) {
    const name = line.split(" ")[0]!,
      pid = new RegExp(`^${prefix}-(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await remove(name);
  }
}

/** Whatever still lives in a namespace of ours would keep it alive unseen, so it ends first. */
async function remove(name: string): Promise<void> {
  const { stdout } = await run(["ip", "netns", "pids", name]);
  for (const pid of stdout.split("\n").filter((line) => line !== "")) await run(["kill", "-KILL", pid]);
  await run(["ip", "netns", "del", name]);
}
