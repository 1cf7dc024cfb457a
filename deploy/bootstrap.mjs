// Starts every verb of package.json: makes sure that what the verb needs is on this machine, then goes on under Node 24.
// Plain JavaScript for any Node from 18 on, without a dependency: it runs before anything is installed.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { needDebianPackages, needRoot } from "./setup/debian.mjs";
import { needKernelFeatures } from "./setup/kernel.mjs";
import { needNpmPackages } from "./setup/npm.mjs";
import { Refusal, root, run } from "./setup/run.mjs";
import { check, format } from "./setup/check.mjs";

const vitest = ["node_modules/vitest/vitest.mjs", "run", "--config", "test/vitest.config.ts"];
const lab = ["etcd-server", "bird2", "iproute2", "iputils-ping", "nftables", "procps"];

const runtimes = [
  "podman",
  "runc",
  "containerd",
  "containernetworking-plugins",
  "busybox-static",
  "golang-go",
  "golang-github-appc-cni-dev",
  "strace",
  "docker.io",
  "iptables",
];

/**
 * One row per verb: what is run (a script for Node 24, or our own `steps`), the Debian packages it needs, whether it makes network
 * namespaces (then it needs root and the kernel features), and how long it may take.
 */
const verbs = {
  demo: { script: ["src/lab/demo.ts"], debian: lab, namespaces: true, minutes: 10 },
  test: { script: vitest, debian: [...lab, "conntrack", "gobgpd"], namespaces: true, minutes: 10 },
  check: { steps: check },
  format: { steps: format },
  sim: { script: ["test/sim/run.ts"], minutes: 60 },
  fuzz: { script: ["test/fuzz/run.ts"], minutes: 60 },
  mutants: { script: ["test/mutants/run.ts"], debian: lab, namespaces: true, minutes: 60 },
  interop: {
    script: ["test/interop/run.ts"],
    debian: [...lab, "frr", "gobgpd", "openbgpd", "exabgp", "tcpdump", "pmacct", "bgpdump"],
    namespaces: true,
    minutes: 60,
  },
  faults: { script: ["test/faults/run.ts"], debian: lab, namespaces: true, minutes: 60 },
  doors: { script: ["test/doors/run.ts"], debian: [...lab, ...runtimes], namespaces: true, minutes: 60 },
  bench: { script: ["test/bench/run.ts"], debian: [...lab, "frr", "gobgpd", "containernetworking-plugins"], namespaces: true, minutes: 120 },
  manual: { script: ["src/podway.ts", "manual"], minutes: 1 },
  replay: { script: ["test/replay/run.ts"], minutes: 10 },
};
const inAll = ["check", "test", "sim", "fuzz", "mutants", "interop", "faults", "doors", "demo", "bench"];

/** Runs one verb to its end; returns its exit code. */
async function perform(name, args) {
  const verb = verbs[name];
  const file = verb.script?.[0];
  if (file?.endsWith(".ts") && !existsSync(join(root, file))) throw new Refusal(`npm run ${name}: this version of Podway has no ${file}.`);
  if (verb.namespaces) needRoot(name);
  needDebianPackages(name, verb.debian ?? []);
  if (verb.namespaces) needKernelFeatures(name);
  const node = needNpmPackages();
  if (verb.steps) return verb.steps();
  return run(node, [...verb.script, ...args], { name, minutes: verb.minutes });
}

/** The long way: every suite that this version has, one after the other; a failed one does not stop the others. */
async function performAll() {
  const told = [];
  for (const name of inAll) {
    const file = verbs[name].script?.[0];
    if (file?.endsWith(".ts") && !existsSync(join(root, file))) continue;
    process.stdout.write(`\n== ${name}\n`);
    told.push([name, await perform(name, [])]);
  }
  process.stdout.write(`\n${told.map(([name, code]) => `${code === 0 ? "ok    " : "FAILED"} ${name}`).join("\n")}\n`);
  return told.every(([, code]) => code === 0) ? 0 : 1;
}

async function main(argv) {
  const [name, ...rest] = argv;
  const args = rest[0] === "--" ? rest.slice(1) : rest;
  if (name === "all") return performAll();
  if (!Object.hasOwn(verbs, name ?? "")) throw new Refusal(`usage: node deploy/bootstrap.mjs ${[...Object.keys(verbs), "all"].join("|")} [-- arguments]`);
  return perform(name, args);
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    if (!(error instanceof Refusal)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  },
);
