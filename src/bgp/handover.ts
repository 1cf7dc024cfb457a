/**
 * Which sessions with other nodes are kept, while the document replaces some by others: from a mesh to reflectors, from one
 * reflector to another, back to a mesh; and a mesh that stands in while every reflector is gone. Make before break: what the
 * document has no more goes on beside what it has now, until nothing is lost by its end.
 *
 * An old session goes in three steps, each only while what came before it holds:
 *   kept     until two of the new sessions (all, if fewer) have told everything and were told everything, End-of-RIB both ways,
 *            and every route heard by the old one is heard by a new one too;
 *   leaving  graceful shutdown (RFC 8326): what we tell the peer says that this session will end;
 *   closed   once the peer says the same. It has its own new sessions by then, so neither side depends on this one.
 *
 * A session that stays while the other end ceases to be a reflector is alike: the reflector goes on reflecting to its client, and
 * the client marks its routes so when it hears by others all that is reflected to it. Then the reflector stops, and the mark goes.
 *
 * Facts and *now* go in; the sessions to be configured come out (P5).
 */
import { type Note, note } from "#base/note.ts";
import type { ListenSettings, PeerSettings, ReflectionSettings } from "#base/settings.ts";
import { after, type Instant, millis, sooner } from "#base/time.ts";
import type { Coverage } from "./rib/coverage.ts";

export const handoverLimits = {
  /** New sessions that must be complete before an old one closes. */
  complete: 2,
  /** Everything must be so for this long: what reflectors tell others is on its way. */
  settleMillis: 1000,
  /** A peer that tells us no route cannot mark one, and one that is no longer in the document may not know: they get this long. */
  lingerMillis: 10_000,
  /** How often facts are wanted while anything is under way, and how long after a document they are: others may follow it later. */
  lookMillis: 500,
  watchMillis: 60_000,
} as const;

/** What the RIB and the neighbours say of one session. */
export interface SessionFacts extends Coverage {
  readonly isUp: boolean;
  /** End-of-RIB of every family came, and ours went out. */
  readonly isComplete: boolean;
}
export type Facts = ReadonlyMap<string, SessionFacts>;

export interface Wanted {
  readonly peers: readonly PeerSettings[];
  readonly reflection: ReflectionSettings | undefined;
  readonly listen: ListenSettings | undefined;
}

interface Old {
  readonly peer: PeerSettings;
  /** Since when all has been right for the step it is in. */
  since: Instant | undefined;
  isLeaving: boolean;
}

export class Handover {
  #wanted: Wanted = { peers: [], reflection: undefined, listen: undefined };
  readonly #old = new Map<string, Old>();
  /** Where the node listened when the old sessions were wanted. */
  #oldListen: ListenSettings | undefined;
  /** Sessions that stay, in which we go on as a reflector; since when the client has had no more need of it. */
  readonly #clients = new Map<string, Instant | undefined>();
  /** Sessions that stay, in which we have no more need of the other's reflection, and say so. */
  readonly #marked = new Set<string>();
  #isFallback = false;
  /** Since when no reflector has been there. */
  #goneSince: Instant | undefined;
  #watchUntil = 0 as Instant;
  #lookAt: Instant | undefined;
  #notes: Note[] = [];

