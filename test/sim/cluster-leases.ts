/** One daemon's lease machines and presence over the simulated store: what daemon/lease-driver.ts does with promises, in virtual time. */
import type { Lease } from "#base/lease.ts";
import type { Note } from "#base/note.ts";
import type { NodeSettings } from "#base/settings.ts";
import { type Instant, sooner } from "#base/time.ts";
import type { StoreAnswer, StoreEvent, StoreOutput, StoredEntry } from "#ipam/exchange.ts";
import { leasesPrefix, nodesPrefix, parseLease } from "#ipam/lease-record.ts";
import type { LeaseOutput, OwnLease, RememberedLease } from "#ipam/lease-terms.ts";
import { LeaseMachine } from "#ipam/lease.ts";
import { PresenceMachine } from "#ipam/presence.ts";
import { EpochMachine, type RememberedStore } from "#ipam/store-epoch.ts";
import { vtepMac } from "#overlay/vtep.ts";
import type { SimStore, StoreClient } from "./store.ts";

export interface LeaseHome {
  readonly settings: NodeSettings;
  readonly identity: string;
  /** The state directory: the last CIDR of each pool and when it was confirmed. */
  readonly remembered: Map<string, RememberedLease>;
  /** … and what was known of the store. */
  rememberedStore: RememberedStore | undefined;
}

type Part = "presence" | "epoch" | number;

/** Renewals are written down this often: in a hold time. */
const savesPerHold = 20;

export class SimLeases {
  readonly machines: readonly LeaseMachine[];
  readonly #home: LeaseHome;
  readonly #presence: PresenceMachine;
  /** A reflector takes no part in it. */
  readonly #epoch: EpochMachine | undefined;
  readonly #client: StoreClient;
  readonly #part = new Map<number, { readonly part: Part; readonly request: number }>();
  readonly #entries = new Map<string, Lease>();
  readonly #stored = new Map<string, StoredEntry>();
  #requests = 0;
  #isDirty = true;
  #identity: string | undefined;
  /** What was said and not yet taken. */
  notes: Note[] = [];
  /** The store has told all leases. */
  isSynced = false;
  /** A claim or a lease changed since the caller last set it back. */
  hasNews = true;

