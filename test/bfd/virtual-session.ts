/** A session whose packets and changes are kept, fed with packets of a peer that a test makes up. */
import type { Instant } from "#base/time.ts";
import { BfdSession, type BfdTerms, type StateChange } from "#bfd/session.ts";
import { type BfdState, type ControlPacket, decodeControlPacket } from "#wire/bfd.ts";

export const at = (ms: number): Instant => ms as Instant;
export const ours = 0x11;
export const theirs = 0x22;

export interface Sent extends ControlPacket {
  readonly at: number;
}

export class VirtualSession {
  readonly session: BfdSession;
  readonly sent: Sent[] = [];
  readonly changes: StateChange[] = [];
  now = 0;
  /** What the session is given as chance. */
  chance = 0.5;

  constructor(terms: BfdTerms = { intervalMicros: 300_000, multiplier: 3 }) {
    const host = {
      random: () => this.chance,
      send: (bytes: Uint8Array) => this.#keep(bytes),
      changed: (change: StateChange) => void this.changes.push(change),
    };
    this.session = new BfdSession(ours, terms, host, at(0));
  }

  /** A packet of the peer: it knows us, and sends and wants one every 300 ms, unless told otherwise. */
  hear(state: BfdState, more: Partial<ControlPacket> = {}): this {
    this.session.receive({ ...usual, state, ...more }, at(this.now));
    return this;
  }
  /** Wakes it at every deadline up to `until`. */
  runTo(until: number): this {
    for (;;) {
      const due = this.session.nextDeadline(at(this.now));
      if (due === undefined || due > until) break;
      this.now = Math.max(this.now, due);
      this.session.wake(at(this.now));
    }
    this.now = until;
    return this;
  }
  /** Up at the time it is called, with intervals agreed upon. */
  up(more: Partial<ControlPacket> = {}): this {
    this.runTo(this.now).hear("Down", { yourDiscriminator: 0, ...more });
    return this.hear("Up", more).hear("Up", { final: true, ...more });
  }
  take(): Sent[] {
    return this.sent.splice(0);
  }

  #keep(bytes: Uint8Array): void {
    const read = decodeControlPacket(bytes);
    if (!read.ok) throw new Error(read.fault.text);
    this.sent.push({ ...read.value, at: this.now });
  }
}

const usual: ControlPacket = {
  diagnostic: 0,
  state: "Down",
  poll: false,
  final: false,
  controlPlaneIndependent: false,
  demand: false,
  multiplier: 3,
  myDiscriminator: theirs,
  yourDiscriminator: ours,
  desiredMinTxMicros: 300_000,
  requiredMinRxMicros: 300_000,
  requiredMinEchoRxMicros: 0,
  authenticationType: undefined,
};
