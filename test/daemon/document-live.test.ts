/** Good changes on a daemon that runs: what `podway plan` promises of each is what its neighbours see. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemNet } from "#adapters/sockets.ts";
import type { Ip } from "#base/ip.ts";
import type { Connection } from "#ports/net.ts";
import { messageType } from "#wire/bgp/constants.ts";
import { type ClusterView, controlPaths, type PlanView } from "#daemon/control.ts";
import { DaemonProcess, freePort, until } from "./daemon-process.ts";
import { changed, loopbackDocument } from "./documents.ts";
import { RawPeer } from "./raw-peer.ts";

const cease = 6,
  maximumPrefixes = 1,
  peerDeconfigured = 3,
  administrativeReset = 4,
  otherConfigurationChange = 6;

let port: number, document: string, daemon: DaemonProcess, client: RawPeer;

beforeEach(async () => {
  port = await freePort();
  // Its neighbours tell pod CIDRs that no node holds.
  document = changed(loopbackDocument({ port, store: "embedded" }), "roles: [reflector] }", "roles: [reflector], originValidation: off }");
  daemon = new DaemonProcess("rr", document).start();
  await daemon.until("it listens", ({ listen, document: { revision } }) => listen.state === "listening" && revision !== null);
  client = await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 });
  client.keepAlive();
});
afterEach(async () => {
  client.destroy();
  await daemon.dispose();
});

/** Applies the document with one thing changed; answers the effects the plan named. */
async function apply(from: string, to: string): Promise<readonly string[]> {
  document = changed(document, from, to);
  daemon.write(document);
  const applied = await daemon.podway("apply", "--json", daemon.file);
  expect(applied.err).toBe("");
  return (JSON.parse(applied.out) as PlanView).changes.map(({ effect }) => effect);
}
const external = (more: object = {}): Promise<RawPeer> => RawPeer.establish({ port, local: "127.0.0.12", asn: 65001, ...more });
const isKept = async (): Promise<void> => {
  expect(await daemon.peer("c1")).toMatchObject({ state: "Established", flaps: 0 });
  expect(client.isClosed).toBe(false);
};
const lastPeer = "  - { name: clients, range: 127.1.0.0/16, asn: 64512, client: true, limit: 50, nodes: \"node == 'rr'\" }\n";

describe("neighbours", () => {
  test("one that is added may connect at once; one that is removed gets Cease, Peer De-configured; others notice neither", async () => {
    await expect(RawPeer.establish({ port, local: "127.0.0.13", asn: 64512 })).rejects.toThrow("type 1");
    const added = `  - { name: c2, address: 127.0.0.13, asn: 64512, client: true, passive: true, nodes: "node == 'rr'" }\n`;
    expect(await apply(lastPeer, lastPeer + added)).toEqual(["applied now"]);
    const second = await RawPeer.establish({ port, local: "127.0.0.13", asn: 64512 });
    second.announce("10.9.1.0/24");
    await until("its route reaches the other", () => client.routes.has("10.9.1.0/24"));
    expect(await apply(added, "")).toEqual(["session reset"]);
    expect(await second.notification()).toEqual([cease, peerDeconfigured]);
    await until("its route is gone", () => !client.routes.has("10.9.1.0/24"));
    expect(await daemon.peer("c2")).toBeUndefined();
    await isKept();
  });

  test("a node that is added is one more of the cluster", async () => {
    expect(await apply("  n1: { address: 10.0.0.21 }\n", "  n1: { address: 10.0.0.21 }\n  rr2: { address: 10.0.0.2, roles: [reflector] }\n")).toEqual([
      "applied now",
    ]);
    const { nodes } = await daemon.get<ClusterView>(controlPaths.cluster);
    expect(nodes.map(({ name, alive }) => [name, alive])).toEqual([
      ["rr", true],
      ["n1", false],
      ["rr2", false],
    ]);
    await isKept();
  });

  test("another hold time ends the session and counts in the next", async () => {
    const effects = await apply("name: c1, address", "name: c1, holdTime: 30s, address");
    expect(effects).toEqual(["session reset"]);
    expect(await client.notification()).toEqual([cease, otherConfigurationChange]);
    const again = await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 });
    expect(await daemon.peer("c1")).toMatchObject({ holdSeconds: 30, flaps: 1 });
    again.destroy();
  });
});

