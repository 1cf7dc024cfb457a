/**
 * Other people's chains out of nftables' JSON, as far as they decide what is forwarded. Whatever is not understood becomes a match
 * that is `unknown`: nothing is believed of a rule that cannot be read.
 */
import { type AddressRange, type ForwardChain, type ForwardMatch, type ForwardRule, type ForwardVerdict, prefixRange } from "#base/forward-chain.ts";
import type { Family } from "#base/ip.ts";
import {
  type Fields,
  fieldsOf,
  type Json,
  listOf,
  type NftObject,
  only,
  readAddress,
  readAddressField,
  readMatch,
  readPrefix,
  readSetName,
  textOf,
} from "./nft-json.ts";

export type ChainHead = Pick<ForwardChain, "family" | "table" | "name" | "policy">;

/** Commands that list every chain without its rules, one chain with them, and a set with its elements. In JSON, since any name may be a keyword. */
export const listChains = "list chains";
export const listChain = ({ family, table, name }: ChainHead): string => listing({ chain: { family, table, name } });
export const listSet = ({ family, table }: ChainHead, name: string): string => listing({ set: { family, table, name } });
const listing = (what: Json): string => JSON.stringify({ nftables: [{ list: what }] });

/** The chains of a listing whose rules packets can meet when they are forwarded: base chains at that hook, and those without a hook. */
export function readChains(objects: readonly NftObject[]): readonly ChainHead[] {
  return objects.flatMap(({ kind, fields }) => {
    const { family, table, name, type, hook, policy } = fields;
    if (kind !== "chain" || (family !== "ip" && family !== "ip6" && family !== "inet")) return [];
    if (hook !== undefined && (hook !== "forward" || type !== "filter")) return [];
    return [{ family, table: textOf(table), name: textOf(name), policy: hook === undefined ? undefined : policy === "drop" ? "drop" : "accept" }];
  });
}

/** The rules of a listing, in their order. */
export function readRules(objects: readonly NftObject[]): readonly ForwardRule[] {
  return objects.flatMap(({ kind, fields }) => (kind === "rule" ? [readRule(fields)] : []));
}

/** The elements of a listed set of addresses; undefined if one is something else. */
export function readElements(objects: readonly NftObject[]): readonly AddressRange[] | undefined {
  const set = objects.find(({ kind }) => kind === "set");
  // An element with a time or a counter stands in an object of its own.
  return rangesOf(listOf(set?.fields["elem"]).map((element) => fieldsOf(fieldsOf(element)["elem"])["val"] ?? element));
}

function readRule({ expr }: Fields): ForwardRule {
  const matches: ForwardMatch[] = [];
  for (const statement of listOf(expr)) {
    const verdict = readVerdict(statement);
    if (verdict !== undefined) return { matches, verdict };
    const match = readForwardMatch(statement);
    if (match !== undefined) matches.push(match);
  }
  return { matches, verdict: { kind: "none" } };
}

function readVerdict(statement: Json): ForwardVerdict | undefined {
  const { key, value } = only(statement) ?? { key: "", value: undefined };
  if (key === "accept" || key === "drop" || key === "return") return { kind: key };
  if (key === "reject") return { kind: "drop" };
  if (key === "jump" || key === "goto") return { kind: key, chain: textOf(fieldsOf(value)["target"]) };
  const { type, name } = fieldsOf(key === "xt" ? value : undefined);
  return type === "target" && (name === "REJECT" || name === "DROP") ? { kind: "drop" } : undefined;
}

/** Statements that only note something let every packet by. */
const indifferent = new Set(["counter", "log", "notrack", "mangle", "set", "comment"]);

function readForwardMatch(statement: Json): ForwardMatch | undefined {
  const match = readMatch(statement);
  if (match === undefined) return indifferent.has(only(statement)?.key ?? "") ? undefined : { kind: "unknown" };
  if (!["==", "!=", "in"].includes(match.operator)) return { kind: "unknown" };
  const negated = match.operator === "!=",
    values = listOf(fieldsOf(match.right)["set"] ?? [match.right].flat());
  const field = readAddressField(match.left);
  if (field !== undefined) return addressMatch(field, negated, match.right, values);
  const meta = fieldsOf(fieldsOf(match.left)["meta"])["key"];
  if (meta === "iifname" || meta === "oifname") return { kind: "device", names: values.map(textOf), negated };
  if (meta === "nfproto") return familyMatch(match.right, negated);
  if (fieldsOf(fieldsOf(match.left)["ct"])["key"] === "state") return { kind: "connection", states: values.map(textOf), negated };
  return { kind: "unknown" };
}

function addressMatch(field: { side: "source" | "destination"; family: Family }, negated: boolean, right: Json, values: readonly Json[]): ForwardMatch {
  const set = readSetName(right),
    within = set === undefined ? rangesOf(values) : { set };
  return within === undefined ? { kind: "unknown" } : { kind: "address", ...field, negated, within };
}

function familyMatch(right: Json, negated: boolean): ForwardMatch {
  const family = right === "ipv4" ? 4 : right === "ipv6" ? 6 : undefined;
  return family === undefined ? { kind: "unknown" } : { kind: "family", family, negated };
}

function rangesOf(values: readonly Json[]): readonly AddressRange[] | undefined {
  const ranges = values.map(rangeOf);
  return ranges.includes(undefined) ? undefined : (ranges as AddressRange[]);
}

function rangeOf(value: Json): AddressRange | undefined {
  const prefix = readPrefix(value);
  if (prefix !== undefined) return prefixRange(prefix);
  const [first, last] = listOf(fieldsOf(value)["range"]).map(readAddress);
  return first && last && { first, last };
}
