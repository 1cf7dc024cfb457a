/** Prefixes this speaker originates. */
import { type Ip, ipBytes } from "#base/ip.ts";
import { type Prefix, prefixFamily, prefixParts } from "#base/prefix.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import type { UpdateGroup } from "../reflector/update-group.ts";
import { type FamilyIndex, ipv4Unicast, ipv6Unicast } from "../terms.ts";
import type { AttributeTable } from "./attributes.ts";
import type { LocRib } from "./loc-rib.ts";
import { localPeer } from "./peer-table.ts";

export interface OwnRoutesParts {
  readonly ribs: readonly [LocRib, LocRib];
  readonly attributes: AttributeTable;
  /** Next hops by family. */
  readonly address: Ip;
  readonly address6: Ip | undefined;
  /** True while the selection after a restart is deferred (RFC 4724 §4.1). */
  readonly isDeferring: () => boolean;
  readonly groups: (family: FamilyIndex) => readonly UpdateGroup[];
}

export class OwnRoutes {
  readonly #parts: OwnRoutesParts;
  readonly #own: readonly [Set<number>, Set<number>] = [new Set(), new Set()];

  constructor(parts: OwnRoutesParts) {
    this.#parts = parts;
  }

  /** False without an address of the family to be its next hop: then it is not announced. */
  originate(prefix: Prefix, values: PathAttributes): boolean {
    const { ribs, attributes, address, address6 } = this.#parts,
      family: FamilyIndex = prefixFamily(prefix) === 4 ? ipv4Unicast : ipv6Unicast,
      rib = ribs[family];
    const self = family === ipv4Unicast ? address : address6;
    const hop = values.nextHop ?? (self && ipBytes(self));
    if (!hop || (hop.length === 4) !== (family === ipv4Unicast)) return false;
    const base: PathAttributes = { origin: 0, asPath: [], localPref: 100, ...values };
    const set = hop.length === 4 ? attributes.internValues({ ...base, nextHop: hop }, undefined) : attributes.internValues(base, hop);
    const { bytes, length } = prefixParts(prefix);
    const id = rib.prefixes.intern(bytes, 0, length);
    rib.put(id, localPeer, set);
    attributes.drop(set);
    this.#own[family].add(id);
    this.#tellNow(rib, id);
    return true;
  }

  withdraw(prefix: Prefix): void {
    const rib = this.#parts.ribs[prefixFamily(prefix) === 4 ? 0 : 1],
      id = rib.prefixes.findText(prefix);
    if (id < 0 || !rib.withdraw(id, localPeer)) return;
    this.#own[rib.family].delete(id);
    this.#tellNow(rib, id);
  }

  /** A group was opened: it is told what the others were told already. */
  tellOpened(family: FamilyIndex): void {
    for (const prefix of this.#own[family]) this.#tellNow(this.#parts.ribs[family], prefix);
  }

  /**
   * What is our own is told while the selection after a restart is deferred, too: nobody else can tell it, and should we end again
   * before our End-of-RIB, it is of the session that ended, which peers keep for the next (RFC 4724 §4.2).
   */
  #tellNow(rib: LocRib, prefix: number): void {
    if (!this.#parts.isDeferring()) return;
    rib.settle(prefix); // it stays dirty for those who are told later
    for (const group of this.#parts.groups(rib.family)) group.oweNow(prefix);
  }
}
