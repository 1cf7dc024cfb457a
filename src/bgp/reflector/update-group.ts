/**
 * Peers that are told the same: one Adj-RIB-Out, one stream of encoded UPDATEs, one cursor a member. A hot file; twin:
 * test/bgp/twins.ts.
 *
 * In: `owe` for each prefix whose choice changed. Out: `pull`, when a member's socket has room. What is owed holds no
 * value: it is looked up when it is told, so the last state wins, what returned to what was told is never told again, and
 * churn costs memory by prefixes, not by events (RFC 4271 §9.2).
 * Holds: a member is either on the group's lane or in exactly one catch-up; what a member has been told is `told` plus what
 * its catch-up owes it.
 */
import type { Instant } from "#base/time.ts";
import { none } from "../rib/adj-rib-in.ts";
import type { AttributeTable } from "../rib/attributes.ts";
import type { LocRib } from "../rib/loc-rib.ts";
import type { PeerTable, Role } from "../rib/peer-table.ts";
import { PrefixQueue } from "../rib/queue.ts";
import { CatchUp } from "./catch-up.ts";
import type { Exporter } from "./export.ts";
import { type Cursor, Lane, read } from "./lane.ts";
import { endOfRib, type Packer } from "./pack.ts";
import { isReflected, mayTell } from "./reflect.ts";
import { Told } from "./told.ts";
import { type Window, windowPrefixes } from "./window.ts";

/** A member may fall this far behind the others before they stop waiting for it. */
export const lagLimitOctets = 4 * 1024 * 1024;
/** … and only when it has taken nothing for this long. */
export const stallMillis = 100;
const fillsPerPull = 4;

export interface GroupParts {
  readonly rib: LocRib;
  readonly attributes: AttributeTable;
  readonly peers: PeerTable;
  readonly packer: Packer;
  readonly window: Window;
  /** Called with a prefix this group needs no more. */
  readonly forget: (prefix: number) => void;
  /** Called when a set grows too long for a message when told to this group, so that the prefix is withdrawn instead. */
  readonly tooLong: (prefix: number) => void;
}

interface Member {
  readonly peer: number;
  catchUp: CatchUp | undefined;
  cursor: Cursor;
  /** What a straggler had not read yet when it was split off. */
  readonly backlog: Uint8Array[];
  /** `last` is due once the group has told what it owed up to here; undefined: it was sent. */
  lastAfter: number | undefined;
  /** End-of-RIB after the first telling, or the end of a route refresh (RFC 7313). */
  readonly last: Uint8Array | undefined;
  lastRead: Instant;
  /** Messages of cursors it had before. */
  messages: number;
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
  #owedTotal = 0;
  #toldTotal = 0;
  readonly #catchUps = new Set<CatchUp>();
  #source = 0;
  readonly #reflection = { originatorId: 0, clusterId: 0 };

  constructor(role: Role, exporter: Exporter, parts: GroupParts) {
    this.role = role;
    this.#parts = parts;
    this.#exporter = exporter;
    this.told = new Told(parts.attributes);
    for (let prefix = 0; prefix < parts.rib.prefixes.end; prefix++) if (parts.rib.bestOf(prefix) !== none) this.owe(prefix);
  }

  get owedCount(): number {
    return this.#owed.size;
  }

