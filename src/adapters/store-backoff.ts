/** Waiting before trying a store again: doubling, bounded, with jitter so that a cluster does not return in step. */
import { setTimeout as wait } from "node:timers/promises";

export class Backoff {
  readonly #leastMillis: number;
  readonly #mostMillis: number;
  #nextMillis: number;

  constructor(leastMillis: number, mostMillis: number) {
    this.#leastMillis = leastMillis;
    this.#mostMillis = mostMillis;
    this.#nextMillis = leastMillis;
  }

  reset(): void {
    this.#nextMillis = this.#leastMillis;
  }

  /** Waits between a half and the whole of the next step; ends at once, without a fault, when `signal` says so. */
  async pause(signal: AbortSignal): Promise<void> {
    const millis = this.#nextMillis * (0.5 + Math.random() / 2);
    this.#nextMillis = Math.min(this.#nextMillis * 2, this.#mostMillis);
    await wait(millis, undefined, { signal }).catch(() => undefined);
  }
}
