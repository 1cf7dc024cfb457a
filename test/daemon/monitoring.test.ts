/** Monitoring from outside: what a BMP station is told, and what stands in MRT files, octet by octet. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { announcement, endOfRib, prefixesOf } from "./messages.ts";
import { BmpReader, type Told } from "./bmp-reader.ts";
import { DaemonProcess, freePort, until } from "./daemon-process.ts";
import { RawPeer } from "./raw-peer.ts";

const client = "127.2.0.1";
let station: BmpReader, daemon: DaemonProcess, port: number, folder: string;

const document = (monitoring: string): string => `
podway: 1
name: monitored
asn: 65000
store: none
listen: { address: 127.0.0.1, port: ${port} }
gracefulRestart: off
nodes:
  rr: { address: 127.0.0.1, roles: [reflector], routerId: 10.0.0.1 }
peers:
  - { name: clients, range: 127.2.0.0/16, asn: 65000, client: true }
monitoring: ${monitoring}
`;
const bmp = (): string => `{ bmp: [ { name: watcher, address: 127.0.0.1, port: ${station.port}, statistics: 1s } ] }`;

beforeEach(async () => {
  station = await BmpReader.listen();
  port = await freePort();
  folder = mkdtempSync(join(tmpdir(), "podway-mrt-"));
});
afterEach(async () => {
  await daemon.dispose();
  station.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Prefixes the UPDATEs of these messages leave announced. */
function held(told: readonly Told[]): readonly string[] {
  const prefixes = new Set<string>();
  for (const { body } of told) {
    const { withdrawn, announced } = prefixesOf(body.subarray(19));
    for (const prefix of withdrawn) prefixes.delete(prefix);
    for (const prefix of announced) prefixes.add(prefix);
  }
  return [...prefixes].toSorted();
}
const monitored = (peer: string): readonly string[] => held(station.of("route monitoring", peer));

test("a station hears of a peer, its UPDATEs as they came, the Loc-RIB, counts, and the end", async () => {
  daemon = new DaemonProcess("rr", document(bmp())).start();
  const peer = await daemon
    .until("it listens", ({ listen }) => listen.state === "listening")
    .then(() => RawPeer.establish({ port, local: client, asn: 65000 }));
  peer.keepAlive();
  const update = announcement("10.1.0.0/16", { nextHop: client, localPref: 100, asPath: [65001, 65002] });
  peer.send(update);
  await until("the route is told twice", () => monitored(client).length === 1 && monitored("loc-rib").length === 1);
  expect(station.told[0]!.type).toBe("initiation");
  expect(station.told[0]!.body.toString()).toContain("rr");
  expect(station.of("route monitoring", client)[0]!.body.equals(update)).toBe(true);
  expect(station.of("peer up", "loc-rib")[0]!.body.subarray(-6).toString()).toBe("global");
  const up = station.of("peer up", client)[0]!;
  expect(up.asn).toBe(65000);
  // both OPENs, whole: ours says AS 65000 and identifier 10.0.0.1, theirs is what the peer sent
  expect(up.body.readUInt16BE(16)).toBe(port);
  expect(up.body.subarray(20 + 24, 20 + 28)).toEqual(Buffer.of(10, 0, 0, 1));
  await until("counts", () => station.of("statistics", client).length > 0);
  peer.withdraw("10.1.0.0/16");
  await until("it is withdrawn in both", () => monitored(client).length === 0 && monitored("loc-rib").length === 0);
  peer.destroy();
  await until("the peer is down", () => station.of("peer down", client).length === 1);
  expect(station.of("peer down", client)[0]!.body).toEqual(Buffer.of(4));
  await daemon.end();
  await until("the last word", () => station.told.at(-1)?.type === "termination");
});

