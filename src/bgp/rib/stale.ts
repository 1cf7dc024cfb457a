/**
 * Which paths of earlier times stay, and until when: graceful restart of a peer (RFC 4724 §4.2), its long-lived form (RFC 9494
 * §4.2) and enhanced route refresh (RFC 7313 §4). A path is stale by its epoch (peer-table.ts); here is decided which epochs
 * go, and sweep.ts takes them.
 *
 * A peer that went, to come again, keeps its paths for the restart time it stated; once it is back, until its End-of-RIB of
 * each family or until the stale time is over. What a restart before that left stale does not stay for another.
 *
 * Long-lived: where the restart time ends, the paths of the family get LLGR_STALE (NO_LLGR: they go) and stay for the long-lived
 * stale time. That runs until the family's End-of-RIB, whatever sessions come and go meanwhile, and what they left stale stays.
 */
import { after, Deadlines, type Instant, millis } from "#base/time.ts";
import { type FamilyIndex, ipv4Unicast, ipv6Unicast, type SessionTerms } from "../terms.ts";
import type { AttributeTable } from "./attributes.ts";
import type { LocRib } from "./loc-rib.ts";
import { LongLivedMark } from "./long-lived.ts";
import type { PeerTable } from "./peer-table.ts";
import { Sweep } from "./sweep.ts";

const families = [ipv4Unicast, ipv6Unicast] as const;
/** Beginnings of a refresh while an earlier one is not swept yet; more are not heeded, so that epochs never come round. */
const mostBeginnings = 64;
/** Sessions without End-of-RIB whose stale paths are kept for a long-lived restart; after more they go, for the same reason. */
const mostResets = 1024;
/** A peer that began a refresh ends it within this, or what it has not told again goes all the same. */
export const refreshMillis = millis(600_000);

/** A family of a peer in the long-lived period. */
interface LongLived {
  /** Its time ended before End-of-RIB: the next end of a session takes everything (RFC 9494 §4.2). */
  isOver: boolean;
  resets: number;
}

/** `7`: the restart or stale time of a peer; `7/0`: the long-lived stale time of a family; `7/0/refresh`: its refresh. */
type Timer = `${number}` | `${number}/${number}` | `${number}/${number}/refresh`;

/** What the log says of times that are over. */
export const expiries: Readonly<Record<Expiry, readonly [event: string, text: string]>> = {
  gone: ["bgp.stale-expired", "the time to keep its routes while it restarts is over; what it has not announced again is withdrawn (RFC 4724 §4.2)"],
  "long-lived": ["bgp.long-lived-stale", "it has not come back in its restart time; its routes stay, as the last to use (LLGR_STALE, RFC 9494 §4.2)"],
  refresh: ["bgp.refresh-unended", "it began a refresh and did not end it in time; what it has not told again is withdrawn (RFC 7313 §4)"],
};

export class StalePaths {
  readonly #peers: PeerTable;
  readonly #sweeps: readonly [Sweep, Sweep];
  readonly #marks: readonly { readonly walk: Sweep; readonly mark: LongLivedMark }[];
  readonly #deadlines = new Deadlines<Timer>();
  /** Peer → families whose End-of-RIB this session has seen. */
  readonly #complete = new Map<number, Set<FamilyIndex>>();
  /** Peer and family whose refresh has begun. */
  readonly #refreshing = new Set<number>();
  /** … and how often since there was nothing of it to sweep. */
  readonly #beginnings = new Map<number, number>();
  /** By peer and family. */
  readonly #longLived = new Map<number, LongLived>();

