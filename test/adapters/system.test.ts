import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import koffi from "koffi";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeFileAtomic } from "#adapters/files.ts";
import { checked, libc, watchReadable } from "#adapters/libc.ts";
import { readSecret, secretLimits } from "#adapters/secrets.ts";
import { systemClock } from "#adapters/system-clock.ts";
import { openSystemd } from "#adapters/systemd.ts";
import { FaultError } from "#base/fault.ts";
import type { Note } from "#base/note.ts";
import { until } from "./tcp-pair.ts";

const recv = koffi.load("libc.so.6").func("long recv(int, void *, size_t, int)") as (fd: number, into: Buffer, size: number, flags: number) => number;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "podway-system-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("the clock", () => {
  test("is the kernel's time since boot, and never goes back", () => {
    const kernel = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000;
    const first = systemClock.now();
    expect(Math.abs(first - kernel)).toBeLessThan(1000);
    let last = first;
    for (let i = 0; i < 10_000; i++) {
      const now = systemClock.now();
      expect(now >= last).toBe(true);
      last = now;
    }
    expect(last).toBeGreaterThan(first);
  });
});

describe("an atomic file", () => {
  test("replaces the old one with its own mode and leaves nothing beside it", async () => {
    const path = join(folder, "state.json");
    writeFileSync(path, "old", { mode: 0o644 });
    await writeFileAtomic(path, "new", 0o640);
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(readdirSync(folder)).toEqual(["state.json"]);
  });

  test("leaves the old one when it cannot be written", async () => {
    const path = join(folder, "state");
    writeFileSync(path, "old");
    await expect(writeFileAtomic(join(folder, "nowhere", "state"), "new")).rejects.toThrow("ENOENT");
    await expect(writeFileAtomic(folder, "new")).rejects.toThrow(/EISDIR|EBUSY|ENOTEMPTY/);
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(folder)).toEqual(["state"]);
    expect(existsSync(`${folder}.${process.pid}.new`)).toBe(false);
  });
});

describe("systemd", () => {
  /** A real datagram socket that keeps what it gets. */
  function listening(path: string): { readonly heard: string[]; stop(): void } {
    const name = Buffer.from(path.replace(/^@/, "\0"));
    const address = Buffer.concat([Buffer.from([1, 0]), name]);
    const fd = checked(libc.socket(1, 2 | 0o4000, 0), "socket");
    checked(libc.bind(fd, address, address.length), "bind");
    const heard: string[] = [];
    const buffer = Buffer.alloc(4096);
    const watch = watchReadable(fd, () => {
      for (let size = recv(fd, buffer, buffer.length, 0); size > 0; size = recv(fd, buffer, buffer.length, 0)) heard.push(buffer.toString("utf8", 0, size));
    });
    const stop = (): void => {
      watch.close();
      libc.close(fd);
    };
    return { heard, stop };
  }

  test.each(["path", "abstract"])("hears every state (%s)", async (kind) => {
    const path = kind === "path" ? join(folder, "notify") : `@podway-test-${process.pid}`;
    const listener = listening(path);
    const systemd = openSystemd({ NOTIFY_SOCKET: path, WATCHDOG_USEC: "10000000", WATCHDOG_PID: "42" }, 42);
    expect(systemd.watchdogMillis).toBe(10_000);
    systemd.ready("two peers\nup");
    systemd.watchdog();
    systemd.reloading();
    systemd.status("fine");
    systemd.stopping("bye");
    await until("the last", () => listener.heard.length === 5);
    listener.stop();
    expect(listener.heard).toEqual([
      "READY=1\nSTATUS=two peers up",
      "WATCHDOG=1",
      expect.stringMatching(/^RELOADING=1\nMONOTONIC_USEC=\d+$/),
      "STATUS=fine",
      "STOPPING=1\nSTATUS=bye",
    ]);
  });

  test("that is not there, or deaf, or not watching us, is no trouble", () => {
    expect(openSystemd({}, 1).watchdogMillis).toBeUndefined();
    openSystemd({ NOTIFY_SOCKET: join(folder, "nobody") }, 1).ready("unheard");
    openSystemd({ NOTIFY_SOCKET: "vsock:2:1234" }, 1).ready("unheard");
    expect(openSystemd({ WATCHDOG_USEC: "1000", WATCHDOG_PID: "7" }, 1).watchdogMillis).toBeUndefined();
    expect(openSystemd({ WATCHDOG_USEC: "rubbish" }, 1).watchdogMillis).toBeUndefined();
  });
});

describe("a secret", () => {
  const told: Note[] = [];
  const source = { credentialsDirectory: undefined, note: (note: Note) => void told.push(note) };
  const put = (name: string, text: string, mode = 0o600): string => {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), mode);
    return join(folder, name);
  };
  const text = async (promise: Promise<Uint8Array>): Promise<string> => Buffer.from(await promise).toString();
  const code = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => "none",
      (error: unknown) => (error instanceof FaultError ? error.fault.code : "other"),
    );
  beforeEach(() => void told.splice(0));

  test("comes from its file without the last line end, and only that", async () => {
    expect(await text(readSecret({ file: put("a", "key one\n") }, source))).toBe("key one");
    expect(await text(readSecret({ file: put("b", "key two\r\n") }, source))).toBe("key two");
    expect(await text(readSecret({ file: put("c", " key\n\n") }, source))).toBe(" key\n");
    expect(told).toEqual([]);
  });

  test("comes from a systemd credential", async () => {
    put("tor-md5", "secret\n", 0o444);
    expect(await text(readSecret({ credential: "tor-md5" }, { ...source, credentialsDirectory: folder }))).toBe("secret");
    expect(await code(readSecret({ credential: "tor-md5" }, source))).toBe("secret.missing");
    expect(await code(readSecret({ credential: "../passwd" }, { ...source, credentialsDirectory: folder }))).toBe("secret.bad-name");
    expect(told).toEqual([]);
  });

  test("that everybody can read is used, with a warning that does not tell it", async () => {
    await readSecret({ file: put("open", "hush\n", 0o644) }, source);
    expect(told).toMatchObject([{ level: "warn", event: "secret.open-to-all" }]);
    expect(JSON.stringify(told)).not.toContain("hush");
  });

  test("that is missing, empty, too long or no file is refused in a sentence", async () => {
    expect(await code(readSecret({ file: join(folder, "none") }, source))).toBe("secret.missing");
    expect(await code(readSecret({ file: put("empty", "\n") }, source))).toBe("secret.empty");
    expect(await code(readSecret({ file: put("long", "x".repeat(secretLimits.octets + 1)) }, source))).toBe("secret.too-long");
    expect(await code(readSecret({ file: folder }, source))).toBe("secret.unreadable");
    expect(await text(readSecret({ file: put("most", "x".repeat(secretLimits.octets)) }, source))).toHaveLength(secretLimits.octets);
  });
});
