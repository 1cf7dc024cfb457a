/**
 * All neighbours of a speaker: those of the document, and those that come out of its ranges; which connection is whose, and
 * who is due when. Events and *now* go in; actions are taken out after each event, in order (P5).
 *
 * Ids are dense and start at 1 (0 is ourselves). An id is given anew only when the RIB holds nothing of its last owner.
 */
import { Agenda } from "#base/agenda.ts";
import type { Ip } from "#base/ip.ts";
import { note } from "#base/note.ts";
import { type Prefix, contains, prefixParts } from "#base/prefix.ts";
import type { FamilyName, PeerRole, PeerSettings, RangeSettings, SessionSettings } from "#base/settings.ts";
import { type Instant, after, millis } from "#base/time.ts";
import { ceaseSubcode } from "#wire/bgp/constants.ts";
import { encodeNotification } from "#wire/bgp/message.ts";
import type { Action } from "./actions.ts";
import type { State } from "./fsm/fsm.ts";
import type { RestartState, SpeakerIdentity } from "./fsm/negotiate.ts";
import { cease, ceaseWithText } from "./fsm/retention.ts";
import { describeNeighbour } from "./neighbour-description.ts";
import { Peer, type PeerFacts, factsOfPeer } from "./peer.ts";
import type { Session, SessionOpens } from "./session.ts";
import type { SessionSink, SessionTerms } from "./terms.ts";

/** Ids are columns of 16 bits in the RIB. */
const maxPeers = 65_535;
/** A dynamic neighbour that is down stays visible (and keeps its back-off) this long at least, unless its range is full. */
export const lingerMillis = 30_000;
/** How often the RIB is asked whether it has forgotten those who left. */
const collectMillis = millis(1000);
/** Refused addresses remembered, so that each is named once in the log. */
const refusedRemembered = 256;
/** Key of the collection in the agenda: no peer has id 0. */
const collection = 0;

export interface NeighbourInfo {
  readonly id: number;
  readonly name: string;
  readonly address: Ip;
  readonly asn: number;
  readonly role: PeerRole;
  readonly settings: SessionSettings;
  readonly dynamic: boolean;
  /** The range a dynamic neighbour came out of. */
  readonly range: string | undefined;
  readonly state: State;
  readonly reason: string;
  readonly since: Instant;
  /** Negotiated; empty unless Established. */
  readonly families: readonly FamilyName[];
  readonly holdSeconds: number | null;
  readonly remoteId: number | null;
  readonly flaps: number;
  /** Both sides offered graceful restart. */
  readonly gracefulRestart: boolean;
  readonly updatesIn: number;
  readonly notificationsIn: number;
  readonly notificationsOut: number;
  /** The last NOTIFICATION each way, in words. */
  readonly lastSent: string | undefined;
  readonly lastReceived: string | undefined;
  /** Attempts since the last session (ConnectRetryCounter). */
  readonly attempts: number;
  /** After a prefix limit: until when it is not let in. */
  readonly barredUntil: Instant | undefined;
  readonly terms: SessionTerms | undefined;
}

interface Owned {
  readonly peer: Peer;
  readonly session: Session;
}

export class Neighbours {
  readonly #identity: SpeakerIdentity;
  readonly #sink: SessionSink;
  #restart: RestartState = { restarting: false, forwarding: [] };
  readonly #byId: (Peer | undefined)[] = [undefined];
  readonly #byAddress = new Map<Ip, Peer>();
  /** Ids of neighbours that are gone but not yet forgotten by the RIB. */
  readonly #departed = new Set<number>();
  /** Longest first. */
  #ranges: readonly RangeSettings[] = [];
  readonly #connections = new Map<number, Owned>();
  readonly #agenda = new Agenda();
  readonly #refused = new Set<Ip>();
  /** Whom an operator keeps down and what they are told; by name, so that it outlives documents and dynamic neighbours. */
  readonly #shutDown = new Map<string, string>();
  #actions: Action[] = [];
  #stopped = false;

  constructor(identity: SpeakerIdentity, sink: SessionSink) {
    this.#identity = identity;
    this.#sink = sink;
  }

  /** What OPENs sent from now on say of a restart of ours. */
  setRestart(restart: RestartState): void {
    this.#restart = restart;
  }

