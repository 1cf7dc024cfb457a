/**
 * What the store shows of this node's pod addresses: one key per CIDR, `pods/<pool>/<cidr with / as ->`, with a bit for each address that is not
 * free. It follows the journal by compare-and-swap, some hundred milliseconds later, and no request ever waits for it; a node that lost its
 * journal reads it before it hands anything out.
 */
import { setTimeout as pause } from "node:timers/promises";
import { FaultError } from "#base/fault.ts";
import type { Prefix } from "#base/prefix.ts";
import type { PodAddresses } from "#ipam/pods.ts";
import type { Store } from "#ports/store.ts";

const mirrorLimits = { gatherMillis: 250, retryMillis: 1_000 } as const;

interface MirrorRecord {
  readonly schema: 1;
  readonly node: string;
  readonly pool: string;
  readonly cidr: Prefix;
  /** Base64; bit i of octet i/8 is the CIDR's i-th address. */
  readonly taken: string;
  /** Namespace → addresses in use. */
  readonly tenants: Readonly<Record<string, number>>;
}

export interface PodMirrorOptions {
  readonly store: Store;
  readonly node: string;
  readonly machine: PodAddresses;
}

export const podsKey = (pool: string, cidr: Prefix): string => `pods/${pool}/${cidr.replace("/", "-")}`;

export class PodMirror {
  readonly #options: PodMirrorOptions;
  /** Pools whose key is behind. */
  readonly #behind = new Set<string>();
  /** Key → revision of what we wrote last. */
  readonly #revisions = new Map<string, bigint>();
  #wake: () => void = () => undefined;
  /** Why the store is behind; undefined while it is not. */
  fault: string | undefined;

  constructor(options: PodMirrorOptions) {
    this.#options = options;
  }

  /** Something of this pool was written to the journal. */
  mark(pool: string): void {
    this.#behind.add(pool);
    this.#wake();
  }
  get isBehind(): boolean {
    return this.#behind.size > 0;
  }

  /** Indexes the store knows as taken in this CIDR; asks again until the store answers. */
  async read(pool: string, cidr: Prefix, signal: AbortSignal): Promise<readonly number[]> {
    for (;;) {
      try {
        const entry = await this.#options.store.get(podsKey(pool, cidr));
        return entry === undefined ? [] : indexesOf(entry.value);
      } catch (cause) {
        this.fault = cause instanceof Error ? cause.message : String(cause);
        if (signal.aborted) return [];
        await pause(mirrorLimits.retryMillis, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  /** Works until `signal`, then once more. */
  async run(signal: AbortSignal): Promise<void> {
    const woken = (): void => this.#wake();
    signal.addEventListener("abort", woken);
    while (!signal.aborted) {
      if (this.#behind.size === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
      const waitMillis = this.fault === undefined ? mirrorLimits.gatherMillis : mirrorLimits.retryMillis;
      await pause(waitMillis, undefined, { signal, ref: false }).catch(() => undefined);
      await this.#writeAll();
    }
    signal.removeEventListener("abort", woken);
  }

  async #writeAll(): Promise<void> {
    const pools = [...this.#behind];
    this.#behind.clear();
    this.fault = undefined;
    for (const pool of pools) {
      try {
        await this.#write(pool);
      } catch (cause) {
        if (!(cause instanceof FaultError)) throw cause;
        this.#behind.add(pool);
        this.fault = cause.fault.text;
      }
    }
  }

  /** The lease on the CIDR is the fence: whoever holds it may write its key, over whatever stands there. */
  async #write(pool: string): Promise<void> {
    const { store, machine, node } = this.#options,
      cidr = machine.pools().find(({ name }) => name === pool)?.cidr;
    if (cidr === undefined) return;
    const key = podsKey(pool, cidr),
      record: MirrorRecord = { schema: 1, node, pool, cidr, taken: Buffer.from(machine.bitmap(pool)).toString("base64"), tenants: machine.tenants(pool) };
    const value = new TextEncoder().encode(JSON.stringify(record)),
      known = this.#revisions.get(key);
    const done = known === undefined ? await store.create(key, value) : await store.replace(key, value, known);
    if (done.done) this.#revisions.set(key, done.revision);
    else {
      if (done.current === undefined) this.#revisions.delete(key);
      else this.#revisions.set(key, done.current.modRevision);
      this.#behind.add(pool);
    }
  }
}

function indexesOf(value: Uint8Array): readonly number[] {
  try {
    const record = JSON.parse(new TextDecoder().decode(value)) as Partial<MirrorRecord>;
    const bits = Buffer.from(record.taken ?? "", "base64");
    return Array.from({ length: bits.length * 8 }, (_, index) => index).filter((index) => ((bits[index >>> 3]! >>> (index & 7)) & 1) === 1);
  } catch {
    return [];
  }
}
