import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EtcdSettings } from "#adapters/etcd-client.ts";
import { createEtcdStore } from "#adapters/etcd-store.ts";
import type { Store } from "#ports/store.ts";
import { faultCode, octets, storeContract } from "./store-contract.ts";
import { type CutProxy, startCutProxy } from "./store-cut-proxy.ts";
import { type EtcdServer, startEtcd } from "./store-etcd-server.ts";
import { readNews } from "./store-news.ts";

let etcd: EtcdServer,
  proxy: CutProxy,
  tests = 0;
const open: Store[] = [];
const noSecret = (): Promise<string> => Promise.reject(new Error("no secret is needed"));

function settings(endpoints: readonly string[], prefix: string): EtcdSettings {
  return { kind: "etcd", endpoints, prefix, ca: undefined, cert: undefined, key: undefined, username: undefined, password: undefined };
}
/** A store over the proxy, and one that goes straight to etcd, with a prefix of their own. */
function pair(): { readonly store: Store; readonly direct: Store } {
  const prefix = `/podway/t${++tests}`;
  const store = createEtcdStore(settings([`http://127.0.0.1:${proxy.port}`], prefix), noSecret);
  const direct = createEtcdStore(settings([etcd.url], prefix), noSecret);
  open.push(store, direct);
  return { store, direct };
}
async function compact(store: Store): Promise<void> {
  const { revision } = await store.list("");
  await etcd.ctl("compact", String(revision));
}

beforeAll(async () => {
  etcd = await startEtcd();
  proxy = await startCutProxy(etcd.port);
});
afterAll(async () => {
  for (const store of open) await store.close();
  await proxy.close();
  await etcd.close();
});

storeContract("etcd", async () => {
  const { store, direct } = pair();
  return {
    store,
    other: direct,
    compact: () => compact(direct),
    // etcd's own clock: what elapses there elapses here.
    elapse: (seconds) => wait(seconds * 1000),
    close: async () => {
      await store.close();
      await direct.close();
    },
  };
});

describe("etcd, and the way to it", () => {
  test("cuts during 3000 writes, also right after every reconnection, lose nothing and repeat nothing", async () => {
    const { store, direct } = pair();
    await direct.create("k/0", octets("x"));
    const news = await readNews(store, "k/");
    const before = proxy.accepted();
    proxy.block();
    for (let i = 1; i <= 3000; i += 100)
      await direct.transact(
        [],
        Array.from({ length: 100 }, (_, n) => ({ kind: "put", key: `k/${i + n}`, value: new Uint8Array(500) })),
      );
    proxy.mend();
    // After n chunks of each new connection: before, at and after the answer that the watch was created, then within the events.
    for (const chunks of [1, 2, 3, 4, 5, 6, 8, 10]) {
      const connections = proxy.accepted();
      proxy.cutAfterChunks(chunks);
      await expect.poll(() => proxy.accepted() > connections || news.state.size === 3001, { timeout: 15_000, interval: 5 }).toBe(true);
    }
    await news.until(({ state }) => state.size === 3001);
    expect(proxy.accepted() - before).toBeGreaterThan(5);
    expect(news.repeated).toBe(0);
    expect(news.seen.filter(({ kind }) => kind === "put")).toHaveLength(3000);
    expect(news.seen.filter(({ kind }) => kind === "snapshot")).toHaveLength(1);
    const kinds = news.seen.filter(({ kind }) => kind === "away" || kind === "back").map(({ kind }) => kind);
    expect(kinds.length).toBeGreaterThan(1);
    for (const [i, kind] of kinds.entries()) expect(kind).toBe(i % 2 === 0 ? "away" : "back");
    await news.stop();
  });

  test("compaction during a cut gives a fresh snapshot, deletions included", async () => {
    const { store, direct } = pair();
    const { revision } = await direct.create("k/old", octets("x"));
    const news = await readNews(store, "k/");
    proxy.block();
    await direct.remove("k/old", revision);
    await direct.create("k/new", octets("x"));
    await compact(direct);
    proxy.mend();
    await news.until(({ state }) => state.has("k/new") && !state.has("k/old"));
    expect(news.seen.map(({ kind }) => kind)).toEqual(["snapshot", "away", "back", "snapshot"]);
    await direct.create("k/next", octets("x"));
    await news.until(({ state }) => state.has("k/next"));
    await news.stop();
  });

  test("away names the endpoint and the reason, and a held line counts as away too", async () => {
    const { store } = pair();
    const news = await readNews(store, "k/");
    proxy.block();
    await news.until(({ seen }) => seen.some(({ kind }) => kind === "away"));
    const away = news.seen.find((each) => each.kind === "away");
    expect(away?.text).toMatch(new RegExp(`^etcd at http://127.0.0.1:${proxy.port} cannot be reached: `));
    expect(await faultCode(store.get("k/1"))).toBe("store.unreachable");
    proxy.mend();
    await news.until(({ seen }) => seen.some(({ kind }) => kind === "back"));
    proxy.hold();
    try {
      expect(await faultCode(store.create("k/1", octets("x")))).toBe("store.timeout");
      await news.until(({ seen }) => seen.filter(({ kind }) => kind === "away").length === 2);
    } finally {
      proxy.release();
    }
    await news.until(({ seen }) => seen.filter(({ kind }) => kind === "back").length === 2);
    await news.stop();
  });

  test("a reader that stops reading stops the stream, not the memory", async () => {
    const { store, direct } = pair();
    const news = await readNews(store, "s/");
    news.pause();
    const before = proxy.octets();
    for (let i = 0; i < 100; i++) await direct.create(`s/${i}`, new Uint8Array(400_000));
    expect(proxy.octets() - before).toBeLessThan(20_000_000);
    news.resume();
    await news.until(({ state }) => state.size === 100);
    expect(proxy.octets() - before).toBeGreaterThan(40_000_000);
    await news.stop();
  });

  test("a killed etcd that comes back is followed from where it was", async () => {
    const { store, direct } = pair();
    const news = await readNews(store, "k/");
    await direct.create("k/1", octets("x"));
    await etcd.kill();
    await news.until(({ seen }) => seen.some(({ kind }) => kind === "away"));
    await etcd.start();
    await direct.create("k/2", octets("x"));
    await news.until(({ state }) => state.has("k/2"));
    expect(news.seen.filter(({ kind }) => kind === "snapshot")).toHaveLength(1);
    expect(news.repeated).toBe(0);
    await news.stop();
  });

  test("a dead endpoint among several costs nothing but the first call", async () => {
    const dead = "http://127.0.0.1:1";
    for (let i = 0; i < 6; i++) {
      const store = createEtcdStore(settings([dead, etcd.url], `/podway/t${++tests}`), noSecret);
      expect((await store.create("k", octets("x"))).done).toBe(true);
      const { id } = await store.grant(60);
      expect((await store.keepAlive(id)).ttlSeconds).toBe(60);
      const news = await readNews(store, "");
      await news.stop();
      await store.close();
    }
  });

  test("a store that was emptied or restored is told as a snapshot", async () => {
    const { store, direct } = pair();
    for (let i = 0; i < 20; i++) await direct.create(`k/${i}`, octets("x"));
    const news = await readNews(store, "k/");
    await etcd.stop();
    etcd.wipe();
    await etcd.start();
    await direct.create("k/other", octets("x"));
    await news.until(({ state }) => state.size === 1 && state.has("k/other"));
    expect(news.seen.filter(({ kind }) => kind === "snapshot")).toHaveLength(2);
    await direct.create("k/more", octets("x"));
    await news.until(({ state }) => state.has("k/more"));
    await news.stop();
  });
});
