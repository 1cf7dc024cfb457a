/** The document keeper over the embedded store: who fills it, who wins, and what is not followed. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createMemoryStore, type MemoryStore } from "#adapters/memory-store.ts";
import { FaultError, worldFault } from "#base/fault.ts";
import type { Note } from "#base/note.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import { DocumentKeeper } from "#daemon/document.ts";
import { decodeRecord, documentKey, encodeRecord, interpret } from "#daemon/document-text.ts";
import { followable } from "#daemon/followable.ts";
import type { Store } from "#ports/store.ts";
import { until } from "./daemon-process.ts";
import { changed, loopbackDocument } from "./documents.ts";

const good = loopbackDocument({ port: 1790, store: "embedded" });
const other = changed(good, "connectRetry: 1s", "connectRetry: 2s"),
  third = changed(good, "connectRetry: 1s", "connectRetry: 3s");

/** A keeper as a daemon has it, its notes, and what it was told to follow. */
class Keeping {
  readonly keeper: DocumentKeeper;
  readonly notes: Note[] = [];
  readonly followed: NodeSettings[] = [];
  readonly directory = mkdtempSync(join(tmpdir(), "podway-keeper-"));
  readonly #abort = new AbortController();
  #watching: Promise<void> | undefined;

  constructor(text: string) {
    writeFileSync(this.file, text);
    const first = interpret(text, this.file, "rr");
    if (!first.ok) throw new Error(first.fault.text);
    const telemetry = { note: (said: Note) => void this.notes.push(said), gauge: () => {} };
    this.keeper = new DocumentKeeper({ file: this.file, node: "rr", stateDirectory: this.directory, telemetry, held: () => [] }, first.value);
    this.keeper.onChange((settings) => this.followed.push(settings));
  }
  get file(): string {
    return join(this.directory, "t.yaml");
  }
  get text(): string {
    return this.keeper.view().text;
  }
  async start(store: Store): Promise<this> {
    await this.keeper.open(store);
    this.#watching = this.keeper.watch(this.#abort.signal);
    return this;
  }
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#watching;
    rmSync(this.directory, { recursive: true, force: true });
  }
  said(event: string): readonly string[] {
    return this.notes.filter((note) => note.event === event).map(({ text }) => text);
  }
}

let store: MemoryStore;
const open: Keeping[] = [];
const keeping = (text: string): Keeping => {
  const one = new Keeping(text);
  open.push(one);
  return one;
};
const stored = async (): Promise<string | undefined> => {
  const entry = await store.get(documentKey),
    record = entry && decodeRecord(entry.value);
  return record?.ok ? record.value : undefined;
};
beforeEach(async () => {
  store = await createMemoryStore({ clock: { now: () => performance.now() as Instant } });
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.stop();
  await store.close();
});

/** The same store, which cannot be reached while `isAway`. */
function reachable(isAway: () => boolean): Store {
  const refuse = (): never => {
    throw new FaultError(worldFault("store.unreachable", "etcd at http://10.0.0.2:2379 cannot be reached"));
  };
  return {
    watch: (prefix, signal) => store.watch(prefix, signal),
    list: (prefix) => store.list(prefix),
    get: async (key) => (isAway() ? refuse() : store.get(key)),
    create: async (key, value, lease) => (isAway() ? refuse() : store.create(key, value, lease)),
    replace: async (key, value, revision, lease) => (isAway() ? refuse() : store.replace(key, value, revision, lease)),
    remove: (key, revision) => store.remove(key, revision),
    transact: async (compares, writes) => (isAway() ? refuse() : store.transact(compares, writes)),
    grant: (ttl) => store.grant(ttl),
    keepAlive: (lease) => store.keepAlive(lease),
    revoke: (lease) => store.revoke(lease),
    close: () => store.close(),
  };
}

