/**
 * The path of a unix socket others come in by: taken without ever being open to more users than it should be, and never taken away
 * from a daemon that is alive.
 *
 * A socket is bound under a name of its own, given its mode and group, and only then linked to the path: link(2) fails if
 * the path exists, so of two daemons that start at once one gets it. What is found there is stale if nobody accepts on it.
 */
import type { Server as HttpServer } from "node:http";
import { chmod, chown, link, lstat, mkdir, readFile, rename, rm } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { callerFault, FaultError, worldFault } from "#base/fault.ts";

/** sockaddr_un holds 108 octets with the closing zero (unix(7)); the name bound first is longer by a suffix. */
const pathOctets = 96;
/** A listener that is alive accepts within this time (unix sockets accept at once). */
const probeMillis = 1_000;

export interface SocketPlace {
  readonly socket: string;
  /** Group that may use the socket besides its owner; left out of account if the machine has no such group. */
  readonly group: string | undefined;
  /** What an operator gives another path with, for sentences: `--api`. */
  readonly option: string;
}

/** Listens at `place.socket`. Returns what removes the path again. Rejects with a FaultError that names what is in the way. */
export async function listenAt(server: Server, place: SocketPlace): Promise<() => Promise<void>> {
  const path = place.socket;
  if (Buffer.byteLength(path) > pathOctets) {
    throw new FaultError(
      callerFault("api.path-too-long", `the socket path ${path} is longer than ${pathOctets} octets: give a shorter one with ${place.option}.`),
    );
  }
  const bound = `${path}.${process.pid}`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await rm(bound, { force: true });
    await listen(server, bound);
    const gid = place.group === undefined ? undefined : await groupId(place.group);
    if (gid !== undefined) await chown(bound, -1, gid).catch(unlessNotPermitted);
    await chmod(bound, 0o660);
    const { ino } = await lstat(bound);
    await claim(bound, place);
    return async () => {
      const found = await lstat(path).catch(() => undefined);
      if (found?.ino === ino) await rm(path, { force: true });
    };
  } catch (error) {
    server.close();
    throw error instanceof FaultError ? error : new FaultError(worldFault("api.no-socket", `cannot listen at ${path}: ${reason(error)}.`), error);
  } finally {
    await rm(bound, { force: true }).catch(() => undefined);
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Links `bound` to `path`, putting a stale socket out of the way first. */
async function claim(bound: string, { socket: path, option }: SocketPlace): Promise<void> {
  for (let attempt = 0; attempt < 3; attempt++) {
    if (await linked(bound, path)) return;
    const found = await lstat(path).catch(() => undefined);
    if (found === undefined) continue;
    if (!found.isSocket())
      throw new FaultError(callerFault("api.not-a-socket", `${path} is in the way and is no socket: remove it or give another path with ${option}.`));
    if (await answers(path)) throw inUse(path, option);
    await setAside(path, `${bound}.old`);
  }
  throw inUse(path, option);
}

/** Moves a stale socket away and removes it; if another daemon's took its place meanwhile, that one is put back. */
async function setAside(path: string, aside: string): Promise<void> {
  await rename(path, aside).catch(() => undefined);
  if (await answers(aside)) await linked(aside, path);
  await rm(aside, { force: true });
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

/** True if somebody accepts connections there. One who does not answer in time is taken as alive. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const decide = (alive: boolean): void => {
      socket.destroy();
      resolve(alive);
    };
    socket.setTimeout(probeMillis, () => decide(true));
    socket.once("connect", () => decide(true));
    socket.once("error", (error) => decide(codeOf(error) !== "ECONNREFUSED" && codeOf(error) !== "ENOENT"));
  });
}

/** gid of a group of this machine (group(5)); Node has no getgrnam. */
async function groupId(name: string): Promise<number | undefined> {
  const lines = (await readFile("/etc/group", "utf8").catch(() => "")).split("\n");
  const gid = lines.find((line) => line.startsWith(`${name}:`))?.split(":")[2];
  return gid !== undefined && /^\d+$/.test(gid) ? Number(gid) : undefined;
}

/** A daemon without the right to give files away keeps the socket to its own group. */
function unlessNotPermitted(error: unknown): void {
  if (codeOf(error) !== "EPERM") throw error;
}

const inUse = (path: string, option: string): FaultError =>
  new FaultError(callerFault("api.socket-in-use", `another podwayd answers at ${path}: stop it, or give this one another path with ${option}.`));

const codeOf = (error: unknown): string | undefined => (error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined);

function reason(error: unknown): string {
  switch (codeOf(error)) {
    case "EACCES":
    case "EPERM":
      return "permission denied; run podwayd as root or choose a directory it may write to";
    case "EROFS":
      return "the file system is read-only";
    default:
      return error instanceof Error ? error.message : String(error);
  }
}

/** Ends when every connection has: idle ones at once, busy ones after `stopMillis` whatever they do. */
export function closeServer(server: HttpServer, stopMillis: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), stopMillis);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
