/**
 * What one node does about one address that may be used on other nodes than its CIDR's: a function of what its journal says and what the
 * store says, asked again after every step until there is nothing left to do. The caller writes to the store by compare-and-swap alone.
 *
 * Why no two nodes ever hand out one address:
 * - only the CIDR's holder makes a claim from nothing (or who held one puts it back, before the home would hand the address out again);
 * - others only ever take over a *kept* claim, at the revision they saw it at; a *held* one ends with its node's hold lease, or by its word;
 * - the home marks an address `shared` in its journal before it shows it as kept, and hands a shared one out by the claim alone;
 * - an address whose foreign claim ended without a word rests for the hold time, in which whoever has it puts the claim back.
 */
import type { PodRecord, PodRules } from "./pod-terms.ts";
import type { AddressClaim, StoredClaim } from "./address-claim.ts";

/** This node's right to write: its claim on a CIDR of the address's pool. */
export interface RoamHold {
  readonly node: string;
  readonly identity: string;
  /** The store's lease that held claims end with; undefined: the node's own claim has none (a reservation). */
  readonly lease: string | undefined;
}

export interface RoamSight {
  readonly record: PodRecord | undefined;
  readonly claim: StoredClaim | undefined;
  /** The address lies in the CIDR this node holds. */
  readonly isHome: boolean;
  /** Of its pool; undefined: there is no such pool any more. */
  readonly rules: PodRules | undefined;
  readonly node: string;
  /** Undefined: nothing may be held now. */
  readonly hold: RoamHold | undefined;
  /** Our claim stood in the store since we hold our CIDR without a break: if it is missing, we put it back. */
  readonly isConfirmed: boolean;
  /** How long an address rests whose claim ended without a word, seconds. */
  readonly restSeconds: number;
}

export type RoamStep =
  /** The journal's record becomes this; undefined: free. */
  | { readonly do: "follow"; readonly record: PodRecord | undefined }
  /** Over the claim as it was seen, or, `over` undefined, only if there is none. */
  | { readonly do: "write"; readonly claim: AddressClaim; readonly lease: string | undefined; readonly over: bigint | undefined }
  | { readonly do: "remove"; readonly over: bigint }
  /** A pod here uses an address that is another's. */
  | { readonly do: "lose"; readonly to: string | undefined };

/** The next step; undefined: all is as it should be. `at`: seconds of the wall clock. */
export function nextRoamStep(sight: RoamSight, at: number): RoamStep | undefined {
  const { record, claim, isHome } = sight;
  if (record?.state === "used") return stepOfUsed(sight, record);
  if (claim === undefined) return isHome && record !== undefined ? stepOfUnclaimed(sight, record, at) : undefined;
  if (claim.state === "kept") return isHome ? stepOfKept(record, claim, at) : undefined;
  if (claim.node === sight.node) return stepOfLeft(sight, claim, at);
  return isHome ? follow(record, elsewhere(record, claim, at)) : undefined;
}

function stepOfUsed(sight: RoamSight, record: PodRecord): RoamStep | undefined {
  const { claim, hold, isHome, rules, node } = sight,
    owner = record.owner;
  if (claim !== undefined && claim.node !== node && claim.state === "held") return { do: "lose", to: claim.node };
  if (claim !== undefined && (owner === undefined || claim.owner !== owner))
    return claim.node === node ? { do: "remove", over: claim.modRevision } : { do: "lose", to: claim.node };
  if (claim === undefined && !isHome && !sight.isConfirmed) return { do: "lose", to: undefined };
  if (owner === undefined || hold === undefined) return undefined;
  const isWanted = !isHome || rules?.roam === true;
  if (!isWanted) return claim === undefined ? undefined : { do: "remove", over: claim.modRevision };
  const wanted: AddressClaim = { schema: 1, address: record.address, pool: record.pool, cidr: record.cidr, ...whoOf(hold), owner, state: "held" };
  if (claim !== undefined && claim.state === "held" && claim.identity === hold.identity && claim.lease === hold.lease && claim.cidr === record.cidr)
    return undefined;
  return { do: "write", claim: wanted, lease: hold.lease, over: claim?.modRevision };
}

