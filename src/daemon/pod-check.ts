/** What the allocator believes against the namespaces that live on this machine, whichever runtime made them. */
import { readdirSync, readlinkSync, statSync } from "node:fs";
import { readNamespaceAddresses } from "#adapters/pod-links.ts";
import type { Ip } from "#base/ip.ts";
import type { PodRecord } from "#ipam/pod-terms.ts";
import type { AddressCheckView } from "./pod-control.ts";

export interface LivingNamespace {
  readonly path: string;
  readonly inode: number;
  readonly addresses: readonly Ip[];
}
export interface CheckWorld {
  readonly records: readonly PodRecord[];
  readonly namespaces: readonly LivingNamespace[];
  /** Whether an address lies in a CIDR of this node. */
  readonly holds: (address: Ip) => boolean;
}
type Finding = Omit<AddressCheckView["findings"][number], "repaired">;

/** Folders in which runtimes keep namespaces alive by name. */
const namedFolders = ["/run/netns", "/run/docker/netns", "/var/run/cni/netns", "/run/containerd/netns"] as const;

/** Every network namespace but our own that a process lives in or that a runtime named, with the addresses in it. */
export async function findNamespaces(): Promise<readonly LivingNamespace[]> {
  const own = inodeOf("/proc/thread-self/ns/net"),
    found = new Map<number, string>();
  for (const folder of namedFolders) for (const name of list(folder)) add(found, `${folder}/${name}`);
  for (const pid of list("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const path = `/proc/${pid}/ns/net`,
      inode = linkInode(path);
    if (inode !== undefined && !found.has(inode)) found.set(inode, path);
  }
  const living: LivingNamespace[] = [];
  for (const [inode, path] of found) {
    if (inode === own) continue;
    const addresses = await readNamespaceAddresses(path);
    if (addresses !== undefined) living.push({ path, inode, addresses });
  }
  return living;
}

/** Leaks, doubles and strangers. Pure over `world`. */
export function judgeAddresses({ records, namespaces, holds }: CheckWorld): { readonly checked: number; readonly findings: readonly Finding[] } {
  const where = new Map<Ip, LivingNamespace[]>();
  for (const namespace of namespaces) for (const address of namespace.addresses) where.set(address, [...(where.get(address) ?? []), namespace]);
  const findings: Finding[] = [],
    used = new Map(records.filter(({ state }) => state === "used").map((record) => [record.address, record]));
  for (const { address, containerId, link } of used.values()) {
    const there = where.get(address) ?? [];
    if (there.length > 1)
      findings.push({ kind: "double", address, text: `${address} is in ${there.length} namespaces: ${there.map(({ path }) => path).join(", ")}` });
    if (there.length > 0) continue;
    const isGone = link === undefined || link.netns === null || inodeOf(link.netns) === undefined;
    const text = isGone
      ? `${address} is held by container ${containerId}, and no namespace on this machine has it`
      : `${address} is held by container ${containerId}, whose namespace ${link.netns} lives and has it no more`;
    findings.push({ kind: isGone ? "leak" : "missing", address, text });
  }
  for (const [address, there] of where) {
    if (used.has(address) || !holds(address)) continue;
    const kind = there.length > 1 ? "double" : "unknown";
    findings.push({ kind, address, text: `${address} is in use in ${there.map(({ path }) => path).join(", ")}, and was handed out to nobody` });
  }
  return { checked: used.size, findings };
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
function add(found: Map<number, string>, path: string): void {
  const inode = inodeOf(path);
  if (inode !== undefined) found.set(inode, path);
}
function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined;
  }
}
/** `net:[4026531840]`: cheaper than following it, and there for kernel threads too. */
function linkInode(path: string): number | undefined {
  try {
    return Number(/\[(\d+)\]/.exec(readlinkSync(path))?.[1]);
  } catch {
    return undefined;
  }
}
