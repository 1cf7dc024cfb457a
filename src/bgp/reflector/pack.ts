/**
 * What is owed → UPDATE messages, written once for all members of a lane. A hot file; its twin in the tests decodes what
 * was written with wire/bgp and compares.
 *
 * IPv4 unicast uses the classic fields, but for routes with an IPv6 next hop (RFC 8950); those and IPv6 MP_REACH_NLRI and
 * MP_UNREACH_NLRI as the first attribute. IPv4 is withdrawn in the classic field, however it was told. One message holds one of
 * withdrawn routes, NLRI, MP_REACH, MP_UNREACH (RFC 7606 §5.1). No message is longer than `limit` octets: an attribute set that
 * leaves no room for a prefix is not told, and the caller withdraws instead (RFC 8654 §4).
 */
import { Writer } from "#base/bytes.ts";
import { encodeAttributes } from "#wire/bgp/attribute.ts";
import type { AttributeTable } from "../rib/attributes.ts";
import { maxExtendedMessageLength, maxMessageLength } from "#wire/bgp/constants.ts";
import { none } from "../rib/adj-rib-in.ts";
import type { Lane } from "./lane.ts";

const headerLength = 19;

/** What the chains of a window name: prefixes of a family, or paths of them with their identifiers (path-table.ts). */
export interface NlriTable {
  readonly family: 4 | 6;
  /** Octets of one at most. */
  readonly longestNlri: number;
  /** One more than the largest id. */
  readonly end: number;
  /** Writes one in its NLRI form; answers the offset behind it. */
  write(id: number, out: Uint8Array, at: number): number;
}

/** How a set is told: as it stands, or reflected with ORIGINATOR_ID and CLUSTER_LIST (RFC 4456 §8). */
export interface Reflection {
  readonly originatorId: number;
  readonly clusterId: number;
}

/** A chain of ids of one bucket: `next[i]` leads from one place in `prefixes` to the following, `none` ends it. */
export interface Chain {
  readonly prefixes: Uint32Array;
  readonly next: Int32Array;
}

export class Packer {
  readonly #attributes: AttributeTable;
  readonly #fourOctetAs: boolean;
  readonly #limit: number;
  #last: { set: number; generation: number; originatorId: number; bytes: Uint8Array } = { set: 0, generation: 0, originatorId: -1, bytes: new Uint8Array(0) };

  /**
   * `fourOctetAs`: false for peers that speak two octets (RFC 6793): their messages take a slower way. `extended`: true for
   * peers that take messages of up to 65,535 octets (RFC 8654).
   */
  constructor(attributes: AttributeTable, fourOctetAs: boolean, extended: boolean) {
    this.#attributes = attributes;
    this.#fourOctetAs = fourOctetAs;
    this.#limit = extended ? maxExtendedMessageLength : maxMessageLength;
  }

  /** True if the set, told this way, leaves room for at least one prefix. */
  fits(set: number, reflection: Reflection | undefined, table: NlriTable): boolean {
    const nextHop = this.#attributes.nextHopLength(set);
    return headerLength + 4 + this.#told(set, reflection) + (nextHop > 0 ? 9 + nextHop : 0) + table.longestNlri <= this.#limit;
  }

  /** Writes messages that announce the chain with this set. */
  announce(lane: Lane, table: NlriTable, set: number, reflection: Reflection | undefined, chain: Chain, head: number): void {
    const inMp = this.#attributes.nextHopLength(set) > 0,
      { longestNlri } = table;
    let place = head;
    while (place !== none) {
      const room = this.#room(table, set, reflection, chain, place),
        out = lane.room(room),
        start = lane.at;
      const limit = start + room;
      let at = start + headerLength;
      out[at++] = 0;
      out[at++] = 0; // no withdrawn routes
      const lengthAt = at;
      at += 2;
      let mpAt = 0;
      if (inMp) {
        mpAt = at;
        at = this.#writeReach(table.family, set, out, at);
      } else at = this.#writeSet(set, reflection, out, at);
      const nlriAt = at;
      const stop = inMp ? limit - this.#told(set, reflection) : limit;
      while (place !== none && at + longestNlri <= stop) {
        at = table.write(chain.prefixes[place]!, out, at);
        place = chain.next[place]!;
      }
      if (inMp) {
        put16(out, mpAt + 2, at - mpAt - 4);
        at = this.#writeSet(set, reflection, out, at);
        put16(out, lengthAt, at - lengthAt - 2);
      } else put16(out, lengthAt, nlriAt - lengthAt - 2);
      writeHeader(out, start, at - start);
      lane.advance(at);
    }
  }

  /** Writes messages that withdraw the chain. */
  withdraw(lane: Lane, table: NlriTable, chain: Chain, head: number): void {
    let place = head;
    while (place !== none) {
      const room = this.#limit === maxMessageLength ? maxMessageLength : this.#shortened(headerLength + 13, table, chain, place),
        out = lane.room(room),
        start = lane.at;
      const [at, rest] = writeWithdraw(table, chain, place, out, start, start + room);
      place = rest;
      lane.advance(at);
    }
  }

