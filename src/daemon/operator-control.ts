/**
 * What an operator may have done: the verbs that change something, beside the questions of control.ts. Each answers what was
 * done, in sentences; a fault is one sentence that says what to do instead. Without force nothing that others depend on ends.
 */
import type { CallerFault, Outcome } from "#base/fault.ts";
import type { PlanView } from "./control.ts";

type Answered<T> = Promise<Outcome<T, CallerFault>>;

export interface OperatorControl {
  /** Keeps what `podway apply --confirm` put into force. */
  confirm(): Answered<DoneView>;
  /** Documents of before, newest first. */
  history(): Answered<HistoryView>;
  /** `revision` as `history` names it; absent: what was before. */
  rollback(request: { readonly revision?: string; readonly by: string }): Answered<AppliedView>;

  /** Ends a session, which comes back by itself; `hard`: neither side keeps routes meanwhile (RFC 8538). */
  resetPeer(request: { readonly name: string; readonly hard: boolean; readonly text: string }): Outcome<DoneView, CallerFault>;
  /** In: the peer tells everything again (RFC 2918). Out: it is told everything again. */
  refreshPeer(request: { readonly name: string; readonly direction: "in" | "out" }): Outcome<DoneView, CallerFault>;
  /** Keeps a peer down, also over restarts of this daemon, until `enablePeer`; `text` is told to it (RFC 9003). */
  shutdownPeer(request: { readonly name: string; readonly text: string }): Answered<DoneView>;
  enablePeer(request: { readonly name: string }): Answered<DoneView>;

  /** Takes a node (this one if none is named) out of service: graceful shutdown (RFC 8326), then its sessions end; no new pods. */
  drain(request: {
    readonly node?: string;
    readonly force: boolean;
    readonly text: string;
    readonly by: string;
    readonly graceSeconds?: number;
  }): Answered<DoneView>;
  undrain(request: { readonly node?: string }): Answered<DoneView>;
  /** Frees what a dead node holds. */
  evict(request: { readonly node: string; readonly force: boolean }): Answered<DoneView>;
  /** Ends this daemon for good: withdraws, ends sessions hard, frees its CIDRs. `podway leave` does the rest when it has ended. */
  leave(): Answered<DoneView>;
}

export interface DoneView {
  /** What was done: one sentence. */
  readonly text: string;
  /** Its parts, one sentence each. */
  readonly details: readonly string[];
}

export type AppliedView = PlanView & { readonly revision: string };

export interface HistoryView {
  /** What waits for `podway confirm`; null: nothing. */
  readonly pending: { readonly revision: string; readonly by: string; readonly secondsLeft: number } | null;
  readonly revisions: readonly RevisionView[];
}

export interface RevisionView {
  readonly revision: string;
  /** ISO 8601, by the clock of the node that wrote it. */
  readonly at: string;
  readonly by: string;
  readonly node: string;
  readonly how: string;
  readonly rules: boolean;
  readonly changes: readonly string[];
  /** Changes that are not listed. */
  readonly more: number;
}

/** Paths of the HTTP door, each a POST but `history`. */
export const operatorPaths = {
  confirm: "/v1/confirm",
  history: "/v1/history",
  rollback: "/v1/rollback",
  resetPeer: "/v1/peers/reset",
  refreshPeer: "/v1/peers/refresh",
  shutdownPeer: "/v1/peers/shutdown",
  enablePeer: "/v1/peers/enable",
  drain: "/v1/drain",
  undrain: "/v1/undrain",
  evict: "/v1/evict",
  leave: "/v1/leave",
} as const;
