/** Whether any community of a list is one of those asked for. Those without wildcards are looked up, the others compared one by one. */
import type { CommunityMatch } from "#base/policy-settings.ts";
import type { Span } from "./attribute-view.ts";

const allBits = 0xffff_ffff;

export class CommunityMatcher {
  readonly #words: number;
  readonly #exact = new Set<string | number>();
  readonly #masked: readonly CommunityMatch[];

  /** `words` of 32 bits make one community: 1, 2 (extended) or 3 (large). */
  constructor(matches: readonly CommunityMatch[], words: 1 | 2 | 3) {
    this.#words = words;
    const isExact = ({ mask }: CommunityMatch): boolean => mask.every((bits) => bits >>> 0 === allBits);
    for (const match of matches) if (isExact(match)) this.#exact.add(words === 1 ? match.value[0]! : match.value.join(":"));
    this.#masked = matches.filter((match) => !isExact(match));
  }

  matches(bytes: Uint8Array, { start, end }: Span): boolean {
    for (let at = start; at >= 0 && at < end; at += 4 * this.#words) {
      if (this.#exact.size > 0 && this.#exact.has(this.#key(bytes, at))) return true;
      for (const { value, mask } of this.#masked) {
        let word = 0;
        while (word < this.#words && ((u32(bytes, at + 4 * word) ^ value[word]!) & mask[word]!) === 0) word++;
        if (word === this.#words) return true;
      }
    }
    return false;
  }

  #key(bytes: Uint8Array, at: number): string | number {
    if (this.#words === 1) return u32(bytes, at);
    const second = `${u32(bytes, at)}:${u32(bytes, at + 4)}`;
    return this.#words === 2 ? second : `${second}:${u32(bytes, at + 8)}`;
  }
}

function u32(b: Uint8Array, at: number): number {
  return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0;
}
