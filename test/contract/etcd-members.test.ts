import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { createEtcdStore } from "#adapters/etcd-store.ts";
import { systemClock } from "#adapters/system-clock.ts";
import type { LeaseState } from "#base/lease.ts";
import type { StoreSettings } from "#base/settings.ts";
import { createLeaseDriver, type LeaseDriver } from "#daemon/lease-driver.ts";
import { driverSettings } from "../daemon/lease-driver-settings.ts";

const folder = mkdtempSync(join(tmpdir(), "podway-members-")),
  ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
  rmSync(folder, { recursive: true, force: true });
});

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once("listening", resolve))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

interface Member {
  readonly url: string;
  start(): void;
  kill(): Promise<void>;
}
/** Three members of one etcd, on loopback ports, each with its own directory. */
async function members(): Promise<readonly Member[]> {
  const ports = await freePorts(6),
    names = ["a", "b", "c"];
  const cluster = names.map((name, i) => `${name}=http://127.0.0.1:${ports[3 + i]}`).join(",");
  return names.map((name, i) => {
    const url = `http://127.0.0.1:${ports[i]}`,
      peer = `http://127.0.0.1:${ports[3 + i]}`;
    let child: ChildProcess | undefined;
    const start = (): void => {
      const args = ["--name", name, "--data-dir", join(folder, name), "--listen-client-urls", url, "--advertise-client-urls", url];
      args.push("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster);
      child = spawn("etcd", args, { stdio: "ignore" });
    };
    const kill = async (): Promise<void> => {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child!.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
    };
    ends.push(kill);
    return { url, start, kill };
  });
}

interface Node {
  readonly driver: LeaseDriver;
  readonly seen: LeaseState[];
}
function startNode(name: string, endpoints: readonly string[]): Node {
  const settings = driverSettings({ url: endpoints[0]!, node: name, cidr: "10.42.0.0/16", holdSeconds: 600 });
  const store = createEtcdStore({ ...(settings.store as Extract<StoreSettings, { kind: "etcd" }>), endpoints }, () => Promise.reject(new Error("no secret")));
  const driver = createLeaseDriver({
    settings,
    store,
    clock: systemClock,
    telemetry: { note: () => undefined, gauge: () => undefined },
    stateDirectory: mkdtempSync(join(folder, `${name}-`)),
    version: "0",
    isHolder: true,
  });
  const stop = new AbortController(),
    seen: LeaseState[] = [];
  driver.onOwn((own) => seen.push(own.get("p")!.state));
  const run = driver.run(stop.signal);
  ends.push(async () => {
    stop.abort();
    await run;
    await store.close();
  });
  return { driver, seen };
}
const own = ({ driver }: Node): { readonly state: LeaseState | undefined; readonly cidr: string | undefined; readonly confirmedAt: number } => {
  const lease = driver.own().get("p");
  return { state: lease?.state, cidr: lease?.cidr, confirmedAt: lease?.confirmedAt ?? -Infinity };
};
async function until(fact: () => boolean, millis: number): Promise<void> {
  for (const end = performance.now() + millis; !fact(); await wait(50))
    if (performance.now() > end) throw new Error(`not within ${millis} ms: ${String(fact)}`);
}

test("of three etcd members one is killed: renewals go on; two: doubtful, and everything is kept; one comes back: held, by the same nodes", async () => {
  const etcd = await members();
  for (const member of etcd) member.start();
  const urls = etcd.map(({ url }) => url);
  // Each begins at another member, so that each death cuts somebody off.
  const nodes = [0, 1, 2].map((i) => startNode(`n${i + 1}`, [...urls.slice(i), ...urls.slice(0, i)]));
  await until(() => nodes.every((node) => own(node).state === "held"), 60_000);
  const cidrs = nodes.map((node) => own(node).cidr);
  expect(new Set(cidrs).size).toBe(3);

  await etcd[0]!.kill();
  const killed = systemClock.now();
  // An election and another endpoint later every node renews again.
  await until(() => nodes.every((node) => own(node).state === "held" && own(node).confirmedAt > killed + 3000), 60_000);
  expect(nodes.map((node) => own(node).cidr)).toEqual(cidrs);

  await etcd[1]!.kill();
  await until(() => nodes.every((node) => own(node).state === "doubtful"), 60_000);
  expect(nodes.map((node) => own(node).cidr)).toEqual(cidrs);

  etcd[1]!.start();
  await until(() => nodes.every((node) => own(node).state === "held"), 90_000);
  expect(nodes.map((node) => own(node).cidr)).toEqual(cidrs);
  for (const { seen } of nodes) expect(seen).not.toContain("lost");
}, 300_000);
