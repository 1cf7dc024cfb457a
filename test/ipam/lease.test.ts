import { describe, expect, test } from "vitest";
import { parseIp } from "#base/ip.ts";
import type { LeaseRecord } from "#base/lease.ts";
import { type Prefix, parsePrefix } from "#base/prefix.ts";
import type { PoolSettings } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import type { StoreRequest, StoredEntry } from "#ipam/exchange.ts";
import { encodeFormer, encodeLease, formerKey, leaseKey } from "#ipam/lease-record.ts";
import type { LeaseInput, LeaseOutput, LeaseTerms, RememberedLease } from "#ipam/lease-terms.ts";
import { LeaseMachine } from "#ipam/lease.ts";
import { testPool } from "./lease-world.ts";

const p = (text: string): Prefix => parsePrefix(text)!;
const t = (seconds: number): Instant => (1_000_000 + seconds * 1000) as Instant;
const me = { node: "n1", identity: "me", address: parseIp("10.0.0.1")!, address6: undefined, vtepMac: undefined };
const four = testPool({ cidr: p("10.42.0.0/22"), nodePrefix: 24 });
const all = [0, 1, 2, 3].map((i) => p(`10.42.${i}.0/24`));

/** One machine under the hands of a test: what goes in at which second, and what comes out. */
class Desk {
  terms: LeaseTerms;
  readonly machine: LeaseMachine;
  at = 0;
  revision = 10n;
  out: LeaseOutput[] = [];

  constructor(pool: Partial<PoolSettings> = {}, remembered?: RememberedLease, quarantineSeconds = 0) {
    this.terms = { pool: { ...four, ...pool }, lease: { holdSeconds: 600, livenessSeconds: 30, quarantineSeconds }, holder: me };
    this.machine = new LeaseMachine(this.terms, remembered, t(0));
    this.machine.handle({ kind: "epoch", epoch: { number: 1, isSettled: true } }, t(0));
  }
  give(...inputs: LeaseInput[]): this {
    for (const input of inputs) this.machine.handle(input, t(this.at));
    this.out = this.machine.step(t(this.at));
    return this;
  }
  pass(seconds: number): this {
    this.at += seconds;
    return this.give();
  }
  /** Goes to the machine's own next deadline. */
  wake(): this {
    this.at = (this.machine.nextDeadline()! - t(0)) / 1000;
    return this.give();
  }
  get requests(): StoreRequest[] {
    return this.out.filter((each): each is StoreRequest => each.kind !== "own" && each.kind !== "note");
  }
  /** The only request, which must be of this kind. */
  ask<K extends StoreRequest["kind"]>(kind: K): Extract<StoreRequest, { kind: K }> {
    if (this.requests.map((each) => each.kind).join() !== kind)
      throw new Error(`asked for ${this.requests.map((each) => each.kind).join() || "nothing"}, not for ${kind}`);
    return this.requests[0] as Extract<StoreRequest, { kind: K }>;
  }
  entry(cidr: Prefix, who: Partial<LeaseRecord> = {}, lease: string | undefined = "L-old"): StoredEntry {
    const record: LeaseRecord = {
      schema: 1,
      node: "n1",
      pool: "p",
      cidr,
      identity: "me",
      address: parseIp("10.0.0.1")!,
      ...who,
      ...(lease === undefined && { reserved: true }),
    };
    this.revision++;
    return { key: leaseKey("p", cidr), value: encodeLease(record), createRevision: this.revision, modRevision: this.revision, lease };
  }
  snapshot(...entries: StoredEntry[]): LeaseInput {
    return { kind: "snapshot", entries, revision: this.revision };
  }
  put(entry: StoredEntry): LeaseInput {
    return { kind: "put", entry };
  }
  gone(cidr: Prefix): LeaseInput {
    return { kind: "delete", key: leaseKey("p", cidr), revision: ++this.revision };
  }
  done(request: number): LeaseInput {
    return { kind: "swapped", request, done: true, current: undefined, revision: ++this.revision };
  }
  beaten(request: number, current: StoredEntry | undefined): LeaseInput {
    return { kind: "swapped", request, done: false, current, revision: this.revision };
  }
  granted(request: number, lease = "L1"): LeaseInput {
    return { kind: "granted", request, lease, ttlSeconds: 600 };
  }
  alive(request: number, ttlSeconds = 600): LeaseInput {
    return { kind: "alive", request, ttlSeconds };
  }
  failed(request: number, code = "store.timeout"): LeaseInput {
    return { kind: "failed", request, code, text: "etcd at http://e did not answer in time" };
  }
  get state(): string {
    return this.machine.own.state;
  }
  get cidr(): Prefix | undefined {
    return this.machine.own.cidr;
  }
  /** A machine that holds what it chose in an empty pool, at second 0. */
  static holding(pool: Partial<PoolSettings> = {}): Desk {
    const desk = new Desk(pool).give({ kind: "presence", identity: "me" });
    desk.give(desk.snapshot());
    desk.give(desk.granted(desk.ask("grant").request));
    return desk.give(desk.done(desk.ask("create").request));
  }
}
const presence = (identity: string | undefined): LeaseInput => ({ kind: "presence", identity });
const others = { node: "n2", identity: "other" };

