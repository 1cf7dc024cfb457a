/**
 * `podway evict NODE`: takes a dead node's claims away before its hold ends by itself (product §6.1). Each claim goes by
 * compare-and-swap, and only while nobody is present under the node's name, so that a node that comes back in the same instant
 * keeps what it has. The freed CIDRs stay the node's for the quarantine, like any other.
 */
import { callerFault, type CallerFault, failed, ok, type Outcome } from "#base/fault.ts";
import type { Lease } from "#base/lease.ts";
import type { Prefix } from "#base/prefix.ts";
import { encodeFormer, formerKey, leasesPrefix, parseLease, parsePresence, presenceKey } from "#ipam/lease-record.ts";
import type { Compare, Entry, Store, Write } from "#ports/store.ts";
import { type AddressEviction, keepAddresses } from "./address-evict.ts";

/** A claim that changes while it is taken away is looked at again. */
const evictTries = 5;

export interface Eviction {
  readonly node: string;
  /** Also while the node's daemon is present: a living one claims its CIDRs again at once. */
  readonly isForced: boolean;
  /** How long a freed CIDR stays the node's. */
  readonly quarantineSeconds: number;
  /** Until when the addresses of its pods wait for their owners, by pool. */
  readonly keptUntil: AddressEviction["keptUntil"];
}

export interface Evicted {
  readonly freed: readonly { readonly pool: string; readonly cidr: Prefix }[];
  /** Reservations: claims without a lease, which stay. */
  readonly kept: readonly { readonly pool: string; readonly cidr: Prefix }[];
}

/** Frees what `node` holds. Fails with a sentence if it is alive or holds nothing; rejects with the store's fault if that does not answer. */
export async function evictNode(store: Store, eviction: Eviction): Promise<Outcome<Evicted, CallerFault>> {
  const { node, isForced } = eviction,
    presence = await store.get(presenceKey(node));
  if (presence && !isForced) return failed(alive(node, presence));
  // Before its lease ends, which they are bound to.
  await keepAddresses(store, eviction);
  const freed: Evicted["freed"][number][] = [],
    ended = new Set<string>();
  for (let tries = evictTries; ; tries--) {
    const claims = await claimsOf(store, node),
      held = claims.filter(({ entry }) => entry.lease !== undefined);
    const kept = claims.filter(({ entry }) => entry.lease === undefined).map(({ lease: { pool, cidr } }) => ({ pool, cidr }));
    if (claims.length === 0 && freed.length === 0)
      return failed(callerFault("lease.none-held", `node ${node} holds no CIDR; \`podway leases\` lists who does`));
    let changed = 0;
    for (const { entry, lease } of held) {
      if (await take(store, entry, lease, eviction)) freed.push({ pool: lease.pool, cidr: lease.cidr });
      else changed++;
      ended.add(entry.lease!);
    }
    // A living node holds its CIDR again already: that is for whoever forced it to know beforehand.
    if (changed === 0) {
      for (const id of ended) await store.revoke(id);
      return ok({ freed, kept });
    }
    const back = isForced ? undefined : await store.get(presenceKey(node));
    if (back) return failed(alive(node, back));
    if (tries === 1)
      return failed(callerFault("lease.changing", `the claims of node ${node} change while they are taken away; look who writes them, and try again`));
  }
}

async function claimsOf(store: Store, node: string): Promise<{ readonly entry: Entry; readonly lease: Lease }[]> {
  const { entries } = await store.list(leasesPrefix);
  return entries.flatMap((entry) => {
    const parsed = parseLease(entry);
    return parsed.ok && parsed.value.node === node ? [{ entry, lease: parsed.value }] : [];
  });
}

/** True if the claim is gone, and who had it is noted for the quarantine. */
async function take(store: Store, entry: Entry, { pool, cidr, node }: Lease, { isForced, quarantineSeconds }: Eviction): Promise<boolean> {
  const absent: Compare[] = isForced ? [] : [{ key: presenceKey(node), is: "absent" }];
  const former = formerKey(pool, cidr);
  const mark: Write =
    quarantineSeconds > 0
      ? { kind: "put", key: former, value: encodeFormer({ schema: 1, node }), lease: (await store.grant(quarantineSeconds)).id }
      : { kind: "delete", key: former };
  const { done } = await store.transact([...absent, { key: entry.key, is: "at", modRevision: entry.modRevision }], [{ kind: "delete", key: entry.key }, mark]);
  return done;
}

function alive(node: string, presence: Entry): CallerFault {
  const parsed = parsePresence(presence),
    who = parsed.ok ? ` (address ${parsed.value.address}, identity ${parsed.value.identity})` : "";
  return callerFault("lease.node-alive", `node ${node} is alive${who}: stop its daemon first, or force it and it claims its CIDRs again at once`);
}
