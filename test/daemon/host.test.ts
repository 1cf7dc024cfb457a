/** podway doctor and podway leave on a machine of their own: a network namespace with an etcd, broken in one way after the other. */
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Check } from "#base/check.ts";
import { DaemonProcess, freePort, until } from "./daemon-process.ts";
import { changed } from "./documents.ts";
import { etcdStore, nodeDocument, NodeWorld } from "./node-world.ts";

let world: NodeWorld, daemon: DaemonProcess, port: number, document: string;

beforeAll(async () => {
  world = await NodeWorld.make("host");
});
afterAll(() => world.remove());
beforeEach(async () => {
  port = await freePort();
  document = nodeDocument(port, etcdStore(world.etcd.url));
  daemon = new DaemonProcess("n1", document);
});
afterEach(async () => {
  if (world.namespace.ip("route show 10.77.0.0/16") !== "") world.namespace.ip("route del 10.77.0.0/16");
  await daemon.dispose();
  await world.etcd.ctl("del", "--prefix", "/podway/t/");
});

const where = (): string[] => ["--topology", daemon.file, "--node", "n1", "--state", daemon.state];
async function doctor(): Promise<ReadonlyMap<string, Check>> {
  const ran = await daemon.podway("doctor", "--json", ...where());
  expect(ran.err).toBe("");
  const { checks } = JSON.parse(ran.out) as { readonly checks: readonly Check[] };
  expect(ran.code).toBe(checks.some(({ state }) => state === "fail") ? 1 : 0);
  const worst = new Map<string, Check>();
  for (const check of checks) if (check.state !== "ok" || !worst.has(check.name)) worst.set(check.name, check);
  return worst;
}

describe("doctor", () => {
  test("a node that runs well: nothing is wrong", async () => {
    daemon.start();
    await daemon.until("it holds both", ({ leases }) => leases.filter(({ state }) => state === "held").length === 2);
    const checks = await doctor();
    expect([...checks.values()].filter(({ state }) => state === "fail")).toEqual([]);
    for (const name of ["daemon", "document", "port", "store", "forwarding.ipv4", "uplink", "mtu", "overlap", "rules.nft", "machine-id"])
      expect([name, checks.get(name)?.state]).toEqual([name, "ok"]);
    const screen = await daemon.podway("doctor", ...where());
    expect(screen.out).toMatch(/\n0 fail, \d+ warn, \d+ ok\n$/);
  });

  const broken: readonly (readonly [name: string, state: Check["state"], says: RegExp, breakIt: () => () => void])[] = [
    [
      "forwarding.ipv4",
      "fail",
      /sysctl -w net\.ipv4\.ip_forward=1/,
      () => {
        world.namespace.exec("sysctl -qw net/ipv4/ip_forward=0");
        return () => world.namespace.exec("sysctl -qw net/ipv4/ip_forward=1");
      },
    ],
    [
      "rp-filter",
      "warn",
      /rp_filter is strict on eth0/,
      () => {
        world.namespace.exec("sysctl -qw net/ipv4/conf/eth0/rp_filter=1");
        return () => world.namespace.exec("sysctl -qw net/ipv4/conf/eth0/rp_filter=0");
      },
    ],
    [
      "overlap",
      "fail",
      /pool routed \(10\.42\.0\.0\/16\) overlaps the route 10\.42\.128\.0\/17 over eth0/,
      () => {
        world.namespace.ip("route add 10.42.128.0/17 via 10.0.0.22");
        return () => world.namespace.ip("route del 10.42.128.0/17");
      },
    ],
    [
      "uplink",
      "fail",
      /no device of this machine has 10\.0\.0\.21/,
      () => {
        world.namespace.ip("addr del 10.0.0.21/24 dev eth0");
        return () => world.namespace.ip("addr add 10.0.0.21/24 dev eth0");
      },
    ],
    [
      "rules.nft",
      "fail",
      /chain forward of table inet strict drops forwarded packets of pods/,
      () => {
        world.namespace.exec("nft add table inet strict");
        world.namespace.exec("nft add chain inet strict forward { type filter hook forward priority 0; policy drop; }");
        return () => world.namespace.exec("nft delete table inet strict");
      },
    ],
  ];
  test.each(broken)("%s: %s", async (name, state, says, breakIt) => {
    const mend = breakIt();
    try {
      const check = (await doctor()).get(name);
      expect(check).toMatchObject({ state, text: expect.stringMatching(says) as string });
    } finally {
      mend();
    }
  });

  test("without a daemon: a port that is taken is named with its holder, a store that is away with its endpoint", async () => {
    const holder = createServer().listen(port, "127.0.0.1");
    await new Promise((resolve) => holder.once("listening", resolve));
    daemon.write(changed(document, world.etcd.url, "http://127.0.0.1:1"));
    const checks = await doctor();
    holder.close();
    expect(checks.get("daemon")?.state).toBe("warn");
    expect(checks.get("port")?.text).toMatch(new RegExp(`^port ${port} is taken by .*\\(pid ${process.pid}\\): stop it`));
    expect(checks.get("store")).toMatchObject({
      state: "fail",
      text: "http://127.0.0.1:1 does not answer (ECONNREFUSED): is etcd running there, and is its port open for this node?",
    });
  });

  test("a document that cannot be read is a fault of its own", async () => {
    daemon.write("podway: 1\nname:");
    expect((await doctor()).get("document")?.state).toBe("fail");
  });
});

