/** What a lease machine is told, and what it says. */
import type { Ip, Mac } from "#base/ip.ts";
import type { Fence, LeaseRecord, LeaseState } from "#base/lease.ts";
import type { Prefix } from "#base/prefix.ts";
import type { LeaseSettings, PoolSettings } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import type { StoreAnswer, StoreEvent, StoreOutput } from "./exchange.ts";
import type { StoreEpoch } from "./store-epoch.ts";

export interface LeaseHolder {
  readonly node: string;
  readonly identity: string;
  readonly address: Ip;
  readonly address6: Ip | undefined;
  readonly vtepMac: Mac | undefined;
  /** How it sends to others, once the kernel does (daemon/node-part.ts). */
  readonly way?: Pick<LeaseRecord, "backend" | "vni" | "port"> | undefined;
}
export interface LeaseTerms {
  readonly pool: PoolSettings;
  readonly lease: LeaseSettings;
  readonly holder: LeaseHolder;
}
/** What a daemon of this node wrote down before it stopped; `confirmedAt` long ago (of an earlier boot: minus infinity) makes it a wish only. */
export interface RememberedLease {
  readonly cidr: Prefix;
  readonly confirmedAt: Instant;
  /** When it was claimed; undefined if that was not written down. */
  readonly fence?: Fence | undefined;
}

export type LeaseInput =
  | StoreEvent
  | StoreAnswer
  | { readonly kind: "terms"; readonly terms: LeaseTerms }
  /** Whose presence key stands under our node's name; undefined: nobody's. */
  | { readonly kind: "presence"; readonly identity: string | undefined }
  /** Which life of the store it is; undefined: not known. */
  | { readonly kind: "epoch"; readonly epoch: StoreEpoch | undefined };

/** What the node may do: use `cidr` if there is one, nothing otherwise. */
export interface OwnLease {
  readonly pool: string;
  readonly state: LeaseState;
  /** Present while held or doubtful. */
  readonly cidr: Prefix | undefined;
  /** One sentence: why it is in this state, or what is tried next. */
  readonly reason: string;
  /** The last answered renewal, and when the node lets go without another; undefined if it has no CIDR, or one without end (a reservation in the store). */
  readonly confirmedAt: Instant | undefined;
  readonly endsAt: Instant | undefined;
  /** When the CIDR was claimed. */
  readonly fence: Fence | undefined;
}
export type LeaseOutput = StoreOutput | { readonly kind: "own"; readonly own: OwnLease };
