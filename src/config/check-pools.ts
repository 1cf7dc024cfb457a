/** Whether pools lie beside each other and beside the nodes, and whether every node can carry them. */
import { familyOf, type Ip } from "#base/ip.ts";
import { type Prefix, contains, countSubnets, overlaps, prefixFamily, prefixParts } from "#base/prefix.ts";
import type { PoolSettings } from "#base/settings.ts";
import { rangeOf } from "./address-text.ts";
import { compilePool } from "./compile.ts";
import type { DeclaredNode } from "./declared-node.ts";
import { listNames, nearestName } from "./nearest-name.ts";
import { type Finding, type Path, doubtful, wrong } from "./problem.ts";
import type { Document } from "./schema.ts";

/** Words commands use in the place of a pool's name. */
const reservedNames: readonly string[] = ["all", "none", "default"];
/** Ranges no pod can have an address in. */
const unusable: readonly string[] = ["multicast", "loopback", "linkLocal", "unspecified", "broadcast"];
/** A node's CIDR holds at least four addresses: beside the pods', the network's own and, for VXLAN, the device's. */
const spareBits = 2;

export function* checkPools(document: Document, nodes: readonly DeclaredNode[]): Iterable<Finding> {
  const leasing = nodes.filter((node) => node.isNode);
  const inUse = usedAddresses(document, nodes);
  const names = new Set<string>(),
    vnis = new Map<number, string>();
  for (const [i, entry] of document.pools.entries()) {
    const pool = compilePool(entry),
      path = ["pools", i];
    if (names.has(pool.name)) yield wrong([...path, "name"], `there is a pool ${pool.name} already; choose another name`);
    if (reservedNames.includes(pool.name)) yield wrong([...path, "name"], `${pool.name} means something else in commands; choose another name`);
    names.add(pool.name);
    yield* checkCidr(pool, path, document.pools.slice(0, i), inUse);
    yield* checkNodePrefix(pool, path, leasing.length);
    yield* checkVni(pool, path, vnis);
    yield* checkSubnetEnv(pool, path, document.pools.slice(0, i).map(compilePool));
    yield* checkFamily(pool, leasing);
    yield* checkReservations(pool, path, nodes);
    yield* checkPods(pool, [...path, "pods"], document.pools);
  }
}

interface UsedAddress {
  readonly ip: Ip;
  readonly whose: string;
}

function usedAddresses(document: Document, nodes: readonly DeclaredNode[]): readonly UsedAddress[] {
  const own = nodes.flatMap(({ name, ipv4, ipv6 }) => [ipv4, ipv6].flatMap((ip) => (ip === undefined ? [] : [{ ip, whose: `node ${name}` }])));
  return [...own, ...document.peers.flatMap(({ name, address }) => (address === undefined ? [] : [{ ip: address, whose: `peer ${name}` }]))];
}

function* checkCidr(
  pool: PoolSettings,
  path: Path,
  earlier: readonly { readonly name: string; readonly cidr: Prefix }[],
  inUse: readonly UsedAddress[],
): Iterable<Finding> {
  const at = [...path, "cidr"];
  const range = rangeOf(pool.cidr);
  if (unusable.includes(range))
    return yield wrong(at, `${pool.cidr} is ${range} space, which pods cannot use; choose private space such as 10.42.0.0/16 or fd42::/48`);
  const other = earlier.find((one) => overlaps(one.cidr, pool.cidr));
  if (other !== undefined) yield wrong(at, `${pool.cidr} overlaps ${other.cidr} of pool ${other.name}; choose a CIDR beside it`);
  const used = inUse.find((one) => contains(pool.cidr, one.ip));
  if (used !== undefined) yield wrong(at, `${pool.cidr} contains ${used.ip}, the address of ${used.whose}; choose a CIDR beside the machines' own network`);
}

function* checkNodePrefix(pool: PoolSettings, path: Path, leasing: number): Iterable<Finding> {
  const shortest = prefixParts(pool.cidr).length,
    longest = (pool.family === 4 ? 32 : 128) - spareBits;
  const { nodePrefix } = pool;
  if (shortest > longest) return yield wrong([...path, "cidr"], `${pool.cidr} has no room for pods; choose a /${longest} or larger`);
  if (nodePrefix < shortest || nodePrefix > longest)
    return yield wrong(
      [...path, "nodePrefix"],
      `one node's CIDR is a /${nodePrefix}, which ${pool.cidr} cannot give; write a nodePrefix from ${shortest} to ${longest}`,
    );
  const count = countSubnets(pool.cidr, nodePrefix);
  if (count < BigInt(leasing))
    yield doubtful(
      [...path, "cidr"],
      `${pool.cidr} gives ${count} × /${nodePrefix} to ${leasing} nodes, so some will get none; enlarge it or raise nodePrefix`,
    );
}

function* checkVni(pool: PoolSettings, path: Path, vnis: Map<number, string>): Iterable<Finding> {
  if (pool.backend !== "vxlan") {
    if (pool.vni !== undefined) yield wrong([...path, "vni"], `only backend vxlan has a vni, and this is ${pool.backend}; leave it out`);
    return;
  }
  if (pool.vni === undefined) return yield wrong(path, `backend vxlan needs vni: a number from 1 to 16777215 that no other pool has`);
  const other = vnis.get(pool.vni);
  if (other !== undefined) yield wrong([...path, "vni"], `${pool.vni} is the vni of pool ${other} already; give every vxlan pool its own`);
  vnis.set(pool.vni, pool.name);
}

