/**
 * One BGP speaker: its neighbours and its RIB as one machine. Octets, connections and *now* go in; `takeActions` says what
 * the world should do, `pull` gives a peer what it is owed. No socket, no clock: the daemon drives it, and so does the
 * simulator (P5, P6).
 */
import type { Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PolicySettings } from "#base/policy-settings.ts";
import type { PeerSettings, RangeSettings, SessionSettings } from "#base/settings.ts";
import { type Instant, sooner } from "#base/time.ts";
import { headerLength, refreshSubtype } from "#wire/bgp/constants.ts";
import { encodeRouteRefresh } from "#wire/bgp/message.ts";
import type { Action } from "./actions.ts";
import type { RestartState } from "./fsm/negotiate.ts";
import { type NeighbourInfo, Neighbours } from "./neighbours.ts";
import { RefreshRequests } from "./refresh-requests.ts";
import { Rib, type RibSettings } from "./rib/rib.ts";
import type { FamilyIndex, NotificationFault, SessionEnd, SessionSink, SessionTerms } from "./terms.ts";

export interface SpeakerSettings extends RibSettings {
  /** A number in [0, 1) each time it is asked: the only chance in here. */
  readonly jitter: () => number;
}

/** A peer whose session is up, and the connection its UPDATEs go out by. */
export interface Route {
  readonly peer: number;
  readonly connection: number;
}

/** Hears what happens between sessions and RIB: monitoring (bgp/monitor). It changes nothing. */
export interface SpeakerObserver {
  up(peer: number): void;
  down(peer: number, end: SessionEnd): void;
  /** An UPDATE as it came, whole: bytes[start, end), valid during the call only. `fault`: it resets the session. */
  received(peer: number, message: { readonly bytes: Uint8Array; readonly start: number; readonly end: number }, fault: NotificationFault | undefined): void;
}

/** Stands for every neighbour; none has this name. */
const everyName = "*";

/** What OPENs say while we run: no restart, and what we forwarded is still forwarded when a session comes back (RFC 4724 §3). */
const running: RestartState = { restarting: false, forwarding: [0, 1] };

export class Speaker {
  readonly neighbours: Neighbours;
  readonly rib: Rib;
  #now = 0 as Instant;
  /** Whose session is up, and its route once that was asked for: asking again costs no look at every session. */
  readonly #up = new Map<number, Route | undefined>();
  readonly #observers = new Set<SpeakerObserver>();
  /** Our OPENs say that we restart: from `beginRestart` until routes are selected. */
  #isRestarting = false;
  #routes: readonly Route[] | undefined;
  readonly #requests: Action[] = [];
  readonly #requested = new RefreshRequests();
  /** Names of neighbours whose sessions are shut down gracefully. */
  readonly #leaving = new Set<string>();

  constructor(settings: SpeakerSettings) {
    this.rib = new Rib(settings);
    const sink: SessionSink = {
      up: (peer, terms) => this.#sessionUp(peer, terms),
      down: (peer, end) => this.#sessionDown(peer, end),
      update: (peer, bytes, start, end) => this.#update(peer, bytes, start, end),
      refresh: (peer, family, subtype) => {
        if (subtype === refreshSubtype.begin) this.#requested.settled(peer);
        this.rib.refresh(peer, family, subtype, this.#now);
      },
      isForgotten: (peer) => this.rib.isForgotten(peer),
    };
    this.neighbours = new Neighbours(settings, sink);
  }

  /**
   * A restart of ours: peers are told so in every OPEN, and selection waits for those who come (RFC 4724 §4.1), at most
   * `limitMillis`. Call after the first `configure`: who is configured is expected.
   */
  beginRestart(restart: RestartState, hasRanges: boolean, limitMillis: number, now: Instant): void {
    this.#isRestarting = true;
    this.neighbours.setRestart(restart);
    const expected = this.neighbours.info().filter((peer) => !peer.dynamic);
    this.rib.deferral.begin(
      expected.map((peer) => peer.id),
      hasRanges,
      limitMillis,
      now,
    );
  }

  /** Addresses whose session is up, or is waited for after a restart of ours: whom the next restart waits for (`rib.deferral.awaitBack`). */
  sessions(): readonly Ip[] {
    // One without graceful restart kept nothing of ours, and does not know that it is waited for.
    const up = [...this.#up.keys()].flatMap((peer) => {
      const info = this.neighbours.byId(peer);
      return info?.gracefulRestart ? [info.address] : [];
    });
    return [...new Set([...up, ...this.rib.deferral.awaited])].toSorted();
  }

