import { describe, expect, test } from "vitest";
import { parseIp } from "#base/ip.ts";
import type { Instant } from "#base/time.ts";
import type { StoreOutput, StoreRequest, StoredEntry } from "#ipam/exchange.ts";
import { type PresenceRecord, encodePresence, presenceKey } from "#ipam/lease-record.ts";
import { type PresenceInput, PresenceMachine } from "#ipam/presence.ts";

const mine: PresenceRecord = { schema: 1, node: "n1", identity: "me", address: parseIp("10.0.0.1")!, version: "0.1.0" };
const key = presenceKey("n1");
let revision = 10n;
const entry = (record: Partial<PresenceRecord>, lease: string | undefined): StoredEntry => {
  revision++;
  return { key, value: encodePresence({ ...mine, ...record }), createRevision: revision, modRevision: revision, lease };
};
const snapshot = (...entries: StoredEntry[]): PresenceInput => ({ kind: "snapshot", entries, revision });

class Desk {
  readonly machine = new PresenceMachine(mine, 30);
  at = 0;
  out: StoreOutput[] = [];
  give(...inputs: PresenceInput[]): this {
    for (const input of inputs) this.machine.handle(input, (this.at * 1000) as Instant);
    this.out = this.machine.step((this.at * 1000) as Instant);
    return this;
  }
  wake(): this {
    this.at = this.machine.nextDeadline()! / 1000;
    return this.give();
  }
  ask<K extends StoreRequest["kind"]>(kind: K): Extract<StoreRequest, { kind: K }> {
    const kinds = this.out
      .filter((each) => each.kind !== "note")
      .map((each) => each.kind)
      .join();
    if (kinds !== kind) throw new Error(`asked for ${kinds || "nothing"}, not for ${kind}`);
    return this.out.find((each) => each.kind === kind) as Extract<StoreRequest, { kind: K }>;
  }
  granted(lease = "V1"): PresenceInput {
    return { kind: "granted", request: this.ask("grant").request, lease, ttlSeconds: 30 };
  }
  done(kind: "create" | "replace"): PresenceInput {
    return { kind: "swapped", request: this.ask(kind).request, done: true, current: undefined, revision: ++revision };
  }
  static present(): Desk {
    const desk = new Desk().give(snapshot());
    desk.give(desk.granted());
    return desk.give(desk.done("create"));
  }
}

describe("presence", () => {
  test("is taken by compare-and-create, bound to the liveness lease, and renewed three times in its life", () => {
    const desk = new Desk().give();
    expect(desk.out).toEqual([]);
    desk.give(snapshot());
    expect(desk.ask("grant").ttlSeconds).toBe(30);
    desk.give(desk.granted());
    expect(desk.ask("create")).toMatchObject({ key, lease: "V1", value: encodePresence(mine) });
    expect(desk.machine.identity).toBeUndefined();
    desk.give(desk.done("create"));
    expect(desk.machine.identity).toBe("me");
    for (let i = 1; i <= 3; i++) {
      const before = desk.at;
      desk.wake();
      expect(desk.at - before).toBeLessThanOrEqual(10);
      desk.give({ kind: "alive", request: desk.ask("keepAlive").request, ttlSeconds: 30 });
      expect(desk.out).toEqual([]);
    }
  });

  test("after a restart goes on with the lease its key is bound to, and writes only what changed", () => {
    const same = new Desk().give(snapshot(entry({}, "V-old")));
    expect(same.ask("keepAlive").lease).toBe("V-old");
    same.give({ kind: "alive", request: same.ask("keepAlive").request, ttlSeconds: 30 });
    expect(same.out).toEqual([]);
    const older = entry({ version: "0.0.9" }, "V-old");
    const upgraded = new Desk().give(snapshot(older));
    upgraded.give({ kind: "alive", request: upgraded.ask("keepAlive").request, ttlSeconds: 30 });
    expect(upgraded.ask("replace")).toMatchObject({ lease: "V-old", modRevision: older.modRevision });
  });

  test("after a restart in which its lease ended binds the key to a new one", () => {
    const old = entry({}, "V-old");
    const desk = new Desk().give(snapshot(old));
    desk.give({ kind: "alive", request: desk.ask("keepAlive").request, ttlSeconds: 0 });
    desk.give(desk.granted("V2"));
    desk.give({ kind: "swapped", request: desk.ask("replace").request, done: false, current: undefined, revision: ++revision });
    expect(desk.ask("create").lease).toBe("V2");
  });

  test("of another machine is left alone, said once, and followed as soon as it ends", () => {
    const desk = new Desk().give(snapshot(entry({ identity: "stranger" }, "V-theirs")));
    expect(desk.out).toHaveLength(1);
    expect(desk.out[0]).toMatchObject({ kind: "note", note: { level: "error", event: "node.name-taken" } });
    expect(desk.machine.identity).toBe("stranger");
    desk.at = 1000;
    desk.give({ kind: "put", entry: { ...entry({ identity: "stranger", version: "2" }, "V-theirs") } });
    desk.give({ kind: "delete", key, revision: ++revision });
    expect(desk.machine.identity).toBeUndefined();
    expect(desk.ask("grant")).toBeDefined();
  });

  test("lost in a race shows the winner", () => {
    const desk = new Desk().give(snapshot());
    desk.give(desk.granted());
    const theirs = entry({ identity: "stranger" }, "V-theirs");
    desk.give({ kind: "swapped", request: desk.ask("create").request, done: false, current: theirs, revision });
    expect(desk.machine.identity).toBe("stranger");
    expect(desk.out.filter((each) => each.kind !== "note")).toEqual([]);
  });

  test("that ended while the store was away is made again, with a new lease", () => {
    const desk = Desk.present();
    desk.at = 60;
    desk.give({ kind: "away", text: "" }, { kind: "back" }, { kind: "delete", key, revision: ++revision });
    const keepAlive = desk.ask("keepAlive");
    desk.give({ kind: "alive", request: keepAlive.request, ttlSeconds: 0 });
    desk.give(desk.granted("V2"));
    expect(desk.ask("create").lease).toBe("V2");
    desk.give({ kind: "failed", request: desk.ask("create").request, code: "store.lease-gone", text: "" });
    desk.wake();
    desk.give(desk.granted("V3"));
    expect(desk.ask("create").lease).toBe("V3");
  });

  test("goes on renewing after a failure", () => {
    const desk = Desk.present().wake();
    for (let i = 0; i < 5; i++) {
      const before = desk.at;
      desk.give({ kind: "failed", request: desk.ask("keepAlive").request, code: "store.timeout", text: "" });
      while (desk.out.length === 0) desk.wake();
      expect(desk.at - before).toBeLessThanOrEqual(30);
    }
  });

  test("rubbish without a lease is replaced, since it would never end", () => {
    const rubbish = { ...entry({}, undefined), value: new Uint8Array([7]) };
    const desk = new Desk().give(snapshot(rubbish));
    desk.give(desk.granted());
    expect(desk.ask("replace").modRevision).toBe(rubbish.modRevision);
  });
});
