import { spawn } from "node:child_process";
import { createServer, connect as nodeConnect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { portHolder } from "#adapters/port-holder.ts";
import { systemNet } from "#adapters/sockets.ts";
import { connectionLimits } from "#adapters/tcp-connection.ts";
import { FaultError } from "#base/fault.ts";
import { parsePrefix } from "#base/prefix.ts";
import type { Connection } from "#ports/net.ts";
import { freePort, ip, loopback, pair, remember, tcpExt, until } from "./tcp-pair.ts";

const key = new TextEncoder().encode("a key of some length");
const wrongKey = new TextEncoder().encode("another key");
const open: { close(): void }[] = [];
const kept = <T extends { close(): void }>(thing: T): T => (open.push(thing), thing);
afterEach(() => {
  for (const thing of open.splice(0)) thing.close();
});

const faultOf = (promise: Promise<unknown>): Promise<FaultError["fault"]> =>
  promise.then(
    () => Promise.reject(new Error("this should have failed")),
    (error: unknown) => (error instanceof FaultError ? error.fault : Promise.reject(error as Error)),
  );

describe("a connection", () => {
  test("carries octets both ways and says once, last, that it ended", async () => {
    const { listener, near, far, port } = await pair();
    kept(listener);
    expect(near.connection).toMatchObject({ local: "127.0.0.1", remote: "127.0.0.1", remotePort: port });
    near.connection.write(Buffer.from("over"));
    await until("the octets over there", () => far.octets === 4);
    far.connection.write(Buffer.from("back"));
    await until("the octets back here", () => near.octets === 4);
    expect(Buffer.concat([...far.chunks, ...near.chunks]).toString()).toBe("overback");
    await until("room on both sides", () => near.rooms === 1 && far.rooms === 1);
    near.connection.destroy();
    await until("both to be closed", () => near.closings.length + far.closings.length === 2);
    expect([near.closings, far.closings]).toEqual([["closed by us"], ["closed by the peer"]]);
    near.connection.destroy();
    near.connection.write(Buffer.from("too late"));
    far.connection.end(10);
    await new Promise(setImmediate);
    expect([near.closings.length, far.closings.length]).toEqual([1, 1]);
  });

  test("pieces handed over together arrive whole and in order, also beyond what the kernel takes at once", async () => {
    const { listener, near, far } = await pair();
    kept(listener);
    const pieces = Array.from({ length: 300 }, (_, i) => Buffer.alloc(1 + ((i * 7919) % 60_000), i));
    near.connection.writeAll(pieces);
    near.connection.writeAll([Buffer.from("one")]);
    near.connection.writeAll([]);
    near.connection.write(Buffer.from("end"));
    expect(near.connection.pending).toBeGreaterThan(0);
    const sent = Buffer.concat([...pieces, Buffer.from("oneend")]);
    await until("everything to arrive", () => far.octets === sent.length);
    expect(Buffer.concat(far.chunks).equals(sent)).toBe(true);
    await until("room", () => near.rooms > 0 && near.connection.pending === 0);
    near.connection.destroy();
    near.connection.writeAll([Buffer.from("too"), Buffer.from("late")]);
  });

  test("hears nothing before it has handlers, and everything then", async () => {
    const port = await freePort();
    const accepted: Connection[] = [];
    kept(await systemNet.listen(loopback, port, { md5: [] }, (connection) => accepted.push(connection)));
    const client = nodeConnect(port, "127.0.0.1");
    client.end("all at once");
    await until("the connection and its end", () => accepted.length === 1 && client.writableFinished);
    const end = remember(accepted[0]!);
    await until("the end", () => end.closings.length === 1);
    expect(Buffer.concat(end.chunks).toString()).toBe("all at once");
  });

  test("tells a reset from an end", async () => {
    const port = await freePort();
    const accepted: Connection[] = [];
    kept(await systemNet.listen(loopback, port, { md5: [] }, (connection) => accepted.push(connection)));
    const client = nodeConnect(port, "127.0.0.1");
    await until("the connection", () => accepted.length === 1);
    const end = remember(accepted[0]!);
    client.resetAndDestroy();
    await until("the end", () => end.closings.length === 1);
    expect(end.closings).toEqual(["connection reset by peer"]);
  });

  test("stops reading while paused", async () => {
    const { listener, near, far } = await pair();
    kept(listener);
    far.connection.pause();
    const block = Buffer.alloc(1 << 20);
    for (let i = 0; i < 32; i++) near.connection.write(block);
    await until("the kernel to be full", () => near.connection.pending > 0);
    await new Promise(setImmediate);
    expect(far.octets).toBe(0);
    expect(near.rooms).toBe(0);
    far.connection.resume();
    await until("everything to arrive", () => far.octets === 32 * block.length);
    await until("room", () => near.rooms > 0);
    expect(near.connection.pending).toBe(0);
    far.connection.destroy();
  });

  test("sends what is pending, then FIN, to a peer that goes on sending", async () => {
    const { listener, near, far } = await pair();
    kept(listener);
    far.connection.write(Buffer.alloc(100_000));
    near.connection.write(Buffer.alloc(4096, 1));
    near.connection.write(Buffer.from("notification"));
    near.connection.end(5000);
    await until("both to be closed", () => far.closings.length === 1 && near.closings.length === 1);
    expect(far.closings).toEqual(["closed by the peer"]);
    expect(Buffer.concat(far.chunks).subarray(-12).toString()).toBe("notification");
  });

  test("is destroyed after the grace when the peer does not take part", async () => {
    const port = await freePort();
    const server = kept(createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(port, "127.0.0.1"));
    await until("the server", () => server.listening);
    const connection = await systemNet.connect(loopback, port, {}, AbortSignal.timeout(5000));
    const end = remember(connection);
    for (let i = 0; i < 32; i++) connection.write(Buffer.alloc(1 << 20));
    const started = performance.now();
    connection.end(150);
    await until("the end", () => end.closings.length === 1);
    expect(performance.now() - started).toBeGreaterThanOrEqual(149);
    expect(end.closings).toEqual(["closed by us"]);
  });

  test("carries 200 MB, and timers are served meanwhile", async () => {
    const { listener, near, far } = await pair({ keep: false });
    kept(listener);
    const block = Buffer.alloc(256 * 1024, 7);
    const total = 200_000_000;
    let sent = 0,
      last = performance.now(),
      worst = 0;
    let largest = 0;
    const count = far.bytes.bind(far);
    far.bytes = (buffer, from, to) => {
      largest = Math.max(largest, to - from);
      count(buffer, from, to);
    };
    const push = (): void => {
      if (sent >= total) return;
      sent += block.length;
      near.connection.write(block);
    };
    near.room = push;
    const ticks = setInterval(() => {
      worst = Math.max(worst, performance.now() - last);
      last = performance.now();
    }, 1);
    const started = performance.now();
    push();
    await until("everything to arrive", () => far.octets >= total);
    clearInterval(ticks);
    const seconds = (performance.now() - started) / 1000;
    process.stdout.write(`sockets: ${(far.octets / 1e6 / seconds).toFixed(0)} MB/s both ends in one process, timers late by at most ${worst.toFixed(1)} ms\n`);
    expect(largest).toBeLessThanOrEqual(connectionLimits.readOctets);
    expect(far.octets).toBe(sent);
    expect(worst).toBeLessThan(250);
    far.connection.destroy();
  });

  test("starts from the source it was given", async () => {
    const { listener, near, far } = await pair({ connect: { source: ip("127.0.0.77") } });
    kept(listener);
    expect([near.connection.local, far.connection.remote]).toEqual(["127.0.0.77", "127.0.0.77"]);
    near.connection.destroy();
  });

  test("works over IPv6", async () => {
    const { listener, near, far } = await pair({
      address: ip("::1"),
      connect: { ttl: 255, md5: key },
      listen: { ttl: 255, minTtl: 255, md5: [{ peer: ip("::1"), key }] },
    });
    kept(listener);
    near.connection.write(Buffer.from("six"));
    await until("the octets", () => far.octets === 3);
    expect(near.connection.remote).toBe("::1");
    near.connection.destroy();
  });
});

describe("a listener", () => {
  test("takes 2,500 connections at once and closes them", async () => {
    const port = await freePort();
    const ends: ReturnType<typeof remember>[] = [];
    kept(await systemNet.listen(loopback, port, { md5: [] }, (connection) => ends.push(remember(connection))));
    const started = performance.now();
    const signal = AbortSignal.timeout(20_000);
    const near = await Promise.all(Array.from({ length: 2500 }, () => systemNet.connect(loopback, port, {}, signal)));
    await until("all to be accepted", () => ends.length === 2500);
    for (const connection of near) connection.write(Buffer.from("hello"));
    await until("all to speak", () => ends.every((end) => end.octets === 5));
    process.stdout.write(`sockets: 2500 connections made, accepted and heard in ${(performance.now() - started).toFixed(0)} ms\n`);
    for (const connection of near) connection.destroy();
    await until("all to end", () => ends.every((end) => end.closings.length === 1));
  });

  test("without an address takes both families, each by its own socket", async () => {
    const port = await freePort();
    const accepted: Connection[] = [];
    kept(await systemNet.listen(undefined, port, { md5: [] }, (connection) => accepted.push(connection)));
    for (const address of ["127.0.0.1", "::1"]) await systemNet.connect(ip(address), port, {}, AbortSignal.timeout(5000));
    await until("both", () => accepted.length === 2);
    expect(accepted.map(({ remote }) => remote).sort()).toEqual(["127.0.0.1", "::1"]);
    for (const connection of accepted) connection.destroy();
  });

  test("that is closed refuses, and its port is free again", async () => {
    const port = await freePort();
    (await systemNet.listen(undefined, port, { md5: [] }, () => {})).close();
    expect((await faultOf(systemNet.connect(loopback, port, {}, AbortSignal.timeout(5000)))).code).toBe("net.refused");
    kept(await systemNet.listen(undefined, port, { md5: [] }, () => {}));
  });

  test("names who has the port", async () => {
    const port = await freePort();
    const other = spawn(process.execPath, ["-e", `require("net").createServer().listen(${port}, "127.0.0.1", () => console.log("up"))`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await new Promise((resolve) => other.stdout.once("data", resolve));
      const fault = await faultOf(systemNet.listen(undefined, port, { md5: [] }, () => {}));
      expect(fault).toMatchObject({ whose: "world", code: "net.port-taken" });
      expect(fault.text).toContain(`(pid ${other.pid})`);
      expect(fault.text).toContain(`port ${port}`);
    } finally {
      other.kill("SIGKILL");
    }
    expect(await portHolder(await freePort())).toBe("another program");
  });

  test("on an address that is not ours says so", async () => {
    const fault = await faultOf(systemNet.listen(ip("192.0.2.1"), await freePort(), { md5: [] }, () => {}));
    expect(fault).toMatchObject({ code: "net.no-address" });
  });
});

describe("a connection that cannot be made", () => {
  test("is refused, in a sentence", async () => {
    const port = await freePort();
    const fault = await faultOf(systemNet.connect(loopback, port, {}, AbortSignal.timeout(5000)));
    expect(fault).toEqual({
      whose: "world",
      code: "net.refused",
      text: `127.0.0.1 port ${port} refused the connection: nothing listens there, or a firewall rejects it.`,
    });
  });

  test("has no source, no such device, or too long a key", async () => {
    const signal = AbortSignal.timeout(5000);
    expect((await faultOf(systemNet.connect(loopback, 1, { source: ip("192.0.2.1") }, signal))).code).toBe("net.no-address");
    expect((await faultOf(systemNet.connect(loopback, 1, { device: "t-none0" }, signal))).code).toBe("net.no-device");
    expect((await faultOf(systemNet.connect(loopback, 1, { md5: new Uint8Array(81) }, signal))).code).toBe("net.md5-key-size");
  });

  test("is called off by its signal, before and while", async () => {
    expect((await faultOf(systemNet.connect(loopback, 1, {}, AbortSignal.abort()))).code).toBe("net.aborted");
    const port = await freePort();
    kept(await systemNet.listen(loopback, port, { md5: [{ peer: loopback, key }] }, () => {}));
    const stop = new AbortController();
    const asked = faultOf(systemNet.connect(loopback, port, {}, stop.signal));
    stop.abort();
    expect((await asked).code).toBe("net.aborted");
  });
});

describe("TCP-MD5", () => {
  const prefix = parsePrefix("127.9.0.0/16")!;

  test("lets in who has the key, by address and by prefix, and by a key set later", async () => {
    const port = await freePort();
    const accepted: Connection[] = [];
    const listener = kept(
      await systemNet.listen(
        loopback,
        port,
        {
          md5: [
            { peer: loopback, key },
            { peer: prefix, key },
          ],
        },
        (connection) => accepted.push(connection),
      ),
    );
    const signal = AbortSignal.timeout(5000);
    const sources = ["127.0.0.1", "127.9.1.2"];
    for (const source of sources) (await systemNet.connect(loopback, port, { md5: key, source: ip(source) }, signal)).destroy();
    listener.setMd5(ip("127.0.0.3"), wrongKey);
    (await systemNet.connect(loopback, port, { md5: wrongKey, source: ip("127.0.0.3") }, signal)).destroy();
    listener.setMd5(ip("127.0.0.3"), undefined);
    listener.setMd5(ip("127.0.0.3"), undefined);
    (await systemNet.connect(loopback, port, { source: ip("127.0.0.3") }, signal)).destroy();
    await until("all four", () => accepted.length === 4);
    expect(accepted.map(({ remote }) => remote)).toEqual([...sources, "127.0.0.3", "127.0.0.3"]);
  });

  test.each([
    ["a wrong key", "TCPMD5Failure", { md5: wrongKey }],
    ["no key", "TCPMD5NotFound", {}],
    ["a wrong key out of a prefix", "TCPMD5Failure", { md5: wrongKey, source: ip("127.9.1.2") }],
    ["a key where none is wanted", "TCPMD5Unexpected", { md5: key, source: ip("127.8.1.2") }],
  ])("drops %s", async (_name, counter, options) => {
    const port = await freePort();
    let accepted = 0;
    kept(
      await systemNet.listen(
        loopback,
        port,
        {
          md5: [
            { peer: loopback, key },
            { peer: prefix, key },
          ],
        },
        () => accepted++,
      ),
    );
    const before = tcpExt(counter);
    const stop = new AbortController();
    const asked = faultOf(systemNet.connect(loopback, port, options, stop.signal));
    await until(`${counter} to count`, () => tcpExt(counter) > before);
    stop.abort();
    expect((await asked).code).toBe("net.aborted");
    expect(accepted).toBe(0);
  });
});

describe("GTSM", () => {
  test("lets in TTL 255 and drops the kernel's usual 64", async () => {
    const port = await freePort();
    const accepted: Connection[] = [];
    kept(await systemNet.listen(loopback, port, { ttl: 255, minTtl: 255, md5: [] }, (connection) => accepted.push(connection)));
    const near = await systemNet.connect(loopback, port, { ttl: 255, minTtl: 255 }, AbortSignal.timeout(5000));
    await until("the near one", () => accepted.length === 1);
    const before = tcpExt("TCPMinTTLDrop");
    const stop = new AbortController();
    const asked = faultOf(systemNet.connect(loopback, port, {}, stop.signal));
    await until("a drop to be counted", () => tcpExt("TCPMinTTLDrop") > before);
    stop.abort();
    expect((await asked).code).toBe("net.aborted");
    expect(accepted).toHaveLength(1);
    near.destroy();
  });

  test.each(["127.0.0.1", "::1"])("on a connection that was accepted: from then on nothing with the kernel's usual 64 is heard (%s)", async (host) => {
    const port = await freePort(host);
    const accepted: Connection[] = [];
    kept(await systemNet.listen(ip(host), port, { ttl: 255, md5: [] }, (connection) => accepted.push(connection)));
    const near = await systemNet.connect(ip(host), port, { ttl: 64 }, AbortSignal.timeout(5000));
    await until("it to be accepted", () => accepted.length === 1);
    accepted[0]!.requireTtl(255);
    const heard = remember(accepted[0]!);
    const before = tcpExt("TCPMinTTLDrop");
    near.write(Buffer.from("from afar"));
    await until("a drop to be counted", () => tcpExt("TCPMinTTLDrop") > before);
    expect(heard.octets).toBe(0);
    near.destroy();
    accepted[0]!.destroy();
  });
});