/** One file has room for one pool of each family. */
function* checkSubnetEnv({ subnetEnv, family }: PoolSettings, path: Path, earlier: readonly PoolSettings[]): Iterable<Finding> {
  const other = subnetEnv === undefined ? undefined : earlier.find((one) => one.subnetEnv === subnetEnv && one.family === family);
  if (other !== undefined)
    yield wrong([...path, "subnetEnv"], `${subnetEnv} is the file of pool ${other.name} already, which is IPv${family} too; name another`);
}

/** Routes need a next hop of the pool's family on every node, tunnels one family all nodes have. */
function* checkFamily(pool: PoolSettings, leasing: readonly DeclaredNode[]): Iterable<Finding> {
  if (pool.backend === "vxlan") {
    const without6 = leasing.find((node) => node.ipv6 === undefined),
      without4 = leasing.find((node) => node.ipv4 === undefined);
    if (without6 !== undefined && without4 !== undefined)
      yield wrong(
        ["nodes", without6.name],
        `has IPv4 alone and ${without4.name} IPv6 alone, so pool ${pool.name} cannot tunnel between them; add address6`,
        "key",
      );
    return;
  }
  for (const node of leasing) {
    if (pool.family === 6 && node.ipv6 === undefined)
      yield wrong(["nodes", node.name], `pool ${pool.name} routes IPv6, and this node has no IPv6 address; add address6`, "key");
    if (pool.family === 4 && node.ipv4 === undefined)
      yield wrong(
        ["nodes", node.name],
        `pool ${pool.name} routes IPv4, and this node has no IPv4 address; write one in address and the IPv6 one in address6`,
        "key",
      );
  }
}

function* checkReservations(pool: PoolSettings, path: Path, nodes: readonly DeclaredNode[]): Iterable<Finding> {
  const taken = new Map<string, string>();
  for (const [name, cidr] of Object.entries(pool.reservations)) {
    const at = [...path, "reservations", name];
    const node = nodes.find((one) => one.name === name);
    if (node === undefined) yield wrong(at, unknownNode(name, nodes), "key");
    else if (!node.isNode) yield wrong(at, `${name} is a reflector alone and leases nothing; leave it out, or give it the role node`, "key");
    if (prefixFamily(cidr) !== pool.family || !contains(pool.cidr, cidr)) yield wrong(at, `${cidr} lies outside ${pool.cidr}; choose a CIDR of this pool`);
    else if (prefixParts(cidr).length !== pool.nodePrefix)
      yield wrong(at, `${cidr} is not as long as one node's CIDR; write one of length /${pool.nodePrefix}`);
    const other = taken.get(cidr);
    if (other !== undefined) yield wrong(at, `${cidr} is reserved for ${other} already; choose another CIDR`);
    taken.set(cidr, name);
  }
}

/** Ranges, gateway and pair of a pool's addresses. */
function* checkPods(pool: PoolSettings, path: Path, pools: readonly { readonly name: string; readonly cidr: Prefix }[]): Iterable<Finding> {
  const { pods } = pool;
  if (pods === undefined) return;
  for (const key of ["ranges", "exclude", "reserve"] as const)
    for (const [i, { first, last }] of pods[key].entries())
      if (!contains(pool.cidr, first) || !contains(pool.cidr, last))
        yield wrong([...path, key, i], `${first}-${last} lies outside ${pool.cidr}; choose a range of this pool`);
  if (pods.gateway !== undefined && familyOf(pods.gateway) !== pool.family)
    yield wrong([...path, "gateway"], `${pods.gateway} is not of the family of ${pool.cidr}; choose one that is`);
  for (const [i, { destination, gateway }] of pods.routes.entries())
    if (prefixFamily(destination) !== pool.family || (gateway !== undefined && familyOf(gateway) !== pool.family))
      yield wrong([...path, "routes", i], `${destination} and its gateway must be of the family of ${pool.cidr}`);
  if (pods.roam === true && pods.keepSeconds === 0)
    yield wrong([...path, "roam"], "an address that is not kept waits for nobody; leave keep out, or set a time such as 1d");
  if (pods.pair === undefined) return;
  const pair = pools.find(({ name }) => name === pods.pair);
  if (pair === undefined)
    yield wrong([...path, "pair"], `there is no pool ${JSON.stringify(pods.pair)}; pools: declares ${listNames(pools.map(({ name }) => name))}`);
  else if (prefixFamily(pair.cidr) === pool.family)
    yield wrong([...path, "pair"], `pool ${pair.name} has the family of this one; a pair is one pool of IPv4 and one of IPv6`);
}

/** `there is no node "n3"; did you mean "n2"?` */
export function unknownNode(name: string, nodes: readonly DeclaredNode[]): string {
  const names = nodes.map((node) => node.name);
  const near = nearestName(name, names);
  return `there is no node ${JSON.stringify(name)}; ${near === undefined ? `nodes: declares ${listNames(names)}` : `did you mean ${JSON.stringify(near)}?`}`;
}
