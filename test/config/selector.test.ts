import { describe, expect, test } from "vitest";
import { parseSelector } from "#config/selector.ts";

const labels = new Map<string, readonly string[]>([
  ["rack", ["a"]],
  ["zone.example/room", ["r1"]],
  ["empty", [""]],
  ["node", ["n1"]],
  ["role", ["node", "reflector"]],
]);

describe("selectors that hold and that do not, for a node with rack a", () => {
  test.each([
    ["rack == 'a'", true],
    ['rack == "a"', true],
    ["rack == 'b'", false],
    ["rack != 'b'", true],
    ["rack != 'a'", false],
    ["floor == 'a'", false],
    ["floor != 'a'", true],
    ["rack in { 'a', 'b' }", true],
    ["rack in {'b','c'}", false],
    ["floor in { 'a' }", false],
    ["has(rack)", true],
    ["has(floor)", false],
    ["!has(floor)", true],
    ["!!has(rack)", true],
    ["empty == ''", true],
    ["zone.example/room == 'r1'", true],
    ["role == 'reflector'", true],
    ["role == 'node' && role == 'reflector'", true],
    ["role != 'reflector'", false],
    ["node == 'n1'", true],
    ["rack == 'a' && has(floor)", false],
    ["rack == 'b' || has(rack)", true],
    // && binds tighter than ||, ! tighter than both.
    ["rack == 'a' || has(floor) && has(floor)", true],
    ["(rack == 'a' || has(floor)) && has(floor)", false],
    ["!has(floor) && rack == 'a'", true],
    ["!(has(floor) && rack == 'a')", true],
    ["!has(rack) || rack == 'a'", true],
    ["rack=='a'&&has(rack)", true],
    ["  rack  ==  'a'  ", true],
    ["rack == 'it is \"a\"'", false],
  ])("%s → %s", (text, holds) => {
    const selector = parseSelector(text);
    expect(selector.ok && selector.value(labels)).toBe(holds);
    expect(selector.ok).toBe(true);
  });
});

describe("what is no selector says so, with the column", () => {
  test.each([
    ["", 1, "expected a label name, has(NAME), ! or ("],
    ["rack", 5, "expected ==, != or in after rack"],
    ["rack = 'a'", 6, "a single = means nothing; write =="],
    ["rack == a", 9, "expected a value in quotes; write 'a'"],
    ["rack ==", 8, "expected a value in quotes"],
    ["'a' == rack", 1, "a label name stands without quotes, before its 'value'"],
    ["rack == 'a", 9, "a quote is not closed; write 'a'"],
    ["rack == 'a' & has(b)", 13, "a single & means nothing; write &&"],
    ["rack == 'a' | has(b)", 13, "a single | means nothing; write ||"],
    ["rack == 'a' has(b)", 13, "expected && or || here"],
    ["rack == 'a' and has(b)", 13, "expected && or || here"],
    ["(rack == 'a'", 13, "expected )"],
    ["rack == 'a')", 12, "expected && or || here"],
    ["has rack", 5, "expected ==, != or in after has"],
    ["has('rack')", 5, "expected a label name in has(…), without quotes"],
    ["has(rack", 9, "expected )"],
    ["rack in 'a'", 9, "expected {"],
    ["rack in { a }", 11, "expected a value in quotes; write 'a'"],
    ["rack in { 'a' 'b' }", 15, "expected }"],
    ["rack in {}", 10, "expected a value in quotes"],
    ["rack > 'a'", 6, '">" means nothing'],
    ["!", 2, "expected a label name, has(NAME), ! or ("],
    ["rack == 'a' &&", 15, "expected a label name, has(NAME), ! or ("],
    [`${"(".repeat(40)}has(a)${")".repeat(40)}`, 34, "more than 32 levels of parentheses and !"],
    [`${"!".repeat(1000)}has(a)`, 34, "more than 32 levels of parentheses and !"],
  ])("%s", (text, column, says) => {
    const selector = parseSelector(text);
    expect(selector).toMatchObject({ ok: false, fault: { column, text: expect.stringContaining(`at column ${column} of the selector`) as string } });
    expect(!selector.ok && selector.fault.text).toContain(says);
  });
});
