/**
 * Whose fault it is decides what happens next. A peer's is answered by the protocol (wire/bgp returns it), the world's is
 * retried by doing it again, a caller's is one sentence with what to do. The fourth kind is ours and is thrown (assert.ts).
 */
export interface WorldFault {
  readonly whose: "world";
  /** Dotted code, for example `store.unreachable`, `kernel.no-buffer`. */
  readonly code: string;
  readonly text: string;
}
export interface CallerFault {
  readonly whose: "caller";
  /** Dotted code, for example `config.unknown-key`, `api.no-such-peer`, `ipam.exhausted`. */
  readonly code: string;
  /** One sentence that says what is wrong and what to do. */
  readonly text: string;
}
export type Fault = WorldFault | CallerFault;

export type Outcome<T, F = Fault> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly fault: F };

export const ok = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value });
export const failed = <F>(fault: F): { readonly ok: false; readonly fault: F } => ({ ok: false, fault });
export const callerFault = (code: string, text: string): CallerFault => ({ whose: "caller", code, text });
export const worldFault = (code: string, text: string): WorldFault => ({ whose: "world", code, text });

/** A fault on its way up through promises (adapters and doors only). */
export class FaultError extends Error {
  readonly fault: Fault;
  constructor(fault: Fault, cause?: unknown) {
    super(fault.text, cause === undefined ? undefined : { cause });
    this.name = "FaultError";
    this.fault = fault;
  }
}
