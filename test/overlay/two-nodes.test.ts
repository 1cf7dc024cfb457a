import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Prefix } from "#base/prefix.ts";
import { kernelMissing, Namespace, until } from "../contract/kernel-netns.ts";
import type { AgentSettings } from "./node-agent.ts";
import { ip, lease, pool, prefix } from "./world.ts";

const nodes = [
  { name: "n1", address: "10.0.0.1", v4: "10.43.1.0/24", v6: "fd43:0:0:1::/64", pod4: "10.43.1.5", pod6: "fd43:0:0:1::5" },
  { name: "n2", address: "10.0.0.2", v4: "10.43.2.0/24", v6: "fd43:0:0:2::/64", pod4: "10.43.2.5", pod6: "fd43:0:0:2::5" },
] as const;
const pools = [pool(), pool({ name: "overlay6", cidr: prefix("fd43::/48"), family: 6, nodePrefix: 64, vni: 44 })];

function settingsOf(node: (typeof nodes)[number]): AgentSettings {
  const leases = nodes.flatMap(({ name, address, v4, v6 }) => [
    lease(name, v4, address),
    { ...lease(name, v6, address, { pool: "overlay6" }), vtepMac: undefined },
  ]);
  return {
    self: { node: node.name, address: ip(node.address), address6: undefined },
    pools,
    own: { overlay: node.v4 as Prefix, overlay6: node.v6 as Prefix },
    leases: leases.map(({ createRevision: _, vtepMac, ...rest }) => (vtepMac === undefined ? rest : { ...rest, vtepMac })),
  };
}

/** A node's agent in its namespace; `settled` resolves at its first word. */
class Agent {
  readonly process: ChildProcess;
  readonly settled: Promise<void>;
  readonly ended: Promise<number | null>;

  constructor(namespace: Namespace, settings: AgentSettings) {
    const script = new URL("./node-agent.ts", import.meta.url).pathname;
    this.process = spawn("ip", ["netns", "exec", namespace.name, process.execPath, script, JSON.stringify(settings)], { stdio: ["ignore", "pipe", "inherit"] });
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.settled = new Promise((resolve, reject) => {
      createInterface({ input: this.process.stdout! }).on("line", () => resolve());
      void this.ended.then(() => reject(new Error("the agent ended before it settled")));
    });
    this.settled.catch(() => undefined);
  }
  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.process.kill(signal);
    return this.ended;
  }
}

/** Everything iproute2 reports of our rows between two marks. */
class Monitor {
  readonly #lines: string[] = [];
  readonly #processes: readonly ChildProcess[];
  readonly #namespace: Namespace;

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
    this.#processes = [
      spawn("ip", ["-n", namespace.name, "monitor", "link", "address", "route", "neigh"]),
      spawn("bridge", ["-n", namespace.name, "monitor", "fdb"]),
    ];
    for (const { stdout } of this.#processes) createInterface({ input: stdout! }).on("line", (line) => void this.#lines.push(line));
  }
  /** Resolves when both monitors have told of a change made here. */
  async mark(count: number): Promise<void> {
    const mac = `02:00:00:00:ee:0${count}`;
    await until("both monitors listen", () => {
      this.#namespace.ip(`addr add 192.0.2.${count}/32 dev lo`);
      this.#namespace.ip(`addr del 192.0.2.${count}/32 dev lo`);
      this.#namespace.bridge(`fdb add ${mac} dev eth0 self permanent`);
      this.#namespace.bridge(`fdb del ${mac} dev eth0 self`);
      return this.#lines.some((line) => line.includes(`192.0.2.${count}`)) && this.#lines.some((line) => line.includes(mac));
    });
  }
  ours(): readonly string[] {
    // How long the kernel believes a pod's MAC is its own affair.
    return this.#lines.filter((line) => /pw-vx|proto 117|10\.43\.|fd43:/.test(line) && !/dev pod0 lladdr \S+ (REACHABLE|STALE|DELAY|PROBE)/.test(line));
  }
  end(): void {
    for (const monitor of this.#processes) monitor.kill("SIGKILL");
  }
}

