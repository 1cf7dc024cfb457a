/** Lease drivers on a real etcd, some of them processes that are killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type MemoryStore, createMemoryStore } from "#adapters/memory-store.ts";
import type { Lease } from "#base/lease.ts";
import type { Note } from "#base/note.ts";
import type { Instant } from "#base/time.ts";
import { type LeaseDriver, createLeaseDriver } from "#daemon/lease-driver.ts";
import type { OwnLease } from "#ipam/lease-terms.ts";
import { type EtcdServer, startEtcd } from "../contract/store-etcd-server.ts";
import { driverSettings } from "./lease-driver-settings.ts";

interface Own {
  readonly state: string;
  readonly cidr?: string;
  readonly reason: string;
}

/** A driver in a process of its own. */
class Node {
  readonly name: string;
  readonly stateDirectory: string;
  own: Own | undefined;
  /** Every state it was in. */
  states: string[] = [];
  leases: readonly string[] = [];
  alive: readonly string[] = [];
  hasEnded = false;
  #child: ChildProcess | undefined;

  constructor(name: string, stateDirectory: string) {
    this.name = name;
    this.stateDirectory = stateDirectory;
  }
  start(url: string, cidr: string, holdSeconds: number): this {
    this.own = undefined;
    this.states = [];
    this.hasEnded = false;
    const args = [join(import.meta.dirname, "lease-driver-child.ts"), url, this.name, this.stateDirectory, cidr, String(holdSeconds)];
    this.#child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    createInterface({ input: this.#child.stdout! }).on("line", (line) => this.#take(JSON.parse(line) as Record<string, unknown>));
    return this;
  }
  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("close", resolve));
    child.kill(signal);
    await gone;
  }
  #take(line: Record<string, unknown>): void {
    if (Array.isArray(line["own"])) this.own = line["own"][0] as Own;
    if (Array.isArray(line["own"]) && this.own) this.states.push(this.own.state);
    if (Array.isArray(line["leases"])) this.leases = line["leases"] as string[];
    if (Array.isArray(line["alive"])) this.alive = line["alive"] as string[];
    if (line["ended"] === true) this.hasEnded = true;
  }
}

async function until(fact: () => unknown, timeout = 20_000): Promise<void> {
  await expect.poll(fact, { timeout, interval: 20 }).toBe(true);
}

