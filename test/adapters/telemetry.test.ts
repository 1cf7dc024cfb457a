import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LineWriter, lineLimits } from "#adapters/line-writer.ts";
import { formatNote } from "#adapters/note-format.ts";
import { noteStyle, openTelemetry, telemetryLimits } from "#adapters/telemetry.ts";
import { note } from "#base/note.ts";

let folder: string, path: string, fd: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "podway-telemetry-"));
  path = join(folder, "out");
  fd = openSync(path, "w");
});
afterEach(() => {
  vi.useRealTimers();
  closeSync(fd);
  rmSync(folder, { recursive: true });
});
const lines = (): Record<string, unknown>[] =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const established = note("info", "bgp.established", "the session with rr1 is up", { peer: "rr1", fields: { holdSeconds: 90, event: "not mine" } });

describe("a note", () => {
  const time = new Date("2026-01-02T03:04:05.678Z");

  test("is a JSON line with its time; a field does not replace what it says", () => {
    expect(JSON.parse(formatNote(established, time, "json"))).toEqual({
      time: "2026-01-02T03:04:05.678Z",
      level: "info",
      event: "bgp.established",
      text: "the session with rr1 is up",
      peer: "rr1",
      holdSeconds: 90,
    });
  });

  test("has a syslog level in front in the journal", () => {
    const fronts = (["debug", "info", "warn", "error"] as const).map((level) => formatNote({ ...established, level }, time, "journal").slice(0, 4));
    expect(fronts).toEqual(["<7>{", "<6>{", "<4>{", "<3>{"]);
  });

  test("is one line on a terminal, whatever a peer put into it", () => {
    const line = formatNote(note("warn", "bgp.down", "peer said\n\x1b[2Jfake", { prefix: "10.0.0.0/8" }), time, "terminal-plain");
    expect(line).toMatch(/^\d\d:04:05 warn {2}peer said {2}\[2Jfake bgp\.down prefix=10\.0\.0\.0\/8$/);
    expect(formatNote(established, time, "terminal")).toContain("\x1b[32minfo");
  });

  test("finds its style from what standard output is", () => {
    const { dev, ino } = statSync(path);
    expect(noteStyle(fd, false, {})).toBe("json");
    expect(noteStyle(fd, false, { JOURNAL_STREAM: `${dev}:${ino}` })).toBe("journal");
    expect(noteStyle(fd, false, { JOURNAL_STREAM: `${dev}:${ino + 1}` })).toBe("json");
    expect(noteStyle(fd, true, { NO_COLOR: "1" })).toBe("terminal-plain");
    expect(noteStyle(fd, true, {})).toBe("terminal");
  });
});

describe("telemetry", () => {
  test("says what is not below its level", async () => {
    const telemetry = openTelemetry({ level: "info", fd, style: "json" });
    telemetry.note(note("debug", "a.b", "unheard"));
    telemetry.note(established);
    await telemetry.close();
    expect(lines().map(({ event }) => event)).toEqual(["bgp.established"]);
  });

  test("says a repeated note once, and then how often it came", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const telemetry = openTelemetry({ level: "debug", fd, style: "json" });
    for (let i = 0; i < 42; i++) telemetry.note(established);
    telemetry.note({ ...established, peer: "rr2" });
    vi.advanceTimersByTime(telemetryLimits.repeatMillis);
    telemetry.note(established);
    telemetry.note(established);
    await telemetry.close();
    expect(lines().map(({ peer, repeated }) => [peer, repeated])).toEqual([
      ["rr1", undefined],
      ["rr2", undefined],
      ["rr1", 41],
      ["rr1", undefined],
      ["rr1", 1],
    ]);
  });

  test("remembers no more notes than its limit", async () => {
    const telemetry = openTelemetry({ level: "debug", fd, style: "json" });
    for (let i = 0; i < telemetryLimits.remembered + 10; i++) telemetry.note(note("info", "a.b", `number ${i}`));
    telemetry.note(note("info", "a.b", "number 0"));
    await telemetry.close();
    expect(lines()).toHaveLength(telemetryLimits.remembered + 11);
  });

  test("tells gauges in the text format of Prometheus, and leaves out one that fails", () => {
    const telemetry = openTelemetry({ level: "info", fd, style: "json" });
    telemetry.gauge("podway_routes", "Best routes\nby family.", () => [
      { labels: { family: 'a"\\\n' }, value: 3 },
      { labels: {}, value: 4 },
    ]);
    telemetry.gauge("podway_updates_total", "UPDATEs.", () => 7);
    telemetry.gauge("podway_broken", "Breaks.", () => {
      throw new Error("no");
    });
    const text = telemetry.metrics();
    expect(text).toContain(
      '# HELP podway_routes Best routes\\nby family.\n# TYPE podway_routes gauge\npodway_routes{family="a\\"\\\\\\n"} 3\npodway_routes 4\n',
    );
    expect(text).toContain("# TYPE podway_updates_total counter\npodway_updates_total 7\n");
    expect(text).toMatch(/^process_resident_memory_bytes \d+$/m);
    expect(text).not.toContain("podway_broken");
    expect(text.endsWith("\n")).toBe(true);
  });
});

describe("lines", () => {
  test("are dropped at the limit while nobody reads, counted, and the process is not held up", async () => {
    const { writable, drain } = await stuckPipe();
    const writer = new LineWriter(writable, (count) => `dropped ${count}`);
    const line = "x".repeat(1023);
    const put = 3 * (lineLimits.backlogOctets / 1024);
    for (let i = 0; i < put; i++) writer.put(line);
    const text = drain();
    await writer.drained();
    closeSync(writable);
    const told = (await text).split("\n").filter(Boolean);
    const dropped = Number(/^dropped (\d+)$/.exec(told.find((each) => each.startsWith("dropped"))!)![1]);
    expect(dropped).toBeGreaterThan(0);
    expect(told.length - 1 + dropped).toBe(put);
  });

  test("go nowhere once the reader is gone, without a sound", async () => {
    const { writable, close } = await stuckPipe();
    await close();
    const writer = new LineWriter(writable, String);
    writer.put("nobody");
    await writer.drained();
    writer.put("nobody");
    writer.flushSync();
    closeSync(writable);
  });
});

/** A pipe nobody reads: `drain` starts reading to its end, `close` goes away. */
async function stuckPipe(): Promise<{ writable: number; drain(): Promise<string>; close(): Promise<void> }> {
  const fifo = join(folder, "fifo");
  await new Promise((resolve) => spawn("mkfifo", [fifo]).once("exit", resolve));
  const both = openSync(fifo, "r+");
  const writable = openSync(fifo, "w");
  return {
    writable,
    drain: () =>
      new Promise((resolve) => {
        const chunks: Buffer[] = [];
        const child = spawn("cat", [fifo], { stdio: ["ignore", "pipe", "inherit"] });
        child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
        child.stdout.once("data", () => closeSync(both)); // cat has the pipe open: our own reading end may go
        child.once("close", () => resolve(Buffer.concat(chunks).toString()));
      }),
    close: () => Promise.resolve(closeSync(both)),
  };
}