  /** Octets for one message of the chain from `place` on: few messages are as long as the longest, so theirs are reckoned. */
  // oxlint-disable-next-line max-params -- those of `announce`
  #room(table: NlriTable, set: number, reflection: Reflection | undefined, chain: Chain, place: number): number {
    if (this.#limit === maxMessageLength) return maxMessageLength;
    return this.#shortened(headerLength + 13 + this.#attributes.nextHopLength(set) + this.#told(set, reflection), table, chain, place);
  }
  #shortened(before: number, table: NlriTable, chain: Chain, place: number): number {
    let octets = before;
    for (let at = place; at !== none && octets < this.#limit; at = chain.next[at]!) octets += table.longestNlri;
    return Math.min(octets, this.#limit);
  }

  /** Octets of the set as told. */
  #told(set: number, reflection: Reflection | undefined): number {
    if (!this.#fourOctetAs) return this.#inTwoOctets(set, reflection).length;
    const length = this.#attributes.lengthOf(set);
    if (!reflection) return length;
    const clusters = (this.#attributes.clusterLength[set]! + 1) * 4;
    const tail = this.#attributes.tailOf(set),
      split = this.#attributes.splitOf(set);
    return length - (tail - split) + 7 + clusters + (clusters > 255 ? 4 : 3);
  }

  #writeSet(set: number, reflection: Reflection | undefined, out: Uint8Array, at: number): number {
    if (!this.#fourOctetAs) {
      const bytes = this.#inTwoOctets(set, reflection);
      out.set(bytes, at);
      return at + bytes.length;
    }
    const table = this.#attributes,
      length = table.lengthOf(set);
    if (!reflection) return table.copy(set, 0, length, out, at);
    const split = table.splitOf(set),
      tail = table.tailOf(set),
      clusters = table.clusterLength[set]!;
    at = table.copy(set, 0, split, out, at);
    out[at++] = 0x80;
    out[at++] = 9;
    out[at++] = 4;
    at = put32(out, at, table.originatorId[set]! || reflection.originatorId);
    const octets = (clusters + 1) * 4;
    if (octets > 255) {
      out[at++] = 0x90;
      out[at++] = 10; // the 64th entry needs the extended length
      put16(out, at, octets);
      at += 2;
    } else {
      out[at++] = 0x80;
      out[at++] = 10;
      out[at++] = octets;
    }
    at = put32(out, at, reflection.clusterId);
    at = table.copy(set, tail - clusters * 4, tail, out, at);
    return table.copy(set, tail, length, out, at);
  }

  /** AS_TRANS where needed, with AS4_PATH and AS4_AGGREGATOR beside it (RFC 6793 §4.2.2). Prefixes of one set come together. */
  #inTwoOctets(set: number, reflection: Reflection | undefined): Uint8Array {
    const originatorId = reflection?.originatorId ?? -1,
      generation = this.#attributes.generation[set]!,
      last = this.#last;
    if (last.set === set && last.generation === generation && last.originatorId === originatorId) return last.bytes;
    this.#last = { set, generation, originatorId, bytes: this.#rewritten(set, reflection) };
    return this.#last.bytes;
  }
  #rewritten(set: number, reflection: Reflection | undefined): Uint8Array {
    const values = this.#attributes.decode(set),
      writer = new Writer(512);
    const reflected = reflection && {
      originatorId: values.originatorId ?? reflection.originatorId,
      clusterList: Uint32Array.of(reflection.clusterId, ...(values.clusterList ?? [])),
    };
    encodeAttributes({ ...values, ...reflected }, writer, { fourOctetAs: false });
    return writer.written;
  }

  /** MP_REACH_NLRI up to its NLRI (RFC 4760 §3), always with the extended length, which is filled in later. */
  #writeReach(family: 4 | 6, set: number, out: Uint8Array, at: number): number {
    const size = this.#attributes.nextHopLength(set),
      length = this.#attributes.lengthOf(set);
    out[at++] = 0x90;
    out[at++] = 14;
    at += 2;
    out[at++] = 0;
    out[at++] = family === 4 ? 1 : 2;
    out[at++] = 1;
    out[at++] = size;
    at = this.#attributes.copy(set, length, length + size, out, at);
    out[at++] = 0;
    return at;
  }
}

/** One message of withdrawn routes at out[start…]; answers its end and where the chain goes on (`none`: done). */
export function writeWithdraw(table: NlriTable, chain: Chain, head: number, out: Uint8Array, start: number, limit: number): [end: number, rest: number] {
  let at = start + headerLength,
    place = head;
  const lengthAt = at,
    mp = table.family === 6;
  at += 2;
  let mpAt = 0;
  if (mp) {
    out[lengthAt] = 0;
    out[lengthAt + 1] = 0;
    at += 2; // total path attribute length
    mpAt = at;
    out[at++] = 0x90;
    out[at++] = 15;
    at += 2;
    out[at++] = 0;
    out[at++] = 2;
    out[at++] = 1;
  }
  while (place !== none && at + table.longestNlri + 2 <= limit) {
    at = table.write(chain.prefixes[place]!, out, at);
    place = chain.next[place]!;
  }
  if (mp) {
    put16(out, mpAt + 2, at - mpAt - 4);
    put16(out, lengthAt + 2, at - lengthAt - 4);
  } else {
    put16(out, lengthAt, at - lengthAt - 2);
    out[at++] = 0;
    out[at++] = 0;
  }
  writeHeader(out, start, at - start);
  return [at, place];
}

/** End-of-RIB (RFC 4724 §2): an UPDATE with nothing in it, or an MP_UNREACH_NLRI with only its family. */
export function endOfRib(family: 4 | 6): Uint8Array {
  const out = new Uint8Array(family === 4 ? 23 : 29);
  if (family === 6) out.set([0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1], headerLength);
  writeHeader(out, 0, out.length);
  return out;
}

function writeHeader(out: Uint8Array, at: number, length: number): void {
  for (let i = at; i < at + 16; i++) out[i] = 0xff; // a call of fill() costs more
  put16(out, at + 16, length);
  out[at + 18] = 2;
}
function put16(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 8;
  out[at + 1] = value & 255;
}
function put32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24;
  out[at + 1] = (value >>> 16) & 255;
  out[at + 2] = (value >>> 8) & 255;
  out[at + 3] = value & 255;
  return at + 4;
}