describe("claiming", () => {
  test("waits for the list of leases and for its own presence, then grants, creates and holds", () => {
    const desk = new Desk().give();
    expect([desk.state, desk.machine.own.reason, desk.requests]).toEqual(["asking", "waiting for the store's list of leases", []]);
    desk.give(desk.snapshot());
    expect([desk.machine.own.reason, desk.requests]).toEqual(["waiting for the node's own presence in the store", []]);
    desk.give(presence("me"));
    expect(desk.ask("grant").ttlSeconds).toBe(600);
    expect(desk.state).toBe("asking");
    desk.at = 3;
    desk.give(desk.granted(desk.ask("grant").request));
    const create = desk.ask("create");
    expect(create.lease).toBe("L1");
    expect(desk.cidr).toBeUndefined();
    desk.at = 5;
    desk.give(desk.done(create.request));
    expect(desk.state).toBe("held");
    expect(create.key).toBe(leaseKey("p", desk.cidr!));
    // The lease counts from when it was asked for, not from when the answers came.
    expect(desk.machine.own).toMatchObject({ confirmedAt: t(0), endsAt: t(540) });
    expect(desk.out.some((each) => each.kind === "note" && each.note.event === "lease.held")).toBe(true);
  });

  test("goes to the next candidate at once when another won, with the same store-side lease", () => {
    const desk = new Desk().give(presence("me"));
    desk.give(desk.snapshot());
    desk.give(desk.granted(desk.ask("grant").request));
    const first = desk.ask("create");
    const cidr = all.find((each) => leaseKey("p", each) === first.key)!;
    const entry = desk.entry(cidr, others);
    desk.give(desk.beaten(first.request, entry));
    const second = desk.ask("create");
    expect(second.key).not.toBe(first.key);
    expect(second.lease).toBe("L1");
    // The watch brings the winner's claim late: nothing new.
    desk.give(desk.put(entry));
    expect(desk.requests).toEqual([]);
    desk.give(desk.done(second.request));
    expect(leaseKey("p", desk.cidr!)).toBe(second.key);
  });

  test("of an exhausted pool says so in one sentence, tries again with back-off, and at once when a lease disappears", () => {
    const desk = new Desk().give(presence("me"));
    desk.give(desk.snapshot(...all.map((cidr) => desk.entry(cidr, others))));
    expect(desk.state).toBe("wanted");
    expect(desk.machine.own.reason).toBe("pool p is exhausted: all 4 CIDRs of /24 in 10.42.0.0/22 are taken or reserved; enlarge the pool or free one");
    expect(desk.out.filter(({ kind }) => kind === "note")).toHaveLength(1);
    let before = 0;
    for (let i = 0; i < 8; i++) {
      desk.wake();
      expect(desk.at - before).toBeGreaterThanOrEqual(0.5);
      expect(desk.at - before).toBeLessThanOrEqual(30);
      expect(desk.out).toEqual([]);
      before = desk.at;
    }
    desk.give(desk.gone(all[2]!));
    expect(desk.ask("grant")).toBeDefined();
    desk.give(desk.granted(desk.ask("grant").request));
    expect(desk.ask("create").key).toBe(leaseKey("p", all[2]!));
  });

  test("of a pool that is enlarged goes on at once", () => {
    const desk = new Desk().give(presence("me"));
    desk.give(desk.snapshot(...all.map((cidr) => desk.entry(cidr, others))));
    desk.give({ kind: "terms", terms: { ...desk.terms, pool: { ...four, cidr: p("10.42.0.0/21") } } });
    expect(desk.ask("grant")).toBeDefined();
  });

  test("a draining pool gives no new CIDR but keeps the one held", () => {
    const desk = new Desk({ state: "draining" }).give(presence("me"));
    desk.give(desk.snapshot());
    expect([desk.requests, desk.machine.own.reason]).toEqual([[], "pool p is draining and gives out no new CIDR; make it active, or remove it"]);
    const held = new Desk({ state: "draining" }).give(presence("me"));
    held.give(held.snapshot(held.entry(all[1]!)));
    held.give(held.alive(held.ask("keepAlive").request));
    expect([held.state, held.cidr]).toEqual(["held", all[1]]);
  });

  test("waits for its reservation while another sits on it", () => {
    const desk = new Desk({ reservations: { n1: all[3]! } }).give(presence("me"));
    desk.give(desk.snapshot(desk.entry(all[3]!, others)));
    expect(desk.machine.own.reason).toBe(
      "10.42.3.0/24, reserved for this node in pool p, is claimed by node n2 (identity other); it is tried again until it is free",
    );
    desk.give(desk.gone(all[3]!));
    desk.give(desk.granted(desk.ask("grant").request));
    expect(desk.ask("create").key).toBe(leaseKey("p", all[3]!));
  });

  test("keeps off a key it cannot read, and says which", () => {
    const desk = new Desk().give(presence("me"));
    const unreadable = all.slice(0, 3).map((cidr) => ({ ...desk.entry(cidr), value: new Uint8Array([1]) }));
    desk.give(desk.snapshot(...unreadable));
    expect(desk.out.filter((each) => each.kind === "note" && each.note.event === "lease.unreadable")).toHaveLength(3);
    desk.give(desk.granted(desk.ask("grant").request));
    expect(desk.ask("create").key).toBe(leaseKey("p", all[3]!));
  });

  test("a store that fails is asked again, and a write that had happened after all is taken as ours", () => {
    const desk = new Desk().give(presence("me"));
    desk.give(desk.snapshot());
    desk.give(desk.granted(desk.ask("grant").request));
    const create = desk.ask("create");
    desk.give(desk.failed(create.request));
    expect([desk.state, desk.machine.own.reason]).toEqual(["asking", "etcd at http://e did not answer in time; it is tried again"]);
    desk.wake();
    const again = desk.ask("create");
    expect([again.key, again.lease]).toEqual([create.key, create.lease]);
    const cidr = all.find((each) => leaseKey("p", each) === create.key)!;
    desk.give(desk.beaten(again.request, desk.entry(cidr, {}, "L1")));
    desk.give(desk.alive(desk.ask("keepAlive").request));
    expect([desk.state, desk.cidr]).toEqual(["held", cidr]);
  });

  test("a claim of ours beside the one we hold, from a write thought to have failed, is removed", () => {
    const desk = Desk.holding();
    const late = desk.entry(
      all.find((cidr) => cidr !== desk.cidr)!,
      {},
      "L1",
    );
    desk.give(desk.put(late));
    expect(desk.ask("remove")).toMatchObject({ key: late.key, modRevision: late.modRevision });
    desk.give(desk.done(desk.ask("remove").request));
    expect([desk.state, desk.requests]).toEqual(["held", []]);
  });
});

