/**
 * Who runs nftables' commands for us: libnftables within the process, or the program `nft` where the library cannot be loaded.
 * One command at a time; both take the same text (commands, or a transaction in JSON) and answer in JSON.
 */
import { FaultError, type WorldFault, worldFault } from "#base/fault.ts";

export interface NftEngine {
  /** For the log: which of the two this is. */
  readonly name: string;
  /** What the command printed. Rejects with a FaultError; `filter.absent`: it speaks of what is not there. */
  run(command: string): Promise<string>;
  close(): Promise<void>;
}

/** The library, or the program, in the network namespace of the calling thread. */
export async function openNft(): Promise<NftEngine> {
  const first = await attempt(async () => (await import("./nft-library.ts")).openNftLibrary());
  if (!(first instanceof Error)) return first;
  const second = await attempt(async () => (await import("./nft-program.ts")).openNftProgram());
  if (!(second instanceof Error)) return second;
  const text = `nftables cannot be spoken to: ${first.message}; ${second.message}; install the package libnftables1 (or nftables).`;
  throw new FaultError(worldFault("filter.missing", text), first);
}

/** nftables' own words → a fault. They are the C library's, in English: nobody sets a locale in this process. */
export function nftFault(words: string): WorldFault {
  if (/Operation not permitted|must be root/.test(words)) return notPermitted;
  const said = words
    .trim()
    .split("\n")
    .slice(0, 1)
    .join("")
    .replace(/^.*?Error: /, "");
  if (/No such file or directory/.test(said))
    return worldFault("filter.absent", "nftables knows no such table or chain, or the kernel lacks nft_nat or nft_masq; try `modprobe nft_masq`.");
  return worldFault(
    "filter.refused",
    `nftables refused a change of table inet podway: ${said || "no reason was given"}; \`nft list table inet podway\` shows what is there.`,
  );
}

export const notPermitted = worldFault(
  "filter.not-permitted",
  "packet rules cannot be read or written: Podway lacks CAP_NET_ADMIN in this network namespace; run it as root, or by the unit in deploy/.",
);

async function attempt<T>(open: () => Promise<T> | T): Promise<T | Error> {
  try {
    return await open();
  } catch (cause) {
    return cause instanceof Error ? cause : new Error(String(cause));
  }
}
