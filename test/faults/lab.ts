/** The lab every fault is done to: quickstart under a name of its own, its long times scaled, and what is foreign laid beside ours. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Ip } from "#base/ip.ts";
import { checkLab } from "#lab/check.ts";
import { awaitFact, inside, must } from "#lab/command.ts";
import { getJson } from "#lab/daemon-client.ts";
import { planFile } from "#lab/document.ts";
import { downLab, upLab } from "#lab/netns.ts";
import { apiSocket } from "#lab/plan.ts";
import { runs } from "#lab/process-identity.ts";
import { startMachine, stopMachine } from "#lab/processes.ts";
import { type LabRecord, type MachineRecord, readRecord, recordedMachine } from "#lab/record.ts";
import { controlPaths, type PeerView, type StatusView } from "#daemon/control.ts";
import type { ProbePair } from "./prober.ts";

/** Nodes with pods, and every daemon of ours. */
export const nodes = ["n1", "n2", "n3"] as const;
export const daemons = [...nodes, "rr1"] as const;
export type NodeName = (typeof nodes)[number];

/** A declared neighbour of the reflector without a daemon: a place to send rubbish from. */
export const rude = { name: "rude", address: "10.0.0.66", asn: 65066 } as const;

/** The product's own defaults, in seconds; `scale` shortens them as it shortens the outages. */
const times = { restart: 360, stale: 300, hold: 90, liveness: 30, fallback: 20 } as const;

const podway = fileURLToPath(new URL("../../src/podway.ts", import.meta.url));

export type Say = (line: string) => void;

export class FaultLab {
  readonly record: LabRecord;
  readonly scale: number;
  /** The topology as it was brought up. */
  readonly document: string;
  /** Sessions inside the cluster that are there when all is well, by machine. */
  sessions: Readonly<Record<string, readonly string[]>> = { n1: ["rr1"], n2: ["rr1"], n3: ["rr1"], rr1: nodes };
  readonly #say: Say;

  constructor(record: LabRecord, document: string, scale: number, say: Say) {
    this.record = record;
    this.document = document;
    this.scale = scale;
    this.#say = say;
  }

  /** What `podway apply` does with a document, on n1. */
  async apply(text: string): Promise<void> {
    const file = join(this.machine("n1").home, "applied.yaml");
    writeFileSync(file, text);
    await must("podway apply", [process.execPath, podway, "--api", apiSocket(this.machine("n1").home), "apply", file]);
  }

  machine(name: string): MachineRecord {
    return recordedMachine(this.record, name);
  }
  namespace(name: string): string {
    return this.machine(name).namespace;
  }
  log(name: string): string {
    return this.record.processes.find((one) => one.machine === name)!.log;
  }
  async in(name: string, argv: readonly string[], input?: string): Promise<string> {
    return must(`${name}: ${argv.join(" ")}`, inside(this.namespace(name), argv), input === undefined ? {} : { input });
  }
  /** Lines of `ip -batch` or `bridge -batch`. */
  async batch(name: string, tool: "ip" | "bridge", lines: readonly string[]): Promise<void> {
    await must(`${name}: ${lines.join("; ")}`, [tool, "-n", this.namespace(name), "-batch", "-"], { input: `${lines.join("\n")}\n` });
  }

  pid(name: string): number {
    return this.record.processes.find((one) => one.machine === name && runs(one))!.pid;
  }
  async kill(name: string): Promise<void> {
    this.#say(`SIGKILL to ${name}`);
    await stopMachine(this.record, this.machine(name), "SIGKILL");
  }
  async terminate(name: string): Promise<void> {
    this.#say(`SIGTERM to ${name}`);
    await stopMachine(this.record, this.machine(name), "SIGTERM");
  }
  async start(name: string): Promise<void> {
    this.#say(`${name} starts`);
    await startMachine(this.record, this.machine(name));
    this.#say(`${name} answers`);
  }

