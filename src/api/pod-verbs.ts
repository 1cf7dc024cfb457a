/** The rows of addresses and attachments (daemon/pod-control.ts). */
import { callerFault, failed, type Fault, ok, type Outcome, worldFault } from "#base/fault.ts";
import type { Control } from "#daemon/control.ts";
import { type AllocateRequest, type AttachRequest, type CollectRequest, type PodControl, podPaths } from "#daemon/pod-control.ts";
import { type Asked, type Fields, get, type Parameter, post, type Verb } from "./verb.ts";

const containerId = { schema: "text", about: "Id of the container.", required: true } as const;
const ifname = { schema: "text", about: "Name of the interface in the container.", required: true } as const;
const allocation: Fields = {
  containerId,
  ifname,
  network: { schema: "text", about: "Name of the network, for lists and garbage collection." },
  pools: { schema: "texts", about: "Pools to take one address from each." },
  addresses: { schema: "texts", about: "Exactly these addresses." },
  mac: { schema: "text", about: "MAC address of the interface." },
  owner: { schema: "text", about: "Who gets the same address back next time." },
  namespace: { schema: "text", about: "Namespace or tenant, for permission and quota." },
  labels: { schema: "words", about: "Words for people." },
};
const attachment: Fields = {
  ...allocation,
  netns: { schema: "text", about: "Path of the network namespace; without it both ends of the link stay on the node." },
  mtu: { schema: "count", about: "MTU of the link." },
  routes: { schema: "routes", about: "Routes in the pod instead of its pools'." },
  portMappings: { schema: "ports", about: "Ports of the node that lead into the container." },
  bandwidth: { schema: "counts", about: "ingressRate and egressRate in bits a second, ingressBurst and egressBurst in bits; ingress is to the container." },
};
const address: Fields = { address: { schema: "text", about: "The address.", required: true } };
const keyQuery: readonly Parameter[] = [
  { name: "containerId", about: "Id of the container.", kind: "text" },
  { name: "ifname", about: "Name of the interface in the container.", kind: "text" },
];
const word = (name: string, about: string): Parameter => ({ name, about, kind: "text" });

const noPods: Fault = worldFault(
  "ipam.try-later",
  "this daemon has no pods: it is a reflector, has no store, or its journal cannot be used; its log says which",
);

/** What `ask` says, or that there are no pods here. */
function withPods<T>(ask: (pods: PodControl, asked: Asked) => Outcome<T> | Promise<Outcome<T>>): Verb["answer"] {
  return ({ pods }: Control, asked) => (pods === undefined ? failed(noPods) : ask(pods, asked));
}
const remove = (path: string, about: string, query: readonly Parameter[], answer: Verb["answer"]): Verb => ({
  method: "delete",
  path,
  schema: "Removed",
  about,
  query,
  answer,
});

/** The fields of a body have passed `takes`, whose names and kinds are those of the request. */
const bodyOf = <T>({ body }: Asked): T => body as T;
const keyOf = ({ query }: Asked): { readonly containerId: string; readonly ifname: string } => ({
  containerId: String(query["containerId"] ?? ""),
  ifname: String(query["ifname"] ?? ""),
});

function release(pods: PodControl, asked: Asked): ReturnType<PodControl["release"]> {
  const force = { force: asked.query["force"] === true };
  if (asked.query["address"] !== undefined) return pods.release({ address: String(asked.query["address"]), ...force });
  if (asked.query["containerId"] !== undefined && asked.query["ifname"] !== undefined) return pods.release({ ...keyOf(asked), ...force });
  return Promise.resolve(failed(callerFault("api.bad-request", "say which: address, or containerId and ifname.")));
}

