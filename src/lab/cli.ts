/** `podway lab …`: argv → plan, record and their executors. Progress goes to standard error, answers to standard output. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import type { Command } from "commander";
import { FaultError } from "#base/fault.ts";
import { checkLab, type Report } from "./check.ts";
import { composeFile } from "./compose.ts";
import { inside } from "./command.ts";
import { findLab, needLab, planFile, readLabDocument } from "./document.ts";
import { mermaid } from "./graph.ts";
import { downLab, type LabOptions, upLab } from "./netns.ts";
import type { LabPlan } from "./plan.ts";
import { runs } from "./process-identity.ts";
import { startMachine, stopMachine } from "./processes.ts";
import { type LabRecord, listRecords, readRecord, recordedMachine } from "./record.ts";

/** Adds `lab` with its verbs to `program`. Faults fly to whoever runs the program. */
export function addLabCommands(program: Command): void {
  const lab = program.command("lab").description("networks in namespaces of this machine, as a topology file declares them");
  lab
    .command("up <file>")
    .description("bring the lab up; a lab that fails is taken down again")
    .option("--check", "wait until everything under expect: is seen")
    .option("--keep", "leave a lab that failed as it is")
    .action(up);
  lab.command("down <lab>").description("remove everything the lab's record lists; LAB is a file or a name").action(down);
  lab.command("list").description("labs that are up").option("--json", "as JSON").action(list);
  lab
    .command("exec <node> <command...>")
    .description("run a command in a machine of the lab, with its exit code; put -- before the command")
    .option("--lab <name>", "which lab, if there are several")
    .action(exec);
  lab
    .command("kill <node>")
    .description("end what a machine runs, at once (SIGKILL) or politely (--term)")
    .option("--lab <name>", "which lab, if there are several")
    .option("--term", "SIGTERM instead of SIGKILL")
    .action(kill);
  lab
    .command("restart <node>")
    .description("end what a machine runs and start it again")
    .option("--lab <name>", "which lab, if there are several")
    .option("--kill", "SIGKILL instead of SIGTERM")
    .action(restart);
  lab.command("compose <file>").description("print the lab as a compose file").action(compose);
  lab.command("graph <file>").description("print the lab as a Mermaid graph").action(graph);
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const print = (text: string): void => void process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);

async function up(file: string, options: { readonly check?: boolean; readonly keep?: boolean }): Promise<void> {
  const plan = planFile(file);
  const interrupted = new AbortController();
  const stopped = (): void => interrupted.abort(new FaultError({ whose: "caller", code: "lab.interrupted", text: `lab ${plan.lab}: interrupted` }));
  process.once("SIGINT", stopped).once("SIGTERM", stopped);
  const ok = await bringUp(plan, { say, signal: interrupted.signal }, options);
  process.off("SIGINT", stopped).off("SIGTERM", stopped);
  if (!ok) process.exitCode = 1;
}

/** True if the lab stands (and shows what it must, with `check`). One that does not is taken down, unless it is to be kept. */
async function bringUp(plan: LabPlan, options: LabOptions, wish: { readonly check?: boolean; readonly keep?: boolean }): Promise<boolean> {
  const before = readRecord(plan.lab);
  try {
    const record = await upLab(plan, options);
    say(`lab ${plan.lab} is up: podway lab exec NODE -- COMMAND looks around, podway lab down ${plan.lab} removes it`);
    if (wish.check !== true || tell(plan, await checkLab(record, plan, options))) return true;
    if (wish.keep !== true) await downLab(record, { say });
    return false;
  } catch (error) {
    const mine = before === undefined ? readRecord(plan.lab) : undefined;
    if (mine && wish.keep !== true) await downLab(mine, { say });
    throw error;
  }
}

function tell(plan: LabPlan, report: Report): boolean {
  for (const finding of report.missing) say(finding.text);
  const count = report.findings.length - report.missing.length;
  say(`lab ${plan.lab}: ${count} of ${report.findings.length} expectations seen after ${report.seconds.toFixed(1)} s`);
  return report.missing.length === 0;
}

async function down(fileOrName: string): Promise<void> {
  const record = findLab(fileOrName);
  if (record) await downLab(record, { say });
  else say(`lab ${fileOrName} is not up; there is nothing to remove`);
}

function list(_options: unknown, command: Command): void {
  const { json } = command.optsWithGlobals<{ readonly json?: boolean }>();
  const labs = listRecords().map((record) => ({
    lab: record.lab,
    topology: record.topology,
    created: record.created,
    state: stateOf(record),
    machines: record.machines.map(({ name, kind, namespace, addresses, node, pool }) => ({
      name,
      kind,
      namespace,
      addresses,
      node: node ?? null,
      pool: pool ?? null,
      processes: record.processes.filter((one) => one.machine === name).map((one) => ({ name: one.name, pid: one.pid, running: runs(one), log: one.log })),
    })),
  }));
  if (json === true) return print(JSON.stringify(labs, undefined, 2));
  if (labs.length === 0) return say("no lab is up");
  for (const { lab, state, machines, topology } of labs) print(`${lab.padEnd(20)} ${state.padEnd(10)} ${machines.length} machines  ${topology}`);
}

function stateOf(record: LabRecord): "up" | "starting" | "unfinished" {
  if (!record.starting) return "up";
  return runs(record.starting) ? "starting" : "unfinished";
}

function compose(file: string): void {
  print(composeFile(readLabDocument(file), file));
}

function graph(file: string): void {
  print(mermaid(readLabDocument(file)));
}

async function exec(node: string, command: readonly string[], options: { readonly lab?: string }): Promise<void> {
  const machine = recordedMachine(needLab(options.lab), node);
  const argv = inside(machine.namespace, command);
  process.exitCode = await new Promise<number>((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), { stdio: "inherit" });
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
  });
}

async function kill(node: string, options: { readonly lab?: string; readonly term?: boolean }): Promise<void> {
  const record = needLab(options.lab);
  await stopMachine(record, recordedMachine(record, node), options.term === true ? "SIGTERM" : "SIGKILL");
}

async function restart(node: string, options: { readonly lab?: string; readonly kill?: boolean }): Promise<void> {
  const record = needLab(options.lab);
  const machine = recordedMachine(record, node);
  await stopMachine(record, machine, options.kill === true ? "SIGKILL" : "SIGTERM");
  await startMachine(record, machine);
}
