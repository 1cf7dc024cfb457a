/** The door as a table: one row per verb over `Control`. server.ts serves the rows, openapi.ts describes them. */
import { callerFault, type CallerFault, failed, ok, type Outcome } from "#base/fault.ts";
import { type ApplyTerms, controlPaths, type PeerView, type RouteQuery } from "#daemon/control.ts";
import { limits } from "./limits.ts";
import { operatorVerbs } from "./operator-verbs.ts";
import { podVerbs } from "./pod-verbs.ts";
import { type Asked, get, post, type Verb } from "./verb.ts";

export const verbs: readonly Verb[] = [
  get(controlPaths.status, "Status", "This node in one object.", (control) => ok(control.status())),
  get(controlPaths.cluster, "Cluster", "Every node the store knows of.", (control) => ok(control.cluster())),
  {
    ...get(controlPaths.peers, "Peers", "BGP neighbours.", (control, { query }) => named(control.peers(), query["name"])),
    query: [{ name: "name", about: "Only the peer of this name or address.", kind: "text" }],
  },
  {
    ...get(controlPaths.peerErrors, "PeerErrors", "What a peer sent that was malformed: counts, and the last messages whole.", (control, { query }) =>
      control.peerErrors(String(query["name"])),
    ),
    query: [{ name: "name", about: "Name or address of the peer.", kind: "text", required: true }],
  },
  {
    ...get(controlPaths.routes, "Routes", "Best routes, or what a peer sent or was sent.", (control, { query }) => control.routes(routeQuery(query))),
    query: [
      { name: "prefix", about: "Only this prefix.", kind: "text" },
      { name: "family", about: "Only this family.", kind: ["ipv4", "ipv6"] },
      { name: "receivedFrom", about: "What this peer sent us.", kind: "text" },
      { name: "sentTo", about: "What this peer was sent.", kind: "text" },
      { name: "all", about: "All paths of each prefix, not only the best.", kind: "flag" },
      { name: "limit", about: `How many at most; ${limits.routesDefault} if left out.`, kind: { from: 1, to: limits.routes } },
      { name: "longer", about: "With prefix: it and everything more specific.", kind: "flag" },
      { name: "best", about: "With receivedFrom: only what is also chosen.", kind: "flag" },
      { name: "offset", about: "Routes to leave out before the first one, for paging.", kind: { from: 0, to: 100_000_000 } },
    ],
  },
  get(controlPaths.policies, "Policies", "Policies of this node's peers, with how often each rule decided.", (control) => ok(control.policies())),
  {
    ...post(controlPaths.policyTrial, "PolicyTrial", "What a document's policies would make of the routes that are there.", (control, { proposal, query }) =>
      control.tryPolicies(proposal!.text, proposal!.file, query),
    ),
    takesDocument: true,
    query: [
      { name: "peer", about: "Only this peer's import and export.", kind: "text" },
      { name: "direction", about: "Only this direction.", kind: ["import", "export"] },
      { name: "limit", about: "How many routes to list; 50 if left out.", kind: { from: 1, to: limits.routes } },
    ],
  },
  get(controlPaths.leases, "Leases", "Who holds which CIDR.", (control) => ok(control.leases())),
  {
    ...get(controlPaths.why, "Why", "One paragraph about a prefix, an address or a peer.", (control, { query }) => control.why(String(query["subject"]))),
    query: [{ name: "subject", about: "Prefix, address or name of a peer.", kind: "text", required: true }],
  },
  get(controlPaths.kernel, "Kernel", "Kernel tables of ours: desired, actual, what differs and why.", (control) => ok(control.kernel())),
  get(controlPaths.document, "Document", "The document that rules, and whether the file differs.", (control) => ok(control.document())),
  {
    ...post(controlPaths.plan, "Plan", "What a document would change.", (control, { proposal }) => control.plan(proposal!.text, proposal!.file)),
    takesDocument: true,
  },
  {
    ...post(controlPaths.apply, "Applied", "Puts a document into force by compare-and-swap on its revision.", (control, { proposal, query }) =>
      control.apply(proposal!.text, proposal!.file, applyTerms(query)),
    ),
    takesDocument: true,
    query: [
      { name: "confirmSeconds", about: "Goes back after this unless it is confirmed.", kind: { from: 1, to: 86_400 } },
      { name: "by", about: "Who applies it, for the history.", kind: "text" },
    ],
  },
  ...operatorVerbs,
  ...podVerbs,
];

function named(peers: readonly PeerView[], name: string | number | boolean | undefined): Outcome<readonly PeerView[], CallerFault> {
  if (name === undefined) return ok(peers);
  const found = peers.filter((peer) => peer.name === name || peer.address === name);
  return found.length > 0 ? ok(found) : failed(callerFault("api.no-such-peer", `there is no peer named ${JSON.stringify(name)}: podway peers lists them.`));
}

/** The checked parameters bear the names and types of `RouteQuery` (the row above is its list). */
function routeQuery(query: Asked["query"]): RouteQuery {
  return { limit: limits.routesDefault, ...query };
}

function applyTerms(query: Asked["query"]): ApplyTerms {
  const { by = "unknown", confirmSeconds } = query;
  return { by: String(by), ...(typeof confirmSeconds === "number" && { confirmSeconds }) };
}
