/** Real namespaces, a real etcd, two real BIRDs; needs root, as every lab does. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { checkLab } from "#lab/check.ts";
import { awaitFact } from "#lab/command.ts";
import { downLab, listNamespaces, upLab } from "#lab/netns.ts";
import { runs } from "#lab/process-identity.ts";
import { startMachine, stopMachine } from "#lab/processes.ts";
import { type LabRecord, readRecord, recordedMachine } from "#lab/record.ts";
import { planPlain } from "./plain-lab.ts";

const foreign = "t-lab-foreign";
const name = "t-netns";
const quiet = { say: (): void => undefined };
const ip = (...args: string[]): string => execFileSync("ip", args, { encoding: "utf8" });
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "podway-lab-"));
  // FRR's daemons walk through it as another user.
  chmodSync(directory, 0o755);
  process.env["PODWAY_LAB_DIR"] = directory;
  ip("netns", "add", foreign);
  ip("-n", foreign, "link", "add", "foreign0", "type", "bridge");
});
afterEach(async () => {
  const left = readRecord(name);
  if (left) await downLab(left, quiet);
});
afterAll(() => {
  ip("netns", "del", foreign);
  rmSync(directory, { recursive: true });
});

const ours = async (): Promise<string[]> => [...(await listNamespaces())].filter((one) => one.startsWith(`pw-${name}-`)).sort();
const cleanAway = async (record: LabRecord): Promise<void> => {
  expect(await ours()).toEqual([]);
  expect(record.processes.filter(runs)).toEqual([]);
  expect(readdirSync(directory)).toEqual([]);
  expect(ip("-n", foreign, "-br", "link")).toContain("foreign0");
};

test("a lab comes up, shows what it must, survives the restart of a router, and leaves nothing", { timeout: 60_000 }, async () => {
  const plan = planPlain(name);
  const record = await upLab(plan, quiet);
  expect(await ours()).toEqual(plan.machines.map((machine) => machine.namespace).sort());
  expect((await checkLab(record, plan, quiet)).missing).toEqual([]);

  const b1 = recordedMachine(record, "b1");
  const before = record.processes.find((one) => one.machine === "b1")!.pid;
  await stopMachine(record, b1, "SIGKILL");
  await startMachine(record, b1);
  expect(record.processes.filter((one) => one.machine === "b1").map((one) => one.pid)).not.toEqual([before]);
  const report = await checkLab(record, plan, quiet);
  expect(report.missing).toEqual([]);
  const pings = report.findings.filter((finding) => finding.expectation.kind === "ping");
  expect(pings).toHaveLength(7);
  for (const ping of pings) expect(ping.millis).toBeGreaterThan(0);

  await downLab(readRecord(name)!, quiet);
  await cleanAway(record);
});

test.skipIf(!existsSync("/usr/lib/frr/bgpd"))("FRR takes the place of a BIRD, and is asked in its own words", { timeout: 60_000 }, async () => {
  const plan = planPlain(name, (lab) => {
    lab.nodes!["b2"] = { kind: "frr", config: "frr-b2.conf" };
    lab.expect!.sessions = [
      { node: "b1", peers: ["b2"] },
      { node: "b2", peers: ["10.91.0.11"] },
    ];
    // FRR prefers the link-local one of two IPv6 next hops (RFC 2545 §3).
    lab.expect!.routes!.find((route) => route.to === "fd91:1::/64")!.via = "eth1";
  });
  const record = await upLab(plan, quiet);
  expect(record.processes.filter((one) => one.machine === "b2").map((one) => one.name)).toEqual(["zebra", "staticd", "bgpd"]);
  expect((await checkLab(record, plan, quiet)).missing).toEqual([]);
  await downLab(record, quiet);
  await cleanAway(record);
});

test("a lab with a link left out says exactly what is missing", { timeout: 60_000 }, async () => {
  const broken = planPlain(name, (lab) => {
    lab.links = lab.links!.filter((link) => !link.endpoints.includes("b2:eth1"));
    lab.expect!.within = 4;
  });
  const record = await upLab(broken, quiet);
  const texts = (await checkLab(record, broken, quiet)).missing.map((finding) => finding.text);
  expect(texts).toContainEqual(expect.stringMatching(/^not seen: b1's session with b2 is Established: BIRD says "b2 BGP .*"$/));
  expect(texts).toContain("not seen: b2 has a route to 10.91.1.0/24 via 10.91.0.11: there is no route to 10.91.1.0/24");
  expect(texts).toContain("not seen: h1 pings h2 over IPv4: 10.91.2.10: no answer within 1 s");
  expect(texts.some((text) => text.includes("h3 pings"))).toBe(false);
});

test("a route that must not be there is named when it is", { timeout: 60_000 }, async () => {
  const plan = planPlain(name, (lab) => {
    lab.expect = { within: 3, routes: [{ on: "h3", to: "0.0.0.0/0", absent: true }] };
  });
  const record = await upLab(plan, quiet);
  const report = await checkLab(record, plan, quiet);
  expect(report.missing.map((finding) => finding.text)).toEqual(["not seen: h3 has no route to 0.0.0.0/0: there is one, 0.0.0.0/0 goes via 10.91.3.1, eth1"]);
});

test("a command that fails brings the lab to a halt with its words, and what was made can be taken down", async () => {
  const plan = planPlain(name, (lab) => {
    lab.nodes!["r1"]!.exec = ["ip link set eth7 up"];
  });
  await expect(upLab(plan, quiet)).rejects.toThrow(/^r1: exec "ip link set eth7 up": ip said "Cannot find device "eth7""$/);
  const record = readRecord(name)!;
  await downLab(record, quiet);
  await cleanAway(record);
});

test("a namespace that stands in the way is named and left alone", async () => {
  const taken = `pw-${name}-r1`;
  ip("netns", "add", taken);
  try {
    await expect(upLab(planPlain(name), quiet)).rejects.toThrow(`there is a namespace ${taken} that no lab has made; remove it with: ip netns del ${taken}`);
    expect(await ours()).toEqual([taken]);
    expect(existsSync(join(directory, name))).toBe(false);
  } finally {
    ip("netns", "del", taken);
  }
});

describe("lab up killed half-way", () => {
  /** What has just happened when the axe falls. */
  const moments: readonly (readonly [string, (record: LabRecord) => Promise<boolean>])[] = [
    ["with the record written", async () => true],
    ["with namespaces made", async () => (await ours()).length >= 8],
    ["with a process started", async (record) => record.processes.length >= 1],
    ["with every process started", async (record) => record.processes.length >= 3],
  ];
  test.each(moments)("%s: lab down removes exactly what the record lists", { timeout: 60_000 }, async (_moment, reached) => {
    const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve("./plain-lab.ts")), name], { stdio: "ignore" });
    const ended = once(child, "exit");
    const seen = await awaitFact(
      async () => {
        const record = readRecord(name);
        return record && (await reached(record)) ? true : undefined;
      },
      { millis: 20_000, everyMillis: 2 },
    );
    expect(seen).toBe(true);
    child.kill("SIGKILL");
    await ended;
    const record = readRecord(name)!;
    expect(record.starting?.pid).toBe(child.pid);
    await downLab(record, quiet);
    await cleanAway(record);
  });

  test("while it still runs, lab down refuses and says what to stop", { timeout: 60_000 }, async () => {
    const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve("./plain-lab.ts")), name], { stdio: "ignore" });
    const ended = once(child, "exit");
    await awaitFact(async () => readRecord(name), { millis: 20_000, everyMillis: 2 });
    await expect(downLab(readRecord(name)!, quiet)).rejects.toThrow(`lab ${name} is being started by process ${child.pid}; stop that first`);
    child.kill("SIGKILL");
    await ended;
  });
});
