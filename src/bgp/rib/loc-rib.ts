/**
 * One family of the RIB: prefixes, Adj-RIBs-In, the chosen path of each prefix, and which prefixes wait for a decision.
 * A hot file; twin: test/bgp/rib-model.ts.
 *
 * In: `put` and `withdraw` as UPDATEs arrive. Out: `settle` decides some prefixes and names those whose choice changed.
 * Holds: `best` of a prefix that waits may be `unsettled`; whoever needs it now asks `bestOf`, which decides at once.
 */
import { AdjRibIn, changed, leastHeads, none, unchanged } from "./adj-rib-in.ts";
import type { AttributeTable } from "./attributes.ts";
import { Decision } from "./decision.ts";
import type { PeerTable } from "./peer-table.ts";
import { PrefixTable, grown } from "./prefixes.ts";
import { PrefixQueue } from "./queue.ts";
import type { FamilyIndex } from "../terms.ts";

const unsettled = -2;

export class LocRib {
  readonly family: FamilyIndex;
  readonly prefixes: PrefixTable;
  readonly adjRibIn: AdjRibIn;
  readonly decision: Decision;
  readonly dirty = new PrefixQueue();
  #best = new Int32Array(leastHeads).fill(none);
  #chosen = 0;

  constructor(family: FamilyIndex, attributes: AttributeTable, peers: PeerTable) {
    this.family = family;
    this.prefixes = new PrefixTable(family === 0 ? 4 : 6);
    this.adjRibIn = new AdjRibIn(attributes, peers, family);
    this.decision = new Decision(this.adjRibIn, attributes, peers);
  }

  /** Prefixes that have a chosen path. */
  get chosen(): number {
    return this.#chosen;
  }
  get bytes(): number {
    return this.prefixes.bytes + this.adjRibIn.bytes + this.#best.byteLength;
  }

  /** False if the peer may have no further path of the prefix: then nothing changed. */
  put(prefix: number, peer: number, attributes: number, pathId = 0): boolean {
    if (prefix >= this.#best.length) this.#grow(prefix);
    const done = this.adjRibIn.set(prefix, peer, attributes, pathId);
    if (done !== changed) return done === unchanged;
    const best = this.#best[prefix]!;
    if (best >= 0 && this.adjRibIn.peer[best] === peer) this.#unsettle(prefix);
    this.dirty.push(prefix);
    return true;
  }

  /** `put` of one attribute set for the first `count` of some prefixes of a peer without path identifiers: none is refused. */
  putAll(prefixes: Int32Array, count: number, peer: number, attributes: number): void {
    const { adjRibIn, dirty } = this;
    for (let i = 0; i < count; i++) {
      const prefix = prefixes[i]!;
      if (prefix >= this.#best.length) this.#grow(prefix);
      if (adjRibIn.set(prefix, peer, attributes) !== changed) continue;
      const best = this.#best[prefix]!;
      if (best >= 0 && adjRibIn.peer[best] === peer) this.#unsettle(prefix);
      dirty.push(prefix);
    }
  }

  /** Other attributes for a path that is no fresher for it. */
  restate(path: number, attributes: number): void {
    if (!this.adjRibIn.restate(path, attributes)) return;
    const prefix = this.adjRibIn.prefix[path]!;
    if (this.#best[prefix] === path) this.#unsettle(prefix);
    this.dirty.push(prefix);
  }

  withdraw(prefix: number, peer: number, pathId = 0): boolean {
    if (prefix >= this.#best.length) return false;
    const best = this.#best[prefix]!,
      wasBest = best >= 0 && this.adjRibIn.peer[best] === peer;
    if (!this.adjRibIn.remove(prefix, peer, pathId)) return false;
    if (wasBest) this.#unsettle(prefix);
    this.dirty.push(prefix);
    return true;
  }

  /** `withdraw` for the first `count` of some prefixes; -1 among them is passed over. */
  withdrawAll(prefixes: Int32Array, count: number, peer: number): void {
    const best = this.#best,
      { adjRibIn, dirty } = this,
      of = adjRibIn.peer;
    for (let i = 0; i < count; i++) {
      const prefix = prefixes[i]!;
      if (prefix < 0 || prefix >= best.length) continue;
      const chosen = best[prefix]!,
        wasBest = chosen >= 0 && of[chosen] === peer;
      if (!adjRibIn.remove(prefix, peer)) continue;
      if (wasBest) {
        best[prefix] = unsettled;
        this.#chosen--;
      }
      dirty.push(prefix);
    }
  }

  /** Withdraws a path that is known by its row. */
  withdrawPath(path: number): void {
    const prefix = this.adjRibIn.prefix[path]!;
    if (this.#best[prefix] === path) this.#unsettle(prefix);
    this.adjRibIn.removePath(path);
    this.dirty.push(prefix);
  }

  /** The prefix was announced and is not believed: what the peer said of it before goes, and the id too if nobody needs it. */
  refuse(prefix: number, peer: number, pathId = 0): void {
    if (prefix >= this.#best.length) this.#grow(prefix);
    if (!this.withdraw(prefix, peer, pathId)) this.dirty.push(prefix);
  }

  /** The chosen path, or `none`; never unsettled. */
  bestOf(prefix: number): number {
    const best = prefix < this.#best.length ? this.#best[prefix]! : none;
    return best === unsettled ? this.decision.best(prefix) : best; // stays dirty: the observers of settle() have not seen it yet
  }

  /** Something beside its paths changed that the decision looks at. */
  reconsider(prefix: number): void {
    if (this.#best[prefix]! >= 0) this.#unsettle(prefix);
    this.dirty.push(prefix);
  }

  /** Decides one prefix taken from `dirty`; true if others must be told. */
  settle(prefix: number): boolean {
    const before = this.#best[prefix]!,
      now = this.decision.best(prefix);
    if (now === before) return false;
    if (now >= 0 && before < 0) this.#chosen++;
    if (now < 0 && before >= 0) this.#chosen--;
    this.#best[prefix] = now;
    return true;
  }

  /**
   * `settle` for the first `count` of some prefixes taken from `dirty`. Those of whom others must be told come to the front of them,
   * in their order; answers how many. The others follow in `stood`.
   */
  settleAll(prefixes: Uint32Array, count: number, stood: Uint32Array): number {
    const { head, next } = this.adjRibIn,
      decision = this.decision,
      isPlain = !decision.resolvesNextHops,
      best = this.#best;
    let told = 0,
      others = 0,
      chosen = this.#chosen;
    for (let i = 0; i < count; i++) {
      const prefix = prefixes[i]!,
        before = best[prefix]!,
        first = head[prefix]!;
      const now = isPlain && (first === none || next[first] === none) ? first : decision.best(prefix);
      if (now === before) {
        stood[others++] = prefix;
        continue;
      }
      if (before < 0 && now >= 0) chosen++;
      if (before >= 0 && now < 0) chosen--;
      best[prefix] = now;
      prefixes[told++] = prefix;
    }
    this.#chosen = chosen;
    return told;
  }

  #unsettle(prefix: number): void {
    this.#best[prefix] = unsettled;
    this.#chosen--;
  }

  #grow(prefix: number): void {
    let size = this.#best.length;
    while (size <= prefix) size *= 2;
    const before = this.#best.length;
    this.#best = grown(this.#best, size);
    this.#best.fill(none, before);
    this.adjRibIn.cover(size - 1);
  }
}
