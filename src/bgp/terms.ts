/** What two OPENs agreed on, as numbers the RIB uses on its hot path. Shared by fsm/negotiate.ts, session.ts, rib/ and reflector/. */
import type { Ip } from "#base/ip.ts";
import type { PathCount, PeerRole } from "#base/settings.ts";

/** Dense index of an address family inside the engine: AFI 1 SAFI 1, AFI 2 SAFI 1. */
export const ipv4Unicast = 0;
export const ipv6Unicast = 1;
export const familyCount = 2;
export type FamilyIndex = 0 | 1;

export interface SessionTerms {
  readonly remoteAs: number;
  /** BGP Identifier of the peer (its OPEN), unsigned. */
  readonly remoteId: number;
  readonly role: PeerRole;
  /** Negotiated, 0 = no keepalives. */
  readonly holdSeconds: number;
  readonly keepaliveMillis: number;
  /** Families both sides offered. */
  readonly families: readonly FamilyIndex[];
  readonly fourOctetAs: boolean;
  readonly routeRefresh: boolean;
  readonly enhancedRefresh: boolean;
  readonly extendedMessages: boolean;
  /** Set when both sides offered graceful restart. */
  readonly gracefulRestart:
    | {
        /** The peer is restarting (R bit). */
        readonly restarting: boolean;
        /** N bit on both sides (RFC 8538). */
        readonly notification: boolean;
        readonly restartSeconds: number;
        /** Families listed by the peer, with its F bit. */
        readonly families: readonly { readonly family: FamilyIndex; readonly forwarding: boolean }[];
      }
    | undefined;
  /** Long-lived graceful restart (RFC 9494), set when both sides offered it beside graceful restart: what the peer listed. */
  readonly longLived?:
    | readonly {
        readonly family: FamilyIndex;
        /** F bit. */
        readonly forwarding: boolean;
        /** What the peer asks for, at most what we were told to bear. */
        readonly staleSeconds: number;
      }[]
    | undefined;
  /**
   * Path identifiers (RFC 7911) by family: the peer's prefixes come with them; of how many paths of a prefix it is told, with
   * them (0: of the best, without). A family that has neither is not listed.
   */
  readonly addPath?: readonly { readonly family: FamilyIndex; readonly receive: boolean; readonly send: PathCount }[];
  /** IPv4 routes may have an IPv6 next hop, in both directions (RFC 8950). */
  readonly extendedNextHop?: boolean;
  readonly local: Ip;
  readonly remote: Ip;
}

/** How a session ended, for the RIB (what is kept) and for people (why). */
export interface SessionEnd {
  /** True if routes are kept as stale (RFC 4724, RFC 8538). */
  readonly retain: boolean;
  /** One sentence: `hold timer expired`, `peer sent Cease/Administrative Shutdown: "maintenance"`. */
  readonly reason: string;
  /** The NOTIFICATION that ended it; undefined if TCP was lost or closed without one. */
  readonly notification: { readonly direction: "sent" | "received"; readonly code: number; readonly subcode: number; readonly data: Uint8Array } | undefined;
}

/** What the session layer calls as messages arrive. The RIB implements it; the simulator and the tests may too. */
export interface SessionSink {
  up(peer: number, terms: SessionTerms): void;
  down(peer: number, end: SessionEnd): void;
  /**
   * Body of an UPDATE: bytes[start, end), valid only during the call. A returned fault resets the session with that
   * NOTIFICATION; everything milder (RFC 7606) has been dealt with inside.
   */
  update(peer: number, bytes: Uint8Array, start: number, end: number): NotificationFault | undefined;
  /** ROUTE-REFRESH (RFC 2918, RFC 7313): subtype 0 request, 1 beginning, 2 end. */
  refresh(peer: number, family: FamilyIndex, subtype: number): void;
  /** True when nothing of this peer is held any more, so that its id may be given to another neighbour. */
  isForgotten(peer: number): boolean;
}

/** A NOTIFICATION to send: code, subcode, data (RFC 4271 §4.5). */
export interface NotificationFault {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
  /** A sentence for the log. */
  readonly text: string;
}