test("a station that comes late is told what is held, End-of-RIB, and then what changes; one that goes is dialled again", async () => {
  daemon = new DaemonProcess("rr", document(bmp())).start();
  const peer = await daemon
    .until("it listens", ({ listen }) => listen.state === "listening")
    .then(() => RawPeer.establish({ port, local: client, asn: 65000 }));
  peer.keepAlive();
  const prefixes = Array.from({ length: 3000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  for (const [i, prefix] of prefixes.entries()) peer.send(announcement(prefix, { nextHop: client, localPref: 100 + (i % 7) }));
  peer.send(endOfRib);
  await daemon.until("all are there", ({ routes }) => routes.ipv4 === prefixes.length);
  await until("all are told", () => monitored("loc-rib").length === prefixes.length);
  station.cut();
  await until("it is told again", () => monitored(client).length === prefixes.length && monitored("loc-rib").length === prefixes.length);
  expect(station.visits).toBe(2);
  const ends = (peerName: string): number => station.of("route monitoring", peerName).filter(({ body }) => body.length === 23).length;
  await until("End-of-RIB of both views", () => ends(client) === 1 && ends("loc-rib") === 1);
  peer.withdraw(prefixes[0]!);
  await until("the change", () => monitored(client).length === prefixes.length - 1 && monitored("loc-rib").length === prefixes.length - 1);
});

test("stations follow the document without a restart, and a bad one says why in status", async () => {
  daemon = new DaemonProcess("rr", document("{}")).start();
  await daemon.until("it listens", ({ listen }) => listen.state === "listening");
  const nobody = await freePort();
  daemon.write(document(`{ bmp: [ { name: nobody, address: 127.0.0.1, port: ${nobody} }, { name: watcher, address: 127.0.0.1, port: ${station.port} } ] }`));
  daemon.signal("SIGHUP");
  const { monitoring } = await daemon.until("one is connected", (status) => status.monitoring.bmp.some(({ state }) => state === "connected"));
  expect(monitoring.bmp.find(({ name }) => name === "nobody")).toMatchObject({ state: "waiting" });
  await daemon.until("the other says why not", (status) => /refused/.test(status.monitoring.bmp.find(({ name }) => name === "nobody")?.reason ?? ""));
  daemon.write(document("{}"));
  daemon.signal("SIGHUP");
  await until("the station is told that it was the last word", () => station.told.at(-1)?.type === "termination");
});

/** Type, subtype and record of each MRT record of a file. */
function records(file: string): readonly { readonly kind: string; readonly body: Buffer }[] {
  const bytes = readFileSync(join(folder, file)),
    out: { kind: string; body: Buffer }[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32BE(at + 8);
    out.push({ kind: `${bytes.readUInt16BE(at + 4)}.${bytes.readUInt16BE(at + 6)}`, body: bytes.subarray(at + 12, at + 12 + length) });
    at += 12 + length;
  }
  return out;
}
const files = (kind: string): readonly string[] => readdirSync(folder).filter((name) => name.startsWith(kind) && name.endsWith(".mrt"));

test("MRT: messages as they come, and a dump of every path; a file has its name only when it is whole", async () => {
  daemon = new DaemonProcess("rr", document(`{ mrt: [ { name: disk, directory: ${folder}, tables: 10s, updates: true, rotate: 10s } ] }`)).start();
  const peer = await daemon
    .until("it listens", ({ listen }) => listen.state === "listening")
    .then(() => RawPeer.establish({ port, local: client, asn: 65000 }));
  peer.keepAlive();
  const update = announcement("10.1.0.0/16", { nextHop: client, localPref: 100 });
  peer.send(update);
  await daemon.until("its route", ({ routes }) => routes.ipv4 === 1);
  const dumped = (): boolean => files("rib").some((file) => records(file).some(({ kind }) => kind === "13.2"));
  await until("a dump with the route", dumped);
  const [index, route] = records(files("rib").findLast((file) => records(file).length > 1)!);
  expect(index!.kind).toBe("13.1");
  expect(index!.body.readUInt32BE(0)).toBe(0x0a000001);
  // sequence 0, 10.1/16, one entry of the second peer of the index
  expect(route!.body.subarray(0, 11)).toEqual(Buffer.of(0, 0, 0, 0, 16, 10, 1, 0, 1, 0, 1));
  await daemon.end();
  const told = files("updates").flatMap(records);
  expect(told.map(({ kind }) => kind)).toEqual(["16.5", "16.4", "16.5"]);
  expect(told[1]!.body.subarray(20).equals(update)).toBe(true);
  expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
});

test("a folder that cannot be written is said in status and hurts nothing else", async () => {
  writeFileSync(join(folder, "file"), "");
  daemon = new DaemonProcess("rr", document(`{ mrt: [ { name: disk, directory: ${join(folder, "file", "folder")}, updates: true, tables: 10s } ] }`)).start();
  const { monitoring } = await daemon.until(
    "it says so",
    ({ monitoring: { mrt }, listen }) => listen.state === "listening" && mrt.length === 1 && mrt[0]!.fault !== null,
  );
  expect(monitoring.mrt[0]!.fault).toMatch(/ENOTDIR/);
  const peer = await RawPeer.establish({ port, local: client, asn: 65000 });
  peer.announce("10.1.0.0/16");
  await daemon.until("its route", ({ routes }) => routes.ipv4 === 1);
  peer.destroy();
});
