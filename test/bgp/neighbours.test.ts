import type { Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PeerSettings, RangeSettings } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import type { Action } from "#bgp/actions.ts";
import { ourOpen } from "#bgp/fsm/negotiate.ts";
import { Neighbours, lingerMillis } from "#bgp/neighbours.ts";
import { encodeKeepalive } from "#wire/bgp/message.ts";
import { describeNotification } from "#wire/bgp/notification.ts";
import { type Open, encodeOpen } from "#wire/bgp/open.ts";
import { describe, expect, test } from "vitest";
import { RecordingSink } from "./recording-sink.ts";
import { identityOf, peerOf, rangeOf, session } from "./settings-of.ts";

const us = "10.0.0.1" as Ip;
const at = (ms: number): Instant => ms as Instant;

function summary(action: Action): string {
  switch (action.type) {
    case "connect":
      return `connect ${action.address}`;
    case "cancelConnect":
      return `cancel ${action.peer}`;
    case "requireTtl":
      return `${action.connection}: TTL ${action.minTtl} and more`;
    case "close":
      return `close ${action.connection} ${action.how}`;
    case "note":
      return `note ${action.note.event}`;
    case "write": {
      const { bytes } = action;
      if (bytes[18] === 3) return `${action.connection}: ${describeNotification(bytes[19]!, bytes[20]!, bytes.slice(21))}`;
      return `${action.connection}: ${["OPEN", "UPDATE", "", "KEEPALIVE"][bytes[18]! - 1]!}`;
    }
  }
}

class Hub {
  readonly sink = new RecordingSink();
  readonly neighbours: Neighbours;
  now = 0;
  constructor(peers: readonly PeerSettings[], ranges: readonly RangeSettings[] = []) {
    this.neighbours = new Neighbours(identityOf(us), this.sink);
    this.neighbours.configure(peers, ranges, at(0));
  }
  take(): string[] {
    return this.neighbours.takeActions().map(summary);
  }
  configure(peers: readonly PeerSettings[], ranges: readonly RangeSettings[] = []): string[] {
    this.neighbours.configure(peers, ranges, at(this.now));
    return this.take();
  }
  accept(connection: number, remote: string, local: Ip = us): string[] {
    this.neighbours.accepted(connection, local, remote as Ip, at(this.now));
    return this.take();
  }
  dialled(peer: number, connection: number, remote: string): string[] {
    this.neighbours.connected(peer, connection, us, remote as Ip, at(this.now));
    return this.take();
  }
  hear(connection: number, ...messages: readonly Uint8Array[]): string[] {
    for (const bytes of messages) this.neighbours.bytes(connection, bytes, 0, bytes.length, at(this.now));
    return this.take();
  }
  sleep(ms: number): string[] {
    const until = this.now + ms;
    for (let next = this.neighbours.nextDeadline(); next !== undefined && next <= until; next = this.neighbours.nextDeadline()) {
      this.now = Math.max(this.now, next);
      this.neighbours.wake(at(this.now));
    }
    this.now = until;
    return this.take();
  }
  /** Brings up a session with `remote`, whose identifier is its address. */
  establish(connection: number, remote: string, more: Partial<typeof session> = {}): this {
    this.accept(connection, remote);
    this.hear(connection, openOf(remote, more), encodeKeepalive());
    return this;
  }
  states(): string[] {
    return this.neighbours.info().map(({ name, state }) => `${name} ${state}`);
  }
}

function openOf(id: string, more: Partial<typeof session> = {}, asn = 64_512): Uint8Array {
  const open: Open = ourOpen(identityOf(id, { asn }), { ...session, ...more }, { restarting: false, forwarding: [0, 1] });
  return encodeOpen(open);
}

