/** Asks again and again and shows the newest answer: on a terminal in place, into a pipe one after the other. */
import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { exitCodeOf, exitCodes } from "./exit-code.ts";
import { FaultError } from "#base/fault.ts";
import { wrap } from "./display-text.ts";
import type { Terminal } from "./terminal.ts";

/** Runs until SIGINT or SIGTERM, which are the way to end it. A daemon that is away is waited for, and said. */
export async function watch(frame: () => Promise<readonly string[]>, seconds: number, terminal: Terminal): Promise<void> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  try {
    while (!stop.signal.aborted) {
      await put(await frame().catch((error: unknown) => awayFrame(error, terminal)), terminal);
      await wait(seconds * 1000, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  } finally {
    if (terminal.interactive) process.stdout.write("\n");
  }
}

function awayFrame(error: unknown, terminal: Terminal): readonly string[] {
  if (!(error instanceof FaultError) || exitCodeOf(error.fault) !== exitCodes.unreachable) throw error;
  return wrap(error.fault.text, terminal.width).map(terminal.red);
}

async function put(lines: readonly string[], terminal: Terminal): Promise<void> {
  const text = terminal.interactive ? redraw(lines, terminal) : `${lines.join("\n")}\n\n`;
  if (!process.stdout.write(text)) await once(process.stdout, "drain");
}

const home = "\u001b[H",
  clearLine = "\u001b[K",
  clearBelow = "\u001b[J";

/** Written over the last frame, so that nothing flickers; what does not fit the screen is counted. */
function redraw(all: readonly string[], terminal: Terminal): string {
  const room = terminal.height - 1;
  const lines = all.length <= room ? all : [...all.slice(0, room - 1), terminal.dim(`and ${all.length - room + 1} more lines`)];
  return home + lines.map((line) => `${line}${clearLine}\n`).join("") + clearBelow;
}
