/** Gauges and counters in the Prometheus text format 0.0.4; read when somebody scrapes. A name ending in `_total` is a counter. */
import { readdirSync } from "node:fs";
import type { Telemetry } from "#ports/telemetry.ts";

export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly read: Parameters<Telemetry["gauge"]>[2];
}

/** A gauge that fails to be read is left out; the others are still told. */
export function metricsText(gauges: readonly Gauge[]): string {
  return gauges.map(gaugeText).join("");
}

function gaugeText({ name, help, read }: Gauge): string {
  let values: ReturnType<Gauge["read"]>;
  try {
    values = read();
  } catch {
    return "";
  }
  const head = `# HELP ${name} ${escape(help, false)}\n# TYPE ${name} ${name.endsWith("_total") ? "counter" : "gauge"}\n`;
  if (typeof values === "number") return `${head}${name} ${values}\n`;
  return head + values.map(({ labels, value }) => `${name}${labelsText(labels)} ${value}\n`).join("");
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escape(value, true)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escape(text: string, quotes: boolean): string {
  const plain = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return quotes ? plain.replaceAll('"', '\\"') : plain;
}

/** The process itself, by the names every Prometheus dashboard knows. */
export function processGauges(): readonly Gauge[] {
  return [
    { name: "process_resident_memory_bytes", help: "Resident memory size in bytes.", read: () => process.memoryUsage.rss() },
    { name: "process_cpu_seconds_total", help: "User and system CPU time spent in seconds.", read: cpuSeconds },
    { name: "process_start_time_seconds", help: "Start time of the process since unix epoch in seconds.", read: () => performance.timeOrigin / 1000 },
    { name: "process_open_fds", help: "Number of open file descriptors.", read: () => readdirSync("/proc/self/fd").length },
  ];
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