describe("dialling", () => {
  test("each neighbour is dialled at once, a passive one never", () => {
    const hub = new Hub([peerOf("a", "10.0.0.2"), peerOf("b", "10.0.0.3", { passive: true })]);
    expect(hub.take()).toEqual(["connect 10.0.0.2"]);
    expect(hub.states()).toEqual(["a Connect", "b Active"]);
    expect(hub.neighbours.byId(2)!.reason).toBe("waits for the peer to connect");
  });

  test("the dial carries what its socket needs: source, TTL by hops, the least TTL under GTSM, the name of the key", () => {
    const dialOf = (more: Partial<PeerSettings>): object => {
      const actions = new Hub([peerOf("a", "10.0.0.2", more)]).neighbours.takeActions();
      return actions[0]!;
    };
    expect(dialOf({})).toMatchObject({ type: "connect", peer: 1, port: 179, ttl: 255, minTtl: undefined, source: undefined });
    expect(dialOf({ multihop: 1, source: us, port: 1790 })).toMatchObject({ ttl: 1, source: us, port: 1790 });
    expect(dialOf({ multihop: 3, ttlSecurityHops: 2 })).toMatchObject({ ttl: 255, minTtl: 254 });
    expect(dialOf({ md5: { file: "/run/key" } })).toMatchObject({ md5: { file: "/run/key" } });
  });

  test("what comes in is held to the least TTL too, before a word is said: of configured neighbours and of ranges", () => {
    const hub = new Hub([peerOf("a", "10.0.0.2", { passive: true, ttlSecurityHops: 1 })], [rangeOf("r", "10.1.0.0/16", { ttlSecurityHops: 3 })]);
    hub.take();
    expect(hub.accept(7, "10.0.0.2")).toEqual(["7: TTL 255 and more", "7: OPEN"]);
    expect(hub.accept(8, "10.1.0.9")).toEqual(["8: TTL 253 and more", "8: OPEN"]);
  });

  test("a reflector that refuses is dialled again within a second, for a quarter of a minute; and the reason is told", () => {
    const hub = new Hub([peerOf("a", "10.0.0.2")]);
    hub.take();
    for (let i = 0; i < 15; i++) {
      hub.neighbours.connectFailed(1, "connection refused", at(hub.now));
      expect(hub.sleep(1000)).toContain("connect 10.0.0.2");
    }
    expect(hub.neighbours.byId(1)!.reason).toBe("cannot connect to 10.0.0.2 port 179: connection refused");
    expect(hub.neighbours.byId(1)!.attempts).toBe(16);
  });

  test("a dial that nobody answers is given up and made anew", () => {
    const hub = new Hub([peerOf("a", "10.0.0.2")]);
    hub.take();
    expect(hub.sleep(3000)).toEqual(["note bgp.attempt", "cancel 1", "connect 10.0.0.2"]);
    expect(hub.neighbours.info()[0]!.reason).toBe("cannot connect to 10.0.0.2 port 179: no answer (it is down, or a firewall drops the packets)");
    const keyed = new Hub([peerOf("a", "10.0.0.2", { md5: { file: "/k" } })]);
    keyed.sleep(3000);
    expect(keyed.neighbours.info()[0]!.reason).toContain("or the TCP-MD5 keys differ");
  });

  test("an answer nobody waits for any more is closed", () => {
    const hub = new Hub([peerOf("a", "10.0.0.2")]);
    hub.establish(7, "10.0.0.2");
    expect(hub.dialled(1, 8, "10.0.0.2")).toEqual(["close 8 destroy"]);
    expect(hub.dialled(99, 9, "10.0.0.9")).toEqual(["close 9 destroy"]);
    expect(hub.states()).toEqual(["a Established"]);
  });

  test("a session that was lost is dialled again within half a second", () => {
    const hub = new Hub([peerOf("a", "10.0.0.2")]);
    hub.dialled(1, 1, "10.0.0.2");
    hub.hear(1, openOf("10.0.0.2"), encodeKeepalive());
    hub.sleep(60_000);
    hub.hear(1, encodeKeepalive());
    hub.neighbours.closed(1, "connection reset by peer", at(hub.now));
    expect(hub.neighbours.byId(1)).toMatchObject({ state: "Idle", flaps: 1, reason: "connection lost: connection reset by peer" });
    expect(hub.sleep(500)).toContain("connect 10.0.0.2");
  });
});

