/**
 * One process per directory. The lock names its holder by pid, start time and boot, so that a crashed holder, a pid that
 * was given away again and a reboot do not lock anybody out.
 */
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FaultError, callerFault } from "#base/fault.ts";

/** Takes over at most this many stale locks before giving up; each is a holder that died in between. */
const takeOvers = 3;
/** A holder that was just killed takes a moment to be gone. */
const dying = { waitMillis: 1000, lookMillis: 20 } as const;

/** What is locked, for the name of the file, the fault codes and the sentences: `user` cannot use it, `place` is in use. */
export interface Locked {
  readonly file: string;
  readonly code: string;
  readonly user: string;
  readonly place: string;
}

export class DirectoryLock {
  readonly #path: string;
  readonly #holder: string;
  private constructor(path: string, holder: string) {
    this.#path = path;
    this.#holder = holder;
  }

  /** Rejects with one sentence that names the holder if another living process has `directory`. */
  static async take(directory: string, locked: Locked): Promise<DirectoryLock> {
    const path = join(directory, locked.file),
      mine = `${path}.${process.pid}`;
    const holder = await identityOf(process.pid);
    try {
      await mkdir(directory, { mode: 0o700 }).catch(isTaken);
      await writeFile(mine, holder!, { mode: 0o600 });
      for (let left = takeOvers; left > 0; left--) {
        if (await link(mine, path).then(() => true, isTaken)) return new DirectoryLock(path, holder!);
        const other = await readFile(path, "utf8").catch(() => "");
        if (await staysAlive(other)) throw taken(directory, other, locked);
        await setAside(path, `${mine}.stale`, other);
      }
      throw taken(directory, await readFile(path, "utf8").catch(() => ""), locked);
    } catch (cause) {
      if (cause instanceof FaultError) throw cause;
      throw new FaultError(
        callerFault(
          `${locked.code}.state-directory`,
          `${locked.user} cannot use ${directory}: ${(cause as Error).message}; make it writable, or give another --state`,
        ),
        cause,
      );
    } finally {
      await rm(mine, { force: true });
    }
  }

  async release(): Promise<void> {
    if ((await readFile(this.#path, "utf8").catch(() => "")) === this.#holder) await rm(this.#path, { force: true });
  }
}

/** Moves the dead holder's lock away. If a living one took its place since it was read, that one goes back. */
async function setAside(path: string, aside: string, dead: string): Promise<void> {
  const moved = await rename(path, aside).then(
    () => true,
    () => false,
  );
  if (moved && (await readFile(aside, "utf8")) !== dead) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}

function isTaken(cause: NodeJS.ErrnoException): false {
  if (cause.code === "EEXIST") return false;
  throw cause;
}

async function staysAlive(holder: string): Promise<boolean> {
  for (let waited = 0; waited < dying.waitMillis; waited += dying.lookMillis) {
    if (!(await isAlive(holder))) return false;
    await new Promise((resolve) => setTimeout(resolve, dying.lookMillis));
  }
  return true;
}

async function isAlive(holder: string): Promise<boolean> {
  const pid = Number(holder.split(" ")[0]);
  return Number.isInteger(pid) && pid > 0 && (await identityOf(pid)) === holder;
}

/**
 * `pid starttime boot-id` (proc(5): starttime is the 22nd field of stat, the 20th after the name in parentheses); undefined for
 * a process that is gone, or whose last thread has ended and that only waits for its parent to hear of it (state Z or X).
 */
async function identityOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8"),
      boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const isGone = fields[0] === "X" || (fields[0] === "Z" && Number(fields[17]) <= 1);
    return isGone ? undefined : `${pid} ${fields[19]} ${boot.trim()}`;
  } catch {
    return undefined;
  }
}

function taken(directory: string, holder: string, { code, place }: Locked): FaultError {
  const who = holder === "" ? "another process" : `process ${holder.split(" ")[0]}`;
  return new FaultError(callerFault(`${code}.locked`, `${place} ${directory} is in use by ${who}; stop that daemon, or give this one another --state`));
}
