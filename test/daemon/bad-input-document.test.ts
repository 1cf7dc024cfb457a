/** Bad documents, end to end: podwayd does not start, --check refuses, an apply or a SIGHUP changes nothing that runs; one sentence each. */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DaemonProcess, freePort, until } from "./daemon-process.ts";
import { changed, loopbackDocument } from "./documents.ts";
import { RawPeer } from "./raw-peer.ts";

interface Row {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** Behind the name of the file. */
  readonly says: string;
}

const rows: readonly Row[] = [
  { name: "a wrong key", from: "n1: { address:", to: "n1: { adress:", says: ':13:9: nodes.n1.adress: unknown key; did you mean "address"?' },
  {
    name: "a duplicate address",
    from: "n1: { address: 10.0.0.21",
    to: "n1: { address: 10.0.0.1",
    says: ":13:18: nodes.n1.address: 10.0.0.1 is the address of rr already; give every node its own",
  },
  {
    name: "an overlapping pool",
    from: "cidr: 10.43.0.0/16",
    to: "cidr: 10.42.128.0/17",
    says: ":10:28: pools[1].cidr: 10.42.128.0/17 overlaps 10.42.0.0/16 of pool routed; choose a CIDR beside it",
  },
  {
    name: "an unknown role of a reflector",
    from: "roles: [reflector]",
    to: "roles: [reflectors]",
    says: ':12:36: nodes.rr.roles[0]: expected one of node, reflector, not "reflectors"; did you mean "reflector"?',
  },
  {
    name: "a routed IPv6 pool without IPv6 addresses",
    from: "cidr: 10.42.0.0/16",
    to: "cidr: fd42::/48",
    says: ":13:3: nodes.n1: pool routed routes IPv6, and this node has no IPv6 address; add address6",
  },
  {
    name: "an unknown policy",
    from: "export: [all]",
    to: "export: [everything]",
    says: ':16:103: peers[1].export[0]: there is no policy "everything"; there are pods, default-route, all, none',
  },
];

describe.each(rows)("$name", ({ from, to, says }) => {
  test("podwayd says so and does not start; --check says the same", async () => {
    const daemon = new DaemonProcess("rr", changed(loopbackDocument({ port: 17_999, store: "embedded" }), from, to));
    try {
      const [check, code] = await Promise.all([daemon.check(), daemon.start().exit()]);
      expect({ code, stderr: daemon.stderr, log: daemon.log }).toEqual({ code: 1, stderr: `${daemon.file}${says}\n`, log: [] });
      expect(check).toEqual({ code: 1, out: "", err: `${daemon.file}${says}\n` });
      expect(existsSync(daemon.state)).toBe(false);
    } finally {
      await daemon.dispose();
    }
  });
});

