/**
 * Thread of bfd-task.ts: sockets and time around the sessions of bfd/, and nothing else, so that no route, no request and no
 * garbage of the rest of the daemon delays a packet.
 */
import { parentPort } from "node:worker_threads";
import { FaultError } from "#base/fault.ts";
import { type Family, familyOf } from "#base/ip.ts";
import type { Instant } from "#base/time.ts";
import { BfdListener, BfdSender } from "#adapters/bfd-socket.ts";
import { systemClock } from "#adapters/system-clock.ts";
import { raiseThreadPriority, type ThreadPriority } from "#adapters/thread-priority.ts";
import { type BfdOutput, type BfdPeer, type BfdSessionInfo, BfdSessions } from "#bfd/sessions.ts";
import type { StateChange } from "#bfd/session.ts";

export type BfdOrder = { readonly type: "configure"; readonly peers: readonly BfdPeer[] } | { readonly type: "stop"; readonly reason: string };

export type BfdNews =
  | { readonly type: "started"; readonly priority: ThreadPriority }
  | { readonly type: "changed"; readonly peer: BfdPeer; readonly change: StateChange; readonly at: Instant }
  /** After each change, and once a second while there are sessions. */
  | { readonly type: "status"; readonly sessions: readonly BfdSessionInfo[]; readonly refused: Readonly<Record<string, number>> }
  /** The outside refused something: one sentence, told once. */
  | { readonly type: "fault"; readonly text: string };

const statusMillis = 1000;
/** A port that another program has is tried again. */
const retryMillis = 5000;

interface Door {
  readonly family: Family;
  readonly multihop: boolean;
  listener: BfdListener | undefined;
  retryAt: Instant;
}

class BfdThread {
  readonly #say: (news: BfdNews) => void;
  readonly #sessions = new BfdSessions(chance);
  readonly #senders = new Map<number, BfdSender>();
  #doors: readonly Door[] = [];
  readonly #faults = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #statusAt = 0;

  constructor(say: (news: BfdNews) => void) {
    this.#say = say;
  }

  configure(peers: readonly BfdPeer[]): void {
    const wanted = ([4, 6] as const).flatMap((family) => [false, true].map((multihop) => ({ family, multihop })));
    const used = wanted.filter(({ family, multihop }) => peers.some((peer) => familyOf(peer.remote) === family && peer.multihop === multihop));
    const isSame = (a: { family: Family; multihop: boolean }, b: { family: Family; multihop: boolean }): boolean =>
      a.family === b.family && a.multihop === b.multihop;
    const kept = this.#doors.filter((door) => used.some((one) => isSame(one, door)));
    for (const door of this.#doors) if (!kept.includes(door)) door.listener?.close();
    this.#doors = used.map((one) => kept.find((door) => isSame(one, door)) ?? { ...one, listener: undefined, retryAt: 0 as Instant });
    this.#sessions.configure(peers, systemClock.now());
    this.turn();
  }

  /** Everything that is there is heard before anything is missed. */
  readonly turn = (): void => {
    const now = systemClock.now();
    for (const door of this.#doors) this.#open(door, now);
    for (const { listener, multihop } of this.#doors) listener?.drain((arrived) => this.#sessions.received({ ...arrived, multihop }, now));
    this.#sessions.wake(now);
    const changed = this.#perform(now);
    if (changed || now >= this.#statusAt) this.#tellStatus(now);
    this.#sleep();
  };

  stop(reason: string): void {
    clearTimeout(this.#timer);
    const now = systemClock.now();
    this.#sessions.stop(reason, now);
    this.#perform(now);
    for (const { listener } of this.#doors) listener?.close();
    for (const sender of this.#senders.values()) sender.close();
  }

  #open(door: Door, now: Instant): void {
    if (door.listener || door.retryAt > now) return;
    try {
      door.listener = new BfdListener(door.family, door.multihop);
      door.listener.watch(this.turn);
    } catch (cause) {
      door.retryAt = (now + retryMillis) as Instant;
      this.#tellFault(cause);
    }
  }

  /** True if a session changed its state. */
  #perform(now: Instant): boolean {
    let changed = false;
    for (const output of this.#sessions.takeOutputs()) {
      if (output.type === "send") this.#send(output);
      else if (output.type === "changed") {
        changed = true;
        this.#say({ ...output, at: now });
      } else {
        this.#senders.get(output.session)?.close();
        this.#senders.delete(output.session);
      }
    }
    return changed;
  }

  #send({ session, peer, bytes }: BfdOutput & { readonly type: "send" }): void {
    try {
      let sender = this.#senders.get(session);
      if (!sender) this.#senders.set(session, (sender = new BfdSender(peer.remote, peer.source, peer.multihop, chance())));
      this.#sessions.sent(session, sender.send(bytes));
    } catch (cause) {
      if (!(cause instanceof FaultError)) throw cause;
      this.#sessions.sent(session, cause.fault.text);
    }
  }

  #tellFault(cause: unknown): void {
    if (!(cause instanceof FaultError)) throw cause;
    const { text } = cause.fault;
    if (this.#faults.has(text)) return;
    this.#faults.add(text);
    this.#say({ type: "fault", text });
  }

  #tellStatus(now: Instant): void {
    this.#statusAt = now + statusMillis;
    this.#say({ type: "status", sessions: this.#sessions.info(), refused: Object.fromEntries(this.#sessions.refused) });
  }

  #sleep(): void {
    clearTimeout(this.#timer);
    if (this.#sessions.size === 0) return;
    const due = Math.min(this.#sessions.nextDeadline() ?? Infinity, this.#statusAt);
    this.#timer = setTimeout(this.turn, Math.max(0, Math.ceil(due - systemClock.now())));
  }
}

/** In [0, 1), not to be guessed: discriminators and source ports are made of it. */
function chance(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32;
}

function work(port: NonNullable<typeof parentPort>): void {
  port.postMessage({ type: "started", priority: raiseThreadPriority() } satisfies BfdNews);
  const thread = new BfdThread((news) => port.postMessage(news));
  port.on("message", (order: BfdOrder) => {
    if (order.type === "configure") return thread.configure(order.peers);
    thread.stop(order.reason);
    port.close();
  });
}

if (parentPort) work(parentPort);
