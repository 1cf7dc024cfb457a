/**
 * What a node remembers on its disk (product §6.7, §6.8): who it is, and the last known leases, so that it starts and forwards
 * while the store is away.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "#adapters/files.ts";
import { FaultError, callerFault } from "#base/fault.ts";
import { parsePrefix } from "#base/prefix.ts";
import type { Instant } from "#base/time.ts";
import type { StoredEntry } from "#ipam/exchange.ts";
import type { EpochRecord } from "#ipam/lease-record.ts";
import type { RememberedLease } from "#ipam/lease-terms.ts";

const memoryLimits = { octets: 16 * 1024 * 1024 } as const;

/** Machine and nonce: tells two claimants of one node name apart. A state directory copied to another machine is another claimant. */
export async function readIdentity(stateDirectory: string): Promise<string> {
  const path = join(stateDirectory, "identity");
  const machine = await readFile("/etc/machine-id", "utf8").catch(() => "none");
  // systemd asks not to show the machine id itself to others (machine-id(5)).
  const shown = createHash("sha256").update(`podway ${machine.trim()}`).digest("hex").slice(0, 12);
  const known = (await readFile(path, "utf8").catch(missing(path)))?.trim();
  if (known !== undefined && !/^[0-9a-f]{16}$/.test(known))
    throw new FaultError(callerFault("state.bad-identity", `${path} holds no identity of this node; remove it, and the node takes a new one`));
  const nonce = known ?? randomBytes(8).toString("hex");
  if (known === undefined) await writeFileAtomic(path, `${nonce}\n`);
  return `${shown}-${nonce}`;
}

/** The leases as one daemon of this node saw them last. */
export interface LeaseMemory {
  /** The last own CIDR of each pool. One of another boot is a wish only: its instant, which counts from that boot, becomes minus infinity. */
  readonly own: ReadonlyMap<string, RememberedLease>;
  /** Entries under `leases/`. */
  readonly entries: readonly StoredEntry[];
  /** Which life of the store they are of, and the highest revision seen in it; undefined if that was not known. */
  readonly epoch: (EpochRecord & { readonly revision: bigint }) | undefined;
}

interface MemoryFile {
  readonly schema: 1;
  readonly cluster: string;
  readonly boot: string;
  readonly own: readonly {
    readonly pool: string;
    readonly cidr: string;
    readonly confirmedAt: number | null;
    readonly fence?: { readonly epoch: number; readonly revision: string };
  }[];
  readonly epoch?: { readonly number: number; readonly nonce: string; readonly revision: string };
  readonly entries: readonly {
    readonly key: string;
    readonly value: string;
    readonly created: string;
    readonly modified: string;
    readonly lease: string | null;
  }[];
}

export class LeaseFile {
  readonly #path: string;
  readonly #cluster: string;

  constructor(stateDirectory: string, cluster: string) {
    this.#path = join(stateDirectory, "leases.json");
    this.#cluster = cluster;
  }

  /** What was written; undefined if nothing was, if it cannot be read, or if it is another cluster's. */
  async read(): Promise<LeaseMemory | undefined> {
    const text = await readFile(this.#path, "utf8").catch(() => undefined);
    if (text === undefined || text.length > memoryLimits.octets) return undefined;
    try {
      const file = JSON.parse(text) as MemoryFile;
      return file.schema === 1 && file.cluster === this.#cluster ? fromFile(file, await bootId()) : undefined;
    } catch {
      return undefined;
    }
  }

  /** Replaces the file. Rejects with the system's error. */
  async write({ own, entries, epoch }: LeaseMemory): Promise<void> {
    const file: MemoryFile = {
      schema: 1,
      cluster: this.#cluster,
      boot: await bootId(),
      own: Array.from(own, ([pool, { cidr, confirmedAt, fence }]) => ({
        pool,
        cidr,
        confirmedAt,
        ...(fence && { fence: { epoch: fence.epoch, revision: String(fence.revision) } }),
      })),
      ...(epoch && { epoch: { ...epoch, revision: String(epoch.revision) } }),
      entries: entries.map((entry) => ({
        key: entry.key,
        value: Buffer.from(entry.value).toString("base64"),
        created: String(entry.createRevision),
        modified: String(entry.modRevision),
        lease: entry.lease ?? null,
      })),
    };
    await writeFileAtomic(this.#path, JSON.stringify(file));
  }
}

function fromFile(file: MemoryFile, boot: string): LeaseMemory {
  const own = new Map<string, RememberedLease>();
  for (const { pool, cidr, confirmedAt, fence: written } of file.own) {
    const prefix = parsePrefix(cidr),
      isThisBoot = file.boot === boot && typeof confirmedAt === "number";
    const fence = written && { epoch: written.epoch, revision: BigInt(written.revision) };
    if (prefix !== undefined) own.set(pool, { cidr: prefix, confirmedAt: (isThisBoot ? confirmedAt : -Infinity) as Instant, fence });
  }
  const entries = file.entries.map(({ key, value, created, modified, lease }) => ({
    key,
    value: Buffer.from(value, "base64"),
    createRevision: BigInt(created),
    modRevision: BigInt(modified),
    lease: lease ?? undefined,
  }));
  return { own, entries, epoch: file.epoch && { ...file.epoch, revision: BigInt(file.epoch.revision) } };
}

async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}

function missing(path: string): (cause: NodeJS.ErrnoException) => undefined {
  return (cause) => {
    if (cause.code !== "ENOENT")
      throw new FaultError(callerFault("state.unreadable", `${path} cannot be read (${cause.message}); give the daemon the right to`), cause);
    return undefined;
  };
}
