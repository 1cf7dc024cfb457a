/**
 * All BFD sessions of a speaker: which packet is whose (RFC 5880 §6.3, RFC 5881 §3, RFC 5883 §4), which are refused and why,
 * who is due when. Only configured peers have a session. Packets and *now* go in; outputs are taken out after each event.
 */
import { Agenda } from "#base/agenda.ts";
import type { Ip } from "#base/ip.ts";
import { type Instant, after, sooner } from "#base/time.ts";
import { type BfdFaultKind, type BfdState, decodeControlPacket } from "#wire/bfd.ts";
import { BfdSession, type BfdTerms, type StateChange } from "./session.ts";

export interface BfdPeer extends BfdTerms {
  readonly remote: Ip;
  /** Our address; undefined leaves the choice to the kernel. */
  readonly source: Ip | undefined;
  /** Over routers (RFC 5883) instead of one link (RFC 5881). */
  readonly multihop: boolean;
  /** Least TTL or hop limit accepted: 255 on one link (RFC 5881 §5). */
  readonly minTtl: number;
}

export interface BfdDatagram {
  readonly bytes: Uint8Array;
  readonly remote: Ip;
  /** TTL or hop limit it arrived with. */
  readonly ttl: number;
  /** It came to the port of multihop sessions. */
  readonly multihop: boolean;
}

export type BfdOutput =
  /** `session` tells one session's packets from another's: each has a source port of its own. */
  | { readonly type: "send"; readonly session: number; readonly peer: BfdPeer; readonly bytes: Uint8Array }
  | { readonly type: "changed"; readonly peer: BfdPeer; readonly change: StateChange }
  /** Nothing more is sent for it. */
  | { readonly type: "gone"; readonly session: number };

export type RefusalKind = BfdFaultKind | "no-session" | "ttl" | "authentication";

export interface BfdSessionInfo {
  readonly remote: Ip;
  readonly multihop: boolean;
  readonly state: BfdState;
  /** One sentence without subject. */
  readonly reason: string;
  readonly since: Instant;
  readonly transmitMillis: number | null;
  readonly detectionMillis: number | null;
  readonly packetsIn: number;
  readonly packetsOut: number;
  /** Packets from this address that were not accepted. */
  readonly packetsRefused: number;
}

interface Held {
  peer: BfdPeer;
  readonly session: BfdSession;
  /** When a session that is no longer wanted has said so for long enough. */
  leavesAt: Instant | undefined;
  packetsRefused: number;
  lastRefusal: string | undefined;
  /** Why the last packet could not be sent. */
  sendFault: string | undefined;
}

export class BfdSessions {
  readonly #random: () => number;
  readonly #byDiscriminator = new Map<number, Held>();
  /** Those that are wanted. */
  readonly #byAddress = new Map<string, Held>();
  /** Discriminators of sessions, by when they are due. */
  readonly #agenda = new Agenda();
  readonly #refused = new Map<RefusalKind, number>();
  #outputs: BfdOutput[] = [];

  /** `random`: in [0, 1), anew each time. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Packets refused since the start, by why. */
  get refused(): ReadonlyMap<RefusalKind, number> {
    return this.#refused;
  }
  /** Sessions there are, those that say goodbye included. */
  get size(): number {
    return this.#byDiscriminator.size;
  }

