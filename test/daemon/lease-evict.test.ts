import { afterEach, describe, expect, test } from "vitest";
import { type MemoryStore, createMemoryStore } from "#adapters/memory-store.ts";
import { systemClock } from "#adapters/system-clock.ts";
import { parseIp } from "#base/ip.ts";
import { type Prefix, parsePrefix } from "#base/prefix.ts";
import { evictNode } from "#daemon/lease-evict.ts";
import { encodeLease, encodePresence, formerKey, leaseKey, parseFormer, presenceKey } from "#ipam/lease-record.ts";

const p = (text: string): Prefix => parsePrefix(text)!;
const address = parseIp("10.0.0.7")!;
const open: MemoryStore[] = [];
afterEach(async () => {
  for (const store of open.splice(0)) await store.close();
});

async function storeWith(...claims: { readonly node: string; readonly cidr: Prefix; readonly isReserved?: boolean }[]): Promise<MemoryStore> {
  const store = await createMemoryStore({ clock: systemClock });
  open.push(store);
  for (const { node, cidr, isReserved } of claims) {
    const record = { schema: 1, node, pool: "p", cidr, identity: `id-${node}`, address } as const;
    const lease = isReserved ? undefined : (await store.grant(3600)).id;
    await store.create(leaseKey("p", cidr), encodeLease(record), lease);
  }
  return store;
}
async function present(store: MemoryStore, node: string): Promise<void> {
  const value = encodePresence({ schema: 1, node, identity: `id-${node}`, address, version: "0" });
  await store.create(presenceKey(node), value, (await store.grant(30)).id);
}
const one = p("10.42.1.0/24"),
  two = p("10.42.2.0/24"),
  three = p("10.42.3.0/24");
const dead = { node: "n7", isForced: false, quarantineSeconds: 60, keptUntil: () => 86_400 };

describe("evicting a node", () => {
  test("frees what the dead node leases and nothing else, for others after the quarantine", async () => {
    const store = await storeWith({ node: "n7", cidr: one }, { node: "n8", cidr: two }, { node: "n7", cidr: three, isReserved: true });
    const lease = (await store.get(leaseKey("p", one)))!.lease!;
    const evicted = await evictNode(store, dead);
    expect(evicted).toEqual({ ok: true, value: { freed: [{ pool: "p", cidr: one }], kept: [{ pool: "p", cidr: three }] } });
    expect((await store.list("leases/")).entries.map(({ key }) => key).toSorted()).toEqual(
      [formerKey("p", one), leaseKey("p", two), leaseKey("p", three)].toSorted(),
    );
    const former = (await store.get(formerKey("p", one)))!;
    expect(parseFormer(former)).toBe("n7");
    expect((await store.keepAlive(former.lease!)).ttlSeconds).toBe(60);
    expect((await store.keepAlive(lease)).ttlSeconds).toBe(0);
  });

  test("is refused while the node is present, and done when it is forced", async () => {
    const store = await storeWith({ node: "n7", cidr: one });
    await present(store, "n7");
    expect(await evictNode(store, dead)).toMatchObject({
      ok: false,
      fault: {
        code: "lease.node-alive",
        text: "node n7 is alive (address 10.0.0.7, identity id-n7): stop its daemon first, or force it and it claims its CIDRs again at once",
      },
    });
    expect(await store.get(leaseKey("p", one))).toBeDefined();
    expect(await evictNode(store, { ...dead, isForced: true })).toMatchObject({ ok: true, value: { freed: [{ cidr: one }] } });
  });

  test("takes nothing from a node that comes back while it is evicted", async () => {
    const store = await storeWith({ node: "n7", cidr: one });
    const late: MemoryStore = Object.create(store, {
      list: { value: store.list.bind(store) },
      get: { value: store.get.bind(store) },
      revoke: { value: store.revoke.bind(store) },
      transact: { value: store.transact.bind(store) },
      grant: {
        value: async (seconds: number) => {
          await present(store, "n7");
          return store.grant(seconds);
        },
      },
    });
    expect(await evictNode(late, dead)).toMatchObject({ ok: false, fault: { code: "lease.node-alive" } });
    expect(await store.get(leaseKey("p", one))).toBeDefined();
  });

  test("without quarantine nothing is left of it, and of a node that holds nothing it says so", async () => {
    const store = await storeWith({ node: "n7", cidr: one });
    await evictNode(store, { ...dead, quarantineSeconds: 0 });
    expect((await store.list("leases/")).entries).toEqual([]);
    expect(await evictNode(store, dead)).toMatchObject({
      ok: false,
      fault: { code: "lease.none-held", text: "node n7 holds no CIDR; `podway leases` lists who does" },
    });
  });
});
