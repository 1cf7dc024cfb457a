import { describe, expect, test } from "vitest";
import { decodeAttributes } from "#wire/bgp/attribute.ts";
import { validateUpdate, type ValidateContext, type Verdict } from "#wire/bgp/validate.ts";
import { octets } from "./hex.ts";

const base: ValidateContext = {
  internal: true,
  remoteAs: 65_000,
  enforceFirstAs: true,
  acceptAsSet: false,
  ownAddresses: [octets("0a0000fe"), octets("20010db80000000000000000000000fe")],
};
const external: Partial<ValidateContext> = { internal: false, remoteAs: 65_001 };

function judge(text: string, hasNlri: boolean, some: Partial<ValidateContext> = {}): Verdict {
  const bytes = octets(text);
  const context = { ...base, ...some };
  return validateUpdate(decodeAttributes(bytes, 0, bytes.length, { internal: context.internal, fourOctetAs: true }), hasNlri, context);
}

const origin = "400101 00",
  empty = "400200",
  hop = "400304 0a000001";
const path = (segments: string): string => `4002${(segments.replaceAll(" ", "").length / 2).toString(16).padStart(2, "0")} ${segments}`;
const reach = (afi: string, nextHop: string, nlri = "08 20"): string => {
  const value = `${afi} 01 ${(nextHop.length / 2).toString(16).padStart(2, "0")} ${nextHop} 00 ${nlri}`;
  return `800e${(value.replaceAll(" ", "").length / 2).toString(16).padStart(2, "0")} ${value}`;
};
const six = "20010db8000000000000000000000001",
  linkLocal = "fe800000000000000000000000000001";

test("a complete UPDATE costs nothing", () => {
  expect(judge(origin + empty + hop, true)).toEqual({ cost: "none", faults: [] });
  expect(judge(origin + path("0201 0000fde9") + hop, true, external)).toEqual({ cost: "none", faults: [] });
  expect(judge(reach("0002", six) + origin + empty, false)).toEqual({ cost: "none", faults: [] });
  expect(judge(reach("0001", six + linkLocal) + origin + empty, false)).toEqual({ cost: "none", faults: [] });
});

describe("mandatory attributes (RFC 7606 §3 d)", () => {
  test.each([
    ["ORIGIN", empty + hop, true, 1],
    ["AS_PATH", origin + hop, true, 2],
    ["NEXT_HOP", origin + empty, true, 3],
    ["ORIGIN of IPv6", reach("0002", six) + empty, false, 1],
    ["AS_PATH of IPv6", reach("0002", six) + origin, false, 2],
    ["NEXT_HOP of IPv4 beside MP_REACH_NLRI", reach("0002", six) + origin + empty, true, 3],
  ])("%s missing costs the routes", (_, text, hasNlri, type) => {
    expect(judge(text, hasNlri)).toMatchObject({ cost: "withdraw", faults: [{ type, subcode: 3, data: Uint8Array.of(type) }] });
  });

  test("a malformed one is blamed once", () => {
    expect(judge(`400101 07 ${empty}${hop}`, true).faults).toMatchObject([{ type: 1, subcode: 6 }]);
  });

  test("an UPDATE that only withdraws needs none, and NEXT_HOP is not asked of IPv6", () => {
    expect(judge("", false)).toEqual({ cost: "none", faults: [] });
    expect(judge("800f07 0002 01 18 200100", false)).toEqual({ cost: "none", faults: [] });
    expect(judge(reach("0002", six, ""), false)).toEqual({ cost: "none", faults: [] });
  });
});

describe("the path", () => {
  test.each([
    ["begins with another AS", path("0201 0000fdea"), 11],
    ["is empty", empty, 11],
    ["begins with a set", path("0101 0000fde9"), 11],
    ["has confederation segments", path("0301 0000fde9 0201 0000fde9"), 11],
  ])("from an external peer it %s: withdraw", (_, asPath, subcode) => {
    expect(judge(origin + asPath + hop, true, { ...external, acceptAsSet: true })).toMatchObject({ cost: "withdraw", faults: [{ type: 2, subcode }] });
  });

  test("what is not asked of a route server or of an internal peer", () => {
    expect(judge(origin + path("0201 0000fdea") + hop, true, { ...external, enforceFirstAs: false }).cost).toBe("none");
    for (const asPath of [empty, path("0201 0000fdea"), path("0301 0000fde9")]) expect(judge(origin + asPath + hop, true).cost).toBe("none");
  });

  test("an AS_SET costs the routes unless it is accepted (RFC 9774)", () => {
    const text = origin + path("0201 0000fde9 0101 00000001") + hop;
    for (const who of [{}, external]) {
      expect(judge(text, true, who)).toMatchObject({ cost: "withdraw", faults: [{ type: 2 }] });
      expect(judge(text, true, { ...who, acceptAsSet: true }).cost).toBe("none");
    }
  });
});

describe("the next hop", () => {
  test.each(["00000000", "00000001", "e0000001", "efffffff", "f0000001", "ffffffff", "0a0000fe"])("%s costs the routes", (address) => {
    expect(judge(`${origin}${empty}400304 ${address}`, true)).toMatchObject({ cost: "withdraw", faults: [{ type: 3, subcode: 8 }] });
    expect(judge(reach("0001", address) + origin + empty, false)).toMatchObject({ cost: "withdraw", faults: [{ type: 14, subcode: 9 }] });
  });

  test.each(["00".repeat(16), "ff02" + "00".repeat(13) + "01", "20010db80000000000000000000000fe", "00".repeat(16) + linkLocal])(
    "%s costs the routes",
    (address) => {
      expect(judge(reach("0002", address) + origin + empty, false)).toMatchObject({ cost: "withdraw", faults: [{ type: 14, subcode: 9 }] });
    },
  );

  test("NEXT_HOP is not looked at where only MP_REACH_NLRI has prefixes", () => {
    expect(judge(`${reach("0002", six)}${origin}${empty}400304 00000000`, false).cost).toBe("none");
  });
});

describe("RFC 7606 §5.2: nothing reachable to withdraw", () => {
  test.each([
    ["attributes alone", "400101 07", 6],
    ["an MP_REACH_NLRI without prefixes", `${reach("0002", six, "")}400101 07`, 6],
    ["an overrun that hides MP_REACH_NLRI", `${origin}800eff 0002`, 1],
    ["a withdrawal beside it", "800f07 0002 01 18 200100 400304 00", 1],
  ])("%s: a withdraw becomes a reset", (_, text, subcode) => {
    expect(judge(text, false)).toMatchObject({ cost: "reset", notification: { code: 3, subcode } });
  });

  test("with prefixes it stays a withdraw, and a discard stays a discard", () => {
    expect(judge(`400101 07 ${empty}${hop}`, true).cost).toBe("withdraw");
    expect(judge(`${reach("0002", six)}400101 07 ${empty}`, false).cost).toBe("withdraw");
    expect(judge("400601 00", false)).toMatchObject({ cost: "discard", faults: [{ type: 6 }] });
  });

  test("what structure called a reset stays one, with its NOTIFICATION", () => {
    expect(judge(`${origin}${empty}${hop}800f02 0002`, true)).toMatchObject({ cost: "reset", notification: { code: 3, subcode: 5 } });
  });
});