/** The home's address without a claim: shown as kept, or at rest, or free again. */
function stepOfUnclaimed({ hold, rules, restSeconds }: RoamSight, record: PodRecord, at: number): RoamStep | undefined {
  if (record.state === "elsewhere") {
    const { address, pool, cidr, reservation } = record,
      reason = `node ${record.node ?? "?"} had it, and its claim ended without a word; it may put it back`;
    const resting = { address, pool, cidr, state: "quarantined" as const, since: at, until: at + restSeconds, reason };
    return { do: "follow", record: reservation === undefined ? resting : { ...resting, reservation } };
  }
  if (record.state !== "kept" || record.owner === undefined) return undefined;
  const isOver = (record.until ?? 0) <= at;
  if (record.shared === true && isOver) return { do: "follow", record: freed(record, at) };
  if (hold === undefined || isOver || (record.shared !== true && rules?.roam !== true)) return undefined;
  if (record.shared !== true) return { do: "follow", record: { ...record, shared: true } };
  const { address, pool, cidr, owner, until } = record;
  return { do: "write", claim: { schema: 1, address, pool, cidr, ...whoOf(hold), owner, state: "kept", until: until! }, lease: undefined, over: undefined };
}

/** A kept claim, as the home sees it: its record follows, and it ends when its time is over. */
function stepOfKept(record: PodRecord | undefined, claim: StoredClaim, at: number): RoamStep | undefined {
  if ((claim.until ?? 0) <= at) return { do: "remove", over: claim.modRevision };
  if (record?.state === "quarantined" && (record.until ?? 0) > at) return undefined;
  if (record?.state === "kept" && record.shared === true && record.owner === claim.owner && record.until === claim.until) return undefined;
  const { address, pool, cidr, owner, until } = claim;
  return { do: "follow", record: { address, pool, cidr, state: "kept", since: at, owner, until: until!, shared: true, ...reservationOf(record) } };
}

/** A held claim of ours without a pod: the pod was deleted, or never came to be. */
function stepOfLeft({ record, hold, isHome, rules }: RoamSight, claim: StoredClaim, at: number): RoamStep | undefined {
  if (isHome && (record?.state !== "kept" || record.owner !== claim.owner)) return { do: "remove", over: claim.modRevision };
  if (isHome && record!.shared !== true) return { do: "follow", record: { ...record!, shared: true } };
  const { address, pool, cidr, owner, node, identity, modRevision } = claim,
    until = isHome ? record!.until! : at + (rules?.keepSeconds ?? 0);
  const kept: AddressClaim = { schema: 1, address, pool, cidr, node, identity: hold?.identity ?? identity, owner, state: "kept", until };
  return { do: "write", claim: kept, lease: undefined, over: modRevision };
}

const whoOf = ({ node, identity }: RoamHold): Pick<AddressClaim, "node" | "identity"> => ({ node, identity });
const reservationOf = (record: PodRecord | undefined): Pick<PodRecord, "reservation"> =>
  record?.reservation === undefined ? {} : { reservation: record.reservation };

function elsewhere(record: PodRecord | undefined, { address, pool, cidr, node, owner }: StoredClaim, at: number): PodRecord {
  const since = record?.state === "elsewhere" && record.node === node ? record.since : at;
  return { address, pool, cidr, state: "elsewhere", since, node, owner, ...reservationOf(record) };
}

/** What an address becomes whose wait in the store is over. */
function freed({ address, pool, cidr, reservation }: PodRecord, at: number): PodRecord | undefined {
  return reservation === undefined ? undefined : { address, pool, cidr, state: "reserved", since: at, reservation };
}

function follow(record: PodRecord | undefined, wanted: PodRecord): RoamStep | undefined {
  const isSame = record?.state === wanted.state && record.node === wanted.node && record.owner === wanted.owner;
  return isSame ? undefined : { do: "follow", record: wanted };
}
