/**
 * What a node does beyond speaking BGP: it holds leases, announces its CIDRs and keeps the kernel as it should be. A pure
 * reflector has the first for its eyes only and none of the rest.
 */
import type { NodeSettings } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import { note } from "#base/note.ts";
import type { Prefix } from "#base/prefix.ts";
import type { Clock } from "#ports/clock.ts";
import type { Kernel } from "#ports/kernel.ts";
import type { Store } from "#ports/store.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import type { HeldCidr } from "#config/diff.ts";
import type { OwnLease } from "#ipam/lease-terms.ts";
import { AddressClaims } from "./address-claims.ts";
import type { Bgp } from "./bgp-task.ts";
import type { KernelView, LeaseView, StatusView } from "./control.ts";
import { createFilterKeeper, type FilterKeeper } from "./filter-task.ts";
import type { PodControl } from "./pod-control.ts";
import { openPods, type Pods } from "./pods.ts";
import { LearnedRoutes } from "./learned-routes.ts";
import type { LeaseDriver } from "./lease-driver.ts";
import { viewLeases } from "./lease-view.ts";
import { createReconciler, type Reconciler } from "./reconcile.ts";
import { onlyOf } from "#overlay/attach.ts";
import type { Fabric } from "#overlay/fabric.ts";
import { vxlanDevice } from "#overlay/vtep.ts";
import { releaseNode } from "./lease-release.ts";
import { OriginTask } from "./origin-task.ts";
import { RouteSync } from "./route-sync.ts";
import { NodeStreams } from "./streams.ts";
import type { Task } from "./tasks.ts";
import { SubnetFiles } from "./subnet-files.ts";
import { UnderlayView } from "./underlay-view.ts";

export interface NodeParts {
  readonly settings: NodeSettings;
  readonly store: Store | undefined;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly bgp: Bgp;
  readonly stateDirectory: string;
  readonly version: string;
}

export interface NodePart {
  readonly tasks: readonly Task[];
  follow(settings: NodeSettings): void;
  /** The speaker decided something. */
  decided(): void;
  leases(now: Instant): readonly LeaseView[];
  held(): readonly HeldCidr[];
  alive(): ReadonlySet<string>;
  storeView(): StatusView["store"];
  kernelView(): KernelView;
  kernelStatus(): StatusView["kernel"];
  /** What a person should know of this node's packet rules and pools. */
  warnings(): readonly string[];
  /** Addresses and links of pods; undefined where the node has none. */
  readonly pods: PodControl | undefined;
  onChange(listener: () => void): () => void;
  /** When it stops, it frees its CIDRs and its name: this node will not come back. */
  leave(): void;
}

export async function createNode(parts: NodeParts): Promise<NodePart> {
  const { settings, telemetry } = parts,
    streams = new NodeStreams(settings);
  const leases = parts.store && (await openLeases(parts, parts.store));
  const kernel = settings.kernel.enabled ? await openKernel(settings.kernel.routeProtocol) : undefined;
  const reconciler = kernel && createReconciler({ kernel, telemetry, underlayMoved: () => streams.underlayMoved$.next() });
  const filter = settings.kernel.enabled ? await openFilter(telemetry) : undefined;
  const claims = parts.store && new AddressClaims(parts.store);
  const pods = reconciler && parts.store && leases && claims && (await openPods({ ...parts, store: parts.store, leases, claims, filter }, streams, reconciler));
  return new RunningNode(parts, { streams, leases, claims, kernel, reconciler, filter, pods });
}

interface Running {
  readonly streams: NodeStreams;
  readonly leases: LeaseDriver | undefined;
  readonly claims: AddressClaims | undefined;
  readonly kernel: Kernel | undefined;
  readonly reconciler: Reconciler | undefined;
  readonly filter: FilterKeeper | undefined;
  readonly pods: Pods | undefined;
}

class RunningNode implements NodePart {
  readonly tasks: readonly Task[];
  readonly pods: PodControl | undefined;
  readonly #parts: NodeParts;
  readonly #running: Running;
  readonly #learned: LearnedRoutes;
  readonly #sync: RouteSync;
  readonly #origins: OriginTask;
  readonly #listeners = new Set<() => void>();
  #syncTimer: NodeJS.Timeout | undefined;
  #peersUp: unknown;
  #isLeaving = false;
  /** Settings that the leases do not say yet: the kernel is on its way there. */
  #moving: NodeSettings | undefined;

