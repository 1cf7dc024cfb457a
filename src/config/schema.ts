/**
 * The document an operator writes (product §2). Types, checks, JSON Schema and the manual all come from here; the engine's own
 * types are base/settings.ts, and compile.ts is the only bridge.
 */
import { z } from "zod";
import { LabSection } from "./lab-schema.ts";
import { limits } from "./limits.ts";
import { Monitoring } from "./monitoring-schema.ts";
import { Attributes, GracefulRestart, Listen, Node, Timers } from "./node-schema.ts";
import { Bfd, Peers } from "./peer-schema.ts";
import { Sets } from "./match-schema.ts";
import { Policy, PolicyName } from "./policy-schema.ts";
import { Pools } from "./pool-schema.ts";
import { AbsolutePath, Asn, Name, Secret, duration, sentence } from "./scalar-schema.ts";

const Endpoint = z
  .string()
  .max(255)
  .superRefine((text, context) => {
    const message = /^[^/]*\/\/[^/]*@/.test(text)
      ? "a password does not belong into an endpoint; write username and password beside endpoints"
      : "expected an endpoint such as http://10.0.0.2:2379";
    if (!/^https?:\/\/(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?\/?$/.test(text)) context.addIssue({ code: "custom", message, ...sentence });
  });

const Etcd = z.strictObject({
  endpoints: z.array(Endpoint).min(1).max(limits.endpoints).meta({ description: "Members of the etcd cluster." }),
  prefix: z
    .string()
    .max(255)
    .regex(/^(\/[A-Za-z0-9._-]+)+\/?$/, "a key prefix such as /podway/quickstart")
    .optional()
    .meta({ description: "Every key of this cluster starts with it; `/podway/<name>` if left out." }),
  tls: z
    .strictObject({
      ca: AbsolutePath.optional().meta({ description: "Certificate authority that signs the servers; the system's if left out." }),
      cert: AbsolutePath.optional().meta({ description: "Client certificate." }),
      key: AbsolutePath.optional().meta({ description: "Key of the client certificate." }),
    })
    .optional()
    .meta({ description: "Files for TLS; all endpoints must then be https." }),
  username: z.string().min(1).max(255).optional().meta({ description: "etcd user." }),
  password: Secret.optional().meta({ description: "Password of that user, named and never written here." }),
});

const Store = z.union([z.enum(["embedded", "none"]), z.strictObject({ etcd: Etcd.meta({ description: "etcd v3." }) })], {
  error: "expected embedded, none, or { etcd: { endpoints: [...] } }",
});

/** Protocol numbers of rtnetlink that belong to the kernel, to administrators and to well-known routing daemons. */
const foreignProtocols: readonly number[] = [0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 42, 84, 186, 187, 188, 189, 192];

export const DocumentSchema = z.strictObject({
  podway: z.literal(1).meta({ description: "Version of this format: 1." }),
  name: Name.meta({ description: "Name of the cluster; part of its keys in the store." }),
  asn: Asn.default(64512).meta({ description: "AS number of the nodes." }),
  store: Store.optional().meta({
    description: "Where leases and the document live: `embedded` (one machine), `none` (BGP alone) or `etcd`; embedded if left out.",
  }),
  listen: Listen.optional().meta({
    description: "Where reflectors and nodes with passive peers accept BGP connections; every address and port 179 if left out. Other nodes only dial.",
  }),
  reflection: z
    .enum(["auto", "mesh", "off"])
    .default("auto")
    .meta({
      description:
        "`auto`: every node dials every reflector; without a reflector, as `mesh`. `mesh`: every node peers with every other. `off`: only what `peers` says.",
    }),
  timers: Timers.prefault({}).meta({ description: "Timers of every session." }),
  gracefulRestart: GracefulRestart.prefault({}).meta({ description: "Graceful restart (RFC 4724, RFC 8538), or `off`." }),
  bfd: Bfd.optional().meta({
    description: "Watch the paths of sessions between nodes of this document with BFD (RFC 5880), over routers unless `multihop: false`; none if left out.",
  }),
  attributes: Attributes.prefault([]).meta({
    description:
      "Path attributes that are discarded, or whose routes are treated as withdrawn, on every session: for an incident, as `[{ type: 128, do: discard }]`.",
  }),
  lease: z
    .strictObject({
      hold: duration(5, 31_536_000).prefault("24h").meta({ description: "How long a node keeps its CIDR while it cannot reach the store." }),
      liveness: duration(2, 3600).prefault("30s").meta({ description: "How long a silent node counts as present." }),
      quarantine: duration(0, 604_800)
        .prefault("10m")
        .meta({ description: "How long a CIDR that a node let go of is kept for that node before another may claim it; 0s for not at all." }),
    })
    .prefault({})
    .meta({ description: "Times of a node's claims in the store." }),
  routeProtocol: z
    .int()
    .min(1)
    .max(255)
    .refine((number) => !foreignProtocols.includes(number), "a number that no other routing daemon uses, such as 117")
    .default(117)
    .meta({ description: "rtm_protocol of our kernel routes: what carries it is ours, everything else is left alone." }),
  routeMetric: z.int().min(1).max(4_294_967_295).default(1024).meta({ description: "Metric of our kernel routes." }),
  pools: Pools,
  nodes: z.record(Name, Node).meta({ description: "Node name → node; the name is the host name, or what `--node` says." }),
  peers: Peers,
  sets: Sets.meta({ description: "Named lists that rules of policies match, written there as `{ set: NAME }`." }),
  policies: z
    .record(PolicyName, Policy)
    .prefault({})
    .meta({ description: "Policy name → policy, beside the built-in `pods` (the routed pools' CIDRs and all within), `default-route`, `all` and `none`." }),
  monitoring: Monitoring,
  lab: LabSection.optional().meta({ description: "Machines and links of a lab in network namespaces; the daemon does not read it." }),
});

export type Document = z.output<typeof DocumentSchema>;

/** JSON Schema (2020-12) of what an operator writes: defaults kept, transforms seen from their input side. */
export function documentJsonSchema(): JsonSchema {
  return z.toJSONSchema(DocumentSchema, { io: "input" }) as JsonSchema;
}

/** The part of JSON Schema that zod prints and this room reads. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
}
