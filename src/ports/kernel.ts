/**
 * The kernel's network tables as Podway needs them: everything of ours in one look, changes in batches, and a word when
 * something moved. *Ours* is decided here, once, and nothing else is ever written or removed:
 *
 * - link: a VXLAN device that carries our mark (alias `podway`);
 * - address, neighbour, fdb: permanent entries on such a device (link-local addresses are the kernel's own);
 * - route: the main table's routes with our protocol number, both families;
 * - sysctl: those asked for. They are set, and left as they are when nobody wants them any more.
 *
 * Contract, held by test/contract/kernel-contract.ts for every adapter:
 * - `look` shows one moment or rejects (`kernel.dump-interrupted`); what `apply` did before is in it.
 * - `apply` works through the changes in order; one that fails does not stop the rest. Removing what is not there succeeds.
 *   A route whose prefix and metric belong to somebody else fails (`kernel.foreign`) and leaves theirs alone.
 *   A change of a link's vni, local or port replaces the device and everything on it is gone; another MAC costs its
 *   neighbours. So look again after a link changed.
 * - `events` tells of changes made by others; it may tell of our own, and tells once for many. `overrun`: some were lost.
 */
import type { WorldFault } from "#base/fault.ts";
import type { Ip } from "#base/ip.ts";
import type { RowChange, TableName, Tables } from "#base/kernel-row.ts";
import type { Underlay } from "#base/underlay.ts";

export interface KernelFailure {
  readonly change: RowChange;
  readonly fault: WorldFault;
}

export type KernelEvent =
  | { readonly kind: "changed"; readonly tables: ReadonlySet<TableName | "underlay"> }
  /** The kernel dropped events: anything may have changed. Also sent at intervals by an adapter that cannot listen. */
  | { readonly kind: "overrun" };

export interface Kernel {
  /** Everything of ours. `sysctls`: the paths to read; those that do not exist are left out. */
  look(sysctls: Iterable<string>): Promise<Tables>;
  /** These tables alone, and those that cost nothing beside them. */
  look(sysctls: Iterable<string>, only: ReadonlySet<TableName>): Promise<Partial<Tables>>;
  /** The changes that failed, each with its reason. Rejects only if the kernel cannot be spoken to at all. */
  apply(changes: readonly RowChange[]): Promise<readonly KernelFailure[]>;
  /** What lies beneath, and the way to each target. */
  underlay(targets: Iterable<Ip>): Promise<Underlay>;
  /** Ends by `signal`. */
  events(signal: AbortSignal): AsyncIterable<KernelEvent>;
  close(): void;
}
