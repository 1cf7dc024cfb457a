/**
 * What one daemon was told to do: the document (config/) compiled for one node. The engine never sees the document, the
 * document never sees these; `config/compile.ts` is the only bridge. Times in seconds, addresses canonical text.
 */
import type { Family, Ip } from "./ip.ts";
import type { PolicySettings } from "./policy-settings.ts";
import type { Prefix } from "./prefix.ts";

export interface NodeSettings {
  readonly cluster: string;
  readonly node: string;
  readonly roles: readonly ("node" | "reflector")[];
  readonly asn: number;
  /** BGP Identifier, dotted quad. */
  readonly routerId: Ip;
  /** Cluster id (RFC 4456 §7), dotted quad; router id by default. */
  readonly clusterId: Ip;
  readonly address: Ip;
  readonly address6: Ip | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Where this node accepts BGP connections; undefined: it only dials. */
  readonly listen: ListenSettings | undefined;
  readonly store: StoreSettings;
  readonly pools: readonly PoolSettings[];
  readonly peers: readonly PeerSettings[];
  readonly ranges: readonly RangeSettings[];
  /** Named policies used by this node's peers. */
  readonly policies: Readonly<Record<string, PolicySettings>>;
  readonly kernel: KernelSettings;
  readonly lease: LeaseSettings;
  /** Who is shown what this speaker hears and holds; undefined: nobody. */
  readonly monitoring?: MonitoringSettings | undefined;
  /** Every declared node by name: for checks, `status --cluster` and the mesh. */
  readonly nodes: Readonly<
    Record<string, { readonly address: Ip; readonly address6: Ip | undefined; readonly routerId: Ip; readonly roles: readonly string[] }>
  >;
  /** Pod CIDRs are taken from those alone who hold them by the store's leases (product §6.13). */
  readonly originValidation: boolean;
  /** A path counts only while the kernel has a route to its next hop. */
  readonly resolvesNextHops?: boolean;
  /** Sessions between nodes of the document; undefined where there are none. */
  readonly reflection?: ReflectionSettings | undefined;
}

/** How `peers` that are nodes of the document replace one another when the document changes (bgp/handover.ts). */
export interface ReflectionSettings {
  /** Names of those of `peers` that are nodes of the document. */
  readonly sessions: readonly string[];
  /** Of them the reflectors by whom this node hears of all others; none in a mesh and on a reflector. */
  readonly reflectors: readonly string[];
  /** Every reflector of the document; none in a mesh. */
  readonly reflecting: readonly string[];
  /** Every node of the document. */
  readonly nodes: readonly string[];
  /** What stands in when all reflectors are gone; undefined: nothing does. */
  readonly fallback: FallbackSettings | undefined;
}

/** A mesh of the nodes that are not reflectors. */
export interface FallbackSettings {
  readonly peers: readonly PeerSettings[];
  /** Where this node accepts connections meanwhile. */
  readonly listen: ListenSettings | undefined;
  /** No session with a reflector for so long. */
  readonly afterSeconds: number;
}

export interface MonitoringSettings {
  readonly bmp: readonly BmpSettings[];
  readonly mrt: readonly MrtSettings[];
}

/** A monitoring station we connect to (RFC 7854). */
export interface BmpSettings {
  readonly name: string;
  readonly address: Ip;
  readonly port: number;
  readonly source: Ip | undefined;
  readonly views: readonly BmpView[];
  /** 0: no reports. */
  readonly statisticsSeconds: number;
}
export type BmpView = "pre-policy" | "loc-rib";

/** A folder of MRT files (RFC 6396). */
export interface MrtSettings {
  readonly name: string;
  readonly directory: string;
  /** A dump of the tables this often; undefined: none. */
  readonly tableSeconds: number | undefined;
  /** True: what peers send is written as it comes, a new file every `rotateSeconds`. */
  readonly updates: boolean;
  readonly rotateSeconds: number;
  /** Files of each kind that stay. */
  readonly keep: number;
}

export interface ListenSettings {
  /** Addresses to bind; empty means every address of both families. */
  readonly addresses: readonly Ip[];
  readonly port: number;
}