  /** The document, first or changed. */
  want(wanted: Wanted, now: Instant): void {
    const before = this.#nodes(),
      listened = this.listen;
    const isOther = shapeOf(wanted) !== shapeOf(this.#wanted);
    this.#wanted = wanted;
    if (!wanted.reflection?.fallback) this.#isFallback = false;
    this.#replace(before, listened);
    if (isOther) this.#watchUntil = after(now, millis(handoverLimits.watchMillis));
    this.#lookAt = now;
  }

  /** The sessions to be configured now. */
  peers(): readonly PeerSettings[] {
    const old = Array.from(this.#old.values(), ({ peer, isLeaving }) => (isLeaving ? { ...peer, gracefulShutdown: true } : peer));
    return [...[...this.#wanted.peers, ...this.#standIns()].map((peer) => this.#asItIs(peer)), ...old];
  }
  /** Where to accept connections now: who waits for one, waits for it also in an old session. */
  get listen(): ListenSettings | undefined {
    const { listen, reflection } = this.#wanted;
    if (listen) return listen;
    if (this.#isFallback) return reflection!.fallback!.listen;
    return [...this.#old.values()].some(({ peer }) => peer.passive) ? this.#oldListen : undefined;
  }
  /** Names of the sessions with nodes that are to stay. */
  staying(): ReadonlySet<string> {
    return new Set(this.#nodes().map(({ name }) => name));
  }
  /** … and of those that are to go. */
  get leaving(): Iterable<string> {
    return this.#old.keys();
  }
  get isFallback(): boolean {
    return this.#isFallback;
  }
  /** When facts are wanted, at the latest; undefined: when a session comes up or goes down. */
  nextLook(): Instant | undefined {
    return this.#lookAt;
  }
  takeNotes(): readonly Note[] {
    return this.#notes.splice(0);
  }

  /** True if `peers` or `listen` are others now. `facts`: by name, of all sessions with nodes. */
  see(facts: Facts, now: Instant): boolean {
    const isEnough = this.#isEnough(facts);
    let changed = this.#seeReflectors(facts, now);
    for (const [name, old] of this.#old) if (this.#step(old, { name, fact: facts.get(name), isEnough, now })) changed = true;
    for (const name of this.#clients.keys()) if (this.#seeClient(name, facts.get(name), now)) changed = true;
    for (const { name } of this.#nodes()) if (this.#seeReflection(name, facts.get(name))) changed = true;
    const isReturning = this.#isFallback && this.#goneSince === undefined;
    const isUnderWay = isReturning || this.#old.size + this.#clients.size + this.#marked.size > 0 || now < this.#watchUntil;
    this.#lookAt = isUnderWay ? after(now, millis(handoverLimits.lookMillis)) : undefined;
    if (!this.#isFallback) this.#lookAt = sooner(this.#lookAt, this.#fallbackAt());
    return changed;
  }

  #step(old: Old, { name, fact, isEnough, now }: { name: string; fact: SessionFacts | undefined; isEnough: boolean; now: Instant }): boolean {
    if (!isEnough || (fact?.uncovered ?? 0) > 0) {
      const was = old.isLeaving;
      old.since = undefined;
      old.isLeaving = false;
      return was;
    }
    if (!fact?.isUp) return this.#close(name, "it is down");
    old.since ??= now;
    const passed = now - old.since;
    if (passed < handoverLimits.settleMillis) return false;
    if (!old.isLeaving) {
      old.isLeaving = true;
      old.since = now;
      return true;
    }
    if (isMarked(fact)) return this.#close(name, "the other end leaves it too");
    const mayMark = fact.holds > 0 && this.#wanted.reflection?.nodes.includes(name);
    return !mayMark && passed >= handoverLimits.lingerMillis && this.#close(name, "the other end has had the time to leave it");
  }

  #close(name: string, why: string): true {
    this.#old.delete(name);
    this.#say("info", "bgp.session-replaced", `the session with ${name} ends: others have taken its place, and ${why}`);
    return true;
  }

  /** Two of the sessions that stay (of those with reflectors, where there are any), or all if fewer, are complete. */
  #isEnough(facts: Facts): boolean {
    const { reflection } = this.#wanted;
    const names = reflection?.reflectors.length ? reflection.reflectors : [...this.staying()];
    const complete = names.filter((name) => facts.get(name)?.isComplete).length;
    // What stood in for reflectors ends as it began: with one of them.
    const isStandIn = [...this.#old.keys()].every((name) => this.#standsIn(name));
    return complete >= Math.min(names.length, isStandIn ? 1 : handoverLimits.complete);
  }
  #standsIn(name: string): boolean {
    return this.#wanted.reflection?.fallback?.peers.some((peer) => peer.name === name) === true;
  }

  /** We are no longer this peer's reflector: once it marks what it tells us, or has had the time to. */
  #seeClient(name: string, fact: SessionFacts | undefined, now: Instant): boolean {
    const isSaid = fact?.isUp === true && isMarked(fact),
      cannotSay = !fact?.isUp || fact.holds === 0;
    const since = isSaid || cannotSay ? (this.#clients.get(name) ?? now) : undefined;
    this.#clients.set(name, since);
    if (since === undefined || now - since < (isSaid ? handoverLimits.settleMillis : handoverLimits.lingerMillis)) return false;
    this.#clients.delete(name);
    return true;
  }

  /** A peer reflects though it is no reflector any more: once we hear all of it by others, we say so, as long as it does. */
  #seeReflection(name: string, fact: SessionFacts | undefined): boolean {
    const was = this.#marked.has(name),
      isSpare = fact?.isUp === true && fact.reflected > 0 && fact.uncoveredReflected === 0 && !this.#wanted.reflection?.reflecting.includes(name);
    if (was === isSpare) return false;
    if (isSpare) this.#marked.add(name);
    else this.#marked.delete(name);
    return true;
  }

  #seeReflectors(facts: Facts, now: Instant): boolean {
    const { reflection } = this.#wanted;
    if (!reflection?.fallback || reflection.reflectors.length === 0) {
      this.#goneSince = undefined;
      return false;
    }
    // An old session does as well as long as it is there: a mesh on its way to reflectors, a reflector on its way to be none.
    const others = [...this.#old.keys()].filter((name) => !this.#standsIn(name));
    const isThere = [...reflection.reflectors, ...others].some((name) => facts.get(name)?.isUp);
    this.#goneSince = isThere ? undefined : (this.#goneSince ?? now);
    if (!this.#isFallback) {
      if (isThere || now < this.#fallbackAt()!) return false;
      const { afterSeconds } = reflection.fallback;
      this.#say("warn", "bgp.reflectors-gone", `no reflector has been there for ${afterSeconds} s: this node peers with the other nodes until one is back`);
    } else {
      if (!reflection.reflectors.some((name) => facts.get(name)?.isComplete)) return false;
      this.#say("info", "bgp.reflectors-back", "a reflector is back and has told everything: sessions with other nodes end when nothing depends on them");
    }
    const before = this.#nodes(),
      listened = this.listen;
    this.#isFallback = !this.#isFallback;
    this.#replace(before, listened);
    return true;
  }
  #fallbackAt(): Instant | undefined {
    const seconds = this.#wanted.reflection?.fallback?.afterSeconds;
    return this.#goneSince === undefined || seconds === undefined ? undefined : after(this.#goneSince, millis(seconds * 1000));
  }

  /** What was wanted and is not any more becomes old; what is wanted again is no longer old. */
  #replace(before: readonly PeerSettings[], listened: ListenSettings | undefined): void {
    const nodes = this.#nodes(),
      all = [...this.#wanted.peers, ...nodes];
    for (const peer of before) this.#old.set(peer.name, this.#old.get(peer.name) ?? { peer, since: undefined, isLeaving: false });
    for (const { name, role } of nodes) {
      const was = this.#old.get(name)?.peer.role;
      if (role !== "non-client") this.#clients.delete(name);
      else if (was === "client") this.#clients.set(name, undefined);
    }
    const names = new Set(all.map(({ name }) => name)),
      addresses = new Set(all.map(({ address }) => address));
    // Without sessions between nodes (`reflection: off`) nothing will ever take the place of the old ones.
    for (const [name, { peer }] of this.#old) if (nodes.length === 0 || names.has(name) || addresses.has(peer.address)) this.#old.delete(name);
    for (const name of [...this.#clients.keys(), ...this.#marked]) {
      if (names.has(name)) continue;
      this.#clients.delete(name);
      this.#marked.delete(name);
    }
    this.#oldListen = listened ?? this.#oldListen;
  }

  /** Sessions with nodes as the document wants them, and those that stand in for reflectors. */
  #nodes(): readonly PeerSettings[] {
    const names = new Set(this.#wanted.reflection?.sessions);
    return [...this.#wanted.peers.filter(({ name }) => names.has(name)), ...this.#standIns()].map((peer) => this.#asItIs(peer, false));
  }
  #asItIs(peer: PeerSettings, marks = true): PeerSettings {
    const role = this.#clients.has(peer.name) ? "client" : peer.role;
    return marks && this.#marked.has(peer.name) ? { ...peer, role, gracefulShutdown: true } : { ...peer, role };
  }
  #standIns(): readonly PeerSettings[] {
    return this.#isFallback ? this.#wanted.reflection!.fallback!.peers : [];
  }
  #say(level: Note["level"], event: string, text: string): void {
    this.#notes.push(note(level, event, text));
  }
}

const isMarked = ({ holds, marked }: SessionFacts): boolean => holds > 0 && marked === holds;

/** What of a document decides about sessions between nodes, as text. */
function shapeOf({ peers, reflection }: Wanted): string {
  if (!reflection) return "";
  const names = new Set(reflection.sessions);
  return JSON.stringify([reflection.reflecting, reflection.reflectors, peers.filter(({ name }) => names.has(name)).map(({ name, role }) => [name, role])]);
}
