/** What must be the same after a fault as before: leases, our kernel state and everybody else's, as iproute2 and nft print them. */
import { must, type Ran, run } from "#lab/command.ts";
import { type FaultLab, nodes } from "./lab.ts";

/** The VXLAN device of the lab's overlay pool. */
export const device = "pw-vx43";

/** Lines, each beginning with the node and the table it is of. */
export type State = ReadonlySet<string>;

export async function readState(lab: FaultLab): Promise<State> {
  return new Set((await Promise.all(nodes.map((node) => readNode(lab, node)))).flat());
}

/** What is in one and not in the other, with a sign as in a diff. */
export function differences(before: State, after: State): string[] {
  return [
    ...[...before].filter((line) => !after.has(line)).map((line) => `- ${line}`),
    ...[...after].filter((line) => !before.has(line)).map((line) => `+ ${line}`),
  ];
}

/** Rows of ours on one node, with few processes: a repair is timed by looking for it. */
export async function readOurs(lab: FaultLab, node: string): Promise<string[]> {
  const at = lab.namespace(node);
  const batch = (lines: readonly string[], ...family: string[]): Promise<Ran> =>
    run(["ip", "-n", at, "-N", "-d", "-o", ...family, "-force", "-batch", "-"], { input: `${lines.join("\n")}\n` });
  const tables = await Promise.all([
    batch(["route show table all proto 117", "neigh show nud permanent", "link show type vxlan", `addr show dev ${device}`]),
    batch(["route show table all proto 117"], "-6"),
    run(["bridge", "-n", at, "fdb", "show"]),
  ]);
  return tables.flatMap(({ stdout }, i) => stdout.split("\n").flatMap((line) => normal(["kernel", "route6", "fdb"][i]!, node, line))).toSorted();
}

/** What is not ours on one node. */
async function readForeign(lab: FaultLab, node: string): Promise<string[]> {
  const at = lab.namespace(node);
  const ip = (...args: string[]): Promise<string> => must(`${node}: ip`, ["ip", "-n", at, "-N", ...args]);
  const tables: readonly (readonly [string, Promise<string>])[] = [
    ["foreign route", ip("-4", "route", "show", "proto", "static")],
    ["foreign route", ip("-4", "route", "show", "proto", "99")],
    ["foreign route6", ip("-6", "route", "show", "proto", "static")],
    ["sysctl", must(`${node}: sysctl`, ["ip", "netns", "exec", at, "sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"])],
    ["foreign nft", must(`${node}: nft`, ["ip", "netns", "exec", at, "nft", "list", "table", "inet", "foreign"])],
  ];
  const lines = await Promise.all(tables.map(async ([table, text]) => (await text).split("\n").flatMap((line) => normal(table, node, line))));
  return lines.flat();
}

async function readNode(lab: FaultLab, node: string): Promise<string[]> {
  const status = await lab.status(node);
  const leases = status?.leases.map((lease) => `${node} lease: ${lease.pool} ${lease.cidr} ${lease.state}`) ?? [`${node} lease: its daemon does not answer`];
  return [...leases, ...(await readOurs(lab, node)), ...(await readForeign(lab, node))];
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
