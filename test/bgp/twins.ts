/**
 * Slow, obvious twins of the hot structures of src/bgp/rib and src/bgp/reflector: maps, strings and the text of the RFCs, step
 * by step. Nothing in here is fast, and nothing in here shares code with what it is compared with.
 */
import type { Prefix } from "#base/prefix.ts";
import { prependAs } from "#wire/bgp/as-path.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";

/** Things ↔ ids: an id is stable until it is released, and may then be given again. */
export class IdTwin {
  readonly ids = new Map<string, number>();
  readonly keys = new Map<number, string>();

  /** The table answered `id` for `key`: false if that is not what it answered before, or if another key has it. */
  saw(key: string, id: number): boolean {
    const known = this.ids.get(key);
    if (known !== undefined) return known === id;
    if (this.keys.has(id)) return false;
    this.ids.set(key, id);
    this.keys.set(id, key);
    return true;
  }
  released(id: number): void {
    this.ids.delete(this.keys.get(id)!);
    this.keys.delete(id);
  }
}

export class QueueTwin {
  #ids: number[] = [];

  get size(): number {
    return this.#ids.length;
  }
  has(id: number): boolean {
    return this.#ids.includes(id);
  }
  push(id: number): boolean {
    if (this.has(id)) return false;
    this.#ids.push(id);
    return true;
  }
  shift(): number {
    return this.#ids.shift() ?? -1;
  }
}

const octetBits = Array.from({ length: 256 }, (_, octet) => octet.toString(2).padStart(8, "0"));

/** The first `length` bits of some octets, as a string of 0 and 1. */
export function bitsOf(octets: Uint8Array, length: number): string {
  let bits = "";
  for (let i = 0; 8 * i < length; i++) bits += octetBits[octets[i]!]!;
  return bits.slice(0, length);
}

export type TwinRole = "local" | "client" | "non-client" | "external";

/** A path as the decision process sees it. */
export interface TwinPath {
  readonly peer: number;
  /** As the peer gave it; 0 without ADD-PATH. */
  readonly pathId: number;
  readonly role: TwinRole;
  readonly routerId: number;
  /** Comparable text, so that a lower address is a lower text. */
  readonly address: string;
  readonly weight?: number | undefined;
  /** What its next hop costs; undefined: next hops are not resolved. */
  readonly cost?: number | "unreachable" | undefined;
  readonly attributes: PathAttributes;
}

/** RFC 4271 §9.1.2.2 says it in words: of all routes, those that lose a step are removed from consideration, step after step. */
export function bestByElimination(paths: readonly TwinPath[]): TwinPath | undefined {
  let left = paths.filter(({ cost }) => cost !== "unreachable"); // §9.1.2: only what can be resolved is considered at all
  const keepLeast = (value: (path: TwinPath) => number | string): void => {
    const least = left.map(value).reduce((a, b) => (b < a ? b : a));
    left = left.filter((path) => value(path) === least);
  };
  if (left.length === 0) return undefined;
  keepLeast(({ attributes }) => (attributes.communities?.includes(0xffff0006) === true ? 1 : 0));
  keepLeast(({ weight }) => -(weight ?? 0));
  keepLeast(({ attributes }) => -(attributes.localPref ?? 100));
  keepLeast(({ attributes }) => (attributes.asPath ?? []).reduce((sum, { type, asns }) => sum + (type === 2 ? asns.length : type === 1 ? 1 : 0), 0));
  keepLeast(({ attributes }) => attributes.origin ?? 2);
  // c) "for m = all routes still under consideration, for n = …: if (neighborAS(m) == neighborAS(n)) and (MED(n) < MED(m)) remove m"
  const neighbour = ({ attributes }: TwinPath): number => {
    const first = attributes.asPath?.find(({ type }) => type < 3);
    return first?.type === 2 ? first.asns[0]! : 0;
  };
  const med = ({ attributes }: TwinPath): number => attributes.med ?? 0;
  left = left.filter((m) => !left.some((n) => neighbour(m) === neighbour(n) && med(n) < med(m)));
  keepLeast(({ role }) => (role === "local" ? 0 : role === "external" ? 1 : 2));
  keepLeast(({ cost }) => Number(cost ?? 0));
  keepLeast(({ attributes, routerId }) => attributes.originatorId ?? routerId);
  keepLeast(({ attributes }) => attributes.clusterList?.length ?? 0);
  keepLeast(({ address }) => address);
  keepLeast(({ peer }) => peer);
  keepLeast(({ pathId }) => pathId);
  return left[0];
}

