import type { Instant } from "#base/time.ts";
import { Agenda } from "#base/agenda.ts";
import { expect, test } from "vitest";
import { chance } from "../sim/chance.ts";

test("against a plain map: nobody is woken late, and everybody who is due is woken", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = chance(seed),
      agenda = new Agenda(),
      wants = new Map<number, number>();
    let now = 0;
    for (let step = 0; step < 300; step++) {
      const key = Math.floor(random() * 20);
      const at = random() < 0.15 ? undefined : now + Math.floor(random() * 50);
      if (random() < 0.1) {
        wants.delete(key);
        agenda.forget(key);
      } else {
        if (at === undefined) wants.delete(key);
        else wants.set(key, at);
        agenda.set(key, at as Instant | undefined);
      }
      if (random() < 0.3) now += Math.floor(random() * 30);
      const earliest = Math.min(...wants.values());
      expect(agenda.nearest() ?? Infinity, `seed ${seed} step ${step}`).toBeLessThanOrEqual(earliest);
      for (let due = agenda.due(now as Instant); due !== undefined; due = agenda.due(now as Instant)) {
        const wanted = wants.get(due);
        if (wanted !== undefined && wanted <= now) wants.delete(due);
        agenda.set(due, wants.get(due) as Instant | undefined);
      }
      expect(
        [...wants.values()].every((wanted) => wanted > now),
        `seed ${seed} step ${step}: nobody is left behind`,
      ).toBe(true);
    }
  }
});

test("moving a deadline later a hundred thousand times leaves one entry, not a hundred thousand", () => {
  const agenda = new Agenda();
  for (let i = 0; i < 100_000; i++) agenda.set(1, (1000 + i) as Instant);
  expect(agenda.nearest()).toBe(1000);
  expect(agenda.due(1000 as Instant)).toBe(1);
  expect(agenda.nearest()).toBeUndefined();
});
