/**
 * One machine and at most one TCP connection of a neighbour: octets in, messages framed, the FSM fed, its actions executed.
 * A neighbour has one such session, and a second while two connections collide (peer.ts).
 *
 * The way of an UPDATE: bytes → frame → sink.update on the very octets of the chunk; only a message that straddles two
 * chunks is copied, once. Hearing from the peer writes one number; the hold timer looks at it when it comes up.
 */
import type { Ip } from "#base/ip.ts";
import { Deadlines, type Instant, type Millis, after, millis } from "#base/time.ts";
import { ceaseSubcode, errorCode, headerLength, maxExtendedMessageLength, maxMessageLength, messageType } from "#wire/bgp/constants.ts";
import { decodeNotification, decodeRouteRefresh, encodeKeepalive, encodeNotification, frame, headerFault } from "#wire/bgp/message.ts";
import { type Open, decodeOpen, encodeOpen } from "#wire/bgp/open.ts";
import type { Action, ConnectAction } from "./actions.ts";
import type { BackOff } from "./fsm/back-off.ts";
import { type Cause, Fsm, type FsmAction, type FsmEvent, type State, type Timer } from "./fsm/fsm.ts";
import { familyIndex } from "./fsm/negotiate.ts";
import { cease, hardened, mustForget } from "./fsm/retention.ts";
import type { NotificationFault, SessionSink, SessionTerms } from "./terms.ts";

/** What a session asks of its neighbour, and tells it. */
export interface SessionHost {
  readonly id: number;
  readonly sink: SessionSink;
  readonly backOff: BackOff;
  /** Chance in [0, 1). */
  readonly jitter: () => number;
  /** How long a peer that passed a prefix limit stays out. */
  readonly limitRestart: Millis;
  /** The send hold time, if it was stated. */
  readonly sendHold: Millis | undefined;
  act(action: Action): void;
  /** The dial of this neighbour, as configured now. */
  dial(): ConnectAction;
  /** Our OPEN, as configured now. */
  open(): Open;
  /**
   * A well-formed OPEN came. Answers with the terms or a refusal, or with nothing if the session lost a collision: then it
   * has been stopped already.
   */
  opened(session: Session, theirs: Open, now: Instant): SessionTerms | NotificationFault | undefined;
  established(session: Session, terms: SessionTerms, now: Instant): void;
  ended(session: Session, cause: Cause, wasEstablished: boolean, now: Instant): void;
  /** A dial was given up: nobody answered it. */
  unanswered(): void;
  /** A NOTIFICATION goes out. */
  notified(fault: NotificationFault): void;
  /** An exception out of the RIB (or out of us) while it worked on this peer's octets. The session has not yet been stopped. */
  broke(error: unknown): void;
}

/** The TCP connection of a session. */
export interface Link {
  readonly connection: number;
  readonly local: Ip;
  readonly remote: Ip;
  /** True if we dialled. */
  readonly outgoing: boolean;
}

/** Both OPEN messages of a session, headers included. */
export interface SessionOpens {
  readonly sent: Uint8Array;
  readonly received: Uint8Array;
}

const none = new Uint8Array(0);
const keepalive = encodeKeepalive();

export class Session {
  readonly #host: SessionHost;
  readonly #fsm: Fsm;
  readonly #deadlines = new Deadlines<Timer>();
  #link: Link | undefined;
  #ourOpen: Open | undefined;
  /** Theirs as it came, whole. */
  #theirOpen = none;
  #terms: SessionTerms | undefined;
  #establishedAt: Instant | undefined;
  /** Octets of a message whose end has not come: #tail[0, #tailLength). */
  #tail = none;
  #tailLength = 0;
  /** 65535 once we offered extended messages on this connection, whatever the peer offered (RFC 8654 §4). */
  #maxLength = maxMessageLength;
  #lastHeard = 0 as Instant;
  #holdMillis = millis(0);
  /** UPDATEs taken since this session object was made. */
  updatesIn = 0;

  constructor(host: SessionHost, passive: boolean) {
    this.#host = host;
    this.#fsm = new Fsm(passive, host.backOff);
  }

  get state(): State {
    return this.#fsm.state;
  }
  /** False while administratively down. */
  get isEnabled(): boolean {
    return this.#fsm.isEnabled;
  }
  get link(): Link | undefined {
    return this.#link;
  }
  /** What both OPENs agreed on, from OpenConfirm on. */
  get terms(): SessionTerms | undefined {
    return this.#terms;
  }
  get ourOpen(): Open | undefined {
    return this.#ourOpen;
  }
  get opens(): SessionOpens | undefined {
    return this.#ourOpen && { sent: encodeOpen(this.#ourOpen), received: this.#theirOpen };
  }
  get establishedAt(): Instant | undefined {
    return this.#establishedAt;
  }
  set passive(value: boolean) {
    this.#fsm.passive = value;
  }

  start(now: Instant): void {
    this.#handle({ type: "start" }, now);
  }

