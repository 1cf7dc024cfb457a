/**
 * Our table of packet rules, kept as it should be, and an eye on who drops pods' packets. Level-triggered like the reconcile loop:
 * what is wanted, a look, the difference, a transaction. The rules' generation is asked for twice a second, and only when it
 * moved is anything read. Stopping leaves the table; once no pool masquerades any more it is removed.
 */
import { setTimeout as pause } from "node:timers/promises";
import { FaultError } from "#base/fault.ts";
import type { FilterChange, FilterTable, SeenTable } from "#base/filter-table.ts";
import { note } from "#base/note.ts";
import { changeTo } from "#overlay/filter-change.ts";
import { findForwardDrops, type ForwardProbe } from "#overlay/forward-drops.ts";
import type { PacketFilter } from "#ports/filter.ts";
import type { Telemetry } from "#ports/telemetry.ts";

export interface FilterWanted {
  /** Undefined: no pool masquerades, and no port leads to a pod. */
  readonly table: FilterTable | undefined;
  /** The document is known for sure, so a table that it does not want may go. */
  readonly maySweep: boolean;
  /** Pods' connections that other people's rules must let through. */
  readonly probes: readonly ForwardProbe[];
}

export interface FilterKeeperOptions {
  /** Opens the rules of this network namespace; called when the task starts, and again if that failed. */
  readonly open: () => PacketFilter;
  readonly telemetry: Telemetry;
  /** How often the generation is asked for. */
  readonly tickMillis?: number;
  /** A look even if nothing seems to have happened. */
  readonly lookMillis?: number;
  /** Least time between two readings of other people's chains, which may be many. */
  readonly judgeMillis?: number;
}

export interface FilterKeeper {
  want(wanted: FilterWanted): void;
  run(signal: AbortSignal): Promise<void>;
  /** Resolves once the table is as it is wanted now; what is in the way, if it was not within `millis`. */
  settled(millis: number): Promise<string | undefined>;
  /** For a person: what does not work, and who drops pods' packets; one sentence each. */
  warnings(): readonly string[];
  status(): { readonly inSync: boolean; readonly looks: number; readonly writes: number; readonly drift: number };
}

const defaults = { tickMillis: 500, lookMillis: 30_000, judgeMillis: 5000 } as const;
const retry = { firstMillis: 500, mostMillis: 30_000 } as const;
/** Writes of one pass: sets, elements, rules and what is left over, and once more all of it if something was refused. */
const mostWrites = 6;

/** A transaction, the generation before it, and whether it came to nothing. */
interface Written {
  readonly change: FilterChange;
  readonly before: number;
  readonly isRefused: boolean;
}

export function createFilterKeeper(options: FilterKeeperOptions): FilterKeeper {
  return new RulesKeeper(options);
}

class RulesKeeper implements FilterKeeper {
  readonly #options: Required<FilterKeeperOptions>;
  #filter: PacketFilter | undefined;
  #wanted: FilterWanted | undefined;
  #isNews = false;
  #wake: () => void = () => undefined;
  /** The generation that was found right, when, and for what was wanted then. */
  #right: { readonly generation: number; readonly atMillis: number; readonly wanted: FilterWanted } | undefined;
  /** What the kernel showed of a table's rules right after we wrote them. */
  #ownRules: { readonly table: FilterTable; readonly text: string } | undefined;
  #judged: { readonly generation: number; readonly atMillis: number; readonly probes: readonly ForwardProbe[] } | undefined;
  #drops: readonly string[] = [];
  #trouble: string | undefined;
  #waiting: (() => void)[] = [];
  #count = { looks: 0, writes: 0, drift: 0 };

