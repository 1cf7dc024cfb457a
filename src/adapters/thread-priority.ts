/**
 * The priority of one thread among those of the machine. Measured with every core in use twice over: a thread of usual priority
 * that wants to wake up waited 15 % of the time, up to 0.1 s at once (a nice one hardly less: the scheduler shares out by
 * session first), a real-time one less than a thousandth of that.
 */
import { setPriority } from "node:os";
import { libc } from "./libc.ts";

/** Round robin at the lowest real-time priority; what the thread starts is of usual priority again. */
const roundRobin = 2;
const resetOnFork = 0x4000_0000;
const lowestRealTime = 1;
const niceness = -10;

export type ThreadPriority = "real-time" | "raised" | "usual";

/** Puts the calling thread before others as far as this process may (CAP_SYS_NICE, or LimitRTPRIO=1). It must block often. */
export function raiseThreadPriority(): ThreadPriority {
  if (libc.schedSetScheduler(0, roundRobin | resetOnFork, new Uint32Array([lowestRealTime])) === 0) return "real-time";
  try {
    setPriority(niceness); // on Linux of this thread alone
    return "raised";
  } catch {
    return "usual"; // not permitted either, as the answer says
  }
}
