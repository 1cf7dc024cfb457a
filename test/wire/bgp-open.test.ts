import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Capabilities, noCapabilities, offeredFamilies } from "#wire/bgp/capability.ts";
import { decodeOpen, encodeOpen, type Open } from "#wire/bgp/open.ts";
import { open } from "./arbitraries.ts";
import { hex, message, octets } from "./hex.ts";

const read = (body: string) => decodeOpen(octets(body), 0, octets(body).length);
/** AS 65001, hold time 90, identifier 10.0.0.1, and these optional parameters. */
const opening = (parameters: string): string => `04 fde9 005a 0a000001 ${parameters}`;
const plain = { asn: 65_001, holdSeconds: 90, bgpIdentifier: 0x0a00_0001 };
const having = (some: Partial<Capabilities>): Open => ({ ...plain, capabilities: { ...noCapabilities, ...some } });

/** Canonical octets: what is written is what is read. */
const goldens: readonly (readonly [string, string, Open])[] = [
  ["no capabilities at all", opening("00"), having({})],
  [
    "multiprotocol, two families",
    opening("0e 02 0c 0104 0001 0001 0104 0002 0001"),
    having({
      families: [
        { afi: 1, safi: 1 },
        { afi: 2, safi: 1 },
      ],
    }),
  ],
  [
    "route refresh, extended and enhanced",
    opening("08 02 06 0200 0600 4600"),
    having({ routeRefresh: true, enhancedRouteRefresh: true, extendedMessage: true }),
  ],
  ["extended next hop", opening("0a 02 08 0506 0001 0001 0002"), having({ extendedNextHop: [{ afi: 1, safi: 1, nextHopAfi: 2 }] })],
  ["role", opening("05 02 03 0901 03"), having({ role: 3 })],
  [
    "graceful restart: R, N, 120 s, F of one family",
    opening("0e 02 0c 400a c078 0001 01 80 0002 01 00"),
    having({
      gracefulRestart: {
        restarting: true,
        notification: true,
        restartSeconds: 120,
        families: [
          { afi: 1, safi: 1, forwarding: true },
          { afi: 2, safi: 1, forwarding: false },
        ],
      },
    }),
  ],
  [
    "graceful restart without families",
    opening("06 02 04 4002 0000"),
    having({ gracefulRestart: { restarting: false, notification: false, restartSeconds: 0, families: [] } }),
  ],
  ["four-octet AS", "04 5ba0 005a 0a000001 08 02 06 4104 00010000", { ...having({ fourOctetAs: 65_536 }), asn: 65_536 }],
  [
    "ADD-PATH: receive, send, both",
    opening("10 02 0e 450c 0001 01 01 0002 01 02 0019 46 03"),
    having({
      addPath: [
        { afi: 1, safi: 1, receive: true, send: false },
        { afi: 2, safi: 1, receive: false, send: true },
        { afi: 25, safi: 70, receive: true, send: true },
      ],
    }),
  ],
  [
    "long-lived graceful restart",
    opening("0b 02 09 4707 0001 01 80 015180"),
    having({ longLived: [{ afi: 1, safi: 1, forwarding: true, staleSeconds: 86_400 }] }),
  ],
  [
    "FQDN and another, kept as they came",
    opening("09 02 07 4903 016100 8000"),
    having({
      unknown: [
        { code: 73, value: octets("016100") },
        { code: 128, value: octets("") },
      ],
    }),
  ],
];

describe("OPEN both ways", () => {
  test.each(goldens)("%s", (_, body, value) => {
    expect(read(body)).toEqual({ ok: true, value });
    expect(hex(encodeOpen(value))).toBe(hex(message(1, body)));
  });

  test("decode(encode(v)) = v", () => {
    fc.assert(
      fc.property(open, (value) => {
        const bytes = encodeOpen(value);
        expect(decodeOpen(bytes, 19, bytes.length)).toEqual({ ok: true, value });
      }),
    );
  });

  test("the extended form is used from 256 octets of parameters on (RFC 9072)", () => {
    for (const size of [251, 252]) {
      const value = having({ unknown: [{ code: 200, value: new Uint8Array(size) }] });
      const bytes = encodeOpen(value);
      const parameters = size === 251 ? "ff 02 fd c8 fb" : "ff ff 0101 02 00fe c8 fc";
      expect(hex(bytes.subarray(28))).toBe(hex(octets(parameters)) + "00".repeat(size));
      expect(decodeOpen(bytes, 19, bytes.length)).toEqual({ ok: true, value });
    }
  });
});

