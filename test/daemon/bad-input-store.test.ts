/** An etcd that is not there, or that does not want us: one sentence, everything else works, and the lease comes when etcd does. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kernelMissing } from "../contract/kernel-netns.ts";
import { startEtcd } from "../contract/store-etcd-server.ts";
import { DaemonProcess, freePort, until } from "./daemon-process.ts";
import { changed, loopbackDocument } from "./documents.ts";
import { etcdStore, nodeDocument, NodeWorld } from "./node-world.ts";
import { RawPeer } from "./raw-peer.ts";

const notYet = "the store has not answered yet";

describe.skipIf(kernelMissing)(`a node whose etcd is away${kernelMissing ?? ""}`, () => {
  let world: NodeWorld, port: number, document: string, daemon: DaemonProcess;
  const neighbour = async (): Promise<RawPeer> => {
    let peer: RawPeer | undefined;
    await until("a session", async () => (peer = await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 })) !== undefined);
    peer!.keepAlive();
    return peer!;
  };
  beforeAll(async () => {
    world = await NodeWorld.make("away");
    await world.claimOfOther("10.44.7.0/24");
    await world.etcd.stop();
    port = await freePort();
    document = nodeDocument(port, etcdStore(world.etcd.url));
    daemon = new DaemonProcess("n1", document);
  });
  afterAll(async () => {
    await daemon.dispose();
    await world.remove();
  });

  test("it starts, says so, keeps its sessions, and gets its lease when etcd comes", async () => {
    daemon.start();
    const peer = await neighbour();
    const away = await daemon.until("the store is away", ({ store }) => store.state === "away" && store.text !== notYet);
    expect(away.store.text).toMatch(/^etcd at http:\/\/127\.0\.0\.1:\d+ cannot be reached: /);
    expect(away.document).toMatchObject({ source: "file", revision: null });
    expect(away.reasons.filter((reason) => reason.startsWith("pool "))).toHaveLength(2);
    expect((await daemon.podway("status")).code).toBe(0);
    expect([...peer.routes]).toEqual([]);
    const applied = await daemon.podway("apply", daemon.file);
    expect(applied).toMatchObject({ code: 4, out: "" });
    expect(applied.err).toMatch(/^podway: the store did not confirm it, .*cannot be reached: .*\n$/);

    await world.etcd.start();
    const held = await daemon.until("its leases", ({ leases }) => leases.length === 2 && leases.every(({ state }) => state === "held"));
    expect(held.store.state).toBe("connected");
    expect(held.document).toMatchObject({ source: "store", fileDiffers: false });
    await until("its CIDR is announced", () => peer.routes.has(held.leases[0]!.cidr!));
    peer.destroy();
  });

  test("with what it remembers it announces and forwards at once, etcd or not", async () => {
    const { leases } = await daemon.until("the neighbour's route", () => world.routes().length === 3);
    const routes = world.routes();
    await until("it has remembered them", () => leases.every(({ cidr }) => readFileSync(join(daemon.state, "leases.json"), "utf8").includes(cidr!)));
    await daemon.end("SIGKILL");
    await world.etcd.stop();
    world.namespace.ip("route del 10.44.7.0/24");
    // The file speaks of another time: the last known document of the store rules, not the file.
    daemon.write(changed(document, "nodes:\n", "timers: { hold: 33s }\nnodes:\n"));
    daemon.start();
    const peer = await neighbour();
    await daemon.until("its CIDR is announced", () => peer.routes.has(leases[0]!.cidr!));
    await until("it forwards", () => world.routes().length === 3);
    expect(world.routes()).toEqual(routes);
    const status = await daemon.until("doubtful", (now) => now.leases.every(({ state }) => state === "doubtful"));
    expect(status.store.state).toBe("away");
    expect(status.document).toMatchObject({ source: "store", fileDiffers: true });
    expect(status.leases.map(({ cidr }) => cidr)).toEqual(leases.map(({ cidr }) => cidr));
    await world.etcd.start();
    const again = await daemon.until("held again", (now) => now.leases.every(({ state }) => state === "held"));
    expect(again.leases.map(({ cidr }) => cidr)).toEqual(leases.map(({ cidr }) => cidr));
    expect((await daemon.peer("c1"))!.flaps).toBe(0);
    peer.destroy();
  });
});

describe("an etcd that does not want us", () => {
  /** What a reflector says of such a store, and that it runs all the same. */
  async function storeText(store: string): Promise<string> {
    const port = await freePort();
    const daemon = new DaemonProcess("rr", loopbackDocument({ port, store })).start();
    try {
      await until("a session", async () => {
        (await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 })).destroy();
        return true;
      });
      const { store: state } = await daemon.until("it has asked", ({ store: now }) => now.state === "away" && now.text !== notYet);
      expect(daemon.isAlive).toBe(true);
      expect(state.text.split("\n")).toHaveLength(1);
      expect(JSON.stringify(daemon.log)).not.toContain("s3cret");
      return state.text;
    } finally {
      await daemon.dispose();
    }
  }

  test("a wrong password, a missing one, and none", async () => {
    const etcd = await startEtcd();
    try {
      await etcd.ctl("user", "add", "root:root-secret");
      await etcd.ctl("user", "grant-role", "root", "root");
      await etcd.ctl("user", "add", "n1:s3cret-right");
      await etcd.ctl("auth", "enable");
      const wrong = join(etcd.directory, "wrong");
      writeFileSync(wrong, "s3cret-wrong\n", { mode: 0o600 });
      const login = (file: string): string => etcdStore(etcd.url, `, username: n1, password: { file: ${file} }`);
      const [bad, missing, none] = await Promise.all([storeText(login(wrong)), storeText(login("/nowhere/password")), storeText(etcdStore(etcd.url))]);
      expect(bad).toMatch(/^etcd at \S+ does not accept the login .*; check the store's username and password/);
      expect(missing).toContain("there is no secret at /nowhere/password");
      expect(none).toMatch(/^etcd at \S+ does not accept the login \(user name is empty\); check/);
    } finally {
      await etcd.close();
    }
  });

  test("a certificate of somebody else's authority, a plain etcd, and a file that is missing", async () => {
    const directory = mkdtempSync(join(tmpdir(), "podway-daemon-tls-"));
    const at = (name: string): string => join(directory, name);
    for (const name of ["server", "stranger"]) {
      const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-addext", "subjectAltName=IP:127.0.0.1"];
      execFileSync("openssl", ["req", "-x509", ...key, "-days", "2", "-subj", `/CN=${name}`, "-keyout", at(`${name}.key`), "-out", at(`${name}.crt`)], {
        stdio: "ignore",
      });
    }
    const secure = await startEtcd({ ca: at("server.crt"), cert: at("server.crt"), key: at("server.key") }),
      plain = await startEtcd();
    const tls = (url: string, ca: string): string => etcdStore(url.replace("http:", "https:"), `, tls: { ca: ${ca} }`);
    try {
      const [strange, unencrypted, missing] = await Promise.all([
        storeText(tls(secure.url, at("stranger.crt"))),
        storeText(tls(plain.url, at("server.crt"))),
        storeText(tls(secure.url, "/nowhere/ca.crt")),
      ]);
      expect(strange).toMatch(/^etcd at https:\S+ cannot be reached: .*(certificate|signed|issuer)/);
      expect(unencrypted).toMatch(/^etcd at https:\S+ cannot be reached: /);
      expect(missing).toContain("/nowhere/ca.crt");
    } finally {
      await Promise.all([secure.close(), plain.close()]);
      rmSync(directory, { recursive: true });
    }
  });
});
