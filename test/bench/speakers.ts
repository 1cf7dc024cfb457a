/** The speakers that do the same work in turn: ours as users start it, the others as Debian packs them. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { birdPolicies, ourPolicies } from "./policy-speakers.ts";

export const speakerNames = ["ours", "bird", "bird-add-path", "ours-policy", "bird-policy", "ours-restart", "frr", "gobgp", "openbgpd"] as const;
export type SpeakerName = (typeof speakerNames)[number];

interface Recipe {
  readonly port: number;
  /** Program that must be there. */
  readonly program: string;
  readonly packageName: string;
  /** Arguments, given the configuration as written and the scratch folder. */
  readonly argv: (config: string, folder: string) => readonly string[];
  readonly config: string | undefined;
  /** Makes the configuration of the file's text; as it stands if left out. */
  readonly make?: (text: string) => string;
  readonly versionArgv: readonly string[];
}

const top = fileURLToPath(new URL("../..", import.meta.url));
const own = (config: string): string => readFileSync(new URL(`speakers/${config}`, import.meta.url), "utf8");
/** The control socket of ours, in the scratch folder: the scenarios read its metrics. */
export const ownSocket = (folder: string): string => join(folder, "podwayd.sock");
const ownArgv = [join(top, "deploy/bin/podwayd.mjs"), "--topology", join(top, "topology/bench-reflector.yaml"), "--node", "rr"];
/** A client that `ours-restart` connects to. */
export const dialled = { address: "127.1.0.4", port: 1794 } as const;
const bird: Recipe = {
  port: 1790,
  program: "/usr/sbin/bird",
  packageName: "bird2",
  config: "bird.conf",
  versionArgv: ["--version"],
  argv: (config, folder) => ["-f", "-c", config, "-s", join(folder, "bird.ctl")],
};

const recipes: Record<SpeakerName, Recipe> = {
  ours: {
    port: 1799,
    program: process.execPath,
    packageName: "",
    config: undefined,
    versionArgv: [join(top, "deploy/bin/podwayd.mjs"), "--version"],
    argv: (_, folder) => [...ownArgv, "--api", ownSocket(folder), "--state", join(folder, "state")],
  },
  bird,
  "bird-add-path": { ...bird, config: "bird-add-path.conf" },
  "ours-policy": {
    port: 1798,
    program: process.execPath,
    packageName: "",
    config: "../../../topology/bench-reflector.yaml",
    make: ourPolicies,
    versionArgv: [join(top, "deploy/bin/podwayd.mjs"), "--version"],
    argv: (config, folder) => [ownArgv[0]!, "--topology", config, "--node", "rr", "--api", ownSocket(folder), "--state", join(folder, "state")],
  },
  "ours-restart": {
    port: 1799,
    program: process.execPath,
    packageName: "",
    config: "../../../topology/bench-reflector.yaml",
    make: (text) => `${text}  - { name: frr, address: ${dialled.address}, port: ${dialled.port}, asn: 65000, client: true }\n`,
    versionArgv: [join(top, "deploy/bin/podwayd.mjs"), "--version"],
    argv: (config, folder) => [ownArgv[0]!, "--topology", config, "--node", "rr", "--api", ownSocket(folder), "--state", join(folder, "state")],
  },
  "bird-policy": { ...bird, port: 1795, make: birdPolicies },
  frr: {
    port: 1792,
    program: "/usr/lib/frr/bgpd",
    packageName: "frr",
    config: "frr.conf",
    versionArgv: ["--version"],
    argv: (config, folder) => ["-n", "-Z", "-p", "1792", "-l", "127.0.0.1", "-f", config, "--vty_socket", folder, "-i", join(folder, "frr.pid"), "-P", "0"],
  },
  gobgp: {
    port: 1791,
    program: "/usr/bin/gobgpd",
    packageName: "gobgpd",
    config: "gobgpd.toml",
    versionArgv: ["--version"],
    argv: (config) => ["-f", config, "-t", "toml", "--api-hosts", "127.0.0.1:50951", "--pprof-disable"],
  },
  openbgpd: {
    port: 1793,
    program: "/usr/sbin/bgpd",
    packageName: "openbgpd",
    config: "openbgpd.conf",
    versionArgv: ["-V"],
    argv: (config) => ["-d", "-f", config],
  },
};

export const portOf = (name: SpeakerName): number => recipes[name].port;

/** A sentence if the speaker cannot run here. */
export function missing(name: SpeakerName): string | undefined {
  const { program, packageName } = recipes[name];
  return existsSync(program) ? undefined : `${name} is left out: install the Debian package ${packageName}.`;
}

/** For example `2.0.12`. */
export function versionOf(name: SpeakerName): string {
  const { program, versionArgv } = recipes[name];
  const { stdout, stderr } = spawnSync(program, versionArgv, { encoding: "utf8" });
  return /\d+\.\d+(\.\d+)?/.exec(`${stdout}${stderr}`)?.[0] ?? "unknown";
}

export interface Running {
  /** Its processes: the speaker and its children. */
  readonly pids: readonly number[];
  stop(): Promise<void>;
}

const limits = { startMillis: 20_000, stopMillis: 20_000, settleMillis: 500, pollMillis: 50 } as const;

/** Starts a fresh process and waits until it listens. */
export async function start(name: SpeakerName, folder: string): Promise<Running> {
  const recipe = recipes[name];
  if (await listens(recipe.port)) throw new Error(`port ${recipe.port} of 127.0.0.1 is in use: end what listens there, then run again`);
  const { make = (text) => text } = recipe,
    config = recipe.config === undefined ? "" : join(folder, basename(recipe.config));
  if (recipe.config !== undefined) writeFileSync(config, make(own(recipe.config)).replaceAll("@FOLDER@", folder), { mode: 0o600 });
  if (name === "frr") execFileSync("chown", ["-R", "frr:frr", folder]);
  const child = spawn(recipe.program, recipe.argv(config, folder), { stdio: ["ignore", "ignore", "pipe"] });
  const said: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk.toString()));
  for (const end = performance.now() + limits.startMillis; !(await listens(recipe.port)); await delay(limits.pollMillis))
    if (child.exitCode !== null || performance.now() > end) throw new Error(`${name} did not start: ${said.join("").trim() || "it does not listen"}`);
  await delay(limits.settleMillis);
  return { pids: familyOf(child.pid!), stop: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  const pids = familyOf(child.pid!);
  for (const pid of pids.toReversed()) signal(pid, "SIGTERM");
  for (const end = performance.now() + limits.stopMillis; pids.some(lives) && performance.now() < end;) await delay(limits.pollMillis);
  for (const pid of pids) if (lives(pid)) signal(pid, "SIGKILL");
  while (pids.some(lives)) await delay(limits.pollMillis);
}

function listens(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("connect", () => (socket.destroy(), resolve(true)));
  socket.on("error", () => resolve(false));
  return promise;
}

function familyOf(pid: number): number[] {
  const rows = execFileSync("ps", ["-eo", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n");
  const all = rows.map((row) => row.trim().split(/\s+/).map(Number));
  const family = [pid];
  for (const parent of family) for (const [child, of] of all) if (of === parent) family.push(child!);
  return family;
}
const lives = (pid: number): boolean => signal(pid, 0);
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
