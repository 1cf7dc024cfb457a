/**
 * deploy/podwayd.service under a real systemd: a small Debian in systemd-nspawn, in a network namespace of its own. By hand:
 * `node test/daemon/systemd.ts [TARBALL]`, as root, with mmdebstrap and systemd-container installed; TARBALL is a Debian made
 * before. Prints one line per fact and exits non-zero with the first that does not hold. Takes a minute or two.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Namespace } from "../contract/kernel-netns.ts";
import { until } from "./daemon-process.ts";

const root = join(import.meta.dirname, "../..");
const machine = "sd1",
  unit = "podwayd.service";
const packages = "systemd,systemd-sysv,dbus,iproute2,procps,libstdc++6";
/** CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW: what the unit leaves. */
const capabilities = "0000000000003400";
const document = `podway: 1
name: systemd
store: embedded
pools:
  - { name: routed, cidr: 10.42.0.0/16, backend: bgp }
  - { name: overlay, cidr: 10.43.0.0/16, backend: vxlan, vni: 43 }
nodes:
  ${machine}: { address: 10.0.0.21, roles: [node, reflector] }
`;

const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
function fact(what: string, holds: boolean, seen: unknown): void {
  process.stdout.write(`${holds ? "ok    " : "FAILED"} ${what}: ${String(seen).trim()}\n`);
  if (!holds) throw new Error(`${what}: ${String(seen)}`);
}

/** A booted Debian with Podway in /opt/podway. */
class Machine {
  readonly directory = mkdtempSync(join(tmpdir(), "podway-systemd-"));
  readonly namespace = new Namespace("systemd");
  #boot: ChildProcess | undefined;
  #leader = "";

  make(): void {
    const { VERSION_CODENAME: suite } = Object.fromEntries(
      readFileSync("/etc/os-release", "utf8")
        .split("\n")
        .map((line) => line.split("=") as [string, string]),
    ) as Record<string, string>;
    const [tarball] = process.argv.slice(2);
    if (tarball === undefined) run("mmdebstrap", "--variant=minbase", "--mode=root", `--include=${packages}`, suite!, this.directory);
    else run("tar", "-xf", tarball, "-C", this.directory);
    mkdirSync(this.at("/opt/podway"), { recursive: true });
    mkdirSync(this.at("/etc/podway"));
    mkdirSync(this.at("/etc/systemd/system/podwayd.service.d"));
    copyFileSync(join(root, "deploy/podwayd.service"), this.at(`/etc/systemd/system/${unit}`));
    copyFileSync(join(root, "deploy/sysusers/podway.conf"), this.at("/usr/lib/sysusers.d/podway.conf"));
    // The unit as it is shipped, with a watchdog that does not take half a minute.
    writeFileSync(this.at("/etc/systemd/system/podwayd.service.d/watchdog.conf"), "[Service]\nWatchdogSec=4\n");
    writeFileSync(this.at("/etc/podway/topology.yaml"), document);
    writeFileSync(this.at("/etc/hostname"), `${machine}\n`);
    run("systemctl", `--root=${this.directory}`, "enable", unit);
    this.namespace.ip("link add eth0 type veth peer name far0");
    for (const link of ["eth0", "far0"]) this.namespace.ip(`link set ${link} up`);
    this.namespace.ip("addr add 10.0.0.21/24 dev eth0");
  }
  at(path: string): string {
    return join(this.directory, path);
  }

