/** Everything the session layer wants done, as values: the driver (daemon/peers) executes them in order. */
import type { Ip } from "#base/ip.ts";
import type { Note } from "#base/note.ts";
import type { Secret } from "#base/settings.ts";

export type Action = ConnectAction | CancelConnectAction | RequireTtlAction | WriteAction | CloseAction | NoteAction;

/** Dial. Answered by exactly one `connected` or `connectFailed`, or by nothing after `cancelConnect`. One dial per peer at a time. */
export interface ConnectAction {
  readonly type: "connect";
  readonly peer: number;
  readonly address: Ip;
  readonly port: number;
  /** Address our side is bound to. */
  readonly source: Ip | undefined;
  /** Outgoing TTL or hop limit. */
  readonly ttl: number;
  /** Least TTL accepted (GTSM, RFC 5082); undefined accepts any. */
  readonly minTtl: number | undefined;
  /** Named, not held: the driver reads it; a missing one is a `connectFailed` with a sentence. */
  readonly md5: Secret | undefined;
}

/** The dial under way is not wanted any more: abort it, close what it opened, report nothing of it. */
export interface CancelConnectAction {
  readonly type: "cancelConnect";
  readonly peer: number;
}

/** A connection that came in is held to GTSM (RFC 5082), as the dials of its neighbour are; before anything is written to it. */
export interface RequireTtlAction {
  readonly type: "requireTtl";
  readonly connection: number;
  readonly minTtl: number;
}

export interface WriteAction {
  readonly type: "write";
  readonly connection: number;
  /** One or more whole messages; owned by the driver from here on. */
  readonly bytes: Uint8Array;
}

/**
 * The session layer has forgotten this connection: nothing that is reported of it later has an effect. `end` sends what is
 * pending (a NOTIFICATION must not be lost), then FIN; `destroy` closes now.
 */
export interface CloseAction {
  readonly type: "close";
  readonly connection: number;
  readonly how: "end" | "destroy";
}

export interface NoteAction {
  readonly type: "note";
  readonly note: Note;
}
