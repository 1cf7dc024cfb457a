/** A real daemon with real sessions is recorded; the same machine, run again, answers the same and has the same Loc-RIB. */
import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DaemonProcess, freePort, until } from "../daemon/daemon-process.ts";
import { changed, loopbackDocument } from "../daemon/documents.ts";
import { RawPeer } from "../daemon/raw-peer.ts";
import { replay } from "./replay.ts";

let port: number, document: string, daemon: DaemonProcess, file: string;

beforeEach(async () => {
  port = await freePort();
  document = loopbackDocument({ port, store: "embedded" });
  daemon = new DaemonProcess("rr", document);
  file = join(daemon.directory, "speaker.jsonl");
  daemon.start("--record", file);
  await daemon.until("it listens", ({ listen, document: { revision } }) => listen.state === "listening" && revision !== null);
});
afterEach(() => daemon.dispose());

async function busyHour(): Promise<void> {
  const client = await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 });
  client.keepAlive();
  const ext = await RawPeer.establish({ port, local: "127.0.0.12", asn: 65001 });
  const dynamic = await RawPeer.establish({ port, local: "127.1.2.3", asn: 64512 });
  for (let n = 0; n < 50; n++) ext.announce(`10.8.${n}.0/24`, { asPath: [65001] });
  client.announce("10.11.1.0/24");
  await until("told", () => dynamic.routes.size === 51);
  ext.withdraw("10.8.7.0/24");
  await until("withdrawn", () => !dynamic.routes.has("10.8.7.0/24"));
  daemon.write(changed(document, "import: [all]", "import: [none]"));
  await daemon.podway("apply", daemon.file);
  ext.announce("10.9.9.0/24", { asPath: [65001] });
  await daemon.podway("peers", "shutdown", "clients-127.1.2.3");
  await dynamic.closed();
  await daemon.podway("peers", "refresh", "c1", "--out");
  client.announce("10.11.2.0/24");
  await daemon.until("it is there", ({ routes }) => routes.ipv4 >= 2);
  ext.destroy();
  client.destroy();
}

test("a daemon that stopped", async () => {
  await busyHour();
  await daemon.end();
  const again = await replay(file);
  expect(again).toMatchObject({ end: "stopped", differences: [] });
  expect(again.compared).toBeGreaterThanOrEqual(2);
  expect(statSync(file).mode & 0o077).toBe(0);
  const ran = await replay(file);
  expect(ran.routes).toBe(again.routes);
}, 60_000);

test("one that was killed: what is on disk runs again, and its routes are those of the daemon's last word", async () => {
  const client = await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 });
  client.keepAlive();
  client.announce("10.11.1.0/24");
  client.announce("10.11.2.0/24");
  await daemon.until("they are there", ({ routes }) => routes.ipv4 === 2);
  const size = statSync(file).size;
  await until("it is on disk", () => statSync(file).size > size);
  await daemon.end("SIGKILL");
  client.destroy();
  appendFileSync(file, '{"c":"by'); // cut in the middle of a line
  const { end, differences, speaker } = await replay(file);
  expect([end, differences, speaker.rib.ribs[0].chosen]).toEqual([undefined, [], 2]);
}, 60_000);

test("a recording that was altered is found out, and what is none is named", async () => {
  await busyHour();
  await daemon.end();
  const lines = readFileSync(file, "utf8").split("\n");
  const at = lines.findIndex((line) => line.startsWith('{"c":"accepted"'));
  lines.splice(at, 1);
  const altered = join(daemon.directory, "altered.jsonl");
  writeFileSync(altered, lines.join("\n"));
  expect((await replay(altered)).differences.length).toBeGreaterThan(0);
  truncateSync(altered, 0);
  await expect(replay(altered)).rejects.toThrow("this is no recording of podwayd");
}, 60_000);
