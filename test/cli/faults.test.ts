import { chown, chmod, mkdir, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { FaultError, worldFault } from "#base/fault.ts";
import { fixedControl } from "../api/fixed-control.ts";
import { directory, running } from "../api/running.ts";
import { podway } from "./command-line.ts";

/** One sentence on standard error and nothing on standard output. */
async function fails(words: readonly string[], code: number, says: RegExp): Promise<void> {
  const ran = await podway(words);
  expect({ ...ran, err: ran.err.trimEnd().split("\n").length }).toEqual({ code, out: "", err: 1 });
  expect(ran.err).toMatch(/^podway: .*[.?]\n$/);
  expect(ran.err).toMatch(says);
}

/** Something else that listens at a socket. */
async function stranger(behave: (socket: Socket) => void): Promise<string> {
  const path = join(await directory(), "s.sock");
  const server = createServer((socket) => {
    socket.on("error", () => undefined).on("data", () => behave(socket));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => void server.close());
  return path;
}

describe("the daemon is not to be had: 3", () => {
  test("nobody listens, with --json too", async () => {
    const path = join(await directory(), "podwayd.sock");
    await fails(["status", "--api", path], 3, /no podwayd listens at .*systemctl start podwayd.*--api/);
    await fails(["status", "--json", "--api", path], 3, /no podwayd listens/);
    await fails(["apply", "/dev/null", "--api", path], 3, /no podwayd listens/);
  });

  test("a stale socket, a file, a directory", async () => {
    const place = await directory();
    await writeFile(join(place, "file"), "");
    await mkdir(join(place, "directory"));
    await fails(["status", "--api", join(place, "file")], 3, /start it|is no socket/);
    await fails(["status", "--api", join(place, "directory")], 3, /start it|is no socket/);
    await fails(["status", "--api", join(place, "file", "below")], 3, /start it/);
    await fails(["status", "--api", `${place}/${"x".repeat(120)}`], 3, /is no socket/);
  });

  test("it breaks off in the middle", async () => {
    await fails(["status", "--api", await stranger((socket) => socket.destroy())], 3, /broke the connection off/);
    const half = await stranger((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"node":'));
    await fails(["status", "--api", half], 3, /broke the connection off/);
  });

  test.runIf(process.getuid?.() === 0)("permission is lacking", async () => {
    const { socket } = await running(fixedControl());
    await chown(socket, 1, 1);
    await chmod(socket, 0o600);
    const { code, out, err } = await podway(["status", "--api", socket], { under: ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] });
    expect([code, out]).toEqual([3, ""]);
    expect(err).toMatch(/^podway: you may not open .*: join the group podway \(usermod -aG podway USER, then log in again\), or use sudo\.\n$/);
  });
});

describe("the daemon fails: 4", () => {
  test("by itself, or with its store", async () => {
    const broken = (): never => {
      throw new Error("secret internals");
    };
    const away = worldFault("store.unreachable", "etcd does not answer: nothing can be applied now.");
    const { socket } = await running(fixedControl({ status: broken, apply: () => Promise.reject(new FaultError(away)) }));
    await fails(["status", "--api", socket], 4, /failed while answering GET \/v1\/status; its log/);
    await fails(["apply", "/dev/null", "--api", socket], 4, /etcd does not answer/);
  });

  test("what listens there is something else", async () => {
    const html = await stranger((socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<a>b\n"));
    await fails(["status", "--api", html], 4, /does not speak JSON: is that podwayd\?/);
    const odd = await stranger((socket) => socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"));
    await fails(["status", "--api", odd], 4, /status 404 and no reason/);
  });
});

describe("what was asked cannot be: 1", () => {
  test("unknown things", async () => {
    const { socket } = await running(fixedControl());
    await fails(["peers", "nobody", "--api", socket], 1, /no peer named "nobody"/);
    await fails(["routes", "--received", "nobody", "--api", socket], 1, /no peer named nobody/);
    await fails(["routes", "--limit", "999999", "--api", socket], 1, /limit is "999999": it must be a number from 1 to 10000/);
    await fails(["why", "x", "--api", socket], 1, /nothing is known of x/);
    await fails(["why", "", "--api", socket], 1, /subject is empty/);
  });

  test("bad files", async () => {
    const { socket } = await running(fixedControl());
    const place = await directory();
    await writeFile(join(place, "big"), Buffer.alloc(10 * 1024 * 1024, "#"));
    await writeFile(join(place, "bad"), "adress");
    await fails(["plan", join(place, "none"), "--api", socket], 1, /cannot read .*none: there is no such file/);
    await fails(["plan", place, "--api", socket], 1, /it is a directory/);
    await fails(["apply", join(place, "big"), "--api", socket], 1, /larger than 1048576 octets/);
    await fails(["plan", join(place, "bad"), "--api", socket], 1, /bad:3:5: nodes\.n1\.adress: unknown key; did you mean "address"\?/);
  });
});

describe("the command line is not understood: 2", () => {
  test.each([
    [["statsu"], /unknown command 'statsu'\n\(Did you mean status\?\)/],
    [["status", "--clutser"], /unknown option '--clutser'\n\(Did you mean --cluster\?\)/],
    [["status", "extra"], /too many arguments/],
    [["why"], /missing required argument 'subject'/],
    [["--api"], /argument missing/],
    [["routes", "--family", "ipv5"], /Allowed choices are ipv4, ipv6/],
    [["routes", "--limit", "0.5"], /whole number/],
    [["status", "--watch", "0"], /number of seconds/],
    [["routes", "--received", "a", "--sent", "b"], /cannot be used with/],
    [["completion", "fish"], /Allowed choices are bash/],
    [[], /Usage: podway/],
  ])("podway %j", async (words, says) => {
    const { code, out, err } = await podway(words);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(says);
  });
});

test("--help names every verb and every exit code, and is no failure", async () => {
  const { code, out, err } = await podway(["--help"]);
  expect([code, err]).toEqual([0, ""]);
  for (const verb of ["status", "peers", "routes", "leases", "why", "kernel", "plan", "apply", "document", "check", "manual", "schema", "lab"])
    expect(out).toMatch(new RegExp(`^  ${verb}\\b`, "m"));
  for (const exit of ["0", "1", "2", "3", "4"]) expect(out).toMatch(new RegExp(`^  ${exit}  \\w`, "m"));
  expect((await podway(["routes", "--help"])).out).toContain("--received <peer>");
});
