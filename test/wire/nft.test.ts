import { describe, expect, test } from "vitest";
import type { FilterTable, SeenTable } from "#base/filter-table.ts";
import type { Prefix } from "#base/prefix.ts";
import { decodeTable, encodeChange } from "#wire/nft.ts";
import { readChains, readElements, readRules } from "#wire/nft-forward.ts";
import { decodeGeneration, encodeGetGeneration } from "#wire/nft-generation.ts";
import { readListing } from "#wire/nft-json.ts";
import { NetlinkWriter } from "#wire/netlink.ts";
import { bytesOf, hexOf } from "./netlink-hex.ts";

const table: FilterTable = {
  sets: [
    { name: "pools4", family: 4, prefixes: new Set(["10.42.0.0/16", "10.43.1.1/32"] as Prefix[]) },
    { name: "none6", family: 6, prefixes: new Set() },
  ],
  chains: [
    {
      name: "postrouting",
      priority: 100,
      rules: [
        { matches: [{ kind: "mark", mask: 0x4000, value: 0x4000 }], verdict: "return", comment: "marked" },
        {
          matches: [
            { kind: "address", side: "source", family: 4, negated: false, within: { set: "pools4" } },
            { kind: "address", side: "destination", family: 6, negated: true, within: "ff00::/8" as Prefix },
          ],
          verdict: "masquerade",
          comment: "out",
        },
      ],
    },
  ],
};

/** What a listing of the table would be, if nftables wrote it exactly as it was told. */
function listingOf(of: FilterTable): { nftables: Record<string, Record<string, unknown>>[] } {
  const { nftables } = JSON.parse(encodeChange({ kind: "anew", table: of })) as { nftables: { add?: Record<string, Record<string, unknown>> }[] };
  return { nftables: [{ metainfo: { version: "1.0.6" } }, ...nftables.slice(2).map(({ add }, i) => withHandle(add!, i))] };
}
const withHandle = (object: Record<string, Record<string, unknown>>, handle: number): Record<string, Record<string, unknown>> =>
  Object.fromEntries(Object.entries(object).map(([kind, fields]) => [kind, { ...fields, handle }]));

describe("our table", () => {
  const read = (text: string): Partial<SeenTable> => {
    const seen = decodeTable(text);
    return seen.ok ? seen.value : {};
  };
  const plain = JSON.stringify(listingOf(table));

  test("comes back as it was written", () => {
    expect(read(plain)).toMatchObject({ ...table, others: [], isReadable: true });
  });
  test("everything else in it is told by kind and name", () => {
    const others = [{ map: { name: "m", type: "mark" } }, { chain: { name: "plain" } }, { rule: { chain: "plain", expr: [{ accept: null }] } }];
    expect(read(JSON.stringify({ nftables: [...listingOf(table).nftables, ...others] }))).toMatchObject({
      ...table,
      others: [
        { kind: "map", name: "m" },
        { kind: "chain", name: "plain" },
      ],
      isReadable: false,
    });
  });
  test("the text of the rules does not mind handles, sets or who wrote it, and minds every rule", () => {
    const handles = { nftables: listingOf(table).nftables.map((object, i) => withHandle(object, 900 + i)) };
    expect(read(JSON.stringify(handles)).rulesText).toBe(read(plain).rulesText);
    expect(read(JSON.stringify(listingOf({ ...table, sets: [] }))).rulesText).toBe(read(plain).rulesText);
    expect(read(plain.replace("16384", "16385")).rulesText).not.toBe(read(plain).rulesText);
  });
  test("bare addresses and single flags with and without their list are read", () => {
    const otherwise = plain
      .replace('{"prefix":{"addr":"10.43.1.1","len":32}}', '"10.43.1.1"')
      .replace('"fully-random"', '["fully-random"]')
      .replace('["interval"]', '"interval"');
    expect(read(otherwise)).toMatchObject({ ...table, others: [], isReadable: true });
  });
  const unreadable: readonly (readonly [string, (text: string) => string])[] = [
    ["another verdict", (text) => text.replace('{"return":null}', '{"accept":null}')],
    ["an unknown expression", (text) => text.replace('{"meta":{"key":"mark"}}', '{"meta":{"key":"skuid"}}')],
    ["another operator", (text) => text.replace('"op":"!="', '"op":"<"')],
    ["a masquerade without its flag", (text) => text.replace('{"flags":"fully-random"}', "null")],
    ["a chain at another hook", (text) => text.replaceAll('"hook":"postrouting"', '"hook":"input"')],
    ["a chain that drops", (text) => text.replace('"policy":"accept"', '"policy":"drop"')],
  ];
  for (const [what, meddle] of unreadable)
    test(`a rule that is not ours: ${what}`, () => {
      expect(meddle(plain)).not.toBe(plain);
      expect(read(meddle(plain)).isReadable).toBe(false);
    });
  const otherSets: readonly (readonly [string, (text: string) => string])[] = [
    ["with a timeout", (text) => text.replace('"type":"ipv4_addr"', '"type":"ipv4_addr","timeout":60')],
    ["of ports", (text) => text.replace('"ipv4_addr"', '"inet_service"')],
    ["with what is no prefix", (text) => text.replace('{"prefix":{"addr":"10.42.0.0","len":16}}', '{"range":["10.42.0.0","10.42.0.6"]}')],
  ];
  for (const [what, meddle] of otherSets)
    test(`a set that is not of our sort: ${what}`, () => {
      expect(meddle(plain)).not.toBe(plain);
      expect(read(meddle(plain)).others).toEqual([{ kind: "set", name: "pools4" }]);
    });
  test("what is no listing is a fault, not an exception", () => {
    for (const text of ["", "{", "[]", "null", '{"nftables":7}']) expect(decodeTable(text)).toMatchObject({ ok: false, fault: { code: "filter.unreadable" } });
    expect(read('{"nftables":[null,7,"x",{},{"set":null},{"rule":{"expr":[null,{"match":7}]}}]}').isReadable).toBe(false);
  });
});

