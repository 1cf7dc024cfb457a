/**
 * A flannel network as its etcd holds it → a topology document in which every node keeps its subnet. Facts: flannel's
 * pkg/subnet/config.go, pkg/subnet/etcd/registry.go, pkg/lease/lease.go. Go reads JSON keys in any capitals, and so does this.
 */
import { stringify } from "yaml";
import { type CallerFault, callerFault, failed, ok, type Outcome } from "#base/fault.ts";
import { type Ip, parseIp } from "#base/ip.ts";
import { contains, parsePrefix, type Prefix, prefixParts } from "#base/prefix.ts";

export interface FlannelKey {
  /** Last part of the key: `10.5.52.0-24`, or `10.5.52.0-24&fd00:0:0:1::-64`. */
  readonly name: string;
  readonly value: string;
}

export interface FlannelOptions {
  /** Name of the new cluster. */
  readonly cluster: string;
  /** Where it will keep its own data: the endpoints, as an operator writes them. */
  readonly endpoints: readonly string[];
  /** Public address → node name; others are named after their address. */
  readonly names: ReadonlyMap<string, string>;
}

export interface Imported {
  /** YAML, to be read and applied. */
  readonly text: string;
  /** What could not be taken over as it is, one sentence each. */
  readonly warnings: readonly string[];
}

interface Node {
  readonly name: string;
  readonly address: Ip;
  readonly address6: Ip | undefined;
  readonly subnet: Prefix | undefined;
  readonly subnet6: Prefix | undefined;
}
interface Network {
  readonly cidr: Prefix;
  readonly nodePrefix: number;
}

/** The document, or why there is none. `config`: the value of `<prefix>/config`; `keys`: those under `<prefix>/subnets/`. */
export function importFlannel(config: string, keys: readonly FlannelKey[], options: FlannelOptions): Outcome<Imported, CallerFault> {
  const read = objectOf(config);
  if (!read) return failed(callerFault("import.bad-config", "flannel's config is no JSON object: is this its prefix?"));
  const ipv4 = read.enableipv4 === false ? undefined : networkOf(read.network, read.subnetlen, 4),
    ipv6 = read.enableipv6 === true ? networkOf(read.ipv6network, read.ipv6subnetlen, 6) : undefined;
  if (!ipv4 && !ipv6) return failed(callerFault("import.bad-config", "flannel's config has no Network that is a prefix"));
  const warnings: string[] = [];
  const backend = backendOf(lowered(read.backend), warnings);
  if (!backend.ok) return backend;
  for (const key of ["subnetmin", "subnetmax", "ipv6subnetmin", "ipv6subnetmax"])
    if (read[key] !== undefined) warnings.push(`${key} ${JSON.stringify(read[key])} is not taken over: nodes may lease from the whole network`);
  const nodes = keys.flatMap((key) => nodeOf(key, options.names, warnings));
  const of = (read: (node: Node) => Prefix | undefined): PoolParts["subnets"] => nodes.map((node) => [node.name, read(node)] as const),
    second = backendOfIpv6(backend.value, ipv4 !== undefined);
  const pools = [
    ...(ipv4 ? [poolOf({ name: "flannel", network: ipv4, backend: backend.value, subnets: of(({ subnet }) => subnet) }, warnings)] : []),
    ...(ipv6 ? [poolOf({ name: "flannel6", network: ipv6, backend: second, subnets: of(({ subnet6 }) => subnet6) }, warnings)] : []),
  ];
  const document = {
    podway: 1,
    name: options.cluster,
    store: { etcd: { endpoints: [...options.endpoints] } },
    reflection: "off", // flannel has no BGP
    pools,
    nodes: Object.fromEntries(nodes.map(({ name, address, address6 }) => [name, { address, ...(address6 && { address6 }) }])),
  };
  return ok({ text: stringify(document, { lineWidth: 160 }), warnings });
}

/** flannel's rule: 24 (64), or two more than a network that is small. */
function networkOf(cidr: unknown, length: unknown, family: 4 | 6): Network | undefined {
  const parsed = typeof cidr === "string" ? parsePrefix(cidr, true) : undefined;
  if (!parsed || parsed.includes(":") !== (family === 6)) return undefined;
  const own = prefixParts(parsed).length,
    usual = family === 4 ? 24 : 64,
    small = family === 4 ? 22 : 62;
  return { cidr: parsed, nodePrefix: typeof length === "number" && length > 0 ? length : own <= small ? usual : own + 2 };
}

