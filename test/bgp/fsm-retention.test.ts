import { loser } from "#bgp/fsm/collision.ts";
import type { Cause } from "#bgp/fsm/fsm.ts";
import { cease, ceaseWithText, describeCause, hardened, mustForget, retains } from "#bgp/fsm/retention.ts";
import type { Instant } from "#base/time.ts";
import type { SessionTerms } from "#bgp/terms.ts";
import { peerFault } from "#wire/bgp/notification.ts";
import { describe, expect, test } from "vitest";

const none = new Uint8Array(0);
type Restart = SessionTerms["gracefulRestart"];
const restartOf = (notification: boolean, families: number): Restart => ({
  restarting: false,
  notification,
  restartSeconds: 120,
  families: ([0, 1] as const).slice(0, families).map((family) => ({ family, forwarding: true })),
});
const termsWith = (gracefulRestart: Restart): SessionTerms => ({ gracefulRestart }) as SessionTerms;

describe("what is kept when a session ends", () => {
  const causes: Readonly<Record<string, Cause>> = {
    "TCP lost": { kind: "tcp", text: "reset" },
    "closed without NOTIFICATION": { kind: "silent", text: "restart" },
    "hold timer expired": { kind: "sent", fault: peerFault(4, 0, "hold") },
    "UPDATE error sent": { kind: "sent", fault: peerFault(3, 1, "bad") },
    "Cease received": { kind: "received", code: 6, subcode: 4, data: none },
    "hard reset received": { kind: "received", code: 6, subcode: 9, data: Uint8Array.of(6, 2) },
    "hard reset sent": { kind: "sent", fault: cease(9, "hard") },
  };
  const kept: Readonly<Record<string, readonly [Restart, readonly string[]]>> = {
    "without graceful restart": [undefined, []],
    "with graceful restart for no family": [restartOf(true, 0), []],
    "with graceful restart": [restartOf(false, 2), ["TCP lost", "closed without NOTIFICATION"]],
    "with N from both": [restartOf(true, 2), ["TCP lost", "closed without NOTIFICATION", "hold timer expired", "UPDATE error sent", "Cease received"]],
  };
  for (const [name, [restart, names]] of Object.entries(kept)) {
    test(name, () => {
      expect(Object.keys(causes).filter((cause) => retains(termsWith(restart), causes[cause]!))).toEqual(names);
    });
  }
});

test("a hard reset wraps the NOTIFICATION it stands for, once, and only towards the N bit", () => {
  const shutdown = ceaseWithText(2, "bye");
  const hard = hardened(shutdown, termsWith(restartOf(true, 2)));
  expect([hard.code, hard.subcode, ...hard.data]).toEqual([6, 9, 6, 2, 3, 98, 121, 101]);
  expect(hardened(hard, termsWith(restartOf(true, 2)))).toBe(hard);
  expect(hardened(shutdown, termsWith(restartOf(false, 2)))).toBe(shutdown);
  expect(hardened(shutdown, undefined)).toBe(shutdown);
});

test("only the end of a peering and a prefix limit must leave nothing behind", () => {
  expect(Array.from({ length: 11 }, (_, subcode) => subcode).filter((subcode) => mustForget(cease(subcode, "")))).toEqual([1, 2, 3]);
  expect(mustForget(peerFault(3, 1, ""))).toBe(false);
});

test("a shutdown text is cut at a code point to 128 octets, which every peer can read", () => {
  const { data } = ceaseWithText(2, "é".repeat(200));
  expect([data.length, data[0]]).toEqual([129, 128]);
  expect(new TextDecoder("utf-8", { fatal: true }).decode(data.subarray(1))).toBe("é".repeat(64));
});

test("each cause is one sentence", () => {
  expect(describeCause({ kind: "received", code: 6, subcode: 2, data: ceaseWithText(2, "maintenance").data })).toBe(
    'peer sent Cease/Administrative Shutdown: "maintenance"',
  );
  expect(describeCause({ kind: "sent", fault: peerFault(4, 0, "hold timer expired: nothing heard for 9 s") })).toBe(
    "hold timer expired: nothing heard for 9 s (sent Hold Timer Expired)",
  );
  expect(describeCause({ kind: "tcp", text: "connection lost: reset" })).toBe("connection lost: reset");
});

describe("which connection goes in a collision (newer, older; us against them)", () => {
  const up = (restart: Restart, since = 0): { since: Instant; terms: SessionTerms } => ({ since: since as Instant, terms: termsWith(restart) });
  const speaker = (bgpIdentifier: number, asn = 1): { asn: number; bgpIdentifier: number } => ({ asn, bgpIdentifier });
  const dialled = (established?: ReturnType<typeof up>): { outgoing: boolean; established: typeof established } => ({ outgoing: true, established });
  const inbound = (established?: ReturnType<typeof up>): { outgoing: boolean; established: typeof established } => ({ outgoing: false, established });
  const [high, low] = [speaker(0x8000_0001), speaker(1)];
  const soon = 1000 as Instant,
    later = 60_000 as Instant;
  const table: readonly (readonly [string, "newer" | "older" | undefined, "newer" | "older" | undefined])[] = [
    ["the senior keeps its own dial: inbound comes second", "newer", loser({ newer: inbound(), older: dialled() }, high, low, soon)],
    ["the senior keeps its own dial: the dial comes second", "older", loser({ newer: dialled(), older: inbound() }, high, low, soon)],
    ["identifiers compare unsigned", "older", loser({ newer: dialled(), older: inbound() }, speaker(0xff00_0000), speaker(0x7f00_0000), soon)],
    ["equal identifiers: the higher AS is senior (RFC 6286)", "older", loser({ newer: dialled(), older: inbound() }, speaker(5, 9), speaker(5, 8), soon)],
    ["equal identifiers: the lower AS is not", "newer", loser({ newer: dialled(), older: inbound() }, speaker(5, 8), speaker(5, 9), soon)],
    ["the junior waits for the senior, who may have its dial Established", undefined, loser({ newer: inbound(), older: dialled() }, low, high, soon)],
    ["twice from one side: the older was given up", "older", loser({ newer: inbound(), older: inbound() }, high, low, soon)],
    ["Established wins", "newer", loser({ newer: inbound(), older: inbound(up(undefined)) }, low, high, later)],
    ["Established wins over graceful restart for no family", "newer", loser({ newer: inbound(), older: inbound(up(restartOf(true, 0))) }, low, high, later)],
    [
      "a peer with graceful restart has restarted, senior or not",
      "older",
      loser({ newer: inbound(), older: inbound(up(restartOf(false, 1))) }, low, high, soon),
    ],
    ["the same when we had dialled, long ago", "older", loser({ newer: inbound(), older: dialled(up(restartOf(false, 1))) }, high, low, later)],
    [
      "dialled just now it is a collision: the senior keeps Established",
      "newer",
      loser({ newer: inbound(), older: dialled(up(restartOf(false, 1))) }, high, low, soon),
    ],
    ["dialled just now it is a collision: the junior waits", undefined, loser({ newer: inbound(), older: dialled(up(undefined)) }, low, high, soon)],
  ];
  for (const [name, expected, answer] of table) test(name, () => expect(answer).toBe(expected));
});