describe("adopting", () => {
  test("its own claim after a restart writes nothing when nothing changed", () => {
    const desk = new Desk().give(presence("me"));
    desk.give(desk.snapshot(desk.entry(all[2]!), desk.entry(all[0]!, others)));
    const keepAlive = desk.ask("keepAlive");
    expect([keepAlive.lease, desk.cidr]).toEqual(["L-old", undefined]);
    desk.at = 2;
    desk.give(desk.alive(keepAlive.request));
    expect([desk.state, desk.cidr, desk.requests]).toEqual(["held", all[2], []]);
    expect(desk.machine.own.confirmedAt).toBe(t(0));
  });

  test("its own claim with another address swaps the record, bound to the same lease", () => {
    const desk = new Desk().give(presence("me"));
    const entry = desk.entry(all[2]!, { address: parseIp("10.0.0.99")! });
    desk.give(desk.snapshot(entry));
    desk.give(desk.alive(desk.ask("keepAlive").request));
    const replace = desk.ask("replace");
    expect(replace).toMatchObject({ key: entry.key, modRevision: entry.modRevision, lease: "L-old" });
    desk.give(desk.done(replace.request));
    expect([desk.state, desk.requests]).toEqual(["held", []]);
    // And so does an address that changes while it runs.
    desk.give({ kind: "terms", terms: { ...desk.terms, holder: { ...me, address6: parseIp("fd00::1")! } } });
    expect(new TextDecoder().decode(desk.ask("replace").value)).toContain('"address6":"fd00::1"');
  });

  test("its own claim whose lease has just ended binds it to a new one", () => {
    const desk = new Desk().give(presence("me"));
    const entry = desk.entry(all[2]!);
    desk.give(desk.snapshot(entry));
    desk.give(desk.alive(desk.ask("keepAlive").request, 0));
    desk.give(desk.granted(desk.ask("grant").request, "L2"));
    const replace = desk.ask("replace");
    expect(replace).toMatchObject({ modRevision: entry.modRevision, lease: "L2" });
    // It was too late: the key is gone, and made anew.
    desk.give(desk.beaten(replace.request, undefined));
    expect(desk.ask("create")).toMatchObject({ key: entry.key, lease: "L2" });
    desk.give(desk.done(desk.ask("create").request));
    expect([desk.state, desk.cidr]).toEqual(["held", all[2]]);
  });

  test("a claim of its name by another machine is refused while that one is present, and taken over after", () => {
    const desk = new Desk().give(presence("stranger"));
    const entry = desk.entry(all[1]!, { identity: "stranger" });
    desk.give(desk.snapshot(entry));
    expect([desk.state, desk.requests]).toEqual(["wanted", []]);
    expect(desk.machine.own.reason).toBe("node name n1 is in use by another machine (identity stranger); stop that one, or give this one another name");
    desk.give(presence(undefined));
    expect(desk.requests).toEqual([]);
    desk.give(presence("me"));
    desk.give(desk.granted(desk.ask("grant").request, "L9"));
    expect(desk.ask("replace")).toMatchObject({ key: entry.key, modRevision: entry.modRevision, lease: "L9" });
    desk.give(desk.done(desk.ask("replace").request));
    expect([desk.state, desk.cidr]).toEqual(["held", all[1]]);
  });

  test("a reservation in the store (a claim without lease) is held without renewals and without end", () => {
    const desk = new Desk().give(presence("me"));
    const entry = desk.entry(all[1]!, { identity: "written by hand" }, undefined);
    desk.give(desk.snapshot({ ...entry, lease: undefined }));
    const replace = desk.ask("replace");
    expect(replace.lease).toBeUndefined();
    desk.give(desk.done(replace.request));
    expect(desk.machine.own).toMatchObject({ state: "held", cidr: all[1], endsAt: undefined });
    desk.pass(100_000);
    expect([desk.state, desk.requests]).toEqual(["held", []]);
  });

  test("prefers the former CIDR among several of its own", () => {
    const desk = new Desk({}, { cidr: all[3]!, confirmedAt: t(-590) }).give(presence("me"));
    expect(desk.cidr).toBeUndefined();
    desk.give(desk.snapshot(desk.entry(all[0]!), desk.entry(all[3]!)));
    desk.give(desk.alive(desk.ask("keepAlive").request));
    expect(desk.cidr).toBe(all[3]);
    expect(desk.ask("remove").key).toBe(leaseKey("p", all[0]!));
  });
});

