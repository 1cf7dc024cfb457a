/** The operator's verbs on a daemon that runs: what `podway` says is what neighbours see. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { messageType } from "#wire/bgp/constants.ts";
import type { ClusterView } from "#daemon/control.ts";
import { controlPaths } from "#daemon/control.ts";
import { type HistoryView, operatorPaths } from "#daemon/operator-control.ts";
import { DaemonProcess, freePort, until } from "./daemon-process.ts";
import { changed, loopbackDocument } from "./documents.ts";
import { RawPeer } from "./raw-peer.ts";

const cease = 6,
  administrativeShutdown = 2,
  administrativeReset = 4,
  hardReset = 9;

let port: number, document: string, daemon: DaemonProcess, client: RawPeer;

beforeEach(async () => {
  port = await freePort();
  document = loopbackDocument({ port, store: "embedded" });
  daemon = new DaemonProcess("rr", document).start();
  await daemon.until("it listens", ({ listen, document: { revision } }) => listen.state === "listening" && revision !== null);
  client = await establish();
});
afterEach(async () => {
  client.destroy();
  await daemon.dispose();
});

async function establish(more: object = {}): Promise<RawPeer> {
  const peer = await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512, ...more });
  peer.keepAlive();
  return peer;
}
/** What it printed; it must have worked. */
async function podway(...words: string[]): Promise<string> {
  const ran = await daemon.podway(...words);
  expect([ran.code, ran.err]).toEqual([0, ""]);
  return ran.out;
}
async function refused(...words: string[]): Promise<string> {
  const ran = await daemon.podway(...words);
  expect([ran.code, ran.out]).toEqual([1, ""]);
  return ran.err;
}
const history = async (): Promise<HistoryView> => JSON.parse(await podway("history", "--json")) as HistoryView;
const isDown = (): Promise<void> => expect(RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 })).rejects.toThrow("type 1");

describe("documents on trial", () => {
  const trial = (): void => daemon.write(changed(document, "name: c1, address", "name: c1, maxPrefixes: 7, address"));

  test("one that nobody confirms goes back, and history says so", async () => {
    trial();
    expect(await podway("apply", daemon.file, "--confirm", "8s")).toContain("it goes back in 8s unless you say podway confirm");
    expect((await daemon.get<HistoryView>(operatorPaths.history)).pending).toMatchObject({ secondsLeft: expect.any(Number) as number });
    expect(await refused("apply", daemon.file)).toContain("`podway confirm` it, or `podway rollback`, and then apply");
    await daemon.until("it went back", ({ document: { fileDiffers } }) => fileDiffers);
    const { pending, revisions } = await history();
    expect(pending).toBeNull();
    expect(revisions.map(({ how, rules }) => [how, rules])).toEqual([
      ["not confirmed", true],
      ["apply, to be confirmed", false],
      ["filled", false],
    ]);
    expect(revisions[1]!.changes).toEqual(["peers.c1.maxPrefixes: (none) -> 7 (applied now)"]);
    expect(await refused("confirm")).toContain("no apply waits to be confirmed");
  });

  test("one that is confirmed stays, and rollback brings back what was before, or any revision", async () => {
    trial();
    await podway("apply", daemon.file, "--confirm", "1h");
    expect(await podway("confirm")).toMatch(/^revision \d+ is kept\n$/);
    expect((await history()).pending).toBeNull();
    const first = (await history()).revisions.at(-1)!.revision;
    await podway("rollback");
    expect((await history()).revisions.map(({ how }) => how)).toEqual(["rollback", "apply, to be confirmed", "filled"]);
    expect(await podway("document")).toBe(document);
    await podway("apply", daemon.file);
    await podway("rollback", first);
    expect(await podway("document")).toBe(document);
    expect(await refused("rollback", "999999")).toContain("the history holds no revision 999999");
  });

  test("the daemon that took the apply is killed: the next one takes the document back", async () => {
    trial();
    await podway("apply", daemon.file, "--confirm", "3s");
    await daemon.end("SIGKILL");
    daemon.start();
    await daemon.until("it went back", ({ document: d }) => d.source === "store" && d.fileDiffers);
    expect(await podway("document")).toBe(document);
    expect((await history()).revisions[0]!.how).toBe("not confirmed");
  });
});

test("without a store a document rules on trial, and the file again after it, or after a restart; confirmed, it is the file", async () => {
  const alone = new DaemonProcess("rr", loopbackDocument({ port: await freePort() }));
  try {
    const before = loopbackDocument({ port: await freePort() }),
      after = changed(before, "connectRetry: 1s", "connectRetry: 2s");
    alone.write(before);
    alone.start();
    await alone.until("it listens", ({ listen }) => listen.state === "listening");
    const proposal = new DaemonProcess("rr", after);
    const rules = async (): Promise<string> => (await alone.podway("document")).out;
    expect((await alone.podway("apply", proposal.file)).err).toContain("try it with `podway apply --confirm 5m`");
    await alone.podway("apply", proposal.file, "--confirm", "1s");
    expect(await rules()).toBe(after);
    await until("the file rules again", async () => (await rules()) === before);
    await alone.podway("apply", proposal.file, "--confirm", "1h");
    await alone.podway("rollback");
    expect(await rules()).toBe(before);
    await alone.podway("apply", proposal.file, "--confirm", "1h");
    expect((await alone.podway("confirm")).out).toContain("stands in the file");
    await alone.end();
    alone.start();
    await alone.until("it listens", ({ listen }) => listen.state === "listening");
    expect(await rules()).toBe(after);
    await proposal.dispose();
  } finally {
    await alone.dispose();
  }
});

