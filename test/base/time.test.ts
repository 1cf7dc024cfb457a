import fc from "fast-check";
import { expect, test } from "vitest";
import { after, Deadlines, type Instant, millis, seconds, sooner, toMillis } from "#base/time.ts";

const at = (value: number): Instant => value as Instant;

test("seconds and milliseconds", () => {
  expect(toMillis(seconds(90))).toBe(90_000);
  expect(after(at(5), millis(10))).toBe(15);
});

test("the sooner of two, where none is never", () => {
  expect([sooner(undefined, undefined), sooner(at(1), undefined), sooner(undefined, at(1)), sooner(at(2), at(1)), sooner(at(1), at(2))]).toEqual([
    undefined,
    1,
    1,
    1,
    1,
  ]);
});

test("a slot is armed, armed again, disarmed, taken out once", () => {
  const slots = new Deadlines<"hold" | "keepalive">();
  expect(slots.nearest()).toBeUndefined();
  slots.arm("hold", at(90));
  slots.arm("keepalive", at(30));
  expect([slots.nearest(), slots.at("hold"), slots.due(at(29))]).toEqual([30, 90, undefined]);
  slots.arm("keepalive", at(60));
  expect([slots.nearest(), slots.due(at(59)), slots.due(at(60)), slots.due(at(60)), slots.at("keepalive")]).toEqual([
    60,
    undefined,
    "keepalive",
    undefined,
    undefined,
  ]);
  slots.disarm("hold");
  expect([slots.nearest(), slots.due(at(1000))]).toEqual([undefined, undefined]);
  slots.arm("hold", at(1));
  slots.clear();
  expect(slots.nearest()).toBeUndefined();
});

test("whatever is armed comes due in order of time, ties in order of arming, and nothing before its time", () => {
  const armed = fc.uniqueArray(fc.record({ name: fc.nat(50).map(String), time: fc.nat(20) }), { selector: ({ name }) => name });
  fc.assert(
    fc.property(armed, fc.nat(20), (list, now) => {
      const slots = new Deadlines<string>();
      for (const { name, time } of list) slots.arm(name, at(time));
      const nearest = list.length === 0 ? undefined : Math.min(...list.map(({ time }) => time));
      expect(slots.nearest()).toBe(nearest);
      const out: string[] = [];
      for (let name = slots.due(at(now)); name !== undefined; name = slots.due(at(now))) out.push(name);
      const expected = list.filter(({ time }) => time <= now).toSorted((a, b) => a.time - b.time);
      expect(out).toEqual(expected.map(({ name }) => name));
      expect(slots.nearest() ?? Infinity).toBeGreaterThan(now);
    }),
  );
});
