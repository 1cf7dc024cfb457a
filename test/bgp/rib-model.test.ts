import { expect, test } from "vitest";
import { RibModel } from "./rib-model.ts";

const seeds = Number(process.env["PODWAY_SEEDS"] ?? 300),
  first = Number(process.env["PODWAY_SEED"] ?? 1);

test(`${seeds} seeds: every peer is told exactly what a model of maps says, and nothing stays behind`, { timeout: 120_000 + seeds * 1000 }, () => {
  const failed: string[] = [],
    done = { ends: 0, refreshes: 0, checks: 0, told: 0, moves: 0 };
  for (let seed = first; seed < first + seeds && failed.length < 5; seed++) {
    const model = new RibModel(seed);
    try {
      model.run(6);
    } catch (error) {
      failed.push(`seed ${seed}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    }
    for (const key of Object.keys(done) as (keyof typeof done)[]) done[key] += model.done[key];
  }
  expect(failed.join("\n")).toBe("");
  // the model did what it is for
  expect(done.ends).toBeGreaterThan(seeds * 5);
  expect(done.refreshes).toBeGreaterThan(seeds);
  expect(done.told).toBeGreaterThan(seeds * 100);
  expect(done.moves).toBeGreaterThan(seeds);
});