describe("two connections", () => {
  const cease7 = (connection: number): string[] => [`${connection}: Cease/Connection Collision Resolution`, `close ${connection} end`];

  /** Dialled as 1, accepted as 2; both OPENs said. */
  function collide(id: string, order: readonly [number, number]): { hub: Hub; said: string[] } {
    const hub = new Hub([peerOf("a", "10.0.0.9")]);
    hub.accept(2, "10.0.0.9");
    hub.dialled(1, 1, "10.0.0.9");
    const said = order.flatMap((connection) => hub.hear(connection, openOf(id)));
    return { hub, said };
  }

  test("the higher identifier keeps the connection it dialled", () => {
    for (const order of [
      [1, 2],
      [2, 1],
    ] as const) {
      const { hub, said } = collide("10.0.0.0", order);
      expect(said.filter((line) => !line.endsWith("KEEPALIVE"))).toEqual(cease7(2));
      hub.hear(1, encodeKeepalive());
      expect(hub.neighbours.connectionOf(1)).toBe(1);
    }
  });

  test("the lower identifier gives up its own dial when the other's was first", () => {
    const { hub, said } = collide("10.0.0.9", [2, 1]);
    expect(said.filter((line) => !line.endsWith("KEEPALIVE"))).toEqual(cease7(1));
    hub.hear(2, encodeKeepalive());
    expect(hub.neighbours.connectionOf(1)).toBe(2);
  });

  test("else it waits for the senior to close one, and follows it either way", () => {
    const keepsMine = collide("10.0.0.9", [1, 2]);
    expect(keepsMine.said).toEqual(["1: KEEPALIVE", "2: KEEPALIVE"]);
    keepsMine.hub.neighbours.closed(2, "closed", at(0));
    keepsMine.hub.hear(1, encodeKeepalive());
    expect(keepsMine.hub.neighbours.connectionOf(1)).toBe(1);

    const { hub } = collide("10.0.0.9", [1, 2]);
    expect(hub.hear(1, encodeKeepalive())).toEqual(["note bgp.established"]);
    expect(hub.hear(2, encodeKeepalive())).toEqual(["close 1 end", "note bgp.down", "note bgp.established"]);
    expect(hub.sink.log).toEqual(["up 1", "down 1 retain", "up 1"]);
    expect(hub.neighbours.connectionOf(1)).toBe(2);
  });

  test("when the connection it waited for breaks, the other one is all there is: nobody is dialled beside it", () => {
    const { hub } = collide("10.0.0.9", [1, 2]);
    hub.neighbours.closed(1, "reset", at(0));
    expect(hub.states()).toEqual(["a OpenConfirm"]);
    expect(hub.sleep(20_000)).toEqual(["note bgp.attempt"]);
    expect(hub.hear(2, encodeKeepalive())).toEqual(["note bgp.established"]);
    expect(hub.neighbours.connectionOf(1)).toBe(2);
  });

  test("what still comes in on a connection we closed is not taken for the next one's", () => {
    const hub = new Hub([peerOf("a", "10.0.0.9", { passive: true })]).establish(1, "10.0.0.9");
    hub.neighbours.reset("a", "x", at(0));
    hub.accept(2, "10.0.0.9");
    expect(hub.hear(1, openOf("10.0.0.9"), encodeKeepalive())).toEqual([]);
    hub.neighbours.closed(1, "closed", at(0));
    expect(hub.states()).toEqual(["a OpenSent"]);
    hub.hear(2, openOf("10.0.0.9"), encodeKeepalive());
    expect(hub.neighbours.connectionOf(1)).toBe(2);
  });

  test("an inbound session ends a dial that is still under way", () => {
    const hub = new Hub([peerOf("a", "10.0.0.9")]);
    hub.take();
    hub.accept(2, "10.0.0.9");
    hub.hear(2, openOf("10.0.0.9"));
    expect(hub.hear(2, encodeKeepalive())).toEqual(["cancel 1", "note bgp.established"]);
  });

  test("a peer with graceful restart that comes anew replaces its half-open session once it says OPEN, without NOTIFICATION", () => {
    const hub = new Hub([peerOf("a", "10.0.0.9", { passive: true })]).establish(1, "10.0.0.9");
    expect(hub.accept(2, "10.0.0.9")).toEqual(["2: OPEN"]);
    expect(hub.neighbours.connectionOf(1)).toBe(1);
    expect(hub.hear(2, openOf("10.0.0.9"))).toEqual(["close 1 end", "note bgp.down", "2: KEEPALIVE"]);
    expect(hub.neighbours.connectionOf(1)).toBeUndefined();
    hub.hear(2, encodeKeepalive());
    expect(hub.sink.log).toEqual(["up 1", "down 1 retain", "up 1"]);
    expect(hub.neighbours.connectionOf(1)).toBe(2);
  });

  test("without graceful restart Established wins, and the newcomer is told why", () => {
    const hub = new Hub([peerOf("a", "10.0.0.9", { passive: true })]).establish(1, "10.0.0.9", { gracefulRestart: undefined });
    hub.accept(2, "10.0.0.9");
    expect(hub.hear(2, openOf("10.0.0.9"))).toEqual(cease7(2));
    expect(hub.sink.log).toEqual(["up 1"]);
  });

  test("a port scan from the peer's address resets nobody, and a third connection costs the second", () => {
    const hub = new Hub([peerOf("a", "10.0.0.9", { passive: true })]).establish(1, "10.0.0.9");
    hub.accept(2, "10.0.0.9");
    expect(hub.accept(3, "10.0.0.9")).toEqual([...cease7(2), "3: OPEN"]);
    hub.neighbours.closed(3, "closed", at(0));
    expect(hub.neighbours.connectionOf(1)).toBe(1);
    expect(hub.states()).toEqual(["a Established"]);
  });

  test("in the idle hold after a rejection the peer is taken at once when it dials", () => {
    const hub = new Hub([peerOf("a", "10.0.0.9")]);
    hub.dialled(1, 1, "10.0.0.9");
    expect(hub.hear(1, openOf("10.0.0.9", {}, 65_001))[0]).toBe("1: OPEN Message Error/Bad Peer AS");
    expect(hub.neighbours.byId(1)).toMatchObject({ state: "Idle", notificationsOut: 1, lastSent: "OPEN Message Error/Bad Peer AS" });
    expect(hub.neighbours.byId(1)!.reason).toBe("the peer is AS 65001, configured is AS 64512 (sent OPEN Message Error/Bad Peer AS)");
    hub.establish(2, "10.0.0.9");
    expect(hub.states()).toEqual(["a Established"]);
  });
});