describe("leave", () => {
  test.each([
    ["runs", async () => undefined],
    ["was killed", () => daemon.end("SIGKILL")],
  ])("whose daemon %s: claims, routes and state are gone, what is foreign stays", async (_what, before) => {
    world.namespace.ip("route add 10.77.0.0/16 via 10.0.0.22");
    await world.claimOfOther("10.44.9.0/24");
    daemon.start();
    await daemon.until("it holds both", ({ leases }) => leases.filter(({ own, state }) => own && state === "held").length === 2);
    await until("the kernel has the other's route", () => world.routes().some((route) => route.startsWith("10.44.9.0/24")));
    const ourClaims = async (): Promise<number> =>
      (await world.etcd.ctl("get", "--prefix", "/podway/t/leases/", "--print-value-only")).split("\n").filter((line) => line.includes('"node":"n1"')).length;
    expect(await ourClaims()).toBeGreaterThanOrEqual(2);
    await before();
    const ran = await daemon.podway("leave", "--yes", ...where());
    expect([ran.code, ran.err]).toEqual([0, ""]);
    expect(ran.out).toContain("kernel routes removed");
    expect(world.routes()).toEqual([]);
    expect(world.namespace.ip("route show 10.77.0.0/16")).toContain("10.0.0.22");
    expect(await ourClaims()).toBe(0);
    expect(await world.etcd.ctl("get", "/podway/t/nodes/n1")).toBe("");
    expect(existsSync(daemon.state)).toBe(false);
  });
});

test("a drained node takes no new pods; one that has its address is answered as before", async () => {
  daemon.start();
  await daemon.until("it holds both", ({ leases }) => leases.filter(({ state }) => state === "held").length === 2);
  let before = "";
  await until("an address is given", async () => {
    const ran = await daemon.podway("ip", "allocate", "first");
    before = ran.out;
    return ran.code === 0;
  });
  expect((await daemon.podway("drain", "--self", "--grace", "1s", "--text", "new disks")).code).toBe(0);
  await daemon.until("it is drained", ({ service }) => service === "drained");
  const refused = await daemon.podway("ip", "allocate", "second");
  expect([refused.code, refused.err]).toEqual([4, expect.stringContaining("this node is drained: its sessions are down and it takes no new pods (new disks)")]);
  expect((await daemon.podway("ip", "allocate", "first")).out).toBe(before);
  await daemon.podway("undrain");
  await daemon.until("it serves", ({ service }) => service === "active");
  expect((await daemon.podway("ip", "allocate", "second")).code).toBe(0);
});
