/** `npm run bench`: the same reflector work on Podway, BIRD, FRR, … and what only we are asked. README.md says how to read it. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cniAdd } from "./cni-add.ts";
import { build } from "./generator.ts";
import { growth } from "./growth.ts";
import { kernelScale } from "./kernel-scale.ts";
import { leaseStart } from "./lease-start.ts";
import { type Bench, machineName } from "./measure.ts";
import { nodeScale } from "./node-scale.ts";
import { podAddresses } from "./pod-addresses.ts";
import { policies } from "./policy.ts";
import { printComparison, printQuietness, printTable, saveRecords } from "./report.ts";
import { restart } from "./restart.ts";
import { type Row, type Scenario, scenarios } from "./scenarios.ts";
import { missing, type SpeakerName, speakerNames, versionOf } from "./speakers.ts";

const usage = `npm run bench -- [options]

  --only A,B       these scenarios alone: SCENARIOS
  --quick          smaller tables, one run: minutes instead of an hour
  --runs N         runs of each speaker, interleaved; the median counts (default 3)
  --speakers A,B   peers: bird, frr (default), gobgp, openbgpd
  --timeout N      seconds a phase may take (default 180)
  --json FILE      everything measured
  --save           record the ratios in test/bench/results.json
  --picture        draw the growth into test/bench/growth.svg
`;

function readArguments() {
  try {
    return parseArgs({
      options: {
        only: { type: "string" },
        quick: { type: "boolean", default: false },
        runs: { type: "string" },
        speakers: { type: "string", default: "bird,frr" },
        timeout: { type: "string", default: "180" },
        json: { type: "string" },
        save: { type: "boolean", default: false },
        picture: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (cause) {
    return refuse(cause instanceof Error ? cause.message : String(cause));
  }
}
function refuse(text: string): never {
  process.stderr.write(`${text}\n`);
  process.exit(2);
}

/** Names given by the user, checked. */
function chosen<Name extends string>(given: string | undefined, known: readonly Name[], what: string): Name[] {
  const names = given === undefined ? [...known] : given.split(",").filter((name) => name !== "");
  for (const name of names) if (!known.includes(name as Name)) refuse(`${name} is no ${what}; there are ${known.join(", ")}.`);
  return names as Name[];
}

async function main(): Promise<number> {
  const given = readArguments();
  const all: readonly Scenario[] = [
    ...scenarios,
    restart,
    growth({ picture: given.picture }),
    podAddresses,
    cniAdd,
    policies,
    leaseStart,
    kernelScale,
    nodeScale,
  ];
  const names = all.map((scenario) => scenario.name);
  if (given.help) return (process.stdout.write(usage.replace("SCENARIOS", names.join(", "))), 0);
  const wanted = chosen(given.only, names, "scenario");
  const peers = chosen(
    given.speakers,
    speakerNames.filter((name) => !["ours", "ours-policy", "ours-restart", "bird-policy", "bird-add-path"].includes(name)),
    "speaker",
  );
  const runs = Number(given.runs ?? (given.quick ? 1 : 3)),
    timeoutSeconds = Number(given.timeout);
  if (!Number.isInteger(runs) || runs < 1 || !(timeoutSeconds > 0)) refuse("--runs and --timeout want whole numbers of 1 and above.");
  const folder = mkdtempSync(join(tmpdir(), "podway-generator-")),
    noise: number[] = [],
    rows: Row[] = [];
  try {
    const present = peers.filter((peer) => !said(missing(peer)));
    const versions = (["ours", ...present] as SpeakerName[]).map((name) => `${name} ${versionOf(name)}`);
    console.log(`${machineName()}; ${versions.join(", ")}; Node ${process.versions.node}; revision ${revision()}`);
    const bench: Bench = {
      program: build(folder),
      peers: present,
      runs,
      quick: given.quick,
      timeoutSeconds,
      noise,
      say: (text) => process.stderr.write(`${text}\n`),
    };
    for (const scenario of all.filter(({ name }) => wanted.includes(name))) {
      process.stderr.write(`\n${scenario.name}: ${scenario.about}\n`);
      rows.push(...(await scenario.rows(bench)));
    }
    console.log("");
    printTable(rows, present);
    const quiet = printQuietness(noise),
      versionsKey = versions.slice(1).join(", ");
    if (!given.quick) printComparison(rows, machineName(), versionsKey);
    if (given.json) writeFileSync(given.json, `${JSON.stringify({ machine: machineName(), versions, quiet, runs, quick: given.quick, rows }, null, 1)}\n`);
    if (given.save && given.quick) console.log("A quick run is not recorded.");
    else if (given.save) saveRecords(rows, machineName(), versionsKey);
    return rows.some((row) => row.ok === false) ? 1 : 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function said(text: string | undefined): boolean {
  if (text !== undefined) console.log(text);
  return text !== undefined;
}
function revision(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "unknown";
  }
}

process.exitCode = await main();
