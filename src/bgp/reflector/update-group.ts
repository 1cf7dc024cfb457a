/**
 * Peers that are told the same: one Adj-RIB-Out, one stream of encoded UPDATEs, one cursor a member. A hot file;
 * twin: test/bgp/rib-model.ts.
 *
 * In: `owe` for each prefix whose choice changed. Out: `pull`, when a member's socket has room. What is owed holds no
 * value: it is looked up when it is told, so the last state wins, what returned to what was told is never told again, and
 * churn costs memory by prefixes, not by events (RFC 4271 §9.2).
 * A group is told the best path of a prefix, or several (RFC 7911): then what is told, and what catch-ups owe, goes by path
 * (path-table.ts), while prefixes are owed as ever, for any change of their paths.
 * Holds: a member is either on the group's lane or in exactly one catch-up; what a member has been told is `told` plus what
 * its catch-up owes it.
 */
import { after, type Instant, millis, sooner } from "#base/time.ts";
import type { PathCount } from "#base/settings.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { none } from "../rib/adj-rib-in.ts";
import type { AttributeTable } from "../rib/attributes.ts";
import type { LocRib } from "../rib/loc-rib.ts";
import type { PeerTable, Role } from "../rib/peer-table.ts";
import { PrefixQueue } from "../rib/queue.ts";
import { SetMemo } from "../rib/set-memo.ts";
import { ipv4Unicast, ipv6Unicast } from "../terms.ts";
import { CatchUp, type Knowledge } from "./catch-up.ts";
import type { Exporter } from "./export.ts";
import { type Cursor, Lane, read } from "./lane.ts";
import { endOfRib, type NlriTable, type Packer } from "./pack.ts";
import { PathTable } from "./path-table.ts";
import { isReflected, mayTell } from "./reflect.ts";
import { Strays } from "./strays.ts";
import { Told } from "./told.ts";
import { type Window, windowPrefixes } from "./window.ts";

/** A member may fall this far behind the others before they stop waiting for it. */
const lagLimitOctets = 4 * 1024 * 1024;
/** … and only when it has taken nothing for this long: a hundred readers on one busy machine are each left alone for less. */
const stallMillis = millis(300);
const fillsPerPull = 4;

export interface GroupParts {
  readonly rib: LocRib;
  readonly attributes: AttributeTable;
  readonly peers: PeerTable;
  readonly packer: Packer;
  readonly window: Window;
  /** How many paths of a prefix are told (RFC 7911). */
  readonly paths: PathCount;
  /** IPv4 routes with an IPv6 next hop may be told (RFC 8950). */
  readonly takesIpv6NextHop: boolean;
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
  /** It has not been given End-of-RIB. */
  isNew: boolean;
  /** What another group told it: withdrawn with `last`, as far as this one does not tell it. */
  strays: Strays | undefined;
  /** When others began to wait for it; undefined once it takes something. */
  awaitedSince: Instant | undefined;
  /** Messages of cursors it had before. */
  messages: number;
}

/** A route as it was told. */
export interface ToldRoute {
  readonly set: number;
  readonly source: number;
  /** Undefined in a group that is told one path a prefix. */
  readonly pathId: number | undefined;
}

/** What encloses a telling of everything again; undefined where the peer does not speak enhanced route refresh. */
export interface Marks {
  readonly first: Uint8Array | undefined;
  readonly last: Uint8Array | undefined;
}

export class UpdateGroup {
  readonly role: Role;
  /** By prefix, or by path where several are told. */
  readonly told: Told;
  readonly members = new Map<number, Member>();
  readonly #parts: GroupParts;
  /** What is told of, as ids of `told`. */
  readonly #nlri: NlriTable;
  readonly #paths: PathTable | undefined;
  /** The same as `forget` of the parts, for ids of `told`. */
  readonly #forget: (id: number) => void;
  readonly #stripped: SetMemo;
  #exporter: Exporter;
  readonly #lane = new Lane();
  readonly #owed = new PrefixQueue();
  /** Owed, and told even while the selection is deferred. */
  readonly #early = new PrefixQueue();
  /** Counts what `pull` did beyond giving what was written: while it grows, pulling again is worth while. */
  steps = 0;
  /** When waiting for a member that reads nothing is over, if the group waits for one. */
  #waitsUntil: Instant | undefined;
  readonly #lagLimit: number;
  readonly #catchUps = new Set<CatchUp>();
  /** Members that have strays. */
  #withStrays = 0;
  #from = 0;
  #tooLong = 0;
  #longPrefix = 0;
  readonly #rows: number[] = [];
  /** What was owed and is told now. */
  readonly #taken = new Uint32Array(windowPrefixes);
  readonly #reflection: { originatorId: number; clusterId: number };