  /** Ends what there is; `again`: goes on by itself after the idle hold. Without `fault` no NOTIFICATION is sent. */
  stop(text: string, again: boolean, now: Instant, fault?: NotificationFault): void {
    this.#handle({ type: "stop", text, again, ...(fault && { fault }) }, now);
  }

  connected(link: Link, now: Instant): void {
    this.#link = link;
    this.#handle({ type: "tcpConnected" }, now);
  }

  connectFailed(text: string, now: Instant): void {
    this.#handle({ type: "tcpFailed", text }, now);
  }

  closed(text: string, now: Instant): void {
    this.#forgetLink();
    this.#handle({ type: "tcpFailed", text }, now);
  }

  /** A chunk of the connection: buffer[start, end), which is not kept. */
  bytes(buffer: Uint8Array, start: number, end: number, now: Instant): void {
    const link = this.#link;
    try {
      let at = start;
      if (this.#tailLength > 0) at = this.#finishTail(buffer, start, end, now);
      while (at < end && this.#link === link) {
        const length = this.#take(buffer, at, end, now);
        if (length === 0) {
          this.#keepTail(buffer, at, end);
          return;
        }
        at += length;
      }
    } catch (error) {
      this.#break(error, now);
    }
  }

  /** Executes every timer that is due. */
  wake(now: Instant): void {
    for (let timer = this.#deadlines.due(now); timer !== undefined; timer = this.#deadlines.due(now)) {
      const until = after(this.#lastHeard, this.#holdMillis);
      if (timer === "ConnectRetry" && this.#fsm.state === "Connect") this.#host.unanswered();
      if (timer === "Hold" && until > now) this.#deadlines.arm("Hold", until);
      else this.#handle({ type: "timerExpired", timer }, now);
    }
  }

  nextDeadline(): Instant | undefined {
    return this.#deadlines.nearest();
  }

  /** Octets wait for the peer to read: from now on, or from the last progress on, it has the send hold time (RFC 9687). */
  sendBlocked(now: Instant): void {
    const usual = this.#fsm.sendHold,
      wait = usual && (this.#host.sendHold ?? usual);
    if (wait !== undefined && this.#deadlines.at("SendHold") === undefined) this.#deadlines.arm("SendHold", after(now, wait));
  }
  sendProgressed(): void {
    this.#deadlines.disarm("SendHold");
  }

  #handle(event: FsmEvent, now: Instant): void {
    for (const action of this.#fsm.handle(event, now)) this.#perform(action, now);
  }

  #perform(action: FsmAction, now: Instant): void {
    switch (action.type) {
      case "connect":
        return this.#host.act(this.#host.dial());
      case "cancelConnect":
        return this.#host.act({ type: "cancelConnect", peer: this.#host.id });
      case "sendOpen":
        return this.#sendOpen();
      case "sendKeepalive":
        return this.#write(keepalive);
      case "sendNotification":
        this.#host.notified(action.fault);
        return this.#write(encodeNotification(action.fault));
      case "close":
        return this.#close();
      case "arm":
        return this.#arm(action, now);
      case "disarm":
        return this.#deadlines.disarm(action.timer);
      case "established":
        this.#establishedAt = now;
        return this.#host.established(this, this.#terms!, now);
      case "ended":
        this.#establishedAt = undefined;
        this.#host.ended(this, action.cause, action.wasEstablished, now);
        this.#terms = undefined;
    }
  }

  #arm({ timer, wait, jitter }: FsmAction & { readonly type: "arm" }, now: Instant): void {
    if (timer === "Hold") {
      this.#lastHeard = now;
      this.#holdMillis = wait;
    }
    this.#deadlines.arm(timer, after(now, jitter ? millis(wait * (0.75 + 0.25 * this.#host.jitter())) : wait));
  }

  #sendOpen(): void {
    const open = this.#host.open();
    this.#ourOpen = open;
    this.#maxLength = open.capabilities.extendedMessage ? maxExtendedMessageLength : maxMessageLength;
    this.#write(encodeOpen(open));
  }

  #write(bytes: Uint8Array): void {
    this.#host.act({ type: "write", connection: this.#link!.connection, bytes });
  }

  #close(): void {
    const { connection } = this.#link!;
    this.#forgetLink();
    this.#host.act({ type: "close", connection, how: "end" });
  }