export type StoreSettings =
  | { readonly kind: "none" }
  | { readonly kind: "embedded" }
  | {
      readonly kind: "etcd";
      readonly endpoints: readonly string[];
      /** Key prefix without trailing slash. */
      readonly prefix: string;
      readonly ca: string | undefined;
      readonly cert: string | undefined;
      readonly key: string | undefined;
      readonly username: string | undefined;
      readonly password: Secret | undefined;
    };

/** Secrets are named, never held: read at the moment of use (product §6.9). */
export type Secret = { readonly file: string } | { readonly credential: string };

/** How packets between the nodes of a pool go. */
export type Backend = "bgp" | "vxlan" | "host-gw";

export interface PoolSettings {
  readonly name: string;
  readonly cidr: Prefix;
  readonly family: Family;
  /** Prefix length of one node's CIDR. */
  readonly nodePrefix: number;
  readonly backend: Backend;
  /** vxlan only. */
  readonly vni: number | undefined;
  readonly port: number;
  readonly crossSubnet: boolean;
  readonly mtu: number | undefined;
  readonly masquerade: boolean;
  readonly state: "active" | "draining";
  /** Node name → CIDR that is kept for it. */
  readonly reservations: Readonly<Record<string, Prefix>>;
  /** File this node's CIDR is written to as flannel writes it. */
  readonly subnetEnv?: string | undefined;
  /** How its addresses are handed out; undefined: by the defaults. */
  readonly pods?: PodSettings | undefined;
}

/** What an operator wants of a pool's addresses (config/pod-schema.ts). Ranges as `first` and `last`, both included. */
export interface PodSettings {
  readonly ranges: readonly IpRange[];
  readonly exclude: readonly IpRange[];
  readonly reserve: readonly IpRange[];
  /** Undefined: 169.254.1.1 or fe80::1. */
  readonly gateway?: Ip | undefined;
  /** Empty: a default route. */
  readonly routes: readonly { readonly destination: Prefix; readonly gateway?: Ip | undefined }[];
  readonly dns: {
    readonly nameservers: readonly Ip[];
    readonly domain?: string | undefined;
    readonly search: readonly string[];
    readonly options: readonly string[];
  };
  /** Names, or beginnings that end in `*`; empty: everybody. */
  readonly namespaces: readonly string[];
  /** Namespace (`*`: each one not named) → addresses on all nodes. */
  readonly quota: Readonly<Record<string, number>>;
  /** Selector over the labels of a request: who is given this pool without asking for it. */
  readonly select?: string | undefined;
  /** Pool of the other family that an address of this one comes with. */
  readonly pair?: string | undefined;
  readonly coolDownSeconds: number;
  readonly keepSeconds: number;
  /** A kept address is given back to its owner on other nodes too. */
  readonly roam?: boolean | undefined;
  /** Share of addresses in use, in percent, from which on it is said. */
  readonly alarmPercent: number;
}

export interface IpRange {
  readonly first: Ip;
  readonly last: Ip;
}

/** Reflection role of a neighbour as this speaker sees it (RFC 4456 §4). */
export type PeerRole = "client" | "non-client" | "external";

