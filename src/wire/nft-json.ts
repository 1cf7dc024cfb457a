/**
 * nftables' JSON (libnftables-json(5)), as far as both our table and other people's are read from it: a listing is a list of
 * objects with one key each, their kind. Versions differ in what they add, so nothing here minds what it does not know.
 */
import { failed, ok, type Outcome, type WorldFault, worldFault } from "#base/fault.ts";
import type { Family, Ip } from "#base/ip.ts";
import { parseIp } from "#base/ip.ts";
import { parsePrefix, type Prefix } from "#base/prefix.ts";

export type Json = unknown;
export type Fields = Readonly<Record<string, Json>>;

/** One object of a listing: `{ "chain": { … } }` is kind `chain` with those fields. */
export interface NftObject {
  readonly kind: string;
  readonly fields: Fields;
}

/** What a listing holds, without the line about the program that wrote it. */
export function readListing(text: string): Outcome<readonly NftObject[], WorldFault> {
  let root: Json;
  try {
    root = JSON.parse(text);
  } catch {
    return failed(unreadable);
  }
  const list = fieldsOf(root)["nftables"];
  if (!Array.isArray(list)) return failed(unreadable);
  const objects = list.map((entry: Json) => only(entry)).filter((entry) => entry !== undefined);
  return ok(objects.filter(({ key }) => key !== "metainfo").map(({ key, value }) => ({ kind: key, fields: fieldsOf(value) })));
}

const unreadable = worldFault("filter.unreadable", "nftables answered what is no JSON listing; Podway knows nftables from version 0.9.4 on.");

export const fieldsOf = (value: Json): Fields => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {});
export const listOf = (value: Json): readonly Json[] => (Array.isArray(value) ? (value as readonly Json[]) : []);
export const textOf = (value: Json): string => (typeof value === "string" ? value : "");

/** The key and value of an object with one key, the form of every expression and statement; undefined if it is none. */
export function only(value: Json): { readonly key: string; readonly value: Json } | undefined {
  const entries = Object.entries(fieldsOf(value));
  return entries.length === 1 ? { key: entries[0]![0], value: entries[0]![1] } : undefined;
}

/** `{ "match": … }` with its three parts, the left side and what it is compared with as they stand. */
export function readMatch(statement: Json): { readonly operator: string; readonly left: Json; readonly right: Json } | undefined {
  const match = only(statement);
  if (match?.key !== "match") return undefined;
  const { op, left, right } = fieldsOf(match.value);
  return { operator: textOf(op), left, right };
}

export type Side = "source" | "destination";

/** The packet's address an expression speaks of; undefined if it speaks of something else. */
export function readAddressField(expression: Json): { readonly side: Side; readonly family: Family } | undefined {
  const { protocol, field } = fieldsOf(fieldsOf(expression)["payload"]);
  const family = protocol === "ip" ? 4 : protocol === "ip6" ? 6 : undefined;
  const side = field === "saddr" ? "source" : field === "daddr" ? "destination" : undefined;
  return family && side ? { side, family } : undefined;
}

export const addressField = (side: Side, family: Family): Json => ({
  payload: { protocol: family === 4 ? "ip" : "ip6", field: side === "source" ? "saddr" : "daddr" },
});

/** `{ "prefix": … }`, or an address alone, which stands for its longest prefix. */
export function readPrefix(value: Json): Prefix | undefined {
  if (typeof value === "string") return readAddress(value) && parsePrefix(`${value}/${value.includes(":") ? 128 : 32}`);
  const { addr, len } = fieldsOf(fieldsOf(value)["prefix"]);
  return typeof len === "number" ? parsePrefix(`${textOf(addr)}/${len}`) : undefined;
}

export function prefixJson(prefix: Prefix): Json {
  const [addr, length] = prefix.split("/");
  return { prefix: { addr, len: Number(length) } };
}

export const readAddress = (value: Json): Ip | undefined => (typeof value === "string" ? parseIp(value) : undefined);

/** `@name`: a named set. */
export const readSetName = (value: Json): string | undefined => (typeof value === "string" && value.startsWith("@") ? value.slice(1) : undefined);
