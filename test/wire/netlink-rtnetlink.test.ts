import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Ip, type Mac, printIp, printMac } from "#base/ip.ts";
import { maskBytes, type Prefix, printPrefix } from "#base/prefix.ts";
import type { Outcome } from "#base/fault.ts";
import { eachAttribute, type NetlinkMessage, NetlinkWriter, readDatagram } from "#wire/netlink.ts";
import { decodeAddress, encodeNewAddress } from "#wire/rtnetlink-address.ts";
import { decodeLink, encodeNewVxlan, encodeSetLink } from "#wire/rtnetlink-link.ts";
import { decodeNeighbour, encodeNewFdb, encodeNewNeighbour } from "#wire/rtnetlink-neighbour.ts";
import { decodeRoute, encodeDeleteRoute, encodeNewRoute, type RouteHop } from "#wire/rtnetlink-route.ts";
import { bytesOf, hexOf } from "./netlink-hex.ts";

const sequence = 0x6b02_2a4a;
const address = (text: string): Ip => text as Ip;
const mac = (text: string): Mac => text as Mac;
const pod = "10.43.2.0/24" as Prefix;
const hop = (index: number, gateway: string, onlink = false): RouteHop => ({ index, gateway: address(gateway), onlink });
const route = (prefix: string, ...hops: RouteHop[]) => ({ prefix: prefix as Prefix, protocol: 117, metric: 117, hops });

/** What iproute2 6.1 sent for the command, NLM_F_ACK taken out of its flags. Ours must be the same octets. */
const golden: readonly { readonly command: string; readonly hex: string; readonly encode: (into: NetlinkWriter) => void }[] = [
  {
    command: "ip link add pw-vx43 mtu 1450 address 02:00:00:00:43:01 type vxlan id 43 local 10.0.0.1 dstport 4789 nolearning",
    hex: `74 00 00 00 10 00 01 06 4a 2a 02 6b 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
          08 00 04 00 aa 05 00 00 0a 00 01 00 02 00 00 00 43 01 00 00 0c 00 03 00 70 77 2d 76 78 34 33 00
          34 00 12 00 09 00 01 00 76 78 6c 61 6e 00 00 00 24 00 02 00 08 00 01 00 2b 00 00 00 08 00 04 00
          0a 00 00 01 05 00 07 00 00 00 00 00 06 00 0f 00 12 b5 00 00`,
    encode: (into) =>
      encodeNewVxlan(into, sequence, { name: "pw-vx43", mtu: 1450, mac: mac("02:00:00:00:43:01"), vni: 43, local: address("10.0.0.1"), port: 4789 }),
  },
  {
    command: "ip neigh replace 10.43.2.0 lladdr 02:00:00:00:43:02 dev pw-vx43 nud permanent",
    hex: `30 00 00 00 1c 00 01 05 4a 2a 02 6b 00 00 00 00 02 00 00 00 04 00 00 00 80 00 00 00 08 00 01 00
          0a 2b 02 00 0a 00 02 00 02 00 00 00 43 02 00 00`,
    encode: (into) => encodeNewNeighbour(into, sequence, 4, address("10.43.2.0"), mac("02:00:00:00:43:02")),
  },
  {
    command: "bridge fdb replace 02:00:00:00:43:02 dev pw-vx43 dst 10.0.0.2 self permanent",
    hex: `30 00 00 00 1c 00 01 05 4a 2a 02 6b 00 00 00 00 07 00 00 00 04 00 00 00 c0 00 02 00 0a 00 02 00
          02 00 00 00 43 02 00 00 08 00 01 00 0a 00 00 02`,
    encode: (into) => encodeNewFdb(into, sequence, 4, mac("02:00:00:00:43:02"), address("10.0.0.2")),
  },
  {
    command: "ip route add 10.43.2.0/24 via 10.43.2.0 dev pw-vx43 onlink metric 117 proto 117 scope 170",
    hex: `3c 00 00 00 18 00 01 06 4a 2a 02 6b 00 00 00 00 02 18 00 00 fe 75 aa 01 04 00 00 00 08 00 01 00
          0a 2b 02 00 08 00 05 00 0a 2b 02 00 08 00 06 00 75 00 00 00 08 00 04 00 04 00 00 00`,
    encode: (into) => encodeNewRoute(into, sequence, route(pod, hop(4, "10.43.2.0", true)), false),
  },
  {
    command: "ip route add blackhole fd43:1::/64 metric 117 proto 117",
    hex: `38 00 00 00 18 00 01 06 4a 2a 02 6b 00 00 00 00 0a 40 00 00 fe 75 00 06 00 00 00 00 14 00 01 00
          fd 43 00 01 00 00 00 00 00 00 00 00 00 00 00 00 08 00 06 00 75 00 00 00`,
    encode: (into) => encodeNewRoute(into, sequence, route("fd43:1::/64"), false),
  },
  {
    command: "ip route add 10.60.0.0/16 proto 117 metric 117 nexthop via 10.0.0.7 dev eth0 nexthop via 10.0.0.8 dev eth0",
    hex: `50 00 00 00 18 00 01 06 4a 2a 02 6b 00 00 00 00 02 10 00 00 fe 75 00 01 00 00 00 00 08 00 01 00
          0a 3c 00 00 08 00 06 00 75 00 00 00 24 00 09 00 10 00 00 00 03 00 00 00 08 00 05 00 0a 00 00 07
          10 00 00 00 03 00 00 00 08 00 05 00 0a 00 00 08`,
    encode: (into) => encodeNewRoute(into, sequence, route("10.60.0.0/16", hop(3, "10.0.0.7"), hop(3, "10.0.0.8")), false),
  },
  {
    command: "ip route del 10.60.0.0/16 metric 117 proto 117",
    hex: "2c 00 00 00 19 00 01 00 4a 2a 02 6b 00 00 00 00 02 10 00 00 fe 75 ff 00 00 00 00 00 08 00 01 00 0a 3c 00 00 08 00 06 00 75 00 00 00",
    encode: (into) => encodeDeleteRoute(into, sequence, route("10.60.0.0/16")),
  },
];

