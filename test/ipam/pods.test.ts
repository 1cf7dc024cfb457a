/** The allocator against a twin that is slow and plainly right, with a journal that is cut where a crash would cut it. */
import { mkdtempSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { type Ip, parseIp } from "#base/ip.ts";
import { parsePrefix } from "#base/prefix.ts";
import { PodBook } from "#daemon/pod-book.ts";
import { PodRange } from "#ipam/pod-range.ts";
import type { PodChange, PodPool, PodRequest, PodRules } from "#ipam/pod-terms.ts";
import { PodAddresses } from "#ipam/pods.ts";

const rules: PodRules = { ranges: [], exclude: [], reserve: [], namespaces: [], quota: {}, coolDownSeconds: 30, keepSeconds: 600 };
const cidr = parsePrefix("10.42.7.0/27")!;
const pool = (more: Partial<PodRules> = {}): PodPool => ({
  name: "p",
  family: 4,
  pool: parsePrefix("10.42.0.0/16")!,
  cidr,
  active: true,
  rules: { ...rules, ...more },
});
const request = (containerId: string, more: Partial<PodRequest> = {}): PodRequest => ({ containerId, ifname: "eth0", pools: ["p"], addresses: [], ...more });
const ip = (last: number): Ip => parseIp(`10.42.7.${last}`)!;

const folders: string[] = [];
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true, force: true })));

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** What must be true: who has what, and until when a free address is nobody's or somebody's. */
class Twin {
  readonly used = new Map<string, Ip>();
  readonly waits = new Map<Ip, { readonly until: number; readonly owner: string | undefined }>();

  grant(key: string, address: Ip, at: number, owner: string | undefined): void {
    must(![...this.used.values()].includes(address), `${address} is another's`);
    const wait = this.waits.get(address);
    if (wait !== undefined && wait.until > at) must(wait.owner === (owner ?? "nobody"), `${address} waits until ${wait.until}, now ${at}`);
    if (owner !== undefined) {
      const kept = [...this.waits].filter(([, each]) => each.owner === owner && each.until > at).map(([each]) => each);
      if (kept.length > 0) must(kept.includes(address), `${owner} has an address kept for it`);
    }
    this.waits.delete(address);
    this.used.set(key, address);
  }
  free(key: string, at: number, owner: string | undefined): void {
    const address = this.used.get(key);
    if (address === undefined) return;
    this.used.delete(key);
    this.waits.set(address, { until: at + (owner === undefined ? rules.coolDownSeconds : rules.keepSeconds), owner });
  }
}

const ownerOf = (container: number): string | undefined => (container % 3 === 0 ? `ns/app-${container % 7}` : undefined);

