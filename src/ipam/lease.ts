/**
 * The machine that gets, keeps, loses and regains one node's CIDR of one pool.
 *
 *     asking ⇄ wanted        asking: what the node can have is being found out; wanted: nothing can be had now
 *     asking → held ⇄ doubtful → lost → held …        a node that let go says lost until it has a CIDR again
 *
 * A claim is a key made by compare-and-create and bound to a hold lease that the store times; the machine renews it, counting
 * from when it *sent* the renewal that was answered. Must stay true:
 * - at 0.9 × hold without an answer the node lets go by itself (`lost`), before the store can give the CIDR to another;
 * - a claim is written only while the node's presence key is ours, so two machines of one name never both write;
 * - every write is compare-and-swap: what another holds is never overwritten, but for a dead machine's of our own name, and an
 *   older claim that a restored store shows in the place of ours;
 * - of two claims on one CIDR the later counts, by store epoch and revision; whose is older lets go and takes another CIDR;
 * - a store that is away changes nothing before that: `doubtful` forwards on.
 */
import { type Fence, fenceOf, isLater, type LeaseRecord, type LeaseState } from "#base/lease.ts";
import type { Note } from "#base/note.ts";
import type { Prefix } from "#base/prefix.ts";
import { Deadlines, type Instant, after, millis, sooner } from "#base/time.ts";
import { type Claim, Claims } from "./claims.ts";
import { type NewRequest, type StoreAnswer, type StoreEvent, type StoreRequest, hashText, nameTaken, retryMillis } from "./exchange.ts";
import { type FormerHome, FormerKeeper } from "./former.ts";
import { encodeLease, leaseKey } from "./lease-record.ts";
import type { LeaseInput, LeaseOutput, LeaseTerms, OwnLease, RememberedLease } from "./lease-terms.ts";
import { type Holding, holdingNothing, LeaseVoice } from "./lease-voice.ts";
import { adoptable, chooseCidr, isMine, isSame, owner, printFence, recordOf } from "./own-claims.ts";
import { isOfPool } from "./pool.ts";
import type { StoreEpoch } from "./store-epoch.ts";

/** Share of the hold time after which a node lets go by itself. */
const fenceShare = 0.9;

interface Hold {
  readonly cidr: Prefix;
  /** Store-side lease; undefined: a claim without one, or one whose lease has gone. */
  lease: string | undefined;
  ttlMillis: number;
  /** Undefined for a claim without lease: it does not end. */
  confirmedAt: Instant | undefined;
  /** When it was claimed; undefined only for what was written down without. */
  fence: Fence | undefined;
}
interface Job {
  readonly kind: "grant" | "claim" | "adopt" | "remove";
  readonly request: number;
  readonly at: Instant;
  readonly cidr: Prefix;
  readonly key: string;
  readonly lease?: string | undefined;
  /** What was written, and over a key of which create revision. */
  readonly record?: LeaseRecord;
  readonly created?: bigint | undefined;
}

export class LeaseMachine {
  #terms: LeaseTerms;
  readonly #claims: Claims;
  readonly #deadlines = new Deadlines<"retry" | "beat" | "doubt" | "fence">();
  readonly #seed: number;
  readonly #out: LeaseOutput[] = [];
  readonly #voice: LeaseVoice;
  readonly #mark: FormerKeeper;
  #hold: Hold | undefined;
  #former: Prefix | undefined;
  #presence: string | undefined;
  #epoch: StoreEpoch | undefined;
  #job: Job | undefined;
  #beat: { readonly request: number; readonly at: Instant; readonly lease: string } | undefined;
  /** A store-side lease that no key is bound to yet. */
  #grant: { readonly lease: string; readonly at: Instant; readonly ttlMillis: number } | undefined;
  /** A store-side lease the store said it holds no more, while keys may still name it. */
  #ended: string | undefined;
  #requests = 0;
  #attempts = 0;