  /** The sessions wanted from now on: others end administratively, those that stay keep their state. */
  configure(peers: readonly BfdPeer[], now: Instant): void {
    const wanted = new Map(peers.map((peer) => [keyOf(peer), peer]));
    for (const [key, held] of this.#byAddress) {
      const peer = wanted.get(key);
      if (peer && peer.source === held.peer.source) this.#adopt(held, peer, now);
      else this.#dismiss(key, held, "BFD is no longer configured", now);
    }
    for (const [key, peer] of wanted) if (!this.#byAddress.has(key)) this.#add(key, peer, now);
  }

  /** Ends all: each peer is told once more that this is no failure. */
  stop(reason: string, now: Instant): void {
    for (const [key, held] of this.#byAddress) this.#dismiss(key, held, reason, now);
  }

  /** The checks of RFC 5880 §6.8.6 in its order, and RFC 5881 §5. */
  received(datagram: BfdDatagram, now: Instant): void {
    const decoded = decodeControlPacket(datagram.bytes);
    if (!decoded.ok) return this.#refuse(decoded.fault.kind, decoded.fault.text, datagram);
    const packet = decoded.value,
      { yourDiscriminator } = packet;
    const held = yourDiscriminator === 0 ? this.#byAddress.get(keyOf(datagram)) : this.#byDiscriminator.get(yourDiscriminator);
    if (!held || held.peer.multihop !== datagram.multihop) return this.#refuse("no-session", "no session of ours is meant by it", datagram);
    if (datagram.ttl < held.peer.minTtl)
      return this.#refuse("ttl", `a TTL of ${datagram.ttl} is below ${held.peer.minTtl}: it came from too far away`, datagram);
    if (packet.authenticationType !== undefined)
      return this.#refuse("authentication", "it is authenticated, which is not supported here: switch BFD authentication off at the peer", datagram);
    held.session.receive(packet, now);
    this.#settle(held, now);
  }

  /** Sends what is due and misses what has not come; feed datagrams that are there before this. */
  wake(now: Instant): void {
    for (let discriminator = this.#agenda.due(now); discriminator !== undefined; discriminator = this.#agenda.due(now)) {
      const held = this.#byDiscriminator.get(discriminator);
      if (!held) continue;
      held.session.wake(now);
      if (held.leavesAt === undefined || held.leavesAt > now) this.#settle(held, now);
      else this.#forget(discriminator);
    }
  }

  /** How a `send` went: why it did not, or undefined. */
  sent(session: number, fault: string | undefined): void {
    const held = this.#byDiscriminator.get(session);
    if (held) held.sendFault = fault;
  }

  /** When `wake` may have something to do, at the latest. */
  nextDeadline(): Instant | undefined {
    return this.#agenda.nearest();
  }

  /** What is to be done, in order; each is handed out once. */
  takeOutputs(): BfdOutput[] {
    const out = this.#outputs;
    this.#outputs = [];
    return out;
  }

  info(): readonly BfdSessionInfo[] {
    return [...this.#byAddress.values()].map(describe);
  }

  #add(key: string, peer: BfdPeer, now: Instant): void {
    const discriminator = this.#freeDiscriminator();
    const host = {
      random: this.#random,
      send: (bytes: Uint8Array) => void this.#outputs.push({ type: "send", session: discriminator, peer: held.peer, bytes }),
      changed: (change: StateChange) => void this.#outputs.push({ type: "changed", peer: held.peer, change }),
    };
    const held: Held = {
      peer,
      session: new BfdSession(discriminator, peer, host, now),
      leavesAt: undefined,
      packetsRefused: 0,
      lastRefusal: undefined,
      sendFault: undefined,
    };
    this.#byDiscriminator.set(discriminator, held);
    this.#byAddress.set(key, held);
    this.#settle(held, now);
  }

  #adopt(held: Held, peer: BfdPeer, now: Instant): void {
    held.peer = peer;
    held.session.configure(peer, now);
    this.#settle(held, now);
  }

  #dismiss(key: string, held: Held, reason: string, now: Instant): void {
    this.#byAddress.delete(key);
    held.session.disable(reason, now);
    held.leavesAt = after(now, held.session.farewell);
    this.#settle(held, now);
  }

  #forget(discriminator: number): void {
    this.#byDiscriminator.delete(discriminator);
    this.#agenda.forget(discriminator);
    this.#outputs.push({ type: "gone", session: discriminator });
  }

  /** After every event of a session: when it is due next. */
  #settle({ session, leavesAt }: Held, now: Instant): void {
    this.#agenda.set(session.discriminator, sooner(session.nextDeadline(now), leavesAt));
  }

  #refuse(kind: RefusalKind, text: string, datagram: BfdDatagram): void {
    this.#refused.set(kind, (this.#refused.get(kind) ?? 0) + 1);
    const held = this.#byAddress.get(keyOf(datagram));
    if (!held) return;
    held.packetsRefused++;
    held.lastRefusal = text;
  }

  /** Unique among ours, never 0, and not to be guessed from another (§6.3). */
  #freeDiscriminator(): number {
    let discriminator = Math.floor(this.#random() * 0xffff_ffff) + 1;
    while (this.#byDiscriminator.has(discriminator)) discriminator = (discriminator % 0xffff_ffff) + 1;
    return discriminator;
  }
}

const keyOf = ({ remote, multihop }: Pick<BfdPeer, "remote" | "multihop">): string => `${multihop ? "multihop" : "single"} ${remote}`;

function describe({ peer, session, packetsRefused, lastRefusal, sendFault }: Held): BfdSessionInfo {
  const trouble: string[] = [];
  const refused = packetsRefused === 1 ? "one packet of it was" : `${packetsRefused} packets of it were`;
  if (lastRefusal !== undefined && session.state !== "Up") trouble.push(`; ${refused} refused, the last because ${lastRefusal}`);
  if (sendFault !== undefined) trouble.push(`; our packets do not leave: ${sendFault}`);
  return {
    remote: peer.remote,
    multihop: peer.multihop,
    state: session.state,
    reason: session.reason + trouble.join(""),
    since: session.since,
    transmitMillis: session.transmitInterval ?? null,
    detectionMillis: session.detectionTime ?? null,
    packetsIn: session.packetsIn,
    packetsOut: session.packetsOut,
    packetsRefused,
  };
}
