/**
 * Keeps the mark of who had a CIDR last beside the claim, bound to a lease that outlives the hold by the quarantine: when the
 * claim has lapsed, others see the mark and wait, and its node may come back at once. The store times it; nothing is written
 * but when the CIDR or its mark is new.
 */
import type { Prefix } from "#base/prefix.ts";
import type { LeaseSettings } from "#base/settings.ts";
import { Deadlines, type Instant, after, millis } from "#base/time.ts";
import type { Former } from "./claims.ts";
import { type NewRequest, type StoreAnswer, retryMillis } from "./exchange.ts";
import { encodeFormer, formerKey } from "./lease-record.ts";

/** A mark is written this long after the claim at most, a tenth of the quarantine at most; nodes are spread over it. */
const mostFirstMillis = 30_000;

export interface FormerHome {
  readonly node: string;
  readonly pool: string;
  readonly lease: LeaseSettings;
}

export class FormerKeeper {
  readonly #seed: number;
  readonly #ask: (request: NewRequest) => number;
  readonly #deadlines = new Deadlines<"retry" | "beat">();
  #cidr: Prefix | undefined;
  #lease: string | undefined;
  #job: { readonly request: number; readonly kind: NewRequest["kind"]; readonly lease: string | undefined } | undefined;
  #attempts = 0;
  #isBeatDue = false;

  /** `ask` sends a request and answers its number. */
  constructor(seed: number, ask: (request: NewRequest) => number) {
    this.#seed = seed;
    this.#ask = ask;
  }

  owns(request: number): boolean {
    return this.#job?.request === request;
  }
  nextDeadline(): Instant | undefined {
    return this.#deadlines.nearest();
  }
  /** The store is there again. */
  goOn(): void {
    this.#deadlines.disarm("retry");
  }
  /** The CIDR is held no more: its mark ends by itself. */
  leave(): void {
    this.#cidr = undefined;
    this.#lease = undefined;
    this.#isBeatDue = false;
    this.#deadlines.clear();
  }

  /** Time has passed, whether anything can be done or not. */
  pass(now: Instant): void {
    for (let due = this.#deadlines.due(now); due !== undefined; due = this.#deadlines.due(now)) this.#isBeatDue ||= due === "beat";
  }

  /** One request towards a mark of ours at `cidr`, held now; `mark` is what stands there. */
  step(cidr: Prefix, mark: Former | undefined, home: FormerHome, now: Instant): void {
    const { quarantineSeconds, holdSeconds } = home.lease;
    if (cidr !== this.#cidr) {
      this.leave();
      // A cluster that starts at once claims first: a CIDR that was had for a moment only needs no quarantine.
      if (quarantineSeconds > 0)
        this.#deadlines.arm("retry", after(now, millis(Math.min(mostFirstMillis, quarantineSeconds * 100) * (0.5 + (this.#seed % 512) / 1024))));
    }
    this.#cidr = cidr;
    if (quarantineSeconds === 0 || this.#job !== undefined || this.#deadlines.at("retry") !== undefined) return;
    const isOurs = mark?.node === home.node;
    if (this.#lease === undefined && isOurs && mark.lease !== undefined) return this.#send({ kind: "keepAlive", lease: mark.lease }, mark.lease);
    // Twice the quarantine, renewed once in each: at the end of the hold one is left at least.
    if (this.#lease === undefined) return this.#send({ kind: "grant", ttlSeconds: holdSeconds + 2 * quarantineSeconds }, undefined);
    const lease = this.#lease;
    if (isOurs && mark.lease === lease && !this.#isBeatDue) return this.#arm(home, now);
    this.#isBeatDue = false;
    if (isOurs && mark.lease === lease) return this.#send({ kind: "keepAlive", lease }, lease);
    const key = formerKey(home.pool, cidr),
      value = encodeFormer({ schema: 1, node: home.node });
    if (mark) this.#send({ kind: "replace", key, value, modRevision: mark.modRevision, lease }, lease);
    else this.#send({ kind: "create", key, value, lease }, lease);
  }

  /** Takes the answer to a request it `owns`. */
  answered(answer: StoreAnswer, home: FormerHome, now: Instant): void {
    const job = this.#job!;
    this.#job = undefined;
    if (this.#cidr === undefined) return;
    if (answer.kind === "failed") {
      if (answer.code === "store.lease-gone") this.#lease = undefined;
      return this.#deadlines.arm("retry", after(now, millis(retryMillis(this.#attempts++, this.#seed))));
    }
    this.#attempts = 0;
    if (answer.kind === "granted") this.#lease = answer.lease;
    // One that an eviction shortened, or of other settings, would end too soon.
    const { holdSeconds, quarantineSeconds } = home.lease;
    if (answer.kind === "alive") this.#lease = answer.ttlSeconds >= holdSeconds + quarantineSeconds ? job.lease : undefined;
    if (answer.kind === "alive" && this.#lease === undefined) this.#send({ kind: "grant", ttlSeconds: holdSeconds + 2 * quarantineSeconds }, undefined);
    if (answer.kind === "alive" && this.#lease !== undefined) this.#deadlines.arm("beat", after(now, millis(quarantineSeconds * 1000)));
    // The watch tells what stands there now; without it nothing is tried again.
    if (answer.kind === "swapped") this.#deadlines.arm("retry", after(now, millis(retryMillis(0, this.#seed))));
  }

  #arm({ lease }: FormerHome, now: Instant): void {
    if (this.#deadlines.at("beat") === undefined) this.#deadlines.arm("beat", after(now, millis(lease.quarantineSeconds * 1000)));
  }
  #send(request: NewRequest, lease: string | undefined): void {
    this.#job = { request: this.#ask(request), kind: request.kind, lease };
  }
}
