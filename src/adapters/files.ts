/** Files that are either the old one or the new one, whole, whatever happens in between. */
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Replaces `path` by `data`: a file beside it is written and made durable, then takes the name, and the folder is made durable.
 * `mode` is that of the new file. Rejects with the system's error (ENOSPC, EROFS, ...); the old file stands then.
 */
export async function writeFileAtomic(path: string, data: Uint8Array | string, mode = 0o600): Promise<void> {
  const beside = `${path}.${process.pid}.new`;
  try {
    await writeDurable(beside, data, mode);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

async function writeDurable(path: string, data: Uint8Array | string, mode: number): Promise<void> {
  await using file = await open(path, "w", mode);
  await file.writeFile(data);
  await file.sync();
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, "r");
  await folder.sync();
}
