import { connect } from "node:net";
import fc from "fast-check";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { limits } from "#api/limits.ts";
import { callerFault, failed, FaultError, worldFault } from "#base/fault.ts";
import type { ApplyTerms } from "#daemon/control.ts";
import { cluster, document, fixedControl, kernel, leases, peerErrors, peers, plan, routes, status } from "./fixed-control.ts";
import { ask, jsonOf, running, sendRaw, until } from "./running.ts";

const proposal = (text: string): string => JSON.stringify({ text, file: "topology/q.yaml" });

describe("each verb answers with its view", () => {
  test.each([
    ["/v1/status", status],
    ["/v1/cluster", cluster],
    ["/v1/peers", peers],
    ["/v1/peers?name=tor-a", [peers[1]]],
    ["/v1/peers?name=10.0.0.11", [peers[0]]],
    ["/v1/peers/errors?name=tor-a", peerErrors],
    ["/v1/routes", { total: 3, routes }],
    ["/v1/routes?family=ipv6", { total: 1, routes: [routes[1]] }],
    ["/v1/routes?limit=1&all=true", { total: 3, routes: [routes[0]] }],
    ["/v1/leases", leases],
    ["/v1/kernel", kernel],
    ["/v1/document", document],
  ])("GET %s", async (path, view) => {
    const { socket } = await running(fixedControl());
    const reply = await ask(socket, "GET", path);
    expect(reply.status).toBe(200);
    expect(reply.headers["content-type"]).toBe("application/json");
    expect(jsonOf(reply)).toEqual(view);
  });

  test("a bigint leaves as its decimal digits", async () => {
    const { socket } = await running(fixedControl());
    expect(jsonOf(await ask(socket, "GET", "/v1/why?subject=10.42.8.0%2F24"))).toMatchObject({ facts: { revision: "18446744073709551615" } });
  });

  test("POST plan and apply hand over the text and the name of the file", async () => {
    const seen: string[] = [],
      terms: ApplyTerms[] = [];
    const control = fixedControl();
    const { socket } = await running({
      ...control,
      apply: (text, file, given) => (seen.push(text, file), terms.push(given), control.apply(text, file, given)),
    });
    expect(jsonOf(await ask(socket, "POST", "/v1/plan", proposal("podway: 1")))).toEqual(plan);
    expect(jsonOf(await ask(socket, "POST", "/v1/apply", proposal("podway: 1\n# é")))).toEqual({ ...plan, revision: "18" });
    await ask(socket, "POST", "/v1/apply?confirmSeconds=300&by=alice", proposal("podway: 1"));
    expect(seen.slice(0, 2)).toEqual(["podway: 1\n# é", "topology/q.yaml"]);
    expect(terms).toEqual([{ by: "unknown" }, { by: "alice", confirmSeconds: 300 }]);
    expect((await ask(socket, "POST", "/v1/apply?confirmSeconds=0", proposal("podway: 1"))).status).toBe(400);
  });

  test("every parameter of routes reaches the query under its own name", async () => {
    const seen: unknown[] = [];
    const control = fixedControl();
    const { socket } = await running({ ...control, routes: (query) => (seen.push(query), control.routes({})) });
    await ask(socket, "GET", "/v1/routes?prefix=10.0.0.0/8&family=ipv4&receivedFrom=rr1&sentTo=tor-a&all=1&limit=7");
    await ask(socket, "GET", "/v1/routes");
    expect(seen).toEqual([
      { prefix: "10.0.0.0/8", family: "ipv4", receivedFrom: "rr1", sentTo: "tor-a", all: true, limit: 7 },
      { limit: limits.routesDefault },
    ]);
  });

  test("metrics are text", async () => {
    const { socket } = await running(fixedControl());
    const reply = await ask(socket, "GET", "/metrics");
    expect(reply.headers["content-type"]).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(reply.text).toContain("podway_up 1\n");
  });
});

