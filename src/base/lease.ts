/** What the store holds about nodes and their CIDRs: written by ipam/, read by overlay/, the reflector and the doors. */
import type { Ip, Mac } from "./ip.ts";
import type { Prefix } from "./prefix.ts";
import type { Backend } from "./settings.ts";

export type LeaseState = "wanted" | "asking" | "held" | "doubtful" | "lost";

/** One claim: this node holds this CIDR of this pool. Value of the key `<prefix>/leases/<pool>/<cidr with / as ->`. */
export interface LeaseRecord {
  readonly schema: 1;
  readonly node: string;
  readonly pool: string;
  readonly cidr: Prefix;
  /** Machine id and nonce of the claimant (product §6.7): tells two claimants of one name apart. */
  readonly identity: string;
  /** Underlay addresses other nodes reach this node by. */
  readonly address: Ip;
  readonly address6?: Ip;
  /** VTEP MAC of the pool's device on that node; overlay pools only. */
  readonly vtepMac?: Mac;
  /** How that node sends to the others of the pool, and is ready to be sent to; absent: nobody knows (an earlier version wrote it). */
  readonly backend?: Backend;
  /** Its tunnel, if it has one. */
  readonly vni?: number;
  readonly port?: number;
  /** True for a reservation: a claim without an etcd lease. */
  readonly reserved?: boolean;
  /** The life of the store in which the CIDR was claimed (ipam/store-epoch.ts); absent: the first. */
  readonly epoch?: number;
  /** Revision at which it was claimed, of a claim put back into a restored store; absent: the key's own create revision. */
  readonly made?: bigint;
}

/** When a CIDR was claimed: the later of two claims counts. */
export interface Fence {
  readonly epoch: number;
  readonly revision: bigint;
}

/** A lease as read back, with the store revision that created its key. */
export interface Lease extends LeaseRecord {
  readonly createRevision: bigint;
}

/** The fence between an older and a newer claim. */
export const fenceOf = ({ epoch, made, createRevision }: Lease): Fence => ({ epoch: epoch ?? 1, revision: made ?? createRevision });

/** True if `a` was claimed after `b`. */
export const isLater = (a: Fence, b: Fence): boolean => a.epoch > b.epoch || (a.epoch === b.epoch && a.revision > b.revision);
