import type { Ip } from "#base/ip.ts";
import type { Instant } from "#base/time.ts";
import type { Action } from "#bgp/actions.ts";
import { ourOpen } from "#bgp/fsm/negotiate.ts";
import { Neighbours } from "#bgp/neighbours.ts";
import { noCapabilities } from "#wire/bgp/capability.ts";
import { encodeKeepalive, encodeNotification, encodeRouteRefresh } from "#wire/bgp/message.ts";
import { describeNotification, peerFault } from "#wire/bgp/notification.ts";
import { type Open, decodeOpen, encodeOpen } from "#wire/bgp/open.ts";
import { describe, expect, test } from "vitest";
import { RecordingSink } from "./recording-sink.ts";
import { identityOf, peerOf, session } from "./settings-of.ts";

const local = "10.0.0.1" as Ip,
  remote = "10.0.0.2" as Ip;
const at = (ms: number): Instant => ms as Instant;

/** A session layer with one passive neighbour, spoken to by hand. */
class Bench {
  readonly sink = new RecordingSink();
  readonly neighbours: Neighbours;
  now = 0;

  constructor(more: Parameters<typeof peerOf>[2] = {}) {
    this.neighbours = new Neighbours(identityOf(local), this.sink);
    this.neighbours.configure([peerOf("n2", remote, { passive: true, ...more })], [], at(0));
    this.take();
  }

  take(): string[] {
    return this.neighbours.takeActions().map(summary);
  }
  connect(connection = 1): string[] {
    this.neighbours.accepted(connection, local, remote, at(this.now));
    return this.take();
  }
  hear(bytes: Uint8Array, connection = 1): string[] {
    this.neighbours.bytes(connection, bytes, 0, bytes.length, at(this.now));
    return this.take();
  }
  /** Lets time go on to `ms`, waking at every deadline on the way. */
  sleepTo(ms: number): string[] {
    for (let next = this.neighbours.nextDeadline(); next !== undefined && next <= ms; next = this.neighbours.nextDeadline()) {
      this.now = Math.max(this.now, next);
      this.neighbours.wake(at(this.now));
    }
    this.now = ms;
    return this.take();
  }
  establish(open = theirOpen()): this {
    this.connect();
    this.hear(encodeOpen(open));
    this.hear(encodeKeepalive());
    if (!this.neighbours.isEstablished(1)) throw new Error("the session did not come up");
    return this;
  }
}

function theirOpen(more: Partial<Open> = {}): Open {
  return { ...ourOpen(identityOf(remote), session, { restarting: false, forwarding: [0, 1] }), ...more };
}

const messageNames = ["", "OPEN", "UPDATE", "NOTIFICATION", "KEEPALIVE", "ROUTE-REFRESH"];
function summary(action: Action): string {
  if (action.type === "note") return `note ${action.note.event}`;
  if (action.type === "close") return `close ${action.connection} ${action.how}`;
  if (action.type !== "write") return action.type;
  const { bytes } = action;
  if (bytes[18] !== 3) return messageNames[bytes[18]!]!;
  return describeNotification(bytes[19]!, bytes[20]!, bytes.slice(21));
}

function updateOf(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(19 + body.length).fill(0xff, 0, 16);
  bytes.set([bytes.length >> 8, bytes.length & 0xff, 2], 16);
  bytes.set(body, 19);
  return bytes;
}
const endOfRib = updateOf(Uint8Array.of(0, 0, 0, 0));
const join = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));

