/**
 * Which paths of earlier times stay, and until when: graceful restart of a peer (RFC 4724 §4.2) and enhanced route refresh
 * (RFC 7313 §4). A path is stale by its epoch (peer-table.ts); here is decided which epochs go, and sweep.ts takes them.
 *
 * A peer that went, to come again, keeps its paths for the restart time it stated; once it is back, until its End-of-RIB of
 * each family or until the stale time is over. What a restart before that left stale does not stay for another.
 */
import { after, Deadlines, type Instant, millis } from "#base/time.ts";
import { type FamilyIndex, ipv4Unicast, ipv6Unicast, type SessionTerms } from "../terms.ts";
import type { LocRib } from "./loc-rib.ts";
import type { PeerTable } from "./peer-table.ts";
import { Sweep } from "./sweep.ts";

const families = [ipv4Unicast, ipv6Unicast] as const;
/** Beginnings of a refresh while an earlier one is not swept yet; more are not heeded, so that epochs never come round. */
const mostBeginnings = 64;

export class StalePaths {
  readonly #peers: PeerTable;
  readonly #sweeps: readonly [Sweep, Sweep];
  readonly #deadlines = new Deadlines<`${number}`>();
  /** Peer → families whose End-of-RIB this session has seen. */
  readonly #complete = new Map<number, Set<FamilyIndex>>();
  /** Peer and family whose refresh has begun. */
  readonly #refreshing = new Set<number>();
  /** … and how often since there was nothing of it to sweep. */
  readonly #beginnings = new Map<number, number>();

  constructor(peers: PeerTable, ribs: readonly [LocRib, LocRib]) {
    this.#peers = peers;
    this.#sweeps = [new Sweep(ribs[0]), new Sweep(ribs[1])];
  }

  /** After PeerTable.open, whose answer is `isSame`: what another speaker told under this id goes in any case. */
  up(peer: number, terms: SessionTerms, isSame: boolean, until: Instant): void {
    this.#complete.set(peer, new Set());
    this.#deadlines.disarm(`${peer}`);
    let keeps = false;
    for (const family of families) {
      this.#refreshing.delete(column(peer, family));
      if (this.#peers.paths[column(peer, family)] === 0) continue;
      const listed = terms.gracefulRestart?.families.find((one) => one.family === family);
      if (isSame && listed?.forwarding && terms.families.includes(family)) keeps = true;
      else this.#sweepOld(peer, family);
    }
    if (keeps) this.#deadlines.arm(`${peer}`, until);
  }

  /** After PeerTable.close. `terms` are those of the session that ended. */
  down(peer: number, terms: SessionTerms, retain: boolean, now: Instant): void {
    const restart = retain ? terms.gracefulRestart : undefined;
    for (const family of families) {
      if (this.#peers.paths[column(peer, family)] === 0) continue;
      if (!restart?.families.some((listed) => listed.family === family)) this.#sweepAll(peer, family);
      else if (!this.#refreshing.has(column(peer, family))) this.#sweepOld(peer, family);
    }
    this.#complete.delete(peer);
    if (restart && this.#peers.holds(peer) > 0) this.#deadlines.arm(`${peer}`, after(now, millis(restart.restartSeconds * 1000)));
  }

  endOfRib(peer: number, family: FamilyIndex): void {
    const complete = this.#complete.get(peer);
    if (!complete || complete.has(family)) return;
    complete.add(family);
    this.#sweepOld(peer, family);
    if (this.hasToldAll(peer)) this.#deadlines.disarm(`${peer}`);
  }
  /** True if the peer is up and has sent End-of-RIB for every family of its session. */
  hasToldAll(peer: number): boolean {
    return this.#complete.get(peer)?.size === this.#peers.terms[peer]?.families.length;
  }

  /** BoRR. Before the End-of-RIB of a peer that speaks graceful restart it is to be ignored (RFC 7313 §4). */
  beginRefresh(peer: number, family: FamilyIndex): void {
    if (this.#peers.terms[peer]!.gracefulRestart && !this.#complete.get(peer)!.has(family)) return;
    const key = column(peer, family),
      isFirst = !this.#refreshing.has(key) && !this.#sweeps[family].isFor(peer);
    const beginnings = isFirst ? 1 : (this.#beginnings.get(key) ?? 0) + 1;
    if (beginnings > mostBeginnings) return;
    this.#beginnings.set(key, beginnings);
    this.#refreshing.add(key);
    this.#peers.beginEpoch(peer, family);
  }
  /** EoRR: what was not told again goes. */
  endRefresh(peer: number, family: FamilyIndex): void {
    if (this.#refreshing.delete(column(peer, family))) this.#sweepOld(peer, family);
  }

  /** A peer whose time is over and that still had stale paths, each once; they go. */
  *expire(now: Instant): Iterable<number> {
    for (let due = this.#deadlines.due(now); due !== undefined; due = this.#deadlines.due(now)) {
      const peer = Number(due),
        complete = this.#complete.get(peer);
      if (complete ? this.#peers.holdsOld(peer) > 0 : this.#peers.holds(peer) > 0) yield peer;
      for (const family of families) {
        if (!complete) this.#sweepAll(peer, family);
        else if (!complete.has(family)) this.#sweepOld(peer, family);
      }
    }
  }

  step(): void {
    for (const sweep of this.#sweeps) sweep.step();
  }
  get isIdle(): boolean {
    return this.#sweeps.every((sweep) => sweep.isIdle);
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

const column = (peer: number, family: FamilyIndex): number => peer * 2 + family;
