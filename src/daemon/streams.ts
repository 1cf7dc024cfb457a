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
import type { Instant } from "#base/time.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { Underlay } from "#base/underlay.ts";
import type { OwnLease } from "#ipam/lease-terms.ts";
import { type Fabric, mergePlanned, type Planned } from "#overlay/fabric.ts";
import { forwardProbes } from "#overlay/forward-drops.ts";
import { planForwarding } from "#overlay/forwarding.ts";
import { planPods } from "#overlay/attach.ts";
import { planMasquerade } from "#overlay/masquerade.ts";
import type { PublishedPort } from "#overlay/published-ports.ts";
import { type PoolPlan, underlayTargets } from "#overlay/remote.ts";
import { planVisitors, type Visitor } from "#overlay/visitors.ts";
import { type Moves, PoolMoves, type Tunnel } from "#overlay/pool-moves.ts";
import { planHostGateway, planOnLink, planRouted } from "#overlay/routed.ts";
import { planSubnetFiles } from "#overlay/subnet-env.ts";
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
  /** Addresses of other nodes' CIDRs that pods here have: prefix of each → pool. */
  readonly visiting$ = new BehaviorSubject<ReadonlyMap<Prefix, string>>(new Map());
  /** Addresses that any node has out of another's CIDR; undefined: not known yet. */
  readonly visitors$ = new BehaviorSubject<readonly Visitor[] | undefined>(undefined);
  /** Ports of the node that lead to them. */
  readonly ports$ = new BehaviorSubject<readonly PublishedPort[]>([]);
  /** True once BGP has told all it will tell for now. */
  readonly routesInSync$ = new BehaviorSubject<boolean>(false);
  readonly underlayMoved$ = new Subject<void>();

  /** How pools go that change their backend, or that others have changed. */
  readonly moves$ = new BehaviorSubject<Moves>(new Map());
  readonly #moves = new PoolMoves();
  #movesTimer: NodeJS.Timeout | undefined;

  constructor(settings: NodeSettings) {
    this.settings$ = new BehaviorSubject(settings);
    // First of all who listen: nobody sees new settings with the moves of the old.
    combineLatest([this.settings$, this.leases$]).subscribe(() => this.#seeMoves());
  }

  #seeMoves(): void {
    const { pools, node } = this.settings$.value,
      now = performance.now() as Instant;
    const moves = this.#moves.see(pools, this.leases$.value?.values() ?? [], node, now);
    if (moves !== this.moves$.value) this.moves$.next(moves);
    clearTimeout(this.#movesTimer);
    const due = this.#moves.nextDeadline();
    if (due !== undefined) this.#movesTimer = setTimeout(() => this.#seeMoves(), due - now + 1).unref();
  }

  /** What this node announces: its CIDRs of routed pools that may be used, and their addresses that visit it. */
  announced$(): Observable<ReadonlySet<Prefix>> {
    return combineLatest([this.settings$, this.own$, this.visiting$, this.moves$]).pipe(
      map(([settings, own, visiting, moves]) => {
        const routed = new Set(settings.pools.filter(({ name }) => moves.get(name)?.announces).map(({ name }) => name));
        const cidrs = usable(settings, own).filter(({ pool }) => routed.has(pool));
        return new Set([...cidrs.map(({ cidr }) => cidr), ...Array.from(visiting).flatMap(([prefix, pool]) => (routed.has(pool) ? [prefix] : []))]);
      }),
      distinctUntilChanged((a, b) => a.size === b.size && [...a].every((prefix) => b.has(prefix))),
    );
  }

  /** Packet rules of ours, and the pods' connections that other people's rules must let through. Told again only when one differs. */
  filter$(): Observable<FilterWanted> {
    const table$ = combineLatest([this.settings$, this.ports$]).pipe(map(([{ pools }, ports]) => planMasquerade(pools, ports)));
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
      restUntil = 0,
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
      this.visitors$,
      this.moves$,
    ]);
    const plan = async ([settings, leases, own, routes, routesInSync, , pods, visitors, moves]: Inputs): Promise<Desired> => {
      const self = { node: settings.node, address: settings.address, address6: settings.address6 },
        known = [...(leases ?? new Map<string, Lease>()).values()];
      const afresh = moved;
      moved = false;
      const beneath = await underlay(underlayTargets(self, known, routes), afresh);
      const began = performance.now();
      const inSync = leases !== undefined && routesInSync && isSettled(own) && (visitors !== undefined || !hasVisitors(settings));
      const planned = planNode({ settings, own, routes, pods, visitors, moves, leases: known, underlay: beneath, inSync });
      const ended = performance.now();
      restUntil = ended + (ended - began) * coalesce.rest;
      return planned;
    };
    return inputs$.pipe(
      audit(() => Promise.all([planning, pause(Math.max(coalesce.millis, restUntil - performance.now()), undefined, { ref: false })])),
      concatMap((inputs) => (planning = plan(inputs))),
    );
  }
}

