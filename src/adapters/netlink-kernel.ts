/** The Kernel port over rtnetlink and /proc/sys, in the network namespace the socket was opened in. */
import { FaultError, type Outcome, type WorldFault, worldFault } from "#base/fault.ts";
import type { Family, Ip } from "#base/ip.ts";
import {
  type FdbRow,
  keyOf,
  type LinkRow,
  type NeighbourRow,
  type RouteRow,
  type RowChange,
  type Rows,
  type TableName,
  tableNames,
  type Tables,
} from "#base/kernel-row.ts";
import type { Underlay, UnderlayLink, UnderlayPath } from "#base/underlay.ts";
import type { Kernel, KernelEvent, KernelFailure } from "#ports/kernel.ts";
import { addressFamily } from "#wire/rtnetlink.ts";
import { type AddressMessage, decodeAddress, encodeGetAddresses } from "#wire/rtnetlink-address.ts";
import { decodeLink, encodeGetLink, type LinkMessage } from "#wire/rtnetlink-link.ts";
import { decodeNeighbour, encodeGetFdb, encodeGetNeighbours } from "#wire/rtnetlink-neighbour.ts";
import { decodeRoute, encodeGetRoutes, encodeLookupRoute, type RouteMessage, routeType } from "#wire/rtnetlink-route.ts";
import { listen, pollInstead } from "./netlink-events.ts";
import { applyLink } from "./netlink-link.ts";
import { type Encode, NetlinkRequests } from "./netlink-requests.ts";
import { addressRow, encodeChange, faultOf, fdbRow, linkRow, LinkTable, neighbourRow, routeRow } from "./netlink-rows.ts";
import { openNetlink, type NetlinkTransport } from "./netlink-transport.ts";
import { readSysctl, writeSysctl } from "./sysctl.ts";

/** RTPROT_RA: routes out of router advertisements. */
const advertisedProtocol = 9;
const allTables: ReadonlySet<TableName> = new Set(tableNames);
/** Beyond this many, entries of our own writing are news again: a look too many, never one too few. */
const mostWrittenFdb = 1 << 17;

/** `routeProtocol`: rtm_protocol of our routes. `transport`: of two, the one that works, unless given. */
export async function openNetlinkKernel(routeProtocol: number, transport?: NetlinkTransport): Promise<Kernel> {
  return new NetlinkKernel(routeProtocol, transport ?? (await openNetlink()));
}

class NetlinkKernel implements Kernel {
  readonly #protocol: number;
  readonly #transport: NetlinkTransport;
  readonly #requests: NetlinkRequests;
  #links = new LinkTable([]);
  /** Indexes of devices that are or were ours: news of one that is gone comes after it. */
  readonly #ours = new Set<number>();
  /** Forwarding entries as last written, by device index and MAC; empty: removed. */
  readonly #writtenFdb = new Map<string, Ip | "">();

  constructor(routeProtocol: number, transport: NetlinkTransport) {
    this.#protocol = routeProtocol;
    this.#transport = transport;
    this.#requests = new NetlinkRequests(transport);
  }

