/** The last routes that import policies refused, for `why`: they are not held, so this is all that is known of them. */
import type { LocRib } from "../rib/loc-rib.ts";
import type { FamilyIndex } from "../terms.ts";

const most = 4096;
const words = 4;

export interface Refusal {
  readonly peer: number;
  /** Of the rule in the chain of the peer's import policies. */
  readonly place: number;
}

export class Refusals {
  readonly #address = new Uint32Array(most * words);
  /** Length, and 256 for IPv6. */
  readonly #form = new Uint16Array(most);
  /** 0: nothing, or forgotten. */
  readonly #peer = new Uint16Array(most);
  readonly #place = new Uint16Array(most);
  #next = 0;

  note(rib: LocRib, prefix: number, peer: number, place: number): void {
    const at = this.#next++ % most;
    for (let word = 0; word < (rib.family === 0 ? 1 : words); word++) this.#address[at * words + word] = rib.prefixes.wordOf(prefix, word);
    this.#form[at] = rib.prefixes.lengthOf(prefix) + rib.family * 256;
    this.#peer[at] = peer;
    this.#place[at] = place;
  }

  /** The peer has other policies, or none: what they refused says nothing any more. */
  forget(peer: number): void {
    for (let at = 0; at < most; at++) if (this.#peer[at] === peer) this.#peer[at] = 0;
  }

  /** The last refusal of each peer that is remembered for a prefix; `octets` are 4 or 16. */
  of(family: FamilyIndex, octets: Uint8Array, length: number): readonly Refusal[] {
    const view = new DataView(octets.buffer, octets.byteOffset, octets.length),
      found = new Map<number, Refusal>();
    for (let n = Math.max(0, this.#next - most); n < this.#next; n++) {
      const at = n % most,
        peer = this.#peer[at]!;
      if (peer === 0 || this.#form[at] !== length + family * 256) continue;
      let word = 0;
      while (word * 4 < octets.length && this.#address[at * words + word] === view.getUint32(word * 4)) word++;
      if (word * 4 === octets.length) found.set(peer, { peer, place: this.#place[at]! });
    }
    return [...found.values()];
  }
}
