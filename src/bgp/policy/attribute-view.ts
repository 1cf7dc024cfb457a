/** One attribute set laid out for matching: where in its octets stands what conditions look at. Nothing is copied; reused, never kept. */
import type { AttributeTable } from "../rib/attributes.ts";

/** Value of one attribute in `bytes`; both -1 where the set lacks it. */
export interface Span {
  start: number;
  end: number;
}

const type = { nextHop: 3, asPath: 2, communities: 8, extendedCommunities: 16, largeCommunities: 32 } as const;

export class AttributeView {
  bytes: Uint8Array = new Uint8Array(0);
  readonly asPath: Span = { start: -1, end: -1 };
  readonly communities: Span = { start: -1, end: -1 };
  readonly extendedCommunities: Span = { start: -1, end: -1 };
  readonly largeCommunities: Span = { start: -1, end: -1 };
  /** 4, 16 or 32 octets. */
  readonly nextHop: Span = { start: -1, end: -1 };
  /** Reads a set that is held by somebody. Its octets are canonical: well-formed, each attribute once. */
  read(attributes: AttributeTable, set: number): void {
    const bytes = attributes.pageOf(set),
      begin = attributes.offsetOf(set),
      end = begin + attributes.lengthOf(set),
      hop = attributes.nextHopLength(set);
    this.bytes = bytes;
    const { asPath, communities, extendedCommunities, largeCommunities, nextHop } = this;
    asPath.start = communities.start = extendedCommunities.start = largeCommunities.start = nextHop.start = -1;
    asPath.end = communities.end = extendedCommunities.end = largeCommunities.end = nextHop.end = -1;
    for (let at = begin; at < end;) {
      const isLong = (bytes[at]! & 0x10) !== 0,
        start = at + (isLong ? 4 : 3),
        length = isLong ? (bytes[at + 2]! << 8) | bytes[at + 3]! : bytes[at + 2]!;
      const span = this.#spanOf(bytes[at + 1]!);
      at = start + length;
      if (!span) continue;
      span.start = start;
      span.end = at;
    }
    if (hop === 0) return;
    nextHop.start = end;
    nextHop.end = end + hop;
  }

  #spanOf(code: number): Span | undefined {
    switch (code) {
      case type.asPath:
        return this.asPath;
      case type.nextHop:
        return this.nextHop;
      case type.communities:
        return this.communities;
      case type.extendedCommunities:
        return this.extendedCommunities;
      case type.largeCommunities:
        return this.largeCommunities;
      default:
        return undefined;
    }
  }
}
