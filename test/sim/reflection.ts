/**
 * Twenty speakers live through hours under one seed: routes come and go, connections break, links fall silent, processes die, and after every
 * event each speaker that has told a peer all there is to tell must have told it exactly what the RFCs say of its Loc-RIB (expected.ts), never the
 * route the peer is the source of, and holds nothing that has been through it before.
 */
import { type Ip, ip4Number } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { Instant } from "#base/time.ts";
import type { Action } from "#bgp/actions.ts";
import { none } from "#bgp/rib/adj-rib-in.ts";
import { Speaker } from "#bgp/speaker.ts";
import { differences, heardOtherwise, loops } from "./checkers.ts";
import { chosenRoutes, expectedTold } from "./expected.ts";
import { Network } from "./network.ts";
import type { SimNode, SimSpeaker } from "./network-event.ts";
import { type Plan, planOf } from "./reflection-plan.ts";
import { newSession, readAlong, type ToldSession } from "./tap.ts";

const second = 1000,
  minute = 60_000;
const pullOctets = 65_536,
  stepPrefixes = 4096,
  deferralMillis = 20_000,
  /** A daemon that was away for longer does not say that it restarts. */
  recentMillis = 180_000;
/** Something happens this often, on average. */
const everyMillis = 6000;
const restMillis = 12 * minute;
const families = [0, 1] as const;

interface Member {
  readonly plan: Plan;
  readonly announces: Set<Prefix>;
  node: SimNode<Router> | undefined;
  ranAt: Instant | undefined;
  sessions: readonly Ip[];
}

export interface ReflectionReport {
  readonly seed: number;
  readonly events: number;
  /** Peers whose told routes were compared with what they should have been told. */
  readonly compared: number;
  readonly routesTold: number;
  readonly sessionsLost: number;
}

/** What was told in a session, as the wire has it, and what it was compared with last. */
interface Watched extends ToldSession {
  version: number;
  seen: number;
}

/** A speaker as its driver sees it. */
class Router implements SimSpeaker {
  readonly machine: Plan & Pick<Plan, "name" | "settings">;
  readonly speaker: Speaker;
  readonly #world: Reflection;
  readonly sessions = new Map<number, Watched>();
  #now: Instant;

  constructor(member: Member, world: Reflection, now: Instant) {
    const { settings } = (this.machine = member.plan);
    this.#world = world;
    this.#now = now;
    this.speaker = new Speaker({
      ...settings,
      routerId: ip4Number(settings.routerId),
      clusterId: ip4Number(settings.clusterId),
      jitter: world.network.random,
      observes: false,
    });
    this.speaker.configure(settings.peers, [], now);
    if (member.ranAt !== undefined && now - member.ranAt < recentMillis) {
      this.speaker.beginRestart({ restarting: true, forwarding: [0, 1] }, false, deferralMillis, now);
      this.speaker.rib.deferral.awaitBack(member.sessions);
    }
    for (const prefix of member.announces) this.speaker.originate(prefix);
    this.speaker.rib.deferral.ownIsKnown();
  }

