/**
 * Origin validation by lease: a prefix equal to a routed pool's CIDR of a node, or within one, is taken from a node only if
 * the store says that this node holds it (product §6.13). What nobody is known to hold waits: its path is kept aside, and taken
 * as soon as its origin is known. A CIDR that was leased anew is taken from nobody else: also paths kept over a restart go.
 *
 * In: who holds what, whenever that changes; each path that comes. Out: whether it may be taken. Internal peers alone are
 * asked for their right; what outside peers may say is a matter of policy. Costs a comparison per pool for what lies in none.
 * Holds: a path that waits keeps its attribute set and its prefix id; it goes with its peer's session, or when it is withdrawn.
 */
import { type Ip, ip4Number, printIp } from "#base/ip.ts";
import { contains, maskBytes, type Prefix, prefixFamily, prefixParts, printPrefix } from "#base/prefix.ts";
import type { FamilyIndex } from "../terms.ts";
import { none } from "./adj-rib-in.ts";
import type { AttributeTable } from "./attributes.ts";
import type { LocRib } from "./loc-rib.ts";
import { type PeerTable, roleClient, roleNonClient } from "./peer-table.ts";

/** A node as its paths show it: the addresses its sessions come from, and the ORIGINATOR_ID other reflectors add. */
export interface OriginNode {
  readonly node: string;
  readonly addresses: readonly Ip[];
  readonly routerId: number;
}
export interface OriginView {
  /** Routed pools, and the prefix length of a node's CIDR. */
  readonly pools: readonly { readonly prefix: Prefix; readonly nodePrefix: number }[];
  readonly holders: ReadonlyMap<Prefix, OriginNode>;
  /** Single addresses (as /32 and /128) that the store says are a node's, wherever the CIDR around them is. */
  readonly addresses: ReadonlyMap<Prefix, OriginNode>;
}
export interface OriginParts {
  readonly attributes: AttributeTable;
  readonly peers: PeerTable;
  readonly ribs: readonly LocRib[];
}
interface Waiting {
  readonly peer: number;
  readonly pathId: number;
  readonly set: number;
  readonly epoch: number;
}
interface Pool {
  readonly octets: Uint8Array;
  readonly length: number;
}
/** Most paths kept aside; what is beyond is refused, and comes again with the peer's next refresh. */
const mostWaiting = 100_000;

export class OriginCheck {
  readonly #parts: OriginParts;
  #view: OriginView | undefined;
  #pools: readonly [readonly Pool[], readonly Pool[]] = [[], []];
  /** By family: prefix id → paths that wait. */
  readonly #waiting = [new Map<number, Waiting[]>(), new Map<number, Waiting[]>()] as const;
  /** By family: ids of pool prefixes that were asked for and are no CIDR themselves. */
  readonly #within = [new Set<number>(), new Set<number>()] as const;
  #count = 0;
  /** Paths that were put aside, taken later, and taken away again because the CIDR became another's. */
  readonly counts = { waited: 0, admitted: 0, evicted: 0, overflowed: 0 };

  constructor(parts: OriginParts) {
    this.#parts = parts;
  }

  /** Paths that wait now. */
  get waiting(): number {
    return this.#count;
  }
  /** True while some paths may be refused, so that each has to be asked for. */
  get isAsked(): boolean {
    return this.#view !== undefined;
  }
  /** True if a path of the prefix waits, so that its id must stay. */
  keeps(family: FamilyIndex, prefix: number): boolean {
    return this.#count > 0 && this.#waiting[family].has(prefix);
  }

