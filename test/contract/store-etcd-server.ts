/** A real etcd on free loopback ports with its own directory, for as long as a test needs it. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const startMillis = 20_000;

export interface EtcdTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface EtcdServer {
  readonly port: number;
  readonly directory: string;
  readonly url: string;
  /** SIGKILL; the data stays. */
  kill(): Promise<void>;
  /** SIGTERM; the data stays. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  freeze(): void;
  thaw(): void;
  /** Empties the directory while etcd is down: what starts next is another store. */
  wipe(): void;
  /** Runs etcdctl against it and returns what it printed. */
  ctl(...args: string[]): Promise<string>;
  close(): Promise<void>;
}

/** `more`: further arguments for etcd. */
export async function startEtcd(tls?: EtcdTls, more: readonly string[] = []): Promise<EtcdServer> {
  const directory = mkdtempSync(join(tmpdir(), "podway-etcd-"));
  const [port, peerPort] = await freePorts(2);
  const url = `${tls ? "https" : "http"}://127.0.0.1:${port}`;
  const secure = tls ? ["--cert-file", tls.cert, "--key-file", tls.key, "--trusted-ca-file", tls.ca, "--client-cert-auth"] : [];
  const client = tls ? ["--cacert", tls.ca, "--cert", tls.cert, "--key", tls.key] : [];
  let child: ChildProcess | undefined;

  const ctl = async (...args: string[]): Promise<string> =>
    (await run("etcdctl", [...client, "--endpoints", url, ...args], { env: { ...process.env, ETCDCTL_API: "3" } })).stdout;
  const start = async (): Promise<void> => {
    const peer = `http://127.0.0.1:${peerPort}`;
    const args = ["--name", "t", "--data-dir", join(directory, "data"), "--listen-client-urls", url, "--advertise-client-urls", url];
    args.push("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `t=${peer}`, ...secure, ...more);
    child = spawn("etcd", args, { stdio: "ignore" });
    const deadline = Date.now() + startMillis;
    while (
      !(await ctl("endpoint", "health", "--command-timeout=1s").then(
        () => true,
        (cause: Error) => /permission denied|auth|user name/.test(cause.message),
      ))
    ) {
      if (Date.now() > deadline || child.exitCode !== null) throw new Error(`etcd did not start on ${url}`);
      await wait(50);
    }
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child!.once("exit", resolve));
    child.kill(signal);
    await gone;
  };
  await start();
  return {
    port: port!,
    directory,
    url,
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
    start,
    freeze: () => void child?.kill("SIGSTOP"),
    thaw: () => void child?.kill("SIGCONT"),
    wipe: () => rmSync(join(directory, "data"), { recursive: true, force: true }),
    ctl,
    close: async () => {
      await end("SIGKILL");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once("listening", resolve))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
