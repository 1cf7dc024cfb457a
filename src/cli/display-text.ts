/**
 * Text as a terminal shows it. Names and reasons may come from strangers (a peer's shutdown message, a label in a file):
 * nothing of theirs may move the cursor, change colours or turn the writing direction.
 */

/** `text` on one line, every control or formatting character replaced. */
export function printable(text: string): string {
  return plain.test(text) ? text : text.replace(/[\t\n\r]+/g, " ").replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, "\u{FFFD}");
}

/** Columns that printable text takes: two for East Asian wide characters and emoji, none for combining marks. */
export function columnsOf(text: string): number {
  if (plain.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += columnsOfCharacter(character);
  return columns;
}

/** `text` in at most `columns`; what is cut off is told by "…". */
export function truncate(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  let out = "",
    used = 1;
  for (const character of text) {
    used += columnsOfCharacter(character);
    if (used > columns) break;
    out += character;
  }
  return columns < 1 ? "" : `${out}…`;
}

/** Lines of at most `columns`, each after `indent`; a word that is longer than a line stands alone and is not cut. */
export function wrap(text: string, columns: number, indent = ""): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of printable(text)
    .split(" ")
    .filter((part) => part !== "")) {
    if (line !== "" && indent.length + columnsOf(line) + 1 + columnsOf(word) > columns) {
      lines.push(indent + line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return line === "" ? lines : [...lines, indent + line];
}

const plain = /^[\x20-\x7e]*$/;
const wide =
  /[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\u{3000}-\u{303E}\u{FF01}-\u{FF60}\u{FFE0}-\u{FFE6}]/u;

function columnsOfCharacter(character: string): number {
  if (/^\p{M}$/u.test(character)) return 0;
  return wide.test(character) ? 2 : 1;
}
