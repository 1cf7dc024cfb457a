/** Sockets of this process inside other network namespaces. */
import { closeSync, openSync } from "node:fs";
import koffi from "koffi";

const setns = koffi.load("libc.so.6").func("int setns(int, int)") as (fd: number, kind: number) => number;
const cloneNewNet = 0x4000_0000;

/**
 * Runs `work` with this thread in the namespace `name`. Synchronous on purpose: a socket made in there stays in there for
 * good, and nothing else of this process ever sees the namespace.
 */
export function within<T>(name: string, work: () => T): T {
  const home = openSync("/proc/thread-self/ns/net", "r");
  const there = openSync(`/run/netns/${name}`, "r");
  try {
    enter(there, name);
    return work();
  } finally {
    enter(home, "home");
    closeSync(there);
    closeSync(home);
  }
}

function enter(fd: number, name: string): void {
  if (setns(fd, cloneNewNet) !== 0) throw new Error(`cannot enter the network namespace ${name} (errno ${koffi.errno()})`);
}
