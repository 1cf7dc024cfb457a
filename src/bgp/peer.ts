/**
 * One neighbour: at most two connections and which of them stays (RFC 4271 §6.8, RFC 6286, RFC 4724 §4.2), the back-off they
 * share, what is kept when a session ends, and why the neighbour is as it is.
 *
 * `#primary` is the machine of RFC 4271 that dials, waits and idles. `#second` exists only while an inbound connection runs
 * beside a dial or another connection; when the primary's is gone, the second takes its place.
 */
import { type Note, note } from "#base/note.ts";
import type { PeerSettings, SessionSettings } from "#base/settings.ts";
import { type Instant, type Millis, millis, sooner } from "#base/time.ts";
import type { Ip } from "#base/ip.ts";
import { ceaseSubcode, errorCode, openSubcode } from "#wire/bgp/constants.ts";
import { describeNotification } from "#wire/bgp/notification.ts";
import type { Open } from "#wire/bgp/open.ts";
import type { Action, ConnectAction } from "./actions.ts";
import { BackOff } from "./fsm/back-off.ts";
import { type Contender, type Speaker, isSenior, loser } from "./fsm/collision.ts";
import type { Cause, State } from "./fsm/fsm.ts";
import { type RestartState, type SpeakerIdentity, negotiate, ourOpen, withoutCapabilities } from "./fsm/negotiate.ts";
import { cease, ceaseWithText, describeCause, hardened, mustForget, notificationOf, retains } from "./fsm/retention.ts";
import { type Link, Session, type SessionHost, type SessionOpens } from "./session.ts";
import type { NotificationFault, SessionSink, SessionTerms } from "./terms.ts";

/** What a neighbour is, apart from its state: one of the document, or one out of a range. */
export interface PeerFacts {
  readonly name: string;
  readonly address: Ip;
  readonly port: number;
  readonly source: Ip | undefined;
  readonly session: SessionSettings;
  /** Name of the range a dynamic neighbour came out of. */
  readonly range: string | undefined;
}

export interface PeerWorld {
  readonly identity: SpeakerIdentity;
  readonly sink: SessionSink;
  /** What our OPENs say of a restart, now. */
  restart(): RestartState;
  act(action: Action): void;
}

export class Peer implements SessionHost {
  readonly id: number;
  readonly backOff: BackOff;
  #facts: PeerFacts;
  readonly #world: PeerWorld;
  #primary: Session;
  #second: Session | undefined;
  /** The peer answered an OPEN with (2, 4): the next has no capabilities (RFC 5492 §3), until a session was up. */
  #plain = false;
  #since: Instant;
  #seen: State = "Idle";
  #lastEnd: string | undefined;
  #updatesBefore = 0;
  flaps = 0;
  notificationsIn = 0;
  notificationsOut = 0;
  lastSent: string | undefined;
  lastReceived: string | undefined;

  constructor(id: number, facts: PeerFacts, world: PeerWorld, now: Instant) {
    this.id = id;
    this.#facts = facts;
    this.#world = world;
    this.#since = now;
    this.backOff = new BackOff(facts.session.connectRetrySeconds);
    this.#primary = new Session(this, this.isPassive);
  }