describe("on etcd", () => {
  let etcd: EtcdServer, directory: string;
  const nodes: Node[] = [];
  const node = (name: string): Node => {
    const made = new Node(name, mkdtempSync(join(directory, `${name}-`)));
    nodes.push(made);
    return made;
  };
  const holds = (each: Node): boolean => each.own?.state === "held";
  beforeEach(async () => {
    etcd = await startEtcd();
    directory = mkdtempSync(join(tmpdir(), "podway-drivers-"));
  });
  afterEach(async () => {
    for (const each of nodes.splice(0)) await each.end("SIGKILL");
    await etcd.close();
    rmSync(directory, { recursive: true });
  });

  test("three nodes hold three CIDRs and see each other; etcd stopped and restarted changes nothing; a killed daemon has its CIDR again", async () => {
    const three = ["n1", "n2", "n3"].map((name) => node(name).start(etcd.url, "10.42.0.0/16", 300));
    await until(() => three.every(holds));
    const cidrs = three.map(({ own }) => own!.cidr!);
    expect(new Set(cidrs).size).toBe(3);
    await until(() => three.every(({ leases }) => leases.length === 3));

    await etcd.stop();
    await until(() => three.every(({ own }) => own?.state === "doubtful"), 30_000);
    expect(three.map(({ own }) => own!.cidr)).toEqual(cidrs);
    // A daemon that dies and starts while the store is away knows its CIDR, and the others' leases.
    await three[0]!.end("SIGKILL");
    three[0]!.leases = [];
    three[0]!.start(etcd.url, "10.42.0.0/16", 300);
    await until(() => three[0]!.own?.state === "doubtful" && three[0]!.leases.length === 3);
    expect(three[0]!.own!.cidr).toBe(cidrs[0]);

    const before = await etcd.start().then(() => etcd.ctl("get", "/podway/t/leases/", "--prefix"));
    await until(() => three.every(holds));
    expect(three.map(({ own }) => own!.cidr)).toEqual(cidrs);
    expect(three.flatMap(({ states }) => states)).not.toContain("lost");
    // Not one of them wrote its claim anew: etcd shows the same keys and values, at the same revision.
    expect(await etcd.ctl("get", "/podway/t/leases/", "--prefix")).toBe(before);

    await three[1]!.end("SIGKILL");
    three[1]!.start(etcd.url, "10.42.0.0/16", 300);
    await until(() => holds(three[1]!));
    await three[2]!.end("SIGTERM");
    expect(three[2]!.hasEnded).toBe(true);
    expect((await etcd.ctl("get", "/podway/t/leases/p/", "--prefix", "--keys-only")).match(/leases/g)).toHaveLength(3);
    three[2]!.start(etcd.url, "10.42.0.0/16", 300);
    await until(() => holds(three[2]!));
    expect(three.map(({ own }) => own!.cidr)).toEqual(cidrs);
  }, 90_000);

  test("two nodes race for the last CIDR: one gets it, the other says the pool is exhausted, keeps trying, and gets it when it is free", async () => {
    const [a, b] = [node("n1"), node("n2")];
    for (const each of [a, b]) each.start(etcd.url, "10.42.7.0/24", 300);
    await until(() => [a, b].some(holds) && [a, b].some(({ own }) => own?.state === "wanted"));
    const [winner, loser] = holds(a) ? [a, b] : [b, a];
    expect(winner.own!.cidr).toBe("10.42.7.0/24");
    expect(loser.own!.reason).toBe("pool p is exhausted: all 1 CIDRs of /24 in 10.42.7.0/24 are taken or reserved; enlarge the pool or free one");
    await winner.end("SIGKILL");
    // The winner's hold is revoked by hand, as `podway evict` does.
    const entry = JSON.parse(await etcd.ctl("get", "/podway/t/leases/p/10.42.7.0-24", "-w", "json")) as {
      readonly kvs: readonly { readonly lease: number | string }[];
    };
    const lease = /"lease":(\d+)/.exec(await etcd.ctl("get", "/podway/t/leases/p/10.42.7.0-24", "-w", "json"))![1]!;
    expect(entry.kvs).toHaveLength(1);
    await etcd.ctl("lease", "revoke", BigInt(lease).toString(16));
    await until(() => holds(loser));
    expect(loser.own!.cidr).toBe("10.42.7.0/24");
  }, 60_000);

  test("a second machine of one name is refused while the first is alive, and takes over its CIDR after", async () => {
    const first = node("n1").start(etcd.url, "10.42.0.0/16", 300);
    await until(() => holds(first));
    const second = node("n1").start(etcd.url, "10.42.0.0/16", 300);
    await until(() => second.own?.state === "wanted");
    expect(second.own!.reason).toMatch(
      /^node name n1 is in use by another machine \(identity [0-9a-f]{12}-[0-9a-f]{16}\); stop that one, or give this one another name$/,
    );
    expect(holds(first)).toBe(true);
    await first.end("SIGKILL");
    await until(() => holds(second), 30_000);
    expect(second.own!.cidr).toBe(first.own!.cidr);
  }, 60_000);

  test("a node that etcd does not answer lets go at 0.9 of hold, and another that waits gets the CIDR only after", async () => {
    const holder = node("n1").start(etcd.url, "10.42.7.0/24", 12);
    await until(() => holds(holder));
    const waiting = node("n2").start(etcd.url, "10.42.7.0/24", 12);
    await until(() => waiting.own?.state === "wanted");
    const order: string[] = [];
    const watching = setInterval(() => {
      for (const each of [holder, waiting])
        if (each.own && order.at(-1) !== `${each.name} ${each.own.state}` && !order.includes(`${each.name} ${each.own.state}`))
          order.push(`${each.name} ${each.own.state}`);
    }, 5);
    try {
      etcd.freeze();
      await until(() => holder.own?.state === "lost", 40_000);
      expect(holder.own!.cidr).toBeUndefined();
      etcd.thaw();
      await until(() => [holder, waiting].some(holds), 40_000);
      expect([holder, waiting].filter(holds)).toHaveLength(1);
    } finally {
      clearInterval(watching);
      etcd.thaw();
    }
    expect(order.indexOf("n1 lost")).toBeGreaterThan(order.indexOf("n1 doubtful"));
    expect(order.indexOf("n2 held") === -1 || order.indexOf("n2 held") > order.indexOf("n1 lost")).toBe(true);
  }, 90_000);
});

