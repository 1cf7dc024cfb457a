/**
 * Whether this start is a restart in the sense of RFC 4724: a daemon ran here moments ago and did not say good-bye for good.
 * A small file in the state directory is touched while we run; its age at the next start tells.
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "#adapters/files.ts";

const touchMillis = 10_000;
/** After this long peers have given up on us anyhow. */
const recentMillis = 180_000;

export interface RestartMark {
  wasRecent(): Promise<boolean>;
  /** Keeps the mark fresh until the signal; leaves it in place. */
  keep(signal: AbortSignal): Promise<void>;
  /** Takes it away: the next start is no restart. */
  clear(): Promise<void>;
}

export function openRestartMark(stateDirectory: string, routerId: string): RestartMark {
  const path = join(stateDirectory, "running.json");
  // Wall-clock time: the mark must mean something after a reboot. A step only makes a restart look like a fresh start.
  const touch = (): Promise<void> => writeFileAtomic(path, JSON.stringify({ schema: 1, routerId, at: Date.now() })).catch(() => {});
  return {
    async wasRecent() {
      try {
        const mark = JSON.parse(await readFile(path, "utf8")) as { readonly routerId?: unknown; readonly at?: unknown };
        return mark.routerId === routerId && typeof mark.at === "number" && Math.abs(Date.now() - mark.at) < recentMillis;
      } catch {
        return false;
      }
    },
    async keep(signal) {
      await touch();
      const timer = setInterval(() => void touch(), touchMillis);
      await new Promise<void>((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", () => resolve(), { once: true })));
      clearInterval(timer);
      await touch();
    },
    clear: () => rm(path, { force: true }),
  };
}