describe("ranges", () => {
  const wide = rangeOf("wide", "10.0.0.0/8", { limit: 2 }),
    narrow = rangeOf("narrow", "10.1.0.0/16", { role: "non-client" });

  test("a configured peer comes before the longest range, that before a shorter one, and else there is no entry", () => {
    const hub = new Hub([peerOf("fixed", "10.1.0.5", { passive: true })], [wide, narrow]);
    hub.accept(1, "10.1.0.5");
    hub.accept(2, "10.1.0.6");
    hub.accept(3, "10.2.0.7");
    expect(hub.accept(4, "192.0.2.1")).toEqual(["4: Cease/Connection Rejected", "close 4 end", "note bgp.refused"]);
    expect(hub.accept(5, "192.0.2.1"), "said once").toEqual(["5: Cease/Connection Rejected", "close 5 end"]);
    expect(hub.neighbours.info().map(({ name, range, role }) => `${name} ${range} ${role}`)).toEqual([
      "fixed undefined client",
      "narrow-10.1.0.6 narrow non-client",
      "wide-10.2.0.7 wide client",
    ]);
  });

  test("we are no neighbour of ours", () => {
    expect(new Hub([], [wide]).accept(1, us)).toEqual(["1: Cease/Connection Rejected", "close 1 end", "note bgp.refused"]);
  });

  test("a full range takes nobody, until one of its neighbours is down and forgotten", () => {
    const hub = new Hub([], [wide]).establish(1, "10.2.0.1").establish(2, "10.2.0.2");
    expect(hub.accept(3, "10.2.0.3")[0]).toBe("3: Cease/Connection Rejected");
    hub.sink.remembered.add(1);
    hub.neighbours.closed(1, "reset", at(0));
    expect(hub.take()).toEqual(["note bgp.down"]);
    expect(hub.accept(4, "10.2.0.3")[0], "its routes are still held").toBe("4: Cease/Connection Rejected");
    hub.sink.remembered.delete(1);
    expect(hub.accept(5, "10.2.0.3")).toEqual(["5: OPEN"]);
  });

  test("one that is down and forgotten stays to be seen for a while", () => {
    const hub = new Hub([], [wide]).establish(1, "10.2.0.1");
    hub.neighbours.closed(1, "connection reset by peer", at(hub.now));
    hub.sleep(lingerMillis - 2000);
    expect(hub.neighbours.info()).toMatchObject([{ name: "wide-10.2.0.1", reason: "connection lost: connection reset by peer", flaps: 1 }]);
    hub.sleep(4000);
    expect(hub.states()).toEqual([]);
  });

  test("one that is down comes back under its id; it goes when the RIB has forgotten it, and its id is given anew", () => {
    const hub = new Hub([], [wide]).establish(1, "10.2.0.1");
    hub.sink.remembered.add(1);
    hub.neighbours.closed(1, "reset", at(hub.now));
    hub.sleep(lingerMillis * 3);
    expect(hub.states()).toEqual(["wide-10.2.0.1 Active"]);
    hub.establish(2, "10.2.0.1");
    expect(hub.sink.log).toEqual(["up 1", "down 1 retain", "up 1"]);
    hub.neighbours.closed(2, "reset", at(hub.now));
    hub.sleep(lingerMillis * 2);
    expect(hub.states()).toHaveLength(1);
    hub.sink.remembered.delete(1);
    hub.sleep(1500);
    expect(hub.states()).toEqual([]);
    expect(hub.neighbours.byId(1)).toBeUndefined();
    hub.sleep(10_000);
    expect(hub.neighbours.nextDeadline(), "nothing is left to wait for").toBeUndefined();
    hub.establish(3, "10.2.0.9");
    expect(hub.neighbours.info()).toMatchObject([{ id: 1, name: "wide-10.2.0.9" }]);
  });
});

