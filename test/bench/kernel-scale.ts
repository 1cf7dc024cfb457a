/** A hundred thousand rows through the whole reconcile, against `bridge -batch` and `ip -batch` writing the same rows into a kernel namespace of their own. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Ip, ip4Number } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { Lease } from "#base/lease.ts";
import { createReconciler } from "#daemon/reconcile.ts";
import { emptyFabric, type Fabric } from "#overlay/fabric.ts";
import { planVxlan } from "#overlay/vxlan.ts";
import { vtepMac } from "#overlay/vtep.ts";
import { openNetlinkKernel } from "../../src/adapters/netlink-kernel.ts";
import { kernelMissing, Namespace } from "../contract/kernel-netns.ts";
import { pool, underlay } from "../overlay/world.ts";
import type { Bench } from "./measure.ts";
import type { Row, Scenario } from "./scenarios.ts";

const nodes = 33_333,
  protocol = 117,
  metric = 1024,
  device = "pw-vx43",
  atLeast = 1.2;

export const kernelScale: Scenario = {
  name: "kernel-100000",
  about: `${nodes} nodes of an overlay pool: each a neighbour, a forwarding entry and a route, from desired state to the last acknowledgement`,
  rows: async (bench) => (kernelMissing === undefined ? measure(bench) : (bench.say(`nothing measured${kernelMissing}`), [])),
};

/** Seconds on the wall and of CPU time. */
interface Spent {
  readonly seconds: number;
  readonly cpu: number;
}

async function measure({ runs, say }: Bench): Promise<readonly Row[]> {
  const fabric = fabricOf(nodes),
    ours: Spent[] = [],
    theirs: Spent[] = [];
  const ratios: number[] = [],
    cpuRatios: number[] = [];
  // Minutes, and the same each time: once is enough.
  const plain = runTools(fabric, "");
  say(`  bridge and ip, routes as one writes them: ${plain.seconds.toFixed(2)} s (CPU ${plain.cpu.toFixed(2)} s)`);
  let longest = 0,
    rows = 0;
  for (let run = 0; run < runs; run++) {
    const them = runTools(fabric, " scope "),
      us = await runOurs(fabric);
    ours.push(us.spent);
    theirs.push(them);
    ratios.push(them.seconds / us.spent.seconds);
    cpuRatios.push(them.cpu / us.spent.cpu);
    longest = Math.max(longest, us.blockedMillis);
    rows = us.rows;
    const text = ({ seconds, cpu }: Spent): string => `${seconds.toFixed(2)} s (CPU ${cpu.toFixed(2)} s)`;
    say(
      `  run ${run + 1}: ${us.lines}: ours ${text(us.spent)}, bridge and ip with our scopes ${text(them)}, event loop late by ${us.blockedMillis.toFixed(0)} ms at most`,
    );
  }
  const seconds = median(ours.map((spent) => spent.seconds)),
    ratio = plain.seconds / seconds;
  return [
    row("rows a second", rows / seconds, ratio, `≥ ${atLeast} of bridge and ip`, ratio >= atLeast),
    row("… if ip spreads scopes as we do", rows / seconds, median(ratios), "", undefined),
    row("CPU s, likewise", median(ours.map(({ cpu }) => cpu)), median(cpuRatios), "", undefined),
    row("event loop late ms", longest, undefined, "≤ 50 ms", longest <= 50),
  ];
}

