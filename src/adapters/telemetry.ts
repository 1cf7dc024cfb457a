/**
 * Notes to standard output, gauges to whoever scrapes. A note that repeats itself is said once and then counted, and the count
 * is told when its time is over, so that a flapping peer cannot drown the rest.
 */
import { fstatSync } from "node:fs";
import { type Level, type Note, note } from "#base/note.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import { LineWriter } from "./line-writer.ts";
import { formatNote, type NoteStyle } from "./note-format.ts";
import { type Gauge, metricsText, processGauges } from "./metrics-text.ts";

export const telemetryLimits = {
  /** A note that was said is only counted for so long. */
  repeatMillis: 10_000,
  /** Different notes remembered at once; beyond it the oldest is forgotten. */
  remembered: 1024,
} as const;

const rank: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export interface TelemetryOptions {
  /** Notes below it are not said. */
  readonly level: Level;
  /** File descriptor; standard output in the product. */
  readonly fd: number;
  readonly style: NoteStyle;
}

export interface SystemTelemetry extends Telemetry {
  /** Every gauge, read now, in the Prometheus text format 0.0.4. */
  metrics(): string;
  /** Says what was only counted so far, and resolves when all is written. */
  close(): Promise<void>;
}

/** How standard output wants its lines, from what it is (journal: JOURNAL_STREAM names its device and inode). */
export function noteStyle(fd: number, isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): NoteStyle {
  if (isTerminal) return env.NO_COLOR ? "terminal-plain" : "terminal";
  const { dev, ino } = fstatSync(fd);
  return env.JOURNAL_STREAM === `${dev}:${ino}` ? "journal" : "json";
}

export function openTelemetry(options: TelemetryOptions): SystemTelemetry {
  const format = (said: Note): string => formatNote(said, new Date(), options.style);
  const writer = new LineWriter(options.fd, (count) =>
    format(note("warn", "telemetry.dropped", `${count} lines were dropped because nobody read them fast enough.`)),
  );
  const repeats = new Repeats((said) => writer.put(format(said)));
  const gauges = new Map<string, Gauge>();
  for (const gauge of processGauges()) gauges.set(gauge.name, gauge);
  const atExit = (): void => writer.flushSync();
  process.once("exit", atExit);
  return {
    note: (said) => void (rank[said.level] >= rank[options.level] && repeats.say(said)),
    gauge: (name, help, read) => void gauges.set(name, { name, help, read }),
    metrics: () => metricsText([...gauges.values()]),
    close: async () => {
      repeats.close();
      await writer.drained();
      process.off("exit", atExit);
    },
  };
}

/** Lets a note through once per `repeatMillis`; what came meanwhile is told as a count. */
class Repeats {
  readonly #print: (said: Note) => void;
  readonly #seen = new Map<string, { readonly said: Note; count: number; readonly timer: NodeJS.Timeout }>();

  constructor(print: (said: Note) => void) {
    this.#print = print;
  }

  say(said: Note): void {
    const key = [said.level, said.event, said.peer, said.prefix, said.pool, said.node, said.text].join("\0");
    const seen = this.#seen.get(key);
    if (seen) {
      seen.count++;
      return;
    }
    const oldest = this.#seen.size >= telemetryLimits.remembered ? this.#seen.keys().next().value : undefined;
    if (oldest !== undefined) this.#forget(oldest);
    this.#seen.set(key, { said, count: 0, timer: setTimeout(() => this.#forget(key), telemetryLimits.repeatMillis).unref() });
    this.#print(said);
  }

  close(): void {
    for (const key of this.#seen.keys()) this.#forget(key);
  }

  #forget(key: string): void {
    const { said, count, timer } = this.#seen.get(key)!;
    clearTimeout(timer);
    this.#seen.delete(key);
    if (count > 0) this.#print({ ...said, fields: { ...said.fields, repeated: count } });
  }
}
