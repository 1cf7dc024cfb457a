/** Pods' links over rtnetlink: steps of overlay/attach.ts carried out on both ends, each end through a socket in its own namespace. */
import { setTimeout as pause } from "node:timers/promises";
import { getSystemErrorMessage } from "node:util";
import { type CallerFault, callerFault, type Fault, FaultError, type WorldFault, worldFault } from "#base/fault.ts";
import type { Ip, Mac } from "#base/ip.ts";
import type { PodLink, PodLinkStep, PodRate, Side } from "#base/pod-link.ts";
import { encodeGetAddresses, decodeAddress, encodeNewAddress } from "#wire/rtnetlink-address.ts";
import { decodeLink, encodeDeleteLink, encodeGetLink, encodeNewVeth, encodeSetLink, type LinkMessage } from "#wire/rtnetlink-link.ts";
import { encodeNewNeighbour } from "#wire/rtnetlink-neighbour.ts";
import { decodeRoute, encodeLookupRoute, encodeNewRoute } from "#wire/rtnetlink-route.ts";
import { encodeNewTokenBucket, type TokenBucket } from "#wire/rtnetlink-qdisc.ts";
import { NetworkNamespace } from "./network-namespace.ts";
import { type Encode, NetlinkRequests, type Refusal } from "./netlink-requests.ts";
import { KoffiTransport } from "./netlink-socket.ts";
import { writeSysctl } from "./sysctl.ts";

/** One answer or one page of a dump of a pod's few entries. */
const socketOctets = 64 * 1024;
/** Between two looks at a route. */
const wayMillis = 10;
/** What waits for its turn on a link with a rate is at most this much late. */
const queueMillis = 25;
const errno = { exists: 17, noDevice: 19 } as const;
/** RTPROT_STATIC: what is in a pod is nobody's to sweep. */
const podRouteProtocol = 4;

interface End {
  readonly requests: NetlinkRequests;
  readonly namespace: NetworkNamespace | undefined;
}

/** What a pod's device is like in the kernel. */
export interface SeenLink {
  readonly mac: Mac | undefined;
  readonly mtu: number;
  readonly up: boolean;
  readonly addresses: readonly Ip[];
}

export class PodLinks {
  readonly #transport: KoffiTransport;
  readonly #node: NetlinkRequests;

  /** In the network namespace of the calling thread, where it stays. */
  constructor() {
    this.#transport = new KoffiTransport();
    this.#node = new NetlinkRequests(this.#transport);
  }

  close(): void {
    this.#transport.close();
  }

  /**
   * Makes the link by `steps`. `netns`: path of the pod's namespace; undefined: both ends stay here. On a fault nothing of it is left:
   * `attach.no-netns`, `attach.exists` (the pod has a device of that name), `attach.failed` (the kernel refused).
   */
  async make(link: PodLink, netns: string | undefined, steps: readonly PodLinkStep[]): Promise<Fault | undefined> {
    if (netns === undefined) return this.#makeIn(link, undefined, steps);
    const namespace = NetworkNamespace.open(netns);
    if (!namespace.ok) return namespace.fault;
    try {
      return await inNamespace(namespace.value, (end) => this.#makeIn(link, end, steps));
    } finally {
      namespace.value.close();
    }
  }

  /** Removes the node's end, and with it the pod's. True if it was there. */
  async remove(device: string): Promise<boolean> {
    const link = await find(this.#node, device);
    if (link === undefined) return false;
    const [refusal] = await this.#node.batch([(into, sequence) => encodeDeleteLink(into, sequence, link.index)]);
    if (refusal !== undefined && refusal.reason.errno !== errno.noDevice) throw new FaultError(refused(`link ${device}`, refusal));
    return refusal === undefined;
  }

  /** Devices of this namespace whose alias begins so. */
  async marked(mark: string): Promise<readonly string[]> {
    const links = await this.#node.dump((into, sequence) => encodeGetLink(into, sequence), readLink);
    return links.filter(({ alias }) => alias.startsWith(mark)).map(({ name }) => name);
  }

  /** MTU of the device that has `address`; undefined if none has, or a loopback. */
  async mtuOf(address: Ip): Promise<number | undefined> {
    const indexes = await this.#node.dump(encodeGetAddresses, (bytes, message) => {
      const read = decodeAddress(bytes, message);
      return read.ok && read.value?.address === address ? read.value.index : undefined;
    });
    const links = await this.#node.dump((into, sequence) => encodeGetLink(into, sequence), readLink);
    return links.find((link) => !link.loopback && indexes.includes(link.index))?.mtu;
  }

