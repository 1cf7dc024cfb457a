/**
 * Work in another network namespace: this thread goes there, does something that does not wait, and comes back before anything else of it
 * runs. Sockets opened there stay there, so what takes longer is done through them from here.
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { failed, ok, type Outcome, type WorldFault, worldFault } from "#base/fault.ts";
import { lastErrno, libc } from "./libc.ts";

const networkNamespace = 0x4000_0000; // CLONE_NEWNET

export class NetworkNamespace {
  readonly fd: number;
  /** Tells namespaces apart while this is open. */
  readonly inode: number;

  private constructor(fd: number) {
    this.fd = fd;
    this.inode = fstatSync(fd).ino;
  }

  /** Fault `attach.no-netns` if there is no such namespace. */
  static open(path: string): Outcome<NetworkNamespace, WorldFault> {
    try {
      return ok(new NetworkNamespace(openSync(path, "r")));
    } catch (cause) {
      return failed(worldFault("attach.no-netns", `there is no network namespace ${path} (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`));
    }
  }

  /** `work` must not wait: it ends before this returns. */
  within<T>(work: () => T): Outcome<T, WorldFault> {
    const home = openSync("/proc/thread-self/ns/net", "r");
    try {
      if (libc.setns(this.fd, networkNamespace) !== 0)
        return failed(worldFault("attach.no-netns", `what was named as a network namespace is none, or may not be entered (${lastErrno()})`));
      try {
        return ok(work());
      } finally {
        // A daemon that stayed there would speak for another machine.
        if (libc.setns(home, networkNamespace) !== 0) process.abort();
      }
    } finally {
      closeSync(home);
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}
