/** Pod addresses of one node: allocations and releases a second, each written and synced, with a real etcd that is told. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEtcdStore } from "#adapters/etcd-store.ts";
import { parsePrefix } from "#base/prefix.ts";
import type { EtcdSettings } from "#adapters/etcd-client.ts";
import type { PodGrant, PodRequest, PodRules } from "#ipam/pod-terms.ts";
import { PodAddresses } from "#ipam/pods.ts";
import { PodBook } from "#daemon/pod-book.ts";
import { PodMirror, podsKey } from "#daemon/pod-mirror.ts";
import { startEtcd } from "../contract/store-etcd-server.ts";
import type { Row, Scenario } from "./scenarios.ts";

const inFlight = 64;
const pairs = 10_000;
const pool = "p";
const cidr = parsePrefix("10.42.0.0/16")!;
const rules: PodRules = { ranges: [], exclude: [], reserve: [], namespaces: [], quota: {}, coolDownSeconds: 0, keepSeconds: 0 };

export const podAddresses: Scenario = {
  name: "pod-addresses",
  about: `${pairs} allocations and releases, ${inFlight} in flight, synced, etcd behind; and one address of a full /16 against one of an empty one`,
  rows: async ({ runs }) => {
    const rates: number[] = [],
      ratios: number[] = [];
    for (let run = 0; run < runs; run++) {
      rates.push(await rate());
      ratios.push(fullAgainstEmpty());
    }
    const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
    return [
      row("steps a second", median(rates), "≥ 5000", median(rates) >= 5000),
      row("full /16 against empty, time", median(ratios), "≤ 2", median(ratios) <= 2),
    ];
  },
};

const row = (what: string, ours: number, bar: string, ok: boolean): Row => ({ scenario: "pod-addresses", what, ours, peers: {}, ratio: undefined, bar, ok });
const request = (id: string): PodRequest => ({ containerId: id, ifname: "eth0", pools: [pool], addresses: [] });

/** Steps a second, the last bit in etcd included. */
async function rate(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "podway-pods-")),
    etcd = await startEtcd(),
    store = createEtcdStore(settings(etcd.url), () => Promise.reject(new Error("no secret is needed")));
  const stop = new AbortController();
  try {
    const made: { mirror?: PodMirror } = {};
    const book = await PodBook.open({ path: join(directory, "pods.journal"), cluster: "t", written: () => made.mirror?.mark(pool) });
    book.machine.configure([{ name: pool, family: 4, pool: cidr, cidr, active: true, rules }]);
    const mirror = (made.mirror = new PodMirror({ store, node: "n1", machine: book.machine })),
      mirroring = mirror.run(stop.signal);
    // Some stay, so that there is something to tell.
    for (let i = 0; i < 100; i++) must(await book.commit(granted(book, `stays${i}`)));
    const began = performance.now();
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let id = next++; id < pairs; id = next++) {
        must(await book.commit(granted(book, `c${id}`)));
        must(await book.commit(book.machine.releaseKey({ containerId: `c${id}`, ifname: "eth0" }, 0)));
      }
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
    const seconds = (performance.now() - began) / 1000;
    const wanted = Buffer.from(book.machine.bitmap(pool)).toString("base64");
    for (const end = performance.now() + 10_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
      const entry = await store.get(podsKey(pool, cidr));
      if (entry !== undefined && (JSON.parse(new TextDecoder().decode(entry.value)) as { taken: string }).taken === wanted) break;
      if (performance.now() > end) throw new Error("etcd was not told within 10 s");
    }
    stop.abort();
    await mirroring;
    await book.close();
    return (2 * pairs) / seconds;
  } finally {
    stop.abort();
    await store.close();
    await etcd.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

const settings = (url: string): EtcdSettings => ({
  kind: "etcd",
  endpoints: [url],
  prefix: "/podway/t",
  ca: undefined,
  cert: undefined,
  key: undefined,
  username: undefined,
  password: undefined,
});

function granted(book: PodBook, id: string): PodGrant["changes"] {
  const outcome = book.machine.allocate(request(id), 0);
  if (!outcome.ok) throw new Error(outcome.fault.text);
  return outcome.value.changes;
}
function must(outcome: { readonly ok: true } | { readonly ok: false; readonly fault: { readonly text: string } }): void {
  if (!outcome.ok) throw new Error(outcome.fault.text);
}

/** CPU time of an allocation and a release in a /16 with one address left, against one that is empty. */
function fullAgainstEmpty(): number {
  const fill = (count: number): PodAddresses => {
    const machine = new PodAddresses();
    machine.configure([{ name: pool, family: 4, pool: cidr, cidr, active: true, rules }]);
    for (let i = 0; i < count; i++) machine.allocate(request(`f${i}`), 0);
    return machine;
  };
  const cost = (machine: PodAddresses): number => {
    const began = process.cpuUsage();
    for (let i = 0; i < pairs; i++) {
      const outcome = machine.allocate(request(`n${i}`), 0);
      if (!outcome.ok) throw new Error(outcome.fault.text);
      machine.releaseKey({ containerId: `n${i}`, ifname: "eth0" }, 0);
    }
    const { user, system } = process.cpuUsage(began);
    return user + system;
  };
  const empty = fill(0),
    full = fill(65_536 - 3 - 1);
  cost(empty);
  return cost(full) / cost(empty);
}