  async look(sysctls: Iterable<string>): Promise<Tables>;
  async look(sysctls: Iterable<string>, only: ReadonlySet<TableName>): Promise<Partial<Tables>>;
  async look(sysctls: Iterable<string>, only: ReadonlySet<TableName> = allTables): Promise<Partial<Tables>> {
    const links = await this.#readLinks(),
      ours = links.ours();
    const link = ours.map(linkRow).filter((row): row is LinkRow => row !== undefined);
    return {
      link: byKey("link", link),
      ...(only.has("sysctl") && { sysctl: byKey("sysctl", readSysctls(sysctls)) }),
      ...(only.has("address") && { address: byKey("address", ours.length === 0 ? [] : await this.#readAddresses((message) => addressRow(message, links))) }),
      ...(only.has("neighbour") && { neighbour: byKey("neighbour", await this.#readNeighbours(ours)) }),
      ...(only.has("fdb") && { fdb: byKey("fdb", await this.#readFdb(ours)) }),
      ...(only.has("route") && { route: byKey("route", await this.#readOurRoutes(links)) }),
    };
  }

  async apply(changes: readonly RowChange[]): Promise<readonly KernelFailure[]> {
    const failures: KernelFailure[] = [];
    await this.#readLinks();
    for (let from = 0; from < changes.length;) {
      const { table } = changes[from]!;
      let to = from + 1;
      while (to < changes.length && changes[to]!.table === table) to++;
      failures.push(...(await this.#applyTable(table, changes.slice(from, to))));
      from = to;
    }
    return failures;
  }

  async underlay(targets: Iterable<Ip>): Promise<Underlay> {
    const links = await this.#readLinks();
    const addresses = await this.#readAddresses((message) => [message.address, links.nameOf(message.index)] as const);
    const advertised = await this.#readRoutes(6, advertisedProtocol);
    const paths = new Map<Ip, UnderlayPath>(),
      wanted = [...targets];
    const lookups = wanted.map(
      (target): Encode =>
        (into, sequence) =>
          encodeLookupRoute(into, sequence, target),
    );
    await this.#requests.batch(lookups, (bytes, message, index) => {
      const route = must(decodeRoute(bytes, message));
      if (route !== undefined) paths.set(wanted[index]!, pathOf(route, links));
    });
    const devices = advertised.filter((route) => route.protocol === advertisedProtocol).flatMap((route) => route.hops.map((hop) => links.nameOf(hop.index)));
    return {
      paths,
      addresses: new Map(addresses),
      links: new Map(Array.from(links.all(), (link) => [link.name, underlayLink(link)])),
      advertised: [...new Set(devices)],
    };
  }

  events(signal: AbortSignal): AsyncIterable<KernelEvent> {
    if (!this.#transport.hasEvents) return pollInstead(signal);
    return listen({
      signal,
      routeProtocol: this.#protocol,
      ownPort: this.#transport.portId,
      isOurs: (index) => this.#ours.has(index),
      isWritten: ({ index, mac, destination }) => this.#writtenFdb.get(`${index} ${mac}`) === (destination ?? ""),
    });
  }

  close(): void {
    this.#transport.close();
  }

  async #applyTable(table: TableName, changes: readonly RowChange[]): Promise<readonly KernelFailure[]> {
    if (table === "sysctl")
      return changes.flatMap((change) => failureOf(change, change.table === "sysctl" && change.after ? writeSysctl(change.after) : undefined));
    if (table !== "link") return this.#applyRows(changes);
    const failures: KernelFailure[] = [];
    for (const change of changes) if (change.table === "link") failures.push(...failureOf(change, await applyLink(this.#requests, change, this.#links)));
    await this.#readLinks();
    return failures;
  }

  async #applyRows(changes: readonly RowChange[]): Promise<readonly KernelFailure[]> {
    const sent: RowChange[] = [],
      requests: Encode[] = [],
      failures: KernelFailure[] = [];
    for (const change of changes) {
      const encode = encodeChange(change, this.#protocol, this.#links);
      if (encode === "gone") continue;
      if (typeof encode !== "function") {
        failures.push({ change, fault: worldFault("kernel.no-device", `${change.table} ${change.key}: there is no device ${encode.missing}.`) });
        continue;
      }
      sent.push(change);
      requests.push(encode);
      if (change.table === "fdb") this.#rememberFdb(change);
    }
    for (const { index, reason } of await this.#requests.batch(requests)) failures.push(...failureOf(sent[index]!, faultOf(sent[index]!, reason)));
    return failures;
  }

  async #readLinks(): Promise<LinkTable> {
    const links = await this.#requests.dump(
      (into, sequence) => encodeGetLink(into, sequence),
      (bytes, message) => must(decodeLink(bytes, message)),
    );
    this.#links = new LinkTable(links);
    for (const { index } of this.#links.ours()) this.#ours.add(index);
    return this.#links;
  }
  /** What the kernel will tell of an entry as if somebody else had written it. */
  #rememberFdb({ before, after }: Extract<RowChange, { table: "fdb" }>): void {
    const { device, mac } = (after ?? before)!;
    if (this.#writtenFdb.size > mostWrittenFdb) this.#writtenFdb.clear();
    this.#writtenFdb.set(`${this.#links.named(device)!.index} ${mac}`, after?.destination ?? "");
  }
  async #readNeighbours(ours: readonly LinkMessage[]): Promise<readonly NeighbourRow[]> {
    const all: (readonly NeighbourRow[])[] = [];
    for (const device of ours)
      for (const family of [addressFamily.ipv4, addressFamily.ipv6]) {
        const encode: Encode = (into, sequence) => encodeGetNeighbours(into, sequence, family, device.index);
        all.push(await this.#requests.dump(encode, (bytes, message) => neighbourRow(must(decodeNeighbour(bytes, message)), device)));
      }
    return all.flat();
  }
  async #readFdb(ours: readonly LinkMessage[]): Promise<readonly FdbRow[]> {
    const all: (readonly FdbRow[])[] = [];
    for (const device of ours) {
      const encode: Encode = (into, sequence) => encodeGetFdb(into, sequence, device.index);
      all.push(await this.#requests.dump(encode, (bytes, message) => fdbRow(must(decodeNeighbour(bytes, message)), device)));
    }
    return all.flat();
  }
  async #readOurRoutes(links: LinkTable): Promise<readonly RouteRow[]> {
    const found = [await this.#readRoutes(4, this.#protocol), await this.#readRoutes(6, this.#protocol)];
    return found.flat().flatMap((message) => routeRow(message, this.#protocol, links) ?? []);
  }
  #readAddresses<T>(keep: (message: AddressMessage) => T | undefined): Promise<readonly T[]> {
    return this.#requests.dump(encodeGetAddresses, (bytes, message) => {
      const address = must(decodeAddress(bytes, message));
      return address === undefined ? undefined : keep(address);
    });
  }
  #readRoutes(family: Family, protocol: number): Promise<readonly RouteMessage[]> {
    return this.#requests.dump(
      (into, sequence) => encodeGetRoutes(into, sequence, family, protocol),
      (bytes, message) => must(decodeRoute(bytes, message)),
    );
  }
}

function must<T>(outcome: Outcome<T, WorldFault>): T {
  if (!outcome.ok) throw new FaultError(outcome.fault);
  return outcome.value;
}

function byKey<T extends TableName>(table: T, rows: Iterable<Rows[T]>): ReadonlyMap<string, Rows[T]> {
  const map = new Map<string, Rows[T]>();
  for (const row of rows) map.set(keyOf[table](row), row);
  return map;
}

function failureOf(change: RowChange, fault: WorldFault | undefined): readonly KernelFailure[] {
  return fault === undefined ? [] : [{ change, fault }];
}

function readSysctls(paths: Iterable<string>): Rows["sysctl"][] {
  return Array.from(paths, (path) => ({ path, value: readSysctl(path) })).filter((row): row is Rows["sysctl"] => row.value !== undefined);
}

function pathOf(route: RouteMessage, links: LinkTable): UnderlayPath {
  const hops = route.type === routeType.unicast ? route.hops : [];
  const mtus = hops.map((hop) => links.numbered(hop.index)?.mtu ?? Infinity);
  const least = Math.min(...mtus, route.mtu || Infinity);
  return {
    prefix: route.prefix,
    hops: hops.map((hop) => ({ device: links.nameOf(hop.index), gateway: hop.gateway })),
    local: route.type === routeType.local,
    mtu: Number.isFinite(least) ? least : 0,
  };
}

function underlayLink(link: LinkMessage): UnderlayLink {
  return { name: link.name, kind: link.kind, mtu: link.mtu, up: link.up, loopback: link.loopback };
}
