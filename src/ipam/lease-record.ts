/**
 * Claims and presence as the store holds them: JSON under `leases/<pool>/<cidr with / as ->` and `nodes/<name>`.
 * What cannot be read counts as absent, with a note; fields this version does not know are left out; nothing here throws.
 */
import { type Ip, type Mac, parseIp, parseMac } from "#base/ip.ts";
import type { Lease, LeaseRecord } from "#base/lease.ts";
import { type Outcome, failed, ok } from "#base/fault.ts";
import { type Note, note } from "#base/note.ts";
import { type Prefix, parsePrefix } from "#base/prefix.ts";
import type { StoredEntry } from "./exchange.ts";

export const leasesPrefix = "leases/";
export const nodesPrefix = "nodes/";

/** That a daemon of this name is alive. Bound to the node's liveness lease, so it ends with the daemon. */
export interface PresenceRecord {
  readonly schema: 1;
  readonly node: string;
  readonly identity: string;
  readonly address: Ip;
  readonly address6?: Ip;
  /** Version of the daemon, for `status --cluster` and mixed versions. */
  readonly version: string;
}

/** Who had a CIDR last. Bound to a lease that outlives the claim's by the quarantine; until it ends nobody else claims the CIDR. */
export interface FormerRecord {
  readonly schema: 1;
  readonly node: string;
}

/** Which life of the store this is, counted from 1, and a random name for it. */
export interface EpochRecord {
  readonly number: number;
  readonly nonce: string;
}
export const epochKey = `${leasesPrefix}epoch`;
/** Stands, bound to a short lease, while nodes put their claims back into a restored store. */
export const settlingKey = `${leasesPrefix}settling`;

export const leaseKey = (pool: string, cidr: Prefix): string => `${leasesPrefix}${pool}/${cidr.replace("/", "-")}`;
export const presenceKey = (node: string): string => `${nodesPrefix}${node}`;

/** Beside the claim, so that one watch tells of both. */
export const formerKey = (pool: string, cidr: Prefix): string => `${leaseKey(pool, cidr)}/former`;

/** Pool and CIDR of a key about who had a CIDR last; undefined if it is none. */
export function parseFormerKey(key: string): { readonly pool: string; readonly cidr: Prefix } | undefined {
  return key.endsWith("/former") ? parseLeaseKey(key.slice(0, -"/former".length)) : undefined;
}

/** Pool and CIDR of a lease key; undefined if it is none. */
export function parseLeaseKey(key: string): { readonly pool: string; readonly cidr: Prefix } | undefined {
  const match = /^leases\/([^/]+)\/([^/]+)-(\d+)$/.exec(key);
  const cidr = match && parsePrefix(`${match[2]}/${match[3]}`);
  return cidr && key === leaseKey(match[1]!, cidr) ? { pool: match[1]!, cidr } : undefined;
}

/** Octets of a record; fields in one order, so that equal records are equal octets. */
export function encodeLease(record: LeaseRecord): Uint8Array {
  const { schema, node, pool, cidr, identity, address, address6, vtepMac, backend, vni, port, reserved, epoch, made } = record;
  const claimed = made === undefined ? undefined : String(made);
  return new TextEncoder().encode(
    JSON.stringify({ schema, node, pool, cidr, identity, address, address6, vtepMac, backend, vni, port, reserved, epoch, made: claimed }),
  );
}

export function encodeEpoch({ number, nonce }: EpochRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ schema: 1, number, nonce }));
}

/** Undefined if the value cannot be read. */
export function parseEpoch(entry: StoredEntry): EpochRecord | undefined {
  const value = parseObject(entry.value),
    number = value?.["number"],
    nonce = value?.["nonce"];
  return isCount(number) && typeof nonce === "string" ? { number, nonce } : undefined;
}

export function encodeFormer({ schema, node }: FormerRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ schema, node }));
}

export function encodePresence(record: PresenceRecord): Uint8Array {
  const { schema, node, identity, address, address6, version } = record;
  return new TextEncoder().encode(JSON.stringify({ schema, node, identity, address, address6, version }));
}

/** The lease an entry under `leases/` holds; a note that says what is wrong with it if it holds none. */
export function parseLease(entry: StoredEntry): Outcome<Lease, Note> {
  const key = parseLeaseKey(entry.key),
    value = parseObject(entry.value);
  if (!key) return bad(entry.key, "its key names no pool and CIDR");
  if (!value) return bad(entry.key, "its value is no JSON object");
  if (value["schema"] !== 1) return bad(entry.key, `it has schema ${String(value["schema"])}, which a newer podwayd reads`);
  if (value["pool"] !== key.pool || value["cidr"] !== key.cidr) return bad(entry.key, "its value speaks of another pool or CIDR than its key");
  const { node, identity } = value,
    address = ip(value["address"]);
  if (typeof node !== "string" || node === "" || typeof identity !== "string") return bad(entry.key, "it names no node and identity");
  if (address === undefined) return bad(entry.key, "its address is none");
  const address6 = ip(value["address6"]),
    vtepMac = typeof value["vtepMac"] === "string" ? parseMac(value["vtepMac"]) : undefined;
  return ok({
    schema: 1,
    node,
    ...key,
    identity,
    address,
    ...(address6 !== undefined && { address6 }),
    ...(vtepMac !== undefined && { vtepMac: vtepMac satisfies Mac }),
    ...wayOf(value),
    ...(entry.lease === undefined && { reserved: true }),
    ...(isCount(value["epoch"]) && { epoch: value["epoch"] }),
    ...(typeof value["made"] === "string" && /^\d{1,19}$/.test(value["made"]) && { made: BigInt(value["made"]) }),
    createRevision: entry.createRevision,
  });
}

/** How the node is reached, as far as it is said in a way that can be used. */
function wayOf({ backend, vni, port }: Record<string, unknown>): Pick<LeaseRecord, "backend" | "vni" | "port"> {
  const hasTunnel = isCount(vni) && vni > 0 && vni < 1 << 24 && isCount(port) && port > 0 && port < 65_536;
  return { ...((backend === "bgp" || backend === "vxlan" || backend === "host-gw") && { backend }), ...(hasTunnel && { vni, port }) };
}

/** Name of the node that had the CIDR last; undefined if the value cannot be read, and then it was somebody's all the same. */
export function parseFormer(entry: StoredEntry): string | undefined {
  const node = parseObject(entry.value)?.["node"];
  return typeof node === "string" ? node : undefined;
}

export function parsePresence(entry: StoredEntry): Outcome<PresenceRecord, Note> {
  const value = parseObject(entry.value);
  if (!value) return bad(entry.key, "its value is no JSON object");
  if (value["schema"] !== 1) return bad(entry.key, `it has schema ${String(value["schema"])}, which a newer podwayd reads`);
  const { node, identity, version } = value,
    address = ip(value["address"]),
    address6 = ip(value["address6"]);
  if (typeof node !== "string" || presenceKey(node) !== entry.key || typeof identity !== "string")
    return bad(entry.key, "it names no identity, or another node than its key");
  if (address === undefined) return bad(entry.key, "its address is none");
  return ok({ schema: 1, node, identity, address, ...(address6 !== undefined && { address6 }), version: typeof version === "string" ? version : "" });
}

function parseObject(value: Uint8Array): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value));
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const ip = (value: unknown): Ip | undefined => (typeof value === "string" ? parseIp(value) : undefined);
const bad = (key: string, why: string): Outcome<never, Note> =>
  failed(note("warn", "lease.unreadable", `the store's key ${key} is ignored: ${why}`, { fields: { key } }));
