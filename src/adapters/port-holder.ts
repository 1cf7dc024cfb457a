/** Who listens on a TCP port of this network namespace, as far as /proc lets us see: for the sentence about a port that is taken. */
import { readdir, readFile, readlink } from "node:fs/promises";

/** State LISTEN in /proc/net/tcp. */
const listening = "0A";

/** For example `bird (pid 812)`; `another program` if it cannot be known. */
export async function portHolder(port: number): Promise<string> {
  const inodes = new Set([...(await inodesOf("/proc/net/tcp", port)), ...(await inodesOf("/proc/net/tcp6", port))]);
  if (inodes.size === 0) return "another program";
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    if (await holds(pid, inodes)) return `${(await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "a program")).trim()} (pid ${pid})`;
  }
  return "another program";
}

/** Columns: index, local address:port in hex, remote, state, queues, timers, retransmits, uid, timeout, inode. */
async function inodesOf(table: string, port: number): Promise<string[]> {
  const lines = (await readFile(table, "utf8").catch(() => "")).split("\n").slice(1);
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(`:${wanted}`) && columns[3] === listening)
    .map((columns) => `socket:[${columns[9]}]`);
}

/** A process that went away or is not ours to look into holds nothing we can name. */
async function holds(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const name of names) if (inodes.has(await readlink(`/proc/${pid}/fd/${name}`).catch(() => ""))) return true;
  return false;
}