  /** The document, first or changed: differences are applied to what runs. New neighbours are dialled at once. */
  configure(peers: readonly PeerSettings[], ranges: readonly RangeSettings[], now: Instant): void {
    this.#ranges = ranges.toSorted((a, b) => lengthOf(b.range) - lengthOf(a.range));
    this.#refused.clear();
    const wanted = new Map(peers.map((settings) => [settings.name, settings]));
    for (const peer of this.#all()) if (peer.isDynamic || !continues(peer.facts, wanted.get(peer.facts.name))) this.#reconsider(peer, peers, now);
    const running = new Map(this.#all().flatMap((peer) => (peer.isDynamic ? [] : [[peer.facts.name, peer] as const])));
    for (const settings of peers) {
      const peer = running.get(settings.name);
      if (peer) this.#adopt(peer, factsOfPeer(settings), now);
      else this.#add(factsOfPeer(settings), now);
    }
  }

  /** A connection that came in. */
  accepted(connection: number, local: Ip, remote: Ip, now: Instant): void {
    if (this.#stopped) return this.#act({ type: "close", connection, how: "destroy" });
    const peer = this.#byAddress.get(remote) ?? this.#fromRange(local, remote, now);
    if (typeof peer === "string") return this.#refuse(connection, remote, peer);
    const session = peer.accepted({ connection, local, remote, outgoing: false }, now);
    this.#own(connection, peer, session, now);
  }

  /** The answer to a `connect` action. */
  // oxlint-disable-next-line max-params -- an event of the world as it is reported, like `accepted`
  connected(peer: number, connection: number, local: Ip, remote: Ip, now: Instant): void {
    const dialler = this.#byId[peer];
    const session = dialler?.connected({ connection, local, remote, outgoing: true }, now);
    if (dialler) this.#own(connection, dialler, session, now);
    else this.#act({ type: "close", connection, how: "destroy" });
  }

  /** The other answer; `text` says why in a few words. */
  connectFailed(peer: number, text: string, now: Instant): void {
    const dialler = this.#byId[peer];
    dialler?.connectFailed(text, now);
    if (dialler) this.#settle(dialler, now);
  }

  /** Octets of a connection: buffer[start, end), read during the call only. */
  // oxlint-disable-next-line max-params -- once per chunk: no object is made for it
  bytes(connection: number, buffer: Uint8Array, start: number, end: number, now: Instant): void {
    const owned = this.#connections.get(connection);
    if (!owned) return;
    owned.session.bytes(buffer, start, end, now);
    owned.peer.notice(now);
    this.#settle(owned.peer, now);
  }

  /** The other side closed, or TCP gave up. */
  closed(connection: number, text: string, now: Instant): void {
    const owned = this.#connections.get(connection);
    if (!owned) return;
    this.#connections.delete(connection);
    owned.peer.closed(owned.session, text, now);
    this.#settle(owned.peer, now);
  }

  /** Octets written to the connection wait for the peer to read (RFC 9687); said as often as it is true. */
  sendBlocked(connection: number, now: Instant): void {
    const owned = this.#connections.get(connection);
    owned?.session.sendBlocked(now);
    if (owned) this.#settle(owned.peer, now);
  }

  /** Some of them have left. */
  sendProgressed(connection: number): void {
    this.#connections.get(connection)?.session.sendProgressed();
  }

  /** Executes what is due. Feed octets that are there before this: a peer must not be timed out for what waits to be read. */
  wake(now: Instant): void {
    for (let key = this.#agenda.due(now); key !== undefined; key = this.#agenda.due(now)) {
      if (key === collection) this.#collect(now);
      const peer = this.#byId[key];
      peer?.wake(now);
      if (peer) this.#settle(peer, now);
    }
  }

  /** When `wake` may have something to do, at the latest. */
  nextDeadline(): Instant | undefined {
    return this.#agenda.nearest();
  }

  /** What is to be done, in order; each is handed out once. */
  takeActions(): Action[] {
    const out = this.#actions;
    this.#actions = [];
    return out;
  }

  /**
   * Ends every session for good (product §6.2). `restart`: so that peers go on forwarding, as far as each is able to;
   * `shutdown`: administrative shutdown, hard for peers that would survive it.
   */
  stop(mode: "restart" | "shutdown", text: string, now: Instant): void {
    this.#stopped = true;
    for (const peer of this.#all()) {
      if (mode === "restart") peer.stopForRestart(text, now);
      else peer.stop(text, now, ceaseWithText(ceaseSubcode.administrativeShutdown, text));
      this.#settle(peer, now);
    }
  }

  /** Administrative reset of one neighbour; `hard`: neither side keeps routes of the other. False if there is none of this name. */
  reset(peerName: string, text: string, now: Instant, hard = false): boolean {
    const peer = this.#named(peerName);
    peer?.reset(ceaseSubcode.administrativeReset, text, now, hard);
    if (peer) this.#settle(peer, now);
    return peer !== undefined;
  }

  /** Keeps the neighbour of this name down (`*`: every one), now or whenever it comes, until enabled (RFC 4271 ManualStop, RFC 9003). */
  shutDown(peerName: string, text: string, now: Instant): void {
    this.#shutDown.set(peerName, text);
    for (const peer of this.#all()) {
      if (peerName !== everyName && peer.facts.name !== peerName) continue;
      peer.stop(keptDown(text), now, ceaseWithText(ceaseSubcode.administrativeShutdown, text));
      this.#settle(peer, now);
    }
  }
  enable(peerName: string, now: Instant): void {
    if (!this.#shutDown.delete(peerName) || this.#stopped) return;
    for (const peer of this.#all()) {
      if (this.#whyKept(peer.facts.name) !== undefined || (peerName !== everyName && peer.facts.name !== peerName)) continue;
      peer.start(now);
      this.#settle(peer, now);
    }
  }
  #whyKept(name: string): string | undefined {
    return this.#shutDown.get(name) ?? this.#shutDown.get(everyName);
  }

  /** BFD finds the path to this neighbour broken; `text` says why, a sentence without subject. */
  bfdDown(id: number, text: string, now: Instant): void {
    const peer = this.#byId[id];
    peer?.bfdDown(text, now);
    if (peer) this.#settle(peer, now);
  }

  info(): readonly NeighbourInfo[] {
    return this.#all().map(describeNeighbour);
  }
  byId(peer: number): NeighbourInfo | undefined {
    const found = this.#byId[peer];
    return found && describeNeighbour(found);
  }
  isEstablished(peer: number): boolean {
    return this.#byId[peer]?.state === "Established";
  }
  /** Both OPENs of its Established session. */
  opensOf(peer: number): SessionOpens | undefined {
    return this.#byId[peer]?.opens;
  }
  /** The connection of its Established session: where its UPDATEs go. */
  connectionOf(peer: number): number | undefined {
    return this.#byId[peer]?.connection;
  }

  #named(name: string): Peer | undefined {
    return this.#all().find(({ facts }) => facts.name === name);
  }
  #all(): Peer[] {
    return this.#byId.filter((peer) => peer !== undefined);
  }

  #own(connection: number, peer: Peer, session: Session | undefined, now: Instant): void {
    // The session may have closed it again meanwhile.
    if (session?.link?.connection === connection) this.#connections.set(connection, { peer, session });
    else if (!session) this.#act({ type: "close", connection, how: "destroy" });
    this.#settle(peer, now);
  }

  /** After every event of a peer: when it is due next, and whether it may go. */
  #settle(peer: Peer, now: Instant): void {
    this.#agenda.set(peer.id, peer.nextDeadline());
    if (peer.isDynamic && !peer.hasConnection) this.#agenda.set(collection, after(now, collectMillis));
  }