describe("keeping", () => {
  test("renews well before liveness ends and counts from when the renewal was sent", () => {
    const desk = Desk.holding().wake();
    expect(desk.at).toBeLessThan(10);
    const sent = desk.at,
      keepAlive = desk.ask("keepAlive");
    desk.at += 4;
    desk.give(desk.alive(keepAlive.request));
    expect(desk.machine.own).toMatchObject({ state: "held", confirmedAt: t(sent), endsAt: t(sent + 540) });
    expect(desk.out).toEqual([]);
  });

  test("a store that stays away: doubtful after liveness, lost at 0.9 of hold, not a moment later", () => {
    const desk = Desk.holding();
    const cidr = desk.cidr;
    const seen: [number, string][] = [];
    while (desk.at < 700) {
      desk.wake();
      for (const each of desk.out) if (each.kind === "own" && seen.at(-1)?.[1] !== each.own.state) seen.push([desk.at, each.own.state]);
      for (const request of desk.requests) desk.give(desk.failed(request.request));
      if (desk.state === "lost") break;
      expect(desk.cidr).toBe(cidr);
    }
    expect(seen).toEqual([
      [30, "doubtful"],
      [540, "lost"],
    ]);
    expect(desk.cidr).toBeUndefined();
    expect(desk.machine.own.reason).toMatch(
      /^the store has not confirmed 10\.42\.\d\.0\/24 for 540 s; it may be given to another node, so this node lets go of it/,
    );
  });

  test("a night in a closed laptop: the first wake after the suspend lets go before anything else", () => {
    const desk = Desk.holding().pass(8 * 3600);
    expect(desk.out[0]).toMatchObject({ kind: "own", own: { state: "lost", cidr: undefined } });
  });

  test("an answer in time makes doubtful held again; one that comes after the fence confirms nothing", () => {
    const desk = Desk.holding().wake();
    const first = desk.ask("keepAlive");
    desk.pass(35 - desk.at);
    expect(desk.state).toBe("doubtful");
    desk.give(desk.alive(first.request));
    expect(desk.state).toBe("held");
    while (desk.requests.length === 0) desk.wake();
    const second = desk.ask("keepAlive");
    desk.pass(541);
    expect(desk.state).toBe("lost");
    desk.give(desk.alive(second.request));
    expect([desk.state, desk.cidr]).toEqual(["lost", undefined]);
  });

  test("a claim adopted with an answer that took longer than hold is not held", () => {
    const desk = new Desk().give(presence("me"));
    desk.give(desk.snapshot(desk.entry(all[2]!)));
    const { request } = desk.ask("keepAlive");
    desk.at = 545;
    desk.give(desk.alive(request));
    expect(desk.cidr).toBeUndefined();
    desk.give(desk.alive(desk.ask("keepAlive").request));
    expect(desk.state).toBe("held");
  });

  test("lost, it regains its CIDR when the store is back and still holds the claim", () => {
    const desk = Desk.holding();
    const cidr = desk.cidr;
    desk.pass(541);
    expect(desk.state).toBe("lost");
    const adopt = desk.ask("keepAlive");
    desk.give(desk.failed(adopt.request));
    expect(desk.machine.own.reason).toMatch(/; etcd at http:\/\/e did not answer in time; it is tried again$/);
    desk.give({ kind: "back" });
    desk.give(desk.alive(desk.ask("keepAlive").request));
    expect([desk.state, desk.cidr]).toEqual(["held", cidr]);
  });

  test("another's claim on its CIDR is believed at once: lost, then the next candidate", () => {
    const desk = Desk.holding();
    const cidr = desk.cidr!;
    desk.give(desk.put(desk.entry(cidr, others)));
    expect(desk.out[0]).toMatchObject({
      kind: "own",
      own: { state: "lost", cidr: undefined, reason: `${cidr} is claimed by node n2 (identity other); this node lets go of it` },
    });
    desk.give(desk.granted(desk.ask("grant").request, "L2"));
    expect(desk.ask("create").key).not.toBe(leaseKey("p", cidr));
    desk.give(desk.done(desk.ask("create").request));
    expect(desk.state).toBe("held");
    // A machine of the same name that took the claim over counts as another too.
    const twin = Desk.holding();
    twin.give(twin.put(twin.entry(twin.cidr!, { identity: "twin" })));
    expect(twin.machine.own.cidr).toBeUndefined();
  });

  test("a claim that vanishes under it (an emptied store, an eviction) is made again while traffic goes on", () => {
    const desk = Desk.holding();
    const cidr = desk.cidr!;
    desk.give(desk.snapshot());
    expect(desk.cidr).toBe(cidr);
    desk.give(desk.granted(desk.ask("grant").request, "L2"));
    const create = desk.ask("create");
    expect(create).toMatchObject({ key: leaseKey("p", cidr), lease: "L2" });
    // A renewal of the old lease is answered in between: it says nothing about the new claim.
    desk.give(desk.done(create.request));
    expect([desk.state, desk.cidr]).toEqual(["held", cidr]);
    desk.wake();
    expect(desk.ask("keepAlive").lease).toBe("L2");
  });

  test("a lease the store has ended under a claim that still stands is replaced", () => {
    const desk = Desk.holding().wake();
    const cidr = desk.cidr;
    desk.give(desk.alive(desk.ask("keepAlive").request, 0));
    expect([desk.state, desk.cidr]).toEqual(["doubtful", cidr]);
    desk.give(desk.granted(desk.ask("grant").request, "L2"));
    expect(desk.ask("replace").lease).toBe("L2");
    desk.give(desk.done(desk.ask("replace").request));
    expect([desk.state, desk.cidr]).toEqual(["held", cidr]);
  });

  test("what was remembered of this boot is used on, doubtful, until the store confirms it or its time is over", () => {
    const desk = new Desk({}, { cidr: all[2]!, confirmedAt: t(-100) });
    expect([desk.state, desk.cidr]).toEqual(["doubtful", all[2]]);
    desk.give(presence("me"));
    desk.give(desk.snapshot(desk.entry(all[2]!)));
    desk.give(desk.alive(desk.ask("keepAlive").request));
    expect([desk.state, desk.requests]).toEqual(["held", []]);
    const away = new Desk({}, { cidr: all[2]!, confirmedAt: t(-100) }).wake();
    expect([away.at, away.state]).toEqual([440, "lost"]);
    expect(new Desk({}, { cidr: all[2]!, confirmedAt: t(-540) }).cidr).toBeUndefined();
  });
});

