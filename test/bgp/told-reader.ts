/**
 * The other end of a session, as a strict peer: it decodes what it is given with wire/bgp and keeps an Adj-RIB-In of its own.
 * It complains of a withdrawal of what it was never told, of an announcement of what it knows already, and of any message
 * that is not just as it should be.
 */
import { assert } from "#base/assert.ts";
import { decodeAttributes, type PathAttributes } from "#wire/bgp/attribute.ts";
import { familyKey } from "#wire/bgp/constants.ts";
import { decodeRouteRefresh } from "#wire/bgp/message.ts";
import { decodePrefixes } from "#wire/bgp/nlri.ts";
import { emptyRanges, endOfRib, splitUpdate } from "#wire/bgp/update.ts";
import type { FamilyIndex, SessionTerms } from "#bgp/terms.ts";

/** A prefix, and with ADD-PATH its path identifier behind `#`. */
export type RouteName = string;

type Heard = "endOfRib" | "beginRefresh" | "endRefresh";

/** A route as comparable text: every attribute by name, octets in hex, the next hop among them. */
export function routeText(attributes: PathAttributes): string {
  const plain = (value: unknown): unknown => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
    if (value instanceof Uint32Array) return [...value];
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value === "object" && value !== null) return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
    return value;
  };
  const entries = Object.entries(attributes).filter(
    ([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0 && value !== attributes.asPath),
  );
  return JSON.stringify(Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [key, plain(value)])));
}

export class ToldReader {
  readonly peer: number;
  readonly terms: SessionTerms;
  /** By prefix; with ADD-PATH by prefix and path identifier. */
  readonly routes: readonly [Map<RouteName, string>, Map<RouteName, string>] = [new Map(), new Map()];
  /** Heard so far, by family; the test may look at `routes` at that moment. */
  onHeard: (what: Heard, family: FamilyIndex) => void = () => {};
  /** True while the same may be told or withdrawn again: a refresh was asked for, or the peer is told by other rules now. */
  mayRepeat = false;
  /** True while a refresh may leave out what was told: the peer is told by other rules now. */
  mayForget = false;
  /** Between the beginning and the end of a refresh: what was told again. */
  readonly #again: (Set<RouteName> | undefined)[] = [undefined, undefined];
  readonly counts = { updates: 0, announced: 0, withdrawn: 0, octets: 0 };

  constructor(peer: number, terms: SessionTerms) {
    this.peer = peer;
    this.terms = terms;
  }

  /** Whole messages, as they come out of a pull. */
  take(bytes: Uint8Array): void {
    this.counts.octets += bytes.length;
    for (let at = 0; at < bytes.length;) {
      const length = (bytes[at + 16]! << 8) | bytes[at + 17]!;
      assert(
        length >= 19 && length <= (this.terms.extendedMessages ? 65_535 : 4096) && at + length <= bytes.length,
        "a view holds whole messages of legal length",
      );
      for (let i = 0; i < 16; i++) assert(bytes[at + i] === 0xff, "the marker is all ones");
      if (bytes[at + 18] === 5) this.#refresh(bytes, at + 19, at + length);
      else {
        assert(bytes[at + 18] === 2, "nothing but UPDATE and ROUTE-REFRESH");
        this.#update(bytes, at + 19, at + length);
      }
      at += length;
    }
  }

