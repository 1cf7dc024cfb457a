/**
 * Claims on single pod addresses as the store holds them: `addresses/<ip>`. An address with a claim is the claimant's, one without is the
 * CIDR's holder's. `held`: a pod of that node has it, and the key ends with the node's hold lease; `kept`: it waits for its owner's next
 * pod, on whatever node. What cannot be read counts as absent; nothing here throws.
 */
import { type Ip, parseIp } from "#base/ip.ts";
import { contains, type Prefix, parsePrefix } from "#base/prefix.ts";
import type { StoredEntry } from "./exchange.ts";

export const addressesPrefix = "addresses/";
/** Longest owner that is read; doors take no longer one either. */
const longestOwner = 512;

export interface AddressClaim {
  readonly schema: 1;
  readonly address: Ip;
  readonly pool: string;
  /** The node's CIDR it was first handed out of. */
  readonly cidr: Prefix;
  /** Who has it, or had it last. */
  readonly node: string;
  readonly identity: string;
  readonly owner: string;
  readonly state: "held" | "kept";
  /** End of kept, seconds of the wall clock. */
  readonly until?: number;
}

/** A claim as it was read: with the revision it stands at and the store's lease it ends with (undefined: none). */
export interface StoredClaim extends AddressClaim {
  readonly modRevision: bigint;
  readonly lease: string | undefined;
}

export const addressKey = (address: Ip): string => `${addressesPrefix}${address}`;

/** Octets of a claim; fields in one order, so that equal claims are equal octets. */
export function encodeClaim({ schema, address, pool, cidr, node, identity, owner, state, until }: AddressClaim): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ schema, address, pool, cidr, node, identity, owner, state, until }));
}

/** Undefined if the entry is no claim that this version can read. */
export function parseClaim(entry: StoredEntry): StoredClaim | undefined {
  const value = parseObject(entry.value),
    address = parseIp(entry.key.slice(addressesPrefix.length));
  if (value === undefined || address === undefined || addressKey(address) !== entry.key || value["schema"] !== 1 || value["address"] !== address)
    return undefined;
  const { pool, node, identity, owner, state, until } = value,
    cidr = typeof value["cidr"] === "string" ? parsePrefix(value["cidr"]) : undefined;
  if (!isWord(pool) || !isWord(node) || typeof identity !== "string" || !isWord(owner) || owner.length > longestOwner) return undefined;
  if (cidr === undefined || !contains(cidr, address) || (state !== "held" && state !== "kept")) return undefined;
  const end = typeof until === "number" && Number.isFinite(until) ? until : undefined;
  // Kept without an end would be kept for ever: its time is over.
  const ends = state === "kept" ? { until: end ?? 0 } : {};
  return { schema: 1, address, pool, cidr, node, identity, owner, state, ...ends, modRevision: entry.modRevision, lease: entry.lease };
}

function parseObject(value: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value));
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
const isWord = (value: unknown): value is string => typeof value === "string" && value !== "";
