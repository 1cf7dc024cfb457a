/** Compares a node's kernel, as iproute2 prints it, with what the node's daemon says it has (GET /v1/kernel). */
import type { Family } from "#base/ip.ts";
import { controlPaths, type KernelView } from "#daemon/control.ts";
import { inside, runJson } from "./command.ts";
import { getJson } from "./daemon-client.ts";

type Table = KernelView["tables"][number];
type Entry = Table["entries"][number];

/** Differences, one clause each; empty: iproute2 and the daemon agree and nothing is left to write. */
export async function compareKernel(namespace: string, socket: string, protocol: number): Promise<readonly string[]> {
  const answer = await getJson<KernelView>(socket, controlPaths.kernel);
  if (!answer.ok) return [answer.fault.text];
  const { tables } = answer.value;
  const said = (name: Table["name"]): ReadonlyMap<string, string> => {
    const entries = tables.filter((table) => table.name === name).flatMap((table) => table.entries);
    return new Map(entries.flatMap(({ key, actual }) => (actual === null ? [] : [[key, actual]])));
  };
  const wanting = tables.flatMap((table) => table.entries.filter(isWanting).map((entry) => `${table.name} ${entry.key} ${describeWant(entry)}`));
  const devices = [...said("link").keys()];
  const [routes, neighbours, fdb] = await Promise.all([kernelRoutes(namespace, protocol), kernelNeighbours(namespace, devices), kernelFdb(namespace, devices)]);
  return [...wanting, ...differ("route", said("route"), routes), ...differ("neighbour", said("neighbour"), neighbours), ...differ("fdb", said("fdb"), fdb)];
}

function isWanting(entry: Entry): boolean {
  return entry.failure !== null || (entry.desired === null) !== (entry.actual === null);
}

function describeWant({ desired, actual, failure }: Entry): string {
  return `is to be ${desired ?? "gone"} and is ${actual ?? "not there"}${failure === null ? "" : ` (${failure})`}`;
}

function differ(table: string, said: ReadonlyMap<string, string>, there: ReadonlyMap<string, string>): string[] {
  const keys = [...new Set([...said.keys(), ...there.keys()])].sort();
  return keys
    .filter((key) => said.get(key) !== there.get(key))
    .map((key) => `${table} ${key}: the kernel has ${there.get(key) ?? "nothing"}, the daemon says ${said.get(key) ?? "nothing"}`);
}

interface Hop {
  readonly gateway?: string;
  readonly via?: { readonly host: string };
  readonly dev?: string;
  readonly flags?: readonly string[];
}
interface Route extends Hop {
  readonly type?: string;
  readonly dst: string;
  readonly metric?: number;
  readonly nexthops?: readonly Hop[];
}

async function kernelRoutes(namespace: string, protocol: number): Promise<ReadonlyMap<string, string>> {
  const rows = new Map<string, string>();
  for (const family of [4, 6] as const) {
    for (const route of await runJson<Route>(["ip", "-n", namespace, `-${family}`, "-j", "route", "show", "proto", String(protocol)])) {
      const prefix = wholePrefix(route.dst, family);
      const hops = (route.nexthops ?? [route]).map(describeHop).sort();
      rows.set(`${prefix} metric ${route.metric ?? 0}`, route.type === "blackhole" ? "blackhole" : hops.join(" nexthop "));
    }
  }
  return rows;
}

/** iproute2 leaves the length of a host route out and writes "default". */
function wholePrefix(dst: string, family: Family): string {
  if (dst === "default") return family === 4 ? "0.0.0.0/0" : "::/0";
  return dst.includes("/") ? dst : `${dst}/${family === 4 ? 32 : 128}`;
}

function describeHop(hop: Hop): string {
  const gateway = hop.gateway ?? hop.via?.host;
  return `${gateway === undefined ? "" : `via ${gateway} `}dev ${hop.dev}${hop.flags?.includes("onlink") ? " onlink" : ""}`;
}

async function kernelNeighbours(namespace: string, devices: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const rows = new Map<string, string>();
  for (const device of devices) {
    const argv = ["ip", "-n", namespace, "-j", "neigh", "show", "dev", device, "nud", "permanent"];
    const entries = await runJson<{ dst: string; lladdr: string }>(argv);
    for (const { dst, lladdr } of entries) rows.set(`${device} ${dst}`, `lladdr ${lladdr} dev ${device} permanent`);
  }
  return rows;
}

async function kernelFdb(namespace: string, devices: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const rows = new Map<string, string>();
  for (const device of devices) {
    const entries = await runJson<{ mac: string; dst?: string; state?: string }>(inside(namespace, ["bridge", "-j", "fdb", "show", "dev", device]));
    for (const { mac, dst, state } of entries) {
      if (state === "permanent" && dst !== undefined) rows.set(`${device} ${mac}`, `dst ${dst} dev ${device} self permanent`);
    }
  }
  return rows;
}
