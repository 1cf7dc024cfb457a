/**
 * Everything a door may ask the daemon, typed. The doors translate (HTTP, argv, JSON); they decide nothing. Each query is one
 * GET of the control socket with the JSON below as its answer: these shapes are documented and stable (`podway … --json`).
 */
import type { CallerFault, Outcome } from "#base/fault.ts";
import type { OperatorControl } from "./operator-control.ts";
import type { PodControl } from "./pod-control.ts";

export interface Control {
  status(): StatusView;
  /** Every node the store knows of (product §3 `--cluster`). */
  cluster(): ClusterView;
  peers(): readonly PeerView[];
  /** What a peer, named or by its address, sent that was malformed (RFC 7606 §6). */
  peerErrors(peer: string): Outcome<PeerErrorsView, CallerFault>;
  /** Best routes, or with `peer` what was received from or sent to it. Bounded by `limit`; `total` counts all that match. */
  routes(query: RouteQuery): Promise<Outcome<{ readonly total: number; readonly routes: readonly RouteView[] }, CallerFault>>;
  /** Policies this node's peers name, with how often each rule decided. */
  policies(): readonly PolicyView[];
  /** What the policies of a document would make of the routes that are there; nothing is changed. */
  tryPolicies(text: string, file: string, query: PolicyTrialQuery): Promise<Outcome<PolicyTrialView, CallerFault>>;
  leases(): readonly LeaseView[];
  /** One paragraph about a prefix, an address or a peer. */
  why(subject: string): Outcome<WhyView, CallerFault>;
  /** Kernel tables of ours: desired, actual, what differs and why. */
  kernel(): KernelView;
  /** Document the store holds, and how it differs from the file. */
  document(): DocumentView;
  plan(text: string, file: string): Promise<Outcome<PlanView, CallerFault>>;
  apply(text: string, file: string, terms: ApplyTerms): Promise<Outcome<PlanView & { readonly revision: string }, CallerFault>>;
  /** The verbs that change something else than the document. */
  readonly operator: OperatorControl;
  /** Metrics in the Prometheus text format. */
  metrics(): Promise<string>;
  /** Addresses and attachments of pods; undefined where there are none (a pure reflector, or no store). */
  readonly pods?: PodControl | undefined;
  /** Calls `listener` (synchronously, may be often) whenever `status()` would say something new; returns how to stop that. */
  onChange?(listener: () => void): () => void;
}

/** Hits count routes a rule decided about since its policy reads as it does; a route that is looked at again counts again. */
export interface PolicyView {
  readonly name: string;
  readonly rules: readonly {
    readonly name: string | null;
    readonly then: "accept" | "reject";
    readonly imported: number;
    /** Counted once for peers that are told the same. */
    readonly exported: number;
  }[];
  /** Routes no rule matched. */
  readonly otherwise: { readonly then: "accept" | "reject"; readonly imported: number; readonly exported: number };
  /** Names of peers and ranges. */
  readonly importOf: readonly string[];
  readonly exportTo: readonly string[];
}

export interface PolicyTrialQuery {
  readonly peer?: string;
  readonly direction?: "import" | "export";
  readonly limit?: number;
}

export interface PolicyTrialView {
  readonly import: PolicyTrialCounts;
  readonly export: PolicyTrialCounts;
  /** Routes that import policies refuse today: they are not held, so nobody knows what would become of them. */
  readonly notJudged: number;
  readonly routes: readonly {
    readonly direction: "import" | "export";
    readonly peer: string;
    readonly prefix: string;
    readonly before: string;
    readonly after: string;
  }[];
}

export interface PolicyTrialCounts {
  readonly judged: number;
  /** Not today, but then. */
  readonly accepted: number;
  /** Today, but not then. */
  readonly rejected: number;
  /** Accepted on both sides, with other attributes. */
  readonly changed: number;
}

/** Who applies a document, and whether it goes back by itself. */
export interface ApplyTerms {
  readonly by: string;
  /** Goes back after this unless it is confirmed. */
  readonly confirmSeconds?: number;
}