describe("octets equal iproute2's", () => {
  for (const { command, hex, encode } of golden) {
    test(command, () => {
      const writer = new NetlinkWriter();
      encode(writer);
      expect(hexOf(writer.written)).toBe(hexOf(bytesOf(hex)));
    });
  }
});

/** A VXLAN device over IPv6 as RTM_NEWLINK shows it, without the attributes nobody reads here. */
const kernelLink = `94 00 00 00 10 00 02 00 01 00 00 00 00 00 00 00 00 00 01 00 07 00 00 00 43 10 01 00 00 00 00 00
  0c 00 03 00 70 77 2d 76 78 34 34 00 08 00 04 00 96 05 00 00 0b 00 14 00 70 6f 64 77 61 79 00 00
  0a 00 01 00 02 00 00 00 44 01 00 00 48 00 12 00 0a 00 01 00 76 78 6c 61 6e 00 00 00 38 00 02 00
  08 00 01 00 2c 00 00 00 14 00 11 00 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 05 00 07 00
  00 00 00 00 06 00 0f 00 12 b5 00 00 05 00 12 00 01 00 00 00`;

test("a kernel's VXLAN device is read whole", () => {
  const bytes = bytesOf(kernelLink);
  expect(decodeLink(bytes, only(bytes))).toEqual({
    ok: true,
    value: {
      index: 7,
      name: "pw-vx44",
      mac: "02:00:00:00:44:01",
      mtu: 1430,
      up: true,
      loopback: false,
      kind: "vxlan",
      alias: "podway",
      vxlan: { vni: 44, local: "fd00::1", port: 4789, learning: false },
    },
  });
});

