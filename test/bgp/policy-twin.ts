/** Policies as they read: a walk over rules on values, nothing compiled, nothing remembered. The slow twin of bgp/policy. */
import { parseIpBytes } from "#base/ip.ts";
import type { CommunityChange, CommunityMatch, NumberChange, NumberRange, PolicyConditions, PolicySettings, RouteSource } from "#base/policy-settings.ts";
import { type Prefix, prefixParts } from "#base/prefix.ts";
import { type AsPath, asPathLength, prependAs } from "#wire/bgp/as-path.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { bitsOf } from "./twins.ts";

export interface TwinRoute {
  readonly prefix: Prefix;
  readonly attributes: PathAttributes;
  readonly weight: number;
  readonly source: RouteSource;
  readonly names: readonly string[];
}

export interface TwinWorld {
  readonly ownAs: number;
  readonly way: "import" | "export" | "export to outside";
  readonly self: Uint8Array | undefined;
  /** The next hop before our own rewriting. */
  readonly hopBefore: Uint8Array | undefined;
}

export interface TwinVerdict {
  /** Place of the rule in the chain; the number of all rules for `otherwise`. */
  readonly place: number;
  readonly accepted: { readonly attributes: PathAttributes; readonly weight: number } | undefined;
}

export function judge(policies: readonly PolicySettings[], route: TwinRoute, world: TwinWorld): TwinVerdict {
  const rules = policies.flatMap((policy) => policy.rules);
  const place = rules.findIndex(({ when }) => holds(when, route));
  if (place < 0) {
    const accepts = policies.at(-1)?.otherwise === "accept";
    return { place: rules.length, accepted: accepts ? { attributes: route.attributes, weight: route.weight } : undefined };
  }
  const { then, set } = rules[place]!;
  if (then === "reject") return { place, accepted: undefined };
  const weight = world.way === "import" ? (set.weight ?? route.weight) : route.weight;
  return { place, accepted: { attributes: changed(route, rules[place]!.set, world), weight } };
}

function holds(when: PolicyConditions, { prefix, attributes, source, names }: TwinRoute): boolean {
  const { bytes, length } = prefixParts(prefix),
    path = attributes.asPath ?? [];
  const hop = attributes.nextHop?.subarray(0, 16);
  const checks: boolean[] = [
    !when.prefixes || when.prefixes.some((one) => isWithin(bytes, length, one.prefix) && length >= one.ge && length <= one.le),
    !when.family || when.family === (bytes.length === 4 ? 4 : 6),
    !when.asPaths || when.asPaths.some((pattern) => matchesPattern(pattern, path)),
    !when.originAs || endsWith(path, when.originAs),
    !when.asPathLength || inRange(asPathLength(path), when.asPathLength),
    !when.communities || hasAny(listOf(attributes, "communities"), when.communities),
    !when.extendedCommunities || hasAny(listOf(attributes, "extendedCommunities"), when.extendedCommunities),
    !when.largeCommunities || hasAny(listOf(attributes, "largeCommunities"), when.largeCommunities),
    !when.nextHops || (hop !== undefined && when.nextHops.some((outer) => isWithin(hop, hop.length * 8, outer))),
    !when.med || inRange(attributes.med ?? 0, when.med),
    !when.localPref || inRange(attributes.localPref ?? 100, when.localPref),
    !when.source || when.source === source,
    !when.from || when.from.some((name) => names.includes(name)),
  ];
  return checks.every(Boolean);
}

function isWithin(bytes: Uint8Array, length: number, outer: Prefix): boolean {
  const parts = prefixParts(outer);
  return parts.bytes.length === bytes.length && length >= parts.length && bitsOf(bytes, length).startsWith(bitsOf(parts.bytes, parts.length));
}

const inRange = (value: number, { ge, le }: NumberRange): boolean => value >= ge && value <= le;

function endsWith(path: AsPath, asns: readonly number[]): boolean {
  const last = path.at(-1);
  const ends = last === undefined ? [] : last.type === 1 || last.type === 4 ? [...last.asns] : [last.asns.at(-1)!];
  return ends.some((asn) => asns.includes(asn));
}

/**
 * The pattern as a regular expression of the language over text: an AS number is `<digits>`. A set is tried as each of its members.
 * Ranges are written out, so patterns of tests have short ones.
 */
