/** YAML text → plain value, with the line and column of every part of it. The only file that knows the yaml package. */
import { type Document as YamlDocument, LineCounter, isAlias, isMap, isNode, isPair, isScalar, isSeq, parseDocument as parseYaml } from "yaml";
import { type Outcome, failed, ok } from "#base/fault.ts";
import { limits } from "./limits.ts";
import { type Finding, type Path, type Problem, printPath } from "./problem.ts";

export interface DocumentSource {
  readonly value: unknown;
  /** Where a finding points. */
  problem(finding: Finding): Problem;
}

const tooDeep = `maps and lists are nested more than ${limits.documentDepth} deep; a topology needs no more than 8`;

/** Sentences of ours for the codes of the yaml package: its own messages may quote the text, and the text may hold a secret. */
const advice: Readonly<Record<string, string>> = {
  BAD_ALIAS: "an alias (*name) refers to an anchor (&name) that is not there; define it earlier or write the value out",
  BAD_INDENT: "this is not indented like its neighbours, or a bracket or quote before it is not closed; entries of one map or list start in one column",
  BLOCK_AS_IMPLICIT_KEY: 'a second key on one line; start a new line, or put the value in quotes if it contains ": "',
  BLOCK_IN_FLOW: "inside { } and [ ] entries are separated by commas, not by lines",
  RESOURCE_EXHAUSTION: tooDeep,
  MISSING_CHAR: "a quote, a bracket, a comma or the space after a colon is missing here",
  MULTIPLE_DOCS: "a second document starts here (---); one file holds one document",
  MULTILINE_IMPLICIT_KEY: "a key must stand on one line; a colon or a closing quote is missing",
  TAB_AS_INDENT: "a tab cannot indent YAML; use spaces",
  TAG_RESOLVE_FAILED: "tags (!name) mean nothing here; leave it out",
  UNEXPECTED_TOKEN: "this does not belong here; look for a bracket, a quote or a comma too many",
  BAD_SCALAR_START: "a plain value cannot start with this character; put the value in quotes",
  BAD_DQ_ESCAPE: "unknown escape in double quotes; write \\\\ for a backslash, or use single quotes",
};
const otherAdvice = "this is not YAML as Podway reads it; check brackets, quotes and indentation here";

/** Parses YAML 1.2 (JSON is part of it). Syntax errors, repeated keys and what cannot be a document are problems. */
export function readSource(text: string, file: string): Outcome<DocumentSource, readonly Problem[]> {
  const whole = (sentence: string): Outcome<never, readonly Problem[]> => failed([{ severity: "error", file, line: 1, column: 1, path: "", text: sentence }]);
  if (text.length > limits.documentOctets) return whole(`more than ${limits.documentOctets} octets; a document has to fit into one key of the store`);
  return readYaml(text, file);
}

function readYaml(text: string, file: string): Outcome<DocumentSource, readonly Problem[]> {
  const lines = new LineCounter();
  // Repeated keys are looked for below: the package compares every key with every other.
  const yaml = parseYaml(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    version: "1.2",
    schema: "core",
    stringKeys: true,
    logLevel: "error",
  });
  const problemAt = (offset: number, path: Path, sentence: string, severity: Problem["severity"] = "error"): Problem => {
    const { line, col } = lines.linePos(offset);
    return { severity, file, line: Math.max(1, line), column: Math.max(1, col), path: printPath(path), text: sentence };
  };
  // Only the first: the parser goes on after an error, and what it says then is mostly a consequence.
  const syntax = [...yaml.errors, ...yaml.warnings].toSorted((a, b) => a.pos[0] - b.pos[0])[0];
  if (syntax !== undefined) return failed([problemAt(syntax.pos[0], [], advice[syntax.code] ?? otherAdvice)]);
  const found = [...structure(yaml.contents, [], new Set())].map(({ offset, path, text: sentence }) => problemAt(offset, path, sentence));
  if (found.length > 0) return failed(found);
  const value = plainValue(yaml);
  if (!value.ok) return failed([problemAt(0, [], value.fault)]);
  return ok({ value: value.value, problem: (finding) => problemAt(offsetOf(yaml, finding), finding.path, finding.text, finding.severity) });
}

function plainValue(yaml: YamlDocument): Outcome<unknown, string> {
  try {
    return ok(yaml.toJS({ maxAliasCount: limits.documentAliases }));
  } catch (error) {
    // How the yaml package says that aliases multiply, or that one contains itself.
    if (error instanceof ReferenceError) return failed("too many aliases (*name), or one that contains itself; write the values out");
    throw error;
  }
}

interface Misfit {
  readonly offset: number;
  readonly path: Path;
  readonly text: string;
}

/**
 * What is valid YAML and yet no document: keys twice, a key that JavaScript treats as special, aliases to nothing, nesting
 * without end. `anchors` are those seen so far; an alias refers to an earlier one (YAML 1.2.2 §7.1).
 */
function* structure(node: unknown, path: Path, anchors: Set<string>): Iterable<Misfit> {
  const offset = rangeOf(node)?.[0] ?? 0;
  if (isNode(node) && !isAlias(node) && node.anchor !== undefined) anchors.add(node.anchor);
  if (path.length > limits.documentDepth) yield { offset, path: [], text: tooDeep };
  else if (isAlias(node) && !anchors.has(node.source)) yield { offset, path, text: advice["BAD_ALIAS"]! };
  else if (isSeq(node)) for (const [i, item] of node.items.entries()) yield* structure(item, [...path, i], anchors);
  else if (isMap(node)) {
    const seen = new Set<string>();
    for (const pair of node.items) {
      const key = keyOf(pair);
      const at = rangeOf(pair.key)?.[0] ?? offset;
      if (seen.has(key)) yield { offset: at, path: [...path, key], text: "this key stands here a second time; keep one of them" };
      if (key === "__proto__") yield { offset: at, path: [...path, key], text: "this name cannot be used as a key; choose another" };
      seen.add(key);
      yield* structure(pair.value, [...path, key], anchors);
    }
  }
}

/** Offset of what a finding means, or of the nearest part above it that is written down. */
function offsetOf(yaml: YamlDocument, finding: Finding): number {
  let node: unknown = yaml.contents;
  let key: readonly number[] | undefined,
    value = rangeOf(node);
  for (const part of finding.path) {
    if (isAlias(node)) node = node.resolve(yaml);
    const item: unknown = isMap(node) ? node.items.find((pair) => keyOf(pair) === String(part)) : isSeq(node) ? node.items[Number(part)] : undefined;
    if (item === undefined) return (key ?? value)?.[0] ?? 0;
    [key, node] = isPair(item) ? [rangeOf(item.key), item.value] : [undefined, item];
    value = rangeOf(node) ?? key;
  }
  if (finding.at === "key") return (key ?? value)?.[0] ?? 0;
  return (value?.[0] ?? 0) + (finding.offset > 0 ? textOffset(node, finding.offset) : 0);
}

/** Characters from the start of a scalar's source to the `offset`-th of its text; exact where one line holds it as it stands. */
function textOffset(node: unknown, offset: number): number {
  if (!isScalar(node) || node.type === "BLOCK_FOLDED" || node.type === "BLOCK_LITERAL") return 0;
  return node.type === "PLAIN" ? offset : offset + 1;
}

const rangeOf = (node: unknown): readonly number[] | undefined => (node as { range?: readonly number[] | null } | null)?.range ?? undefined;
const keyOf = (pair: { readonly key: unknown }): string => String(isScalar(pair.key) ? (pair.key.value ?? "") : pair.key);
