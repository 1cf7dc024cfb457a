/** Every sample cut at every octet, and every octet of it changed: more octets wanted, a fault, or a value; no exception. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Prefix } from "#base/prefix.ts";
import { decodeAttributes } from "#wire/bgp/attribute.ts";
import { headerLength, messageType } from "#wire/bgp/constants.ts";
import { decodeNotification, decodeRouteRefresh, encodeKeepalive, encodeNotification, encodeRouteRefresh, frame, headerFault } from "#wire/bgp/message.ts";
import { countPrefixes } from "#wire/bgp/nlri.ts";
import { describeNotification, type PeerFault } from "#wire/bgp/notification.ts";
import { decodeOpen, encodeOpen } from "#wire/bgp/open.ts";
import { emptyRanges, encodeEndOfRib, encodeUpdate, endOfRib, splitUpdate } from "#wire/bgp/update.ts";
import { validateUpdate } from "#wire/bgp/validate.ts";
import { octets } from "./hex.ts";

const prefixes = (...list: string[]) => list.map((prefix) => ({ prefix: prefix as Prefix }));
const families = [
  { afi: 1, safi: 1 },
  { afi: 2, safi: 1 },
];
const six = octets("20010db8000000000000000000000001");

const samples: Readonly<Record<string, Uint8Array>> = {
  open: encodeOpen({
    asn: 70_000,
    holdSeconds: 90,
    bgpIdentifier: 0x0a00_0001,
    capabilities: {
      families,
      routeRefresh: true,
      enhancedRouteRefresh: true,
      extendedMessage: true,
      fourOctetAs: 70_000,
      gracefulRestart: { restarting: false, notification: true, restartSeconds: 120, families: families.map((one) => ({ ...one, forwarding: true })) },
      addPath: families.map((one) => ({ ...one, receive: true, send: true })),
      extendedNextHop: [{ afi: 1, safi: 1, nextHopAfi: 2 }],
      longLived: families.map((one) => ({ ...one, forwarding: false, staleSeconds: 3600 })),
      role: 3,
      unknown: [{ code: 73, value: octets("016100") }],
    },
  }),
  "extended open": encodeOpen({
    asn: 65_000,
    holdSeconds: 0,
    bgpIdentifier: 1,
    capabilities: {
      families,
      routeRefresh: false,
      enhancedRouteRefresh: false,
      extendedMessage: false,
      addPath: [],
      extendedNextHop: [],
      longLived: [],
      unknown: [{ code: 200, value: new Uint8Array(255) }],
    },
  }),
  update: encodeUpdate(
    {
      withdrawn: prefixes("10.1.0.0/16", "0.0.0.0/0"),
      attributes: {
        origin: 0,
        asPath: [
          { type: 2, asns: Uint32Array.of(1, 70_000) },
          { type: 1, asns: Uint32Array.of(3) },
        ],
        nextHop: octets("0a000001"),
        med: 1,
        localPref: 100,
        atomicAggregate: true,
        aggregator: { asn: 70_000, address: octets("0a000001") },
        communities: Uint32Array.of(1, 2),
        originatorId: 1,
        clusterList: Uint32Array.from({ length: 70 }, (_, i) => i),
        extendedCommunities: octets("0002fde800000064"),
        largeCommunities: Uint32Array.of(1, 2, 3),
        otc: 1,
        unknown: [{ flags: 0xe0, type: 99, value: octets("abcd") }],
      },
      nlri: prefixes("10.42.7.0/24", "10.42.8.0/32"),
      reach: { afi: 2, safi: 1, nextHop: six, nlri: prefixes("2001:db8:1::/48", "2001:db8::1/128") },
      unreach: { afi: 2, safi: 1, withdrawn: prefixes("2001:db8:2::/48") },
    },
    { fourOctetAs: false },
  ),
  "End-of-RIB": encodeEndOfRib(2, 1),
  notification: encodeNotification({ code: 6, subcode: 9, data: octets("0602 02 6869") }),
  keepalive: encodeKeepalive(),
  "route refresh": encodeRouteRefresh({ afi: 2, safi: 1, subtype: 1 }),
};

/** Reads bytes[0, end) of one message as a session would; the fault, or what kind of value it was. */
function take(bytes: Uint8Array, end: number): PeerFault | "more" | "value" {
  const size = frame(bytes, 0, end, 65_535);
  if (size < 0) return headerFault(bytes, 0, size);
  if (size === 0) return "more";
  return body(bytes[18]!, bytes, size) ?? "value";
}

function body(type: number, bytes: Uint8Array, end: number): PeerFault | undefined {
  if (type === messageType.open) return faultOf(decodeOpen(bytes, headerLength, end));
  if (type === messageType.routeRefresh) return faultOf(decodeRouteRefresh(bytes, headerLength, end));
  if (type === messageType.update) return update(bytes, end);
  if (type === messageType.notification) {
    const { code, subcode, data } = decodeNotification(bytes, headerLength, end);
    describeNotification(code, subcode, data);
  }
  return undefined;
}

const faultOf = (decoded: { ok: boolean; fault?: PeerFault }): PeerFault | undefined => decoded.fault;

function update(bytes: Uint8Array, end: number): PeerFault | undefined {
  const ranges = emptyRanges();
  const fault = splitUpdate(bytes, headerLength, end, ranges);
  if (fault) return fault;
  endOfRib(bytes, ranges);
  countPrefixes(bytes, ranges.nlriStart, ranges.nlriEnd, { family: 4, addPath: false });
  const decoded = decodeAttributes(bytes, ranges.attributesStart, ranges.attributesEnd, { internal: true, fourOctetAs: false });
  const context = { internal: true, remoteAs: 1, enforceFirstAs: false, acceptAsSet: true, ownAddresses: [] };
  return validateUpdate(decoded, ranges.nlriStart < ranges.nlriEnd, context).notification;
}

describe.each(Object.entries(samples))("%s", (_, sample) => {
  test("whole, it is a value", () => {
    expect(take(sample, sample.length)).toBe("value");
  });

  test("cut off, it is not there yet, however far it came", () => {
    for (let end = 0; end < sample.length; end++) expect(take(sample, end)).toBe("more");
  });

  test("cut off with its length put right, it is a fault or a shorter value", () => {
    for (let end = headerLength; end < sample.length; end++) {
      const cut = sample.slice(0, end);
      cut.set([end >> 8, end & 255], 16);
      expect(take(cut, end)).not.toBe("more");
    }
  });

  test("with any octets changed, nothing is thrown", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(sample.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }), (changes) => {
        const bytes = sample.slice();
        for (const [at, value] of changes) bytes[at] = value;
        take(bytes, bytes.length);
      }),
      { numRuns: 500 },
    );
  });
});

test("no cut OPEN passes for a whole one", () => {
  for (const name of ["open", "extended open"]) {
    const sample = samples[name]!;
    for (let end = headerLength; end < sample.length; end++) {
      const cut = sample.slice(0, end);
      cut.set([end >> 8, end & 255], 16);
      expect(take(cut, end)).toMatchObject({ subcode: expect.any(Number) });
    }
  }
});
