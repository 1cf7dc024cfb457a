/**
 * Mutated sessions: somebody connects and says an OPEN, a KEEPALIVE and more, changed, doubled, left out, cut into chunks of any
 * size, with time passing between and connections lost. The whole speaker takes it, on a virtual clock. Nothing may be
 * thrown, nothing may go on for ever, what is written must be messages, and when everybody is gone nothing may be left.
 */
import { assert } from "#base/assert.ts";
import { type Ip, ip4Number } from "#base/ip.ts";
import type { Instant } from "#base/time.ts";
import type { Action } from "#bgp/actions.ts";
import { Speaker } from "#bgp/speaker.ts";
import { frame } from "#wire/bgp/message.ts";
import { nothingLive } from "../bgp/rib-peers.ts";
import { peerOf, rangeOf } from "../bgp/settings-of.ts";
import { chance } from "../sim/chance.ts";
import { others, updates } from "./corpus.ts";
import { below, type Chance, concat, mutated, pick } from "./mutate.ts";

export const sessionsPerRound = 50;

export interface SessionTally {
  sessions: number;
  established: number;
  messages: number;
  octets: number;
  notifications: number;
}

export const emptyTally = (): SessionTally => ({ sessions: 0, established: 0, messages: 0, octets: 0, notifications: 0 });

const own = "10.255.0.1" as Ip,
  asn = 64_512,
  outsideAs = 64_603;
/** More turns than any one event can need. */
const mostTurns = 2000;

/** Who may come: configured clients, one from outside, one of two octets, and two out of a range. */
interface Caller {
  readonly address: Ip;
  readonly good: readonly Uint8Array[];
  readonly corpus: readonly Uint8Array[];
}
function caller(address: string, from: number): Caller {
  const said = others(from, ip4Number(address)),
    told = updates(from === asn ? undefined : from);
  return { address: address as Ip, good: [said[0]!, said[3]!, ...told.slice(0, 9)], corpus: [...said, ...told] };
}
const callers: readonly Caller[] = [
  caller("10.0.0.1", asn),
  caller("10.0.0.2", asn),
  caller("10.0.0.3", outsideAs),
  caller("10.9.0.1", asn),
  caller("10.9.0.2", asn),
  caller("192.0.2.77", asn),
];

export class SessionWorld {
  #now = 1_000_000 as Instant;
  readonly #speaker: Speaker;
  readonly #open = new Set<number>();
  #last = 0;
  #tally: SessionTally = emptyTally();
  #random: Chance = () => 0.5;

