/**
 * One machine's daemon in the simulated cluster: the whole speaker, the lease machines, what the kernel should learn from both,
 * and the kernel. Decides after every event until there is nothing to decide, as floor 4 does in turns.
 */
import { type Ip, ip4Number } from "#base/ip.ts";
import type { Note } from "#base/note.ts";
import type { Prefix } from "#base/prefix.ts";
import type { NodeSettings } from "#base/settings.ts";
import { after, type Instant, millis, sooner } from "#base/time.ts";
import type { Underlay } from "#base/underlay.ts";
import type { Action } from "#bgp/actions.ts";
import { Speaker } from "#bgp/speaker.ts";
import { LearnedRoutes } from "#daemon/learned-routes.ts";
import { originView, routedLeases } from "#daemon/origin-task.ts";
import { RouteSync } from "#daemon/route-sync.ts";
import { planNode } from "#daemon/streams.ts";
import type { RememberedLease } from "#ipam/lease-terms.ts";
import { OriginLedger } from "#ipam/origin-ledger.ts";
import type { RememberedStore } from "#ipam/store-epoch.ts";
import type { SimKernel } from "./cluster-kernel.ts";
import { SimLeases } from "./cluster-leases.ts";
import type { SimSpeaker } from "./network-event.ts";
import type { SimStore } from "./store.ts";

/** What outlives the daemon: the disk, the kernel, the settings. */
export interface SimMachine {
  readonly name: string;
  settings: NodeSettings;
  readonly kernel: SimKernel;
  readonly underlay: Underlay;
  readonly remembered: Map<string, RememberedLease>;
  rememberedStore: RememberedStore | undefined;
  /** Addresses whose sessions were up when the daemon ended. */
  sessions: readonly Ip[];
  identity: string;
  /** When a daemon last ran here and did not say good-bye for good. */
  ranAt: Instant | undefined;
  /** The machine itself was started anew since: its kernel forwards nothing. */
  isRebooted: boolean;
  /** What it announces besides its CIDRs: the outside router's routes. */
  readonly announces: Set<Prefix>;
  agent: Agent | undefined;
}

/** Who looks on: the checkers. */
export interface Onlooker {
  noted(machine: SimMachine, note: Note): void;
  /** Octets handed to TCP, on a connection of an Established peer or before that (`peer` undefined). */
  sent(agent: Agent, connection: number, peer: number | undefined, bytes: Uint8Array): void;
  /** The peer has been told all there is to tell for now. */
  toldAll(agent: Agent, connection: number, peer: number): void;
  /** Own CIDRs changed. */
  owned(machine: SimMachine): void;
  /** A prefix it had from a peer it has from nobody now. */
  lost(machine: SimMachine, prefix: Prefix): void;
}

export interface AgentWorld {
  readonly store: SimStore;
  readonly random: () => number;
  readonly onlooker: Onlooker;
  /** Something came from outside the network: the daemon's turn. */
  wake(machine: SimMachine): void;
}

/** The daemon's own (bgp-task.ts, peers.ts, restart-mark.ts). */
const deferralMillis = 60_000,
  stepPrefixes = 4096,
  pullOctets = 65_536,
  recentMillis = 180_000;

export class Agent implements SimSpeaker {
  readonly machine: SimMachine;
  readonly speaker: Speaker;
  readonly leases: SimLeases | undefined;
  /** True from the start of a daemon that had a predecessor until it begins to tell routes. */
  isRestart: boolean;
  refusals = 0;
  readonly #world: AgentWorld;
  readonly #learned: LearnedRoutes;
  readonly #sync: RouteSync;
  readonly #origins: OriginLedger;
  #retryAt: Instant | undefined;
  #inSync = false;
  #replan = true;
  #now: Instant;
  #announced = new Set<Prefix>();
  /** Prefixes it had from peers after the last decision. */
  #had: readonly Prefix[] = [];
  #routes: readonly { readonly peer: number; readonly connection: number }[] = [];
  readonly #peerOf = new Map<number, number>();