  get facts(): PeerFacts {
    return this.#facts;
  }
  get sink(): SessionSink {
    return this.#world.sink;
  }
  get jitter(): () => number {
    return this.#world.identity.jitter;
  }
  get limitRestart(): Millis {
    return millis((this.#facts.session.prefixRestartSeconds ?? limitRestartSeconds) * 1000);
  }
  get sendHold(): Millis | undefined {
    const { sendHoldSeconds: stated } = this.#facts.session;
    return stated === undefined ? undefined : millis(stated * 1000);
  }
  get isDynamic(): boolean {
    return this.#facts.range !== undefined;
  }
  get isPassive(): boolean {
    return this.isDynamic || this.#facts.session.passive;
  }
  /** State of the machine that is furthest. */
  get state(): State {
    return this.#foremost().state;
  }
  /** When the state changed last. */
  get since(): Instant {
    return this.#since;
  }
  /** Terms of the Established session. */
  get terms(): SessionTerms | undefined {
    return this.#primary.state === "Established" ? this.#primary.terms : undefined;
  }
  /** Connection of the Established session. */
  get connection(): number | undefined {
    return this.#primary.state === "Established" ? this.#primary.link?.connection : undefined;
  }
  /** Both OPENs of the Established session, whole messages: what BMP's Peer Up shows. */
  get opens(): SessionOpens | undefined {
    return this.#primary.state === "Established" ? this.#primary.opens : undefined;
  }
  get hasConnection(): boolean {
    return this.#primary.link !== undefined || this.#second !== undefined;
  }
  get updatesIn(): number {
    return this.#updatesBefore + this.#primary.updatesIn;
  }
  /** Why it is in this state, or why it went down last: one sentence. */
  get reason(): string {
    if (this.#lastEnd === undefined) {
      if (this.state === "Established") return "has not gone down since it was configured";
      return this.isPassive
        ? `waits for the peer to connect${this.#keyHint(", unheard if its TCP-MD5 key is another")}`
        : `connects to ${this.#facts.address} port ${this.#facts.port}`;
    }
    return this.state === "Established" ? `last went down: ${this.#lastEnd}` : this.#lastEnd;
  }

  start(now: Instant): void {
    this.#primary.start(now);
    this.notice(now);
  }

  /** Ends every connection for good; the neighbour then refuses all until it is started again. */
  stop(text: string, now: Instant, fault?: NotificationFault): void {
    this.#dropSecond(fault, text, now);
    this.#primary.stop(text, false, now, fault && (mustForget(fault) ? hardened(fault, this.terms) : fault));
    this.#lastEnd = text;
    this.notice(now);
  }

  /** Administrative reset, or a change of settings (RFC 4486): begins anew at once. */
  // oxlint-disable-next-line max-params -- `hard` is of one caller alone
  reset(subcode: typeof ceaseSubcode.administrativeReset | typeof ceaseSubcode.otherConfigurationChange, text: string, now: Instant, hard = false): void {
    this.backOff.reset();
    this.#plain = false;
    const soft = subcode === ceaseSubcode.administrativeReset ? ceaseWithText(subcode, text) : cease(subcode, text);
    const fault = hard ? hardened(soft, this.terms) : soft;
    this.#dropSecond(fault, text, now);
    this.#primary.stop(text, true, now, fault);
    this.notice(now);
  }

  /**
   * BFD finds the path broken: the session, if it is up, ends at once (RFC 5882 §3.2) and nothing learned over it is kept, on
   * either side as far as it hears of it (RFC 9384, hard for peers that would keep it). A session that is down already is
   * left alone: with it a graceful restart in progress, which BFD without the C bit cannot tell from a failure (§4.3.2).
   */
  bfdDown(text: string, now: Instant): void {
    if (this.state !== "Established") return;
    const reason = `the BFD session went down: ${text}`;
    const fault = cease(ceaseSubcode.bfdDown, reason);
    this.#dropSecond(fault, reason, now);
    this.#primary.stop(reason, true, now, hardened(fault, this.terms));
    this.notice(now);
  }

  /** Product §6.2: what stopping the daemon says to this peer so that it goes on forwarding, if it can. */
  stopForRestart(text: string, now: Instant): void {
    const restart = this.terms?.gracefulRestart;
    if (restart?.notification) this.stop(text, now, ceaseWithText(ceaseSubcode.administrativeReset, text));
    else if (restart && restart.families.length > 0) this.stop(text, now);
    else this.stop(text, now, ceaseWithText(ceaseSubcode.administrativeShutdown, text));
  }

  /** Settings that need no new session; the others come with a `reset` after this. */
  configure(facts: PeerFacts, now: Instant): void {
    const was = this.isPassive;
    this.#facts = facts;
    this.backOff.connectRetrySeconds = facts.session.connectRetrySeconds;
    this.#primary.passive = this.isPassive;
    // Listening was all it did: now it dials.
    if (was && !this.isPassive && this.#primary.state === "Active") this.#primary.stop("now connects itself", true, now);
    this.notice(now);
  }

  /** An inbound connection of this neighbour. Undefined if it is not wanted; the caller closes it then. */
  accepted(link: Link, now: Instant): Session | undefined {
    if (!this.#primary.isEnabled || this.backOff.isBarred(now)) return undefined;
    // Two at most: a peer that dials a third time has given the one before up.
    if (this.#second) this.#retire(this.#second, now, collision());
    let session = this.#primary;
    if (session.link !== undefined || session.state === "Connect") {
      session = this.#second = new Session(this, true);
      session.start(now);
    }
    const minTtl = this.#minTtl;
    if (minTtl !== undefined) this.act({ type: "requireTtl", connection: link.connection, minTtl });
    session.connected(link, now);
    this.notice(now);
    return session;
  }

  /** Our dial succeeded. Undefined if it is not wanted any more; the caller closes it then. */
  connected(link: Link, now: Instant): Session | undefined {
    const { state } = this.#primary;
    if (state !== "Connect" && state !== "Active") return undefined;
    this.#primary.connected(link, now);
    this.notice(now);
    return this.#primary;
  }

  connectFailed(text: string, now: Instant): void {
    if (this.#primary.state !== "Connect") return;
    const { address, port } = this.#facts;
    this.#primary.connectFailed(`cannot connect to ${address} port ${port}: ${text}`, now);
    this.notice(now);
  }

  closed(session: Session, text: string, now: Instant): void {
    session.closed(`connection lost: ${text}`, now);
    this.notice(now);
  }

  wake(now: Instant): void {
    this.#second?.wake(now);
    this.#primary.wake(now);
    this.notice(now);
  }

  /** Notices a change of state; after everything that may have made one. */
  notice(now: Instant): void {
    if (this.state === this.#seen) return;
    this.#seen = this.state;
    this.#since = now;
  }

  nextDeadline(): Instant | undefined {
    return sooner(this.#primary.nextDeadline(), this.#second?.nextDeadline());
  }

  // What the sessions ask and tell (SessionHost).

  act(action: Action): void {
    this.#world.act(action);
  }

  dial(): ConnectAction {
    const { address, port, source, session } = this.#facts;
    const ttl = session.ttlSecurityHops === undefined ? (session.multihop ?? 255) : 255;
    return { type: "connect", peer: this.id, address, port, source, ttl, minTtl: this.#minTtl, md5: session.md5 };
  }

  open(): Open {
    const open = ourOpen(this.#world.identity, this.#facts.session, this.#world.restart());
    return this.#plain ? withoutCapabilities(open) : open;
  }

  opened(session: Session, theirs: Open, now: Instant): SessionTerms | NotificationFault | undefined {
    const agreed = negotiate(session.ourOpen!, theirs, this.#facts.session, { local: session.link!.local, remote: session.link!.remote });
    if (!agreed.ok) return agreed.fault;
    const other = session === this.#primary ? this.#second : this.#primary;
    if (other?.link && (other.state === "OpenConfirm" || other.state === "Established")) {
      const gone = loser({ newer: contender(session), older: contender(other) }, this.#speaker(), theirs, now);
      if (gone) this.#drop(gone === "newer" ? session : other, now);
      if (gone === "newer") return undefined;
    }
    return agreed.value;
  }

  established(session: Session, terms: SessionTerms, now: Instant): void {
    const other = session === this.#primary ? this.#second : this.#primary;
    if (other && !this.#mayYetWin(other, session, terms)) this.#drop(other, now);
    if (session !== this.#primary) this.#promote(session);
    this.#say("info", "bgp.established", `session with AS ${terms.remoteAs} is up`);
    this.notice(now);
    this.sink.up(this.id, terms);
  }

  ended(session: Session, cause: Cause, wasEstablished: boolean, now: Instant): void {
    if (cause.kind === "received") this.#countReceived(cause);
    const reason = describeCause(cause);
    if (session === this.#second) this.#second = undefined;
    else if (session !== this.#primary) return; // retired: its end is no news
    else this.#recordEnd(reason, wasEstablished);
    if (wasEstablished) {
      this.flaps++;
      this.#plain = false;
      this.notice(now);
      this.sink.down(this.id, { retain: retains(session.terms!, cause), reason, notification: notificationOf(cause) });
    }
    // The connection that is left is now the one that counts.
    if (session === this.#primary && this.#second) this.#promote(this.#second);
  }

  unanswered(): void {
    const { address, port, session } = this.#facts;
    const tooFar = session.ttlSecurityHops === undefined ? "" : ", or it is further away than ttlSecurity says";
    const causes = `it is down, or a firewall drops the packets${this.#keyHint(", or the TCP-MD5 keys differ")}${tooFar}`;
    this.#recordEnd(`cannot connect to ${address} port ${port}: no answer (${causes})`, false);
  }

  notified({ code, subcode, data }: NotificationFault): void {
    this.notificationsOut++;
    this.lastSent = describeNotification(code, subcode, data);
  }

  broke(error: unknown): void {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    this.#say("error", "bgp.broken", `a fault of ours while working on what it sent; the session is reset, please report: ${text}`);
  }

  /** Least TTL of what this neighbour sends, whoever dialled (RFC 5082); undefined: any. */
  get #minTtl(): number | undefined {
    const hops = this.#facts.session.ttlSecurityHops;
    return hops === undefined ? undefined : 256 - hops;
  }

  #keyHint(text: string): string {
    return this.#facts.session.md5 === undefined ? "" : text;
  }

  #speaker(): Speaker {
    const { asn, routerId } = this.#world.identity;
    return { asn: this.#facts.session.localAs ?? asn, bgpIdentifier: routerId };
  }

  /** Ours is up, but the senior's own dial is under way: it may still close ours in favour of that (collision.ts). */
  #mayYetWin(other: Session, up: Session, terms: SessionTerms): boolean {
    if (other.state === "Established" || other.link?.outgoing !== false || !up.link!.outgoing) return false;
    return !isSenior(this.#speaker(), { asn: terms.remoteAs, bgpIdentifier: terms.remoteId });
  }

  /** Takes the loser of a collision out. */
  #drop(session: Session, now: Instant): void {
    if (session.state === "Established") {
      // Without NOTIFICATION (RFC 4724 §4.2), and still as the primary: the RIB hears of the end before the new beginning.
      session.stop("replaced by a newer connection of the peer", false, now);
      return;
    }
    if (session === this.#primary && this.#second) this.#promote(this.#second);
    this.#retire(session, now, collision());
  }

  #retire(session: Session, now: Instant, fault: NotificationFault): void {
    if (session === this.#second) this.#second = undefined;
    session.stop(fault.text, false, now, fault);
  }

  #promote(session: Session): void {
    this.#updatesBefore += this.#primary.updatesIn;
    this.#primary = session;
    this.#second = undefined;
    session.passive = this.isPassive;
  }

  #dropSecond(fault: NotificationFault | undefined, text: string, now: Instant): void {
    const second = this.#second;
    this.#second = undefined;
    second?.stop(text, false, now, fault);
  }

  #foremost(): Session {
    const rank = (session: Session): number => states.indexOf(session.state);
    return this.#second && rank(this.#second) > rank(this.#primary) ? this.#second : this.#primary;
  }

  #countReceived({ code, subcode, data }: Cause & { readonly kind: "received" }): void {
    this.notificationsIn++;
    this.lastReceived = describeNotification(code, subcode, data);
    if (code === errorCode.openMessage && subcode === openSubcode.unsupportedOptionalParameter) this.#plain = true;
  }

  #recordEnd(reason: string, wasEstablished: boolean): void {
    const repeated = reason === this.#lastEnd;
    this.#lastEnd = reason;
    if (wasEstablished) this.#say("warn", "bgp.down", `session is down: ${reason}`);
    else this.#say(repeated ? "debug" : "info", "bgp.attempt", reason);
  }

  #say(level: Note["level"], event: string, text: string): void {
    this.act({ type: "note", note: note(level, event, `${this.#facts.name}: ${text}`, { peer: this.#facts.name }) });
  }
}

/** A peer that passed a prefix limit stays out so long unless stated otherwise. */
const limitRestartSeconds = 60;
const states: readonly State[] = ["Idle", "Active", "Connect", "OpenSent", "OpenConfirm", "Established"];
const contender = (session: Session): Contender => {
  const { establishedAt: since, terms, link } = session;
  return { outgoing: link!.outgoing, established: since !== undefined && terms ? { since, terms } : undefined };
};
const collision = (): NotificationFault => cease(ceaseSubcode.collisionResolution, "lost a connection collision");

/** A configured neighbour as facts. */
export function factsOfPeer(settings: PeerSettings): PeerFacts {
  const { name, address, port, source } = settings;
  return { name, address, port, source, session: settings, range: undefined };
}
