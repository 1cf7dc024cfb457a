import type { Ip } from "#base/ip.ts";
import { ip4Number } from "#base/ip.ts";
import { type RestartState, negotiate, ourOpen, withoutCapabilities } from "#bgp/fsm/negotiate.ts";
import type { SessionTerms } from "#bgp/terms.ts";
import type { Capabilities } from "#wire/bgp/capability.ts";
import { type Open, decodeOpen, encodeOpen } from "#wire/bgp/open.ts";
import { describe, expect, test } from "vitest";
import { identityOf, session } from "./settings-of.ts";

const us = identityOf("10.0.0.1");
const idle: RestartState = { restarting: false, forwarding: [0, 1] };
const ends = { local: "10.0.0.1" as Ip, remote: "10.0.0.2" as Ip };
const ipv4 = { afi: 1, safi: 1 },
  ipv6 = { afi: 2, safi: 1 };

/** What a full-grown neighbour says, and what is different about this one. */
function theirs(more: Partial<Open> = {}, capabilities: Partial<Capabilities> = {}): Open {
  const all = ourOpen(identityOf("10.0.0.2"), session, idle);
  return { ...all, ...more, capabilities: { ...all.capabilities, ...capabilities } };
}
function agreed(open: Open, settings = session, ours = ourOpen(us, settings, idle)): SessionTerms {
  const outcome = negotiate(ours, open, settings, ends);
  if (!outcome.ok) throw new Error(outcome.fault.text);
  return outcome.value;
}
function refused(open: Open, settings = session): string {
  const outcome = negotiate(ourOpen(us, settings, idle), open, settings, ends);
  return outcome.ok ? "agreed" : `${outcome.fault.code}/${outcome.fault.subcode} [${outcome.fault.data.join()}] ${outcome.fault.text}`;
}
/** Capability codes of an OPEN as they stand on the wire. */
function codesOf(open: Open): number[] {
  const bytes = encodeOpen(open),
    codes: number[] = [];
  for (let at = 31; at < bytes.length; at += 2 + bytes[at + 1]!) codes.push(bytes[at]!);
  return codes;
}

describe("several paths (RFC 7911 §4) and IPv6 next hops (RFC 8950 §4)", () => {
  const several = (receive: boolean, send: 0 | 3 | "all") => ({ ...session, addPath: { receive, send } });
  const said = (receive: boolean, send: boolean) => theirs({}, { addPath: [{ ...ipv4, receive, send }] });

  test("are offered where they are asked for, ADD-PATH in each direction by itself", () => {
    const open = ourOpen(us, { ...several(false, 3), families: ["ipv6"], extendedNextHop: true }, idle);
    expect([open.capabilities.addPath, open.capabilities.extendedNextHop]).toEqual([[{ ...ipv6, receive: false, send: true }], []]);
    const both = ourOpen(us, { ...several(true, 0), extendedNextHop: true }, idle).capabilities;
    expect([both.addPath.map(({ send }) => send), both.extendedNextHop]).toEqual([[false, false], [{ ...ipv4, nextHopAfi: 2 }]]);
    expect(codesOf(ourOpen(us, several(false, 0), idle))).not.toContain(69);
  });

  test("what one sends the other must receive, family by family", () => {
    const rows = [
      [several(true, "all"), said(true, true), [{ family: 0, receive: true, send: "all" }]],
      [several(true, 3), said(true, false), [{ family: 0, receive: false, send: 3 }]],
      [several(true, 3), said(false, true), [{ family: 0, receive: true, send: 0 }]],
      [several(true, 0), said(true, false), []],
      [several(false, "all"), said(false, true), []],
      [session, said(true, true), []],
      [several(true, "all"), theirs(), []],
    ] as const;
    for (const [settings, open, wanted] of rows) expect(agreed(open, settings).addPath).toEqual(wanted);
  });

  test("IPv6 next hops of IPv4 routes need both", () => {
    const theirWord = theirs({}, { extendedNextHop: [{ ...ipv4, nextHopAfi: 2 }] });
    const willing = { ...session, extendedNextHop: true };
    expect([agreed(theirWord, willing), agreed(theirs(), willing), agreed(theirWord)].map((terms) => terms.extendedNextHop)).toEqual([true, false, false]);
  });
});

