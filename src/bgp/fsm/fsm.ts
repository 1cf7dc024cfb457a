/**
 * The finite state machine of one BGP connection (RFC 4271 §8): an event and *now* in, actions out, in order. It never
 * throws and knows no socket, clock or neighbour. Two of them run side by side while connections collide (peer.ts).
 *
 * Where it differs from the letter of §8.2.2, on purpose:
 * - Idle takes an inbound connection as Active does, unless administratively down: our Idle is only a back-off, and a peer
 *   that dials us has got over its trouble. DelayOpen, which is optional, is not offered.
 * - A dial that fails leads from Connect to Active, not to Idle: both wait and listen, and operators know "Active".
 * - A NOTIFICATION is never answered with one, whatever the state (§6.4; the event lists of OpenSent contradict it).
 */
import { never } from "#base/assert.ts";
import { type Instant, type Millis, millis } from "#base/time.ts";
import { errorCode, fsmSubcode, messageType } from "#wire/bgp/constants.ts";
import { peerFault } from "#wire/bgp/notification.ts";
import type { NotificationFault } from "../terms.ts";
import { type BackOff, eagerDialMillis } from "./back-off.ts";

export type State = "Idle" | "Connect" | "Active" | "OpenSent" | "OpenConfirm" | "Established";
export type Timer = "ConnectRetry" | "Hold" | "Keepalive" | "IdleHold" | "SendHold";

export type FsmEvent =
  /** ManualStart, AutomaticStart (1, 3 to 7). */
  | { readonly type: "start" }
  /** ManualStop, AutomaticStop, OpenCollisionDump (2, 8, 23). Without `fault` TCP is closed without NOTIFICATION. `again`: goes on after the idle hold. */
  | { readonly type: "stop"; readonly fault?: NotificationFault; readonly text: string; readonly again: boolean }
  /** Tcp_CR_Acked, TcpConnectionConfirmed (16, 17). */
  | { readonly type: "tcpConnected" }
  /** TcpConnectionFails (18). */
  | { readonly type: "tcpFailed"; readonly text: string }
  /** BGPOpen (19), already negotiated; `holdSeconds` is what both agreed on. */
  | { readonly type: "openReceived"; readonly holdSeconds: number }
  | { readonly type: "keepaliveReceived" }
  | { readonly type: "updateReceived" }
  | { readonly type: "routeRefreshReceived" }
  /** NotifMsg, NotifMsgVerErr (24, 25). */
  | { readonly type: "notificationReceived"; readonly code: number; readonly subcode: number; readonly data: Uint8Array }
  /** BGPHeaderErr, BGPOpenMsgErr, UpdateMsgErr (21, 22, 28): what we answer. */
  | { readonly type: "messageFault"; readonly fault: NotificationFault }
  /** Events 9 to 13, and 29 of RFC 9687. */
  | { readonly type: "timerExpired"; readonly timer: Timer };

/** What ended a connection or an attempt at one. */
export type Cause =
  | { readonly kind: "sent"; readonly fault: NotificationFault }
  | { readonly kind: "received"; readonly code: number; readonly subcode: number; readonly data: Uint8Array }
  | { readonly kind: "tcp"; readonly text: string }
  /** Closed by us without NOTIFICATION. */
  | { readonly kind: "silent"; readonly text: string };

export type FsmAction =
  | { readonly type: "connect" }
  /** Gives up the dial under way. */
  | { readonly type: "cancelConnect" }
  | { readonly type: "sendOpen" }
  | { readonly type: "sendKeepalive" }
  | { readonly type: "sendNotification"; readonly fault: NotificationFault }
  | { readonly type: "close" }
  /** `jitter`: the driver takes 75 to 100 % of it (RFC 4271 §10). */
  | { readonly type: "arm"; readonly timer: Timer; readonly wait: Millis; readonly jitter: boolean }
  | { readonly type: "disarm"; readonly timer: Timer }
  | { readonly type: "established" }
  /** The connection, or a dial, is over: after `close`, last but for timers. */
  | { readonly type: "ended"; readonly cause: Cause; readonly wasEstablished: boolean };

/** RFC 4271 §8.2.2: "a large value", 4 minutes suggested. */
const openHoldMillis = 240_000;
/** A dial is given this long at least, whatever the back-off says: TCP repeats a lost SYN after one second. */
const dialMillis = 3000;
/** RFC 9687 §4.4: the greater of 8 minutes and twice the hold time. */
const leastSendHoldMillis = 480_000;

export class Fsm {
  #state: State = "Idle";
  /** False while administratively down: Idle then refuses everything but `start`. */
  #enabled = false;
  /** Negotiated hold time; 0 means no hold timer and no keepalives (§4.2, §4.4). */
  #holdSeconds = 0;
  #establishedAt = 0 as Instant;
  /** What a dial that fails is followed by; each dial takes one step of the back-off. */
  #dialWait = millis(eagerDialMillis);
  readonly #backOff: BackOff;
  passive: boolean;