  constructor(machine: SimMachine, world: AgentWorld, now: Instant) {
    const { settings } = machine;
    this.machine = machine;
    this.#world = world;
    this.#now = now;
    const { asn, address, address6, policies } = settings;
    this.speaker = new Speaker({
      asn,
      address,
      address6,
      policies,
      routerId: ip4Number(settings.routerId),
      clusterId: ip4Number(settings.clusterId),
      jitter: world.random,
      observes: true,
    });
    this.speaker.configure(settings.peers, settings.ranges, now);
    this.isRestart = machine.ranAt !== undefined && now - machine.ranAt < recentMillis;
    const forwards = !machine.isRebooted || !settings.kernel.enabled;
    if (this.isRestart) this.speaker.beginRestart({ restarting: true, forwarding: forwards ? [0, 1] : [] }, false, deferralMillis, now);
    if (this.isRestart) this.speaker.rib.deferral.awaitBack(machine.sessions);
    machine.isRebooted = false;
    this.#learned = new LearnedRoutes(this.speaker.rib);
    this.#sync = new RouteSync(this.speaker);
    const hasLeases = settings.pools.length > 0;
    this.#origins = new OriginLedger(2 * settings.lease.livenessSeconds);
    this.#followOrigins();
    this.leases = hasLeases ? new SimLeases(machine, world.store, () => world.wake(machine), now) : undefined;
    if (!this.leases) this.speaker.rib.deferral.ownIsKnown();
    if (settings.kernel.enabled) machine.kernel.adopt();
    for (const prefix of machine.announces) this.speaker.originate(prefix);
    this.#tellOwn();
  }

