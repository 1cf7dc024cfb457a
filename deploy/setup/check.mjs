// `npm run check`: five checks, all of them run, whichever fails.
import { spawnSync } from "node:child_process";
import { environment, root } from "./run.mjs";

const bin = (name) => `node_modules/.bin/${name}`;
const trees = ["src", "test", "deploy"];
const formatted = ["--config", "test/law/oxfmt.json", "src/**/*.ts", "test/**/*.ts", "deploy/**/*.mjs"];
const checks = [
  { name: "types", command: bin("tsc"), args: ["-p", "."] },
  { name: "law", command: bin("vitest"), args: ["run", "--config", "test/vitest.config.ts", "test/law"] },
  { name: "format", command: bin("oxfmt"), args: ["--check", ...formatted] },
  { name: "lint", command: bin("oxlint"), args: ["--config", "test/law/oxlint.json", "--type-aware", "--deny-warnings", ...trees] },
  { name: "dead code", command: bin("knip"), args: ["--config", "test/law/knip.json"] },
];

/** Prints one line per check, the output of those that failed, and returns 0 only if all passed. */
export function check() {
  const failed = checks.filter(({ name, command, args }) => {
    const started = Date.now();
    const done = spawnSync(command, args, { cwd: root, encoding: "utf8", env: environment(), maxBuffer: 1 << 28 });
    const passed = done.status === 0;
    process.stdout.write(`${passed ? "ok    " : "FAILED"} ${name.padEnd(10)} ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
    if (!passed) process.stdout.write(`${done.error?.message ?? ""}${done.stdout}${done.stderr}\n`);
    return !passed;
  });
  process.stdout.write(`${checks.length - failed.length} passed, ${failed.length} failed\n`);
  return failed.length === 0 ? 0 : 1;
}

/** Rewrites every source file in the one format. */
export function format() {
  return spawnSync(bin("oxfmt"), formatted, { cwd: root, stdio: "inherit", env: environment() }).status ?? 1;
}