type Inputs = readonly [
  NodeSettings,
  Leases | undefined,
  OwnLeases,
  LearnedRouteMap,
  boolean,
  boolean,
  ReadonlyMap<Ip, string>,
  readonly Visitor[] | undefined,
  Moves,
];

export interface Desired {
  readonly fabric: Fabric;
  readonly inSync: boolean;
  readonly notes: readonly Note[];
  /** Path → text of files that say what the node has (overlay/subnet-env.ts). */
  readonly files: ReadonlyMap<string, string>;
}

interface PlanInputs {
  readonly settings: NodeSettings;
  readonly own: OwnLeases;
  readonly routes: LearnedRouteMap;
  readonly pods?: ReadonlyMap<Ip, string>;
  readonly visitors?: readonly Visitor[] | undefined;
  readonly moves?: Moves;
  readonly leases: readonly Lease[];
  readonly underlay: Underlay;
  readonly inSync: boolean;
}

/** Desired state is a pure function of the latest of everything. */
export function planNode({ settings, own, routes, pods, visitors = [], moves, leases, underlay, inSync }: PlanInputs): Desired {
  const metric = settings.kernel.metric,
    self = { node: settings.node, address: settings.address, address6: settings.address6 };
  const mine = new Map(usable(settings, own).map(({ pool, cidr }) => [pool, cidr]));
  const plans: Planned[] = [planForwarding(new Set(settings.pools.map((pool) => pool.family)), underlay)];
  const routed: Prefix[] = [];
  for (const pool of settings.pools) {
    const cidr = mine.get(pool.name),
      plan: PoolPlan = { self, pool, own: cidr, leases, underlay, metric, routes };
    plans.push(...planPool(plan, moves?.get(pool.name)?.tunnel));
    if (pool.backend === "bgp" && cidr !== undefined) routed.push(cidr);
    const here = pool.backend === "bgp" ? [] : visitors.filter(({ pool: name, address }) => name === pool.name && pods?.has(address) !== true);
    if (here.length > 0) plans.push(planVisitors(plan, here));
  }
  // What a pod here has leads to it, whatever others still say of it.
  if (pods !== undefined) plans.push(planPods(pods, metric));
  const taken = new Set(plans.flatMap(({ fabric }) => Array.from(fabric.route.values(), ({ prefix }) => prefix)));
  plans.push(planRouted({ own: routed, routes, underlay, metric, taken }));
  const planned = mergePlanned(plans);
  return { ...planned, inSync, files: planSubnetFiles({ self, pools: settings.pools, own: mine, fabric: planned.fabric, underlay }) };
}

/** A pool by its backend, and by the tunnel that other nodes of it are still in, or are in already. */
function planPool(plan: PoolPlan, tunnel: Tunnel | undefined): Planned[] {
  const { pool } = plan;
  if (pool.backend === "vxlan") return [planVxlan(plan)];
  const tunnelled = tunnel && { ...plan, pool: { ...pool, ...tunnel } };
  if (pool.backend === "host-gw") return [planHostGateway(plan), ...(tunnelled ? [planVxlan({ ...tunnelled, leases: [] })] : [])];
  return [...(tunnelled ? [planVxlan(tunnelled)] : []), planOnLink(plan)];
}

/** Visitors of routed pools are heard of by BGP; those of the others by their claims alone. */
const hasVisitors = ({ pools }: NodeSettings): boolean => pools.some(({ backend, pods }) => backend !== "bgp" && pods?.roam === true);

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
