/** No text brings the reader down: whatever happens to a document, the answer is a document or problems that point into it. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { compileNode } from "#config/compile.ts";
import { diffDocuments } from "#config/diff.ts";
import { parseDocument } from "#config/parse.ts";
import { goodDocument, quickstart } from "./topology.ts";

/** Milliseconds a property may take on a busy machine. */
const patience = 60_000;
const base = goodDocument(quickstart);

/** What every answer must be. Returns whether the text was a document. */
function judge(text: string): boolean {
  const parsed = parseDocument(text, "q.yaml");
  const problems = parsed.ok ? parsed.value.warnings : parsed.fault.problems;
  const lines = text.split("\n");
  for (const { line, column, text: sentence } of problems) {
    expect(line).toBeGreaterThanOrEqual(1);
    expect(line).toBeLessThanOrEqual(lines.length);
    expect(column).toBeGreaterThanOrEqual(1);
    expect(column).toBeLessThanOrEqual(lines[line - 1]!.length + 1);
    expect(sentence).not.toMatch(/undefined|\[object|NaN|\p{Cc}/u);
  }
  if (!parsed.ok) {
    expect(problems.length).toBeGreaterThan(0);
    return false;
  }
  const { document } = parsed.value;
  for (const name of Object.keys(document.nodes)) expect(compileNode(document, name)).toMatchObject({ ok: true, value: { node: name } });
  expect(diffDocuments(document, document, [])).toEqual([]);
  for (const change of diffDocuments(base, document, [])) expect(change.text.length).toBeGreaterThan(0);
  return true;
}

const words = [
  "podway",
  "name",
  "asn",
  "store",
  "etcd",
  "none",
  "embedded",
  "off",
  "pools",
  "nodes",
  "peers",
  "lab",
  "address",
  "address6",
  "listen",
  "roles",
  "reflector",
  "n1",
  "rr1",
  "10.42.0.0/16",
  "10.0.0.21",
  "fd42::/48",
  "::",
  "0",
  "-1",
  "1e9",
  "1.5",
  ".nan",
  ".inf",
  "true",
  "null",
  "~",
  "[]",
  "{}",
  "[",
  "]",
  "{",
  "}",
  ":",
  ": ",
  ", ",
  "- ",
  "\n",
  "\n  ",
  "\t",
  "'",
  '"',
  "#",
  "&a ",
  "*a",
  "!t ",
  "<<: *a",
  "---\n",
  "...\n",
  "? ",
  "| \n",
  "> \n",
  "%YAML 1.1\n",
  "__proto__",
  "constructor",
  "toString",
  "\u0000",
  "\ufeff",
  "\u2028",
  "é",
  "💥",
  "\r",
];

const mutation = fc.record({
  at: fc.nat(quickstart.length),
  length: fc.oneof(fc.constant(0), fc.nat(12), fc.nat(200)),
  insert: fc.oneof(fc.constant(""), fc.constantFrom(...words), fc.string({ maxLength: 8 })),
});
const apply = (text: string, { at, length, insert }: { readonly at: number; readonly length: number; readonly insert: string }): string =>
  text.slice(0, at) + insert + text.slice(at + length);

test(
  "a document with up to eight random wounds",
  () => {
    let good = 0,
      bad = 0;
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 8 }), (wounds) => {
        if (judge(wounds.reduce(apply, quickstart))) good++;
        else bad++;
      }),
      { numRuns: 600 },
    );
    // The property saw both kinds, or it has proven nothing.
    expect([good > 0, bad > 200]).toEqual([true, true]);
  },
  patience,
);

test(
  "a document with one value exchanged for another of its own",
  () => {
    const scalars = [...quickstart.matchAll(/(?<=[:[,] )[^\s,{}[\]]+/g)];
    expect(scalars.length).toBeGreaterThan(50);
    let good = 0;
    fc.assert(
      fc.property(fc.nat(scalars.length - 1), fc.oneof(fc.nat(scalars.length - 1), fc.constantFrom(...words)), (which, other) => {
        const { index, 0: old } = scalars[which]!;
        const young = typeof other === "number" ? scalars[other]![0] : other;
        if (judge(quickstart.slice(0, index) + young + quickstart.slice(index + old.length))) good++;
      }),
      // a key of one form of an entry beside the keys of another
      { numRuns: 600, examples: [[50, 54]] },
    );
    expect(good).toBeGreaterThan(0);
  },
  patience,
);

test(
  "text that never was a document",
  () => {
    const soup = fc.array(fc.constantFrom(...words), { maxLength: 40 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(fc.oneof(soup, fc.string({ unit: "binary", maxLength: 200 })), (text) => {
        judge(text);
      }),
      { numRuns: 800 },
    );
  },
  patience,
);
