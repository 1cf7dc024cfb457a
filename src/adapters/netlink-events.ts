/**
 * Kernel notifications as port events. A worker waits in `recv` (netlink-event-worker.ts), so a busy event loop loses none;
 * what arrives within some milliseconds is one event.
 */
import { on } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { FaultError, worldFault } from "#base/fault.ts";
import type { TableName } from "#base/kernel-row.ts";
import type { KernelEvent } from "#ports/kernel.ts";
import type { EventBurst, EventWorkerSettings, FdbNews } from "./netlink-event-worker.ts";

export interface ListenOptions {
  readonly signal: AbortSignal;
  readonly routeProtocol: number;
  /** Port id of the socket we write through: what it did is no news. */
  readonly ownPort: number;
  /** Whether a device, by index, is one of ours. */
  readonly isOurs: (index: number) => boolean;
  /** Whether a forwarding entry is as we last wrote it. */
  readonly isWritten: (entry: FdbNews) => boolean;
}

/** Rejects with a FaultError when the worker cannot listen. */
export async function* listen(options: ListenOptions): AsyncGenerator<KernelEvent> {
  if (options.signal.aborted) return;
  const stop = new SharedArrayBuffer(4);
  const settings: EventWorkerSettings = { routeProtocol: options.routeProtocol, ownPort: options.ownPort, stop };
  const worker = new Worker(new URL("./netlink-event-worker.ts", import.meta.url), { workerData: settings });
  worker.unref();
  try {
    for await (const [burst] of on(worker, "message", { signal: options.signal, close: ["exit"] })) {
      const event = eventOf(burst as EventBurst, options);
      if (event !== undefined) yield event;
    }
    throw new FaultError(worldFault("kernel.events", "the thread that listens to the kernel ended."));
  } catch (cause) {
    if (!options.signal.aborted)
      throw cause instanceof FaultError ? cause : new FaultError(worldFault("kernel.events", `kernel events cannot be heard: ${String(cause)}`), cause);
  } finally {
    Atomics.store(new Int32Array(stop), 0, 1);
  }
}

/** For a transport that cannot listen: says every second that something may have changed. */
export async function* pollInstead(signal: AbortSignal): AsyncGenerator<KernelEvent> {
  const everyMillis = 1000;
  while (!signal.aborted) {
    await pause(everyMillis, undefined, { signal, ref: false }).catch(() => undefined);
    if (!signal.aborted) yield { kind: "overrun" };
  }
}

const onDevices: readonly TableName[] = ["link", "address", "neighbour", "fdb"];

function eventOf(burst: EventBurst, { isOurs, isWritten }: ListenOptions): KernelEvent | undefined {
  if (burst.overrun) return { kind: "overrun" };
  const tables = new Set<TableName | "underlay">();
  if (burst.links.length + burst.linkDetails.length > 0) tables.add("underlay");
  if (burst.linkDetails.some(isOurs)) tables.add("link");
  // The kernel tells of no route that went with its device or with the device's last address, whosever device it was.
  if (burst.links.length + burst.addresses.length > 0) tables.add("route");
  if (burst.links.some(isOurs)) for (const table of onDevices) tables.add(table);
  if (burst.addresses.length > 0) tables.add("underlay");
  if (burst.addresses.some(isOurs)) tables.add("address");
  if (burst.neighbours.some(isOurs)) tables.add("neighbour");
  if (burst.fdb === undefined || burst.fdb.some((entry) => isOurs(entry.index) && !isWritten(entry))) tables.add("fdb");
  if (burst.ourRoutes) tables.add("route");
  if (burst.otherRoutes) tables.add("underlay");
  if (burst.switches) tables.add("sysctl");
  return tables.size === 0 ? undefined : { kind: "changed", tables };
}
