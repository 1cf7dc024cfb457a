/** nft as the judge of what is in a scratch namespace, and as the meddler. */
import { execFileSync, spawnSync } from "node:child_process";
import { kernelMissing, type Namespace } from "./kernel-netns.ts";

/** Why packet rules cannot be tested here, to be put behind a title; undefined if they can. */
export const nftMissing: string | undefined =
  kernelMissing ?? (spawnSync("nft", ["--version"]).error === undefined ? undefined : " (skipped: the program nft is not here)");

/** Runs nft in the namespace with `text` as its ruleset file. */
export function nft(namespace: Namespace, text: string): void {
  execFileSync("ip", ["netns", "exec", namespace.name, "sh", "-c", "cat | nft -f -"], { input: text, stdio: ["pipe", "pipe", "pipe"] });
}

/** Every rule of everybody, as nft prints them. */
export const ruleset = (namespace: Namespace): string => namespace.exec("nft list ruleset");
export const tables = (namespace: Namespace): readonly string[] => namespace.exec("nft list tables").trim().split("\n").filter(Boolean);