export interface StatusView {
  readonly node: string;
  readonly cluster: string;
  readonly version: string;
  readonly roles: readonly string[];
  readonly asn: number;
  readonly routerId: string;
  readonly address: string;
  readonly address6: string | null;
  readonly uptimeSeconds: number;
  /** In service, on the way out of it, or out (`podway drain`). */
  readonly service: "active" | "draining" | "drained";
  readonly ready: boolean;
  /** What is missing for ready, one sentence each. */
  readonly reasons: readonly string[];
  readonly store: {
    readonly kind: "none" | "embedded" | "etcd";
    readonly state: "connected" | "away" | "off";
    readonly text: string;
    readonly revision: string | null;
  };
  /** "file" or "store", and whether the file differs from what rules (product §6.3). */
  readonly document: { readonly source: "file" | "store"; readonly revision: string | null; readonly fileDiffers: boolean };
  readonly leases: readonly LeaseView[];
  readonly peers: readonly PeerView[];
  readonly routes: { readonly ipv4: number; readonly ipv6: number; readonly paths: number };
  readonly kernel: {
    readonly enabled: boolean;
    readonly inSync: boolean;
    readonly desired: number;
    readonly differing: number;
    readonly lastPassMillis: number | null;
    readonly drift: number;
  };
  readonly listen: { readonly state: "listening" | "off" | "failed"; readonly text: string };
  readonly monitoring: MonitoringView;
  readonly warnings: readonly string[];
}

/** BMP stations and MRT folders. */
export interface MonitoringView {
  readonly bmp: readonly {
    readonly name: string;
    readonly address: string;
    readonly port: number;
    readonly state: "connected" | "waiting";
    /** Why it is not connected, one sentence; null while it is. */
    readonly reason: string | null;
    readonly messages: number;
  }[];
  readonly mrt: readonly {
    readonly name: string;
    readonly directory: string;
    /** The last dump that is whole; null: none yet. */
    readonly lastDump: string | null;
    /** Messages left out because the disk did not keep up or was full. */
    readonly lost: number;
    readonly fault: string | null;
  }[];
}

export interface ClusterView {
  readonly nodes: readonly {
    readonly name: string;
    readonly roles: readonly string[];
    readonly address: string;
    readonly address6: string | null;
    readonly alive: boolean;
    /** Out of service (`podway drain`). */
    readonly drained: boolean;
    readonly leases: readonly string[];
  }[];
}

export interface PeerView {
  readonly name: string;
  readonly address: string;
  readonly asn: number;
  readonly role: "client" | "non-client" | "external";
  readonly dynamic: boolean;
  readonly state: "Idle" | "Connect" | "Active" | "OpenSent" | "OpenConfirm" | "Established";
  /** Why it is in this state, or why it last went down: one sentence. */
  readonly reason: string;
  readonly sinceSeconds: number;
  readonly families: readonly ("ipv4" | "ipv6")[];
  readonly holdSeconds: number | null;
  readonly remoteId: string | null;
  readonly received: number;
  readonly accepted: number;
  readonly sent: number;
  readonly stale: number;
  readonly flaps: number;
  readonly gracefulRestart: boolean;
  /** BFD of the path to it; null if the document does not ask for it. */
  readonly bfd?: BfdView | null;
  readonly messages: { readonly updatesIn: number; readonly updatesOut: number; readonly notificationsIn: number; readonly notificationsOut: number };
}

export interface PeerErrorsView {
  readonly name: string;
  readonly address: string;
  /** UPDATEs since the daemon runs, by the strongest thing that became of them (RFC 7606 §2). */
  readonly discarded: number;
  readonly withdrawn: number;
  readonly reset: number;
  /** UPDATEs treated as `attributes` of the document says; they are not malformed. */
  readonly configured: number;
  /** The last malformed ones, oldest first. */
  readonly messages: readonly {
    readonly agoSeconds: number;
    readonly treatment: "discard" | "withdraw" | "reset";
    /** What was wrong. */
    readonly text: string;
    /** Type codes of the attributes at fault; 0: the message itself. */
    readonly attributes: readonly number[];
    /** The first prefixes that could be read, of `prefixCount`. */
    readonly prefixes: readonly string[];
    readonly prefixCount: number;
    /** The whole message with its header, in hexadecimal. */
    readonly octets: string;
  }[];
}

