/** A node's kernel tables in virtual time: they outlive the daemon, and are written by the same pass the daemon makes (overlay/plan.ts). */
import type { Ip } from "#base/ip.ts";
import { type RowChange, type Rows, type TableName, tableNames, type Tables } from "#base/kernel-row.ts";
import type { Prefix } from "#base/prefix.ts";
import type { NodeSettings } from "#base/settings.ts";
import type { Underlay, UnderlayPath } from "#base/underlay.ts";
import type { Fabric } from "#overlay/fabric.ts";
import { type Deltas, countDiffering, didChange, newDeltas, passStages, sawAll, wantAll } from "#overlay/plan.ts";

export class SimKernel {
  readonly #tables = emptyTables();
  #deltas: Deltas = newDeltas();
  /** The chance that it refuses a row: out of memory, or busy. */
  refusal = 0;
  refused = 0;
  readonly #random: () => number;
  /** Hears of every route that goes. */
  readonly #unrouted: (prefix: Prefix) => void;

  constructor(unrouted: (prefix: Prefix) => void, random: () => number) {
    this.#random = random;
    this.#unrouted = unrouted;
  }

  get tables(): Tables {
    return this.#tables;
  }

  /** A daemon starts: it believes nothing but what it sees. */
  adopt(): void {
    this.#deltas = newDeltas();
    sawAll(this.#deltas, this.#tables);
  }
  /** The machine lost its power. */
  forget(): void {
    for (const table of tableNames) this.#tables[table].clear();
  }

  /** Somebody takes rows of ours away behind the daemon's back; the answer is how many. */
  meddle(share: number): number {
    let gone = 0;
    for (const table of tableNames)
      for (const key of this.#tables[table].keys())
        if (this.#random() < share) {
          this.#tables[table].delete(key);
          gone++;
        }
    return gone;
  }

  /** One pass. */
  reconcile(fabric: Fabric, inSync: boolean): void {
    wantAll(this.#deltas, fabric);
    for (const changes of passStages(this.#deltas, inSync)) for (const change of changes) this.#write(change);
  }
  /** Rows that are not as wanted. */
  differing(): number {
    return countDiffering(this.#deltas, true);
  }

  #write(change: RowChange): void {
    if (this.refusal > 0 && this.#random() < this.refusal) return void this.refused++;
    const rows = this.#tables[change.table] as Map<string, Rows[TableName]>;
    if (change.after === undefined) rows.delete(change.key);
    else rows.set(change.key, change.after);
    if (change.table === "route" && change.after === undefined && change.before !== undefined) this.#unrouted(change.before.prefix);
    didChange(this.#deltas, change);
  }
}

type Growing = { readonly [T in TableName]: Map<string, Rows[T]> };
const emptyTables = (): Growing => ({ sysctl: new Map(), link: new Map(), address: new Map(), neighbour: new Map(), fdb: new Map(), route: new Map() });

/** One link on which everybody is. */
export function underlayOf(self: NodeSettings, others: Iterable<Ip>): Underlay {
  const own = [self.address, self.address6].filter((ip) => ip !== undefined);
  const path = (ip: Ip): UnderlayPath => ({
    prefix: (ip.includes(":") ? "fd00::/64" : "10.0.0.0/16") as Prefix,
    hops: [{ device: "eth0", gateway: undefined }],
    local: own.includes(ip),
    mtu: 1500,
  });
  return {
    paths: new Map(Array.from(others, (ip) => [ip, path(ip)])),
    addresses: new Map(own.map((ip) => [ip, "eth0"])),
    links: new Map([["eth0", { name: "eth0", kind: "", mtu: 1500, up: true, loopback: false }]]),
    advertised: [],
  };
}
