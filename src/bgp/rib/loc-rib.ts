/**
 * One family of the RIB: prefixes, Adj-RIBs-In, the chosen path of each prefix, and which prefixes wait for a decision.
 * A hot file; twin: test/bgp/rib-model.ts.
 *
 * In: `put` and `withdraw` as UPDATEs arrive. Out: `settle` decides some prefixes and names those whose choice changed.
 * Holds: `best` of a prefix that waits may be `unsettled`; whoever needs it now asks `bestOf`, which decides at once.
 */
import { AdjRibIn, none } from "./adj-rib-in.ts";
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
  #best = new Int32Array(1024).fill(none);
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

  put(prefix: number, peer: number, attributes: number): void {
    if (prefix >= this.#best.length) this.#grow(prefix);
    if (!this.adjRibIn.set(prefix, peer, attributes)) return;
    const best = this.#best[prefix]!;
    if (best >= 0 && this.adjRibIn.peer[best] === peer) this.#unsettle(prefix);
    this.dirty.push(prefix);
  }

  withdraw(prefix: number, peer: number): boolean {
    if (prefix >= this.#best.length) return false;
    const best = this.#best[prefix]!,
      wasBest = best >= 0 && this.adjRibIn.peer[best] === peer;
    if (!this.adjRibIn.remove(prefix, peer)) return false;
    if (wasBest) this.#unsettle(prefix);
    this.dirty.push(prefix);
    return true;
  }

  /** The prefix was announced and is not believed: what the peer said of it before goes, and the id too if nobody needs it. */
  refuse(prefix: number, peer: number): void {
    if (prefix >= this.#best.length) this.#grow(prefix);
    if (!this.withdraw(prefix, peer)) this.dirty.push(prefix);
  }

  /** The chosen path, or `none`; never unsettled. */
  bestOf(prefix: number): number {
    const best = prefix < this.#best.length ? this.#best[prefix]! : none;
    return best === unsettled ? this.decision.best(prefix) : best; // stays dirty: the observers of settle() have not seen it yet
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
