/** The whole product in its labs, run as a person would: real daemons, etcd, BIRD, kernel. Needs root, as every lab does. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run, type Ran } from "#lab/command.ts";
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
