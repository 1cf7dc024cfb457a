/** One daemon's BGP in a network whose document moves from one way of reflection to another: a speaker, and the handover of its sessions. */
import { type Ip, ip4Number } from "#base/ip.ts";
import type { Note } from "#base/note.ts";
import type { Prefix } from "#base/prefix.ts";
import type { NodeSettings } from "#base/settings.ts";
import { type Instant, sooner } from "#base/time.ts";
import type { Action } from "#bgp/actions.ts";
import { Handover } from "#bgp/handover.ts";
import { factsOf } from "#bgp/handover-facts.ts";
import { type Route, Speaker } from "#bgp/speaker.ts";
import type { SimSpeaker } from "./network-event.ts";

const deferralMillis = 30_000;

export class HandoverAgent implements SimSpeaker {
  readonly speaker: Speaker;
  readonly handover = new Handover();
  readonly said: Note[] = [];
  #settings: NodeSettings;
  #now: Instant;
  #routes: readonly Route[] | undefined;

  constructor(settings: NodeSettings, world: { readonly jitter: () => number; readonly isRestart: boolean; readonly own: Prefix | undefined }, now: Instant) {
    this.#settings = settings;
    this.#now = now;
    const { asn, routerId, clusterId, address, address6, policies } = settings;
    const identity = { asn, address, address6, policies, routerId: ip4Number(routerId), clusterId: ip4Number(clusterId) };
    this.speaker = new Speaker({ ...identity, jitter: world.jitter, observes: true });
    this.follow(settings, now);
    if (world.isRestart) {
      this.speaker.beginRestart({ restarting: true, forwarding: [0, 1] }, false, deferralMillis, now);
    }
    if (world.own !== undefined) this.speaker.originate(world.own);
    this.speaker.rib.deferral.ownIsKnown();
  }

  follow(settings: NodeSettings, now: Instant): void {
    this.#settings = settings;
    this.#now = now;
    const { peers, reflection, listen } = settings;
    this.handover.want({ peers, reflection, listen }, now);
    this.#configure();
  }
  get listens(): boolean {
    return this.handover.listen !== undefined;
  }
  /** A route to the prefix, of ours or of anybody's. */
  has(prefix: Prefix): boolean {
    const [rib] = this.speaker.rib.ribs,
      id = rib.prefixes.findText(prefix);
    return id >= 0 && rib.bestOf(id) >= 0;
  }
  /** Names of nodes it has a session with that is up. */
  sessions(): readonly string[] {
    return this.speaker.neighbours
      .info()
      .filter(({ state }) => state === "Established")
      .map(({ name }) => name)
      .toSorted();
  }

  accepted(connection: number, local: Ip, remote: Ip, now: Instant): void {
    this.speaker.accepted(connection, local, remote, (this.#now = now));
  }
  connected(peer: number, connection: number, local: Ip, remote: Ip, now: Instant): void {
    this.speaker.connected(peer, connection, { local, remote }, (this.#now = now));
  }
  connectFailed(peer: number, text: string, now: Instant): void {
    this.speaker.connectFailed(peer, text, (this.#now = now));
  }
  bytes(connection: number, buffer: Uint8Array, start: number, end: number, now: Instant): void {
    this.speaker.bytes(connection, { buffer, start, end }, (this.#now = now));
  }
  closed(connection: number, text: string, now: Instant): void {
    this.speaker.closed(connection, text, (this.#now = now));
  }
  wake(now: Instant): void {
    this.#now = now;
    const due = this.speaker.nextDeadline();
    if (due !== undefined && due <= now) this.speaker.wake(now);
  }
  nextDeadline(): Instant | undefined {
    return sooner(this.speaker.nextDeadline(), this.handover.nextLook());
  }
  takeActions(): readonly Action[] {
    while (this.speaker.step(this.#now, 4096));
    const routes = this.speaker.routes(),
      due = this.handover.nextLook();
    if (routes !== this.#routes || (due !== undefined && due <= this.#now)) {
      this.#routes = routes;
      const reflecting = this.#settings.reflection?.reflecting ?? [];
      if (this.handover.see(factsOf(this.speaker, this.handover, reflecting), this.#now)) this.#configure();
      this.said.push(...this.handover.takeNotes());
      while (this.speaker.step(this.#now, 4096));
    }
    return this.speaker.takeActions().filter(({ type }) => type !== "note");
  }
  pull(connection: number, now: Instant): Uint8Array | undefined {
    const peer = this.speaker.routes().find((route) => route.connection === connection)?.peer;
    if (peer === undefined) return undefined;
    const owed: Uint8Array[] = [];
    this.speaker.pull(peer, 65_536, now, (bytes) => owed.push(bytes));
    return owed.length === 0 ? undefined : Buffer.concat(owed);
  }

  #configure(): void {
    this.speaker.usePolicies(this.#settings.policies);
    this.speaker.configure(this.handover.peers(), this.#settings.ranges, this.#now);
  }
}
