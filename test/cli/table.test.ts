import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { columnsOf, printable, truncate, wrap } from "#cli/display-text.ts";
import { duration } from "#cli/duration.ts";
import { type Column, table } from "#cli/table.ts";
import type { Terminal } from "#cli/terminal.ts";

const same = (text: string): string => text;
const terminal = (width: number): Terminal => ({ width, height: Infinity, interactive: false, bold: same, dim: same, red: same, green: same, yellow: same });

const columns: readonly Column[] = [
  { head: "name", least: 6 },
  { head: "n", align: "right" },
  { head: "text", least: 8 },
  { head: "more", leaves: 1 },
  { head: "most", leaves: 2 },
];

describe("a table", () => {
  test("keeps everything where there is room", () => {
    expect(
      table(
        columns,
        [
          ["a", "10", "some text", "x", "y"],
          ["bc", "7", "t", "", "z"],
        ],
        terminal(Infinity),
      ),
    ).toEqual(["name   n  text       more  most", "a     10  some text  x     y", "bc     7  t                z"]);
  });

  test("lets the least important columns go first, then shortens the widest text", () => {
    const rows = [["a-long-name", "10", "some longer text", "xxxx", "yyyy"]];
    expect(table(columns, rows, terminal(30))[1]).toBe("a-long-n…  10  some lon…  xxxx");
    expect(table(columns, rows, terminal(22))[1]).toBe("a-long-…  10  some lo…");
  });

  test("fits whatever is in it, and never shortens a number", () => {
    const word = fc.string({ unit: "binary", maxLength: 40 });
    const row = fc.tuple(word, fc.nat().map(String), word, fc.constant("1234"), fc.constant("12"));
    fc.assert(
      fc.property(fc.array(row, { maxLength: 8 }), fc.integer({ min: 40, max: 200 }), (rows, width) => {
        const lines = table(columns, rows, terminal(width));
        expect(lines).toHaveLength(rows.length + 1);
        rows.forEach((cells, i) => {
          expect(columnsOf(lines[i + 1]!)).toBeLessThanOrEqual(width);
          expect(lines[i + 1]).toContain(cells[1]);
          expect(lines[i + 1]).toBe(printable(lines[i + 1]!));
        });
      }),
    );
  });

  test("counts wide characters as two columns and combining ones as none", () => {
    const lines = table(
      columns,
      [
        ["日本", "1", "e\u0301", "x", "y"],
        ["ab", "22", "🦊", "x", "y"],
      ],
      terminal(80),
    );
    expect(lines.map(columnsOf)).toEqual([26, 23, 23]);
    expect(new Set(lines.slice(1).map((line) => columnsOf(line.slice(0, line.indexOf("x")))))).toEqual(new Set([16]));
  });
});

describe("text", () => {
  test("is truncated by columns, not by characters", () => {
    expect([truncate("abcdef", 6), truncate("abcdef", 4), truncate("日本語", 4), truncate("abc", 1), truncate("abc", 0)]).toEqual([
      "abcdef",
      "abc…",
      "日…",
      "…",
      "",
    ]);
  });

  test("is wrapped at words, and a long word is left whole", () => {
    expect(wrap("one two three", 9, "  ")).toEqual(["  one two", "  three"]);
    expect(wrap("a 2001:db8:0:0:0:0:0:1/128 b", 12)).toEqual(["a", "2001:db8:0:0:0:0:0:1/128", "b"]);
    expect(wrap("", 10)).toEqual([]);
  });

  test.each([
    [0, "0s"],
    [-1, "0s"],
    [59.9, "59s"],
    [60, "1m"],
    [3_725, "1h 2m"],
    [3_605, "1h"],
    [86_400, "1d"],
    [90_061, "1d 1h"],
    [34_560_000, "400d"],
  ])("%d seconds are %s", (seconds, text) => expect(duration(seconds)).toBe(text));
});
