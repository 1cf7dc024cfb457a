/** A state directory that cannot be written, is full, or has another daemon; a socket that is taken. One sentence, and no claim is lost. */
import { execFileSync } from "node:child_process";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { kernelMissing } from "../contract/kernel-netns.ts";
import { DaemonProcess, freePort, until } from "./daemon-process.ts";
import { changed, loopbackDocument } from "./documents.ts";
import { etcdStore, nodeDocument, NodeWorld } from "./node-world.ts";
import { RawPeer } from "./raw-peer.ts";

let daemon: DaemonProcess, other: DaemonProcess | undefined, port: number;
beforeEach(async () => {
  port = await freePort();
  daemon = new DaemonProcess("rr", loopbackDocument({ port }));
});
afterEach(async () => {
  await other?.dispose();
  other = undefined;
  await daemon.dispose();
});
const failure = (): readonly string[] => daemon.said("daemon.failed");
const listening = (of: DaemonProcess) => of.until("it listens", ({ listen }) => listen.state === "listening");

test("a file where the state directory should be", async () => {
  writeFileSync(daemon.state, "");
  expect(await daemon.start().exit()).toBe(1);
  expect(failure()).toEqual([
    `the state directory ${daemon.state} cannot be made: EEXIST: file already exists, mkdir '${daemon.state}'; give a directory that can be written with --state`,
  ]);
  expect(daemon.log).toHaveLength(1);
});

test("two daemons with one state directory: the second says whose it is, the first goes on", async () => {
  daemon.start();
  await listening(daemon);
  const peer = await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 });
  other = new DaemonProcess("rr", loopbackDocument({ port: await freePort() }));
  other.state = daemon.state;
  expect(await other.start().exit()).toBe(1);
  expect(other.log.map(({ text }) => text)).toEqual([
    `the state directory ${daemon.state} is in use by process ${daemon.pid}; stop that daemon, or give this one another --state`,
  ]);
  expect(await daemon.peer("c1")).toMatchObject({ state: "Established", flaps: 0 });
  peer.destroy();
  await daemon.end("SIGKILL");
  other.start();
  await listening(other);
});

test("two daemons with one socket: the second says so, the first goes on answering", async () => {
  daemon.start();
  await listening(daemon);
  other = new DaemonProcess("rr", loopbackDocument({ port: await freePort() }));
  other.api = daemon.api;
  expect(await other.start().exit()).toBe(1);
  expect(other.said("daemon.failed")).toEqual([`another podwayd answers at ${daemon.api}: stop it, or give this one another path with --api.`]);
  expect((await daemon.status()).node).toBe("rr");
  await daemon.end("SIGKILL");
  other.start();
  await listening(other);
});

test("a socket path that is a file", async () => {
  writeFileSync(daemon.api, "");
  expect(await daemon.start().exit()).toBe(1);
  expect(failure()).toEqual([`${daemon.api} is in the way and is no socket: remove it or give another path with --api.`]);
});

describe.skipIf(kernelMissing)(`a file system that is full or read-only${kernelMissing ?? ""}`, () => {
  const mount = (...args: readonly string[]): void => void execFileSync("mount", [...args, daemon.state]);
  /** Leaves nothing of the file system free. */
  const fill = (): void => {
    try {
      for (let i = 0; ; i++) writeFileSync(join(daemon.state, `filler-${i}`), Buffer.alloc(4096));
    } catch (cause) {
      expect((cause as NodeJS.ErrnoException).code).toBe("ENOSPC");
    }
  };
  const made = (): void => {
    mkdirSync(daemon.state);
    mount("-t", "tmpfs", "-o", "size=64k", "tmpfs");
  };
  afterEach(async () => {
    await daemon.end("SIGKILL");
    execFileSync("umount", [daemon.state]);
  });

  test.each([
    ["full", fill, "ENOSPC"],
    ["read-only", () => mount("-o", "remount,ro"), "EROFS"],
  ])("%s at the start: it starts, and status says so", async (_name, spoil, code) => {
    made();
    spoil();
    daemon.start();
    const { warnings } = await listening(daemon);
    expect(warnings).toEqual([
      `the state directory ${daemon.state} cannot be written (${code}): what this daemon learns is forgotten when it stops; make room there`,
    ]);
    (await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 })).destroy();
    await until("the mark is missed", () => daemon.said("daemon.no-restart-mark").length === 1);
  });

  test("full with an embedded store: the store names what is wrong", async () => {
    made();
    fill();
    daemon.write(loopbackDocument({ port, store: "embedded" }));
    expect(await daemon.start().exit()).toBe(1);
    expect(failure()).toEqual([expect.stringMatching(/^the embedded store cannot use .*ENOSPC.*; make it writable, or give another --state$/)]);
  });

  test("full while it runs: an apply is refused in one sentence, and works once there is room", async () => {
    made();
    const document = loopbackDocument({ port, store: "embedded" });
    daemon.write(document);
    daemon.start();
    const { revision } = (await daemon.until("it runs", ({ document: of, listen }) => of.revision !== null && listen.state === "listening")).document;
    const peer = await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 });
    peer.keepAlive();
    fill();
    // Too long for what is left in the last block of the journal.
    daemon.write(changed(document, "nodes:\n", `# ${"x".repeat(8000)}\nnodes:\n`));
    const applied = await daemon.podway("apply", daemon.file);
    expect(applied.code).toBe(4);
    expect(applied.err.trimEnd().split("\n")).toHaveLength(1);
    expect(applied.err).toMatch(/ENOSPC|no space/);
    expect((await daemon.status()).document.revision).toBe(revision);
    execFileSync("sh", ["-c", `rm ${daemon.state}/filler-*`]);
    await until("the apply works", async () => (await daemon.podway("apply", daemon.file)).code === 0);
    expect(await daemon.peer("c1")).toMatchObject({ state: "Established", flaps: 0 });
    peer.destroy();
  });

  test("full while a node holds leases: it keeps them, over a kill as well", async () => {
    const world = await NodeWorld.make("full");
    const node = new DaemonProcess("n1", nodeDocument(port, etcdStore(world.etcd.url)));
    node.state = daemon.state;
    made();
    try {
      node.start();
      const isHeld = async () =>
        (await node.until("its leases", ({ leases }) => leases.length === 2 && leases.every(({ state }) => state === "held"))).leases.map(({ cidr }) => cidr);
      const held = await isHeld();
      await until("they are remembered", () => statSync(join(node.state, "leases.json")).size > 0);
      fill();
      await node.end("SIGKILL");
      node.start();
      expect(await isHeld()).toEqual(held);
      expect((await node.status()).warnings[0]).toMatch(/cannot be written \(ENOSPC\)/);
    } finally {
      await node.dispose();
      await world.remove();
    }
  });
});