  accepted(connection: number, local: Ip, remote: Ip, now: Instant): void {
    this.speaker.accepted(connection, local, remote, (this.#now = now));
  }
  connected(peer: number, connection: number, local: Ip, remote: Ip, now: Instant): void {
    this.speaker.connected(peer, connection, { local, remote }, (this.#now = now));
  }
  connectFailed(peer: number, text: string, now: Instant): void {
    this.refusals++;
    this.speaker.connectFailed(peer, text, (this.#now = now));
  }
  bytes(connection: number, buffer: Uint8Array, start: number, end: number, now: Instant): void {
    this.speaker.bytes(connection, { buffer, start, end }, (this.#now = now));
  }
  closed(connection: number, text: string, now: Instant): void {
    this.speaker.closed(connection, text, (this.#now = now));
  }
  sendBlocked(connection: number, now: Instant): void {
    if (this.#peer(connection) !== undefined) this.speaker.neighbours.sendBlocked(connection, now);
  }
  sendProgressed(connection: number): void {
    this.speaker.neighbours.sendProgressed(connection);
  }
  wake(now: Instant): void {
    this.#now = now;
    const due = this.speaker.nextDeadline();
    if (due !== undefined && due <= now) this.speaker.wake(now);
  }
  /** The daemon's turn without an event of its own. */
  turn(now: Instant): void {
    this.#now = now;
  }
  nextDeadline(): Instant | undefined {
    const own = sooner(sooner(this.speaker.nextDeadline(), this.#sync.nextDeadline()), sooner(this.#retryAt, this.#origins.nextDeadline()));
    return this.leases ? sooner(own, this.leases.nextDeadline()) : own;
  }

  takeActions(): readonly Action[] {
    this.leases?.step(this.#now);
    if (this.leases) for (const said of this.leases.notes.splice(0)) this.#world.onlooker.noted(this.machine, said);
    const due = this.#origins.nextDeadline();
    if (this.leases?.hasNews || (due !== undefined && due <= this.#now)) this.#seeOrigins();
    if (this.leases?.hasNews) this.#tellOwn();
    this.#decide();
    const actions = this.speaker.takeActions();
    for (const action of actions) {
      if (action.type === "write") this.#world.onlooker.sent(this, action.connection, undefined, action.bytes);
      if (action.type === "note") this.#world.onlooker.noted(this.machine, action.note);
    }
    // Not before what was said in this turn has been looked at.
    if (this.isRestart && !this.speaker.rib.deferral.isDeferring(this.#now)) this.isRestart = false;
    return actions.filter(({ type }) => type !== "note");
  }

  pull(connection: number, now: Instant): Uint8Array | undefined {
    const peer = this.#peer(connection);
    if (peer === undefined) return undefined;
    const owed: Uint8Array[] = [];
    this.speaker.pull(peer, pullOctets, now, (bytes) => owed.push(bytes));
    if (owed.length === 0) {
      this.#world.onlooker.toldAll(this, connection, peer);
      return undefined;
    }
    const bytes = Buffer.concat(owed);
    this.#world.onlooker.sent(this, connection, peer, bytes);
    return bytes;
  }

  /** Prefixes chosen from a peer, with the next hops the kernel should have. */
  get learned(): ReadonlyMap<Prefix, readonly Ip[]> {
    return this.#learned.routes;
  }

  /** Announces or withdraws a route that is no CIDR of ours. */
  announce(prefix: Prefix, isThere: boolean): void {
    if (isThere) this.speaker.originate(prefix);
    else this.speaker.withdrawOwn(prefix);
  }
  end(): void {
    this.leases?.close();
  }

  #peer(connection: number): number | undefined {
    const routes = this.speaker.routes();
    if (routes !== this.#routes) {
      this.#routes = routes;
      this.#peerOf.clear();
      for (const route of routes) this.#peerOf.set(route.connection, route.peer);
    }
    return this.#peerOf.get(connection);
  }

  #tellOwn(): void {
    if (!this.leases) return;
    this.leases.hasNews = false;
    this.#replan = true;
    const { own, isKnown } = this.leases,
      routed = new Set<Prefix>();
    for (const pool of this.machine.settings.pools) {
      const cidr = own.get(pool.name)?.cidr;
      if (cidr !== undefined && pool.backend === "bgp") routed.add(cidr);
    }
    for (const prefix of routed) if (!this.#announced.has(prefix)) this.speaker.originate(prefix);
    for (const prefix of this.#announced) if (!routed.has(prefix)) this.speaker.withdrawOwn(prefix);
    this.#announced = routed;
    if (isKnown && this.#areOriginsKnown) this.speaker.rib.deferral.ownIsKnown();
    this.#world.onlooker.owned(this.machine);
  }

  /** As daemon/origin-task.ts does. */
  #seeOrigins(): void {
    if (!this.leases?.isSynced) return;
    if (this.#origins.see(routedLeases(this.machine.settings, this.leases.leases), this.#now)) this.#followOrigins();
  }
  #followOrigins(): void {
    this.speaker.rib.origins.follow(originView(this.machine.settings, this.#origins.holders, new Map()));
  }
  get #areOriginsKnown(): boolean {
    return !this.machine.settings.originValidation || this.leases?.isSynced === true;
  }

  /** The document changed: pools are of another size or state. */
  follow(): void {
    const { settings } = this.machine;
    this.leases?.follow(settings);
    this.speaker.usePolicies(settings.policies);
    this.speaker.configure(settings.peers, settings.ranges, this.#now);
    this.#followOrigins();
    this.#replan = true;
  }
  /** The kernel said that something changed: it is looked at whole. */
  lookAgain(): void {
    if (!this.machine.settings.kernel.enabled) return;
    this.machine.kernel.adopt();
    this.#replan = true;
  }

  #decide(): void {
    const { speaker, machine } = this;
    while (speaker.step(this.#now, stepPrefixes));
    if (this.#learned.update()) {
      this.#replan = true;
      for (const prefix of this.#had) if (!this.#learned.routes.has(prefix)) this.#world.onlooker.lost(machine, prefix);
      this.#had = [...this.#learned.routes.keys()];
    }
    if (!machine.settings.kernel.enabled || !this.leases) return;
    const inSync = this.#inSync || this.#sync.isInSync(this.#now);
    if (inSync !== this.#inSync) this.#replan = true;
    this.#inSync = inSync;
    if (this.#retryAt !== undefined && this.#retryAt <= this.#now) this.#replan = true;
    if (this.#replan) this.#reconcile(this.leases);
  }

  #reconcile(leases: SimLeases): void {
    this.#replan = false;
    const { settings, underlay, kernel } = this.machine;
    const isSettled = leases.machines.every(({ own }) => own.state !== "asking");
    const { fabric } = planNode({
      settings,
      underlay,
      own: leases.own,
      routes: this.#learned.routes,
      leases: leases.leases,
      inSync: leases.isSynced && this.#inSync && isSettled,
    });
    kernel.reconcile(fabric, leases.isSynced && this.#inSync && isSettled);
    // What the kernel refused is simply still different: the next pass tries it again (daemon/reconcile.ts).
    this.#retryAt = kernel.refusal > 0 || kernel.differing() > 0 ? after(this.#now, millis(1000)) : undefined;
  }
}
