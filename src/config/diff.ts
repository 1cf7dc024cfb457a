/**
 * Two documents → what changes and what each change costs (`podway plan`). Compared as values: comments, order of keys and
 * defaults written out are no change. Nodes, peers and policies are told apart by name, pools too, whose order counts.
 */
import { type Prefix, contains } from "#base/prefix.ts";
import { type Effect, effectOf } from "./change-effects.ts";
import { compilePool } from "./compile.ts";
import { listNames } from "./nearest-name.ts";
import type { PoolEntry } from "./pool-schema.ts";
import { type Path, printPath } from "./problem.ts";
import type { Document } from "./schema.ts";

/** One line of a plan; the shape of `PlanView.changes` (daemon/control.ts). */
export interface DocumentChange {
  readonly path: string;
  /** Values as one line of text; null: not there. */
  readonly before: string | null;
  readonly after: string | null;
  readonly effect: Effect;
  readonly text: string;
}

/** A claim in the store as the plan needs it: what may not be taken away from under a node. */
export interface HeldCidr {
  readonly pool: string;
  readonly cidr: Prefix;
  readonly node: string;
}

/** Every change from `before` to `after`, in the document's order. A plan with a refused change is not to be applied. */
export function diffDocuments(before: Document, after: Document, leases: readonly HeldCidr[]): readonly DocumentChange[] {
  const { pools: oldPools, nodes: oldNodes, peers: oldPeers, policies: oldPolicies, lab: oldLab, ...oldRest } = before;
  const { pools: newPools, nodes: newNodes, peers: newPeers, policies: newPolicies, lab: newLab, ...newRest } = after;
  return [
    ...leafChanges([], oldRest, newRest),
    ...entryChanges("pools", byName(oldPools), byName(newPools), (change) => poolChange(change, leases)),
    ...orderChange(oldPools, newPools),
    ...entryChanges("nodes", oldNodes, newNodes, (change) => nodeChange(change, leases)),
    ...entryChanges("peers", byName(oldPeers), byName(newPeers)),
    ...entryChanges("policies", oldPolicies, newPolicies),
    ...leafChanges(["lab"], oldLab ?? {}, newLab ?? {}),
  ];
}

type Section = Readonly<Record<string, object>>;
/** A change before it is printed, with the whole entries it belongs to. */
interface RawChange {
  readonly path: Path;
  readonly before: unknown;
  readonly after: unknown;
  readonly entryBefore?: object | undefined;
  readonly entryAfter?: object | undefined;
}
type Judge = (change: RawChange) => { readonly effect: Effect; readonly text: string } | undefined;

const byName = (entries: readonly { readonly name: string }[]): Section => Object.fromEntries(entries.map((entry) => [entry.name, entry]));

/** Entries added, removed, or changed key by key; `judge` speaks first, the table of effects after it. */
function entryChanges(section: string, before: Section, after: Section, judge: Judge = () => undefined): readonly DocumentChange[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.flatMap((name) => {
    const path = [section, name];
    const old = Object.hasOwn(before, name) ? before[name] : undefined,
      young = Object.hasOwn(after, name) ? after[name] : undefined;
    if (old === undefined || young === undefined) return [print({ path, before: old, after: young, entryBefore: old, entryAfter: young }, judge)];
    return rawChanges(path, old, young).map((change) => print({ ...change, entryBefore: old, entryAfter: young }, judge));
  });
}

function leafChanges(path: Path, before: object, after: object): readonly DocumentChange[] {
  return rawChanges(path, before, after).map((change) => print(change, () => undefined));
}

/** Walks maps as far as both sides have one; lists are compared whole. */
function rawChanges(path: Path, before: object, after: object): readonly RawChange[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return keys.flatMap((key) => {
    const a = (before as Record<string, unknown>)[key],
      b = (after as Record<string, unknown>)[key];
    if (isMap(a) && isMap(b)) return rawChanges([...path, key], a, b);
    return canonical(a) === canonical(b) ? [] : [{ path: [...path, key], before: a, after: b }];
  });
}

