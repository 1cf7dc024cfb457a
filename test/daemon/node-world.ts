/** A network namespace with an etcd in it, entered by the whole test file: what it starts, listens on and connects to is in there. */
import { Namespace } from "../contract/kernel-netns.ts";
import { type EtcdServer, startEtcd } from "../contract/store-etcd-server.ts";

export class NodeWorld {
  readonly namespace: Namespace;
  readonly etcd: EtcdServer;
  readonly #leave: () => void;

  private constructor(namespace: Namespace, etcd: EtcdServer, leave: () => void) {
    this.namespace = namespace;
    this.etcd = etcd;
    this.#leave = leave;
  }

  /** The machine has 10.0.0.21 and a neighbour 10.0.0.22 on its link, which is not there. */
  static async make(label: string): Promise<NodeWorld> {
    const namespace = new Namespace(label);
    const leave = namespace.enter();
    try {
      namespace.ip("link add eth0 type veth peer name far0");
      namespace.ip("link set far0 up");
      namespace.ip("addr add 10.0.0.21/24 dev eth0");
      namespace.ip("link set eth0 up");
      return new NodeWorld(namespace, await startEtcd(), leave);
    } catch (cause) {
      leave();
      namespace.remove();
      throw cause;
    }
  }
  async remove(): Promise<void> {
    await this.etcd.close();
    this.#leave();
    this.namespace.remove();
  }

  /** Our kernel routes, as iproute2 prints them. */
  routes(): readonly string[] {
    return this.namespace
      .ip("route show proto 117")
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
  }

  /** A claim of n2 on a CIDR of pool `gw`, as its daemon would have written it; without an etcd lease it stays. */
  async claimOfOther(cidr: string): Promise<void> {
    const record = { schema: 1, node: "n2", pool: "gw", cidr, identity: "other", address: "10.0.0.22" };
    await this.etcd.ctl("put", `/podway/t/leases/gw/${cidr.replace("/", "-")}`, JSON.stringify(record));
  }
}

/** Node n1 with a routed pool, a host-gw pool, and one iBGP neighbour on a loopback address. */
export function nodeDocument(port: number, store: string): string {
  return `podway: 1
name: t
asn: 64512
store: ${store}
reflection: off
listen: { address: 127.0.0.1, port: ${port} }
pools:
  - { name: routed, cidr: 10.42.0.0/16, backend: bgp }
  - { name: gw, cidr: 10.44.0.0/16, backend: host-gw }
nodes:
  n1: { address: 10.0.0.21 }
  n2: { address: 10.0.0.22 }
peers:
  - { name: c1, address: 127.0.0.11, asn: 64512, passive: true, nodes: "node == 'n1'" }
`;
}

export const etcdStore = (url: string, more = ""): string => `{ etcd: { endpoints: ["${url}"], prefix: /podway/t${more} } }`;