describe("an empty store", () => {
  test("is filled once with the file", async () => {
    const one = await keeping(good).start(store);
    expect(await stored()).toBe(good);
    expect(one.keeper.view()).toMatchObject({ source: "store", fileDiffers: false });
    const { modRevision } = (await store.get(documentKey))!;
    await keeping(good).start(store);
    expect((await store.get(documentKey))!.modRevision).toBe(modRevision);
  });

  test("two daemons race to fill it: one document rules on both, and the other's file is shown to differ", async () => {
    const [one, two] = [keeping(good), keeping(other)];
    await Promise.all([one.start(store), two.start(store)]);
    const winner = await stored();
    expect([one.text, two.text]).toEqual([winner, winner]);
    const loser = winner === good ? two : one;
    expect(loser.keeper.view()).toMatchObject({ source: "store", fileDiffers: true });
    expect(loser.keeper.warnings).toEqual([`${loser.file} differs from the store's document, which rules: \`podway plan ${loser.file}\` shows how.`]);
  });

  test("emptied while daemons run, it gets what rules again, not an older file", async () => {
    const one = await keeping(good).start(store);
    expect((await one.keeper.desk.apply(other, "t.yaml")).ok).toBe(true);
    const { modRevision } = (await store.get(documentKey))!;
    await store.remove(documentKey, modRevision);
    store.compact(); // a watcher that was away sees the store as it is, not how it came to be
    await until("it says so, or has filled it", async () => one.said("config.gone").length === 1 || (await stored()) !== undefined);
    expect(one.text).toBe(other);
    const again = await one.keeper.desk.apply(third, "t.yaml");
    expect(again.ok).toBe(true);
    expect(await stored()).toBe(third);
  });
});

describe("apply", () => {
  test("every daemon follows, each once", async () => {
    const one = await keeping(good).start(store),
      two = await keeping(good).start(store);
    const applied = await one.keeper.desk.apply(other, "t.yaml");
    expect(applied).toMatchObject({ ok: true, value: { changes: [{ path: "timers.connectRetry", before: "1", after: "2", effect: "applied now" }] } });
    await until("both follow", () => one.text === other && two.text === other);
    expect([one.followed.length, two.followed.length]).toEqual([1, 1]);
  });

  test("of two at once one wins, and the other is told to look again", async () => {
    const one = await keeping(good).start(store),
      two = await keeping(good).start(store);
    const results = await Promise.all([one.keeper.desk.apply(other, "t.yaml"), two.keeper.desk.apply(third, "t.yaml")]);
    expect(results.filter(({ ok }) => ok)).toHaveLength(1);
    expect(results.find(({ ok }) => !ok)).toMatchObject({
      fault: { code: "config.changed-meanwhile", text: "somebody else changed the document meanwhile: look at `podway plan` again, then apply." },
    });
    const winner = results[0].ok ? other : third;
    await until("both follow the winner", () => one.text === winner && two.text === winner);
  });

  test("nothing is written for a bad document, a refused change, or without a store", async () => {
    const one = await keeping(good).start(store),
      alone = keeping(loopbackDocument({ port: 1790 }));
    const { modRevision } = (await store.get(documentKey))!;
    expect(await one.keeper.desk.apply(changed(good, "asn: 64512", "asn: 0"), "t.yaml")).toMatchObject({
      ok: false,
      fault: { text: "t.yaml:3:6: asn: expected at least 1, not 0" },
    });
    expect(await one.keeper.desk.apply(changed(good, "name: loopback", "name: other"), "t.yaml")).toMatchObject({
      ok: false,
      fault: { code: "config.refused" },
    });
    expect(await alone.keeper.desk.apply(other, "t.yaml")).toMatchObject({ ok: false, fault: { code: "config.no-store" } });
    expect((await store.get(documentKey))!.modRevision).toBe(modRevision);
    expect(one.followed).toEqual([]);
  });

  test("a store that is away is named, and nothing changes", async () => {
    let isAway = false;
    const one = await keeping(good).start(reachable(() => isAway));
    isAway = true;
    const text = "the store did not confirm it, so look at `podway plan` before you try again: etcd at http://10.0.0.2:2379 cannot be reached";
    expect(await one.keeper.desk.apply(other, "t.yaml")).toEqual({ ok: false, fault: { whose: "caller", code: "config.store-away", text } });
    expect(one.text).toBe(good);
  });
});

