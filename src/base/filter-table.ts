/**
 * Packet rules of ours as values: one table of named sets of prefixes and of chains. What is wanted, what the kernel has and what
 * is compared are the same shapes; how nftables writes them is `wire/nft.ts`'s affair.
 */
import type { Family, Ip } from "./ip.ts";
import type { Prefix } from "./prefix.ts";

export interface FilterSet {
  readonly name: string;
  readonly family: Family;
  /** None lies within another. */
  readonly prefixes: ReadonlySet<Prefix>;
}

export type FilterMatch =
  /** The packet is for an address of this machine. */
  | { readonly kind: "local" }
  /** The port it is for. */
  | { readonly kind: "port"; readonly protocol: "tcp" | "udp" | "sctp"; readonly port: number }
  /** The packet's mark, of which `mask` is looked at. */
  | { readonly kind: "mark"; readonly mask: number; readonly value: number }
  /** One of its addresses lies in a prefix or in a set of the table; `negated`: it does not (and the packet is of that family). */
  | {
      readonly kind: "address";
      readonly side: "source" | "destination";
      readonly family: Family;
      readonly negated: boolean;
      readonly within: Prefix | { readonly set: string };
    };

export interface FilterRule {
  /** All must hold. */
  readonly matches: readonly FilterMatch[];
  /**
   * `masquerade`: the source becomes the address of the device the packet leaves by, the port any that is free (RFC 6056). With an
   * address: the destination becomes that.
   */
  readonly verdict: "return" | "masquerade" | { readonly address: Ip; readonly port: number };
  /** For whoever lists the rules; at most 100 characters, since the kernel keeps no more than 128 octets. */
  readonly comment: string;
}

/** A base chain of type nat at the hook of its name, policy accept. */
export interface FilterChain {
  readonly name: "prerouting" | "output" | "postrouting";
  /** Lower is earlier; 100 is what others call srcnat. */
  readonly priority: number;
  readonly rules: readonly FilterRule[];
}

export interface FilterTable {
  readonly sets: readonly FilterSet[];
  readonly chains: readonly FilterChain[];
}

/** Something in our table that is neither a set nor a chain as above, by its kind (`map`, `chain`, ...) and name. */
export interface FilterObject {
  readonly kind: string;
  readonly name: string;
}

/** Our table as a look found it. */
export interface SeenTable extends FilterTable {
  readonly others: readonly FilterObject[];
  /** Every rule is one of those above. */
  readonly isReadable: boolean;
  /** Chains and rules as text, the same as long as nobody changes them. */
  readonly rulesText: string;
}

/** One transaction on our table: all of it or nothing. A table that is not there is made. */
export type FilterChange =
  | { readonly kind: "sets"; readonly add: readonly FilterSet[] }
  | { readonly kind: "elements"; readonly sets: readonly { readonly name: string; readonly add: readonly Prefix[]; readonly remove: readonly Prefix[] }[] }
  /** All rules of the table give way to those of `chains`; a chain that stays shows each packet all of its old rules or all of its new. */
  | { readonly kind: "rules"; readonly chains: readonly FilterChain[] }
  | { readonly kind: "objects"; readonly remove: readonly FilterObject[] }
  /** The table goes and is made again: a packet may meet neither. */
  | { readonly kind: "anew"; readonly table: FilterTable }
  | { readonly kind: "remove" };
