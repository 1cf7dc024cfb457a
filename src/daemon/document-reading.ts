/**
 * Text → a checked document → settings, and what another text would change. All that knows YAML and the schema hangs on this file:
 * 10 MB that a daemon needs for a moment, so nobody imports it but document-text.ts, at its first use, and the reader at the start.
 */
import { type CallerFault, callerFault, failed, ok, type Outcome } from "#base/fault.ts";
import { compileNode } from "#config/compile.ts";
import { diffDocuments, type DocumentChange, type HeldCidr } from "#config/diff.ts";
import { type ParsedDocument, parseDocument } from "#config/parse.ts";
import { type DocumentFault, documentFault } from "#config/problem.ts";
import { runPolicyTests } from "./policy-tests.ts";
import type { Document } from "#config/schema.ts";
import type { Reading } from "./document-text.ts";

/** `place` stands in front of line and column. */
export function interpret(text: string, place: string, node: string): Outcome<Reading, CallerFault> {
  const parsed = parseDocument(text, place);
  if (!parsed.ok) return parsed;
  const { document, warnings } = parsed.value,
    settings = compileNode(document, node);
  if (!settings.ok) return failed(callerFault(settings.fault.code, `${place}: ${settings.fault.text}`));
  const failing = failingTests(parsed.value);
  if (failing) return failed(failing);
  return ok({ text, document, settings: settings.value, warnings: warnings.map((problem) => `${problem.line}:${problem.column}: ${problem.text}`) });
}

/** Tests of policies that do not come out as the document expects: such a document is not taken. */
function failingTests({ document, locate }: ParsedDocument): DocumentFault | undefined {
  const { findings } = runPolicyTests(document);
  return findings.length === 0 ? undefined : documentFault(locate(findings));
}

export interface Comparison {
  readonly changes: readonly DocumentChange[];
  readonly document: Document;
}

/** What changes from `before` to `text`; `held` are CIDRs that must not be taken away. */
export function compare(before: Document, text: string, place: string, held: readonly HeldCidr[]): Outcome<Comparison, CallerFault> {
  const parsed = parseDocument(text, place);
  if (!parsed.ok) return parsed;
  const failing = failingTests(parsed.value);
  if (failing) return failed(failing);
  return ok({ changes: diffDocuments(before, parsed.value.document, held), document: parsed.value.document });
}
