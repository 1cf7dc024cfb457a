/** A little of `npm run fuzz` on every run of the tests, whether it reaches what it should, and what it once found. */
import { describe, expect, test } from "vitest";
import { chance } from "../sim/chance.ts";
import { others, updates } from "./corpus.ts";
import { found } from "./found.ts";
import { emptyTally as noMessages, MessageWorld, readWithCodec, replay } from "./messages.ts";
import { mutated } from "./mutate.ts";
import { emptyTally as noSessions, SessionWorld } from "./sessions.ts";

test("2,000 mutated messages: the codec and both ways into the RIB agree, and nothing is left", { timeout: 120_000 }, () => {
  const world = new MessageWorld(),
    tally = noMessages();
  for (let round = 0; round < 2; round++) world.round(1, round, tally);
  // a fuzzer whose messages all fail at the door, or all pass, finds nothing
  const { messages, updates: taken, discarded, withdrawn, reset, held } = tally;
  expect(messages).toBe(2000);
  expect(taken).toBeGreaterThan(1000);
  for (const count of [discarded, withdrawn, reset, taken - reset - withdrawn - discarded]) expect(count).toBeGreaterThan(20);
  expect(held).toBeGreaterThan(200);
});

test("200 mutated sessions: nothing is thrown, all that is written is messages, and nothing is left", { timeout: 120_000 }, () => {
  const world = new SessionWorld(),
    tally = noSessions();
  for (let round = 0; round < 4; round++) world.round(1, round, tally);
  expect(tally.established).toBeGreaterThan(50);
  expect(tally.notifications).toBeGreaterThan(50);
});

test("the same seed is the same run", { timeout: 60_000 }, () => {
  const once = (seed: number): string => {
    const world = new SessionWorld(),
      tally = noSessions();
    world.round(seed, 7, tally);
    return JSON.stringify(tally);
  };
  expect(once(5)).toBe(once(5));
  expect(once(5)).not.toBe(once(6));
});

test("every message of the corpus is good, and most changes are seen", () => {
  const random = chance(3);
  for (const good of [...updates(65_001), ...updates(undefined), ...others(65_001, 1)]) {
    readWithCodec(good);
    const others = Array.from({ length: 200 }, () => Buffer.from(mutated(random, [good])).toString("hex"));
    expect(new Set(others).size).toBeGreaterThan(100);
  }
});

describe("found once", () => {
  test.each(found)("$what", ({ hex, peer }) => {
    replay(new MessageWorld(), hex, peer);
  });
});
