/**
 * The `lab:` key of the document (product §2): machines, links and what must be seen. It feels like containerlab:
 * defaults → kind → group → node, first set wins, maps and lists add up; `endpoints: ["n1:eth1", "sw0:p1"]`.
 */
import { z } from "zod";
import { parseIp } from "#base/ip.ts";
import { parsePrefix } from "#base/prefix.ts";

/** IFNAMSIZ leaves 15 characters; these are the ones every tool takes without quotes. */
const interfacePattern = /^[a-zA-Z][a-zA-Z0-9._-]{0,14}$/;
const namePattern = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

const labLimits = { nodes: 256, links: 1024, execPerNode: 64, expectations: 1024, withinSeconds: 600 } as const;

const Name = z.string().regex(namePattern, "lower-case letters, digits, dots and hyphens, at most 63");
const Cidr = z.string().refine((text) => parsePrefix(text, true) !== undefined, 'an address with a length, for example "10.0.0.21/24"');
const Address = z.string().refine((text) => parseIp(text) !== undefined, 'an address, for example "10.0.0.1"');
const Endpoint = z
  .string()
  .refine(
    (text) => namePattern.test(text.split(":")[0]!) && interfacePattern.test(text.split(":")[1] ?? "") && text.split(":").length === 2,
    '"node:interface", the interface at most 15 characters, for example "n1:eth1"',
  );
const Mtu = z.int().min(1280).max(65535);

export const LabKind = z.enum(["podway", "etcd", "bird", "frr", "host", "bridge", "router"]);

const LabRoute = z.strictObject({
  to: Cidr.describe("Destination, 0.0.0.0/0 or ::/0 for the default route."),
  via: Address.describe("Next hop on one of the machine's links."),
});

const shared = {
  config: z.string().min(1).max(255).describe("bird, frr: configuration file, relative to the topology file.").optional(),
  addresses: z.array(Cidr).max(64).describe("Addresses on the loopback interface; of a host without pool: its own addresses.").optional(),
  routes: z.array(LabRoute).max(256).describe("Static routes.").optional(),
  sysctls: z
    .record(z.string().regex(/^net\.[a-z0-9._/-]+$/), z.union([z.string(), z.int()]))
    .describe("Sysctls of the machine's namespace (net.*).")
    .optional(),
  env: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string())
    .describe("Environment of the machine's processes.")
    .optional(),
  exec: z.array(z.string().min(1).max(1024)).max(labLimits.execPerNode).describe("Shell commands run in the machine once its links are up.").optional(),
};

const LabDefaults = z.strictObject({ ...shared, kind: LabKind.optional(), group: Name.optional() });
const LabBody = z.strictObject(shared);
const LabGroup = z.strictObject({ ...shared, kind: LabKind.optional() });

const LabNode = z.strictObject({
  ...shared,
  kind: LabKind.describe("podway for a name that stands in `nodes:`, else to be stated here, by the group or by the defaults.").optional(),
  group: Name.optional(),
  node: Name.describe("host: the machine whose pod it is.").optional(),
  pool: Name.describe("host: the pool its address is taken from, once the node holds a CIDR of it.").optional(),
});

const PerEnd = <T extends z.ZodType>(value: T) => z.array(value.nullable()).min(1).max(2);
const LabLink = z.strictObject({
  endpoints: z.array(Endpoint).length(2).describe('Both ends, for example ["n1:eth1", "sw0:p1"].'),
  ipv4: PerEnd(Cidr).describe("IPv4 address of each end, null for none.").optional(),
  ipv6: PerEnd(Cidr).describe("IPv6 address of each end, null for none.").optional(),
  mtu: Mtu.optional(),
});

const Names = z.array(Name).min(1).max(labLimits.nodes);
const Pinging = z.array(Name).min(1).max(labLimits.nodes);
const Answering = z
  .array(z.string().refine((text) => namePattern.test(text) || parseIp(text) !== undefined, '"pods", the name of a machine, or an address'))
  .min(1)
  .max(labLimits.nodes);
const RouteTarget = z
  .string()
  .refine(
    (text) => parsePrefix(text) !== undefined || (text.split("/").length === 2 && text.split("/").every((part) => namePattern.test(part))),
    'a prefix, or "node/pool" for the CIDR that node holds',
  );

