/** What BGP does when BFD finds the path to a neighbour broken (RFC 5882 §3.2, §4.3; RFC 9384). */
import { describe, expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { Instant } from "#base/time.ts";
import type { RestartState } from "#bgp/fsm/negotiate.ts";
import { ourOpen } from "#bgp/fsm/negotiate.ts";
import { Speaker } from "#bgp/speaker.ts";
import { encodeKeepalive } from "#wire/bgp/message.ts";
import { describeNotification } from "#wire/bgp/notification.ts";
import { encodeOpen, type Open } from "#wire/bgp/open.ts";
import { encodeEndOfRib, encodeUpdate } from "#wire/bgp/update.ts";
import { identityOf, peerOf, session } from "./settings-of.ts";

const us = "10.0.0.1" as Ip,
  them = "10.0.0.2" as Ip;
const at = (ms: number): Instant => ms as Instant;
const silence = "nothing heard from the peer for 900 ms";

function openOf({ restarting = false, notification = true, graceful = true } = {}): Open {
  const state: RestartState = { restarting, forwarding: [0, 1] };
  const open = ourOpen(identityOf(them), { ...session, families: ["ipv4"] }, state);
  const { gracefulRestart, ...rest } = open.capabilities;
  return { ...open, capabilities: graceful && gracefulRestart ? { ...rest, gracefulRestart: { ...gracefulRestart, notification } } : rest };
}
const update = encodeUpdate(
  { nlri: [{ prefix: "10.42.0.0/24" as Prefix }], attributes: { origin: 0, asPath: [], localPref: 100, nextHop: Uint8Array.of(10, 0, 0, 2) } },
  { fourOctetAs: true },
);

class World {
  readonly speaker: Speaker;
  now = 0;
  constructor() {
    this.speaker = new Speaker({ ...identityOf(us), address: us, address6: undefined, policies: {}, observes: false });
    this.speaker.configure([peerOf("p", them, { passive: true, families: ["ipv4"] })], [], at(0));
  }
  /** A session over `connection`, and the peer's one route. */
  establish(connection: number, open: Open): this {
    this.speaker.accepted(connection, us, them, at(this.now));
    return this.hear(connection, encodeOpen(open), encodeKeepalive());
  }
  hear(connection: number, ...messages: readonly Uint8Array[]): this {
    for (const buffer of messages) this.speaker.bytes(connection, { buffer, start: 0, end: buffer.length }, at(this.now));
    return this.settle();
  }
  settle(): this {
    while (this.speaker.step(at(this.now), 100));
    return this;
  }
  /** What the peer was sent and whether it was closed, in words. */
  bfdDown(address = them): readonly string[] {
    this.speaker.takeActions();
    this.speaker.bfdDown(address, silence, at(this.now));
    this.settle();
    return this.speaker.takeActions().flatMap((action) => {
      if (action.type === "close") return ["closed"];
      return action.type === "write" && action.bytes[18] === 3 ? [describeNotification(action.bytes[19]!, action.bytes[20]!, action.bytes.subarray(21))] : [];
    });
  }
  get info(): { readonly state: string; readonly reason: string } {
    return this.speaker.neighbours.info()[0]!;
  }
  get routes(): number {
    return this.speaker.rib.ribs[0].chosen;
  }
}

describe("an Established session ends at once, and its routes with it", () => {
  test.each([
    ["without graceful restart", { graceful: false }, "Cease/BFD Down"],
    ["with graceful restart, without the N bit", { notification: false }, "Cease/BFD Down"],
    ["with the N bit: hard, or the peer would keep our routes (RFC 8538 §3.1)", {}, "Cease/Hard Reset (Cease/BFD Down)"],
  ])("%s", (_what, capabilities, said) => {
    const world = new World().establish(1, openOf(capabilities)).hear(1, update);
    expect([world.info.state, world.routes]).toEqual(["Established", 1]);
    expect(world.bfdDown()).toEqual([said, "closed"]);
    expect([world.info.state, world.routes]).toEqual(["Idle", 0]);
    expect(world.info.reason).toBe(`the BFD session went down: ${silence} (sent ${said})`);
    // strict mode is not wanted: BGP may come back before BFD does
    world.now = 10_000;
    world.speaker.wake(at(world.now));
    expect(world.establish(2, openOf(capabilities)).info.state).toBe("Established");
  });
});

describe("a graceful restart in progress goes on, since BFD may have gone down with it (RFC 5882 §4.3.2)", () => {
  test("while the peer is away", () => {
    const world = new World().establish(1, openOf()).hear(1, update);
    world.speaker.closed(1, "connection reset by peer", at(0));
    world.settle();
    expect(world.bfdDown()).toEqual([]);
    expect(world.routes).toBe(1);
  });
  test("while it is back and still tells its routes; once it has told them, BFD counts again", () => {
    const world = new World().establish(1, openOf()).hear(1, update);
    world.speaker.closed(1, "connection reset by peer", at(0));
    world.settle().establish(2, openOf({ restarting: true }));
    expect(world.bfdDown()).toEqual([]);
    expect([world.info.state, world.routes]).toEqual(["Established", 1]);
    world.hear(2, update, encodeEndOfRib(1, 1));
    expect(world.bfdDown()).toEqual(["Cease/Hard Reset (Cease/BFD Down)", "closed"]);
    expect(world.routes).toBe(0);
  });
});

test("a connection that is not up yet is left alone, and so is everybody else", () => {
  const world = new World();
  expect(world.bfdDown()).toEqual([]);
  world.establish(1, openOf());
  expect(world.bfdDown("10.0.0.9" as Ip)).toEqual([]);
  expect(world.info.state).toBe("Established");
});
