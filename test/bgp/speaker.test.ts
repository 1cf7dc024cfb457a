import { describe, expect, test } from "vitest";
import { assert } from "#base/assert.ts";
import { type Ip, ip4Number } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PolicySettings } from "#base/policy-settings.ts";
import type { PeerSettings } from "#base/settings.ts";
import type { Instant } from "#base/time.ts";
import type { Action } from "#bgp/actions.ts";
import { none } from "#bgp/rib/adj-rib-in.ts";
import { Speaker } from "#bgp/speaker.ts";
import { peerOf } from "./settings-of.ts";

const asn = 64_512;

/** Speakers in one room: what one writes the other reads at once, octet by octet as it came. */
class Room {
  now = 1000 as Instant;
  readonly speakers = new Map<Ip, Speaker>();
  readonly #ends = new Map<number, readonly [Ip, Ip]>();
  #last = 0;
  /** ROUTE-REFRESH messages seen on the way: who sent them, and their subtype. */
  readonly refreshes: string[] = [];
  octets = 0;
  /** Messages that are lost on the way. */
  swallow: (bytes: Uint8Array) => boolean = () => false;

  add(address: string, more: { readonly asn?: number; readonly policies?: Record<string, PolicySettings> } = {}): Speaker {
    const id = ip4Number(address);
    const speaker = new Speaker({
      asn: more.asn ?? asn,
      routerId: id,
      clusterId: id,
      jitter: () => 0.5,
      address: address as Ip,
      address6: undefined,
      policies: more.policies ?? {},
      observes: true,
    });
    speaker.rib.deferral.ownIsKnown();
    this.speakers.set(address as Ip, speaker);
    return speaker;
  }

  /** Until nobody has anything to do. */
  settle(): void {
    for (let rounds = 0; ; rounds++) {
      assert(rounds < 1000, "the room comes to rest");
      let busy = false;
      for (const [address, speaker] of this.speakers) {
        const due = speaker.nextDeadline();
        if (due !== undefined && due <= this.now) speaker.wake(this.now);
        for (const action of speaker.takeActions()) busy = this.#act(address, speaker, action) || busy;
        while (speaker.step(this.now, 100)) busy = true;
        const steps = speaker.rib.steps;
        for (const { peer, connection } of speaker.routes())
          if (speaker.pull(peer, 65_536, this.now, (bytes) => this.#write(address, connection, bytes)) > 0) busy = true;
        if (speaker.rib.steps !== steps) busy = true;
      }
      if (!busy) return;
    }
  }
  pass(millis: number): void {
    for (const until = this.now + millis; this.now < until;) {
      const dues = [...this.speakers.values()].map((speaker) => speaker.nextDeadline() ?? until);
      this.now = Math.max(this.now + 1, Math.min(until, ...dues)) as Instant;
      this.settle();
    }
  }
  cut(address: Ip): void {
    for (const [connection, ends] of this.#ends) {
      if (!ends.includes(address)) continue;
      this.#ends.delete(connection);
      for (const end of ends) this.speakers.get(end)?.closed(connection, "cut", this.now);
    }
  }

  #act(address: Ip, speaker: Speaker, action: Action): boolean {
    if (action.type === "connect") {
      const other = this.speakers.get(action.address);
      if (!other) speaker.connectFailed(action.peer, "refused", this.now);
      else {
        const connection = ++this.#last;
        this.#ends.set(connection, [address, action.address]);
        other.accepted(connection, action.address, address, this.now);
        speaker.connected(action.peer, connection, { local: address, remote: action.address }, this.now);
      }
    } else if (action.type === "write") this.#write(address, action.connection, action.bytes);
    else if (action.type === "close") {
      const ends = this.#ends.get(action.connection);
      this.#ends.delete(action.connection);
      if (ends) this.speakers.get(ends.find((end) => end !== address)!)?.closed(action.connection, "closed by the peer", this.now);
    } else return false;
    return true;
  }
  #write(from: Ip, connection: number, bytes: Uint8Array): void {
    const to = this.#ends.get(connection)?.find((end) => end !== from);
    if (bytes[18] === 5) this.refreshes.push(`${from} ${bytes[21]}`);
    this.octets += bytes.length;
    if (this.swallow(bytes)) return;
    if (to) this.speakers.get(to)?.bytes(connection, { buffer: Uint8Array.from(bytes), start: 0, end: bytes.length }, this.now);
  }
}