  #act(action: Action): void {
    if (action.type === "close") this.#connections.delete(action.connection);
    this.#actions.push(action);
  }

  /** RFC 4486 §4: whom nobody configured is told so. */
  #refuse(connection: number, remote: Ip, why: string): void {
    this.#act({ type: "write", connection, bytes: encodeNotification(cease(ceaseSubcode.connectionRejected, why)) });
    this.#act({ type: "close", connection, how: "end" });
    if (this.#refused.has(remote)) return;
    if (this.#refused.size >= refusedRemembered) this.#refused.clear();
    this.#refused.add(remote);
    this.#act({ type: "note", note: note("warn", "bgp.refused", `connection from ${remote} refused: ${why}`, { fields: { address: remote } }) });
  }

  /** A new dynamic neighbour, or why there is none. */
  #fromRange(local: Ip, remote: Ip, now: Instant): Peer | string {
    const range = this.#ranges.find((one) => contains(one.range, remote));
    if (!range) return "no peer and no range of the configuration has this address";
    if (local === remote) return "this is our own address";
    // Nobody is counted while all neighbours together are fewer: of thousands that connect at once each would look at all others.
    const members = this.#byAddress.size < range.limit ? [] : this.#all().filter(({ facts }) => facts.range === range.name);
    const isFull = members.length >= range.limit && !members.filter((peer) => this.#collectOne(peer)).length;
    if (isFull) return `range ${range.name} has reached its limit of ${range.limit} neighbours; raise it if they are all wanted`;
    return this.#add(factsOfRange(range, remote), now) ?? `there are ${maxPeers} neighbours already`;
  }

  #add(facts: PeerFacts, now: Instant): Peer | undefined {
    const id = this.#freeId();
    if (id === undefined) {
      const text = `${facts.name}: not started, there are ${maxPeers} neighbours already`;
      this.#act({ type: "note", note: note("error", "bgp.too-many-peers", text, { peer: facts.name }) });
      return undefined;
    }
    const world = { identity: this.#identity, sink: this.#sink, restart: () => this.#restart, act: (action: Action) => this.#act(action) };
    const peer = new Peer(id, facts, world, now);
    this.#byId[id] = peer;
    this.#byAddress.set(facts.address, peer);
    const kept = this.#whyKept(facts.name);
    if (kept !== undefined) peer.stop(keptDown(kept), now);
    else if (!this.#stopped) peer.start(now);
    this.#settle(peer, now);
    return peer;
  }

  #freeId(): number | undefined {
    for (const id of this.#departed) if (this.#sink.isForgotten(id)) this.#departed.delete(id);
    for (let id = 1; id <= maxPeers; id++) if (!this.#byId[id] && !this.#departed.has(id)) return id;
    return undefined;
  }

  #remove(peer: Peer, now: Instant): void {
    peer.stop("removed from the configuration", now, cease(ceaseSubcode.peerDeconfigured, "removed from the configuration"));
    this.#forget(peer);
    this.#agenda.set(collection, after(now, collectMillis));
  }

  #forget({ id, facts }: Peer): void {
    this.#byId[id] = undefined;
    this.#byAddress.delete(facts.address);
    this.#agenda.forget(id);
    this.#departed.add(id);
  }

  /** A neighbour that does not simply go on under its name: a dynamic one under the ranges of now, or one that is removed. */
  #reconsider(peer: Peer, peers: readonly PeerSettings[], now: Instant): void {
    const { address } = peer.facts;
    const isOwnPeer = peers.some((settings) => settings.address === address);
    const range = peer.isDynamic && !isOwnPeer ? this.#ranges.find((one) => contains(one.range, address)) : undefined;
    if (range && range.remoteAs === peer.facts.session.remoteAs) this.#adopt(peer, factsOfRange(range, address), now);
    else this.#remove(peer, now);
  }

  #adopt(peer: Peer, facts: PeerFacts, now: Instant): void {
    const old = peer.facts;
    peer.configure(facts, now);
    if (sessionKey(old) !== sessionKey(facts) && this.#whyKept(facts.name) === undefined)
      peer.reset(ceaseSubcode.otherConfigurationChange, "settings of the session were changed", now);
    this.#settle(peer, now);
  }

  #collect(now: Instant): void {
    let waiting = false;
    for (const peer of this.#all()) {
      if (!peer.isDynamic || peer.hasConnection) continue;
      if (now - peer.since < lingerMillis || !this.#collectOne(peer)) waiting = true;
    }
    for (const id of this.#departed) if (this.#sink.isForgotten(id)) this.#departed.delete(id);
    if (waiting || this.#departed.size > 0) this.#agenda.set(collection, after(now, collectMillis));
  }

  /** Lets go of a dynamic neighbour that is down and of which the RIB holds nothing. */
  #collectOne(peer: Peer): boolean {
    if (!peer.isDynamic || peer.hasConnection || !this.#sink.isForgotten(peer.id)) return false;
    this.#forget(peer);
    return true;
  }
}

/** Stands for every neighbour where one is shut down; no neighbour has this name. */
const everyName = "*";
const keptDown = (text: string): string => `shut down by an operator${text === "" ? "" : `: ${text}`}`;
const lengthOf = (prefix: Prefix): number => prefixParts(prefix).length;

/** True if the neighbour `facts` is the one that `settings` describe now: another address or AS is somebody else. */
function continues(facts: PeerFacts, settings: PeerSettings | undefined): boolean {
  return settings !== undefined && settings.address === facts.address && settings.remoteAs === facts.session.remoteAs;
}

/** What a session was opened with; if it changes, a new session is needed. The rest is applied to the one that runs. */
function sessionKey({ source, session }: PeerFacts): string {
  const { role, holdSeconds, families, gracefulRestart: of, md5, multihop, ttlSecurityHops, asRole, strictRole, localAs, addPath, extendedNextHop } = session;
  // Another key is taken on by the connection that runs (daemon/listeners.ts); client and non-client are told apart by us alone (rib.ts).
  const kind = [of?.restartSeconds, of?.longLivedSeconds, md5 !== undefined, role === "external"];
  return JSON.stringify([source, kind, holdSeconds, families, multihop, ttlSecurityHops, asRole, strictRole, localAs, addPath, extendedNextHop]);
}

function factsOfRange(range: RangeSettings, address: Ip): PeerFacts {
  return { name: `${range.name}-${address}`, address, port: 179, source: undefined, session: range, range: range.name };
}