/** UDP ports of VXLAN: RFC 7348's, and Linux's own default, which flannel takes. */
const standardPort = 4789,
  kernelPort = 8472;
/** Where flannel's tools look for what a node has. */
const subnetEnv = "/run/flannel/subnet.env";

type Backend = Readonly<Record<string, unknown>>;

/** vxlan and host-gw go on as they are; the types that only lease become host-gw with a sentence; the rest has no like here. */
function backendOf(backend: Readonly<Record<string, unknown>> | undefined, warnings: string[]): Outcome<Backend, CallerFault> {
  const type = typeof backend?.type === "string" ? backend.type : "udp";
  if (type === "host-gw") return ok({ backend: "host-gw" });
  if (type !== "vxlan") {
    const text = `flannel's backend ${type} has no like here; change flannel to vxlan or host-gw first, or write the pool by hand`;
    return failed(callerFault("import.backend", text));
  }
  if (backend?.gbp === true) warnings.push("GBP is not taken over: packets carry no group");
  if (backend?.learning === true) warnings.push("Learning is not taken over: who is where comes from the store alone");
  const theirs = typeof backend?.port === "number" && backend.port > 0 ? backend.port : kernelPort;
  // One VNI has one device per port: with another port ours stands beside flannel's, and no packet is lost between the two.
  const port = theirs === standardPort ? kernelPort : standardPort;
  warnings.push(`tunnels use UDP port ${port} instead of flannel's ${theirs}, so that both can be there at once: let it pass between the nodes`);
  return ok({
    backend: "vxlan",
    vni: typeof backend?.vni === "number" ? backend.vni : 1,
    port,
    crossSubnet: backend?.directrouting === true,
    ...(typeof backend?.mtu === "number" && backend.mtu > 0 && { mtu: backend.mtu - 50 }),
  });
}

/** One VNI belongs to one pool: beside an IPv4 pool the IPv6 pool takes the next. */
function backendOfIpv6(backend: Backend, isSecond: boolean): Backend {
  return isSecond && typeof backend.vni === "number" ? { ...backend, vni: backend.vni + 1 } : backend;
}

interface PoolParts {
  readonly name: string;
  readonly network: Network;
  readonly backend: Backend;
  readonly subnets: readonly (readonly [string, Prefix | undefined])[];
}

function poolOf({ name, network: { cidr, nodePrefix }, backend, subnets }: PoolParts, warnings: string[]): object {
  const reservations: Record<string, Prefix> = {};
  for (const [node, subnet] of subnets) {
    if (subnet === undefined) continue;
    const isOf = contains(cidr, subnet) && prefixParts(subnet).length === nodePrefix;
    if (isOf) reservations[node] = subnet;
    else warnings.push(`node ${node} does not keep ${subnet}: flannel's config is now ${cidr} in pieces of /${nodePrefix}`);
  }
  return { name, cidr, nodePrefix, ...backend, masquerade: true, subnetEnv, reservations };
}

/** A lease or a reservation: they differ only in whether they end, and from now on neither does. */
function nodeOf({ name, value }: FlannelKey, names: ReadonlyMap<string, string>, warnings: string[]): Node[] {
  const match = /^(\d+\.\d+\.\d+\.\d+)-(\d+)(?:&([a-f\d:]+)-(\d+))?$/.exec(name),
    attributes = objectOf(value);
  const address = typeof attributes?.publicip === "string" ? parseIp(attributes.publicip) : undefined,
    address6 = typeof attributes?.publicipv6 === "string" ? parseIp(attributes.publicipv6) : undefined;
  if (!match || !address) {
    warnings.push(`the key ${name} is left out: it is no subnet with a public address`);
    return [];
  }
  const own = names.get(address) ?? `node-${address.replaceAll(/[.:]+/g, "-")}`;
  const subnet = parsePrefix(`${match[1]}/${match[2]}`),
    subnet6 = match[3] === undefined ? undefined : parsePrefix(`${match[3]}/${match[4]}`);
  return [{ name: own, address, address6, subnet, subnet6 }];
}

/** An object with its keys in lower case. */
function objectOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return lowered(JSON.parse(text));
  } catch {
    return undefined;
  }
}
function lowered(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key.toLowerCase(), each]));
}