  accepted(connection: number, local: Ip, remote: Ip, now: Instant): void {
    this.speaker.accepted(connection, local, remote, (this.#now = now));
  }
  // oxlint-disable-next-line max-params -- as SimSpeaker has it
  connected(peer: number, connection: number, local: Ip, remote: Ip, now: Instant): void {
    this.speaker.connected(peer, connection, { local, remote }, (this.#now = now));
  }
  connectFailed(peer: number, text: string, now: Instant): void {
    this.speaker.connectFailed(peer, text, (this.#now = now));
  }
  // oxlint-disable-next-line max-params -- as SimSpeaker has it
  bytes(connection: number, buffer: Uint8Array, start: number, end: number, now: Instant): void {
    this.speaker.bytes(connection, { buffer, start, end }, (this.#now = now));
  }
  closed(connection: number, text: string, now: Instant): void {
    this.sessions.delete(connection);
    this.speaker.closed(connection, text, (this.#now = now));
  }
  sendBlocked(connection: number, now: Instant): void {
    if (this.#peerOf(connection) !== undefined) this.speaker.neighbours.sendBlocked(connection, now);
  }
  sendProgressed(connection: number): void {
    this.speaker.neighbours.sendProgressed(connection);
  }
  wake(now: Instant): void {
    this.speaker.wake((this.#now = now));
  }
  nextDeadline(): Instant | undefined {
    return this.speaker.nextDeadline();
  }
  takeActions(): readonly Action[] {
    while (this.speaker.step(this.#now, stepPrefixes));
    const actions = this.speaker.takeActions();
    for (const action of actions) {
      if (action.type === "write") this.#sent(action.connection, undefined, action.bytes);
      if (action.type === "note") this.#world.noted(this.machine, action.note);
    }
    return actions.filter(({ type }) => type !== "note");
  }
  pull(connection: number, now: Instant): Uint8Array | undefined {
    const peer = this.#peerOf(connection);
    if (peer === undefined) return undefined;
    const owed: Uint8Array[] = [];
    this.speaker.pull(peer, pullOctets, (this.#now = now), (bytes) => owed.push(bytes));
    if (owed.length === 0) {
      this.#toldAll(connection, peer);
      return undefined;
    }
    const bytes = Buffer.concat(owed);
    this.#sent(connection, peer, bytes);
    return bytes;
  }
  turn(now: Instant): void {
    this.#now = now;
  }

  #peerOf(connection: number): number | undefined {
    return this.speaker.routes().find((route) => route.connection === connection)?.peer;
  }

  #sent(connection: number, peer: number | undefined, bytes: Uint8Array): void {
    let session = this.sessions.get(connection);
    if (!session) this.sessions.set(connection, (session = { ...newSession(), version: 0, seen: -1 }));
    const info = peer === undefined ? undefined : this.speaker.neighbours.byId(peer)!,
      who = `${this.machine.name} to ${info?.name ?? `connection ${connection}`}`;
    session.version++;
    readAlong(session, bytes, info?.role !== "external", {
      open: () => {},
      announced: () => this.#world.told++,
      needless: (prefix) => this.#world.fail(`${who}: withdraws ${prefix}, which it never told in this session`),
      ended: () => {},
      faulty: (text) => this.#world.fail(`${who}: ${text}`),
    });
  }

  /** The peer has been told all there is to tell for now: it must be what the RFCs say. */
  #toldAll(connection: number, peer: number): void {
    const session = this.sessions.get(connection),
      terms = this.speaker.neighbours.byId(peer)?.terms;
    if (!session || !terms || session.ended.size < terms.families.length || this.speaker.rib.deferral.isDeferring(this.#now)) return;
    const now = this.#digest(session.version);
    if (now === session.seen) return;
    session.seen = now;
    this.#world.compared++;
    const who = `${this.machine.name} to ${this.speaker.neighbours.byId(peer)!.name}`;
    const wrong = [...differences(who, expectedTold(this, peer, terms), session.told), ...loops(this)];
    if (wrong.length > 0) this.#world.fail(wrong.slice(0, 4).join("; "));
  }

  /** Equal while nothing that is chosen, and nothing that was told, has changed. */
  #digest(version: number): number {
    const { ribs, attributes } = this.speaker.rib;
    let hash = version;
    for (const family of families) {
      const { prefixes, adjRibIn } = ribs[family];
      for (let id = 0; id < prefixes.end; id++) {
        const path = prefixes.isLive(id) ? ribs[family].bestOf(id) : none;
        if (path === none) continue;
        const set = adjRibIn.attributes[path]!;
        for (const part of [id, set, attributes.generation[set]!, adjRibIn.peer[path]!]) hash = Math.imul(hash ^ part, 16_777_619);
      }
    }
    return hash;
  }
}

export class Reflection {
  readonly network: Network<Router>;
  readonly members: readonly Member[];
  told = 0;
  compared = 0;
  sessionsLost = 0;
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
    this.network = new Network<Router>(seed);
    this.members = planOf(seed).map((plan) => ({ plan, announces: new Set(), node: undefined, ranAt: undefined, sessions: [] }));
    for (const member of this.members) {
      for (const prefix of member.plan.pool) if (this.network.random() < 0.2) member.announces.add(prefix);
      member.node = this.network.add(member.plan.settings.address, true, (now) => new Router(member, this, now));
    }
  }

  noted({ name }: Plan, { event, text, level }: { readonly event: string; readonly text: string; readonly level: string }): void {
    this.network.onEvent?.(`${(this.network.now / 1000).toFixed(3)} ${name}: ${event}: ${text}`);
    if (event === "bgp.down") this.sessionsLost++;
    if (event === "bgp.malformed" || level === "error") this.fail(`${name} says ${event}: ${text}`);
  }
  fail(text: string): never {
    const fault = new Error(`seed ${this.#seed}, at ${(this.network.now / 1000).toFixed(3)} s: ${text}`);
    fault.name = "SimulationFault";
    throw fault;
  }

  /** Routes change and things break until `millis` have passed. */
  suffer(millis: number): void {
    const until = this.network.now + millis;
    const next = (): void => {
      this.#act();
      const wait = -Math.log(1 - this.network.random()) * everyMillis;
      if (this.network.now + wait < until) this.network.later(wait, "something happens", next);
    };
    this.network.later(0, "something happens", next);
    this.network.run(millis);
  }
  /** All comes to rest within `restMillis`. */
  settle(): void {
    const until = this.network.now + restMillis;
    while (this.network.now < until && this.unrest().length > 0) this.network.run(10 * second);
    const faults = this.unrest();
    if (faults.length > 0) this.fail(`at rest: ${faults.slice(0, 6).join("; ")}`);
  }

  /** Sessions that are not up, routes inside the AS that are missing or nobody's, and what was told otherwise than it was heard. */
  unrest(): string[] {
    const wanted = new Set(this.members.flatMap(({ announces }) => [...announces]));
    return this.members.flatMap(({ plan, node }) => {
      const router = node!.speaker;
      if (!router) return [`${plan.name} does not run`];
      const down = router.speaker.neighbours.info().filter(({ state }) => state !== "Established");
      if (down.length > 0) return down.map(({ name, state, reason }) => `${plan.name}: its session with ${name} is ${state}: ${reason}`);
      const isInside = plan.settings.asn === this.members[0]!.plan.settings.asn,
        has = new Set(families.flatMap((family) => chosenRoutes(router, family).map(({ prefix }) => prefix)));
      const missing = isInside ? [...wanted].filter((prefix) => !has.has(prefix)).map((prefix) => `${plan.name} has no route to ${prefix}`) : [],
        strange = [...has].filter((prefix) => !wanted.has(prefix)).map((prefix) => `${plan.name} has a route to ${prefix}, which is nobody's`);
      return [...missing, ...strange, ...this.#heard(router)];
    });
  }

  #heard(router: Router): string[] {
    return router.speaker.routes().flatMap(({ peer, connection }) => {
      const info = router.speaker.neighbours.byId(peer)!,
        told = router.sessions.get(connection)?.told,
        other = this.members.find(({ plan }) => plan.settings.address === info.address)!.node!.speaker;
      return info.role === "external" || !told || !other ? [] : heardOtherwise(router, other, told);
    });
  }

  #act(): void {
    const { network } = this,
      pick = <T>(list: readonly T[]): T => list[Math.floor(network.random() * list.length)]!;
    const member = pick(this.members),
      { address, peers } = member.plan.settings,
      other = pick(peers).address,
      dice = network.random();
    if (dice < 0.55) this.toggle(member, pick(member.plan.pool));
    else if (dice < 0.75) network.cut(address, other);
    else if (dice < 0.83) network.hold(address, other, network.random() * 60 * second);
    else if (dice < 0.86) network.stall(address, network.random() ** 2 * 100 * second);
    else this.#kill(member, dice < 0.95 ? network.random() * 20 * second : network.random() * 6 * minute, dice > 0.98);
  }

  /** It originates a prefix, or does so no longer. */
  toggle(member: Member, prefix: Prefix): void {
    const isThere = member.announces.delete(prefix);
    if (!isThere) member.announces.add(prefix);
    const { node } = member;
    if (!node?.speaker) return;
    const tell = (): void => {
      const router = node.speaker;
      if (!router) return;
      if (node.stalledUntil > this.network.now) return this.network.later(node.stalledUntil - this.network.now, `${member.plan.name} goes on`, tell);
      if (member.announces.has(prefix)) router.speaker.originate(prefix);
      else router.speaker.withdrawOwn(prefix);
      router.turn(this.network.now);
      this.network.poke(node);
    };
    tell();
  }

  #kill(member: Member, millis: number, vanishes: boolean): void {
    const router = member.node!.speaker;
    if (!router) return;
    member.sessions = router.speaker.sessions();
    member.ranAt = this.network.now;
    this.network.kill(member.plan.settings.address, millis, vanishes);
  }
}

/** One run of `hours` simulated hours. Throws SimulationFault. `hear`: every event in words. */
export function simulateReflection(seed: number, hours: number, hear?: (line: string) => void): ReflectionReport {
  const world = new Reflection(seed);
  world.network.onEvent = hear;
  world.network.run(2 * minute);
  world.suffer(hours * 60 * minute - 2 * minute - restMillis);
  world.settle();
  return { seed, events: world.network.happened, compared: world.compared, routesTold: world.told, sessionsLost: world.sessionsLost };
}
