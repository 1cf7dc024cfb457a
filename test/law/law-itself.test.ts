import { describe, expect, test } from "vitest";
import { judge } from "./breaches.ts";
import { budgets, topLevel } from "./house.ts";
import { codeOf, importsOf, type SourceFile } from "./source.ts";

const readmes = ["src", "src/base", "src/wire", "src/bgp", "src/ports", "src/adapters", "src/api", "src/cli", "src/config", "src/daemon"].map((room) => ({
  path: `${room}/README.md`,
  text: "",
}));
const sound: readonly SourceFile[] = [
  ...readmes,
  { path: "src/base/ip.ts", text: "export const zero = 0;\n" },
  { path: "src/bgp/speaker.ts", text: 'import { zero } from "#base/ip.ts";\nexport const one = zero + 1; // await nobody, Date.now()\n' },
];
const breachesOf = (...more: readonly SourceFile[]): readonly string[] => judge([...sound, ...more]).breaches;
const file = (path: string, text: string): SourceFile => ({ path, text });

test("a sound tree has no breach", () => {
  expect(breachesOf()).toEqual([]);
});

describe("the law fails when it sees", () => {
  test("nothing", () => {
    expect(judge([]).breaches.join()).toContain("saw no source file");
    expect(judge([...readmes, file("src/base/ip.ts", "export const a = 1;\n")]).breaches.join()).toContain("saw no import");
  });

  const planted: readonly (readonly [string, SourceFile, string])[] = [
    ["an import upwards", file("src/wire/a.ts", 'import { x } from "#bgp/speaker.ts";\n'), "may not import #bgp/speaker.ts"],
    ["a type imported upwards", file("src/base/a.ts", 'import type { X } from "#wire/bgp.ts";\n'), "may not import #wire/bgp.ts"],
    ["a dynamic import upwards", file("src/wire/a.ts", 'const x = import("#bgp/speaker.ts");\n'), "may not import #bgp/speaker.ts"],
    ["a bare import upwards", file("src/wire/a.ts", 'import "#bgp/speaker.ts";\n'), "may not import #bgp/speaker.ts"],
    ["an import over several lines", file("src/wire/a.ts", 'import {\n  x,\n  type Y,\n} from "#bgp/speaker.ts";\n'), "may not import #bgp/speaker.ts"],
    ["machines that know each other", file("src/bgp/a.ts", 'import { x } from "#config/schema.ts";\n'), "may not import #config/schema.ts"],
    ["a relative path out of the room", file("src/wire/a.ts", 'import { x } from "../bgp/speaker.ts";\n'), "leaves its room"],
    ["a door that reaches into the daemon", file("src/cli/a.ts", 'import { x } from "#daemon/drive.ts";\n'), "may not import #daemon/drive.ts"],
    ["an import without its ending", file("src/bgp/a.ts", 'import { x } from "./speaker";\n'), "lacks its .ts"],
    ["node: on a silent floor", file("src/bgp/a.ts", 'import { readFileSync } from "node:fs";\n'), "may not touch node:fs"],
    ["a module of Node that a door may not touch", file("src/api/a.ts", 'import { spawn } from "node:child_process";\n'), "may not touch node:child_process"],
    ["rxjs outside the daemon", file("src/adapters/a.ts", 'import { map } from "rxjs/operators";\n'), "may not import the package rxjs"],
    ["a scoped package in the wrong room", file("src/cli/a.ts", 'import { serve } from "@hono/node-server";\n'), "package @hono/node-server"],
    ["an unknown room", file("src/attic/a.ts", "export const a = 1;\n"), "stands in no room"],
    ["a room without README", file("src/ipam/a.ts", "export const a = 1;\n"), "src/ipam/README.md is missing"],
    ["too long a file", file("src/wire/a.ts", "//\n".repeat(budgets.fileLines + 1)), `the limit is ${budgets.fileLines}`],
    ["too long a comment", file("src/wire/a.ts", `// ${"x".repeat(budgets.lineCharacters)}\n`), "longer than"],
    ["too long a line", file("src/wire/a.ts", `${"f(); ".repeat(budgets.lineCharacters / 4)}\n`), "longer than"],
    ["a barrel", file("src/wire/a.ts", 'export * from "./b.ts";\n'), "hands on"],
    ["a barrel with names", file("src/wire/a.ts", 'export { x, type Y } from "./b.ts";\n'), "hands on"],
    ["a name that says nothing", file("src/wire/bgp-utils.ts", ""), "says nothing"],
    ["an index", file("test/wire/index.ts", ""), "says nothing"],
    ["a name in camelCase", file("src/wire/asPath.ts", ""), "kebab-case"],
    ["a path of one machine", file("deploy/a.conf", `exec=${["", "home", "somebody", "podway"].join("/")}\n`), "a path of one machine"],
    ["a download address in the lock", file("package-lock.json", `"resolved": "${["https:", "", "somewhere", "x.tgz"].join("/")}"\n`), "a download address"],
    ["a download address in the settings of npm", file(".npmrc", "registry = https://somewhere\n"), "a download address"],
    ["a stranger on the top level", file("vitest.config.ts", ""), "does not belong on the top level"],
  ];
  test.each(planted)("%s", (_name, breach, said) => {
    expect(breachesOf(breach).join("\n")).toContain(said);
  });

  const words: readonly (readonly [string, string])[] = [
    ["async", "export const f = async () => 1;"],
    ["await", "await x;"],
    ["Promise", "let a: Promise<void>;"],
    ["setTimeout", "setTimeout(f, 1);"],
    ["setInterval", "setInterval(f, 1);"],
    ["setImmediate", "setImmediate(f);"],
    ["queueMicrotask", "queueMicrotask(f);"],
    ["Date.now", "const t = Date.now();"],
    ["new Date", "const t = new Date();"],
    ["performance", "performance.now();"],
    ["Math.random", "Math.random();"],
    ["process", "process.exit(1);"],
    ["console", "console.log(1);"],
    ["process", "`${process.pid}`;"],
  ];
  test.each(words)("%s on a silent floor: %s", (word, text) => {
    expect(breachesOf(file("src/bgp/a.ts", `${text}\n`)).join()).toContain(`do not say ${word}`);
  });

  test("a median above the budget", () => {
    const fat = Array.from({ length: 9 }, (_, i) => file(`src/wire/fat-${i}.ts`, "//\n".repeat(budgets.medianLines + 1)));
    expect(breachesOf(...fat).join()).toContain("the median file has");
  });
});

