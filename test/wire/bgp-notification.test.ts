import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as constants from "#wire/bgp/constants.ts";
import { describeNotification, shutdownData } from "#wire/bgp/notification.ts";
import { u8 } from "./arbitraries.ts";
import { octets } from "./hex.ts";

describe("describeNotification", () => {
  test.each([
    [4, 0, "", "Hold Timer Expired"],
    [1, 2, "0005", "Message Header Error/Bad Message Length (data 0005)"],
    [2, 6, "", "OPEN Message Error/Unacceptable Hold Time"],
    [3, 11, "", "UPDATE Message Error/Malformed AS_PATH"],
    [6, 2, "05 68656c6c6f", 'Cease/Administrative Shutdown: "hello"'],
    [6, 4, "00", "Cease/Administrative Reset"],
    [6, 2, "ff 6869", "Cease/Administrative Shutdown (its text is cut off)"],
    [6, 1, "0001 01 000003e8", "Cease/Maximum Number of Prefixes Reached (AFI 1 SAFI 1, limit 1000)"],
    [6, 9, "06 02 02 6869", 'Cease/Hard Reset (Cease/Administrative Shutdown: "hi")'],
    [6, 9, "06", "Cease/Hard Reset (data 06)"],
    [6, 9, "06 09 06 09 06 09", "Cease/Hard Reset (Cease/Hard Reset)"],
    [6, 99, "", "Cease/subcode 99"],
    [200, 0, "", "code 200"],
    [200, 7, "00".repeat(20), "code 200/subcode 7 (data 00000000000000000000000000000000… 20 octets)"],
  ])("%i/%i %s", (code, subcode, data, text) => {
    expect(describeNotification(code, subcode, octets(data))).toBe(text);
  });

  test("every code point this program sends has a name", () => {
    const groups = [
      [1, constants.headerSubcode],
      [2, constants.openSubcode],
      [3, constants.updateSubcode],
      [5, constants.fsmSubcode],
      [6, constants.ceaseSubcode],
      [7, constants.refreshErrorSubcode],
    ] as const;
    for (const [code, subcodes] of groups) {
      for (const subcode of Object.values(subcodes)) expect(describeNotification(code, subcode, octets(""))).not.toMatch(/\bsub?code \d/);
    }
    for (const code of Object.values(constants.errorCode)) expect(describeNotification(code, 0, octets(""))).not.toMatch(/^code/);
  });

  test("a peer's text cannot forge a line of the log, and broken UTF-8 is no exception", () => {
    expect(describeNotification(6, 2, octets("07 61 0a 62 1b 80 c3 28"))).toBe('Cease/Administrative Shutdown: "a\ufffdb\ufffd\ufffd\ufffd("');
    expect(describeNotification(6, 2, octets("05 61 e280ae 62"))).toBe('Cease/Administrative Shutdown: "a\ufffdb"');
    fc.assert(
      fc.property(u8, u8, fc.uint8Array({ maxLength: 300 }), (code, subcode, data) => {
        // oxlint-disable-next-line no-control-regex
        expect(describeNotification(code, subcode, data)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e]/);
      }),
    );
  });
});

describe("shutdownData", () => {
  test("is read back as it was said", () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 40 }).map((text) => text.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, "")),
        (text) => {
          expect(describeNotification(6, 2, shutdownData(text))).toBe(`Cease/Administrative Shutdown${text === "" ? "" : `: ${JSON.stringify(text)}`}`);
        },
      ),
    );
  });

  test("is cut at a code point", () => {
    const data = shutdownData("ä".repeat(200), 128);
    expect(data.length).toBe(129);
    expect(data[0]).toBe(128);
    expect(shutdownData("ä".repeat(200))[0]).toBe(254);
    expect(new TextDecoder("utf-8", { fatal: true }).decode(shutdownData("😀".repeat(100), 127).subarray(1))).toBe("😀".repeat(31));
  });
});
