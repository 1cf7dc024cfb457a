/**
 * One node's kernel side and nothing else, for tests with several nodes: reads the underlay, plans, reconciles until SIGTERM.
 * Argument: the JSON of `AgentSettings`. Prints `settled` with its status each time everything wanted is in the kernel.
 */
import type { Ip } from "#base/ip.ts";
import type { Lease } from "#base/lease.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PoolSettings } from "#base/settings.ts";
import { createReconciler } from "#daemon/reconcile.ts";
import { mergePlanned } from "#overlay/fabric.ts";
import { planForwarding } from "#overlay/forwarding.ts";
import { type Self, underlayTargets } from "#overlay/remote.ts";
import { planHostGateway } from "#overlay/routed.ts";
import { planVxlan } from "#overlay/vxlan.ts";
import { openNetlinkKernel } from "../../src/adapters/netlink-kernel.ts";

export interface AgentSettings {
  readonly self: Self;
  readonly pools: readonly PoolSettings[];
  readonly own: Readonly<Record<string, Prefix>>;
  readonly leases: readonly Omit<Lease, "createRevision">[];
}

const routeProtocol = 117;
const settings = JSON.parse(process.argv[2]!) as AgentSettings;
const kernel = await openNetlinkKernel(routeProtocol),
  stop = new AbortController();
const leases = settings.leases.map((lease): Lease => ({ ...lease, createRevision: 1n }));
const telemetry = { note: (said: object) => console.error(JSON.stringify(said)), gauge: () => undefined };
const reconciler = createReconciler({ kernel, telemetry, underlayMoved: () => void replan(), lookMillis: 2000 });
process.on("SIGTERM", () => stop.abort());
const running = reconciler.run(stop.signal);
await replan();
await running;
process.exit(0);

async function replan(): Promise<void> {
  if (stop.signal.aborted) return;
  const underlay = await kernel.underlay(underlayTargets(settings.self, leases, new Map<Prefix, readonly Ip[]>()));
  const planned = settings.pools.map((pool) => {
    const plan = { self: settings.self, pool, own: settings.own[pool.name], leases, underlay, metric: routeProtocol };
    return pool.backend === "vxlan" ? planVxlan(plan) : planHostGateway(plan);
  });
  const { fabric, notes } = mergePlanned([planForwarding(new Set(settings.pools.map((pool) => pool.family)), underlay), ...planned]);
  notes.forEach(telemetry.note);
  reconciler.want(fabric, true);
  await reconciler.settled();
  console.log(JSON.stringify({ settled: reconciler.status() }));
}
