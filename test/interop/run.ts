/**
 * `npm run interop`: podwayd against BIRD, FRR, GoBGP, OpenBGPD and ExaBGP in network namespaces, a matrix of what works; then
 * the same stream into BIRD and podwayd as reflectors; then what pmacct and bgpdump read out of our BMP and MRT. Exit 1 if anything that should work does not.
 *
 *   npm run interop -- --only bird,frr --row "GTSM" --part matrix --keep
 *   npm run interop -- --part stream --seed 4711 --seconds 60
 *   npm run interop -- --part monitoring
 *   npm run interop -- --part policy
 *   npm run interop -- --part decision
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { eachBounded } from "#lab/command.ts";
import { Bench } from "./bench.ts";
import { tryBfdRows } from "./bfd-rows.ts";
import { closeBfdWorlds, removeBfdRemains } from "./bfd-world.ts";
import { Bird } from "./bird.ts";
import { compareDecisions } from "./decision.ts";
import { runDifferential } from "./differential.ts";
import { ExaBgp } from "./exabgp.ts";
import { Frr } from "./frr.ts";
import { GoBgp } from "./gobgp.ts";
import { type Column, printMatrix, type Row, rows, runScenario, type Scenario } from "./matrix.ts";
import { runMonitoring } from "./monitoring.ts";
import { closeNetworks, removeRemains } from "./network.ts";
import { comparePolicies } from "./policy.ts";
import { OpenBgpd } from "./openbgpd.ts";
import { external, internalClient, internalNonClient, overIpv6, twoOctet } from "./scenario-exchange.ts";
import { ipv6NextHops, longMessages, severalPaths } from "./scenario-paths.ts";
import { runRedundant } from "./redundant.ts";
import { longLived, roles } from "./scenario-edge.ts";
import { restart } from "./scenario-restart.ts";
import { collision, gtsm, holdExpiry, holdZero, lastWords, limits, md5, wrongAs } from "./scenario-session.ts";
import type { Place, Speaker } from "./speaker.ts";

const makers: Readonly<Record<string, (place: Place) => Speaker>> = {
  bird: (place) => new Bird(place),
  frr: (place) => new Frr(place),
  gobgp: (place) => new GoBgp(place),
  openbgpd: (place) => new OpenBgpd(place),
  exabgp: (place) => new ExaBgp(place),
};
const scenarios: readonly Scenario[] = [
  internalClient,
  longMessages,
  severalPaths,
  ipv6NextHops,
  lastWords,
  internalNonClient,
  external,
  overIpv6,
  md5,
  gtsm,
  restart,
  longLived,
  roles,
  holdZero,
  holdExpiry,
  limits,
  collision,
  wrongAs,
  twoOctet,
];
/** Speakers tried at a time. */
const parallel = 2;

const { values: given } = parseArgs({
  options: {
    only: { type: "string" },
    row: { type: "string" },
    keep: { type: "boolean", default: false },
    seconds: { type: "string", default: "120" },
    part: { type: "string" },
    seed: { type: "string" },
  },
});
const home = mkdtempSync(join(tmpdir(), "podway-interop-"));

async function tryAll(): Promise<boolean> {
  const names = given.only?.split(",") ?? Object.keys(makers);
  const wanted = (row: Row): boolean => given.row === undefined || row.includes(given.row);
  const tried = await eachBounded(names, parallel, async (name) => {
    const began = performance.now(),
      column: Column = new Map();
    const bench = await Bench.open(name, home, makers[name]!);
    try {
      for (const scenario of scenarios) await runScenario(scenario, bench, column, wanted);
      await tryBfdRows(name, home, { column, wanted });
    } finally {
      await bench.close();
    }
    process.stderr.write(
      `${bench.speaker.name}: ${[...column.values()].filter(({ verdict }) => verdict !== "no").length} of ${column.size} in ${Math.round((performance.now() - began) / 1000)} s\n`,
    );
    return [`${bench.speaker.name} ${bench.speaker.version}`, column] as const;
  });
  const columns = new Map(tried);
  process.stdout.write(`${printMatrix(columns, rows.filter(wanted))}\n`);
  return [...columns.values()].every((column) => [...column.values()].every(({ verdict }) => verdict !== "no"));
}

async function tryStream(): Promise<boolean> {
  const first = given.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(given.seed);
  const { seeds, steps, drops, compared, revised, failures } = await runDifferential(home, first, Number(given.seconds) * 1000, (line) =>
    process.stderr.write(`${line}\n`),
  );
  process.stdout.write(`\nThe same stream into podwayd and BIRD (deterministic MED), seeds ${first} to ${first + seeds - 1}: `);
  process.stdout.write(`${steps} steps, ${drops} lost sessions, ${compared} routes at 6 peers compared, ${failures.length} seeds unequal`);
  process.stdout.write(
    revised === 0 ? ".\n" : `; after ${revised} of them BIRD had kept a path that was beaten, and agreed when told the same routes again.\n`,
  );
  for (const failure of failures) process.stdout.write(`NO: ${failure}\n`);
  return failures.length === 0 && seeds > 0;
}

async function tryPolicies(): Promise<boolean> {
  const seed = given.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(given.seed);
  const { routes, accepted, differences } = await comparePolicies(home, seed);
  process.stdout.write(
    `\nOne policy as our document and as BIRD's filter, seed ${seed}: ${routes} routes, ${accepted} accepted, ${differences.length} differences.\n`,
  );
  for (const difference of differences.slice(0, 20)) process.stdout.write(`NO: ${difference}\n`);
  return differences.length === 0 && accepted > 0;
}

async function tryDecisions(): Promise<boolean> {
  const seed = given.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(given.seed);
  const { sets, paths, winners, differences } = await compareDecisions(home, seed),
    won = Object.entries(winners).map(([role, count]) => `${count} of ${role}s`);
  process.stdout.write(
    `\nThe oracle of the decision process, BIRD (deterministic MED) and podwayd, seed ${seed}: ${sets} sets of ${paths} paths, best are ${won.join(", ")}; ${differences.length} differences.\n`,
  );
  for (const difference of differences.slice(0, 20)) process.stdout.write(`NO: ${difference}\n`);
  return differences.length === 0;
}

function tryMonitoring(): Promise<boolean> {
  process.stdout.write("\nMonitoring as strangers read it:\n");
  return runMonitoring(home, (line) => process.stdout.write(`${line}\n`));
}

function tryPair(): Promise<boolean> {
  process.stdout.write("\nTwo reflectors, podwayd and BIRD, and a client that loses one of them:\n");
  return runRedundant(home, (line) => process.stdout.write(`${line}\n`));
}

async function main(): Promise<number> {
  await removeRemains();
  await removeBfdRemains();
  const isWanted = (part: string): boolean => given.part === undefined || given.part === part;
  const matrix = !isWanted("matrix") || (await tryAll());
  const stream = !isWanted("stream") || (await tryStream());
  const pair = !isWanted("pair") || (await tryPair());
  const policy = !isWanted("policy") || (await tryPolicies());
  const decision = !isWanted("decision") || (await tryDecisions());
  const monitoring = !isWanted("monitoring") || (await tryMonitoring());
  return matrix && stream && pair && policy && decision && monitoring ? 0 : 1;
}

for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => void Promise.all([closeNetworks(), closeBfdWorlds()]).finally(() => process.exit(130)));
try {
  process.exitCode = await main();
} finally {
  await Promise.all([closeNetworks(), closeBfdWorlds()]);
  if (given.keep) process.stderr.write(`files are in ${home}\n`);
  else rmSync(home, { recursive: true, force: true });
}
process.exit();
