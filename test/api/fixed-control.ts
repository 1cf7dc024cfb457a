/** The other side of the contract with fixed answers: what the doors' tests talk to in place of a running daemon. */
import { callerFault, failed, ok } from "#base/fault.ts";
import type {
  ClusterView,
  Control,
  DocumentView,
  KernelView,
  LeaseView,
  PeerErrorsView,
  PeerView,
  PolicyTrialView,
  PolicyView,
  PlanView,
  RouteView,
  StatusView,
} from "#daemon/control.ts";
import type { HistoryView, OperatorControl } from "#daemon/operator-control.ts";

export const leases: readonly LeaseView[] = [
  {
    pool: "routed",
    cidr: "10.42.7.0/24",
    node: "n1",
    own: true,
    state: "held",
    backend: "bgp",
    address: "10.0.0.21",
    vtepMac: null,
    expiresSeconds: 86_390,
    reason: "",
  },
  {
    pool: "overlay",
    cidr: null,
    node: "n1",
    own: true,
    state: "asking",
    backend: "vxlan",
    address: "10.0.0.21",
    vtepMac: "02:5e:11:22:33:44",
    expiresSeconds: null,
    reason: "pool overlay is exhausted: all 2 CIDRs are held; podway tries again in 8 s.",
  },
];

export const peers: readonly PeerView[] = [
  {
    name: "rr1",
    address: "10.0.0.11",
    asn: 64512,
    role: "non-client",
    dynamic: false,
    state: "Established",
    reason: "established 2 h ago",
    sinceSeconds: 7_260,
    families: ["ipv4", "ipv6"],
    holdSeconds: 90,
    remoteId: "10.0.0.11",
    received: 12,
    accepted: 12,
    sent: 2,
    stale: 0,
    flaps: 1,
    gracefulRestart: true,
    bfd: null,
    messages: { updatesIn: 9, updatesOut: 3, notificationsIn: 0, notificationsOut: 0 },
  },
  {
    name: "tor-a",
    address: "10.0.0.1",
    asn: 65001,
    role: "external",
    dynamic: false,
    state: "Active",
    reason: "connection refused by 10.0.0.1 port 179: is its BGP daemon running, and does it know this node? The next attempt is in 4 s.",
    sinceSeconds: 31,
    families: [],
    holdSeconds: null,
    remoteId: null,
    received: 0,
    accepted: 0,
    sent: 0,
    stale: 0,
    flaps: 0,
    gracefulRestart: false,
    bfd: {
      state: "Down",
      reason: "nothing heard from the peer for 900 ms",
      sinceSeconds: 31,
      multihop: false,
      transmitMillis: 1000,
      detectionMillis: null,
      packetsIn: 4102,
      packetsOut: 4166,
      packetsRefused: 0,
    },
    messages: { updatesIn: 0, updatesOut: 0, notificationsIn: 0, notificationsOut: 2 },
  },
];

export const peerErrors: PeerErrorsView = {
  name: "tor-a",
  address: "10.0.0.1",
  discarded: 3,
  withdrawn: 1,
  reset: 0,
  configured: 12,
  messages: [
    {
      agoSeconds: 95,
      treatment: "discard",
      text: "ATOMIC_AGGREGATE with a length of 1",
      attributes: [6],
      prefixes: ["10.9.0.0/24"],
      prefixCount: 1,
      octets: "ffffffffffffffffffffffffffffffff0034020000001940010100400206020100000001400304000000014006010018" + "0a0900",
    },
    {
      agoSeconds: 4,
      treatment: "withdraw",
      text: "NEXT_HOP is missing; ORIGIN is malformed",
      attributes: [1, 3],
      prefixes: ["10.9.0.0/24", "10.9.1.0/24"],
      prefixCount: 40,
      octets: "ffffffffffffffffffffffffffffffff002702000000044001010718" + "0a0900180a0901",
    },
  ],
};

export const status: StatusView = {
  node: "n1",
  cluster: "quickstart",
  version: "0.1.0",
  roles: ["node"],
  asn: 64512,
  routerId: "10.0.0.21",
  address: "10.0.0.21",
  address6: "fd00::21",
  uptimeSeconds: 7_325,
  service: "active",
  ready: false,
  reasons: ["pool overlay has no CIDR yet."],
  store: { kind: "etcd", state: "connected", text: "etcd at http://10.0.0.2:2379", revision: "4711" },
  document: { source: "store", revision: "17", fileDiffers: true },
  leases,
  peers,
  routes: { ipv4: 9, ipv6: 5, paths: 16 },
  kernel: { enabled: true, inSync: false, desired: 21, differing: 1, lastPassMillis: 4, drift: 2 },
  listen: { state: "off", text: "this node only dials" },
  monitoring: { bmp: [], mrt: [] },
  warnings: ["the clock stepped by 3 s."],
};

export const cluster: ClusterView = {
  nodes: [
    { name: "n1", roles: ["node"], address: "10.0.0.21", address6: "fd00::21", alive: true, drained: false, leases: ["10.42.7.0/24"] },
    { name: "rr1", roles: ["reflector"], address: "10.0.0.11", address6: null, alive: false, drained: true, leases: [] },
  ],
};