describe("the law lets pass", () => {
  test("promises in ports, any length in hot files, control.ts for the doors", () => {
    expect(
      breachesOf(
        file("src/ports/net.ts", "export interface Net { connect(): Promise<void> }\n"),
        file("src/bgp/rib/scan.ts", "//\n".repeat(500)),
        file("src/api/server.ts", 'import type { Control } from "#daemon/control.ts";\nimport { stream } from "hono/streaming";\n'),
      ),
    ).toEqual([]);
  });

  test("a sentence for a person, in one piece", () => {
    expect(breachesOf(file("src/wire/a.ts", `  throw new Broken("${"x".repeat(budgets.lineCharacters)}");\n`))).toEqual([]);
  });

  test("every entry of the top level", () => {
    expect(breachesOf(...topLevel.map((name) => file(name, "")))).toEqual([]);
  });
});

test("comments, strings and patterns are not code; expressions in templates are", () => {
  const text = 'const a = "await"; // await\nconst b = /["`]await/.test(a) ? `await ${f({ a: `${b}` })} await` : 4 / 2 / 1; /* await\n */ g("`"); h();\n';
  const code = codeOf(file("src/a.ts", text));
  expect(code).not.toContain("await");
  expect(code).toContain("f({ a:");
  expect(code).toContain("4 / 2 / 1");
  expect(code).toContain("h();");
  expect(code.split("\n")).toHaveLength(text.split("\n").length);
});

test("imports in comments and strings are not imports", () => {
  const text = '// import { a } from "#base/a.ts";\nimport type { B } from "#base/b.ts";\nconst c = `\nimport "x"`;\n';
  expect(importsOf(file("src/wire/a.ts", text)).map(({ to, typeOnly }) => [to, typeOnly])).toEqual([["#base/b.ts", true]]);
});
