/** Watches over a trial: whether it still counts, how long it has, and when it is to go back. */
import { Countdown, millisUntilDue, type Trial, trialLimits } from "./document-trial.ts";

export interface Pending {
  readonly trial: Trial;
  readonly secondsLeft: number;
}

export class TrialKeeper {
  readonly #node: string;
  readonly #back: (trial: Trial) => Promise<void>;
  readonly #countdown = new Countdown();
  #trial: Trial | undefined;
  #document: bigint | undefined;
  /** Of the trial that is counted. */
  #counted: bigint | undefined;
  #stopped = false;

  /** `back` takes the document back, or learns that somebody did; it is called again while it rejects. */
  constructor(node: string, back: (trial: Trial) => Promise<void>) {
    this.#node = node;
    this.#back = back;
  }

  /** As the store has it, void or not. */
  get trial(): Trial | undefined {
    return this.#trial;
  }
  /** One that counts. */
  get pending(): Pending | undefined {
    const secondsLeft = this.#countdown.secondsLeft;
    return this.#trial === undefined || this.#counted === undefined ? undefined : { trial: this.#trial, secondsLeft: secondsLeft ?? 0 };
  }

  /** `foundLater`: it was there before we looked, so part of its time may have passed. */
  see(trial: Trial | undefined, foundLater: boolean): void {
    this.#trial = trial;
    this.#settle(foundLater);
  }
  seeDocument(revision: bigint | undefined, foundLater: boolean): void {
    this.#document = revision;
    this.#settle(foundLater);
  }
  stop(): void {
    this.#stopped = true;
    this.#countdown.stop();
  }

  #settle(foundLater: boolean): void {
    const trial = this.#trial;
    if (this.#stopped || trial === undefined || trial.revision !== this.#document) {
      this.#counted = undefined;
      return this.#countdown.stop();
    }
    if (this.#counted === trial.revision) return;
    this.#counted = trial.revision;
    const wait = trial.node === this.#node ? 0 : trialLimits.othersWaitMillis;
    this.#countdown.start(millisUntilDue(trial, foundLater) + wait, () => this.#due(trial));
  }

  #due(trial: Trial): void {
    void this.#back(trial).catch(() => {
      if (this.#counted === trial.revision && !this.#stopped) this.#countdown.start(trialLimits.retryMillis, () => this.#due(trial));
    });
  }
}
