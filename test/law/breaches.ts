/** Compares a tree with the house. Pure: the tests feed it the real tree, and a broken one of each kind. */
import { bannedWords, budgets, emptyNames, foreignAddresses, goodName, hotFiles, lastSilentFloor, type Room, rooms, topLevel } from "./house.ts";
import { codeOf, type Import, importsOf, type SourceFile } from "./source.ts";

/** What the law looked at: a law that saw nothing is broken, not the code clean. */
export interface Seen {
  readonly files: number;
  readonly imports: number;
  readonly medianLines: number;
}
export interface Verdict {
  readonly breaches: readonly string[];
  readonly seen: Seen;
}

export function judge(tree: readonly SourceFile[]): Verdict {
  const sources = tree.filter(({ path }) => /^src\/.*\.ts$/.test(path));
  const imports = sources.flatMap(importsOf);
  const lines = sources
    .filter(({ path }) => !isHot(path))
    .map(countLines)
    .sort((a, b) => a - b);
  const seen = { files: sources.length, imports: imports.length, medianLines: lines[lines.length >> 1] ?? 0 };
  const breaches = [
    ...sawNothing(seen),
    ...sources.flatMap(inRoom),
    ...imports.flatMap(importBreaches),
    ...sources.flatMap(wordBreaches),
    ...sources.flatMap(sizeBreaches),
    ...sources.flatMap(barrelBreaches),
    ...medianBreach(seen),
    ...tree.flatMap(nameBreaches),
    ...tree.flatMap(addressBreaches),
    ...missingReadmes(tree),
    ...strangersAtTheTop(tree),
  ];
  return { breaches, seen };
}

function sawNothing(seen: Seen): string[] {
  if (seen.files === 0) return ["the law saw no source file at all: it is broken, not the code clean"];
  return seen.imports === 0 ? ["the law saw no import at all: it is broken, not the code clean"] : [];
}

const isHot = (path: string): boolean => hotFiles.some((hot) => hot.test(path));
const countLines = ({ text }: SourceFile): number => text.split("\n").length - 1;
const roomName = (path: string): string => /^src\/([^/]+)\//.exec(path)?.[1] ?? "entry";
const roomOf = (path: string): Room | undefined => rooms[roomName(path)];
const isSilent = (path: string): boolean => (roomOf(path)?.floor ?? 0) <= lastSilentFloor;

function inRoom({ path }: SourceFile): string[] {
  return roomOf(path) ? [] : [`${path}: stands in no room of the house`];
}

function importBreaches({ from, to }: Import): string[] {
  const room = roomOf(from);
  if (!room) return [];
  if (to.startsWith("node:")) return nodeBreaches(from, to, room);
  if (to.startsWith("#")) return roomBreaches(from, to, room);
  if (to.startsWith(".")) return relativeBreaches(from, to);
  const name = to.split("/", to.startsWith("@") ? 2 : 1).join("/");
  return room.npm.includes(name) ? [] : [`${from}: room ${roomName(from)} may not import the package ${name}`];
}

function nodeBreaches(from: string, to: string, room: Room): string[] {
  const allowed = room.node === "any" || (room.node !== "none" && room.node.includes(to.slice("node:".length)));
  return allowed ? [] : [`${from}: floor ${room.floor} may not touch ${to}`];
}

function roomBreaches(from: string, to: string, room: Room): string[] {
  const match = /^#([a-z]+)\/(.+\.ts)$/.exec(to);
  if (!match) return [`${from}: ${to} is no "#room/file.ts"`];
  const [, name, file] = match;
  if (name === roomName(from)) return [`${from}: ${to} is in its own room; import it relatively`];
  return room.may.includes(name!) || room.may.includes(`${name}/${file}`)
    ? []
    : [`${from}: may not import ${to} (${roomName(from)} stands on floor ${room.floor})`];
}

