import { describe, expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import { printIp } from "#base/ip.ts";
import type { CommunityMatch, PolicyChanges, PolicyConditions, PolicyRule, PolicySettings, PrefixMatch } from "#base/policy-settings.ts";
import { type Prefix, prefixParts, printPrefix } from "#base/prefix.ts";
import { CompiledPolicies, explainPlace, type PolicyParts } from "#bgp/policy/compiled-policies.ts";
import { PolicyBook } from "#bgp/policy/policy-book.ts";
import { AttributeTable } from "#bgp/rib/attributes.ts";
import { LocRib } from "#bgp/rib/loc-rib.ts";
import { PeerTable, type Role, roleClient, roleExternal, roleLocal, roleNonClient } from "#bgp/rib/peer-table.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { chance } from "../sim/chance.ts";
import { judge, matchesPattern, type TwinRoute } from "./policy-twin.ts";
import { sequence, v4Hop, v6Hop } from "./rib-peers.ts";

const ownAs = 65_000;
const attributes = new AttributeTable({ asn: ownAs, routerId: 1, clusterId: 1, addresses: [] });
const peers = new PeerTable(),
  rib4 = new LocRib(0, attributes, peers),
  rib6 = new LocRib(1, attributes, peers);
const self = [v4Hop(99), v6Hop(99)] as const;
const partsOf = (way: PolicyParts["way"]): PolicyParts => ({ attributes, peers, way, self });
const base: PathAttributes = { origin: 0, asPath: sequence(7), nextHop: v4Hop(1), communities: Uint32Array.of(9), med: 3 };
const rule = (more: Partial<PolicyRule>): PolicyRule => ({ when: {}, then: "accept", set: {}, ...more });
const within = (prefix: string, ge: number, le: number): PolicyRule["when"] => ({ prefixes: [{ prefix: prefix as Prefix, ge, le }] });
const policy = (otherwise: "accept" | "reject", ...rules: PolicyRule[]): PolicySettings => ({ name: "some", rules, otherwise });

function idOf(prefix: string): { readonly rib: LocRib; readonly id: number } {
  const { bytes, length } = prefixParts(prefix as Prefix),
    rib = bytes.length === 4 ? rib4 : rib6;
  return { rib, id: rib.prefixes.intern(bytes, 0, length) };
}
/** A set as a peer's UPDATE would leave it, held once. */
function setOf(values: PathAttributes, rib: LocRib, weight = 0): number {
  const { nextHop, ...others } = values,
    set = rib === rib6 ? attributes.internValues(others, nextHop, weight) : attributes.internValues(values, undefined, weight);
  attributes.retain(set);
  return set;
}
function valuesOf(set: number): PathAttributes {
  return { ...attributes.decode(set), ...(attributes.nextHopLength(set) > 0 && { nextHop: attributes.nextHopOf(set) }) };
}
/** What becomes of a route: its attributes, or undefined. */
function apply(
  policies: readonly PolicySettings[],
  prefix: string,
  { from = roleClient as Role, way = "import" as PolicyParts["way"], values = base } = {},
): PathAttributes | undefined {
  const { rib, id } = idOf(prefix),
    set = setOf(rib === rib6 ? { ...values, nextHop: v6Hop(1) } : values, rib);
  const compiled = new CompiledPolicies(policies, partsOf(way)),
    told = compiled.filter(rib, id, set, from, 0);
  const out = told === 0 ? undefined : valuesOf(told);
  compiled.close();
  attributes.release(set);
  return out;
}

describe("policies", () => {
  test("none: nothing is accepted (RFC 8212); an empty one: as `otherwise` says", () => {
    expect([apply([], "10.1.0.0/16"), apply([policy("reject")], "10.1.0.0/16"), apply([policy("accept")], "10.1.0.0/16")]).toEqual([
      undefined,
      undefined,
      base,
    ]);
  });

  test("the first rule that matches decides, over all policies in order; `otherwise` is that of the last", () => {
    const first = policy("reject", rule({ when: within("10.1.0.0/16", 16, 24), set: { med: { to: 1 } } })),
      second = policy("accept", rule({ when: within("10.0.0.0/8", 8, 32), then: "reject" }), rule({ set: { med: { to: 2 } } }));
    expect(["10.1.2.0/24", "10.1.2.0/25", "10.2.0.0/16", "192.0.2.0/24"].map((prefix) => apply([first, second], prefix)?.med)).toEqual([
      1,
      undefined,
      undefined,
      2,
    ]);
    expect(apply([second, policy("reject")], "10.9.0.0/16")).toBeUndefined();
    expect(apply([policy("accept"), policy("reject")], "10.9.0.0/16")).toBeUndefined();
  });

  test("sets LOCAL_PREF, MED, communities (beside those there, once each, in order) and prepends our AS", () => {
    const set: PolicyChanges = { localPref: { to: 200 }, med: { to: 7 }, communities: { add: [[5], [9]] }, prepend: { asn: undefined, times: 2 } };
    expect(apply([policy("reject", rule({ set }))], "10.1.0.0/16")).toEqual({
      ...base,
      localPref: 200,
      med: 7,
      communities: Uint32Array.of(5, 9),
      asPath: sequence(65_000, 65_000, 7),
    });
    expect(apply([policy("reject", rule({ set }))], "fd00:1::/48")).toMatchObject({ med: 7, nextHop: v6Hop(1) });
  });

  test("on the way out of the AS LOCAL_PREF stays inside (RFC 4271 §5.1.5); inside it goes along", () => {
    const set: PolicyChanges = { localPref: { to: 200 } };
    expect(apply([policy("reject", rule({ set }))], "10.1.0.0/16", { way: "export to outside" })).toEqual(base);
    expect(apply([policy("reject", rule({ set: { ...set, med: { to: 1 } } }))], "10.1.0.0/16", { way: "export to outside" })).toEqual({ ...base, med: 1 });
    expect(apply([policy("reject", rule({ set }))], "10.1.0.0/16", { way: "export" })).toEqual({ ...base, localPref: 200 });
  });

  test("a next hop counts for routes of its family", () => {
    const to = (nextHop: PolicyChanges["nextHop"]): PolicySettings[] => [policy("reject", rule({ set: { nextHop: nextHop! } }))];
    const hop = (nextHop: string, prefix: string): string => printIp(apply(to(nextHop as Ip), prefix)!.nextHop!);
    expect([hop("192.0.2.7", "10.1.0.0/16"), hop("192.0.2.7", "fd00:1::/48"), hop("fd00::7", "fd00:1::/48"), hop("self", "10.1.0.0/16")]).toEqual([
      "192.0.2.7",
      printIp(v6Hop(1)),
      "fd00::7",
      printIp(v4Hop(99)),
    ]);
  });

  test("a weight is of the path held here, and no octet of it", () => {
    const compiled = new CompiledPolicies([policy("accept", rule({ set: { weight: 7 } }))], partsOf("import")),
      { rib, id } = idOf("10.1.0.0/16");
    const set = setOf(base, rib),
      out = compiled.filter(rib, id, set, roleExternal, 0);
    expect([out === set, attributes.weight[out], attributes.bytesOf(out)]).toEqual([false, 7, attributes.bytesOf(set)]);
    compiled.close();
    attributes.release(set);
  });

  test("by source", () => {
    const policies = [
      policy(
        "reject",
        rule({ when: { source: "internal" }, set: { med: { to: 1 } } }),
        rule({ when: { source: "local" }, set: { med: { to: 2 } } }),
        rule({ when: { source: "external" }, set: { med: { to: 4 } } }),
      ),
    ];
    expect(([roleLocal, roleClient, roleNonClient, roleExternal] as const).map((from) => apply(policies, "10.1.0.0/16", { from })?.med)).toEqual([2, 1, 1, 4]);
  });

  test("counts what each rule decided, and goes on counting while the policies read the same", () => {
    const book = new PolicyBook({ some: policy("accept", rule({ when: within("10.1.0.0/16", 16, 32), then: "reject" })) });
    const { rib, id } = idOf("10.1.9.0/24"),
      other = idOf("10.2.0.0/16").id,
      set = setOf(base, rib);
    for (const prefix of [id, other, other]) book.compile(["some"], partsOf("import")).filter(rib, prefix, set, roleExternal, 0);
    expect(book.hits()).toEqual([{ policy: "some", way: "import", rules: [1], otherwise: 2 }]);
    const key = book.keyOf(["some"]);
    book.use({ some: policy("accept", rule({ when: within("10.1.0.0/16", 16, 32), then: "reject" })) });
    expect([book.keyOf(["some"]) === key, book.hits().length]).toEqual([true, 1]);
    book.use({ some: policy("reject") });
    expect([book.keyOf(["some"]) === key, book.hits().length]).toEqual([false, 0]);
    attributes.release(set);
  });

  test("says which rule decides", () => {
    const policies = [
      { ...policy("reject", rule({ when: within("10.1.0.0/16", 16, 24), name: "ours" })), name: "pods" },
      { ...policy("reject", rule({ when: { source: "local" }, then: "reject" })), name: "rest" },
    ];
    const compiled = new CompiledPolicies(policies, partsOf("import")),
      set = setOf(base, rib4);
    const said = (of: string, from: Role): string => explainPlace(policies, compiled.decide(idOf(of).rib, idOf(of).id, set, from, 0));
    expect([said("10.1.2.0/24", roleClient), said("10.2.0.0/16", roleLocal), said("10.2.0.0/16", roleClient)]).toEqual([
      "accepted by policy pods, rule 1 (ours)",
      "rejected by policy rest, rule 1",
      "no rule of pods, rest matches, so it is rejected",
    ]);
    expect(explainPlace([], 0)).toContain("RFC 8212");
    attributes.release(set);
  });
});

const pick = <T>(random: () => number, list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
const below = (random: () => number, most: number): number => Math.floor(random() * most);
const few = <T>(random: () => number, most: number, make: () => T): T[] => Array.from({ length: 1 + below(random, most) }, make);

function someBytes(random: () => number): { bytes: Uint8Array; length: number } {
  const size = random() < 0.6 ? 4 : 16,
    length = random() < 0.7 ? 8 + below(random, size === 4 ? 25 : 57) : below(random, size * 8 + 1);
  const bytes = Uint8Array.from({ length: size }, (_, i) => (i === 0 ? (size === 4 ? 10 : 0xfd) : pick(random, [0, 1, 2, 128, 255])));
  return { bytes: prefixParts(printPrefix(bytes, length)).bytes, length };
}
function somePrefix(random: () => number): Prefix {
  const { bytes, length } = someBytes(random);
  return printPrefix(
    bytes.map((octet, i) => octet & (0xff00 >> Math.min(8, Math.max(0, length - 8 * i))) & 0xff),
    length,
  );
}
function someMatch(random: () => number): PrefixMatch {
  const prefix = somePrefix(random),
    { length, bytes } = prefixParts(prefix),
    ge = length + below(random, 8);
  return random() < 0.3 ? { prefix, ge: length, le: length } : { prefix, ge, le: Math.min(bytes.length * 8, ge + below(random, 20)) };
}
const patterns = [
  "^$",
  "_65001_",
  "^65001",
  "65002$",
  "^65001 .* 65002$",
  "(65001|65002)+",
  "^[65001-65003]{2,3}$",
  "65001 65001?",
  "^65003|65001$",
  ". . .",
  "^(65001 65002)*$",
];
function someCommunity(random: () => number, words: 1 | 2 | 3): number[] {
  return words === 2 ? [0x0002_fde8 + below(random, 2), below(random, 4)] : Array.from({ length: words }, () => below(random, 3) * 0x1_0000 + below(random, 3));
}
function someCommunityMatch(random: () => number, words: 1 | 2 | 3): CommunityMatch {
  return {
    value: someCommunity(random, words),
    mask: Array.from({ length: words }, () => pick(random, [0xffff_ffff, 0xffff_ffff, 0xffff_0000, 0x0000_ffff, 0])),
  };
}
function someWhen(random: () => number, prefixes: readonly (readonly PrefixMatch[])[]): PolicyConditions {
  const range = (most: number) => ({ ge: below(random, most), le: below(random, most * 2) });
  const maybe = (odds: number): boolean => random() < odds;
  return {
    ...(maybe(0.4) && { prefixes: pick(random, prefixes) }),
    ...(maybe(0.1) && { family: pick(random, [4, 6] as const) }),
    ...(maybe(0.25) && { asPaths: few(random, 2, () => pick(random, patterns)) }),
    ...(maybe(0.1) && { originAs: few(random, 2, () => 65_001 + below(random, 3)) }),
    ...(maybe(0.1) && { asPathLength: range(4) }),
    ...(maybe(0.15) && { communities: few(random, 3, () => someCommunityMatch(random, 1)) }),
    ...(maybe(0.15) && { extendedCommunities: few(random, 3, () => someCommunityMatch(random, 2)) }),
    ...(maybe(0.15) && { largeCommunities: few(random, 3, () => someCommunityMatch(random, 3)) }),
    ...(maybe(0.1) && { nextHops: few(random, 2, () => pick(random, ["10.0.0.0/30", "10.0.0.3/32", "fd00::/16", "::/0"] as Prefix[])) }),
    ...(maybe(0.1) && { med: range(4) }),
    ...(maybe(0.1) && { localPref: { ge: 90 + below(random, 20), le: 100 + below(random, 50) } }),
    ...(maybe(0.1) && { source: pick(random, ["local", "internal", "external"] as const) }),
    ...(maybe(0.1) && { from: few(random, 2, () => pick(random, ["one", "two", "three"])) }),
  };
}
function someChanges(random: () => number): PolicyChanges {
  const maybe = (odds: number): boolean => random() < odds;
  const number = () => (maybe(0.5) ? { to: below(random, 300) } : { by: pick(random, [-200, -1, 1, 4_294_967_295]) });
  const change = (words: 1 | 2 | 3) => ({
    ...(maybe(0.2) && { replace: few(random, 2, () => someCommunity(random, words)).slice(0, below(random, 3)) }),
    ...(maybe(0.5) && { remove: few(random, 2, () => someCommunityMatch(random, words)) }),
    ...(maybe(0.5) && { add: few(random, 3, () => someCommunity(random, words)) }),
  });
  return {
    ...(maybe(0.2) && { weight: below(random, 3) }),
    ...(maybe(0.3) && { localPref: number() }),
    ...(maybe(0.3) && { med: maybe(0.3) ? ("remove" as const) : number() }),
    ...(maybe(0.2) && { nextHop: pick(random, ["self", "unchanged", "192.0.2.7" as Ip, "fd00::7" as Ip] as const) }),
    ...(maybe(0.2) && { prepend: { asn: pick(random, [undefined, 65_009]), times: 1 + below(random, 3) } }),
    ...(maybe(0.2) && { communities: change(1) }),
    ...(maybe(0.2) && { extendedCommunities: change(2) }),
    ...(maybe(0.2) && { largeCommunities: change(3) }),
  };
}
function somePolicies(random: () => number): PolicySettings[] {
  const prefixes = few(random, 3, () => few(random, 40, () => someMatch(random)));
  return few(random, 2, () => ({
    name: "some",
    otherwise: pick(random, ["accept", "reject"] as const),
    rules: few(random, 8, () => {
      const then = random() < 0.7 ? ("accept" as const) : ("reject" as const);
      return { when: someWhen(random, prefixes), then, set: then === "accept" ? someChanges(random) : {} };
    }),
  }));
}
function someAttributes(random: () => number, six: boolean): PathAttributes {
  const maybe = (odds: number): boolean => random() < odds;
  const path = Array.from({ length: below(random, 5) }, () => 65_001 + below(random, 3));
  const asPath = [
    ...(path.length > 0 ? sequence(...path) : []),
    ...(maybe(0.2) ? [{ type: 1 as const, asns: Uint32Array.from(few(random, 3, () => 65_001 + below(random, 3))) }] : []),
  ];
  const sorted = (words: 1 | 3): Uint32Array => {
    const all = [...new Map(few(random, 4, () => someCommunity(random, words)).map((one) => [one.join(), one])).values()];
    return Uint32Array.from(all.flat());
  };
  return {
    origin: 0,
    asPath,
    nextHop: six ? v6Hop(1 + below(random, 4)) : v4Hop(1 + below(random, 6)),
    ...(maybe(0.5) && { med: below(random, 5) }),
    ...(maybe(0.5) && { localPref: 95 + below(random, 20) }),
    ...(maybe(0.5) && { communities: sorted(1).toSorted() }),
    ...(maybe(0.4) && { largeCommunities: sorted(3) }),
    ...(maybe(0.4) && {
      extendedCommunities: Uint8Array.from(few(random, 3, () => someCommunity(random, 2)).flatMap(([a, b]) => [0, 2, (a! >>> 8) & 255, a! & 255, 0, 0, 0, b!])),
    }),
  };
}

/** Communities in any order, each once: what the twin leaves as it came, the table has in its own order. */
function comparable(values: PathAttributes): unknown {
  const { communities, extendedCommunities, largeCommunities, ...others } = values;
  const items = (list: ArrayLike<number> | undefined, width: number): string[] =>
    [
      ...new Set(
        Array.from({ length: (list?.length ?? 0) / width }, (_, i) =>
          Array.from(list!)
            .slice(i * width, (i + 1) * width)
            .join(),
        ),
      ),
    ].toSorted();
  return { ...others, communities: items(communities, 1), extendedCommunities: items(extendedCommunities, 8), largeCommunities: items(largeCommunities, 3) };
}

describe("compiled policies do what the document says", () => {
  test("random routes under 400 random chains, against the walk over rules", () => {
    const random = chance(48);
    const names = [["one", "10.0.0.1"], ["two"], ["stranger"]];
    for (const [i, list] of names.entries()) peers.names[i + 1] = list;
    const seen = { accepted: 0, changed: 0, rejected: 0, places: new Set<number>() };
    for (let n = 0; n < 400; n++) {
      const policies = somePolicies(random),
        way = pick(random, ["import", "export", "export to outside"] as const),
        compiled = new CompiledPolicies(policies, partsOf(way));
      for (let i = 0; i < 50; i++) {
        const peer = 1 + below(random, 3),
          from = pick(random, [roleLocal, roleClient, roleNonClient, roleExternal] as const),
          prefix = somePrefix(random),
          { rib, id } = idOf(prefix);
        const values = someAttributes(random, rib === rib6),
          weight = way === "import" && random() < 0.2 ? 1 : 0,
          set = setOf(values, rib, weight);
        const source = from === roleLocal ? "local" : from === roleExternal ? "external" : "internal",
          route: TwinRoute = { prefix, attributes: valuesOf(set), weight, source, names: peers.names[peer]! };
        const want = judge(policies, route, { ownAs, way, self: self[rib.family], hopBefore: route.attributes.nextHop }),
          place = compiled.decide(rib, id, set, from, peer),
          told = compiled.filter(rib, id, set, from, peer);
        const got = told === 0 ? undefined : { attributes: comparable(valuesOf(told)), weight: attributes.weight[told] };
        const wanted = want.accepted && { attributes: comparable(want.accepted.attributes), weight: want.accepted.weight };
        expect({ n, place, got }, `chain ${n}, ${prefix} from ${source} ${peers.names[peer]!.join()} ${way}: ${JSON.stringify(policies)}`).toEqual({
          n,
          place: want.place,
          got: wanted,
        });
        seen.places.add(place);
        if (told === 0) seen.rejected++;
        else if (told === set) seen.accepted++;
        else seen.changed++;
        attributes.release(set);
      }
      compiled.close();
    }
    expect(Math.min(seen.accepted, seen.changed, seen.rejected)).toBeGreaterThan(1000);
    expect(seen.places.size).toBeGreaterThan(10);
  });

  test("1,500 prefixes of each family in one set, 3,000 looked up", () => {
    const random = chance(8),
      matches = Array.from({ length: 3000 }, () => someMatch(random)),
      policies = [policy("reject", rule({ when: { prefixes: matches } }))];
    const compiled = new CompiledPolicies(policies, partsOf("import")),
      set = setOf(base, rib4);
    let matched = 0;
    for (let n = 0; n < 3000; n++) {
      const prefix = random() < 0.5 ? somePrefix(random) : pick(random, matches).prefix,
        { rib, id } = idOf(prefix);
      const want = judge(
        policies,
        { prefix, attributes: base, weight: 0, source: "external", names: [] },
        { ownAs, way: "import", self: undefined, hopBefore: undefined },
      );
      if (compiled.decide(rib, id, set, roleExternal, 0) !== want.place) throw new Error(`${prefix}: not rule ${want.place}`);
      if (want.place === 0) matched++;
    }
    expect(matched).toBeGreaterThan(750);
    expect(matched).toBeLessThan(2900);
    compiled.close();
    attributes.release(set);
  });

  test("more ways for sets to differ than are remembered", () => {
    const rules = Array.from({ length: 14 }, (_, i) =>
      rule({ when: { ...within("10.0.0.0/8", 8, 30), communities: [{ value: [i], mask: [0xffff_ffff] }] }, then: "reject" }),
    );
    const compiled = new CompiledPolicies([policy("accept", ...rules)], partsOf("import")),
      { rib, id } = idOf("10.1.1.1/32"),
      inside = idOf("10.1.1.0/24").id;
    for (let n = 1; n < 10_000; n++) {
      const set = setOf({ ...base, communities: Uint32Array.from(Array.from({ length: 14 }, (_, i) => i).filter((i) => (n >> i) & 1)) }, rib);
      expect(compiled.decide(rib, id, set, roleExternal, 0)).toBe(14);
      expect(compiled.decide(rib, inside, set, roleExternal, 0)).toBe(31 - Math.clz32(n & -n));
      attributes.release(set);
    }
    compiled.close();
  });

  test("nothing stays behind when it is closed", () => {
    expect(attributes.live).toBe(0);
  });
});

describe("patterns over AS paths", () => {
  test.each([
    ["^65001 .* 65002$", [65_001, 65_002], true],
    ["^65001 .* 65002$", [65_001, 7, 8, 65_002], true],
    ["^65001 .* 65002$", [65_001, 7, 8], false],
    ["_65010_", [1, 65_010, 2], true],
    ["_65010_", [1, 650_102], false],
    ["65", [65_001], false],
    ["^$", [], true],
    ["^$", [1], false],
    ["[64512-65534]$", [1, 65_000], true],
    ["[64512-65534]$", [65_000, 1], false],
    ["^(1 2){2}$", [1, 2, 1, 2], true],
    ["^1{2,}$", [1], false],
  ] as const)("%s over %j: %s", (pattern, path, want) => {
    const policies = [policy("reject", rule({ when: { asPaths: [pattern] } }))];
    expect([
      apply(policies, "10.1.0.0/16", { values: { ...base, asPath: sequence(...path) } }) !== undefined,
      matchesPattern(pattern, sequence(...path)),
    ]).toEqual([want, want]);
  });

  test("a pattern made to be slow is not: a thousand times through 250 numbers", () => {
    const policies = [policy("reject", rule({ when: { asPaths: ["^(1+ 1+)+ 2$", "^(.?){40} 3$"] } }))],
      compiled = new CompiledPolicies(policies, partsOf("import")),
      { rib, id } = idOf("10.1.0.0/16");
    for (let n = 0; n < 1000; n++) {
      const set = setOf({ ...base, med: n, asPath: sequence(...Array.from({ length: 250 }, () => 1)) }, rib);
      expect(compiled.decide(rib, id, set, roleExternal, 0)).toBe(1);
      attributes.release(set);
    }
    compiled.close();
  }, 10_000);
});
