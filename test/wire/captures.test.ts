/** Captures of tcpdump's own tests against what the RFCs say of each message (captured.ts), and our own few of what is rare. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { captured } from "./captured.ts";
import { toldCapture } from "./captures.ts";
import { octets } from "./hex.ts";
import { type Agreed, toldMessage } from "./told-message.ts";
import { vectorFolder } from "./vector-folder.ts";

const folder = vectorFolder("pcap");

describe.skipIf(folder === undefined)("tcpdump's captures", () => {
  test.each(Object.keys(captured))("%s", (name) => {
    expect(toldCapture(readFileSync(join(folder!, name)), name)).toEqual(captured[name]);
  });

  test("none was left out", () => {
    const there = readdirSync(folder!).filter((name) => /bgp.*\.pcap(ng)?$/.test(name));
    expect(there.toSorted()).toEqual(Object.keys(captured).toSorted());
    const lines = Object.values(captured).flat();
    process.stdout.write(
      `captures: ${there.length} files, ${lines.length} messages as the RFCs say, ${lines.filter((one) => /reset|withdraw/.test(one)).length} of them refused\n`,
    );
  });
});

const header = "ffffffffffffffffffffffffffffffff";
/** A whole message of a type and a body. */
function message(type: number, body: string): Uint8Array {
  const rest = octets(body),
    length = rest.length + 19;
  return Uint8Array.from([...octets(header), length >> 8, length & 255, type, ...rest]);
}
/** An UPDATE of three fields. */
function update(withdrawn: string, attributes: string, nlri: string): Uint8Array {
  const size = (text: string): string => octets(text).length.toString(16).padStart(4, "0");
  return message(2, `${size(withdrawn)} ${withdrawn} ${size(attributes)} ${attributes} ${nlri}`);
}
const four: Agreed = { fourOctetAs: true, addPath: false, internal: true };

describe("rare messages of our own", () => {
  const usual = "400101 00 400200 400304 0a000001 400504 00000064";
  test.each([
    [
      "an old speaker's path with AS4_PATH, one hop short of it (RFC 6793 §4.2.3)",
      update("", "400101 02 40020a 0204 00c8 0001 5ba0 5ba0 400304 01000201 e0110e 0203 00000001 0003640e fffffffa", "20 01010101"),
      { ...four, fourOctetAs: false, internal: false },
      "UPDATE routes 1.1.1.1/32, origin 2, path [200 1 222222 4294967290], next hop 1.0.2.1",
    ],
    [
      "path identifiers in every field (RFC 7911 §3)",
      update("00000014 18 080200", `${usual} 800e16 0001 01 04 01020304 00 00000028 18 780400 00000000 00`, "0000000a 10 0602"),
      { ...four, addPath: true },
      "UPDATE gone 8.2.0.0/24(20), routes 6.2.0.0/16(10), reach 1/1 by 1.2.3.4 120.4.0.0/24(40) 0.0.0.0/0(0), origin 0, path [], next hop 10.0.0.1, LOCAL_PREF 100",
    ],
    [
      "AIGP is dropped, PMSI tunnel, Prefix-SID and ATTR_SET go on unread (RFC 4271 §5)",
      update("", `${usual} c01605 0000000000 801a0b 01000b00000000000007d0 c02803 010000 c08004 0000fde8`, "18 0a0900"),
      four,
      "UPDATE routes 10.9.0.0/24, origin 0, path [], next hop 10.0.0.1, LOCAL_PREF 100, unknown 22 40 128",
    ],
    [
      "MP_REACH_NLRI with flags of a transitive attribute (RFC 7606 §5.3)",
      update("", "400101 00 400200 400e0d 0001 01 04 01020304 00 18 780400", ""),
      four,
      "UPDATE reset 3/4 (MP_REACH_NLRI with flags 0x40), origin 0, path []",
    ],
    [
      "the prefixes of another family are not looked into (RFC 4684)",
      update("", "400101 01 400200 800e0e 0001 84 04 01000002 00 20 00000016", ""),
      four,
      "UPDATE reach 1/132 by 1.0.0.2 opaque, origin 1, path []",
    ],
    ["a Hard Reset that says why (RFC 8538 §3)", message(3, "0609 0603"), four, "NOTIFICATION Cease/Hard Reset (Cease/Peer De-configured)"],
    ["a Hard Reset that does not", message(3, "0609"), four, "NOTIFICATION Cease/Hard Reset"],
    ["a shutdown text with octets behind it", message(3, "0604 02 6f6b 4578"), four, 'NOTIFICATION Cease/Administrative Reset: "ok"'],
    ["a shutdown text that is cut off (RFC 9003 §2)", message(3, "0604 40 3031"), four, "NOTIFICATION Cease/Administrative Reset (its text is cut off)"],
    ["a request with ORF entries behind it (RFC 5291 §4)", message(5, "0001 00 01 02 40 0001 80"), four, "ROUTE-REFRESH 1/1 subtype 0"],
    [
      "an OPEN with extended parameters (RFC 9072 §2)",
      message(1, "04 00ae 00b4 06060606 ff ff 0011 02 000e 0104 0001 0001 4104 000000ae 4600"),
      four,
      "OPEN AS 174 hold 180 id 6.6.6.6: families 1/1, enhanced refresh, AS 174",
    ],
  ])("%s", (_, bytes, agreed, line) => {
    expect(toldMessage(bytes, agreed)).toBe(line);
  });
});
