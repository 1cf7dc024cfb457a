/** One attribute set laid out for matching: its octets once, and where in them stands what conditions look at. Reused, never kept. */
import type { AttributeTable } from "../rib/attributes.ts";

/** Value of one attribute in `bytes`; both -1 where the set lacks it. */
export interface Span {
  start: number;
  end: number;
}

const type = { nextHop: 3, asPath: 2, communities: 8, extendedCommunities: 16, largeCommunities: 32 } as const;

export class AttributeView {
  readonly bytes = new Uint8Array(65_535 + 32);
  readonly asPath: Span = { start: -1, end: -1 };
  readonly communities: Span = { start: -1, end: -1 };
  readonly extendedCommunities: Span = { start: -1, end: -1 };
  readonly largeCommunities: Span = { start: -1, end: -1 };
  /** 4, 16 or 32 octets. */
  readonly nextHop: Span = { start: -1, end: -1 };
  readonly #byType = new Map<number, Span>([
    [type.asPath, this.asPath],
    [type.nextHop, this.nextHop],
    [type.communities, this.communities],
    [type.extendedCommunities, this.extendedCommunities],
    [type.largeCommunities, this.largeCommunities],
  ]);

  /** Reads a set that is held by somebody. Its octets are canonical: well-formed, each attribute once. */
  read(attributes: AttributeTable, set: number): void {
    const { bytes } = this,
      end = attributes.lengthOf(set),
      hop = attributes.nextHopLength(set);
    attributes.copy(set, 0, end + hop, bytes, 0);
    for (const span of this.#byType.values()) span.start = span.end = -1;
    for (let at = 0; at < end;) {
      const isLong = (bytes[at]! & 0x10) !== 0,
        start = at + (isLong ? 4 : 3),
        length = isLong ? (bytes[at + 2]! << 8) | bytes[at + 3]! : bytes[at + 2]!;
      const span = this.#byType.get(bytes[at + 1]!);
      at = start + length;
      if (!span) continue;
      span.start = start;
      span.end = at;
    }
    if (hop === 0) return;
    this.nextHop.start = end;
    this.nextHop.end = end + hop;
  }
}