  /** Starts what a fault that went wrong has left dead. */
  async revive(): Promise<void> {
    for (const name of ["etcd", ...daemons]) if (!this.record.processes.some((one) => one.machine === name && runs(one))) await this.start(name);
  }

  async status(name: string): Promise<StatusView | undefined> {
    const answer = await getJson<StatusView>(apiSocket(this.machine(name).home), controlPaths.status);
    return answer.ok ? answer.value : undefined;
  }
  async peers(name: string): Promise<readonly PeerView[]> {
    return (await this.status(name))?.peers ?? [];
  }

  #expected(name: string): readonly string[] {
    return [...this.sessions[name]!, ...(name === "rr1" ? [] : ["tor"])];
  }

  /** True if every session that `name` should have is Established. */
  async hasSessions(name: (typeof daemons)[number]): Promise<boolean> {
    const up = (await this.peers(name)).filter((peer) => peer.state === "Established").map((peer) => peer.name);
    return this.#expected(name).every((peer) => up.includes(peer));
  }

  /** Undefined once every daemon is ready and in sync with all sessions up; until then, what is missing. */
  async missing(): Promise<string | undefined> {
    for (const name of daemons) {
      const status = await this.status(name);
      if (!status) return `${name} does not answer`;
      const unknown = this.#expected(name).find((peer) => !status.peers.some((one) => one.name === peer));
      if (unknown !== undefined) return `${name} knows of no neighbour ${unknown}`;
      const down = status.peers.find((peer) => peer.state !== "Established" && peer.name !== rude.name);
      if (down) return `${name}'s session with ${down.name} is ${down.state}: ${down.reason}`;
      if (status.store.state !== "connected") return `${name}'s store is ${status.store.state}: ${status.store.text}`;
      const stale = status.peers.find((peer) => peer.stale > 0);
      if (stale) return `${name} holds ${stale.stale} stale routes of ${stale.name}`;
      if (status.kernel.enabled && (!status.kernel.inSync || status.kernel.differing > 0)) return `${name}'s kernel is not in sync`;
      if (!status.ready) return `${name} is not ready: ${status.reasons.join("; ")}`;
    }
    return undefined;
  }
  /** Waits until nothing is missing; returns what is missing when the time is up. */
  async settled(millis: number): Promise<string | undefined> {
    let last: string | undefined = "nothing was looked at";
    const look = async (): Promise<true | undefined> => ((last = await this.missing()) === undefined ? true : undefined);
    await awaitFact(look, { millis, everyMillis: 200 });
    return last;
  }

  /** Every pod with every other of its family, and routed pods with the machine behind the router, both ways. */
  pairs(): ProbePair[] {
    const pods = this.record.machines.filter((machine) => machine.pool !== undefined),
      server = this.machine("server");
    const routed = pods.filter((pod) => pod.pool !== "overlay");
    return [
      ...pods.flatMap((from) => pods.flatMap((to) => (from === to ? [] : pair(from, to)))),
      ...routed.flatMap((pod) => [...pair(pod, server), ...pair(server, pod)]),
    ];
  }
  /** Nodes' own addresses on their link, which no fault of ours touches: what these lose, the machine has lost. */
  controls(): ProbePair[] {
    return nodes.flatMap((from, i) => pair(this.machine(from), this.machine(nodes[(i + 1) % nodes.length]!)));
  }
}

function pair(from: MachineRecord, to: MachineRecord): ProbePair[] {
  const has = (machine: MachineRecord, six: boolean): string | undefined => machine.addresses.find((address) => address.includes(":") === six);
  return [false, true].flatMap((six) => {
    const address = has(to, six);
    return address === undefined || has(from, six) === undefined ? [] : [{ name: `${from.name}>${to.name}`, namespace: from.namespace, to: address as Ip }];
  });
}

