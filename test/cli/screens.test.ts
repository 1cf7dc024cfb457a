/** What a person sees, word for word: `vitest -u` rewrites the golden texts, and the difference is to be read. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ok } from "#base/fault.ts";
import { fixedControl, peers, status } from "../api/fixed-control.ts";
import { directory, running } from "../api/running.ts";
import { podway } from "./command-line.ts";

const shows: readonly (readonly [name: string, words: readonly string[]])[] = [
  ["status", ["status"]],
  ["status-cluster", ["status", "--cluster"]],
  ["peers", ["peers"]],
  ["peer", ["peers", "tor-a"]],
  ["peer-errors", ["peers", "errors", "tor-a"]],
  ["routes", ["routes"]],
  ["routes-few", ["routes", "--limit", "1"]],
  ["leases", ["leases"]],
  ["why", ["why", "10.42.8.0/24"]],
  ["kernel", ["kernel"]],
  ["document", ["document"]],
  ["history", ["history"]],
  ["shutdown", ["peers", "shutdown", "tor-a", "--text", "new optics"]],
];

describe.each([80, 120])("%i columns", (columns) => {
  test.each(shows)("%s", async (name, words) => {
    const { socket } = await running(fixedControl());
    const { code, out, err } = await podway([...words, "--api", socket], { env: { COLUMNS: String(columns), NO_COLOR: "1" } });
    expect([code, err]).toEqual([0, ""]);
    expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(columns);
    await expect(out).toMatchFileSnapshot(`golden/${name}-${columns}.txt`);
  });
});

test("plan and apply name each change and its effect", async () => {
  const { socket } = await running(fixedControl());
  const file = join(await directory(), "q.yaml");
  await writeFile(file, "podway: 1\n");
  const plan = await podway(["plan", file, "--api", socket], { env: { COLUMNS: "80" } });
  await expect(plan.out).toMatchFileSnapshot("golden/plan-80.txt");
  const apply = await podway(["apply", file, "--api", socket], { env: { COLUMNS: "80" } });
  expect(apply.out).toBe(`${plan.out}applied as revision 18\n`);
  expect((await podway(["apply", "-", "--api", socket, "--yes"], { stdin: "podway: 1\n" })).out).toContain("applied as revision 18");
});

test("into a pipe of unknown width nothing is cut", async () => {
  const { socket } = await running(fixedControl());
  expect((await podway(["routes", "--api", socket])).out).toContain("65001 65010 65020  64512:100    -\n");
});

test("a node with nothing to show says so", async () => {
  const empty = { ...status, ready: true, reasons: [], warnings: [], leases: [], peers: [], kernel: { ...status.kernel, enabled: false } };
  const control = fixedControl({
    status: () => empty,
    leases: () => [],
    peers: () => [],
    routes: async () => ok({ total: 0, routes: [] }),
    kernel: () => ({ tables: [] }),
    plan: async () => ok({ changes: [] }),
  });
  const { socket } = await running(control);
  const out = async (...words: readonly string[]): Promise<string> => (await podway([...words, "--api", socket])).out;
  await expect(await out("status")).toMatchFileSnapshot("golden/status-empty.txt");
  expect(await out("leases")).toBe("no leases\n");
  expect(await out("peers")).toBe("no peers\n");
  expect(await out("routes")).toBe("no routes\n");
  expect(await out("kernel")).toBe("the kernel holds nothing of podway, and nothing is wanted there\n");
  expect(await out("plan", "/dev/null")).toBe("nothing would change\n");
});

test("a reflector with a thousand peers still fits a screen, and those that are not well come first", async () => {
  const many = Array.from({ length: 1000 }, (_, i) => ({ ...peers[i === 777 ? 1 : 0]!, name: `n${i}` }));
  const { socket } = await running(fixedControl({ status: () => ({ ...status, peers: many }), peers: () => many }));
  const lines = (await podway(["status", "--api", socket])).out.split("\n");
  expect(lines.length).toBeLessThan(50);
  expect(lines[lines.indexOf("peers") + 2]).toMatch(/^ {2}n777 /);
  expect(lines).toContain("  and 980 more, 999 of all 1000 established: podway peers lists them");
  expect((await podway(["peers", "--api", socket])).out.split("\n")).toHaveLength(1003);
});

test("what strangers wrote cannot steer the terminal", async () => {
  const evil = "bye\u001b]0;owned\u0007\u001b[2J\u202egnp\nready";
  const { socket } = await running(fixedControl({ peers: () => [{ ...peers[1]!, reason: evil, name: evil }] }));
  for (const words of [["peers"], ["peers", evil]]) {
    const { out } = await podway([...words, "--api", socket]);
    expect(out).toContain("bye\u{FFFD}]0;owned\u{FFFD}\u{FFFD}[2J\u{FFFD}gnp ready");
    expect(out.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  }
});
