/**
 * A daemon beside five thousand others on a real etcd: how soon after the list its kernel is whole, how soon one change is in the kernel, and
 * what it needs while nothing happens. The daemon is a process of its own; all of it is seen from outside, by etcd's watch and the kernel's.
 */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Ip } from "#base/ip.ts";
import type { LeaseRecord } from "#base/lease.ts";
import type { Prefix } from "#base/prefix.ts";
import { encodeLease, leaseKey } from "#ipam/lease-record.ts";
import { vtepMac } from "#overlay/vtep.ts";
import type { Store } from "#ports/store.ts";
import { readDatagram } from "#wire/netlink.ts";
import { rtm } from "#wire/rtnetlink.ts";
import { decodeRoute } from "#wire/rtnetlink-route.ts";
import { createEtcdStore } from "#adapters/etcd-store.ts";
import { NetlinkSocket } from "../../src/adapters/netlink-socket.ts";
import { kernelMissing, Namespace } from "../contract/kernel-netns.ts";
import { startCutProxy } from "../contract/store-cut-proxy.ts";
import { startEtcd } from "../contract/store-etcd-server.ts";
import { DaemonProcess, until } from "../daemon/daemon-process.ts";
import type { Bench } from "./measure.ts";
import type { Row, Scenario } from "./scenarios.ts";

const others = 5000,
  changes = 50,
  idleSeconds = 20,
  /** At most. */
  bars = { wholeSeconds: 1, changeMillis: 20, idleShare: 0.01 } as const;

export const nodeScale: Scenario = {
  name: "node-5000",
  about: `a daemon on etcd beside ${others} leases: its start, one change after the other, and rest`,
  rows: async (bench) => (kernelMissing === undefined ? measure(bench) : (bench.say(`nothing measured${kernelMissing}`), [])),
};

async function measure({ say }: Bench): Promise<readonly Row[]> {
  const namespace = new Namespace("node");
  for (const line of ["link add eth0 type veth peer name eth1", "link set eth0 up", "link set eth1 up", "addr add 10.0.0.1/8 dev eth0"]) namespace.ip(line);
  // What is started and opened from here on stands in the namespace: etcd, the daemon, and both of our watches.
  const back = namespace.enter(),
    etcd = await startEtcd(),
    proxy = await startCutProxy(etcd.port);
  const store = createEtcdStore({ kind: "etcd", endpoints: [etcd.url], prefix: "/podway/many" } as never, () => Promise.reject(new Error("no secret")));
  const daemon = new DaemonProcess("n1", documentOf(`http://127.0.0.1:${proxy.port}`));
  const watch = new KernelWatch();
  try {
    for (let from = 0; from < others; from += 100)
      await Promise.all(Array.from({ length: 100 }, (_, i) => store.create(leaseKey("overlay", cidrOf(from + i)), encodeLease(leaseOf(from + i, 0)))));
    const start = await measureStart(daemon, proxy, watch);
    say(`  ${start.rows} entries ${start.seconds.toFixed(2)} s after the list had arrived`);
    const cpu = cpuOf(daemon.pid);
    const millis = await measureChanges(store, watch);
    say(
      `  ${millis.length} changes: median ${median(millis).toFixed(1)} ms, worst ${Math.max(...millis).toFixed(1)} ms, CPU ${(((cpuOf(daemon.pid) - cpu) / millis.length) * 1000).toFixed(0)} ms each`,
    );
    const idle = await measureIdle(daemon);
    say(`  at rest: ${(idle * 100).toFixed(2)} % of a core; ${(daemon.residentKib / 1024).toFixed(0)} MiB`);
    return [
      row("whole after list s", start.seconds, `≤ ${bars.wholeSeconds.toFixed(1)} s`, start.seconds <= bars.wholeSeconds),
      row("change in kernel ms", median(millis), `≤ ${bars.changeMillis} ms`, median(millis) <= bars.changeMillis),
      row("idle share of a core", idle, `< ${bars.idleShare * 100} %`, idle < bars.idleShare),
    ];
  } finally {
    watch.close();
    await daemon.end();
    await daemon.dispose();
    await store.close();
    await proxy.close();
    await etcd.close();
    back();
    namespace.remove();
  }
}

const row = (what: string, ours: number, bar: string, ok: boolean): Row => ({ scenario: nodeScale.name, what, ours, peers: {}, ratio: undefined, bar, ok });
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

