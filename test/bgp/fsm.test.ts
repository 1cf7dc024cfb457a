import type { Instant } from "#base/time.ts";
import { BackOff } from "#bgp/fsm/back-off.ts";
import { Fsm, type FsmEvent, type State } from "#bgp/fsm/fsm.ts";
import { peerFault } from "#wire/bgp/notification.ts";
import { describe, expect, test } from "vitest";

const at = (ms: number): Instant => ms as Instant;

const open: FsmEvent = { type: "openReceived", holdSeconds: 9 };
const roads: Readonly<Record<State, readonly FsmEvent[]>> = {
  Idle: [{ type: "start" }, { type: "tcpConnected" }, { type: "messageFault", fault: peerFault(1, 1, "x") }],
  Connect: [{ type: "start" }],
  Active: [{ type: "start" }, { type: "tcpFailed", text: "refused" }],
  OpenSent: [{ type: "start" }, { type: "tcpConnected" }],
  OpenConfirm: [{ type: "start" }, { type: "tcpConnected" }, open],
  Established: [{ type: "start" }, { type: "tcpConnected" }, open, { type: "keepaliveReceived" }],
};

function brought(state: State, options: { passive?: boolean; backOff?: BackOff } = {}): Fsm {
  const fsm = new Fsm(options.passive ?? false, options.backOff ?? new BackOff(60));
  for (const event of roads[state]) fsm.handle(event, at(0));
  expect(fsm.state).toBe(state);
  return fsm;
}

/** Actions in one line each, without timers' bookkeeping where it is not asked for. */
function run(fsm: Fsm, event: FsmEvent, now = 10_000): string {
  return fsm
    .handle(event, at(now))
    .map((a) => {
      switch (a.type) {
        case "arm":
          return `arm ${a.timer} ${a.wait}${a.jitter ? "~" : ""}`;
        case "disarm":
          return `-${a.timer}`;
        case "sendNotification":
          return `NOTIFICATION ${a.fault.code}/${a.fault.subcode}[${a.fault.data.join()}]`;
        case "ended":
          return `ended ${a.cause.kind}${a.wasEstablished ? " established" : ""}`;
        default:
          return a.type;
      }
    })
    .join(", ");
}

const off = "-ConnectRetry, -Hold, -Keepalive, -SendHold";
const hold = "arm IdleHold 500~";
const events: Readonly<Record<string, FsmEvent>> = {
  start: { type: "start" },
  stop: { type: "stop", fault: peerFault(6, 2, "bye"), text: "bye", again: false },
  reset: { type: "stop", fault: peerFault(6, 4, "again"), text: "again", again: true },
  silent: { type: "stop", text: "restarting", again: false },
  connected: { type: "tcpConnected" },
  failed: { type: "tcpFailed", text: "refused" },
  open,
  openHold0: { type: "openReceived", holdSeconds: 0 },
  keepalive: { type: "keepaliveReceived" },
  update: { type: "updateReceived" },
  refresh: { type: "routeRefreshReceived" },
  notification: { type: "notificationReceived", code: 6, subcode: 2, data: new Uint8Array(0) },
  unknownNotification: { type: "notificationReceived", code: 99, subcode: 200, data: new Uint8Array(0) },
  fault: { type: "messageFault", fault: peerFault(1, 2, "length 18", Uint8Array.of(0, 18)) },
  ConnectRetry: { type: "timerExpired", timer: "ConnectRetry" },
  Hold: { type: "timerExpired", timer: "Hold" },
  Keepalive: { type: "timerExpired", timer: "Keepalive" },
  IdleHold: { type: "timerExpired", timer: "IdleHold" },
  SendHold: { type: "timerExpired", timer: "SendHold" },
};

