import { describe, expect, test } from "vitest";
import { type BfdState, bfdStates, diagnostic } from "#wire/bfd.ts";
import { at, theirs, VirtualSession } from "./virtual-session.ts";

/** A session that has just come into `state`, and nothing noted yet. */
function inState(state: BfdState): VirtualSession {
  const one = new VirtualSession().runTo(0);
  if (state === "AdminDown") one.session.disable("switched off", at(0));
  if (state === "Init" || state === "Up") one.hear("Down", { yourDiscriminator: 0 });
  if (state === "Up") one.hear("Up").hear("Up", { final: true });
  expect(one.session.state).toBe(state);
  one.changes.length = 0;
  one.take();
  return one;
}

describe("RFC 5880 §6.8.6: every state, every state received", () => {
  const table: Readonly<Record<BfdState, Readonly<Record<BfdState, BfdState>>>> = {
    AdminDown: { AdminDown: "AdminDown", Down: "AdminDown", Init: "AdminDown", Up: "AdminDown" },
    Down: { AdminDown: "Down", Down: "Init", Init: "Up", Up: "Down" },
    Init: { AdminDown: "Down", Down: "Init", Init: "Up", Up: "Up" },
    Up: { AdminDown: "Down", Down: "Down", Init: "Up", Up: "Up" },
  };
  const cells = bfdStates.flatMap((from) => bfdStates.map((received) => [from, received, table[from][received]] as const));

  test.each(cells)("%s hears %s: %s", (from, received, to) => {
    const one = inState(from).hear(received);
    expect(one.session.state).toBe(to);
    expect(one.changes.map((change) => [change.from, change.to])).toEqual(from === to ? [] : [[from, to]]);
    // what changed is told at once, not with the next period; in Down it is the peer's discriminator at least
    expect(one.take().map(({ state }) => state)).toEqual(from === to && from !== "Down" ? [] : [to]);
  });
  test.each(bfdStates)("%s hears nothing for the Detection Time", (from) => {
    const one = inState(from).runTo(900);
    expect(one.session.state).toBe(from === "AdminDown" ? "AdminDown" : "Down");
  });
});

describe("what BGP is to do about it (RFC 5882 §3.2)", () => {
  test.each([
    ["silence", (one: VirtualSession) => one.runTo(900), true, "nothing heard from the peer for 900 ms"],
    ["the peer hears nothing", (one: VirtualSession) => one.hear("Down", { diagnostic: 1 }), true, "the peer says it is down (control detection time expired)"],
    ["the peer is switched off", (one: VirtualSession) => one.hear("AdminDown", { diagnostic: 7 }), false, "the peer has shut BFD down administratively"],
    ["we are switched off", (one: VirtualSession) => one.session.disable("no longer configured", at(one.now)), false, "no longer configured"],
  ] as const)("%s", (_what, happens, isFailure, reason) => {
    const one = inState("Up");
    happens(one);
    expect(one.changes).toMatchObject([{ from: "Up", isFailure, reason }]);
    expect(one.session.reason).toBe(reason);
  });
  test("a session that does not come up has not failed", () => {
    const one = inState("Init").runTo(900);
    expect(one.changes).toMatchObject([{ from: "Init", to: "Down", isFailure: false }]);
  });
});

describe("the diagnostic tells why (§6.8.1)", () => {
  test("silence 1, told so 3, switched off 7, and 0 once up", () => {
    const codes = (one: VirtualSession): readonly number[] => one.take().map((packet) => packet.diagnostic);
    expect(codes(inState("Up").runTo(900)).at(-1)).toBe(diagnostic.detectionTimeExpired);
    const told = inState("Up").hear("Down");
    expect(codes(told)).toEqual([diagnostic.neighborSignaledDown]);
    expect(codes(told.hear("Init"))).toEqual([diagnostic.none]);
    const off = inState("Up");
    off.session.disable("off", at(0));
    expect(codes(off)).toEqual([diagnostic.administrativelyDown]);
  });
});

