/** Origin validation: the store's leases, as the RIB asks for them. A reflector without leases of its own follows them too. */
import type { Lease } from "#base/lease.ts";
import type { Prefix } from "#base/prefix.ts";
import type { NodeSettings, PoolSettings } from "#base/settings.ts";
import { type OriginCheck, type OriginNode, originNode, type OriginView } from "#bgp/rib/origin-check.ts";
import { OriginLedger } from "#ipam/origin-ledger.ts";
import type { Clock } from "#ports/clock.ts";
import type { Telemetry } from "#ports/telemetry.ts";

/** Holders have so many times `liveness` to put their claims back into a restored store. */
const disputeLiveness = 2;

export interface OriginTaskParts {
  readonly settings: NodeSettings;
  readonly check: OriginCheck;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Paths were taken or taken away: the speaker should decide. */
  readonly changed: () => void;
}

export class OriginTask {
  readonly #parts: OriginTaskParts;
  readonly #ledger: OriginLedger;
  #settings: NodeSettings;
  #leases: readonly Lease[] | undefined;
  #addresses: ReadonlyMap<Prefix, string> = new Map();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: OriginTaskParts) {
    this.#parts = parts;
    this.#settings = parts.settings;
    this.#ledger = new OriginLedger(parts.settings.lease.livenessSeconds * disputeLiveness);
    const { check, telemetry } = parts;
    // Until the leases are known nothing of a pool is taken.
    if (parts.settings.originValidation) this.#follow();
    telemetry.gauge("podway_origin_waiting", "Paths that wait until the store says that their node holds the CIDR.", () => check.waiting);
    telemetry.gauge("podway_origin_evicted", "Paths taken away because another node holds their CIDR.", () => check.counts.evicted);
  }

  /** True if what there is to take can be taken: leases are known, or nothing is checked. */
  get isReady(): boolean {
    return !this.#settings.originValidation || this.#leases !== undefined;
  }

  settings(settings: NodeSettings): void {
    this.#settings = settings;
    this.#see(true);
  }
  /** All leases of the cluster, whenever one changed. */
  leases(all: Iterable<Lease>): void {
    const isFirst = this.#leases === undefined;
    this.#leases = [...all];
    this.#see(isFirst);
  }
  /** Addresses (as /32 and /128) whose claims are in the store, and the nodes that claim them. */
  addresses(claimed: ReadonlyMap<Prefix, string>): void {
    this.#addresses = claimed;
    this.#see(true);
  }
  close(): void {
    clearTimeout(this.#timer);
  }

  #see(always: boolean): void {
    const now = this.#parts.clock.now(),
      isChanged = this.#ledger.see(routedLeases(this.#settings, this.#leases ?? []), now);
    clearTimeout(this.#timer);
    const due = this.#ledger.nextDeadline();
    if (due !== undefined) this.#timer = setTimeout(() => this.#see(false), Math.max(due - now, 0) + 1).unref();
    if (isChanged || always) this.#follow();
  }

  #follow(): void {
    this.#parts.check.follow(originView(this.#settings, this.#ledger.holders, this.#addresses));
    this.#parts.changed();
  }
}

/** What the RIB is told of who holds what; undefined where nothing is checked. */
export function originView(
  { originValidation, pools, nodes }: NodeSettings,
  holders: OriginLedger["holders"],
  addresses: ReadonlyMap<Prefix, string>,
): OriginView | undefined {
  if (!originValidation) return undefined;
  const declared = (node: string): OriginNode[] => (Object.hasOwn(nodes, node) ? [originNode(node, nodes[node]!)] : []);
  return {
    pools: routedPools(pools).map(({ cidr, nodePrefix }) => ({ prefix: cidr, nodePrefix })),
    holders: new Map(Array.from(holders).flatMap(([cidr, { node }]) => declared(node).map((origin) => [cidr, origin] as const))),
    addresses: new Map(Array.from(addresses).flatMap(([address, node]) => declared(node).map((origin) => [address, origin] as const))),
  };
}

/** Leases of pools whose CIDRs travel by BGP. */
export function routedLeases({ pools }: NodeSettings, leases: Iterable<Lease>): Lease[] {
  const routed = new Set(routedPools(pools).map(({ name }) => name));
  return Array.from(leases).filter(({ pool }) => routed.has(pool));
}
const routedPools = (pools: readonly PoolSettings[]): PoolSettings[] => pools.filter(({ backend }) => backend === "bgp");
