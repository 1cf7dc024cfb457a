/** What the fuzzer starts from: one good message of every kind, so that a few changes reach every branch of the readers. */
import type { Prefix } from "#base/prefix.ts";
import { noCapabilities } from "#wire/bgp/capability.ts";
import type { Nlri } from "#wire/bgp/nlri.ts";
import { encodeKeepalive, encodeNotification, encodeRouteRefresh } from "#wire/bgp/message.ts";
import { encodeOpen, type Open } from "#wire/bgp/open.ts";
import { encodeEndOfRib, encodeUpdate, type Update } from "#wire/bgp/update.ts";

const families = [
  { afi: 1, safi: 1 },
  { afi: 2, safi: 1 },
];
const hop4 = Uint8Array.of(10, 0, 0, 9),
  hop6 = Uint8Array.of(0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9),
  linkLocal = Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9);
const numbers = (length: number, from: number): Uint32Array => Uint32Array.from({ length }, (_, i) => from + i);

/** UPDATEs as they stand in a stream of a four-octet session; `first` is the AS that leads the path, none for iBGP; `pathIds`: with ADD-PATH (RFC 7911). */
export function updates(first: number | undefined, pathIds = false): readonly Uint8Array[] {
  const list = (...prefixes: readonly string[]): Nlri[] =>
    prefixes.flatMap((prefix, i) => (pathIds ? [i, i + 1].map((pathId) => ({ prefix: prefix as Prefix, pathId })) : [{ prefix: prefix as Prefix }]));
  const lead = first === undefined ? [] : [first],
    path = (...more: readonly number[]) => [{ type: 2 as const, asns: Uint32Array.of(...lead, ...more) }],
    inside = first === undefined ? { localPref: 100 } : {},
    reflected = first === undefined ? { ...inside, originatorId: 0x0a00_0063, clusterList: numbers(3, 1) } : {};
  const usual = { origin: 0, asPath: path(65_010), nextHop: hop4, ...inside };
  const { nextHop: _, ...usual6 } = usual;
  const all: readonly Update[] = [
    { attributes: usual, nlri: list("10.1.0.0/16", "10.1.1.0/24", "10.1.1.128/25", "0.0.0.0/0") },
    { withdrawn: list("10.1.0.0/16", "10.1.1.0/24") },
    { withdrawn: list("10.1.0.0/16"), attributes: { ...usual, med: 5, ...reflected }, nlri: list("10.1.0.0/16", "10.2.0.0/17") },
    {
      attributes: {
        ...usual,
        atomicAggregate: true,
        aggregator: { asn: 70_000, address: hop4 },
        communities: numbers(4, 0xffff_ff00),
        extendedCommunities: Uint8Array.of(0, 2, 0xfd, 0xe8, 0, 0, 0, 100),
        largeCommunities: numbers(6, 64_500),
        unknown: [{ flags: 0xe0, type: 99, value: Uint8Array.of(1, 2, 3) }],
      },
      nlri: list("10.3.0.0/24", "10.3.1.1/32"),
    },
    { attributes: { ...usual, asPath: path(...numbers(70, 64_000)), communities: numbers(80, 1) }, nlri: list("10.4.0.0/22") },
    { attributes: { ...usual6, ...reflected }, reach: { afi: 2, safi: 1, nextHop: hop6, nlri: list("fd00:1::/32", "fd00:1:2::/48", "fd00::1/128") } },
    { attributes: usual6, reach: { afi: 2, safi: 1, nextHop: Uint8Array.of(...hop6, ...linkLocal), nlri: list("fd00:3::/48", "::/0") } },
    { unreach: { afi: 2, safi: 1, withdrawn: list("fd00:1::/32", "fd00:3::/48") } },
    { attributes: usual6, reach: { afi: 1, safi: 1, nextHop: hop4, nlri: list("10.5.0.0/16") } },
    { attributes: usual6, reach: { afi: 1, safi: 1, nextHop: hop6, nlri: list("10.5.0.0/16", "10.7.0.0/20") } },
    {
      attributes: usual,
      nlri: list("10.6.0.0/16"),
      reach: { afi: 2, safi: 1, nextHop: hop6, nlri: list("fd00:6::/48") },
      unreach: { afi: 2, safi: 1, withdrawn: list("fd00:1::/32") },
    },
    { attributes: { ...usual6, otc: 65_010 }, reach: { afi: 1, safi: 128, nextHop: hop4, nlri: [] } },
  ];
  return [...all.map((one) => encodeUpdate(one, { fourOctetAs: true })), encodeEndOfRib(1, 1), encodeEndOfRib(2, 1)];
}

/** What a good peer says in its OPEN, with everything we know how to read. */
export function openOf(asn: number, bgpIdentifier: number): Open {
  return {
    asn,
    holdSeconds: 90,
    bgpIdentifier,
    capabilities: {
      ...noCapabilities,
      families,
      routeRefresh: true,
      enhancedRouteRefresh: true,
      extendedMessage: true,
      fourOctetAs: asn,
      gracefulRestart: { restarting: false, notification: true, restartSeconds: 120, families: families.map((one) => ({ ...one, forwarding: true })) },
    },
  };
}

/** The other messages, and OPENs with more in them. */
export function others(asn: number, bgpIdentifier: number): readonly Uint8Array[] {
  const open = openOf(asn, bgpIdentifier);
  return [
    encodeOpen(open),
    encodeOpen({ ...open, holdSeconds: 0, capabilities: { ...noCapabilities, unknown: [{ code: 200, value: new Uint8Array(255) }] } }),
    encodeOpen({
      ...open,
      capabilities: {
        ...open.capabilities,
        addPath: families.map((one) => ({ ...one, receive: true, send: true })),
        extendedNextHop: [{ afi: 1, safi: 1, nextHopAfi: 2 }],
        longLived: families.map((one) => ({ ...one, forwarding: false, staleSeconds: 3600 })),
        role: 3,
        unknown: [{ code: 73, value: Uint8Array.of(1, 97, 0) }],
      },
    }),
    encodeKeepalive(),
    encodeNotification({ code: 6, subcode: 2, data: Uint8Array.of(2, 104, 105) }),
    encodeNotification({ code: 6, subcode: 9, data: Uint8Array.of(6, 2, 0) }),
    encodeNotification({ code: 3, subcode: 1, data: new Uint8Array(40) }),
    ...[0, 1, 2].map((subtype) => encodeRouteRefresh({ afi: 2, safi: 1, subtype })),
    encodeRouteRefresh({ afi: 1, safi: 1, subtype: 0 }),
  ];
}
