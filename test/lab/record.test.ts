import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { identify, runs } from "#lab/process-identity.ts";
import { claimRecord, labHome, type LabRecord, listRecords, newRecord, readRecord, saveRecord } from "#lab/record.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "podway-record-"));
  process.env["PODWAY_LAB_DIR"] = directory;
});
afterEach(() => {
  delete process.env["PODWAY_LAB_DIR"];
  rmSync(directory, { recursive: true });
});

const record = (lab: string): LabRecord => newRecord(lab, { topology: "/labs/a.yaml", home: labHome(lab) }, []);

test("a lab's name is claimed once; the second claim says how to free it", () => {
  claimRecord(record("a"));
  expect(() => claimRecord(record("a"))).toThrow("lab a is there already; remove it with: podway lab down a");
  claimRecord(record("b"));
  expect(listRecords().map((one) => one.lab)).toEqual(["a", "b"]);
});

test("what is saved is read back, and a save leaves one file", () => {
  const one = record("a");
  claimRecord(one);
  one.starting = undefined;
  one.processes.push({ ...identify(process.pid)!, machine: "m", name: "p", namespace: "pw-a-m", argv: ["x"], env: {}, log: "/l" });
  saveRecord(one);
  expect(readRecord("a")).toEqual(JSON.parse(JSON.stringify(one)));
  expect(readdirSync(labHome("a"))).toEqual(["record.json"]);
});

test("a record of another version is refused with a sentence", () => {
  claimRecord({ ...record("a"), schema: 2 as never });
  expect(() => readRecord("a")).toThrow(/written by another version of Podway \(schema 2\)/);
});

test("a process is known by pid, start and boot: one field off, and it is another", async () => {
  const child = spawn("sleep", ["60"]);
  const identity = identify(child.pid!)!;
  expect(runs(identity)).toBe(true);
  expect(runs({ ...identity, start: identity.start - 1 })).toBe(false);
  expect(runs({ ...identity, boot: "another" })).toBe(false);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(runs(identity)).toBe(false);
});

test("without labs there is nothing to list and nothing to read", () => {
  rmSync(directory, { recursive: true });
  expect(listRecords()).toEqual([]);
  expect(readRecord("a")).toBeUndefined();
  process.env["PODWAY_LAB_DIR"] = directory = mkdtempSync(join(tmpdir(), "podway-record-"));
});
