/**
 * A network of speakers in one process, on a virtual clock, under one seed (P6). Links are TCP-like: octets arrive in order
 * and late, in chunks of any size; a dial is answered, refused or lost. Faults: connections cut, links that hold everything
 * back, processes killed (peers hear of it) or stalled (they read nothing, and peers find no room to write), and machines
 * that vanish (peers hear nothing until they write).
 *
 * Generic over the speaker: sessions alone (wire-pair.ts) or a whole one.
 */
import { type Ip, ip4Number } from "#base/ip.ts";
import type { Instant } from "#base/time.ts";
import type { Action } from "#bgp/actions.ts";
import { chance } from "./chance.ts";
import { type End, type Machine, type SimEvent, type SimNode, type SimSpeaker, describe, stalledBy } from "./network-event.ts";
import { EventQueue } from "./queue.ts";

/** Chance of each fault every few seconds while faults are on; of `refuse`, per dial. */
export interface Faults {
  readonly cut: number;
  readonly refuse: number;
  readonly hold: number;
  readonly kill: number;
  readonly vanish: number;
}
export const noFaults: Faults = { cut: 0, refuse: 0, hold: 0, kill: 0, vanish: 0 };
export const someFaults: Faults = { cut: 0.1, refuse: 0.2, hold: 0.04, kill: 0.04, vanish: 0.04 };

const faultEveryMillis = 10_000;
/** A machine that is woken more often than this without time passing does not handle what it is woken for. */
const mostSpins = 100;
const leastDelayMillis = 0.05,
  delaySpreadMillis = 40,
  holdSpreadMillis = 200_000,
  downSpreadMillis = 20_000;

export class Network<S extends SimSpeaker> {
  readonly random: () => number;
  #faults: Faults = noFaults;
  #now = 0 as Instant;
  #queue = new EventQueue<SimEvent<S>>();
  readonly #machines = new Map<Ip, Machine<S>>();
  /** Pairs of addresses whose link holds everything back, and until when. */
  readonly #held = new Map<string, number>();
  #ids = 0;
  #hash = 2_166_136_261;
  #happened = 0;
  /** Chance that a dial is refused, whoever listens. */
  refusal = 0;
  /** Runs after every event: where checkers stand. */
  afterEvent: (() => void) | undefined;
  /** Hears of every event in words; only for people, since it costs more than the event. */
  onEvent: ((line: string) => void) | undefined;

  constructor(seed: number) {
    this.random = chance(seed);
  }

