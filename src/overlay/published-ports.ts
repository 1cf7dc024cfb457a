/**
 * Ports of the node that lead into pods: the destination is rewritten where a packet comes in, and where the node itself sends one.
 * Answers find their way back by the kernel's memory of the connection, except where they would not pass the node at all: a pod that
 * reaches itself by the node's port, and the node's loopback address, which is nobody's beyond it. Those take the node's address.
 */
import type { FilterChain, FilterMatch, FilterRule } from "#base/filter-table.ts";
import { familyOf, type Ip } from "#base/ip.ts";
import type { PodPort } from "#base/pod-link.ts";
import type { Prefix } from "#base/prefix.ts";
import { onlyOf } from "./attach.ts";

/** NF_IP_PRI_NAT_DST, where everybody rewrites destinations. */
const destinationNatPriority = -100;
const loopback = "127.0.0.0/8" as Prefix;

export interface PublishedPort extends PodPort {
  readonly address: Ip;
}

/** Rules in the order of `ports`, of which no two share a port of one family. */
export function planPorts(ports: readonly PublishedPort[]): { readonly entering: readonly FilterChain[]; readonly leaving: readonly FilterRule[] } {
  if (ports.length === 0) return { entering: [], leaving: [] };
  const rules = ports.map(enter);
  const chain = (name: "prerouting" | "output"): FilterChain => ({ name, priority: destinationNatPriority, rules });
  const addresses = [...new Set(ports.map(({ address }) => address))];
  return { entering: [chain("prerouting"), chain("output")], leaving: addresses.flatMap(leave) };
}

function enter({ address, hostPort, containerPort, protocol, hostIp }: PublishedPort): FilterRule {
  // The rewriting says of which family the packet must be.
  const isAny = hostIp === undefined || hostIp === "0.0.0.0" || hostIp === "::";
  return {
    matches: [isAny ? { kind: "local" } : addressed("destination", hostIp), { kind: "port", protocol, port: hostPort }],
    verdict: { address, port: containerPort },
    comment: `port ${hostPort}/${protocol} of the node leads to a pod`,
  };
}

function leave(address: Ip): readonly FilterRule[] {
  const to = addressed("destination", address);
  const own: FilterRule = { matches: [addressed("source", address), to], verdict: "masquerade", comment: "from a pod to itself by a port of the node" };
  if (familyOf(address) === 6) return [own];
  const local: FilterMatch = { kind: "address", side: "source", family: 4, negated: false, within: loopback };
  return [own, { matches: [local, to], verdict: "masquerade", comment: "from the node's loopback address by a port of the node" }];
}

function addressed(side: "source" | "destination", address: Ip): FilterMatch {
  return { kind: "address", side, family: familyOf(address), negated: false, within: onlyOf(address) };
}
