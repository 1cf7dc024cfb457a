/** zod's issues → findings a person can act on: where, what is wrong, what would be right. */
import type { z } from "zod";
import { listNames, nearestName } from "./nearest-name.ts";
import { type Finding, type Path, printPath, wrong } from "./problem.ts";
import { type JsonSchema, documentJsonSchema } from "./schema.ts";

type Issue = z.core.$ZodIssue;

/** Findings of all issues. A key that is missing because it is mistyped beside is told once, as the mistyped one. */
export function explainIssues(issues: readonly Issue[], document: unknown): readonly Finding[] {
  const findings = issues.flatMap((issue) => explainIssue(issue, document));
  const meant = new Set(findings.flatMap((finding) => (finding.meant === undefined ? [] : [printPath([...finding.path.slice(0, -1), finding.meant])])));
  return findings.filter((finding) => !meant.has(printPath(finding.path)));
}

interface Explained extends Finding {
  /** The known key an unknown one was probably meant to be. */
  readonly meant?: string;
}

/**
 * Findings of one issue. `document` is the value that was checked. Issues must come from a parse whose error map answers ""
 * (parse.ts), so that an issue with a message has one that the schema wrote (scalar-schema.ts says of which two kinds).
 */
function explainIssue(issue: Issue, document: unknown, base: Path = []): readonly Explained[] {
  const path = [...base, ...(issue.path as (string | number)[])];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownKey(key, path));
    case "invalid_key":
      return issue.issues
        .slice(0, 1)
        .map((inner) => wrong(path, `${inner.message === "" ? "not a known name" : `expected ${inner.message}`}${keySuggestion(path)}`, "key"));
    case "invalid_union":
      return explainUnion(issue, document, path);
    case "custom":
      return [{ ...wrong(path, customText(issue, valueAt(document, path))), offset: (issue.params?.["column"] ?? 1) - 1 }];
    default:
      return [wrong(path, plainText(issue, valueAt(document, path), path))];
  }
}

/** The branch that was meant is the one with the fewest objections; a value of no branch's kind gets the union's own sentence. */
function explainUnion(issue: Extract<Issue, { code: "invalid_union" }>, document: unknown, path: Path): readonly Explained[] {
  const value = valueAt(document, path);
  if (value === undefined) return [wrong(path, missing(path))];
  const branches = issue.errors.filter(
    (branch) => !branch.some((inner) => inner.path.length === 0 && (inner.code === "invalid_type" || inner.code === "invalid_value")),
  );
  const meant = branches.toSorted((a, b) => a.length - b.length)[0];
  if (meant === undefined) return [wrong(path, issue.message === "" ? `unexpected ${kindOf(value)}` : issue.message)];
  return meant.flatMap((inner) => explainIssue(inner, document, path));
}

function customText(issue: Extract<Issue, { code: "custom" }>, value: unknown): string {
  return issue.params?.["sentence"] === true ? issue.message : `expected ${issue.message}, not ${printValue(value)}`;
}

function plainText(issue: Issue, value: unknown, path: Path): string {
  if (value === undefined) return missing(path);
  switch (issue.code) {
    case "invalid_type":
      return `expected ${kindNames[issue.expected] ?? issue.expected}, not ${kindOf(value)}${quoteAdvice(issue.expected, value)}`;
    case "invalid_value":
      return `${oneOf(issue.values)}, not ${printValue(value)}${suggestion(value, issue.values.map(String))}`;
    case "too_small":
    case "too_big":
      return sizeText(issue, value);
    default:
      return `expected ${issue.message === "" ? "another form" : issue.message}, not ${printValue(value)}`;
  }
}

function sizeText(issue: Extract<Issue, { code: "too_small" | "too_big" }>, value: unknown): string {
  const bound = issue.code === "too_small" ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
  if (Array.isArray(value)) return `expected ${bound} entries, not ${value.length}`;
  return typeof value === "string" ? `expected ${bound} characters, not ${value.length}` : `expected ${bound}, not ${printValue(value)}`;
}

function missing(path: Path): string {
  const { description } = schemaAt(path) ?? {};
  return `is missing; add it${description === undefined ? "" : ` (${description.replace(/\.$/, "")})`}`;
}

function unknownKey(key: string, path: Path): Explained {
  const known = knownKeys(path);
  // known to another form of this entry
  if (known.includes(key)) return wrong([...path, key], "cannot stand beside the other keys here; leave it out, or them", "key");
  const meant = nearestName(key, known);
  const advice = meant === undefined ? `the keys here are ${listNames(known)}` : `did you mean ${JSON.stringify(meant)}?`;
  return { ...wrong([...path, key], `unknown key; ${advice}`, "key"), ...(meant === undefined ? {} : { meant }) };
}

function keySuggestion(path: Path): string {
  const word = String(path.at(-1));
  const lower = word.toLowerCase();
  return lower !== word && /^[a-z0-9-]+$/.test(lower) ? `; write ${lower}` : "";
}

const oneOf = (values: readonly unknown[]): string => (values.length === 1 ? `expected ${String(values[0])}` : `expected one of ${values.join(", ")}`);

function suggestion(value: unknown, known: readonly string[]): string {
  const near = typeof value === "string" ? nearestName(value, known) : undefined;
  return near === undefined ? "" : `; did you mean ${JSON.stringify(near)}?`;
}

const kindNames: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "a map of keys",
  record: "a map of names",
  array: "a list",
};

/** Kind of a value, with the value itself where it is a number or true/false; text is not repeated, it may be a misplaced secret. */
function kindOf(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  if (typeof value === "string") return "text";
  if (typeof value === "number") return Number.isFinite(value) ? `${value}` : ".nan or .inf";
  return typeof value === "boolean" ? `${value}` : typeof value;
}

function quoteAdvice(expected: string, value: unknown): string {
  if ((expected === "number" || expected === "int") && typeof value === "string" && /^\d+$/.test(value)) return "; write it without quotes";
  return expected === "string" && (Number.isFinite(value) || typeof value === "boolean") ? `; write "${kindOf(value)}"` : "";
}

function printValue(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value) : kindOf(value);
}

function valueAt(document: unknown, path: Path): unknown {
  let value = document;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

let printed: JsonSchema | undefined;

/** The schema of what may stand at `path`: the same words the manual prints. */
function schemaAt(path: Path): JsonSchema | undefined {
  let schema: JsonSchema | undefined = (printed ??= documentJsonSchema());
  for (const part of path)
    schema = alternatives(schema)
      .map((one) => step(one, part))
      .find((one) => one !== undefined);
  return schema;
}

function step(schema: JsonSchema, part: string | number): JsonSchema | undefined {
  if (typeof part === "number") return schema.items;
  if (schema.properties && Object.hasOwn(schema.properties, part)) return schema.properties[part];
  return typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined;
}

const alternatives = (schema: JsonSchema | undefined): readonly JsonSchema[] =>
  schema === undefined ? [] : (schema.anyOf ?? [schema]).flatMap((one) => (one.anyOf ? alternatives(one) : [one]));

const knownKeys = (path: Path): readonly string[] => alternatives(schemaAt(path)).flatMap((one) => Object.keys(one.properties ?? {}));
