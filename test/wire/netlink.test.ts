import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Truncated } from "#base/bytes.ts";
import { eachAttribute, messageFlag, messageType, NetlinkWriter, readAcknowledgement, readDatagram, readString, u32 } from "#wire/netlink.ts";
import { bytesOf } from "./netlink-hex.ts";

/** From a Linux 6.18 kernel: a route refused with extended acknowledgement, request capped (NLM_F_CAPPED | NLM_F_ACK_TLVS). */
const refused = bytesOf(`
  44 00 00 00 02 00 00 03 09 00 00 00 73 08 00 00 9b ff ff ff 3c 00 00 00 18 00 01 06 09 00 00 00 00 00 00 00
  20 00 01 00 4e 65 78 74 68 6f 70 20 68 61 73 20 69 6e 76 61 6c 69 64 20 67 61 74 65 77 61 79 00
`);

describe("a datagram", () => {
  test("is read message by message, with padding between them", () => {
    const writer = new NetlinkWriter();
    writer.begin(24, messageFlag.create, 7).attribute8(1, 0xaa).end();
    writer.begin(25, 0, 8).attributeText(3, "eth0").end();
    const read = readDatagram(writer.written);
    expect(read.ok && read.value).toEqual([
      { type: 24, flags: messageFlag.create | messageFlag.request, sequence: 7, portId: 0, start: 16, end: 24 },
      { type: 25, flags: messageFlag.request, sequence: 8, portId: 0, start: 40, end: 52 },
    ]);
  });

  test("with a length that leads outside of it is a fault, at every cut", () => {
    const writer = new NetlinkWriter();
    writer.begin(24, 0, 7).attribute32(1, 5).end();
    for (let cut = 1; cut < writer.length; cut++) expect(readDatagram(writer.written.subarray(0, cut)).ok, `cut at ${cut}`).toBe(false);
    for (const length of [0, 15, 25, 0xffff_ffff]) {
      const bytes = writer.written.slice();
      new DataView(bytes.buffer).setUint32(0, length, true);
      expect(readDatagram(bytes).ok, `length ${length}`).toBe(false);
    }
  });

  test("of any octets at all is messages or a fault, never an exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const read = readDatagram(bytes);
        if (read.ok) for (const message of read.value) expect(message.end).toBeLessThanOrEqual(bytes.length);
        else expect(read.fault.code).toBe("kernel.malformed");
      }),
    );
  });
});

describe("an acknowledgement", () => {
  test("carries the kernel's sentence", () => {
    const read = readDatagram(refused);
    const message = read.ok ? read.value[0]! : undefined!;
    expect(message.type).toBe(messageType.error);
    expect(readAcknowledgement(refused, message)).toEqual({ ok: true, value: { errno: 101, text: "Nexthop has invalid gateway" } });
  });

  test("without capping is read past the repeated request", () => {
    const writer = new NetlinkWriter();
    const text = [0x6e, 0x6f, 0];
    writer.begin(messageType.error, messageFlag.attributes & ~1, 3).u32(-22);
    writer.u32(24).u16(24).u16(0).u32(3).u32(0).u32(1).u32(2).attribute(1, Uint8Array.from(text)).end();
    const read = readDatagram(writer.written);
    expect(read.ok && readAcknowledgement(writer.written, read.value[0]!)).toEqual({ ok: true, value: { errno: 22, text: "no" } });
  });

  test("cut anywhere is a fault or the errno alone", () => {
    for (let cut = 16; cut < refused.length; cut++) {
      const read = readAcknowledgement(refused, { type: 2, flags: 0x300, sequence: 9, portId: 0, start: 16, end: cut });
      if (read.ok) expect([cut, read.value]).toEqual([36, { errno: 101, text: "" }]);
      else expect(read.fault.code).toBe("kernel.malformed");
    }
  });
});

describe("attributes", () => {
  test("round trip, nested, padded, with the nested bit taken off", () => {
    const writer = new NetlinkWriter();
    writer.begin(16, 0, 1);
    const outer = writer.nest(18);
    writer.attribute8(1, 9).attribute32(2, 0xdead_beef).attributePort(3, 4789).attributeText(4, "vxlan");
    writer.close(outer);
    writer.end();
    const bytes = writer.written.slice();
    bytes[19]! |= 0x80;
    const seen: unknown[] = [];
    eachAttribute(bytes, 16, bytes.length, (type, start, size) => {
      seen.push(type);
      eachAttribute(bytes, start, start + size, (inner, at, length) =>
        seen.push([inner, inner === 4 ? readString(bytes, at, length) : inner === 2 ? u32(bytes, at) : [...bytes.subarray(at, at + length)]]),
      );
    });
    expect(seen).toEqual([18, [1, [9]], [2, 0xdead_beef], [3, [0x12, 0xb5]], [4, "vxlan"]]);
  });

  test("that run over the end throw Truncated, not something else", () => {
    for (const text of ["03 00 01 00", "09 00 01 00 00 00 00 00", "04 00 01", "00 00 00 00"]) {
      const bytes = bytesOf(text);
      expect(() => eachAttribute(bytes, 0, bytes.length, () => undefined), text).toThrow(Truncated);
    }
  });

  test("the writer grows, and starts again after reset", () => {
    const writer = new NetlinkWriter();
    for (let i = 0; i < 1000; i++) writer.begin(24, 0, i).attribute(1, new Uint8Array(100).fill(i)).end();
    const read = readDatagram(writer.written);
    expect(read.ok && read.value.map((message) => message.sequence)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    writer.reset();
    expect(writer.length).toBe(0);
  });
});