describe.skipIf(kernelMissing !== undefined)(`two nodes, each programmed by our code alone${kernelMissing ?? ""}`, () => {
  const machines: Namespace[] = [],
    pods: Namespace[] = [];
  let agents: Agent[] = [];

  beforeAll(async () => {
    for (const { name } of nodes) {
      machines.push(new Namespace(name));
      pods.push(new Namespace(`${name}-pod`));
    }
    machines[0]!.wire(machines[1]!);
    nodes.forEach((node, i) => {
      machines[i]!.ip(`addr add ${node.address}/24 dev eth0`);
      plug(machines[i]!, pods[i]!, node);
    });
    agents = nodes.map((node, i) => new Agent(machines[i]!, settingsOf(node)));
    await Promise.all(agents.map((agent) => agent.settled));
  }, 30_000);
  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.end("SIGTERM")));
    for (const namespace of [...machines, ...pods]) namespace.remove();
  });

  const ping = (from: number, to: string): string => pods[from]!.exec(`ping -n -c 3 -i 0.1 -W 2 ${to}`);

  test("their pods ping each other through VXLAN, IPv4 and IPv6", () => {
    for (const [from, to] of [
      [0, 1],
      [1, 0],
    ] as const) {
      for (const address of [nodes[to].pod4, nodes[to].pod6]) expect(ping(from, address), `${nodes[from].name} → ${address}`).toContain(" 0% packet loss");
    }
    const bytes = machines.map((machine) => ["pw-vx43", "pw-vx44"].map((device) => Number(machine.exec(`cat /sys/class/net/${device}/statistics/rx_bytes`))));
    expect(bytes.flat().every((count) => count > 300)).toBe(true);
  }, 30_000);

  test("a full-size packet passes, one octet more is too big", () => {
    expect(pods[0]!.exec(`ping -n -c 1 -W 2 -M do -s ${1450 - 28} ${nodes[1].pod4}`)).toContain(" 0% packet loss");
    expect(() => pods[0]!.exec(`ping -n -c 1 -W 1 -M do -s ${1450 - 27} ${nodes[1].pod4}`)).toThrow("Command failed");
  }, 30_000);

  test("an address of our CIDR that no pod has goes nowhere: no packet leaves the node", () => {
    expect(() => pods[0]!.exec("ping -n -c 1 -W 1 10.43.1.77")).toThrow("Command failed");
    expect(machines[0]!.json("route get 10.43.2.77")[0]).toMatchObject({ dev: "pw-vx43" });
    expect(() => machines[0]!.ip("route get 10.43.1.77")).toThrow(/Invalid argument/);
  });

  test("killed and started again, the agent adopts what is there: iproute2 sees no change, and pings go on meanwhile", async () => {
    await agents[0]!.end("SIGKILL");
    expect(ping(0, nodes[1].pod4)).toContain(" 0% packet loss");
    const monitor = new Monitor(machines[0]!);
    await monitor.mark(1);
    agents[0] = new Agent(machines[0]!, settingsOf(nodes[0]));
    await agents[0].settled;
    expect(ping(0, nodes[1].pod4)).toContain(" 0% packet loss");
    await monitor.mark(2);
    expect(monitor.ours()).toEqual([]);
    monitor.end();
  }, 30_000);

  test("SIGTERM ends it cleanly and leaves everything in place", async () => {
    const before = machines[1]!.ip("route show proto 117");
    expect(await agents[1]!.end("SIGTERM")).toBe(0);
    expect(machines[1]!.ip("route show proto 117")).toBe(before);
    expect(ping(0, nodes[1].pod4)).toContain(" 0% packet loss");
    agents[1] = new Agent(machines[1]!, settingsOf(nodes[1]));
    await agents[1].settled;
  }, 30_000);

  test("the tunnel device deleted under running pods: pings work again within seconds", async () => {
    machines[0]!.ip("link delete pw-vx43");
    await until("pods reach each other again", () => pods[0]!.exec(`ping -n -c 1 -W 1 ${nodes[1].pod4}`).includes(" 0% packet loss"));
  }, 30_000);

  test("an uplink with a smaller MTU shrinks the tunnels", async () => {
    machines[0]!.ip("link set eth0 mtu 1400");
    await until("the device follows", () => (machines[0]!.json("link show pw-vx43")[0] as { mtu: number }).mtu === 1350);
    machines[0]!.ip("link set eth0 mtu 1500");
    await until("and back", () => (machines[0]!.json("link show pw-vx43")[0] as { mtu: number }).mtu === 1450);
  }, 30_000);
});

/** A pod: its own namespace, /32 and /128 routes on the node, link-local gateways. */
function plug(machine: Namespace, pod: Namespace, node: (typeof nodes)[number]): void {
  machine.ip(`link add pod0 type veth peer name eth0 netns ${pod.name}`);
  for (const line of [
    "addr add 169.254.1.1/32 dev pod0",
    "addr add fe80::1/64 dev pod0 nodad",
    "link set pod0 up",
    `route add ${node.pod4}/32 dev pod0`,
    `-6 route add ${node.pod6}/128 dev pod0`,
  ])
    machine.ip(line);
  for (const line of [
    `addr add ${node.pod4}/32 dev eth0`,
    `addr add ${node.pod6}/128 dev eth0 nodad`,
    "link set eth0 mtu 1450 up",
    "route add 169.254.1.1/32 dev eth0",
    "route add default via 169.254.1.1 dev eth0",
    "-6 route add default via fe80::1 dev eth0",
  ])
    pod.ip(line);
}