const chosen = (speaker: Speaker): string[] => {
  const rib = speaker.rib.ribs[0];
  return Array.from({ length: rib.prefixes.end }, (_, id) => id)
    .filter((id) => rib.prefixes.isLive(id) && rib.bestOf(id) !== none)
    .map((id) => rib.prefixes.text(id))
    .toSorted();
};
const peers = (...of: readonly (readonly [address: string, more: Partial<PeerSettings>])[]): PeerSettings[] =>
  of.map(([address, more]) => peerOf(`peer ${address}`, address, { families: ["ipv4"], ...more }));
const all: PolicySettings = { name: "all", rules: [], otherwise: "accept" };

/** A reflector, 10.0.0.1, and two nodes. */
function cluster(): { readonly room: Room; readonly rr: Speaker; readonly a: Speaker; readonly b: Speaker } {
  const room = new Room(),
    rr = room.add("10.0.0.1"),
    a = room.add("10.0.0.2"),
    b = room.add("10.0.0.3");
  rr.configure(peers(["10.0.0.2", { passive: true }], ["10.0.0.3", { passive: true }]), [], room.now);
  for (const node of [a, b]) node.configure(peers(["10.0.0.1", { role: "non-client" }]), [], room.now);
  a.originate("10.42.2.0/24" as Prefix);
  room.settle();
  b.originate("10.42.3.0/24" as Prefix);
  room.settle();
  return { room, rr, a, b };
}

describe("a speaker", () => {
  test("sessions come up, routes go from node to node by the reflector, and are counted", () => {
    const { rr, a, b } = cluster();
    for (const speaker of [rr, a, b]) expect(chosen(speaker)).toEqual(["10.42.2.0/24", "10.42.3.0/24"]);
    expect(rr.routes().map(({ peer }) => peer)).toEqual([1, 2]);
    expect(rr.neighbours.info().map((info) => rr.sentTo(info))).toEqual([1, 1]);
    expect(a.neighbours.info().map((info) => a.sentTo(info))).toEqual([1]);
    expect([rr.isUp(1), rr.isUp(3)]).toEqual([true, false]);
    expect(rr.rib.takeChanges()).toEqual(new Set(["10.42.2.0/24", "10.42.3.0/24"]));
    expect(rr.rib.takeChanges().size).toBe(0);
    a.withdrawOwn("10.42.2.0/24" as Prefix);
    a.withdrawOwn("10.42.9.0/24" as Prefix); // never announced
  });

  test("the same array of routes until a session comes or goes", () => {
    const { room, rr } = cluster(),
      before = rr.routes();
    expect(rr.routes()).toBe(before);
    room.cut("10.0.0.2" as Ip);
    expect(rr.routes().map(({ peer }) => peer)).toEqual([2]);
  });

  test("a connection that is lost is a restart: nobody else hears of it while the peer comes back in time", () => {
    const { room, rr, b } = cluster();
    const told = rr.rib.updatesTo(2);
    room.cut("10.0.0.2" as Ip);
    room.settle();
    expect([chosen(b), rr.rib.peers.up[1]]).toEqual([["10.42.2.0/24", "10.42.3.0/24"], 0]);
    room.pass(30_000);
    expect([rr.isUp(1), rr.rib.updatesTo(2), chosen(b)]).toEqual([true, told, ["10.42.2.0/24", "10.42.3.0/24"]]);
    expect(rr.rib.peers.holdsOld(1)).toBe(0);
  });

  test("a node that never comes back: its routes go when the restart time it stated is over", () => {
    const { room, b } = cluster();
    room.cut("10.0.0.2" as Ip);
    room.speakers.delete("10.0.0.2" as Ip);
    room.pass(119_000);
    expect(chosen(b)).toEqual(["10.42.2.0/24", "10.42.3.0/24"]);
    room.pass(2000);
    expect(chosen(b)).toEqual(["10.42.3.0/24"]);
  });

  test("a reflector that restarts tells nothing before its nodes have told it everything, and nobody loses a route", () => {
    const { room, a, b } = cluster();
    room.cut("10.0.0.1" as Ip);
    room.speakers.delete("10.0.0.1" as Ip);
    room.pass(3000);
    const rr = room.add("10.0.0.1");
    rr.configure(peers(["10.0.0.2", { passive: true }], ["10.0.0.3", { passive: true }]), [], room.now);
    rr.beginRestart({ restarting: true, forwarding: [0, 1] }, false, 60_000, room.now);
    for (let passed = 0; passed < 40_000; passed += 500) {
      room.pass(500);
      for (const node of [a, b]) expect(chosen(node), `after ${passed} ms`).toEqual(["10.42.2.0/24", "10.42.3.0/24"]);
    }
    expect([chosen(rr), rr.routes().length, rr.rib.deferral.isDeferring(room.now)]).toEqual([["10.42.2.0/24", "10.42.3.0/24"], 2, false]);
    for (const node of [a, b]) expect([node.rib.peers.holdsOld(1), node.rib.hasToldAll(1)]).toEqual([0, true]);
  });

  test("shutdown tells peers, and what they held of us is gone", () => {
    const { room, a, rr } = cluster();
    a.stop("shutdown", "maintenance", room.now);
    room.settle();
    expect([chosen(rr), rr.routes().map(({ peer }) => peer)]).toEqual([["10.42.3.0/24"], [2]]);
  });
});