function documentOf(url: string): string {
  return `podway: 1
name: many
asn: 64512
store: { etcd: { endpoints: ["${url}"], prefix: /podway/many } }
reflection: off
listen: { address: 127.0.0.1, port: 10179 }
pools:
  - { name: overlay, cidr: 100.64.0.0/10, nodePrefix: 24, backend: vxlan, vni: 43, crossSubnet: false }
nodes:
  n1: { address: 10.0.0.1 }
`;
}

const cidrOf = (i: number): Prefix => `100.${64 + ((i + 1) >> 8)}.${(i + 1) & 255}.0/24` as Prefix;

/** The claim of node `i`, which has moved `moves` times. */
function leaseOf(i: number, moves: number): LeaseRecord {
  const node = `node-${i}`;
  return {
    schema: 1,
    node,
    pool: "overlay",
    cidr: cidrOf(i),
    identity: node,
    address: `10.${1 + moves}.${i >> 8}.${i & 255}` as Ip,
    vtepMac: vtepMac(node, 43),
  };
}

/** From the last octet of the list to the last entry in the kernel. */
async function measureStart(
  daemon: DaemonProcess,
  proxy: { octets(): number },
  watch: KernelWatch,
): Promise<{ readonly seconds: number; readonly rows: number }> {
  const wanted = 3 * others;
  daemon.start();
  let octets = 0,
    listed = 0;
  await until(
    "the list has arrived and the kernel is whole",
    () => {
      watch.read();
      const now = proxy.octets();
      if (watch.rows === 0 && now !== octets) listed = performance.now();
      octets = now;
      return watch.rows >= wanted;
    },
    60_000,
  );
  return { seconds: (watch.last - listed) / 1000, rows: watch.rows };
}

/** From etcd's event to the kernel's notification: a lease comes, at a CIDR that was free. */
async function measureChanges(store: Store, watch: KernelWatch): Promise<readonly number[]> {
  const stop = new AbortController(),
    told = new Map<string, number>();
  const listening = (async () => {
    for await (const news of store.watch("leases/", stop.signal)) if (news.kind === "put") told.set(news.entry.key, performance.now());
  })();
  const millis: number[] = [];
  for (let i = others; i < others + changes; i++) {
    await delay(200);
    watch.read();
    const key = leaseKey("overlay", cidrOf(i));
    await store.create(key, encodeLease(leaseOf(i, 0)));
    const at = await watch.route(cidrOf(i));
    await until("etcd has told of it", () => told.has(key));
    millis.push(at - told.get(key)!);
  }
  stop.abort();
  await listening;
  return millis;
}

async function measureIdle(daemon: DaemonProcess): Promise<number> {
  await delay(5000);
  const before = cpuOf(daemon.pid);
  await delay(idleSeconds * 1000);
  return (cpuOf(daemon.pid) - before) / idleSeconds;
}

/** Seconds of CPU time of a process so far (proc(5), in ticks of 10 ms). */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Neighbours, forwarding entries and routes as the kernel tells of them, with the time we heard. */
class KernelWatch {
  rows = 0;
  last = 0;
  readonly #socket = new NetlinkSocket((1 << 2) | (1 << 6), 5000);
  readonly #routes = new Map<Prefix, number>();

  read(): void {
    for (let got = this.#socket.receive(false); got !== "nothing"; got = this.#socket.receive(false)) this.#take(got);
  }
  /** When the route was told of: waits for it. The whole process waits, so nothing else makes it late. */
  async route(prefix: Prefix): Promise<number> {
    for (const end = performance.now() + 10_000; !this.#routes.has(prefix);) {
      this.read();
      if (performance.now() > end) throw new Error(`no route to ${prefix} within 10 s`);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return this.#routes.get(prefix)!;
  }
  close(): void {
    this.#socket.close();
  }

  #take(got: Uint8Array | "overrun" | "nothing"): void {
    if (typeof got === "string") throw new Error("the kernel dropped notifications: the figures would be wrong");
    const read = readDatagram(got);
    if (!read.ok) throw new Error(read.fault.text);
    for (const message of read.value) {
      const isRoute = message.type === rtm.newRoute;
      if (!isRoute && message.type !== rtm.newNeighbour) continue;
      this.rows++;
      this.last = performance.now();
      const route = isRoute ? decodeRoute(got, message) : undefined;
      if (route?.ok && route.value) this.#routes.set(route.value.prefix, this.last);
    }
  }
}
