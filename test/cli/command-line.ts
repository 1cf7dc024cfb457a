/** podway as a user runs it: a child process, its output and its exit code. */
import { spawn } from "node:child_process";
import { join } from "node:path";

const entry = join(import.meta.dirname, "../../deploy/bin/podway.mjs");

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Circumstances {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** Words before podway's own: a program that runs it under other rights or on a terminal. */
  readonly under?: readonly string[];
  /** Called with everything standard output said so far; what it returns, if anything, ends the program by that signal. */
  readonly seen?: (out: string) => NodeJS.Signals | undefined;
}

/** Runs `podway …words` to its end. Standard input is empty unless given; the environment is PATH, HOME and `env` alone. */
export function podway(words: readonly string[], circumstances: Circumstances = {}): Promise<Ran> {
  return run([...(circumstances.under ?? []), process.execPath, entry, ...words], circumstances);
}

/** The same on a terminal of its own, 80 by 24 (script(1)); the answer to a question is typed as `stdin`. */
export function podwayOnTerminal(words: readonly string[], circumstances: Circumstances = {}): Promise<Ran> {
  const quoted = [process.execPath, entry, ...words].map((word) => `'${word}'`).join(" ");
  const env = { TERM: "xterm", SHELL: "/bin/sh", ...circumstances.env };
  return run(["script", "--quiet", "--return", "--command", `stty cols 80 rows 24; exec ${quoted}`, "/dev/null"], { ...circumstances, env });
}

function run([program, ...rest]: readonly string[], { env = {}, stdin = "", seen }: Circumstances): Promise<Ran> {
  const inherited = { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "" };
  const child = spawn(program!, rest, { env: { ...inherited, ...env }, stdio: ["pipe", "pipe", "pipe"] });
  let out = "",
    err = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    out += chunk;
    const signal = seen?.(out);
    if (signal) child.kill(signal);
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (err += chunk));
  child.stdin.on("error", () => undefined).end(stdin);
  return new Promise((resolve, reject) => child.once("error", reject).once("close", (code) => resolve({ code, out, err })));
}