export const LabExpect = z.strictObject({
  within: z.int().min(1).max(labLimits.withinSeconds).describe("Seconds until everything below must be seen; 60 by default.").optional(),
  sessions: z
    .array(z.strictObject({ node: Name, peers: Names.describe("Names of the peers (or BIRD protocols) that must be Established.") }))
    .max(labLimits.expectations)
    .optional(),
  leases: z
    .array(z.strictObject({ node: Name, pools: Names }))
    .max(labLimits.expectations)
    .describe("Pools of which the node must hold a CIDR.")
    .optional(),
  pings: z
    .array(
      z.strictObject({
        from: Pinging.describe('Machines that ping; "pods" for every host that has a pool.'),
        to: Answering.describe('Machines or addresses that answer; "pods" for every host that has a pool.'),
        family: z.enum(["ipv4", "ipv6"]).describe("Only this family; both by default, where both ends have an address of it.").optional(),
      }),
    )
    .max(labLimits.expectations)
    .optional(),
  routes: z
    .array(
      z.strictObject({
        on: Name.describe("Machine whose routes are read: the kernel's, or on bird and frr what the routing daemon has."),
        to: RouteTarget.describe('A prefix, or "node/pool" for the CIDR that node holds.'),
        via: z.string().min(1).max(64).describe("Next hop address or device that must be among the route's.").optional(),
        absent: z.boolean().describe("True: there must be no such route.").optional(),
      }),
    )
    .max(labLimits.expectations)
    .optional(),
  kernel: Names.describe("Nodes whose routes, FDB and neighbours must be what the daemon says.").optional(),
});

export const LabSection = z.strictObject({
  defaults: LabDefaults.optional(),
  kinds: z.partialRecord(LabKind, LabBody).describe("Settings of every machine of a kind.").optional(),
  groups: z.record(Name, LabGroup).optional(),
  nodes: z.record(Name, LabNode).describe("Machines of the lab; names in the document's `nodes:` are there without being repeated.").optional(),
  links: z.array(LabLink).max(labLimits.links).optional(),
  expect: LabExpect.describe("What must be seen; `podway lab up --check` waits for it.").optional(),
});

export type LabKind = z.infer<typeof LabKind>;
export type LabSection = z.infer<typeof LabSection>;
export type LabNode = z.infer<typeof LabNode>;
export type LabLink = z.infer<typeof LabLink>;
export type LabExpect = z.infer<typeof LabExpect>;

/** A machine after defaults → kind → group → node. */
export interface LabMachine extends Omit<LabNode, "kind" | "group"> {
  readonly name: string;
  readonly kind: LabKind;
}

/** What the rest of the document declares, as far as a lab refers to it. */
export interface LabContext {
  /** Names under the document's `nodes:`. */
  readonly nodes: readonly string[];
  readonly pools: readonly string[];
}

export interface LabProblem {
  /** Where in the document, from its root. */
  readonly path: readonly (string | number)[];
  /** What is wrong and what would be right. */
  readonly text: string;
}

/**
 * Every machine of the lab, in the document's order: `nodes:` first, then the lab's own.
 * A machine whose kind nothing states is returned as "host"; `labProblems` names it.
 */
export function labMachines(lab: LabSection, context: LabContext): readonly LabMachine[] {
  const own = Object.keys(lab.nodes ?? {});
  const names = [...context.nodes, ...own.filter((name) => !context.nodes.includes(name))];
  return names.map((name) => machineOf(lab, context, name));
}

function machineOf(lab: LabSection, context: LabContext, name: string): LabMachine {
  const node = lab.nodes?.[name] ?? {};
  const group = lab.groups?.[node.group ?? lab.defaults?.group ?? ""] ?? {};
  const kind = kindOf(lab, context, name) ?? "host";
  const layers = [lab.defaults ?? {}, lab.kinds?.[kind] ?? {}, group, node];
  const {
    kind: _kind,
    group: _group,
    ...merged
  } = layers.reduce((under, over) => ({
    ...under,
    ...over,
    sysctls: { ...under.sysctls, ...over.sysctls },
    env: { ...under.env, ...over.env },
    addresses: [...(under.addresses ?? []), ...(over.addresses ?? [])],
    routes: [...(under.routes ?? []), ...(over.routes ?? [])],
    exec: [...(under.exec ?? []), ...(over.exec ?? [])],
  })) as LabNode;
  return { ...merged, name, kind };
}

function kindOf(lab: LabSection, context: LabContext, name: string): LabKind | undefined {
  const node = lab.nodes?.[name];
  if (context.nodes.includes(name)) return "podway";
  return node?.kind ?? lab.groups?.[node?.group ?? lab.defaults?.group ?? ""]?.kind ?? lab.defaults?.kind;
}

/** References that do not hold: unknown machines, interfaces used twice, hosts without a node, files not named. */
export function labProblems(lab: LabSection, context: LabContext): readonly LabProblem[] {
  const machines = new Map(labMachines(lab, context).map((machine) => [machine.name, machine]));
  return [...machineProblems(lab, context, machines), ...linkProblems(lab, machines), ...expectProblems(lab.expect ?? {}, machines, context)];
}

