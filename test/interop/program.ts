/** Long-running programs of a suite: started in a namespace, waited for by fact, and gone at the end whatever happens. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { inside } from "#lab/command.ts";

const stopMillis = 5000;
const running = new Set<Program>();
process.on("exit", () => {
  for (const program of running) program.signal("SIGKILL");
});

export interface ProgramOptions {
  readonly name: string;
  readonly namespace: string;
  /** Working directory; the log is NAME.log in there. */
  readonly directory: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class Program {
  readonly name: string;
  readonly log: string;
  readonly #child: ChildProcess;
  readonly #over: Promise<void>;
  #ended: string | undefined;

  constructor(argv: readonly string[], { name, namespace, directory, env }: ProgramOptions) {
    this.name = name;
    this.log = join(directory, `${name}.log`);
    const log = openSync(this.log, "a", 0o644);
    // `ip netns exec` becomes the program, so the pid we have is the program's.
    const [first, ...rest] = inside(namespace, argv);
    this.#child = spawn(first!, rest, { stdio: ["ignore", log, log], cwd: directory, env: { PATH: process.env["PATH"], ...env } });
    closeSync(log);
    running.add(this);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#over = promise;
    const over = (how: string): void => {
      this.#ended ??= how;
      running.delete(this);
      resolve();
    };
    this.#child.once("error", (error) => over(error.message));
    this.#child.once("exit", (code, signal) => over(signal ?? `exit code ${code}`));
  }

  /** How it ended; undefined while it runs. */
  get ended(): string | undefined {
    return this.#ended;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#ended === undefined) this.#child.kill(signal);
  }

  /** To it and to the processes it has made. */
  signalAll(signal: NodeJS.Signals): void {
    if (this.#ended !== undefined) return;
    const pid = this.#child.pid!,
      children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    for (const child of children) if (child !== "") process.kill(Number(child), signal);
    this.signal(signal);
  }

  /** Ends it and waits until it has ended; after a few seconds it is not asked any more. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    this.signal("SIGCONT");
    this.signal(signal);
    const deadline = setTimeout(() => this.signal("SIGKILL"), stopMillis);
    await this.#over;
    clearTimeout(deadline);
  }

  tail(lines = 4): string {
    return readFileSync(this.log, "utf8").trimEnd().split("\n").slice(-lines).join(" | ");
  }
}