const dial = "-IdleHold, connect, arm ConnectRetry 3000";
const sendOpen = "-IdleHold, -ConnectRetry, sendOpen, arm Hold 240000";
const inSession = (subcode: number, tail: string): Record<string, [State, string]> => ({
  stop: ["Idle", `NOTIFICATION 6/2[], close, ${off}, ended sent${tail}`],
  reset: ["Idle", `NOTIFICATION 6/4[], close, ${off}, ${hold}, ended sent${tail}`],
  silent: ["Idle", `close, ${off}, ended silent${tail}`],
  notification: ["Idle", `close, ${off}, ${hold}, ended received${tail}`],
  unknownNotification: ["Idle", `close, ${off}, ${hold}, ended received${tail}`],
  fault: ["Idle", `NOTIFICATION 1/2[0,18], close, ${off}, ${hold}, ended sent${tail}`],
  Hold: ["Idle", `NOTIFICATION 4/0[], close, ${off}, ${hold}, ended sent${tail}`],
  SendHold: ["Idle", `NOTIFICATION 8/0[], close, ${off}, ${hold}, ended sent${tail}`],
  ConnectRetry: ["Idle", `NOTIFICATION 5/0[], close, ${off}, ${hold}, ended sent${tail}`],
  IdleHold: ["Idle", `NOTIFICATION 5/0[], close, ${off}, ${hold}, ended sent${tail}`],
  ...Object.fromEntries(
    (
      [
        ["open", 1],
        ["openHold0", 1],
        ["update", 2],
        ["keepalive", 4],
        ["refresh", 5],
      ] as const
    ).map(([name, type]) => [name, ["Idle", `NOTIFICATION 5/${subcode}[${type}], close, ${off}, ${hold}, ended sent${tail}`]]),
  ),
});
const listening = (cancel: string): Record<string, [State, string]> => ({
  stop: ["Idle", `${cancel}${off}, ended sent`],
  reset: ["Idle", `${cancel}${off}, ${hold}, ended sent`],
  silent: ["Idle", `${cancel}${off}, ended silent`],
  connected: ["OpenSent", sendOpen],
  failed: ["Active", "arm ConnectRetry 1000~, ended tcp"],
  notification: ["Idle", `${cancel}${off}, ${hold}, ended received`],
  unknownNotification: ["Idle", `${cancel}${off}, ${hold}, ended received`],
  ...Object.fromEntries(
    ["open", "openHold0", "keepalive", "update", "refresh", "fault", "Hold", "Keepalive", "IdleHold", "SendHold"].map((name) => [
      name,
      ["Idle", `${cancel}${off}, ${hold}, ended sent`],
    ]),
  ),
});

/** State × event → next state, actions. What is not listed changes nothing and asks for nothing. */
const table: Readonly<Record<State, Record<string, [State, string]>>> = {
  Idle: {
    start: ["Connect", dial],
    stop: ["Idle", "-IdleHold"],
    silent: ["Idle", "-IdleHold"],
    reset: ["Connect", dial],
    connected: ["OpenSent", sendOpen],
    IdleHold: ["Connect", dial],
  },
  Connect: { ...listening("cancelConnect, "), ConnectRetry: ["Connect", `cancelConnect, ${dial}`] },
  Active: { ...listening(""), ConnectRetry: ["Connect", dial] },
  OpenSent: {
    ...inSession(1, ""),
    failed: ["Active", "-Hold, arm ConnectRetry 1000~, ended tcp"],
    open: ["OpenConfirm", "sendKeepalive, arm Keepalive 3000~, arm Hold 9000"],
    openHold0: ["OpenConfirm", "sendKeepalive, -Hold"],
    Keepalive: ["Idle", `NOTIFICATION 5/0[], close, ${off}, ${hold}, ended sent`],
  },
  OpenConfirm: {
    ...inSession(2, ""),
    failed: ["Idle", `${off}, ${hold}, ended tcp`],
    keepalive: ["Established", "arm Hold 9000, established"],
    Keepalive: ["OpenConfirm", "sendKeepalive, arm Keepalive 3000~"],
  },
  Established: {
    ...inSession(3, " established"),
    failed: ["Idle", `${off}, ${hold}, ended tcp established`],
    keepalive: ["Established", "arm Hold 9000"],
    update: ["Established", "arm Hold 9000"],
    refresh: ["Established", "arm Hold 9000"],
    Keepalive: ["Established", "sendKeepalive, arm Keepalive 3000~"],
  },
};

