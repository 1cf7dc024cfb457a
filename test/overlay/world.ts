/** Values the overlay tests speak in: leases, pools, and an underlay of two links joined by a router. */
import type { Ip } from "#base/ip.ts";
import type { Lease } from "#base/lease.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PoolSettings } from "#base/settings.ts";
import type { Underlay, UnderlayPath } from "#base/underlay.ts";
import type { Rows, TableName, Tables } from "#base/kernel-row.ts";
import { tableNames } from "#base/kernel-row.ts";
import { describeRow } from "#overlay/fabric.ts";
import { vtepMac } from "#overlay/vtep.ts";

export const ip = (text: string): Ip => text as Ip;
export const prefix = (text: string): Prefix => text as Prefix;

export function pool(change: Partial<PoolSettings> = {}): PoolSettings {
  return {
    name: "overlay",
    cidr: prefix("10.43.0.0/16"),
    family: 4,
    nodePrefix: 24,
    backend: "vxlan",
    vni: 43,
    port: 4789,
    crossSubnet: false,
    mtu: undefined,
    masquerade: false,
    state: "active",
    reservations: {},
    ...change,
  };
}

export function lease(node: string, cidr: string, address: string, change: Partial<Lease> = {}): Lease {
  return {
    schema: 1,
    node,
    pool: "overlay",
    cidr: prefix(cidr),
    identity: `${node}-id`,
    address: ip(address),
    vtepMac: vtepMac(node, 43),
    createRevision: 1n,
    ...change,
  };
}

export function path(matched: string, device: string, gateway?: string, mtu = 1500): UnderlayPath {
  return { prefix: prefix(matched), hops: [{ device, gateway: gateway as Ip | undefined }], local: false, mtu };
}

export function underlay(paths: Readonly<Record<string, UnderlayPath>> = {}, change: Partial<Underlay> = {}): Underlay {
  const links = ["eth0", "eth1"].map((name) => [name, { name, kind: "", mtu: 1500, up: true, loopback: false }] as const);
  return {
    paths: new Map(Object.entries(paths)) as ReadonlyMap<string, UnderlayPath> as ReadonlyMap<Ip, UnderlayPath>,
    addresses: new Map([[ip("10.0.0.1"), "eth0"]]),
    links: new Map(links),
    advertised: [],
    ...change,
  };
}

/** A fabric in lines a person can compare: `route 10.43.2.0/24 metric 117: via … dev … onlink`. */
export function lines(tables: Tables): readonly string[] {
  return tableNames.flatMap((table) =>
    [...tables[table]].map(([key, row]) => `${table} ${key}: ${(describeRow[table] as (row: Rows[TableName]) => string)(row)}`),
  );
}