export function matchesPattern(pattern: string, path: AsPath): boolean {
  const source = pattern.replaceAll(/\{[^}]*\}|\[(\d+)-?(\d+)?\]|\d+|\.|[_ ]+/g, (piece, low?: string, high?: string) => {
    if (piece.startsWith("{")) return piece;
    if (piece === ".") return "(?:<\\d+>)";
    if (/^\d/.test(piece)) return `(?:<${piece}>)`;
    if (low === undefined) return "";
    const all = Array.from({ length: Number(high ?? low) - Number(low) + 1 }, (_, i) => `<${Number(low) + i}>`);
    return `(?:${all.join("|")})`;
  });
  const alternatives = splitTop(source).map((one) => `${one.startsWith("^") ? "" : "^(?:<\\d+>)*"}${one}${one.endsWith("$") ? "" : "(?:<\\d+>)*$"}`);
  const expression = new RegExp(alternatives.map((one) => `(?:${one})`).join("|"));
  return spellings(path).some((text) => expression.test(text));
}

function splitTop(text: string): string[] {
  const out = [""];
  let depth = 0;
  for (const sign of text) {
    if (sign === "(") depth++;
    if (sign === ")") depth--;
    if (sign === "|" && depth === 0) out.push("");
    else out[out.length - 1] += sign;
  }
  return out;
}

function spellings(path: AsPath): string[] {
  let texts = [""];
  for (const { type, asns } of path) {
    const isSet = type === 1 || type === 4;
    if (isSet) texts = texts.flatMap((text) => [...asns].map((asn) => `${text}<${asn}>`));
    else texts = texts.map((text) => `${text}${[...asns].map((asn) => `<${asn}>`).join("")}`);
  }
  return texts;
}

type ListKey = "communities" | "extendedCommunities" | "largeCommunities";

function listOf(attributes: PathAttributes, key: ListKey): (readonly number[])[] {
  const width = { communities: 1, extendedCommunities: 8, largeCommunities: 3 }[key],
    list = attributes[key] ?? [];
  const items = Array.from({ length: list.length / width }, (_, i) => Array.from(list.slice(i * width, (i + 1) * width)));
  return key === "extendedCommunities" ? items.map((octets) => [word(octets, 0), word(octets, 4)]) : items;
}
const word = (octets: readonly number[], at: number): number =>
  ((octets[at]! << 24) | (octets[at + 1]! << 16) | (octets[at + 2]! << 8) | octets[at + 3]!) >>> 0;

function hasAny(list: readonly (readonly number[])[], matches: readonly CommunityMatch[]): boolean {
  return list.some((words) => matches.some((match) => isLike(words, match)));
}
function isLike(words: readonly number[], { value, mask }: CommunityMatch): boolean {
  return words.every((one, i) => (BigInt(one) & BigInt(mask[i]!)) === (BigInt(value[i]!) & BigInt(mask[i]!)));
}

function changed({ prefix, attributes }: TwinRoute, set: PolicySettings["rules"][number]["set"], world: TwinWorld): PathAttributes {
  const out: Record<string, unknown> = { ...attributes },
    size = prefixParts(prefix).bytes.length;
  if (set.localPref && world.way !== "export to outside") out["localPref"] = after(set.localPref, attributes.localPref ?? 100);
  if (set.med === "remove") delete out["med"];
  else if (set.med) out["med"] = after(set.med, attributes.med ?? 0);
  if (set.prepend) out["asPath"] = prependAs(attributes.asPath ?? [], set.prepend.asn ?? world.ownAs, set.prepend.times);
  for (const key of ["communities", "extendedCommunities", "largeCommunities"] as const) {
    const change = set[key];
    if (!change) continue;
    const words = listAfter(listOf(attributes, key), change);
    if (words.length === 0) delete out[key];
    else if (key === "extendedCommunities")
      out[key] = Uint8Array.from(words.flat().flatMap((one) => [one >>> 24, (one >>> 16) & 255, (one >>> 8) & 255, one & 255]));
    else out[key] = Uint32Array.from(words.flat());
  }
  const hop =
    set.nextHop === "self"
      ? world.self
      : set.nextHop === "unchanged"
        ? world.hopBefore
        : set.nextHop === undefined
          ? undefined
          : [parseIpBytes(set.nextHop)!].find((bytes) => bytes.length === size);
  if (hop) out["nextHop"] = hop;
  return out;
}

function after(change: NumberChange, before: number): number {
  if ("to" in change) return change.to;
  const sum = before + change.by;
  return sum < 0 ? 0 : sum > 0xffff_ffff ? 0xffff_ffff : sum;
}

function listAfter(list: readonly (readonly number[])[], { replace, remove, add }: CommunityChange): (readonly number[])[] {
  const out: (readonly number[])[] = [];
  const kept = (replace ?? list).filter((words) => !(remove ?? []).some((match) => isLike(words, match)));
  for (const words of [...kept, ...(add ?? [])]) if (!out.some((other) => other.join() === words.join())) out.push(words);
  const text = (words: readonly number[]): string => words.map((one) => String(one).padStart(10, "0")).join();
  return out.toSorted((a, b) => (text(a) < text(b) ? -1 : 1));
}
