/** A real dockerd in a network namespace, with a directory of its own and images made of what is on this machine. */
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../daemon/daemon-process.ts";

const startMillis = 90_000;
/** Debian's client speaks the API of Debian's daemon; a newer one in the path may not. */
const client = existsSync("/usr/bin/docker") ? "/usr/bin/docker" : "docker";

export interface Told {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export class DockerEngine {
  readonly #namespace: string;
  readonly #directory: string;
  #child: ChildProcess | undefined;

  /** `directory` must be short: a socket's path has 108 octets. */
  constructor(namespace: string, directory: string) {
    this.#namespace = namespace;
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  get socket(): string {
    return `unix://${this.#directory}/docker.sock`;
  }
  get log(): string {
    return readFileSync(join(this.#directory, "dockerd.log"), "utf8");
  }

  /** Seconds until it answers. nsenter, not `ip netns exec`: that one remounts /sys without its cgroups. */
  async start(...more: string[]): Promise<number> {
    const at = this.#directory,
      began = performance.now();
    // Left by one that was killed: dockerd takes the number for a living one.
    for (const file of ["dockerd.pid", "exec/containerd/containerd.pid"]) rmSync(join(at, file), { force: true });
    const args = ["--data-root", `${at}/data`, "--exec-root", `${at}/exec`, "--pidfile", `${at}/dockerd.pid`, "-H", this.socket, ...more];
    const log = openSync(join(at, "dockerd.log"), "a");
    this.#child = spawn("nsenter", [`--net=/run/netns/${this.#namespace}`, "dockerd", ...args], { stdio: ["ignore", log, log] });
    await until(`dockerd in ${this.#namespace} answers`, () => this.docker("version").code === 0, startMillis);
    return (performance.now() - began) / 1000;
  }
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
    // Its own containerd goes with it, and a moment later.
    await until(
      "containerd of dockerd has ended",
      () => spawnSync("pgrep", ["-f", `${this.#directory}/exec/containerd/containerd.toml`]).status !== 0,
      startMillis,
    );
  }
  /** Everything of it: containers' processes, mounts, files. */
  async dispose(): Promise<void> {
    if (this.docker("version").code === 0) {
      const all = this.docker("ps", "-aq").out.split("\n").filter(Boolean);
      if (all.length > 0) this.docker("rm", "-f", ...all);
    }
    await this.end("SIGTERM");
    const mounts = readFileSync("/proc/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[1] ?? "");
    for (const mount of mounts.filter((path) => path.startsWith(`${this.#directory}/`)).toReversed()) spawnSync("umount", ["-l", mount]);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  docker(...args: string[]): Told {
    const { status, stdout, stderr } = spawnSync(client, args, { encoding: "utf8", env: { ...process.env, DOCKER_HOST: this.socket }, timeout: startMillis });
    return { code: status ?? -1, out: stdout.trim(), err: stderr.trim() };
  }
  /** As `docker`, while others go on. */
  later(...args: string[]): Promise<Told> {
    return new Promise((resolve) => {
      const env = { ...process.env, DOCKER_HOST: this.socket };
      execFile(client, args, { env, timeout: startMillis }, (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err }));
    });
  }
  /** What it printed; throws what it complained of. */
  need(...args: string[]): string {
    const { code, out, err } = this.docker(...args);
    if (code !== 0) throw new Error(`docker ${args.join(" ")}: ${err || out}`);
    return out;
  }

  /** Debian's static busybox and nothing else: ping, nc, httpd, wget, ip. */
  importBusybox(name: string): void {
    const root = join(this.#directory, "busybox"),
      bin = join(root, "bin");
    mkdirSync(bin, { recursive: true });
    copyFileSync("/bin/busybox", join(bin, "busybox"));
    execFileSync("chroot", [root, "/bin/busybox", "--install", "-s", "/bin"]);
    for (const folder of ["etc", "tmp", "proc", "sys", "www"]) mkdirSync(join(root, folder), { recursive: true });
    // A static program that loads the C library's other resolvers ends by a fault.
    writeFileSync(join(root, "etc/nsswitch.conf"), "hosts: files\nservices: files\n");
    execFileSync("sh", ["-c", `tar -C ${root} -c . | DOCKER_HOST=${this.socket} ${client} import - ${name}`]);
  }
}
