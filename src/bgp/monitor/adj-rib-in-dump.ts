/**
 * What some peers have told us, as UPDATEs, some rows of the Adj-RIBs-In at a time: for a monitoring station that comes when the
 * sessions are up already (RFC 7854 §5). Each row is read as it is when its turn comes; what changes later is heard as it comes.
 */
import { encodeEndOfRib } from "#wire/bgp/update.ts";
import { Writer } from "#base/bytes.ts";
import { attributeFlag, attributeType, maxMessageLength, messageType } from "#wire/bgp/constants.ts";
import { beginAttribute, endAttribute } from "#wire/bgp/attribute.ts";
import { beginMessage, endMessage } from "#wire/bgp/message.ts";
import type { LocRib } from "../rib/loc-rib.ts";
import type { Rib } from "../rib/rib.ts";
import type { FamilyIndex } from "../terms.ts";

const rowsPerStep = 2048;
const longestNlri = 21; // a path identifier, a length, 16 octets
/** Peer ids have fewer bits than this leaves above an attribute set's. */
const setSpan = 2 ** 32;

export type GiveUpdate = (peer: number, update: Uint8Array) => void;

export class AdjRibInDump {
  readonly #rib: Rib;
  readonly #peers: Set<number>;
  #family: FamilyIndex = 0;
  #at = 0;
  #isDone = false;

  /** `peers`: whose paths; one that goes is taken out by `forget`. */
  constructor(rib: Rib, peers: Iterable<number>) {
    this.#rib = rib;
    this.#peers = new Set(peers);
  }

  get isDone(): boolean {
    return this.#isDone;
  }
  forget(peer: number): void {
    this.#peers.delete(peer);
  }

  /** Gives the UPDATEs of the next rows; after the last row of a family each peer's End-of-RIB, if the peer has sent its own. */
  step(give: GiveUpdate): void {
    if (this.#isDone) return;
    const rib = this.#rib.ribs[this.#family],
      table = rib.adjRibIn,
      end = Math.min(table.end, this.#at + rowsPerStep);
    const buckets = new Map<number, number[]>();
    for (let path = this.#at; path < end; path++) {
      const peer = table.peer[path]!;
      if (!table.isUsed(path) || !this.#peers.has(peer) || table.isStale(path)) continue;
      const key = peer * setSpan + table.attributes[path]!,
        bucket = buckets.get(key);
      if (bucket) bucket.push(path);
      else buckets.set(key, [path]);
    }
    for (const [key, paths] of buckets) this.#announce(rib, Math.floor(key / setSpan), paths, give);
    this.#at = end;
    if (end < table.end) return;
    for (const peer of this.#peers) if (this.#rib.peers.speaks(peer, rib.family) && this.#rib.hasToldAll(peer)) give(peer, encodeEndOfRib(rib.family + 1, 1));
    this.#at = 0;
    if (this.#family === 0) this.#family = 1;
    else this.#isDone = true;
  }

  /** One message or more: as many prefixes in each as 4096 octets hold, one at least (RFC 8654: the set may be longer than that). */
  #announce(rib: LocRib, peer: number, paths: readonly number[], give: GiveUpdate): void {
    const set = rib.adjRibIn.attributes[paths[0]!]!,
      attributes = this.#rib.attributes.bytesOf(set);
    const nextHop = this.#rib.attributes.nextHopLength(set) > 0 ? this.#rib.attributes.nextHopOf(set) : undefined;
    const hasPathIds = this.#rib.peers.givesPathIds[peer * 2 + rib.family] === 1;
    const room = Math.max(longestNlri, maxMessageLength - 64 - attributes.length);
    const out = new Uint8Array(room + longestNlri);
    for (let next = 0; next < paths.length;) {
      let at = 0;
      while (next < paths.length && at + longestNlri <= room) at = writeNlri(rib, paths[next++]!, hasPathIds, out, at);
      give(peer, encodeAnnouncement(rib.family, attributes, nextHop, out.subarray(0, at)));
    }
  }
}

/** `hasPathId`: the peer's own identifier in front, as it sent it (RFC 7911 §3): a station has seen the OPENs. */
// oxlint-disable-next-line max-params -- octets have a place
function writeNlri(rib: LocRib, path: number, hasPathId: boolean, out: Uint8Array, at: number): number {
  if (!hasPathId) return rib.prefixes.write(rib.adjRibIn.prefix[path]!, out, at);
  const pathId = rib.adjRibIn.pathIdOf(path);
  for (let shift = 24; shift >= 0; shift -= 8) out[at++] = (pathId >>> shift) & 255;
  return rib.prefixes.write(rib.adjRibIn.prefix[path]!, out, at);
}

/** `nextHop`: of MP_REACH_NLRI; undefined where NEXT_HOP is among the attributes, and the prefixes stand in the classic field. */
function encodeAnnouncement(family: FamilyIndex, attributes: Uint8Array, nextHop: Uint8Array | undefined, nlri: Uint8Array): Uint8Array {
  const into = new Writer(64 + attributes.length + nlri.length);
  const at = beginMessage(into, messageType.update);
  into.u16(0);
  const attributesAt = into.hole16();
  if (nextHop) {
    const reachAt = beginAttribute(attributeFlag.optional, attributeType.mpReach, into);
    into
      .u16(family + 1)
      .u8(1)
      .u8(nextHop.length)
      .put(nextHop)
      .u8(0)
      .put(nlri);
    endAttribute(reachAt, into);
  }
  into.put(attributes);
  into.patch16(attributesAt, into.length - attributesAt - 2);
  if (!nextHop) into.put(nlri);
  endMessage(into, at);
  return into.written;
}
