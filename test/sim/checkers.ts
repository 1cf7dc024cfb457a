/** What must be true of a cluster: always (`alwaysTrue`), and once everything has come to rest (`trueAtRest`). Each answers with sentences, none if all is well. */
import { type Ip, ip4Number, printIp } from "#base/ip.ts";
import type { LeaseRecord } from "#base/lease.ts";
import { type Prefix, countSubnets, prefixFamily } from "#base/prefix.ts";
import { candidatesOf } from "#bgp/rib/explain.ts";
import { familyCount, type FamilyIndex } from "#bgp/terms.ts";
import { leasesPrefix, parseLease } from "#ipam/lease-record.ts";
import type { Agent, SimMachine } from "./cluster-agent.ts";
import { chosenRoutes, decodedSet, expectedTold, type Teller } from "./expected.ts";
import type { SimLeases } from "./cluster-leases.ts";
import type { SimStore } from "./store.ts";
import type { ToldSession } from "./tap.ts";

export interface Watched {
  readonly machines: readonly SimMachine[];
  readonly store: SimStore;
  readonly now: number;
  isStalled(machine: SimMachine): boolean;
  /** Second machines under the name of another. */
  readonly twins: readonly { readonly name: string; readonly leases: SimLeases }[];
  /** True while a daemon has not had the time yet to hear of the restored store and to settle with it who has what. */
  isSettling(name: string): boolean;
  /** What the wire says one peer of a speaker was told. */
  told(agent: Agent, peer: number): ToldSession | undefined;
}

const agents = (machines: readonly SimMachine[]): readonly Agent[] => machines.flatMap(({ agent }) => (agent ? [agent] : []));
const families = Array.from({ length: familyCount }, (_, i) => i as FamilyIndex);

/** CIDRs a daemon may use now, with their machines. */
export function usedCidrs(machines: readonly SimMachine[]): { readonly cidr: Prefix; readonly machine: SimMachine; readonly endsAt: number | undefined }[] {
  return machines.flatMap((machine) =>
    (machine.agent?.leases?.machines ?? []).flatMap(({ own }) => (own.cidr === undefined ? [] : [{ cidr: own.cidr, machine, endsAt: own.endsAt }])),
  );
}

/**
 * No CIDR is used by two nodes. A daemon that is stopped by force beyond the end of its lease cannot let go of it: it does so
 * before anything else when it goes on, and until then nobody asks it.
 */
export function doubles(watched: Watched): string[] {
  const holders = new Map<Prefix, string>(),
    out: string[] = [];
  const hold = (cidr: Prefix, name: string): void => {
    const other = holders.get(cidr) ?? name,
      isSettling = watched.isSettling(name) || watched.isSettling(other);
    if (other !== name && !isSettling) out.push(`${cidr} is used by ${other} and by ${name} at once`);
    holders.set(cidr, name);
  };
  for (const { cidr, machine, endsAt } of usedCidrs(watched.machines))
    if (endsAt === undefined || endsAt > watched.now || !watched.isStalled(machine)) hold(cidr, machine.name);
  for (const { name, leases } of watched.twins) for (const { own } of leases.machines) if (own.cidr !== undefined) hold(own.cidr, name);
  return out;
}

/** True after every event; looked at every few seconds because it costs more than the event. */
export function alwaysTrue(watched: Watched): string[] {
  return [...doubles(watched), ...agents(watched.machines).flatMap((agent) => [...loops(agent), ...disagreements(agent)])];
}

/** RFC 4456 §8: what carries our own id, or our own cluster's, is never taken (of external peers: our AS). */
export function loops(agent: Teller): string[] {
  const {
      machine,
      speaker: { rib },
    } = agent,
    { settings } = machine,
    routerId = ip4Number(settings.routerId),
    clusterId = ip4Number(settings.clusterId),
    out: string[] = [];
  for (const family of families) {
    const { adjRibIn, prefixes } = rib.ribs[family];
    for (let path = 0; path < adjRibIn.end; path++) {
      if (!adjRibIn.isUsed(path)) continue;
      const { originatorId, clusterList, asPath } = decodedSet(agent, adjRibIn.attributes[path]!).values;
      const isLoop = originatorId === routerId || clusterList?.includes(clusterId) || asPath?.some(({ asns }) => asns.includes(settings.asn));
      if (isLoop) out.push(`${machine.name} took ${prefixes.text(adjRibIn.prefix[path]!)}, which has been here before`);
    }
  }
  return out;
}

/** The session layer and the RIB have one opinion of who is up. */
function disagreements({ machine, speaker }: Agent): string[] {
  return speaker.neighbours
    .info()
    .filter(({ id, state }) => (state === "Established") !== speaker.isUp(id) || speaker.isUp(id) !== (speaker.rib.peers.up[id] === 1))
    .map(({ name, state }) => `${machine.name}: its session with ${name} is ${state}, and its RIB thinks otherwise`);
}