describe("a store that was restored", () => {
  const fenced = (epoch: number, revision: bigint): RememberedLease => ({ cidr: all[2]!, confirmedAt: t(-10), fence: { epoch, revision } });

  test("shows an older claim in the place of ours: ours is put back over it, with the revision it had, and traffic goes on", () => {
    const desk = new Desk({}, fenced(1, 900n)).give(presence("me"));
    const older = desk.entry(all[2]!, { ...others, epoch: 1 });
    desk.give(desk.snapshot(older));
    expect([desk.cidr, desk.out.filter((each) => each.kind === "note").map((each) => each.note.event)]).toEqual([all[2], ["lease.conflict"]]);
    desk.give(desk.granted(desk.ask("grant").request, "L2"));
    const replace = desk.ask("replace");
    expect(replace).toMatchObject({ key: older.key, modRevision: older.modRevision, lease: "L2" });
    expect(JSON.parse(String(Buffer.from(replace.value)))).toMatchObject({ node: "n1", epoch: 1, made: "900" });
    desk.give(desk.done(replace.request));
    expect(desk.machine.own).toMatchObject({ state: "held", cidr: all[2], fence: { epoch: 1, revision: 900n } });
  });

  test("and the other one, seeing a later claim, lets go and takes another CIDR", () => {
    const desk = Desk.holding();
    const cidr = desk.cidr!;
    desk.give(desk.put(desk.entry(cidr, { ...others, epoch: 1, made: 900n })));
    expect(desk.machine.own).toMatchObject({ state: "lost", cidr: undefined });
    desk.give(desk.granted(desk.ask("grant").request, "L2"));
    expect(desk.ask("create").key).not.toBe(leaseKey("p", cidr));
    desk.give(desk.done(desk.ask("create").request));
    expect(desk.state).toBe("held");
  });

  test("a later epoch wins over a higher revision of an earlier one", () => {
    const desk = new Desk({}, fenced(1, 900n)).give(presence("me"));
    desk.give(desk.snapshot(desk.entry(all[2]!, { ...others, epoch: 2 })));
    expect(desk.state).toBe("lost");
  });

  test("without our claim: it is created again with the revision it had", () => {
    const desk = new Desk({}, fenced(1, 900n)).give(presence("me"));
    desk.give(desk.snapshot());
    desk.give(desk.granted(desk.ask("grant").request, "L2"));
    expect(JSON.parse(String(Buffer.from(desk.ask("create").value)))).toMatchObject({ epoch: 1, made: "900" });
  });

  test("a claim of ours is not put back while the presence key is another machine's", () => {
    for (const entries of [[], ["other"]] as const) {
      const desk = new Desk({}, fenced(1, 900n)).give(presence("stranger"));
      desk.give(desk.snapshot(...entries.map(() => desk.entry(all[2]!, { ...others, epoch: 1 }))));
      expect([desk.cidr, desk.requests]).toEqual([all[2], []]);
      desk.give(presence("me"));
      expect(desk.ask("grant")).toBeDefined();
    }
  });

  test("new claims wait until it is known which life of the store it is, and until holders have put theirs back", () => {
    const desk = new Desk().give({ kind: "epoch", epoch: undefined }, presence("me"));
    desk.give(desk.snapshot());
    expect([desk.state, desk.machine.own.reason, desk.requests]).toEqual(["asking", "finding out whether the store was restored", []]);
    desk.give({ kind: "epoch", epoch: { number: 2, isSettled: false } });
    expect([desk.state, desk.requests]).toEqual(["asking", []]);
    desk.give({ kind: "epoch", epoch: { number: 2, isSettled: true } });
    desk.give(desk.granted(desk.ask("grant").request));
    expect(JSON.parse(String(Buffer.from(desk.ask("create").value)))).toMatchObject({ epoch: 2 });
  });
});

