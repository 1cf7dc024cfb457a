import { spawn, spawnSync } from "node:child_process";
import { readdir, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { fixedControl } from "./fixed-control.ts";
import { ask, directory, running } from "./running.ts";

/** Leaves the socket file of a process that was killed: bound, nobody behind it. */
async function staleSocket(path: string): Promise<void> {
  const dead = spawnSync(process.execPath, ["-e", `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`]);
  expect(dead.signal).toBe("SIGKILL");
  expect((await stat(path)).isSocket()).toBe(true);
}

test("the directory is made, the socket has mode 0660, and nothing is left on stop", async () => {
  const path = join(await directory(), "run", "podway", "podwayd.sock");
  const { stop } = await running(fixedControl(), path);
  expect((await stat(path)).mode & 0o777).toBe(0o660);
  expect(await readdir(dirname(path))).toEqual(["podwayd.sock"]);
  await stop();
  expect(await readdir(dirname(path))).toEqual([]);
});

test.runIf(process.getuid?.() === 0)("the socket belongs to the group that was named, if there is such a group", async () => {
  const named = await running(fixedControl(), undefined, "daemon");
  const unknown = await running(fixedControl(), undefined, "no-such-group-here");
  expect((await stat(named.socket)).gid).toBe(1);
  expect((await stat(unknown.socket)).gid).toBe(0);
});

test("a stale socket is replaced", async () => {
  const path = join(await directory(), "podwayd.sock");
  await staleSocket(path);
  await running(fixedControl(), path);
  expect((await ask(path, "GET", "/v1/status")).status).toBe(200);
  expect(await readdir(dirname(path))).toEqual(["podwayd.sock"]);
});

test("a second server at one path is refused by name, and the first goes on", async () => {
  const first = await running(fixedControl());
  await expect(running(fixedControl(), first.socket)).rejects.toMatchObject({
    fault: { code: "api.socket-in-use", text: expect.stringContaining(first.socket) },
  });
  expect((await ask(first.socket, "GET", "/v1/status")).status).toBe(200);
  expect(await readdir(dirname(first.socket))).toEqual(["podwayd.sock"]);
});

test("of many that start at once over a stale socket one gets the path, and that one answers", async () => {
  const path = join(await directory(), "podwayd.sock");
  await staleSocket(path);
  const script = `
    import { createServer } from ${JSON.stringify(join(import.meta.dirname, "../../src/api/server.ts"))};
    import { fixedControl } from ${JSON.stringify(join(import.meta.dirname, "fixed-control.ts"))};
    const stop = new AbortController();
    process.stdin.resume().on("end", () => stop.abort());
    const server = createServer(fixedControl(), { note() {}, gauge() {} }, { socket: ${JSON.stringify(path)} });
    await server.run(stop.signal, () => console.log("ready")).catch((error) => console.log(error.fault.code));
    process.stdin.pause();`;
  const racers = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ["--input-type=module-typescript", "-e", script], { stdio: ["pipe", "pipe", "inherit"] }),
  );
  const ended = racers.map((racer) => new Promise((resolve) => racer.once("exit", resolve)));
  const said = await Promise.all(
    racers.map((racer) => new Promise<string>((resolve) => racer.stdout.once("data", (line: Buffer) => resolve(line.toString().trim())))),
  );
  expect(said.toSorted()).toEqual(["api.socket-in-use", "api.socket-in-use", "api.socket-in-use", "ready"]);
  expect((await ask(path, "GET", "/v1/status")).status).toBe(200);
  for (const racer of racers) racer.stdin.end();
  await Promise.all(ended);
  expect(await readdir(dirname(path))).toEqual([]);
}, 20_000);

test("what is no socket is left where it is", async () => {
  const path = join(await directory(), "podwayd.sock");
  await writeFile(path, "precious");
  await expect(running(fixedControl(), path)).rejects.toMatchObject({ fault: { code: "api.not-a-socket" } });
  expect((await stat(path)).size).toBe(8);
  await symlink("nowhere", `${path}2`);
  await expect(running(fixedControl(), `${path}2`)).rejects.toMatchObject({ fault: { code: "api.not-a-socket" } });
});

test("a path that is too long, and a directory that cannot be made, are said in a sentence", async () => {
  const place = await directory();
  await expect(running(fixedControl(), join(place, "x".repeat(120)))).rejects.toMatchObject({ fault: { code: "api.path-too-long" } });
  await writeFile(join(place, "file"), "");
  await expect(running(fixedControl(), join(place, "file", "podwayd.sock"))).rejects.toMatchObject({
    fault: { code: "api.no-socket", text: expect.stringContaining("cannot listen at") },
  });
});

test("a stopping server lets an answer finish and takes no new one", async () => {
  const answer = Promise.withResolvers<string>();
  const asked = Promise.withResolvers<void>();
  const { socket, stop } = await running(fixedControl({ metrics: () => (asked.resolve(), answer.promise) }));
  const reply = ask(socket, "GET", "/metrics");
  await asked.promise;
  const stopped = stop();
  answer.resolve("done 1\n");
  expect((await reply).text).toBe("done 1\n");
  await stopped;
  await expect(ask(socket, "GET", "/v1/status")).rejects.toMatchObject({ code: "ENOENT" });
});
