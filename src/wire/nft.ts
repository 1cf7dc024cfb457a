/**
 * Our one table in nftables' JSON (libnftables-json(5)): a change as one transaction, and the table back from a listing. The other
 * side writes some things its own way (a /32 as a bare address, one flag without its list); both ways are read.
 */
import { ok, type Outcome, type WorldFault } from "#base/fault.ts";
import type { FilterChain, FilterChange, FilterMatch, FilterObject, FilterRule, FilterSet, SeenTable } from "#base/filter-table.ts";
import type { Prefix } from "#base/prefix.ts";
import {
  addressField,
  type Fields,
  fieldsOf,
  type Json,
  listOf,
  type NftObject,
  only,
  prefixJson,
  readAddress,
  readAddressField,
  readListing,
  readMatch,
  readPrefix,
  readSetName,
  textOf,
} from "./nft-json.ts";

const ours = { family: "inet", name: "podway" } as const;
const within = { family: ours.family, table: ours.name } as const;
const hooks: readonly string[] = ["prerouting", "output", "postrouting"] satisfies readonly FilterChain["name"][];
const hookOf = (name: string): Fields => ({ type: "nat", hook: name, policy: "accept" });
const protocols = ["tcp", "udp", "sctp"] as const;
const addressType = { 4: "ipv4_addr", 6: "ipv6_addr" } as const;

/** A command that lists our table. */
export const listOurs = `list table ${ours.family} ${ours.name}`;

/** A change as commands of one transaction. */
export function encodeChange(change: FilterChange): string {
  return JSON.stringify({ nftables: commandsOf(change) });
}

function commandsOf(change: FilterChange): readonly Json[] {
  // Adding what is there succeeds, so that deleting what may not be there does.
  const made = { add: { table: ours } },
    away = [made, { delete: { table: ours } }];
  switch (change.kind) {
    case "sets":
      return [made, ...change.add.map(addSet)];
    case "elements":
      // Removed before added: in between, what is enlarged would overlap with what it was.
      return change.sets.flatMap(({ name, add, remove }) => [...elements("delete", name, remove), ...elements("add", name, add)]);
    case "rules":
      return [made, { flush: { table: ours } }, ...change.chains.flatMap(addChain)];
    case "objects":
      return change.remove.toSorted(mapsFirst).map(({ kind, name }) => ({ delete: { [kind]: { ...within, name } } }));
    case "anew":
      return [...away, made, ...change.table.sets.map(addSet), ...change.table.chains.flatMap(addChain)];
    case "remove":
      return away;
  }
}

/** The elements of a map may name chains and counters, which cannot go before it. */
const mapsFirst = (a: FilterObject, b: FilterObject): number => Number(b.kind === "map") - Number(a.kind === "map");

const elements = (verb: "add" | "delete", name: string, prefixes: readonly Prefix[]): readonly Json[] =>
  prefixes.length === 0 ? [] : [{ [verb]: { element: { ...within, name, elem: prefixes.map(prefixJson) } } }];

function addSet({ name, family, prefixes }: FilterSet): Json {
  const elem = [...prefixes].map(prefixJson);
  return { add: { set: { ...within, name, type: addressType[family], flags: ["interval"], ...(elem.length > 0 && { elem }) } } };
}

function addChain({ name, priority, rules }: FilterChain): readonly Json[] {
  return [
    { add: { chain: { ...within, name, ...hookOf(name), prio: priority } } },
    ...rules.map((rule) => ({ add: { rule: { ...within, chain: name, ...ruleJson(rule) } } })),
  ];
}

function ruleJson({ matches, verdict, comment }: FilterRule): Fields {
  return { comment, expr: [...matches.map(matchJson), verdictJson(verdict)] };
}

function verdictJson(verdict: FilterRule["verdict"]): Json {
  if (verdict === "return") return { return: null };
  if (verdict === "masquerade") return { masquerade: { flags: "fully-random" } };
  return { dnat: { family: verdict.address.includes(":") ? "ip6" : "ip", addr: verdict.address, port: verdict.port } };
}

function matchJson(match: FilterMatch): Json {
  if (match.kind === "mark") return { match: { op: "==", left: { "&": [{ meta: { key: "mark" } }, match.mask] }, right: match.value } };
  if (match.kind === "local") return { match: { op: "==", left: { fib: { result: "type", flags: ["daddr"] } }, right: "local" } };
  if (match.kind === "port") return { match: { op: "==", left: { payload: { protocol: match.protocol, field: "dport" } }, right: match.port } };
  const right = typeof match.within === "string" ? prefixJson(match.within) : `@${match.within.set}`;
  return { match: { op: match.negated ? "!=" : "==", left: addressField(match.side, match.family), right } };
}

type SeenChain = FilterChain & { readonly rules: FilterRule[] };

