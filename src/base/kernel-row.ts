/**
 * One row of each kernel table as a value: what the planner wants, what the kernel has, and what is compared are the same
 * shapes. A row names its device; interface indexes live in adapters alone, because an index dies with its device.
 */
import type { Ip, Mac } from "./ip.ts";
import type { Prefix } from "./prefix.ts";

/** A VXLAN device of ours (RFC 7348), without learning: its FDB is written, never learnt. */
export interface LinkRow {
  readonly name: string;
  readonly vni: number;
  /** Source of the outer header; its family is the underlay's. */
  readonly local: Ip;
  /** UDP destination port. */
  readonly port: number;
  readonly mac: Mac;
  /** Octets of the inner packet. */
  readonly mtu: number;
  readonly up: boolean;
}

/** An address on a device of ours. */
export interface AddressRow {
  readonly device: string;
  readonly address: Ip;
  readonly length: number;
}

/** Permanent ARP (RFC 826) or neighbour cache (RFC 4861) entry: inner address to inner MAC. */
export interface NeighbourRow {
  readonly device: string;
  readonly address: Ip;
  readonly mac: Mac;
}

/** Permanent forwarding entry of a VXLAN device: inner MAC to outer address. */
export interface FdbRow {
  readonly device: string;
  readonly mac: Mac;
  readonly destination: Ip;
}

export interface Hop {
  readonly device: string;
  /** Undefined: the destination is on the link itself. */
  readonly gateway: Ip | undefined;
  /** The gateway is taken to be on the link, whatever the routes say (RTNH_F_ONLINK). */
  readonly onlink: boolean;
}

/** A route of the main table with our protocol number. */
export interface RouteRow {
  readonly prefix: Prefix;
  readonly metric: number;
  /** In the order of `compareHops`, more than one: equal-cost paths. Empty: a blackhole. */
  readonly hops: readonly Hop[];
}

export interface SysctlRow {
  /** As below /proc/sys, with slashes: `net/ipv4/ip_forward` (interface names may hold dots). */
  readonly path: string;
  readonly value: string;
  /** This value is left alone too: somebody chose it (`accept_ra` 0 means no router advertisements at all). */
  readonly unless?: string;
}

export interface Rows {
  readonly sysctl: SysctlRow;
  readonly link: LinkRow;
  readonly address: AddressRow;
  readonly neighbour: NeighbourRow;
  readonly fdb: FdbRow;
  readonly route: RouteRow;
}
export type TableName = keyof Rows;
/** Every table, each a map from the row's key (`keyOf`) to the row. */
export type Tables = { readonly [T in TableName]: ReadonlyMap<string, Rows[T]> };

/** One row to write. No `before`: create. No `after`: remove. Both: replace. `key` is `keyOf` of the row. */
export type RowChange = {
  readonly [T in TableName]: { readonly table: T; readonly key: string; readonly before: Rows[T] | undefined; readonly after: Rows[T] | undefined };
}[TableName];

/** In order of need: what a row rests on stands in an earlier table. Removal goes in reverse. */
export const tableNames: readonly TableName[] = ["sysctl", "link", "address", "neighbour", "fdb", "route"];

/** What tells two rows of one table apart in the kernel; everything else of a row can be replaced. */
export const keyOf: { readonly [T in TableName]: (row: Rows[T]) => string } = {
  sysctl: (row) => row.path,
  link: (row) => row.name,
  address: (row) => `${row.device} ${row.address}/${row.length}`,
  neighbour: (row) => `${row.device} ${row.address}`,
  fdb: (row) => `${row.device} ${row.mac}`,
  route: (row) => `${row.prefix} metric ${row.metric}`,
};

/** The one order of equal-cost hops, so that equal sets are equal lists. */
export function compareHops(a: Hop, b: Hop): number {
  const x = `${a.device} ${a.gateway ?? ""}`,
    y = `${b.device} ${b.gateway ?? ""}`;
  return x < y ? -1 : x > y ? 1 : 0;
}
