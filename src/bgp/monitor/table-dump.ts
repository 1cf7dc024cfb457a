/**
 * Every path held, as the records of one MRT table dump (RFC 6396 §4.3), some prefixes at a time. A path is written as it is
 * when its turn comes; one of a peer that came after the dump began is left out, for the index was written first.
 */
import type { Ip } from "#base/ip.ts";
import type { Instant } from "#base/time.ts";
import { encodeMrtPeerIndex, encodeMrtRib, type MrtEntry, type MrtPeer } from "#wire/mrt.ts";
import { none } from "../rib/adj-rib-in.ts";
import type { LocRib } from "../rib/loc-rib.ts";
import { localPeer } from "../rib/peer-table.ts";
import type { Speaker } from "../speaker.ts";

const prefixesPerStep = 1024;

export interface DumpIdentity {
  readonly asn: number;
  readonly routerId: number;
  readonly address: Ip;
}

export class TableDump {
  readonly #speaker: Speaker;
  readonly #seconds: number;
  readonly #identity: DumpIdentity;
  /** Peer id → place in the index, and since when its session is up, as seconds since 1970. */
  readonly #index = new Map<number, { readonly place: number; readonly since: number }>();
  #family = 0;
  #prefix = 0;
  #sequence = 0;
  #isDone = false;

  /** `seconds`: now, since 1970; `now`: the same moment on the speaker's clock. */
  constructor(speaker: Speaker, identity: DumpIdentity, seconds: number, now: Instant) {
    this.#speaker = speaker;
    this.#identity = identity;
    this.#seconds = seconds;
    this.#index.set(localPeer, { place: 0, since: seconds });
    const { paths } = speaker.rib.peers;
    for (const { id, terms, since } of speaker.neighbours.info())
      if (terms || paths[id * 2]! + paths[id * 2 + 1]! > 0)
        this.#index.set(id, { place: this.#index.size, since: Math.max(0, Math.round(seconds - (now - since) / 1000)) });
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  /** The first record: ourselves, then every peer of whom something may be held. */
  begin(): Uint8Array {
    const { asn, routerId, address } = this.#identity,
      { terms } = this.#speaker.rib.peers;
    const peers: MrtPeer[] = [{ address, asn, bgpId: routerId }];
    for (const id of this.#index.keys()) {
      if (id === localPeer) continue;
      const known = terms[id];
      peers.push(known ? { address: known.remote, asn: known.remoteAs, bgpId: known.remoteId } : { address, asn: 0, bgpId: 0 });
    }
    return encodeMrtPeerIndex(routerId, "", peers, this.#seconds);
  }

  /** The records of the next prefixes. */
  step(give: (record: Uint8Array) => void): void {
    const rib = this.#speaker.rib.ribs[this.#family]!;
    const end = Math.min(rib.prefixes.end, this.#prefix + prefixesPerStep);
    for (let prefix = this.#prefix; prefix < end; prefix++) {
      if (!rib.prefixes.isLive(prefix)) continue;
      const entries = this.#entries(rib, prefix);
      if (entries.length > 0) give(encodeMrtRib(this.#sequence++, rib.prefixes.text(prefix), entries, this.#seconds));
    }
    this.#prefix = end;
    if (end < rib.prefixes.end) return;
    this.#prefix = 0;
    this.#sequence = 0;
    this.#isDone = ++this.#family === this.#speaker.rib.ribs.length;
  }

  /** The time is that of the session: when each prefix was heard is not kept. */
  #entries(rib: LocRib, prefix: number): MrtEntry[] {
    const table = rib.adjRibIn,
      { attributes } = this.#speaker.rib,
      entries: MrtEntry[] = [];
    for (let path = table.head[prefix]!; path !== none; path = table.next[path]!) {
      const peer = table.peer[path]!,
        known = this.#index.get(peer);
      if (!known) continue;
      const set = table.attributes[path]!;
      entries.push({
        peerIndex: known.place,
        originatedSeconds: known.since,
        pathId: this.#speaker.rib.peers.givesPathIds[peer * 2 + rib.family] === 1 ? table.pathIdOf(path) : undefined,
        attributes: attributes.bytesOf(set),
        nextHop: attributes.nextHopLength(set) > 0 ? attributes.nextHopOf(set) : undefined,
      });
    }
    return entries;
  }
}
