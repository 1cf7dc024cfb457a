/**
 * `npm run demo [-- --keep] [-- FILE]`: brings a lab up (quickstart), waits for everything it promises, shows it, and removes it
 * again whatever happens. Exit code 0 only if every promised ping and session was seen.
 */
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { FaultError } from "#base/fault.ts";
import { controlPaths, type LeaseView } from "#daemon/control.ts";
import { checkLab, type Report } from "./check.ts";
import { getJson } from "./daemon-client.ts";
import { demoTable, type HeldLease } from "./demo-table.ts";
import { planFile } from "./document.ts";
import { downLab, upLab } from "./netns.ts";
import { apiSocket } from "./plan.ts";
import { type LabRecord, readRecord } from "./record.ts";

const quickstart = fileURLToPath(import.meta.resolve("../../topology/quickstart.yaml"));
const started = performance.now();
const say = (line: string): void => void process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s  ${line}\n`);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** Runs the demo and returns its exit code. */
async function demo(args: readonly string[]): Promise<number> {
  const unknown = args.find((arg) => arg.startsWith("-") && arg !== "--keep");
  if (unknown !== undefined) throw usage(`there is no option ${unknown}; there is --keep, which leaves the lab up`);
  const plan = planFile(args.find((arg) => !arg.startsWith("-")) ?? quickstart);
  if (readRecord(plan.lab)) throw usage(`lab ${plan.lab} is up already; remove it with: npx podway lab down ${plan.lab}`);
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => interrupted.abort(usage("interrupted; the lab is removed")));
  const keep = args.includes("--keep");
  try {
    const record = await upLab(plan, { say, signal: interrupted.signal });
    const report = await checkLab(record, plan, { say, signal: interrupted.signal });
    print(demoTable({ title: basename(plan.topology), record, report, leases: await heldLeases(record) }));
    return verdict(report);
  } finally {
    const record = readRecord(plan.lab);
    if (record && keep && !interrupted.signal.aborted) print(lookAround(record));
    else if (record) await downLab(record, { say });
  }
}

function verdict(report: Report): number {
  for (const missing of report.missing) process.stderr.write(`${missing.text}\n`);
  const pings = report.findings.filter((finding) => finding.expectation.kind === "ping");
  const sessions = report.findings.filter((finding) => finding.expectation.kind === "session");
  const seen = (all: readonly { readonly seen: boolean }[]): string => `${all.filter((finding) => finding.seen).length} of ${all.length}`;
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  print(`${seen(sessions)} sessions, ${seen(pings)} pings, ${seen(report.findings)} promises in all, after ${seconds} s.`);
  return report.missing.length === 0 ? 0 : 1;
}

async function heldLeases(record: LabRecord): Promise<readonly HeldLease[]> {
  const daemons = record.machines.filter((machine) => machine.kind === "podway");
  const answers = await Promise.all(daemons.map((machine) => getJson<readonly LeaseView[]>(apiSocket(machine.home), controlPaths.leases)));
  return answers
    .flatMap((answer) => (answer.ok ? answer.value.filter((lease) => lease.own && lease.cidr !== null) : []))
    .map(({ node, pool, cidr, backend }) => ({ node, pool, cidr: cidr!, backend }));
}

function lookAround(record: LabRecord): string {
  const daemons = record.machines.filter((machine) => machine.kind === "podway");
  const node = daemons.find((machine) => record.machines.some((pod) => pod.node === machine.name)) ?? daemons[0];
  const router = record.machines.find((machine) => machine.kind === "bird");
  return [
    "The lab stays up. Look around:",
    ...(node ? [`  npx podway --api ${apiSocket(node.home)} status`, `  npx podway lab exec ${node.name} -- ip route show proto 117`] : []),
    ...(router ? [`  birdc -s ${router.home}/bird.ctl show route`] : []),
    "and remove it:",
    `  npx podway lab down ${record.lab}`,
  ].join("\n");
}

const usage = (text: string): FaultError => new FaultError({ whose: "caller", code: "demo.refused", text });

try {
  process.exitCode = await demo(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof FaultError)) throw error;
  process.stderr.write(`${error.fault.text}\n`);
  process.exitCode = 1;
}
