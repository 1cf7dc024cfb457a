/** `npm run mutants`: plants each bug of mutants.ts into a copy of the tree and sees whether a test notices. */
import { spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Mutant, mutants } from "./mutants.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const copied = ["src", "test", "topology", "deploy", "package.json", "tsconfig.json"];
const atOnce = 2;
const testMillis = 240_000;

interface Verdict {
  readonly mutant: Mutant;
  readonly caught: boolean;
  readonly text: string;
  readonly seconds: number;
}

async function copyTree(): Promise<string> {
  const tree = await mkdtemp(join(tmpdir(), "podway-mutant-"));
  for (const name of copied) await cp(join(root, name), join(tree, name), { recursive: true });
  await symlink(join(root, "node_modules"), join(tree, "node_modules"));
  return tree;
}

interface Ended {
  readonly code: number | null;
  readonly out: string;
}

const vitest = (files: readonly string[]): string[] => ["node_modules/vitest/vitest.mjs", "run", "--config", "test/vitest.config.ts", "--bail", "1", ...files];
const simulator = (seeds: number): string[] => ["test/sim/run.ts", "--seeds", String(seeds)];
const judgeOf = ({ tests, seeds }: Mutant): string[] => (seeds === undefined ? vitest(tests) : simulator(seeds));

/** Runs a judge in a tree; resolves with the exit code and what was printed. */
function run(tree: string, args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, args, { cwd: tree, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1" }, timeout: testMillis });
  let out = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (out += data.toString()));
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, out })));
}

async function plant(mutant: Mutant): Promise<Verdict> {
  const began = performance.now(),
    tree = await copyTree();
  const verdict = (caught: boolean, text: string): Verdict => ({ mutant, caught, text, seconds: (performance.now() - began) / 1000 });
  try {
    const file = join(tree, mutant.file),
      source = await readFile(file, "utf8");
    if (source.split(mutant.text).length !== 2) return verdict(false, `its text does not stand exactly once in ${mutant.file}: mend mutants.ts`);
    await writeFile(
      file,
      source.replace(mutant.text, () => mutant.instead),
    );
    const { code, out } = await run(tree, judgeOf(mutant));
    if (code === 0) return verdict(false, `survived ${mutant.seeds === undefined ? mutant.tests.join(", ") : `${mutant.seeds} seeds`}`);
    const failed = /(?:FAIL|×)\s+(.+)/.exec(out)?.[1] ?? /^(seed \d+.*)$/m.exec(out)?.[1];
    return failed === undefined ? verdict(false, `the tests did not run: ${out.slice(-300)}`) : verdict(true, failed.trim().slice(0, 110));
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const only = process.argv.slice(2).filter((word) => !word.startsWith("-"));
  const chosen = mutants.filter(({ name }) => only.length === 0 || only.some((word) => name.includes(word)));
  const files = [...new Set(chosen.flatMap(({ tests }) => tests))],
    seeds = Math.max(0, ...chosen.map((mutant) => mutant.seeds ?? 0));
  process.stdout.write(`${chosen.length} mutants; first ${files.length} test files and ${seeds} seeds as they are\n`);
  const tree = await copyTree();
  for (const judge of [...(files.length > 0 ? [vitest(files)] : []), ...(seeds > 0 ? [simulator(seeds)] : [])]) {
    const sound = await run(tree, judge);
    if (sound.code === 0) continue;
    process.stdout.write(`${sound.out.slice(-3000)}\nthe tests fail without a mutant: nothing can be said\n`);
    await rm(tree, { recursive: true, force: true });
    process.exit(1);
  }
  await rm(tree, { recursive: true, force: true });
  const waiting = [...chosen],
    verdicts: Verdict[] = [];
  const worker = async (): Promise<void> => {
    for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
      const verdict = await plant(mutant);
      verdicts.push(verdict);
      process.stdout.write(
        `${verdict.caught ? "caught  " : "SURVIVED"}  ${verdict.seconds.toFixed(0).padStart(3)} s  ${mutant.name}\n              ${verdict.text}\n`,
      );
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  const caught = verdicts.filter((verdict) => verdict.caught).length;
  process.stdout.write(`${caught} of ${verdicts.length} mutants caught\n`);
  process.exit(caught === verdicts.length ? 0 : 1);
}

await main();