  set faults(faults: Faults) {
    if (this.#faults === noFaults && faults !== noFaults) this.#queue.push(this.#now, { type: "misfortune" });
    this.#faults = faults;
  }

  get now(): Instant {
    return this.#now;
  }
  /** How many events there were. */
  get happened(): number {
    return this.#happened;
  }
  /** Equal for equal runs: everything that happened, in order. */
  get trace(): string {
    return (this.#hash >>> 0).toString(16);
  }
  get nodes(): readonly SimNode<S>[] {
    return [...this.#machines.values()];
  }

  /** A machine that starts its speaker now, and again after every fault that ends it. */
  add(address: Ip, listens: boolean, make: (now: Instant, start: number) => S): SimNode<S> {
    const machine: Machine<S> = {
      address,
      listens,
      make,
      speaker: undefined,
      starts: 0,
      notes: [],
      dials: new Map(),
      ends: new Set(),
      wakeAt: Infinity,
      wokenAt: -1,
      spins: 0,
      stalledUntil: 0,
    };
    this.#machines.set(address, machine);
    this.#start(machine);
    return machine;
  }

  /** Lets everything happen that is due within `millis` from now. */
  run(millis: number): void {
    const until = this.#now + millis;
    while (this.#queue.nextAt <= until) {
      const { at, event } = this.#queue.pop()!;
      this.#now = at as Instant;
      this.#happen(event);
      this.afterEvent?.();
    }
    this.#now = until as Instant;
  }

  /** Runs until `fact` holds; false if it did not within `millis`. */
  runUntil(fact: () => boolean, millis: number): boolean {
    const until = this.#now + millis;
    while (!fact()) {
      if (this.#queue.nextAt > until) return false;
      this.run(Math.max(0, this.#queue.nextAt - this.#now));
    }
    return true;
  }

  /** Executes what a speaker wants done after it was called from outside the network (`configure`, `stop`). */
  poke(node: SimNode<S>): void {
    this.#drive(node as Machine<S>);
  }

  /** Runs `run` after `millis`, as an event among the others. */
  later(millis: number, label: string, run: () => void): void {
    this.#queue.push(this.#now + millis, { type: "call", label, run });
  }

  /** Breaks every connection between two machines; both hear of it. Answers how many there were. */
  cut(a: Ip, b: Ip): number {
    let count = 0;
    for (const end of this.#machines.get(a)?.ends ?? []) {
      if (end.other?.machine.address !== b) continue;
      this.#reset(end);
      count++;
    }
    return count;
  }

  /** Holds back everything between two machines for a while: octets wait, dials get no answer. */
  hold(a: Ip, b: Ip, millis: number): void {
    this.#held.set(pairOf(a, b), this.#now + millis);
    this.#queue.push(this.#now + millis, { type: "heal", key: pairOf(a, b) });
  }

  /** Stops a process for a while, as SIGSTOP does: it reads nothing and no timer of it runs; peers can write nothing to it. */
  stall(address: Ip, millis: number): void {
    const machine = this.#machines.get(address)!;
    if (!machine.speaker) return;
    machine.stalledUntil = Math.max(machine.stalledUntil, this.#now + millis);
    this.#queue.push(machine.stalledUntil, { type: "resume", machine });
  }

  /** Ends a process. Its kernel closes the connections, unless the whole machine `vanishes`. Starts again after `downMillis`. */
  kill(address: Ip, downMillis: number, vanishes: boolean): void {
    const machine = this.#machines.get(address)!;
    if (!machine.speaker) return;
    machine.speaker = undefined;
    machine.dials.clear();
    machine.wakeAt = Infinity;
    machine.stalledUntil = 0;
    for (const end of machine.ends) {
      end.open = false;
      if (!vanishes) this.#send(end, "fin", "connection reset by peer");
    }
    machine.ends.clear();
    this.#queue.push(this.#now + downMillis, { type: "start", machine });
  }

  #start(machine: Machine<S>): void {
    machine.speaker = machine.make(this.#now, machine.starts++);
    this.#drive(machine);
  }

  #happen(event: SimEvent<S>): void {
    const stalled = stalledBy(event, this.#now);
    // What waits to be read comes before timers that are due (neighbours.ts).
    if (stalled) return this.#queue.push(stalled.stalledUntil + (event.type === "wake" ? leastDelayMillis : 0), event);
    this.#note(event);
    switch (event.type) {
      case "syn":
        return this.#answer(event);
      case "dialled":
        return this.#dialled(event);
      case "bytes":
        return this.#arrive(event.end, event.bytes);
      case "fin":
        return this.#fin(event.end, event.text);
      case "wake":
        return this.#wake(event.machine);
      case "start":
        return this.#start(event.machine);
      case "resume":
        return this.#resume(event.machine);
      case "call":
        return event.run();
      case "misfortune":
        return this.#misfortune();
      case "heal":
        if ((this.#held.get(event.key) ?? 0) <= this.#now) this.#held.delete(event.key);
    }
  }

  #wake(machine: Machine<S>): void {
    if (machine.wakeAt > this.#now) return;
    machine.wakeAt = Infinity;
    machine.spins = machine.wokenAt === this.#now ? machine.spins + 1 : 0;
    machine.wokenAt = this.#now;
    if (machine.spins > mostSpins) throw new Error(`${machine.address} wants to be woken again and again at ${this.#now} ms and gets nothing done`);
    machine.speaker?.wake(this.#now);
    this.#drive(machine);
  }

  #resume(machine: Machine<S>): void {
    if (machine.stalledUntil > this.#now) return;
    for (const { other } of machine.ends) {
      if (!other?.open || !other.machine.speaker) continue;
      other.machine.speaker.sendProgressed?.(other.id);
      this.#drive(other.machine);
    }
  }

  #answer({ from, peer, dial, to, source }: SimEvent<S> & { readonly type: "syn" }): void {
    if (from.dials.get(peer) !== dial) return;
    const target = this.#machines.get(to);
    if (target?.speaker && target.stalledUntil > this.#now) return this.#queue.push(target.stalledUntil, { type: "syn", from, peer, dial, to, source });
    const refused = !target?.speaker || !target.listens || this.random() < Math.max(this.refusal, this.#faults.refuse);
    if (refused) return this.#queue.push(this.#later(), { type: "dialled", from, peer, dial, end: undefined, remote: to });
    const near: End<S> = { id: ++this.#ids, machine: from, other: undefined, open: true, lane: this.#later() };
    const far: End<S> = { id: ++this.#ids, machine: target, other: near, open: true, lane: 0 };
    near.other = far;
    target.ends.add(far);
    this.#queue.push(near.lane, { type: "dialled", from, peer, dial, end: near, remote: to });
    target.speaker!.accepted(far.id, to, source, this.#now);
    this.#drive(target);
  }

  #dialled({ from, peer, dial, end, remote }: SimEvent<S> & { readonly type: "dialled" }): void {
    if (from.dials.get(peer) !== dial || !from.speaker) {
      if (end) this.#close(end);
      return;
    }
    from.dials.delete(peer);
    if (end) {
      from.ends.add(end);
      from.speaker.connected(peer, end.id, from.address, remote, this.#now);
    } else {
      from.speaker.connectFailed(peer, "connection refused", this.#now);
    }
    this.#drive(from);
  }

  #arrive(end: End<S>, bytes: Uint8Array): void {
    if (!end.open) {
      // The machine has forgotten the connection (or the whole machine was gone meanwhile): TCP answers with a reset.
      if (end.machine.speaker && end.other?.open) this.#send(end, "fin", "connection reset by peer");
      return;
    }
    end.machine.speaker!.bytes(end.id, bytes, 0, bytes.length, this.#now);
    this.#drive(end.machine);
  }

  #fin(end: End<S>, text: string): void {
    if (!end.open) return;
    end.open = false;
    end.machine.ends.delete(end);
    end.machine.speaker!.closed(end.id, text, this.#now);
    this.#drive(end.machine);
  }

  /** What floor 4 does after every event: execute actions, pull what is owed, sleep to the next deadline. */
  #drive(machine: Machine<S>): void {
    const { speaker } = machine;
    if (!speaker) return;
    for (const action of speaker.takeActions()) this.#perform(machine, action);
    for (const end of machine.ends) {
      if (end.other!.machine.stalledUntil > this.#now) speaker.sendBlocked?.(end.id, this.#now);
      else for (let owed = speaker.pull?.(end.id, this.#now); owed && end.open; owed = speaker.pull?.(end.id, this.#now)) this.#write(end, owed);
    }
    const at = speaker.nextDeadline();
    if (at === undefined || at >= machine.wakeAt) return;
    machine.wakeAt = Math.max(at, this.#now);
    this.#queue.push(machine.wakeAt, { type: "wake", machine });
  }

  #perform(machine: Machine<S>, action: Action): void {
    switch (action.type) {
      case "connect":
        machine.dials.set(action.peer, ++this.#ids);
        if (this.#isHeld(machine.address, action.address)) return; // the SYN is lost, and the FSM's own timer dials again
        return this.#queue.push(this.#later(), {
          type: "syn",
          from: machine,
          peer: action.peer,
          dial: this.#ids,
          to: action.address,
          source: action.source ?? machine.address,
        });
      case "cancelConnect":
        machine.dials.delete(action.peer);
        return;
      case "write": {
        const end = this.#endOf(machine, action.connection);
        if (end) this.#write(end, action.bytes);
        return;
      }
      case "close": {
        const end = this.#endOf(machine, action.connection);
        if (end) this.#close(end);
        return;
      }
      case "requireTtl":
        return; // one link, no hops: every packet has its whole TTL
      case "note":
        machine.notes.push(action.note);
    }
  }

  #endOf(machine: Machine<S>, connection: number): End<S> | undefined {
    for (const end of machine.ends) if (end.id === connection) return end;
    return undefined;
  }

  /** Cuts the octets into chunks anywhere, as TCP may. */
  #write(end: End<S>, bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      const size = this.random() < 0.7 ? bytes.length - at : 1 + Math.floor(this.random() * (bytes.length - at));
      this.#queue.push(this.#lane(end.other!), { type: "bytes", end: end.other!, bytes: bytes.slice(at, at + size) });
      at += size;
    }
  }

  #close(end: End<S>): void {
    end.open = false;
    end.machine.ends.delete(end);
    this.#send(end, "fin", "closed by the peer");
  }

  #reset(end: End<S>): void {
    for (const side of [end, end.other!]) this.#queue.push(this.#lane(side), { type: "fin", end: side, text: "connection reset by peer" });
  }

  #send(from: End<S>, type: "fin", text: string): void {
    this.#queue.push(this.#lane(from.other!), { type, end: from.other!, text });
  }

  #lane(to: End<S>): number {
    const held = this.#held.get(pairOf(to.machine.address, to.other!.machine.address)) ?? 0;
    to.lane = Math.max(to.lane, this.#later(), held);
    return to.lane;
  }

  #later(): number {
    return this.#now + leastDelayMillis + this.random() ** 3 * delaySpreadMillis;
  }

  #isHeld(a: Ip, b: Ip): boolean {
    return (this.#held.get(pairOf(a, b)) ?? 0) > this.#now;
  }

  #misfortune(): void {
    const faults = this.#faults,
      { random } = this;
    if (faults === noFaults) return;
    this.#queue.push(this.#now + random() * faultEveryMillis, { type: "misfortune" });
    const pick = (): Ip => [...this.#machines.keys()][Math.floor(random() * this.#machines.size)]!;
    if (random() < faults.cut) this.cut(pick(), pick());
    if (random() < faults.hold) this.hold(pick(), pick(), random() ** 2 * holdSpreadMillis);
    if (random() < faults.kill) this.kill(pick(), random() ** 2 * downSpreadMillis, false);
    if (random() < faults.vanish) this.kill(pick(), random() ** 2 * downSpreadMillis, true);
  }

  #note(event: SimEvent<S>): void {
    this.#happened++;
    const who = "end" in event ? (event.end?.id ?? 0) : "machine" in event ? ip4Number(event.machine.address) : event.type === "syn" ? event.dial : 0;
    this.#mix(this.#now * 1000);
    this.#mix(event.type.length * 65_536 + who);
    if (event.type === "bytes") for (const octet of event.bytes) this.#hash = Math.imul(this.#hash ^ octet, 16_777_619);
    this.onEvent?.(`${(this.#now / 1000).toFixed(3)} ${describe(event)}`);
  }
  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value % 2 ** 32), 16_777_619);
  }
}

const pairOf = (a: Ip, b: Ip): string => (a < b ? `${a} ${b}` : `${b} ${a}`);
