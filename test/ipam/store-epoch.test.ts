import { describe, expect, test } from "vitest";
import type { Instant } from "#base/time.ts";
import type { StoreOutput, StoreRequest, StoredEntry } from "#ipam/exchange.ts";
import { encodeEpoch, epochKey, settlingKey } from "#ipam/lease-record.ts";
import { EpochMachine, type RememberedStore } from "#ipam/store-epoch.ts";

const now = 1_000_000 as Instant;
const entry = (key: string, modRevision: bigint, value: Uint8Array = new Uint8Array(), lease?: string): StoredEntry => ({
  key,
  value,
  createRevision: modRevision,
  modRevision,
  lease,
});
const epoch = (number: number, nonce: string, revision = 2n): StoredEntry => entry(epochKey, revision, encodeEpoch({ number, nonce }));
const claim = (revision: bigint): StoredEntry => entry("leases/p/10.42.1.0-24", revision);

class Desk {
  readonly machine: EpochMachine;
  out: StoreOutput[] = [];
  constructor(remembered?: RememberedStore) {
    this.machine = new EpochMachine({ node: "n1", nonce: "mine", settleSeconds: 60 }, remembered);
  }
  snapshot(revision: bigint, ...entries: StoredEntry[]): this {
    return this.give({ kind: "snapshot", entries, revision });
  }
  give(input: Parameters<EpochMachine["handle"]>[0]): this {
    this.machine.handle(input, now);
    this.out = this.machine.step(now);
    return this;
  }
  get said(): string {
    return this.out.map((each) => (each.kind === "note" ? each.note.text : "")).join("");
  }
  get request(): StoreRequest | undefined {
    return this.out.find((each): each is StoreRequest => each.kind !== "note");
  }
  /** The store does what was asked for, at `revision`. */
  done(revision: bigint): this {
    const request = this.request!;
    if (request.kind === "grant") return this.give({ kind: "granted", request: request.request, lease: "L", ttlSeconds: request.ttlSeconds });
    return this.give({ kind: "swapped", request: request.request, done: true, current: undefined, revision });
  }
}
const remembered = (revision: bigint, ...entries: StoredEntry[]): RememberedStore => ({ number: 1, nonce: "first", revision, entries });

describe("which life of the store it is", () => {
  test("an empty store's first one is begun by compare-and-create, and nobody waits for it", () => {
    const desk = new Desk().snapshot(1n);
    expect([desk.machine.epoch, desk.request]).toMatchObject([undefined, { kind: "create", key: epochKey, lease: undefined }]);
    expect(desk.done(2n).machine.epoch).toEqual({ number: 1, isSettled: true });
    expect(new Desk().snapshot(7n, epoch(3, "x")).machine.epoch).toEqual({ number: 3, isSettled: true });
  });

  test("the same nonce and nothing older: nothing is written", () => {
    const desk = new Desk(remembered(50n, claim(40n))).snapshot(60n, epoch(1, "first"), claim(55n));
    expect([desk.machine.epoch, desk.out]).toEqual([{ number: 1, isSettled: true }, []]);
    expect(desk.machine.memory).toEqual({ number: 1, nonce: "first", revision: 60n });
  });

  test.each([
    ["a lower revision", remembered(50n), 30n, [epoch(1, "first")], "revision 30 after 50"],
    ["a key that is older than it was, though the revision is past ours", remembered(50n, claim(40n)), 90n, [epoch(1, "first"), claim(20n)], "20 after 40"],
  ] as const)("%s is a restored store: new claims are put off, then the epoch is raised", (_, memory, revision, entries, why) => {
    const desk = new Desk(memory).snapshot(revision, ...entries);
    expect(desk.said).toContain(why);
    expect([desk.machine.epoch, desk.machine.memory, desk.request]).toMatchObject([undefined, undefined, { kind: "grant", ttlSeconds: 60 }]);
    desk.done(revision);
    expect(desk.request).toMatchObject({ kind: "create", key: settlingKey, lease: "L" });
    desk.done(revision + 1n);
    expect(desk.request).toMatchObject({ kind: "replace", key: epochKey, modRevision: 2n, value: encodeEpoch({ number: 2, nonce: "mine" }) });
    desk.done(revision + 2n);
    expect([desk.machine.epoch, desk.request]).toEqual([{ number: 2, isSettled: false }, undefined]);
    desk.give({ kind: "delete", key: settlingKey, revision: revision + 3n });
    expect(desk.machine.epoch).toEqual({ number: 2, isSettled: true });
  });

  test("an emptied store goes on counting from what is remembered", () => {
    const desk = new Desk(remembered(50n)).snapshot(1n).done(1n).done(2n);
    expect(desk.request).toMatchObject({ kind: "create", key: epochKey, value: encodeEpoch({ number: 2, nonce: "mine" }) });
  });

  test("an epoch that another node raised is taken over, and one that newcomers began anew is raised above ours", () => {
    const desk = new Desk(remembered(50n)).snapshot(30n, epoch(1, "first"));
    desk.give({ kind: "put", entry: entry(settlingKey, 31n, undefined, "S") }).give({ kind: "put", entry: epoch(2, "other", 32n) });
    expect(desk.machine.epoch).toEqual({ number: 2, isSettled: false });
    const anew = new Desk({ ...remembered(50n), number: 4 }).snapshot(60n, epoch(1, "newcomers"), entry(settlingKey, 9n, undefined, "S"));
    expect(anew.request).toMatchObject({ kind: "replace", key: epochKey, value: encodeEpoch({ number: 5, nonce: "mine" }) });
  });

  test("a store that goes back while we run is seen as well", () => {
    const desk = new Desk().snapshot(9n, epoch(1, "first")).give({ kind: "put", entry: claim(20n) });
    desk.snapshot(12n, epoch(1, "first"));
    expect([desk.machine.epoch, desk.request?.kind]).toEqual([undefined, "grant"]);
  });

  test("what failed is tried again, at once when the store is back", () => {
    const desk = new Desk().snapshot(1n);
    desk.give({ kind: "failed", request: desk.request!.request, code: "store.timeout", text: "" });
    expect([desk.request, desk.machine.nextDeadline()! > now]).toEqual([undefined, true]);
    expect(desk.give({ kind: "back" }).request).toMatchObject({ kind: "create", key: epochKey });
  });
});