  async boot(): Promise<void> {
    const args = [
      "-D",
      this.directory,
      "--register=no",
      "--keep-unit",
      `--network-namespace-path=/run/netns/${this.namespace.name}`,
      `--bind-ro=${root}:/opt/podway`,
    ];
    args.push("--capability=CAP_NET_ADMIN,CAP_NET_RAW,CAP_SYS_ADMIN", "--boot", "--console=read-only", "-M", machine);
    this.#boot = spawn("systemd-nspawn", args, { stdio: "ignore", detached: true });
    const nspawn = String(this.#boot.pid);
    await until("systemd is up", () => {
      this.#leader = readFileSync(`/proc/${nspawn}/task/${nspawn}/children`, "utf8").trim().split(" ")[0]!;
      return this.#leader !== "" && /running|degraded/.test(this.in("sh", "-c", "systemctl is-system-running || true"));
    });
  }
  /** Runs a program in there. */
  in(...command: string[]): string {
    return run("nsenter", "-t", this.#leader, "-m", "-u", "-i", "-p", "-n", ...command);
  }
  show(property: string): string {
    return this.in("systemctl", "show", "--value", "-p", property, unit).trim();
  }
  status(of: string): string {
    const line = this.in("cat", `/proc/${this.show("MainPID")}/status`)
      .split("\n")
      .find((each) => each.startsWith(`${of}:`));
    return line!.split("\t")[1]!.trim();
  }
  podway(...args: string[]): string {
    return this.in("/opt/podway/node_modules/.bin/node", "/opt/podway/deploy/bin/podway.mjs", ...args);
  }

  journal(): string {
    return this.#leader === "" ? "" : this.in("journalctl", "-u", unit, "--no-pager", "-n", "30");
  }

  async remove(): Promise<void> {
    const boot = this.#boot;
    if (boot && boot.exitCode === null) {
      const gone = new Promise((resolve) => boot.once("exit", resolve));
      if (this.#leader !== "") this.in("systemctl", "poweroff");
      else boot.kill();
      await gone;
    }
    this.namespace.remove();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

interface Shown {
  readonly ready: boolean;
  readonly leases: readonly { readonly cidr: string | null; readonly state: string }[];
}
const isActive = (of: Machine): boolean => of.show("ActiveState") === "active";
const statusOf = (of: Machine): Shown => JSON.parse(of.podway("status", "--json")) as Shown;
const cidrs = ({ leases }: Shown): string => leases.map(({ cidr }) => cidr).join(" ");

async function check(of: Machine): Promise<void> {
  await until("the unit is active", () => isActive(of));
  fact("READY", of.show("StatusText") === `running as node ${machine}`, of.show("StatusText"));
  await until("its leases", () => statusOf(of).leases.every(({ state }) => state === "held"));
  const first = statusOf(of);
  fact("leases", first.leases.length === 2, cidrs(first));
  fact("capabilities", of.status("CapEff") === capabilities, of.status("CapEff"));
  fact("no new privileges, seccomp", of.status("NoNewPrivs") === "1" && of.status("Seccomp") === "2", `${of.status("NoNewPrivs")} ${of.status("Seccomp")}`);
  const routes = (): string => of.in("ip", "route", "show", "proto", "117").trim();
  await until("its routes", () => routes().includes("10.42."));
  fact("kernel routes", routes().includes("10.43."), routes().replaceAll("\n", ", "));
  fact("forwarding", of.in("cat", "/proc/sys/net/ipv4/ip_forward").trim() === "1", "ip_forward 1");
  fact("port 179", of.in("ss", "-Hltn", "sport", "=", "179").includes(":179"), of.in("ss", "-Hltn", "sport", "=", "179").split("\n")[0]);
  const socket = of.in("stat", "-c", "%A %U %G", "/run/podway/podwayd.sock");
  fact("socket", socket.startsWith("srw-rw---- root podway"), socket);
  const directory = of.in("stat", "-c", "%A", "/var/lib/podway");
  fact("state directory", directory.startsWith("drwx------"), directory);

  const before = { pid: of.show("MainPID"), routes: routes() };
  of.in("systemctl", "reload", unit);
  await until("reloaded", () => isActive(of));
  fact("reload keeps the process", of.show("MainPID") === before.pid, before.pid);

  of.in("kill", "-KILL", before.pid);
  await until("started again", () => isActive(of) && of.show("MainPID") !== before.pid && of.show("NRestarts") === "1");
  await until("its leases again", () => statusOf(of).leases.every(({ state }) => state === "held"));
  fact("killed: the same leases and routes", cidrs(statusOf(of)) === cidrs(first) && routes() === before.routes, cidrs(statusOf(of)));

  of.in("kill", "-STOP", of.show("MainPID"));
  await until("the watchdog", () => isActive(of) && of.show("NRestarts") === "2", 30_000);
  const journal = of.in("journalctl", "-u", unit, "--no-pager");
  fact("a daemon that hangs is restarted by the watchdog", journal.includes("Watchdog timeout"), "NRestarts 2");

  of.in("systemctl", "stop", unit);
  fact("stopped: the routes stay", routes() === before.routes, of.show("Result"));
  const bad = journal.split("\n").filter((line) => /"level":"error"/.test(line));
  fact("no error in the journal", bad.length === 0, bad[0] ?? "none");
}

const made = new Machine();
try {
  made.make();
  await made.boot();
  await check(made);
} catch (cause) {
  process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n${made.journal()}`);
  process.exitCode = 1;
} finally {
  await made.remove();
}