/** The best, then the best of the others, and so on. */
export function severalByElimination(paths: readonly TwinPath[], count: number): TwinPath[] {
  const left = [...paths],
    out: TwinPath[] = [];
  for (let best = bestByElimination(left); best && out.length < count; best = bestByElimination(left)) {
    out.push(best);
    left.splice(left.indexOf(best), 1);
  }
  return out;
}

/** RFC 4456 §6 as its table: rows are whom it came from, columns whom it goes to. */
const tellsTo: Readonly<Record<TwinRole, Readonly<Record<Exclude<TwinRole, "local">, boolean>>>> = {
  local: { client: true, "non-client": true, external: true },
  client: { client: true, "non-client": true, external: true },
  "non-client": { client: true, "non-client": false, external: true },
  external: { client: true, "non-client": true, external: true },
};

export interface TwinReader {
  readonly peer: number;
  readonly role: Exclude<TwinRole, "local">;
  readonly nextHopSelf: boolean;
  /** Told routes that are stale for long. */
  readonly longLived?: boolean;
  /** Our address towards it, of the family; undefined if we have none. */
  readonly self: Uint8Array | undefined;
  readonly policy: (prefix: Prefix, attributes: PathAttributes, from: TwinRole) => PathAttributes | undefined;
}

export interface TwinSelf {
  readonly asn: number;
  readonly clusterId: number;
}

/** What a reader is told of the chosen path: the attributes with the next hop among them, or undefined for nothing. */
export function toldByTable(prefix: Prefix, best: TwinPath | undefined, to: TwinReader, self: TwinSelf): PathAttributes | undefined {
  if (!best || best.peer === to.peer || !tellsTo[best.role][to.role]) return undefined;
  const { attributes, role: from } = best;
  const known = [...(attributes.communities ?? [])];
  if (known.includes(0xffff_ff02)) return undefined;
  if (known.includes(0xffff_0006) && to.longLived !== true) return undefined;
  if (to.role === "external") {
    if (known.includes(0xffff_ff01) || known.includes(0xffff_ff03) || !to.self) return undefined;
    const { localPref: _l, originatorId: _o, clusterList: _c, ...kept } = attributes;
    const outside = { ...kept, med: from === "local" ? 0 : 100, nextHop: to.self, asPath: prependAs(attributes.asPath ?? [], self.asn) };
    return to.policy(prefix, outside, from);
  }
  if (from === "local") return attributes;
  if (from === "external") {
    const inside = { ...attributes, localPref: attributes.localPref ?? 100 };
    if (!to.nextHopSelf) return inside;
    return to.self && { ...inside, nextHop: to.self };
  }
  return {
    ...attributes,
    originatorId: attributes.originatorId ?? best.routerId,
    clusterList: Uint32Array.of(self.clusterId, ...(attributes.clusterList ?? [])),
  };
}

/** False for a route that has been here (RFC 4456 §8, RFC 4271 §9.1.2). */
export function isLoop({ originatorId, clusterList, asPath }: PathAttributes, self: TwinSelf & { readonly routerId: number }): boolean {
  const path = (asPath ?? []).flatMap(({ asns }) => [...asns]);
  return originatorId === self.routerId || [...(clusterList ?? [])].includes(self.clusterId) || path.includes(self.asn);
}
