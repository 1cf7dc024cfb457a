/**
 * Carries a plan out with network namespaces, veths and processes, and takes it down again. Every name stands in the lab's
 * record before it is made; nothing is made in the machine's own namespace but the names of ours.
 */
import { copyFileSync, existsSync, mkdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { callerFault, FaultError } from "#base/fault.ts";
import { eachBounded, inside, ipBatch, must, run } from "./command.ts";
import type { LabPlan, MachinePlan } from "./plan.ts";
import { attachPod } from "./pods.ts";
import { runs } from "./process-identity.ts";
import { awaitReady, configureFrr, labVariable, prepareFrr, signalOne, startProcess, stopProcesses, stopStrays } from "./processes.ts";
import { claimRecord, type LabRecord, type MachineRecord, newRecord, recordedMachine, saveRecord } from "./record.ts";

/** Programs at a time; the machine that runs a lab has few cores. */
const parallel = 4;

export interface LabOptions {
  /** One line of progress. */
  readonly say: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Brings `plan` up and returns its record once every process answers and every pod has its address. On a fault (and when
 * `signal` aborts) what was made so far stays, listed in the record: the caller decides whether to take it down.
 */
export async function upLab(plan: LabPlan, options: LabOptions): Promise<LabRecord> {
  needRoot();
  await needFreeNames(plan);
  needConfigs(plan);
  const record = newRecord(
    plan.lab,
    { topology: plan.topology, home: plan.home },
    plan.machines.map((machine) => recordOf(machine, plan)),
  );
  claimRecord(record);
  process.env[labVariable] = record.home;
  await layNetwork(plan, options);
  await startAll(plan, record, options);
  if (plan.pods.length > 0) options.say(`${plan.pods.length} pods wait for their nodes' leases`);
  await eachBounded(plan.pods, parallel, (pod) => attachPod(record, pod, options.signal));
  record.starting = undefined;
  saveRecord(record);
  delete process.env[labVariable];
  return record;
}

/** Removes what `record` lists: processes, namespaces, files. What is gone already is no fault. */
export async function downLab(record: LabRecord, options: LabOptions): Promise<void> {
  needRoot();
  const starting = record.starting;
  if (starting && starting.pid !== process.pid && runs(starting)) {
    throw new FaultError(callerFault("lab.starting", `lab ${record.lab} is being started by process ${starting.pid}; stop that first (kill ${starting.pid})`));
  }
  options.say(`lab ${record.lab}: stopping ${record.processes.filter(runs).length} processes`);
  await stopProcesses(record.processes);
  if (starting) await stopStrays(record.home);
  const there = await listNamespaces();
  const ours = record.machines.map((machine) => machine.namespace).filter((name) => there.has(name));
  await eachBounded(ours, parallel, removeNamespace);
  for (const machine of record.machines) rmSync(machine.home, { recursive: true, force: true });
  rmSync(join(record.home, "record.json.new"), { force: true });
  rmSync(join(record.home, "record.json"), { force: true });
  removeIfEmpty(record.home);
  options.say(`lab ${record.lab}: ${ours.length} namespaces removed`);
}

/** Names of the machine's network namespaces. */
export async function listNamespaces(): Promise<ReadonlySet<string>> {
  const text = await must("network namespaces", ["ip", "netns", "list"]);
  return new Set(
    text
      .split("\n")
      .map((line) => line.split(" ")[0]!)
      .filter((name) => name !== ""),
  );
}

function needRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new FaultError(callerFault("lab.root", "labs are made of network namespaces, which only root may make; run it with sudo"));
}

async function needFreeNames(plan: LabPlan): Promise<void> {
  const there = await listNamespaces();
  const taken = plan.machines.find((machine) => there.has(machine.namespace))?.namespace;
  if (taken === undefined || existsSync(join(plan.home, "record.json"))) return;
  throw new FaultError(callerFault("lab.namespace", `there is a namespace ${taken} that no lab has made; remove it with: ip netns del ${taken}`));
}

function needConfigs(plan: LabPlan): void {
  for (const { name, config } of plan.machines) {
    if (config && !existsSync(config.from)) throw new FaultError(callerFault("lab.config", `${name}: there is no file ${config.from}`));
  }
}

function recordOf(machine: MachinePlan, plan: LabPlan): MachineRecord {
  const pod = plan.pods.find((one) => one.name === machine.name);
  const pool = pod && "pool" in pod.source ? pod.source.pool : undefined;
  const { name, kind, namespace, home } = machine;
  return { name, kind, namespace, home, addresses: [...machine.addresses], node: pod?.node, pool };
}

/** Namespaces with their sysctls first, so that every device made later inherits them; then wires, addresses, commands. */
async function layNetwork(plan: LabPlan, options: LabOptions): Promise<void> {
  const { machines } = plan;
  options.say(`lab ${plan.lab}: ${machines.length} namespaces, ${plan.wires.length} links`);
  for (const machine of machines) {
    mkdirSync(machine.home, { recursive: true, mode: 0o755 });
    if (machine.config) copyFileSync(machine.config.from, machine.config.to);
  }
  await ipBatch(
    "namespaces",
    machines.map((machine) => `netns add ${machine.namespace}`),
  );
  await eachBounded(machines, parallel, (machine) => {
    const settings = Object.entries(machine.sysctls).map(([key, value]) => `${key}=${value}`);
    return must(`${machine.name}: sysctls`, inside(machine.namespace, ["sysctl", "-q", "-w", ...settings]));
  });
  options.signal?.throwIfAborted();
  await ipBatch("links", plan.wires);
  await eachBounded(machines, parallel, (machine) => ipBatch(`${machine.name}: links and routes`, machine.setup, machine.namespace));
  for (const machine of machines)
    for (const command of machine.exec) await must(`${machine.name}: exec "${command}"`, inside(machine.namespace, ["/bin/sh", "-c", command]));
}

/** The store first, since the daemons ask it at once; everything else together. */
async function startAll(plan: LabPlan, record: LabRecord, options: LabOptions): Promise<void> {
  const stores = plan.machines.filter((machine) => machine.kind === "etcd");
  const rest = plan.machines.filter((machine) => machine.kind !== "etcd" && machine.processes.length > 0);
  for (const wave of [stores, rest]) {
    if (wave.length === 0) continue;
    options.say(`starting ${wave.map((machine) => machine.name).join(", ")}`);
    for (const machine of wave) {
      if (machine.kind === "frr") await prepareFrr(recordedMachine(record, machine.name));
      for (const process of machine.processes) startProcess(record, recordedMachine(record, machine.name), process);
    }
    await Promise.all(
      wave.map(async ({ name, kind }) => {
        const machine = recordedMachine(record, name);
        await awaitReady(record, machine, options.signal);
        if (kind === "frr") await configureFrr(machine);
      }),
    );
  }
}

/** Whatever still lives in a namespace of ours (a shell, what exec left behind) would keep it alive unseen, so it ends first. */
async function removeNamespace(name: string): Promise<void> {
  const inhabitants = (await run(["ip", "netns", "pids", name])).stdout
    .split("\n")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid);
  for (const pid of inhabitants) signalOne(pid);
  await must(`namespace ${name}`, ["ip", "netns", "del", name]);
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "ENOTEMPTY" && code !== "ENOENT") throw error;
  }
}
