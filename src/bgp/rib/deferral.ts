/**
 * A restarting speaker waits before it selects and tells routes, so that it does not tell half of what it will know
 * (RFC 4724 §4.1): its End-of-RIB makes every peer forget what it left out. It waits for those who had a session with it before,
 * as their routes are still used by the others, and for those who come; not for whom it has not heard of.
 *
 * RFC 4724 does not have it wait for a peer that restarts itself, since both would wait for each other. A client restarting beside
 * its reflector does not wait for that; the reflector does wait for its clients, or the others would lose their routes.
 */
import type { Ip } from "#base/ip.ts";
import type { FamilyIndex, SessionTerms } from "../terms.ts";
import type { Instant } from "#base/time.ts";

/**
 * No new restarting-capable session for this long: who has not come by then is not waited for. Longer than the wait of a peer
 * that has dialled us in vain for a while (ConnectRetryTimer, 5 s unless stated otherwise): else it would find its routes gone.
 */
const quietMillis = 6000;

export class Deferral {
  #until: Instant | undefined;
  #quietAt = 0 as Instant;
  #awaitsOwn = true;
  #hasRanges = false;
  readonly #expected = new Set<number>();
  /** Peers whose session will come back. */
  readonly #awaited = new Set<Ip>();
  /** Who came since the restart. */
  readonly #came = new Map<number, Ip>();
  readonly #waiting = new Map<number, Set<FamilyIndex>>(); // peers that are up and owe End-of-RIB

  /** Called once at the start of a restart. `expected`: peers that are configured; `hasRanges`: others may come too. */
  begin(expected: Iterable<number>, hasRanges: boolean, limitMillis: number, now: Instant): void {
    for (const peer of expected) this.#expected.add(peer);
    this.#hasRanges = hasRanges;
    this.#until = (now + limitMillis) as Instant;
    this.#quietAt = (now + quietMillis) as Instant;
  }

  /** Called after `begin`. `peers`: addresses whose session was up before the restart. */
  awaitBack(peers: Iterable<Ip>): void {
    for (const peer of peers) this.#awaited.add(peer);
  }
  /** Who was up before the restart and is waited for still. */
  get awaited(): Iterable<Ip> {
    return this.#awaited;
  }

  /** What this speaker originates itself is in place: a peer must not sweep it for want of being told in time. */
  ownIsKnown(): void {
    this.#awaitsOwn = false;
  }

  up(peer: number, terms: SessionTerms, now: Instant): void {
    if (this.#until === undefined) return;
    this.#expected.delete(peer);
    this.#awaited.delete(terms.remote);
    const restart = terms.gracefulRestart;
    if (!restart) return;
    this.#came.set(peer, terms.remote);
    this.#quietAt = (now + quietMillis) as Instant;
    if (restart.restarting && terms.role !== "client") return;
    const families = new Set(terms.families);
    if (families.size > 0) this.#waiting.set(peer, families);
  }
  down(peer: number): void {
    this.#waiting.delete(peer);
    const address = this.#came.get(peer);
    if (this.#until !== undefined && address !== undefined) this.#awaited.add(address);
    this.#came.delete(peer);
  }
  endOfRib(peer: number, family: FamilyIndex, now: Instant): void {
    const families = this.#waiting.get(peer);
    families?.delete(family);
    if (families?.size === 0) this.#waiting.delete(peer);
    if (this.#until !== undefined && this.#waiting.size > 0) this.#quietAt = (now + quietMillis) as Instant;
  }

  isDeferring(now: Instant): boolean {
    if (this.#until === undefined) return false;
    const done = !this.#mustWait() && ((this.#expected.size === 0 && !this.#hasRanges) || now >= this.#quietAt);
    if (!done && now < this.#until) return true;
    this.#until = undefined;
    this.#awaited.clear();
    this.#came.clear();
    return false;
  }
  nextDeadline(): Instant | undefined {
    return this.#until === undefined ? undefined : this.#mustWait() ? this.#until : (Math.min(this.#until, this.#quietAt) as Instant);
  }
  #mustWait(): boolean {
    return this.#awaitsOwn || this.#waiting.size > 0 || this.#awaited.size > 0;
  }
}
