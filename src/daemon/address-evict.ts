/**
 * The single addresses of a node that is gone or leaves: what its pods held waits for its owners' next pods on other nodes, and is no
 * longer bound to the node's lease, which ends. Each by compare-and-swap, and only while nobody is present under the node's name.
 */
import type { NodeSettings } from "#base/settings.ts";
import { addressesPrefix, addressKey, encodeClaim, parseClaim } from "#ipam/address-claim.ts";
import { presenceKey } from "#ipam/lease-record.ts";
import type { Compare, Store } from "#ports/store.ts";
import { podSettings } from "./pod-rules.ts";

export interface AddressEviction {
  readonly node: string;
  readonly isForced: boolean;
  /** Until when an address of the pool is kept, seconds of the wall clock. */
  readonly keptUntil: (pool: string) => number;
}

/** How many are kept now. One that changes meanwhile is its new claimant's business. Rejects with the store's fault. */
export async function keepAddresses(store: Store, { node, isForced, keptUntil }: AddressEviction): Promise<number> {
  const { entries } = await store.list(addressesPrefix);
  const absent: Compare[] = isForced ? [] : [{ key: presenceKey(node), is: "absent" }];
  let count = 0;
  for (const entry of entries) {
    const claim = parseClaim(entry);
    if (claim === undefined || claim.node !== node || claim.state !== "held") continue;
    const { modRevision, lease: _ends, ...held } = claim,
      value = encodeClaim({ ...held, state: "kept", until: keptUntil(claim.pool) });
    const { done } = await store.transact([...absent, { key: entry.key, is: "at", modRevision }], [{ kind: "put", key: addressKey(claim.address), value }]);
    if (done) count++;
  }
  return count;
}

/** By the pools' own `keep`. */
export function keptUntil({ pools }: Pick<NodeSettings, "pools">, wallSeconds: number): AddressEviction["keptUntil"] {
  return (name) => {
    const pool = pools.find((each) => each.name === name);
    return wallSeconds + (pool === undefined ? 0 : podSettings(pool).keepSeconds);
  };
}
