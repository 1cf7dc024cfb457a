/** The BFD control packet (RFC 5880 §4.1, §6.8.6): both ways, each rule with the octet that breaks it, and other people's captures. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bfdStates, type BfdFaultKind, type ControlPacket, decodeControlPacket, describeDiagnostic, encodeControlPacket } from "#wire/bfd.ts";
import { u32 } from "./arbitraries.ts";
import { hex, octets } from "./hex.ts";
import { vectorFolder } from "./vector-folder.ts";

const sample: ControlPacket = {
  diagnostic: 3,
  state: "Up",
  poll: true,
  final: false,
  controlPlaneIndependent: false,
  demand: false,
  multiplier: 3,
  myDiscriminator: 0x7429_abf9,
  yourDiscriminator: 0xd43a_40c1,
  desiredMinTxMicros: 300_000,
  requiredMinRxMicros: 1_000_000,
  requiredMinEchoRxMicros: 0,
  authenticationType: undefined,
};
const golden = "23 e0 03 18 7429abf9 d43a40c1 000493e0 000f4240 00000000";

test("as it stands in §4.1, field for field", () => {
  expect(hex(encodeControlPacket(sample))).toBe(golden.replaceAll(" ", ""));
  expect(decodeControlPacket(octets(golden))).toEqual({ ok: true, value: sample });
});

describe("flags and states, one bit each", () => {
  test.each([
    ["state", "AdminDown", "23 00"],
    ["state", "Down", "23 40"],
    ["state", "Init", "23 80"],
    ["state", "Up", "23 c0"],
    ["poll", true, "23 e0"],
    ["final", true, "23 d0"],
    ["controlPlaneIndependent", true, "23 c8"],
    ["demand", true, "23 c2"],
  ] as const)("%s %s", (name, value, begins) => {
    const packet = { ...sample, poll: false, [name]: value };
    const bytes = encodeControlPacket(packet);
    expect(hex(bytes.subarray(0, 2))).toBe(begins.replace(" ", ""));
    expect(decodeControlPacket(bytes)).toEqual({ ok: true, value: packet });
  });
});

test("what is encoded is decoded", () => {
  const packets = fc
    .record({
      diagnostic: fc.integer({ min: 0, max: 31 }),
      state: fc.constantFrom(...bfdStates),
      poll: fc.boolean(),
      final: fc.boolean(),
      controlPlaneIndependent: fc.boolean(),
      demand: fc.boolean(),
      multiplier: fc.integer({ min: 1, max: 255 }),
      myDiscriminator: fc.integer({ min: 1, max: 0xffff_ffff }),
      yourDiscriminator: u32,
      desiredMinTxMicros: u32,
      requiredMinRxMicros: u32,
      requiredMinEchoRxMicros: u32,
    })
    .filter(({ state, yourDiscriminator }) => yourDiscriminator !== 0 || state === "Down" || state === "AdminDown");
  fc.assert(
    fc.property(packets, (packet) => {
      expect(decodeControlPacket(encodeControlPacket(packet))).toEqual({ ok: true, value: { ...packet, authenticationType: undefined } });
    }),
  );
});

/** The sample with octets `bytes` put in at `at`. */
const broken = (at: number, bytes: string, of = golden): Uint8Array => {
  const out = octets(of);
  out.set(octets(bytes), at);
  return out;
};

describe("§6.8.6: what is discarded", () => {
  const rows: readonly (readonly [why: string, bytes: Uint8Array, kind: BfdFaultKind])[] = [
    ["version 0", broken(0, "03"), "version"],
    ["version 2", broken(0, "43"), "version"],
    ["a length below 24", broken(3, "17"), "length"],
    ["a length beyond the payload", broken(3, "19"), "length"],
    ["authentication without room for its header", broken(1, "e4"), "length"],
    ["authentication with room for one octet of it", broken(3, "19", `23 e4${golden.slice(5)} 05`), "length"],
    ["Detect Mult 0", broken(2, "00"), "multiplier"],
    ["the Multipoint bit", broken(1, "e1"), "multipoint"],
    ["My Discriminator 0", broken(4, "00000000"), "discriminator"],
    ["Your Discriminator 0 in state Up", broken(8, "00000000"), "state"],
    ["Your Discriminator 0 in state Init", broken(8, "00000000", `23 80${golden.slice(5)}`), "state"],
  ];
  test.each(rows)("%s", (_why, bytes, kind) => {
    expect(decodeControlPacket(bytes)).toMatchObject({ ok: false, fault: { kind } });
  });

  test("Your Discriminator 0 in the states Down and AdminDown is not", () => {
    for (const [flags, state] of [
      ["40", "Down"],
      ["00", "AdminDown"],
    ] as const)
      expect(decodeControlPacket(broken(8, "00000000", `23 ${flags}${golden.slice(5)}`))).toMatchObject({ ok: true, value: { state, yourDiscriminator: 0 } });
  });

  test("octets behind the packet's own length are nobody's business", () => {
    expect(decodeControlPacket(octets(`${golden} ffffffff`))).toEqual({ ok: true, value: sample });
  });

  test("an Authentication Section is seen, whatever its type", () => {
    const bytes = octets(`23 e4 03 34 ${golden.slice(12)} 05 1c 02 00 00000005 010203040506070809101112131415161718191a`);
    expect(decodeControlPacket(bytes)).toMatchObject({ ok: true, value: { authenticationType: 5, state: "Up", multiplier: 3 } });
  });
});

