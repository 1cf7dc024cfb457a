/** The tree as the law sees it: files with their text, their code without comments and strings, and their imports. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { notTheTree } from "./house.ts";

export interface SourceFile {
  /** From the top of the tree, with slashes. */
  readonly path: string;
  readonly text: string;
}

export interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

export const top = fileURLToPath(new URL("../..", import.meta.url));
const binary = /\.(png|gz|bz2|mrt|bin|pcap)$/;

/** Every text file of the working tree that is part of it. */
export function readTree(folder = ""): SourceFile[] {
  const out: SourceFile[] = [];
  for (const entry of readdirSync(join(top, folder), { withFileTypes: true })) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (notTheTree.test(entry.name) || (folder.startsWith("test/") && entry.name === "out")) continue;
    if (entry.isDirectory()) out.push(...readTree(path));
    else if (entry.isFile() && !binary.test(path)) out.push({ path, text: readFileSync(join(top, path), "utf8") });
  }
  return out;
}

const importForms = [
  /(?:^|[;\n])\s*(?:import|export)\s+(type\s+)?[\w$*{},\s]*?\bfrom\s*(["'])(.+?)\2/g,
  /(?:^|[;\n])\s*import\s*()(["'])(.+?)\2/g,
  /\b(typeof\s+)?import\(\s*(["'])(.+?)\2/g,
];

/** Static, re-exporting, bare and dynamic imports of a file. */
export function importsOf({ path, text }: SourceFile): Import[] {
  const code = blank(text, { strings: false });
  const out: Import[] = [];
  for (const form of importForms) for (const [, type, , to] of code.matchAll(form)) out.push({ from: path, to: to!, typeOnly: Boolean(type) });
  return out;
}

/** The code alone: comments and the insides of strings become blanks, line ends stay. Expressions within `${}` are code. */
export function codeOf({ text }: SourceFile): string {
  return blank(text, { strings: true });
}

const token = /\/\/[^\n]*|\/\*[^]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`|[{}]|\/(?![/*])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g;
const beforeRegex = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else|void|yield|await))\s*$/;

function blank(text: string, { strings }: { readonly strings: boolean }): string {
  const out: string[] = [];
  const open: ("{" | "${")[] = [];
  const scan = new RegExp(token);
  let at = 0;
  for (let found = scan.exec(text); found; found = scan.exec(text)) {
    const [piece] = found;
    if (piece[0] === "/" && piece[1] !== "/" && piece[1] !== "*" && !beforeRegex.test(text.slice(Math.max(0, found.index - 80), found.index))) {
      scan.lastIndex = found.index + 1; // a division
      continue;
    }
    out.push(text.slice(at, found.index));
    at = scan.lastIndex;
    const endsTemplate = piece === "}" && open.pop() === "${";
    if (piece === "{") open.push("{");
    if (piece === "`" || endsTemplate) {
      at = scan.lastIndex = templateEnd(text, scan.lastIndex);
      if (text.endsWith("${", at)) open.push("${");
      out.push(spaces(text.slice(found.index, at)));
    } else out.push(piece === "{" || piece === "}" || (!strings && /^["']/.test(piece)) ? piece : spaces(piece));
  }
  out.push(text.slice(at));
  return out.join("");
}

/** The offset behind the next "`" or "${" of a template whose text starts at `from`. */
function templateEnd(text: string, from: number): number {
  const end = /(?:[^`\\$]|\\[^]|\$(?!\{))*(?:`|\$\{)/y;
  end.lastIndex = from;
  return end.test(text) ? end.lastIndex : text.length;
}

const spaces = (piece: string): string => piece.replace(/[^\n]/g, " ");
