// Debian packages: what is missing is installed, said before it is done.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { Refusal } from "./run.mjs";

const policy = "/usr/sbin/policy-rc.d";

export function needRoot(verb) {
  if (process.getuid?.() !== 0) throw new Refusal(`npm run ${verb} makes network namespaces and devices, which needs root: run it as root.`);
}

/** Installs those of `names` that dpkg does not know as installed. */
export function needDebianPackages(verb, names) {
  const missing = names.filter((name) => !isInstalled(name));
  if (missing.length === 0) return;
  const list = missing.join(" ");
  if (!canRun("apt-get"))
    throw new Refusal(`npm run ${verb} needs the Debian packages ${list}, and this machine has no apt-get: install their programs by hand.`);
  if (process.getuid?.() !== 0) throw new Refusal(`npm run ${verb} needs the Debian packages ${list}: run it as root, or install them first.`);
  process.stdout.write(`Installing the Debian packages ${list} (their services are not started) ...\n`);
  withoutStartingServices(() => {
    apt(verb, ["update", "-q"]);
    apt(verb, ["install", "-q", "-y", "--no-install-recommends", ...missing]);
  });
}

function isInstalled(name) {
  const told = spawnSync("dpkg-query", ["-W", "-f", "${db:Status-Status}", name], { encoding: "utf8" });
  if (told.error) throw new Refusal(`This machine has no dpkg-query (${told.error.code}): Podway sets itself up on Debian and its kin only.`);
  return told.status === 0 && told.stdout === "installed";
}

function canRun(program) {
  return spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
}

function apt(verb, args) {
  const done = spawnSync("apt-get", args, { encoding: "utf8", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
  if (done.status === 0) return;
  process.stderr.write(`${done.stdout}${done.stderr}`);
  throw new Refusal(`apt-get ${args[0]} failed, see above: npm run ${verb} cannot go on without these packages.`);
}

/** The labs start bird and etcd themselves; a second one on the machine's own ports would be in the way. */
function withoutStartingServices(action) {
  if (existsSync(policy)) return action();
  writeFileSync(policy, "#!/bin/sh\nexit 101\n");
  chmodSync(policy, 0o755);
  try {
    action();
  } finally {
    rmSync(policy);
  }
}
