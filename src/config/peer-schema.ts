/** `peers:`, neighbours outside the document's nodes, and ranges of neighbours that may come. */
import { z } from "zod";
import { limits } from "./limits.ts";
import { Attributes, GracefulRestart, HoldTime } from "./node-schema.ts";
import { PolicyName } from "./policy-schema.ts";
import { Address, Asn, Cidr, Name, Port, Secret, duration, interval } from "./scalar-schema.ts";
import { type Selector as NodeSelector, parseSelector } from "./selector.ts";

export const Selector = z
  .string()
  .max(limits.selectorCharacters)
  .superRefine((text, context) => {
    const parsed = parseSelector(text);
    if (!parsed.ok) context.addIssue({ code: "custom", message: parsed.fault.text, params: { sentence: true, column: parsed.fault.column } });
  });

/** Faster than this a thread of a machine under load cannot be trusted to be. */
const bfdFastest = 50;

const Policies = z.array(PolicyName).max(limits.policyNames);

export const Bfd = z.strictObject({
  interval: interval(bfdFastest, 10_000)
    .prefault("300ms")
    .meta({ description: `How often packets are sent and expected; from ${bfdFastest}ms to 10s, and the slower of the two sides counts.` }),
  multiplier: z.int().min(1).max(255).default(3).meta({ description: "After so many intervals without a packet the path counts as broken." }),
  multihop: z
    .boolean()
    .optional()
    .meta({
      description:
        "Over routers (RFC 5883, port 4784) or on one link (RFC 5881, port 3784). " +
        "If left out, over routers for iBGP and for eBGP over several hops. Both sides must agree.",
    }),
});

const AddPath = z.strictObject({
  receive: z.boolean().default(false).meta({ description: "Take several paths of one prefix; up to 256 of each, all of them counted by `maxPrefixes`." }),
  send: z
    .union([z.literal("all"), z.int().min(2).max(256)], { error: "expected all, or how many paths: 2 to 256" })
    .optional()
    .meta({ description: "Tell all paths of a prefix, or this many of the best; the best alone if left out." }),
});

const PrefixCount = z.int().min(1).max(100_000_000);
const PrefixLimit = z.strictObject({
  most: PrefixCount.meta({ description: "Prefixes of each family." }),
  warning: z.int().min(1).max(100).optional().meta({ description: "Log a warning above this percentage of `most`." }),
  restart: duration(1, 86_400).prefault("1m").meta({ description: "How long the neighbour stays out after it sent more." }),
});