type Machines = ReadonlyMap<string, LabMachine>;

function* machineProblems(lab: LabSection, context: LabContext, machines: Machines): Iterable<LabProblem> {
  for (const [name, machine] of machines) {
    const path = ["lab", "nodes", name];
    const stated = lab.nodes?.[name];
    const group = stated?.group;
    const routing = machine.kind === "bird" || machine.kind === "frr";
    if (kindOf(lab, context, name) === undefined) yield { path, text: `has no kind; state one of ${LabKind.options.join(", ")}` };
    else if (machine.kind === "podway" && !context.nodes.includes(name)) yield { path, text: `is of kind podway, so it must stand under nodes: as well` };
    else if (stated?.kind !== undefined && stated.kind !== machine.kind) yield { path: [...path, "kind"], text: "stands under nodes:, so its kind is podway" };
    if (group !== undefined && !lab.groups?.[group]) yield { path: [...path, "group"], text: `there is no group "${group}" under lab.groups` };
    if (routing && machine.config === undefined) yield { path, text: `needs config: FILE, its ${machine.kind} configuration` };
    if (machine.kind === "host") yield* hostProblems(machine, path, machines, context);
    else if (stated?.node !== undefined || stated?.pool !== undefined) yield { path, text: "node and pool belong to machines of kind host" };
  }
}

function* hostProblems(host: LabMachine, path: readonly (string | number)[], machines: Machines, context: LabContext): Iterable<LabProblem> {
  const on = host.node === undefined ? undefined : machines.get(host.node);
  if (host.node !== undefined && on?.kind !== "podway" && on?.kind !== "router" && on?.kind !== "bird" && on?.kind !== "frr")
    yield { path: [...path, "node"], text: `there is no node or router "${host.node}" to attach it to` };
  if (host.pool === undefined) {
    if (host.node !== undefined && (host.addresses ?? []).length === 0) yield { path, text: "needs pool: NAME or addresses: [ADDRESS/LENGTH]" };
    return;
  }
  if (on?.kind !== "podway") yield { path: [...path, "pool"], text: "a pool's address needs node: NAME, a name under nodes:" };
  const pools = context.pools.join(", ") || "none";
  if (!context.pools.includes(host.pool)) yield { path: [...path, "pool"], text: `there is no pool "${host.pool}"; there are ${pools}` };
}

function* linkProblems(lab: LabSection, machines: Machines): Iterable<LabProblem> {
  const used = new Set<string>();
  const addresses = new Map<string, string>();
  for (const [i, link] of (lab.links ?? []).entries()) {
    for (const [end, endpoint] of link.endpoints.entries()) {
      const path = ["lab", "links", i, "endpoints", end];
      const name = endpoint.split(":")[0]!;
      if (!machines.has(name)) yield { path, text: `there is no machine "${name}" under nodes: or lab.nodes` };
      if (used.has(endpoint)) yield { path, text: `${endpoint} is used by an earlier link already` };
      used.add(endpoint);
      for (const family of ["ipv4", "ipv6"] as const) {
        const address = link[family]?.[end];
        const key = address && parseIp(address.split("/")[0]!);
        if (!key) continue;
        if ((family === "ipv6") !== key.includes(":")) yield { path: ["lab", "links", i, family, end], text: `${address} is no ${family} address` };
        if (addresses.has(key)) yield { path: ["lab", "links", i, family, end], text: `${address} is the address of ${addresses.get(key)} already` };
        addresses.set(key, endpoint);
      }
    }
  }
}

function* expectProblems(expect: LabExpect, machines: Machines, context: LabContext): Iterable<LabProblem> {
  const unknown = (path: readonly (string | number)[], name: string): LabProblem[] =>
    machines.has(name) ? [] : [{ path: ["lab", "expect", ...path], text: `there is no machine "${name}"` }];
  for (const [i, one] of (expect.sessions ?? []).entries()) yield* unknown(["sessions", i, "node"], one.node);
  for (const [i, one] of (expect.leases ?? []).entries()) {
    yield* unknown(["leases", i, "node"], one.node);
    for (const pool of one.pools)
      if (!context.pools.includes(pool)) yield { path: ["lab", "expect", "leases", i, "pools"], text: `there is no pool "${pool}"` };
  }
  for (const [i, one] of (expect.pings ?? []).entries())
    for (const side of ["from", "to"] as const)
      for (const name of one[side]) if (name !== "pods" && (side === "from" || parseIp(name) === undefined)) yield* unknown(["pings", i, side], name);
  for (const [i, one] of (expect.routes ?? []).entries()) yield* unknown(["routes", i, "on"], one.on);
  for (const [i, name] of (expect.kernel ?? []).entries()) yield* unknown(["kernel", i], name);
}