describe("peers", () => {
  test("reset: Cease, Administrative Reset, with the text; --hard is hard for a peer that would survive it; both come back", async () => {
    await podway("peers", "reset", "c1", "--text", "new optics");
    const { body } = await client.message(messageType.notification);
    expect([...body.subarray(0, 2)]).toEqual([cease, administrativeReset]);
    expect(Buffer.from(body).toString()).toContain("new optics");
    const gracefulRestart = { restarting: false, notification: true, restartSeconds: 60, families: [{ afi: 1, safi: 1, forwarding: true }] };
    client = await establish({ capabilities: { gracefulRestart } });
    await podway("peers", "reset", "127.0.0.11", "--hard");
    expect(await client.notification()).toEqual([cease, hardReset]);
    client = await establish();
    expect(await refused("peers", "reset", "nobody")).toContain('there is no peer "nobody"');
  });

  test("refresh: in asks for everything, out tells everything, the session stays", async () => {
    await podway("peers", "refresh", "c1");
    await client.message(messageType.routeRefresh);
    const ext = await RawPeer.establish({ port, local: "127.0.0.12", asn: 65001 });
    ext.announce("10.8.1.0/24", { asPath: [65001] });
    const updates = (): number => client.messages.filter(({ type, body }) => type === messageType.update && body.length > 4).length;
    await until("told", () => updates() === 1);
    await podway("peers", "refresh", "c1", "--out");
    await until("told again", () => updates() === 2);
    expect(await daemon.peer("c1")).toMatchObject({ state: "Established", flaps: 0 });
    ext.destroy();
    await until("it is down", async () => (await daemon.peer("ext"))?.state !== "Established");
    expect(await refused("peers", "refresh", "ext")).toContain("so there is nothing to refresh");
  });

  test("shutdown lasts over a document and a restart, until enable; dynamic neighbours too", async () => {
    expect(await podway("peers", "shutdown", "c1", "--text", "bad cable")).toContain("c1 is shut down, also after restarts");
    expect(await client.notification()).toEqual([cease, administrativeShutdown]);
    expect(await daemon.peer("c1")).toMatchObject({ state: "Idle", reason: expect.stringContaining("shut down by an operator: bad cable") as string });
    await isDown();
    daemon.write(changed(document, "name: c1, address", "name: c1, holdTime: 30s, address"));
    await podway("apply", daemon.file);
    await isDown();
    await daemon.end();
    daemon.start();
    await daemon.until("it listens", ({ listen }) => listen.state === "listening");
    await isDown();
    expect(await daemon.peer("c1")).toMatchObject({ state: "Idle", reason: "shut down by an operator: bad cable" });
    await podway("peers", "enable", "c1");
    client = await establish();
    const dynamic = await RawPeer.establish({ port, local: "127.1.0.9", asn: 64512 });
    await podway("peers", "shutdown", "clients-127.1.0.9");
    expect(await dynamic.notification()).toEqual([cease, administrativeShutdown]);
    await expect(RawPeer.establish({ port, local: "127.1.0.9", asn: 64512 })).rejects.toThrow("type 1");
    expect(await daemon.peer("c1")).toMatchObject({ state: "Established", flaps: 0 });
  });
});

describe("drain", () => {
  test("the last reflector only by force; then sessions end hard, and come back with undrain, also after a restart", async () => {
    expect(await refused("drain", "--self")).toContain("rr is the last reflector in service");
    expect(await refused("drain", "n9")).toContain('the document declares no node "n9"');
    const ext = await RawPeer.establish({ port, local: "127.0.0.12", asn: 65001 });
    ext.announce("10.8.1.0/24", { asPath: [65001] });
    await until("told", () => client.routes.has("10.8.1.0/24"));
    await podway("drain", "rr", "--force", "--text", "new memory", "--grace", "3s");
    const { service } = await daemon.until("the warning", ({ warnings }) => warnings.some((text) => text.includes("new memory")));
    expect(service).toBe("draining");
    const isMarked = ({ type, body }: { readonly type: number; readonly body: Uint8Array }): boolean =>
      type === messageType.update && Buffer.from(body).toString("hex").includes("ffff0000");
    await until("its routes are marked GRACEFUL_SHUTDOWN", () => client.messages.some(isMarked));
    expect(await client.notification()).toEqual([cease, administrativeShutdown]);
    await daemon.until("it is drained", (status) => status.service === "drained");
    ext.destroy();
    expect((await daemon.get<ClusterView>(controlPaths.cluster)).nodes.map(({ name, drained }) => [name, drained])).toEqual([
      ["rr", true],
      ["n1", false],
    ]);
    await isDown();
    await daemon.end();
    daemon.start();
    await daemon.until("it is drained still", (status) => status.service === "drained" && status.listen.state === "listening");
    await isDown();
    await podway("undrain");
    await daemon.until("it serves", (status) => status.service === "active");
    client = await establish();
    expect(await refused("undrain", "rr")).toContain("node rr is not drained");
  }, 60_000);
});

test("leave: sessions end hard, the daemon stops, and its directory is gone", async () => {
  expect(await refused("evict", "n1")).toContain("node n1 holds no CIDR");
  expect(await podway("leave", "--yes", "--state", daemon.state)).toContain(`the state directory ${daemon.state} removed`);
  expect(await client.notification()).toEqual([cease, administrativeShutdown]);
  expect(await daemon.exit()).toBe(0);
});
