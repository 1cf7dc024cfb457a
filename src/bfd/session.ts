/**
 * One BFD session in asynchronous mode (RFC 5880 §6.2, §6.8): packets, changed terms and *now* in; packets to send and changes
 * of state out, by way of its host. It always takes the active role. No socket, clock or chance of its own.
 */
import { type Instant, type Millis, after, millis, sooner } from "#base/time.ts";
import { type BfdState, type ControlPacket, describeDiagnostic, diagnostic, encodeControlPacket } from "#wire/bfd.ts";
import { type Intervals, Timing } from "./timing.ts";

/** §6.8.3: not faster than this while not Up. */
export const slowIntervalMicros = 1_000_000;

/** What the operator wants of a session. */
export interface BfdTerms {
  /** Desired Min TX and Required Min RX Interval once Up. */
  readonly intervalMicros: number;
  /** Detect Mult: so many packets may be lost. */
  readonly multiplier: number;
}

export interface StateChange {
  readonly from: BfdState;
  readonly to: BfdState;
  /** One sentence without subject. */
  readonly reason: string;
  /** Up was lost, and not because either side wanted it so (RFC 5882 §3.2): the path is broken as far as we know. */
  readonly isFailure: boolean;
}

export interface SessionHost {
  /** In [0, 1), anew each time. */
  random(): number;
  send(bytes: Uint8Array): void;
  changed(change: StateChange): void;
}

/** What the peer has told last; as §6.8.1 wants it before it has told anything. */
interface Remote {
  readonly discriminator: number;
  readonly state: BfdState;
  readonly demand: boolean;
  readonly multiplier: number;
  readonly desiredMinTxMicros: number;
  readonly requiredMinRxMicros: number;
}
const unheard: Remote = { discriminator: 0, state: "Down", demand: false, multiplier: 0, desiredMinTxMicros: 0, requiredMinRxMicros: 1 };

export class BfdSession {
  /** bfd.LocalDiscr. */
  readonly discriminator: number;
  readonly #host: SessionHost;
  #terms: BfdTerms;
  #state: BfdState = "Down";
  #diagnostic: number = diagnostic.none;
  #reason = "nothing heard from the peer yet";
  #since: Instant;
  #remote = unheard;
  readonly #timing: Timing;
  #sentAt: Instant | undefined;
  /** The part of the interval that passes before the next packet (§6.8.7), drawn anew for each. */
  #share: number;
  /** Without the bits P and F: what the peer was told last. */
  #told: Uint8Array | undefined;
  #heardAt: Instant | undefined;
  packetsIn = 0;
  packetsOut = 0;

  constructor(discriminator: number, terms: BfdTerms, host: SessionHost, now: Instant) {
    this.discriminator = discriminator;
    this.#terms = terms;
    this.#host = host;
    this.#since = now;
    this.#timing = new Timing(this.#wanted());
    this.#share = this.#drawShare();
  }

