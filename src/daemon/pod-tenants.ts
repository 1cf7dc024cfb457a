/**
 * How many addresses each namespace has on other nodes, by what their keys under `pods/` say (pod-mirror.ts). Those follow their journals
 * within a second, so that a quota over all nodes is exact once everybody has been quiet for that long; two nodes that hand out the last
 * address of a quota in the same moment both do.
 */
import type { Prefix } from "#base/prefix.ts";
import { parsePrefix } from "#base/prefix.ts";
import type { Lease } from "#base/lease.ts";
import { leaseKey } from "#ipam/lease-record.ts";
import type { Entry, Store } from "#ports/store.ts";

interface Tenants {
  readonly node: string;
  readonly pool: string;
  readonly cidr: Prefix;
  readonly counts: ReadonlyMap<string, number>;
}

export class PodTenants {
  readonly #node: string;
  readonly #leases: () => ReadonlyMap<string, Lease> | undefined;
  readonly #byKey = new Map<string, Tenants>();

  /** `leases`: by store key; what a node wrote that holds the CIDR no more does not count. */
  constructor(node: string, leases: () => ReadonlyMap<string, Lease> | undefined) {
    this.#node = node;
    this.#leases = leases;
  }

  elsewhere(pool: string, namespace: string): number {
    const leases = this.#leases();
    let sum = 0;
    for (const { node, pool: of, cidr, counts } of this.#byKey.values())
      if (of === pool && node !== this.#node && leases?.get(leaseKey(pool, cidr))?.node === node) sum += counts.get(namespace) ?? 0;
    return sum;
  }

  /** Follows the store until the signal. */
  async run(store: Store, signal: AbortSignal): Promise<void> {
    for await (const news of store.watch("pods/", signal)) {
      if (signal.aborted) return;
      if (news.kind === "snapshot") this.#byKey.clear();
      if (news.kind === "snapshot") for (const entry of news.entries) this.#see(entry);
      if (news.kind === "put") this.#see(news.entry);
      if (news.kind === "delete") this.#byKey.delete(news.key);
    }
  }

  #see(entry: Entry): void {
    const tenants = read(entry);
    if (tenants === undefined) this.#byKey.delete(entry.key);
    else this.#byKey.set(entry.key, tenants);
  }
}

/** Undefined if it cannot be read, or counts nothing. */
function read({ value }: Entry): Tenants | undefined {
  try {
    const record = JSON.parse(new TextDecoder().decode(value)) as Readonly<Record<string, unknown>>,
      cidr = parsePrefix(String(record["cidr"])),
      { node, pool } = record;
    const counts = Object.entries(record["tenants"] ?? {}).filter((pair): pair is [string, number] => Number.isSafeInteger(pair[1]) && pair[1] > 0);
    return typeof node === "string" && typeof pool === "string" && cidr !== undefined && counts.length > 0
      ? { node, pool, cidr, counts: new Map(counts) }
      : undefined;
  } catch {
    return undefined;
  }
}