/** Relative imports stay within their room; the entries reach rooms by `#`. */
function relativeBreaches(from: string, to: string): string[] {
  const target = new URL(to, `file:///${from}`).pathname.slice(1);
  if (!to.endsWith(".ts")) return [`${from}: ${to} lacks its .ts`];
  return target.startsWith("src/") && roomName(target) === roomName(from) ? [] : [`${from}: ${to} leaves its room; write "#room/file.ts"`];
}

function wordBreaches(file: SourceFile): string[] {
  if (!isSilent(file.path)) return [];
  const code = codeOf(file);
  const inPorts = roomName(file.path) === "ports";
  return bannedWords
    .filter((word) => !(word.inPorts && inPorts) && word.pattern.test(code))
    .map(({ name, pattern }) => `${file.path}:${lineOf(code, pattern)}: floors 0 to ${lastSilentFloor} do not say ${name}`);
}

const lineOf = (text: string, pattern: RegExp): number => text.slice(0, text.search(pattern)).split("\n").length;

function sizeBreaches(file: SourceFile): string[] {
  if (isHot(file.path)) return [];
  const out: string[] = [];
  const lines = countLines(file);
  if (lines > budgets.fileLines) out.push(`${file.path}: ${lines} lines, the limit is ${budgets.fileLines}`);
  const long = tooLong(file);
  if (long >= 0) out.push(`${file.path}:${long + 1}: longer than ${budgets.lineCharacters} characters`);
  return out;
}

/** Index of the first line over the limit. A string is not counted: a sentence for a person stays in one piece. */
function tooLong(file: SourceFile): number {
  const code = codeOf(file).split("\n");
  const size = (line: string, i: number): number => (/^\s*(\/\/|\/?\*)/.test(line) ? line.length : code[i]!.replace(/(?<=\S) {2,}/g, " ").length);
  return file.text.split("\n").findIndex((line, i) => line.length > budgets.lineCharacters && size(line, i) > budgets.lineCharacters);
}

function medianBreach({ medianLines }: Seen): string[] {
  return medianLines > budgets.medianLines ? [`the median file has ${medianLines} lines, the budget is ${budgets.medianLines}`] : [];
}

function barrelBreaches(file: SourceFile): string[] {
  const barrel = /(?:^|\n)\s*export\s+(?:type\s+)?(?:\*|\{[^}]*\})\s*(?:as\s+\w+\s*)?from\b/;
  const code = codeOf(file);
  return barrel.test(code) ? [`${file.path}:${lineOf(code, barrel)}: hands on another file's exports; the file name is the public name`] : [];
}

function nameBreaches({ path }: SourceFile): string[] {
  if (!/^(src|test|deploy)\/.*\.(ts|mjs|js|mts)$/.test(path)) return [];
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (emptyNames.test(name)) return [`${path}: a name that says nothing`];
  return goodName.test(name) ? [] : [`${path}: file names are nouns in kebab-case, .ts or .mjs`];
}

function addressBreaches({ path, text }: SourceFile): string[] {
  return foreignAddresses.filter(({ pattern }) => pattern.test(text)).map(({ name, pattern }) => `${path}:${lineOf(text, pattern)}: ${name}`);
}

function missingReadmes(tree: readonly SourceFile[]): string[] {
  const paths = new Set(tree.map(({ path }) => path));
  const lived = new Set(tree.filter(({ path }) => /^src\/[^/]+\/.*\.ts$/.test(path)).map(({ path }) => roomName(path)));
  const wanted = ["src/README.md", ...[...lived].map((room) => `src/${room}/README.md`)];
  return wanted.filter((path) => !paths.has(path)).map((path) => `${path} is missing: every room says what it is`);
}

function strangersAtTheTop(tree: readonly SourceFile[]): string[] {
  const entries = new Set(tree.map(({ path }) => path.split("/")[0]!));
  return [...entries].filter((name) => !(topLevel as readonly string[]).includes(name)).map((name) => `${name}: does not belong on the top level`);
}
