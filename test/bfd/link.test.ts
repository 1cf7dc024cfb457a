/** Two of our machines over a link that fails in every way, seed by seed: what must hold whatever is lost. */
import { expect, test } from "vitest";
import { chance } from "../sim/chance.ts";
import { VirtualLink } from "./virtual-link.ts";

const terms = { intervalMicros: 300_000, multiplier: 3 } as const;
const fast = { intervalMicros: 50_000, multiplier: 3 } as const;
const seeds = 300;

test("up within two seconds, and never down while nothing is lost, however packets are delayed", () => {
  for (let seed = 0; seed < seeds; seed++) {
    const link = new VirtualLink(seed, [terms, seed % 2 === 0 ? terms : fast]);
    link.delayMillis = 150;
    link.runTo(2500);
    expect([seed, link.state(0), link.state(1)]).toEqual([seed, "Up", "Up"]);
    link.runTo(20_000);
    expect([seed, link.changes.filter(({ from }) => from === "Up")]).toEqual([seed, []]);
  }
});

test("a cut is found by both sides within the Detection Time, as a failure, and its end is too", () => {
  let latest = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const link = new VirtualLink(seed, [terms, terms]).runTo(5000 + 7 * seed);
    const cut = link.now;
    link.loss = [1, 1];
    link.runTo(cut + 5000);
    const downs = link.changes.filter(({ from, isFailure }) => from === "Up" && isFailure);
    expect([seed, new Set(downs.map(({ side }) => side)), downs.length]).toEqual([seed, new Set([0, 1]), 2]);
    for (const { at, reason } of downs) {
      // the last packet left at most one interval before the cut, and arrived at most one delay after it
      expect(at - cut).toBeGreaterThan(900 - 300);
      expect(at - cut).toBeLessThanOrEqual(900 + link.delayMillis);
      expect(reason).toBe("nothing heard from the peer for 900 ms");
      latest = Math.max(latest, at - cut);
    }
    link.loss = [0, 0];
    link.runTo(cut + 7500);
    expect([seed, link.state(0), link.state(1)]).toEqual([seed, "Up", "Up"]);
  }
  process.stdout.write(`bfd: ${seeds} cuts found after ${Math.round(latest)} ms at most, of 900 + 20 allowed\n`);
});

test("a link that fails in one direction is down in both", () => {
  for (let seed = 0; seed < seeds; seed++) {
    const link = new VirtualLink(seed, [terms, terms]).runTo(5000),
      deaf = seed % 2 === 0 ? 0 : 1;
    link.loss[deaf] = 1;
    link.runTo(5000 + 900 + 2 * link.delayMillis);
    const downs = link.changes.filter(({ from }) => from === "Up");
    expect([seed, downs.map(({ side, reason }) => [side, reason])]).toEqual([
      seed,
      [
        [deaf, "nothing heard from the peer for 900 ms"],
        [1 - deaf, "the peer says it is down (control detection time expired)"],
      ],
    ]);
    link.runTo(20_000);
    expect([seed, link.state(deaf)]).toEqual([seed, "Down"]);
    expect(link.state(deaf === 0 ? 1 : 0)).not.toBe("Up");
  }
});

test("loss of up to 40 %, changes of times, and peers that come and go: whatever happened, a good link ends up", () => {
  let packets = 0,
    failures = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const random = chance(seed + 1_000_000),
      link = new VirtualLink(seed, [terms, fast]);
    link.reorders = seed % 3 === 0;
    for (let step = 0; step < 20; step++) {
      const side = random() < 0.5 ? 0 : 1,
        dice = random();
      link.loss = [random() * 0.4, random() * 0.4];
      if (dice < 0.2) link.remove(side);
      else if (dice < 0.6) link.configure(side, { intervalMicros: Math.round(50_000 + random() * 950_000), multiplier: 1 + Math.floor(random() * 5) });
      link.runTo(link.now + random() * 6000);
    }
    link.loss = [0, 0];
    for (const side of [0, 1] as const) link.configure(side, terms);
    link.runTo(link.now + 12_000);
    expect([seed, link.state(0), link.state(1)]).toEqual([seed, "Up", "Up"]);
    const info = link.sides.map((sessions) => sessions.info()[0]!);
    expect([seed, info.map(({ transmitMillis, detectionMillis }) => [transmitMillis, detectionMillis])]).toEqual([
      seed,
      [
        [300, 900],
        [300, 900],
      ],
    ]);
    packets += link.packets;
    failures += link.changes.filter(({ isFailure }) => isFailure).length;
  }
  process.stdout.write(`bfd: ${seeds} bad links, ${packets} packets, ${failures} failures seen, all up in the end\n`);
  expect(failures).toBeGreaterThan(seeds);
});

test("one seed, one run", () => {
  const run = (seed: number): unknown => {
    const link = new VirtualLink(seed, [terms, fast]);
    link.loss = [0.3, 0.3];
    link.runTo(30_000);
    return [link.packets, link.changes];
  };
  expect(run(7)).toEqual(run(7));
  expect(run(7)).not.toEqual(run(8));
});
