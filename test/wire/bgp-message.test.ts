import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Writer } from "#base/bytes.ts";
import { afi, messageType, safi } from "#wire/bgp/constants.ts";
import {
  beginMessage,
  decodeNotification,
  decodeRouteRefresh,
  encodeKeepalive,
  encodeNotification,
  encodeRouteRefresh,
  endMessage,
  frame,
  headerFault,
} from "#wire/bgp/message.ts";
import { hex, message, octets } from "./hex.ts";

const whole = (bytes: Uint8Array, maxLength = 4096): number => frame(bytes, 0, bytes.length, maxLength);
const blame = (bytes: Uint8Array, maxLength = 4096) => headerFault(bytes, 0, whole(bytes, maxLength));
/** A header alone: what it says about itself is judged before the body has come. */
const header = (length: number, type: number): Uint8Array =>
  octets(`${"ff".repeat(16)} ${length.toString(16).padStart(4, "0")} ${type.toString(16).padStart(2, "0")}`);

describe("framing", () => {
  test("a message is whole at its last octet and not one before", () => {
    const bytes = message(messageType.update, "00000000");
    for (let size = 0; size < bytes.length; size++) expect(frame(bytes, 0, size, 4096)).toBe(0);
    expect(whole(bytes)).toBe(23);
  });

  test("messages follow one another wherever they start", () => {
    const bytes = octets(`aabb ${hex(encodeKeepalive())} ${hex(message(2, "00000000"))}`);
    expect(frame(bytes, 2, bytes.length, 4096)).toBe(19);
    expect(frame(bytes, 21, bytes.length, 4096)).toBe(23);
    expect(frame(bytes, 44, bytes.length, 4096)).toBe(0);
  });

  test("a wrong marker is 1/1, as soon as the first wrong octet has come", () => {
    expect(blame(new TextEncoder().encode("GET / HTTP/1.1\r\n"))).toMatchObject({ code: 1, subcode: 1, data: octets("") });
    expect(whole(octets("ff fe"))).toBeLessThan(0);
    expect(whole(octets("ff ff"))).toBe(0);
  });

  test.each([0, 6, 7, 255])("type %i is 1/3 with the type, before the body has come", (type) => {
    expect(blame(header(4000, type))).toMatchObject({ code: 1, subcode: 3, data: Uint8Array.of(type) });
  });

  test.each([
    ["OPEN", 1, 28, 29, 4096, 4097],
    ["UPDATE", 2, 22, 23, 4096, 4097],
    ["NOTIFICATION", 3, 20, 21, 4096, 4097],
    ["KEEPALIVE", 4, 18, 19, 19, 20],
    ["ROUTE-REFRESH", 5, 22, 23, 4096, 4097],
  ])("%s: lengths outside its own limits are 1/2 with the length", (_, type, below, least, most, above) => {
    for (const length of [below, above]) {
      expect(blame(header(length, type))).toMatchObject({ code: 1, subcode: 2, data: Uint8Array.of(length >> 8, length & 255) });
    }
    for (const length of [least, most]) expect(whole(header(length, type))).toBe(length === 19 ? 19 : 0);
  });

  test("extended messages lift the limit of all but OPEN and KEEPALIVE (RFC 8654)", () => {
    for (const type of [2, 3, 5]) expect(whole(header(65_535, type), 65_535)).toBe(0);
    expect(blame(header(4097, 1), 65_535)).toMatchObject({ code: 1, subcode: 2 });
    expect(blame(header(20, 4), 65_535)).toMatchObject({ code: 1, subcode: 2 });
  });

  test("any octets give a length, a request for more, or a fault that can be named", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (tail, marked) => {
        const bytes = marked ? octets(`${"ff".repeat(16)}${hex(tail)}`) : tail;
        const answer = whole(bytes);
        expect(answer).toBeLessThanOrEqual(bytes.length);
        expect(answer >= 0 || headerFault(bytes, 0, answer).code === 1).toBe(true);
      }),
    );
  });
});

describe("KEEPALIVE, NOTIFICATION, ROUTE-REFRESH", () => {
  test("a KEEPALIVE is a header", () => {
    expect(hex(encodeKeepalive())).toBe(`${"ff".repeat(16)}001304`);
  });

  test("a message begun in the middle of a buffer carries its own length", () => {
    const into = new Writer(4).u32(1);
    const at = beginMessage(into, messageType.update);
    into.u32(0);
    endMessage(into, at);
    expect(hex(into.written.subarray(4))).toBe(hex(message(2, "00000000")));
  });

  const notifications = [
    ["0602", { code: 6, subcode: 2, data: octets("") }],
    ["0602 03 627965", { code: 6, subcode: 2, data: octets("03627965") }],
    ["0102 0005", { code: 1, subcode: 2, data: octets("0005") }],
    ["ff ff 00", { code: 255, subcode: 255, data: octets("00") }],
  ] as const;
  test.each(notifications)("NOTIFICATION %s both ways", (body, value) => {
    const bytes = message(messageType.notification, body);
    expect(decodeNotification(bytes, 19, bytes.length)).toEqual(value);
    expect(hex(encodeNotification(value))).toBe(hex(bytes));
  });

  test("a NOTIFICATION never outgrows 4096 octets, and a short one still has a meaning", () => {
    const long = encodeNotification({ code: 3, subcode: 5, data: new Uint8Array(65_000) });
    expect(long.length).toBe(4096);
    expect(whole(long)).toBe(4096);
    expect(decodeNotification(octets("06"), 0, 1)).toEqual({ code: 6, subcode: 0, data: octets("") });
    expect(decodeNotification(octets(""), 0, 0)).toEqual({ code: 0, subcode: 0, data: octets("") });
  });

  test("what was decoded does not share memory with the message", () => {
    const bytes = Buffer.from(message(messageType.notification, "0602 0161"));
    const { data } = decodeNotification(bytes, 19, bytes.length);
    bytes.fill(0);
    expect(hex(data)).toBe("0161");
  });

  const refreshes = [
    ["0001 00 01", { afi: afi.ipv4, safi: safi.unicast, subtype: 0 }],
    ["0002 01 01", { afi: afi.ipv6, safi: safi.unicast, subtype: 1 }],
    ["0002 02 01", { afi: afi.ipv6, safi: safi.unicast, subtype: 2 }],
    ["0019 ff 46", { afi: 25, safi: 70, subtype: 255 }],
  ] as const;
  test.each(refreshes)("ROUTE-REFRESH %s both ways", (body, value) => {
    const bytes = message(messageType.routeRefresh, body);
    expect(decodeRouteRefresh(bytes, 19, bytes.length)).toEqual({ ok: true, value });
    expect(hex(encodeRouteRefresh(value))).toBe(hex(bytes));
  });

  test("a request may carry an ORF behind it, begin and end may not (RFC 7313 §5)", () => {
    const orf = message(messageType.routeRefresh, "0001 00 01 01 80 0000");
    expect(decodeRouteRefresh(orf, 19, orf.length)).toEqual({ ok: true, value: { afi: 1, safi: 1, subtype: 0 } });
    for (const body of ["0001 01 01 00", "0001 02 01 00 00", "0001 01"]) {
      const bytes = message(messageType.routeRefresh, body);
      expect(decodeRouteRefresh(bytes, 19, bytes.length)).toMatchObject({ ok: false, fault: { code: 7, subcode: 1, data: bytes } });
    }
  });
});
