/** A route as every speaker's own words are turned into, so that tables can be compared field by field. */
import { printIp, printIp4 } from "#base/ip.ts";
import { parsePrefix } from "#base/prefix.ts";
import { printAsPath } from "#wire/bgp/as-path.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";

export interface Route {
  readonly prefix: string;
  readonly nextHop: string;
  readonly origin: "igp" | "egp" | "incomplete";
  readonly asPath: string;
  readonly localPref: number | null;
  readonly med: number | null;
  /** `65000:1`, in ascending order; well-known ones as numbers too. */
  readonly communities: readonly string[];
  readonly largeCommunities: readonly string[];
  /** 16 hexadecimal digits each. */
  readonly extendedCommunities: readonly string[];
  readonly originatorId: string | null;
  readonly clusterList: readonly string[];
  /** `65000 10.0.0.1`. */
  readonly aggregator: string | null;
  readonly atomicAggregate: boolean;
  /** `type:hex` of attributes nobody knows. */
  readonly unknown: readonly string[];
}
export type Field = keyof Route;

const origins = ["igp", "egp", "incomplete"] as const;

/** What came over the wire. */
export function routeOf(prefix: string, values: PathAttributes, nextHop: Uint8Array): Route {
  const large = values.largeCommunities ?? new Uint32Array(0),
    extended = values.extendedCommunities ?? new Uint8Array(0);
  return {
    prefix: canonical(prefix),
    nextHop: printIp(nextHop.subarray(0, nextHop.length > 16 ? 16 : undefined)),
    origin: origins[values.origin ?? 2]!,
    asPath: printAsPath(values.asPath ?? []),
    localPref: values.localPref ?? null,
    med: values.med ?? null,
    communities: ordered(Array.from(values.communities ?? [], communityText)),
    largeCommunities: ordered(Array.from({ length: large.length / 3 }, (_, i) => large.subarray(3 * i, 3 * i + 3).join(":"))),
    extendedCommunities: ordered(Array.from({ length: extended.length / 8 }, (_, i) => hex(extended.subarray(8 * i, 8 * i + 8)))),
    originatorId: values.originatorId === undefined ? null : printIp4(values.originatorId),
    clusterList: Array.from(values.clusterList ?? [], printIp4),
    aggregator: values.aggregator ? `${values.aggregator.asn} ${printIp(values.aggregator.address)}` : null,
    atomicAggregate: values.atomicAggregate ?? false,
    unknown: (values.unknown ?? []).map(({ type, value }) => `${type}:${hex(value)}`),
  };
}

export const communityText = (value: number): string => `${value >>> 16}:${value & 0xffff}`;
export const hex = (octets: Uint8Array): string => Buffer.from(octets).toString("hex");

/** Numbers in their order, whatever their number of digits; speakers print sets in an order of their own. */
export function ordered(list: readonly string[]): string[] {
  return list.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

export function canonical(prefix: string): string {
  return parsePrefix(prefix, true) ?? prefix;
}

/** A table by prefix; two routes for one prefix are not expected of anybody here. */
export function tableOf(routes: readonly Route[]): Map<string, Route> {
  const table = new Map<string, Route>();
  for (const route of routes) table.set(table.has(route.prefix) ? `${route.prefix} (again)` : route.prefix, route);
  return table;
}

/** How `seen` differs from `expected` in `fields`, a phrase each; nothing if they are equal. */
export function differences(expected: readonly Route[], seen: readonly Route[], fields: readonly Field[]): string[] {
  const wanted = tableOf(expected),
    there = tableOf(seen),
    out: string[] = [];
  for (const [prefix, route] of wanted) {
    const other = there.get(prefix);
    if (!other) out.push(`${prefix} is missing`);
    else
      for (const field of fields)
        if (show(route[field]) !== show(other[field])) out.push(`${prefix} ${field} is ${show(other[field])}, not ${show(route[field])}`);
  }
  for (const prefix of there.keys()) if (!wanted.has(prefix)) out.push(`${prefix} should not be there`);
  return out;
}

const show = (value: Route[Field]): string => JSON.stringify(value);
