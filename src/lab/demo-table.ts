/** What the demo shows a person: who runs, who holds what, who talks to whom, who reaches whom. Pure. */
import { type Family, familyOf } from "#base/ip.ts";
import type { Finding, Report } from "./check.ts";
import type { Expectation } from "./expectation.ts";
import type { LabRecord, MachineRecord } from "./record.ts";

export interface HeldLease {
  readonly node: string;
  readonly pool: string;
  readonly cidr: string;
  readonly backend: string;
}

export interface DemoView {
  readonly title: string;
  readonly record: LabRecord;
  readonly report: Report;
  readonly leases: readonly HeldLease[];
}

/** The demo's tables as text. */
export function demoTable(view: DemoView): string {
  const families = ([4, 6] as const).flatMap((family) => pingMatrix(view, family));
  return ["", ...machineLines(view), ...leaseLines(view), ...sessionLines(view.report), ...routeLines(view.report), ...families, ""].join("\n");
}

const whatItIs: Readonly<Record<MachineRecord["kind"], string>> = {
  podway: "podwayd",
  etcd: "etcd",
  bird: "BIRD router",
  frr: "FRR router",
  host: "machine",
  bridge: "switch",
  router: "router",
};

function machineLines({ title, record }: DemoView): string[] {
  const shown = record.machines.filter((machine) => machine.pool === undefined && machine.kind !== "bridge");
  const rows = shown.map((machine) => [machine.name, whatItIs[machine.kind], machine.addresses.join("  ")]);
  const pods = record.machines.filter((machine) => machine.pool !== undefined).length;
  return [`What runs (${title}): ${record.machines.length} network namespaces, ${pods} of them pods`, ...columns(rows), ""];
}

function leaseLines({ leases, record }: DemoView): string[] {
  if (leases.length === 0) return [];
  const rows = leases.map((lease) => {
    const pods = record.machines.filter((machine) => machine.node === lease.node && machine.pool === lease.pool);
    return [lease.node, lease.pool, lease.cidr, lease.backend, pods.map((pod) => `${pod.name} ${pod.addresses.join(" ")}`).join(", ")];
  });
  return ["Leases: who holds which CIDR, and the pods in it", ...columns([["node", "pool", "CIDR", "by", "pods"], ...rows]), ""];
}

function sessionLines(report: Report): string[] {
  const sessions = of(report, "session");
  if (sessions.length === 0) return [];
  const nodes = [...new Set(sessions.map(([expectation]) => expectation.node))];
  const rows = nodes.map((node) => {
    const mine = sessions.filter(([expectation]) => expectation.node === node);
    return [node, mine.map(([expectation, finding]) => `${expectation.peer} ${finding.seen ? "Established" : "MISSING"}`).join("   ")];
  });
  return ["BGP sessions", ...columns(rows), ""];
}

function routeLines(report: Report): string[] {
  const rows = of(report, "route").map(([{ on, to, via, absent }, finding]) => [
    on,
    absent ? `no route to ${to}` : `${to}${via === undefined ? "" : ` via ${via}`}`,
    finding.seen ? "yes" : "MISSING",
  ]);
  return rows.length === 0 ? [] : ["Routes that were looked for", ...columns(rows), ""];
}

function pingMatrix({ report, record }: DemoView, family: Family): string[] {
  const pings = of(report, "ping").filter(([expectation]) => expectation.family === family);
  if (pings.length === 0) return [];
  const names = [...new Set(pings.flatMap(([expectation]) => [expectation.from, expectation.to]))];
  const address = (name: string): string => record.machines.find((one) => one.name === name)?.addresses.find((one) => familyOf(one) === family) ?? "";
  const cell = (from: string, to: string): string => {
    const finding = pings.find(([expectation]) => expectation.from === from && expectation.to === to)?.[1];
    if (!finding) return from === to ? "-" : "";
    return finding.seen ? (finding.millis?.toFixed(2) ?? "yes") : "LOST";
  };
  const header = ["", "", ...names];
  const rows = names.map((from) => [from, address(from), ...names.map((to) => cell(from, to))]);
  return [`IPv${family} pings, milliseconds (row pings column)`, ...columns([header, ...rows]), ""];
}

type Kind = Expectation["kind"];
function of<K extends Kind>(report: Report, kind: K): [Extract<Expectation, { kind: K }>, Finding][] {
  return report.findings
    .filter((finding) => finding.expectation.kind === kind)
    .map((finding) => [finding.expectation as Extract<Expectation, { kind: K }>, finding]);
}

/** Rows as left-aligned columns, two blanks in and two apart. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows.reduce<number[]>((all, row) => row.map((cell, i) => Math.max(all[i] ?? 0, cell.length)), []);
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ")}`.trimEnd());
}