describe("a fault is a status and one sentence", () => {
  test.each([
    ["GET", "/v1/statuses", 404, "api.no-such-path", /nothing at \/v1\/statuses/],
    ["GET", "/", 404, "api.no-such-path", /openapi\.json/],
    ["DELETE", "/v1/status", 405, "api.wrong-method", /takes GET, not DELETE/],
    ["HEAD", "/v1/events", 405, "", /^$/],
    ["GET", "/v1/apply", 405, "api.wrong-method", /takes POST/],
    ["GET", "/v1/peers?name=nobody", 404, "api.no-such-peer", /no peer named "nobody"/],
    ["GET", "/v1/routes?receivedFrom=nobody", 404, "api.no-such-peer", /nobody/],
    ["GET", "/v1/routes?familie=ipv4", 400, "api.bad-request", /knows no parameter "familie": it takes prefix, family/],
    ["GET", "/v1/status?x=1", 400, "api.bad-request", /it takes none/],
    ["GET", "/v1/routes?family=ipv5", 400, "api.bad-request", /must be ipv4 or ipv6/],
    ["GET", "/v1/routes?limit=0", 400, "api.bad-request", /a number from 1 to/],
    ["GET", "/v1/routes?limit=1e3", 400, "api.bad-request", /a number from 1 to/],
    ["GET", "/v1/routes?all=maybe", 400, "api.bad-request", /true or false/],
    ["GET", "/v1/routes?limit=1&limit=2", 400, "api.bad-request", /given 2 times/],
    ["GET", "/v1/routes?prefix=", 400, "api.bad-request", /prefix is empty/],
    ["GET", `/v1/routes?prefix=${"1".repeat(300)}`, 400, "api.bad-request", /longer than 256/],
    ["GET", "/v1/why", 400, "api.bad-request", /needs subject/],
    ["GET", "/v1/why?subject=x", 404, "api.no-such-subject", /nothing is known of x/],
    ["GET", "/v1/routes?__proto__=1", 400, "api.bad-request", /knows no parameter/],
  ])("%s %s is %i %s", async (method, path, expected, code, text) => {
    const { socket } = await running(fixedControl());
    const reply = await ask(socket, method, path);
    expect(reply.status).toBe(expected);
    if (method === "HEAD") return;
    expect(jsonOf(reply)).toEqual({ error: { code, text: expect.stringMatching(text) } });
  });

  test.each([["not json"], ["[]"], ["null"], ['{"text":1,"file":"x"}'], ['{"text":"x"}'], ['{"text":"x","file":"y","more":1}'], [""]])(
    "a body of %s is refused",
    async (body) => {
      const { socket } = await running(fixedControl());
      const reply = await ask(socket, "POST", "/v1/plan", body);
      expect([reply.status, jsonOf(reply)]).toEqual([400, { error: { code: "api.bad-request", text: expect.stringContaining("body") } }]);
    },
  );

  test("a bad document is 422 with its place", async () => {
    const { socket } = await running(fixedControl());
    const reply = await ask(socket, "POST", "/v1/plan", proposal("nodes: { n1: { adress: x } }"));
    expect(reply.status).toBe(422);
    expect(reply.text).toContain("topology/q.yaml:3:5");
  });

  test("the world's fault is 503 with its own sentence", async () => {
    const away = worldFault("store.unreachable", "etcd does not answer.");
    const { socket, notes } = await running(fixedControl({ apply: () => Promise.reject(new FaultError(away)) }));
    const reply = await ask(socket, "POST", "/v1/apply", proposal("podway: 1"));
    expect([reply.status, jsonOf(reply)]).toEqual([503, { error: { code: "store.unreachable", text: away.text } }]);
    expect(notes.filter((note) => note.level === "error")).toEqual([]);
  });

  test.each([
    [409, "config.changed-meanwhile"],
    [409, "config.no-store"],
    [422, "config.refused"],
    [503, "config.store-away"],
    [400, "never.heard-of"],
  ])("status %i is that of %s", async (expected, code) => {
    const { socket } = await running(fixedControl({ apply: async () => failed(callerFault(code, "No.")) }));
    const reply = await ask(socket, "POST", "/v1/apply", proposal("podway: 1"));
    expect([reply.status, jsonOf(reply)]).toEqual([expected, { error: { code, text: "No." } }]);
  });

  test("an apply that never ends is answered all the same", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    const asked = Promise.withResolvers<void>();
    const { socket } = await running(fixedControl({ apply: () => (asked.resolve(), new Promise(() => undefined)) }));
    const reply = ask(socket, "POST", "/v1/apply", proposal("podway: 1"));
    await asked.promise;
    await vi.advanceTimersByTimeAsync(limits.answerMillis);
    expect(jsonOf(await reply)).toMatchObject({ error: { code: "api.no-answer", text: expect.stringContaining("30 s") } });
    vi.useRealTimers();
  });

  test("a bug of ours is 500 without its details, a note with them, and the next request is answered", async () => {
    const { socket, notes } = await running(
      fixedControl({
        status: () => {
          throw new TypeError("secret internals");
        },
        metrics: () => Promise.reject(new RangeError("more internals")),
      }),
    );
    const replies = [await ask(socket, "GET", "/v1/status"), await ask(socket, "GET", "/metrics")];
    for (const reply of replies) expect([reply.status, jsonOf(reply)]).toMatchObject([500, { error: { code: "api.broken" } }]);
    expect(replies.map((reply) => reply.text).join()).not.toContain("internals");
    expect(notes.filter((note) => note.event === "api.broken").map((note) => note.text)).toEqual([
      expect.stringContaining("GET /v1/status failed by a fault of podwayd: secret internals"),
      expect.stringContaining("GET /metrics failed by a fault of podwayd: more internals"),
    ]);
    expect((await ask(socket, "GET", "/v1/leases")).status).toBe(200);
  });
});