export interface BfdView {
  readonly state: "AdminDown" | "Down" | "Init" | "Up";
  /** Why it is in this state: one sentence without subject. */
  readonly reason: string;
  readonly sinceSeconds: number;
  /** Over routers (RFC 5883) instead of one link (RFC 5881). */
  readonly multihop: boolean;
  /** Between our packets, without jitter; null while the peer wants none. */
  readonly transmitMillis: number | null;
  /** Silence after which the session is down; null before the peer was heard. */
  readonly detectionMillis: number | null;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly packetsRefused: number;
}

export interface RouteQuery {
  readonly prefix?: string;
  /** With `prefix`: it and everything more specific. */
  readonly longer?: boolean;
  /** With `receivedFrom`: only what is also chosen. */
  readonly best?: boolean;
  /** Routes to leave out before the first one. */
  readonly offset?: number;
  readonly family?: "ipv4" | "ipv6";
  readonly receivedFrom?: string;
  readonly sentTo?: string;
  /** All paths of each prefix, not only the best. */
  readonly all?: boolean;
  readonly limit?: number;
}

export interface RouteView {
  readonly prefix: string;
  readonly best: boolean;
  readonly peer: string;
  /** Path identifier (RFC 7911): the peer's own, or for what was sent ours; null without ADD-PATH. */
  readonly pathId: number | null;
  readonly nextHop: string;
  readonly origin: "igp" | "egp" | "incomplete";
  readonly asPath: string;
  readonly localPref: number | null;
  readonly med: number | null;
  readonly communities: readonly string[];
  readonly largeCommunities: readonly string[];
  readonly originatorId: string | null;
  readonly clusterList: readonly string[];
  readonly stale: boolean;
}

export interface LeaseView {
  readonly pool: string;
  readonly cidr: string | null;
  readonly node: string;
  readonly own: boolean;
  readonly state: "wanted" | "asking" | "held" | "doubtful" | "lost" | "reserved";
  readonly backend: "bgp" | "vxlan" | "host-gw";
  readonly address: string;
  readonly vtepMac: string | null;
  /** Seconds until the claim lapses if nothing renews it; null if unknown or a reservation. */
  readonly expiresSeconds: number | null;
  /** Why it is not held, or what is tried next: one sentence. */
  readonly reason: string;
}

export interface WhyView {
  readonly subject: string;
  readonly kind: "prefix" | "address" | "peer";
  /** The paragraph. */
  readonly text: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface KernelView {
  readonly tables: readonly {
    readonly name: "link" | "address" | "neighbour" | "fdb" | "route" | "sysctl";
    readonly entries: readonly { readonly key: string; readonly desired: string | null; readonly actual: string | null; readonly failure: string | null }[];
  }[];
}

export interface DocumentView {
  readonly source: "file" | "store";
  readonly revision: string | null;
  readonly text: string;
  readonly fileDiffers: boolean;
}

export interface PlanView {
  readonly changes: readonly {
    readonly path: string;
    readonly before: string | null;
    readonly after: string | null;
    readonly effect: "applied now" | "route refresh" | "session reset" | "restart" | "refused";
    readonly text: string;
  }[];
}

/** Paths of the HTTP door, one per verb above (`src/api/server.ts` serves them, `src/cli` calls them). */
export const controlPaths = {
  status: "/v1/status",
  cluster: "/v1/cluster",
  peers: "/v1/peers",
  peerErrors: "/v1/peers/errors",
  routes: "/v1/routes",
  leases: "/v1/leases",
  why: "/v1/why",
  policies: "/v1/policies",
  policyTrial: "/v1/policies/try",
  kernel: "/v1/kernel",
  document: "/v1/document",
  plan: "/v1/plan",
  apply: "/v1/apply",
  events: "/v1/events",
  metrics: "/metrics",
  openapi: "/openapi.json",
} as const;