  #forgetLink(): void {
    this.#link = undefined;
    this.#tail = none;
    this.#tailLength = 0;
  }

  /** Handles the message at buffer[at, end). Returns its length; 0 if its end is missing; what is left if it was faulty. */
  #take(buffer: Uint8Array, at: number, end: number, now: Instant): number {
    const length = frame(buffer, at, end, this.#maxLength);
    if (length > 0) this.#message(buffer, at, at + length, now);
    if (length >= 0) return length;
    this.#handle({ type: "messageFault", fault: headerFault(buffer, at, length) }, now);
    return end - at;
  }

  #keepTail(buffer: Uint8Array, at: number, end: number): void {
    this.#tailRoom(end - at);
    this.#tail.set(buffer.subarray(at, end), 0);
    this.#tailLength = end - at;
  }

  /** Completes the unfinished message from the chunk, in at most two pieces (header, body). Returns where the rest begins. */
  #finishTail(buffer: Uint8Array, start: number, end: number, now: Instant): number {
    const link = this.#link;
    let at = start;
    while (at < end && this.#link === link && this.#tailLength > 0) {
      // `frame` has accepted the header once it is whole: its length field can be relied on.
      const whole = this.#tailLength < headerLength ? headerLength : (this.#tail[16]! << 8) | this.#tail[17]!;
      const piece = Math.min(whole - this.#tailLength, end - at);
      this.#tailRoom(this.#tailLength + piece);
      this.#tail.set(buffer.subarray(at, at + piece), this.#tailLength);
      this.#tailLength += piece;
      at += piece;
      const tail = this.#tail;
      if (this.#take(tail, 0, this.#tailLength, now) > 0 && this.#link === link) this.#emptyTail();
    }
    return at;
  }

  #emptyTail(): void {
    this.#tailLength = 0;
    if (this.#tail.length > maxMessageLength) this.#tail = none;
  }

  #tailRoom(size: number): void {
    if (size <= this.#tail.length) return;
    const grown = new Uint8Array(size <= maxMessageLength ? maxMessageLength : maxExtendedMessageLength);
    grown.set(this.#tail.subarray(0, this.#tailLength));
    this.#tail = grown;
  }

  #message(buffer: Uint8Array, at: number, end: number, now: Instant): void {
    const start = at + headerLength;
    switch (buffer[at + headerLength - 1]!) {
      case messageType.update:
        return this.#update(buffer, start, end, now);
      case messageType.keepalive:
        return this.#handle({ type: "keepaliveReceived" }, now);
      case messageType.open:
        return this.#open(buffer, start, end, now);
      case messageType.notification:
        return this.#handle({ type: "notificationReceived", ...decodeNotification(buffer, start, end) }, now);
      case messageType.routeRefresh:
        return this.#refresh(buffer, start, end, now);
    }
  }

  #update(buffer: Uint8Array, start: number, end: number, now: Instant): void {
    if (this.#fsm.state !== "Established") return this.#handle({ type: "updateReceived" }, now);
    this.#lastHeard = now;
    this.updatesIn++;
    const fault = this.#host.sink.update(this.#host.id, buffer, start, end);
    if (fault) this.#refuse(fault, now);
  }

  #open(buffer: Uint8Array, start: number, end: number, now: Instant): void {
    // In any other state the FSM refuses it unread.
    if (this.#fsm.state !== "OpenSent") return this.#handle({ type: "openReceived", holdSeconds: 0 }, now);
    const decoded = decodeOpen(buffer, start, end);
    if (!decoded.ok) return this.#refuse(decoded.fault, now);
    this.#theirOpen = new Uint8Array(buffer.subarray(start - headerLength, end));
    const answer = this.#host.opened(this, decoded.value, now);
    if (answer === undefined) return;
    if ("code" in answer) return this.#refuse(answer, now);
    this.#terms = answer;
    this.#handle({ type: "openReceived", holdSeconds: answer.holdSeconds }, now);
  }

  #refresh(buffer: Uint8Array, start: number, end: number, now: Instant): void {
    this.#handle({ type: "routeRefreshReceived" }, now);
    const terms = this.#terms;
    if (this.#fsm.state !== "Established" || !terms) return;
    const decoded = decodeRouteRefresh(buffer, start, end);
    if (!decoded.ok) return this.#refuse(decoded.fault, now);
    const { subtype } = decoded.value;
    const family = familyIndex(decoded.value);
    // RFC 2918 §4, RFC 7313 §5: a family or subtype that was not agreed on is ignored.
    if (family === undefined || !terms.families.includes(family)) return;
    if (subtype === 0 || (terms.enhancedRefresh && subtype <= 2)) this.#host.sink.refresh(this.#host.id, family, subtype);
  }

  /** Answers a fault of the peer's. After some Ceases coming back at once would end the same way. */
  #refuse(fault: NotificationFault, now: Instant): void {
    const forget = mustForget(fault);
    if (fault.code === errorCode.cease && fault.subcode === ceaseSubcode.maximumPrefixes) this.#host.backOff.bar(this.#host.limitRestart, now);
    else if (forget) this.#host.backOff.exhaust();
    this.#handle({ type: "messageFault", fault: forget ? hardened(fault, this.#terms) : fault }, now);
  }

  /**
   * A promise of ours did not hold on this peer's octets: this peer alone pays, with a hard reset and the longest idle hold.
   * No Cease subcode means "a fault of mine" (8 speaks of resources, 4 of an operator), so it is the unspecific 0.
   */
  #break(error: unknown, now: Instant): void {
    this.#host.broke(error);
    if (!this.#link) return; // it broke while the session ended: the idle hold runs already
    this.#host.backOff.exhaust();
    this.stop("internal fault", true, now, hardened(cease(0, "internal fault of ours, see the log"), this.#terms));
  }
}