export interface SessionSettings {
  readonly remoteAs: number;
  readonly role: PeerRole;
  readonly holdSeconds: number;
  readonly connectRetrySeconds: number;
  readonly families: readonly FamilyName[];
  readonly passive: boolean;
  readonly gracefulRestart: RestartSettings | undefined;
  readonly md5: Secret | undefined;
  /** Hops: 1 = directly connected eBGP (TTL 1), more = multihop; undefined for iBGP (TTL 255 is sent, nothing checked). */
  readonly multihop: number | undefined;
  /** GTSM (RFC 5082): accept only TTL >= 256 - hops. */
  readonly ttlSecurityHops: number | undefined;
  /** Internal neighbours: routes learned over eBGP get our next hop; `force`: reflected ones too. */
  readonly nextHopSelf: boolean | "force";
  /** Ordered policy names; first match over all rules; empty with role external means reject all (RFC 8212). */
  readonly import: readonly string[];
  readonly export: readonly string[];
  /** Of each family. */
  readonly maxPrefixes: number | undefined;
  /** Warned of above this part of them; only at the limit if undefined. */
  readonly prefixWarningPercent?: number | undefined;
  /** Who announced more is not let in again before this; a minute if undefined. */
  readonly prefixRestartSeconds?: number | undefined;
  /** Our BGP Role towards an external neighbour (RFC 9234); undefined: none is said, none is enforced. */
  readonly asRole?: AsRole | undefined;
  /** A neighbour that says no role is refused. */
  readonly strictRole?: boolean | undefined;
  /** How long a neighbour may read nothing (RFC 9687); undefined: the greater of 8 minutes and twice the hold time. */
  readonly sendHoldSeconds?: number | undefined;
  /** Routes of the session are told and taken as those of one that will be shut down soon (RFC 8326). */
  readonly gracefulShutdown?: boolean | undefined;
  /** AS number we show this external neighbour instead of the node's. */
  readonly localAs?: number | undefined;
  /** The neighbour's AS is replaced by ours in the paths it is told. */
  readonly asOverride?: boolean | undefined;
  /** Our own AS may stand so often in what the neighbour sends; 0 if undefined: then it is a loop. */
  readonly allowAsIn?: number | undefined;
  /** What is done to attributes of the neighbour's, whatever is in them; each type once. */
  readonly attributes?: readonly AttributeSettings[] | undefined;
  /** Several paths of one prefix (RFC 7911); undefined: neither way. */
  readonly addPath?: AddPathSettings | undefined;
  /** IPv4 routes may have an IPv6 next hop (RFC 8950). */
  readonly extendedNextHop?: boolean | undefined;
  /** Bidirectional forwarding detection of the path to the neighbour; undefined: none. */
  readonly bfd?: BfdSettings | undefined;
}

export interface AddPathSettings {
  readonly receive: boolean;
  readonly send: PathCount;
}

/** How many paths of one prefix a peer is told; 0 stands for the best alone, without a path identifier. */
export type PathCount = number | "all";

export interface RestartSettings {
  readonly restartSeconds: number;
  readonly staleSeconds: number;
  /** Long-lived stale time (RFC 9494): said to the peer, and the most its own stale routes are kept for; undefined: not offered. */
  readonly longLivedSeconds?: number | undefined;
  /** Internal peers without it are told of long-lived stale routes, too (RFC 9494 §4.6). */
  readonly longLivedPartial?: boolean | undefined;
}

/** Our BGP Role towards an external neighbour (RFC 9234 §4.1). */
export type AsRole = "provider" | "rs" | "rs-client" | "customer" | "peer";

/** A path attribute left out of routes, or its routes taken as withdrawn (RFC 7606 §2 by an operator's wish). */
export interface AttributeSettings {
  /** Type code. */
  readonly type: number;
  readonly treatment: "discard" | "withdraw";
}

export interface BfdSettings {
  /** Sent and expected this often, at best. */
  readonly intervalMillis: number;
  /** So many packets in a row may be lost. */
  readonly multiplier: number;
  /** Over routers (RFC 5883) instead of one link (RFC 5881). */
  readonly multihop: boolean;
  /** Least TTL or hop limit a packet must arrive with. */
  readonly minTtl: number;
}

export type FamilyName = "ipv4" | "ipv6";

export interface PeerSettings extends SessionSettings {
  readonly name: string;
  readonly address: Ip;
  readonly port: number;
  /** Address our side of the connection is bound to. */
  readonly source: Ip | undefined;
}

/** Dynamic neighbours: anyone out of `range` (longest range wins; configured peers win over ranges). Always passive. */
export interface RangeSettings extends SessionSettings {
  readonly name: string;
  readonly range: Prefix;
  readonly limit: number;
}

export interface KernelSettings {
  /** False for a pure reflector: leases and programs nothing. */
  readonly enabled: boolean;
  /** rtm_protocol of every route of ours; 117 by default. */
  readonly routeProtocol: number;
  readonly metric: number;
}

export interface LeaseSettings {
  /** etcd TTL of a claim. */
  readonly holdSeconds: number;
  /** etcd TTL of presence. */
  readonly livenessSeconds: number;
  /** How long a CIDR that was let go of stays its last node's before another may claim it. */
  readonly quarantineSeconds: number;
}
