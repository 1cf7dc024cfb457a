/** What the allocator of pod addresses is told and what it says (pods.ts). Times are seconds of the wall clock: what is kept for a day outlives a reboot. */
import type { Family, Ip, Mac } from "#base/ip.ts";
import type { PodBandwidth, PodPort } from "#base/pod-link.ts";
import type { Prefix } from "#base/prefix.ts";
import type { IpRange } from "#base/settings.ts";

/** One pool as this node hands addresses out of it. */
export interface PodPool {
  readonly name: string;
  readonly family: Family;
  /** The whole pool, and this node's part of it (undefined: none held). */
  readonly pool: Prefix;
  readonly cidr: Prefix | undefined;
  /** False: what is there stays, nothing new is handed out. */
  readonly active: boolean;
  /** Whether addresses may be handed out at all now; an own CIDR that is in doubt still may. */
  readonly rules: PodRules;
  /** Addresses of the pool that a namespace has on other nodes, as last heard. */
  readonly elsewhere?: (namespace: string) => number;
}

export interface PodRules {
  /** Unasked, addresses come out of these alone; empty: out of the whole CIDR. */
  readonly ranges: readonly IpRange[];
  /** Never a pod's. */
  readonly exclude: readonly IpRange[];
  /** Only for who asks for exactly this address. */
  readonly reserve: readonly IpRange[];
  /** Names, or beginnings that end in `*`; empty: everybody. */
  readonly namespaces: readonly string[];
  /** Namespace → how many addresses on all nodes; `*` for each one not named. */
  readonly quota: Readonly<Record<string, number>>;
  readonly coolDownSeconds: number;
  /** How long a freed address waits for its owner; 0: not at all. */
  readonly keepSeconds: number;
  /** A kept address is given back to its owner on other nodes too (roaming.ts). */
  readonly roam?: boolean | undefined;
}

export type PodState = "used" | "kept" | "cooling" | "reserved" | "quarantined" | "elsewhere";

/** All that is known of one address that is not simply free; the journal's entry. */
export interface PodRecord {
  readonly address: Ip;
  readonly pool: string;
  /** The node's CIDR it was handed out of. */
  readonly cidr: Prefix;
  readonly state: PodState;
  readonly since: number;
  /** End of kept, cooling and quarantined. */
  readonly until?: number;
  readonly containerId?: string;
  readonly ifname?: string;
  readonly network?: string;
  readonly owner?: string;
  readonly namespace?: string;
  readonly mac?: Mac;
  readonly labels?: Readonly<Record<string, string>>;
  /** Set if this node made its link: path of the pod's namespace (null: the caller moves the end), octets of a packet, gateways if not the pools'. */
  readonly link?: {
    readonly netns: string | null;
    readonly mtu: number;
    readonly gateways?: readonly Ip[];
    /** In the pod, instead of its pools'; without a gateway: through the pod's own. */
    readonly routes?: readonly { readonly destination: Prefix; readonly gateway?: Ip }[];
    readonly ports?: readonly PodPort[];
    readonly bandwidth?: PodBandwidth;
  };
  /** Set while an operator keeps it: it goes back to reserved, not to free. */
  readonly reservation?: { readonly owner?: string; readonly reason?: string };
  /** Kept, and shown in the store: it is handed out by its claim there alone. */
  readonly shared?: true;
  /** Node that has it (state elsewhere). */
  readonly node?: string;
  /** Why it is quarantined. */
  readonly reason?: string;
}

/** One address's step. `after` undefined: it is free and forgotten. */
export interface PodChange {
  readonly address: Ip;
  readonly before: PodRecord | undefined;
  readonly after: PodRecord | undefined;
}

export interface PodKey {
  readonly containerId: string;
  readonly ifname: string;
}

export interface PodRequest extends PodKey {
  readonly network?: string;
  /** Pools by name, one address of each. */
  readonly pools: readonly string[];
  /** One of each pool that holds it, instead of a free one. */
  readonly addresses: readonly Ip[];
  readonly mac?: Mac;
  readonly owner?: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly link?: NonNullable<PodRecord["link"]>;
  /** Of its pool each, instead of a free one. */
  readonly claimed?: readonly PodClaimed[];
  /** Addresses asked for that these hold, without a link, pass to this one in the same step. */
  readonly takes?: readonly PodKey[];
}

/** An address of another node's CIDR, or a shared one of ours, that the store has given to this node for a request. */
export interface PodClaimed {
  readonly address: Ip;
  readonly pool: string;
  readonly cidr: Prefix;
}

export interface PodGrant {
  readonly records: readonly PodRecord[];
  /** Empty when it was granted before. */
  readonly changes: readonly PodChange[];
}
