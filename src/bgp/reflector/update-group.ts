/**
 * Peers that are told the same: one Adj-RIB-Out, one stream of encoded UPDATEs, one cursor a member. A hot file;
 * twin: test/bgp/rib-model.ts.
 *
 * In: `owe` for each prefix whose choice changed. Out: `pull`, when a member's socket has room. What is owed holds no
 * value: it is looked up when it is told, so the last state wins, what returned to what was told is never told again, and
 * churn costs memory by prefixes, not by events (RFC 4271 §9.2).
 * Holds: a member is either on the group's lane or in exactly one catch-up; what a member has been told is `told` plus what
 * its catch-up owes it.
 */
import { after, type Instant, millis, sooner } from "#base/time.ts";
import { none } from "../rib/adj-rib-in.ts";
import type { AttributeTable } from "../rib/attributes.ts";
import type { LocRib } from "../rib/loc-rib.ts";
import type { PeerTable, Role } from "../rib/peer-table.ts";
import { PrefixQueue } from "../rib/queue.ts";
import { CatchUp, type Knowledge } from "./catch-up.ts";
import type { Exporter } from "./export.ts";
import { type Cursor, Lane, read } from "./lane.ts";
import { endOfRib, type Packer } from "./pack.ts";
import { isReflected, mayTell } from "./reflect.ts";
import { Told } from "./told.ts";
import { type Window, windowPrefixes } from "./window.ts";

/** A member may fall this far behind the others before they stop waiting for it. */
const lagLimitOctets = 4 * 1024 * 1024;
/** … and only when it has taken nothing for this long. */
const stallMillis = millis(100);
const fillsPerPull = 4;

export interface GroupParts {
  readonly rib: LocRib;
  readonly attributes: AttributeTable;
  readonly peers: PeerTable;
  readonly packer: Packer;
  readonly window: Window;
  /** Called with a prefix this group needs no more. */
  readonly forget: (prefix: number) => void;
  /** The same for the first `count` of some prefixes; their array is made use of. */
  readonly forgetAll: (prefixes: Uint32Array, count: number) => void;
  /** Called when sets grow too long for a message when told to this group, so that `count` prefixes are withdrawn instead. */
  readonly tooLong: (prefix: number, count: number) => void;
  /** True while paths of an earlier session of the peer are taken out: as long as one is chosen, the peer is not told another. */
  readonly isSweeping: (peer: number) => boolean;
  /** Overrides the limit of octets a member may lag behind. */
  readonly lagLimitOctets?: number | undefined;
}

interface Member {
  readonly peer: number;
  catchUp: CatchUp | undefined;
  cursor: Cursor;
  /** What a straggler had not read yet when it was split off. */
  readonly backlog: Uint8Array[];
  /** What it waits for before it is given `last`, and up to which count of the queue in question. */
  waits: "for nothing" | "to begin" | "for decisions" | "for the group";
  mark: number;
  /** End-of-RIB after the first telling, or the end of a route refresh (RFC 7313); undefined: nothing marks the end. */
  last: Uint8Array | undefined;
  /** Asked for everything again before it had been told everything: it begins after that. */
  again: Marks | undefined;
  /** When others began to wait for it; undefined once it takes something. */
  awaitedSince: Instant | undefined;
  /** Messages of cursors it had before. */
  messages: number;
}

/** What encloses a telling of everything again; undefined where the peer does not speak enhanced route refresh. */
interface Marks {
  readonly first: Uint8Array | undefined;
  readonly last: Uint8Array | undefined;
}

export class UpdateGroup {
  readonly role: Role;
  readonly told: Told;
  readonly members = new Map<number, Member>();
  readonly #parts: GroupParts;
  #exporter: Exporter;
  readonly #lane = new Lane();
  readonly #owed = new PrefixQueue();
  /** Counts what `pull` did beyond giving what was written: while it grows, pulling again is worth while. */
  steps = 0;
  /** When waiting for a member that reads nothing is over, if the group waits for one. */
  #waitsUntil: Instant | undefined;
  readonly #lagLimit: number;
  readonly #catchUps = new Set<CatchUp>();
  #from = 0;
  #tooLong = 0;
  #longPrefix = 0;
  readonly #reflection: { originatorId: number; clusterId: number };

