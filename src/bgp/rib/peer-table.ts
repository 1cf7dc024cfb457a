/** What the RIB must know of each neighbour, as columns by peer id. Id 0 is ourselves: locally originated routes. */
import { assert } from "#base/assert.ts";
import type { Ip } from "#base/ip.ts";
import { familyOf, ipBytes } from "#base/ip.ts";
import type { PeerRole } from "#base/settings.ts";
import { type FamilyIndex, ipv4Unicast, ipv6Unicast, type SessionTerms } from "../terms.ts";
import { grown } from "./prefixes.ts";

export const localPeer = 0;
export const roleLocal = 0;
export const roleClient = 1;
export const roleNonClient = 2;
export const roleExternal = 3;
/** Not a peer: a reader of the Loc-RIB, told every chosen path as it stands (RFC 9069). */
export const roleMonitor = 4;
export type Role = 0 | 1 | 2 | 3 | 4;

export function roleNumber(role: PeerRole): Role {
  return role === "client" ? roleClient : role === "non-client" ? roleNonClient : roleExternal;
}

/** Peer ids lie below this; what is above in a label counts how often the routes of that id began to read otherwise. */
export const peerIds = 0x2000;
export const peerOfLabel = (label: number): number => label & (peerIds - 1);
const epochs = 0x1_0000;
/** The path identifier of locally originated routes. */
export const ownPathId = 1;

/** True if epoch `a` is before `b`. They go round: a peer has fewer than half of all of them in its paths (stale.ts). */
export function isOlder(a: number, b: number): boolean {
  const distance = (b - a) & (epochs - 1);
  return distance > 0 && distance < epochs / 2;
}

export class PeerTable {
  role = new Uint8Array(64);
  routerId = new Uint32Array(64);
  remoteAs = new Uint32Array(64);
  /** By peer and family; counts sessions and refreshes. A path with another number than its peer's is stale. */
  epoch = new Uint16Array(64 * 2);
  up = new Uint8Array(64);
  #address = new Uint32Array(64 * 4);
  /** Paths held, by peer and family: received and accepted. */
  paths = new Uint32Array(64 * 2);
  /** Those of them that are not of the epoch of now. */
  old = new Uint32Array(64 * 2);
  /** By peer and family: the first epoch of the speaker that has the id now. */
  since = new Uint16Array(64 * 2);
  /** The peer's id, and in the bits above how often its routes began to read otherwise (BGP Identifier, external or not). */
  label = new Uint16Array(64);
  /** What a path of the peer is told with to those who take several (RFC 7911), where the peer gives none: from its address. */
  pathId = new Uint32Array(64);
  /** By peer and family: 1 if the peer's prefixes come with path identifiers. */
  givesPathIds = new Uint8Array(64 * 2);
  readonly terms: (SessionTerms | undefined)[] = [];
  /** What policies may call the peer: its name, its address, the range it came out of. A new list for each session. */
  readonly names: (readonly string[] | undefined)[] = [];

  get end(): number {
    return this.role.length;
  }

  /** A session begins: what is held is of an earlier one. False if that was with another speaker, or in another role. */
  open(peer: number, terms: SessionTerms): boolean {
    assert(peer < peerIds, "peer ids fit into a label");
    this.#room(peer);
    const isSame = this.role[peer] === roleNumber(terms.role) && this.routerId[peer] === terms.remoteId && this.remoteAs[peer] === terms.remoteAs;
    const readsAlike = this.routerId[peer] === terms.remoteId && (this.role[peer] === roleExternal) === (terms.role === "external");
    if (!readsAlike || this.label[peer] === 0) this.label[peer] = this.label[peer] === 0 ? peer : this.label[peer]! + peerIds;
    this.role[peer] = roleNumber(terms.role);
    this.routerId[peer] = terms.remoteId;
    this.remoteAs[peer] = terms.remoteAs;
    this.up[peer] = 1;
    this.terms[peer] = terms;
    const words = addressWords(terms.remote);
    for (let w = 0; w < 4; w++) this.#address[peer * 4 + w] = words[w]!;
    this.pathId[peer] = this.#pathIdOf(peer, words);
    for (const family of [ipv4Unicast, ipv6Unicast] as const) {
      this.givesPathIds[peer * 2 + family] = terms.addPath?.some((one) => one.family === family && one.receive) ? 1 : 0;
      this.beginEpoch(peer, family);
      if (!isSame) this.since[peer * 2 + family] = this.epoch[peer * 2 + family]!;
    }
    return isSame;
  }
  beginEpoch(peer: number, family: FamilyIndex): void {
    this.epoch[peer * 2 + family]!++;
    this.old[peer * 2 + family] = this.paths[peer * 2 + family]!;
  }
  close(peer: number): void {
    this.up[peer] = 0;
  }
  holds(peer: number): number {
    return peer < this.end ? this.paths[peer * 2]! + this.paths[peer * 2 + 1]! : 0;
  }
  /** Paths of earlier epochs: of the session before this one, or not told again in a refresh. */
  holdsOld(peer: number): number {
    return peer < this.end ? this.old[peer * 2]! + this.old[peer * 2 + 1]! : 0;
  }
  speaks(peer: number, family: FamilyIndex): boolean {
    return this.up[peer] === 1 && this.terms[peer]!.families.includes(family);
  }

  /** Order of peer addresses (RFC 4271 §9.1.2.2 g), IPv4 before IPv6. */
  compareAddress(a: number, b: number): number {
    for (let w = 0; w < 4; w++) {
      const d = this.#address[a * 4 + w]! - this.#address[b * 4 + w]!;
      if (d !== 0) return d;
    }
    return 0;
  }

  /** The same after a restart of ours, if the addresses are; no two peers have one. */
  #pathIdOf(peer: number, words: readonly number[]): number {
    let id = words.reduce((mixed, word) => Math.imul(mixed ^ word, 0x85eb_ca6b) ^ (mixed >>> 13), 0x9e37_79b1) >>> 0;
    while (id <= ownPathId || this.pathId.some((other, at) => other === id && at !== peer)) id = (id + 1) >>> 0;
    return id;
  }

  #room(peer: number): void {
    if (peer < this.role.length) return;
    let size = this.role.length;
    while (size <= peer) size *= 2;
    this.role = grown(this.role, size);
    this.routerId = grown(this.routerId, size);
    this.remoteAs = grown(this.remoteAs, size);
    this.epoch = grown(this.epoch, size * 2);
    this.label = grown(this.label, size);
    this.pathId = grown(this.pathId, size);
    this.givesPathIds = grown(this.givesPathIds, size * 2);
    this.old = grown(this.old, size * 2);
    this.since = grown(this.since, size * 2);
    this.up = grown(this.up, size);
    this.#address = grown(this.#address, size * 4);
    this.paths = grown(this.paths, size * 2);
  }
}

function addressWords(ip: Ip): number[] {
  const b = ipBytes(ip);
  const word = (i: number): number => ((b[i]! << 24) | (b[i + 1]! << 16) | (b[i + 2]! << 8) | b[i + 3]!) >>> 0;
  return familyOf(ip) === 4 ? [0, 0, 0, word(0)] : [word(0), word(4), word(8), word(12)];
}