  get state(): BfdState {
    return this.#state;
  }
  /** Why it is in this state: one sentence without subject. */
  get reason(): string {
    return this.#reason;
  }
  /** When the state changed last. */
  get since(): Instant {
    return this.#since;
  }
  /** Between our packets, without jitter; undefined while the peer wants none (§6.8.7). */
  get transmitInterval(): Millis | undefined {
    const { requiredMinRxMicros, demand, state } = this.#remote;
    const isUnwanted = demand && this.#state === "Up" && state === "Up" && !this.#timing.isPolling;
    if (requiredMinRxMicros === 0 || isUnwanted) return undefined;
    return millis(Math.max(this.#timing.used.desiredMinTxMicros, requiredMinRxMicros) / 1000);
  }
  /** §6.8.4; undefined before the peer was heard. */
  get detectionTime(): Millis | undefined {
    const { multiplier, desiredMinTxMicros } = this.#remote;
    return multiplier === 0 ? undefined : millis((multiplier * Math.max(this.#timing.used.requiredMinRxMicros, desiredMinTxMicros)) / 1000);
  }

  /** A packet that is for this session (§6.8.6 from where the session is known). */
  receive(packet: ControlPacket, now: Instant): void {
    this.packetsIn++;
    this.#remote = {
      discriminator: packet.myDiscriminator,
      state: packet.state,
      demand: packet.demand,
      multiplier: packet.multiplier,
      desiredMinTxMicros: packet.desiredMinTxMicros,
      requiredMinRxMicros: packet.requiredMinRxMicros,
    };
    if (packet.final) this.#timing.finalReceived(this.#state === "Up");
    if (this.#state === "AdminDown") return;
    this.#heardAt = now;
    this.#follow(packet, now);
    if (packet.poll) this.#send(true, now);
    this.#tellChanges(now);
  }

  /** Sends what is due, and misses what has not come. Feed packets that are there before this. */
  wake(now: Instant): void {
    const detectAt = this.#detectAt();
    if (detectAt !== undefined && detectAt <= now) this.#lose(now);
    const transmitAt = this.#transmitAt(now);
    if (transmitAt !== undefined && transmitAt <= now) this.#send(false, now);
  }

  nextDeadline(now: Instant): Instant | undefined {
    return sooner(this.#detectAt(), this.#transmitAt(now));
  }

  /** New terms, agreed upon with the peer by a Poll Sequence while Up. */
  configure(terms: BfdTerms, now: Instant): void {
    this.#terms = terms;
    this.#adjust();
    this.#tellChanges(now);
  }

  /** For good: the peer is told that this is no failure (§6.8.16), for as long as the session is still woken. */
  disable(reason: string, now: Instant): void {
    this.#enter("AdminDown", diagnostic.administrativelyDown, reason, now);
    this.#tellChanges(now);
  }

  /** How long a disabled session must go on so that the peer hears of it (§6.8.16), even if a packet or two get lost. */
  get farewell(): Millis {
    const { announced } = this.#timing;
    return millis((this.#terms.multiplier * Math.max(announced.desiredMinTxMicros, this.#remote.requiredMinRxMicros)) / 1000);
  }

  /** §6.8.6: the table of states. */
  #follow(packet: ControlPacket, now: Instant): void {
    const { state } = packet;
    if (state === "AdminDown") {
      if (this.#state !== "Down") this.#enter("Down", diagnostic.neighborSignaledDown, "the peer has shut BFD down administratively", now);
      return;
    }
    switch (this.#state) {
      case "AdminDown":
        return;
      case "Down":
        if (state === "Down") this.#enter("Init", this.#diagnostic, "the peer is heard; waits for it to hear us", now);
        else if (state === "Init") this.#enter("Up", diagnostic.none, "each side hears the other", now);
        return;
      case "Init":
        if (state !== "Down") this.#enter("Up", diagnostic.none, "each side hears the other", now);
        return;
      case "Up":
        if (state === "Down") this.#enter("Down", diagnostic.neighborSignaledDown, `the peer says it is down (${describeDiagnostic(packet.diagnostic)})`, now);
    }
  }

  /** A Detection Time without a packet (§6.8.1 bfd.RemoteDiscr, §6.8.4). */
  #lose(now: Instant): void {
    const silence = Math.round(this.detectionTime!);
    this.#heardAt = undefined;
    this.#remote = unheard;
    this.#timing.peerLost();
    if (this.#state === "Down") this.#reason = `nothing heard from the peer for ${silence} ms`;
    else if (this.#state !== "AdminDown") this.#enter("Down", diagnostic.detectionTimeExpired, `nothing heard from the peer for ${silence} ms`, now);
    this.#tellChanges(now);
  }

  #enter(to: BfdState, code: number, reason: string, now: Instant): void {
    const from = this.#state;
    const isWanted = to === "AdminDown" || this.#remote.state === "AdminDown";
    this.#state = to;
    this.#diagnostic = code;
    this.#reason = reason;
    if (from !== to) this.#since = now;
    this.#adjust();
    if (from !== to) this.#host.changed({ from, to, reason, isFailure: from === "Up" && !isWanted });
  }

  #adjust(): void {
    this.#timing.change(this.#wanted(), this.#state === "Up", this.#remote.discriminator !== 0 && this.#state !== "AdminDown");
  }

  #wanted(): Intervals {
    const { intervalMicros } = this.#terms;
    const desiredMinTxMicros = this.#state === "Up" ? intervalMicros : Math.max(slowIntervalMicros, intervalMicros);
    return { desiredMinTxMicros, requiredMinRxMicros: intervalMicros };
  }

  #detectAt(): Instant | undefined {
    const wait = this.detectionTime;
    return this.#heardAt === undefined || wait === undefined ? undefined : after(this.#heardAt, wait);
  }

  #transmitAt(now: Instant): Instant | undefined {
    const interval = this.transmitInterval;
    if (interval === undefined) return undefined;
    return this.#sentAt === undefined ? now : after(this.#sentAt, millis(interval * this.#share));
  }

  /** §6.8.7: what differs from the packet before is not kept back until the next is due. */
  #tellChanges(now: Instant): void {
    if (this.#remote.requiredMinRxMicros === 0) return;
    const packet = this.#packet(false, false);
    if (this.#told && packet.some((octet, i) => octet !== this.#told![i])) this.#send(false, now);
  }

  /** A Final answers a Poll and leaves the rhythm of the others as it is. */
  #send(final: boolean, now: Instant): void {
    this.#told = this.#packet(false, false);
    this.packetsOut++;
    if (!final) {
      this.#sentAt = now;
      this.#share = this.#drawShare();
    }
    this.#host.send(this.#packet(!final && this.#timing.isPolling, final));
  }

  #packet(poll: boolean, final: boolean): Uint8Array {
    return encodeControlPacket({
      diagnostic: this.#diagnostic,
      state: this.#state,
      poll,
      final,
      // This thread ends with the process that speaks BGP (RFC 5882 §4.3.2).
      controlPlaneIndependent: false,
      demand: false,
      multiplier: this.#terms.multiplier,
      myDiscriminator: this.discriminator,
      yourDiscriminator: this.#remote.discriminator,
      ...this.#timing.announced,
      requiredMinEchoRxMicros: 0,
    });
  }

  /** §6.8.7: 75 to 100 % of the interval, 90 at most if a single packet counts. */
  #drawShare(): number {
    return 0.75 + this.#host.random() * (this.#terms.multiplier === 1 ? 0.15 : 0.25);
  }
}
