/** How a note looks: a JSON line, the same with a syslog level in front for the journal, or a line for a person at a terminal. */
import type { Level, Note } from "#base/note.ts";

export type NoteStyle = "json" | "journal" | "terminal" | "terminal-plain";

/** syslog(3) priorities, as sd-daemon(3) wants them in front of a line. */
const priority: Record<Level, number> = { debug: 7, info: 6, warn: 4, error: 3 };
const colour: Record<Level, string> = { debug: "\x1b[2m", info: "\x1b[32m", warn: "\x1b[33m", error: "\x1b[31m" };
const reset = "\x1b[0m",
  dim = "\x1b[2m";
const subjects = ["peer", "prefix", "pool", "node"] as const;

/** One line without its end. */
export function formatNote(note: Note, time: Date, style: NoteStyle): string {
  if (style === "json" || style === "journal") return `${style === "journal" ? `<${priority[note.level]}>` : ""}${jsonLine(note, time)}`;
  return terminalLine(note, time, style === "terminal");
}

/** What the note speaks of stands beside its text; a field cannot replace one of ours. */
function jsonLine({ fields, ...said }: Note, time: Date): string {
  return JSON.stringify({ time: time.toISOString(), ...said, ...withoutOurs(fields, said) });
}

function withoutOurs(fields: Note["fields"], said: object): Note["fields"] {
  if (!fields) return undefined;
  return Object.fromEntries(Object.entries(fields).filter(([name]) => name !== "time" && !(name in said)));
}

function terminalLine(note: Note, time: Date, inColour: boolean): string {
  const paint = (code: string, text: string): string => (inColour ? `${code}${text}${reset}` : text);
  const details = [...subjects.flatMap((name) => (note[name] === undefined ? [] : [[name, note[name]]])), ...Object.entries(note.fields ?? {})];
  const tail = details.map(([name, value]) => ` ${name}=${value}`).join("");
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
  return `${paint(dim, clock)} ${paint(colour[note.level], note.level.padEnd(5))} ${oneLine(note.text)} ${paint(dim, note.event + oneLine(tail))}`;
}

/** Text that came from outside may not move the cursor or fake a second line. */
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const oneLine = (text: string): string => text.replace(/[\x00-\x1f\x7f]/g, " ");
