/** What the store holds about nodes and their CIDRs: written by ipam/, read by overlay/, the reflector and the doors. */
import type { Ip, Mac } from "./ip.ts";
import type { Prefix } from "./prefix.ts";

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
  /** True for a reservation: a claim without an etcd lease. */
  readonly reserved?: boolean;
}

/** A lease as read back, with the store revision that created it: the fence between an older and a newer claim. */
export interface Lease extends LeaseRecord {
  readonly createRevision: bigint;
}
