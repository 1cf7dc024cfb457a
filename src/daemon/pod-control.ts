/**
 * What the doors of containers (CNI, Docker, `podway ip`) may ask of a node: attachments, addresses and pools. Bodies are JSON, one object each;
 * unknown fields are refused. Every request that names a container and an interface may be sent again: the answer is the same.
 *
 * Faults a door translates (`code` of `{ error: { code, text } }`):
 * - `ipam.try-later`    503  not in sync yet, no CIDR held, the state directory is full, an address is in hand-over: CNI code 11
 * - `ipam.exhausted`    409  no free address in the pool's CIDR here; the sentence counts used, kept and cooling ones
 * - `ipam.taken`        409  the address asked for belongs to somebody; the sentence says to whom
 * - `ipam.not-in-pool`  409  the address asked for is in no pool of this node, or excluded
 * - `ipam.no-such-pool` 404  · `ipam.not-permitted` 403 (namespace) · `ipam.quota` 409 (tenant over quota)
 * - `ipam.unknown`      404  no such address or attachment (never for a DELETE: what is gone is gone)
 * - `attach.no-netns`   409  the network namespace is not there: CNI code 3
 * - `attach.exists`     409  the interface exists in the namespace, and is not ours
 * - `attach.differs`    409  CHECK: what the kernel has differs; the sentence lists how
 * - `attach.port-taken` 409  a port of the node leads to another container; the sentence says to which
 * - `attach.failed`     503  the kernel refused a step; all steps before are undone
 */
import type { CallerFault, Fault, Outcome } from "#base/fault.ts";

type Answered<T> = Promise<Outcome<T, Fault>>;

export interface PodControl {
  attach(request: AttachRequest): Answered<AttachmentView>;
  /** Removes link, routes and allocation. Succeeds on what is not there: `found` says whether anything was. */
  detach(request: AttachmentKey): Answered<{ readonly found: boolean }>;
  /** Changes nothing. `addresses`: those the caller believes in, without length; absent: those of the allocation. */
  checkAttachment(request: AttachmentKey & { readonly netns?: string; readonly addresses?: readonly string[] }): Answered<AttachmentView>;
  attachments(query: { readonly containerId?: string; readonly network?: string }): readonly AttachmentView[];
  /** Everything of `network` (allocations without a link too) that is not in `living` goes; carries on past failures. */
  collect(request: CollectRequest): Answered<CollectView>;

  /** Addresses without a link, for other people's links (`podway-ipam`, Docker's IPAM). */
  allocate(request: AllocateRequest): Answered<AllocationView>;
  /** By container and interface, or by address. Succeeds on what is not there. `force` also takes one that is in use, and is audited. */
  release(request: ReleaseRequest): Answered<{ readonly released: readonly string[] }>;
  addresses(query: AddressQuery): readonly AddressView[];
  who(address: string): Outcome<WhoView, CallerFault>;
  /** Keeps an address from everybody, until `unreserve`; with `owner`, for that owner. */
  reserve(request: { readonly address: string; readonly owner?: string; readonly reason?: string }): Answered<AddressView>;
  unreserve(request: { readonly address: string }): Answered<{ readonly found: boolean }>;
  /** Leaks and doubles against the living containers of this machine; `repair` mends what is certain. */
  checkAddresses(request: { readonly repair?: boolean }): Answered<AddressCheckView>;
  /** What happened to addresses beside their pods' will, the latest last: a bounded trail. */
  audit(): readonly AuditView[];
  pools(): readonly PoolView[];
  /** Whether an ADD would be taken now (CNI STATUS). */
  readiness(): { readonly ready: boolean; readonly reasons: readonly string[] };
}

/** A container and its interface: no two allocations or attachments share them. */
export interface AttachmentKey {
  readonly containerId: string;
  readonly ifname: string;
}

export interface AllocateRequest extends AttachmentKey {
  /** Name of the CNI or Docker network, for GC and lists. */
  readonly network?: string;
  /** Pools to take one address from each; absent: the first pool that permits the namespace, and its `pair`. */
  readonly pools?: readonly string[];
  /** Exactly these (with or without `/length`), each from the pool that holds it. */
  readonly addresses?: readonly string[];
  readonly mac?: string;
  /** Who gets the same address back next time: `<namespace>/<controller or pod name>`, or a label's value. */
  readonly owner?: string;
  /** Namespace or tenant, for permission and quota. */
  readonly namespace?: string;
  /** Words for people, shown by lists: pod name and such. At most 16, 256 characters each. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Of `addresses`, those that these hold without a link pass to this one, all in one step: Docker asks for an address before it names the endpoint. */
  readonly takes?: readonly AttachmentKey[];
}

export interface AttachRequest extends AllocateRequest {
  /** Path of the network namespace. Absent: both ends of the veth stay here and the caller moves `containerDevice` (Docker). */
  readonly netns?: string;
  readonly mtu?: number;
  /** One of a family, instead of the pools': two links of one container need two. */
  readonly gateways?: readonly string[];
  /** Routes inside instead of the default route; `gateway` absent: the pod's own. */
  readonly routes?: readonly { readonly destination: string; readonly gateway?: string }[];
  /** Ports of the node that lead into the container. `hostPort` 0 is none; `protocol` absent: tcp; `hostIp` absent: every address of the node. */
  readonly portMappings?: readonly { readonly hostPort: number; readonly containerPort: number; readonly protocol?: string; readonly hostIp?: string }[];
  /** Bits a second, and bits that may pass at once; 0 or absent: no limit. `ingress`: to the container. With `netns` only. */
  readonly bandwidth?: { readonly ingressRate?: number; readonly ingressBurst?: number; readonly egressRate?: number; readonly egressBurst?: number };
}

