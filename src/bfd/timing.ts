/**
 * Our two intervals (RFC 5880 §6.8.2, §6.8.3): what packets announce, what is in use until the peer has confirmed it, and the
 * Poll Sequence between the two (§6.5). Microseconds.
 */
export interface Intervals {
  /** bfd.DesiredMinTxInterval. */
  readonly desiredMinTxMicros: number;
  /** bfd.RequiredMinRxInterval. */
  readonly requiredMinRxMicros: number;
}

export class Timing {
  #announced: Intervals;
  #used: Intervals;
  #polling = false;
  /** Wanted while a Poll Sequence runs: announced by the next one, so that a Final never confirms what was not asked. */
  #next: Intervals | undefined;

  constructor(intervals: Intervals) {
    this.#announced = this.#used = intervals;
  }

  /** What goes into packets. */
  get announced(): Intervals {
    return this.#announced;
  }
  /** What the transmission timer and the Detection Time are made of now. */
  get used(): Intervals {
    return this.#used;
  }
  get isPolling(): boolean {
    return this.#polling;
  }

  /**
   * New intervals. While Up, a longer transmission interval and a shorter receive interval are used only after the peer has
   * answered; otherwise all is used at once. `reachable`: there is somebody to poll.
   */
  change(wanted: Intervals, isUp: boolean, reachable: boolean): void {
    if (same(wanted, this.#next ?? this.#announced)) return;
    if (this.#polling && isUp) {
      this.#next = wanted;
      return;
    }
    this.#next = undefined;
    this.#announced = wanted;
    this.#polling = reachable;
    const used = this.#used;
    this.#used =
      isUp && reachable
        ? {
            desiredMinTxMicros: Math.min(used.desiredMinTxMicros, wanted.desiredMinTxMicros),
            requiredMinRxMicros: Math.max(used.requiredMinRxMicros, wanted.requiredMinRxMicros),
          }
        : wanted;
  }

  /** The peer answered the Poll: it knows what we announce. */
  finalReceived(isUp: boolean): void {
    if (!this.#polling) return;
    this.#polling = false;
    this.#used = this.#announced;
    const next = this.#next;
    this.#next = undefined;
    if (next) this.change(next, isUp, true);
  }

  /** Nobody is there to answer: what is announced is used. */
  peerLost(): void {
    this.#polling = false;
    this.#announced = this.#next ?? this.#announced;
    this.#next = undefined;
    this.#used = this.#announced;
  }
}

const same = (a: Intervals, b: Intervals): boolean => a.desiredMinTxMicros === b.desiredMinTxMicros && a.requiredMinRxMicros === b.requiredMinRxMicros;
