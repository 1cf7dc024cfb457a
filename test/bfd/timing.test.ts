/** Changes of the intervals and the Poll Sequence that makes them safe (RFC 5880 §6.5, §6.8.3). */
import { expect, test } from "vitest";
import { Timing } from "#bfd/timing.ts";
import { at, VirtualSession } from "./virtual-session.ts";

const both = (micros: number) => ({ desiredMinTxMicros: micros, requiredMinRxMicros: micros });

test("on the way up the fast interval is announced with Poll, and used for sending at once", () => {
  const one = new VirtualSession().runTo(0);
  one.take();
  one.hear("Init");
  expect(one.take()).toMatchObject([{ state: "Up", poll: true, final: false, desiredMinTxMicros: 300_000, requiredMinRxMicros: 300_000 }]);
  expect(one.session.transmitInterval).toBe(300);
  one.runTo(300);
  expect(one.take()).toMatchObject([{ poll: true }]);
  one.hear("Up", { final: true }).runTo(600);
  expect(one.take()).toMatchObject([{ poll: false }]);
});

test("a slower interval waits for the Final before it is used for sending, and counts for receiving at once", () => {
  const one = new VirtualSession().up();
  one.take();
  one.session.configure({ intervalMicros: 1_200_000, multiplier: 3 }, at(0));
  expect(one.take()).toMatchObject([{ poll: true, ...both(1_200_000) }]);
  expect([one.session.transmitInterval, one.session.detectionTime]).toEqual([300, 3600]);
  one.hear("Up", { final: true });
  expect([one.session.transmitInterval, one.session.detectionTime]).toEqual([1200, 3600]);
});

test("a faster interval is used for sending at once, and waits for the Final before less silence is borne", () => {
  const one = new VirtualSession({ intervalMicros: 1_200_000, multiplier: 3 }).up({ desiredMinTxMicros: 100_000 });
  one.session.configure({ intervalMicros: 300_000, multiplier: 3 }, at(0));
  expect([one.session.transmitInterval, one.session.detectionTime]).toEqual([300, 3600]);
  one.hear("Up", { final: true, desiredMinTxMicros: 100_000 });
  expect([one.session.transmitInterval, one.session.detectionTime]).toEqual([300, 900]);
});

test("a change during a Poll Sequence waits for the next one: a Final confirms only what was asked", () => {
  const timing = new Timing(both(300));
  timing.change(both(900), true, true);
  timing.change(both(2000), true, true);
  expect([timing.announced, timing.isPolling]).toEqual([both(900), true]);
  timing.finalReceived(true);
  expect([timing.announced, timing.isPolling]).toEqual([both(2000), true]);
  expect(timing.used).toEqual({ desiredMinTxMicros: 900, requiredMinRxMicros: 2000 });
  timing.finalReceived(true);
  expect([timing.used, timing.isPolling]).toEqual([both(2000), false]);
});

test("and back to what is being asked for means no next one", () => {
  const timing = new Timing(both(300));
  timing.change(both(900), true, true);
  timing.change(both(2000), true, true);
  timing.change(both(900), true, true);
  timing.finalReceived(true);
  timing.finalReceived(true);
  expect([timing.announced, timing.used, timing.isPolling]).toEqual([both(900), both(900), false]);
});

test("a Final that nobody asked for changes nothing", () => {
  const timing = new Timing(both(300));
  timing.finalReceived(true);
  expect([timing.used, timing.isPolling]).toEqual([both(300), false]);
});

test("leaving Up ends the Poll Sequence for what was wanted then: the slow interval counts at once, and is polled for", () => {
  const one = new VirtualSession().up();
  one.session.configure({ intervalMicros: 500_000, multiplier: 3 }, at(0));
  one.take();
  one.hear("Down");
  expect(one.take()).toMatchObject([{ state: "Down", poll: true, desiredMinTxMicros: 1_000_000, requiredMinRxMicros: 500_000 }]);
  expect(one.session.transmitInterval).toBe(1000);
});

test("with nobody there, there is nobody to poll", () => {
  const one = new VirtualSession().runTo(0);
  one.session.configure({ intervalMicros: 500_000, multiplier: 4 }, at(0));
  expect(one.take().at(-1)).toMatchObject({ poll: false, requiredMinRxMicros: 500_000, multiplier: 4 });
});

test("another multiplier is told at once and needs no Poll", () => {
  const one = new VirtualSession().up();
  one.take();
  one.session.configure({ intervalMicros: 300_000, multiplier: 7 }, at(0));
  expect(one.take()).toMatchObject([{ multiplier: 7, poll: false }]);
});