  constructor(parts: NodeParts, running: Running) {
    this.#parts = parts;
    this.#running = running;
    this.#learned = new LearnedRoutes(parts.bgp.speaker.rib);
    this.#sync = new RouteSync(parts.bgp.speaker);
    this.#origins = new OriginTask({ ...parts, check: parts.bgp.speaker.rib.origins, changed: () => parts.bgp.driver.wake() });
    const { leases, claims, reconciler, filter, pods } = running;
    this.pods = pods?.part;
    claims?.onChange(() => this.#followClaims(claims));
    if (!leases) parts.bgp.speaker.rib.deferral.ownIsKnown();
    this.tasks = [
      ...(pods ? [pods.task] : []),
      ...(claims ? [claims.task()] : []),
      ...(leases ? [{ name: "leases", run: (signal: AbortSignal, ready: () => void) => this.#runLeases(leases, signal, ready) }] : []),
      ...(reconciler ? [{ name: "kernel", run: (signal: AbortSignal, ready: () => void) => this.#runKernel(reconciler, signal, ready) }] : []),
      ...(filter ? [{ name: "filter", run: (signal: AbortSignal, ready: () => void) => this.#runFilter(filter, signal, ready) }] : []),
    ];
  }

  follow(settings: NodeSettings): void {
    this.#followLeases(settings);
    this.#running.pods?.part.follow(settings);
    this.#origins.settings(settings);
    this.#running.streams.settings$.next(settings);
  }

  /** What our lease says of how we are reached must be so first: others send by it. */
  #followLeases(settings: NodeSettings): void {
    const { leases, reconciler, streams } = this.#running;
    const isMoving = reconciler !== undefined && waysOf(settings) !== waysOf(streams.settings$.value);
    if (isMoving || this.#moving) this.#moving = settings;
    else leases?.follow(settings);
  }
  #planned(fabric: Fabric, reconciler: Reconciler): void {
    const moving = this.#moving;
    if (!moving?.pools.every(({ backend, vni }) => backend !== "vxlan" || fabric.link.has(vxlanDevice(vni!)))) return;
    void reconciler.settled().then(() => {
      if (this.#moving !== moving) return;
      this.#moving = undefined;
      this.#running.leases?.follow(moving);
    });
  }

  decided(): void {
    const { streams, reconciler } = this.#running,
      { speaker } = this.#parts.bgp;
    const peersUp = speaker.routes();
    if (peersUp !== this.#peersUp) this.#changed();
    this.#peersUp = peersUp;
    if (!reconciler) return;
    if (this.#learned.update()) streams.routes$.next(this.#learned.routes);
    const now = this.#parts.clock.now(),
      inSync = this.#sync.isInSync(now),
      due = this.#sync.nextDeadline();
    if (due !== undefined && this.#syncTimer === undefined)
      this.#syncTimer = setTimeout(
        () => {
          this.#syncTimer = undefined;
          this.decided();
        },
        due - now + 1,
      ).unref();
    if (inSync !== streams.routesInSync$.value) streams.routesInSync$.next(inSync);
  }

  leases(now: Instant): readonly LeaseView[] {
    const { streams } = this.#running;
    return viewLeases({ settings: streams.settings$.value, leases: streams.leases$.value ?? new Map(), own: this.#running.leases?.own() ?? new Map(), now });
  }
  held(): readonly HeldCidr[] {
    return [...(this.#running.streams.leases$.value ?? new Map()).values()].map(({ pool, cidr, node }) => ({ pool, cidr, node }));
  }
  alive(): ReadonlySet<string> {
    return this.#running.leases?.alive() ?? new Set();
  }
  storeView(): StatusView["store"] {
    const { store } = this.#running.streams.settings$.value,
      state = this.#running.leases?.storeState();
    if (!state) return { kind: store.kind, state: "off", text: "no store", revision: null };
    const where = store.kind === "etcd" ? `etcd at ${store.endpoints.join(", ")}` : "the embedded store";
    return { kind: store.kind, ...state, text: state.state === "connected" ? where : state.text };
  }
  kernelView(): KernelView {
    return this.#running.reconciler?.view() ?? { tables: [] };
  }
  kernelStatus(): StatusView["kernel"] {
    const { reconciler } = this.#running;
    if (!reconciler) return { enabled: false, inSync: true, desired: 0, differing: 0, lastPassMillis: null, drift: 0 };
    const { inSync, desired, differing, lastPassMillis, drift } = reconciler.status();
    return { enabled: true, inSync, desired, differing, lastPassMillis: lastPassMillis === null ? null : Math.round(lastPassMillis * 100) / 100, drift };
  }
  warnings(): readonly string[] {
    const { filter, leases, pods } = this.#running;
    return [...(filter?.warnings() ?? []), ...(leases?.warnings() ?? []), ...(pods?.part.warnings() ?? [])];
  }
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  leave(): void {
    this.#isLeaving = true;
  }

  async #runLeases(leases: LeaseDriver, signal: AbortSignal, ready: () => void): Promise<void> {
    const { streams } = this.#running;
    leases.onLeases((all) => {
      streams.leases$.next(all);
      this.#origins.leases(all.values());
      if (this.#running.claims?.isKnown === true) this.#followClaims(this.#running.claims);
      this.#knowOwn(leases.own());
      this.#changed();
    });
    leases.onOwn((own) => {
      const { pods } = this.#running;
      pods?.roaming.own(own, (known) => pods.part.own(known));
      streams.own$.next(own);
      this.#knowOwn(own);
      this.#parts.bgp.driver.wake();
      this.#changed();
    });
    const announcing = this.#announce();
    ready();
    await leases.run(signal).finally(() => {
      announcing.unsubscribe();
      this.#origins.close();
    });
    if (this.#isLeaving) await this.#release(this.#parts.store!);
  }

  /** Single addresses and the nodes that hold them: the RIB takes them from those alone, and overlays lead there. */
  #followClaims(claims: AddressClaims): void {
    const held = [...claims.all()].filter(({ state }) => state === "held"),
      homes = new Map(this.held().map(({ cidr, node }) => [cidr, node] as const));
    this.#origins.addresses(new Map(held.map(({ address, node }) => [onlyOf(address), node] as const)));
    this.#running.streams.visitors$.next(held.filter(({ cidr, node }) => homes.get(cidr) !== node));
  }

  async #release(store: Store): Promise<void> {
    const { telemetry, settings } = this.#parts;
    try {
      for (const text of await releaseNode(store, settings)) telemetry.note(note("info", "lease.freed", text));
    } catch (cause) {
      telemetry.note(note("error", "lease.not-freed", `this node leaves, and the store keeps its claims until their hold ends: ${(cause as Error).message}`));
    }
  }

  /** Peers are told what there is once this node knows what it has itself, and by whose word it takes the CIDRs of others. */
  #knowOwn(own: ReadonlyMap<string, OwnLease>): void {
    // `wanted`: none can be had now, which is an answer too; peers must not wait for it.
    const isKnown = [...own.values()].every(({ state }) => state !== "asking");
    if (isKnown && this.#origins.isReady) this.#parts.bgp.speaker.rib.deferral.ownIsKnown();
  }

  /** Own CIDRs of routed pools are announced while they may be used, and withdrawn when they may not. */
  #announce(): { unsubscribe(): void } {
    const { bgp } = this.#parts,
      told = new Set<Prefix>();
    return this.#running.streams.announced$().subscribe((prefixes) => {
      for (const prefix of prefixes) if (!told.has(prefix)) bgp.speaker.originate(prefix);
      for (const prefix of told) if (!prefixes.has(prefix)) bgp.speaker.withdrawOwn(prefix);
      told.clear();
      for (const prefix of prefixes) told.add(prefix);
      bgp.driver.wake();
    });
  }

  async #runKernel(reconciler: Reconciler, signal: AbortSignal, ready: () => void): Promise<void> {
    const { streams, kernel } = this.#running,
      view = new UnderlayView(kernel!, this.#parts.telemetry),
      said = new Set<string>();
    const { telemetry } = this.#parts,
      subnetFiles = new SubnetFiles(telemetry);
    const planning = streams
      .desired$((targets, afresh) => view.get(targets, afresh))
      .subscribe({
        next: ({ fabric, inSync, notes, files }) => {
          for (const each of notes) if (!said.has(each.text)) telemetry.note(each);
          said.clear();
          for (const each of notes) said.add(each.text);
          reconciler.want(fabric, inSync);
          this.#planned(fabric, reconciler);
          void subnetFiles.want(files);
          this.#running.pods?.router.planned(fabric);
          this.#changed();
        },
        error: (cause: unknown) =>
          telemetry.note(note("error", "kernel.planning-failed", cause instanceof Error ? (cause.stack ?? cause.message) : String(cause))),
      });
    ready();
    await reconciler.run(signal).finally(() => {
      planning.unsubscribe();
      kernel!.close();
    });
  }

  async #runFilter(filter: FilterKeeper, signal: AbortSignal, ready: () => void): Promise<void> {
    const wanting = this.#running.streams.filter$().subscribe((wanted) => filter.want(wanted));
    ready();
    await filter.run(signal).finally(() => wanting.unsubscribe());
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** How pools are reached by these settings, as text. */
const waysOf = ({ pools }: NodeSettings): string => JSON.stringify(pools.map(({ name, backend, vni, port }) => [name, backend, vni, port]));

async function openLeases(parts: NodeParts, store: Store): Promise<LeaseDriver> {
  const { createLeaseDriver } = await import("./lease-driver.ts");
  return createLeaseDriver({ ...parts, store, isHolder: parts.settings.kernel.enabled });
}

async function openKernel(routeProtocol: number): Promise<Kernel> {
  const { openNetlinkKernel } = await import("#adapters/netlink-kernel.ts");
  return openNetlinkKernel(routeProtocol);
}

async function openFilter(telemetry: Telemetry): Promise<FilterKeeper> {
  const { openNftKernel } = await import("#adapters/nft-kernel.ts");
  return createFilterKeeper({ open: openNftKernel, telemetry });
}