  constructor() {
    const id = ip4Number(own);
    this.#speaker = new Speaker({
      asn,
      routerId: id,
      clusterId: id,
      address: own,
      address6: "fd00:255::1" as Ip,
      policies: { all: { name: "all", rules: [], otherwise: "accept" } },
      observes: true,
      jitter: () => this.#random(),
    });
    this.#speaker.rib.deferral.ownIsKnown();
    const outside = { remoteAs: outsideAs, role: "external" as const, import: ["all"], export: ["all"] };
    this.#speaker.configure(
      [
        peerOf("c1", "10.0.0.1", { remoteAs: asn, passive: true }),
        peerOf("c2", "10.0.0.2", { remoteAs: asn, maxPrefixes: 6, attributes: [{ type: 99, treatment: "withdraw" }] }),
        peerOf("e1", "10.0.0.3", { ...outside, multihop: 1 }),
      ],
      [rangeOf("pods", "10.9.0.0/16", { remoteAs: asn, limit: 2 })],
      this.#now,
    );
  }

  /** Runs one round of sessions, several of them at a time; throws at the first thing that must not be. */
  round(seed: number, round: number, tally: SessionTally): void {
    this.#random = chance(Math.imul(seed, 0x01_00_01) ^ Math.imul(round + 1, 0x85eb_ca6b));
    this.#tally = tally;
    for (let n = 0; n < sessionsPerRound; n++) {
      try {
        this.#session();
      } catch (error) {
        throw new Error(`seed ${seed}, round ${round}, session ${n}`, { cause: error });
      }
    }
    this.#end(`seed ${seed}, round ${round}`);
  }

  #session(): void {
    const random = this.#random,
      { address, good, corpus } = pick(random, callers);
    this.#tally.sessions++;
    const id = this.#accept(address),
      isNice = random() < 0.7;
    const script = (isNice ? good.slice(0, 2) : []).concat(Array.from({ length: below(random, 20) }, () => pick(random, isNice ? good.slice(1) : corpus)));
    for (const message of script) {
      if (!this.#open.has(id)) break;
      const spoiled = random() < (isNice && message === good[0] ? 0.02 : 0.15);
      this.#say(id, spoiled ? mutated(random, [message]) : message);
      this.#tally.messages++;
      if (random() < 0.1) this.#pass(pick(random, [1, 1000, 30_000, 91_000, 240_000]));
    }
    // half of them stay, and meet the next
    if (random() < 0.5) this.#lose(id);
  }

  #accept(address: Ip): number {
    const id = ++this.#last;
    this.#open.add(id);
    this.#speaker.accepted(id, own, address, this.#now);
    this.#settle();
    return id;
  }

  /** In chunks, of a buffer that is written over afterwards: what was kept of it shows. */
  #say(id: number, bytes: Uint8Array): void {
    const random = this.#random,
      whole = random() < 0.5,
      room = concat(new Uint8Array(below(random, 5)), bytes),
      lead = room.length - bytes.length;
    for (let at = lead; at < room.length && this.#open.has(id);) {
      const end = whole ? room.length : Math.min(room.length, at + 1 + below(random, 40));
      this.#speaker.bytes(id, { buffer: room, start: at, end }, this.#now);
      room.fill(0xa5, at, end);
      this.#tally.octets += end - at;
      at = end;
      this.#settle();
    }
  }

  #lose(id: number): void {
    if (!this.#open.delete(id)) return;
    this.#speaker.closed(id, "reset by peer", this.#now);
    this.#settle();
  }

  #pass(millis: number): void {
    const until = this.#now + millis;
    for (let turns = 0; ; turns++) {
      assert(turns < mostTurns, "time goes on");
      const due = this.#speaker.nextDeadline() ?? until;
      if (due > until) break;
      this.#now = Math.max(this.#now, due) as Instant;
      this.#settle();
      // a deadline that stands after it was served would be served for ever
      if (due <= this.#now && this.#speaker.nextDeadline() === due) this.#now = (this.#now + 1) as Instant;
    }
    this.#now = Math.max(this.#now, until) as Instant;
    this.#settle();
  }

  /** Until there is nothing to do at this moment. */
  #settle(): void {
    const speaker = this.#speaker;
    for (let turns = 0; ; turns++) {
      assert(turns < mostTurns, "the speaker comes to rest");
      let busy = false;
      const due = speaker.nextDeadline();
      if (due !== undefined && due <= this.#now) speaker.wake(this.#now);
      for (const action of speaker.takeActions()) {
        busy = true;
        this.#act(action);
      }
      if (speaker.step(this.#now, 1000)) busy = true;
      const steps = speaker.rib.steps;
      for (const { peer, connection } of speaker.routes())
        if (speaker.pull(peer, 65_536, this.#now, (bytes) => this.#written(connection, bytes)) > 0) busy = true;
      if (speaker.rib.steps !== steps) busy = true;
      if (!busy) return;
    }
  }

  #act(action: Action): void {
    switch (action.type) {
      case "connect": {
        const { peer } = action;
        if (this.#random() < 0.7) return this.#speaker.connectFailed(peer, "refused", this.#now);
        const id = ++this.#last;
        this.#open.add(id);
        return this.#speaker.connected(peer, id, { local: own, remote: action.address }, this.#now);
      }
      case "write":
        return this.#written(action.connection, action.bytes);
      case "close":
        assert(this.#open.delete(action.connection), "a connection is closed once");
        return;
      case "note":
        assert(action.note.event !== "bgp.broken", action.note.text);
        if (action.note.event === "bgp.established") this.#tally.established++;
        return;
      default:
    }
  }

  /** What is written on a connection that is there: whole messages of legal length. */
  #written(id: number, bytes: Uint8Array): void {
    assert(this.#open.has(id), "nothing is written to a connection that is gone");
    for (let at = 0; at < bytes.length;) {
      const size = frame(bytes, at, bytes.length, 65_535);
      assert(size > 0, "what is written is whole messages");
      if (bytes[at + 18] === 3) this.#tally.notifications++;
      at += size;
    }
  }

  /** Everybody goes; once all times are over nothing may be left of them. */
  #end(where: string): void {
    for (const id of Array.from(this.#open)) this.#lose(id);
    // dials that succeed in the meantime are lost again; three days outlast every timer
    for (let hours = 0; hours < 72; hours += 12) {
      this.#pass(12 * 3_600_000);
      for (const id of Array.from(this.#open)) this.#lose(id);
    }
    const dynamic = this.#speaker.neighbours.info().filter((info) => info.dynamic);
    assert(dynamic.length === 0, `${where}: neighbours out of a range that are long gone: ${dynamic.map(({ name }) => name).join(" ")}`);
    const left = JSON.stringify(liveOf(this.#speaker));
    assert(left === JSON.stringify(nothingLive), `${where}: everybody has gone and this is left: ${left}`);
    assert(this.#speaker.routes().length === 0, `${where}: a session is up with nobody`);
    this.#speaker.rib.takeChanges();
  }
}

function liveOf({ rib }: Speaker): Readonly<Record<string, number>> {
  const { attributes, peers, ribs } = rib;
  return {
    sets: attributes.live,
    prefixes4: ribs[0].prefixes.live,
    prefixes6: ribs[1].prefixes.live,
    paths4: ribs[0].adjRibIn.live,
    paths6: ribs[1].adjRibIn.live,
    chosen4: ribs[0].chosen,
    chosen6: ribs[1].chosen,
    counted: peers.paths.reduce((sum, count) => sum + count, 0),
    old: peers.old.reduce((sum, count) => sum + count, 0),
  };
}
