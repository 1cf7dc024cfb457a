import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { directory } from "../api/running.ts";
import { podway } from "./command-line.ts";

const good = `podway: 1
name: q
asn: 64512
pools:
  - { name: routed, cidr: 10.42.0.0/16, nodePrefix: 24, backend: bgp }
nodes:
  rr1: { address: 10.0.0.11, roles: [reflector] }
  n1: { address: 10.0.0.21 }
`;

async function fileOf(text: string): Promise<string> {
  const path = join(await directory(), "q.yaml");
  await writeFile(path, text);
  return path;
}

test("a good file is one line, for a node too", async () => {
  const file = await fileOf(good);
  expect(await podway(["check", file])).toEqual({ code: 0, err: "", out: `${file} is good: 2 nodes, 1 pool, 0 outside peers\n` });
  expect((await podway(["check", file, "--node", "n1"])).out).toMatch(/; n1 keeps 1 session and 1 pool\n$/);
});

test("a bad one is told by file, line and column, and is exit code 1", async () => {
  const file = await fileOf(good.replace("n1: { address", "n1: { adress"));
  const { code, out, err } = await podway(["check", file]);
  expect([code, out]).toEqual([1, ""]);
  expect(err).toContain(`${file}:8:9: nodes.n1.adress: unknown key; did you mean "address"?\n`);
});

test("--json holds the same problems", async () => {
  const file = await fileOf(good.replace("n1: { address", "n1: { adress"));
  const { code, out, err } = await podway(["check", file, "--json"]);
  expect([code, err]).toEqual([1, ""]);
  expect(JSON.parse(out)).toMatchObject({
    file,
    good: false,
    problems: expect.arrayContaining([expect.objectContaining({ line: 8, column: 9, path: "nodes.n1.adress", severity: "error" })]),
  });
  expect(JSON.parse((await podway(["check", await fileOf(good), "--json"])).out)).toMatchObject({ good: true, problems: [] });
});

test("a node that is not declared", async () => {
  const { code, err } = await podway(["check", await fileOf(good), "--node", "n9"]);
  expect(code).toBe(1);
  expect(err).toMatch(/^podway: .*n9/);
});

test("a file that is no YAML, from standard input", async () => {
  const { code, err } = await podway(["check", "-"], { stdin: "nodes: [\n" });
  expect(code).toBe(1);
  expect(err).toMatch(/^\(standard input\):\d+:\d+: /);
});

test("the manual and the schema are printed whole", async () => {
  expect((await podway(["manual"])).out).toMatch(/^# .*\n[^]*nodePrefix/);
  expect(JSON.parse((await podway(["schema"])).out)).toMatchObject({ properties: { podway: {}, nodes: {} } });
});
