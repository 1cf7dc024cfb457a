/** Whether the kernel's clock is disciplined by a time source: adjtimex(2), read only. */
import { libc } from "./libc.ts";

/** struct timex on 64-bit machines; modes 0 changes nothing. */
const timexOctets = 208;
/** Return value: the clock is not synchronised. */
const timeError = 5;

/** Undefined if the system does not say. */
export function isClockSynchronised(): boolean | undefined {
  const state = libc.adjtimex(new Uint8Array(timexOctets));
  return state < 0 ? undefined : state !== timeError;
}