export interface AllocationView extends AttachmentKey {
  readonly network: string | null;
  readonly addresses: readonly {
    readonly address: string;
    /** 32 or 128: a pod's link is its own. */
    readonly length: number;
    readonly pool: string;
    /** The node's CIDR it comes from (for an address that followed its owner, that of another node). */
    readonly cidr: string;
    /** 169.254.1.1 or fe80::1, or the pool's `gateway`. */
    readonly gateway: string;
    /** For links that are a subnet (`bridge`, `macvlan`): a host of the CIDR that no pod gets; null in a CIDR of fewer than four. */
    readonly subnetGateway: string | null;
  }[];
  /** Destinations with their gateways, the pool's `routes` or the default. */
  readonly routes: readonly { readonly destination: string; readonly gateway: string }[];
  readonly dns: {
    readonly nameservers: readonly string[];
    readonly domain: string | null;
    readonly search: readonly string[];
    readonly options: readonly string[];
  };
  readonly mtu: number;
  readonly mac: string | null;
  readonly owner: string | null;
  readonly namespace: string | null;
}

export interface AttachmentView extends AllocationView {
  readonly netns: string | null;
  readonly mac: string;
  /** The node's end of the veth (`pw` and 11 hexadecimal digits), and its MAC. */
  readonly hostDevice: string;
  readonly hostMac: string;
  readonly portMappings: readonly { readonly hostPort: number; readonly containerPort: number; readonly protocol: string; readonly hostIp: string | null }[];
  /** The container's end as it is named where it is now: `ifname`, or without `netns` a name to be moved and renamed. */
  readonly containerDevice: string;
}

export interface CollectRequest {
  readonly network?: string;
  readonly living: readonly AttachmentKey[];
}
export interface CollectView {
  readonly removed: readonly AttachmentKey[];
  /** One sentence each. */
  readonly failures: readonly string[];
}

export type ReleaseRequest = (AttachmentKey | { readonly address: string }) & { readonly force?: boolean };

export interface AddressQuery {
  readonly containerId?: string;
  readonly pool?: string;
  readonly owner?: string;
  readonly node?: string;
  readonly namespace?: string;
}

export interface AddressView {
  readonly address: string;
  readonly pool: string;
  readonly node: string;
  /**
   * used: a container has it · kept: for its owner · cooling: nobody's, not handed out yet · reserved: by an operator ·
   * quarantined: somebody answers to it, or nobody knows whose it is · elsewhere: another node has it.
   */
  readonly state: "used" | "kept" | "cooling" | "reserved" | "quarantined" | "elsewhere";
  readonly containerId: string | null;
  readonly ifname: string | null;
  readonly network: string | null;
  readonly owner: string | null;
  readonly namespace: string | null;
  readonly mac: string | null;
  /** ISO 8601: since when it is so, and until when (kept, cooling, quarantined). */
  readonly since: string;
  readonly until: string | null;
  readonly labels: Readonly<Record<string, string>>;
}

export interface WhoView {
  readonly address: string;
  readonly holder: AddressView | null;
  /** Who has it and why, in a sentence or two. */
  readonly text: string;
}

export interface AddressCheckView {
  readonly checked: number;
  readonly findings: readonly {
    readonly kind: "leak" | "double" | "unknown" | "missing";
    readonly address: string | null;
    readonly text: string;
    readonly repaired: boolean;
  }[];
}

export interface AuditView {
  /** ISO 8601. */
  readonly at: string;
  /** moved: its owner's next pod got it here · forced: taken by an operator's word · lost: a pod here has it, and another node's claim counts. */
  readonly event: "moved" | "forced" | "lost";
  readonly address: string;
  readonly pool: string;
  /** Node that had it (moved, forced), or has it now (lost). */
  readonly node: string | null;
  readonly owner: string | null;
  readonly containerId: string | null;
}

export interface PoolView {
  readonly name: string;
  readonly cidr: string;
  /** This node's CIDR; null while it holds none. */
  readonly nodeCidr: string | null;
  readonly backend: string;
  readonly mtu: number;
  /** Addresses a pod can get here, of any state; and how many are in each. */
  readonly capacity: number;
  readonly used: number;
  readonly kept: number;
  readonly cooling: number;
  readonly reserved: number;
  readonly quarantined: number;
  readonly free: number;
  readonly alarm: string | null;
}

/**
 * Paths of the HTTP door. `attachments` and `addresses`: POST makes, GET lists (query: the fields of the query types), DELETE removes (query
 * `containerId` and `ifname`, or `address`; `force`). The rest: POST with a body, GET `addressWho?address=`, GET `pools`, GET `podsReady`.
 */
export const podPaths = {
  attachments: "/v1/attachments",
  attachmentsCheck: "/v1/attachments/check",
  attachmentsCollect: "/v1/attachments/gc",
  addresses: "/v1/addresses",
  addressWho: "/v1/addresses/who",
  addressesReserve: "/v1/addresses/reserve",
  addressesUnreserve: "/v1/addresses/unreserve",
  addressesCheck: "/v1/addresses/check",
  addressesAudit: "/v1/addresses/audit",
  pools: "/v1/pools",
  podsReady: "/v1/pods/ready",
} as const;
