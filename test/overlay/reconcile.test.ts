import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { worldFault } from "#base/fault.ts";
import type { Note } from "#base/note.ts";
import { MemoryKernel } from "../../src/adapters/memory-kernel.ts";
import { createReconciler, type Reconciler } from "#daemon/reconcile.ts";
import { emptyFabric, type Fabric, mergePlanned } from "#overlay/fabric.ts";
import { planForwarding } from "#overlay/forwarding.ts";
import { planVxlan } from "#overlay/vxlan.ts";
import { until } from "../contract/kernel-netns.ts";
import { ip, lease, lines, pool, prefix, underlay } from "./world.ts";

const self = { node: "n1", address: ip("10.0.0.1"), address6: undefined };

/** What node n1 wants when there are nodes 2 to `last`. */
function fabricFor(last: number): Fabric {
  const leases = Array.from({ length: last - 1 }, (_, i) => lease(`n${i + 2}`, `10.43.${i + 2}.0/24`, `10.0.0.${i + 2}`));
  return mergePlanned([
    planForwarding(new Set([4]), underlay()),
    planVxlan({ self, pool: pool(), own: prefix("10.43.1.0/24"), leases, underlay: underlay(), metric: 117 }),
  ]).fabric;
}

describe("the reconcile loop", () => {
  let kernel: MemoryKernel, reconciler: Reconciler, stop: AbortController, running: Promise<void>, notes: Note[], moved: number, isReady: boolean;
  const sysctls = [...fabricFor(2).sysctl.keys()];
  const held = async (): Promise<readonly string[]> => lines(await kernel.look(sysctls)).toSorted();

  beforeEach(() => {
    kernel = new MemoryKernel(underlay());
    [notes, moved, isReady, stop] = [[], 0, false, new AbortController()];
    const telemetry = { note: (said: Note) => void notes.push(said), gauge: () => undefined };
    reconciler = createReconciler({ kernel, telemetry, underlayMoved: () => moved++, lookMillis: 60_000, eventMillis: 5 });
    running = reconciler.run(stop.signal, () => (isReady = true));
  });
  afterEach(async () => {
    stop.abort();
    await running;
    kernel.close();
  });

  test("brings the kernel to what is wanted, and is ready then", async () => {
    reconciler.want(fabricFor(3), true);
    await reconciler.settled();
    await until("it is ready", () => isReady);
    expect(await held()).toEqual(lines(fabricFor(3)).toSorted());
    expect(reconciler.status()).toMatchObject({ inSync: true, differing: 0, drift: 0 });
  });

  test("the last of many wants wins, and a hundred of them cost few passes", async () => {
    for (let i = 0; i < 100; i++) reconciler.want(fabricFor(2 + (i % 7)), true);
    reconciler.want(fabricFor(4), true);
    await reconciler.settled();
    expect(await held()).toEqual(lines(fabricFor(4)).toSorted());
    expect(reconciler.status().passes).toBeLessThan(5);
  });

  test("removes nothing before every source is in sync, then all that nobody wants but switches", async () => {
    reconciler.want(fabricFor(5), true);
    await reconciler.settled();
    reconciler.want(emptyFabric, false);
    await reconciler.settled();
    expect(await held()).toEqual(lines(fabricFor(5)).toSorted());
    reconciler.want(emptyFabric, true);
    await reconciler.settled();
    expect(await held()).toEqual(["sysctl net/ipv4/ip_forward: 1"]);
  });

  test("what a former life left is adopted without a write", async () => {
    reconciler.want(fabricFor(5), true);
    await reconciler.settled();
    stop.abort();
    await running;
    const writes = kernel.writes;
    expect(await held()).toEqual(lines(fabricFor(5)).toSorted());
    stop = new AbortController();
    reconciler = createReconciler({ kernel, telemetry: { note: () => undefined, gauge: () => undefined }, eventMillis: 5 });
    running = reconciler.run(stop.signal);
    reconciler.want(fabricFor(5), false);
    await reconciler.settled();
    reconciler.want(fabricFor(5), true);
    await reconciler.settled();
    expect(kernel.writes).toBe(writes);
    expect(reconciler.status()).toMatchObject({ differing: 0, drift: 0 });
  });

  test("a failing row is shown with its reason, tried again, and holds up nobody else", async () => {
    kernel.fails = (change) => (change.key === "pw-vx43 10.43.3.0" ? worldFault("kernel.refused", "neighbour: told to fail") : undefined);
    reconciler.want(fabricFor(4), true);
    await reconciler.settled({ table: "route", key: "10.43.4.0/24 metric 117" });
    const failing = reconciler
      .view()
      .tables.flatMap((table) => table.entries.filter((entry) => entry.failure !== null).map((entry) => [table.name, entry.key, entry.failure]));
    expect(failing).toEqual([["neighbour", "pw-vx43 10.43.3.0", "neighbour: told to fail"]]);
    expect(reconciler.status().differing).toBe(1);
    kernel.fails = () => undefined;
    await reconciler.settled();
    expect(await held()).toEqual(lines(fabricFor(4)).toSorted());
    expect(notes.filter((said) => said.event === "kernel.failed")).toHaveLength(1);
    expect(reconciler.view().tables.every((table) => table.entries.every((entry) => entry.failure === null && entry.desired === entry.actual))).toBe(true);
  });

  test("a look cut short is thrown away: nothing is written on half a view", async () => {
    kernel.interrupted = true;
    reconciler.want(fabricFor(3), true);
    await until("the trouble is told", () => notes.some((said) => said.text.includes("cut looks short")));
    expect([kernel.writes, reconciler.status().passes, isReady]).toEqual([0, 0, false]);
    kernel.interrupted = false;
    await reconciler.settled();
    expect(await held()).toEqual(lines(fabricFor(3)).toSorted());
  });

  test("drift is repaired on its event and counted: a whole device with all its rows", async () => {
    reconciler.want(fabricFor(3), true);
    await reconciler.settled();
    kernel.meddle("fdb", [...fabricFor(3).fdb.keys()][0]!, undefined);
    await until("the forwarding entry is back", async () => (await kernel.look([])).fdb.size === 2);
    kernel.meddle("link", "pw-vx43", undefined);
    await until("everything is back", async () => (await held()).length === lines(fabricFor(3)).length);
    expect(await held()).toEqual(lines(fabricFor(3)).toSorted());
    expect(reconciler.status().drift).toBe(1 + 1 + 1 + 2 + 2 + 2);
    expect(notes.some((said) => said.event === "kernel.drift")).toBe(true);
  });

  test("an overrun leads to a full look and a new reading of the underlay", async () => {
    reconciler.want(fabricFor(3), true);
    await reconciler.settled();
    await until("it listens", () => kernel.listeners > 0);
    const row = [...fabricFor(3).neighbour.keys()][0]!;
    kernel.meddleUnheard("neighbour", row, undefined);
    kernel.tell({ kind: "overrun" });
    await until("the neighbour is back", async () => (await kernel.look([])).neighbour.has(row));
    expect(moved).toBe(1);
  });

  test("underlay changes are handed on and cost no look", async () => {
    await until("it listens", () => kernel.listeners > 0);
    reconciler.want(fabricFor(2), true);
    await reconciler.settled();
    const { passes } = reconciler.status();
    kernel.tell({ kind: "changed", tables: new Set(["underlay"]) });
    await until("the change is handed on", () => moved === 1);
    expect(reconciler.status().passes).toBe(passes);
  });
});

test("a look comes round by time even if nothing is heard and wants keep coming", async () => {
  const kernel = new MemoryKernel(underlay()),
    stop = new AbortController();
  const reconciler = createReconciler({ kernel, telemetry: { note: () => undefined, gauge: () => undefined }, lookMillis: 50, eventMillis: 5 });
  const running = reconciler.run(stop.signal);
  reconciler.want(fabricFor(3), true);
  await reconciler.settled();
  kernel.meddleUnheard("route", "10.43.2.0/24 metric 117", undefined);
  await until("the route is back", async () => {
    reconciler.want(fabricFor(3), true);
    return (await kernel.look([])).route.has("10.43.2.0/24 metric 117");
  });
  stop.abort();
  await running;
});
