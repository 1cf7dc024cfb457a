/** `nodes:`, `listen:`, timers: who there is and how its BGP speaker behaves. */
import { z } from "zod";
import { limits } from "./limits.ts";
import { Address, Address4, Address6, Asn, Port, duration, sentence } from "./scalar-schema.ts";

export const Listen = z.union(
  [
    z.literal("off"),
    z.strictObject({
      address: z
        .union([Address, z.array(Address).min(1).max(limits.listenAddresses)], { error: "expected an IP address or a list of them" })
        .optional()
        .meta({ description: "Address or addresses to bind; every address of the machine if left out." }),
      port: Port.default(179).meta({ description: "TCP port." }),
    }),
  ],
  { error: "expected off, or { address: IP, port: 179 }" },
);

export const GracefulRestart = z.union(
  [
    z.literal("off"),
    z.strictObject({
      restart: duration(1, 4095)
        .prefault("360s")
        .meta({ description: "How long neighbours keep our routes while we are away (RFC 4724 §3 Restart Time); a daemon may be stopped this long." }),
      stale: duration(1, 86400).prefault("300s").meta({ description: "How long a returned neighbour's old routes are kept while it sends End-of-RIB." }),
      longLived: z
        .strictObject({
          staleTime: duration(1, 16_777_215).prefault("24h").meta({ description: "The most that stale routes are kept for, ours there and theirs here." }),
          partial: z
            .boolean()
            .optional()
            .meta({
              description:
                "While not all of the AS know it (RFC 9494 §4.6): iBGP neighbours that do not are told of such routes too, with NO_EXPORT and LOCAL_PREF 0.",
            }),
        })
        .optional()
        .meta({
          description:
            "Long-lived graceful restart (RFC 9494): after the restart time routes stay, as the last to use, among those who know it; not offered if left out.",
        }),
    }),
  ],
  { error: "expected off, or { restart: 360s, stale: 300s }" },
);

/** What carries the routes themselves: without it there is nothing left to keep. */
const carriers: readonly number[] = [1, 2, 3, 14, 15];
/** Without them, routes from within the AS compare wrongly, or go round for ever. */
const internal: Readonly<Record<number, string>> = { 5: "LOCAL_PREF", 9: "ORIGINATOR_ID", 10: "CLUSTER_LIST" };

const Attribute = z
  .strictObject({
    type: z.int().min(1).max(255).meta({ description: "Type code of the path attribute, as IANA lists them." }),
    do: z
      .enum(["discard", "treat-as-withdraw"])
      .meta({
        description:
          "`discard`: the route goes on without it. `treat-as-withdraw`: routes that have it are not taken, " +
          "and what the peer said of them before is withdrawn.",
      }),
  })
  .superRefine(({ type, do: what }, context) => {
    const refuse = (message: string): void => context.addIssue({ code: "custom", message, path: ["type"], ...sentence });
    if (carriers.includes(type)) refuse(`attribute ${type} is mandatory: no route can be without it; filter the routes by a policy instead`);
    else if (internal[type] !== undefined && what === "discard")
      refuse(`${internal[type]} is mandatory or guards against loops within an AS and cannot be discarded; write do: treat-as-withdraw, or a policy`);
  });

export const Attributes = z
  .array(Attribute)
  .max(limits.attributes)
  .superRefine((list, context) => {
    for (const [i, { type }] of list.entries())
      if (list.findIndex((one) => one.type === type) < i)
        context.addIssue({ code: "custom", message: `attribute ${type} is named twice; keep one of the two`, path: [i, "type"], ...sentence });
  });

export const HoldTime = duration(3, 65535, true);

export const Timers = z.strictObject({
  hold: HoldTime.prefault("90s").meta({ description: "Hold time proposed in OPEN; 0 turns keepalives off (RFC 4271 §4.2)." }),
  connectRetry: duration(1, 3600).prefault("5s").meta({ description: "Wait between attempts to connect; the speaker backs off from there (RFC 4271 §8.2)." }),
  fallback: duration(1, 86_400, true)
    .prefault("20s")
    .meta({
      description:
        "A node without a session with any reflector for so long peers with the other nodes, which do the same, until a reflector is back; " +
        "0 turns it off. Not above 100 nodes.",
    }),
});

const labelKey = /^[A-Za-z0-9]([A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?$/;

export const Node = z.strictObject({
  address: Address.meta({ description: "Address other nodes reach this node by, next hop of its routes; IPv6 on an IPv6-only node." }),
  address6: Address6.optional().meta({ description: "IPv6 address beside an IPv4 `address`; needed on every node as soon as there is a routed IPv6 pool." }),
  roles: z
    .array(z.enum(["node", "reflector"]))
    .min(1)
    .max(2)
    .default(["node"])
    .meta({ description: "`node` leases CIDRs and carries pods, `reflector` reflects routes (RFC 4456); `[reflector]` alone leases and programs nothing." }),
  labels: z
    .record(z.string().regex(labelKey, "a label name: letters, digits, and _ . / - between them, at most 63"), z.string().max(253))
    .default({})
    .meta({ description: "Free key-value pairs for selectors; values are text. `node` and `role` are set by Podway." }),
  routerId: Address4.optional().meta({ description: "BGP Identifier; the IPv4 address if left out, so an IPv6-only node states it." }),
  clusterId: Address4.optional().meta({ description: "Cluster id of a reflector (RFC 4456 §7); the router id if left out." }),
  nextHopResolution: z
    .enum(["off", "kernel"])
    .default("off")
    .meta({
      description:
        "`kernel`: a path counts while the kernel has a route to its next hop, and of equal ones the closer is taken (RFC 4271 §9.1.2); " +
        "`off`: every next hop counts as reachable, as an off-path reflector needs it.",
    }),
  originValidation: z
    .enum(["lease", "off"])
    .default("lease")
    .meta({ description: "Of a reflector with a store: `lease` takes a pod CIDR from the node alone that holds it by the store; `off` believes every node." }),
  asn: Asn.optional().meta({ description: "AS number of this node; the document's `asn` if left out." }),
  listen: Listen.optional().meta({ description: "Where this node accepts BGP connections; the document's `listen` if left out." }),
});

export type NodeEntry = z.output<typeof Node>;