describe("another document", () => {
  const a = peerOf("a", "10.0.0.2", { passive: true }),
    b = peerOf("b", "10.0.0.3", { passive: true });

  test("who is removed is told so, hard, and its id stays taken while its routes are held", () => {
    const hub = new Hub([a, b]).establish(1, "10.0.0.2").establish(2, "10.0.0.3");
    hub.sink.remembered.add(1);
    expect(hub.configure([b])).toEqual(["1: Cease/Hard Reset (Cease/Peer De-configured)", "close 1 end", "note bgp.down"]);
    expect(hub.sink.ends).toMatchObject([{ retain: false, reason: "removed from the configuration (sent Cease/Hard Reset (Cease/Peer De-configured))" }]);
    hub.configure([b, peerOf("c", "10.0.0.4", { passive: true })]);
    expect(hub.neighbours.info().map(({ id, name }) => `${id} ${name}`)).toEqual(["2 b", "3 c"]);
    hub.sink.remembered.delete(1);
    hub.configure([a, b, peerOf("c", "10.0.0.4", { passive: true })]);
    expect(hub.neighbours.info().map(({ id, name }) => `${id} ${name}`)).toEqual(["1 a", "2 b", "3 c"]);
  });

  test("what a session was opened with needs a new one, anything else does not", () => {
    const reset = ["1: Cease/Other Configuration Change", "close 1 end", "note bgp.down"];
    const changes: readonly (readonly [Partial<PeerSettings>, readonly string[]])[] = [
      [{}, []],
      [{ import: ["x"], export: ["y"], nextHopSelf: true, maxPrefixes: 7, connectRetrySeconds: 5, port: 1179 }, []],
      [{ gracefulRestart: { restartSeconds: 120, staleSeconds: 999 } }, []],
      [{ holdSeconds: 30 }, reset],
      [{ families: ["ipv4"] }, reset],
      [{ role: "non-client" }, []],
      [{ role: "external" }, reset],
      [{ asRole: "peer" }, reset],
      [{ strictRole: true }, reset],
      [{ localAs: 64_999 }, reset],
      [{ gracefulRestart: { restartSeconds: 120, staleSeconds: 300, longLivedSeconds: 60 } }, reset],
      [{ asOverride: true, allowAsIn: 1, gracefulShutdown: true, sendHoldSeconds: 60, prefixWarningPercent: 80, prefixRestartSeconds: 9 }, []],
      [{ gracefulRestart: undefined }, reset],
      [{ md5: { file: "/k" } }, reset],
      [{ multihop: 2 }, reset],
      [{ ttlSecurityHops: 1 }, reset],
      [{ source: us }, reset],
      [{ remoteAs: 65_001 }, ["1: Cease/Hard Reset (Cease/Peer De-configured)", "close 1 end", "note bgp.down"]],
      [{ address: "10.0.0.7" as Ip }, ["1: Cease/Hard Reset (Cease/Peer De-configured)", "close 1 end", "note bgp.down"]],
    ];
    for (const [change, said] of changes) {
      const hub = new Hub([a]).establish(1, "10.0.0.2");
      expect(hub.configure([{ ...a, ...change }]), JSON.stringify(change)).toEqual(said);
      expect(hub.neighbours.info(), "the new settings are in force").toMatchObject([{ settings: change }]);
    }
  });

  test("after such a reset the neighbour comes back by itself", () => {
    const hub = new Hub([{ ...a, passive: false }]);
    hub.establish(1, "10.0.0.2");
    hub.configure([{ ...a, passive: false, holdSeconds: 30 }]);
    expect(hub.sleep(500)).toContain("connect 10.0.0.2");
  });

  test("a passive neighbour that may dial now dials", () => {
    const hub = new Hub([a]);
    expect(hub.configure([{ ...a, passive: false }])).toEqual(["note bgp.attempt"]);
    expect(hub.sleep(500)).toContain("connect 10.0.0.2");
  });

  test("dynamic neighbours follow their ranges", () => {
    const range = rangeOf("r", "10.0.0.0/24");
    const hub = new Hub([], [range]).establish(1, "10.0.0.2").establish(2, "10.0.0.3");
    expect(hub.configure([], [{ ...range, maxPrefixes: 9 }])).toEqual([]);
    expect(hub.neighbours.info().map(({ settings }) => settings.maxPrefixes)).toEqual([9, 9]);
    expect(hub.configure([a], [{ ...range, maxPrefixes: 9 }]).slice(0, 2)).toEqual(["1: Cease/Hard Reset (Cease/Peer De-configured)", "close 1 end"]);
    expect(hub.configure([a], [rangeOf("other", "10.0.1.0/24" as Prefix)])[0]).toBe("2: Cease/Hard Reset (Cease/Peer De-configured)");
    expect(hub.states()).toEqual(["a Active"]);
  });
});

