/**
 * Whether this start is a restart in the sense of RFC 4724: a daemon ran here moments ago and did not say good-bye for good.
 * A small file in the state directory is touched while we run; its age at the next start tells.
 */
import { readFile, readlink, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Ip, parseIp } from "#base/ip.ts";
import { note } from "#base/note.ts";
import type { Telemetry } from "#ports/telemetry.ts";

const touchMillis = 10_000;
/** How often it is looked whether other sessions are up than the mark says. */
const lookMillis = 1000;

/** What this start is: of the daemon alone, or of the machine under it (the kernel forwards nothing of ours any more). */
export interface LastRun {
  readonly kind: "restart" | "reboot";
  /** Addresses whose sessions were up. */
  readonly sessions: readonly Ip[];
}

export interface RestartMark {
  /**
   * What this start is, undefined if no restart: after `keptMillis` peers have given up on us anyhow. And marks it, so that
   * whoever sees a session of this run is told of the next start.
   */
  begin(keptMillis: number): Promise<LastRun | undefined>;
  /** Keeps the mark fresh until the signal; leaves it in place. `sessions`: addresses to be waited for after the next start. */
  keep(signal: AbortSignal, sessions: () => readonly Ip[]): Promise<void>;
}

interface Mark {
  readonly routerId?: unknown;
  readonly at?: unknown;
  readonly boot?: unknown;
  readonly sessions?: unknown;
}

export function openRestartMark(stateDirectory: string, routerId: string, telemetry: Telemetry): RestartMark {
  const path = join(stateDirectory, "running.json");
  let isWritten = true,
    writing = Promise.resolve();
  const write = async (sessions: readonly Ip[]): Promise<void> => {
    try {
      // Wall-clock time: the mark must mean something after a reboot. A step only makes a restart look like a fresh start.
      await writeFile(`${path}.new`, JSON.stringify({ schema: 1, routerId, at: Date.now(), boot: await kernelId(), sessions }), { mode: 0o600 });
      await rename(`${path}.new`, path); // whole, and not worth a sync every second: what a power cut takes makes a fresh start
      isWritten = true;
    } catch (cause) {
      if (isWritten)
        telemetry.note(
          note("warn", "daemon.no-restart-mark", `${path} cannot be written, so the next start will not be known as a restart: ${(cause as Error).message}`),
        );
      isWritten = false;
    }
  };
  /** One write after another. */
  const touch = (sessions: readonly Ip[]): Promise<void> => (writing = writing.then(() => write(sessions)));
  const read = async (keptMillis: number): Promise<LastRun | undefined> => {
    try {
      const mark = JSON.parse(await readFile(path, "utf8")) as Mark;
      if (mark.routerId !== routerId || typeof mark.at !== "number" || Math.abs(Date.now() - mark.at) > keptMillis) return undefined;
      const sessions = Array.isArray(mark.sessions) ? mark.sessions.flatMap((text) => parseIp(String(text)) ?? []) : [];
      return { kind: mark.boot === (await kernelId()) ? "restart" : "reboot", sessions };
    } catch {
      return undefined;
    }
  };
  return {
    async begin(keptMillis) {
      const last = await read(keptMillis);
      await touch(last?.sessions ?? []);
      return last;
    },
    async keep(signal, sessions) {
      let told = "",
        toldAt = 0;
      const look = async (): Promise<void> => {
        const up = sessions(),
          now = performance.now();
        if (String(up) === told && now - toldAt < touchMillis) return;
        [told, toldAt] = [String(up), now];
        await touch(up);
      };
      await look();
      const timer = setInterval(() => void look(), lookMillis);
      await new Promise<void>((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", () => resolve(), { once: true })));
      clearInterval(timer);
      await touch(sessions());
    },
  };
}

/** What our routes live in: this boot of the machine, and this network namespace of it. In another one nothing of ours forwards. */
async function kernelId(): Promise<string> {
  return `${(await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim()} ${await readlink("/proc/self/ns/net")}`;
}