  #refresh(bytes: Uint8Array, start: number, end: number): void {
    const decoded = decodeRouteRefresh(bytes, start, end);
    assert(decoded.ok && this.terms.enhancedRefresh, "only a peer that speaks enhanced route refresh hears of one");
    const family = (decoded.value.afi - 1) as FamilyIndex;
    if (decoded.value.subtype === 1) {
      this.#again[family] = new Set();
      this.onHeard("beginRefresh", family);
      return;
    }
    const again = this.#again[family];
    assert(again !== undefined, "a refresh begins before it ends");
    for (const prefix of this.routes[family].keys())
      if (this.mayForget && !again.has(prefix)) this.routes[family].delete(prefix);
      else assert(again.has(prefix), `peer ${this.peer}: ${prefix} was not told again in a refresh, and would be purged`);
    this.#again[family] = undefined;
    this.onHeard("endRefresh", family);
  }

  #update(bytes: Uint8Array, start: number, end: number): void {
    this.counts.updates++;
    const ranges = emptyRanges();
    assert(splitUpdate(bytes, start, end, ranges) === undefined, "the ranges of an UPDATE fit");
    const marked = endOfRib(bytes, ranges);
    if (marked !== 0) return this.onHeard("endOfRib", ((marked >> 8) - 1) as FamilyIndex);
    const internal = this.terms.role !== "external";
    const addPath = ([0, 1] as const).filter((family) => this.#takesPaths(family)).map((family) => familyKey(family + 1, 1));
    const decoded = decodeAttributes(bytes, ranges.attributesStart, ranges.attributesEnd, { internal, fourOctetAs: this.terms.fourOctetAs, addPath });
    assert(decoded.cost === "none", `peer ${this.peer}: no fault in what is told: ${decoded.faults.map((one) => one.text).join("; ")}`);
    const { reach, unreach, attributes } = decoded;
    const parts = [ranges.withdrawnEnd > ranges.withdrawnStart, ranges.nlriEnd > ranges.nlriStart, reach !== undefined, unreach !== undefined];
    assert(parts.filter(Boolean).length === 1, "one UPDATE holds one of withdrawn routes, NLRI, MP_REACH_NLRI, MP_UNREACH_NLRI (RFC 7606 §5.1)");
    if (reach || unreach) assert([14, 15].includes(bytes[ranges.attributesStart + 1]!), "the MP attribute is the first (RFC 7606 §5.1)");
    if (parts[0]) this.#withdraw(0, bytes, ranges.withdrawnStart, ranges.withdrawnEnd);
    if (parts[1]) {
      assert(attributes.nextHop !== undefined, "IPv4 NLRI come with NEXT_HOP");
      this.#announce(0, attributes, bytes, [ranges.nlriStart, ranges.nlriEnd]);
    }
    if (unreach) assert(unreach.afi === 2, "IPv4 is withdrawn in the classic field");
    if (unreach) this.#withdraw(1, bytes, unreach.start, unreach.end);
    if (reach) {
      assert(attributes.nextHop === undefined && (reach.nextHop.length === 16 || reach.nextHop.length === 32), "IPv6 has its next hop in MP_REACH_NLRI alone");
      assert(reach.afi === 2 || this.terms.extendedNextHop === true, "an IPv6 next hop of IPv4 routes is for those who agreed on it (RFC 8950 §4)");
      this.#announce((reach.afi - 1) as FamilyIndex, { ...attributes, nextHop: reach.nextHop }, bytes, [reach.nlriStart, reach.nlriEnd]);
    }
  }

  #announce(family: FamilyIndex, attributes: PathAttributes, bytes: Uint8Array, [start, end]: readonly [number, number]): void {
    assert(this.terms.families.includes(family), "only families of the session");
    assert(attributes.origin !== undefined && attributes.asPath !== undefined, "ORIGIN and AS_PATH are there");
    const text = routeText(attributes);
    for (const prefix of this.#names(family, bytes, start, end)) {
      assert(this.mayRepeat || this.routes[family].get(prefix) !== text, `peer ${this.peer}: ${prefix} was told as it is known already: ${text}`);
      this.routes[family].set(prefix, text);
      this.#again[family]?.add(prefix);
      this.counts.announced++;
    }
  }
  #names(family: FamilyIndex, bytes: Uint8Array, start: number, end: number): RouteName[] {
    const addPath = this.#takesPaths(family),
      nlri = decodePrefixes(bytes, start, end, { family: family === 0 ? 4 : 6, addPath });
    assert(nlri !== undefined, `peer ${this.peer}: its prefixes can be read`);
    return nlri.map(({ prefix, pathId }) => (pathId === undefined ? prefix : `${prefix}#${pathId}`));
  }
  #takesPaths(family: FamilyIndex): boolean {
    return (this.terms.addPath?.find((one) => one.family === family)?.send ?? 0) !== 0;
  }

  #withdraw(family: FamilyIndex, bytes: Uint8Array, start: number, end: number): void {
    for (const prefix of this.#names(family, bytes, start, end)) {
      assert(this.routes[family].delete(prefix) || this.mayRepeat, `peer ${this.peer}: ${prefix} was withdrawn and had never been told`);
      this.counts.withdrawn++;
    }
  }
}