  constructor(options: FilterKeeperOptions) {
    this.#options = { ...defaults, ...options };
    const { telemetry } = options;
    telemetry.gauge("podway_filter_writes_total", "Transactions on Podway's table of packet rules.", () => this.#count.writes);
    telemetry.gauge("podway_filter_drift_total", "Times that table was found otherwise than Podway left it.", () => this.#count.drift);
    telemetry.gauge("podway_filter_dropping_chains", "Other people's chains that drop pods' packets.", () => this.#drops.length);
  }

  want(wanted: FilterWanted): void {
    this.#wanted = wanted;
    this.#isNews = true;
    this.#wake();
  }

  async settled(millis: number): Promise<string | undefined> {
    const isThere = (): boolean => this.#right !== undefined && isSame(this.#right.wanted, this.#wanted);
    for (const end = performance.now() + millis; !isThere();) {
      const left = end - performance.now();
      if (left <= 0) return this.#trouble ?? `they were not written within ${millis / 1000} s`;
      const timeout = new AbortController();
      const passed = new Promise<void>((resolve) => this.#waiting.push(resolve));
      await Promise.race([passed, pause(left, undefined, { signal: timeout.signal }).catch(() => undefined)]);
      timeout.abort();
    }
    return undefined;
  }

  warnings(): readonly string[] {
    return this.#trouble === undefined || this.#wanted?.table === undefined ? this.#drops : [this.#trouble, ...this.#drops];
  }

  status(): ReturnType<FilterKeeper["status"]> {
    return { inSync: this.#right !== undefined && isSame(this.#right.wanted, this.#wanted), ...this.#count };
  }

  async run(signal: AbortSignal): Promise<void> {
    const woken = (): void => this.#wake();
    signal.addEventListener("abort", woken);
    for (let waitMillis = 0; !signal.aborted;) {
      await this.#reason(waitMillis);
      if (signal.aborted) break;
      const isWell = this.#wanted === undefined || (await this.#pass(this.#wanted));
      for (const resolve of this.#waiting.splice(0)) resolve();
      waitMillis = isWell ? this.#options.tickMillis : Math.min(retry.mostMillis, Math.max(retry.firstMillis, waitMillis * 2));
    }
    await this.#filter?.close();
  }

  /** Sleeps until something is newly wanted, or `waitMillis` have passed. */
  async #reason(waitMillis: number): Promise<void> {
    if (!this.#isNews) {
      const timeout = new AbortController();
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      await Promise.race([woken, pause(waitMillis, undefined, { signal: timeout.signal }).catch(() => undefined)]);
      timeout.abort();
    }
    this.#isNews = false;
  }

  /** True if nothing failed. */
  async #pass(wanted: FilterWanted): Promise<boolean> {
    try {
      const filter = (this.#filter ??= this.#options.open()),
        generation = filter.generation();
      if (!this.#isRight(generation, wanted)) await this.#setRight(filter, wanted);
      await this.#judge(filter, wanted.probes);
      this.#trouble = undefined;
      return true;
    } catch (cause) {
      if (!(cause instanceof FaultError)) throw cause;
      this.#right = undefined;
      this.#say(cause.fault.text, wanted.table !== undefined);
      return false;
    }
  }

  #isRight(generation: number, wanted: FilterWanted): boolean {
    const right = this.#right;
    return right?.generation === generation && isSame(right.wanted, wanted) && performance.now() - right.atMillis < this.#options.lookMillis;
  }

  async #setRight(filter: PacketFilter, wanted: FilterWanted): Promise<void> {
    const { table, maySweep } = wanted,
      wasRight = this.#right !== undefined && isSame(this.#right.wanted, wanted);
    if (this.#ownRules?.table !== table) this.#ownRules = undefined;
    let last: Written | undefined;
    for (let writes = 0; ; writes++) {
      const generation = filter.generation(),
        seen = await filter.look();
      this.#count.looks++;
      // Nobody wrote since we did: what stands there is what we meant, however it reads.
      const isOurs = last?.change.kind === "rules" && generation === last.before + 1 && filter.generation() === generation;
      if (isOurs && table !== undefined && seen !== undefined) this.#ownRules = { table, text: seen.rulesText };
      const change = this.#changeTo(table, seen, last);
      if (change === undefined || (change.kind === "remove" && !maySweep)) {
        this.#right = { generation, atMillis: performance.now(), wanted };
        if (writes > 0) this.#sayWritten(table);
        return;
      }
      if (writes === mostWrites) throw new FaultError({ whose: "world", code: "filter.contended", text: contended });
      if (writes === 0 && wasRight) this.#drifted();
      this.#right = undefined;
      last = await this.#write(filter, change, generation);
    }
  }

  #changeTo(table: FilterTable | undefined, seen: SeenTable | undefined, last: Written | undefined): FilterChange | undefined {
    const change = changeTo(table, seen, this.#ownRules?.text);
    // What does not fit what is there: all of it is made anew.
    return change !== undefined && table !== undefined && last?.isRefused === true ? { kind: "anew", table } : change;
  }

  async #write(filter: PacketFilter, change: FilterChange, before: number): Promise<Written> {
    this.#count.writes++;
    try {
      await filter.apply(change);
      return { change, before, isRefused: false };
    } catch (cause) {
      if (!(cause instanceof FaultError) || cause.fault.code !== "filter.refused" || change.kind === "anew" || change.kind === "remove") throw cause;
      return { change, before, isRefused: true };
    }
  }

  #sayWritten(table: FilterTable | undefined): void {
    const [event, text] = table === undefined ? (["filter.removed", saidOf.removed] as const) : (["filter.written", saidOf.written] as const);
    this.#options.telemetry.note(note("info", event, text));
  }

  #drifted(): void {
    this.#count.drift++;
    this.#options.telemetry.note(note("warn", "filter.drift", "the nftables table inet podway was not as Podway left it; it is set right."));
  }

  /** Other people's chains are read when the rules moved or other CIDRs are ours. */
  async #judge(filter: PacketFilter, probes: readonly ForwardProbe[]): Promise<void> {
    const generation = filter.generation(),
      judged = this.#judged;
    if (judged?.generation === generation && judged.probes === probes) return;
    if (judged !== undefined && performance.now() - judged.atMillis < this.#options.judgeMillis && judged.probes === probes) return;
    const drops = probes.length === 0 ? [] : await this.#dropsOf(filter, probes);
    this.#judged = { generation, atMillis: performance.now(), probes };
    for (const drop of drops) if (!this.#drops.includes(drop)) this.#options.telemetry.note(note("warn", "filter.forward-drop", drop));
    this.#drops = drops;
  }

  /** What cannot be read of other people's rules is no reason to neglect our own. */
  async #dropsOf(filter: PacketFilter, probes: readonly ForwardProbe[]): Promise<readonly string[]> {
    try {
      return findForwardDrops(await filter.forwardChains(), probes);
    } catch (cause) {
      if (!(cause instanceof FaultError)) throw cause;
      this.#options.telemetry.note(note("debug", "filter.unreadable", `whether somebody drops pods' packets is not known: ${cause.fault.text}`));
      return this.#drops;
    }
  }

  /** Says a thing once; it matters to nobody while no pool masquerades. */
  #say(text: string, matters: boolean): void {
    if (this.#trouble === text) return;
    this.#trouble = text;
    this.#options.telemetry.note(note(matters ? "error" : "debug", "filter.failed", text));
  }
}

/** What other people's rules must let through is no matter of our table. */
const isSame = (a: FilterWanted, b: FilterWanted | undefined): boolean => a.table === b?.table && a.maySweep === b?.maySweep;

const contended = "the nftables table inet podway is changed by somebody as fast as Podway writes it; find out who with `nft monitor`.";

const saidOf = {
  written: "the nftables table inet podway was written: what leaves under this node's address, and which of its ports lead to pods.",
  removed: "the nftables table inet podway was removed: no pool masquerades, and no port leads to a pod.",
} as const;
