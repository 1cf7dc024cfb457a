/** What must be the same after a fault as before: leases, our kernel state and everybody else's, as iproute2 and nft print them. */
import { must } from "#lab/command.ts";
import { type FaultLab, nodes } from "./lab.ts";

/** Lines, each beginning with the node and the table it is of. */
export type State = ReadonlySet<string>;

export async function readState(lab: FaultLab): Promise<State> {
  return new Set((await Promise.all(nodes.map((node) => readNode(lab, node)))).flat());
}

/** What is in one and not in the other, with a sign as in a diff. */
export function differences(before: State, after: State): string[] {
  return [...[...before].filter((line) => !after.has(line)).map((line) => `- ${line}`), ...[...after].filter((line) => !before.has(line)).map((line) => `+ ${line}`)];
}

/** The kernel's tables of one node. */
export async function readKernel(lab: FaultLab, node: string): Promise<string[]> {
  const at = lab.namespace(node);
  const ip = (...args: string[]): Promise<string> => must(`${node}: ip`, ["ip", "-n", at, "-N", ...args]);
  const tables: readonly (readonly [string, Promise<string>])[] = [
    ["route", ip("-4", "route", "show", "table", "all", "proto", "117")],
    ["route6", ip("-6", "route", "show", "table", "all", "proto", "117")],
    ["foreign route", ip("-4", "route", "show", "proto", "static")],
    ["foreign route", ip("-4", "route", "show", "proto", "99")],
    ["foreign route6", ip("-6", "route", "show", "proto", "static")],
    ["neighbour", ip("neigh", "show", "nud", "permanent")],
    ["fdb", must(`${node}: bridge`, ["bridge", "-n", at, "fdb", "show", "dev", "pw-vx43"]).catch(() => "")],
    ["foreign fdb", must(`${node}: bridge`, ["bridge", "-n", at, "fdb", "show", "dev", "foreign0"])],
    ["link", ip("-d", "-o", "link", "show", "type", "vxlan")],
    ["address", ip("-o", "-4", "addr", "show", "dev", "pw-vx43").catch(() => "")],
    ["sysctl", must(`${node}: sysctl`, ["ip", "netns", "exec", at, "sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"])],
    ["foreign nft", must(`${node}: nft`, ["ip", "netns", "exec", at, "nft", "list", "table", "inet", "foreign"])],
  ];
  const lines = await Promise.all(tables.map(async ([table, text]) => (await text).split("\n").flatMap((line) => normal(table, node, line))));
  return lines.flat().toSorted();
}

async function readNode(lab: FaultLab, node: string): Promise<string[]> {
  const status = await lab.status(node);
  const leases = status?.leases.map((lease) => `${node} lease: ${lease.pool} ${lease.cidr} ${lease.state}`) ?? [`${node} lease: its daemon does not answer`];
  return [...leases, ...(await readKernel(lab, node))];
}

/** Without the numbers that a device gets when it is made, and without counters. */
function normal(table: string, node: string, line: string): string[] {
  const text = line
    .replace(/^\d+: /, "")
    .replace(/ gso_max_size .*gro_max_size \d+/, "")
    .replace(/counter packets \d+ bytes \d+/, "counter")
    .replaceAll(/\s+/g, " ")
    .trim();
  return text === "" ? [] : [`${node} ${table}: ${text}`];
}
