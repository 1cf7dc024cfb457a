/** Runs a lab's expectations: looks at each until it is seen or the time is up, and then says exactly what is missing. */
import { setTimeout as sleep } from "node:timers/promises";
import { eachBounded } from "./command.ts";
import { describeExpectation, type Expectation } from "./expectation.ts";
import type { LabOptions } from "./netns.ts";
import type { LabPlan } from "./plan.ts";
import { lookFor, type Sight } from "./probe.ts";
import type { LabRecord } from "./record.ts";

/** Looks at a time: enough to have many pings under way, few enough for a small machine. */
const parallel = 8;
const pauseMillis = 250;

export interface Finding {
  readonly expectation: Expectation;
  readonly seen: boolean;
  /** One sentence: what was expected, and what there is instead if it was not seen. */
  readonly text: string;
  /** Round trip of a ping. */
  readonly millis: number | undefined;
}

export interface Report {
  readonly findings: readonly Finding[];
  readonly missing: readonly Finding[];
  readonly seconds: number;
}

/**
 * Waits for every expectation of `plan`, at most its `withinSeconds`. What must be absent is looked at when the rest has been
 * seen, since before that it proves nothing.
 */
export async function checkLab(record: LabRecord, plan: LabPlan, options: LabOptions): Promise<Report> {
  const started = performance.now();
  const deadline = started + plan.withinSeconds * 1000;
  const sights = new Map<Expectation, Sight>();
  const absences = plan.expectations.filter(isAbsence);
  const presences = plan.expectations.filter((one) => !isAbsence(one));
  options.say(`lab ${record.lab}: ${plan.expectations.length} expectations, at most ${plan.withinSeconds} s`);
  for (const wave of [presences, absences]) await lookUntil(record, wave, { sights, deadline, options });
  const findings = plan.expectations.map((expectation) => finding(expectation, sights.get(expectation)!));
  return { findings, missing: findings.filter((one) => !one.seen), seconds: (performance.now() - started) / 1000 };
}

interface Looking {
  readonly sights: Map<Expectation, Sight>;
  readonly deadline: number;
  readonly options: LabOptions;
}

async function lookUntil(record: LabRecord, wave: readonly Expectation[], looking: Looking): Promise<void> {
  let left = wave;
  let said = "";
  for (;;) {
    looking.options.signal?.throwIfAborted();
    await eachBounded(left, parallel, async (expectation) => {
      looking.sights.set(expectation, await lookFor(record, expectation));
    });
    left = left.filter((expectation) => !looking.sights.get(expectation)!.seen);
    if (left.length === 0 || performance.now() >= looking.deadline) return;
    const line = `${left.length} to go: ${describeExpectation(left[0]!)}`;
    if (line !== said) looking.options.say(line);
    said = line;
    await sleep(pauseMillis);
  }
}

function isAbsence(expectation: Expectation): boolean {
  return expectation.kind === "route" && expectation.absent;
}

function finding(expectation: Expectation, sight: Sight): Finding {
  const expected = describeExpectation(expectation);
  return {
    expectation,
    seen: sight.seen,
    text: sight.seen ? expected : `not seen: ${expected}: ${sight.instead}`,
    millis: sight.seen ? sight.millis : undefined,
  };
}
