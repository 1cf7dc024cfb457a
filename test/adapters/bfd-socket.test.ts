/** UDP for BFD on the real kernel, in a namespace of its own: TTL told and sent, source ports, ports that are taken. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import { FaultError } from "#base/fault.ts";
import { BfdListener, BfdSender } from "#adapters/bfd-socket.ts";
import { bindTo, openUdp, setTtl, socketAddress } from "#adapters/socket-options.ts";
import { libc } from "#adapters/libc.ts";
import { kernelMissing, Namespace, until } from "../contract/kernel-netns.ts";

interface Arrival {
  readonly text: string;
  readonly remote: string;
  readonly ttl: number;
}

describe.skipIf(kernelMissing !== undefined)(`BFD sockets${kernelMissing ?? ""}`, () => {
  let namespace: Namespace;
  const doors: { close(): void }[] = [];
  beforeAll(() => {
    namespace = new Namespace("bfd");
    namespace.ip("address add 127.0.0.5/8 dev lo");
  });
  afterAll(() => {
    for (const door of doors) door.close();
    namespace.remove();
  });

  /** Made in there, it stays in there. */
  function inside<T extends { close(): void }>(make: () => T): T {
    const leave = namespace.enter();
    try {
      const door = make();
      doors.push(door);
      return door;
    } finally {
      leave();
    }
  }
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  function listen(family: 4 | 6, multihop: boolean): Arrival[] {
    const heard: Arrival[] = [],
      listener = inside(() => new BfdListener(family, multihop));
    listener.watch(() => listener.drain(({ bytes, remote, ttl }) => void heard.push({ text: new TextDecoder().decode(bytes), remote, ttl })));
    return heard;
  }

  test("IPv4 and IPv6, single hop and multihop: each to its own, from the address asked for, with TTL 255", async () => {
    const single4 = listen(4, false),
      multi4 = listen(4, true),
      single6 = listen(6, false),
      multi6 = listen(6, true);
    const [v4, v6] = ["127.0.0.1" as Ip, "::1" as Ip],
      other = "127.0.0.5" as Ip;
    expect(inside(() => new BfdSender(v4, other, false, 0)).send(encode("single 4"))).toBeUndefined();
    expect(inside(() => new BfdSender(v4, undefined, true, 0)).send(encode("multihop 4"))).toBeUndefined();
    expect(inside(() => new BfdSender(v6, undefined, false, 0)).send(encode("single 6"))).toBeUndefined();
    expect(inside(() => new BfdSender(v6, v6, true, 0)).send(encode("multihop 6"))).toBeUndefined();
    await until("four datagrams", () => [single4, multi4, single6, multi6].every((heard) => heard.length > 0));
    expect([single4, multi4, single6, multi6]).toEqual([
      [{ text: "single 4", remote: "127.0.0.5", ttl: 255 }],
      [{ text: "multihop 4", remote: "127.0.0.1", ttl: 255 }],
      [{ text: "single 6", remote: "::1", ttl: 255 }],
      [{ text: "multihop 6", remote: "::1", ttl: 255 }],
    ]);
  });

  test("the TTL is the one it arrived with, and a longer datagram is cut, not lost", async () => {
    namespace.ip("address add 127.0.0.6/8 dev lo");
    const heard: Arrival[] = [],
      listener = doors[0] as BfdListener;
    const leave = namespace.enter();
    const fd = openUdp(4),
      to = socketAddress("127.0.0.1" as Ip, 3784);
    leave();
    bindTo(fd, "127.0.0.6" as Ip, 0);
    setTtl(fd, 4, 64);
    const long = encode("x".repeat(2000));
    expect(libc.sendto(fd, long, long.length, 0, to, to.length)).toBe(2000);
    libc.close(fd);
    // the loopback delivers within sendto, so nobody else has read it yet
    listener.drain(({ bytes, remote, ttl }) => void heard.push({ text: String(bytes.length), remote, ttl }));
    expect(heard).toEqual([{ text: "512", remote: "127.0.0.6", ttl: 64 }]);
  });

  test("every session has a source port of its own, of the range of RFC 5881 §4", () => {
    const ports = (): number[] =>
      namespace
        .exec("ss -Hnaup")
        .split("\n")
        .flatMap((line) => [...(/^UNCONN +\d+ +\d+ +\S*:(\d+) /.exec(line)?.slice(1) ?? [])].map(Number))
        .filter((port) => port >= 49_152);
    const before = ports().length;
    for (let i = 0; i < 5; i++) inside(() => new BfdSender("127.0.0.1" as Ip, undefined, false, 0.999_99));
    const all = ports();
    expect(all).toHaveLength(before + 5);
    expect(new Set(all.slice(before)).size).toBe(5);
    expect(Math.max(...all)).toBeLessThanOrEqual(65_535);
  });

  test("what the outside refuses is one sentence", () => {
    const refusal = (make: () => { close(): void }): string => {
      try {
        inside(make);
      } catch (error) {
        if (error instanceof FaultError) return error.fault.text;
        throw error;
      }
      return "nothing was refused";
    };
    expect(refusal(() => new BfdListener(4, false))).toBe(
      "cannot listen for BFD on UDP port 3784: another program has the port; stop its BFD, or leave `bfd` out here.",
    );
    expect(refusal(() => new BfdSender("127.0.0.1" as Ip, "10.9.9.9" as Ip, false, 0))).toBe(
      "cannot send BFD packets to 127.0.0.1: this machine does not have the source address.",
    );
    expect(inside(() => new BfdSender("10.9.9.9" as Ip, undefined, false, 0)).send(encode("x"))).toBe("there is no route to it");
  });
});