  constructor(passive: boolean, backOff: BackOff) {
    this.passive = passive;
    this.#backOff = backOff;
  }

  get state(): State {
    return this.#state;
  }
  get isEnabled(): boolean {
    return this.#enabled;
  }
  /** How long no send progress is borne (RFC 9687); undefined with a hold time of 0 (§4.3 there). */
  get sendHold(): Millis | undefined {
    return this.#holdSeconds === 0 ? undefined : millis(Math.max(leastSendHoldMillis, 2000 * this.#holdSeconds));
  }

  handle(event: FsmEvent, now: Instant): FsmAction[] {
    switch (this.#state) {
      case "Idle":
        return this.#inIdle(event);
      case "Connect":
      case "Active":
        return this.#inConnectOrActive(event, now);
      case "OpenSent":
        return this.#inOpenSent(event, now);
      case "OpenConfirm":
        return this.#inOpenConfirm(event, now);
      case "Established":
        return this.#inEstablished(event, now);
      default:
        return never(this.#state);
    }
  }

  #inIdle(event: FsmEvent): FsmAction[] {
    switch (event.type) {
      case "start":
        this.#enabled = true;
        return this.#start();
      case "stop":
        this.#enabled = event.again;
        // A reset by hand cuts the back-off short.
        return event.again ? this.#start() : [disarm("IdleHold")];
      case "timerExpired":
        return event.timer === "IdleHold" && this.#enabled ? this.#start() : [];
      case "tcpConnected":
        return this.#enabled ? this.#open() : [{ type: "close" }];
      default:
        return [];
    }
  }

  #inConnectOrActive(event: FsmEvent, now: Instant): FsmAction[] {
    switch (event.type) {
      case "start":
        return [];
      case "tcpConnected":
        return this.#open();
      case "tcpFailed":
        this.#state = "Active";
        return [...this.#retry(), ended({ kind: "tcp", text: event.text }, false)];
      case "timerExpired":
        if (event.timer !== "ConnectRetry") return this.#fall(this.#unexpected(event), now);
        return this.#state === "Connect" ? [{ type: "cancelConnect" }, ...this.#start()] : this.#start();
      case "notificationReceived":
        return this.#fall({ kind: "received", code: event.code, subcode: event.subcode, data: event.data }, now);
      case "stop":
        return this.#stop(event, now);
      default:
        return this.#fall(this.#unexpected(event), now);
    }
  }

  #inOpenSent(event: FsmEvent, now: Instant): FsmAction[] {
    switch (event.type) {
      case "tcpFailed":
        // §8.2.2: back to Active, where the peer may come in and we dial again. No idle hold: nothing was rejected.
        this.#state = "Active";
        return [disarm("Hold"), ...this.#retry(), ended({ kind: "tcp", text: event.text }, false)];
      case "openReceived":
        this.#state = "OpenConfirm";
        this.#holdSeconds = event.holdSeconds;
        return [{ type: "sendKeepalive" }, ...this.#nextKeepalive(), this.#heard()];
      default:
        return this.#inSession(event, now);
    }
  }

  #inOpenConfirm(event: FsmEvent, now: Instant): FsmAction[] {
    if (event.type !== "keepaliveReceived") return this.#inSession(event, now);
    this.#state = "Established";
    this.#establishedAt = now;
    this.#backOff.established();
    return [this.#heard(), { type: "established" }];
  }

  #inEstablished(event: FsmEvent, now: Instant): FsmAction[] {
    switch (event.type) {
      case "keepaliveReceived":
      case "updateReceived":
      case "routeRefreshReceived":
        return [this.#heard()];
      default:
        return this.#inSession(event, now);
    }
  }

  /** What OpenSent, OpenConfirm and Established answer alike. */
  #inSession(event: FsmEvent, now: Instant): FsmAction[] {
    switch (event.type) {
      case "start":
      case "tcpConnected": // a second connection has a machine of its own (§6.8, peer.ts)
        return [];
      case "timerExpired":
        return this.#expired(event.timer, now);
      case "notificationReceived":
        return this.#fall({ kind: "received", code: event.code, subcode: event.subcode, data: event.data }, now);
      case "messageFault":
        return this.#fall({ kind: "sent", fault: event.fault }, now);
      case "tcpFailed":
        return this.#fall({ kind: "tcp", text: event.text }, now);
      case "stop":
        return this.#stop(event, now);
      default:
        return this.#fall(this.#unexpected(event), now);
    }
  }

