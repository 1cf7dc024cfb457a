/**
 * Tables in memory that behave as the kernel's: for the simulator, for `--dry-run`, for tests. What rests on a device goes with
 * it, a route that belongs to somebody else is not taken, and it fails where it is told to.
 */
import { FaultError, type WorldFault, worldFault } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import { keyOf, type LinkRow, type RouteRow, type RowChange, type Rows, type SysctlRow, type TableName, tableNames, type Tables } from "#base/kernel-row.ts";
import type { Underlay } from "#base/underlay.ts";
import type { Kernel, KernelEvent, KernelFailure } from "#ports/kernel.ts";

type Held = { readonly [T in TableName]: Map<string, Rows[T]> };

const emptyUnderlay: Underlay = { paths: new Map(), addresses: new Map(), links: new Map(), advertised: [] };
const defaultSwitches: readonly SysctlRow[] = [
  { path: "net/ipv4/ip_forward", value: "0" },
  { path: "net/ipv6/conf/all/forwarding", value: "0" },
];

export class MemoryKernel implements Kernel {
  readonly #tables: Held = { sysctl: new Map(), link: new Map(), address: new Map(), neighbour: new Map(), fdb: new Map(), route: new Map() };
  readonly #foreignRoutes = new Map<string, RouteRow>();
  readonly #listeners = new Set<(event: KernelEvent) => void>();
  /** What lies beneath; the test or the simulator lays it. */
  underlayView: Underlay;
  /** Names a fault for a change that is to fail. */
  fails: (change: RowChange) => WorldFault | undefined = () => undefined;
  /** Set: every look is cut short. */
  interrupted = false;
  /** Changes done so far. */
  writes = 0;

  constructor(underlay: Underlay = emptyUnderlay) {
    this.underlayView = underlay;
    const heeding = Array.from(underlay.links.keys(), (device): SysctlRow => ({ path: `net/ipv6/conf/${device}/accept_ra`, value: "1" }));
    for (const row of [...defaultSwitches, ...heeding]) this.#tables.sysctl.set(keyOf.sysctl(row), row);
  }

  async look(sysctls: Iterable<string>): Promise<Tables> {
    if (this.interrupted) throw new FaultError(worldFault("kernel.dump-interrupted", "the memory kernel was told to cut looks short."));
    const asked = new Set(sysctls),
      copy = <V>(rows: ReadonlyMap<string, V>): Map<string, V> => new Map(rows);
    const sysctl = new Map([...this.#tables.sysctl].filter(([path]) => asked.has(path)));
    const { link, address, neighbour, fdb, route } = this.#tables;
    return { sysctl, link: copy(link), address: copy(address), neighbour: copy(neighbour), fdb: copy(fdb), route: copy(route) };
  }

  async apply(changes: readonly RowChange[]): Promise<readonly KernelFailure[]> {
    const failures: KernelFailure[] = [];
    for (const change of changes) {
      const fault = this.fails(change) ?? this.#refusal(change);
      if (fault === undefined) this.#write(change);
      else failures.push({ change, fault });
    }
    return failures;
  }

  async underlay(targets: Iterable<Ip>): Promise<Underlay> {
    const { paths, ...rest } = this.underlayView,
      asked = new Set(targets);
    return { ...rest, paths: new Map([...paths].filter(([target]) => asked.has(target))) };
  }

  async *events(signal: AbortSignal): AsyncGenerator<KernelEvent> {
    const waiting: KernelEvent[] = [];
    let wake = (): void => undefined;
    const listener = (event: KernelEvent): void => {
      waiting.push(event);
      wake();
    };
    const ended = (): void => wake();
    this.#listeners.add(listener);
    signal.addEventListener("abort", ended);
    try {
      while (!signal.aborted) {
        yield* waiting.splice(0);
        if (!signal.aborted && waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#listeners.delete(listener);
      signal.removeEventListener("abort", ended);
    }
  }

  close(): void {
    this.#listeners.clear();
  }

  /** How many listen to events now. */
  get listeners(): number {
    return this.#listeners.size;
  }
  /** Somebody else changes a row of ours: `row` undefined deletes it. Listeners hear of it. */
  meddle<T extends TableName>(table: T, key: string, row: Rows[T] | undefined): void {
    this.meddleUnheard(table, key, row);
    this.tell({ kind: "changed", tables: new Set<TableName | "underlay">([table]) });
  }
  /** As `meddle`, but the event is lost. */
  meddleUnheard<T extends TableName>(table: T, key: string, row: Rows[T] | undefined): void {
    const rows = this.#tables[table] as Map<string, Rows[T]>;
    if (row !== undefined) rows.set(key, row);
    else if (table === "link") this.#dropLink(key);
    else rows.delete(key);
  }
  /** A route of another protocol. */
  addForeignRoute(row: RouteRow): void {
    this.#foreignRoutes.set(keyOf.route(row), row);
  }
  foreignRoutes(): readonly RouteRow[] {
    return [...this.#foreignRoutes.values()];
  }
  tell(event: KernelEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** What the kernel itself would say. */
  #refusal(change: RowChange): WorldFault | undefined {
    const { table, key, after } = change;
    if (after === undefined) return undefined;
    if (table === "sysctl" && !this.#tables.sysctl.has(key)) return worldFault("kernel.sysctl", `sysctl ${key} cannot be set: there is no such switch.`);
    const missing = devicesOf(change).find((device) => !this.#hasDevice(device));
    if (missing !== undefined) return worldFault("kernel.no-device", `${table} ${key}: there is no device ${missing}.`);
    if (table === "route" && this.#foreignRoutes.has(key))
      return worldFault("kernel.foreign", `route ${key}: another route of this machine has that prefix and metric.`);
    return undefined;
  }

  #write(change: RowChange): void {
    this.writes++;
    const rows = this.#tables[change.table] as Map<string, Rows[TableName]>;
    if (change.table === "link" && (change.after === undefined || replaces(change.before, change.after))) this.#dropLink(change.key);
    else if (change.table === "link" && change.before?.mac !== change.after?.mac) this.#dropRows("neighbour", change.key);
    if (change.after !== undefined) rows.set(change.key, change.after);
    else if (change.table !== "sysctl") rows.delete(change.key);
  }

  #hasDevice(device: string): boolean {
    return this.#tables.link.has(device) || this.underlayView.links.has(device);
  }

  #dropLink(name: string): void {
    this.#tables.link.delete(name);
    for (const table of tableNames) if (table !== "sysctl" && table !== "link") this.#dropRows(table, name);
  }
  #dropRows(table: TableName, device: string): void {
    const rows = this.#tables[table] as Map<string, Rows[TableName]>;
    for (const [key, row] of rows) if (devicesOf({ table, after: row } as RowChange).includes(device)) rows.delete(key);
  }
}

function devicesOf(change: RowChange): readonly string[] {
  if (change.after === undefined || change.table === "sysctl" || change.table === "link") return [];
  return change.table === "route" ? change.after.hops.map((hop) => hop.device) : [change.after.device];
}

function replaces(before: LinkRow | undefined, after: LinkRow): boolean {
  return before !== undefined && (before.vni !== after.vni || before.local !== after.local || before.port !== after.port);
}
