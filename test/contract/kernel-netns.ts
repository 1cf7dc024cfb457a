/** Scratch network namespaces for tests that need the real kernel, and iproute2 as the judge of what is in them. */
import { execFileSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import koffi from "koffi";

const setns = koffi.load("libc.so.6").func("int setns(int, int)") as (fd: number, kind: number) => number;
const networkNamespace = 0x4000_0000; // CLONE_NEWNET

/** Why the real kernel cannot be tested here, to be put behind a title; undefined if it can. */
export const kernelMissing: string | undefined =
  process.getuid?.() === 0 ? undefined : " (skipped: it takes root and network namespaces; run the tests as root)";

export class Namespace {
  readonly name: string;

  /** Adds the namespace with its loopback up; `label` tells tests that run side by side apart. */
  constructor(label: string) {
    this.name = `t-kern-${label}-${process.pid}`;
    run("ip", ["netns", "add", this.name]);
    this.ip("link set lo up");
  }

  /** `ip` in the namespace; one string of arguments as one would type them. */
  ip(line: string): string {
    return run("ip", ["-n", this.name, ...line.split(" ")]);
  }
  json(line: string): Record<string, unknown>[] {
    return JSON.parse(run("ip", ["-n", this.name, "-j", "-d", ...line.split(" ")]) || "[]") as Record<string, unknown>[];
  }
  bridge(line: string): string {
    return run("bridge", ["-n", this.name, ...line.split(" ")]);
  }
  bridgeJson(line: string): Record<string, unknown>[] {
    return JSON.parse(run("bridge", ["-n", this.name, "-j", ...line.split(" ")]) || "[]") as Record<string, unknown>[];
  }
  exec(line: string): string {
    return run("ip", ["netns", "exec", this.name, ...line.split(" ")]);
  }

  /** A veth `eth0` here, its other end `eth0` there. */
  wire(to: Namespace): void {
    this.ip(`link add eth0 type veth peer name eth0 netns ${to.name}`);
    for (const end of [this, to]) end.ip("link set eth0 up");
  }

  /** Moves this thread into the namespace; returns the way back. */
  enter(): () => void {
    const home = openSync("/proc/thread-self/ns/net", "r"),
      there = openSync(`/run/netns/${this.name}`, "r");
    if (setns(there, networkNamespace) !== 0) throw new Error(`setns ${this.name}: errno ${koffi.errno()}`);
    closeSync(there);
    return () => {
      if (setns(home, networkNamespace) !== 0) throw new Error(`setns home: errno ${koffi.errno()}`);
      closeSync(home);
    };
  }

  remove(): void {
    run("ip", ["netns", "delete", this.name]);
  }
}

/** Waits until `fact` is true (or no longer throws); fails with what it last said. */
export async function until(what: string, fact: () => boolean | Promise<boolean>, deadlineMillis = 5000): Promise<void> {
  for (const end = performance.now() + deadlineMillis; ;) {
    let last: unknown;
    try {
      if (await fact()) return;
    } catch (cause) {
      last = cause;
    }
    if (performance.now() > end) throw new Error(`not within ${deadlineMillis} ms: ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}