  configure(peers: readonly PeerSettings[], ranges: readonly RangeSettings[], now: Instant): void {
    this.#now = now;
    this.neighbours.configure(peers, ranges, now);
    this.#reconfigure(now);
  }
  /**
   * Graceful shutdown (RFC 8326) of one session, by the neighbour's name, or of all (`*`), whether they are up yet or not: what the
   * neighbour is told carries GRACEFUL_SHUTDOWN, and LOCAL_PREF 0 inside the AS; what an external one tells is the last to use here.
   * The session stays up: it is to be shut down when others have found other ways.
   */
  gracefulShutdown(name: string, on: boolean, now: Instant): void {
    this.#now = now;
    if (on) this.#leaving.add(name);
    else this.#leaving.delete(name);
    this.#reconfigure(now);
  }
  /** Names given to `gracefulShutdown`. */
  get leaving(): ReadonlySet<string> {
    return this.#leaving;
  }
  accepted(connection: number, local: Ip, remote: Ip, now: Instant): void {
    this.#now = now;
    this.neighbours.accepted(connection, local, remote, now);
  }
  connected(peer: number, connection: number, ends: { readonly local: Ip; readonly remote: Ip }, now: Instant): void {
    this.#now = now;
    this.neighbours.connected(peer, connection, ends.local, ends.remote, now);
  }
  connectFailed(peer: number, text: string, now: Instant): void {
    this.#now = now;
    this.neighbours.connectFailed(peer, text, now);
  }
  bytes(connection: number, chunk: { readonly buffer: Uint8Array; readonly start: number; readonly end: number }, now: Instant): void {
    this.#now = now;
    this.neighbours.bytes(connection, chunk.buffer, chunk.start, chunk.end, now);
  }
  closed(connection: number, text: string, now: Instant): void {
    this.#now = now;
    this.neighbours.closed(connection, text, now);
  }
  /**
   * BFD finds the path to the neighbour of this address broken; its session ends. Not while the neighbour, back from a
   * restart, still tells its routes: its BFD may have failed with that restart (RFC 5882 §4.3.2), and what we kept is kept.
   */
  bfdDown(address: Ip, text: string, now: Instant): void {
    this.#now = now;
    const id = this.neighbours.info().find((info) => info.address === address)?.id;
    if (id === undefined) return;
    const isReturning = this.rib.peers.holdsOld(id) > 0 && !this.rib.hasToldAll(id);
    if (!isReturning) this.neighbours.bfdDown(id, text, now);
  }
  /** An operator ends the session; it comes back by itself. False if there is no neighbour of this name. */
  reset(name: string, { text, hard }: { readonly text: string; readonly hard: boolean }, now: Instant): boolean {
    this.#now = now;
    return this.neighbours.reset(name, text, now, hard);
  }
  /** Keeps a neighbour down, whether it is there yet or not, until it is enabled. */
  shutDown(name: string, text: string, now: Instant): void {
    this.#now = now;
    this.neighbours.shutDown(name, text, now);
  }
  enable(name: string, now: Instant): void {
    this.#now = now;
    this.neighbours.enable(name, now);
  }
  /** In: asks the peer to tell everything again (RFC 2918); out: tells it everything again. False if its session does not allow for it. */
  refresh(peer: number, direction: "in" | "out", now: Instant): boolean {
    this.#now = now;
    const terms = this.isUp(peer) ? this.neighbours.byId(peer)?.terms : undefined;
    if (!terms || (direction === "in" && !terms.routeRefresh)) return false;
    if (direction === "in") this.askAgain(peer);
    else for (const family of terms.families) this.rib.refresh(peer, family, refreshSubtype.request, now);
    return true;
  }
  stop(mode: "restart" | "shutdown", text: string, now: Instant): void {
    this.#now = now;
    this.neighbours.stop(mode, text, now);
  }
  wake(now: Instant): void {
    this.#now = now;
    this.neighbours.wake(now);
    this.#resetLate(now);
  }

  originate(prefix: Prefix): void {
    this.rib.originate(prefix);
  }
  withdrawOwn(prefix: Prefix): void {
    this.rib.withdrawOwn(prefix);
  }

  /** Policies by name; the next `configure` makes them count. */
  usePolicies(policies: Readonly<Record<string, PolicySettings>>): void {
    this.rib.usePolicies(policies);
  }

