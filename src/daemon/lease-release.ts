/** What a node that leaves for good takes back from the store. */
import type { NodeSettings } from "#base/settings.ts";
import { presenceKey } from "#ipam/lease-record.ts";
import type { Store } from "#ports/store.ts";
import { keptUntil } from "./address-evict.ts";
import { evictNode } from "./lease-evict.ts";

/** Frees what this node holds and takes its presence away: the last thing of a daemon that leaves. Says what it did. */
export async function releaseNode(store: Store, settings: Pick<NodeSettings, "node" | "pools">): Promise<readonly string[]> {
  const { node } = settings,
    evicted = await evictNode(store, { node, isForced: true, quarantineSeconds: 0, keptUntil: keptUntil(settings, Date.now() / 1000) });
  const presence = await store.get(presenceKey(node));
  if (presence) await store.remove(presenceKey(node), presence.modRevision);
  return evicted.ok ? evicted.value.freed.map(({ pool, cidr }) => `${cidr} of pool ${pool} is free`) : [];
}
