import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const top = fileURLToPath(new URL("../..", import.meta.url));
const unit = readFileSync(join(top, "deploy/podwayd.service"), "utf8");
const hasAnalyze = spawnSync("systemd-analyze", ["--version"]).error === undefined;

/** The highest exposure that `systemd-analyze security` may see, in tenths (10.0 is everything open). */
const mostExposed = 30;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "podway-units-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Writes the unit with the paths of this tree, so that ExecStart exists; returns its path. */
function installed(text = unit): string {
  const path = join(folder, "podwayd.service");
  writeFileSync(path, text.replaceAll("/opt/podway/", top));
  return path;
}

describe.skipIf(!hasAnalyze)("podwayd.service", () => {
  const verify = (path: string): { readonly status: number | null; readonly said: string } => {
    const done = spawnSync("systemd-analyze", ["verify", "--man=no", path], { encoding: "utf8" });
    return {
      status: done.status,
      said: done.stderr
        .split("\n")
        .filter((line) => line.includes("podway"))
        .join("\n"),
    };
  };

  test("is accepted by systemd without a word", () => {
    expect(verify(installed())).toEqual({ status: 0, said: "" });
  });

  test("is refused with a key that does not exist", () => {
    expect(verify(installed(unit.replace("WatchdogSec=", "WatchdogSeconds="))).said).toContain("WatchdogSeconds");
  });

  test("leaves little open", () => {
    const done = spawnSync("systemd-analyze", ["security", "--offline=true", `--threshold=${mostExposed}`, installed()], { encoding: "utf8" });
    expect([
      done.status,
      done.stdout
        .split("\n")
        .filter((line) => line.includes("Overall"))
        .join(),
    ]).toEqual([0, expect.stringContaining("Overall exposure level")]);
  });
});

test("the unit starts the program that package.json names, under Node 24, and lets V8 live", () => {
  const { bin } = JSON.parse(readFileSync(join(top, "package.json"), "utf8")) as { bin: Record<string, string> };
  expect(unit).toContain(`ExecStart=/opt/podway/node_modules/.bin/node /opt/podway/${bin.podwayd} `);
  expect(unit).toMatch(/^SystemCallFilter=.*@pkey/m);
  expect(unit).not.toMatch(/^MemoryDenyWriteExecute=yes/m);
});