describe("our OPEN", () => {
  test("offers exactly multiprotocol, route refresh, extended messages, graceful restart, four-octet AS, enhanced refresh", () => {
    expect([...new Set(codesOf(ourOpen(us, session, idle)))].toSorted((a, b) => a - b)).toEqual([1, 2, 6, 64, 65, 70]);
  });
  test("leaves graceful restart out where it is switched off", () => {
    expect(codesOf(ourOpen(us, { ...session, gracefulRestart: undefined }, idle))).not.toContain(64);
  });
  test("lists every family for graceful restart, F as the caller says, R only while restarting, N always", () => {
    const open = ourOpen(us, session, { restarting: true, forwarding: [1] });
    expect(open.capabilities.gracefulRestart).toEqual({
      restarting: true,
      notification: true,
      restartSeconds: 120,
      families: [
        { ...ipv4, forwarding: false },
        { ...ipv6, forwarding: true },
      ],
    });
    expect(ourOpen(us, session, idle).capabilities.gracefulRestart?.restarting).toBe(false);
  });
  test("offers the families of the neighbour, not all there are", () => {
    expect(ourOpen(us, { ...session, families: ["ipv6"] }, idle).capabilities.families).toEqual([ipv6]);
  });
  test("says our role and the AS this neighbour is shown; long-lived restart for every family, where it is offered", () => {
    const open = ourOpen(
      us,
      { ...session, asRole: "rs-client", localAs: 64_999, gracefulRestart: { ...session.gracefulRestart!, longLivedSeconds: 86_400 } },
      idle,
    );
    expect([open.asn, open.capabilities.fourOctetAs, open.capabilities.role]).toEqual([64_999, 64_999, 2]);
    expect(open.capabilities.longLived).toEqual([
      { ...ipv4, forwarding: true, staleSeconds: 86_400 },
      { ...ipv6, forwarding: true, staleSeconds: 86_400 },
    ]);
    expect(codesOf(open)).toEqual(expect.arrayContaining([9, 71]));
  });
  test("survives the codec, with and without capabilities", () => {
    const open = ourOpen({ ...us, asn: 4_200_000_000 }, session, idle);
    const bytes = encodeOpen(open);
    expect(decodeOpen(bytes, 19, bytes.length)).toEqual({ ok: true, value: open });
    const plain = encodeOpen(withoutCapabilities(open));
    expect(plain.length).toBe(29);
    expect([plain[20], plain[21]], "AS_TRANS").toEqual([0x5b, 0xa0]);
  });
});

describe("what is refused", () => {
  const table: readonly (readonly [string, Open, Partial<typeof session>, string])[] = [
    ["another AS", theirs({ asn: 64_513 }), {}, "2/2 [] the peer is AS 64513, configured is AS 64512"],
    [
      "our own identifier within the AS",
      theirs({ bgpIdentifier: ip4Number("10.0.0.1") }),
      {},
      "2/3 [] the peer uses our own BGP Identifier 10.0.0.1: give one of the two another router id",
    ],
    ["our own identifier in another AS (RFC 6286)", theirs({ asn: 65_001, bgpIdentifier: ip4Number("10.0.0.1") }), { remoteAs: 65_001 }, "agreed"],
    ["no common family", theirs({}, { families: [ipv6] }), { families: ["ipv4"] }, "2/7 [1,4,0,1,0,1] no address family is offered by both sides"],
    [
      "no capabilities where IPv6 is wanted",
      withoutCapabilities(theirs()),
      { families: ["ipv6"] },
      "2/7 [1,4,0,2,0,1] no address family is offered by both sides",
    ],
    ["nothing", theirs(), {}, "agreed"],
    ["no role where we have one", theirs(), { asRole: "customer" }, "agreed"],
    [
      "no role where we insist on it (RFC 9234 §4.2)",
      theirs(),
      { asRole: "customer", strictRole: true },
      "2/11 [] the peer says no role, and ours is customer: it must be provider (RFC 9234)",
    ],
    [
      "a role that is not ours",
      theirs({}, { role: 3 }),
      { asRole: "customer" },
      "2/11 [] the peer says its role is customer, and ours is customer: it must be provider (RFC 9234)",
    ],
    ["a role nobody knows", theirs({}, { role: 9 }), { asRole: "peer" }, "2/11 [] the peer says its role is 9, and ours is peer: it must be peer (RFC 9234)"],
    ["a role where we have none", theirs({}, { role: 3 }), {}, "agreed"],
    ["an AS that is ours for it alone", theirs(), { localAs: 64_999 }, "agreed"],
  ];
  test("roles go together in these five ways", () => {
    const names = ["provider", "rs", "rs-client", "customer", "peer"] as const;
    const pairs = names.flatMap((asRole) =>
      [0, 1, 2, 3, 4].filter((role) => refused(theirs({}, { role }), { ...session, asRole }) === "agreed").map((role) => [asRole, role]),
    );
    expect(pairs).toEqual([
      ["provider", 3],
      ["rs", 2],
      ["rs-client", 1],
      ["customer", 0],
      ["peer", 4],
    ]);
  });
  for (const [name, open, more, answer] of table) {
    test(name, () => expect(refused(open, { ...session, ...more })).toBe(answer));
  }
});

