/**
 * JSON Schemas of the views of `daemon/control.ts`, for openapi.json. `view<T>` makes the compiler compare the names of the
 * properties with the view's; a test holds real answers against the schemas.
 */
import type {
  BfdView,
  ClusterView,
  DocumentView,
  KernelView,
  LeaseView,
  MonitoringView,
  PeerErrorsView,
  PeerView,
  PolicyTrialCounts,
  PolicyTrialView,
  PolicyView,
  PlanView,
  RouteView,
  StatusView,
  WhyView,
} from "#daemon/control.ts";
import { asn, choice, count, flag, list, number, orNull, reference, said, type Schema, text, view } from "./schema-word.ts";
import { podSchemas } from "./pod-schemas.ts";
import type { DoneView, HistoryView, RevisionView } from "#daemon/operator-control.ts";

const Lease = view<LeaseView>({
  pool: text,
  cidr: orNull(text),
  node: text,
  own: said("Held, or wanted, by the node that answers.", flag),
  state: choice("wanted", "asking", "held", "doubtful", "lost", "reserved"),
  backend: choice("bgp", "vxlan", "host-gw"),
  address: text,
  vtepMac: orNull(text),
  expiresSeconds: said("Until the claim lapses if nothing renews it; null if unknown or a reservation.", orNull(number)),
  reason: said("Why it is not held, or what is tried next.", text),
});

const Bfd = view<BfdView>({
  state: choice("AdminDown", "Down", "Init", "Up"),
  reason: said("Why it is in this state.", text),
  sinceSeconds: number,
  multihop: said("Over routers (RFC 5883) instead of one link (RFC 5881).", flag),
  transmitMillis: said("Between our packets; null while the peer wants none.", orNull(number)),
  detectionMillis: said("Silence after which it is down; null before the peer was heard.", orNull(number)),
  packetsIn: count,
  packetsOut: count,
  packetsRefused: count,
});

const Peer = view<PeerView>({
  name: text,
  address: text,
  asn,
  role: choice("client", "non-client", "external"),
  dynamic: flag,
  state: choice("Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"),
  reason: said("Why it is in this state, or why it last went down.", text),
  sinceSeconds: number,
  families: list(choice("ipv4", "ipv6")),
  holdSeconds: said("Negotiated; null without a session.", orNull(number)),
  remoteId: orNull(text),
  received: count,
  accepted: count,
  sent: count,
  stale: said("Paths kept through a graceful restart.", count),
  flaps: count,
  gracefulRestart: flag,
  bfd: said("Null if the document does not ask for it.", orNull(Bfd)),
  messages: view<PeerView["messages"]>({ updatesIn: count, updatesOut: count, notificationsIn: count, notificationsOut: count }),
});

const PeerErrors = view<PeerErrorsView>({
  name: text,
  address: text,
  discarded: said("UPDATEs that lost an attribute.", count),
  withdrawn: said("UPDATEs whose routes were taken as withdrawn.", count),
  reset: said("UPDATEs the session was reset for.", count),
  configured: said("UPDATEs treated as `attributes` of the document says.", count),
  messages: list(
    view<PeerErrorsView["messages"][number]>({
      agoSeconds: number,
      treatment: choice("discard", "withdraw", "reset"),
      text,
      attributes: said("Type codes of the attributes at fault; 0: the message itself.", list(count)),
      prefixes: said("The first that could be read.", list(text)),
      prefixCount: count,
      octets: said("The whole message in hexadecimal.", text),
    }),
  ),
});

const Route = view<RouteView>({
  prefix: text,
  best: flag,
  peer: text,
  pathId: said("RFC 7911: as it was received, or with `--sent` as it was sent; null without ADD-PATH.", orNull(count)),
  nextHop: text,
  origin: choice("igp", "egp", "incomplete"),
  asPath: text,
  localPref: orNull(count),
  med: orNull(count),
  communities: list(text),
  largeCommunities: list(text),
  originatorId: orNull(text),
  clusterList: list(text),
  stale: flag,
});