describe("stopping", () => {
  const all = (): Hub =>
    new Hub(["2", "3", "4"].map((n) => peerOf(`n${n}`, `10.0.0.${n}`, { passive: true })))
      .establish(2, "10.0.0.2")
      .establish(4, "10.0.0.4", { gracefulRestart: undefined });
  /** A graceful restart capability without the N bit. */
  const withoutN = (): Uint8Array => {
    const bytes = openOf("10.0.0.3");
    const at64 = bytes.findIndex((octet, i) => i > 30 && octet === 64 && bytes[i + 1] === 10);
    bytes[at64 + 2]! &= 0x0f;
    return bytes;
  };

  test("for a restart: a survivable Cease between N bits, silence for graceful restart, Cease for the rest", () => {
    const hub = all();
    hub.accept(3, "10.0.0.3");
    hub.hear(3, withoutN(), encodeKeepalive());
    hub.neighbours.stop("restart", "upgrade", at(0));
    expect(hub.take().filter((line) => !line.startsWith("note"))).toEqual([
      '2: Cease/Administrative Reset: "upgrade"',
      "close 2 end",
      "close 3 end",
      '4: Cease/Administrative Shutdown: "upgrade"',
      "close 4 end",
    ]);
    expect(hub.sink.ends.map(({ retain }) => retain)).toEqual([true, true, false]);
  });

  test("for good: an administrative shutdown, hard between N bits; then nobody is let in or dialled", () => {
    const hub = all();
    hub.neighbours.stop("shutdown", "bye", at(0));
    const said = hub.take();
    expect(said).toContain('4: Cease/Administrative Shutdown: "bye"');
    expect(said.find((line) => line.startsWith("2:"))).toMatch(/^2: Cease\/Hard Reset \(Cease\/Administrative Shutdown: "bye"\)$/);
    expect(hub.accept(9, "10.0.0.2")).toEqual(["close 9 destroy"]);
    expect(hub.sleep(1_000_000)).toEqual([]);
    expect(hub.states()).toEqual(["n2 Idle", "n3 Idle", "n4 Idle"]);
  });
});

