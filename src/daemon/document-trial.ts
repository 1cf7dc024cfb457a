/**
 * `podway apply --confirm`: a document that goes back by itself. The trial stands in the store beside the document, written in
 * one transaction with it, so that it outlives the daemon that took the apply: whoever watches takes the document back at the
 * deadline, by compare-and-swap on both, and the first one wins.
 *
 * Must stay true: a trial counts only for the very revision it was written with; a later document makes it void.
 */
import type { Instant } from "#base/time.ts";
import { systemClock } from "#adapters/system-clock.ts";
import type { Entry, Write } from "#ports/store.ts";
import { type Author, pack, unpack } from "./document-history.ts";

/** Begins as the document's key does, so that one watch sees both in their order. */
export const trialKey = "document-trial";

export const trialLimits = {
  leastSeconds: 1,
  mostSeconds: 86_400,
  /** The daemon that took the apply goes first; others come this much later, so that one of them writes. */
  othersWaitMillis: 2000,
  /** A store that does not answer at the deadline is asked again after this. */
  retryMillis: 2000,
  /** Timers stand still in a suspend and the clock does not: looked at this often at least. */
  lookMillis: 5000,
} as const;

export interface Trial extends Author {
  /** Of the trial and of the document it came with. */
  readonly revision: bigint;
  /** Milliseconds since 1970, by the clock of the node that wrote it. */
  readonly at: number;
  readonly seconds: number;
  /** The document that rules again unless it is confirmed. */
  readonly back: string;
}

export function writeTrial({ by, node, seconds, back }: Omit<Trial, "revision" | "at">): Write {
  const value = { schema: 1, at: Date.now(), seconds, by, node, back: pack(back) };
  return { kind: "put", key: trialKey, value: new TextEncoder().encode(JSON.stringify(value)) };
}

/** Undefined if it cannot be read: a newer daemon's, which will see to it. */
export function readTrial({ value, modRevision }: Entry): Trial | undefined {
  try {
    const { schema, at, seconds, by, node, back } = JSON.parse(new TextDecoder().decode(value)) as Record<string, unknown>;
    if (schema !== 1 || typeof at !== "number" || typeof seconds !== "number" || typeof back !== "string") return undefined;
    return { revision: modRevision, at, seconds, by: String(by), node: String(node), back: unpack(back) };
  } catch {
    return undefined;
  }
}

/** Milliseconds until it is due for a daemon that finds it now: by the clocks' word if it was there before, else from now on. */
export function millisUntilDue(trial: Trial, foundLater: boolean): number {
  const whole = trial.seconds * 1000;
  return foundLater ? Math.min(whole, Math.max(0, trial.at + whole - Date.now())) : whole;
}

/** Calls back once, after so much time of a clock that counts suspend. */
export class Countdown {
  #timer: NodeJS.Timeout | undefined;
  #end: Instant | undefined;

  start(millis: number, due: () => void): void {
    this.stop();
    this.#end = (systemClock.now() + millis) as Instant;
    this.#look(due);
  }
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#end = undefined;
  }
  /** Undefined while nothing is counted. */
  get secondsLeft(): number | undefined {
    return this.#end === undefined ? undefined : Math.max(0, Math.ceil((this.#end - systemClock.now()) / 1000));
  }

  #look(due: () => void): void {
    const left = this.#end! - systemClock.now();
    if (left <= 0) return due();
    this.#timer = setTimeout(() => this.#look(due), Math.min(left, trialLimits.lookMillis)).unref();
  }
}
