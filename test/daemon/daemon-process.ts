/** podwayd and podway as a user starts them: processes, a directory of their own, what they print and what they answer. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { controlPaths, type PeerView, type StatusView } from "#daemon/control.ts";

const root = join(import.meta.dirname, "../..");
const daemonEntry = join(root, "deploy/bin/podwayd.mjs"),
  commandEntry = join(root, "deploy/bin/podway.mjs");
const factMillis = 20_000;

export interface Printed {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}
interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly text: string;
}

/** A directory with a document in it, and the daemon that is told to follow it. */
export class DaemonProcess {
  readonly directory: string;
  readonly node: string;
  readonly log: LogLine[] = [];
  stderr = "";
  state: string;
  api: string;
  #child: ChildProcess | undefined;
  #ended: Promise<number | null> | undefined;

  constructor(node: string, document: string) {
    this.directory = mkdtempSync(join(tmpdir(), "podway-daemon-"));
    this.node = node;
    this.state = join(this.directory, "state");
    this.api = join(this.directory, "api.sock");
    this.write(document);
  }

  get file(): string {
    return join(this.directory, "t.yaml");
  }
  get pid(): number {
    return this.#child!.pid!;
  }
  /** Resident memory in KiB. */
  get residentKib(): number {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))![1]);
  }
  write(document: string): void {
    writeFileSync(this.file, document);
  }

  start(...more: string[]): this {
    const daemon = [daemonEntry, "--topology", this.file, "--node", this.node, "--api", this.api, "--state", this.state, "--log", "debug", ...more];
    const child = spawn(process.execPath, daemon, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    this.stderr = "";
    createInterface({ input: child.stdout }).on("line", (line) => this.log.push(asLogLine(line)));
    child.stderr.on("data", (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.#ended = new Promise((resolve) => child.once("close", (code) => resolve(code)));
    return this;
  }
  /** Exit code of a daemon that ends by itself; null if a signal ended it. */
  exit(): Promise<number | null> {
    return this.#ended!;
  }
  signal(signal: NodeJS.Signals): void {
    this.#child!.kill(signal);
  }
  get isAlive(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }
  /** Ends it if it runs. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.isAlive) this.signal(signal);
    await this.#ended;
  }
  async dispose(): Promise<void> {
    await this.end("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Sentences of its log with this event. */
  said(event: string): readonly string[] {
    return this.log.filter((line) => line.event === event).map(({ text }) => text);
  }
  get<T>(path: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.api, path }, (response) => {
        let body = "";
        response.on("data", (chunk: Buffer) => (body += chunk.toString()));
        response.on("end", () => resolve(JSON.parse(body) as T));
      });
      asked.once("error", reject).end();
    });
  }
  status(): Promise<StatusView> {
    return this.get(controlPaths.status);
  }
  async peer(name: string): Promise<PeerView | undefined> {
    return (await this.get<{ readonly peers: readonly PeerView[] } | readonly PeerView[]>(controlPaths.peers).then(listOf)).find((peer) => peer.name === name);
  }
  /** The status once `holds` is true of it. */
  async until(what: string, holds: (status: StatusView) => boolean): Promise<StatusView> {
    let last: StatusView | undefined;
    await until(`${this.node}: ${what}`, async () => holds((last = await this.status()))).catch((cause: Error) => {
      const tail = this.log.slice(-15).map(({ event, text }) => `${event}: ${text}`);
      throw new Error(`${cause.message}\n${JSON.stringify(last)}\n${tail.join("\n")}\n${this.stderr}`);
    });
    return last!;
  }
  /** `podway ARGS` towards this daemon. */
  podway(...args: string[]): Promise<Printed> {
    return runProgram(process.execPath, [commandEntry, "--api", this.api, ...args]);
  }
  /** `podwayd --check` of its file. */
  check(): Promise<Printed> {
    return runProgram(process.execPath, [daemonEntry, "--topology", this.file, "--node", this.node, "--check"]);
  }
}

function listOf<T extends object>(answer: { readonly peers: readonly T[] } | readonly T[]): readonly T[] {
  return "peers" in answer ? answer.peers : answer;
}

function asLogLine(line: string): LogLine {
  const read = JSON.parse(line) as { readonly level?: unknown; readonly event?: unknown; readonly text?: unknown; readonly msg?: unknown };
  return { level: String(read.level), event: String(read.event), text: String(read.text ?? read.msg) };
}

export function runProgram(program: string, args: readonly string[]): Promise<Printed> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let out = "",
      err = "";
    child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
    child.once("close", (code) => resolve({ code, out, err }));
  });
}

/** Waits until `fact` is true and no longer throws. */
export async function until(what: string, fact: () => boolean | Promise<boolean>, millis = factMillis): Promise<void> {
  let last: unknown;
  for (const end = performance.now() + millis; performance.now() < end; await new Promise((resolve) => setTimeout(resolve, 25))) {
    try {
      if (await fact()) return;
    } catch (cause) {
      last = cause;
    }
  }
  throw new Error(`not within ${millis} ms: ${what}`, { cause: last });
}

/** A TCP port of 127.0.0.1 that nobody has. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