  /** Who holds what, from now on; undefined: nothing is checked. Paths that this concerns are looked at again. */
  follow(view: OriginView | undefined): void {
    const before = this.#view;
    this.#view = view;
    this.#pools = [poolsOf(view, 4), poolsOf(view, 6)];
    if (samePools(before, view)) for (const cidr of changedKeys(before!, view!)) this.#lookAgain(cidr);
    else for (const rib of this.#parts.ribs) this.#judgeAll(rib);
  }

  /** True if the path may be taken. One that may not waits; `set` is kept for it. */
  admits(rib: LocRib, prefix: number, peer: number, set: number, pathId: number): boolean {
    if (this.#view === undefined || !this.#isInPool(rib, prefix)) return true;
    if (this.#count > 0) this.withdraw(rib.family, prefix, peer, pathId);
    if (this.#isRight(rib, prefix, peer, set)) return true;
    this.#putAside(rib, prefix, { peer, pathId, set, epoch: this.#parts.peers.epoch[peer * 2 + rib.family]! });
    return false;
  }

  /** The peer took the path back. */
  withdraw(family: FamilyIndex, prefix: number, peer: number, pathId: number): void {
    const waiting = this.#waiting[family].get(prefix);
    if (waiting) this.#keep(family, prefix, waiting, (each) => each.peer !== peer || each.pathId !== pathId);
  }
  /** The peer's session ended. */
  down(peer: number): void {
    if (this.#count === 0) return;
    for (const family of [0, 1] as const)
      for (const [prefix, waiting] of this.#waiting[family]) this.#keep(family, prefix, waiting, (each) => each.peer !== peer);
  }

  /** One sentence on what the store says of a prefix; undefined if it is in no routed pool, or nothing is checked. */
  explain(prefix: Prefix): string | undefined {
    const view = this.#view;
    if (!view?.pools.some((pool) => contains(pool.prefix, prefix))) return undefined;
    const holder = holderOf(view, prefix),
      family = prefixFamily(prefix) === 4 ? 0 : 1,
      id = this.#parts.ribs[family]!.prefixes.findText(prefix);
    const waiting = id < 0 ? 0 : (this.#waiting[family].get(id)?.length ?? 0),
      others = waiting === 0 ? "" : `; ${waiting} ${waiting === 1 ? "path" : "paths"} from elsewhere ${waiting === 1 ? "waits" : "wait"} for that`;
    return holder
      ? `By the store's leases ${prefix} is taken from node ${holder.node} alone (origin validation)${others}.`
      : `No node is known to hold ${prefix}, so it is taken from nobody until one does (origin validation)${others}.`;
  }

  #isInPool(rib: LocRib, prefix: number): boolean {
    for (const { octets, length } of this.#pools[rib.family]) if (rib.prefixes.isWithin(prefix, octets, length)) return true;
    return false;
  }

  #isRight(rib: LocRib, prefix: number, peer: number, set: number): boolean {
    const { peers, attributes } = this.#parts,
      role = peers.role[peer]!;
    if (role !== roleClient && role !== roleNonClient) return true;
    const text = rib.prefixes.text(prefix);
    if (!this.#view!.holders.has(text)) this.#within[rib.family].add(prefix);
    const holder = holderOf(this.#view!, text);
    if (!holder) return false;
    const originator = attributes.originatorId[set]!;
    if (role === roleNonClient && originator !== 0) return originator === holder.routerId;
    if (holder.addresses.includes(peers.terms[peer]!.remote)) return true;
    // A client that was a reflector a moment ago tells of others still (bgp/handover.ts): what leads to the holder itself does no harm.
    return originator === holder.routerId && holder.addresses.includes(nextHopText(attributes.nextHopOf(set)));
  }

  #putAside(rib: LocRib, prefix: number, path: Waiting): void {
    if (this.#count >= mostWaiting) return void this.counts.overflowed++;
    const all = this.#waiting[rib.family],
      waiting = all.get(prefix);
    this.#parts.attributes.retain(path.set);
    if (waiting) waiting.push(path);
    else all.set(prefix, [path]);
    this.#count++;
    this.counts.waited++;
  }

  #keep(family: FamilyIndex, prefix: number, waiting: readonly Waiting[], isKept: (path: Waiting) => boolean): void {
    const kept = waiting.filter(isKept);
    if (kept.length === waiting.length) return;
    for (const path of waiting) if (!kept.includes(path)) this.#parts.attributes.release(path.set);
    this.#count -= waiting.length - kept.length;
    if (kept.length > 0) return void this.#waiting[family].set(prefix, kept);
    this.#waiting[family].delete(prefix);
    this.#parts.ribs[family]!.dirty.push(prefix); // its id may go now
  }

  /** Of what lies in no pool, and of which nothing waits, there is nothing to say. */
  #judgeAll(rib: LocRib): void {
    if (this.#count === 0 && this.#pools[rib.family].length === 0) return;
    for (let id = 0; id < rib.prefixes.end; id++) if (rib.prefixes.isLive(id) && (this.keeps(rib.family, id) || this.#isInPool(rib, id))) this.#judge(rib, id);
  }

  #lookAgain(cidr: Prefix): void {
    const family = prefixFamily(cidr) === 4 ? 0 : 1,
      rib = this.#parts.ribs[family]!,
      { bytes, length } = prefixParts(cidr),
      id = rib.prefixes.find(bytes, 0, length);
    if (id >= 0) this.#judge(rib, id);
    for (const within of this.#within[family]) {
      if (!rib.prefixes.isLive(within)) this.#within[family].delete(within);
      else if (within !== id && rib.prefixes.isWithin(within, bytes, length)) this.#judge(rib, within);
    }
  }

  /** Paths that have become wrong are put aside, and those that waited and have become right are taken. */
  #judge(rib: LocRib, prefix: number): void {
    const { adjRibIn } = rib,
      { peers } = this.#parts,
      isChecked = this.#view !== undefined && this.#isInPool(rib, prefix);
    const wrong: Waiting[] = [];
    for (let path = adjRibIn.head[prefix] ?? none; isChecked && path !== none; path = adjRibIn.next[path]!) {
      const peer = adjRibIn.peer[path]!,
        set = adjRibIn.attributes[path]!;
      if (!this.#isRight(rib, prefix, peer, set)) wrong.push({ peer, set, pathId: adjRibIn.pathIdOf(path), epoch: adjRibIn.epoch[path]! });
    }
    const right = (this.#waiting[rib.family].get(prefix) ?? []).filter(({ peer, set }) => !isChecked || this.#isRight(rib, prefix, peer, set));
    for (const path of right)
      if (path.epoch === peers.epoch[path.peer * 2 + rib.family] && rib.put(prefix, path.peer, path.set, path.pathId)) this.counts.admitted++;
    if (right.length > 0) this.#keep(rib.family, prefix, this.#waiting[rib.family].get(prefix)!, (path) => !right.includes(path));
    for (const path of wrong) {
      if (peers.up[path.peer] === 1) this.#putAside(rib, prefix, path);
      rib.withdraw(prefix, path.peer, path.pathId);
      this.counts.evicted++;
    }
  }
}

/** Whose a prefix is: by a claim on the address itself, else by the CIDR it is or lies in. */
function holderOf({ pools, holders, addresses }: OriginView, prefix: Prefix): OriginNode | undefined {
  const direct = addresses.get(prefix) ?? holders.get(prefix);
  if (direct) return direct;
  const { length } = prefixParts(prefix),
    pool = pools.find((each) => length > each.nodePrefix && contains(each.prefix, prefix));
  if (!pool) return undefined;
  return holders.get(printPrefix(maskBytes(prefixParts(prefix).bytes, pool.nodePrefix), pool.nodePrefix));
}

function poolsOf(view: OriginView | undefined, family: 4 | 6): Pool[] {
  return (view?.pools ?? [])
    .filter(({ prefix }) => prefixFamily(prefix) === family)
    .map(({ prefix }) => ({ octets: prefixParts(prefix).bytes, length: prefixParts(prefix).length }));
}

function samePools(a: OriginView | undefined, b: OriginView | undefined): boolean {
  return a !== undefined && b !== undefined && JSON.stringify(a.pools) === JSON.stringify(b.pools);
}

/** Prefixes of which another node, or none, or the same with another address is the holder now. */
function changedKeys(before: OriginView, after: OriginView): Set<Prefix> {
  const changed = new Set<Prefix>();
  for (const which of ["holders", "addresses"] as const) {
    for (const [prefix, holder] of after[which]) if (!isSameNode(before[which].get(prefix), holder)) changed.add(prefix);
    for (const prefix of before[which].keys()) if (!after[which].has(prefix)) changed.add(prefix);
  }
  return changed;
}
const isSameNode = (a: OriginNode | undefined, b: OriginNode): boolean =>
  a === b || (a?.node === b.node && a.routerId === b.routerId && a.addresses.join() === b.addresses.join());

/** The node of a document as its paths show it. */
export function originNode(node: string, of: { readonly address: Ip; readonly address6: Ip | undefined; readonly routerId: Ip }): OriginNode {
  return { node, addresses: [of.address, ...(of.address6 === undefined ? [] : [of.address6])], routerId: ip4Number(of.routerId) };
}

/** Global, then link-local where there are two (RFC 2545 §3). */
const nextHopText = (octets: Uint8Array): Ip => printIp(octets.length === 32 ? octets.subarray(0, 16) : octets);
