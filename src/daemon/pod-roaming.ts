/** Opens what a node needs for addresses that follow their owners: the keeper, its audit trail, and the wait for claims before a CIDR is handed out of. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { callerFault, type Fault, FaultError, ok, type Outcome } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import { note } from "#base/note.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { OwnLease } from "#ipam/lease-terms.ts";
import type { PodChange, PodRecord } from "#ipam/pod-terms.ts";
import { onlyOf } from "#overlay/attach.ts";
import type { Store } from "#ports/store.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import type { AddressClaims } from "./address-claims.ts";
import type { LeaseDriver } from "./lease-driver.ts";
import { PodAudit } from "./pod-audit.ts";
import type { PodBook } from "./pod-book.ts";
import type { AuditView } from "./pod-control.ts";
import { RoamKeeper } from "./roam-keeper.ts";
import type { NodeStreams } from "./streams.ts";

const claimMillis = {
  /** A CIDR remembered from before this start is handed out of after that without a word of the store. */
  grace: 2_000,
  retry: 500,
} as const;

export interface PodRoamingParts {
  readonly settings: NodeSettings;
  readonly store: Store;
  readonly claims: AddressClaims;
  readonly leases: LeaseDriver;
  readonly book: PodBook;
  readonly telemetry: Telemetry;
  readonly stateDirectory: string;
  readonly streams: NodeStreams;
  readonly wallSeconds: () => number;
  readonly flush: (addresses: readonly Ip[]) => void;
}

export class PodRoaming {
  readonly #parts: PodRoamingParts;
  readonly #audit: PodAudit;
  readonly #keeper: RoamKeeper;
  /** CIDRs, each as it was claimed, whose addresses' claims are known; and those that are being asked for. */
  readonly #known = new Map<string, "asked" | "known">();
  #own: ReadonlyMap<string, OwnLease> = new Map();
  #tellOwn: (own: ReadonlyMap<string, OwnLease>) => void = () => undefined;
  #routes: ReadonlyMap<Ip, string> = new Map();

