/**
 * Whether this start is a restart in the sense of RFC 4724: a daemon ran here moments ago and did not say good-bye for good.
 * A small file in the state directory is touched while we run; its age at the next start tells.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "#adapters/files.ts";
import { note } from "#base/note.ts";
import type { Telemetry } from "#ports/telemetry.ts";

const touchMillis = 10_000;
/** After this long peers have given up on us anyhow. */
const recentMillis = 180_000;

export interface RestartMark {
  /** What this start is: of the daemon alone, of the machine under it (the kernel forwards nothing of ours any more), or neither. */
  last(): Promise<"restart" | "reboot" | undefined>;
  /** Keeps the mark fresh until the signal; leaves it in place. */
  keep(signal: AbortSignal): Promise<void>;
}

interface Mark {
  readonly routerId?: unknown;
  readonly at?: unknown;
  readonly boot?: unknown;
}

export function openRestartMark(stateDirectory: string, routerId: string, telemetry: Telemetry): RestartMark {
  const path = join(stateDirectory, "running.json");
  let isWritten = true;
  const touch = async (): Promise<void> => {
    try {
      // Wall-clock time: the mark must mean something after a reboot. A step only makes a restart look like a fresh start.
      await writeFileAtomic(path, JSON.stringify({ schema: 1, routerId, at: Date.now(), boot: await bootId() }));
      isWritten = true;
    } catch (cause) {
      if (isWritten)
        telemetry.note(
          note("warn", "daemon.no-restart-mark", `${path} cannot be written, so the next start will not be known as a restart: ${(cause as Error).message}`),
        );
      isWritten = false;
    }
  };
  return {
    async last() {
      try {
        const mark = JSON.parse(await readFile(path, "utf8")) as Mark;
        if (mark.routerId !== routerId || typeof mark.at !== "number" || Math.abs(Date.now() - mark.at) > recentMillis) return undefined;
        return mark.boot === (await bootId()) ? "restart" : "reboot";
      } catch {
        return undefined;
      }
    },
    async keep(signal) {
      await touch();
      const timer = setInterval(() => void touch(), touchMillis);
      await new Promise<void>((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", () => resolve(), { once: true })));
      clearInterval(timer);
      await touch();
    },
  };
}

async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}
