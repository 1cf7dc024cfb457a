// Running a child as if it were us: its streams are ours, signals reach it, its exit code is returned.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The top of the working tree. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Something is missing that we cannot set right: one sentence for the person, exit code 1, no stack. */
export class Refusal extends Error {}

const packages = join(root, "node_modules");

/** The environment of everything we start: our programs (Node 24 among them) come first on PATH, and sources are compiled once. */
export const environment = () => ({
  ...process.env,
  PATH: [join(packages, ".bin"), process.env.PATH ?? ""].join(delimiter),
  NODE_COMPILE_CACHE: join(packages, ".cache", "compiled"),
});

const forwarded = ["SIGINT", "SIGTERM", "SIGHUP"];
const killGraceMillis = 15_000;

/** Resolves to the exit code of `command` (128 + signal if one ended it, 124 if `minutes` were not enough). */
export function run(command, args, { name, minutes }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit", env: environment() });
    let late = false;
    // On a terminal Ctrl-C reaches the whole foreground group; sending it once more would look like a second Ctrl-C.
    const forward = (signal) => void (signal === "SIGINT" && process.stdin.isTTY ? 0 : child.kill(signal));
    for (const signal of forwarded) process.on(signal, forward);
    const deadline = setTimeout(() => {
      late = true;
      process.stderr.write(`npm run ${name}: not done after ${minutes} minutes; stopped.\n`);
      child.kill("SIGTERM");
      setTimeout(() => child.kill("SIGKILL"), killGraceMillis).unref();
    }, minutes * 60_000);
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      clearTimeout(deadline);
      for (const each of forwarded) process.off(each, forward);
      resolve(late ? 124 : (code ?? 128 + (constants.signals[signal] ?? 0)));
    });
  });
}
