/**
 * Document → what a lab consists of: namespaces, links, processes, pods and expectations, in the order they come to be.
 * Pure: nothing is read and nothing is done here; `netns.ts` and `processes.ts` carry the plan out.
 */
import { type Family, parseIp } from "#base/ip.ts";
import { type LabKind, type LabLink, type LabMachine, labMachines, type LabSection } from "#config/lab-schema.ts";
import { type Expectation, expandExpectations } from "./expectation.ts";
import { namespaceOf, planPods, type PodPlan } from "./pod-plan.ts";

/** As much of the document as a lab needs. */
export interface LabDocument {
  readonly name: string;
  readonly nodes: Readonly<Record<string, { readonly address: string; readonly address6?: string | undefined }>>;
  readonly pools: readonly { readonly name: string; readonly cidr: string; readonly backend: string }[];
  readonly routeProtocol: number;
  readonly lab: LabSection;
}

/** Where things are on this machine; all absolute. */
export interface Places {
  /** The topology file. */
  readonly topology: string;
  /** The lab's own directory. */
  readonly home: string;
  /** The node binary and podwayd's entry. */
  readonly node: string;
  readonly podwayd: string;
}

export interface LabPlan {
  readonly lab: string;
  readonly topology: string;
  readonly home: string;
  readonly machines: readonly MachinePlan[];
  /** Lines of `ip -batch` that lay the wires, both ends straight into their namespaces. */
  readonly wires: readonly string[];
  readonly pods: readonly PodPlan[];
  readonly expectations: readonly Expectation[];
  /** Seconds until every expectation must have been seen. */
  readonly withinSeconds: number;
}

export interface MachinePlan {
  readonly name: string;
  readonly kind: LabKind;
  readonly namespace: string;
  /** Files, logs, state and sockets of the machine. */
  readonly home: string;
  /** Set before there is any link, so that links inherit them. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** Lines of `ip -n NAMESPACE -batch`. */
  readonly setup: readonly string[];
  readonly exec: readonly string[];
  readonly processes: readonly ProcessPlan[];
  /** Configuration to copy into the machine's directory, named as in the topology file. */
  readonly config: { readonly from: string; readonly to: string } | undefined;
  /** Fixed addresses, without length. */
  readonly addresses: readonly string[];
}

export interface ProcessPlan {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly log: string;
}

const defaultWithinSeconds = 60;

/** The plan of the lab `document` declares. `document.lab` has no problems (config/lab-schema.ts `labProblems`). */
export function planLab(document: LabDocument, places: Places): LabPlan {
  const context = { nodes: Object.keys(document.nodes), pools: document.pools.map((pool) => pool.name) };
  const machines = labMachines(document.lab, context);
  const links = document.lab.links ?? [];
  const pods = planPods(document, machines);
  return {
    lab: document.name,
    topology: places.topology,
    home: places.home,
    machines: machines.map((machine) => planMachine(machine, document, links, places)),
    wires: links.map((link) => wire(document.name, link)),
    pods,
    expectations: expandExpectations(document.lab.expect ?? {}, {
      families: new Map(machines.map((machine) => [machine.name, familiesOf(machine, links, pods)])),
      pods: pods.filter((pod) => "pool" in pod.source).map((pod) => pod.name),
      routeProtocol: document.routeProtocol,
    }),
    withinSeconds: document.lab.expect?.within ?? defaultWithinSeconds,
  };
}

function wire(lab: string, link: LabLink): string {
  const [a, b] = link.endpoints.map((endpoint) => endpoint.split(":")) as [[string, string], [string, string]];
  return `link add ${a[1]} netns ${namespaceOf(lab, a[0])} type veth peer name ${b[1]} netns ${namespaceOf(lab, b[0])}`;
}

function planMachine(machine: LabMachine, document: LabDocument, links: readonly LabLink[], places: Places): MachinePlan {
  const home = `${places.home}/${machine.name}`;
  const directory = places.topology.slice(0, places.topology.lastIndexOf("/"));
  const plan = {
    name: machine.name,
    kind: machine.kind,
    namespace: namespaceOf(document.name, machine.name),
    home,
    sysctls: sysctls(machine),
    setup: setup(machine, links),
    exec: machine.exec ?? [],
    config: machine.config === undefined ? undefined : { from: `${directory}/${machine.config}`, to: `${home}/${machine.kind}.conf` },
    addresses: addressesOf(machine, links),
  };
  return { ...plan, processes: processes(machine, { ...plan, places }) };
}

/**
 * Addresses are usable at once (no duplicate address detection) and asymmetric paths are let through, as between routers.
 * Forwarding on a podway node is the daemon's business, not the lab's.
 */