describe("quarantine", () => {
  const mark = (desk: Desk, cidr: Prefix, node: string, lease = "F"): StoredEntry => ({
    key: formerKey("p", cidr),
    value: encodeFormer({ schema: 1, node }),
    createRevision: ++desk.revision,
    modRevision: desk.revision,
    lease,
  });
  const unmarked = (desk: Desk, cidr: Prefix): LeaseInput => ({ kind: "delete", key: formerKey("p", cidr), revision: ++desk.revision });

  test("a CIDR another node had last is claimed by nobody else until its mark is gone, and then at once", () => {
    const desk = new Desk({ cidr: p("10.42.0.0/23") }).give(presence("me"));
    desk.give(desk.snapshot(desk.entry(all[0]!, others), mark(desk, all[1]!, "n3")));
    expect(desk.machine.own).toMatchObject({ state: "wanted" });
    expect(desk.machine.own.reason).toBe(
      "pool p is exhausted: all 2 CIDRs of /24 in 10.42.0.0/23 are taken or reserved, 1 of them kept for the node that had it last until the quarantine ends; enlarge the pool or free one",
    );
    desk.give(unmarked(desk, all[1]!));
    desk.give(desk.granted(desk.ask("grant").request));
    expect(desk.ask("create").key).toBe(leaseKey("p", all[1]!));
  });

  test("its former owner comes back at once, also with a new disk, and prefers it", () => {
    for (const cidr of all) {
      const desk = new Desk().give(presence("me"));
      desk.give(desk.snapshot(mark(desk, cidr, "n1")));
      desk.give(desk.granted(desk.ask("grant").request));
      expect(desk.ask("create").key).toBe(leaseKey("p", cidr));
    }
  });

  test("a reservation waits for it too, with a sentence", () => {
    const desk = new Desk({ reservations: { n1: all[1]! } }).give(presence("me"));
    desk.give(desk.snapshot(mark(desk, all[1]!, "n3")));
    expect(desk.machine.own.reason).toBe(
      "10.42.1.0/24, reserved for this node in pool p, is kept for n3 that had it last until the quarantine ends; it is tried again until it is free",
    );
  });

  test("a holder keeps its mark with a lease that outlives the hold by the quarantine, and renews it once in each", () => {
    const desk = new Desk({}, undefined, 60).give(presence("me"));
    desk.give(desk.snapshot());
    desk.give(desk.granted(desk.ask("grant").request));
    desk.give(desk.done(desk.ask("create").request));
    const cidr = desk.cidr!;
    expect(desk.requests).toEqual([]);
    desk.wake();
    const grant = desk.ask("grant");
    expect(desk.at).toBeLessThanOrEqual(6);
    expect(grant.ttlSeconds).toBe(720);
    desk.give({ kind: "granted", request: grant.request, lease: "F", ttlSeconds: 720 });
    const create = desk.ask("create");
    expect(create).toMatchObject({ key: formerKey("p", cidr), lease: "F", value: encodeFormer({ schema: 1, node: "n1" }) });
    desk.give(desk.done(create.request), desk.put(mark(desk, cidr, "n1")));
    const beats: number[] = [];
    while (desk.at < 200) {
      desk.wake();
      for (const request of desk.requests) {
        if (request.kind === "keepAlive" && request.lease === "F") beats.push(desk.at);
        desk.give({ kind: "alive", request: request.request, ttlSeconds: request.kind === "keepAlive" && request.lease === "F" ? 720 : 600 });
      }
    }
    expect(beats.length).toBeGreaterThanOrEqual(2);
    expect(beats.length).toBeLessThanOrEqual(4);
  });
});
