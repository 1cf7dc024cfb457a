// The npm packages of the lock file, Node 24 among them.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Refusal, root } from "./run.mjs";

const leastMajor = 24;

/** Makes node_modules what package-lock.json says; returns the path of Node 24. */
export function needNpmPackages() {
  const lack = firstLack();
  if (lack !== undefined) {
    process.stdout.write(`Installing the npm packages of package-lock.json (${lack}) ...\n`);
    const done = spawnSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: root, stdio: "inherit" });
    if (done.error) throw new Refusal(`npm could not be started (${done.error.code}): install npm (Debian: apt-get install npm) and try again.`);
    if (done.status !== 0) throw new Refusal("npm ci failed, see above: without the npm packages nothing can be run.");
    const still = firstLack();
    if (still !== undefined) throw new Refusal(`npm ci ended well, yet ${still}: remove node_modules and try again.`);
  }
  return node24();
}

/** What differs between the lock file and npm's own record of what it installed (written last, so an interrupted install has none). */
function firstLack() {
  const locked = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  let installed;
  try {
    installed = JSON.parse(readFileSync(join(root, "node_modules", ".package-lock.json"), "utf8")).packages;
  } catch {
    return "none are installed";
  }
  for (const [path, { version, integrity, optional }] of Object.entries(locked)) {
    if (path === "" || (optional && !installed[path])) continue;
    if (installed[path]?.version !== version || installed[path]?.integrity !== integrity)
      return `${path.replace(/^.*node_modules\//, "")} ${version} is missing`;
  }
  return undefined;
}

function node24() {
  const path = join(root, "node_modules", ".bin", "node");
  const asked = spawnSync(path, ["-p", "process.versions.node"], { encoding: "utf8" });
  if (asked.error || asked.status !== 0) {
    const platform = `${process.platform}-${process.arch}`;
    throw new Refusal(`Podway brings Node ${leastMajor} for Linux on x64 and arm64 only, and it does not start on this machine (${platform}).`);
  }
  if (Number.parseInt(asked.stdout, 10) < leastMajor)
    throw new Refusal(`node_modules/.bin/node is ${asked.stdout.trim()}, not ${leastMajor}: remove node_modules and try again.`);
  return path;
}
