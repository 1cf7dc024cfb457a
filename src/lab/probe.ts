/** One look at one expectation, with the tools a person would use: the daemon's API, `ip`, `bridge`, `ping`, `birdc`, `vtysh`. */
import { familyOf, parseIp } from "#base/ip.ts";
import { parsePrefix, prefixFamily } from "#base/prefix.ts";
import { controlPaths, type PeerView } from "#daemon/control.ts";
import { inside, run, runJson } from "./command.ts";
import { getJson } from "./daemon-client.ts";
import type { Expectation } from "./expectation.ts";
import { compareKernel } from "./kernel-probe.ts";
import { apiSocket, birdSocket } from "./plan.ts";
import { ownLease } from "./pods.ts";
import { type LabRecord, type MachineRecord, recordedMachine } from "./record.ts";

export type Sight = { readonly seen: true; readonly millis?: number } | { readonly seen: false; readonly instead: string };

const seen: Sight = { seen: true };
const not = (instead: string): Sight => ({ seen: false, instead });

/** Seconds a ping waits for its answer. */
const pingSeconds = 1;

/** Whether `expectation` holds now; if not, what there is instead. */
export async function lookFor(record: LabRecord, expectation: Expectation): Promise<Sight> {
  switch (expectation.kind) {
    case "lease": {
      const lease = await ownLease(apiSocket(recordedMachine(record, expectation.node).home), expectation.pool);
      return "cidr" in lease ? seen : not(lease.missing);
    }
    case "session":
      return lookForSession(recordedMachine(record, expectation.node), expectation.peer);
    case "route":
      return lookForRoute(record, expectation);
    case "ping":
      return ping(record, expectation);
    case "kernel": {
      const machine = recordedMachine(record, expectation.node);
      const differences = await compareKernel(machine.namespace, apiSocket(machine.home), expectation.protocol);
      return differences.length === 0 ? seen : not(differences.slice(0, 3).join("; "));
    }
  }
}

async function lookForSession(machine: MachineRecord, peer: string): Promise<Sight> {
  if (machine.kind === "bird") {
    const line = await birdProtocol(machine, peer);
    return /\bEstablished\b/.test(line) ? seen : not(`BIRD says "${line.replaceAll(/\s+/g, " ")}"`);
  }
  if (machine.kind === "frr") {
    const summary = await vtysh(machine, "show bgp summary json");
    const states = Object.values(summary).flatMap((family) => (family as { peers?: Record<string, { state?: string }> }).peers?.[peer]?.state ?? []);
    return states.includes("Established") ? seen : not(states.length === 0 ? `FRR has no neighbor ${peer}` : `FRR says ${states.join(", ")}`);
  }
  const answer = await getJson<readonly PeerView[]>(apiSocket(machine.home), controlPaths.peers);
  if (!answer.ok) return not(answer.fault.text);
  const view = answer.value.find((one) => one.name === peer || one.address === peer);
  if (view?.state === "Established") return seen;
  if (view) return not(`it is ${view.state}${view.reason ? ` (${view.reason})` : ""}`);
  return not(`there is no such peer, only ${answer.value.map((one) => one.name).join(", ") || "none at all"}`);
}

type RouteExpectation = Extract<Expectation, { kind: "route" }>;

async function lookForRoute(record: LabRecord, expectation: RouteExpectation): Promise<Sight> {
  const machine = recordedMachine(record, expectation.on);
  const target = await resolveTarget(record, expectation.to);
  if (typeof target !== "string") return not(target.missing);
  const vias = await viasOf(machine, target);
  const wanted = expectation.via === undefined ? undefined : (parseIp(expectation.via) ?? expectation.via);
  const has = wanted === undefined ? vias.length > 0 : vias.includes(wanted);
  if (has !== expectation.absent) return seen;
  const instead = vias.length === 0 ? `there is no route to ${target}` : `${target} goes via ${vias.join(", ")}`;
  return not(expectation.absent ? `there is one, ${instead}` : instead);
}