describe("a daemon that runs", () => {
  let good: string, daemon: DaemonProcess, client: RawPeer, revision: string | null;
  beforeAll(async () => {
    const port = await freePort();
    good = loopbackDocument({ port, store: "embedded" });
    daemon = new DaemonProcess("rr", good).start();
    await daemon.until("it runs", ({ listen }) => listen.state === "listening");
    client = await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 });
    client.keepAlive();
    client.announce("10.9.0.0/24");
    revision = (await daemon.until("the document is in the store", ({ document, routes }) => document.revision !== null && routes.ipv4 === 1)).document
      .revision;
  });
  afterAll(async () => {
    client.destroy();
    await daemon.dispose();
  });

  /** Nothing happened to it: the same document, the same session, the same route. */
  async function unharmed(): Promise<void> {
    const status = await daemon.status(),
      peer = status.peers.find(({ name }) => name === "c1");
    expect(status.document).toEqual({ source: "store", revision, fileDiffers: false });
    expect(peer).toMatchObject({ state: "Established", flaps: 0, accepted: 1 });
    expect(client.isClosed).toBe(false);
  }

  test.each(rows)("apply of $name changes nothing", async ({ from, to, says }) => {
    const before = daemon.log.length;
    daemon.write(changed(good, from, to));
    const applied = await daemon.podway("apply", daemon.file);
    daemon.write(good);
    expect(applied).toEqual({ code: 1, out: "", err: `podway: ${daemon.file}${says}\n` });
    await unharmed();
    expect(daemon.log.slice(before).filter(({ level }) => level !== "debug")).toEqual([]);
  });

  test("apply of a change that is refused changes nothing", async () => {
    daemon.write(changed(good, "name: loopback", "name: other"));
    const applied = await daemon.podway("apply", daemon.file);
    daemon.write(good);
    expect(applied.code).toBe(1);
    expect(applied.err).toBe("podway: name: the name is part of every key in the store; a cluster of another name is a new cluster\n");
    await unharmed();
  });

  test("SIGHUP with a bad file changes nothing and says so, in status too, until the file is good again", async () => {
    const row = rows[0]!;
    daemon.write(changed(good, row.from, row.to));
    daemon.signal("SIGHUP");
    const sentence = `the file is not followed, and what runs goes on unchanged: ${daemon.file}${row.says}`;
    const status = await daemon.until("the warning", ({ warnings }) => warnings.includes(sentence));
    expect(status.warnings).toEqual([sentence]);
    expect(daemon.said("config.refused")).toEqual([sentence]);
    await unharmed();
    daemon.write(good);
    daemon.signal("SIGHUP");
    await daemon.until("no warning", ({ warnings }) => warnings.length === 0);
  });

  test("SIGHUP with another good file shows the difference and applies nothing", async () => {
    daemon.write(changed(good, "connectRetry: 1s", "connectRetry: 2s"));
    daemon.signal("SIGHUP");
    await daemon.until("the difference", ({ document }) => document.fileDiffers);
    expect(daemon.said("config.file-differs")).toHaveLength(1);
    expect((await daemon.status()).document.revision).toBe(revision);
    daemon.write(good);
    daemon.signal("SIGHUP");
    await until("no difference", async () => !(await daemon.status()).document.fileDiffers);
    await unharmed();
  });
});

test("without a store SIGHUP with a bad file leaves every session as it is", async () => {
  const port = await freePort(),
    good = loopbackDocument({ port }),
    daemon = new DaemonProcess("rr", good).start();
  try {
    await daemon.until("it runs", ({ listen }) => listen.state === "listening");
    const client = await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 });
    daemon.write(changed(good, "asn: 64512", "asn: 0"));
    daemon.signal("SIGHUP");
    await until("it says so", () => daemon.said("config.refused").length === 1);
    expect(daemon.said("config.refused")[0]).toBe(
      `the file is not followed, and what runs goes on unchanged: ${daemon.file}:3:6: asn: expected at least 1, not 0`,
    );
    expect(await daemon.peer("c1")).toMatchObject({ state: "Established", flaps: 0 });
    client.destroy();
  } finally {
    await daemon.dispose();
  }
});

test("an unknown node, a file that is not there and a wrong argument are one sentence each", async () => {
  const stranger = new DaemonProcess("n9", loopbackDocument({ port: 17_999 }));
  const nowhere = new DaemonProcess("rr", ""),
    wrong = new DaemonProcess("rr", loopbackDocument({ port: 17_999 }));
  try {
    expect(await stranger.start().exit()).toBe(1);
    expect(stranger.stderr).toBe(
      `${stranger.file}: there is no node "n9" in this document; did you mean "n1"? (choose with --node NAME, or add it under nodes:)\n`,
    );
    expect(await nowhere.start("--topology", "/nowhere/t.yaml").exit()).toBe(1);
    expect(nowhere.stderr).toBe("/nowhere/t.yaml cannot be read (ENOENT): give the path of the topology with --topology.\n");
    expect(await wrong.start("--loud").exit()).toBe(2);
    expect(wrong.stderr.trimEnd().split("\n")).toHaveLength(1);
  } finally {
    for (const each of [stranger, nowhere, wrong]) await each.dispose();
  }
});
