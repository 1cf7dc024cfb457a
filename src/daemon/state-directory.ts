/**
 * The state directory (product §6.8): made if it is missing, and one daemon's at a time. A disk that is full or read-only is no
 * reason not to start: what is remembered there can still be read, and the network does not depend on what is written.
 */
import { mkdir } from "node:fs/promises";
import { DirectoryLock } from "#adapters/directory-lock.ts";
import { callerFault, FaultError } from "#base/fault.ts";

export interface StateDirectory {
  /** What is wrong with it, in one sentence; undefined if nothing is. */
  readonly warning: string | undefined;
  release(): Promise<void>;
}

const locked = { file: "daemon.lock", code: "daemon", user: "podwayd", place: "the state directory" } as const;
const unwritable: readonly unknown[] = ["ENOSPC", "EROFS", "EDQUOT"];

/** Rejects with one sentence if it cannot be made, may not be used, or is another daemon's. */
export async function openStateDirectory(path: string): Promise<StateDirectory> {
  try {
    await mkdir(path, { recursive: true, mode: 0o750 });
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new FaultError(
      callerFault("daemon.state-directory", `the state directory ${path} cannot be made: ${reason}; give a directory that can be written with --state`),
      cause,
    );
  }
  try {
    const lock = await DirectoryLock.take(path, locked);
    return { warning: undefined, release: () => lock.release() };
  } catch (cause) {
    const code = (cause as { readonly cause?: NodeJS.ErrnoException }).cause?.code;
    if (!unwritable.includes(code)) throw cause;
    const warning = `the state directory ${path} cannot be written (${code}): what this daemon learns is forgotten when it stops; make room there`;
    return { warning, release: () => Promise.resolve() };
  }
}
