/**
 * `podway leave`: everything of ours goes from this machine. The daemon, if one ran, has ended by now; what is left is found by
 * our marks and by the state directory, so that it works after a crash as well. What cannot be taken away is said.
 *
 * Order: nobody may route here any more (the claims go first), then the kernel's entries, then the rules, then what we remember.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { DirectoryLock } from "#adapters/directory-lock.ts";
import { openNetlinkKernel } from "#adapters/netlink-kernel.ts";
import { openNftKernel } from "#adapters/nft-kernel.ts";
import { PodLinks } from "#adapters/pod-links.ts";
import { readSecret } from "#adapters/secrets.ts";
import { systemClock } from "#adapters/system-clock.ts";
import type { Departure, HostQuestion } from "#base/check.ts";
import { FaultError } from "#base/fault.ts";
import type { RowChange, Tables } from "#base/kernel-row.ts";
import type { NodeSettings, Secret } from "#base/settings.ts";
import { releaseNode } from "#daemon/lease-release.ts";
import { podMark } from "#daemon/pod-view.ts";
import { openStore } from "#daemon/store-choice.ts";
import { settingsFor } from "./document-here.ts";

const storeMillis = 10_000;
/** Files and folders a daemon makes in its state directory; nothing else there is ours to remove. */
const ours = /^(identity|leases\.json|document\.yaml|running\.json|shut-down\.json|drained\.json|store|pods|cni-spool|daemon\.lock)(\.|$)/;
const locked = { file: "daemon.lock", code: "daemon", user: "podway leave", place: "the state directory" } as const;

/** Rejects with one sentence if a daemon still runs, or if nothing tells what this node is. */
export async function depart(question: HostQuestion): Promise<Departure> {
  const found = await settingsFor(question);
  if (!found.ok) throw new FaultError(found.fault);
  const { settings } = found.value,
    { stateDirectory } = question;
  const lock = await DirectoryLock.take(stateDirectory, locked);
  const done: string[] = [],
    left: string[] = [];
  const step = async (what: string, take: () => Promise<readonly string[]>): Promise<void> => {
    try {
      done.push(...(await take()));
    } catch (cause) {
      left.push(`${what}: ${cause instanceof FaultError ? cause.fault.text : (cause as Error).message}`);
    }
  };
  try {
    await step("the claims of this node stay in the store until their hold ends", () => freeClaims(settings, stateDirectory));
    if (settings.kernel.enabled) {
      await step("the links of our pods stay", removePodLinks);
      await step("our kernel entries stay", () => clearKernel(settings.kernel.routeProtocol));
      await step("our table of packet rules stays", clearRules);
    }
  } finally {
    await lock.release();
  }
  await step(`the state directory ${stateDirectory} stays`, () => clearState(stateDirectory));
  return { done, left };
}

async function freeClaims(settings: NodeSettings, stateDirectory: string): Promise<readonly string[]> {
  const secret = (of: Secret): Promise<Uint8Array> => readSecret(of, { credentialsDirectory: process.env["CREDENTIALS_DIRECTORY"], note: () => {} });
  const store =
    settings.store.kind === "etcd"
      ? await openStore(settings, { stateDirectory, clock: systemClock, telemetry: { note: () => {}, gauge: () => {} }, secret })
      : undefined;
  if (!store) return [];
  const late = new Promise<never>((_, reject) =>
    setTimeout(() => reject(new Error(`the store gave no answer within ${storeMillis / 1000} s`)), storeMillis).unref(),
  );
  try {
    const freed = await Promise.race([releaseNode(store, settings), late]);
    return freed;
  } finally {
    await store.close();
  }
}

async function clearKernel(routeProtocol: number): Promise<readonly string[]> {
  const kernel = await openNetlinkKernel(routeProtocol);
  try {
    const tables = await kernel.look([]),
      removals = removalsOf(tables);
    const failures = await kernel.apply(removals);
    if (failures.length > 0) throw new FaultError(failures[0]!.fault);
    const count = (name: "route" | "link", noun: string): string[] => (tables[name].size === 0 ? [] : [`${tables[name].size} ${noun} removed`]);
    return [...count("route", "kernel routes"), ...count("link", "devices, with everything on them,")];
  } finally {
    kernel.close();
  }
}

/** The node's ends, found by the mark on them; a pod's own end goes with it. */
async function removePodLinks(): Promise<readonly string[]> {
  const links = new PodLinks();
  try {
    const devices = await links.marked(podMark);
    for (const device of devices) await links.remove(device);
    return devices.length === 0 ? [] : [`${devices.length} pods' links removed`];
  } finally {
    links.close();
  }
}

/** Routes first: what is on a device goes with it. */
function removalsOf({ route, link }: Tables): readonly RowChange[] {
  return [
    ...Array.from(route, ([key, before]) => ({ table: "route" as const, key, before, after: undefined })),
    ...Array.from(link, ([key, before]) => ({ table: "link" as const, key, before, after: undefined })),
  ];
}

async function clearRules(): Promise<readonly string[]> {
  const filter = openNftKernel();
  try {
    if ((await filter.look()) === undefined) return [];
    await filter.apply({ kind: "remove" });
    return ["our table of packet rules removed"];
  } finally {
    await filter.close();
  }
}

async function clearState(directory: string): Promise<readonly string[]> {
  for (const name of await readdir(directory)) if (ours.test(name)) await rm(join(directory, name), { recursive: true, force: true });
  const others = await readdir(directory);
  if (others.length > 0) return [`the state directory is emptied but for what is not ours: ${others.slice(0, 5).join(", ")}`];
  await rm(directory, { recursive: true });
  return [`the state directory ${directory} removed`];
}
