/** A mutant whose place has moved plants nothing, and nobody would notice: each must stand where it says, once. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mutants } from "../mutants/mutants.ts";

const root = join(import.meta.dirname, "../..");

test("every mutant of the long suite still has a place to be planted", () => {
  const astray = mutants
    .filter(({ file, text }) => readFileSync(join(root, file), "utf8").split(text).length !== 2)
    .map(({ name, file }) => `${name} (${file})`);
  expect(astray).toEqual([]);
  expect(mutants.length).toBeGreaterThan(70);
});
