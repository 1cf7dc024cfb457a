/** Values as fast-check makes them up: everything the encoders accept, odd corners included. */
import fc from "fast-check";
import { maskBytes, printPrefix } from "#base/prefix.ts";
import type { AsPath, SegmentType } from "#wire/bgp/as-path.ts";
import type { Capabilities } from "#wire/bgp/capability.ts";
import type { Nlri } from "#wire/bgp/nlri.ts";
import type { Open } from "#wire/bgp/open.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";

export const u8 = fc.integer({ min: 0, max: 0xff });
export const u16 = fc.integer({ min: 0, max: 0xffff });
export const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
export const octetsOf = (size: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: size, maxLength: size });
/** Both widths come up often. */
export const asn = fc.oneof(fc.integer({ min: 1, max: 0xffff }), fc.integer({ min: 1, max: 0xffff_ffff }));

export const segment = fc.record({
  type: fc.constantFrom<SegmentType>(1, 2, 3, 4),
  asns: fc.array(asn, { minLength: 1, maxLength: 255 }).map((list) => Uint32Array.from(list)),
});
export const asPath: fc.Arbitrary<AsPath> = fc.array(segment, { maxLength: 4 });

const wordList = fc.uniqueArray(u32, { minLength: 1, maxLength: 80 }).map((list) => Uint32Array.from(list));
const largeList = fc.uniqueArray(fc.tuple(u32, u32, u32), { minLength: 1, maxLength: 30, selector: String }).map((list) => Uint32Array.from(list.flat()));
const aggregator = fc.record({ asn, address: octetsOf(4) });

/** Types no row knows; Partial is set, as it is on everything that was passed on. */
const unknown = fc
  .uniqueArray(fc.record({ flags: fc.constant(0xe0), type: fc.constantFrom(19, 25, 40, 99, 128, 255), value: fc.uint8Array({ maxLength: 300 }) }), {
    minLength: 1,
    selector: ({ type }) => type,
  })
  .map((list) => list.sort((a, b) => a.type - b.type));

const anyAttributes = fc.record(
  {
    origin: fc.constantFrom(0, 1, 2),
    asPath,
    nextHop: octetsOf(4),
    med: u32,
    localPref: u32,
    atomicAggregate: fc.constant(true),
    aggregator,
    communities: wordList,
    originatorId: u32,
    clusterList: fc.array(u32, { minLength: 1, maxLength: 80 }).map((list) => Uint32Array.from(list)),
    extendedCommunities: fc.array(octetsOf(8), { minLength: 1, maxLength: 40 }).map((list) => Uint8Array.from(list.flatMap((one) => [...one]))),
    largeCommunities: largeList,
    otc: u32,
    unknown,
  },
  { requiredKeys: [] },
);

export const pathAttributes: fc.Arbitrary<PathAttributes> = fc
  .tuple(anyAttributes, fc.boolean())
  .map(([attributes, partial]) => (partial && attributes.communities ? { ...attributes, partial: [8] } : attributes));

export const nlri = (family: 4 | 6, addPath: boolean): fc.Arbitrary<Nlri> => {
  const size = family === 4 ? 4 : 16;
  return fc.record({ bytes: octetsOf(size), length: fc.integer({ min: 0, max: size * 8 }), pathId: u32 }).map(({ bytes, length, pathId }) => {
    const prefix = printPrefix(maskBytes(bytes, length), length);
    return addPath ? { prefix, pathId } : { prefix };
  });
};

const family = fc.record({ afi: u16, safi: u8 });
const families = fc.uniqueArray(family, { maxLength: 6, selector: ({ afi, safi }) => afi * 256 + safi });
const perFamily = <T extends object>(more: fc.Arbitrary<T>) =>
  families.chain((list) => fc.tuple(...list.map((one) => more.map((rest) => ({ ...one, ...rest })))));

const capabilities: fc.Arbitrary<Capabilities> = fc
  .record({
    always: fc.record({
      families,
      routeRefresh: fc.boolean(),
      enhancedRouteRefresh: fc.boolean(),
      extendedMessage: fc.boolean(),
      addPath: perFamily(fc.constantFrom({ receive: true, send: false }, { receive: false, send: true }, { receive: true, send: true })),
      extendedNextHop: perFamily(fc.record({ nextHopAfi: u16 })),
      longLived: perFamily(fc.record({ forwarding: fc.boolean(), staleSeconds: fc.integer({ min: 0, max: 0xff_ffff }) })),
      unknown: fc.array(fc.record({ code: fc.constantFrom(0, 3, 66, 73, 75, 77, 128, 255), value: fc.uint8Array({ maxLength: 200 }) }), { maxLength: 4 }),
    }),
    sometimes: fc.record(
      {
        gracefulRestart: fc.record({
          restarting: fc.boolean(),
          notification: fc.boolean(),
          restartSeconds: fc.integer({ min: 0, max: 4095 }),
          families: perFamily(fc.record({ forwarding: fc.boolean() })),
        }),
        role: fc.integer({ min: 0, max: 4 }),
      },
      { requiredKeys: [] },
    ),
  })
  .map(({ always, sometimes }) => ({ ...always, ...sometimes }));

export const open: fc.Arbitrary<Open> = fc
  .record({
    asn,
    four: fc.boolean(),
    holdSeconds: fc.oneof(fc.constant(0), fc.integer({ min: 3, max: 0xffff })),
    bgpIdentifier: fc.integer({ min: 1, max: 0xffff_ffff }),
    capabilities,
  })
  .map(({ asn: number, four, ...rest }) =>
    four || number > 0xffff ? { ...rest, asn: number, capabilities: { ...rest.capabilities, fourOctetAs: number } } : { ...rest, asn: number },
  );
