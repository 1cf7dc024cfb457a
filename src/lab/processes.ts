/** The lab's long-running processes: started in their namespace and process group, stopped by identity, waited for by fact. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { FaultError, worldFault } from "#base/fault.ts";
import { awaitFact, inside, must, run } from "./command.ts";
import { getJson } from "./daemon-client.ts";
import { apiSocket, birdSocket, frrDaemons, type ProcessPlan } from "./plan.ts";
import { identify, type ProcessIdentity, runs, withEnvironment } from "./process-identity.ts";
import { type LabRecord, type MachineRecord, type ProcessRecord, saveRecord } from "./record.ts";

const readyMillis = 30_000;
const stopMillis = 5_000;
const killMillis = 3_000;

/** What of our own environment a lab's process sees. */
const inherited = ["PATH", "HOME", "LANG", "TZ"] as const;
/** Says in the environment of everything that is started on a lab's behalf which lab that is (its directory). */
export const labVariable = "PODWAY_LAB";

/** Starts one process of `machine` and writes it into the record. It outlives us. */
export function startProcess(record: LabRecord, machine: MachineRecord, plan: ProcessPlan): void {
  const log = openSync(plan.log, "a", 0o600);
  const argv = inside(machine.namespace, plan.argv);
  const own = Object.fromEntries(inherited.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
  const child = spawn(argv[0]!, argv.slice(1), {
    detached: true,
    stdio: ["ignore", log, log],
    env: { ...own, [labVariable]: record.home, ...plan.env },
    cwd: machine.home,
  });
  closeSync(log);
  child.on("error", () => undefined);
  child.unref();
  if (child.pid === undefined) throw new FaultError(worldFault("lab.process", `${machine.name}: ${plan.name} could not be started`));
  // One that has ended already has no start time left; whoever waits for it to be ready will quote its log.
  const identity = identify(child.pid) ?? { pid: child.pid, start: -1, boot: "" };
  record.processes.push({ ...identity, machine: machine.name, name: plan.name, namespace: machine.namespace, argv: plan.argv, env: plan.env, log: plan.log });
  saveRecord(record);
}

/** Waits until what `machine` runs answers; the fault quotes the last line of its log. */
export async function awaitReady(record: LabRecord, machine: MachineRecord, signal?: AbortSignal): Promise<void> {
  const mine = record.processes.filter((one) => one.machine === machine.name);
  const died = (): ProcessRecord | undefined => mine.find((one) => !runs(one));
  const answer = await awaitFact(async () => (died() ? "died" : (await ready(machine)) ? "ready" : undefined), { millis: readyMillis, signal });
  if (answer === "ready") return;
  const process = died() ?? mine[0];
  if (!process) return;
  const what = answer === "died" ? "ended" : `did not answer within ${readyMillis / 1000} s`;
  const last = lastLine(process.log);
  throw new FaultError(worldFault("lab.process", `${machine.name}: ${process.name} ${what}${last ? `; it said "${last}"` : ""} (${process.log})`));
}

async function ready(machine: MachineRecord): Promise<boolean> {
  switch (machine.kind) {
    case "podway":
      return (await getJson(apiSocket(machine.home), "/v1/status")).ok;
    case "etcd":
      return (await run(inside(machine.namespace, [process.execPath, "--input-type=module", "-e", etcdHealth]))).code === 0;
    case "bird":
      return (await run(["birdc", "-s", birdSocket(machine.home), "show", "status"])).stdout.includes("up and running");
    case "frr":
      return frrReady(machine);
    case "host":
    case "bridge":
    case "router":
      return true;
  }
}

/** etcd answers to a client of its own namespace only. */
const etcdHealth = `
  const answer = await fetch("http://127.0.0.1:2379/health").then((response) => response.json()).catch(() => ({}));
  process.exit(String(answer.health) === "true" ? 0 : 1);
`;

async function frrReady(machine: MachineRecord): Promise<boolean> {
  const asked = frrDaemons.map((daemon) => run(["vtysh", "--vty_socket", machine.home, "-d", daemon, "-c", "show version"]));
  return (await Promise.all(asked)).every((ran) => ran.code === 0);
}

/** FRR's daemons give root up, and make their sockets and files as Debian's user frr. */
export async function prepareFrr(machine: MachineRecord): Promise<void> {
  await must(`${machine.name}: its directory`, ["chown", "frr:frr", machine.home]);
}

/** FRR takes its configuration once its daemons stand. */
export async function configureFrr(machine: MachineRecord): Promise<void> {
  const argv = ["vtysh", "--vty_socket", machine.home, "--config_dir", machine.home, "-b"];
  await must(`${machine.name}: its configuration`, argv);
}

/** SIGTERM (or SIGKILL) to each process group, then SIGKILL to what is still there; returns once all are gone. */
export async function stopProcesses(processes: readonly ProcessRecord[], signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
  const gone = (): Promise<true | undefined> => Promise.resolve(processes.some(runs) ? undefined : true);
  for (const one of processes) signalGroup(one, signal);
  if (await awaitFact(gone, { millis: signal === "SIGKILL" ? killMillis : stopMillis, everyMillis: 20 })) return;
  for (const one of processes) signalGroup(one, "SIGKILL");
  if (await awaitFact(gone, { millis: killMillis, everyMillis: 20 })) return;
  const left = processes.filter(runs).map((one) => `${one.machine}/${one.name} (pid ${one.pid})`);
  throw new FaultError(worldFault("lab.process", `these processes do not end: ${left.join(", ")}`));
}

/**
 * Ends whatever was started on behalf of the lab in `home`: a `lab up` that was killed leaves programs behind that it had no
 * time to write down, and they go on making what we are about to remove.
 */
export async function stopStrays(home: string): Promise<void> {
  const strays = (): readonly ProcessIdentity[] => withEnvironment(`${labVariable}=${home}`);
  const gone = async (): Promise<true | undefined> => {
    const left = strays();
    for (const one of left) signalOne(one.pid);
    return left.length === 0 ? true : undefined;
  };
  if (await awaitFact(gone, { millis: killMillis, everyMillis: 20 })) return;
  throw new FaultError(
    worldFault(
      "lab.process",
      `these processes do not end: ${strays()
        .map((one) => one.pid)
        .join(", ")}`,
    ),
  );
}

function signalGroup(identity: ProcessRecord, signal: "SIGTERM" | "SIGKILL"): void {
  if (runs(identity)) signalOne(-identity.pid, signal);
}

/** A process that ended between the look and the signal is no fault. */
export function signalOne(pid: number, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Stops `machine`'s processes with `signal`; the record keeps how to start them. */
export async function stopMachine(record: LabRecord, machine: MachineRecord, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  await stopProcesses(
    record.processes.filter((one) => one.machine === machine.name),
    signal,
  );
}

/** Starts again what `machine` ran, and waits until it answers. */
export async function startMachine(record: LabRecord, machine: MachineRecord): Promise<void> {
  const before = record.processes.filter((one) => one.machine === machine.name && !runs(one));
  record.processes = record.processes.filter((one) => !before.includes(one));
  for (const one of before) startProcess(record, machine, one);
  await awaitReady(record, machine);
  if (machine.kind === "frr") await configureFrr(machine);
}

/** What a program said last; of a JSON line its `text`. */
function lastLine(file: string): string {
  let line = "";
  try {
    line = readFileSync(file, "utf8").trimEnd().split("\n").at(-1) ?? "";
    return ((JSON.parse(line) as { readonly text?: string }).text ?? line).slice(0, 300);
  } catch {
    return line.slice(0, 300);
  }
}