/** Brings the lab up and hands it to `work`; takes it down whatever happens. */
export async function withLab<T>(
  options: { readonly scale: number; readonly say: Say; readonly signal: AbortSignal },
  work: (lab: FaultLab) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "podway-faults-")),
    name = `faults${process.pid}`;
  try {
    const file = writeTopology(directory, name, options.scale),
      plan = planFile(file);
    const record = await upLab(plan, options);
    const report = await checkLab(record, plan, options);
    if (report.missing.length > 0) throw new Error(`the lab does not stand: ${report.missing.map((finding) => finding.text).join("; ")}`);
    const lab = new FaultLab(record, readFileSync(file, "utf8"), options.scale, options.say);
    for (const node of nodes) await layForeign(lab, node);
    return await work(lab);
  } finally {
    const record = readRecord(name);
    if (record) await downLab(record, { say: () => undefined });
    rmSync(directory, { recursive: true });
  }
}

function writeTopology(directory: string, name: string, scale: number): string {
  const source = (file: string): string => fileURLToPath(new URL(`../../topology/${file}`, import.meta.url));
  const seconds = (value: number): number => Math.max(3, Math.round(value * scale));
  const add = (text: string, after: string, line: string): string => {
    if (!text.includes(after)) throw new Error(`topology/quickstart.yaml has no line ${after}`);
    return text.replace(after, `${after}\n${line}`);
  };
  let text = readFileSync(source("quickstart.yaml"), "utf8").replace("name: quickstart", `name: ${name}`);
  text = add(
    text,
    "asn: 64512",
    [
      `gracefulRestart: { restart: ${seconds(times.restart)}s, stale: ${seconds(times.stale)}s }`,
      `timers: { hold: ${seconds(times.hold)}s, fallback: ${seconds(times.fallback)}s }`,
      `lease: { liveness: ${seconds(times.liveness)}s }`,
    ].join("\n"),
  );
  text = add(
    text,
    "peers:",
    `  - { name: ${rude.name}, address: ${rude.address}, asn: ${rude.asn}, nodes: "node == 'rr1'", passive: true, import: [all], export: [all] }`,
  );
  text = add(text, "    sw0: { kind: bridge }", `    ${rude.name}: { kind: host }`);
  text = add(text, "  links:", `    - { endpoints: ["${rude.name}:eth1", "sw0:p9"], ipv4: [${rude.address}/24] }`);
  const file = join(directory, `${name}.yaml`);
  writeFileSync(file, text);
  // After an error BIRD refuses a neighbour for a minute, unless told otherwise; that would be BIRD's time we measure.
  const bird = add(readFileSync(source("bird-tor.conf"), "utf8"), "  graceful restart on;", "  error wait time 1, 2;\n  error forget time 1;");
  writeFileSync(join(directory, "bird-tor.conf"), bird);
  return file;
}

/** State of others in the same tables: routes beside ours (also within our pools), a neighbour, an FDB entry, an nft table. */
async function layForeign(lab: FaultLab, node: NodeName): Promise<void> {
  await lab.batch(node, "ip", [
    "route add 192.0.2.0/24 via 10.0.0.1 dev eth1 proto static",
    "route add blackhole 10.42.0.0/16 proto 99 metric 4000",
    "route add 2001:db8:99::/48 via fd00::1 dev eth1 proto static",
    "link add foreign0 type vxlan id 4243 dstport 4790 local 10.0.0.21 nolearning",
    "link set foreign0 up",
    "neigh add 198.51.100.1 lladdr 02:00:00:00:00:99 dev foreign0 nud permanent",
  ]);
  await lab.batch(node, "bridge", ["fdb append 02:00:00:00:00:99 dev foreign0 dst 10.0.0.99 self permanent"]);
  await lab.in(node, ["nft", "-f", "-"], foreignRules);
}

const foreignRules = `table inet foreign {
  chain forward {
    type filter hook forward priority 10
    counter accept
  }
  set s {
    type ipv4_addr
    elements = { 192.0.2.1 }
  }
}
`;