  constructor(role: Role, exporter: Exporter, parts: GroupParts) {
    this.role = role;
    this.#parts = parts;
    this.#exporter = exporter;
    this.told = new Told(parts.attributes);
    this.#paths = parts.paths === 0 ? undefined : new PathTable(parts.rib.prefixes);
    this.#nlri = this.#paths ?? parts.rib.prefixes;
    this.#forget = this.#paths ? (path) => this.#forgetPath(path) : parts.forget;
    this.#stripped = new SetMemo(parts.attributes, withoutAggregator);
    this.#reflection = { originatorId: 0, clusterId: parts.attributes.self.clusterId };
    this.#lagLimit = parts.lagLimitOctets ?? lagLimitOctets;
    for (let prefix = 0; prefix < parts.rib.prefixes.end; prefix++) if (parts.rib.bestOf(prefix) !== none) this.owe(prefix);
  }

  /** The place of the rule that decides about a route in the chain of export policies; undefined where none is asked. */
  placeOf(prefix: number, set: number, source: { readonly role: Role; readonly peer: number }): number | undefined {
    return this.#exporter.placeOf(this.#parts.rib, prefix, set, source);
  }
  owe(prefix: number): void {
    this.#owed.push(prefix);
  }
  oweAll(prefixes: Uint32Array, count: number): void {
    this.#owed.pushAll(prefixes, count);
  }
  /** True if the group is told several paths of a prefix: then any change of its paths is owed, not of the best alone. */
  get tellsPaths(): boolean {
    return this.#paths !== undefined;
  }
  /** What the group was told of a prefix; a member was not told its own routes. */
  toldOf(prefix: number): readonly ToldRoute[] {
    const paths = this.#paths,
      told = this.told;
    if (!paths) return told.setOf(prefix) === 0 ? [] : [{ set: told.setOf(prefix), source: told.sourceOf(prefix), pathId: undefined }];
    const out: ToldRoute[] = [];
    for (let path = paths.firstOf(prefix); path !== none; path = paths.after(path))
      if (told.setOf(path) !== 0) out.push({ set: told.setOf(path), source: told.sourceOf(path), pathId: paths.pathIdOf(path) });
    return out;
  }

  /** The same for a prefix of our own: others may be told of it before the selection of a restart (RFC 4724 §4.1) is over. */
  oweNow(prefix: number): void {
    this.#early.push(prefix);
  }
  /** Why a chosen set cannot be told as it is, whatever the rules say; undefined if it can. */
  refusalOf(set: number): string | undefined {
    const { rib, attributes, takesIpv6NextHop } = this.#parts;
    const kept = this.#exporter.whyKept(set);
    if (kept !== undefined || rib.family === ipv6Unicast || attributes.nextHopLength(set) === 0 || takesIpv6NextHop) return kept;
    return "its next hop is an IPv6 address, which the peer has not agreed to for IPv4 routes (RFC 8950 §4)";
  }