test("cut anywhere it is truncated; any octets are answered", () => {
  const whole = octets(golden);
  for (let size = 0; size < whole.length; size++)
    expect(decodeControlPacket(whole.subarray(0, size))).toMatchObject({ ok: false, fault: { kind: "truncated" } });
});

test("any octets in any place: a fault with words, or the very packet", () => {
  const wound = fc.record({ at: fc.integer({ min: 0, max: 23 }), octet: fc.integer({ min: 0, max: 255 }) });
  fc.assert(
    fc.property(fc.array(wound, { maxLength: 4 }), (wounds) => {
      const bytes = octets(golden);
      for (const { at, octet } of wounds) bytes[at] = octet;
      const read = decodeControlPacket(bytes);
      if (read.ok) expect(hex(encodeControlPacket(read.value))).toBe(hex(bytes));
      else expect(read.fault.text).not.toBe("");
    }),
  );
});

test("every diagnostic has words", () => {
  expect(describeDiagnostic(1)).toBe("control detection time expired");
  expect(describeDiagnostic(8)).toBe("reverse concatenated path down");
  expect(describeDiagnostic(31)).toBe("diagnostic 31");
});

const folder = vectorFolder("pcap");

interface Captured {
  readonly ttl: number;
  readonly port: number;
  readonly payload: Uint8Array;
}

/** UDP over IPv4 over Ethernet out of a little-endian capture file. */
function* datagrams(file: string): Iterable<Captured> {
  const bytes = readFileSync(join(folder!, file)),
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 24; at < bytes.length;) {
    const size = view.getUint32(at + 8, true),
      ip = at + 16 + 14,
      udp = ip + (bytes[ip]! & 15) * 4;
    yield { ttl: bytes[ip + 8]!, port: view.getUint16(udp + 2), payload: new Uint8Array(bytes.subarray(udp + 8, udp + view.getUint16(udp + 4))) };
    at += 16 + size;
  }
}

/** A packet as tcpdump -v prints it. */
function printed({ ttl, port, payload }: Captured): string {
  const read = decodeControlPacket(payload);
  if (!read.ok) return read.fault.text;
  const one = read.value,
    number = (value: number): string => `0x${value.toString(16).padStart(8, "0")}`;
  const flags = [
    one.poll && "Poll",
    one.final && "Final",
    one.controlPlaneIndependent && "Control Plane Independent",
    one.authenticationType !== undefined && "Authentication Present",
  ];
  const names = flags.filter(Boolean).join(", ") || "none";
  const intervals = [one.desiredMinTxMicros, one.requiredMinRxMicros, one.requiredMinEchoRxMicros].map((micros) => micros / 1000);
  const what = `ttl ${ttl} port ${port} ${one.state} [${names}] ${one.diagnostic} x${one.multiplier}`;
  return `${what} ${number(one.myDiscriminator)} ${number(one.yourDiscriminator)} ${intervals.join(" ")} auth ${one.authenticationType ?? "none"}`;
}

/** The same out of tcpdump's own words. */
function readings(file: string): readonly string[] {
  const reading =
    /ttl (\d+),[^]*?\.(\d+): BFDv1, length[^]*?State (\w+), Flags: \[(.*?)\], Diagnostic: .*?\(0x(\w+)\)\n.*?Multiplier: (\d+)[^]*?My Discriminator: (\w+), Your Discriminator: (\w+)\n.*?Tx Interval: +(\d+) ms\n.*?Rx Interval: +(\d+) ms\n.*?Echo Interval: +(\d+) ms(?:\n\s+Authentication: .*?\((\d+)\))?/g;
  return [...readFileSync(join(folder!, file), "utf8").matchAll(reading)].map(
    ([, ttl, port, state, flags, diagnostic, multiplier, mine, yours, tx, rx, echo, auth]) =>
      `ttl ${ttl} port ${port} ${state} [${flags}] ${parseInt(diagnostic!, 16)} x${multiplier} ${mine} ${yours} ${tx} ${rx} ${echo} auth ${auth ?? "none"}`,
  );
}

describe.skipIf(folder === undefined)("captures of tcpdump's own tests", () => {
  test.each([
    ["bfd-multihop", 40],
    ["bfd-raw-auth-sha1", 25],
  ])("%s reads as tcpdump reads it", (name, count) => {
    const ours = [...datagrams(`${name}.pcap`)].map(printed);
    expect(ours).toEqual(readings(`${name}-v.out`));
    expect(ours).toHaveLength(count);
  });
});
