// Under Node 24 a program runs in this very process; an older Node hands over to the Node 24 that came with the packages.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import * as module from "node:module";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";

const leastMajor = 24;
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const packages = path("../../node_modules");
// Not the default place: what root compiles and loads must not lie where everybody may write.
const cache = `${packages}/.cache/compiled`;
// The nursery of new objects stays at 1 MB. V8 would let it grow to 16 MB while a program starts, and never give that back. What is
// compiled is compiled for certain flags, so these come before the cache, and in warm.mjs too.
setFlagsFromString("--semi-space-growth-factor=1");
const limits = { warmMillis: 30_000, flushMillis: 5000 };

/** Starts src/`name`.ts with the arguments of this process. */
export async function launch(name) {
  if (!existsSync(`${packages}/.package-lock.json`)) {
    process.stderr.write("Podway is not installed yet: run `npm ci` in its folder first.\n");
    process.exit(1);
  }
  if (Number.parseInt(process.versions.node, 10) < leastMajor) return handOver(name);
  warm();
  module.enableCompileCache(cache);
  // Node writes the cache when a process ends in good order; one that runs for months may not.
  setTimeout(() => module.flushCompileCache(), limits.flushMillis).unref();
  await import(new URL(`../../src/${name}.ts`, import.meta.url).href);
}

/** The first start ever, and the first after an upgrade, fills the cache (about a second); where it may not be written, programs work without. */
function warm() {
  const done = `${cache}/warm`;
  try {
    const known = existsSync(done) ? readFileSync(done, "utf8") : "";
    // the first line is Node's version, the others are folders
    if (
      known !== "" &&
      known ===
        stateOf(
          known
            .split("\n")
            .slice(1)
            .map((line) => line.slice(0, line.lastIndexOf(" "))),
        )
    )
      return;
    mkdirSync(cache, { recursive: true });
    const sources = path("../../src");
    const folders = readdirSync(sources, { recursive: true, withFileTypes: true }).filter((entry) => entry.isDirectory());
    writeFileSync(done, stateOf([path("../../package.json"), sources, ...folders.map((entry) => `${entry.parentPath}/${entry.name}`)]));
  } catch {
    return;
  }
  spawnSync(process.execPath, [path("./warm.mjs"), cache, path("../../src")], { stdio: "ignore", timeout: limits.warmMillis });
}

/**
 * Which sources there are, for less than a look at each: whoever puts other files in the place of old ones (git, npm, a package, an
 * editor) changes the time of their folder.
 */
function stateOf(places) {
  const times = places.map((place) => `${place} ${statSync(place, { throwIfNoEntry: false })?.mtimeMs ?? 0}`);
  return [process.version, ...times].join("\n");
}

function handOver(name) {
  const child = spawn(`${packages}/.bin/node`, [path(`./${name}.mjs`), ...process.argv.slice(2)], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.once("error", (error) => {
    process.stderr.write(`Podway brings Node ${leastMajor} for Linux on x64 and arm64 only, and it does not start on this machine (${error.message}).\n`);
    process.exit(1);
  });
  child.once("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}
