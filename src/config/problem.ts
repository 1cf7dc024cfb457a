/** What is wrong with a document, and where: the one shape in which every check of this room speaks. */
import { type CallerFault, callerFault } from "#base/fault.ts";

export type Path = readonly (string | number)[];

/** What a check found; the source (document-source.ts) turns its path into a line and a column. */
export interface Finding {
  readonly severity: "error" | "warning";
  readonly path: Path;
  /** Whether the key itself is meant, or what stands behind it. */
  readonly at: "key" | "value";
  /** Characters into the value, where the value is one line of text; 0 otherwise. */
  readonly offset: number;
  /** What is wrong and what would be right; no capital, no full stop. */
  readonly text: string;
}

export interface Problem {
  readonly severity: "error" | "warning";
  readonly file: string;
  /** Both counted from 1; columns in characters (UTF-16 units). */
  readonly line: number;
  readonly column: number;
  /** `nodes.n1.address`, `peers[0].asn`; empty for the document as a whole. */
  readonly path: string;
  readonly text: string;
}

/** A caller's fault whose text is all problems, one a line; doors that can show more read `problems`. */
export interface DocumentFault extends CallerFault {
  readonly problems: readonly Problem[];
}

/** An error at the value of `path`, or at its key. */
export const wrong = (path: Path, text: string, at: Finding["at"] = "value"): Finding => ({ severity: "error", path, at, offset: 0, text });
export const doubtful = (path: Path, text: string): Finding => ({ severity: "warning", path, at: "value", offset: 0, text });

/** `nodes.n1.address`, `peers[0].asn`. */
export function printPath(path: Path): string {
  return path.map((part, i) => (typeof part === "number" ? `[${part}]` : `${i === 0 ? "" : "."}${printable(part)}`)).join("");
}

/** `topology/q.yaml:14:9: nodes.n1.adress: unknown key; did you mean "address"?` */
export function printProblem(problem: Problem): string {
  const { file, line, column, path, text, severity } = problem;
  return `${file}:${line}:${column}: ${path === "" ? "" : `${path}: `}${severity === "warning" ? "warning: " : ""}${text}`;
}

export function documentFault(problems: readonly Problem[]): DocumentFault {
  return { ...callerFault("config.bad-document", problems.map(printProblem).join("\n")), problems };
}

/** A key as it may stand in a message: nothing that moves a terminal's cursor, and not endless. */
function printable(key: string): string {
  return /^[\w./-]{1,64}$/.test(key) ? key : JSON.stringify(key.slice(0, 64));
}