  /** A device of this namespace. */
  async seeNode(device: string): Promise<SeenLink | undefined> {
    return see(this.#node, device);
  }
  /** A device of the pod's namespace; a fault if that is gone. */
  async seePod(netns: string, device: string): Promise<SeenLink | undefined | Fault> {
    const namespace = NetworkNamespace.open(netns);
    if (!namespace.ok) return namespace.fault;
    try {
      return await inNamespace(namespace.value, (end) => see(end.requests, device));
    } finally {
      namespace.value.close();
    }
  }

  /** The device a packet to `target` would leave by; undefined if by none (a blackhole, or no route). */
  async wayTo(target: Ip): Promise<string | undefined> {
    const index = await this.#wayTo(target);
    if (index === undefined) return undefined;
    const links = await this.#node.dump((into, sequence) => encodeGetLink(into, sequence), readLink);
    return links.find((link) => link.index === index)?.name;
  }
  /**
   * Resolves once packets to `target` leave by `device`; false if they do not within `millis`. A device that was made again under its old
   * name took the route with it, and whoever writes routes hears of that a moment later.
   */
  async leads(target: Ip, device: string, millis: number): Promise<boolean> {
    const link = await find(this.#node, device);
    for (const end = performance.now() + millis; link !== undefined && performance.now() < end; await pause(wayMillis))
      if ((await this.#wayTo(target)) === link.index) return true;
    return false;
  }

  async #wayTo(target: Ip): Promise<number | undefined> {
    let index: number | undefined,
      length = 0;
    await this.#node.batch([(into, sequence) => encodeLookupRoute(into, sequence, target)], (bytes, message) => {
      const route = decodeRoute(bytes, message);
      if (!route.ok || route.value === undefined) return;
      index = route.value.hops[0]?.index;
      length = Number(route.value.prefix.split("/")[1]);
    });
    const isHost = length === (target.includes(":") ? 128 : 32);
    return isHost ? index : undefined;
  }

  async #makeIn(link: PodLink, pod: End | undefined, steps: readonly PodLinkStep[]): Promise<Fault | undefined> {
    // Ours by its name, which is made of the container's: left by a crash, or by a container that was started again.
    const left = await find(this.#node, link.hostDevice);
    if (left !== undefined) {
      if (left.alias !== "" && left.alias !== link.alias) return exists(`this node has a device ${link.hostDevice} that is not this pod's: ${left.alias}`);
      await this.remove(link.hostDevice);
    }
    // Looked for after that: the other end of what was left has the name.
    if (pod !== undefined && (await find(pod.requests, link.device)) !== undefined)
      return exists(`the pod's namespace has a device ${link.device} already; choose another interface name, or remove it`);
    const ends: Readonly<Record<Side, End>> = {
      node: { requests: this.#node, namespace: undefined },
      pod: pod ?? { requests: this.#node, namespace: undefined },
    };
    const fault = await run(steps, ends).catch((cause: unknown) => {
      if (cause instanceof FaultError) return cause.fault;
      throw cause;
    });
    if (fault !== undefined) await this.remove(link.hostDevice).catch(() => undefined);
    return fault;
  }
}

/** Addresses of a namespace but link-local and loopback ones; undefined if it is gone. */
export async function readNamespaceAddresses(path: string): Promise<readonly Ip[] | undefined> {
  const namespace = NetworkNamespace.open(path);
  if (!namespace.ok) return undefined;
  try {
    const found = await inNamespace(namespace.value, ({ requests }) =>
      requests.dump(encodeGetAddresses, (bytes, message) => {
        const address = decodeAddress(bytes, message);
        return address.ok && address.value?.linkLocal === false && !/^(127\.|::1$|fe80:)/.test(address.value.address) ? address.value.address : undefined;
      }),
    );
    return "code" in found ? undefined : found;
  } finally {
    namespace.value.close();
  }
}

async function run(steps: readonly PodLinkStep[], ends: Readonly<Record<Side, End>>): Promise<Fault | undefined> {
  const indexes = new Map<string, number>();
  for (let at = 0; at < steps.length;) {
    const step = steps[at]!;
    if (step.do === "pair") {
      const [refusal] = await ends.node.requests.batch([(into, sequence) => encodeNewVeth(into, sequence, pairOf(step.link, ends.pod.namespace))]);
      if (refusal !== undefined) return refused(`veth ${step.link.hostDevice}`, refusal);
      for (const [side, name] of [
        ["node", step.link.hostDevice],
        ["pod", step.link.device],
      ] as const) {
        const made = await find(ends[side].requests, name);
        if (made === undefined) return worldFault("attach.failed", `device ${name} vanished as soon as it was made`);
        indexes.set(`${side} ${name}`, made.index);
      }
      at++;
    } else if (step.do === "sysctl") {
      const write = (): WorldFault | undefined => writeSysctl(step);
      const { namespace } = ends[step.side];
      const done = namespace === undefined ? undefined : namespace.within(write);
      const fault = done === undefined ? write() : done.ok ? done.value : done.fault;
      // A kernel without IPv6 has none of its switches.
      if (fault !== undefined && !(fault.code === "kernel.sysctl" && step.path.startsWith("net/ipv6/"))) return fault;
      at++;
    } else {
      const { side } = step;
      let to = at;
      while (to < steps.length && isSent(steps[to]!) && (steps[to] as { side: Side }).side === side) to++;
      const part = steps.slice(at, to).filter(isSent);
      const [refusal] = await ends[side].requests.batch(part.map((each) => encode(each, indexes)));
      if (refusal !== undefined) return refused(describe(part[refusal.index]!), refusal);
      at = to;
    }
  }
  return undefined;
}

/** Steps that are messages to the kernel. */
type KernelStep = Exclude<PodLinkStep, { readonly do: "pair" | "sysctl" }>;
const isSent = (step: PodLinkStep): step is KernelStep => step.do !== "pair" && step.do !== "sysctl";

function pairOf(link: PodLink, namespace: NetworkNamespace | undefined): Parameters<typeof encodeNewVeth>[2] {
  return { name: link.hostDevice, mac: link.hostMac, mtu: link.mtu, peer: { name: link.device, mac: link.mac, namespace: namespace?.fd } };
}

function encode(step: KernelStep, indexes: ReadonlyMap<string, number>): Encode {
  const index = "side" in step && "device" in step ? indexes.get(`${step.side} ${step.device}`)! : 0;
  return (into, sequence) => {
    switch (step.do) {
      case "address":
        return encodeNewAddress(into, sequence, index, step.address, step.length, step.scope);
      case "up":
        return encodeSetLink(into, sequence, index, { up: true, ...(step.alias !== undefined && { alias: step.alias }) });
      case "neighbour":
        return encodeNewNeighbour(into, sequence, index, step.address, step.mac);
      case "rate":
        return encodeNewTokenBucket(into, sequence, index, bucketOf(step.rate));
      case "route": {
        const hops = [{ index, gateway: step.gateway, onlink: false }];
        return encodeNewRoute(into, sequence, { prefix: step.prefix, protocol: podRouteProtocol, metric: 0, hops }, true);
      }
    }
  };
}

function bucketOf({ bitsPerSecond, burst }: PodRate): TokenBucket {
  const octetsPerSecond = Math.max(1, Math.floor(bitsPerSecond / 8));
  return { octetsPerSecond, burst, limit: Math.ceil((octetsPerSecond * queueMillis) / 1000) + burst };
}

function describe(step: PodLinkStep): string {
  switch (step.do) {
    case "address":
      return `address ${step.address}/${step.length} on ${step.device}`;
    case "up":
      return `device ${step.device}`;
    case "neighbour":
      return `neighbour ${step.address} on ${step.device}`;
    case "rate":
      return `the rate of ${step.device}`;
    case "route":
      return `route ${step.prefix} on ${step.device}`;
    case "pair":
    case "sysctl":
      return step.do;
  }
}

async function inNamespace<T>(namespace: NetworkNamespace, work: (end: End) => Promise<T>): Promise<T | WorldFault> {
  const opened = namespace.within(() => new KoffiTransport(socketOctets));
  if (!opened.ok) return opened.fault;
  try {
    return await work({ requests: new NetlinkRequests(opened.value), namespace });
  } finally {
    opened.value.close();
  }
}

async function find(requests: NetlinkRequests, name: string): Promise<LinkMessage | undefined> {
  let found: LinkMessage | undefined;
  await requests.batch([(into, sequence) => encodeGetLink(into, sequence, name)], (bytes, message) => {
    const link = decodeLink(bytes, message);
    if (link.ok) found = link.value;
  });
  return found;
}

async function see(requests: NetlinkRequests, name: string): Promise<SeenLink | undefined> {
  const link = await find(requests, name);
  if (link === undefined) return undefined;
  const addresses = await requests.dump(encodeGetAddresses, (bytes, message) => {
    const address = decodeAddress(bytes, message);
    return address.ok && address.value?.index === link.index ? address.value.address : undefined;
  });
  return { mac: link.mac, mtu: link.mtu, up: link.up, addresses };
}

const readLink = (bytes: Uint8Array, message: Parameters<typeof decodeLink>[1]): LinkMessage | undefined => {
  const link = decodeLink(bytes, message);
  return link.ok ? link.value : undefined;
};

const exists = (text: string): CallerFault => callerFault("attach.exists", text);

function refused(what: string, { reason }: Refusal): Fault {
  if (reason.errno === errno.exists) return exists(`${what}: it exists already`);
  return worldFault("attach.failed", `${what}: ${reason.text || getSystemErrorMessage(-reason.errno)}`);
}
