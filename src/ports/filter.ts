/**
 * The machine's packet rules as Podway needs them. *Ours* is one table, `inet podway`, and nothing else is ever written or removed;
 * of other tables only what decides about forwarded packets is read. The kernel may lose the whole of it at any time (`nft flush
 * ruleset` is how many a firewall starts), which is no event: look again when the generation moved.
 *
 * Contract, held by test/contract/nft-kernel.test.ts:
 * - `generation` costs some microseconds, and differs after every transaction of anybody.
 * - `apply` is one transaction: all of the change is in force at once, or none of it and the promise rejects.
 * - Faults are FaultErrors with one sentence that says what to do: `filter.not-permitted`, `filter.missing`, `filter.refused`.
 */
import type { FilterChange, SeenTable } from "#base/filter-table.ts";
import type { ForwardView } from "#base/forward-chain.ts";

export interface PacketFilter {
  /** Number of the rules' generation in this network namespace. */
  generation(): number;
  /** Our table; undefined: there is none. */
  look(): Promise<SeenTable | undefined>;
  apply(change: FilterChange): Promise<void>;
  /** Base chains at the forward hook and what they jump to. */
  forwardChains(): Promise<ForwardView>;
  /** Leaves every rule as it is. */
  close(): Promise<void>;
}
