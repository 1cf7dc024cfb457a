import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { changeTo } from "#overlay/filter-change.ts";
import { planMasquerade } from "#overlay/masquerade.ts";
import type { PacketFilter } from "#ports/filter.ts";
import { openNftKernel } from "../../src/adapters/nft-kernel.ts";
import { Namespace } from "../contract/kernel-netns.ts";
import { nft, nftMissing } from "../contract/nft-netns.ts";
import { pool, prefix } from "./world.ts";

const execute = promisify(execFile);
const script = new URL("./source-mirror.ts", import.meta.url).pathname;
const node = { outside4: "192.0.2.1", outside6: "2001:db8::1" } as const;
/** Everything beyond the node: the world, and a pod of another node, which is reached the same way here. */
const beyond = { world4: "192.0.2.9", world6: "2001:db8::9", remotePod: "10.43.9.9", remotePod6: "fd43:0:0:9::9" } as const;
const pod = { hidden: "10.43.1.5", plain: "10.42.1.5", hidden6: "fd43:0:0:1::5" } as const;
const pools = [
  pool({ name: "hidden", masquerade: true }),
  pool({ name: "plain", cidr: prefix("10.42.0.0/16") }),
  pool({ name: "hidden6", cidr: prefix("fd43::/48"), family: 6, nodePrefix: 64, masquerade: true }),
];

