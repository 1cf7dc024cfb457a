/** What the RIB must know of each neighbour, as columns by peer id. Id 0 is ourselves: locally originated routes. */
import type { Ip } from "#base/ip.ts";
import { familyOf, ipBytes } from "#base/ip.ts";
import type { PeerRole } from "#base/settings.ts";
import type { FamilyIndex, SessionTerms } from "../terms.ts";
import { grown } from "./prefixes.ts";

export const localPeer = 0;
export const roleLocal = 0;
export const roleClient = 1;
export const roleNonClient = 2;
export const roleExternal = 3;
export type Role = 0 | 1 | 2 | 3;

export function roleNumber(role: PeerRole): Role {
  return role === "client" ? roleClient : role === "non-client" ? roleNonClient : roleExternal;
}

export class PeerTable {
  role = new Uint8Array(64);
  routerId = new Uint32Array(64);
  remoteAs = new Uint32Array(64);
  /** Counts sessions, modulo 256: a path with another number than its peer's is of an earlier session (stale). */
  epoch = new Uint8Array(64);
  up = new Uint8Array(64);
  #address = new Uint32Array(64 * 4);
  /** Paths held, by peer and family: received and accepted. */
  paths = new Uint32Array(64 * 2);
  readonly terms: (SessionTerms | undefined)[] = [];

  get end(): number {
    return this.role.length;
  }

  open(peer: number, terms: SessionTerms): void {
    this.#room(peer);
    this.role[peer] = roleNumber(terms.role);
    this.routerId[peer] = terms.remoteId;
    this.remoteAs[peer] = terms.remoteAs;
    this.up[peer] = 1;
    this.terms[peer] = terms;
    const words = addressWords(terms.remote);
    for (let w = 0; w < 4; w++) this.#address[peer * 4 + w] = words[w]!;
  }
  close(peer: number): void {
    this.up[peer] = 0;
  }
  holds(peer: number): number {
    return peer < this.end ? this.paths[peer * 2]! + this.paths[peer * 2 + 1]! : 0;
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

  #room(peer: number): void {
    if (peer < this.role.length) return;
    let size = this.role.length;
    while (size <= peer) size *= 2;
    this.role = grown(this.role, size);
    this.routerId = grown(this.routerId, size);
    this.remoteAs = grown(this.remoteAs, size);
    this.epoch = grown(this.epoch, size);
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
