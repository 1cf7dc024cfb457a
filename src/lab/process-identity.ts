/** Which process a number means: a pid is reused, a pid with its start time and the machine's boot is not. */
import { readdirSync, readFileSync } from "node:fs";

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot (proc(5): field 22 of /proc/PID/stat). */
  readonly start: number;
  /** /proc/sys/kernel/random/boot_id. */
  readonly boot: string;
}

/** The process that has this pid now; undefined if none runs. A zombie does not, once its last thread is gone: until then its ports are taken. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The command name may hold spaces and brackets; fields are counted from its closing one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  const threads = Number(fields[17]);
  if (state === "X" || (state === "Z" && threads <= 1)) return undefined;
  return { pid, start: Number(fields[19]), boot: bootId() };
}

/** True while exactly that process runs. */
export function runs(identity: ProcessIdentity): boolean {
  const now = identify(identity.pid);
  return now !== undefined && now.start === identity.start && now.boot === identity.boot;
}

/** Processes that were started with the environment variable `entry` ("NAME=value"), ourselves left out. */
export function withEnvironment(entry: string): readonly ProcessIdentity[] {
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return pids.flatMap((pid) => {
    const marked = pid !== process.pid && readText(`/proc/${pid}/environ`)?.split("\0").includes(entry) === true;
    return (marked && identify(pid)) || [];
  });
}

function bootId(): string {
  return readText("/proc/sys/kernel/random/boot_id")?.trim() ?? "";
}

const unreadable: ReadonlySet<string> = new Set(["ENOENT", "ESRCH", "EACCES", "EPERM"]);

/** Undefined for a process that is gone, and for one that is none of ours to look into. */
function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== undefined && unreadable.has(code)) return undefined;
    throw error;
  }
}
