/**
 * What systemd wants to hear (sd_notify(3)): datagrams to the unix socket that NOTIFY_SOCKET names. Node has no such sockets,
 * so it goes through the C library. Without systemd every call does nothing. Nothing here throws: a deaf supervisor is no
 * reason to stop.
 */
import { libc } from "./libc.ts";

const unixDatagram = { family: 1, type: 2 | 0o2000000 | 0o4000 } as const;
const noSignal = 0x4000;
/** sun_path of struct sockaddr_un. */
const pathMax = 108;

export interface Systemd {
  /** How often WATCHDOG=1 must come; undefined if nobody waits for it. Say it at half that. */
  readonly watchdogMillis: number | undefined;
  ready(status: string): void;
  /** One line, shown by `systemctl status`. */
  status(text: string): void;
  watchdog(): void;
  /** Follow it with `ready` once the new configuration rules. */
  reloading(): void;
  stopping(status: string): void;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** `pid` is ours: WATCHDOG_PID says whom the watchdog watches. */
export function openSystemd(env: Environment, pid: number): Systemd {
  const send = sender(env.NOTIFY_SOCKET);
  const line = (text: string): string => text.replace(/\s+/g, " ").trim();
  return {
    watchdogMillis: watchdogMillis(env, pid),
    ready: (status) => send(`READY=1\nSTATUS=${line(status)}`),
    status: (text) => send(`STATUS=${line(text)}`),
    watchdog: () => send("WATCHDOG=1"),
    reloading: () => send(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`),
    stopping: (status) => send(`STOPPING=1\nSTATUS=${line(status)}`),
  };
}

function watchdogMillis({ WATCHDOG_USEC: micros, WATCHDOG_PID: watched }: Environment, pid: number): number | undefined {
  const millis = Number(micros) / 1000;
  const ours = watched === undefined || Number(watched) === pid;
  return ours && Number.isFinite(millis) && millis > 0 ? millis : undefined;
}

function sender(path: string | undefined): (state: string) => void {
  const address = path === undefined ? undefined : unixAddress(path);
  if (!address) return () => {};
  const fd = libc.socket(unixDatagram.family, unixDatagram.type, 0);
  if (fd < 0) return () => {};
  return (state) => {
    const bytes = Buffer.from(state);
    libc.sendto(fd, bytes, bytes.length, noSignal, address, address.length);
  };
}

/** struct sockaddr_un: family, then the path; "@" in front means the abstract name space, which has no closing zero. */
function unixAddress(path: string): Uint8Array | undefined {
  const abstract = path.startsWith("@");
  if (!abstract && !path.startsWith("/")) return undefined;
  const name = Buffer.from(abstract ? `\0${path.slice(1)}` : `${path}\0`);
  return name.length > pathMax ? undefined : Buffer.concat([Buffer.from([unixDatagram.family, 0]), name]);
}
