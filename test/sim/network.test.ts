import { assert } from "#base/assert.ts";
import { expect, test } from "vitest";
import { noFaults, someFaults } from "./network.ts";
import { type PairOptions, wirePair } from "./wire-pair.ts";

const minute = 60_000;
const kinds: Readonly<Record<string, PairOptions>> = {
  "one dials": { b: { passive: true } },
  "both dial": {},
  "both dial, without graceful restart": { a: { gracefulRestart: undefined }, b: { gracefulRestart: undefined } },
  "both dial, hold time 9": { a: { holdSeconds: 9 } },
  "hold time 0": { a: { holdSeconds: 0 }, b: { passive: true } },
};

for (const [name, options] of Object.entries(kinds)) {
  test(`${name}: under 25 seeds of faults the pair always ends Established over one connection, and stays so`, () => {
    for (let seed = 1; seed <= 25; seed++) {
      const pair = wirePair(seed, options);
      // What the RIB has been told and what the session layer says of itself never differ, after any event.
      pair.network.afterEvent = () => {
        for (const { node, sink } of [pair.a, pair.b]) assert(node.speaker?.isEstablished(1) !== !sink.terms.has(1), `seed ${seed}: told and true differ`);
      };
      pair.network.faults = someFaults;
      pair.network.run(10 * minute);
      pair.network.faults = noFaults;
      // Held links heal within 200 s; a half-open connection of a machine that vanished is then cut too.
      pair.network.run(4 * minute);
      pair.network.cut(pair.a.address, pair.b.address);
      pair.network.run(minute);
      expect(pair.agree(), `seed ${seed}`).toBe(true);
      const log = `${pair.a.sink.log.length} ${pair.b.sink.log.length}`;
      pair.network.run(20 * minute);
      expect(pair.agree(), `seed ${seed}`).toBe(true);
      expect(`${pair.a.sink.log.length} ${pair.b.sink.log.length}`, `seed ${seed}: no flap while all is quiet`).toBe(log);
    }
  });
}

test("the same seed tells the same story, another seed another", () => {
  const story = (seed: number): string => {
    const pair = wirePair(seed);
    pair.network.faults = someFaults;
    pair.network.run(5 * minute);
    return pair.network.trace;
  };
  expect(story(7)).toBe(story(7));
  expect(story(7)).not.toBe(story(8));
});

test("two that dial each other at the same moment are up in a third of a second, whoever is senior", () => {
  for (let seed = 1; seed <= 150; seed++) {
    const pair = wirePair(seed, { ids: seed % 2 ? ["10.0.0.1", "10.0.0.2"] : ["10.0.0.2", "10.0.0.1"] });
    expect(
      pair.network.runUntil(() => pair.agree(), 333),
      `seed ${seed}`,
    ).toBe(true);
    pair.network.run(minute);
    expect(pair.agree(), `seed ${seed}`).toBe(true);
    expect(pair.a.sink.ends.length + pair.b.sink.ends.length, `seed ${seed}: at most the junior changes over, once`).toBeLessThanOrEqual(1);
  }
});

test("who dialled a reflector finds it within a second and a half of its coming back, however long it was away up to ten", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const pair = wirePair(seed, { b: { passive: true } });
    expect(pair.network.runUntil(() => pair.agree(), 1000)).toBe(true);
    pair.network.run(10_000);
    const away = (seed / 40) * 10_000;
    pair.network.kill(pair.b.address, away, false);
    pair.network.run(away);
    expect(
      pair.network.runUntil(() => pair.agree(), 1500),
      `seed ${seed}, away for ${away} ms`,
    ).toBe(true);
  }
});