describe("other people's rules", () => {
  const rule = (...expr: unknown[]): unknown => ({ rule: { family: "ip", table: "filter", chain: "FORWARD", handle: 4, expr } });
  const saddr = { payload: { protocol: "ip", field: "saddr" } };
  const rulesOf = (...objects: unknown[]): ReturnType<typeof readRules> => {
    const listing = readListing(JSON.stringify({ nftables: objects }));
    return listing.ok ? readRules(listing.value) : [];
  };
  const range = (first: string, last: string): object => ({ first, last });
  const cases: readonly (readonly [string, unknown, object])[] = [
    ["an address", { match: { op: "==", left: saddr, right: "10.0.0.1" } }, { kind: "address", side: "source", within: [range("10.0.0.1", "10.0.0.1")] }],
    ["a set", { match: { op: "!=", left: saddr, right: "@trusted" } }, { kind: "address", negated: true, within: { set: "trusted" } }],
    [
      "a list of prefixes and ranges",
      { match: { op: "==", left: saddr, right: { set: [{ prefix: { addr: "10.0.0.0", len: 8 } }, { range: ["11.0.0.1", "11.0.0.9"] }] } } },
      { within: [range("10.0.0.0", "10.255.255.255"), range("11.0.0.1", "11.0.0.9")] },
    ],
    ["an address with a mask that is no prefix", { match: { op: "==", left: { "&": [saddr, "0.0.0.255"] }, right: "0.0.0.1" } }, { kind: "unknown" }],
    [
      "states",
      { match: { op: "in", left: { ct: { key: "state" } }, right: ["established", "related"] } },
      { kind: "connection", states: ["established", "related"] },
    ],
    ["one state", { match: { op: "in", left: { ct: { key: "state" } }, right: "new" } }, { kind: "connection", states: ["new"], negated: false }],
    ["a device", { match: { op: "==", left: { meta: { key: "oifname" } }, right: "docker0" } }, { kind: "device", names: ["docker0"] }],
    ["a family", { match: { op: "==", left: { meta: { key: "nfproto" } }, right: "ipv6" } }, { kind: "family", family: 6 }],
    ["a limit", { limit: { rate: 3, per: "second" } }, { kind: "unknown" }],
    ["a match of xtables", { xt: { type: "match", name: "addrtype" } }, { kind: "unknown" }],
    ["the same from older versions", { xt: null }, { kind: "unknown" }],
  ];
  for (const [what, statement, match] of cases)
    test(`${what}`, () => expect(rulesOf(rule(statement, { accept: null }))).toMatchObject([{ matches: [match], verdict: { kind: "accept" } }]));

  test("verdicts", () => {
    const verdicts = [{ accept: null }, { drop: null }, { reject: { type: "icmpx" } }, { return: null }, { jump: { target: "x" } }, { goto: { target: "y" } }];
    const rules = rulesOf(
      ...verdicts.map((each) => rule({ counter: { packets: 1, bytes: 2 } }, each)),
      rule({ xt: { type: "target", name: "REJECT" } }),
      rule(),
    );
    expect(rules.map(({ verdict }) => verdict)).toEqual([
      { kind: "accept" },
      { kind: "drop" },
      { kind: "drop" },
      { kind: "return" },
      { kind: "jump", chain: "x" },
      { kind: "goto", chain: "y" },
      { kind: "drop" },
      { kind: "none" },
    ]);
    expect(rules.every(({ matches }) => matches.length === 0)).toBe(true);
  });

  test("chains: forward filters and what they may jump to", () => {
    const chain = (fields: object): { kind: string; fields: Record<string, unknown> } => ({ kind: "chain", fields: { table: "t", name: "c", ...fields } });
    const heads = readChains([
      chain({ family: "ip", type: "filter", hook: "forward", prio: 0, policy: "drop" }),
      chain({ family: "inet", type: "filter", hook: "forward", prio: 0 }),
      chain({ family: "ip6" }),
      chain({ family: "ip", type: "filter", hook: "input", policy: "drop" }),
      chain({ family: "ip", type: "nat", hook: "postrouting", policy: "accept" }),
      chain({ family: "bridge", type: "filter", hook: "forward", policy: "drop" }),
    ]);
    expect(heads.map(({ family, policy }) => [family, policy])).toEqual([
      ["ip", "drop"],
      ["inet", "accept"],
      ["ip6", undefined],
    ]);
  });

  test("elements of a set, with and without a time", () => {
    const set = (elem: unknown[]): { kind: string; fields: Record<string, unknown> } => ({ kind: "set", fields: { name: "s", elem } });
    expect(readElements([set(["10.0.0.1", { elem: { val: { prefix: { addr: "10.1.0.0", len: 16 } }, expires: 9 } }])])).toHaveLength(2);
    expect(readElements([set([{ concat: ["10.0.0.1", 80] }])])).toBeUndefined();
    expect(readElements([])).toEqual([]);
  });
});

