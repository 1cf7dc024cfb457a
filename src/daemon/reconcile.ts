/**
 * The kernel is reconciled, not commanded: desired tables, a look at the actual ones, the difference, one ordered pass; whatever
 * failed is still in the difference at the next pass. Level-triggered: any number of reasons during a pass cost one more
 * pass, and the last state always wins. Stopping leaves the kernel as it is.
 */
import { setTimeout as pause } from "node:timers/promises";
import { FaultError, type WorldFault, worldFault } from "#base/fault.ts";
import { type RowChange, type Rows, type TableName, tableNames } from "#base/kernel-row.ts";
import { note } from "#base/note.ts";
import { describeRow, emptyFabric, type Fabric } from "#overlay/fabric.ts";
import { countDiffering, deltaOf, devicesOf, didChange, newDeltas, passStages, sawAll, wantAll } from "#overlay/plan.ts";
import type { Kernel, KernelEvent } from "#ports/kernel.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import type { KernelView } from "./control.ts";

export interface ReconcilerOptions {
  readonly kernel: Kernel;
  readonly telemetry: Telemetry;
  /** Called when links, addresses or other people's routes moved: time to read the underlay again. At most every `eventMillis`. */
  readonly underlayMoved?: () => void;
  /** A full look even if nothing was heard. */
  readonly lookMillis?: number;
  /** Least time between two looks for events. */
  readonly eventMillis?: number;
}

export interface ReconcilerStatus {
  readonly inSync: boolean;
  readonly desired: number;
  /** Rows that are not as they should be, of those that may be touched now. */
  readonly differing: number;
  /** Rows found otherwise than we left them, since the start. */
  readonly drift: number;
  readonly passes: number;
  readonly lastPassMillis: number | null;
}

export interface Reconciler {
  /** What the kernel should hold. `inSync`: every source has said all it knows, so what is not in `fabric` may be removed. */
  want(fabric: Fabric, inSync: boolean): void;
  /** Works until `signal`; `ready` is called after the first pass that knew what was wanted. */
  run(signal: AbortSignal, ready?: () => void): Promise<void>;
  /** Resolves once the row is as it is wanted now (there, or gone); without a row, once everything is. */
  settled(row?: { readonly table: TableName; readonly key: string }): Promise<void>;
  status(): ReconcilerStatus;
  view(): KernelView;
}

const defaults = { lookMillis: 30_000, eventMillis: 200 } as const;
const retry = { firstMillis: 250, mostMillis: 30_000 } as const;
/** Failures logged by row in one pass; beyond, one line says how many more. */
const loggedFailures = 8;
/** Of rows whose device could not be made: the device's failure is said, theirs stand in the view. */
const waitsCode = "kernel.waits";

export function createReconciler(options: ReconcilerOptions): Reconciler {
  return new KernelReconciler(options);
}

interface Waiter {
  readonly row: { readonly table: TableName; readonly key: string } | undefined;
  readonly resolve: () => void;
}

class KernelReconciler implements Reconciler {
  readonly #options: Required<Omit<ReconcilerOptions, "underlayMoved">> & Pick<ReconcilerOptions, "underlayMoved">;
  readonly #deltas = newDeltas();
  readonly #failures = new Map<string, WorldFault>();
  readonly #said = new Map<string, string>();
  #waiters: Waiter[] = [];
  #wanted: { readonly fabric: Fabric; readonly inSync: boolean } | undefined;
  #mayWork = false;
  /** Tables that may not be as believed. */
  #unseen = new Set<TableName>(tableNames);
  #looks = 0;
  #overruns = 0;
  #lookedAt = -Infinity;
  #asked: ReadonlySet<string> = new Set();
  #wake: () => void = () => undefined;
  #retryMillis: number = retry.firstMillis;
  #drift = 0;
  #passes = 0;
  #lastPassMillis: number | null = null;

