/** What both stores refuse, so that what works on one machine works on a cluster too, and the fault a caller gets for it. */
import { FaultError, callerFault, worldFault } from "#base/fault.ts";
import type { Compare, Write } from "#ports/store.ts";

export const storeLimits = {
  /** Octets of one value; etcd refuses requests above 1.5 MiB. */
  valueOctets: 1_048_576,
  keyOctets: 512,
  /** Compares, and writes, of one transaction: etcd's own default. */
  transactionOperations: 128,
  leaseSecondsMax: 9_000_000_000,
} as const;

/** Throws the caller's fault for a transaction no store takes; the stores' single writes pass here as transactions of one. */
export function checkWrites(compares: readonly Compare[], writes: readonly Write[]): void {
  const most = storeLimits.transactionOperations;
  if (compares.length > most || writes.length > most)
    throw refuse(
      "store.too-many-operations",
      `a transaction of ${compares.length} compares and ${writes.length} writes is over the limit of ${most} each; split it`,
    );
  const keys = new Set<string>();
  for (const write of writes) {
    if (keys.has(write.key)) throw refuse("store.duplicate-key", `a transaction writes ${write.key} twice; write each key once`);
    keys.add(write.key);
    if (Buffer.byteLength(write.key) > storeLimits.keyOctets)
      throw refuse("store.too-large", `a key of more than ${storeLimits.keyOctets} octets; use a shorter one`);
    if (write.kind === "put" && write.value.length > storeLimits.valueOctets)
      throw refuse(
        "store.too-large",
        `the value of ${write.key} has ${write.value.length} octets, over the limit of ${storeLimits.valueOctets}; make it smaller`,
      );
  }
}

export function checkTtl(ttlSeconds: number): void {
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > storeLimits.leaseSecondsMax)
    throw refuse("store.bad-ttl", `a lease of ${ttlSeconds} s; give a whole number of seconds, 1 or more`);
}

/** A write bound to a lease that has ended. The writer grants a new one and writes again. */
export const leaseGone = (lease: string, cause?: unknown): FaultError =>
  new FaultError(worldFault("store.lease-gone", `the store holds no lease ${lease} any more; it expired or was revoked`), cause);
export const storeClosed = (): FaultError => new FaultError(worldFault("store.closed", "the store was closed by this daemon"));

const refuse = (code: string, text: string): FaultError => new FaultError(callerFault(code, text));