describe("every state answers every event as the table says", () => {
  for (const state of Object.keys(table) as State[]) {
    for (const [name, event] of Object.entries(events)) {
      test(`${state} × ${name}`, () => {
        // Idle and Active are reached over a fall or a failed dial: the back-off is made fresh for what follows.
        const backOff = new BackOff(60);
        const fsm = brought(state, { backOff });
        backOff.reset();
        const [next, actions] = table[state][name] ?? [state, ""];
        expect(run(fsm, event)).toBe(actions);
        expect(fsm.state).toBe(next);
      });
    }
  }
});

test("administratively down, Idle refuses connections and wakes for nothing but start", () => {
  const fsm = brought("Established");
  run(fsm, events.stop!);
  expect(run(fsm, events.IdleHold!)).toBe("");
  expect(run(fsm, events.connected!)).toBe("close");
  expect(fsm.state).toBe("Idle");
  expect(run(fsm, events.start!)).toContain("connect");
});

test("a passive machine listens and never dials", () => {
  const fsm = new Fsm(true, new BackOff(60));
  expect(run(fsm, events.start!)).toBe("-IdleHold, -ConnectRetry");
  expect(fsm.state).toBe("Active");
  run(fsm, events.connected!);
  expect(run(fsm, events.failed!)).toBe("-Hold, -ConnectRetry, ended tcp");
  expect(fsm.state).toBe("Active");
});

test("hold time 0: neither keepalives nor a hold timer, and no send hold timer (RFC 9687 §4.3)", () => {
  const fsm = brought("OpenSent");
  run(fsm, events.openHold0!);
  expect(run(fsm, events.keepalive!)).toBe("-Hold, established");
  expect(run(fsm, events.update!)).toBe("-Hold");
  expect(fsm.sendHold).toBeUndefined();
});

test("the send hold time is eight minutes, or twice a long hold time", () => {
  expect(brought("Established").sendHold).toBe(480_000);
  const slow = brought("OpenSent");
  run(slow, { type: "openReceived", holdSeconds: 600 });
  expect(slow.sendHold).toBe(1_200_000);
});

describe("back-off", () => {
  test("the idle hold doubles from fall to fall up to a minute, and an inbound connection never waits", () => {
    const fsm = new Fsm(true, new BackOff(60));
    run(fsm, events.start!);
    const waits: number[] = [];
    for (let i = 0; i < 10; i++) {
      expect(run(fsm, events.connected!)).toBe(sendOpen);
      waits.push(Number(/arm IdleHold (\d+)~/.exec(run(fsm, events.fault!))![1]));
      expect(fsm.state).toBe("Idle");
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  test("a session that lived long enough makes the next fall a first one; a short one does not", () => {
    const fsm = new Fsm(true, new BackOff(60));
    run(fsm, events.start!, 0);
    const fall = (establishedFor: number): string => {
      for (const name of ["connected", "open", "keepalive"]) run(fsm, events[name]!, 0);
      return /arm IdleHold (\d+)/.exec(run(fsm, events.failed!, establishedFor))![1]!;
    };
    expect([fall(100), fall(100), fall(4999), fall(5000), fall(100)]).toEqual(["500", "1000", "2000", "500", "1000"]);
  });

  test("dials are eager at first, then double to the configured time", () => {
    const backOff = new BackOff(20);
    expect(Array.from({ length: 22 }, () => backOff.nextDial() as number)).toEqual([
      ...Array<number>(15).fill(1000),
      2000,
      4000,
      8000,
      16_000,
      20_000,
      20_000,
      20_000,
    ]);
    backOff.established();
    expect(backOff.nextDial()).toBe(1000);
  });
});
