/**
 * Other people's packet rules, as far as they decide what this machine forwards: read, never written. What a rule asks that is not
 * listed here is `unknown`, so a reader can tell "surely" from "perhaps".
 */
import type { Family, Ip } from "./ip.ts";
import { addressAt, type Prefix, prefixParts } from "./prefix.ts";

export interface AddressRange {
  readonly first: Ip;
  readonly last: Ip;
}

/** The addresses of a prefix, both ends included. */
export function prefixRange(prefix: Prefix): AddressRange {
  const { bytes, length } = prefixParts(prefix);
  return { first: addressAt(prefix, 0n), last: addressAt(prefix, (1n << BigInt(bytes.length * 8 - length)) - 1n) };
}

export type ForwardMatch =
  /** One of the packet's addresses lies in one of the ranges, or in a set; `negated`: in none (and the packet is of that family). */
  | {
      readonly kind: "address";
      readonly side: "source" | "destination";
      readonly family: Family;
      readonly negated: boolean;
      readonly within: readonly AddressRange[] | { readonly set: string };
    }
  /** State of the packet's connection: `new`, `established`, ... */
  | { readonly kind: "connection"; readonly states: readonly string[]; readonly negated: boolean }
  /** The device the packet came in or goes out by; `*` at the end of a name stands for any rest. */
  | { readonly kind: "device"; readonly names: readonly string[]; readonly negated: boolean }
  | { readonly kind: "family"; readonly family: Family; readonly negated: boolean }
  | { readonly kind: "unknown" };

/** `drop`: also what answers with an error. `none`: the rule decides nothing (it counts, logs, or looks up a map). */
export type ForwardVerdict = { readonly kind: "accept" | "drop" | "return" | "none" } | { readonly kind: "jump" | "goto"; readonly chain: string };

export interface ForwardRule {
  readonly matches: readonly ForwardMatch[];
  readonly verdict: ForwardVerdict;
}

export interface ForwardChain {
  readonly family: "ip" | "ip6" | "inet";
  readonly table: string;
  readonly name: string;
  /** What becomes of a packet no rule decided, if packets enter here; undefined: they come from another chain. */
  readonly policy: "accept" | "drop" | undefined;
  readonly rules: readonly ForwardRule[];
}

export interface ForwardView {
  readonly chains: readonly ForwardChain[];
  /** Sets that the chains ask, by `setKey`; those too large to read are left out. */
  readonly sets: ReadonlyMap<string, readonly AddressRange[]>;
}

/** Names are told apart within a table, and tables within a family. */
export const chainKey = ({ family, table, name }: Pick<ForwardChain, "family" | "table" | "name">): string => `${family} ${table} ${name}`;
export const setKey = (chain: Pick<ForwardChain, "family" | "table">, name: string): string => `${chain.family} ${chain.table} ${name}`;