const route: RouteView = {
  prefix: "10.42.8.0/24",
  best: true,
  peer: "rr1",
  pathId: null,
  nextHop: "10.0.0.22",
  origin: "igp",
  asPath: "",
  localPref: 100,
  med: null,
  communities: ["64512:100"],
  largeCommunities: [],
  originatorId: "10.0.0.22",
  clusterList: ["10.0.0.11"],
  stale: false,
};
export const routes: readonly RouteView[] = [
  route,
  { ...route, prefix: "fd42:0:0:8::/64", nextHop: "fd00::22", communities: [] },
  {
    ...route,
    prefix: "0.0.0.0/0",
    peer: "tor-a",
    nextHop: "10.0.0.1",
    asPath: "65001 65010 65020",
    localPref: null,
    med: 50,
    originatorId: null,
    clusterList: [],
    stale: true,
  },
];

export const kernel: KernelView = {
  tables: [
    { name: "link", entries: [{ key: "pw-vx43", desired: "vxlan 43 mtu 1450", actual: "vxlan 43 mtu 1450", failure: null }] },
    {
      name: "route",
      entries: [{ key: "10.42.8.0/24", desired: "via 10.0.0.22", actual: null, failure: "ENETUNREACH: 10.0.0.22 is on no link of this node." }],
    },
    { name: "fdb", entries: [] },
  ],
};

export const document: DocumentView = { source: "store", revision: "17", text: "podway: 1\nname: quickstart\n", fileDiffers: true };

export const plan: PlanView = {
  changes: [
    { path: "nodes.n3", before: null, after: "{ address: 10.0.0.23 }", effect: "applied now", text: "n3 joins the cluster." },
    { path: "peers.tor-a.holdTime", before: "90", after: "30", effect: "session reset", text: "The session to tor-a is closed and opened again." },
  ],
};

export const history: HistoryView = {
  pending: { revision: "18", by: "alice", secondsLeft: 245 },
  revisions: [
    {
      revision: "18",
      at: "2026-02-03T04:05:06.000Z",
      by: "alice",
      node: "n1",
      how: "apply, to be confirmed",
      rules: true,
      changes: ["timers.hold: 90 -> 30 (session reset)", 'peers.tor-a.import: ["default-route"] -> ["all","default-route"] (route refresh)'],
      more: 3,
    },
    { revision: "17", at: "2026-02-03T03:00:00.000Z", by: "podwayd", node: "rr1", how: "filled", rules: false, changes: [], more: 0 },
  ],
};

export const policies: readonly PolicyView[] = [
  {
    name: "outside",
    rules: [
      { name: "bogons", then: "reject", imported: 12, exported: 0 },
      { name: null, then: "accept", imported: 900, exported: 31 },
    ],
    otherwise: { then: "reject", imported: 7, exported: 0 },
    importOf: ["tor-a"],
    exportTo: ["tor-a", "tor-b"],
  },
];
export const policyTrial: PolicyTrialView = {
  import: { judged: 900, accepted: 0, rejected: 1, changed: 0 },
  export: { judged: 31, accepted: 0, rejected: 0, changed: 1 },
  notJudged: 19,
  routes: [
    { direction: "import", peer: "tor-a", prefix: "198.51.100.0/24", before: "accepted", after: "rejected" },
    { direction: "export", peer: "tor-a", prefix: "10.42.7.0/24", before: "med 0", after: "med 20" },
  ],
};

const done = { text: "tor-a is shut down, also after restarts; `podway peers enable tor-a` ends it", details: ["that cannot be written down: ENOSPC"] };
const operator: OperatorControl = {
  confirm: async () => ok({ text: "revision 18 is kept", details: [] }),
  history: async () => ok(history),
  rollback: async () => ok({ ...plan, revision: "19" }),
  resetPeer: () => ok(done),
  refreshPeer: () => ok(done),
  shutdownPeer: async () => ok(done),
  enablePeer: async () => ok(done),
  drain: async () => ok(done),
  undrain: async () => ok(done),
  evict: async () => ok(done),
  leave: async () => ok(done),
};

/** A Control whose every answer is one of the above, but for what `other` says. */
export function fixedControl(other: Partial<Control> = {}): Control {
  return {
    status: () => status,
    cluster: () => cluster,
    peers: () => peers,
    peerErrors: () => ok(peerErrors),
    routes: async ({ limit = Infinity, family, receivedFrom }) => {
      if (receivedFrom !== undefined && !peers.some((peer) => peer.name === receivedFrom))
        return failed(callerFault("api.no-such-peer", `there is no peer named ${receivedFrom}.`));
      const found = routes.filter((row) => family === undefined || row.prefix.includes(":") === (family === "ipv6"));
      return ok({ total: found.length, routes: found.slice(0, limit) });
    },
    policies: () => policies,
    tryPolicies: async () => ok(policyTrial),
    leases: () => leases,
    why: (subject) =>
      subject === "10.42.8.0/24"
        ? ok({
            subject,
            kind: "prefix",
            text: "10.42.8.0/24 came from rr1 and is the only path. It was told to nobody: there is no other peer.",
            facts: { paths: 1, revision: 18_446_744_073_709_551_615n },
          })
        : failed(callerFault("api.no-such-subject", `nothing is known of ${subject}: give a prefix, an address or the name of a peer.`)),
    kernel: () => kernel,
    document: () => document,
    plan: async (text, file) =>
      text.includes("adress") ? failed(callerFault("config.invalid", `${file}:3:5: nodes.n1.adress: unknown key; did you mean "address"?`)) : ok(plan),
    apply: async () => ok({ ...plan, revision: "18" }),
    operator,
    metrics: async () => "# HELP podway_up 1\npodway_up 1\n",
    ...other,
  };
}
