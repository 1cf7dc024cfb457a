import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const top = fileURLToPath(new URL("../..", import.meta.url));
const isRoot = process.getuid?.() === 0;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "podway-start-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
}

/** Resolves when `child` has ended; `heard` sees all output so far whenever more comes. */
function ended(child: ChildProcess, heard: (out: string) => void = () => {}): Promise<Ended> {
  let out = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on("data", (chunk: Buffer) => {
      out += chunk.toString();
      heard(out);
    });
  }
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, out })));
}

describe("a verb", () => {
  const bootstrap = (args: readonly string[], more: object = {}): { readonly status: number | null; readonly stderr: string } =>
    spawnSync(process.execPath, ["deploy/bootstrap.mjs", ...args], { cwd: top, encoding: "utf8", ...more });

  test("that does not exist is refused with the list of those that do", () => {
    const { status, stderr } = bootstrap(["nonsense"]);
    expect([status, stderr.trim().split("\n")]).toEqual([1, [expect.stringMatching(/^usage: .*demo\|test\|check\|/)]]);
  });

  test("of package.json is known to the bootstrap", () => {
    const { scripts } = JSON.parse(readFileSync(join(top, "package.json"), "utf8")) as { scripts: Record<string, string> };
    const known = bootstrap(["nonsense"])
      .stderr.match(/mjs (\S+)/)![1]!
      .split("|");
    expect(Object.entries(scripts)).toEqual(Object.keys(scripts).map((name) => [name, `node deploy/bootstrap.mjs ${name}`]));
    expect(known).toEqual(expect.arrayContaining(Object.keys(scripts)));
  });

  test.runIf(isRoot)("that makes namespaces says in one sentence that it needs root", () => {
    const { status, stderr } = bootstrap(["demo"], { uid: 65_534, gid: 65_534 });
    expect([status, stderr]).toEqual([1, "npm run demo makes network namespaces and devices, which needs root: run it as root.\n"]);
  });
});

describe("what a verb runs", () => {
  const start = (script: string, minutes: number): ChildProcess => {
    const program = `import { run } from ${JSON.stringify(pathToFileURL(join(top, "deploy/setup/run.mjs")).href)};
      process.exit(await run("sh", ["-c", ${JSON.stringify(script)}], { name: "probe", minutes: ${minutes} }));`;
    return spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "pipe"] });
  };

  test("hands its exit code on", async () => {
    expect(await ended(start("exit 7", 1))).toMatchObject({ code: 7 });
    expect(await ended(start("kill -KILL $$", 1))).toMatchObject({ code: 137 });
  });

  test("gets the signals that the bootstrap gets", async () => {
    const child = start('trap "echo got it; exit 9" TERM; echo up; while :; do sleep 0.05; done', 1);
    const end = await ended(child, (out) => void (out === "up\n" && child.kill("SIGTERM")));
    expect(end).toEqual({ code: 9, out: "up\ngot it\n" });
  });

  test("is stopped when its time is over", async () => {
    const end = await ended(start('trap "exit 0" TERM; while :; do sleep 0.05; done', 0.002));
    expect(end).toEqual({ code: 124, out: "npm run probe: not done after 0.002 minutes; stopped.\n" });
  });
});

describe("a program", () => {
  /** A tree with the launchers, a small program in place of the daemon, and the programs of our packages. */
  function tree(installed = true): void {
    cpSync(join(top, "deploy/bin"), join(folder, "deploy/bin"), { recursive: true });
    for (const file of ["package.json", ".npmrc"]) cpSync(join(top, file), join(folder, file));
    mkdirSync(join(folder, "src"));
    const daemon = `const said: string = [process.versions.node.split(".")[0], process.pid, ...process.argv.slice(2)].join(" ");
      process.on("SIGTERM", () => { console.log("bye"); process.exit(0); });
      setInterval(() => {}, 1000);
      console.log("up " + said);\n`;
    for (const name of ["podwayd", "podway"]) writeFileSync(join(folder, `src/${name}.ts`), daemon);
    if (!installed) return;
    mkdirSync(join(folder, "node_modules"));
    writeFileSync(join(folder, "node_modules/.package-lock.json"), "{}");
    symlinkSync(join(top, "node_modules/.bin"), join(folder, "node_modules/.bin"));
  }
  const environment = (): NodeJS.ProcessEnv => ({
    ...process.env,
    npm_config_cache: join(folder, "cache"),
    npm_config_loglevel: "error",
    npm_config_offline: "true",
  });

  test.each(["podwayd", "podway"])("runs in the very process that started it (%s)", async (name) => {
    tree();
    const child = spawn(process.execPath, [`deploy/bin/${name}.mjs`, "--node", "n1"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    const end = await ended(child, (out) => void (/^up .*\n$/.test(out) && child.kill("SIGTERM")));
    expect(end).toEqual({ code: 0, out: `up 24 ${child.pid} --node n1\nbye\n` });
  });

  test.each(["podwayd", "podway"])("started by npx is Node 24 itself, without a shell between, and gets SIGTERM (%s)", async (name) => {
    tree();
    const child = spawn("npx", [name, "--node", "n1"], { cwd: folder, env: environment(), stdio: ["ignore", "pipe", "pipe"] });
    let parent = "";
    const end = await ended(child, (out) => {
      const pid = /up 24 (\d+) --node n1\n$/.exec(out)?.[1];
      if (pid === undefined) return;
      parent = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")[1]!;
      child.kill("SIGTERM");
    });
    expect(end.out).toMatch(/^up 24 \d+ --node n1\nbye\n/);
    expect(parent).toBe(String(child.pid));
  });

  test("finds every source compiled after the first start, and compiling them ran none", async () => {
    tree();
    const loud = `import { writeFileSync } from "node:fs";\nconst text: string = "ran";\nwriteFileSync(${JSON.stringify(join(folder, "ran"))}, text);\n`;
    writeFileSync(join(folder, "src/loud.ts"), loud);
    writeFileSync(join(folder, "src/podwayd.ts"), `const said: string = "started";\nconsole.log(said);\n`);
    // A cache that the environment names would be used instead of the program's own.
    const { NODE_COMPILE_CACHE: _, ...env } = process.env;
    const cache = join(folder, "node_modules/.cache/compiled");
    const start = async (): Promise<number> => {
      const end = await ended(spawn(process.execPath, ["deploy/bin/podwayd.mjs"], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] }));
      expect(end).toEqual({ code: 0, out: "started\n" });
      return readdirSync(cache, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile() && entry.name !== "warm").length;
    };
    const first = await start();
    expect(first).toBeGreaterThanOrEqual(2);
    expect(await start()).toBe(first);
    expect(existsSync(join(folder, "ran"))).toBe(false);
    // an upgrade: other files take the place of what was there
    mkdirSync(join(folder, "src/room"));
    writeFileSync(join(folder, "src/room/further.ts"), `export const text: string = "further";\n`);
    const second = await start();
    expect(second).toBeGreaterThan(first);
    expect(await start()).toBe(second);
    writeFileSync(join(folder, "src/room/other.ts"), `export const text: string = "other";\n`);
    expect(await start()).toBeGreaterThan(second);
  });

  test("says that it is not installed", async () => {
    tree(false);
    const end = await ended(spawn(process.execPath, ["deploy/bin/podwayd.mjs"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] }));
    expect(end).toEqual({ code: 1, out: "Podway is not installed yet: run `npm ci` in its folder first.\n" });
    expect(existsSync(join(folder, "node_modules"))).toBe(false);
  });
});