  /** `wake`: something came from the store; the caller steps soon. */
  constructor(home: LeaseHome, store: SimStore, wake: () => void, now: Instant) {
    const { settings, identity } = home,
      { node, address, address6, lease } = settings;
    this.#home = home;
    this.machines = (settings.kernel.enabled ? settings.pools : []).map((pool) => {
      const holder = { node, identity, address, address6, vtepMac: pool.vni === undefined ? undefined : vtepMac(node, pool.vni) };
      return new LeaseMachine({ pool, lease, holder }, home.remembered.get(pool.name), now);
    });
    this.#presence = new PresenceMachine({ schema: 1, node, identity, address, version: "sim" }, lease.livenessSeconds);
    const nonce = String(Math.floor(store.world.random() * 2 ** 48));
    if (settings.kernel.enabled) this.#epoch = new EpochMachine({ node, nonce, settleSeconds: 2 * lease.livenessSeconds }, home.rememberedStore);
    this.#client = store.open(node, {
      answered: (answer) => {
        this.#answered(answer, store.world.now);
        wake();
      },
      told: (events) => {
        for (const event of events) this.#told(event, store.world.now);
        wake();
      },
    });
  }

  get own(): ReadonlyMap<string, OwnLease> {
    return new Map(this.machines.map(({ own }) => [own.pool, own]));
  }
  /** What the node can have has been found out: others need not wait for it (daemon/node-part.ts). */
  get isKnown(): boolean {
    return this.machines.every(({ own }) => own.state !== "asking");
  }
  get leases(): readonly Lease[] {
    return [...this.#entries.values()];
  }
  nextDeadline(): Instant | undefined {
    const before = sooner(this.#presence.nextDeadline(), this.#epoch?.nextDeadline());
    return this.machines.reduce((least: Instant | undefined, machine) => sooner(least, machine.nextDeadline()), before);
  }
  close(): void {
    this.#client.close();
  }

  /** Pools of another size or state. */
  follow(settings: NodeSettings): void {
    const { node, address, address6, lease } = settings;
    this.machines.forEach((machine, i) => {
      const pool = settings.pools[i]!,
        holder = { node, identity: this.#home.identity, address, address6, vtepMac: pool.vni === undefined ? undefined : vtepMac(node, pool.vni) };
      machine.handle({ kind: "terms", terms: { pool, lease, holder } }, this.#client.now);
    });
    this.#isDirty = true;
    this.hasNews = true;
  }

  step(now: Instant): void {
    const due = this.nextDeadline();
    if (!this.#isDirty && (due === undefined || due > now)) return;
    this.#isDirty = false;
    for (const out of this.#presence.step(now)) this.#perform(out, "presence");
    for (const out of this.#epoch?.step(now) ?? []) this.#perform(out, "epoch");
    for (const machine of this.machines) machine.handle({ kind: "epoch", epoch: this.#epoch?.epoch }, now);
    if (this.#presence.identity !== this.#identity) {
      this.#identity = this.#presence.identity;
      for (const machine of this.machines) machine.handle({ kind: "presence", identity: this.#identity }, now);
    }
    this.machines.forEach((machine, i) => {
      for (const out of machine.step(now)) this.#perform(out, i);
      this.#save(machine.own);
    });
  }

  #perform(out: LeaseOutput | StoreOutput, part: Part): void {
    if (out.kind === "note") return void this.notes.push(out.note);
    if (out.kind === "own") return void (this.hasNews = true);
    this.#part.set(++this.#requests, { part, request: out.request });
    this.#client.send({ ...out, request: this.#requests });
  }

  #answered(answer: StoreAnswer, now: Instant): void {
    const asked = this.#part.get(answer.request);
    if (!asked) throw new Error(`the store answered request ${answer.request} of ${this.#home.settings.node} twice`);
    this.#part.delete(answer.request);
    this.#isDirty = true;
    const back = { ...answer, request: asked.request };
    if (asked.part === "presence") this.#presence.handle(back, now);
    else if (asked.part === "epoch") this.#epoch!.handle(back, now);
    else this.machines[asked.part]!.handle(back, now);
  }

  #told(event: StoreEvent, now: Instant): void {
    this.#isDirty = true;
    const key = event.kind === "put" ? event.entry.key : event.kind === "delete" ? event.key : undefined;
    if (!key?.startsWith(leasesPrefix)) this.#presence.handle(of(event, nodesPrefix), now);
    if (key?.startsWith(nodesPrefix)) return;
    const about = of(event, leasesPrefix);
    for (const machine of [this.#epoch, ...this.machines]) machine?.handle(about, now);
    this.#mirror(about);
  }

  #mirror(event: StoreEvent): void {
    if (event.kind === "away" || event.kind === "back") return;
    this.hasNews = true;
    if (event.kind === "snapshot") {
      this.isSynced = true;
      this.#entries.clear();
      this.#stored.clear();
    }
    if (event.kind === "delete") this.#entries.delete(event.key);
    if (event.kind === "delete") this.#stored.delete(event.key);
    for (const entry of event.kind === "snapshot" ? event.entries : event.kind === "put" ? [event.entry] : []) {
      this.#stored.set(entry.key, entry);
      const lease = parseLease(entry);
      if (lease.ok) this.#entries.set(entry.key, lease.value);
      else this.#entries.delete(entry.key);
    }
  }

  #save({ pool, cidr, confirmedAt, fence }: OwnLease): void {
    const memory = this.#epoch?.memory;
    if (memory) this.#home.rememberedStore = { ...memory, entries: [...this.#stored.values()] };
    if (cidr === undefined || confirmedAt === undefined) return;
    const { remembered, settings } = this.#home,
      known = remembered.get(pool);
    if (known?.cidr === cidr && confirmedAt - known.confirmedAt < (settings.lease.holdSeconds * 1000) / savesPerHold) return;
    remembered.set(pool, { cidr, confirmedAt, fence });
  }
}

const of = (event: StoreEvent, prefix: string): StoreEvent =>
  event.kind === "snapshot" ? { ...event, entries: event.entries.filter(({ key }) => key.startsWith(prefix)) } : event;
