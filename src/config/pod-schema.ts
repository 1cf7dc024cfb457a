/** `pods:` of a pool: how its addresses are handed out. */
import { z } from "zod";
import { failed, ok } from "#base/fault.ts";
import { compareIp, familyOf } from "#base/ip.ts";
import { addressAt, countSubnets, type Prefix } from "#base/prefix.ts";
import type { IpRange } from "#base/settings.ts";
import { readAddress, readPrefix } from "./address-text.ts";
import { limits } from "./limits.ts";
import { Address, Cidr, duration, Name, sentence } from "./scalar-schema.ts";
import { parseSelector } from "./selector.ts";

const day = 86_400;

/** `10.42.0.10-10.42.0.99`, `10.42.0.16/28` or one address. */
const Range = z.string().transform((text, context): IpRange => {
  const range = readRange(text);
  if (range.ok) return range.value;
  context.addIssue({ code: "custom", message: range.fault, ...sentence });
  return z.NEVER;
});

function readRange(text: string): ReturnType<typeof ok<IpRange>> | ReturnType<typeof failed<string>> {
  if (text.includes("/")) {
    const prefix = readPrefix(text);
    return prefix.ok ? ok({ first: addressAt(prefix.value, 0n), last: lastOf(prefix.value) }) : failed(prefix.fault);
  }
  const [from, to, ...more] = text.split("-").map((part) => readAddress(part.trim()));
  if (from === undefined || more.length > 0) return failed("expected a range such as 10.42.0.10-10.42.0.99, a CIDR or one address");
  if (!from.ok) return failed(from.fault);
  if (to !== undefined && !to.ok) return failed(to.fault);
  const last = to?.value ?? from.value;
  if (familyOf(from.value) !== familyOf(last)) return failed("a range has both ends in one family");
  return compareIp(from.value, last) <= 0 ? ok({ first: from.value, last }) : failed(`the range ends before it begins; write ${last}-${from.value}`);
}

function lastOf(prefix: Prefix): IpRange["last"] {
  return addressAt(prefix, countSubnets(prefix, familyOf(prefix) === 4 ? 32 : 128) - 1n);
}

const Ranges = z.array(Range).max(limits.podRanges).prefault([]);
const Words = z.array(z.string().min(1).max(253)).max(limits.podDns).prefault([]);
const Namespaces = z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9_.-]{0,251})?\*?$|^\*$/, "a namespace, or its beginning and *, such as team-*");
const Selected = z.string().transform((text, context) => {
  const selector = parseSelector(text);
  if (!selector.ok) context.addIssue({ code: "custom", message: selector.fault.text, ...sentence });
  return text;
});

export const PodPool = z.strictObject({
  ranges: Ranges.meta({ description: "Addresses are handed out of these alone (`a-b`, a CIDR, or one address); the whole CIDR if left out." }),
  exclude: Ranges.meta({ description: "Never a pod's address." }),
  reserve: Ranges.meta({ description: "Only for a pod that asks for exactly this address." }),
  gateway: Address.optional().meta({ description: "The pods' gateway; 169.254.1.1 or fe80::1 if left out. The node answers to it on each pod's link." }),
  routes: z
    .array(
      z.strictObject({
        destination: Cidr.meta({ description: "Where the route leads." }),
        gateway: Address.optional().meta({ description: "Through which address; the pods' gateway if left out." }),
      }),
    )
    .max(limits.podRoutes)
    .prefault([])
    .meta({ description: "Routes in the pod instead of the default route; through the gateway unless one is given." }),
  dns: z
    .strictObject({
      nameservers: z.array(Address).max(limits.podDns).prefault([]).meta({ description: "Addresses of name servers." }),
      domain: z.string().min(1).max(253).optional().meta({ description: "Local domain (resolv.conf)." }),
      search: Words.meta({ description: "Domains to search (resolv.conf)." }),
      options: Words.meta({ description: "Resolver options (resolv.conf)." }),
    })
    .prefault({})
    .meta({ description: "Name servers the container's runtime is told." }),
  namespaces: z
    .array(Namespaces)
    .max(limits.podNamespaces)
    .prefault([])
    .meta({ description: "Who may have addresses of this pool: namespaces or tenants, `team-*` for all that begin so; everybody if left out." }),
  quota: z
    .record(Namespaces, z.int().min(0))
    .prefault({})
    .meta({ description: "Namespace → how many addresses it may have on all nodes (counted within a second); `*` for each that is not named." }),
  select: Selected.optional().meta({
    description:
      "Selector over a pod's labels (and `namespace`, `network`): pods it fits have addresses of this pool without asking; the first that fits counts.",
  }),
  pair: Name.optional().meta({ description: "Pool of the other family: a pod that is given an address of this pool is given one of that too (dual stack)." }),
  coolDown: duration(1, day, true).default(30).meta({ description: "How long a freed address is nobody's." }),
  keep: duration(1, 30 * day, true)
    .default(day)
    .meta({ description: "How long a freed address waits for its owner's next pod; 0: not at all." }),
  roam: z
    .boolean()
    .default(false)
    .meta({
      description:
        "A freed address waits for its owner on every node: the next pod has it back wherever it runs, and while the last one is still there it waits. " +
        "For owners with one pod at a time.",
    }),
  alarm: z.int().min(1).max(100).default(90).meta({ description: "Percent of a node's addresses in use from which on it is said." }),
});

export type PodPoolEntry = z.output<typeof PodPool>;
