/** Opens what a node needs for its pods, and closes it: the journal, the links, the allocator over both. */
import { join } from "node:path";
import { flushConntrack } from "#adapters/netlink-conntrack.ts";
import { FaultError } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import { note } from "#base/note.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PodChange } from "#ipam/pod-terms.ts";
import type { Store } from "#ports/store.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import type { FilterKeeper } from "./filter-task.ts";
import { PodBook } from "./pod-book.ts";
import type { AddressClaims } from "./address-claims.ts";
import type { LeaseDriver } from "./lease-driver.ts";
import { PodMirror } from "./pod-mirror.ts";
import { PodTenants } from "./pod-tenants.ts";
import { PodPart } from "./pod-part.ts";
import { PodRoaming } from "./pod-roaming.ts";
import { followPodSpool, makePodSpool, type PodSpoolOptions } from "./pod-spool.ts";
import { PodPorts } from "./pod-ports.ts";
import { PodRouter } from "./pod-routing.ts";
import type { Reconciler } from "./reconcile.ts";
import type { NodeStreams } from "./streams.ts";
import type { Task } from "./tasks.ts";

export interface Pods {
  readonly part: PodPart;
  readonly roaming: PodRoaming;
  readonly router: PodRouter;
  readonly task: Task;
}

export interface PodsParts {
  readonly settings: NodeSettings;
  readonly telemetry: Telemetry;
  readonly stateDirectory: string;
  readonly store: Store;
  readonly leases: LeaseDriver;
  readonly claims: AddressClaims;
  readonly filter: FilterKeeper | undefined;
}

const noFilter = "this daemon keeps no packet rules";

/** Undefined, and a note, if the journal cannot be used: the node forwards all the same, and hands out nothing it may have handed out before. */
export async function openPods(
  { settings, telemetry, stateDirectory, store, leases, claims, filter }: PodsParts,
  streams: NodeStreams,
  reconciler: Reconciler,
): Promise<Pods | undefined> {
  const { PodLinks } = await import("#adapters/pod-links.ts");
  try {
    const marked: { mirror?: PodMirror; roaming?: PodRoaming } = {};
    const written = (changes: readonly PodChange[]): void => {
      for (const pool of new Set(changes.map(({ before, after }) => (after ?? before)?.pool))) if (pool !== undefined) marked.mirror?.mark(pool);
      marked.roaming?.written(changes);
    };
    const book = await PodBook.open({ path: join(stateDirectory, "pods.journal"), cluster: settings.cluster, written });
    const mirror = (marked.mirror = new PodMirror({ store, node: settings.node, machine: book.machine }));
    const stopping = new AbortController();
    const wallSeconds = (): number => Math.floor(Date.now() / 1000);
    const flush = (addresses: readonly Ip[]): void => {
      const unflushed = (cause: Error): void =>
        telemetry.note(note("warn", "ipam.not-flushed", `connections through ${addresses.join(", ")} are still tracked: ${cause.message}`));
      flushConntrack(addresses).catch(unflushed);
    };
    const roaming = (marked.roaming = await PodRoaming.open({ settings, store, claims, leases, book, telemetry, stateDirectory, streams, wallSeconds, flush }));
    const router = new PodRouter({ reconciler, metric: settings.kernel.metric, want: (routes) => roaming.want(routes) });
    const links = new PodLinks();
    const former = (pool: string, cidr: Prefix): Promise<readonly number[]> => mirror.read(pool, cidr, stopping.signal);
    const ports = new PodPorts({ want: (all) => streams.ports$.next(all), settled: (millis) => filter?.settled(millis) ?? Promise.resolve(noFilter) });
    const tenants = new PodTenants(settings.node, () => streams.leases$.value),
      elsewhere = (pool: string, namespace: string): number => tenants.elsewhere(pool, namespace);
    const part = new PodPart({ book, links, routing: router, ports, settings, telemetry, roaming, elsewhere, former, wallSeconds });
    part.uplink(await links.mtuOf(settings.address));
    const spool: PodSpoolOptions = {
      path: join(stateDirectory, "cni-spool"),
      telemetry,
      recordsOf: (key) => book.machine.of(key),
      detach: (key) => part.detach(key),
      isReady: () => part.readiness().ready,
    };
    await makePodSpool(spool.path);
    const task: Task = {
      name: "pods",
      async run(signal, ready) {
        ready();
        signal.addEventListener("abort", () => stopping.abort(), { once: true });
        await Promise.all([mirror.run(signal), followPodSpool(spool, signal), roaming.run(signal), tenants.run(store, signal)]);
        await book.close();
        links.close();
      },
    };
    return { part, roaming, router, task };
  } catch (cause) {
    if (!(cause instanceof FaultError)) throw cause;
    telemetry.note(note("error", cause.fault.code, `no pod gets an address here: ${cause.fault.text}`));
    return undefined;
  }
}