  constructor(options: ReconcilerOptions) {
    this.#options = { ...defaults, ...options };
    const { telemetry } = options;
    telemetry.gauge("podway_kernel_rows_desired", "Kernel rows Podway wants.", () => this.status().desired);
    telemetry.gauge("podway_kernel_rows_differing", "Kernel rows that are not as wanted.", () => this.status().differing);
    telemetry.gauge("podway_kernel_drift_rows_total", "Kernel rows found otherwise than Podway left them.", () => this.#drift);
    telemetry.gauge("podway_kernel_overruns_total", "Times that kernel notifications were lost, and everything was looked at again.", () => this.#overruns);
    telemetry.gauge("podway_kernel_passes_total", "Reconcile passes.", () => this.#passes);
    telemetry.gauge("podway_kernel_last_pass_seconds", "Duration of the last reconcile pass.", () => (this.#lastPassMillis ?? 0) / 1000);
  }

  want(fabric: Fabric, inSync: boolean): void {
    this.#wanted = { fabric, inSync };
    this.#mark();
  }

  async run(signal: AbortSignal, ready: () => void = () => undefined): Promise<void> {
    const ended = new AbortController(),
      both = AbortSignal.any([signal, ended.signal]);
    const end = (): void => ended.abort();
    await Promise.all([this.#work(both, ready).finally(end), this.#hear(both).finally(end)]);
  }

  settled(row?: { readonly table: TableName; readonly key: string }): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push({ row, resolve });
      this.#mark();
    });
  }

  status(): ReconcilerStatus {
    const inSync = this.#wanted?.inSync ?? false;
    let desired = 0;
    for (const table of tableNames) desired += deltaOf(this.#deltas, table).desired.size;
    return { inSync, desired, differing: countDiffering(this.#deltas, inSync), drift: this.#drift, passes: this.#passes, lastPassMillis: this.#lastPassMillis };
  }

  view(): KernelView {
    return { tables: tableNames.map((name) => ({ name, entries: this.#entries(name) })) };
  }

  async #work(signal: AbortSignal, ready: () => void): Promise<void> {
    const woken = (): void => this.#wake();
    signal.addEventListener("abort", woken);
    for (let waitMillis = 0, isReady = false; ;) {
      await this.#reason(waitMillis, signal);
      if (signal.aborted) return;
      const whole = await this.#pass();
      if (!isReady && this.#wanted !== undefined && this.#looks > 0) {
        isReady = true;
        ready();
      }
      waitMillis = whole ? this.#options.lookMillis : this.#retryMillis;
      this.#retryMillis = whole ? retry.firstMillis : Math.min(retry.mostMillis, this.#retryMillis * 2);
    }
  }

  /** Sleeps until there is a reason to work: something marked, or time for a look. */
  async #reason(waitMillis: number, signal: AbortSignal): Promise<void> {
    if (!this.#mayWork) {
      const timeout = new AbortController();
      await Promise.race([
        new Promise<void>((resolve) => (this.#wake = resolve)),
        pause(waitMillis, undefined, { signal: timeout.signal }).catch(() => undefined),
      ]);
      timeout.abort();
      if (!this.#mayWork && !signal.aborted) this.#doubt(tableNames);
    }
    this.#mayWork = false;
  }

  #mark(): void {
    this.#mayWork = true;
    this.#wake();
  }
  #doubt(tables: Iterable<TableName>): void {
    for (const table of tables) this.#unseen.add(table);
  }

  /** One pass; true if nothing failed. */
  async #pass(): Promise<boolean> {
    const started = performance.now(),
      wanted = this.#wanted,
      fabric = wanted?.fabric ?? emptyFabric;
    if (wanted !== undefined) wantAll(this.#deltas, fabric);
    try {
      // A switch is never written unseen: its value may be one that stays.
      if ([...fabric.sysctl.keys()].some((path) => !this.#asked.has(path))) this.#doubt(["sysctl"]);
      if (started - this.#lookedAt >= this.#options.lookMillis) this.#doubt(tableNames);
      if (this.#unseen.size > 0) await this.#look(fabric);
      const failed = wanted === undefined ? 0 : await this.#write(wanted.inSync);
      this.#passes++;
      this.#lastPassMillis = performance.now() - started;
      this.#release();
      return failed === 0;
    } catch (cause) {
      if (!(cause instanceof FaultError)) throw cause;
      this.#doubt(tableNames);
      this.#sayOnce("kernel.unreachable", `the kernel's tables cannot be read or written: ${cause.fault.text}`);
      return false;
    }
  }

  /** Looks at the tables in doubt; at all of them if a device is not as believed, since what was on it may be gone. */
  async #look(fabric: Fabric): Promise<void> {
    const only = this.#unseen;
    this.#unseen = new Set();
    let drift = await this.#see(fabric, only);
    if (drift.links > 0 && only.size < tableNames.length) {
      const rest = await this.#see(fabric, new Set(tableNames));
      drift = { links: drift.links, all: drift.all + rest.all };
    }
    this.#said.delete("kernel.unreachable");
    if (this.#looks++ === 0 || drift.all === 0) return;
    this.#drift += drift.all;
    const text = `${drift.all} kernel rows were not as Podway left them; they are set right.`;
    this.#options.telemetry.note(note("warn", "kernel.drift", text, { fields: { drift: drift.all } }));
  }

  async #see(fabric: Fabric, only: ReadonlySet<TableName>): Promise<{ readonly links: number; readonly all: number }> {
    const started = performance.now();
    const seen = await this.#options.kernel.look(fabric.sysctl.keys(), only);
    if (seen.sysctl !== undefined) {
      // Switches asked for since the last look are news, not drift.
      if (fabric.sysctl.size > this.#asked.size) this.#deltas.sysctl.saw(seen.sysctl);
      this.#asked = new Set(fabric.sysctl.keys());
    }
    if (only.size === tableNames.length) this.#lookedAt = started;
    const links = seen.link === undefined ? 0 : this.#deltas.link.saw(seen.link);
    return { links, all: links + sawAll(this.#deltas, seen) };
  }

  /** Writes the difference stage by stage; returns how many changes failed. */
  async #write(maySweep: boolean): Promise<number> {
    const failed = new Map<string, WorldFault>(),
      refusedLinks = new Set<string>();
    for (const stage of passStages(this.#deltas, maySweep)) {
      const changes = refusedLinks.size === 0 ? stage : stage.filter((change) => !this.#waits(change, refusedLinks, failed));
      const failures = changes.length === 0 ? [] : await this.#options.kernel.apply(changes);
      const refused = new Set<RowChange>(failures.map((failure) => failure.change));
      for (const change of changes) if (!refused.has(change)) didChange(this.#deltas, change);
      for (const { change, fault } of failures) {
        failed.set(`${change.table} ${change.key}`, fault);
        this.#doubt([change.table]);
        if (change.table === "link") refusedLinks.add(change.key);
      }
      // A device that was made anew took its rows along; what the next stages find must be the truth.
      if (changes.some((change) => change.table === "link")) sawAll(this.#deltas, await this.#options.kernel.look(this.#wanted!.fabric.sysctl.keys()));
    }
    this.#failures.clear();
    for (const [key, fault] of failed) this.#failures.set(key, fault);
    this.#sayFailures();
    return failed.size;
  }

  /** True if the row rests on a device that could not be made: it is not written onto somebody else's. */
  #waits(change: RowChange, refusedLinks: ReadonlySet<string>, failed: Map<string, WorldFault>): boolean {
    const link = devicesOf(change).find((device) => refusedLinks.has(device));
    if (link === undefined) return false;
    failed.set(`${change.table} ${change.key}`, worldFault(waitsCode, `${change.table} ${change.key}: waits for link ${link}.`));
    return true;
  }

  /** Lets go who waited for what is now settled. */
  #release(): void {
    if (this.#waiters.length === 0 || this.#wanted === undefined || this.#looks === 0) return;
    const all = !this.#mayWork && countDiffering(this.#deltas, this.#wanted.inSync) === 0;
    const waiting: Waiter[] = [];
    for (const waiter of this.#waiters) {
      const done = waiter.row === undefined ? all : deltaOf(this.#deltas, waiter.row.table).isSettled(waiter.row.key);
      if (done) waiter.resolve();
      else waiting.push(waiter);
    }
    this.#waiters = waiting;
  }

  /** Kernel events become looks, no oftener than `eventMillis`; a listener that breaks is started again. */
  async #hear(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const event of this.#options.kernel.events(signal)) {
          this.#heard(event);
          await pause(this.#options.eventMillis, undefined, { signal, ref: false }).catch(() => undefined);
        }
      } catch (cause) {
        if (!(cause instanceof FaultError)) throw cause;
        this.#options.telemetry.note(note("warn", "kernel.events", cause.fault.text));
      }
      this.#doubt(tableNames);
      this.#mark();
      await pause(retry.firstMillis * 4, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  #heard(event: KernelEvent): void {
    const moved = event.kind === "overrun" || event.tables.has("underlay");
    const tables = event.kind === "overrun" ? tableNames : [...event.tables].filter((table) => table !== "underlay");
    if (event.kind === "overrun") this.#overruns++;
    this.#doubt(tables);
    if (tables.length > 0) this.#mark();
    if (moved) this.#options.underlayMoved?.();
  }

  #entries(name: TableName): KernelView["tables"][number]["entries"] {
    const { desired, actual } = deltaOf(this.#deltas, name),
      describe = describeRow[name] as (row: Rows[TableName]) => string;
    const text = (row: Rows[TableName] | undefined): string | null => (row === undefined ? null : describe(row));
    return [...new Set([...desired.keys(), ...actual.keys()])].map((key) => ({
      key,
      desired: text(desired.get(key)),
      actual: text(actual.get(key)),
      failure: this.#failures.get(`${name} ${key}`)?.text ?? null,
    }));
  }

  #sayFailures(): void {
    for (const key of this.#said.keys()) if (key !== "kernel.unreachable" && !this.#failures.has(key)) this.#said.delete(key);
    let logged = 0;
    for (const [key, fault] of this.#failures) {
      if (logged === loggedFailures) {
        this.#sayOnce("more failures", `${this.#failures.size - logged} more kernel rows cannot be written; "podway status" lists them.`);
        return;
      }
      if (fault.code === waitsCode) continue;
      this.#sayOnce(key, fault.text);
      logged++;
    }
  }

  /** Says a thing again only when it changed. */
  #sayOnce(key: string, text: string): void {
    if (this.#said.get(key) === text) return;
    this.#said.set(key, text);
    this.#options.telemetry.note(note("error", "kernel.failed", text));
  }
}