test("a reset by hand says so, and the neighbour comes back", () => {
  const hub = new Hub([peerOf("a", "10.0.0.2")]).establish(1, "10.0.0.2");
  hub.take();
  expect(hub.neighbours.reset("nobody", "x", at(0))).toBe(false);
  expect(hub.neighbours.reset("a", "try again", at(0))).toBe(true);
  expect(hub.take().slice(0, 2)).toEqual(['1: Cease/Administrative Reset: "try again"', "close 1 end"]);
  expect(hub.sleep(500)).toContain("connect 10.0.0.2");
});

test("what is shown of an Established neighbour", () => {
  const hub = new Hub([peerOf("a", "10.0.0.2", { passive: true })]);
  hub.sleep(5000);
  hub.establish(1, "10.0.0.2", { holdSeconds: 30, families: ["ipv6"] });
  expect(hub.neighbours.byId(1)).toMatchObject({
    id: 1,
    name: "a",
    address: "10.0.0.2",
    asn: 64_512,
    role: "client",
    dynamic: false,
    state: "Established",
    since: 5000,
    families: ["ipv6"],
    holdSeconds: 30,
    remoteId: 0x0a00_0002,
    flaps: 0,
    gracefulRestart: true,
    reason: "has not gone down since it was configured",
  });
});

test("2,500 neighbours: the next deadline and a message cost about the same as with ten", () => {
  const cost = (count: number): number => {
    const hub = new Hub([], [rangeOf("r", "10.0.0.0/8", { limit: 5000 })]);
    for (let i = 0; i < count; i++) hub.establish(i, `10.1.${i >> 8}.${i & 255}`);
    expect(hub.neighbours.info().filter(({ state }) => state === "Established")).toHaveLength(count);
    const before = performance.now();
    for (let i = 0; i < 50_000; i++) {
      hub.now += 0.1;
      hub.neighbours.bytes(i % count, encodeKeepalive(), 0, 19, at(hub.now));
      hub.neighbours.nextDeadline();
    }
    return performance.now() - before;
  };
  cost(10);
  const [few, many] = [cost(10), cost(2500)];
  // A scan would be hundreds of times dearer; caches and the machine's other work are allowed for.
  expect(many).toBeLessThan(few * 10 + 100);
});
