/** A daemon that is killed, stopped and started again on a real kernel with a real etcd: what its neighbours and the kernel see of it. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { noCapabilities } from "#wire/bgp/capability.ts";
import { messageType } from "#wire/bgp/constants.ts";
import type { Open } from "#wire/bgp/open.ts";
import { kernelMissing } from "../contract/kernel-netns.ts";
import { DaemonProcess, freePort, until } from "./daemon-process.ts";
import { etcdStore, nodeDocument, NodeWorld } from "./node-world.ts";
import { endOfRib } from "./messages.ts";
import { RawPeer } from "./raw-peer.ts";

describe.skipIf(kernelMissing)(`restart${kernelMissing ?? ""}`, () => {
  let world: NodeWorld, port: number, daemon: DaemonProcess, monitor: ChildProcess;
  const deleted: string[] = [];
  const ipv4 = { afi: 1, safi: 1 };
  const restartable = (notification: boolean) => ({
    capabilities: { gracefulRestart: { restarting: false, notification, restartSeconds: 120, families: [{ ...ipv4, forwarding: true }] } },
  });
  const terms = (more: object = {}) => ({ port, local: "127.0.0.11", asn: 64512, ...more });
  /** What the daemon's OPEN says; the connection ends. */
  const openOf = async (): Promise<Open> => {
    let open: Open | undefined;
    await until("an OPEN", async () => {
      const peer = await RawPeer.connect(terms());
      open = await peer.open();
      peer.destroy();
      return true;
    });
    return open!;
  };
  const held = async (): Promise<readonly (string | null)[]> =>
    (
      await daemon.until(
        "leases",
        ({ leases, kernel }) => leases.length === 2 && leases.every(({ state }) => state === "held") && kernel.desired > 0 && kernel.differing === 0,
      )
    ).leases.map(({ cidr }) => cidr);

  beforeAll(async () => {
    world = await NodeWorld.make("restart");
    port = await freePort();
    await world.claimOfOther("10.44.7.0/24");
    daemon = new DaemonProcess("n1", nodeDocument(port, etcdStore(world.etcd.url)));
    monitor = spawn("ip", ["monitor", "route", "address", "link"], { stdio: ["ignore", "pipe", "ignore"] });
    createInterface({ input: monitor.stdout! }).on("line", (line) => line.startsWith("Deleted") && deleted.push(line));
  });
  afterAll(async () => {
    monitor?.kill();
    await daemon.dispose();
    await world.remove();
  });

  test("the first start is no restart", async () => {
    daemon.start();
    await held();
    const { capabilities } = await openOf();
    expect(capabilities.gracefulRestart).toMatchObject({ restarting: false, notification: true, families: [ipv4] });
    expect(world.routes()).toContain("10.44.7.0/24 via 10.0.0.22 dev eth0 metric 1024");
  });

  test("killed and started: the same CIDRs, nothing deleted in the kernel, R and F in the first OPEN, the same router id", async () => {
    const before = await held(),
      routes = world.routes(),
      open = await openOf();
    await daemon.end("SIGKILL");
    expect(world.routes()).toEqual(routes);
    daemon.start();
    const again = await openOf();
    expect(again.capabilities.gracefulRestart).toMatchObject({ restarting: true, families: [{ ...ipv4, forwarding: true }] });
    expect(again.bgpIdentifier).toBe(open.bgpIdentifier);
    expect(await held()).toEqual(before);
    expect(world.routes()).toEqual(routes);
    expect(deleted).toEqual([]);
  });

  test("stopped: each neighbour hears what lets it keep the routes, and the kernel stays as it is", async () => {
    const routes = world.routes();
    // RFC 8538: Cease, Administrative Reset. RFC 4724: no NOTIFICATION at all. Neither: Administrative Shutdown.
    const cases = [
      [restartable(true), [6, 4]],
      [restartable(false), undefined],
      [{ capabilities: noCapabilities }, [6, 2]],
    ] as const;
    for (const [more, expected] of cases) {
      if (!daemon.isAlive) daemon.start();
      let peer: RawPeer | undefined;
      await until("a session", async () => (peer = await RawPeer.establish(terms(more))) !== undefined);
      await daemon.end("SIGTERM");
      await peer!.closed();
      const said = peer!.messages.filter(({ type }) => type === messageType.notification);
      expect(said.map(({ body }) => [...body.subarray(0, 2)])).toEqual(expected ? [expected] : []);
    }
    expect(world.routes()).toEqual(routes);
    expect(deleted).toEqual([]);
  });

  test("a restart tells its own CIDR before End-of-RIB", async () => {
    daemon.start();
    let peer: RawPeer | undefined;
    await until("a session", async () => (peer = await RawPeer.establish(terms(restartable(true)))) !== undefined);
    const [routed] = await held();
    peer!.send(endOfRib);
    await until("its End-of-RIB", () => peer!.messages.some(({ type, body }) => type === messageType.update && body.length === 4));
    const endAt = peer!.messages.findIndex(({ type, body }) => type === messageType.update && body.length === 4);
    expect(peer!.messages.slice(0, endAt).some(({ type, body }) => type === messageType.update && body.length > 4)).toBe(true);
    expect([...peer!.routes]).toEqual([routed]);
    peer!.destroy();
  });

  test("after a reboot R is said, and F is not: the kernel forwards nothing of ours", async () => {
    await daemon.end("SIGKILL");
    const mark = join(daemon.state, "running.json");
    const written = JSON.parse(readFileSync(mark, "utf8")) as object;
    writeFileSync(mark, JSON.stringify({ ...written, boot: "00000000-0000-0000-0000-000000000000" }));
    daemon.start();
    expect((await openOf()).capabilities.gracefulRestart).toMatchObject({ restarting: true, families: [{ ...ipv4, forwarding: false }] });
  });

  test("a mark that is old, of another router id, or no mark, is no restart", async () => {
    for (const spoil of [{ at: Date.now() - 3_600_000 }, { routerId: "10.9.9.9" }, undefined]) {
      await daemon.end("SIGKILL");
      const mark = join(daemon.state, "running.json");
      const written = JSON.parse(readFileSync(mark, "utf8")) as object;
      writeFileSync(mark, spoil ? JSON.stringify({ ...written, ...spoil }) : "{");
      daemon.start();
      expect((await openOf()).capabilities.gracefulRestart).toMatchObject({ restarting: false });
    }
  });
});