describe.skipIf(nftMissing !== undefined)(`what others see of a pod's address${nftMissing ?? ""}`, () => {
  let machine: Namespace, outside: Namespace, inside: Namespace, leave: () => void, filter: PacketFilter, mirror: ChildProcess;

  beforeAll(async () => {
    machine = new Namespace("nft-node");
    outside = new Namespace("nft-out");
    inside = new Namespace("nft-pod");
    wire();
    leave = machine.enter();
    filter = openNftKernel();
    mirror = spawn("ip", ["netns", "exec", outside.name, process.execPath, script, "serve", ...Object.values(beyond)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(mirror.stdout!, "data");
    await filter.apply({ kind: "anew", table: planMasquerade(pools)! });
  }, 30_000);
  afterAll(async () => {
    mirror.kill("SIGKILL");
    await filter.close();
    leave();
    for (const namespace of [machine, outside, inside]) namespace.remove();
  });

  function wire(): void {
    machine.ip(`link add eth0 type veth peer name eth0 netns ${outside.name}`);
    machine.ip(`link add pod0 type veth peer name eth0 netns ${inside.name}`);
    for (const line of [
      `addr add ${node.outside4}/24 dev eth0`,
      `addr add ${node.outside6}/64 dev eth0 nodad`,
      "addr add 169.254.1.1/32 dev pod0",
      "addr add fe80::1/64 dev pod0 nodad",
    ])
      machine.ip(line);
    for (const line of [
      `addr add ${beyond.world4}/24 dev eth0`,
      `addr add ${beyond.world6}/64 dev eth0 nodad`,
      `addr add ${beyond.remotePod}/32 dev lo`,
      `addr add ${beyond.remotePod6}/128 dev lo`,
    ])
      outside.ip(line);
    for (const end of [machine, outside, inside]) end.ip("link set eth0 up");
    machine.ip("link set pod0 up");
    for (const address of Object.values(pod)) inside.ip(`addr add ${address}/${address.includes(":") ? "128 dev eth0 nodad" : "32 dev eth0"}`);
    for (const line of ["route add 169.254.1.1/32 dev eth0", "route add default via 169.254.1.1", "-6 route add default via fe80::1 dev eth0"]) inside.ip(line);
    for (const address of [pod.hidden, pod.plain]) machine.ip(`route add ${address}/32 dev pod0`);
    machine.ip(`-6 route add ${pod.hidden6}/128 dev pod0`);
    machine.ip(`route add 10.43.9.0/24 via ${beyond.world4}`);
    machine.ip(`-6 route add fd43:0:0:9::/64 via ${beyond.world6}`);
    for (const line of ["10.42.0.0/15 via 192.0.2.1", "-6 fd43::/48 via 2001:db8::1"])
      outside.ip(line.startsWith("-6") ? `-6 route add ${line.slice(3)}` : `route add ${line}`);
    for (const path of ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]) machine.exec(`sysctl -qw ${path}=1`);
  }

  /** What the mirror at `to` saw of datagrams from the pod's address `from`. */
  async function seen(from: string, to: string, port = 7000, count = 1): Promise<readonly string[]> {
    const { stdout } = await execute("ip", ["netns", "exec", inside.name, process.execPath, script, "ask", to, String(port), from, String(count)]);
    return JSON.parse(stdout) as string[];
  }

  test("the world sees the node's address, IPv4 and IPv6", async () => {
    expect(await seen(pod.hidden, beyond.world4)).toEqual([node.outside4]);
    expect(await seen(pod.hidden6, beyond.world6)).toEqual([node.outside6]);
  });
  test("of a pool without masquerade it sees the pod's own", async () => {
    expect(await seen(pod.plain, beyond.world4)).toEqual([pod.plain]);
  });
  test("pods see each other's own addresses, across pools too", async () => {
    expect(await seen(pod.hidden, beyond.remotePod)).toEqual([pod.hidden]);
    expect(await seen(pod.plain, beyond.remotePod)).toEqual([pod.plain]);
    expect(await seen(pod.hidden6, beyond.remotePod6)).toEqual([pod.hidden6]);
  });
  test("a pod sees who in the world talks to it, and answers under the address it was asked at", async () => {
    const server = spawn("ip", ["netns", "exec", inside.name, process.execPath, script, "serve", pod.hidden], { stdio: ["ignore", "pipe", "inherit"] });
    await once(server.stdout, "data");
    const { stdout } = await execute("ip", ["netns", "exec", outside.name, process.execPath, script, "ask", pod.hidden, "7000", beyond.world4, "1"]);
    server.kill("SIGKILL");
    expect(JSON.parse(stdout)).toEqual([beyond.world4]);
  });

  test("what kube-proxy marked is left to it, among whatever bits; other marks change nothing", async () => {
    nft(
      machine,
      "table ip marks { chain pre { type filter hook prerouting priority mangle; udp dport 7001 meta mark set 0x1c000; udp dport 7002 meta mark set 0x18000; }; }",
    );
    expect(await seen(pod.hidden, beyond.world4, 7001)).toEqual([pod.hidden]);
    expect(await seen(pod.hidden, beyond.world4, 7002)).toEqual([node.outside4]);
    machine.ip("addr add 192.0.2.77/24 dev eth0");
    const kubeProxy = "table ip kube-proxy { chain post { type nat hook postrouting priority srcnat; meta mark & 0x4000 == 0 return; snat to 192.0.2.77; }; }";
    nft(machine, kubeProxy);
    expect(await seen(pod.hidden, beyond.world4, 7001)).toEqual(["192.0.2.77"]);
    expect(await seen(pod.hidden, beyond.world4, 7002)).toEqual([node.outside4]);
    // The other order: their chain first, ours after it.
    await filter.apply({ kind: "anew", table: planMasquerade(pools)! });
    expect(await seen(pod.hidden, beyond.world4, 7001)).toEqual(["192.0.2.77"]);
    expect(await seen(pod.hidden, beyond.world4, 7002)).toEqual([node.outside4]);
    nft(machine, "delete table ip marks\ndelete table ip kube-proxy");
  });

  test("while the table changes over and over, every new connection is masqueraded", async () => {
    const more = pool({ name: "more", cidr: prefix("10.50.0.0/16") });
    const tables = [[...pools, more], pools.slice(0, 2), pools].map((some) => planMasquerade(some)!);
    let isAsking = true;
    const changes: string[] = [],
      asking = seen(pod.hidden, beyond.world4, 7000, 2000).finally(() => (isAsking = false));
    for (let i = 0; isAsking; i++) {
      const wanted = tables[i % tables.length]!;
      for (let change = changeTo(wanted, await filter.look()); change !== undefined; change = changeTo(wanted, await filter.look())) {
        await filter.apply(change);
        changes.push(change.kind);
      }
    }
    expect(await asking).toEqual([node.outside4]);
    expect(new Set(changes)).toEqual(new Set(["sets", "elements", "rules", "objects"]));
    console.log(`2,000 connections, ${changes.length} transactions meanwhile`);
  });

  test("without our table the world sees the pod's address, and knows no better", async () => {
    await filter.apply({ kind: "remove" });
    expect(await seen(pod.hidden, beyond.world4)).toEqual([pod.hidden]);
  });
});
