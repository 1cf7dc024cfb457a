import { describe, expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import { type BfdPeer, BfdSessions } from "#bfd/sessions.ts";
import { type ControlPacket, decodeControlPacket, encodeControlPacket } from "#wire/bfd.ts";
import { chance } from "../sim/chance.ts";
import { at } from "./virtual-session.ts";

const near = "10.9.0.2" as Ip,
  far = "10.8.0.2" as Ip,
  stranger = "10.7.0.2" as Ip;
const peerOf = (remote: Ip, more: Partial<BfdPeer> = {}): BfdPeer => ({
  remote,
  source: undefined,
  multihop: false,
  minTtl: 255,
  intervalMicros: 300_000,
  multiplier: 3,
  ...more,
});
const one = peerOf(near),
  two = peerOf(far, { multihop: true, minTtl: 1 });

const packet = (more: Partial<ControlPacket> = {}): ControlPacket => ({
  diagnostic: 0,
  state: "Down",
  poll: false,
  final: false,
  controlPlaneIndependent: false,
  demand: false,
  multiplier: 3,
  myDiscriminator: 77,
  yourDiscriminator: 0,
  desiredMinTxMicros: 1_000_000,
  requiredMinRxMicros: 300_000,
  requiredMinEchoRxMicros: 0,
  authenticationType: undefined,
  ...more,
});

class Hub {
  readonly sessions = new BfdSessions(chance(1));
  now = 0;
  constructor(...peers: readonly BfdPeer[]) {
    this.sessions.configure(peers, at(0));
    this.sessions.wake(at(0));
  }
  get(remote: Ip): string {
    return this.sessions.info().find((info) => info.remote === remote)!.state;
  }
  hear(remote: Ip, more: Partial<ControlPacket> = {}, arrival: { readonly ttl?: number; readonly multihop?: boolean } = {}): this {
    this.sessions.received({ bytes: encodeControlPacket(packet(more)), remote, ttl: 255, multihop: false, ...arrival }, at(this.now));
    return this;
  }
  /** What was sent since: by address, the packets. */
  sent(remote: Ip): readonly ControlPacket[] {
    return this.sessions.takeOutputs().flatMap((output) => {
      if (output.type !== "send" || output.peer.remote !== remote) return [];
      const read = decodeControlPacket(output.bytes);
      return read.ok ? [read.value] : [];
    });
  }
  discriminator(remote: Ip): number {
    return this.sent(remote)[0]!.myDiscriminator;
  }
}

describe("whose packet it is (RFC 5880 §6.3)", () => {
  test("before it knows our discriminator: by its address and the port", () => {
    const hub = new Hub(one, two);
    hub.hear(near).hear(far, {}, { multihop: true });
    expect([hub.get(near), hub.get(far)]).toEqual(["Init", "Init"]);
  });
  test("afterwards by our discriminator alone, wherever it comes from", () => {
    const hub = new Hub(one),
      ours = hub.discriminator(near);
    hub.hear(stranger, { state: "Init", yourDiscriminator: ours });
    expect(hub.get(near)).toBe("Up");
  });
  test("discriminators are unique, never 0", () => {
    const alike = new BfdSessions(() => 0.999_999_999_9); // the same draw each time, and the last there is
    alike.configure([one, two], at(0));
    alike.wake(at(0));
    expect(alike.takeOutputs()).toMatchObject([{ session: 0xffff_ffff }, { session: 1 }]);
    const hub = new Hub(...Array.from({ length: 500 }, (_, i) => peerOf(`10.1.${i >> 8}.${i & 255}` as Ip)));
    const ids = hub.sessions.takeOutputs().flatMap((output) => (output.type === "send" ? [output.session] : []));
    expect(new Set(ids).size).toBe(500);
    expect(Math.min(...ids)).toBeGreaterThan(0);
  });
});

describe("what is refused, and counted by why", () => {
  test.each([
    ["an unknown address", "no-session", stranger, {}, {}],
    ["an unknown discriminator", "no-session", near, { yourDiscriminator: 12_345, state: "Init" }, {}],
    ["the port of the other kind", "no-session", near, {}, { multihop: true }],
    ["a TTL of 254 on one link (RFC 5881 §5)", "ttl", near, {}, { ttl: 254 }],
    ["an unknown TTL", "ttl", near, {}, { ttl: 0 }],
    ["Up without our discriminator", "state", near, { state: "Up" }, {}],
  ] as const)("%s", (_what, kind, from, more, arrival) => {
    const hub = new Hub(one).hear(from, more, arrival);
    expect([...hub.sessions.refused]).toEqual([[kind, 1]]);
    expect(hub.get(near)).toBe("Down");
  });

  test("authentication, which the peer's operator is told of through ours", () => {
    const hub = new Hub(one);
    const plain = encodeControlPacket(packet()),
      bytes = new Uint8Array([...plain, 1, 9, 1, 115, 101, 99, 114, 101, 116]);
    bytes[1]! |= 4;
    bytes[3] = bytes.length;
    hub.sessions.received({ bytes, remote: near, ttl: 255, multihop: false }, at(0));
    expect([...hub.sessions.refused]).toEqual([["authentication", 1]]);
    expect(hub.sessions.info()).toMatchObject([{ packetsIn: 0, packetsRefused: 1 }]);
    expect(hub.sessions.info()[0]!.reason).toBe(
      "nothing heard from the peer yet; one packet of it was refused, the last because it is authenticated, which is not supported here: switch BFD authentication off at the peer",
    );
  });

  test("over routers a TTL of 1 will do, unless the document says how far away the peer may be", () => {
    const hub = new Hub(two).hear(far, {}, { ttl: 1, multihop: true });
    expect(hub.get(far)).toBe("Init");
    const near3 = new Hub({ ...two, minTtl: 253 }).hear(far, {}, { ttl: 252, multihop: true });
    expect([...near3.sessions.refused]).toEqual([["ttl", 1]]);
  });
});

describe("the document changes", () => {
  test("a peer without BFD is told so until it cannot have missed it, then there is nothing left", () => {
    const hub = new Hub(one),
      ours = hub.discriminator(near);
    hub.hear(near, { state: "Init", yourDiscriminator: ours });
    hub.sessions.takeOutputs();
    hub.sessions.configure([], at(100));
    expect(hub.sent(near)).toMatchObject([{ state: "AdminDown", diagnostic: 7 }]);
    expect([hub.sessions.info(), hub.sessions.size]).toEqual([[], 1]);
    let gone = 0;
    for (let due = hub.sessions.nextDeadline(); due !== undefined; due = hub.sessions.nextDeadline()) {
      hub.sessions.wake(due);
      for (const output of hub.sessions.takeOutputs()) if (output.type === "gone") gone = due;
    }
    expect([gone, hub.sessions.size]).toEqual([3100, 0]);
  });
  test("new times keep the session; another source makes another one", () => {
    const hub = new Hub(one),
      ours = hub.discriminator(near);
    hub.hear(near, { state: "Init", yourDiscriminator: ours }).sent(near);
    hub.sessions.configure([{ ...one, intervalMicros: 500_000 }], at(0));
    expect([hub.get(near), hub.sent(near)]).toMatchObject(["Up", []]); // the Poll Sequence of coming up is not over
    hub.hear(near, { state: "Up", yourDiscriminator: ours, final: true });
    expect(hub.sent(near)).toMatchObject([{ poll: true, requiredMinRxMicros: 500_000 }]);
    hub.sessions.configure([{ ...one, source: "10.9.0.1" as Ip }], at(0));
    hub.sessions.wake(at(0));
    const sent = hub.sent(near);
    expect([hub.get(near), sent.map(({ state }) => state)]).toEqual(["Down", ["AdminDown", "Down"]]);
    expect(sent[1]!.myDiscriminator).not.toBe(ours);
  });
  test("the same document again is no event", () => {
    const hub = new Hub(one);
    hub.hear(near).sent(near);
    hub.sessions.configure([{ ...one }], at(0));
    expect([hub.get(near), hub.sessions.takeOutputs()]).toEqual(["Init", []]);
  });
});

test("a change is told with the peer it is of, and what cannot be sent is said", () => {
  const hub = new Hub(one, two),
    [first] = hub.sessions.takeOutputs();
  hub.hear(near);
  expect(hub.sessions.takeOutputs().filter(({ type }) => type === "changed")).toEqual([
    { type: "changed", peer: one, change: { from: "Down", to: "Init", reason: "the peer is heard; waits for it to hear us", isFailure: false } },
  ]);
  hub.sessions.sent((first as { readonly session: number }).session, "there is no route to it");
  expect(hub.sessions.info()[0]).toMatchObject({
    remote: near,
    reason: "the peer is heard; waits for it to hear us; our packets do not leave: there is no route to it",
  });
});
