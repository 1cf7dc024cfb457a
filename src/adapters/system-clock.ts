/**
 * Monotonic time that counts suspend. CLOCK_BOOTTIME is asked each time (0.1 µs through the C library, against 0.05 µs for
 * performance.now()): Node's own clocks stand still while the machine sleeps, and a correction now and then would be late
 * exactly when it matters.
 */
import type { Instant } from "#base/time.ts";
import type { Clock } from "#ports/clock.ts";
import { checked, libc } from "./libc.ts";

const clockBootTime = 7;
/** struct timespec: seconds and nanoseconds, 64 bits each, little-endian. */
const timespec = new Uint32Array(4);

export const systemClock: Clock = {
  now(): Instant {
    checked(libc.clockGetTime(clockBootTime, timespec), "clock_gettime");
    return ((timespec[0]! + timespec[1]! * 0x1_0000_0000) * 1000 + timespec[2]! / 1e6) as Instant;
  },
};