describe("what is agreed on", () => {
  test("the smaller hold time, a third of it for keepalives; 0 from either side switches both off", () => {
    expect(agreed(theirs({ holdSeconds: 9 }))).toMatchObject({ holdSeconds: 9, keepaliveMillis: 3000 });
    expect(agreed(theirs({ holdSeconds: 180 }))).toMatchObject({ holdSeconds: 90, keepaliveMillis: 30_000 });
    expect(agreed(theirs({ holdSeconds: 0 }))).toMatchObject({ holdSeconds: 0, keepaliveMillis: 0 });
    expect(agreed(theirs(), { ...session, holdSeconds: 0 })).toMatchObject({ holdSeconds: 0 });
  });
  test("families both offer; foreign ones are nothing to us; none named means IPv4 unicast", () => {
    expect(agreed(theirs({}, { families: [ipv6, { afi: 25, safi: 70 }, { afi: 1, safi: 4 }] })).families).toEqual([1]);
    expect(agreed(withoutCapabilities(theirs())).families).toEqual([0]);
  });
  test("features only as far as both go; sending long messages is up to the peer alone", () => {
    expect(agreed(theirs())).toMatchObject({ addPath: [], extendedNextHop: false });
    expect(agreed(theirs())).toMatchObject({ fourOctetAs: true, routeRefresh: true, enhancedRefresh: true, extendedMessages: true });
    const bare = agreed(withoutCapabilities(theirs()));
    expect(bare).toMatchObject({ fourOctetAs: false, routeRefresh: false, enhancedRefresh: false, extendedMessages: false, gracefulRestart: undefined });
    const plain = agreed(theirs(), session, withoutCapabilities(ourOpen(us, session, idle)));
    expect(plain).toMatchObject({ fourOctetAs: false, enhancedRefresh: false, gracefulRestart: undefined, families: [0] });
  });
  test("graceful restart as the peer told it, for common families; N only from both", () => {
    const restart = {
      restarting: true,
      notification: false,
      restartSeconds: 77,
      families: [
        { ...ipv6, forwarding: true },
        { afi: 25, safi: 70, forwarding: true },
      ],
    };
    expect(agreed(theirs({}, { gracefulRestart: restart })).gracefulRestart).toEqual({
      restarting: true,
      notification: false,
      restartSeconds: 77,
      families: [{ family: 1, forwarding: true }],
    });
    expect(agreed(theirs()).gracefulRestart?.notification).toBe(true);
    expect(agreed(theirs(), { ...session, gracefulRestart: undefined }).gracefulRestart).toBeUndefined();
  });
  test("long-lived restart where both offered it beside graceful restart; ours bounds what the peer asks for (RFC 9494 §4.2, §4.5)", () => {
    const long = { ...session, gracefulRestart: { ...session.gracefulRestart!, longLivedSeconds: 1000 } };
    const longLived = [
      { ...ipv4, forwarding: false, staleSeconds: 3600 },
      { ...ipv6, forwarding: true, staleSeconds: 500 },
      { afi: 25, safi: 65, forwarding: true, staleSeconds: 500 },
    ];
    expect(agreed(theirs({}, { longLived }), long).longLived).toEqual([
      { family: 0, forwarding: false, staleSeconds: 1000 },
      { family: 1, forwarding: true, staleSeconds: 500 },
    ]);
    expect(agreed(theirs({}, { longLived })).longLived).toBeUndefined();
    expect(agreed(theirs({}, { longLived: [] }), long).longLived).toBeUndefined();
    const { gracefulRestart: _, ...capabilities } = theirs({}, { longLived }).capabilities;
    expect(agreed({ ...theirs(), capabilities }, long).longLived).toBeUndefined();
  });

  test("who and where the peer is", () => {
    expect(agreed(theirs())).toMatchObject({ remoteAs: 64_512, remoteId: ip4Number("10.0.0.2"), role: "client", ...ends });
  });
});
