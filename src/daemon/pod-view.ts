/** Records of the allocator → what the doors show. */
import { createHash } from "node:crypto";
import { familyOf, type Ip, type Mac, printMac } from "#base/ip.ts";
import type { PodBandwidth, PodLink } from "#base/pod-link.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PoolSettings } from "#base/settings.ts";
import type { PodKey, PodPool, PodRecord } from "#ipam/pod-terms.ts";
import type { PodAddresses } from "#ipam/pods.ts";
import type { AddressQuery, AddressView, AllocationView, AttachmentView, PoolView, WhoView } from "./pod-control.ts";
import { routesAsked } from "./pod-routes.ts";
import { gatewayFor, podSettings, routesOf, subnetGatewayOf } from "./pod-rules.ts";

/** Names and MACs of a pod's link, made of its container and interface: the same after a crash, so what is left is found again. */
export interface LinkNames {
  readonly hostDevice: string;
  readonly hostMac: Mac;
  readonly mac: Mac;
  /** The pod's end while it is still in the node's namespace. */
  readonly movingDevice: string;
  readonly alias: string;
}

/** How the alias of every pod's link begins. */
export const podMark = "podway pod ";

export function linkNames({ containerId, ifname }: PodKey): LinkNames {
  const hash = createHash("sha256").update(`${containerId}/${ifname}`).digest();
  const own = (octets: Uint8Array): Mac => printMac(Uint8Array.of((octets[0]! & 0xfc) | 0x02, ...octets.subarray(1, 6)));
  const word = hash.toString("hex", 0, 6).slice(0, 11);
  return {
    hostDevice: `pw${word}`,
    movingDevice: `pc${word}`,
    hostMac: own(hash.subarray(8, 14)),
    mac: own(hash.subarray(16, 22)),
    alias: `${podMark}${containerId} ${ifname}`,
  };
}

export function viewAllocation(pools: readonly PoolSettings[], records: readonly PodRecord[], mtu: number): AllocationView {
  const first = records[0]!;
  const dns = records.map((record) => podSettingsOf(pools, record)?.dns).filter((each) => each !== undefined);
  return {
    containerId: first.containerId!,
    ifname: first.ifname!,
    network: first.network ?? null,
    addresses: records.map((record) => ({
      address: record.address,
      length: familyOf(record.address) === 4 ? 32 : 128,
      pool: record.pool,
      cidr: record.cidr,
      gateway: gatewayFor(poolOf(pools, record), record),
      subnetGateway: subnetGatewayOf(poolOf(pools, record), record.cidr),
    })),
    routes: first.link?.routes === undefined ? routesOf(pools, records) : routesAsked(first.link.routes, records, pools),
    dns: {
      nameservers: [...new Set(dns.flatMap((each) => each.nameservers))],
      domain: dns.find((each) => each.domain !== undefined)?.domain ?? null,
      search: [...new Set(dns.flatMap((each) => each.search))],
      options: [...new Set(dns.flatMap((each) => each.options))],
    },
    mtu: first.link?.mtu ?? mtu,
    mac: first.mac ?? null,
    owner: first.owner ?? null,
    namespace: first.namespace ?? null,
  };
}

/** Of records that have a link. */
export function viewAttachment(pools: readonly PoolSettings[], records: readonly PodRecord[]): AttachmentView {
  const first = records[0]!,
    link = first.link!,
    names = linkNames({ containerId: first.containerId!, ifname: first.ifname! });
  return {
    ...viewAllocation(pools, records, link.mtu),
    netns: link.netns,
    mac: first.mac ?? names.mac,
    hostDevice: names.hostDevice,
    hostMac: names.hostMac,
    portMappings: (link.ports ?? []).map(({ hostIp, ...port }) => ({ ...port, hostIp: hostIp ?? null })),
    containerDevice: link.netns === null ? names.movingDevice : first.ifname!,
  };
}

/** The link that an attachment is. */
export function linkOf(view: AttachmentView, bandwidth?: PodBandwidth): PodLink {
  const { hostDevice, hostMac, alias } = linkNames(view);
  return {
    hostDevice,
    hostMac,
    alias,
    device: view.containerDevice,
    mac: view.mac as Mac,
    mtu: view.mtu,
    addresses: view.addresses.map(({ address, gateway }) => ({ address: address as Ip, gateway: gateway as Ip })),
    routes: view.routes.map(({ destination, gateway }) => ({ destination: destination as Prefix, gateway: gateway as Ip })),
    isPublished: view.portMappings.length > 0,
    ...(bandwidth && { bandwidth }),
  };
}

