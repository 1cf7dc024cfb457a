/** What a pool's rules keep back, whom they let in, and the sentence for an address that is somebody's. Pure. */
import { type CallerFault, callerFault } from "#base/fault.ts";
import { compareIp, familyOf, type Ip } from "#base/ip.ts";
import { addressAt, contains } from "#base/prefix.ts";
import type { IpRange } from "#base/settings.ts";
import type { PodRange } from "./pod-range.ts";
import type { PodPool, PodRecord } from "./pod-terms.ts";

/** What the rules and the CIDR itself keep back, by index. */
export function rulesAside(range: PodRange, { ranges, exclude, reserve }: PodPool["rules"]): Uint8Array {
  const aside = new Uint8Array(range.size).fill(ranges.length > 0 ? 1 : 0);
  for (const each of ranges) fill(aside, range, each, 0);
  for (const each of [...exclude, ...reserve]) fill(aside, range, each, 1);
  for (const index of range.blocked()) aside[index] = 1;
  return aside;
}

function fill(aside: Uint8Array, range: PodRange, { first, last }: IpRange, bit: 0 | 1): void {
  const start = addressAt(range.cidr, 0n);
  if (familyOf(first) !== familyOf(start) || compareIp(last, start) < 0) return;
  if (!contains(range.cidr, first) && compareIp(first, start) > 0) return;
  const from = compareIp(first, start) < 0 ? 0 : (range.indexOf(first) ?? range.size),
    to = contains(range.cidr, last) ? (range.indexOf(last) ?? range.size - 1) : range.size - 1;
  aside.fill(bit, from, to + 1);
}

export const within = (ranges: readonly IpRange[], address: Ip): boolean =>
  ranges.some(({ first, last }) => familyOf(first) === familyOf(address) && compareIp(first, address) <= 0 && compareIp(address, last) <= 0);

export const permits = (names: readonly string[], namespace: string | undefined): boolean =>
  names.length === 0 || names.some((name) => (name.endsWith("*") ? (namespace ?? "").startsWith(name.slice(0, -1)) : name === namespace));

/** Why an address is not to be had. */
export function taken(record: PodRecord): CallerFault {
  const { address, state, containerId, owner, reservation, node, reason } = record;
  const why = reservation?.reason === undefined ? "" : ` (${reservation.reason})`;
  const whose = {
    used: `container ${containerId ?? "?"}`,
    kept: `kept for ${owner ?? "its owner"}${record.shared === true ? " on any node" : ""}`,
    cooling: "cooling down",
    reserved: reservation?.owner === undefined ? `reserved${why}` : `reserved for ${reservation.owner}${why}`,
    quarantined: `in quarantine: ${reason ?? "nobody knows whose it is"}`,
    elsewhere: `in use on node ${node ?? "?"}`,
  }[state];
  return callerFault("ipam.taken", `${address} is ${state === "used" ? `used by ${whose}` : whose}; ask for another, or release it: podway ip who ${address}`);
}
