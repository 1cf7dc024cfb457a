/** How late the event loop runs, and how much of that is garbage collection: gauges, each read tells of the time since the last. */
import { constants, monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks";
import type { Telemetry } from "#ports/telemetry.ts";

/** A timer this often measures how late it comes; nothing shorter is seen. */
const resolutionMillis = 20;

const kinds: Readonly<Record<number, string>> = {
  [constants.NODE_PERFORMANCE_GC_MINOR]: "minor",
  [constants.NODE_PERFORMANCE_GC_MAJOR]: "major",
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: "incremental",
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: "weak-callbacks",
};

/** Begins to measure, for as long as the process runs. Its timer keeps no process alive. */
export function watchLoopDelay(telemetry: Telemetry): void {
  const delay = monitorEventLoopDelay({ resolution: resolutionMillis });
  const pauses = new Map(Object.values(kinds).map((kind) => [kind, 0]));
  delay.enable();
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const kind = kinds[(entry as unknown as { readonly detail: { readonly kind: number } }).detail.kind];
      if (kind !== undefined) pauses.set(kind, Math.max(pauses.get(kind)!, entry.duration / 1000));
    }
  }).observe({ entryTypes: ["gc"] });
  const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e9 - resolutionMillis / 1000);
  telemetry.gauge("podway_event_loop_delay_seconds", "How late the event loop ran since the last scrape; quantile 1 is the longest.", () => {
    const told = [
      { labels: { quantile: "0.99" }, value: late(delay.percentile(99)) },
      { labels: { quantile: "1" }, value: late(delay.max) },
    ];
    delay.reset();
    return told;
  });
  telemetry.gauge("podway_gc_pause_seconds", "The longest pause of each kind of garbage collection since the last scrape.", () => {
    const told = [...pauses].map(([kind, value]) => ({ labels: { kind }, value }));
    for (const kind of pauses.keys()) pauses.set(kind, 0);
    return told;
  });
}