describe("framing", () => {
  const big = updateOf(Uint8Array.from({ length: 9000 }, (_, i) => i & 0xff));
  const stream = join(encodeOpen(theirOpen()), encodeKeepalive(), endOfRib, big, updateOf(Uint8Array.of(0, 0, 0, 0, 9)), encodeKeepalive());
  const bodies = [4, 9000, 5],
    body = Buffer.concat([endOfRib.subarray(19), big.subarray(19), Uint8Array.of(0, 0, 0, 0, 9)]);
  const expectAll = ({ sink, neighbours }: Bench, how: string): void => {
    expect(
      sink.updates.map(({ length }) => length),
      how,
    ).toEqual(bodies);
    expect(Buffer.concat(sink.updates).equals(body), how).toBe(true);
    expect(neighbours.isEstablished(1), how).toBe(true);
  };

  test("the stream may be split anywhere: two pieces at every octet of it", () => {
    for (let cut = 1; cut < stream.length; cut += cut < 200 || cut > 9100 ? 1 : 97) {
      const bench = new Bench();
      bench.connect();
      bench.hear(stream.slice(0, cut));
      bench.hear(stream.slice(cut));
      expectAll(bench, `cut at ${cut}`);
    }
  });

  test("or into single octets, or into sevens", () => {
    for (const size of [1, 7]) {
      const bench = new Bench();
      bench.connect();
      for (let i = 0; i < stream.length; i += size) bench.hear(stream.slice(i, i + size));
      expectAll(bench, `in pieces of ${size}`);
    }
  });

  test("a whole UPDATE within a chunk is handed on where it stands; only one that straddles is copied", () => {
    const bench = new Bench().establish();
    const chunk = join(endOfRib, endOfRib);
    bench.hear(chunk);
    expect(bench.sink.lastBuffer).toBe(chunk);
    bench.hear(chunk.subarray(0, 30));
    const rest = chunk.slice(30);
    bench.hear(rest);
    expect(bench.sink.lastBuffer).not.toBe(rest);
    expect(bench.sink.updates).toHaveLength(4);
  });

  test("nothing of a chunk is kept: the buffer may be used again at once", () => {
    const bench = new Bench().establish();
    const buffer = new Uint8Array(64);
    buffer.set(endOfRib.subarray(0, 20), 5);
    bench.neighbours.bytes(1, buffer, 5, 25, at(0));
    buffer.fill(0xaa);
    buffer.set(endOfRib.subarray(20), 0);
    bench.neighbours.bytes(1, buffer, 0, 3, at(0));
    expect(bench.sink.updates.map((body) => [...body])).toEqual([[0, 0, 0, 0]]);
  });

  const bad: readonly (readonly [string, Uint8Array, string])[] = [
    ["a marker that is not all ones, at its first octet", Uint8Array.of(0), "Message Header Error/Connection Not Synchronized"],
    ["a length below the header's", join(encodeKeepalive().subarray(0, 16), Uint8Array.of(0, 18, 4)), "Message Header Error/Bad Message Length (data 0012)"],
    ["a type nobody knows", join(encodeKeepalive().subarray(0, 16), Uint8Array.of(0, 19, 9)), "Message Header Error/Bad Message Type (data 09)"],
    ["a KEEPALIVE with a body", join(encodeKeepalive().subarray(0, 16), Uint8Array.of(0, 20, 4, 0)), "Message Header Error/Bad Message Length (data 0014)"],
  ];
  for (const [name, bytes, answer] of bad) {
    test(`${name} resets the session, and nothing behind it is read`, () => {
      const bench = new Bench().establish();
      expect(bench.hear(join(bytes, endOfRib)).slice(0, 2)).toEqual([answer, "close 1 end"]);
      expect(bench.sink.updates).toHaveLength(0);
      expect(bench.hear(endOfRib)).toEqual([]);
    });
  }

  test("we offered extended messages, so a long UPDATE is taken even from a peer that did not", () => {
    const bench = new Bench().establish(theirOpen({ capabilities: { ...theirOpen().capabilities, extendedMessage: false } }));
    expect(bench.hear(updateOf(new Uint8Array(65_000)))).toEqual([]);
    expect(bench.sink.updates).toHaveLength(1);
  });
});