  /** Tells by other rules from now on: all that is chosen or was told is looked at again, and only what differs is told. */
  retell(exporter: Exporter): void {
    const { rib } = this.#parts;
    this.#exporter.close();
    this.#exporter = exporter;
    for (let prefix = 0; prefix < rib.prefixes.end; prefix++) if (this.#hasTold(prefix) || rib.bestOf(prefix) !== none) this.owe(prefix);
  }
  #hasTold(prefix: number): boolean {
    return this.#paths ? this.#paths.firstOf(prefix) !== none : this.told.setOf(prefix) !== 0;
  }
  holds(prefix: number): boolean {
    if (this.#early.has(prefix)) return true;
    if (this.#withStrays > 0) for (const { strays } of this.members.values()) if (strays?.has(prefix)) return true;
    if (this.#paths) return this.#paths.firstOf(prefix) !== none || this.#owed.has(prefix);
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
    this.members.set(peer, {
      peer,
      catchUp,
      cursor,
      backlog: [],
      waits,
      mark: 0,
      last,
      again: undefined,
      isNew: true,
      strays: undefined,
      awaitedSince: undefined,
      messages: 0,
    });
  }

  /**
   * A member of another group comes over, without a new session: it is told everything between the marks of a refresh, so that it
   * forgets by itself what this group does not tell (RFC 7313). What the other group had written and it had not read is not needed.
   * Without marks it is told everything, and then to forget what the other group told and this one does not.
   */
  take(peer: number, from: UpdateGroup, marks: Marks): void {
    const isNew = from.members.get(peer)?.isNew ?? true,
      left = marks.last ? undefined : from.#strayFrom(peer);
    from.leave(peer);
    this.join(peer);
    const member = this.members.get(peer)!;
    if (left) {
      member.backlog.push(...left.unread);
      member.strays = left.strays;
      this.#withStrays++;
      if (!isNew) member.last = undefined;
    } else if (isNew) member.again = marks; // no beginning before End-of-RIB (RFC 7313 §4)
    else {
      if (marks.first) member.backlog.push(marks.first);
      member.last = marks.last;
    }
    member.isNew = isNew;
  }

  /** What a member that leaves has not read, and what it then knows. */
  #strayFrom(peer: number): { readonly unread: readonly Uint8Array[]; readonly strays: Strays } | undefined {
    const member = this.members.get(peer);
    if (!member) return undefined;
    const { told } = this,
      paths = this.#paths,
      { catchUp, backlog: unread } = member,
      strays = member.strays ?? new Strays(this.#parts.rib.prefixes, paths !== undefined);
    read(member.cursor, peer, Number.MAX_SAFE_INTEGER, (bytes) => unread.push(bytes));
    for (let id = 0; id < this.#nlri.end; id++) {
      const isKnown = catchUp ? catchUp.knows(id, peer) : told.setOf(id) !== 0 && told.sourceOf(id) !== peer;
      if (isKnown) strays.add(paths ? paths.prefixOf(id) : id, paths ? paths.pathIdOf(id) : 0);
    }
    if (member.strays) this.#withStrays--;
    member.strays = undefined; // they go along
    return { unread, strays };
  }
  /** Withdraws what the member knows from another group and this one does not tell; answers how many octets that took. */
  #withdrawStrays(member: Member, give: (bytes: Uint8Array) => void): number {
    let given = 0;
    member.strays!.withdraw(
      (prefix, pathId) => this.toldOf(prefix).some((route) => route.source !== member.peer && (route.pathId ?? 0) === pathId),
      (bytes) => {
        give(bytes);
        given += bytes.length;
        member.messages++;
      },
    );
    this.#dropStrays(member);
    return given;
  }
  #dropStrays(member: Member): void {
    const { strays } = member;
    if (!strays) return;
    member.strays = undefined;
    this.#withStrays--;
    strays.close(this.#parts.forget);
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
    this.#dropStrays(member);
    if (member.catchUp) this.#leaveCatchUp(member);
  }

  /** When to pull again though nothing happens: a member that is waited for is let go then, by the first pull of another. */
  nextDeadline(): Instant | undefined {
    return this.#owed.size + this.#early.size > 0 ? this.#waitsUntil : undefined;
  }
  /** The deadline was heard: it does not come again if nobody pulls. */
  passDeadline(now: Instant): void {
    if (this.#waitsUntil !== undefined && this.#waitsUntil <= now) this.#waitsUntil = undefined;
  }

  /**
   * Gives a member up to about `room` octets of whole messages, in views that share memory with the lane. Answers how many
   * octets were given. `tells`: false while the selection is deferred (RFC 4724 §4.1): only what is written is given,
   * and what is owed of our own.
   */
  pull(peer: number, room: number, now: Instant, tells: boolean, give: (bytes: Uint8Array) => void): number {
    const member = this.members.get(peer);
    if (!member) return 0;
    let given = this.#drainBacklog(member, room, give);
    for (let fills = 0; given < room && member.backlog.length === 0; fills++) {
      given += read(member.cursor, peer, room - given, give);
      if (given >= room || fills === fillsPerPull) break;
      if (member.catchUp ? !this.#continueCatchUp(member) : !this.#fill(now, tells)) break;
      this.steps++;
    }
    if (tells && member.waits !== "for nothing" && this.#mayEnd(member)) {
      member.waits = "for nothing";
      member.isNew = false;
      if (member.strays) given += this.#withdrawStrays(member, give);
      if (member.last) {
        give(member.last);
        given += member.last.length;
      }
    }
    if (member.again && this.#beginAgain(member)) this.steps++;
    if (given > 0) member.awaitedSince = undefined;
    return given;
  }

  /** True if a member was given all that was chosen when it joined, and End-of-RIB. */
  hasToldAll(peer: number): boolean {
    return this.members.get(peer)?.waits === "for nothing";
  }

  /** UPDATEs given to a member since it joined. */
  messagesTo(peer: number): number {
    const member = this.members.get(peer);
    return member ? member.messages + member.cursor.messages : 0;
  }

  close(): void {
    for (const catchUp of this.#catchUps) catchUp.close(this.#forget);
    this.#catchUps.clear();
    while (this.#owed.size > 0) this.#owed.shift();
    while (this.#early.size > 0) this.#early.shift();
    this.told.close();
    this.#exporter.close();
    this.#stripped.close();
  }

  /** The set this group should be told for a path of a prefix now, 0 for none; `#from` is the label of its source. */
  #wanted(prefix: number, path: number): number {
    const { rib, attributes, peers, packer } = this.#parts;
    if (path === none) return 0;
    const source = rib.adjRibIn.peer[path]!,
      from = peers.role[source]! as Role,
      set = rib.adjRibIn.attributes[path]!;
    if (!mayTell(this.role, from, attributes.flags[set]!)) return 0;
    this.#from = peers.label[source]!;
    const told = this.#exporter.tell(rib, prefix, set, from, source);
    if (told === 0 || (attributes.nextHopLength(told) > 0 && rib.family === ipv4Unicast && !this.#parts.takesIpv6NextHop)) return 0;
    this.#reflection.originatorId = peers.routerId[source]!;
    const reflection = isReflected(this.role, from) ? this.#reflection : undefined;
    if (packer.fits(told, reflection, this.#nlri)) return told;
    // RFC 8654 §4: what may be discarded is, before the route is not told at all
    const stripped = this.#stripped.of(told);
    if (stripped !== told && stripped !== 0 && packer.fits(stripped, reflection, this.#nlri)) return stripped;
    if (this.#tooLong++ === 0) this.#longPrefix = prefix;
    return 0;
  }

  /** Tells a window's worth of what is owed. False if there was nothing, or the slowest member must be waited for. */
  #fill(now: Instant, tells: boolean): boolean {
    if ((this.#early.size === 0 && (!tells || this.#owed.size === 0)) || !this.#haveRoom(now)) return false;
    const { window, rib } = this.#parts;
    window.begin(this.role, this.members);
    if (this.#early.size === 0 && !this.#paths) this.#tellBest(this.#owed.take(this.#taken, windowPrefixes));
    else
      for (let n = 0; n < windowPrefixes; n++) {
        const prefix = this.#early.size > 0 ? this.#early.shift() : tells ? this.#owed.shift() : none;
        if (prefix < 0) break;
        if (this.#paths) n += this.#tellPaths(prefix, this.#paths);
        else if (!this.#tell(prefix, this.#wanted(prefix, rib.bestOf(prefix)))) this.#parts.forget(prefix);
      }
    this.#emit();
    if (this.#tooLong > 0) this.#parts.tooLong(this.#longPrefix, this.#tooLong);
    this.#tooLong = 0;
    return true;
  }

  /** Tells the best paths of the first `count` prefixes of `#taken`. */
  #tellBest(count: number): void {
    const taken = this.#taken,
      { rib } = this.#parts,
      { adjRibIn } = rib,
      isAlike = this.#exporter.looksAtSetsAlone;
    // routes of one set mostly come together
    let set = 0,
      source: number = none,
      wanted = 0;
    for (let i = 0; i < count; i++) {
      const prefix = taken[i]!,
        path = rib.bestOf(prefix);
      if (path === none) {
        if (!this.#tell(prefix, 0)) this.#parts.forget(prefix);
        continue;
      }
      if (!isAlike || wanted === 0 || adjRibIn.attributes[path] !== set || adjRibIn.peer[path] !== source) {
        wanted = this.#wanted(prefix, path);
        set = adjRibIn.attributes[path]!;
        source = adjRibIn.peer[path]!;
      }
      if (!this.#tell(prefix, wanted)) this.#parts.forget(prefix);
    }
  }

  /** Tells `set` from `#from` of a prefix or path, if it is not what was told. False if nothing was told and nothing is. */
  #tell(id: number, set: number): boolean {
    const told = this.told,
      before = told.setOf(id),
      from = told.labelOf(id);
    if (set === before && (set === 0 || this.#from === from)) return set !== 0;
    if (this.#catchUps.size > 0) for (const catchUp of this.#catchUps) catchUp.note(id, before, from);
    const { window } = this.#parts,
      { change } = window;
    change.prefix = id;
    change.wasSet = before;
    change.wasFrom = from;
    change.set = set;
    change.from = this.#from;
    window.tell();
    told.put(id, set, this.#from);
    return true;
  }

  /** Tells all paths of a prefix, or the best of them; what was told and is not any more is withdrawn. Answers how many it looked at. */
  #tellPaths(prefix: number, paths: PathTable): number {
    const { rib, window } = this.#parts,
      rows = this.#select(prefix);
    let looked = 0;
    paths.begin(prefix);
    for (const row of rows) {
      const set = this.#wanted(prefix, row);
      looked++;
      if (set === 0) continue;
      this.#tell(paths.take(rib.adjRibIn.toldIdOf(row)), set);
      if (window.isFull) this.#emit();
    }
    for (let path = paths.firstOf(prefix); path !== none;) {
      const next = paths.after(path); // an emission may release it
      if (!paths.isTaken(path)) this.#tell(path, 0);
      if (window.isFull) this.#emit();
      path = next;
    }
    if (paths.firstOf(prefix) === none) this.#parts.forget(prefix);
    return looked;
  }

  /** The rows of a prefix that are told: all, or the best of those that may be. */
  #select(prefix: number): readonly number[] {
    const { rib, paths } = this.#parts,
      rows = this.#rows;
    rows.length = 0;
    for (let row = rib.adjRibIn.head[prefix] ?? none; row !== none; row = rib.adjRibIn.next[row]!) if (rib.decision.isEligible(row)) rows.push(row);
    if (paths === "all" || rows.length <= paths) return rows;
    const able = rows.filter((row) => this.#wanted(prefix, row) !== 0);
    rib.decision.bringForward(able, paths);
    return able.slice(0, paths);
  }

  /** Writes what the window holds. What was withdrawn may be needed by nobody now; its id lives until its NLRI were written. */
  #emit(): void {
    const { window, packer } = this.#parts;
    window.emit(this.#lane, this.#nlri, packer);
    if (this.#paths) for (let i = 0; i < window.lastCount; i++) this.#forgetPath(window.prefixes[i]!);
    else this.#forgetWithdrawn(window);
  }

  #forgetPath(path: number): void {
    const paths = this.#paths!;
    if (!paths.isLive(path) || this.told.setOf(path) !== 0) return;
    for (const catchUp of this.#catchUps) if (catchUp.holds(path)) return;
    const prefix = paths.prefixOf(path);
    paths.release(path);
    if (paths.firstOf(prefix) === none) this.#parts.forget(prefix);
  }

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
      { window } = this.#parts;
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
    catchUp.fill(window, this.#nlri.end, (id) => withdrawn.push(id));
    window.emit(catchUp.lane, this.#nlri, this.#parts.packer);
    for (const id of withdrawn) this.#forget(id);
    return true;
  }

  #leaveCatchUp(member: Member): void {
    const catchUp = member.catchUp!;
    catchUp.members.delete(member.peer);
    if (catchUp.members.size > 0) return;
    this.#catchUps.delete(catchUp);
    catchUp.close(this.#forget);
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

/** Without what a malformed one of would be discarded (RFC 7606 §7.6, §7.7), and what therefore decides nothing. */
function withoutAggregator(values: PathAttributes): PathAttributes {
  const { atomicAggregate: _g, aggregator: _a, ...kept } = values;
  return kept;
}
