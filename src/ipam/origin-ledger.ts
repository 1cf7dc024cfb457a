/**
 * Which node each CIDR is to be taken from, by the leases the store shows: the last known holder stays until another has a later
 * claim. So a claim that is missing for a moment (a lease that ended and is made again, a store that was emptied) takes no route
 * away, and an older claim that a restored store shows counts only if the holder does not put its own back in time.
 */
import { type Fence, fenceOf, isLater, type Lease } from "#base/lease.ts";
import type { Prefix } from "#base/prefix.ts";
import { type Instant, after, millis, sooner } from "#base/time.ts";

interface Held {
  readonly node: string;
  readonly fence: Fence;
}

export class OriginLedger {
  readonly #disputeSeconds: number;
  readonly #held = new Map<Prefix, Held>();
  /** CIDRs of which the store shows an older claim of another node, and until when that does not count. */
  readonly #disputes = new Map<Prefix, Held & { readonly until: Instant }>();

  /** `disputeSeconds`: how long holders have to put their claims back into a restored store. */
  constructor(disputeSeconds: number) {
    this.#disputeSeconds = disputeSeconds;
  }

  /** Node by CIDR. The same map for ever. */
  get holders(): ReadonlyMap<Prefix, { readonly node: string }> {
    return this.#held;
  }
  nextDeadline(): Instant | undefined {
    let due: Instant | undefined;
    for (const { until } of this.#disputes.values()) due = sooner(due, until);
    return due;
  }

  /** Takes in all leases of routed pools as they stand. True if a CIDR has another holder now. */
  see(leases: Iterable<Lease>, now: Instant): boolean {
    let isChanged = false;
    const disputed = new Set<Prefix>();
    for (const lease of leases) {
      const { cidr, node } = lease,
        fence = fenceOf(lease),
        known = this.#held.get(cidr);
      const isOlder = known !== undefined && known.node !== node && isLater(known.fence, fence);
      if (isOlder && this.#dispute(cidr, { node, fence }, now)) {
        disputed.add(cidr);
        continue;
      }
      this.#held.set(cidr, { node, fence });
      isChanged ||= known?.node !== node;
    }
    for (const cidr of this.#disputes.keys()) if (!disputed.has(cidr)) this.#disputes.delete(cidr);
    return isChanged;
  }

  /** True while the older claim does not count yet. */
  #dispute(cidr: Prefix, older: Held, now: Instant): boolean {
    const before = this.#disputes.get(cidr),
      until = before?.node === older.node ? before.until : after(now, millis(this.#disputeSeconds * 1000));
    this.#disputes.set(cidr, { ...older, until });
    return until > now;
  }
}
