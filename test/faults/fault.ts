/** What a fault is, and one run of it: pings and monitors around it, the state before and after, and what that is worth. */
import { setTimeout as sleep } from "node:timers/promises";
import { awaitFact } from "#lab/command.ts";
import { daemons, type FaultLab, type Say } from "./lab.ts";
import type { PairReport, ProbePair } from "./prober.ts";
import { differences, readState } from "./state.ts";
import { watch } from "./watching.ts";

export interface Fault {
  readonly name: string;
  /** What is done, in a few words. */
  readonly what: string;
  /** `none`: nothing may be lost. `until-repair`: only rows of ours were harmed, so only until they are repaired, and that within a second. */
  readonly loss: "none" | "until-repair";
  /**
   * Pairs with this machine in their name may lose: it is behind a router that does not know RFC 8538, and RFC 4271 has it forget our routes.
   */
  readonly spares?: string;
  /** Rows that the fault itself has come and go: their deletion is no loss. */
  readonly passing?: RegExp;
  /** `none`: the sessions of those that were left alone stay up. */
  readonly flaps?: "none";
  /** Pings beside those of the pods. */
  readonly pairs?: (lab: FaultLab) => readonly ProbePair[];
  /** Lines of the state that are meant to be others afterwards. */
  readonly differs?: RegExp;
  /** Brings the lab to where the fault begins, and back to where every fault begins; not judged but for what they answer. */
  readonly prepare?: (lab: FaultLab) => Promise<string | undefined>;
  readonly restore?: (lab: FaultLab) => Promise<string | undefined>;
  /** What is done. May take its time, and returns what it measured. */
  run(scene: Scene): Promise<Measured | void>;
}

export interface Measured {
  /** Milliseconds from the harm to everything being right again, and the most it may be. */
  readonly repair?: { readonly millis: number; readonly most: number };
  /** How long the harm itself lasted, before anything could be repaired. */
  readonly harmMillis?: number;
  /** What went wrong besides, one sentence each. */
  readonly wrong?: readonly string[];
}

export interface Scene {
  readonly lab: FaultLab;
  readonly say: Say;
  /** Waits for so many seconds of the product's own time, shortened by the scale. */
  outage(seconds: number): Promise<void>;
}

export interface Row {
  readonly fault: Fault;
  readonly sent: number;
  readonly lost: number;
  readonly control: { readonly sent: number; readonly lost: number };
  readonly repairMillis: number | undefined;
  readonly equal: boolean;
  readonly deletions: number;
  /** Milliseconds since the epoch. */
  readonly began: number;
  readonly seconds: number;
  /** Why the row failed; none: it passed. */
  readonly wrong: readonly string[];
}

/** How long everything may take to be as before; how long that is, is judged by the pings and by `repair`. */
const settleMillis = 60_000;
/** Pings go on for so long after everything is as before: what is swept late is seen. */
const afterMillis = 4000;
/** A lost ping may have been sent this long after the repair was seen done (we look every so often). */
const repairLookMillis = 150;

/** One row of the table. What keeps it from being measured at all is written into it; the next may do better. */
export async function perform(fault: Fault, lab: FaultLab, say: Say): Promise<Row> {
  const began = Date.now();
  const row = await measure(fault, lab, say).catch((error: unknown): Row => {
    const wrong = [error instanceof Error ? error.message : String(error)],
      nothing = { sent: 0, lost: 0 };
    return { fault, ...nothing, control: nothing, repairMillis: undefined, equal: false, deletions: 0, began, seconds: (Date.now() - began) / 1000, wrong };
  });
  const left = await fault.restore?.(lab).catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
  return left === undefined ? row : { ...row, wrong: [...row.wrong, `after the fault: ${left}`] };
}

