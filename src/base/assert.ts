/** A promise of ours that does not hold. Never caught to be repaired, only to be reported (fault.ts: the fourth kind). */
export class Broken extends Error {
  override readonly name = "Broken";
}

/** Our promises only; what a peer, a file or a client sends is answered with a fault, never with this. */
export function assert(condition: boolean, promise: string): asserts condition {
  if (!condition) throw new Broken(promise);
}

/** Closes a switch over a union: a case added later fails to compile here. */
export function never(value: never): never {
  throw new Broken(`unreachable: ${JSON.stringify(value)}`);
}