  #expired(timer: Timer, now: Instant): FsmAction[] {
    switch (timer) {
      case "Keepalive":
        if (this.#state !== "OpenSent") return [{ type: "sendKeepalive" }, ...this.#nextKeepalive()];
        return this.#fall(this.#unexpected({ type: "timerExpired", timer }), now);
      case "Hold": {
        const silence = this.#state === "OpenSent" ? openHoldMillis / 1000 : this.#holdSeconds;
        return this.#fall({ kind: "sent", fault: peerFault(errorCode.holdTimerExpired, 0, `hold timer expired: nothing heard for ${silence} s`) }, now);
      }
      case "SendHold":
        // RFC 9687: the NOTIFICATION is best effort, it stands behind what the peer does not read.
        return this.#fall({ kind: "sent", fault: peerFault(errorCode.sendHoldTimerExpired, 0, "send hold timer expired: the peer reads nothing") }, now);
      default:
        return this.#fall(this.#unexpected({ type: "timerExpired", timer }), now);
    }
  }

  #stop(event: FsmEvent & { readonly type: "stop" }, now: Instant): FsmAction[] {
    this.#enabled = event.again;
    return this.#fall(event.fault ? { kind: "sent", fault: event.fault } : { kind: "silent", text: event.text }, now);
  }

  #start(): FsmAction[] {
    if (this.passive) {
      this.#state = "Active";
      return [disarm("IdleHold"), disarm("ConnectRetry")];
    }
    this.#state = "Connect";
    this.#dialWait = this.#backOff.nextDial();
    return [disarm("IdleHold"), { type: "connect" }, arm("ConnectRetry", millis(Math.max(dialMillis, this.#dialWait)), false)];
  }

  /** After a dial that failed: the wait for the next. A passive one only listens. */
  #retry(): FsmAction[] {
    return this.passive ? [disarm("ConnectRetry")] : [arm("ConnectRetry", this.#dialWait, true)];
  }

  #open(): FsmAction[] {
    this.#state = "OpenSent";
    this.#holdSeconds = 0;
    return [disarm("IdleHold"), disarm("ConnectRetry"), { type: "sendOpen" }, arm("Hold", millis(openHoldMillis), false)];
  }

  /** Every road to Idle, so that every road cleans up alike. */
  #fall(cause: Cause, now: Instant): FsmAction[] {
    const wasEstablished = this.#state === "Established";
    const actions: FsmAction[] = [];
    if (this.#state === "Connect") actions.push({ type: "cancelConnect" });
    if (this.#hasConnection()) {
      if (cause.kind === "sent") actions.push({ type: "sendNotification", fault: cause.fault });
      if (cause.kind !== "tcp") actions.push({ type: "close" });
    }
    if (wasEstablished) this.#backOff.ended(this.#establishedAt, now);
    for (const timer of ["ConnectRetry", "Hold", "Keepalive", "SendHold"] as const) actions.push(disarm(timer));
    if (this.#enabled) actions.push(arm("IdleHold", this.#backOff.nextIdleHold(), true));
    this.#state = "Idle";
    this.#holdSeconds = 0;
    return [...actions, ended(cause, wasEstablished)];
  }

  /** RFC 6608: the subcode names the state, the data is the type of the message; 0 without data for what is no message. */
  #unexpected(event: FsmEvent): Cause {
    const type = messageOf(event);
    const subcode = type === undefined ? fsmSubcode.unspecified : unexpectedIn[this.#state];
    const what = event.type === "timerExpired" ? `${event.timer} timer` : event.type;
    const data = type === undefined ? undefined : Uint8Array.of(type);
    return { kind: "sent", fault: peerFault(errorCode.finiteStateMachine, subcode, `${what} is not expected in ${this.#state}`, data) };
  }

  #hasConnection(): boolean {
    return this.#state === "OpenSent" || this.#state === "OpenConfirm" || this.#state === "Established";
  }

  #heard(): FsmAction {
    return this.#holdSeconds === 0 ? disarm("Hold") : arm("Hold", millis(this.#holdSeconds * 1000), false);
  }

  /** §4.4: a third of the hold time. */
  #nextKeepalive(): FsmAction[] {
    return this.#holdSeconds === 0 ? [] : [arm("Keepalive", millis((this.#holdSeconds * 1000) / 3), true)];
  }
}

const arm = (timer: Timer, wait: Millis, jitter: boolean): FsmAction => ({ type: "arm", timer, wait, jitter });
const disarm = (timer: Timer): FsmAction => ({ type: "disarm", timer });
const ended = (cause: Cause, wasEstablished: boolean): FsmAction => ({ type: "ended", cause, wasEstablished });

const unexpectedIn: Readonly<Record<State, number>> = {
  Idle: fsmSubcode.unspecified,
  Connect: fsmSubcode.unspecified,
  Active: fsmSubcode.unspecified,
  OpenSent: fsmSubcode.openSent,
  OpenConfirm: fsmSubcode.openConfirm,
  Established: fsmSubcode.established,
};

function messageOf(event: FsmEvent): number | undefined {
  switch (event.type) {
    case "openReceived":
      return messageType.open;
    case "updateReceived":
      return messageType.update;
    case "keepaliveReceived":
      return messageType.keepalive;
    case "routeRefreshReceived":
      return messageType.routeRefresh;
    default:
      return undefined;
  }
}
