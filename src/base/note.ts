/**
 * Everything the program can say, as values. Machines return notes among their outputs; only `adapters/telemetry.ts` prints
 * them, so a test can read what was said and nothing below floor 3 touches a log.
 */
export type Level = "debug" | "info" | "warn" | "error";

export interface Note {
  readonly level: Level;
  /** Dotted and stable, for example `bgp.established`, `lease.held`, `kernel.drift`. */
  readonly event: string;
  /** One sentence for a person. */
  readonly text: string;
  /** What it speaks of. Never a secret. */
  readonly peer?: string;
  readonly prefix?: string;
  readonly pool?: string;
  readonly node?: string;
  readonly fields?: Readonly<Record<string, string | number | boolean>>;
}

export const note = (level: Level, event: string, text: string, more: Omit<Note, "level" | "event" | "text"> = {}): Note => ({ level, event, text, ...more });
