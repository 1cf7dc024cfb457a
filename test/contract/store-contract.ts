/** What every Store adapter must do. One suite; each adapter brings a harness that can also hurt it. */
import { describe, expect, test } from "vitest";
import { FaultError } from "#base/fault.ts";
import type { Store } from "#ports/store.ts";
import { readNews } from "./store-news.ts";

export interface StoreHarness {
  readonly store: Store;
  /** The same store as another daemon sees it. */
  readonly other: Store;
  /** Forgets every past revision. */
  compact(): Promise<void>;
  /** Lets this much of the store's own time pass. */
  elapse(seconds: number): Promise<void>;
  close(): Promise<void>;
}

export const octets = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : new TextDecoder().decode(value));
export const faultCode = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "no fault",
    (cause: unknown) => (cause instanceof FaultError ? cause.fault.code : String(cause)),
  );

export function storeContract(name: string, open: () => Promise<StoreHarness>): void {
  const checks: Record<string, Check> = { ...writeChecks, ...leaseChecks, ...watchChecks };
  describe(`store contract: ${name}`, () => {
    test.each(Object.keys(checks))("%s", async (sentence) => {
      const harness = await open();
      try {
        await checks[sentence]!(harness);
      } finally {
        await harness.close();
      }
    });
  });
}

type Check = (harness: StoreHarness) => Promise<void>;

const writeChecks: Record<string, Check> = {
  "of many creators of one key exactly one wins, and the others see it": async ({ store, other }) => {
    const results = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 ? store : other).create("leases/p/10.1.0.0-24", octets(`n${i}`))));
    const winner = results.findIndex(({ done }) => done);
    expect(results.filter(({ done }) => done)).toHaveLength(1);
    for (const [i, result] of results.entries()) if (i !== winner) expect(text(result.current?.value)).toBe(`n${winner}`);
    const entry = await store.get("leases/p/10.1.0.0-24");
    expect(entry).toMatchObject({ createRevision: results[winner]!.revision, modRevision: results[winner]!.revision, lease: undefined });
  },
  "compare-and-swap writes only over the revision it read": async ({ store }) => {
    const { revision } = await store.create("a", octets("1"));
    const first = await store.replace("a", octets("2"), revision);
    expect(first.done).toBe(true);
    const second = await store.replace("a", octets("3"), revision);
    expect(second.done).toBe(false);
    expect(text(second.current?.value)).toBe("2");
    expect(second.current).toMatchObject({ createRevision: revision, modRevision: first.revision });
    expect((await store.replace("b", octets("1"), revision)).current).toBeUndefined();
    expect((await store.remove("a", revision)).done).toBe(false);
    expect((await store.remove("a", first.revision)).done).toBe(true);
    expect(await store.get("a")).toBeUndefined();
    expect((await store.create("a", octets("4"))).done).toBe(true);
  },
  "a transaction does all or nothing, at one revision": async ({ store }) => {
    const a = await store.create("a", octets("1"));
    const refused = await store.transact(
      [
        { key: "a", is: "at", modRevision: a.revision },
        { key: "a", is: "absent" },
      ],
      [{ kind: "put", key: "b", value: octets("x") }],
    );
    expect(refused.done).toBe(false);
    expect(await store.get("b")).toBeUndefined();
    const done = await store.transact(
      [
        { key: "a", is: "at", modRevision: a.revision },
        { key: "b", is: "absent" },
      ],
      [
        { kind: "put", key: "b", value: octets("x") },
        { kind: "put", key: "c", value: octets("y") },
        { kind: "delete", key: "a" },
        { kind: "delete", key: "none" },
      ],
    );
    expect(done).toEqual({ done: true, revision: a.revision + 1n });
    const { entries } = await store.list("");
    expect(entries.map(({ key, modRevision }) => [key, modRevision])).toEqual([
      ["b", done.revision],
      ["c", done.revision],
    ]);
  },
  "what no store takes is refused with what to do": async ({ store }) => {
    const put = (key: string) => ({ kind: "put", key, value: octets("") }) as const;
    expect(
      await faultCode(
        store.transact(
          [],
          Array.from({ length: 129 }, (_, i) => put(`k${i}`)),
        ),
      ),
    ).toBe("store.too-many-operations");
    expect(
      (
        await store.transact(
          [],
          Array.from({ length: 128 }, (_, i) => put(`k${i}`)),
        )
      ).done,
    ).toBe(true);
    expect(await faultCode(store.transact([], [put("twice"), put("twice")]))).toBe("store.duplicate-key");
    expect(await faultCode(store.create("large", new Uint8Array(1_048_577)))).toBe("store.too-large");
    expect(await faultCode(store.grant(0))).toBe("store.bad-ttl");
    expect((await store.create("large", new Uint8Array(1_048_576))).done).toBe(true);
  },
  "values are octets, and may be empty": async ({ store }) => {
    const value = Uint8Array.from({ length: 256 }, (_, i) => i);
    await store.create("binary", value);
    await store.create("empty", new Uint8Array());
    expect(Uint8Array.from((await store.get("binary"))!.value)).toEqual(value);
    expect((await store.get("empty"))!.value.length).toBe(0);
  },
  "prefixes that look alike stay apart": async ({ store }) => {
    for (const key of ["leases/a/1", "leases/a/2", "leases/a", "leases/ab/1", "leases/a0", "leases0", "lease"]) await store.create(key, octets(key));
    const keys = async (prefix: string): Promise<string[]> => (await store.list(prefix)).entries.map(({ key }) => key);
    expect(await keys("leases/a/")).toEqual(["leases/a/1", "leases/a/2"]);
    expect(await keys("leases/")).toEqual(["leases/a", "leases/a/1", "leases/a/2", "leases/a0", "leases/ab/1"]);
    expect(await keys("")).toHaveLength(7);
    expect(await keys("none/")).toEqual([]);
  },
  "a long listing comes whole, in order and as of one revision": async ({ store }) => {
    for (let page = 0; page < 11; page++)
      await store.transact(
        [],
        Array.from({ length: 128 }, (_, i) => ({ kind: "put", key: `many/${String(page * 128 + i).padStart(5, "0")}`, value: octets("v") })),
      );
    const { entries, revision } = await store.list("many/");
    expect(entries.map(({ key }) => key)).toEqual(Array.from({ length: 1408 }, (_, i) => `many/${String(i).padStart(5, "0")}`));
    expect(revision).toBe(entries.at(-1)!.modRevision);
  },
};