describe("timers", () => {
  test("keepalives go out every third of the hold time, less the jitter, while the peer is heard", () => {
    const bench = new Bench({ holdSeconds: 9 }).establish();
    const sent: string[] = [];
    for (let s = 1; s <= 60; s++) {
      sent.push(...bench.sleepTo(s * 1000));
      bench.hear(endOfRib);
    }
    // 3 s × 0.875: jitter gives 0.5 of the last quarter.
    expect(sent).toEqual(Array<string>(22).fill("KEEPALIVE"));
  });

  test("hearing nothing for the hold time ends it, counted from the last message and not before", () => {
    const bench = new Bench({ holdSeconds: 9 }).establish();
    bench.sleepTo(5000);
    bench.hear(endOfRib);
    bench.sleepTo(8000);
    bench.hear(encodeRouteRefresh({ afi: 1, safi: 1, subtype: 0 }));
    expect(bench.sleepTo(16_999)).not.toContain("Hold Timer Expired");
    expect(bench.neighbours.isEstablished(1)).toBe(true);
    expect(bench.sleepTo(17_000)).toEqual(["Hold Timer Expired", "close 1 end", "note bgp.down"]);
    expect(bench.sink.ends).toMatchObject([{ retain: true, reason: "hold timer expired: nothing heard for 9 s (sent Hold Timer Expired)" }]);
  });

  test("UPDATEs alone keep it up, and the silence after them ends it all the same", () => {
    const bench = new Bench({ holdSeconds: 9 }).establish();
    for (let s = 1; s <= 30; s++) {
      bench.sleepTo(s * 1000);
      bench.hear(endOfRib);
    }
    bench.sleepTo(38_999);
    expect(bench.neighbours.isEstablished(1)).toBe(true);
    expect(bench.sleepTo(39_000)).toContain("Hold Timer Expired");
  });

  test("with hold time 0 silence is borne for ever and nothing is sent", () => {
    const bench = new Bench().establish(theirOpen({ holdSeconds: 0 }));
    expect(bench.sleepTo(10_000_000)).toEqual([]);
    expect(bench.neighbours.isEstablished(1)).toBe(true);
  });

  test("a peer that says no OPEN is closed after four minutes", () => {
    const bench = new Bench();
    bench.connect();
    expect(bench.sleepTo(239_999)).toEqual([]);
    expect(bench.sleepTo(240_000).slice(0, 2)).toEqual(["Hold Timer Expired", "close 1 end"]);
  });

  test("a peer that reads nothing for eight minutes is closed, one that reads a little is not (RFC 9687)", () => {
    const bench = new Bench().establish();
    const minute = 60_000;
    for (let m = 0; m < 20; m++) {
      bench.neighbours.sendBlocked(1, at(bench.now));
      if (m === 7) bench.neighbours.sendProgressed(1);
      const said = bench.sleepTo((m + 1) * minute);
      bench.hear(encodeKeepalive());
      // Blocked anew from minute 8 on: eight more.
      expect(said.includes("Send Hold Timer Expired"), `minute ${m + 1}`).toBe(m + 1 === 16);
      if (m + 1 === 16) break;
    }
  });
});

