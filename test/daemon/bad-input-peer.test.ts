/** Peers that send rubbish, and a port that is taken: the right NOTIFICATION, a reason in status, and nobody else hurt. */
import { createServer, type Server } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { messageType } from "#wire/bgp/constants.ts";
import { encodeKeepalive } from "#wire/bgp/message.ts";
import { encodeOpen } from "#wire/bgp/open.ts";
import { DaemonProcess, freePort, until } from "./daemon-process.ts";
import { loopbackDocument } from "./documents.ts";
import { message } from "./messages.ts";
import { RawPeer } from "./raw-peer.ts";

const badPeer = "127.0.0.12";

describe("a peer that sends rubbish", () => {
  let port: number, daemon: DaemonProcess, client: RawPeer;
  beforeAll(async () => {
    port = await freePort();
    daemon = new DaemonProcess("rr", loopbackDocument({ port })).start();
    await daemon.until("it listens", ({ listen }) => listen.state === "listening");
    client = await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 });
    client.keepAlive();
    client.announce("10.9.0.0/24");
    await daemon.until("its route", ({ routes }) => routes.ipv4 === 1);
  });
  afterAll(async () => {
    client.destroy();
    await daemon.dispose();
  });

  const terms = () => ({ port, local: badPeer, asn: 65001 });
  const ready = (): Promise<RawPeer> => RawPeer.connect(terms());
  const unharmed = async (): Promise<void> => {
    expect(await daemon.peer("c1")).toMatchObject({ state: "Established", flaps: 0, accepted: 1 });
    expect(client.isClosed).toBe(false);
    expect(daemon.log.filter(({ event }) => event === "bgp.broken")).toEqual([]);
  };

  interface Rubbish {
    readonly name: string;
    /** What it says once connected. */
    readonly say: (peer: RawPeer) => void | Promise<void>;
    readonly notification: readonly [number, number];
    readonly reason: RegExp;
  }
  const open = (peer: RawPeer, more: object = {}): Uint8Array => encodeOpen({ ...peer.ownOpen(), ...more });
  const established = async (peer: RawPeer): Promise<void> => {
    peer.send(open(peer));
    await peer.message(messageType.open);
    peer.send(encodeKeepalive());
    await peer.message(messageType.keepalive);
  };
  const rubbish: readonly Rubbish[] = [
    {
      name: "random octets",
      say: (peer) => peer.send(Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")),
      notification: [1, 1],
      reason: /marker of a message is not all ones/,
    },
    {
      name: "a wrong marker in the last octet",
      say: (peer) => peer.send(Buffer.concat([Buffer.alloc(15, 0xff), Buffer.of(0, 0, 29, 1)])),
      notification: [1, 1],
      reason: /marker/,
    },
    {
      name: "an OPEN that is cut off",
      say: (peer) => peer.send(message(messageType.open, open(peer).slice(19, -4))),
      notification: [2, 0],
      reason: /optional parameters of \d+ octets where \d+ are left/,
    },
    {
      name: "a length beyond any message",
      say: (peer) => peer.send(Buffer.concat([Buffer.alloc(16, 0xff), Buffer.of(0xff, 0xff, 1)])),
      notification: [1, 2],
      reason: /type 1 cannot be 65535 octets/,
    },
    {
      name: "a length below the header",
      say: (peer) => peer.send(Buffer.concat([Buffer.alloc(16, 0xff), Buffer.of(0, 18, 4)])),
      notification: [1, 2],
      reason: /type 4 cannot be 18 octets/,
    },
    { name: "a type that is none", say: (peer) => peer.send(message(77, new Uint8Array(4))), notification: [1, 3], reason: /message type 77 is unknown/ },
    {
      name: "an UPDATE before its OPEN",
      say: (peer) => peer.announce("10.1.0.0/16", { asPath: [65001] }),
      notification: [5, 1],
      reason: /is not expected in OpenSent/,
    },
    {
      name: "another AS than configured",
      say: (peer) => peer.send(open(peer, { asn: 65077, capabilities: { ...peer.ownOpen().capabilities, fourOctetAs: 65077 } })),
      notification: [2, 2],
      reason: /the peer is AS 65077, configured is AS 65001/,
    },
    { name: "BGP Identifier 0.0.0.0", say: (peer) => peer.send(open(peer, { bgpIdentifier: 0 })), notification: [2, 3], reason: /Identifier 0\.0\.0\.0/ },
    { name: "a hold time of 1 s", say: (peer) => peer.send(open(peer, { holdSeconds: 1 })), notification: [2, 6], reason: /hold time of 1 s/ },
    {
      name: "BGP version 3",
      say: (peer) => peer.send(message(messageType.open, Uint8Array.of(3, ...open(peer).slice(20)))),
      notification: [2, 1],
      reason: /version 3/,
    },
    {
      name: "an UPDATE whose lengths lie",
      say: async (peer) => {
        await established(peer);
        peer.send(message(messageType.update, Uint8Array.of(0, 0, 0xff, 0xff)));
      },
      notification: [3, 1],
      reason: /path attributes run past the UPDATE/,
    },
    {
      name: "a prefix of 33 bits",
      say: async (peer) => {
        await established(peer);
        peer.send(message(messageType.update, Uint8Array.of(0, 6, 33, 10, 0, 0, 0, 0, 0, 0)));
      },
      notification: [3, 10],
      reason: /longer than its family allows/,
    },
    {
      name: "a second OPEN",
      say: async (peer) => {
        await established(peer);
        peer.send(open(peer));
      },
      notification: [5, 3],
      reason: /is not expected in Established/,
    },
  ];

  test.each(rubbish)("$name", async ({ say, notification, reason }) => {
    const peer = await ready();
    await say(peer);
    expect(await peer.notification()).toEqual(notification);
    await peer.closed();
    await until("the reason is shown", async () => reason.test((await daemon.peer("ext"))!.reason));
    await unharmed();
  });

  test("an UPDATE that is malformed in its attributes alone is treated as a withdraw (RFC 7606), and the session stays", async () => {
    const peer = await ready();
    await established(peer);
    peer.announce("10.8.0.0/24", { asPath: [65001] });
    await daemon.until("its route", ({ routes }) => routes.ipv4 === 2);
    const origin = Buffer.of(0x40, 1, 1, 9),
      path = Buffer.of(0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9),
      hop = Buffer.of(0x40, 3, 4, 127, 0, 0, 12);
    const attributes = Buffer.concat([origin, path, hop]);
    peer.send(message(messageType.update, Buffer.concat([Buffer.of(0, 0, 0, attributes.length), attributes, Buffer.of(24, 10, 8, 0)])));
    await daemon.until("the route is gone", ({ routes }) => routes.ipv4 === 1);
    expect(await daemon.peer("ext")).toMatchObject({ state: "Established" });
    expect(daemon.said("bgp.malformed").filter((text) => text.includes("its routes were withdrawn"))).toHaveLength(1);
    peer.destroy();
    await unharmed();
  });

  test("somebody nobody configured is told so, and named once", async () => {
    for (let i = 0; i < 3; i++) {
      const stranger = await RawPeer.connect({ port, local: "127.0.0.99", asn: 64512 });
      expect(await stranger.notification()).toEqual([6, 5]);
      await stranger.closed();
    }
    expect(daemon.said("bgp.refused")).toHaveLength(1);
    await unharmed();
  });

  test("two thousand connections full of rubbish cost no memory, and nobody else anything", { timeout: 120_000 }, async () => {
    const octets = (seed: number): Uint8Array => Uint8Array.from({ length: 400 }, (_, i) => (Math.imul(seed + i, 2_654_435_761) >>> 13) & 0xff);
    const storm = async (count: number, first: number): Promise<void> => {
      for (let done = 0; done < count; done += 20)
        await Promise.all(
          Array.from({ length: 20 }, async (_, i) => {
            const seed = first + done + i;
            const peer = await RawPeer.connect({ ...terms(), local: seed % 2 === 0 ? badPeer : `127.1.${seed % 7}.${1 + (seed % 200)}` });
            if (seed % 3 === 0) peer.send(open(peer));
            peer.send(octets(seed));
            await peer.closed();
          }),
        );
    };
    await storm(1000, 1);
    const before = daemon.residentKib;
    await storm(2000, 1001);
    expect(daemon.residentKib - before).toBeLessThan(24 * 1024);
    await unharmed();
  });
});

describe("a port that is taken", () => {
  let holder: Server;
  afterAll(() => void holder.close());

  test("is named with its holder, the rest works, and it is taken when it is free", async () => {
    const port = await freePort();
    holder = createServer().listen(port, "127.0.0.1");
    await until("the port is taken", () => holder.listening);
    const daemon = new DaemonProcess("rr", loopbackDocument({ port, store: "embedded" })).start();
    try {
      const status = await daemon.until("it has tried", ({ listen, store }) => listen.state === "failed" && store.state === "connected");
      expect(status.listen.text).toMatch(
        new RegExp(`^cannot listen on 127\\.0\\.0\\.1 port ${port}: .+ \\(pid ${process.pid}\\) has it; stop that, or set another port\\.$`),
      );
      expect(status.ready).toBe(false);
      expect(status.reasons).toEqual([status.listen.text]);
      expect(daemon.said("bgp.listen-failed")).toEqual([status.listen.text]);
      holder.close();
      await daemon.until("it listens", ({ listen, ready }) => listen.state === "listening" && ready);
      (await RawPeer.establish({ port, local: "127.0.0.11", asn: 64512 })).destroy();
    } finally {
      await daemon.dispose();
    }
  });
});