export function viewAddress(record: PodRecord, node: string): AddressView {
  const { address, pool, state, containerId, ifname, network, owner, namespace, mac, since, until, labels, reservation } = record;
  return {
    address,
    pool,
    node: record.node ?? node,
    state,
    containerId: containerId ?? null,
    ifname: ifname ?? null,
    network: network ?? null,
    owner: owner ?? reservation?.owner ?? null,
    namespace: namespace ?? null,
    mac: mac ?? null,
    since: instant(since),
    until: until === undefined ? null : instant(until),
    labels: labels ?? {},
  };
}

export const fitsQuery = (view: AddressView, { containerId, pool, owner, node, namespace }: AddressQuery): boolean =>
  (containerId ?? view.containerId) === view.containerId &&
  (pool ?? view.pool) === view.pool &&
  (owner ?? view.owner) === view.owner &&
  (node ?? view.node) === view.node &&
  (namespace ?? view.namespace) === view.namespace;

export function viewWho(record: PodRecord, node: string): WhoView {
  const holder = viewAddress(record, node);
  const { reservation, reason } = record;
  const forWhom = reservation?.owner === undefined ? "" : ` for ${reservation.owner}`,
    why = reservation?.reason === undefined ? "" : ` (${reservation.reason})`;
  const kept = reservation === undefined ? "" : ` An operator reserved it${forWhom}${why}.`;
  const whose = holder.owner === null ? "" : ` of ${holder.owner}`;
  const text = {
    used:
      `${record.address} is used by container ${holder.containerId}${whose} on its ${holder.ifname} since ${holder.since}, ` +
      `out of pool ${record.pool} (${record.cidr} of node ${holder.node}).`,
    kept: `${record.address} is kept for ${holder.owner} until ${holder.until}: its last pod was deleted at ${holder.since}.`,
    cooling: `${record.address} was freed at ${holder.since} and is handed out to nobody before ${holder.until}.`,
    reserved: `${record.address} of pool ${record.pool} is handed out to nobody unasked.`,
    quarantined: `${record.address} is in quarantine until ${holder.until}: ${reason ?? "nobody knows whose it is"}.`,
    elsewhere: `${record.address} of this node's ${record.cidr} is in use on node ${holder.node}${whose} since ${holder.since}.`,
  }[record.state];
  return { address: record.address, holder, text: text + kept };
}

export function viewPool(pool: PoolSettings, here: PodPool | undefined, machine: PodAddresses, mtu: number): PoolView {
  const counts = machine.counts(pool.name),
    of = (state: PodRecord["state"]): number => counts.get(state) ?? 0;
  const capacity = machine.capacity(pool.name),
    taken = of("used") + of("kept") + of("cooling") + of("reserved") + of("quarantined") + of("elsewhere");
  const { alarmPercent } = podSettings(pool);
  const percent = capacity === 0 ? 0 : Math.floor((100 * taken) / capacity);
  return {
    name: pool.name,
    cidr: pool.cidr,
    nodeCidr: here?.cidr ?? null,
    backend: pool.backend,
    mtu,
    capacity,
    used: of("used"),
    kept: of("kept"),
    cooling: of("cooling"),
    reserved: of("reserved"),
    quarantined: of("quarantined"),
    free: Math.max(0, capacity - taken),
    alarm:
      capacity > 0 && percent >= alarmPercent
        ? `pool ${pool.name}: ${percent} % of this node's ${capacity} addresses are taken (alarm at ${alarmPercent} %)`
        : null,
  };
}

const poolOf = (pools: readonly PoolSettings[], { pool }: PodRecord): PoolSettings | undefined => pools.find(({ name }) => name === pool);
function podSettingsOf(pools: readonly PoolSettings[], record: PodRecord): PoolSettings["pods"] {
  const pool = poolOf(pools, record);
  return pool && podSettings(pool);
}
const instant = (seconds: number): string => new Date(seconds * 1000).toISOString();
