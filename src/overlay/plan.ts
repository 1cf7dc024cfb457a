/**
 * Differences → one ordered pass. What a row rests on is written before it; what rests on a row is removed before it; nothing is
 * removed while a source has not yet said all it knows, because a row that looks unwanted may belong to what it has yet to say.
 */
import { Delta } from "#base/delta.ts";
import { type RowChange, type Rows, type TableName, tableNames, type Tables } from "#base/kernel-row.ts";
import { type Fabric, sameRow } from "./fabric.ts";

export type Deltas = { readonly [T in TableName]: Delta<Rows[T]> };

/** Of a large table, so many rows are one stage: what a stage needs in one go, the event loop waits for. */
const stageRows = 2048;

export function newDeltas(): Deltas {
  return {
    sysctl: new Delta(sameRow.sysctl),
    link: new Delta(sameRow.link),
    address: new Delta(sameRow.address),
    neighbour: new Delta(sameRow.neighbour),
    fdb: new Delta(sameRow.fdb),
    route: new Delta(sameRow.route),
  };
}

export function wantAll(deltas: Deltas, fabric: Fabric): void {
  for (const table of tableNames) deltaOf(deltas, table).want(fabric[table] as ReadonlyMap<string, Rows[TableName]>);
}

/** Takes a look in, at the tables it shows. Returns how many rows were not as believed. */
export function sawAll(deltas: Deltas, tables: Partial<Tables>): number {
  let drift = 0;
  for (const table of tableNames) {
    const rows = tables[table] as ReadonlyMap<string, Rows[TableName]> | undefined;
    if (rows !== undefined) drift += deltaOf(deltas, table).saw(rows);
  }
  return drift;
}

/** A change was done, as `apply` was asked to. */
export function didChange(deltas: Deltas, change: RowChange): void {
  deltaOf(deltas, change.table).did(change.key, change.after);
}

/**
 * The stages of a pass, each changes of one table. Every stage is worked out when it is asked for, so what the stages
 * before it did (or a new look after a device was replaced) is taken in. Sysctls are never removed: we do not know what
 * they were, and others may have come to rest on them.
 */
export function* passStages(deltas: Deltas, maySweep: boolean): Generator<readonly RowChange[], void> {
  for (const table of tableNames) yield* stage(table, deltaOf(deltas, table).toSet());
  if (!maySweep) return;
  for (const table of tableNames.toReversed()) if (table !== "sysctl") yield* stage(table, deltaOf(deltas, table).toRemove());
}

/** Rows that a pass would still have to write or, when it may, remove. */
export function countDiffering(deltas: Deltas, maySweep: boolean): number {
  let count = 0;
  for (const table of tableNames) {
    const { toSet, toRemove } = deltaOf(deltas, table).counts;
    count += toSet + (maySweep && table !== "sysctl" ? toRemove : 0);
  }
  return count;
}

export function deltaOf(deltas: Deltas, table: TableName): Delta<Rows[TableName]> {
  return deltas[table] as unknown as Delta<Rows[TableName]>;
}

function* stage(
  table: TableName,
  rows: Iterable<{ readonly key: string; readonly before: unknown; readonly after: unknown }>,
): Generator<readonly RowChange[]> {
  const changes = Array.from(rows, ({ key, before, after }) => ({ table, key, before, after }) as RowChange);
  for (let from = 0; from < changes.length; from += stageRows) yield changes.slice(from, from + stageRows);
}

/** The devices that the row of a change to write rests on. */
export function devicesOf(change: RowChange): readonly string[] {
  if (change.after === undefined || change.table === "sysctl" || change.table === "link") return [];
  return change.table === "route" ? change.after.hops.map((hop) => hop.device) : [change.after.device];
}
