/**
 * The tables a node should have, as plain values: built by the planners (vxlan.ts, routed.ts), merged here, compared with the
 * kernel row by row. A fabric knows nothing of how it is written.
 */
import type { Hop, Rows, TableName, Tables } from "#base/kernel-row.ts";
import { keyOf, tableNames } from "#base/kernel-row.ts";
import { type Note, note } from "#base/note.ts";

export type Fabric = Tables;

/** What a planner returns: what should be, and what it has to say about what cannot be. */
export interface Planned {
  readonly fabric: Fabric;
  readonly notes: readonly Note[];
}

type Growing = { [T in TableName]: Map<string, Rows[T]> };

/** Collects rows; the first to claim a key keeps it, and a second claim with another value is told, not obeyed. */
export class FabricBuilder {
  readonly #tables: Growing = { sysctl: new Map(), link: new Map(), address: new Map(), neighbour: new Map(), fdb: new Map(), route: new Map() };
  readonly #notes: Note[] = [];

  add<T extends TableName>(table: T, row: Rows[T]): void {
    this.addKeyed(table, keyOf[table](row), row);
  }

  /** As `add`, of a row whose key is known: `key` is `keyOf` of it. */
  addKeyed<T extends TableName>(table: T, key: string, row: Rows[T]): void {
    const rows = this.#tables[table] as Map<string, Rows[T]>;
    const held = rows.get(key);
    if (held === undefined) rows.set(key, row);
    else if (!sameRow[table](row, held)) this.say(note("warn", "fabric.conflict", conflictText(table, key, describeRow[table](held), describeRow[table](row))));
  }

  /** Adds a whole table. The first is taken as it is and added to, so it is the caller's no more. */
  addTable<T extends TableName>(table: T, from: ReadonlyMap<string, Rows[T]>): void {
    if (this.#tables[table].size === 0) this.#tables[table] = from as Growing[T];
    else for (const [key, row] of from) this.addKeyed(table, key, row);
  }

  say(said: Note): void {
    this.#notes.push(said);
  }

  done(): Planned {
    return { fabric: this.#tables, notes: this.#notes };
  }
}

/** One fabric out of several planners' (pools stand side by side on a node), with all their notes. It takes the parts over. */
export function mergePlanned(parts: readonly Planned[]): Planned {
  const all = new FabricBuilder();
  for (const part of parts) {
    for (const said of part.notes) all.say(said);
    for (const table of tableNames) all.addTable(table, part.fabric[table] as ReadonlyMap<string, Rows[TableName]>);
  }
  return all.done();
}

/** Nothing at all: what a pure reflector wants. */
export const emptyFabric: Fabric = new FabricBuilder().done().fabric;

/** For each table, whether `actual` already serves as `desired`. */
export const sameRow: { readonly [T in TableName]: (desired: Rows[T], actual: Rows[T]) => boolean } = {
  sysctl: (a, b) => a.value === b.value || a.unless === b.value,
  link: (a, b) => a.vni === b.vni && a.local === b.local && a.port === b.port && a.mac === b.mac && a.mtu === b.mtu && a.up === b.up,
  address: (a, b) => a.device === b.device && a.address === b.address && a.length === b.length,
  neighbour: (a, b) => a.mac === b.mac,
  fdb: (a, b) => a.destination === b.destination,
  route: (a, b) => a.hops.length === b.hops.length && a.hops.every((hop, i) => sameHop(hop, b.hops[i]!)),
};

/** For each table, the row in words, close to iproute2's own. */
export const describeRow: { readonly [T in TableName]: (row: Rows[T]) => string } = {
  sysctl: (row) => (row.unless === undefined ? row.value : `${row.value} (or ${row.unless})`),
  link: (row) => `vxlan id ${row.vni} local ${row.local} dstport ${row.port} address ${row.mac} mtu ${row.mtu} ${row.up ? "up" : "down"}`,
  address: (row) => `${row.address}/${row.length} dev ${row.device}`,
  neighbour: (row) => `lladdr ${row.mac} dev ${row.device} permanent`,
  fdb: (row) => `dst ${row.destination} dev ${row.device} self permanent`,
  route: (row) => (row.hops.length === 0 ? "blackhole" : row.hops.map(describeHop).join(" nexthop ")),
};

function describeHop(hop: Hop): string {
  return `${hop.gateway === undefined ? "" : `via ${hop.gateway} `}dev ${hop.device}${hop.onlink ? " onlink" : ""}`;
}

function sameHop(a: Hop, b: Hop): boolean {
  return a.device === b.device && a.gateway === b.gateway && a.onlink === b.onlink;
}

function conflictText(table: TableName, key: string, held: string, claimed: string): string {
  return `${table} ${key} is wanted twice: "${held}" is kept, "${claimed}" is not written; the pools or peers that ask for both must be told apart.`;
}
