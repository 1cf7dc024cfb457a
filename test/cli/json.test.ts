import { expect, test } from "vitest";
import { fixedControl, peers, plan, status } from "../api/fixed-control.ts";
import { ask, running } from "../api/running.ts";
import { podway } from "./command-line.ts";

test.each([
  ["/v1/status", ["status"]],
  ["/v1/cluster", ["status", "--cluster"]],
  ["/v1/peers", ["peers"]],
  ["/v1/peers?name=rr1", ["peers", "rr1"]],
  ["/v1/peers/errors?name=tor-a", ["peers", "errors", "tor-a"]],
  ["/v1/routes", ["routes"]],
  ["/v1/routes?family=ipv6", ["routes", "--family", "ipv6"]],
  ["/v1/leases", ["leases"]],
  ["/v1/why?subject=10.42.8.0/24", ["why", "10.42.8.0/24"]],
  ["/v1/kernel", ["kernel"]],
  ["/v1/document", ["document"]],
  ["/v1/history", ["history"]],
])("--json is the body of GET %s, with two spaces an indent", async (path, words) => {
  const { socket } = await running(fixedControl());
  const { code, out, err } = await podway(["--api", socket, ...words, "--json"]);
  expect([code, err]).toEqual([0, ""]);
  expect(out).toBe(`${JSON.stringify(JSON.parse((await ask(socket, "GET", path)).text), null, 2)}\n`);
});

test("plan and apply print the body of their answer", async () => {
  const { socket } = await running(fixedControl());
  const json = async (verb: string): Promise<unknown> => JSON.parse((await podway([verb, "-", "--json", "--api", socket], { stdin: "podway: 1\n" })).out);
  expect(await json("plan")).toEqual(plan);
  expect(await json("apply")).toEqual({ ...plan, revision: "18" });
});

test("every option of routes reaches the query", async () => {
  const seen: unknown[] = [];
  const control = fixedControl();
  const { socket } = await running({ ...control, routes: (query) => (seen.push(query), control.routes({})) });
  await podway(["routes", "10.42.0.0/16", "--family", "ipv4", "--received", "rr1", "--all", "--limit", "5", "--api", socket]);
  await podway(["routes", "--sent", "tor-a", "--api", socket]);
  expect(seen).toEqual([
    { prefix: "10.42.0.0/16", family: "ipv4", receivedFrom: "rr1", all: true, limit: 5 },
    { sentTo: "tor-a", limit: 1000 },
  ]);
});

test("global options stand before the verb, after it, or in the environment", async () => {
  const { socket } = await running(fixedControl());
  const ways: readonly (readonly [readonly string[], Readonly<Record<string, string>>])[] = [
    [["--api", socket, "--json", "status"], {}],
    [["status", "--json", "--api", socket], {}],
    [["--json", "status", `--api=${socket}`], {}],
    [["status", "--json"], { PODWAY_API: socket }],
    [["status", "--json", "--api", socket], { PODWAY_API: "/nowhere" }],
  ];
  for (const [words, env] of ways) expect(JSON.parse((await podway(words, { env })).out)).toEqual(status);
});

test("version is the package's, as text and as JSON", async () => {
  const { out } = await podway(["version"]);
  expect(out).toMatch(/^podway \d+\.\d+\.\d+\n$/);
  expect(JSON.parse((await podway(["--json", "version"])).out)).toEqual({ version: out.slice(7, -1) });
  expect((await podway(["--version"])).out).toBe(out.slice(7));
});

test("JSON cannot steer a terminal either, and is the same value", async () => {
  const view = [{ ...peers[0]!, reason: "\u001b[2J\u009b2J\u202egnp" }];
  const { socket } = await running(fixedControl({ peers: () => view }));
  const { out } = await podway(["peers", "--json", "--api", socket]);
  expect(out).toContain(String.raw`"\u001b[2J\u009b2J\u202egnp"`);
  expect(JSON.parse(out)).toEqual(view);
});

test("each verb of an operator is its POST, with what was said as parameters", async () => {
  const seen: unknown[] = [];
  const { operator } = fixedControl();
  const heard = Object.fromEntries(
    Object.entries(operator).map(([verb, act]) => [verb, (request: object) => (seen.push([verb, request]), (act as (given: object) => unknown)(request))]),
  );
  const { socket } = await running(fixedControl({ operator: heard as unknown as typeof operator }));
  const lines = [
    ["confirm"],
    ["peers", "reset", "tor-a", "--hard", "--text", "new card"],
    ["peers", "refresh", "tor-a"],
    ["peers", "refresh", "tor-a", "--out"],
    ["peers", "shutdown", "tor-a"],
    ["peers", "enable", "tor-a"],
    ["undrain"],
    ["evict", "n7", "--force"],
  ];
  for (const words of lines) expect((await podway([...words, "--api", socket])).code).toBe(0);
  expect((await podway(["drain", "--api", socket])).code).toBe(2);
  await podway(["drain", "--self", "--text", "memory", "--api", socket], { env: { SUDO_USER: "alice" } });
  await podway(["rollback", "17", "--api", socket], { env: { SUDO_USER: "alice" } });
  expect(seen).toEqual([
    ["confirm", undefined],
    ["resetPeer", { name: "tor-a", hard: true, text: "new card" }],
    ["refreshPeer", { name: "tor-a", direction: "in" }],
    ["refreshPeer", { name: "tor-a", direction: "out" }],
    ["shutdownPeer", { name: "tor-a", text: "" }],
    ["enablePeer", { name: "tor-a" }],
    ["undrain", {}],
    ["evict", { node: "n7", force: true }],
    ["drain", { force: false, text: "memory", by: "alice" }],
    ["rollback", { by: "alice", revision: "17" }],
  ]);
});
