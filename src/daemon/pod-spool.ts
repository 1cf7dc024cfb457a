/**
 * Deletions that a door could not tell because no daemon ran (cni/plugin.ts): one file each in a folder of the state directory. They
 * are worked off as soon as the pools are known, and now and then for the one that was written while a daemon came up.
 */
import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Fault, type Outcome } from "#base/fault.ts";
import { note } from "#base/note.ts";
import type { PodKey, PodRecord } from "#ipam/pod-terms.ts";
import type { Telemetry } from "#ports/telemetry.ts";
import { readKey } from "./pod-request.ts";

const lookMillis = { first: 100, later: 5_000 } as const;
/** Files of one look, and octets of one. */
const spoolLimits = { files: 4096, octets: 4096 } as const;

interface Deletion extends PodKey {
  readonly path: string;
  readonly netns: string | null;
  /** When it was asked for: seconds of the wall clock. */
  readonly at: number;
}

export interface PodSpoolOptions {
  readonly path: string;
  readonly telemetry: Telemetry;
  readonly recordsOf: (key: PodKey) => readonly PodRecord[];
  readonly detach: (key: PodKey) => Promise<Outcome<unknown, Fault>>;
  /** The pools are known: an address freed before would be kept for nobody. */
  readonly isReady: () => boolean;
}

/** Makes the folder, so that a plugin of another user finds it ours. */
export async function makePodSpool(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

export async function followPodSpool(options: PodSpoolOptions, signal: AbortSignal): Promise<void> {
  for (let waitMillis: number = lookMillis.first; !signal.aborted;) {
    await pause(waitMillis, undefined, { signal, ref: false }).catch(() => undefined);
    if (signal.aborted || !options.isReady()) continue;
    await workOff(options);
    waitMillis = lookMillis.later;
  }
}

async function workOff({ path, telemetry, recordsOf, detach }: PodSpoolOptions): Promise<void> {
  const names = (await readdir(path)).filter((name) => !name.endsWith(".new")).slice(0, spoolLimits.files);
  for (const name of names) {
    const deletion = await read(join(path, name));
    if (deletion === undefined) {
      telemetry.note(note("warn", "ipam.spool-unreadable", `${join(path, name)} is no deletion a plugin wrote; it is removed`));
    } else if (!isOlder(deletion, recordsOf(deletion))) {
      const gone = await detach(deletion);
      // It stays for the next look.
      if (!gone.ok) continue;
      telemetry.note(note("info", "ipam.spooled", `container ${deletion.containerId}: its ${deletion.ifname}, deleted while no podwayd ran, is removed`));
    }
    await rm(join(path, name), { force: true, recursive: true });
  }
}

/** What is there now was made after the deletion was asked for, or elsewhere. */
function isOlder({ at, netns }: Deletion, records: readonly PodRecord[]): boolean {
  return records.some(({ since, link }) => since > at || (netns !== null && link !== undefined && link.netns !== null && link.netns !== netns));
}

async function read(path: string): Promise<Deletion | undefined> {
  try {
    const { size, mtimeMs } = await stat(path);
    if (size > spoolLimits.octets) return undefined;
    const { containerId, ifname, netns } = JSON.parse(await readFile(path, "utf8")) as Readonly<Record<string, unknown>>;
    const key = readKey({ containerId: String(containerId), ifname: String(ifname) });
    return key.ok ? { ...key.value, path, netns: typeof netns === "string" ? netns : null, at: Math.floor(mtimeMs / 1000) } : undefined;
  } catch {
    return undefined;
  }
}