async function measure(fault: Fault, lab: FaultLab, say: Say): Promise<Row> {
  const started = Date.now(),
    wrong: string[] = [];
  await lab.revive();
  const unprepared = await fault.prepare?.(lab);
  if (unprepared !== undefined) wrong.push(`before the fault: ${unprepared}`);
  const unready = await lab.settled(settleMillis);
  if (unready !== undefined) wrong.push(`before the fault: ${unready}`);
  const before = await readState(lab),
    pidsBefore = pids(lab),
    flapsBefore = await flaps(lab);
  const pairs = [...lab.pairs(), ...(fault.pairs?.(lab) ?? [])],
    watching = await watch(lab, [...pairs, ...lab.controls()]);
  const changes = async (): Promise<readonly string[]> => differences(before, await readState(lab)).filter((line) => fault.differs?.test(line) !== true);
  await sleep(1000);
  const done = Date.now();
  const scene: Scene = { lab, say, outage: (seconds) => sleep(seconds * 1000 * lab.scale) };
  const measured = await fault.run(scene).catch((error: unknown): Measured => ({ wrong: [error instanceof Error ? error.message : String(error)] }));
  wrong.push(...(measured?.wrong ?? []));
  const left = await lab.settled(settleMillis);
  if (left !== undefined) wrong.push(`${settleMillis / 1000} s after the fault: ${left}`);
  const differing = await awaitFact(async () => ((await changes()).length === 0 ? true : undefined), { millis: 5000, everyMillis: 500 });
  await sleep(afterMillis);
  const { probe, deletions: all } = await watching.stop();
  const deletions = all.filter((line) => fault.passing?.test(line) !== true);
  const difference = await changes();
  if (difference.length > 0)
    wrong.push(
      `${differing ? "changed late" : "not as before"}: ${difference.slice(0, 4).join(" | ")}${difference.length > 4 ? ` and ${difference.length - 4} more` : ""}`,
    );
  const repair = measured?.repair;
  if (repair && repair.millis > repair.most) wrong.push(`repaired after ${repair.millis.toFixed(0)} ms, not within ${repair.most} ms`);
  if (fault.flaps === "none") wrong.push(...(await flapped(lab, flapsBefore)), ...died(lab, pidsBefore));
  const ours = probe.pairs.slice(0, pairs.length),
    control = probe.pairs.slice(pairs.length);
  wrong.push(...judgeLoss(fault, ours, { done, measured: measured ?? {} }));
  if (fault.loss === "none" && fault.spares === undefined && deletions.length > 0)
    wrong.push(`${deletions.length} rows of ours were deleted: ${deletions.slice(0, 3).join(" | ")}`);
  return {
    fault,
    ...total(ours),
    control: total(control),
    repairMillis: repair?.millis,
    equal: difference.length === 0,
    deletions: deletions.length,
    began: done,
    seconds: (Date.now() - started) / 1000,
    wrong,
  };
}

function total(pairs: readonly PairReport[]): { sent: number; lost: number } {
  return { sent: pairs.reduce((sum, pair) => sum + pair.sent, 0), lost: pairs.reduce((sum, pair) => sum + pair.lost, 0) };
}

interface When {
  /** When the fault began, milliseconds since the epoch. */
  readonly done: number;
  readonly measured: Measured;
}

function judgeLoss(fault: Fault, pairs: readonly PairReport[], { done, measured: { repair, harmMillis = 0 } }: When): string[] {
  const until = fault.loss === "none" || !repair ? 0 : harmMillis + repair.millis + repairLookMillis;
  const judged = pairs.filter(({ name }) => fault.spares === undefined || !name.includes(fault.spares));
  const bad = judged.flatMap(({ name, gaps }) => gaps.filter(({ from, to }) => fault.loss === "none" || to - from > until).map((gap) => ({ name, ...gap })));
  return together(bad.toSorted((a, b) => a.from - b.from)).map(({ names, lost, from, to }) => {
    const who = `${names.slice(0, 3).join(", ")}${names.length > 3 ? ` and ${names.length - 3} more pairs` : ""}`;
    return `${who} lost ${lost}, sent ${seconds(from - done)} to ${seconds(to - done)} s after the beginning`;
  });
}

interface Burst {
  readonly names: string[];
  lost: number;
  readonly from: number;
  to: number;
}

/** Gaps of several pairs that overlap in time are one event. */
function together(gaps: readonly { readonly name: string; readonly from: number; readonly to: number; readonly lost: number }[]): Burst[] {
  const bursts: Burst[] = [];
  for (const { name, from, to, lost } of gaps) {
    const last = bursts.at(-1);
    if (!last || from > last.to + 50) {
      bursts.push({ names: [name], lost, from, to });
      continue;
    }
    if (!last.names.includes(name)) last.names.push(name);
    last.lost += lost;
    last.to = Math.max(last.to, to);
  }
  return bursts;
}

const seconds = (millis: number): string => (millis / 1000).toFixed(2);

const pids = (lab: FaultLab): ReadonlyMap<string, number> => new Map(daemons.map((name) => [name, lab.pid(name)]));

function died(lab: FaultLab, before: ReadonlyMap<string, number>): string[] {
  return daemons.filter((name) => lab.pid(name) !== before.get(name)).map((name) => `${name}'s daemon is another process than before`);
}

async function flaps(lab: FaultLab): Promise<ReadonlyMap<string, number>> {
  const all = await Promise.all(
    daemons.map(async (name) => (await lab.peers(name)).map((peer) => [`${name}'s session with ${peer.name}`, peer.flaps] as const)),
  );
  return new Map(all.flat());
}

async function flapped(lab: FaultLab, before: ReadonlyMap<string, number>): Promise<string[]> {
  const after = await flaps(lab);
  return [...before].flatMap(([name, count]) =>
    after.get(name) === count || name.endsWith(" rude") ? [] : [`${name} went down ${(after.get(name) ?? 0) - count} times`],
  );
}
