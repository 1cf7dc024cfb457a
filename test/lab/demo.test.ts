/** The whole product in its labs, run as a person would: real daemons, etcd, BIRD, kernel. Needs root, as every lab does. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { awaitFact, run, type Ran } from "#lab/command.ts";
import { listNamespaces } from "#lab/netns.ts";

const source = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "podway-demo-"));
  copyFileSync(source("topology/bird-tor.conf"), join(directory, "bird-tor.conf"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const env = (): NodeJS.ProcessEnv => ({ ...process.env, PODWAY_LAB_DIR: join(directory, "labs") });
const program = (entry: string, ...args: string[]): Promise<Ran> => run([process.execPath, source(entry), ...args], { millis: 110_000, env: env() });

/** A copy of a lab under a name of the test's own, changed by `change`. */
function copyOf(lab: string, name: string, change: (text: string) => string = (text) => text): string {
  const text = readFileSync(source(`topology/${lab}.yaml`), "utf8").replace(`name: ${lab}`, `name: ${name}`);
  const file = join(directory, `${name}.yaml`);
  writeFileSync(file, change(text));
  return file;
}
async function nothingLeft(name: string): Promise<void> {
  expect([...(await listNamespaces())].filter((one) => one.startsWith(`pw-${name}-`))).toEqual([]);
}

test("overlay-only comes up, shows what it must across layer 3, and leaves nothing", { timeout: 120_000 }, async () => {
  const file = copyOf("overlay-only", "t-overlay");
  const up = await program("src/podway.ts", "lab", "up", file, "--check");
  try {
    expect(up.stderr).toMatch(/lab t-overlay: (\d+) of \1 expectations seen/);
    expect(up.code).toBe(0);
    const rules = await program("src/podway.ts", "lab", "exec", "n3", "--lab", "t-overlay", "--", "ip", "route", "show", "proto", "117");
    expect(rules.stdout).toMatch(/^10\.45\.\d+\.0\/24 via .* dev pw-vx45/m);
    expect((await program("src/podway.ts", "lab", "exec", "p1", "--lab", "t-overlay", "--", "sh", "-c", "exit 7")).code).toBe(7);
    const nowhere = await program("src/podway.ts", "lab", "exec", "p9", "--lab", "t-overlay", "--", "true");
    expect([nowhere.code, nowhere.stderr]).toEqual([1, expect.stringMatching(/^podway: lab t-overlay has no machine "p9"; it has n1, n2, n3, /)]);
    const again = await program("src/podway.ts", "lab", "restart", "n1", "--kill", "--lab", "t-overlay");
    expect(again.code).toBe(0);
    const list = JSON.parse((await program("src/podway.ts", "lab", "list", "--json")).stdout);
    expect(list).toMatchObject([{ lab: "t-overlay", state: "up", topology: file }]);
    const n1 = list[0].machines.find((machine: { name: string }) => machine.name === "n1");
    expect(n1.processes).toMatchObject([{ name: "podwayd", running: true }]);
  } finally {
    await program("src/podway.ts", "lab", "down", file);
  }
  await nothingLeft("t-overlay");
});

test("the demo of a broken lab says what is missing, exits with 1 and leaves nothing", { timeout: 120_000 }, async () => {
  const file = copyOf("quickstart", "t-broken", (text) => text.replace(/^.*"tor:eth1", "sw0:p2".*\n/m, "").replace("within: 45", "within: 8"));
  const demo = await program("src/lab/demo.ts", file);
  expect(demo.code).toBe(1);
  expect(demo.stderr).toMatch(/^not seen: n1's session with tor is Established: /m);
  expect(demo.stderr).toMatch(/^not seen: n1-routed pings server over IPv4: 10\.99\.0\.10: no answer within 1 s$/m);
  expect(demo.stderr).not.toMatch(/^not seen: n1-routed pings n2-routed/m);
  expect(demo.stdout).toMatch(/^6 of 12 sessions, \d+ of \d+ pings/m);
  await nothingLeft("t-broken");
});

test("a demo that is interrupted takes down what it has made", { timeout: 60_000 }, async () => {
  const file = copyOf("quickstart", "t-stopped");
  const demo = spawn(process.execPath, [source("src/lab/demo.ts"), file], { env: env(), stdio: "ignore" });
  const ended = once(demo, "exit");
  const running = await awaitFact(async () => readText(join(directory, "labs", "t-stopped", "n3", "podwayd.log")), { millis: 30_000, everyMillis: 20 });
  expect(running).toBeDefined();
  demo.kill("SIGINT");
  expect(await ended).toEqual([1, null]);
  await nothingLeft("t-stopped");
  expect(existsSync(join(directory, "labs", "t-stopped"))).toBe(false);
});

function readText(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}