  owe(prefix: number): void {
    if (this.#owed.push(prefix)) this.#owedTotal++;
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
    for (const catchUp of this.#catchUps) if (catchUp.holds(prefix)) return true;
    return false;
  }

  /**
   * A new session, or one that asked for everything again (RFC 2918). New peers that come together catch up together.
   * `first` is given before anything else, `last` when all that is owed now was told; by default End-of-RIB.
   */
  join(peer: number, now: Instant, first?: Uint8Array, last: Uint8Array | undefined = endOfRib(this.#parts.rib.prefixes.family)): void {
    this.leave(peer);
    let catchUp = [...this.#catchUps].find((open) => open.isOpen);
    if (!catchUp) this.#catchUps.add((catchUp = new CatchUp(this.told, this.#parts.attributes, true)));
    catchUp.members.add(peer);
    this.members.set(peer, {
      peer,
      catchUp,
      cursor: catchUp.lane.cursor(),
      backlog: first ? [first] : [],
      lastAfter: this.#owedTotal,
      last,
      lastRead: now,
      messages: 0,
    });
  }

  leave(peer: number): void {
    const member = this.members.get(peer);
    if (!member) return;
    this.members.delete(peer);
    if (member.catchUp) this.#leaveCatchUp(member);
  }

  /** True when the member has read all that is written and nothing is owed. */
  isIdle(peer: number): boolean {
    const member = this.members.get(peer);
    if (!member) return true;
    return (
      this.#owed.size === 0 && !member.catchUp && member.backlog.length === 0 && member.cursor.position === this.#lane.written && member.lastAfter === undefined
    );
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
    if (tells && member.lastAfter !== undefined && this.#mayEnd(member)) {
      member.lastAfter = undefined;
      if (member.last) {
        give(member.last);
        given += member.last.length;
      }
    }
    if (given > 0) member.lastRead = now;
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

  /** The set this group should be told for a prefix now, 0 for none; `#source` says whose route it is. */
  #wanted(prefix: number): number {
    const { rib, attributes, peers, packer } = this.#parts;
    const path = rib.bestOf(prefix);
    if (path === none) return 0;
    const source = rib.adjRibIn.peer[path]!,
      from = peers.role[source]! as Role,
      set = rib.adjRibIn.attributes[path]!;
    if (!mayTell(this.role, from, attributes.flags[set]!)) return 0;
    this.#source = source;
    const told = this.#exporter.tell(rib, prefix, set, from);
    if (told === 0) return 0;
    this.#reflection.originatorId = peers.routerId[source]!;
    if (packer.fits(told, isReflected(this.role, from) ? this.#reflection : undefined, rib.prefixes)) return told;
    this.#parts.tooLong(prefix);
    return 0;
  }

  /** Tells a window's worth of what is owed. False if there was nothing, or the slowest member must be waited for. */
  #fill(now: Instant): boolean {
    if (this.#owed.size === 0 || !this.#haveRoom(now)) return false;
    const { window, rib } = this.#parts,
      told = this.told;
    for (let n = 0; n < windowPrefixes; n++) {
      const prefix = this.#owed.shift();
      if (prefix < 0) break;
      this.#toldTotal++;
      const before = told.setOf(prefix),
        from = told.sourceOf(prefix),
        set = this.#wanted(prefix),
        source = this.#source;
      if (set === before && (set === 0 || source === from)) {
        if (set === 0) this.#parts.forget(prefix);
        continue;
      }
      for (const catchUp of this.#catchUps) catchUp.note(prefix, before, from);
      if (set !== 0) window.announce(prefix, set, source, before !== 0 && from !== source);
      else window.withdraw(prefix, from);
      told.put(prefix, set, source);
    }
    window.emit(this.#lane, rib.prefixes, this.role, this.#parts.packer);
    this.#forgetWithdrawn(window);
    return true;
  }

  /** A prefix that was just withdrawn may be needed by nobody now; its id lives until its NLRI were written. */
  #forgetWithdrawn(window: Window): void {
    for (let i = 0; i < window.lastCount; i++) {
      const prefix = window.prefixes[i]!;
      if (this.told.setOf(prefix) === 0) this.#parts.forget(prefix);
    }
  }

  /** Waits for members that still read, splits off those that stopped. */
  #haveRoom(now: Instant): boolean {
    let mayFill = true;
    const limit = this.#lane.written - lagLimitOctets;
    for (const member of this.members.values()) {
      if (member.catchUp || member.cursor.position >= limit) continue;
      if (now - member.lastRead < stallMillis) mayFill = false;
      else this.#splitOff(member, new CatchUp(this.told, this.#parts.attributes, false));
    }
    return mayFill;
  }

  #splitOff(member: Member, catchUp: CatchUp): void {
    read(member.cursor, member.peer, Number.MAX_SAFE_INTEGER, (bytes) => member.backlog.push(bytes));
    if (member.catchUp) this.#leaveCatchUp(member);
    this.#catchUps.add(catchUp);
    catchUp.members.add(member.peer);
    member.catchUp = catchUp;
    move(member, catchUp.lane);
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
      if (catchUp.lane.written - other.cursor.position > lagLimitOctets) this.#splitOff(other, catchUp.split());
    }
    const withdrawn: number[] = [];
    catchUp.fill(window, rib.prefixes.end, (prefix) => withdrawn.push(prefix));
    window.emit(catchUp.lane, rib.prefixes, this.role, this.#parts.packer);
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

  #mayEnd(member: Member): boolean {
    return !member.catchUp && member.backlog.length === 0 && member.cursor.position === this.#lane.written && this.#toldTotal >= member.lastAfter!;
  }
}

function move(member: Member, lane: Lane): void {
  member.messages += member.cursor.messages;
  member.cursor = lane.cursor();
}
