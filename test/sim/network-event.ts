/** What happens in the simulated network, to whom, and how a speaker is driven. */
import type { Ip } from "#base/ip.ts";
import type { Note } from "#base/note.ts";
import type { Instant } from "#base/time.ts";
import type { Action } from "#bgp/actions.ts";

/** The speaker as its driver sees it. */
export interface SimSpeaker {
  accepted(connection: number, local: Ip, remote: Ip, now: Instant): void;
  connected(peer: number, connection: number, local: Ip, remote: Ip, now: Instant): void;
  connectFailed(peer: number, text: string, now: Instant): void;
  bytes(connection: number, buffer: Uint8Array, start: number, end: number, now: Instant): void;
  closed(connection: number, text: string, now: Instant): void;
  wake(now: Instant): void;
  nextDeadline(): Instant | undefined;
  takeActions(): readonly Action[];
  /** Octets owed on a connection that has room; undefined when there are none (P9). */
  pull?(connection: number, now: Instant): Uint8Array | undefined;
  /** The connection has no room, and has room again (RFC 9687). */
  sendBlocked?(connection: number, now: Instant): void;
  sendProgressed?(connection: number): void;
}

export interface SimNode<S extends SimSpeaker> {
  readonly address: Ip;
  readonly listens: boolean;
  /** Undefined while the process is not running. */
  speaker: S | undefined;
  /** How often it was started. */
  starts: number;
  readonly notes: Note[];
  /** Until then the process does nothing, and what comes waits in its sockets. */
  readonly stalledUntil: number;
}

export interface Machine<S extends SimSpeaker> extends SimNode<S> {
  readonly make: (now: Instant, start: number) => S;
  /** Dials under way, by peer id: a number that only the current one has. */
  readonly dials: Map<number, number>;
  readonly ends: Set<End<S>>;
  /** When it will be woken; earlier wake-ups may still be in the queue and do no harm. */
  wakeAt: number;
  wokenAt: number;
  /** How often it was woken at that very instant. */
  spins: number;
  stalledUntil: number;
}

/** One end of a connection. */
export interface End<S extends SimSpeaker> {
  readonly id: number;
  readonly machine: Machine<S>;
  other: End<S> | undefined;
  /** False once this side has closed it or heard of its end. */
  open: boolean;
  /** Nothing sent to this end overtakes: the last arrival so far. */
  lane: number;
}

export type SimEvent<S extends SimSpeaker> =
  | { readonly type: "syn"; readonly from: Machine<S>; readonly peer: number; readonly dial: number; readonly to: Ip; readonly source: Ip }
  | { readonly type: "dialled"; readonly from: Machine<S>; readonly peer: number; readonly dial: number; readonly end: End<S> | undefined; readonly remote: Ip }
  | { readonly type: "bytes"; readonly end: End<S>; readonly bytes: Uint8Array }
  | { readonly type: "fin"; readonly end: End<S>; readonly text: string }
  | { readonly type: "wake"; readonly machine: Machine<S> }
  | { readonly type: "start"; readonly machine: Machine<S> }
  | { readonly type: "heal"; readonly key: string }
  | { readonly type: "resume"; readonly machine: Machine<S> }
  | { readonly type: "call"; readonly label: string; readonly run: () => void }
  | { readonly type: "misfortune" };

/** The machine an event would reach, if that is stalled now. */
export function stalledBy<S extends SimSpeaker>(event: SimEvent<S>, now: number): Machine<S> | undefined {
  const { type } = event;
  const machine = type === "bytes" || type === "fin" ? event.end.machine : type === "wake" ? event.machine : type === "dialled" ? event.from : undefined;
  return machine && machine.stalledUntil > now ? machine : undefined;
}

/** The event for people. */
export function describe<S extends SimSpeaker>(event: SimEvent<S>): string {
  switch (event.type) {
    case "syn":
      return `${event.from.address} dials ${event.to}`;
    case "dialled":
      return `${event.from.address} hears from ${event.remote}: ${event.end ? "connected" : "refused"}`;
    case "bytes":
      return `${event.end.other!.machine.address} → ${event.end.machine.address} ${event.bytes.length} octets, connection ${event.end.id}: ${Buffer.from(event.bytes.subarray(0, 64)).toString("hex")}`;
    case "fin":
      return `${event.end.machine.address} hears the end of connection ${event.end.id}: ${event.text}`;
    case "call":
      return event.label;
    case "heal":
      return `the link ${event.key} is as it was`;
    case "misfortune":
      return "misfortune";
    default:
      return `${event.machine.address} ${event.type}s`;
  }
}