  constructor(terms: LeaseTerms, remembered: RememberedLease | undefined, now: Instant) {
    this.#terms = terms;
    this.#claims = new Claims(terms.pool.name);
    this.#seed = hashText(`${terms.holder.node}/${terms.pool.name}`);
    this.#mark = new FormerKeeper(this.#seed, (request) => this.#ask(request));
    this.#former = remembered?.cidr;
    const hold = remembered && { ...remembered, lease: undefined, ttlMillis: terms.lease.holdSeconds * 1000, fence: remembered.fence };
    const isKept = hold && isOfPool(terms.pool, hold.cidr) && fenceAt(hold, hold.confirmedAt) > now;
    if (isKept) this.#hold = hold;
    if (isKept) this.#deadlines.arm("fence", fenceAt(hold, hold.confirmedAt));
    const first = isKept
      ? ({ state: "doubtful", reason: "held before this start; the store has not confirmed it yet" } as const)
      : ({ state: "asking", reason: listing } as const);
    this.#voice = new LeaseVoice(this.#out, { pool: terms.pool.name, ...first, ...this.#holding() });
  }

  get own(): OwnLease {
    return this.#voice.own;
  }

  nextDeadline(): Instant | undefined {
    return sooner(this.#deadlines.nearest(), this.#mark.nextDeadline());
  }

  handle(input: LeaseInput, now: Instant): void {
    switch (input.kind) {
      case "snapshot":
      case "put":
      case "delete":
        return this.#see(input);
      case "back":
        // The store is there again: what waited for it goes on now.
        this.#deadlines.disarm("retry");
        this.#mark.goOn();
        if (this.#hold?.lease !== undefined) this.#deadlines.arm("beat", now);
        return;
      case "away":
        return;
      case "terms":
        this.#terms = input.terms;
        return this.#deadlines.disarm("retry");
      case "presence":
        if (input.identity !== this.#presence) this.#deadlines.disarm("retry");
        this.#presence = input.identity;
        return;
      case "epoch":
        if (input.epoch?.number !== this.#epoch?.number || input.epoch?.isSettled !== this.#epoch?.isSettled) this.#deadlines.disarm("retry");
        this.#epoch = input.epoch;
        return;
      default:
        return this.#answered(input, now);
    }
  }

  step(now: Instant): LeaseOutput[] {
    // After a suspend everything is due at once: letting go comes first.
    const fence = this.#deadlines.at("fence");
    if (fence !== undefined && fence <= now) this.#expired("fence", now);
    for (let due = this.#deadlines.due(now); due !== undefined; due = this.#deadlines.due(now)) this.#expired(due, now);
    this.#mark.pass(now);
    if (this.#hold) this.#keep(this.#hold, now);
    if (!this.#hold) this.#seek(now);
    if (this.#hold) this.#markOwn(this.#hold, now);
    else this.#mark.leave();
    return this.#out.splice(0);
  }

  #see(event: StoreEvent): void {
    const notes: Note[] = [];
    const hasRoom = this.#claims.see(event, notes);
    for (const each of notes) this.#out.push({ kind: "note", note: each });
    if (hasRoom || event.kind === "snapshot") this.#deadlines.disarm("retry");
  }

  #expired(name: "retry" | "beat" | "doubt" | "fence", now: Instant): void {
    const hold = this.#hold;
    if (!hold || name === "retry") return;
    const silent = `the store has not confirmed ${hold.cidr} for ${Math.round((now - (hold.confirmedAt ?? now)) / 1000)} s`;
    if (name === "fence") return this.#lose(`${silent}; it may be given to another node, so this node lets go of it`);
    if (name === "doubt") return this.#say("doubtful", `${silent}; it is used on, and let go of after ${Math.round((hold.ttlMillis * fenceShare) / 1000)} s`);
    if (this.#beat !== undefined || hold.lease === undefined) return;
    this.#beat = { request: this.#ask({ kind: "keepAlive", lease: hold.lease }), at: now, lease: hold.lease };
  }

  /** While there is a CIDR: is the claim still ours and as it should be? */
  #keep(hold: Hold, now: Instant): void {
    if (!this.#claims.isSynced) return;
    const claim = this.#claims.get(hold.cidr);
    if (claim && !this.#isMine(claim)) return this.#dispute(hold, claim, now);
    if (claim?.record && !(hold.fence && isLater(hold.fence, fenceOf(claim.record)))) hold.fence = fenceOf(claim.record);
    if (this.#job !== undefined || this.#deadlines.at("retry") !== undefined) return;
    if (claim?.lease !== undefined && claim.lease !== this.#ended && hold.lease === undefined && hold.confirmedAt !== undefined) {
      // Held before this start: the store knows the lease, one renewal confirms it.
      hold.lease = claim.lease;
      return this.#expired("beat", now);
    }
    if (claim && claim.lease === undefined && hold.lease === undefined && hold.confirmedAt !== undefined) return this.#take(endless(claim), endlessWhy, now);
    if (this.#presence !== this.#terms.holder.identity) return;
    if (!claim || (hold.lease === undefined && hold.confirmedAt !== undefined)) return this.#bind(hold.cidr, claim, now);
    if (!isSame(this.#record(hold.cidr, claim.lease === undefined), claim)) return this.#write(hold.cidr, claim, claim.lease, now);
    for (const other of this.#claims.all()) if (other.cidr !== hold.cidr && other.lease !== undefined && this.#isMine(other)) return this.#remove(other, now);
  }

  /** Another's claim on our CIDR. In one life of the store the later one is always the store's; a restored one may show one older than ours. */
  #dispute(hold: Hold, claim: Claim, now: Instant): void {
    const theirs = claim.record && fenceOf(claim.record);
    if (!theirs || !hold.fence || !isLater(hold.fence, theirs)) return this.#lose(`${hold.cidr} is claimed by ${owner(claim)}; this node lets go of it`);
    if (this.#job !== undefined || this.#deadlines.at("retry") !== undefined || this.#presence !== this.#terms.holder.identity) return;
    this.#voice.tellConflict(
      `the store shows an older claim of ${owner(claim)} on ${hold.cidr} (${printFence(theirs)}, ours ${printFence(hold.fence)}), as a restored store does: ours is put back, and that node takes another CIDR`,
      this.#terms,
    );
    this.#bind(hold.cidr, claim, now);
  }

  /** While the claim stands: that others see who had the CIDR last when it has gone. */
  #markOwn(hold: Hold, now: Instant): void {
    const claim = this.#claims.get(hold.cidr);
    if (!claim || !this.#isMine(claim) || claim.lease === undefined || this.#presence !== this.#terms.holder.identity) return;
    this.#mark.step(hold.cidr, this.#claims.former(hold.cidr), this.#home(), now);
  }
  #home(): FormerHome {
    const { holder, pool, lease } = this.#terms;
    return { node: holder.node, pool: pool.name, lease };
  }

  /** While there is none: adopt what is ours already, else claim the next candidate. */
  #seek(now: Instant): void {
    if (this.#job !== undefined || this.#deadlines.at("retry") !== undefined) return;
    const { pool, holder } = this.#terms;
    if (!this.#claims.isSynced) return this.#sayWithout("asking", listing);
    if (this.#presence === undefined) return this.#sayWithout("asking", "waiting for the node's own presence in the store");
    if (this.#presence !== holder.identity) return this.#wait(nameTaken(holder.node, this.#presence));
    if (this.#epoch === undefined) return this.#sayWithout("asking", "finding out whether the store was restored");
    if (!this.#epoch.isSettled) return this.#sayWithout("asking", "the store was restored: nodes put back the claims they hold, and new ones wait for that");
    const found = adoptable(this.#claims, this.#terms, this.#former);
    if (found) return this.#adopt(found, now);
    if (pool.state === "draining") return this.#wait(`pool ${pool.name} is draining and gives out no new CIDR; make it active, or remove it`);
    const choice = chooseCidr(this.#claims, this.#terms, this.#former);
    if (choice.kind === "try") return this.#bind(choice.cidr, undefined, now);
    this.#retry(now);
    this.#wait(choice.reason);
  }

  #adopt(claim: Claim, now: Instant): void {
    const isMine = this.#isMine(claim);
    if (claim.lease === undefined && !isMine) return this.#write(claim.cidr, claim, undefined, now);
    if (claim.lease === undefined) return this.#take(endless(claim), endlessWhy, now);
    if (!isMine || claim.lease === this.#ended) return this.#bind(claim.cidr, claim, now);
    const request = this.#ask({ kind: "keepAlive", lease: claim.lease });
    this.#start({ kind: "adopt", request, at: now, cidr: claim.cidr, lease: claim.lease, key: claim.key }, `confirming ${claim.cidr}, held before`);
  }

  /** Claims `cidr`, over `claim` if there is one, bound to a lease that is granted first if need be. */
  #bind(cidr: Prefix, claim: Claim | undefined, now: Instant): void {
    const grant = this.#grant;
    if (grant && now - grant.at < grant.ttlMillis / 2) return this.#write(cidr, claim, grant.lease, now);
    const request = this.#ask({ kind: "grant", ttlSeconds: this.#terms.lease.holdSeconds });
    this.#start({ kind: "grant", request, at: now, cidr, key: "" }, `asking for ${cidr}`);
  }

  #write(cidr: Prefix, claim: Claim | undefined, lease: string | undefined, now: Instant): void {
    const key = leaseKey(this.#terms.pool.name, cidr),
      record = this.#record(cidr, lease === undefined),
      value = encodeLease(record);
    const request = claim
      ? this.#ask({ kind: "replace", key, value, modRevision: claim.modRevision, lease })
      : this.#ask({ kind: "create", key, value, lease: lease! });
    this.#start({ kind: "claim", request, at: now, cidr, lease, key, record, created: claim?.record?.createRevision }, `asking for ${cidr}`);
  }

  /** A claim of ours beside the one we hold: a write that was thought to have failed. */
  #remove(claim: Claim, now: Instant): void {
    const request = this.#ask({ kind: "remove", key: claim.key, modRevision: claim.modRevision });
    this.#job = { kind: "remove", request, at: now, cidr: claim.cidr, key: claim.key };
  }

  #answered(answer: StoreAnswer, now: Instant): void {
    if (answer.request === this.#beat?.request) return this.#beaten(answer, now);
    if (this.#mark.owns(answer.request)) return this.#marked(answer, now);
    const job = this.#job;
    if (job?.request !== answer.request) return;
    this.#job = undefined;
    if (answer.kind === "failed") {
      // The write may have happened: the watch, or the next compare, will tell.
      if (answer.code === "store.lease-gone") this.#grant = undefined;
      this.#retry(now);
      return this.#hold ? undefined : this.#sayWithout("asking", `${answer.text}; it is tried again`);
    }
    if (answer.kind === "granted") this.#grant = { lease: answer.lease, at: job.at, ttlMillis: answer.ttlSeconds * 1000 };
    if (answer.kind === "alive") this.#adopted(job, answer.ttlSeconds, now);
    if (answer.kind === "swapped") this.#swapped(job, answer, now);
  }

  #marked(answer: StoreAnswer, now: Instant): void {
    this.#mark.answered(answer, this.#home(), now);
  }

  #adopted(job: Job, ttlSeconds: number, now: Instant): void {
    const record = this.#claims.get(job.cidr)?.record;
    if (ttlSeconds > 0)
      return this.#take(
        { cidr: job.cidr, lease: job.lease, ttlMillis: ttlSeconds * 1000, confirmedAt: job.at, fence: record && fenceOf(record) },
        "it was held before",
        now,
      );
    this.#ended = job.lease;
    this.#former = job.cidr;
  }

  #swapped(job: Job, answer: Extract<StoreAnswer, { kind: "swapped" }>, now: Instant): void {
    if (job.kind === "remove") return this.#claims.learn(job.key, answer.done ? undefined : answer.current, answer.revision);
    if (!answer.done) return this.#claims.learn(job.key, answer.current, answer.revision);
    const record = job.record!,
      createRevision = job.created ?? answer.revision;
    const entry = { key: job.key, value: encodeLease(record), createRevision, modRevision: answer.revision, lease: job.lease };
    this.#claims.learn(job.key, entry, answer.revision);
    const fence = fenceOf({ ...record, createRevision });
    if (job.lease === undefined) return this.#take({ ...endless({ cidr: job.cidr }), fence }, endlessWhy, now);
    const grant = this.#grant;
    if (grant?.lease !== job.lease) return;
    this.#grant = undefined;
    this.#take({ cidr: job.cidr, lease: grant.lease, ttlMillis: grant.ttlMillis, confirmedAt: grant.at, fence }, "the store has confirmed it", now);
  }

  #beaten(answer: StoreAnswer, now: Instant): void {
    const beat = this.#beat!,
      hold = this.#hold;
    this.#beat = undefined;
    if (!hold) return;
    this.#deadlines.arm("beat", after(now, millis(this.#beatMillis())));
    if (answer.kind !== "alive" || beat.lease !== hold.lease) return;
    if (answer.ttlSeconds > 0) return this.#take({ ...hold, ttlMillis: answer.ttlSeconds * 1000, confirmedAt: beat.at }, "the store has confirmed it", now);
    this.#ended = hold.lease;
    hold.lease = undefined;
    this.#deadlines.disarm("retry");
    this.#say("doubtful", `the store has ended the lease of ${hold.cidr}; it is claimed again`);
  }

  #take(hold: Hold, reason: string, now: Instant): void {
    // An answer can come so late that it confirms nothing any more.
    if (hold.confirmedAt !== undefined && fenceAt(hold, hold.confirmedAt) <= now) return;
    const isNew = this.#hold?.cidr !== hold.cidr;
    this.#hold = hold;
    this.#former = hold.cidr;
    this.#attempts = 0;
    this.#deadlines.disarm("retry");
    for (const name of ["doubt", "fence"] as const) this.#deadlines.disarm(name);
    if (hold.confirmedAt !== undefined) {
      this.#deadlines.arm("doubt", after(hold.confirmedAt, millis(Math.min(this.#terms.lease.livenessSeconds * 1000, hold.ttlMillis / 2))));
      this.#deadlines.arm("fence", fenceAt(hold, hold.confirmedAt));
      if (this.#deadlines.at("beat") === undefined) this.#deadlines.arm("beat", after(hold.confirmedAt, millis(this.#beatMillis())));
    }
    this.#say("held", isNew || this.own.state !== "held" ? reason : this.own.reason);
  }

  #lose(reason: string): void {
    this.#hold = undefined;
    this.#beat = undefined;
    this.#deadlines.clear();
    this.#say("lost", reason);
  }

  #start(job: Job, reason: string): void {
    this.#job = job;
    if (!this.#hold) this.#sayWithout("asking", reason);
  }

  /** Nothing can be had now, and that is known: others may rely on it. Until it is known the state is `asking`. */
  #wait(reason: string): void {
    this.#sayWithout("wanted", reason);
  }

  #sayWithout(state: "wanted" | "asking", reason: string): void {
    this.#voice.sayWithout(state, reason, this.#terms);
  }
  #say(state: LeaseState, reason: string): void {
    this.#voice.say(state, reason, this.#holding(), this.#terms);
  }
  #holding(): Holding {
    const hold = this.#hold;
    if (!hold) return holdingNothing;
    const { cidr, confirmedAt, fence } = hold;
    return { cidr, confirmedAt, fence, endsAt: confirmedAt === undefined ? undefined : fenceAt(hold, confirmedAt) };
  }

  #retry(now: Instant): void {
    this.#deadlines.arm("retry", after(now, millis(retryMillis(this.#attempts++, this.#seed))));
  }

  #ask(request: NewRequest): number {
    this.#out.push({ ...request, request: ++this.#requests } as StoreRequest);
    return this.#requests;
  }

  #record(cidr: Prefix, isReserved: boolean): LeaseRecord {
    const fence = this.#hold?.cidr === cidr ? this.#hold.fence : undefined;
    const record = recordOf(this.#terms, cidr, { standing: this.#claims.get(cidr), fence, epoch: this.#epoch?.number });
    return isReserved ? { ...record, reserved: true } : record;
  }
  #isMine(claim: Claim): boolean {
    return isMine(claim, this.#terms.holder);
  }

  /** A third of liveness, less for a short hold; spread over the nodes. */
  #beatMillis(): number {
    const { livenessSeconds, holdSeconds } = this.#terms.lease;
    return Math.min(livenessSeconds / 3, holdSeconds / 6) * (850 + (this.#seed % 150));
  }
}

const listing = "waiting for the store's list of leases";
const endlessWhy = "it is a claim without end in the store";
const endless = ({ cidr, record }: Pick<Claim, "cidr"> & Partial<Pick<Claim, "record">>): Hold => ({
  cidr,
  lease: undefined,
  ttlMillis: 0,
  confirmedAt: undefined,
  fence: record && fenceOf(record),
});

function fenceAt(hold: Hold, confirmedAt: Instant): Instant {
  return after(confirmedAt, millis(hold.ttlMillis * fenceShare));
}
