/** How many prefixes a peer may have in a family (RFC 4486 §4): accepted ones of this session. A prefix told again is none more. */
import { ceaseSubcode, errorCode } from "#wire/bgp/constants.ts";
import { peerFault } from "#wire/bgp/notification.ts";
import { type FamilyIndex, ipv4Unicast, ipv6Unicast, type NotificationFault } from "../terms.ts";
import type { PeerTable } from "./peer-table.ts";

type Finding = { readonly kind: "warning"; readonly text: string } | { readonly kind: "fault"; readonly fault: NotificationFault };

export class PrefixLimits {
  readonly #peers: PeerTable;
  /** Peers that were warned of, by family, until they have fewer again. */
  readonly #warned = new Set<number>();

  constructor(peers: PeerTable) {
    this.#peers = peers;
  }

  /** After each UPDATE of a peer that has a limit. Warns once at `warningPercent` of it. */
  check(peer: number, most: number, warningPercent = 100): Finding | undefined {
    let warning: Finding | undefined;
    for (const family of [ipv4Unicast, ipv6Unicast] as const) {
      const column = peer * 2 + family;
      // what an earlier session left and this one has not told again is on its way out, or will be told again
      const count = this.#peers.paths[column]! - this.#peers.old[column]!;
      if (count > most) return { kind: "fault", fault: tooMany(family, most) };
      if (count * 100 <= most * warningPercent) this.#warned.delete(column);
      else if (!this.#warned.has(column)) {
        this.#warned.add(column);
        warning = { kind: "warning", text: `it has announced ${count} of the ${most} ${name(family)} prefixes it may (maxPrefixes)` };
      }
    }
    return warning;
  }
}

function tooMany(family: FamilyIndex, most: number): NotificationFault {
  const data = Uint8Array.of(0, family + 1, 1, most >>> 24, (most >>> 16) & 255, (most >>> 8) & 255, most & 255);
  return peerFault(
    errorCode.cease,
    ceaseSubcode.maximumPrefixes,
    `the peer announced more than the ${most} ${name(family)} prefixes it may (maxPrefixes)`,
    data,
  );
}
const name = (family: FamilyIndex): string => (family === ipv4Unicast ? "IPv4" : "IPv6");