  constructor(peers: PeerTable, ribs: readonly [LocRib, LocRib], attributes: AttributeTable) {
    this.#peers = peers;
    this.#sweeps = [new Sweep(ribs[0]), new Sweep(ribs[1])];
    this.#marks = ribs.map((rib) => {
      const mark = new LongLivedMark(rib, attributes);
      return { walk: new Sweep(rib, (path) => mark.put(path)), mark };
    });
  }

  /** After PeerTable.open, whose answer is `isSame`: what another speaker told under this id goes in any case. */
  up(peer: number, terms: SessionTerms, isSame: boolean, until: Instant): void {
    this.#complete.set(peer, new Set());
    this.#deadlines.disarm(`${peer}`);
    let keeps = false;
    for (const family of families) {
      this.#refreshing.delete(column(peer, family));
      const isLong = this.#longLived.has(column(peer, family));
      const listed = (isLong ? terms.longLived : terms.gracefulRestart?.families)?.find((one) => one.family === family);
      const stays = isSame && listed?.forwarding === true && terms.families.includes(family);
      if (!stays) this.#endLongLived(peer, family);
      if (this.#peers.paths[column(peer, family)] === 0) continue;
      if (!stays) this.#sweepOld(peer, family);
      else if (!isLong) keeps = true;
    }
    if (keeps) this.#deadlines.arm(`${peer}`, until);
  }

  /** After PeerTable.close. `terms` are those of the session that ended. */
  down(peer: number, terms: SessionTerms, retain: boolean, now: Instant): void {
    const restart = retain ? terms.gracefulRestart : undefined;
    let waits = false;
    this.#deadlines.disarm(`${peer}`);
    for (const family of families) {
      const key = column(peer, family),
        state = this.#longLived.get(key);
      if (state) state.resets++;
      const listed = state?.isOver !== true && restart?.families.some((one) => one.family === family) === true,
        isLong = restart !== undefined && this.#mayStayLong(peer, family, terms);
      this.#deadlines.disarm(`${peer}/${family}/refresh`);
      if (!isLong) this.#endLongLived(peer, family);
      if (this.#peers.paths[key] === 0) continue;
      if (!listed && !isLong) this.#sweepAll(peer, family);
      else if (!isLong && !this.#refreshing.has(key)) this.#sweepOld(peer, family);
      if (isLong && (!listed || restart.restartSeconds === 0)) this.#beginLongLived(peer, family, terms, now);
      else if (listed) waits = true;
    }
    this.#complete.delete(peer);
    if (waits) this.#deadlines.arm(`${peer}`, after(now, millis(restart!.restartSeconds * 1000)));
  }

  endOfRib(peer: number, family: FamilyIndex): void {
    const complete = this.#complete.get(peer);
    if (!complete || complete.has(family)) return;
    complete.add(family);
    this.#endLongLived(peer, family);
    this.#sweepOld(peer, family);
    if (this.hasToldAll(peer)) this.#deadlines.disarm(`${peer}`);
  }
  /** True if the peer is up and has sent End-of-RIB for every family of its session. */
  hasToldAll(peer: number): boolean {
    return this.#complete.get(peer)?.size === this.#peers.terms[peer]?.families.length;
  }

  /** BoRR. Before the End-of-RIB of a peer that speaks graceful restart it is to be ignored (RFC 7313 §4). */
  beginRefresh(peer: number, family: FamilyIndex, now: Instant): void {
    if (this.#peers.terms[peer]!.gracefulRestart && !this.#complete.get(peer)!.has(family)) return;
    const key = column(peer, family),
      isFirst = !this.#refreshing.has(key) && !this.#sweeps[family].isFor(peer);
    const beginnings = isFirst ? 1 : (this.#beginnings.get(key) ?? 0) + 1;
    if (beginnings > mostBeginnings) return;
    this.#beginnings.set(key, beginnings);
    this.#refreshing.add(key);
    this.#deadlines.arm(`${peer}/${family}/refresh`, after(now, refreshMillis));
    this.#peers.beginEpoch(peer, family);
  }
  /** EoRR: what was not told again goes. */
  endRefresh(peer: number, family: FamilyIndex): void {
    this.#deadlines.disarm(`${peer}/${family}/refresh`);
    if (this.#refreshing.delete(column(peer, family))) this.#sweepOld(peer, family);
  }

  /** Times that are over, each with the peer whose paths go for it, or change, and why; one that has none is not named. */
  *expire(now: Instant): Iterable<{ readonly peer: number; readonly why: Expiry }> {
    for (let due = this.#deadlines.due(now); due !== undefined; due = this.#deadlines.due(now)) {
      const [peer, family, refresh] = due.split("/").map(Number) as [number, FamilyIndex?, number?];
      if (family === undefined) yield* this.#endWaiting(peer, now);
      else if (refresh !== undefined) yield* this.#endLateRefresh(peer, family);
      else yield* this.#endLongTime(peer, family);
    }
  }

  /** The restart time, or the stale time, of a peer. */
  *#endWaiting(peer: number, now: Instant): Iterable<{ readonly peer: number; readonly why: Expiry }> {
    const complete = this.#complete.get(peer),
      terms = this.#peers.terms[peer]!;
    const isLong = (family: FamilyIndex): boolean => this.#mayStayLong(peer, family, terms);
    const goes = families.filter((family) => (complete ? !complete.has(family) && !this.#longLived.has(column(peer, family)) : !isLong(family)));
    const count = complete ? this.#peers.old : this.#peers.paths;
    if (goes.some((family) => count[column(peer, family)]! > 0)) yield { peer, why: "gone" };
    for (const family of goes) {
      if (complete) this.#sweepOld(peer, family);
      else this.#sweepAll(peer, family);
    }
    if (complete) return;
    const stay = families.filter((family) => isLong(family) && this.#peers.paths[column(peer, family)]! > 0);
    for (const family of stay) this.#beginLongLived(peer, family, terms, now);
    if (stay.length > 0) yield { peer, why: "long-lived" };
  }

  *#endLongTime(peer: number, family: FamilyIndex): Iterable<{ readonly peer: number; readonly why: Expiry }> {
    const complete = this.#complete.get(peer),
      key = column(peer, family);
    if ((complete ? this.#peers.old : this.#peers.paths)[key]! > 0) yield { peer, why: "gone" };
    if (complete) {
      const state = this.#longLived.get(key);
      if (state) state.isOver = true;
      this.#sweepOld(peer, family);
    } else {
      this.#longLived.delete(key);
      this.#sweepAll(peer, family);
    }
  }

  *#endLateRefresh(peer: number, family: FamilyIndex): Iterable<{ readonly peer: number; readonly why: Expiry }> {
    if (this.#peers.old[column(peer, family)]! > 0) yield { peer, why: "refresh" };
    this.endRefresh(peer, family);
  }

  /** RFC 9494 §4.2: listed with a time, and that time has not ended without End-of-RIB. */
  #mayStayLong(peer: number, family: FamilyIndex, terms: SessionTerms): boolean {
    const state = this.#longLived.get(column(peer, family));
    if (state && (state.isOver || state.resets > mostResets)) return false;
    return terms.longLived?.some((one) => one.family === family && one.staleSeconds > 0) === true;
  }

  /** The paths of now get LLGR_STALE; a time that runs already is not set anew (RFC 9494 §4.2). */
  #beginLongLived(peer: number, family: FamilyIndex, terms: SessionTerms, now: Instant): void {
    const key = column(peer, family);
    this.#marks[family]!.walk.ask(peer, (this.#peers.epoch[key]! + 1) & 0xffff);
    if (this.#longLived.has(key)) return;
    this.#longLived.set(key, { isOver: false, resets: 0 });
    const { staleSeconds } = terms.longLived!.find((one) => one.family === family)!;
    this.#deadlines.arm(`${peer}/${family}`, after(now, millis(staleSeconds * 1000)));
  }
  #endLongLived(peer: number, family: FamilyIndex): void {
    if (this.#longLived.delete(column(peer, family))) this.#deadlines.disarm(`${peer}/${family}`);
  }

  step(): void {
    for (const sweep of this.#sweeps) sweep.step();
    for (const { walk, mark } of this.#marks) {
      if (walk.isIdle) continue;
      walk.step();
      if (walk.isIdle) mark.close();
    }
  }
  get isIdle(): boolean {
    return this.#sweeps.every((sweep) => sweep.isIdle) && this.#marks.every(({ walk }) => walk.isIdle);
  }
  isSweeping(peer: number): boolean {
    return this.#sweeps.some((sweep) => sweep.isFor(peer));
  }
  nextDeadline(): Instant | undefined {
    return this.#deadlines.nearest();
  }

  #sweepOld(peer: number, family: FamilyIndex): void {
    if (this.#peers.old[column(peer, family)]! > 0) this.#sweeps[family].ask(peer, this.#peers.epoch[column(peer, family)]!);
  }
  /** The epoch of now too: the next session begins another. */
  #sweepAll(peer: number, family: FamilyIndex): void {
    if (this.#peers.paths[column(peer, family)]! > 0) this.#sweeps[family].ask(peer, (this.#peers.epoch[column(peer, family)]! + 1) & 0xffff);
  }
}

/** `gone`: paths were kept long enough; `long-lived`: they stay on as LLGR_STALE; `refresh`: a refresh began and did not end. */
export type Expiry = "gone" | "long-lived" | "refresh";

const column = (peer: number, family: FamilyIndex): number => peer * 2 + family;