const leaseChecks: Record<string, Check> = {
  "an expired lease takes its keys along, and no other": async ({ store, other, elapse }) => {
    const news = await readNews(other, "leases/");
    const { id, ttlSeconds } = await store.grant(2);
    await store.create("leases/bound", octets("1"), id);
    await store.create("leases/free", octets("1"));
    expect(await store.get("leases/bound")).toMatchObject({ lease: id });
    await elapse(ttlSeconds + 1);
    await news.until(({ seen }) => seen.some((each) => each.kind === "delete" && each.key === "leases/bound"));
    expect([...news.state.keys()]).toEqual(["leases/free"]);
    expect(await store.keepAlive(id)).toEqual({ ttlSeconds: 0 });
    expect(await faultCode(store.create("leases/late", octets("1"), id))).toBe("store.lease-gone");
    await news.stop();
  },
  "keepAlive renews, writes nothing and wakes nobody": async ({ store, elapse }) => {
    const { id } = await store.grant(3);
    await store.create("leases/kept", octets("1"), id);
    const before = await store.get("leases/kept");
    const news = await readNews(store, "leases/");
    for (let beat = 0; beat < 5; beat++) {
      await elapse(1);
      expect((await store.keepAlive(id)).ttlSeconds).toBeGreaterThan(0);
    }
    expect(await store.get("leases/kept")).toEqual(before);
    expect(news.seen.map(({ kind }) => kind)).toEqual(["snapshot"]);
    await news.stop();
  },
  "revoke takes the keys along at once and may be said twice": async ({ store }) => {
    const { id } = await store.grant(600);
    await store.create("a", octets("1"), id);
    await store.create("b", octets("1"), id);
    const b = (await store.get("b"))!;
    await store.replace("b", octets("2"), b.modRevision);
    await store.revoke(id);
    await store.revoke(id);
    expect((await store.list("")).entries.map(({ key }) => key)).toEqual(["b"]);
    expect(await store.keepAlive(id)).toEqual({ ttlSeconds: 0 });
  },
};

const watchChecks: Record<string, Check> = {
  "a watch begins with everything as of a revision and goes on from there": async ({ store, other }) => {
    await store.create("w/1", octets("1"));
    await store.create("x/1", octets("1"));
    const news = await readNews(store, "w/");
    const two = await other.create("w/2", octets("2"));
    await other.create("x/2", octets("2"));
    const gone = await other.remove("w/2", two.revision);
    await other.create("w/3", octets("3"));
    await news.until(({ state }) => state.has("w/3"));
    expect(news.seen.map(({ kind }) => kind)).toEqual(["snapshot", "put", "delete", "put"]);
    expect(news.seen[2]).toEqual({ kind: "delete", key: "w/2", revision: gone.revision });
    expect([...news.state.keys()]).toEqual(["w/1", "w/3"]);
    await news.stop();
  },
  "the events of one transaction come together and in order": async ({ store }) => {
    const news = await readNews(store, "t/");
    for (let i = 0; i < 20; i++)
      await store.transact(
        [],
        Array.from({ length: 100 }, (_, key) => ({ kind: "put", key: `t/${String(key).padStart(3, "0")}`, value: octets(`${i}`) })),
      );
    await news.until(({ seen }) => seen.length === 2001);
    const revisions = news.seen.slice(1).map((each) => (each.kind === "put" ? each.entry.modRevision : 0n));
    for (const [i, revision] of revisions.entries()) expect(revision).toBe(revisions[0]! + BigInt(Math.floor(i / 100)));
    await news.stop();
  },
  "a slow reader loses nothing": async ({ store, other }) => {
    const news = await readNews(store, "s/");
    news.pause();
    const value = new Uint8Array(20_000);
    for (let i = 0; i < 600; i++) await other.create(`s/${i}`, value);
    news.resume();
    await news.until(({ state }) => state.size === 600);
    await news.stop();
  },
  "a reader that was overtaken by compaction is given a fresh snapshot": async ({ store, other, compact }) => {
    await store.create("c/old", octets("1"));
    const news = await readNews(store, "c/");
    news.pause();
    const big = new Uint8Array(500_000);
    const old = (await other.get("c/old"))!;
    await other.remove("c/old", old.modRevision);
    for (let i = 0; i < 40; i++) await other.transact([], [{ kind: "put", key: `c/${i % 4}`, value: big }]);
    await compact();
    await other.create("c/new", octets("1"));
    news.resume();
    await news.until(({ state }) => state.has("c/new") && !state.has("c/old"));
    expect(news.repeated).toBe(0);
    expect(new Set(news.state.keys())).toEqual(new Set(["c/0", "c/1", "c/2", "c/3", "c/new"]));
    await news.stop();
  },
  "a watch ends when its signal says so, also before it began": async ({ store }) => {
    const news = await readNews(store, "e/");
    await news.stop();
    const seen: string[] = [];
    for await (const each of store.watch("e/", AbortSignal.abort())) seen.push(each.kind);
    expect(seen).toEqual([]);
  },
};