  /** Decides up to `budget` prefixes; true if there is more to decide. */
  step(now: Instant, budget: number): boolean {
    this.#now = now;
    if (this.#isRestarting && !this.rib.deferral.isDeferring(now)) {
      this.#isRestarting = false;
      this.neighbours.setRestart(running);
    }
    return this.rib.step(now, budget);
  }
  pull(peer: number, room: number, now: Instant, give: (bytes: Uint8Array) => void): number {
    return this.rib.pull(peer, room, now, give);
  }

  takeActions(): Action[] {
    const actions = this.neighbours.takeActions();
    if (this.#requests.length > 0) actions.push(...this.#requests.splice(0));
    for (const said of this.rib.takeNotes()) actions.push({ type: "note", note: said });
    return actions;
  }
  nextDeadline(): Instant | undefined {
    return sooner(sooner(this.neighbours.nextDeadline(), this.#requested.nextDeadline()), this.rib.nextDeadline());
  }

  /** Peers whose session is up; the same array until that changes. */
  routes(): readonly Route[] {
    this.#routes ??= Array.from(this.#up, ([peer, known]) => known ?? this.#route(peer));
    return this.#routes;
  }
  isUp(peer: number): boolean {
    return this.#up.has(peer);
  }

  /** Prefixes a peer was told: what its group was told, less what came from itself. */
  sentTo(info: NeighbourInfo): number {
    let sent = 0;
    for (const family of [0, 1] as const) sent += this.#sent(info.id, family);
    return sent;
  }

  #sent(peer: number, family: FamilyIndex): number {
    const told = this.rib.groups.of(peer, family)?.told;
    return told ? told.size - told.countFrom(peer) : 0;
  }

  observe(observer: SpeakerObserver): void {
    this.#observers.add(observer);
  }
  unobserve(observer: SpeakerObserver): void {
    this.#observers.delete(observer);
  }

  // oxlint-disable-next-line max-params -- as SessionSink has it
  #update(peer: number, bytes: Uint8Array, start: number, end: number): NotificationFault | undefined {
    const fault = this.rib.update(peer, bytes, start, end);
    if (this.#observers.size > 0) {
      const message = { bytes, start: start - headerLength, end };
      for (const observer of this.#observers) observer.received(peer, message, fault);
    }
    return fault;
  }

  #reconfigure(now: Instant): void {
    const { ask, reset } = this.rib.reconfigure((peer) => this.#settingsOf(this.neighbours.byId(peer)));
    for (const peer of ask) this.askAgain(peer);
    for (const peer of reset) this.neighbours.reset(this.neighbours.byId(peer)!.name, "its policies were changed", now);
  }
  #settingsOf(info: NeighbourInfo | undefined): SessionSettings | undefined {
    if (!info || !(this.#leaving.has(info.name) || this.#leaving.has(everyName))) return info?.settings;
    return { ...info.settings, gracefulShutdown: true };
  }

  #resetLate(now: Instant): void {
    for (const peer of this.#requested.takeLate(now)) {
      const name = this.neighbours.byId(peer)?.name;
      if (name !== undefined) this.neighbours.reset(name, "it did not answer a route refresh", now);
    }
  }

  /** ROUTE-REFRESH for every family of the session (RFC 2918). */
  askAgain(peer: number): void {
    const connection = this.neighbours.connectionOf(peer);
    if (connection === undefined) return;
    if (this.rib.peers.terms[peer]!.enhancedRefresh) this.#requested.asked(peer, this.#now);
    for (const family of this.rib.peers.terms[peer]!.families)
      this.#requests.push({ type: "write", connection, bytes: encodeRouteRefresh({ afi: family + 1, safi: 1, subtype: refreshSubtype.request }) });
  }

  #route(peer: number): Route {
    const route = { peer, connection: this.neighbours.connectionOf(peer)! };
    this.#up.set(peer, route);
    return route;
  }

  #sessionUp(peer: number, terms: SessionTerms): void {
    this.#up.set(peer, undefined);
    this.#routes = undefined;
    if (!this.#isRestarting) this.neighbours.setRestart(running);
    const info = this.neighbours.byId(peer)!,
      { name, address, range } = info;
    this.rib.peers.names[peer] = [name, address, ...(range === undefined ? [] : [range])];
    this.rib.up(peer, terms, this.#settingsOf(info)!, this.#now);
    for (const observer of this.#observers) observer.up(peer);
  }
  #sessionDown(peer: number, end: SessionEnd): void {
    this.#requested.settled(peer);
    this.#up.delete(peer);
    this.#routes = undefined;
    this.rib.down(peer, end, this.#now);
    for (const observer of this.#observers) observer.down(peer, end);
  }
}