describe("pod addresses, step by step against a twin", () => {
  it("10,000 steps with crashes: never one address twice, nothing lost that was told, nothing leaked once quiet", { timeout: 120_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "podway-pods-"));
    folders.push(folder);
    const path = join(folder, "pods.journal");
    const open = async (): Promise<PodBook> => {
      const book = await PodBook.open({ path, cluster: "t", written: () => undefined });
      book.machine.configure([pool()]);
      return book;
    };
    let seed = 20_261_122,
      at = 1_000,
      crashes = 0,
      exhausted = 0;
    const random = (below: number): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) % below;
    let book = await open();
    const twin = new Twin();
    for (let step = 0; step < 10_000;) {
      const said: (() => void)[] = [],
        waiting: Promise<unknown>[] = [],
        touched = new Set<number>(),
        size = statSync(path).size;
      for (let i = 0; i < 16; i++, step++) {
        at += random(4);
        const container = random(60),
          owner = ownerOf(container),
          key = `c${container}`;
        if (touched.has(container)) continue;
        touched.add(container);
        let changes: readonly PodChange[] = book.machine.lapse(at);
        if (random(2) === 0) {
          const granted = book.machine.allocate(request(key, owner === undefined ? {} : { owner }), at);
          if (!granted.ok) {
            exhausted++;
            expect(granted.fault.code).toBe("ipam.exhausted");
            continue;
          }
          const { address } = granted.value.records[0]!,
            when = at;
          if (granted.value.changes.length > 0) said.push(() => twin.grant(key, address, when, owner));
          else expect(twin.used.get(key)).toBe(address);
          changes = [...changes, ...granted.value.changes];
        } else {
          changes = [...changes, ...book.machine.releaseKey({ containerId: key, ifname: "eth0" }, at)];
          const when = at;
          said.push(() => twin.free(key, when, owner));
        }
        waiting.push(book.commit(changes));
      }
      await Promise.all(waiting);
      if (random(12) > 0) for (const say of said) say();
      else {
        // Dead before anybody was told: what was being written is on the disk up to some octet.
        crashes++;
        await book.close();
        const now = statSync(path).size;
        if (now > size) truncateSync(path, size + random(now - size));
        book = await open();
      }
      const held = new Map([...book.machine.records()].filter(({ state }) => state === "used").map(({ containerId, address }) => [containerId!, address]));
      expect(held).toEqual(twin.used);
    }
    expect(crashes).toBeGreaterThan(20);
    expect(exhausted).toBeGreaterThan(0);
    const last = [...twin.used.keys()].flatMap((key) => book.machine.releaseKey({ containerId: key, ifname: "eth0" }, at));
    await book.commit([...last, ...book.machine.lapse(at + 1_000)]);
    expect([...book.machine.records()]).toEqual([]);
    await book.close();
  });

  it("a crash that tears the write at any octet keeps all that was told before", async () => {
    const folder = mkdtempSync(join(tmpdir(), "podway-pods-"));
    folders.push(folder);
    const path = join(folder, "pods.journal");
    const open = (): Promise<PodBook> => PodBook.open({ path, cluster: "t", written: () => undefined });
    let book = await open();
    book.machine.configure([pool()]);
    const take = async (id: string): Promise<Ip> => {
      const granted = book.machine.allocate(request(id), 0);
      if (!granted.ok) throw new Error(granted.fault.text);
      expect((await book.commit(granted.value.changes)).ok).toBe(true);
      return granted.value.records[0]!.address;
    };
    const first = await take("a"),
      size = statSync(path).size;
    await take("b");
    await book.close();
    for (let cut = statSync(path).size - 1; cut >= size; cut -= 1) {
      truncateSync(path, cut);
      book = await open();
      expect([...book.machine.records()].map(({ address }) => address)).toEqual([first]);
      await book.close();
    }
  });

  it("what cannot be written is taken back, and said; another cluster's journal is refused", async () => {
    const folder = mkdtempSync(join(tmpdir(), "podway-pods-"));
    folders.push(folder);
    const path = join(folder, "pods.journal");
    const book = await PodBook.open({ path, cluster: "t", written: () => undefined });
    book.machine.configure([pool()]);
    await book.close();
    const granted = book.machine.allocate(request("a"), 0);
    expect(await book.commit(granted.ok ? granted.value.changes : [])).toMatchObject({ ok: false, fault: { code: "ipam.try-later" } });
    expect(book.machine.of({ containerId: "a", ifname: "eth0" })).toEqual([]);
    await expect(PodBook.open({ path, cluster: "other", written: () => undefined })).rejects.toThrow(/is of cluster t; move it away/);
  });
});