describe("what is encoded is decoded", () => {
  const ip4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(printIp),
    ip6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(printIp);
  const anyIp = fc.oneof(ip4, ip6),
    anyMac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(printMac),
    index = fc.integer({ min: 1, max: 0x7fff_ffff });
  const prefix = fc.oneof(
    fc.tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.nat(32)),
    fc.tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(128)),
  );

  test("links", () => {
    fc.assert(
      fc.property(anyIp, anyMac, fc.nat(0xff_ffff), fc.nat(65_535), fc.integer({ min: 68, max: 65_535 }), (local, linkMac, vni, port, mtu) => {
        const got = roundTrip((into) => encodeNewVxlan(into, 1, { name: `pw-vx${vni}`, mac: linkMac, mtu, vni, local, port }), decodeLink);
        expect(got).toMatchObject({ name: `pw-vx${vni}`, mac: linkMac, mtu, kind: "vxlan", vxlan: { vni, local, port, learning: false } });
      }),
    );
    expect(roundTrip((into) => encodeSetLink(into, 1, 9, { alias: "podway", up: true }), decodeLink)).toMatchObject({ index: 9, alias: "podway", up: true });
  });
  test("addresses", () => {
    fc.assert(
      fc.property(index, anyIp, fc.nat(32), (device, ip, length) => {
        expect(roundTrip((into) => encodeNewAddress(into, 1, device, ip, length), decodeAddress)).toEqual({
          index: device,
          address: ip,
          length,
          linkLocal: false,
        });
      }),
    );
  });
  test("neighbours and forwarding entries", () => {
    fc.assert(
      fc.property(index, anyIp, anyMac, (device, ip, linkMac) => {
        const rest = { index: device, destination: ip, mac: linkMac, permanent: true };
        expect(roundTrip((into) => encodeNewNeighbour(into, 1, device, ip, linkMac), decodeNeighbour)).toEqual({ family: ip.includes(":") ? 10 : 2, ...rest });
        expect(roundTrip((into) => encodeNewFdb(into, 1, device, linkMac, ip), decodeNeighbour)).toEqual({ family: 7, ...rest });
      }),
    );
  });
  test("routes: blackhole, one hop, several", () => {
    fc.assert(
      fc.property(
        prefix,
        fc.array(fc.record({ index, gateway: fc.option(anyIp, { nil: undefined }), onlink: fc.boolean() }), { maxLength: 8 }),
        fc.nat(0xffff_ffff),
        ([octets, length], hops, metric) => {
          const canonical = printPrefix(maskBytes(octets, length), length);
          const got = roundTrip((into) => encodeNewRoute(into, 1, { prefix: canonical, protocol: 117, metric, hops }, true), decodeRoute);
          expect(got).toEqual({ prefix: canonical, table: 254, protocol: 117, type: hops.length === 0 ? 6 : 1, metric, mtu: 0, hops, cloned: false });
        },
      ),
    );
  });
});

describe("a message cut short", () => {
  const decoders: Readonly<Record<number, (bytes: Uint8Array, message: NetlinkMessage) => Outcome<unknown>>> = {
    16: decodeLink,
    20: decodeAddress,
    24: decodeRoute,
    28: decodeNeighbour,
  };
  const samples = [...golden.filter(({ command }) => !command.includes("del ")).map(({ hex }) => hex), kernelLink];

  for (const hex of samples) {
    const whole = bytesOf(hex),
      message = only(whole),
      decode = decoders[message.type]!;
    test(`of type ${message.type} (${whole.length} octets) is a fault, but between two attributes`, () => {
      const between = attributeEnds(whole, message);
      for (let end = message.start; end < message.end; end++) {
        const got = decode(whole.subarray(0, end), { ...message, end });
        expect(got.ok, `cut at ${end}`).toBe(between.has(end));
        if (!got.ok) expect(got.fault.code).toBe("kernel.malformed");
      }
    });
    test(`of type ${message.type} (${whole.length} octets) with any octet changed is a value or a fault`, () => {
      fc.assert(
        fc.property(fc.integer({ min: message.start, max: message.end - 1 }), fc.nat(255), (at, octet) => {
          const bytes = whole.slice();
          bytes[at] = octet;
          const got = decode(bytes, message);
          if (!got.ok) expect(got.fault.code).toBe("kernel.malformed");
        }),
      );
    });
  }
});

/** Where a cut leaves a message of whole attributes: after the fixed header, after each attribute, within its padding. */
function attributeEnds(bytes: Uint8Array, { type, start, end }: NetlinkMessage): ReadonlySet<number> {
  const header = { 16: 16, 20: 8, 24: 12, 28: 12 }[type]!,
    ends = new Set([start + header]);
  eachAttribute(bytes, start + header, end, (_, at, size) => {
    for (let pad = at + size; pad <= at + ((size + 3) & ~3); pad++) ends.add(pad);
  });
  return ends;
}
function only(bytes: Uint8Array): NetlinkMessage {
  const read = readDatagram(bytes);
  if (!read.ok || read.value.length !== 1) throw new Error("not one message");
  return read.value[0]!;
}
function roundTrip<T>(encode: (into: NetlinkWriter) => void, decode: (bytes: Uint8Array, message: NetlinkMessage) => Outcome<T>): T {
  const writer = new NetlinkWriter();
  encode(writer);
  const got = decode(writer.written, only(writer.written));
  if (!got.ok) throw new Error(got.fault.text);
  return got.value;
}