/** What `listOurs` answered. */
export function decodeTable(text: string): Outcome<SeenTable, WorldFault> {
  const listing = readListing(text);
  if (!listing.ok) return listing;
  const sets: FilterSet[] = [],
    chains: SeenChain[] = [],
    others: FilterObject[] = [];
  let isReadable = true;
  for (const { kind, fields } of listing.value) {
    const set = kind === "set" ? readSet(fields) : undefined,
      chain = kind === "chain" ? readChain(fields) : undefined;
    if (set) sets.push(set);
    else if (chain) chains.push(chain);
    else if (kind === "rule") isReadable = addRule(chains, fields) && isReadable;
    // Elements that have something of their own to say are told apart from their set, which is not of our sort then.
    else if (kind !== "table" && kind !== "element") others.push({ kind, name: textOf(fields["name"]) });
  }
  return ok({ sets, chains, others, isReadable, rulesText: rulesText(listing.value) });
}

function addRule(chains: readonly SeenChain[], fields: Fields): boolean {
  const rule = readRule(fields),
    holder = chains.find(({ name }) => name === fields["chain"]);
  if (rule && holder) holder.rules.push(rule);
  return rule !== undefined && holder !== undefined;
}

function rulesText(objects: readonly NftObject[]): string {
  const rules = objects.filter(({ kind }) => kind === "chain" || kind === "rule");
  return JSON.stringify(rules, (key, value: Json) => (key === "handle" ? undefined : value));
}

function readSet({ name, type, flags, elem, ...rest }: Fields): FilterSet | undefined {
  const family = type === addressType[4] ? 4 : type === addressType[6] ? 6 : undefined;
  const isPlain = [flags].flat().join() === "interval" && Object.keys(rest).every((key) => key in within || key === "handle");
  const prefixes = listOf(elem).map(readPrefix);
  if (family === undefined || !isPlain || prefixes.includes(undefined)) return undefined;
  return { name: textOf(name), family, prefixes: new Set(prefixes as Prefix[]) };
}

function readChain({ name, prio, ...rest }: Fields): SeenChain | undefined {
  const text = textOf(name);
  const isOurs = hooks.includes(text) && Object.entries(hookOf(text)).every(([key, value]) => rest[key] === value);
  return isOurs && typeof prio === "number" ? { name: text as FilterChain["name"], priority: prio, rules: [] } : undefined;
}

function readRule({ expr, comment }: Fields): FilterRule | undefined {
  const statements = listOf(expr),
    last = only(statements.at(-1)),
    matches = statements.slice(0, -1).map(readOurMatch);
  const verdict = last && readVerdict(last);
  if (verdict === undefined || matches.includes(undefined)) return undefined;
  return { matches: matches as FilterMatch[], verdict, comment: textOf(comment) };
}

function readVerdict({ key, value }: NonNullable<ReturnType<typeof only>>): FilterRule["verdict"] | undefined {
  const { flags, addr, port, ...rest } = fieldsOf(value);
  if (key === "return") return "return";
  if (key === "masquerade") return [flags].flat().join() === "fully-random" ? "masquerade" : undefined;
  const address = readAddress(addr),
    isPlain = flags === undefined && Object.keys(rest).every((name) => name === "family");
  return key === "dnat" && isPlain && address !== undefined && typeof port === "number" ? { address, port } : undefined;
}

function readOurMatch(statement: Json): FilterMatch | undefined {
  const match = readMatch(statement);
  if (match === undefined || (match.operator !== "==" && match.operator !== "!=")) return undefined;
  const negated = match.operator === "!=",
    field = readAddressField(match.left);
  if (field === undefined)
    return negated ? undefined : (readMark(match.left, match.right) ?? readPort(match.left, match.right) ?? readLocal(match.left, match.right));
  const set = readSetName(match.right),
    place = set === undefined ? readPrefix(match.right) : { set };
  return place && { kind: "address", side: field.side, family: field.family, negated, within: place };
}

function readPort(left: Json, right: Json): FilterMatch | undefined {
  const { protocol: name, field } = fieldsOf(fieldsOf(left)["payload"]);
  const protocol = protocols.find((each) => each === name);
  return protocol !== undefined && field === "dport" && typeof right === "number" ? { kind: "port", protocol, port: right } : undefined;
}

function readLocal(left: Json, right: Json): FilterMatch | undefined {
  const { result, flags } = fieldsOf(fieldsOf(left)["fib"]);
  return result === "type" && [flags].flat().join() === "daddr" && right === "local" ? { kind: "local" } : undefined;
}

function readMark(left: Json, right: Json): FilterMatch | undefined {
  const [what, mask] = listOf(fieldsOf(left)["&"]);
  const isMark = fieldsOf(fieldsOf(what)["meta"])["key"] === "mark";
  return isMark && typeof mask === "number" && typeof right === "number" ? { kind: "mark", mask, value: right } : undefined;
}