const pieces = [
  "GET /v1/status HTTP/1.1\r\n",
  "GET http://elsewhere/v1/status HTTP/1.1\r\n",
  "POST /v1/plan HTTP/1.1\r\n",
  "OPTIONS * HTTP/1.1\r\n",
  "CONNECT a:1 HTTP/1.1\r\n",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "Host: x\r\n",
  "Connection: close\r\n",
  "Content-Length: 5\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Upgrade: websocket\r\nConnection: Upgrade\r\n",
  "Expect: 100-continue\r\n",
  "\r\n",
  "5\r\nabcde\r\n",
  "0\r\n\r\n",
  '{"text":"","file":""}',
  "\u0000\u00ff",
] as const;

describe("strangers", () => {
  test("a body of 10 MB is 413, announced or chunked, and the next request is answered", async () => {
    const { socket } = await running(fixedControl());
    const big = Buffer.alloc(10 * 1024 * 1024, "x");
    for (const headers of [{ "content-length": String(big.length) }, { "transfer-encoding": "chunked" }]) {
      const reply = await ask(socket, "POST", "/v1/plan", big, headers);
      expect([reply.status, jsonOf(reply)]).toMatchObject([413, { error: { code: "api.body-too-large", text: expect.stringContaining("4194304") } }]);
    }
    expect((await ask(socket, "GET", "/v1/status")).status).toBe(200);
  });

  test("a body below the limit passes, announced or chunked", async () => {
    const { socket } = await running(fixedControl());
    expect(jsonOf(await ask(socket, "POST", "/v1/plan", proposal("podway: 1"), { "transfer-encoding": "chunked" }))).toEqual(plan);
    expect((await ask(socket, "POST", "/v1/plan", proposal("#".repeat(limits.bodyOctets - 1000)))).status).toBe(200);
  });

  test.each([
    ["not HTTP", "\x00\x01\x02 garbage\r\n\r\n", "400"],
    ["a TLS hello", Buffer.from("16030100c8010000c40303", "hex"), "400"],
    ["both lengths", "POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", "400"],
    ["no Host", "GET /v1/status HTTP/1.1\r\n\r\n", "400"],
    ["a Host that is none", "GET /v1/status HTTP/1.1\r\nHost: a b/../?\r\nConnection: close\r\n\r\n", "400"],
    ["headers beyond the limit", `GET /v1/status HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(limits.headerOctets)}\r\n\r\n`, "431"],
    ["half a request", "GET /v1/sta", "400"],
    ["a path that cannot be decoded", "GET /v1/%ff%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"],
    ["a path upwards", "GET /v1/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"],
  ])("%s", async (_what, octets, expected) => {
    const { socket, notes } = await running(fixedControl());
    expect(await sendRaw(socket, octets)).toMatch(new RegExp(`^HTTP/1\\.1 ${expected} `));
    expect((await ask(socket, "GET", "/v1/status")).status).toBe(200);
    expect(notes.filter((note) => note.level === "error")).toEqual([]);
  });

  test("no mixture of pieces of HTTP is a fault of ours", async () => {
    const { socket, notes } = await running(fixedControl());
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 9 }), async (parts) => {
        await sendRaw(socket, Buffer.from(parts.join(""), "latin1")).catch(() => "");
      }),
      { numRuns: 300 },
    );
    expect((await ask(socket, "GET", "/v1/status")).status).toBe(200);
    expect(notes.filter((note) => note.level === "error")).toEqual([]);
  });

  test("connections beyond the limit are closed at once, and one that ends makes room", async () => {
    const { socket } = await running(fixedControl());
    const idle = Array.from({ length: limits.connections }, () => connect(socket));
    onTestFinished(() => idle.forEach((connection) => connection.destroy()));
    await Promise.all(idle.map((connection) => new Promise((resolve) => connection.once("connect", resolve))));
    await expect(ask(socket, "GET", "/v1/status")).rejects.toMatchObject({ code: expect.stringMatching(/ECONNRESET|EPIPE/) });
    idle[0]!.destroy();
    await until(async () => (await ask(socket, "GET", "/v1/status").catch(() => undefined))?.status === 200, "there is room again");
  });

  test("a client that leaves in the middle of its body harms nobody", async () => {
    const { socket, notes } = await running(fixedControl());
    await sendRaw(socket, "POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf").catch(() => "");
    expect((await ask(socket, "GET", "/v1/status")).status).toBe(200);
    expect(notes.filter((note) => note.level === "error")).toEqual([]);
  });
});