describe("on an embedded store, by a virtual clock", () => {
  let now: number, store: MemoryStore, directory: string, driver: LeaseDriver, stop: AbortController, running: Promise<void>;
  let own: ReadonlyMap<string, OwnLease>, leases: ReadonlyMap<string, Lease> | undefined, firstOwn: OwnLease | undefined;
  const notes: Note[] = [],
    told: string[] = [];
  const settings = driverSettings({ node: "n1", cidr: "10.42.0.0/22", holdSeconds: 600 });

  const start = (isHolder = true): void => {
    stop = new AbortController();
    leases = firstOwn = undefined;
    own = new Map();
    told.length = notes.length = 0;
    const telemetry = { note: (each: Note): void => void notes.push(each), gauge: (): void => undefined };
    driver = createLeaseDriver({ settings, store, clock: { now: () => now as Instant }, telemetry, stateDirectory: directory, version: "0", isHolder });
    driver.onOwn((each) => {
      own = each;
      firstOwn ??= each.get("p");
      told.push("own");
    });
    driver.onLeases((each) => {
      leases = each;
      told.push("leases");
    });
    running = driver.run(stop.signal);
  };
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  beforeEach(async () => {
    now = 1_000_000;
    directory = mkdtempSync(join(tmpdir(), "podway-driver-"));
    store = await createMemoryStore({ clock: { now: () => now as Instant } });
  });
  afterEach(async () => {
    await end();
    await store.close();
    rmSync(directory, { recursive: true });
  });

  test("it tells its own claims first, then all leases, and who is present", async () => {
    start();
    await until(() => own.get("p")?.state === "held" && leases?.size === 1);
    expect(told[0]).toBe("own");
    expect([...leases!.values()][0]).toMatchObject({ node: "n1", cidr: own.get("p")!.cidr, address: "10.0.0.1" });
    await until(() => driver.alive().has("n1"));
    expect(driver.storeState()).toMatchObject({ state: "connected", text: "connected" });
    expect(Number(driver.storeState().revision)).toBeGreaterThan(1);
  });

  test("a pure reflector is present and sees all leases but holds none", async () => {
    start(false);
    await until(() => driver.alive().has("n1") && leases !== undefined);
    expect([own.size, leases!.size]).toEqual([0, 0]);
  });

  test("a pool that is added is leased, one that is removed is told no more, and a changed address is written", async () => {
    start();
    await until(() => own.get("p")?.state === "held");
    const more = { ...settings.pools[0]!, name: "q" };
    driver.follow({ ...settings, pools: [...settings.pools, more] });
    await until(() => own.get("q")?.state === "held" && leases?.size === 2);
    const address6 = settings.address;
    driver.follow({ ...settings, address6, pools: [...settings.pools, more] });
    await until(() => [...leases!.values()].every((lease) => lease.address6 === address6));
    driver.follow({ ...settings, pools: [more] });
    expect([...own.keys()]).toEqual(["q"]);
  });

  test("what it writes to the disk is enough to go on after a restart, also as a wish after its time is over", async () => {
    start();
    await until(() => own.get("p")?.state === "held");
    const { cidr } = own.get("p")!;
    await end();
    start();
    await until(() => own.get("p")?.state === "held");
    expect(firstOwn).toMatchObject({ state: "doubtful", cidr });
    await end();
    // Its hold is over and its claim gone: the node asks for the same one first.
    now += 700_000;
    await store.expire();
    start();
    await until(() => own.get("p")?.state === "held");
    expect(firstOwn).toMatchObject({ state: "asking", cidr: undefined });
    expect(own.get("p")!.cidr).toBe(cidr);
  });

  test("files that hold rubbish are no reason to fail: leases are forgotten, an identity is asked about", async () => {
    writeFileSync(join(directory, "leases.json"), "{");
    start();
    await until(() => own.get("p")?.state === "held");
    const identity = readFileSync(join(directory, "identity"), "utf8");
    expect(identity).toMatch(/^[0-9a-f]{16}\n$/);
    await end();
    writeFileSync(join(directory, "identity"), "rubbish");
    start();
    await expect(running).rejects.toThrow(/identity holds no identity of this node; remove it, and the node takes a new one$/);
    running = Promise.resolve();
  });
});
