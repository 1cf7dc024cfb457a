import type { Instant } from "#base/time.ts";

/** Monotonic time that counts suspend (CLOCK_BOOTTIME), so that a lease cannot outlive a night in a closed laptop. */
export interface Clock {
  now(): Instant;
}
