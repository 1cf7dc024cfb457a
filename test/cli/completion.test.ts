import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { podway } from "./command-line.ts";

test("bash completes verbs, verbs below verbs, and options", async () => {
  const { code, out } = await podway(["completion", "bash"]);
  expect(code).toBe(0);
  const complete = (...words: readonly string[]): string[] => {
    const asked = `${out}\nCOMP_WORDS=(podway "$@"); COMP_CWORD=$#; _podway; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const ran = spawnSync("bash", ["-uc", asked, "bash", ...words], { encoding: "utf8" });
    expect(ran.stderr).toBe("");
    return ran.stdout.trim().split("\n");
  };
  expect(complete("pe")).toEqual(["peers"]);
  expect(complete("routes", "--fa")).toEqual(["--family"]);
  expect(complete("--json", "lab", "u")).toEqual(["up"]);
  expect(complete("lab", "up", "--c")).toEqual(["--check"]);
  expect(complete("status", "--")).toEqual(expect.arrayContaining(["--cluster", "--watch", "--api", "--json"]));
  expect(complete("apply", "file")).toEqual([""]);
  expect(complete("peers", "re")).toEqual(["reset", "refresh"]);
  expect(complete("apply", "--conf")).toEqual(["--confirm"]);
  expect(complete("doc")).toEqual(["document", "doctor"]);
});
