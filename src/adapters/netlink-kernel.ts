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

/** `routeProtocol`: rtm_protocol of our routes. `transport`: of two, the one that works, unless given. */
export async function openNetlinkKernel(routeProtocol: number, transport?: NetlinkTransport): Promise<Kernel> {
  return new NetlinkKernel(routeProtocol, transport ?? (await openNetlink()));
}

class NetlinkKernel implements Kernel {
  readonly #protocol: number;
  readonly #transport: NetlinkTransport;
  readonly #requests: NetlinkRequests;
  #links = new LinkTable([]);

  constructor(routeProtocol: number, transport: NetlinkTransport) {
    this.#protocol = routeProtocol;
    this.#transport = transport;
    this.#requests = new NetlinkRequests(transport);
  }

  async look(sysctls: Iterable<string>): Promise<Tables> {
    const links = await this.#readLinks(),
      ours = links.ours();
    const neighbour: NeighbourRow[] = [],
      fdb: FdbRow[] = [];
    for (const device of ours) {
      for (const family of [addressFamily.ipv4, addressFamily.ipv6]) {
        const encode: Encode = (into, sequence) => encodeGetNeighbours(into, sequence, family, device.index);
        neighbour.push(...(await this.#requests.dump(encode, (bytes, message) => neighbourRow(must(decodeNeighbour(bytes, message)), device))));
      }
      const encode: Encode = (into, sequence) => encodeGetFdb(into, sequence, device.index);
      for (const row of await this.#requests.dump(encode, (bytes, message) => fdbRow(must(decodeNeighbour(bytes, message)), device))) fdb.push(row);
    }
    const address = ours.length === 0 ? [] : await this.#readAddresses((message) => addressRow(message, links));
    const route: RouteRow[] = [];
    for (const family of [4, 6] as const) {
      for (const message of await this.#readRoutes(family, this.#protocol)) {
        const row = routeRow(message, this.#protocol, links);
        if (row !== undefined) route.push(row);
      }
    }
    return {
      sysctl: byKey("sysctl", readSysctls(sysctls)),
      link: byKey(
        "link",
        ours.map(linkRow).filter((row): row is LinkRow => row !== undefined),
      ),
      address: byKey("address", address),
      neighbour: byKey("neighbour", neighbour),
      fdb: byKey("fdb", fdb),
      route: byKey("route", route),
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
    return listen({ signal, routeProtocol: this.#protocol, ownPort: this.#transport.portId, isOurs: (index) => this.#links.isOurs(index) });
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
    return this.#links;
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