describe("policies", () => {
  test("another import policy: the routes are asked for again and judged anew, the session stays", async () => {
    const ext = await external();
    ext.announce("10.8.1.0/24", { asPath: [65001] });
    await until("the route is there", () => client.routes.has("10.8.1.0/24"));
    expect(await apply("import: [all]", "import: [default-route]")).toEqual(["route refresh"]);
    await ext.message(messageType.routeRefresh);
    ext.announce("10.8.1.0/24", { asPath: [65001] });
    ext.announce("0.0.0.0/0", { asPath: [65001] });
    await until("judged anew", () => client.routes.has("0.0.0.0/0") && !client.routes.has("10.8.1.0/24"));
    expect(await daemon.peer("ext")).toMatchObject({ state: "Established", flaps: 0, accepted: 1 });
    await isKept();
    ext.destroy();
  });

  test("a neighbour that cannot be asked again begins anew", async () => {
    const ext = await external({ capabilities: { routeRefresh: false } });
    await apply("import: [all]", "import: [default-route]");
    expect(await ext.notification()).toEqual([cease, administrativeReset]);
    await isKept();
  });

  test("another export policy, and another content of the same: what differs is withdrawn or told, the session stays", async () => {
    const policy = (prefix: string): string => `policies: { own: { rules: [{ when: { prefixes: [${prefix}] }, then: accept }] } }\n`;
    document += policy("10.77.0.0/24");
    const ext = await external();
    client.announce("10.42.1.0/24");
    client.announce("10.77.0.0/24");
    await until("both are told", () => ext.routes.size === 2);
    expect(await apply("export: [all]", "export: [pods]")).toContain("route refresh");
    await until("the pool alone is told", () => ext.routes.size === 1 && ext.routes.has("10.42.1.0/24"));
    expect(await apply("export: [pods]", "export: [own]")).toEqual(["route refresh"]);
    await until("the other alone is told", () => ext.routes.size === 1 && ext.routes.has("10.77.0.0/24"));
    expect(await apply(policy("10.77.0.0/24"), policy("10.42.1.0/24"))).toEqual(["route refresh"]);
    await until("and back", () => ext.routes.size === 1 && ext.routes.has("10.42.1.0/24"));
    expect(await daemon.peer("ext")).toMatchObject({ state: "Established", flaps: 0, sent: 1 });
    await isKept();
    ext.destroy();
  });

  test("a lower maxPrefixes counts without a new session", async () => {
    client.announce("10.42.1.0/24");
    client.announce("10.42.2.0/24");
    await daemon.until("two routes", ({ routes }) => routes.ipv4 === 2);
    expect(await apply("name: c1, address", "name: c1, maxPrefixes: 2, address")).toEqual(["applied now"]);
    await isKept();
    client.announce("10.42.3.0/24");
    expect(await client.notification()).toEqual([cease, maximumPrefixes]);
  });
});

describe("keys and listeners", () => {
  const md5 = new TextEncoder().encode("s3cret-of-c1");
  const dial = (remote: number, key: Uint8Array | undefined, signal: AbortSignal): Promise<Connection> =>
    systemNet.connect("127.0.0.1" as Ip, remote, { source: "127.0.0.11" as Ip, ...(key && { md5: key }) }, signal);

  test("a key that is added counts for the listener that runs; one that is missing keeps its peer out and nobody else", async () => {
    const path = join(daemon.directory, "c1.key");
    expect(await apply("name: c1, address", `name: c1, password: { file: ${path} }, address`)).toEqual(["session reset"]);
    expect(await client.notification()).toEqual([cease, otherConfigurationChange]);
    const missing = `c1 cannot connect to us: there is no secret at ${path}: put it there, or name another file.`;
    expect((await daemon.until("the warning", ({ warnings }) => warnings.includes(missing))).warnings).toEqual([missing]);
    await expect(dial(port, undefined, AbortSignal.timeout(700))).rejects.toThrow("called off");
    (await external()).destroy();
    writeFileSync(path, md5, { mode: 0o600 });
    await daemon.until("the key is read", ({ warnings }) => warnings.length === 0);
    (await dial(port, md5, AbortSignal.timeout(5000))).destroy();
    expect(JSON.stringify(daemon.log)).not.toContain("s3cret");
  });

  test("another port: the listener moves, sessions stay", async () => {
    const next = await freePort();
    expect(await apply(`port: ${port} }`, `port: ${next} }`)).toEqual(["applied now"]);
    await daemon.until("it listens there", ({ listen }) => listen.text === `127.0.0.1, port ${next}`);
    await expect(dial(port, undefined, AbortSignal.timeout(5000))).rejects.toThrow("refused the connection");
    await isKept();
    const ext = await external({ port: next });
    ext.destroy();
  });
});

describe("what waits for a restart", () => {
  test("another router id: sessions stay as they are, status says so, and the next start has it", async () => {
    const effects = await apply("rr: { address: 10.0.0.1,", "rr: { address: 10.0.0.1, routerId: 10.9.9.9,");
    expect(effects).toEqual(["restart"]);
    const sentence = "routerId is 10.9.9.9 in the document and 10.0.0.1 here; sessions stay as they are until podwayd is restarted on this node";
    const status = await daemon.until("the warning", ({ warnings }) => warnings.length > 0);
    expect(status).toMatchObject({ routerId: "10.0.0.1", warnings: [sentence] });
    expect(daemon.said("config.restart-needed")).toEqual([sentence]);
    await isKept();
    await daemon.end();
    daemon.start();
    const after = await daemon.until("it runs", ({ listen }) => listen.state === "listening");
    expect(after).toMatchObject({ routerId: "10.9.9.9", warnings: [] });
  });

  test("taken back, nothing waits any more", async () => {
    await apply("rr: { address: 10.0.0.1,", "rr: { address: 10.0.0.3,");
    await daemon.until("the warning", ({ warnings }) => warnings.length > 0);
    await apply("rr: { address: 10.0.0.3,", "rr: { address: 10.0.0.1,");
    await daemon.until("no warning", ({ warnings }) => warnings.length === 0);
    await isKept();
  });
});