/** A prefix as it stands; "node/pool" becomes the CIDR that node holds. */
async function resolveTarget(record: LabRecord, to: string): Promise<string | { readonly missing: string }> {
  const prefix = parsePrefix(to);
  if (prefix !== undefined) return prefix;
  const [node, pool] = to.split("/") as [string, string];
  const lease = await ownLease(apiSocket(recordedMachine(record, node).home), pool);
  return "cidr" in lease ? lease.cidr : { missing: `${node} holds no CIDR of ${pool}: ${lease.missing}` };
}

/** Next hops and devices of the routes to exactly `prefix`. */
async function viasOf(machine: MachineRecord, prefix: string): Promise<readonly string[]> {
  if (machine.kind === "bird") {
    return birdVias((await run(["birdc", "-s", birdSocket(machine.home), "show", "route", prefix])).stdout);
  }
  if (machine.kind === "frr") {
    const routes = await vtysh(machine, `show ${prefixFamily(prefix) === 4 ? "ip" : "ipv6"} route ${prefix} json`);
    const all = (routes[prefix] ?? []) as readonly { nexthops?: readonly { ip?: string; interfaceName?: string }[] }[];
    return all.flatMap((route) => (route.nexthops ?? []).flatMap((hop) => [hop.ip, hop.interfaceName])).filter((text) => text !== undefined);
  }
  const routes = await runJson<KernelRoute>(["ip", "-n", machine.namespace, `-${prefixFamily(prefix)}`, "-j", "route", "show", "exact", prefix]);
  const hops = routes.flatMap((route) => [route, ...(route.nexthops ?? [])]);
  return hops.flatMap((hop) => [hop.gateway, hop.dev]).filter((text) => text !== undefined);
}

/** Next hops and devices of the route that BIRD has chosen: its line bears an asterisk, the lines after it its hops. */
function birdVias(text: string): string[] {
  let chosen = false;
  return text.split("\n").flatMap((line) => {
    if (/\[\S+ .*\]/.test(line)) chosen = /\] \* \(/.test(line);
    const hop = /^\s+(?:via (\S+) on|dev) (\S+)/.exec(line);
    return chosen && hop ? hop.slice(1).filter((part) => part !== undefined) : [];
  });
}

interface KernelRoute {
  readonly gateway?: string;
  readonly dev?: string;
  readonly nexthops?: readonly { readonly gateway?: string; readonly dev?: string }[];
}

type PingExpectation = Extract<Expectation, { kind: "ping" }>;

async function ping(record: LabRecord, expectation: PingExpectation): Promise<Sight> {
  const { from, to, family } = expectation;
  const address = parseIp(to) ?? recordedMachine(record, to).addresses.find((one) => familyOf(one) === family);
  if (address === undefined) return not(`${to} has no IPv${family} address`);
  const argv = ["ping", "-n", "-q", "-c", "1", "-W", String(pingSeconds), address];
  const ran = await run(inside(recordedMachine(record, from).namespace, argv));
  const millis = /= ([\d.]+)\//.exec(ran.stdout)?.[1];
  if (ran.code === 0) return { seen: true, ...(millis === undefined ? {} : { millis: Number(millis) }) };
  const said = ran.code === 1 ? `no answer within ${pingSeconds} s` : ran.stderr.trim().split("\n")[0] || `ping ended with ${ran.code}`;
  return not(`${address}: ${said}`);
}

async function birdProtocol(machine: MachineRecord, name: string): Promise<string> {
  const ran = await run(["birdc", "-s", birdSocket(machine.home), "show", "protocols"]);
  const lines = (ran.stdout + ran.stderr).trim().split("\n");
  return lines.find((line) => line.split(/\s+/)[0] === name) ?? `there is no protocol ${name}`;
}

async function vtysh(machine: MachineRecord, command: string): Promise<Record<string, unknown>> {
  const ran = await run(["vtysh", "--vty_socket", machine.home, "-c", command]);
  try {
    return JSON.parse(ran.stdout) as Record<string, unknown>;
  } catch {
    // Not up, or going down: there is nothing to see yet.
    return {};
  }
}