describe("the generation", () => {
  const answer = bytesOf("2c 00 00 00 0f 0a 00 00 07 00 00 00 39 30 00 00 00 00 00 05 08 00 01 00 00 01 02 03 08 00 02 00 00 00 30 39 08 00 03 00 61 62 63 00");
  test("is asked for in 20 octets", () => {
    const into = new NetlinkWriter();
    encodeGetGeneration(into, 7);
    expect(hexOf(into.written)).toBe("14 00 00 00 10 0a 01 00 07 00 00 00 00 00 00 00 00 00 00 00");
  });
  test("is read out of the answer, and only out of ours", () => {
    expect(decodeGeneration(answer, 7)).toEqual({ ok: true, value: 0x010203 });
    expect(decodeGeneration(answer, 8)).toEqual({ ok: true, value: undefined });
  });
  test("a refusal carries its errno", () => {
    const refusal = bytesOf("24 00 00 00 02 00 00 00 07 00 00 00 39 30 00 00 ff ff ff ff 14 00 00 00 10 0a 01 00 07 00 00 00 00 00 00 00");
    expect(decodeGeneration(refusal, 7)).toMatchObject({ ok: false, fault: { errno: 1 } });
  });
  test("cut at every octet it is no number", () => {
    for (let length = 0; length < 28; length++) {
      const cut = answer.slice(0, length);
      if (length >= 4) cut[0] = length;
      const read = decodeGeneration(cut, 7);
      expect(read.ok ? read.value : undefined, `${length} octets`).toBeUndefined();
    }
  });
});