describe("a document that is not followed", () => {
  const put = async (text: string | Uint8Array): Promise<void> => {
    const { modRevision } = (await store.get(documentKey))!;
    await store.replace(documentKey, typeof text === "string" ? encodeRecord(text) : text, modRevision);
  };
  test.each([
    ["of a newer schema", new TextEncoder().encode('{"schema":2,"text":"…","more":1}'), "its schema is 2, and this podwayd reads 1: upgrade this node"],
    ["that is no record", new TextEncoder().encode("podway: 1"), "it is no record of podwayd"],
    [
      "that declares this node no more",
      changed(good, "  rr: { address: 10.0.0.1,", "  rr9: { address: 10.0.0.1,").replaceAll("'rr'", "'rr9'"),
      'there is no node "rr" in this document',
    ],
    ["of another cluster", changed(good, "name: loopback", "name: elsewhere"), "it is that of cluster elsewhere, and this is loopback"],
  ])("%s: what runs goes on, status says so, and an apply from here is refused", async (_what, record, why) => {
    const one = await keeping(good).start(store);
    await put(record);
    await until("it says so", () => one.said("config.refused").length === 1);
    const sentence = one.said("config.refused")[0]!;
    expect(sentence).toContain("the store's document is not followed, and what runs goes on unchanged: ");
    expect(sentence).toContain(why);
    expect(one.keeper.warnings).toEqual([sentence]);
    expect(one.text).toBe(good);
    expect(one.followed).toEqual([]);
    expect(await one.keeper.desk.apply(other, "t.yaml")).toMatchObject({ ok: false, fault: { code: "config.not-followed" } });
    await put(other);
    await until("a good one is followed", () => one.text === other);
    expect(one.keeper.warnings.filter((warning) => warning.includes("not followed"))).toEqual([]);
  });
});

describe("the last known document", () => {
  test("rules a start without the store, and gives way to the store's", async () => {
    const one = await keeping(good).start(store);
    await one.keeper.desk.apply(other, "t.yaml");
    const path = join(one.directory, "document.yaml");
    await until("it is kept", () => readFileSync(path, "utf8") === other);
    const two = keeping(good);
    writeFileSync(join(two.directory, "document.yaml"), other);
    await two.keeper.open(reachable(() => true));
    expect(two.keeper.view()).toEqual({ source: "store", revision: null, text: other, fileDiffers: true });
  });

  test("of another cluster, or a broken one, is left alone", async () => {
    for (const text of [changed(other, "name: loopback", "name: elsewhere"), "podway: 1\nname:", ""]) {
      const one = keeping(good);
      writeFileSync(join(one.directory, "document.yaml"), text);
      await one.keeper.open(reachable(() => true));
      expect(one.keeper.view()).toMatchObject({ source: "file", text: good });
    }
  });

  test("rules where the store holds one that cannot be followed", async () => {
    await store.create(documentKey, new TextEncoder().encode('{"schema":2}'));
    const one = keeping(good);
    writeFileSync(join(one.directory, "document.yaml"), other);
    await one.start(store);
    expect(one.text).toBe(other);
    expect(one.said("config.refused")).not.toEqual([]);
  });
});

describe("what a running daemon can follow", () => {
  const settings = (text: string): NodeSettings => {
    const read = interpret(text, "t.yaml", "rr");
    if (!read.ok) throw new Error(read.fault.text);
    return read.value.settings;
  };
  const running = settings(good);

  test("everything, where the identity stays", () => {
    const next = settings(changed(other, "limit: 50", "limit: 60"));
    expect(followable(running, next)).toEqual({ settings: next, pending: [] });
  });
  test("of a new identity no session, no policy and no listener; pools and times still", () => {
    const next = settings(changed(changed(good, "rr: { address: 10.0.0.1,", "rr: { address: 10.0.0.9, clusterId: 10.0.0.8,"), "limit: 50", "limit: 60"));
    const answer = followable(running, next);
    expect(answer.pending).toEqual([
      "routerId is 10.0.0.9 in the document and 10.0.0.1 here, clusterId is 10.0.0.8 in the document and the router id here, address is 10.0.0.9 in the document and 10.0.0.1 here; sessions stay as they are until podwayd is restarted on this node",
    ]);
    const { peers, ranges, listen, policies, address, routerId, clusterId } = running;
    expect(answer.settings).toEqual({ ...next, peers, ranges, listen, policies, address, routerId, clusterId });
    expect(followable(answer.settings, running)).toEqual({ settings: running, pending: [] });
  });
  test("of another store, role or protocol number nothing", () => {
    const next = settings(
      changed(changed(good, "roles: [reflector]", "roles: [reflector, node]"), "asn: 64512\n", "asn: 64512\nrouteProtocol: 118\n").replace("n1:", "# n1:"),
    );
    const answer = followable(running, { ...next, store: { kind: "none" } });
    expect(answer.pending).toEqual([
      "store is none in the document and embedded here until podwayd is restarted on this node",
      "role node is on in the document and off here until podwayd is restarted on this node",
      "routeProtocol is 118 in the document and 117 here until podwayd is restarted on this node",
    ]);
    expect(answer.settings).toMatchObject({ store: { kind: "embedded" }, kernel: { enabled: false, routeProtocol: 117 } });
  });
});