const isMap = (value: unknown): value is object => typeof value === "object" && value !== null && !Array.isArray(value);

/** JSON with keys in order, so that equal values are equal text. */
function canonical(value: unknown): string | undefined {
  return JSON.stringify(value, (_key, inner: unknown) =>
    isMap(inner) ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}

function print(change: RawChange, judge: Judge): DocumentChange {
  const kind = change.before === undefined ? "added" : change.after === undefined ? "removed" : "changed";
  const { effect, text } = judge(change) ?? effectOf(change.path, kind);
  return { path: printPath(change.path), before: printValue(change.before), after: printValue(change.after), effect, text };
}

const printValue = (value: unknown): string | null => (value === undefined ? null : typeof value === "string" ? value : JSON.stringify(value));

function orderChange(before: readonly PoolEntry[], after: readonly PoolEntry[]): readonly DocumentChange[] {
  const kept = (one: readonly PoolEntry[], other: readonly PoolEntry[]): string[] =>
    one.map((pool) => pool.name).filter((name) => other.some((pool) => pool.name === name));
  const old = kept(before, after).join(", "),
    young = kept(after, before).join(", ");
  if (old === young) return [];
  return [{ path: "pools", before: old, after: young, effect: "applied now", text: "another order; pods that name no pool take the first from now on" }];
}

/** Product §6.6: nothing is taken from under a lease. */
function poolChange(change: RawChange, leases: readonly HeldCidr[]): ReturnType<Judge> {
  const [, name, key, node] = change.path;
  const held = leases.filter((lease) => lease.pool === name);
  const old = change.entryBefore as PoolEntry | undefined,
    young = change.entryAfter as PoolEntry | undefined;
  if (old === undefined) return undefined;
  if (young === undefined) return held.length === 0 ? undefined : refusal(held, "remove it");
  if (key === "reservations") return reservationChange(change.after as Prefix | undefined, String(node), held);
  if (key === "cidr" && contains(young.cidr, old.cidr)) return { effect: "applied now", text: "enlarged; every lease stays as it is" };
  const sameSize = key === "nodePrefix" && compilePool(old).nodePrefix === compilePool(young).nodePrefix;
  if (sameSize) return { effect: "applied now", text: "the default written out, or left out; nothing changes" };
  const isMove = old.backend !== young.backend;
  if (isMove && held.length > 0 && (key === "backend" || key === "vni" || key === "port")) return movingBackend;
  return held.length > 0 && (key === "cidr" || key === "nodePrefix") ? refusal(held, "change it") : undefined;
}

const movingBackend = {
  effect: "applied now",
  text: "nodes take the new way one by one; until both ends have it packets go the old one, and every CIDR stays",
} as const;

function refusal(held: readonly HeldCidr[], what: string): { readonly effect: Effect; readonly text: string } {
  const whose = listNames(held.map((lease) => `${lease.cidr} of ${lease.node}`));
  return { effect: "refused", text: `leases are held in this pool (${whose}); set state: draining, move the pods, and ${what} when no lease is left` };
}

function reservationChange(cidr: Prefix | undefined, node: string, held: readonly HeldCidr[]): ReturnType<Judge> {
  const other = held.find((lease) => lease.cidr === cidr && lease.node !== node);
  return other && { effect: "refused", text: `${other.cidr} is held by ${other.node}; reserve another CIDR, or free it with podway evict ${other.node}` };
}

function nodeChange(change: RawChange, leases: readonly HeldCidr[]): ReturnType<Judge> {
  const name = String(change.path[1]);
  const held = leases.filter((lease) => lease.node === name).map((lease) => lease.cidr);
  if (change.entryAfter !== undefined || held.length === 0) return undefined;
  return { effect: "applied now", text: `its sessions end; it keeps ${listNames(held)} until its hold runs out, or until podway evict ${name}` };
}