describe("transmission (§6.8.7)", () => {
  test("once a second while not Up, whatever is configured", () => {
    const one = new VirtualSession({ intervalMicros: 50_000, multiplier: 3 }).runTo(10_000);
    const gaps = one.sent.slice(1).map((packet, i) => packet.at - one.sent[i]!.at);
    expect(new Set(gaps)).toEqual(new Set([875]));
    expect(one.sent.every((packet) => packet.desiredMinTxMicros === 1_000_000 && packet.state === "Down" && packet.yourDiscriminator === 0)).toBe(true);
    expect(one.sent[0]!.at).toBe(0);
  });
  test("slower than a second stays slower", () => {
    const one = new VirtualSession({ intervalMicros: 4_000_000, multiplier: 3 }).runTo(10_000);
    expect(one.sent.map((packet) => packet.at)).toEqual([0, 3500, 7000]);
  });
  test.each([
    [3, 0, 225],
    [3, 0.999_999, 300],
    [1, 0, 225],
    [1, 0.999_999, 270],
  ])("multiplier %i, chance %d: %i ms of 300", (multiplier, chance, gap) => {
    const one = new VirtualSession({ intervalMicros: 300_000, multiplier });
    one.chance = chance;
    one.up();
    const from = one.take().at(-1)!.at;
    one.runTo(from + 310);
    expect(Math.round(one.take()[0]!.at - from)).toBe(gap);
  });
  test("not faster than the peer wants it, and not at all if it wants none", () => {
    const one = inState("Up").hear("Up", { requiredMinRxMicros: 2_000_000, desiredMinTxMicros: 10_000_000 });
    expect(one.session.transmitInterval).toBe(2000);
    one.runTo(4000);
    expect(one.take().map((packet) => packet.at)).toEqual([1750, 3500]);
    one.hear("Up", { requiredMinRxMicros: 0, desiredMinTxMicros: 10_000_000 }).runTo(20_000);
    expect(one.take()).toEqual([]);
    expect(one.session.transmitInterval).toBeUndefined();
  });
  test("in the peer's Demand mode only a Poll Sequence is sent", () => {
    const quiet = { demand: true, desiredMinTxMicros: 10_000_000 } as const;
    const one = inState("Up").hear("Up", quiet).runTo(5000);
    expect(one.take()).toEqual([]);
    one.session.configure({ intervalMicros: 400_000, multiplier: 3 }, at(one.now));
    expect(
      one
        .runTo(5800)
        .take()
        .map((packet) => packet.poll),
    ).toEqual([true, true, true, true]);
    expect(
      one
        .hear("Up", { ...quiet, final: true })
        .runTo(9000)
        .take(),
    ).toEqual([]);
  });
  test("a Poll is answered at once with Final, and the rhythm stays", () => {
    const one = inState("Up").runTo(100).hear("Up", { poll: true });
    expect(one.take()).toMatchObject([{ at: 100, poll: false, final: true, state: "Up" }]);
    expect(one.runTo(290).take()).toMatchObject([{ at: 262.5, poll: false, final: false }]);
  });
});

describe("detection (§6.8.4)", () => {
  test("the peer's multiplier times the slower of what it sends and what we ask for", () => {
    const one = inState("Up");
    expect(one.session.detectionTime).toBe(900);
    one.hear("Up", { multiplier: 5, desiredMinTxMicros: 200_000 });
    expect(one.session.detectionTime).toBe(1500);
    one.hear("Up", { multiplier: 2, desiredMinTxMicros: 700_000 });
    expect(one.session.detectionTime).toBe(1400);
  });
  test("to the millisecond, and each packet begins it anew", () => {
    const one = inState("Up").runTo(899).hear("Up").runTo(1798);
    expect(one.session.state).toBe("Up");
    one.runTo(1799);
    expect(one.session.state).toBe("Down");
    expect(one.changes).toMatchObject([{ to: "Down" }]);
  });
  test("a packet that came before the wake-up counts, however late that is", () => {
    const one = inState("Up");
    one.now = 5000;
    one.hear("Up");
    one.session.wake(at(5000));
    expect(one.session.state).toBe("Up");
  });
  test("afterwards the peer's discriminator is forgotten and the pace is slow (§6.8.1)", () => {
    const one = inState("Up").runTo(900);
    expect(one.take().at(-1)).toMatchObject({ state: "Down", yourDiscriminator: 0, desiredMinTxMicros: 1_000_000, poll: false });
    one.hear("Down", { yourDiscriminator: 0 });
    expect(one.session.state).toBe("Init");
    expect(one.take().at(-1)).toMatchObject({ yourDiscriminator: theirs });
  });
});

test("a session that is switched off says so for as long as the peer may take to miss it", () => {
  const one = inState("Up");
  one.session.disable("off", at(0));
  expect(one.session.farewell).toBe(3000);
  one.runTo(3000);
  expect(one.take().map(({ at: when, state }) => [when, state])).toEqual([
    [0, "AdminDown"],
    [875, "AdminDown"],
    [900, "AdminDown"], // the peer's discriminator is forgotten, which is news
    [1775, "AdminDown"],
    [2650, "AdminDown"],
  ]);
});