  constructor(role: Role, exporter: Exporter, parts: GroupParts) {
    this.role = role;
    this.#parts = parts;
    this.#exporter = exporter;
    this.told = new Told(parts.attributes);
    this.#reflection = { originatorId: 0, clusterId: parts.attributes.self.clusterId };
    this.#lagLimit = parts.lagLimitOctets ?? lagLimitOctets;
    for (let prefix = 0; prefix < parts.rib.prefixes.end; prefix++) if (parts.rib.bestOf(prefix) !== none) this.owe(prefix);
  }

  owe(prefix: number): void {
    this.#owed.push(prefix);
  }
  /** Tells by other rules from now on: all that is chosen or was told is looked at again, and only what differs is told. */
  retell(exporter: Exporter): void {
    const { rib } = this.#parts;
    this.#exporter.close();
    this.#exporter = exporter;
    for (let prefix = 0; prefix < rib.prefixes.end; prefix++) if (this.told.setOf(prefix) !== 0 || rib.bestOf(prefix) !== none) this.owe(prefix);
  }
  holds(prefix: number): boolean {
    if (this.told.setOf(prefix) !== 0 || this.#owed.has(prefix)) return true;
    if (this.#catchUps.size > 0) for (const catchUp of this.#catchUps) if (catchUp.holds(prefix)) return true;
    return false;
  }

  /** A new session: it is told everything, then given End-of-RIB (RFC 4724 §4). New peers that come together catch up together. */
  join(peer: number): void {
    this.leave(peer);
    const catchUp = this.#openCatchUp("nothing"),
      last = endOfRib(this.#parts.rib.prefixes.family);
    catchUp.members.add(peer);
    const cursor = catchUp.lane.cursor(),
      waits = "to begin";
    this.members.set(peer, { peer, catchUp, cursor, backlog: [], waits, mark: 0, last, again: undefined, awaitedSince: undefined, messages: 0 });
  }

  /**
   * Tells a member everything again (RFC 2918), between `first` and `last` if they are given (RFC 7313). One that has not been
   * told everything yet is told first: no beginning before our own End-of-RIB (RFC 7313 §4), and nothing in between is lost.
   */
  refresh(peer: number, first: Uint8Array | undefined, last: Uint8Array | undefined): void {
    const member = this.members.get(peer);
    if (!member) return;
    member.again = { first, last };
    this.#beginAgain(member);
  }

  leave(peer: number): void {
    const member = this.members.get(peer);
    if (!member) return;
    this.members.delete(peer);
    if (member.catchUp) this.#leaveCatchUp(member);
  }

  /** When to pull again though nothing happens: a member that is waited for is let go then, by the first pull of another. */
  nextDeadline(): Instant | undefined {
    return this.#owed.size > 0 ? this.#waitsUntil : undefined;
  }
  /** The deadline was heard: it does not come again if nobody pulls. */
  passDeadline(now: Instant): void {
    if (this.#waitsUntil !== undefined && this.#waitsUntil <= now) this.#waitsUntil = undefined;
  }

  /**
   * Gives a member up to about `room` octets of whole messages, in views that share memory with the lane. Answers how many
   * octets were given. `tells`: false while the selection is deferred (RFC 4724 §4.1): only what is written is given.
   */
  pull(peer: number, room: number, now: Instant, tells: boolean, give: (bytes: Uint8Array) => void): number {
    const member = this.members.get(peer);
    if (!member) return 0;
    let given = this.#drainBacklog(member, room, give);
    for (let fills = 0; given < room && member.backlog.length === 0; fills++) {
      given += read(member.cursor, peer, room - given, give);
      if (given >= room || !tells || fills === fillsPerPull) break;
      if (member.catchUp ? !this.#continueCatchUp(member) : !this.#fill(now)) break;
      this.steps++;
    }
    if (tells && member.waits !== "for nothing" && this.#mayEnd(member)) {
      member.waits = "for nothing";
      if (member.last) {
        give(member.last);
        given += member.last.length;
      }
    }
    if (member.again && this.#beginAgain(member)) this.steps++;
    if (given > 0) member.awaitedSince = undefined;
    return given;
  }

  /** UPDATEs given to a member since it joined. */
  messagesTo(peer: number): number {
    const member = this.members.get(peer);
    return member ? member.messages + member.cursor.messages : 0;
  }

  close(): void {
    for (const catchUp of this.#catchUps) catchUp.close(this.#parts.forget);
    this.#catchUps.clear();
    while (this.#owed.size > 0) this.#owed.shift();
    this.told.close();
    this.#exporter.close();
  }

  /** The set this group should be told for a prefix now, 0 for none; `#from` is the label of its source. */
  #wanted(prefix: number): number {
    const { rib, attributes, peers, packer } = this.#parts;
    const path = rib.bestOf(prefix);
    if (path === none) return 0;
    const source = rib.adjRibIn.peer[path]!,
      from = peers.role[source]! as Role,
      set = rib.adjRibIn.attributes[path]!;
    if (!mayTell(this.role, from, attributes.flags[set]!)) return 0;
    this.#from = peers.label[source]!;
    const told = this.#exporter.tell(rib, prefix, set, from);
    if (told === 0) return 0;
    this.#reflection.originatorId = peers.routerId[source]!;
    if (packer.fits(told, isReflected(this.role, from) ? this.#reflection : undefined, rib.prefixes)) return told;
    if (this.#tooLong++ === 0) this.#longPrefix = prefix;
    return 0;
  }

  /** Tells a window's worth of what is owed. False if there was nothing, or the slowest member must be waited for. */
  #fill(now: Instant): boolean {
    if (this.#owed.size === 0 || !this.#haveRoom(now)) return false;
    const { window, rib } = this.#parts,
      told = this.told,
      change = window.change;
    window.begin(this.role, this.members);
    for (let n = 0; n < windowPrefixes; n++) {
      const prefix = this.#owed.shift();
      if (prefix < 0) break;
      const before = told.setOf(prefix),
        from = told.labelOf(prefix),
        set = this.#wanted(prefix);
      if (set === before && (set === 0 || this.#from === from)) {
        if (set === 0) this.#parts.forget(prefix);
        continue;
      }
      if (this.#catchUps.size > 0) for (const catchUp of this.#catchUps) catchUp.note(prefix, before, from);
      change.prefix = prefix;
      change.wasSet = before;
      change.wasFrom = from;
      change.set = set;
      change.from = this.#from;
      window.tell();
      told.put(prefix, set, this.#from);
    }
    window.emit(this.#lane, rib.prefixes, this.#parts.packer);
    if (this.#tooLong > 0) this.#parts.tooLong(this.#longPrefix, this.#tooLong);
    this.#tooLong = 0;
    this.#forgetWithdrawn(window);
    return true;
  }

  /** A prefix that was just withdrawn may be needed by nobody now; its id lives until its NLRI were written. */
  #forgetWithdrawn(window: Window): void {
    let count = 0;
    for (let i = 0; i < window.lastCount; i++) {
      const prefix = window.prefixes[i]!;
      if (this.told.setOf(prefix) === 0) window.prefixes[count++] = prefix;
    }
    if (count > 0) this.#parts.forgetAll(window.prefixes, count);
  }

  /** Waits for members that still read, splits off those that stopped. */
  #haveRoom(now: Instant): boolean {
    let until: Instant | undefined;
    const limit = this.#lane.written - this.#lagLimit;
    for (const member of this.members.values()) {
      if (member.catchUp || member.cursor.position >= limit) continue;
      const patience = after((member.awaitedSince ??= now), stallMillis);
      if (now < patience) until = sooner(until, patience);
      else this.#splitOff(member, new CatchUp(this.told, this.#parts.attributes, "all"));
    }
    this.#waitsUntil = until;
    return until === undefined;
  }

  #splitOff(member: Member, catchUp: CatchUp): void {
    if (member.catchUp) this.#leaveCatchUp(member);
    this.#moveTo(member, catchUp);
  }

  /** What is written is given first, whatever comes after. */
  #moveTo(member: Member, catchUp: CatchUp): void {
    read(member.cursor, member.peer, Number.MAX_SAFE_INTEGER, (bytes) => member.backlog.push(bytes));
    this.#catchUps.add(catchUp);
    catchUp.members.add(member.peer);
    member.catchUp = catchUp;
    move(member, catchUp.lane);
  }

  #openCatchUp(knowledge: Knowledge): CatchUp {
    for (const catchUp of this.#catchUps) if (catchUp.knowledge === knowledge && catchUp.isOpen) return catchUp;
    const made = new CatchUp(this.told, this.#parts.attributes, knowledge);
    this.#catchUps.add(made);
    return made;
  }

  /** True if a refresh that was asked for began. */
  #beginAgain(member: Member): boolean {
    if (!member.again || member.catchUp || member.waits !== "for nothing") return false;
    const { first, last } = member.again;
    this.#moveTo(member, this.#openCatchUp("again"));
    if (first) member.backlog.push(first);
    member.last = last;
    member.waits = "to begin";
    member.again = undefined;
    return true;
  }

  /** Writes more for a member that is behind, or brings it back into the group. False if nothing was left to do. */
  #continueCatchUp(member: Member): boolean {
    const catchUp = member.catchUp!,
      { rib, window } = this.#parts;
    if (catchUp.isDone) {
      this.#leaveCatchUp(member);
      member.catchUp = undefined;
      move(member, this.#lane);
      return true;
    }
    for (const peer of catchUp.members) {
      const other = this.members.get(peer)!;
      if (catchUp.lane.written - other.cursor.position > this.#lagLimit) this.#splitOff(other, catchUp.split());
    }
    const withdrawn: number[] = [];
    window.begin(this.role, catchUp.members);
    catchUp.fill(window, rib.prefixes.end, (prefix) => withdrawn.push(prefix));
    window.emit(catchUp.lane, rib.prefixes, this.#parts.packer);
    for (const prefix of withdrawn) this.#parts.forget(prefix);
    return true;
  }

  #leaveCatchUp(member: Member): void {
    const catchUp = member.catchUp!;
    catchUp.members.delete(member.peer);
    if (catchUp.members.size > 0) return;
    this.#catchUps.delete(catchUp);
    catchUp.close(this.#parts.forget);
  }

  #drainBacklog(member: Member, room: number, give: (bytes: Uint8Array) => void): number {
    let given = 0,
      count = 0;
    while (count < member.backlog.length && given < room) {
      const bytes = member.backlog[count++]!;
      give(bytes);
      given += bytes.length;
    }
    if (count > 0) member.backlog.splice(0, count);
    return given;
  }

  /** All that was held when the telling began has been decided, then told, then read. */
  #mayEnd(member: Member): boolean {
    const { dirty } = this.#parts.rib;
    if (member.waits === "to begin") {
      if (this.#parts.isSweeping(member.peer)) return false;
      member.waits = "for decisions";
      member.mark = dirty.pushed;
    }
    if (member.waits === "for decisions" && dirty.shifted >= member.mark) {
      member.waits = "for the group";
      member.mark = this.#owed.pushed;
    }
    if (member.waits !== "for the group" || this.#owed.shifted < member.mark) return false;
    return !member.catchUp && member.backlog.length === 0 && member.cursor.position === this.#lane.written;
  }
}

function move(member: Member, lane: Lane): void {
  member.messages += member.cursor.messages;
  member.cursor = lane.cursor();
}
