/**
 * How long a neighbour waits: before the next dial after one that failed (ConnectRetryTimer), and in Idle after a session
 * that ended (IdleHoldTimer; DampPeerOscillations, RFC 4271 §8.1.1). One per neighbour: it outlives its connections.
 * Inbound connections never wait: fsm.ts takes them in every state that is not administratively down.
 */
import { type Instant, type Millis, after, millis } from "#base/time.ts";

/** A reflector that restarts is found again within this by those who dial it. */
export const eagerDialMillis = 1000;
/** So many dials are eager; after them the wait doubles up to the configured ConnectRetry time. */
const eagerDials = 15;
const firstIdleHoldMillis = 500;
/** A peer that rejects us for good costs one connection a minute. */
const idleHoldCeilingMillis = 60_000;
/** A session that lived this long was a good one: what ended it is no oscillation. */
const stableMillis = 5000;

export class BackOff {
  #dials = 0;
  #falls = 0;
  #exhausted = false;
  #barredUntil: Instant | undefined;
  /** The next stay in Idle, which is as long. */
  #barredFor: Millis | undefined;
  #connectRetryMillis: number;

  constructor(connectRetrySeconds: number) {
    this.#connectRetryMillis = connectRetrySeconds * 1000;
  }

  set connectRetrySeconds(value: number) {
    this.#connectRetryMillis = value * 1000;
  }

  /** ConnectRetryCounter (RFC 4271 §8.1): attempts since a session was last Established. */
  get attempts(): number {
    return this.#dials + this.#falls;
  }

  /** Wait before the next dial, without jitter. */
  nextDial(): Millis {
    const doublings = Math.min(Math.max(0, this.#dials++ - eagerDials + 1), 16);
    return millis(Math.min(eagerDialMillis * 2 ** doublings, Math.max(this.#connectRetryMillis, eagerDialMillis)));
  }

  /** Stay in Idle after a fall, without jitter: doubles from fall to fall. */
  nextIdleHold(): Millis {
    if (this.#barredFor !== undefined) {
      const wait = this.#barredFor;
      this.#barredFor = undefined;
      return wait;
    }
    if (this.#exhausted) {
      this.#exhausted = false;
      return millis(idleHoldCeilingMillis);
    }
    return millis(Math.min(firstIdleHoldMillis * 2 ** Math.min(this.#falls++, 16), idleHoldCeilingMillis));
  }

  established(): void {
    this.#dials = 0;
  }

  /** A session that was Established since `since` is over. */
  ended(since: Instant, now: Instant): void {
    if (now - since >= stableMillis) this.#falls = 0;
  }

  /** Nobody gets in, not even by dialling us, until then: a prefix limit was passed. */
  bar(wait: Millis, now: Instant): void {
    this.#barredFor = wait;
    this.#barredUntil = after(now, wait);
  }
  get barredUntil(): Instant | undefined {
    return this.#barredUntil;
  }
  isBarred(now: Instant): boolean {
    return this.#barredUntil !== undefined && now < this.#barredUntil;
  }

  /** The next fall waits as long as it goes: coming back at once would end the same way (a prefix limit, a fault of ours). */
  exhaust(): void {
    this.#exhausted = true;
  }

  reset(): void {
    this.#dials = 0;
    this.#falls = 0;
    this.#exhausted = false;
    this.#barredUntil = undefined;
  }
}