export function trueAtRest(watched: Watched): string[] {
  const all = agents(watched.machines);
  const missing = watched.machines.filter(({ agent }) => !agent).map(({ name }) => `${name} does not run`);
  const first = [...missing, ...alwaysTrue(watched), ...all.flatMap(sessionsAtRest), ...leasesAtRest(watched)];
  if (first.length > 0) return first; // what follows from it helps nobody
  return all.flatMap((agent) => [...ribAtRest(agent, watched), ...toldAtRest(agent, watched), ...kernelAtRest(agent)]);
}

function sessionsAtRest({ machine, speaker }: Agent): string[] {
  return speaker.neighbours
    .info()
    .filter(({ state }) => state !== "Established")
    .map(({ name, state, reason }) => `${machine.name}: its session with ${name} is ${state}: ${reason}`);
}

/** Claims in the store and in the nodes are the same, and nobody waits while there is room. */
function leasesAtRest({ machines, store }: Watched): string[] {
  const out: string[] = [],
    claims = store.list(leasesPrefix).map((entry) => parseLease(entry));
  const claimed = new Map<string, LeaseRecord>(
    claims.flatMap((parsed) => (parsed.ok ? [[`${parsed.value.pool} ${parsed.value.cidr}`, parsed.value] as const] : [])),
  );
  for (const { name, identity, agent } of machines)
    for (const { own } of agent?.leases?.machines ?? []) {
      const claim = own.cidr === undefined ? undefined : claimed.get(`${own.pool} ${own.cidr}`);
      if (own.cidr !== undefined && own.state !== "held") out.push(`${name} is ${own.state} of ${own.cidr}: ${own.reason}`);
      if (own.cidr !== undefined && (claim?.node !== name || claim.identity !== identity))
        out.push(`${name} uses ${own.cidr}, which is ${claim ? `${claim.node}'s` : "nobody's"} in the store`);
      claimed.delete(`${own.pool} ${own.cidr}`);
    }
  for (const key of claimed.keys()) out.push(`the store holds ${key} for somebody who does not use it`);
  const pools = machines.find(({ settings }) => settings.pools.length > 0)!.settings.pools,
    nodes = machines.filter(({ agent, settings }) => agent?.leases && settings.kernel.enabled);
  for (const pool of pools) {
    const room = Number(countSubnets(pool.cidr, pool.nodePrefix)),
      held = nodes.filter(({ agent }) => agent!.leases!.own.get(pool.name)?.cidr !== undefined).length;
    if (held !== Math.min(room, nodes.length)) out.push(`${held} of ${nodes.length} nodes have a CIDR of pool ${pool.name}, which has room for ${room}`);
  }
  return out;
}

/** Everybody has a route to every CIDR and every outside prefix, by the right next hop, fresh, and nothing else. */
function ribAtRest(agent: Agent, { machines }: Watched): string[] {
  const { machine, speaker } = agent,
    out: string[] = [],
    wanted = wantedRoutes(machine, machines);
  for (const family of families)
    for (const { prefix, nextHop } of chosenRoutes(agent, family)) {
      const hops = wanted.get(prefix),
        hop = printIp(nextHop);
      if (hops === undefined) out.push(`${machine.name} has a route to ${prefix}, which is nobody's`);
      else if (!hops.includes(hop)) out.push(`${machine.name} has ${prefix} via ${hop} instead of ${hops.join(" or ")}`);
      wanted.delete(prefix);
    }
  for (const prefix of wanted.keys()) out.push(`${machine.name} has no route to ${prefix}`);
  for (const { adjRibIn, prefixes, chosen } of speaker.rib.ribs) {
    for (let path = 0; path < adjRibIn.end; path++)
      if (adjRibIn.isUsed(path) && adjRibIn.isStale(path)) out.push(`${machine.name}: its path to ${prefixes.text(adjRibIn.prefix[path]!)} is stale`);
    if (prefixes.live !== chosen) out.push(`${machine.name} keeps ${prefixes.live} prefix ids for ${chosen} prefixes`);
  }
  return out;
}

function wantedRoutes(self: SimMachine, machines: readonly SimMachine[]): Map<Prefix, readonly string[]> {
  const wanted = new Map<Prefix, readonly string[]>(),
    isOutside = self.settings.roles.includes("node") && self.settings.pools.length === 0;
  const edges = machines.filter(({ settings }) => settings.labels["edge"] === "yes");
  for (const { cidr, machine } of usedCidrs(machines)) {
    const { address, address6, pools } = machine.settings;
    if (pools.find(({ name }) => machine.agent?.leases?.own.get(name)?.cidr === cidr)?.backend !== "bgp") continue;
    const family = prefixFamily(cidr);
    if (isOutside && family === 6) continue;
    wanted.set(cidr, isOutside ? edges.map(({ settings }) => settings.address) : [family === 4 ? address : address6!]);
  }
  for (const machine of machines)
    for (const prefix of machine.announces)
      wanted.set(prefix, self === machine || edges.includes(self) ? [machine.settings.address] : edges.map(({ settings }) => settings.address));
  return wanted;
}

/** What the wire says was told is what should have been, and what the other side holds is what it was told, less loops. */
function toldAtRest(agent: Agent, watched: Watched): string[] {
  const { machine, speaker } = agent,
    out: string[] = [];
  for (const { peer } of speaker.routes()) {
    const info = speaker.neighbours.byId(peer)!,
      session = watched.told(agent, peer);
    if (!info.terms || !session) continue;
    const expected = expectedTold(agent, peer, info.terms);
    out.push(...differences(`${machine.name} to ${info.name}`, expected, session.told));
    const other = watched.machines.find(({ settings }) => settings.address === info.address)?.agent;
    if (other) out.push(...heardOtherwise(agent, other, session.told));
    if (session.ended.size !== info.families.length) out.push(`${machine.name} has not sent End-of-RIB of every family to ${info.name}`);
  }
  return out;
}

export function differences(who: string, expected: ReadonlyMap<Prefix, string>, told: ReadonlyMap<Prefix, string>): string[] {
  const out: string[] = [];
  for (const [prefix, route] of expected)
    if (told.get(prefix) !== route) out.push(`${who}: told ${prefix} ${told.get(prefix) ?? "nothing"} instead of ${route}`);
  for (const [prefix, route] of told) if (!expected.has(prefix)) out.push(`${who}: told ${prefix} ${route}, and should not have been`);
  return out;
}

export function heardOtherwise(from: Teller, by: Teller, told: ReadonlyMap<Prefix, string>): string[] {
  const { rib, neighbours } = by.speaker,
    peer = neighbours.info().find(({ address }) => address === from.machine.settings.address)?.id,
    out: string[] = [];
  if (peer === undefined) return [`${by.machine.name} does not know ${from.machine.name}`];
  const held = new Map<Prefix, string>(),
    ownId = ip4Number(by.machine.settings.routerId),
    ownCluster = ip4Number(by.machine.settings.clusterId);
  for (const { adjRibIn, prefixes } of rib.ribs)
    for (let path = 0; path < adjRibIn.end; path++) {
      if (!adjRibIn.isUsed(path) || adjRibIn.peer[path] !== peer) continue;
      held.set(prefixes.text(adjRibIn.prefix[path]!), decodedSet(by, adjRibIn.attributes[path]!).text);
    }
  for (const [prefix, route] of told) {
    const isLoop =
      route.includes(` from ${ownId} `) ||
      new RegExp(` through (.*,)?${ownCluster}(,|$)`).test(route) ||
      new RegExp(` path (.* )?${by.machine.settings.asn} `).test(route);
    if (!isLoop && held.get(prefix) !== route)
      out.push(`${by.machine.name} was told ${prefix} ${route} by ${from.machine.name}, and holds ${held.get(prefix) ?? "nothing"}`);
    held.delete(prefix);
  }
  for (const [prefix, route] of held) out.push(`${by.machine.name} holds ${prefix} ${route} of ${from.machine.name}, which was never told or was taken back`);
  return out;
}

/** The kernel has what was planned, and the plan has every next hop that is as good as the best. */
function kernelAtRest(agent: Agent): string[] {
  const { machine, leases } = agent,
    out: string[] = [];
  if (!leases || !machine.settings.kernel.enabled) return out;
  if (machine.kernel.differing() > 0) out.push(`${machine.name}: ${machine.kernel.differing()} rows of its kernel are not as planned`);
  const routes = new Map([...machine.kernel.tables.route.values()].map((row) => [row.prefix, row.hops]));
  for (const family of families)
    for (const { prefix, source } of chosenRoutes(agent, family)) {
      const hops = routes
        .get(prefix)
        ?.map(({ gateway }) => gateway)
        .toSorted();
      if (hops === undefined) out.push(`${machine.name}: its kernel has no route to ${prefix}`);
      else if (source !== 0 && hops.join() !== equalHops(agent, family, prefix).join())
        out.push(`${machine.name}: its kernel has ${prefix} via ${hops.join(", ")} instead of ${equalHops(agent, family, prefix).join(", ")}`);
    }
  for (const { own } of leases.machines)
    if (own.cidr !== undefined && routes.get(own.cidr)?.length !== 0) out.push(`${machine.name}: no blackhole keeps ${own.cidr}`);
  return out;
}

/** Next hops of all paths that are equal up to the choice between internal and external ones. */
function equalHops({ speaker: { rib } }: Agent, family: FamilyIndex, prefix: Prefix): Ip[] {
  const table = rib.ribs[family],
    id = table.prefixes.findText(prefix),
    all = candidatesOf(id, table.adjRibIn, rib.attributes, rib.peers);
  const best = all.find(({ path }) => path === table.bestOf(id))!;
  const rank = ({ localPref, asPathLength, origin, med, neighborAs, externality }: (typeof all)[number]): string =>
    [localPref, asPathLength, origin, med, neighborAs, externality].join();
  const hops = all.filter((one) => rank(one) === rank(best)).map(({ path }) => printIp(rib.attributes.nextHopOf(table.adjRibIn.attributes[path]!)));
  return [...new Set(hops)].toSorted();
}
