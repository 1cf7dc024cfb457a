/** What the end of a session means for the routes learned over it (RFC 4724 §4.2, RFC 8538 §3.1, §4), and how we say goodbye. */
import { ceaseSubcode, errorCode } from "#wire/bgp/constants.ts";
import { describeNotification, peerFault, shutdownData } from "#wire/bgp/notification.ts";
import type { NotificationFault, SessionEnd, SessionTerms } from "../terms.ts";
import type { Cause } from "./fsm.ts";

/** RFC 8203 knew 128 octets, RFC 9003 knows 255; nothing in OPEN tells which one a peer knows. */
const shutdownTextLimit = 128;

export function cease(subcode: number, text: string, data?: Uint8Array): NotificationFault {
  return peerFault(errorCode.cease, subcode, text, data);
}

/** Cease with a text for the operator of the other side (RFC 9003): administrative shutdown or reset. */
export function ceaseWithText(subcode: typeof ceaseSubcode.administrativeShutdown | typeof ceaseSubcode.administrativeReset, text: string): NotificationFault {
  return cease(subcode, text, shutdownData(text, shutdownTextLimit));
}

/**
 * True if the peer's routes stay as stale. Without graceful restart from both: never. TCP lost or closed without
 * NOTIFICATION: yes. A NOTIFICATION in either direction, the hold timer's included: only with the N bit from both, and
 * never after a hard reset.
 */
export function retains(terms: SessionTerms, cause: Cause): boolean {
  const restart = terms.gracefulRestart;
  if (restart === undefined || (restart.families.length === 0 && !terms.longLived?.length)) return false;
  if (cause.kind === "tcp" || cause.kind === "silent") return true;
  const { code, subcode } = cause.kind === "sent" ? cause.fault : cause;
  return restart.notification && !(code === errorCode.cease && subcode === ceaseSubcode.hardReset);
}

/**
 * The same NOTIFICATION as a hard reset (RFC 8538 §3.1), so that both sides forget the routes. Only a peer that sent the N
 * bit knows it; to any other every NOTIFICATION is hard.
 */
export function hardened(fault: NotificationFault, terms: SessionTerms | undefined): NotificationFault {
  if (!terms?.gracefulRestart?.notification || (fault.code === errorCode.cease && fault.subcode === ceaseSubcode.hardReset)) return fault;
  const data = new Uint8Array(2 + fault.data.length);
  data[0] = fault.code;
  data[1] = fault.subcode;
  data.set(fault.data, 2);
  return cease(ceaseSubcode.hardReset, fault.text, data);
}

/** Ceases that must not leave stale routes behind, even between two N bits: too many of them, or the end of the peering (RFC 8538 §5). */
export function mustForget(fault: NotificationFault): boolean {
  const { maximumPrefixes, administrativeShutdown, peerDeconfigured } = ceaseSubcode;
  return fault.code === errorCode.cease && [maximumPrefixes, administrativeShutdown, peerDeconfigured].some((subcode) => subcode === fault.subcode);
}

/** The NOTIFICATION that ended a session, if one did. */
export function notificationOf(cause: Cause): SessionEnd["notification"] {
  if (cause.kind === "tcp" || cause.kind === "silent") return undefined;
  const { code, subcode, data } = cause.kind === "sent" ? cause.fault : cause;
  return { direction: cause.kind, code, subcode, data };
}

/** One sentence: why a connection, a session or a dial ended. */
export function describeCause(cause: Cause): string {
  switch (cause.kind) {
    case "sent":
      return `${cause.fault.text} (sent ${describeNotification(cause.fault.code, cause.fault.subcode, cause.fault.data)})`;
    case "received":
      return `peer sent ${describeNotification(cause.code, cause.subcode, cause.data)}`;
    case "tcp":
    case "silent":
      return cause.text;
  }
}
