/** What of a pool's claims is this node's, what it writes of itself, and which CIDR it may try. Pure. */
import { type Fence, fenceOf, isLater, type LeaseRecord } from "#base/lease.ts";
import type { Prefix } from "#base/prefix.ts";
import type { Claim, Claims } from "./claims.ts";
import { encodeLease } from "./lease-record.ts";
import type { LeaseHolder, LeaseTerms } from "./lease-terms.ts";
import { isOfPool, nextCidr } from "./pool.ts";

export type Choice = { readonly kind: "try"; readonly cidr: Prefix } | { readonly kind: "wait"; readonly reason: string };

/** The CIDR to claim next, or a sentence why there is none now. `remembered`: the one this node had last, as its disk says. */
export function chooseCidr(claims: Claims, { pool, holder }: LeaseTerms, remembered: Prefix | undefined): Choice {
  const formers = [...claims.formers()],
    kept = formers.filter(({ node, cidr }) => node !== holder.node && !claims.get(cidr)).map(({ cidr }) => cidr);
  const taken = [...Array.from(claims.all(), ({ cidr }) => cidr), ...kept],
    former = remembered ?? formers.find(({ node }) => node === holder.node)?.cidr;
  const candidate = nextCidr(pool, { node: holder.node, former, taken });
  if (candidate.kind === "try") return candidate;
  if (candidate.kind === "reservation-taken") return { kind: "wait", reason: reservationTaken(claims, pool.name, candidate.cidr) };
  const quarantine =
    kept.length === 0 ? "" : `, ${kept.length} of them kept for the node that had ${kept.length === 1 ? "it" : "them"} last until the quarantine ends`;
  return {
    kind: "wait",
    reason: `pool ${pool.name} is exhausted: all ${candidate.total} CIDRs of /${pool.nodePrefix} in ${pool.cidr} are taken or reserved${quarantine}; enlarge the pool or free one`,
  };
}

function reservationTaken(claims: Claims, pool: string, cidr: Prefix): string {
  const claim = claims.get(cidr),
    what = `${cidr}, reserved for this node in pool ${pool}, is`;
  if (claim) return `${what} claimed by ${owner(claim)}; it is tried again until it is free`;
  return `${what} kept for ${claims.former(cidr)?.node ?? "the node"} that had it last until the quarantine ends; it is tried again until it is free`;
}

export function isMine({ record }: Claim, holder: LeaseHolder): boolean {
  return record?.node === holder.node && record.identity === holder.identity;
}

/** The claim under our name to go on with: the former one, else the oldest. */
export function adoptable(claims: Claims, { pool, holder }: LeaseTerms, former: Prefix | undefined): Claim | undefined {
  let found: Claim | undefined;
  for (const claim of claims.all()) {
    if (claim.record?.node !== holder.node || !isOfPool(pool, claim.cidr)) continue;
    if (claim.cidr === former) return claim;
    if (!found || claim.record.createRevision < found.record!.createRevision) found = claim;
  }
  return found;
}

/**
 * The record of a claim on `cidr`. It says when the CIDR was claimed: as the claim says that stands there, or, of one that is
 * put back into a restored store, as `fence` says; a new one is of `epoch`.
 */
export function recordOf(
  terms: LeaseTerms,
  cidr: Prefix,
  of: { standing: Claim | undefined; fence: Fence | undefined; epoch: number | undefined },
): LeaseRecord {
  const { node, identity, address, address6, vtepMac, way } = terms.holder;
  const { epoch, made } = claimed(node, of);
  return {
    schema: 1,
    node,
    pool: terms.pool.name,
    cidr,
    identity,
    address,
    ...(address6 && { address6 }),
    ...(vtepMac && { vtepMac }),
    ...way,
    ...(epoch !== undefined && { epoch }),
    ...(made !== undefined && { made }),
  };
}

function claimed(node: string, { standing, fence, epoch }: Parameters<typeof recordOf>[2]): Pick<LeaseRecord, "epoch" | "made"> {
  const record = standing?.record;
  if (record?.node === node && !(fence && isLater(fence, fenceOf(record)))) return record;
  return fence ? { epoch: fence.epoch, made: fence.revision } : epoch === undefined ? {} : { epoch };
}

/** True if the claim says what `wanted` says. */
export function isSame(wanted: LeaseRecord, { record }: Claim): boolean {
  return record !== undefined && String(encodeLease(wanted)) === String(encodeLease(record));
}

export function owner(claim: Claim | undefined): string {
  return claim?.record ? `node ${claim.record.node} (identity ${claim.record.identity})` : "a key that cannot be read";
}
export const printFence = ({ epoch, revision }: Fence): string => `store epoch ${epoch}, revision ${revision}`;