  private constructor(parts: PodRoamingParts, audit: PodAudit) {
    this.#parts = parts;
    this.#audit = audit;
    const { settings, leases, streams } = parts;
    this.#keeper = new RoamKeeper({
      ...parts,
      audit,
      node: settings.node,
      hold: (pool) => leases.holdOf(pool),
      holds: (pool) => this.#own.get(pool)?.cidr !== undefined,
      alive: () => leases.alive(),
      holdSeconds: () => streams.settings$.value.lease.holdSeconds,
      changed: () => this.#publish(),
    });
  }

  static async open(parts: PodRoamingParts): Promise<PodRoaming> {
    return new PodRoaming(parts, await PodAudit.open(join(parts.stateDirectory, "pods.audit"), parts.wallSeconds));
  }

  readonly bring: RoamKeeper["bring"] = (request, pools) => this.#keeper.bring(request, pools);
  /** The store says that this node has the address. */
  isOurs(address: Ip): boolean {
    const { claims, settings } = this.#parts;
    return claims.at(address)?.node === settings.node;
  }
  /** What the store says of an address elsewhere; undefined: nothing. */
  whose(address: Ip): string | undefined {
    const claim = this.#parts.claims.at(address);
    return claim && `is ${claim.state === "held" ? "held by a pod" : "kept, last"} on node ${claim.node} for ${claim.owner} (pool ${claim.pool})`;
  }
  async force(address: Ip): Promise<Outcome<{ readonly released: readonly string[] }, Fault>> {
    const done = await this.#keeper.force(address);
    return done.ok ? ok({ released: done.value ? [address] : [] }) : done;
  }
  /** An operator takes an address from a pod that lives here. */
  async forced({ address, pool, containerId, owner }: PodRecord): Promise<void> {
    this.#parts.telemetry.note(note("warn", "ipam.forced", `${address} was taken from container ${containerId} by force`, { pool, prefix: onlyOf(address) }));
    const whose = { ...(owner !== undefined && { owner }), ...(containerId !== undefined && { containerId }) };
    await this.#audit.write({ event: "forced", address, pool, node: this.#parts.settings.node, ...whose });
  }
  audit(): readonly AuditView[] {
    return this.#audit.list();
  }

  written(changes: readonly PodChange[]): void {
    this.#keeper.written(changes);
  }
  /** The pods' routes as they are wanted; what may not be used here goes out of them. */
  want(routes: ReadonlyMap<Ip, string>): void {
    this.#routes = routes;
    this.#publish();
  }
  /** This node's claims on CIDRs; `tell` hears of those whose addresses' claims are known. */
  own(own: ReadonlyMap<string, OwnLease>, tell: (own: ReadonlyMap<string, OwnLease>) => void): void {
    this.#own = own;
    this.#tellOwn = tell;
    for (const lease of own.values()) this.#ask(lease);
    this.#passOn();
  }
  async run(signal: AbortSignal): Promise<void> {
    const moving = this.#parts.streams.underlayMoved$.subscribe(() => this.#publish());
    await this.#keeper.run(signal);
    moving.unsubscribe();
    await this.#audit.close();
  }

  #passOn(): void {
    this.#tellOwn(new Map([...this.#own].map(([pool, lease]) => [pool, this.#known.get(nameOf(lease)) === "asked" ? { ...lease, cidr: undefined } : lease])));
    this.#keeper.reconsider();
  }

  /** Others may have taken addresses of a CIDR before it became ours: what the store has now is read once for each claim on it. */
  #ask(lease: OwnLease): void {
    const name = nameOf(lease),
      pool = this.#parts.streams.settings$.value.pools.find((each) => each.name === lease.pool);
    if (lease.cidr === undefined || pool?.pods?.roam !== true || this.#known.has(name)) return;
    this.#known.set(name, "asked");
    void this.#refresh(lease).then(() => {
      this.#known.set(name, "known");
      this.#passOn();
    });
  }
  async #refresh(lease: OwnLease): Promise<void> {
    for (const began = performance.now(); ; await pause(claimMillis.retry, undefined, { ref: false })) {
      try {
        await Promise.race([this.#parts.claims.refresh(), late(claimMillis.grace)]);
        return await this.#keeper.takeOver(lease.cidr!);
      } catch (cause) {
        if (!(cause instanceof FaultError)) throw cause;
      }
      // In doubt, the CIDR has been ours without a break, and the journal knows what is elsewhere.
      const state = this.#own.get(lease.pool)?.state;
      if (state === "doubtful" && performance.now() - began > claimMillis.grace) return;
    }
  }

  #publish(): void {
    const { streams } = this.#parts;
    const there = devicesHere(),
      routes = new Map([...this.#routes].filter(([address, device]) => there.has(device) && this.#keeper.mayUse(address)));
    if (!isSame(routes, streams.pods$.value)) streams.pods$.next(routes);
    const visiting = new Map(this.#keeper.visiting().map(({ address, pool }) => [onlyOf(address), pool] as const));
    if (!isSame(visiting, streams.visiting$.value)) streams.visiting$.next(visiting);
  }
}

/** A pod that vanished without a word took its link with it: a route over it would be tried for ever. Of this process's own namespace. */
const devicesHere = (): ReadonlySet<string> => new Set(Array.from(readFileSync("/proc/self/net/dev", "utf8").matchAll(/^ *([^:|]+):/gm), ([, name]) => name!));

const nameOf = ({ pool, cidr, fence }: OwnLease): string => `${pool} ${cidr} ${fence?.epoch} ${fence?.revision}`;
const isSame = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean =>
  a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);

function late(millis: number): Promise<never> {
  const text = `the store gave no answer within ${millis / 1000} s`;
  return new Promise((_, reject) => setTimeout(() => reject(new FaultError(callerFault("store.late", text))), millis).unref());
}
