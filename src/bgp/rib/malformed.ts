/**
 * What peers sent that was malformed (RFC 7606 §6): counted by peer and treatment, and the last messages of each kept whole for
 * whoever has to explain them to the peer's operator.
 *
 * By address of the peer, so that what ended a session is still there after it, whatever becomes of the neighbour's number.
 * Bounded in peers, in messages of a peer and in octets of all: what is oldest goes first, and what went is told as a number.
 */
import type { Ip } from "#base/ip.ts";
import { note, type Note } from "#base/note.ts";
import type { Instant } from "#base/time.ts";
import { decodeAttributes } from "#wire/bgp/attribute.ts";
import { familyKey, headerLength, messageType, safi } from "#wire/bgp/constants.ts";
import { countPrefixes, decodePrefixes, type NlriForm } from "#wire/bgp/nlri.ts";
import { emptyRanges, splitUpdate } from "#wire/bgp/update.ts";

export const malformedLimits = {
  /** Peers remembered; the one whose last message is the oldest makes room. */
  peers: 1024,
  /** Messages kept of one peer. */
  messages: 8,
  /** Octets of messages kept of all peers. */
  octets: 4 << 20,
  /** Prefixes named with a message; the message has them all. */
  prefixes: 16,
} as const;

/** Mildest first, as far as it says that something was malformed. */
export type MalformedTreatment = "discard" | "withdraw" | "reset";

export interface MalformedUpdate {
  readonly at: Instant;
  readonly treatment: MalformedTreatment;
  /** What was wrong: one sentence. */
  readonly text: string;
  /** Type codes of the attributes at fault; 0 stands for the message itself. Ascending, each once. */
  readonly attributes: readonly number[];
  /** The first prefixes of it that could be read, and how many there are. */
  readonly prefixes: readonly string[];
  readonly prefixCount: number;
  /** The whole message with its header; a copy. */
  readonly octets: Uint8Array;
}

/** What became of a malformed UPDATE, for people. */
const becameOf: Readonly<Record<MalformedTreatment, string>> = {
  discard: "its routes were kept without the bad attribute",
  withdraw: "its routes were withdrawn",
  reset: "the session was reset for it",
};

/** What the log says of one, with the prefixes it was about. */
export function noteOfMalformed(peer: Ip, { treatment, text, prefixes, prefixCount }: MalformedUpdate): Note {
  const more = prefixCount > prefixes.length ? ` and ${prefixCount - prefixes.length} more` : "";
  const said = `an UPDATE was malformed and ${becameOf[treatment]} (RFC 7606): ${text}; podway peers errors has the message`;
  return note("warn", "bgp.malformed", said, { peer, fields: { treatment, prefixes: `${prefixes.join(" ")}${more}` } });
}

export interface MalformedOfPeer {
  /** UPDATEs by what became of them, since we run. */
  readonly discard: number;
  readonly withdraw: number;
  readonly reset: number;
  /** UPDATEs of which something was left out or taken back because an operator wants it so; none of them is malformed. */
  readonly configured: number;
  /** The last ones, oldest first. */
  readonly messages: readonly MalformedUpdate[];
}

type Kept = { -readonly [K in keyof Omit<MalformedOfPeer, "messages">]: number } & { readonly messages: MalformedUpdate[] };

const nothing: MalformedOfPeer = { discard: 0, withdraw: 0, reset: 0, configured: 0, messages: [] };

export class MalformedUpdates {
  /** The one whose message came last is the last. */
  readonly #peers = new Map<Ip, Kept>();
  #octets = 0;

  take(peer: Ip, update: MalformedUpdate): void {
    const kept = this.#of(peer);
    this.#peers.delete(peer);
    this.#peers.set(peer, kept);
    kept[update.treatment]++;
    kept.messages.push(update);
    this.#octets += update.octets.length;
    if (kept.messages.length > malformedLimits.messages) this.#dropOldest(kept);
    for (const other of this.#peers.values()) while (this.#octets > malformedLimits.octets && other.messages.length > 0) this.#dropOldest(other);
  }

  /** An UPDATE of which an operator's wish left something out, and nothing else was wrong with. */
  countConfigured(peer: Ip): void {
    this.#of(peer).configured++;
  }

  of(peer: Ip): MalformedOfPeer {
    return this.#peers.get(peer) ?? nothing;
  }
  /** Everybody who sent something malformed or treated. */
  all(): Iterable<readonly [Ip, MalformedOfPeer]> {
    return this.#peers;
  }

  #of(peer: Ip): Kept {
    const known = this.#peers.get(peer);
    if (known) return known;
    const oldest = this.#peers.size >= malformedLimits.peers ? this.#peers.entries().next().value : undefined;
    if (oldest) {
      while (oldest[1].messages.length > 0) this.#dropOldest(oldest[1]);
      this.#peers.delete(oldest[0]);
    }
    const made: Kept = { discard: 0, withdraw: 0, reset: 0, configured: 0, messages: [] };
    this.#peers.set(peer, made);
    return made;
  }

  #dropOldest({ messages }: Kept): void {
    this.#octets -= messages.shift()!.octets.length;
  }
}

/** An UPDATE as it came, from its body b[start, end). */
export function wholeUpdate(b: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start + headerLength,
    out = new Uint8Array(length).fill(0xff, 0, 16);
  out.set([length >> 8, length & 255, messageType.update], 16);
  out.set(b.subarray(start, end), headerLength);
  return out;
}

/**
 * The prefixes an UPDATE speaks of, announced and withdrawn, as far as they can be read: the first few as text, and how many
 * there are. `formOf`: how the peer writes those of a family (AFI); undefined if it is none of ours.
 */
export function prefixesOf(message: Uint8Array, formOf: (afi: number) => NlriForm | undefined): { readonly first: readonly string[]; readonly count: number } {
  const first: string[] = [],
    ranges = emptyRanges();
  let count = 0;
  if (splitUpdate(message, headerLength, message.length, ranges) !== undefined) return { first, count };
  const addPath = [1, 2].filter((afi) => formOf(afi)?.addPath).map((afi) => familyKey(afi, 1));
  const { reach, unreach } = decodeAttributes(message, ranges.attributesStart, ranges.attributesEnd, { internal: true, fourOctetAs: true, addPath });
  const fields = [
    { afi: 1, start: ranges.nlriStart, end: ranges.nlriEnd },
    ...(reach ? [{ afi: unicastOf(reach), start: reach.nlriStart, end: reach.nlriEnd }] : []),
    ...(unreach ? [{ ...unreach, afi: unicastOf(unreach) }] : []),
    { afi: 1, start: ranges.withdrawnStart, end: ranges.withdrawnEnd },
  ];
  for (const { afi, start, end } of fields) {
    const form = formOf(afi),
      found = form ? countPrefixes(message, start, end, form) : 0;
    if (found <= 0) continue;
    count += found;
    const few = endOfFew(message, start, end, form!, malformedLimits.prefixes - first.length);
    for (const { prefix } of decodePrefixes(message, start, few, form!)!) first.push(prefix);
  }
  return { first, count };
}

/** Where the first `most` prefixes of b[start, end) end. */
function endOfFew(b: Uint8Array, start: number, end: number, { addPath }: NlriForm, most: number): number {
  let at = start;
  for (let n = 0; n < most && at < end; n++) {
    if (addPath) at += 4;
    at += 1 + ((b[at]! + 7) >> 3);
  }
  return at;
}

/** The AFI of a unicast family; 0 for any other. */
const unicastOf = (one: { readonly afi: number; readonly safi: number }): number => (one.safi === safi.unicast ? one.afi : 0);
