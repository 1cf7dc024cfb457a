import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import type { Note } from "#base/note.ts";
import { runAll, type Task, taskLimits } from "#daemon/tasks.ts";

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", () => resolve(), { once: true })));

/** A task that writes down what happens to it. */
function recorded(log: string[], name: string, more: Partial<Task> = {}): Task {
  return {
    name,
    run: async (signal, ready) => {
      log.push(`${name} starts`);
      await Promise.resolve();
      log.push(`${name} ready`);
      ready();
      await aborted(signal);
      log.push(`${name} stops`);
    },
    ...more,
  };
}

test("tasks start in order, each once the one before is ready, and stop in reverse", async () => {
  const log: string[] = [];
  const stop = new AbortController();
  await runAll(
    [recorded(log, "store"), recorded(log, "speaker")],
    stop.signal,
    () => {},
    () => {
      log.push("up");
      stop.abort();
    },
  );
  expect(log).toEqual(["store starts", "store ready", "speaker starts", "speaker ready", "up", "speaker stops", "store stops"]);
});

test("a task that fails brings the others down in order, and its failure is what is told", async () => {
  const log: string[] = [],
    notes: Note[] = [];
  const failing: Task = { name: "speaker", run: () => Promise.reject(new Error("port taken")) };
  const run = runAll(
    [recorded(log, "store"), failing, recorded(log, "never")],
    new AbortController().signal,
    (note) => notes.push(note),
    () => log.push("up"),
  );
  await expect(run).rejects.toThrow("speaker failed: port taken");
  expect(log).toEqual(["store starts", "store ready", "store stops"]);
  expect(notes).toEqual([]);
});

test("a task that throws before it makes a promise, and one that fails later, are failures like any other", async () => {
  const log: string[] = [];
  const throwing: Task = {
    name: "thrower",
    run: () => {
      throw new Error("at once");
    },
  };
  await expect(
    runAll(
      [throwing],
      new AbortController().signal,
      () => {},
      () => {},
    ),
  ).rejects.toThrow("thrower failed: at once");
  const late: Task = {
    name: "late",
    run: async (_signal, ready) => {
      ready();
      await new Promise(setImmediate);
      throw new Error("later");
    },
  };
  await expect(
    runAll(
      [recorded(log, "store"), late],
      new AbortController().signal,
      () => {},
      () => log.push("up"),
    ),
  ).rejects.toThrow("late failed: later");
  expect(log.slice(-2)).toEqual(["up", "store stops"]);
});

test("a failure while stopping is a note and holds up nobody", async () => {
  const log: string[] = [],
    notes: Note[] = [];
  const stop = new AbortController();
  const bad: Task = {
    name: "bad",
    run: async (signal, ready) => {
      ready();
      await aborted(signal);
      throw new Error("cannot close");
    },
  };
  await runAll(
    [recorded(log, "store"), bad],
    stop.signal,
    (note) => notes.push(note),
    () => stop.abort(),
  );
  expect(notes.map(({ event, text }) => [event, text])).toEqual([["task.failed", "bad failed: cannot close"]]);
  expect(log.at(-1)).toBe("store stops");
});

test("a task that does not stop is left behind after the limit", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const log: string[] = [],
    notes: Note[] = [];
  const stop = new AbortController();
  const stuck: Task = {
    name: "stuck",
    run: (_signal, ready) => {
      ready();
      return new Promise(() => {});
    },
  };
  const done = runAll(
    [recorded(log, "store"), stuck],
    stop.signal,
    (note) => notes.push(note),
    () => stop.abort(),
  );
  await vi.advanceTimersByTimeAsync(taskLimits.stopMillis);
  vi.useRealTimers();
  await done;
  expect(notes.map(({ event }) => event)).toEqual(["task.stuck"]);
  expect(log.at(-1)).toBe("store stops");
});

test("a task that ends by itself counts as ready", async () => {
  const log: string[] = [];
  const stop = new AbortController();
  await runAll(
    [{ name: "once", run: async () => void log.push("done") }, recorded(log, "speaker")],
    stop.signal,
    () => {},
    () => stop.abort(),
  );
  expect(log).toEqual(["done", "speaker starts", "speaker ready", "speaker stops"]);
});

test("being told to stop before all are ready stops those that run", async () => {
  const log: string[] = [];
  const stop = new AbortController();
  const never: Task = {
    name: "never",
    run: async (signal) => {
      stop.abort();
      await aborted(signal);
      log.push("never stops");
    },
  };
  await runAll(
    [recorded(log, "store"), never, recorded(log, "speaker")],
    stop.signal,
    () => {},
    () => log.push("up"),
  );
  expect(log).toEqual(["store starts", "store ready", "never stops", "store stops"]);
  await runAll(
    [recorded(log, "untouched")],
    stop.signal,
    () => {},
    () => log.push("up"),
  );
  expect(log.at(-1)).toBe("store stops");
});

test("SIGTERM stops in order, a second one at once; SIGHUP reloads", async () => {
  const source = fileURLToPath(new URL("../../src/daemon/tasks.ts", import.meta.url));
  const program = `
    import { processSignals } from ${JSON.stringify(source)};
    const stop = processSignals(() => console.log("reload"));
    stop.addEventListener("abort", () => console.log("stop " + stop.reason));
    setInterval(() => {}, 1000);
    console.log("up");`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  const said: string[] = [];
  const steps: Record<string, NodeJS.Signals> = { up: "SIGHUP", reload: "SIGTERM", "stop SIGTERM": "SIGTERM" };
  child.stdout.on("data", (chunk: Buffer) => {
    for (const line of chunk.toString().split("\n").filter(Boolean)) {
      said.push(line);
      child.kill(steps[line]);
    }
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect([said, code]).toEqual([["up", "reload", "stop SIGTERM"], 143]);
});
