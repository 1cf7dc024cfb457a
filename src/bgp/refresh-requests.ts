/**
 * Peers that were asked to tell everything again and have not begun. With enhanced route refresh the answer begins with BoRR
 * (RFC 7313 §4), even if there is nothing to tell; one that never comes is no answer (FRR 8.4 gives none to the request of RFC 2918
 * once both sides offered the enhanced form). What an import policy refused or rewrote is not kept in the form it came in, so what
 * is left then is to begin the session anew.
 */
import { after, type Instant, millis } from "#base/time.ts";

/** A peer begins to answer within this. */
export const refreshAnswerMillis = millis(15_000);

export class RefreshRequests {
  readonly #until = new Map<number, Instant>();

  asked(peer: number, now: Instant): void {
    if (!this.#until.has(peer)) this.#until.set(peer, after(now, refreshAnswerMillis));
  }
  /** It began to answer, or its session is over. */
  settled(peer: number): void {
    this.#until.delete(peer);
  }
  /** Those whose time is over, each once. */
  takeLate(now: Instant): readonly number[] {
    const late = [...this.#until].filter(([, until]) => until <= now).map(([peer]) => peer);
    for (const peer of late) this.#until.delete(peer);
    return late;
  }
  nextDeadline(): Instant | undefined {
    return this.#until.size === 0 ? undefined : (Math.min(...this.#until.values()) as Instant);
  }
}
