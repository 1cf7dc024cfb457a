/** Document text → document, or every problem in it with its line, its column and what would be right. */
import { type Outcome, failed, ok } from "#base/fault.ts";
import { checkDocument } from "./check.ts";
import { readSource } from "./document-source.ts";
import { explainIssues } from "./explain.ts";
import { limits } from "./limits.ts";
import { type DocumentFault, type Finding, type Problem, documentFault } from "./problem.ts";
import { type Document, DocumentSchema } from "./schema.ts";

export interface ParsedDocument {
  readonly document: Document;
  /** What is allowed and yet hardly meant; to be shown, not refused. */
  readonly warnings: readonly Problem[];
  /** Where what is found out about the document later stands in the text. */
  locate(findings: readonly Finding[]): readonly Problem[];
}

/**
 * Parses and checks a whole document: syntax, then shape, then meaning; each only if the one before held, since a message
 * about a consequence helps nobody. Never throws on any text. `file` is only named in problems.
 */
export function parseDocument(text: string, file: string): Outcome<ParsedDocument, DocumentFault> {
  const source = readSource(text, file);
  if (!source.ok) return failed(limited(source.fault, file));
  if (source.value.value === null) return failed(limited([source.value.problem({ ...empty })], file));
  const shape = DocumentSchema.safeParse(source.value.value, { error: () => "" });
  if (!shape.success) return failed(limited(located(explainIssues(shape.error.issues, source.value.value), source.value.problem), file));
  const findings = located(checkDocument(shape.data), source.value.problem);
  if (findings.some((problem) => problem.severity === "error")) return failed(limited(findings, file));
  return ok({ document: shape.data, warnings: findings, locate: (later) => located(later, source.value.problem) });
}

const empty: Finding = { severity: "error", path: [], at: "value", offset: 0, text: "the document is empty; it starts with podway: 1, name: NAME and nodes:" };

function located(findings: readonly Finding[], locate: (finding: Finding) => Problem): readonly Problem[] {
  return findings.map(locate).toSorted((a, b) => a.line - b.line || a.column - b.column);
}

function limited(problems: readonly Problem[], file: string): DocumentFault {
  const more = problems.length - limits.problems;
  if (more <= 0) return documentFault(problems);
  return documentFault([
    ...problems.slice(0, limits.problems),
    { severity: "error", file, line: 1, column: 1, path: "", text: `and ${more} more problems; repair these first` },
  ]);
}