export const Peer = z.strictObject({
  name: Name.meta({ description: "Name in `status`, logs and `why`." }),
  address: Address.optional().meta({ description: "The neighbour's address; this or `range`." }),
  range: Cidr.optional().meta({ description: "Any neighbour out of this prefix may connect (dynamic neighbours); this or `address`." }),
  asn: Asn.meta({ description: "The neighbour's AS number; equal to the node's: iBGP, else eBGP." }),
  nodes: Selector.optional().meta({ description: "Which nodes have this peer, such as `rack == 'a'`; all if left out." }),
  port: Port.default(179).meta({ description: "Port the neighbour listens on." }),
  source: Address.optional().meta({ description: "Our address of the connection; if left out, the node's for iBGP and the link's for eBGP." }),
  passive: z.boolean().default(false).meta({ description: "Never dial, only accept." }),
  families: z
    .array(z.enum(["ipv4", "ipv6"]))
    .min(1)
    .max(2)
    .optional()
    .meta({ description: "Address families offered; if left out, ipv4, and ipv6 as soon as a pool or a node has IPv6." }),
  password: Secret.optional().meta({ description: "TCP MD5 key (RFC 2385), named and never written here." }),
  multihop: z.int().min(1).max(255).optional().meta({ description: "eBGP over this many hops; 1, directly connected, if left out." }),
  ttlSecurity: z
    .int()
    .min(1)
    .max(254)
    .optional()
    .meta({ description: "Accept only packets from at most this many hops away (GTSM, RFC 5082); instead of `multihop`." }),
  holdTime: HoldTime.optional().meta({ description: "Hold time proposed to this neighbour; `timers.hold` if left out." }),
  connectRetry: duration(1, 3600).optional().meta({ description: "Wait between attempts; `timers.connectRetry` if left out." }),
  nextHopSelf: z
    .union([z.boolean(), z.literal("force")], { error: "expected true, false or force" })
    .optional()
    .meta({
      description:
        "iBGP: send our own address as next hop of routes learned over eBGP, with `force` of reflected ones too; true if left out. Over eBGP always.",
    }),
  role: z
    .enum(["provider", "rs", "rs-client", "customer", "peer"])
    .optional()
    .meta({ description: "eBGP: our role towards this neighbour (RFC 9234), `customer` where it is our provider; both sides are held to it, and routes too." }),
  strictRole: z.boolean().optional().meta({ description: "With `role`: refuse a neighbour that says no role of its own." }),
  localAs: Asn.optional().meta({ description: "eBGP: the AS number we show this neighbour; it stands in front of the node's in what we tell." }),
  asOverride: z
    .boolean()
    .optional()
    .meta({ description: "eBGP: put our AS number in place of the neighbour's in the paths it is told (one AS at several sites)." }),
  allowAsIn: z
    .int()
    .min(1)
    .max(10)
    .optional()
    .meta({ description: "eBGP: our own AS number may stand so often in its paths; a loop, and refused, if left out." }),
  gracefulShutdown: z
    .boolean()
    .optional()
    .meta({ description: "Make ready to close the session (RFC 8326): what is told and taken over it is the last to use, and the session stays." }),
  sendHold: duration(10, 65535)
    .optional()
    .meta({
      description: "How long a neighbour may read nothing before the session ends (RFC 9687); the greater of 8 minutes and twice the hold time if left out.",
    }),
  import: Policies.default([]).meta({
    description: "Policies for what it sends us, in order; the first rule that matches decides. eBGP without any accepts nothing (RFC 8212).",
  }),
  export: Policies.default([]).meta({ description: "Policies for what we send it. eBGP without any sends nothing (RFC 8212)." }),
  gracefulRestart: GracefulRestart.optional().meta({ description: "For this neighbour; the document's `gracefulRestart` if left out." }),
  maxPrefixes: z
    .union([PrefixCount, PrefixLimit], { error: "expected a number of prefixes, or { most: 1000, warning: 80, restart: 5m }" })
    .optional()
    .meta({ description: "Close the session when we would accept more of a family (Cease, RFC 4486); no limit if left out." }),
  attributes: Attributes.optional().meta({
    description: "What is done to path attributes of this neighbour's, for an incident; the document's `attributes` if left out, `[]` for nothing.",
  }),
  bfd: Bfd.optional().meta({
    description:
      "Watch the path with BFD (RFC 5880), so that the session ends soon after a failure; with `range`, while a neighbour is up. `{}` takes 300 ms and 3.",
  }),
  addPath: AddPath.optional().meta({
    description: "Several paths of one prefix over this session (RFC 7911), in the directions the neighbour agrees to; neither if left out.",
  }),
  extendedNextHop: z
    .boolean()
    .optional()
    .meta({ description: "IPv4 routes may have an IPv6 next hop (RFC 8950), if the neighbour agrees; over IPv6 ours is the address of the session." }),
  client: z.boolean().default(false).meta({ description: "iBGP, on reflectors: reflect to and from this neighbour (RFC 4456)." }),
  limit: z.int().min(1).max(limits.rangeClients).optional().meta({ description: "With `range`: how many may be connected at once; 100 if left out." }),
});

export const Peers = z.array(Peer).max(limits.peers).prefault([]).meta({ description: "Neighbours that are not nodes of this document." });

export type PeerEntry = z.output<typeof Peer>;

/** Which nodes have this peer, or this entry of another list; the schema has seen to it that the text is a selector. */
export function selectorOf(entry: { readonly nodes?: string | undefined }): NodeSelector {
  const parsed = entry.nodes === undefined ? undefined : parseSelector(entry.nodes);
  return parsed?.ok === true ? parsed.value : () => parsed === undefined;
}