describe("settings that change under a running session", () => {
  /** An edge with an external neighbour of AS 64700 that announces two prefixes. */
  function edge(): {
    readonly room: Room;
    readonly us: Speaker;
    readonly them: Speaker;
    configure(more: Partial<PeerSettings>, policies?: Record<string, PolicySettings>): void;
  } {
    const room = new Room(),
      us = room.add("10.0.0.1", { policies: { all } }),
      them = room.add("10.0.0.2", { asn: 64_700, policies: { all } });
    const configure = (more: Partial<PeerSettings>, policies?: Record<string, PolicySettings>): void => {
      if (policies) us.usePolicies(policies);
      us.configure(peers(["10.0.0.2", { role: "external", remoteAs: 64_700, multihop: 2, import: ["all"], export: ["all"], ...more }]), [], room.now);
      room.settle();
    };
    them.configure(peers(["10.0.0.1", { role: "external", remoteAs: asn, multihop: 2, passive: true, import: ["all"], export: ["all"] }]), [], room.now);
    configure({});
    for (const prefix of ["10.1.0.0/16", "10.2.0.0/16"]) them.originate(prefix as Prefix);
    for (const prefix of ["10.42.1.0/24", "10.42.2.0/24"]) us.originate(prefix as Prefix);
    room.settle();
    expect([chosen(us).length, chosen(them).length]).toEqual([4, 4]);
    return { room, us, them, configure };
  }
  const refuse = (prefix: string): PolicySettings => ({
    name: "all",
    rules: [{ when: { prefixes: [{ prefix: prefix as Prefix, ge: 0, le: 32 }] }, then: "reject", set: {} }],
    otherwise: "accept",
  });

  test("an import policy: the peer is asked for everything again, and the session stays", () => {
    const { room, us, configure } = edge();
    configure({}, { all: refuse("10.1.0.0/16") });
    expect([chosen(us), room.refreshes, us.isUp(1)]).toEqual([
      ["10.2.0.0/16", "10.42.1.0/24", "10.42.2.0/24"],
      ["10.0.0.1 0", "10.0.0.2 1", "10.0.0.2 2"],
      true,
    ]);
    configure({}, { all });
    expect(chosen(us)).toHaveLength(4);
  });

  test("an export policy: what differs is told or withdrawn, and nothing else", () => {
    const { room, us, them, configure } = edge(),
      before = us.rib.updatesTo(1);
    configure({}, { all: refuse("10.42.1.0/24") });
    expect(chosen(them)).toEqual(["10.1.0.0/16", "10.2.0.0/16", "10.42.2.0/24"]);
    expect(us.rib.updatesTo(1)).toBe(before + 1);
    configure({ export: [] });
    expect([chosen(them), us.isUp(1)]).toEqual([["10.1.0.0/16", "10.2.0.0/16"], true]);
    room.refreshes.length = 0;
    configure({ export: [] });
    expect(room.refreshes).toEqual([]);
  });

  test("a peer that does not begin to answer a refresh is asked by a new session (RFC 7313 §4)", () => {
    const { room, us, configure } = edge();
    room.swallow = (bytes) => bytes[18] === 5;
    configure({}, { all: refuse("10.1.0.0/16") });
    expect(chosen(us)).toHaveLength(4);
    room.pass(14_990);
    expect([chosen(us).length, us.neighbours.byId(1)?.flaps]).toEqual([4, 0]);
    room.swallow = () => false;
    room.pass(5000);
    expect([chosen(us), us.isUp(1), us.neighbours.byId(1)?.flaps]).toEqual([["10.2.0.0/16", "10.42.1.0/24", "10.42.2.0/24"], true, 1]);
  });

  test("graceful shutdown of a session: both sides use what it told as the last, and it stays up; and back (RFC 8326)", () => {
    const { room, us, them } = edge();
    const prefOf = (speaker: Speaker, prefix: string): number => {
      const rib = speaker.rib.ribs[0];
      return speaker.rib.attributes.localPref[rib.adjRibIn.attributes[rib.bestOf(rib.prefixes.findText(prefix as Prefix))]!]!;
    };
    const prefs = (): number[] => [prefOf(us, "10.1.0.0/16"), prefOf(them, "10.42.1.0/24")];
    expect(prefs()).toEqual([100, 100]);
    for (const name of [us.neighbours.byId(1)!.name, "*"]) {
      us.gracefulShutdown(name, true, room.now);
      room.settle();
      expect([prefs(), us.isUp(1), [...us.leaving]]).toEqual([[0, 0], true, [name]]);
      us.gracefulShutdown(name, false, room.now);
      room.settle();
      expect([prefs(), us.neighbours.byId(1)?.flaps]).toEqual([[100, 100], 0]);
    }
  });

  test("who passed a prefix limit stays out for the time stated, though it dials us", () => {
    const { room, us, them, configure } = edge();
    configure({ maxPrefixes: 2, prefixRestartSeconds: 100, passive: true });
    them.configure(peers(["10.0.0.1", { role: "external", remoteAs: asn, multihop: 2, import: ["all"], export: ["all"] }]), [], room.now);
    room.pass(5000);
    expect(us.isUp(1)).toBe(true);
    them.originate("10.3.0.0/16" as Prefix);
    room.settle();
    them.withdrawOwn("10.3.0.0/16" as Prefix);
    room.pass(95_000);
    expect(us.isUp(1)).toBe(false);
    room.pass(70_000);
    expect(us.isUp(1)).toBe(true);
  });

  test("maxPrefixes counts from the next UPDATE on", () => {
    const { room, us, them, configure } = edge();
    configure({ maxPrefixes: 2 });
    expect(us.isUp(1)).toBe(true);
    them.originate("10.3.0.0/16" as Prefix);
    room.settle();
    expect([us.isUp(1), chosen(us)]).toEqual([false, ["10.42.1.0/24", "10.42.2.0/24"]]);
  });
});
