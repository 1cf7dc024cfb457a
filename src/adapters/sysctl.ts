/**
 * Network switches below /proc/sys. Read and written synchronously on purpose: the kernel shows the network namespace of the
 * thread that asks, and Node's own file threads may stand in another.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { type WorldFault, worldFault } from "#base/fault.ts";
import type { SysctlRow } from "#base/kernel-row.ts";

const root = "/proc/sys/";

/** The value without its line end; undefined if there is no such switch. */
export function readSysctl(path: string): string | undefined {
  try {
    return readFileSync(root + path, "latin1").trim();
  } catch {
    return undefined;
  }
}

export function writeSysctl(row: SysctlRow): WorldFault | undefined {
  try {
    writeFileSync(root + row.path, row.value);
    return undefined;
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    return worldFault(
      "kernel.sysctl",
      `sysctl ${row.path} cannot be set to ${row.value}: ${reason}; check that /proc/sys is writable and the kernel has this switch.`,
    );
  }
}