describe("pod addresses", () => {
  const machine = (more: Partial<PodRules> = {}): PodAddresses => {
    const made = new PodAddresses();
    made.configure([pool(more)]);
    return made;
  };
  const given = (of: PodAddresses, id: string, at: number, more: Partial<PodRequest> = {}): Ip | string => {
    const outcome = of.allocate(request(id, more), at);
    return outcome.ok ? outcome.value.records[0]!.address : outcome.fault.code;
  };

  it("hands out each address once, never the CIDR's own, and reuses the longest free first", () => {
    const pods = machine({ keepSeconds: 0 });
    const all = Array.from({ length: 29 }, (_, i) => given(pods, `c${i}`, 0));
    expect(new Set(all)).toEqual(new Set(Array.from({ length: 29 }, (_, i) => ip(2 + i))));
    expect(given(pods, "more", 0)).toBe("ipam.exhausted");
    pods.releaseKey({ containerId: "c5", ifname: "eth0" }, 10);
    pods.releaseKey({ containerId: "c3", ifname: "eth0" }, 11);
    expect(given(pods, "more", 39)).toBe("ipam.exhausted");
    expect(given(pods, "more", 41)).toBe(all[5]);
    expect(given(pods, "more2", 41)).toBe(all[3]);
  });

  it("ranges, exclusions and reserved addresses hold, and change while pods live", () => {
    const range = (first: number, last: number) => ({ first: ip(first), last: ip(last) });
    const pods = machine({ ranges: [range(4, 9)], exclude: [range(5, 6)], reserve: [range(8, 8)] });
    expect([1, 2, 3].map((i) => given(pods, `c${i}`, 0))).toEqual([ip(4), ip(7), ip(9)]);
    expect(given(pods, "c4", 0)).toBe("ipam.exhausted");
    expect(given(pods, "c4", 0, { addresses: [ip(8)] })).toBe(ip(8));
    expect(given(pods, "c5", 0, { addresses: [ip(5)] })).toBe("ipam.not-in-pool");
    pods.configure([pool({ ranges: [range(4, 10)] })]);
    expect(["c5", "c6", "c7"].map((id) => given(pods, id, 0)).toSorted()).toEqual([ip(10), ip(5), ip(6)].toSorted());
    expect(given(pods, "c8", 0)).toBe("ipam.exhausted");
  });

  it("all or nothing: a second pool that refuses gives the first's address back", () => {
    const pods = machine();
    expect(given(pods, "a", 0, { pools: ["p", "q"] })).toBe("ipam.no-such-pool");
    expect([...pods.records()]).toEqual([]);
  });

  it("undo leaves everything as it was, whatever was done", () => {
    const step = fc.record({ what: fc.constantFrom("take", "free", "reserve", "unreserve", "quarantine"), who: fc.nat(40), at: fc.nat(200) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.array(step, { minLength: 1, maxLength: 20 }), (before, after) => {
        const pods = machine();
        const run = ({ what, who, at }: { readonly what: string; readonly who: number; readonly at: number }): readonly PodChange[] => {
          const address = ip(2 + (who % 29));
          if (what === "free") return pods.releaseKey({ containerId: `c${who}`, ifname: "eth0" }, at);
          if (what === "unreserve") return pods.unreserve(address);
          if (what === "quarantine") return pods.quarantine(address, "test", at, 60);
          const outcome = what === "take" ? pods.allocate(request(`c${who}`), at) : pods.reserve(address, { owner: `o${who % 3}` }, at);
          return !outcome.ok ? [] : "changes" in outcome.value ? outcome.value.changes : outcome.value;
        };
        before.forEach(run);
        const was = new Map([...pods.records()].map((record) => [record.address, record]));
        const counts = ["used", "kept", "reserved"].map((state) => pods.counts("p").get(state as "used") ?? 0);
        pods.undo(after.flatMap(run));
        expect(new Map([...pods.records()].map((record) => [record.address, record]))).toEqual(was);
        expect(["used", "kept", "reserved"].map((state) => pods.counts("p").get(state as "used") ?? 0)).toEqual(counts);
      }),
    );
  });

  it("indexes of a /64 go as far as addresses are handed out", () => {
    const range = new PodRange(parsePrefix("fd42::/64")!);
    expect(range.size).toBe(65_536);
    expect(range.indexOf(parseIp("fd42::ffff")!)).toBe(65_535);
    expect(range.indexOf(parseIp("fd42::1:0")!)).toBeUndefined();
    expect(range.addressAt(258)).toBe("fd42::102");
  });
});