function sysctls(machine: LabMachine): Record<string, string> {
  const forwards = machine.kind === "router" || machine.kind === "bird" || machine.kind === "frr";
  const routing = { "net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "net.ipv6.conf.default.forwarding": "1" };
  const all = {
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    ...(forwards ? routing : {}),
    ...machine.sysctls,
  };
  return Object.fromEntries(Object.entries(all).map(([key, value]) => [key, String(value)]));
}

function setup(machine: LabMachine, links: readonly LabLink[]): string[] {
  const lines = ["link set lo up"];
  const bridge = machine.kind === "bridge";
  if (bridge) lines.push("link add br0 type bridge stp_state 0 mcast_snooping 0", "link set br0 up");
  // A pod's addresses (product §6.12) stand on its eth0, which attaching makes.
  if (machine.node === undefined) for (const address of machine.addresses ?? []) lines.push(`addr add ${address} dev lo`);
  for (const link of links) {
    for (const [end, endpoint] of link.endpoints.entries()) {
      const [name, device] = endpoint.split(":") as [string, string];
      if (name !== machine.name) continue;
      for (const address of [link.ipv4?.[end], link.ipv6?.[end]]) if (address) lines.push(`addr add ${address} dev ${device}`);
      lines.push(`link set ${device} ${bridge ? "master br0 " : ""}${link.mtu === undefined ? "" : `mtu ${link.mtu} `}up`);
    }
  }
  for (const route of machine.routes ?? []) lines.push(`route add ${route.to} via ${route.via}`);
  return lines;
}

function addressesOf(machine: LabMachine, links: readonly LabLink[]): string[] {
  const own = links.flatMap((link) =>
    link.endpoints.flatMap((endpoint, end) => (endpoint.split(":")[0] === machine.name ? [link.ipv4?.[end], link.ipv6?.[end]] : [])),
  );
  return [...own, ...(machine.addresses ?? [])].filter((text) => typeof text === "string").map((text) => parseIp(text.split("/")[0]!)!);
}

function familiesOf(machine: LabMachine, links: readonly LabLink[], pods: readonly PodPlan[]): ReadonlySet<Family> {
  const fixed = addressesOf(machine, links).map((address) => (address.includes(":") ? 6 : 4));
  const leased = pods.filter((pod) => pod.name === machine.name && "pool" in pod.source).map((pod) => pod.family);
  return new Set<Family>([...fixed, ...leased]);
}

/** In the order they are started: the others speak to zebra. */
export const frrDaemons = ["zebra", "staticd", "bgpd"] as const;

/** What a machine runs, by its kind. */
function processes(machine: LabMachine, at: { readonly home: string; readonly places: Places }): ProcessPlan[] {
  const { home, places } = at;
  const one = (name: string, argv: readonly string[]): ProcessPlan => ({ name, argv, env: machine.env ?? {}, log: `${home}/${name}.log` });
  switch (machine.kind) {
    case "podway":
      return [
        one("podwayd", [
          places.node,
          places.podwayd,
          "--topology",
          places.topology,
          "--node",
          machine.name,
          "--api",
          apiSocket(home),
          "--state",
          `${home}/state`,
        ]),
      ];
    case "etcd":
      return [
        one("etcd", [
          "etcd",
          "--name",
          machine.name,
          "--data-dir",
          `${home}/data`,
          "--listen-client-urls",
          "http://0.0.0.0:2379",
          "--advertise-client-urls",
          "http://127.0.0.1:2379",
          "--listen-peer-urls",
          "http://127.0.0.1:2380",
          "--initial-advertise-peer-urls",
          "http://127.0.0.1:2380",
          "--initial-cluster",
          `${machine.name}=http://127.0.0.1:2380`,
        ]),
      ];
    case "bird":
      return [one("bird", ["bird", "-f", "-c", `${home}/bird.conf`, "-s", birdSocket(home), "-P", `${home}/bird.pid`])];
    case "frr":
      return frrDaemons.map((daemon) =>
        one(daemon, [`/usr/lib/frr/${daemon}`, "-z", `${home}/zserv.api`, "-i", `${home}/${daemon}.pid`, "--vty_socket", home, "-A", "127.0.0.1"]),
      );
    case "host":
    case "bridge":
    case "router":
      return [];
  }
}

/** The control socket of the daemon whose directory is `home`. */
export function apiSocket(home: string): string {
  return `${home}/podwayd.sock`;
}
export function birdSocket(home: string): string {
  return `${home}/bird.ctl`;
}