describe("messages", () => {
  test("an OPEN is answered with a KEEPALIVE, a KEEPALIVE makes the session", () => {
    const bench = new Bench();
    expect(bench.connect()).toEqual(["OPEN"]);
    expect(bench.hear(encodeOpen(theirOpen()))).toEqual(["KEEPALIVE"]);
    expect(bench.hear(encodeKeepalive())).toEqual(["note bgp.established"]);
    expect(bench.sink.log).toEqual(["up 1"]);
  });

  test("what the sink finds wrong goes out as it said, and the session ends", () => {
    const bench = new Bench().establish();
    bench.sink.answer = () => peerFault(3, 5, "ORIGIN has 2 octets", Uint8Array.of(0x40, 1, 2, 0, 0));
    expect(bench.hear(join(endOfRib, endOfRib))).toEqual(["UPDATE Message Error/Attribute Length Error (data 4001020000)", "close 1 end", "note bgp.down"]);
    expect(bench.sink.updates).toHaveLength(1);
    expect(bench.sink.ends[0]!.reason).toBe("ORIGIN has 2 octets (sent UPDATE Message Error/Attribute Length Error (data 4001020000))");
  });

  test("a prefix limit is a hard reset between N bits, keeps nothing, and waits a minute", () => {
    const bench = new Bench({ passive: false });
    bench.neighbours.connected(1, 1, local, remote, at(0));
    bench.hear(encodeOpen(theirOpen()));
    bench.hear(encodeKeepalive());
    bench.sleepTo(20_000);
    bench.sink.answer = () => peerFault(6, 1, "more than 10 prefixes", Uint8Array.of(0, 1, 1, 0, 0, 0, 10));
    expect(bench.hear(endOfRib)[0]).toBe("Cease/Hard Reset (Cease/Maximum Number of Prefixes Reached (AFI 1 SAFI 1, limit 10))");
    expect(bench.sink.ends[0]!.retain).toBe(false);
    expect(bench.sleepTo(20_000 + 44_000)).toEqual([]);
    expect(bench.sleepTo(20_000 + 60_000)).toContain("connect");
  });

  test("a promise of ours that breaks resets that peer, hard, and is told with what broke", () => {
    const bench = new Bench().establish();
    bench.sink.answer = () => {
      throw new TypeError("undefined is no path");
    };
    expect(bench.hear(endOfRib)).toEqual(["note bgp.broken", "Cease/Hard Reset (Cease)", "close 1 end", "note bgp.down"]);
    expect(bench.sink.ends).toMatchObject([{ retain: false }]);
    expect(bench.neighbours.byId(1)!.state).toBe("Idle");
  });

  test("a route refresh reaches the RIB for agreed families and known subtypes alone", () => {
    const bench = new Bench({ families: ["ipv4"] }).establish();
    for (const [afi, safi, subtype] of [
      [1, 1, 0],
      [1, 1, 1],
      [1, 1, 2],
      [1, 1, 3],
      [2, 1, 0],
      [1, 128, 0],
    ] as const) {
      expect(bench.hear(encodeRouteRefresh({ afi, safi, subtype }))).toEqual([]);
    }
    expect(bench.sink.log).toEqual(["up 1", "refresh 1 0 0", "refresh 1 0 1", "refresh 1 0 2"]);
  });

  test("without enhanced refresh its subtypes are ignored", () => {
    const bench = new Bench().establish(theirOpen({ capabilities: { ...theirOpen().capabilities, enhancedRouteRefresh: false } }));
    bench.hear(encodeRouteRefresh({ afi: 1, safi: 1, subtype: 1 }));
    bench.hear(encodeRouteRefresh({ afi: 1, safi: 1, subtype: 0 }));
    expect(bench.sink.log).toEqual(["up 1", "refresh 1 0 0"]);
  });

  test("a NOTIFICATION is never answered with one, however odd or short", () => {
    for (const bytes of [
      encodeNotification({ code: 99, subcode: 77, data: Uint8Array.of(1, 2) }),
      encodeNotification({ code: 6, subcode: 9, data: new Uint8Array(0) }),
    ]) {
      const bench = new Bench().establish();
      expect(bench.hear(bytes)).toEqual(["close 1 end", "note bgp.down"]);
    }
  });

  test("an UPDATE before the session is up is a fault of the state machine, named by RFC 6608", () => {
    const bench = new Bench();
    bench.connect();
    expect(bench.hear(endOfRib)[0]).toBe("Finite State Machine Error/Unexpected Message in OpenSent (data 02)");
  });

  test("after (2, 4) the next OPEN has no capabilities; after a session they are tried again", () => {
    const bench = new Bench();
    bench.connect();
    bench.hear(encodeNotification({ code: 2, subcode: 4, data: new Uint8Array(0) }));
    const openLength = (connection: number): number => {
      bench.neighbours.accepted(connection, local, remote, at(bench.now));
      const write = bench.neighbours.takeActions().find((action) => action.type === "write");
      const { bytes } = write as Action & { readonly type: "write" };
      expect(decodeOpen(bytes, 19, bytes.length).ok).toBe(true);
      return bytes.length;
    };
    expect(openLength(2)).toBe(29);
    bench.hear(encodeOpen(theirOpen({ capabilities: noCapabilities })), 2);
    bench.hear(encodeKeepalive(), 2);
    expect(bench.sink.terms.get(1)).toMatchObject({ families: [0], fourOctetAs: false });
    bench.neighbours.closed(2, "reset", at(0));
    expect(openLength(3)).toBeGreaterThan(29);
  });
});