describe("what else is the same OPEN", () => {
  test("one capability per optional parameter", () => {
    expect(read(opening("0e 02 06 0104 0001 0001 02 02 0200 02 00"))).toEqual({
      ok: true,
      value: having({ families: [{ afi: 1, safi: 1 }], routeRefresh: true }),
    });
  });

  test("extended optional parameters announced with any non-zero length (RFC 9072 §2)", () => {
    for (const first of ["ff", "01"]) {
      expect(read(opening(`${first} ff 0005 02 0002 0200`))).toEqual({ ok: true, value: having({ routeRefresh: true }) });
    }
  });

  test("capabilities said twice: families are merged, the last of the others counts", () => {
    expect(read(opening("0e 02 0c 0104 0001 0001 0104 0001 0001"))).toEqual({ ok: true, value: having({ families: [{ afi: 1, safi: 1 }] }) });
    expect(read(opening("0a 02 08 4002 0078 4002 4001"))).toMatchObject({
      value: { capabilities: { gracefulRestart: { notification: true, restartSeconds: 1 } } },
    });
    expect(read(opening("0e 02 0c 4504 0001 01 01 4504 0001 01 03"))).toMatchObject({ value: { capabilities: { addPath: [{ receive: true, send: true }] } } });
    expect(read(opening("08 02 06 0901 03 0901 03"))).toMatchObject({ ok: true, value: { capabilities: { role: 3 } } });
  });

  test("an ADD-PATH tuple that says neither send nor receive is ignored (RFC 7911 §4)", () => {
    expect(read(opening("0c 02 0a 4508 0001 01 00 0002 01 04"))).toEqual({ ok: true, value: having({}) });
  });

  test("no multiprotocol capability means IPv4 unicast", () => {
    expect(offeredFamilies(noCapabilities)).toEqual([{ afi: 1, safi: 1 }]);
    expect(offeredFamilies({ ...noCapabilities, families: [{ afi: 2, safi: 1 }] })).toEqual([{ afi: 2, safi: 1 }]);
  });

  test("the AS number is the capability's; without it, the field's", () => {
    expect(read("04 5ba0 005a 0a000001 08 02 06 4104 fffffffe")).toMatchObject({ value: { asn: 0xffff_fffe } });
    expect(read("04 5ba0 005a 0a000001 00")).toMatchObject({ value: { asn: 23_456 } });
  });

  test("what was decoded does not share memory with the message", () => {
    const bytes = Buffer.from(encodeOpen(having({ unknown: [{ code: 73, value: octets("0102") }] })));
    const decoded = decodeOpen(bytes, 19, bytes.length);
    bytes.fill(0);
    expect(decoded).toMatchObject({ value: { capabilities: { unknown: [{ value: octets("0102") }] } } });
  });
});

describe("OPEN errors (RFC 4271 §6.2)", () => {
  test.each([
    ["version 3", "03 fde9 005a 0a000001 00", 1, "0004"],
    ["version 5", "05 fde9 005a 0a000001 00", 1, "0004"],
    ["AS 0 in the field", "04 0000 005a 0a000001 00", 2, ""],
    ["AS 0 in the capability", "04 5ba0 005a 0a000001 08 02 06 4104 00000000", 2, ""],
    ["identifier 0", "04 fde9 005a 00000000 00", 3, ""],
    ["an optional parameter nobody knows", opening("02 01 00"), 4, ""],
    ["hold time 1", "04 fde9 0001 0a000001 00", 6, ""],
    ["hold time 2", "04 fde9 0002 0a000001 00", 6, ""],
    ["two roles that differ", opening("08 02 06 0901 03 0901 04"), 11, ""],
    ["a capability past its parameter", opening("04 02 02 4104"), 0, ""],
    ["half a capability", opening("03 02 01 02"), 0, ""],
    ["a four-octet AS of two octets", opening("06 02 04 4102 fde9"), 0, ""],
    ["a graceful restart of three octets", opening("07 02 05 4003 007800"), 0, ""],
    ["parameters longer than the message", opening("08 02 02 0200"), 0, ""],
    ["parameters shorter than the message", opening("00 02 02 0200"), 0, ""],
    ["a parameter past the others", opening("04 02 04 0200"), 0, ""],
  ])("%s", (_, body, subcode, data) => {
    expect(read(body)).toMatchObject({ ok: false, fault: { code: 2, subcode, data: octets(data) } });
  });

  test("hold time 0 is fine", () => {
    expect(read("04 fde9 0000 0a000001 00")).toMatchObject({ ok: true, value: { holdSeconds: 0 } });
  });

  test("any octets give a value or a fault", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (tail) => {
        for (const bytes of [
          tail,
          octets(`04 fde9 005a 0a000001 ${hex(tail)}`),
          octets(`04 fde9 005a 0a000001 ${hex(Uint8Array.of(tail.length + 2, 2, tail.length))} ${hex(tail)}`),
        ]) {
          const decoded = decodeOpen(bytes, 0, bytes.length);
          expect(decoded.ok || decoded.fault.code === 2).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
