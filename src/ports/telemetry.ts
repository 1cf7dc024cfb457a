import type { Note } from "#base/note.ts";

/** Where notes and counters go. Neither call ever throws or blocks. */
export interface Telemetry {
  note(note: Note): void;
  /** Registers a gauge or counter that is read when somebody scrapes, never pushed per event. */
  gauge(name: string, help: string, read: () => number | readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]): void;
}
