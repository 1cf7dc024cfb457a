import { expect, test } from "vitest";
import { judge } from "./breaches.ts";
import { rooms } from "./house.ts";
import { importsOf, readTree } from "./source.ts";

const tree = readTree();
const verdict = judge(tree);

test("the tree keeps the law of the house", () => {
  expect(verdict.breaches).toEqual([]);
});

test("the law saw the whole tree", () => {
  const { files, imports, medianLines } = verdict.seen;
  process.stdout.write(`law: ${files} source files, ${imports} imports, median ${medianLines} lines\n`);
  expect(files).toBeGreaterThanOrEqual(40);
  expect(imports).toBeGreaterThanOrEqual(100);
  const crude = tree
    .filter(({ path }) => /^src\/.*\.ts$/.test(path))
    .flatMap(({ text }) => text.match(/^(?:import|export) .*from "|^\} from "|^import "/gm) ?? []);
  const told = tree.filter(({ path }) => /^src\/.*\.ts$/.test(path)).flatMap(importsOf);
  expect(told.length).toBeGreaterThanOrEqual(crude.length);
});

test("the table itself only looks down", () => {
  for (const [name, { floor, may }] of Object.entries(rooms)) {
    for (const below of may) expect(rooms[below.split("/")[0]!]!.floor, `${name} imports ${below}`).toBeLessThan(floor === 2 && below === "wire" ? 2 : floor);
  }
});
