/** The parts of the daemon that run: started in order, stopped in reverse, by one signal from outside or the first failure within. */
import { type Note, note } from "#base/note.ts";

/** Making one does nothing; running one ends when the signal says so. */
export interface Task {
  readonly name: string;
  /** Calls `ready` once the next may start. Ends (or rejects) for good; ending by itself, before it is told, is no failure. */
  run(signal: AbortSignal, ready: () => void): Promise<void>;
}

export const taskLimits = {
  /** A task that is told to stop and does not is left behind after this. */
  stopMillis: 10_000,
} as const;

interface Running {
  readonly task: Task;
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/**
 * Starts `tasks` in order, each once the one before is ready; `up` is called when all are. Stops them in reverse when `outer`
 * is aborted or one fails. Rejects with the first failure, after everything has stopped; `say` hears of those that come later.
 */
export async function runAll(tasks: readonly Task[], outer: AbortSignal, say: (note: Note) => void, up: () => void): Promise<void> {
  const running: Running[] = [];
  const end = endOf(outer);
  try {
    for (const task of tasks) {
      if (outer.aborted) return;
      await Promise.race([end.promise, start(task, running, end.fail)]);
    }
    if (!outer.aborted) up();
    await end.promise;
  } finally {
    end.over();
    for (const each of running.reverse()) await stopped(each, end.cause, say);
  }
}

/** Settles once: resolved by `outer`, rejected by the first task that fails. */
interface End {
  readonly promise: Promise<void>;
  fail(error: Error): void;
  /** What the first failed task threw. */
  cause(): unknown;
  over(): void;
}

function endOf(outer: AbortSignal): End {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let first: Error | undefined;
  promise.catch(() => {}); // a failure between two races is seen by the next one
  const abort = (): void => resolve();
  if (outer.aborted) resolve();
  else outer.addEventListener("abort", abort, { once: true });
  const fail = (error: Error): void => {
    if (!outer.aborted) reject((first ??= error));
  };
  return { promise, fail, cause: () => first?.cause, over: () => outer.removeEventListener("abort", abort) };
}

/** Resolves when the task is ready, or has ended. */
function start(task: Task, running: Running[], fail: (error: Error) => void): Promise<void> {
  return new Promise((ready) => {
    const stop = new AbortController();
    const done = Promise.resolve().then(() => task.run(stop.signal, ready));
    running.push({ task, stop, done });
    done.then(ready, (cause: unknown) => fail(new Error(`${task.name} failed: ${textOf(cause)}`, { cause })));
  });
}

/** Says what went wrong while stopping, unless it is the failure that everything is stopped for. */
async function stopped({ task, stop, done }: Running, known: () => unknown, say: (note: Note) => void): Promise<void> {
  stop.abort();
  const late = Promise.withResolvers<"late">();
  const timer = setTimeout(() => late.resolve("late"), taskLimits.stopMillis);
  try {
    if ((await Promise.race([done, late.promise])) !== "late") return;
    say(note("error", "task.stuck", `${task.name} did not stop within ${taskLimits.stopMillis / 1000} s and is left behind.`));
  } catch (error) {
    if (error !== known()) say(note("warn", "task.failed", `${task.name} failed: ${textOf(error)}`));
  } finally {
    clearTimeout(timer);
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * The signals of the process, for the entry alone. SIGTERM and SIGINT abort the returned signal (`reason` names which); a
 * second one ends the process at once. SIGHUP calls `reload`.
 */
export function processSignals(reload: () => void): AbortSignal {
  const stop = new AbortController();
  for (const [name, number] of [
    ["SIGTERM", 15],
    ["SIGINT", 2],
  ] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) process.exit(128 + number);
      stop.abort(name);
    });
  }
  process.on("SIGHUP", reload);
  return stop.signal;
}