const Status = view<StatusView>({
  node: text,
  cluster: text,
  version: text,
  roles: list(text),
  asn,
  routerId: text,
  address: text,
  address6: orNull(text),
  uptimeSeconds: number,
  service: choice("active", "draining", "drained"),
  ready: flag,
  reasons: said("What is missing for ready, one sentence each.", list(text)),
  store: view<StatusView["store"]>({ kind: choice("none", "embedded", "etcd"), state: choice("connected", "away", "off"), text, revision: orNull(text) }),
  document: view<StatusView["document"]>({ source: choice("file", "store"), revision: orNull(text), fileDiffers: flag }),
  leases: list(reference("Lease")),
  peers: list(reference("Peer")),
  routes: view<StatusView["routes"]>({ ipv4: count, ipv6: count, paths: count }),
  kernel: view<StatusView["kernel"]>({ enabled: flag, inSync: flag, desired: count, differing: count, lastPassMillis: orNull(number), drift: count }),
  listen: view<StatusView["listen"]>({ state: choice("listening", "off", "failed"), text }),
  monitoring: view<MonitoringView>({
    bmp: list(
      view<MonitoringView["bmp"][number]>({
        name: text,
        address: text,
        port: count,
        state: choice("connected", "waiting"),
        reason: orNull(text),
        messages: count,
      }),
    ),
    mrt: list(view<MonitoringView["mrt"][number]>({ name: text, directory: text, lastDump: orNull(text), lost: count, fault: orNull(text) })),
  }),
  warnings: list(text),
});

const Cluster = view<ClusterView>({
  nodes: list(
    view<ClusterView["nodes"][number]>({
      name: text,
      roles: list(text),
      address: text,
      address6: orNull(text),
      alive: flag,
      drained: flag,
      leases: list(text),
    }),
  ),
});

const Why = view<WhyView>({ subject: text, kind: choice("prefix", "address", "peer"), text, facts: { type: "object" } });

const Kernel = view<KernelView>({
  tables: list(
    view<KernelView["tables"][number]>({
      name: choice("link", "address", "neighbour", "fdb", "route", "sysctl"),
      entries: list(view<KernelView["tables"][number]["entries"][number]>({ key: text, desired: orNull(text), actual: orNull(text), failure: orNull(text) })),
    }),
  ),
});

const verdict = choice("accept", "reject");
const Policy = view<PolicyView>({
  name: text,
  rules: list(view<PolicyView["rules"][number]>({ name: orNull(text), then: verdict, imported: count, exported: count })),
  otherwise: said("Routes no rule matched.", view<PolicyView["otherwise"]>({ then: verdict, imported: count, exported: count })),
  importOf: list(text),
  exportTo: list(text),
});

const trialCounts = view<PolicyTrialCounts>({ judged: count, accepted: count, rejected: count, changed: count });
const PolicyTrial = view<PolicyTrialView>({
  import: trialCounts,
  export: trialCounts,
  notJudged: said("Routes that import policies refuse today; they are not held.", count),
  routes: list(view<PolicyTrialView["routes"][number]>({ direction: choice("import", "export"), peer: text, prefix: text, before: text, after: text })),
});

const Document = view<DocumentView>({ source: choice("file", "store"), revision: orNull(text), text, fileDiffers: flag });

const changes = list(
  view<PlanView["changes"][number]>({
    path: text,
    before: orNull(text),
    after: orNull(text),
    effect: choice("applied now", "route refresh", "session reset", "restart", "refused"),
    text,
  }),
);

const History = view<HistoryView>({
  pending: orNull(view<NonNullable<HistoryView["pending"]>>({ revision: text, by: text, secondsLeft: count })),
  revisions: list(
    view<RevisionView>({
      revision: text,
      at: said("ISO 8601, by the clock of the node that wrote it.", text),
      by: text,
      node: text,
      how: text,
      rules: flag,
      changes: list(text),
      more: count,
    }),
  ),
});

/** By name, as openapi.json's components hold them. */
export const schemas = {
  Status,
  Cluster,
  Peer,
  PeerErrors,
  Route,
  Lease,
  Why,
  Kernel,
  Document,
  Policy,
  PolicyTrial,
  Policies: list(reference("Policy")),
  Peers: list(reference("Peer")),
  Leases: list(reference("Lease")),
  Routes: view<{ total: number; routes: readonly RouteView[] }>({
    total: said("All that match, also beyond the limit.", count),
    routes: list(reference("Route")),
  }),
  Plan: view<PlanView>({ changes }),
  Applied: view<PlanView & { revision: string }>({ changes, revision: text }),
  Done: view<DoneView>({ text: said("What was done.", text), details: said("Its parts.", list(text)) }),
  History,
  ...podSchemas,
  Proposal: view<{ text: string; file: string }>({ text: said("The topology file, as it stands.", text), file: said("Its name, for messages.", text) }),
  Error: view<{ error: { code: string; text: string } }>({ error: view<{ code: string; text: string }>({ code: text, text }) }),
} as const satisfies Readonly<Record<string, Schema>>;
