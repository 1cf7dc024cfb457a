/** Two speakers' sessions and a link between them that loses, delays and (if told to) reorders, in virtual time and by one seed. */
import type { Ip } from "#base/ip.ts";
import type { BfdTerms, StateChange } from "#bfd/session.ts";
import { type BfdPeer, BfdSessions } from "#bfd/sessions.ts";
import { chance } from "../sim/chance.ts";
import { at } from "./virtual-session.ts";

const addresses = ["10.9.0.1" as Ip, "10.9.0.2" as Ip] as const;

export interface Change extends StateChange {
  readonly at: number;
  readonly side: 0 | 1;
}

interface Flying {
  readonly at: number;
  readonly to: 0 | 1;
  readonly bytes: Uint8Array;
}

export class VirtualLink {
  readonly sides: readonly [BfdSessions, BfdSessions];
  readonly changes: Change[] = [];
  readonly #random: () => number;
  #flying: Flying[] = [];
  now = 0;
  /** Part of the packets that is lost, by direction (to side 0, to side 1). */
  loss: [number, number] = [0, 0];
  /** Longest delay; each packet's is drawn. */
  delayMillis = 20;
  /** A packet may overtake another. */
  reorders = false;
  readonly #last: [number, number] = [0, 0];
  packets = 0;

  constructor(seed: number, terms: readonly [BfdTerms, BfdTerms]) {
    this.#random = chance(seed);
    this.sides = [new BfdSessions(this.#random), new BfdSessions(this.#random)];
    for (const side of [0, 1] as const) this.configure(side, terms[side]);
  }

  configure(side: 0 | 1, terms: BfdTerms): void {
    const peer: BfdPeer = { ...terms, remote: addresses[1 - side]!, source: undefined, multihop: false, minTtl: 255 };
    this.sides[side].configure([peer], at(this.now));
    this.#collect(side);
  }
  remove(side: 0 | 1): void {
    this.sides[side].configure([], at(this.now));
    this.#collect(side);
  }
  state(side: 0 | 1): string {
    return this.sides[side].info()[0]?.state ?? "none";
  }

  runTo(until: number): this {
    for (;;) {
      const [arrival] = this.#flying,
        wakes = this.sides.map((sessions) => sessions.nextDeadline() ?? Infinity);
      const next = Math.min(arrival?.at ?? Infinity, ...wakes);
      if (next > until) break;
      this.now = Math.max(this.now, next);
      // what has arrived is heard before anything is missed
      if (arrival && arrival.at <= this.now) this.#deliver(this.#flying.shift()!);
      else for (const side of [0, 1] as const) if (wakes[side]! <= this.now) this.#wake(side);
    }
    this.now = until;
    return this;
  }

  #deliver({ to, bytes }: Flying): void {
    this.sides[to].received({ bytes, remote: addresses[1 - to]!, ttl: 255, multihop: false }, at(this.now));
    this.#collect(to);
  }
  #wake(side: 0 | 1): void {
    this.sides[side].wake(at(this.now));
    this.#collect(side);
  }
  #collect(side: 0 | 1): void {
    const to = side === 0 ? 1 : 0;
    for (const output of this.sides[side].takeOutputs()) {
      if (output.type === "changed") this.changes.push({ ...output.change, at: this.now, side });
      if (output.type !== "send") continue;
      this.packets++;
      if (this.#random() < this.loss[to]) continue;
      const arrival = this.now + this.#random() * this.delayMillis;
      this.#last[to] = this.reorders ? arrival : Math.max(arrival, this.#last[to]);
      this.#flying.push({ at: this.#last[to], to, bytes: output.bytes });
      this.#flying.sort((a, b) => a.at - b.at);
    }
  }
}
