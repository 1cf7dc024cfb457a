/** Other people's test vectors are not part of this repository; PODWAY_VECTORS names the folder they are in, if anybody has them. */
import { existsSync } from "node:fs";
import { join } from "node:path";

/** A folder of them, or undefined if the environment names none. Named and not there is a failure, never a silent skip. */
export function vectorFolder(name: "exabgp-encoding" | "mrt" | "pcap"): string | undefined {
  const root = process.env["PODWAY_VECTORS"];
  if (!root) {
    process.stdout.write(`${name}: skipped; PODWAY_VECTORS may name a folder that holds exabgp-encoding, mrt and pcap\n`);
    return undefined;
  }
  const folder = join(root, name);
  if (!existsSync(folder)) throw new Error(`PODWAY_VECTORS is ${root}, and there is no ${name} in it`);
  return folder;
}