function row(what: string, ours: number, ratio: number | undefined, bar: string, ok: boolean | undefined): Row {
  return { scenario: kernelScale.name, what, ours, peers: {}, ratio, bar, ok };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** What a node of a large overlay wants. */
function fabricOf(count: number): Fabric {
  const leases = Array.from({ length: count }, (_, i): Lease => {
    const node = `node-${i}`,
      at = (i + 1) * 8;
    return {
      schema: 1,
      node,
      pool: "overlay",
      cidr: `100.${64 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}/29` as Prefix,
      identity: node,
      address: `10.${1 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}` as Ip,
      vtepMac: vtepMac(node, 43),
      createRevision: BigInt(i),
    };
  });
  const self = { node: "self", address: "10.0.0.1" as Ip, address6: undefined },
    large = pool({ cidr: "100.64.0.0/10" as Prefix, nodePrefix: 29 });
  return planVxlan({ self, pool: large, own: "100.64.0.0/29" as Prefix, leases, underlay: underlay(), metric }).fabric;
}

function machine(label: string): Namespace {
  const namespace = new Namespace(label);
  for (const line of ["link add eth0 type veth peer name eth1", "link set eth0 up", "link set eth1 up", "addr add 10.0.0.1/8 dev eth0"]) namespace.ip(line);
  return namespace;
}

async function runOurs(fabric: Fabric): Promise<{ readonly lines: string; readonly spent: Spent; readonly rows: number; readonly blockedMillis: number }> {
  const namespace = machine("ours"),
    back = namespace.enter(),
    stop = new AbortController();
  const kernel = await openNetlinkKernel(protocol);
  const reconciler = createReconciler({ kernel, telemetry: { note: () => undefined, gauge: () => undefined } });
  const running = reconciler.run(stop.signal);
  reconciler.want(emptyFabric, true);
  await reconciler.settled();
  const delay = monitorEventLoopDelay({ resolution: 1 }),
    cpu = process.cpuUsage(),
    began = performance.now();
  delay.enable();
  reconciler.want(fabric, true);
  await reconciler.settled();
  const seconds = (performance.now() - began) / 1000,
    used = process.cpuUsage(cpu);
  delay.disable();
  stop.abort();
  await running;
  kernel.close();
  const listed = [list("ip", namespace, "route show"), list("ip", namespace, "neigh show nud permanent"), list("bridge", namespace, `fdb show dev ${device}`)];
  back();
  namespace.remove();
  const { desired, differing } = reconciler.status();
  if (differing !== 0) throw new Error(`${differing} of ${desired} rows are not as wanted`);
  const lines = listed.join(" ");
  return { lines, spent: { seconds, cpu: (used.user + used.system) / 1e6 }, rows: desired, blockedMillis: delay.max / 1e6 };
}

/** How many rows iproute2 lists: the judge of what is there. */
function list(tool: "ip" | "bridge", namespace: Namespace, line: string): number {
  const text = execFileSync(tool, ["-n", namespace.name, ...line.split(" ")], { encoding: "utf8", maxBuffer: 1 << 28 });
  return text.split("\n").length - 1;
}

/** The same rows by iproute2; the device is made before the clock starts. `scope`: empty, or routes get the scopes that ours have. */
function runTools(fabric: Fabric, scope: "" | " scope "): Spent {
  const namespace = machine("tools"),
    folder = mkdtempSync(join(tmpdir(), "podway-batch-"));
  const write = (name: string, lines: readonly string[]): string => {
    const path = join(folder, name);
    writeFileSync(path, `${lines.join("\n")}\n`);
    return path;
  };
  try {
    namespace.ip(`link add ${device} type vxlan id 43 local 10.0.0.1 dstport 4789 nolearning`);
    namespace.ip(`link set ${device} up`);
    const fdb = write(
      "fdb",
      [...fabric.fdb.values()].map(({ mac, destination }) => `fdb replace ${mac} dev ${device} dst ${destination} self permanent`),
    );
    const ip = write("ip", [
      ...[...fabric.address.values()].map(({ address, length }) => `addr add ${address}/${length} dev ${device}`),
      ...[...fabric.neighbour.values()].map(({ address, mac }) => `neigh replace ${address} lladdr ${mac} dev ${device} nud permanent`),
    ]);
    const routes = write(
      "route",
      [...fabric.route.values()].map(({ prefix, hops: [hop] }) =>
        hop === undefined
          ? `route add blackhole ${prefix} metric ${metric} proto ${protocol}`
          : `route add ${prefix} via ${hop.gateway!} dev ${device} onlink metric ${metric} proto ${protocol}${scope}${scope && (ip4Number(prefix.slice(0, -"/29".length)) >>> 3) % 200}`,
      ),
    );
    const cpu = childrenCpu(),
      began = performance.now();
    for (const [tool, path] of [
      ["bridge", fdb],
      ["ip", ip],
      ["ip", routes],
    ] as const)
      execFileSync(tool, ["-n", namespace.name, "-batch", path], { stdio: "inherit" });
    return { seconds: (performance.now() - began) / 1000, cpu: childrenCpu() - cpu };
  } finally {
    namespace.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** CPU seconds of the processes this one has waited for (proc(5): cutime and cstime, in ticks of 10 ms). */
function childrenCpu(): number {
  const fields = readFileSync("/proc/self/stat", "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[13]) + Number(fields[14])) / 100;
}
