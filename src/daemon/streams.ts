/**
 * All of rxjs: leases, own claims, learned routes and links, joined into the node's desired state. Few events with many
 * meanings; a change of a thousand routes is one event here. The reconcile pass is not a stream (reconcile.ts).
 */
import { setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import {
  audit,
  BehaviorSubject,
  combineLatest,
  concatMap,
  distinctUntilChanged,
  map,
  type MonoTypeOperatorFunction,
  type Observable,
  Subject,
  startWith,
} from "rxjs";
import type { Ip } from "#base/ip.ts";
import type { Lease } from "#base/lease.ts";
import type { Note } from "#base/note.ts";
import type { Prefix } from "#base/prefix.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { Underlay } from "#base/underlay.ts";
import type { OwnLease } from "#ipam/lease-terms.ts";
import { type Fabric, mergePlanned, type Planned } from "#overlay/fabric.ts";
import { forwardProbes } from "#overlay/forward-drops.ts";
import { planForwarding } from "#overlay/forwarding.ts";
import { planPods } from "#overlay/attach.ts";
import { planMasquerade } from "#overlay/masquerade.ts";
import { type PoolPlan, underlayTargets } from "#overlay/remote.ts";
import { planHostGateway, planRouted } from "#overlay/routed.ts";
import { planVxlan } from "#overlay/vxlan.ts";
import type { FilterWanted } from "./filter-task.ts";

const coalesce = {
  /** Bursts within this many milliseconds become one plan. */
  millis: 5,
  /** After a plan that took long, as many times longer: under a storm of changes planning gets a fifth of the time. */
  rest: 4,
} as const;

export type Leases = ReadonlyMap<string, Lease>;
export type OwnLeases = ReadonlyMap<string, OwnLease>;
export type LearnedRouteMap = ReadonlyMap<Prefix, readonly Ip[]>;

/** What every source said last. Each is a subject that its part of the daemon feeds; nobody else subscribes to them. */
export class NodeStreams {
  readonly settings$: BehaviorSubject<NodeSettings>;
  readonly leases$ = new BehaviorSubject<Leases | undefined>(undefined);
  readonly own$ = new BehaviorSubject<OwnLeases>(new Map());
  readonly routes$ = new BehaviorSubject<LearnedRouteMap>(new Map());
  /** Pods that live here: address → the node's end of their link. */
  readonly pods$ = new BehaviorSubject<ReadonlyMap<Ip, string>>(new Map());
  /** True once BGP has told all it will tell for now. */
  readonly routesInSync$ = new BehaviorSubject<boolean>(false);
  readonly underlayMoved$ = new Subject<void>();

  constructor(settings: NodeSettings) {
    this.settings$ = new BehaviorSubject(settings);
  }

  /** The node's own CIDRs, to be announced: those of routed pools that may be used. */
  announced$(): Observable<ReadonlySet<Prefix>> {
    return combineLatest([this.settings$, this.own$]).pipe(
      map(([settings, own]) => new Set(usable(settings, own).flatMap(({ backend, cidr }) => (backend === "bgp" ? [cidr] : [])))),
      distinctUntilChanged((a, b) => a.size === b.size && [...a].every((prefix) => b.has(prefix))),
    );
  }

  /** Packet rules of ours, and the pods' connections that other people's rules must let through. Told again only when one differs. */
  filter$(): Observable<FilterWanted> {
    const table$ = this.settings$.pipe(map(({ pools }) => planMasquerade(pools)));
    const probes$ = combineLatest([this.settings$, this.own$]).pipe(map(([{ pools }, own]) => forwardProbes(pools, cidrsOf(own))));
    const maySweep$ = combineLatest([this.settings$, this.leases$]).pipe(map(([{ store }, leases]) => leases !== undefined || store.kind === "none"));
    const parts$ = combineLatest([table$.pipe(changed()), probes$.pipe(changed()), maySweep$.pipe(changed())]);
    return parts$.pipe(map(([table, probes, maySweep]) => ({ table, probes, maySweep })));
  }

  /**
   * The node's desired kernel state, and whether every source is in sync (only then may anything be removed). One plan after
   * another, each from the latest of everything: a plan is never dropped half done, or a storm would starve them all.
   */
  desired$(underlay: (targets: ReadonlySet<Ip>, afresh: boolean) => Promise<Underlay>): Observable<Desired> {
    let moved = false,
      planMillis = 0,
      planning: Promise<unknown> = Promise.resolve();
    const inputs$ = combineLatest([
      this.settings$,
      this.leases$,
      this.own$,
      this.routes$,
      this.routesInSync$,
      this.underlayMoved$.pipe(
        map(() => (moved = true)),
        startWith(false),
      ),
      this.pods$,
    ]);
    const plan = async ([settings, leases, own, routes, routesInSync, , pods]: Inputs): Promise<Desired> => {
      const self = { node: settings.node, address: settings.address, address6: settings.address6 },
        known = [...(leases ?? new Map<string, Lease>()).values()];
      const afresh = moved;
      moved = false;
      const beneath = await underlay(underlayTargets(self, known, routes), afresh);
      const began = performance.now();
      const inSync = leases !== undefined && routesInSync && isSettled(own);
      const planned = planNode({ settings, own, routes, pods, leases: known, underlay: beneath, inSync });
      planMillis = performance.now() - began;
      return planned;
    };
    return inputs$.pipe(
      audit(() => Promise.all([planning, pause(Math.max(coalesce.millis, planMillis * coalesce.rest), undefined, { ref: false })])),
      concatMap((inputs) => (planning = plan(inputs))),
    );
  }
}

type Inputs = readonly [NodeSettings, Leases | undefined, OwnLeases, LearnedRouteMap, boolean, boolean, ReadonlyMap<Ip, string>];

export interface Desired {
  readonly fabric: Fabric;
  readonly inSync: boolean;
  readonly notes: readonly Note[];
}

interface PlanInputs {
  readonly settings: NodeSettings;
  readonly own: OwnLeases;
  readonly routes: LearnedRouteMap;
  readonly pods?: ReadonlyMap<Ip, string>;
  readonly leases: readonly Lease[];
  readonly underlay: Underlay;
  readonly inSync: boolean;
}

/** Desired state is a pure function of the latest of everything. */
export function planNode({ settings, own, routes, pods, leases, underlay, inSync }: PlanInputs): Desired {
  const metric = settings.kernel.metric,
    self = { node: settings.node, address: settings.address, address6: settings.address6 };
  const mine = new Map(usable(settings, own).map(({ pool, cidr }) => [pool, cidr]));
  const plans: Planned[] = [planForwarding(new Set(settings.pools.map((pool) => pool.family)), underlay)];
  const routed: Prefix[] = [];
  for (const pool of settings.pools) {
    const cidr = mine.get(pool.name),
      plan: PoolPlan = { self, pool, own: cidr, leases, underlay, metric };
    if (pool.backend === "vxlan") plans.push(planVxlan(plan));
    else if (pool.backend === "host-gw") plans.push(planHostGateway(plan));
    else if (cidr !== undefined) routed.push(cidr);
  }
  plans.push(planRouted({ own: routed, routes, underlay, metric }));
  if (pods !== undefined) plans.push(planPods(pods, metric));
  return { ...mergePlanned(plans), inSync };
}

/** Lets a value by that is not as the one before, whatever object it is. */
const changed = <T>(): MonoTypeOperatorFunction<T> => distinctUntilChanged<T>((a, b) => isDeepStrictEqual(a, b));

function cidrsOf(own: OwnLeases): ReadonlyMap<string, Prefix> {
  return new Map([...own].flatMap(([pool, { cidr }]) => (cidr === undefined ? [] : [[pool, cidr] as const])));
}

function usable(settings: NodeSettings, own: OwnLeases): readonly { readonly pool: string; readonly backend: string; readonly cidr: Prefix }[] {
  return settings.pools.flatMap(({ name, backend }) => {
    const cidr = own.get(name)?.cidr;
    return cidr === undefined ? [] : [{ pool: name, backend, cidr }];
  });
}

/** Nothing is being asked for at this moment: what the node has is what it will have for now. */
function isSettled(own: OwnLeases): boolean {
  return [...own.values()].every(({ state }) => state !== "asking");
}