export const podVerbs: readonly Verb[] = [
  {
    ...post(
      podPaths.attachments,
      "Attachment",
      "Gives a container's interface its addresses, link and routes.",
      withPods((pods, asked) => pods.attach(bodyOf<AttachRequest>(asked))),
    ),
    takes: attachment,
  },
  {
    ...get(
      podPaths.attachments,
      "Attachments",
      "Attachments of this node.",
      withPods((pods, { query }) => ok(pods.attachments(query))),
    ),
    query: [word("containerId", "Only this container's."), word("network", "Only this network's.")],
  },
  remove(
    podPaths.attachments,
    "Removes an attachment; succeeds if there is none.",
    keyQuery.map((parameter) => ({ ...parameter, required: true })),
    withPods((pods, asked) => pods.detach(keyOf(asked))),
  ),
  {
    ...post(
      podPaths.attachmentsCheck,
      "Attachment",
      "Compares an attachment with the kernel; changes nothing.",
      withPods((pods, asked) => pods.checkAttachment(bodyOf<Parameters<PodControl["checkAttachment"]>[0]>(asked))),
    ),
    takes: { containerId, ifname, netns: attachment["netns"]!, addresses: { schema: "texts", about: "Addresses the caller believes in." } },
  },
  {
    ...post(
      podPaths.attachmentsCollect,
      "Collected",
      "Removes what is not among the living.",
      withPods((pods, asked) => pods.collect(bodyOf<CollectRequest>(asked))),
    ),
    takes: { network: allocation["network"]!, living: { schema: "keys", about: "What stays.", required: true } },
  },
  {
    ...post(
      podPaths.addresses,
      "Allocation",
      "Allocates addresses without a link.",
      withPods((pods, asked) => pods.allocate(bodyOf<AllocateRequest>(asked))),
    ),
    takes: allocation,
  },
  {
    ...get(
      podPaths.addresses,
      "Addresses",
      "Addresses that are not simply free.",
      withPods((pods, { query }) => ok(pods.addresses(query))),
    ),
    query: [
      word("containerId", "Only this container's."),
      word("pool", "Only this pool's."),
      word("owner", "Only this owner's."),
      word("node", "Only this node's."),
      word("namespace", "Only this namespace's."),
    ],
  },
  remove(
    podPaths.addresses,
    "Releases addresses; succeeds if there are none.",
    [...keyQuery, word("address", "This address, whoever has it."), { name: "force", about: "Also if it is in use.", kind: "flag" }],
    withPods(release),
  ),
  {
    ...get(
      podPaths.addressWho,
      "Who",
      "Who has an address, and why.",
      withPods((pods, { query }) => pods.who(String(query["address"]))),
    ),
    query: [{ name: "address", about: "The address.", kind: "text", required: true }],
  },
  {
    ...post(
      podPaths.addressesReserve,
      "Address",
      "Keeps an address from everybody, or for one owner.",
      withPods((pods, asked) => pods.reserve(bodyOf<Parameters<PodControl["reserve"]>[0]>(asked))),
    ),
    takes: { ...address, owner: allocation["owner"]!, reason: { schema: "text", about: "Why, for people." } },
  },
  {
    ...post(
      podPaths.addressesUnreserve,
      "Removed",
      "Ends a reservation, and any wait of a free address.",
      withPods((pods, asked) => pods.unreserve(bodyOf<{ readonly address: string }>(asked))),
    ),
    takes: address,
  },
  {
    ...post(
      podPaths.addressesCheck,
      "AddressCheck",
      "Compares addresses with the living namespaces of this machine.",
      withPods((pods, asked) => pods.checkAddresses(bodyOf<{ readonly repair?: boolean }>(asked))),
    ),
    takes: { repair: { schema: "flag", about: "Mend what is certain." } },
  },
  get(
    podPaths.addressesAudit,
    "AddressAudit",
    "What happened to addresses beside their pods' will.",
    withPods((pods) => ok(pods.audit())),
  ),
  get(
    podPaths.pools,
    "Pools",
    "Pools as this node hands addresses out of them.",
    withPods((pods) => ok(pods.pools())),
  ),
  get(
    podPaths.podsReady,
    "PodsReady",
    "Whether an attachment would be made now.",
    withPods((pods) => ok(pods.readiness())),
  ),
];
