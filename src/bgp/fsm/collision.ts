/** Two connections with one neighbour, both past OPEN: which of them goes (RFC 4271 §6.8, RFC 6286 §2.3, RFC 4724 §4.2, §5). */
import type { Instant } from "#base/time.ts";
import type { SessionTerms } from "../terms.ts";

/** One end of the comparison: an AS and a BGP Identifier. */
export interface Speaker {
  readonly asn: number;
  readonly bgpIdentifier: number;
}

export interface Contender {
  /** True if we dialled it. */
  readonly outgoing: boolean;
  /** Set if it is Established. */
  readonly established: { readonly since: Instant; readonly terms: SessionTerms } | undefined;
}

interface Contenders {
  /** The one an OPEN has just come on. */
  readonly newer: Contender;
  readonly older: Contender;
}

/** Two connections dialled from either side within this time of each other crossed; later, the newer one is a new beginning. */
const collisionMillis = 5000;

/**
 * An OPEN of `them` came on the newer connection while the older had its own; which of the two goes? Undefined: the other
 * side knows better, both stay until it has closed one.
 *
 * Of two that crossed, RFC 4271 keeps the one dialled by the higher BGP Identifier, and an Established one before that. But
 * a connection may be Established on one side and not yet on the other, and if then each side closes the other's choice,
 * none is left. So only the senior closes one that its peer may have Established; the junior waits for that.
 *
 * Not crossed: Established wins, except towards a peer that listed families for graceful restart; else a peer killed with a
 * half-open TCP would be locked out for a hold time. (RFC 4724 §5 drops the old one as soon as TCP comes up; we wait for
 * the OPEN, so that a mere port scan resets nobody.)
 */
export function loser({ newer, older }: Contenders, us: Speaker, them: Speaker, now: Instant): "newer" | "older" | undefined {
  const crossed = newer.outgoing !== older.outgoing;
  if (older.established) {
    const { since, terms } = older.established;
    if (crossed && now - since < collisionMillis) return isSenior(us, them) || newer.outgoing ? "newer" : undefined;
    return terms.gracefulRestart && terms.gracefulRestart.families.length > 0 ? "older" : "newer";
  }
  if (!crossed) return "older"; // who dials twice has given the first up
  if (isSenior(us, them)) return newer.outgoing ? "older" : "newer";
  return newer.outgoing ? "newer" : undefined;
}

/** True if the connection we dialled stays: that of the higher BGP Identifier, with equal ones that of the higher AS (RFC 6286). */
export function isSenior(us: Speaker, them: Speaker): boolean {
  return us.bgpIdentifier === them.bgpIdentifier ? us.asn > them.asn : us.bgpIdentifier > them.bgpIdentifier;
}
