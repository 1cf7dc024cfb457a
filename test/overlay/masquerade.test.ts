import { describe, expect, test } from "vitest";
import type { FilterTable } from "#base/filter-table.ts";
import { changeTo } from "#overlay/filter-change.ts";
import { planMasquerade } from "#overlay/masquerade.ts";
import { encodeChange } from "#wire/nft.ts";
import { pool, prefix } from "./world.ts";

const hidden = pool({ name: "hidden", masquerade: true }),
  plain = pool({ name: "plain", cidr: prefix("10.42.0.0/16"), backend: "bgp", vni: undefined }),
  hidden6 = pool({ name: "hidden6", cidr: prefix("fd43::/48"), family: 6, nodePrefix: 64, vni: 44, masquerade: true });

/** A table in lines close to nft's own. */
function lines(table: FilterTable | undefined): readonly string[] {
  if (table === undefined) return [];
  const address = (family: number, side: string): string => `${family === 4 ? "ip" : "ip6"} ${side === "source" ? "saddr" : "daddr"}`;
  return [
    ...table.sets.map(({ name, family, prefixes }) => `set ${name} (${family}): ${[...prefixes].join(" ")}`),
    ...table.chains.flatMap(({ name, priority, rules }) =>
      rules.map(({ matches, verdict }) => {
        const words = matches.map((match) => {
          if (match.kind === "mark") return `mark & 0x${match.mask.toString(16)} == 0x${match.value.toString(16)}`;
          const within = typeof match.within === "string" ? match.within : `@${match.within.set}`;
          return `${address(match.family, match.side)} ${match.negated ? "!= " : ""}${within}`;
        });
        return `${name} ${priority}: ${[...words, verdict].join(", ")}`;
      }),
    ),
  ];
}

const mark = "postrouting 100: mark & 0x4000 == 0x4000, return";
const rule4 = "postrouting 100: ip saddr @masquerade4, ip daddr != @pools4, ip daddr != 224.0.0.0/4, masquerade";
const rule6 = "postrouting 100: ip6 saddr @masquerade6, ip6 daddr != @pools6, ip6 daddr != ff00::/8, masquerade";

describe("the table that is wanted", () => {
  test("no pool masquerades: none at all", () => {
    expect(planMasquerade([plain])).toBeUndefined();
    expect(planMasquerade([])).toBeUndefined();
  });
  test("one pool of two: every pool's CIDR keeps its sources, one pool's sources are hidden from the rest", () => {
    expect(lines(planMasquerade([hidden, plain]))).toEqual(["set pools4 (4): 10.42.0.0/16 10.43.0.0/16", "set masquerade4 (4): 10.43.0.0/16", mark, rule4]);
  });
  test("both families", () => {
    expect(lines(planMasquerade([hidden6, hidden]))).toEqual([
      "set pools4 (4): 10.43.0.0/16",
      "set masquerade4 (4): 10.43.0.0/16",
      "set pools6 (6): fd43::/48",
      "set masquerade6 (6): fd43::/48",
      mark,
      rule4,
      rule6,
    ]);
  });
  test("a family without a masquerading pool has no rule, whatever pools it has", () => {
    expect(lines(planMasquerade([plain, hidden6]))).toEqual(["set pools6 (6): fd43::/48", "set masquerade6 (6): fd43::/48", mark, rule6]);
  });
  test("a pool that drains masquerades on: its pods are still there", () => {
    expect(planMasquerade([{ ...hidden, state: "draining" }])).toEqual(planMasquerade([hidden]));
  });
  test("the order of pools is nobody's", () => {
    expect(lines(planMasquerade([plain, hidden]))).toEqual(lines(planMasquerade([hidden, plain])));
  });
});

describe("the way from what is to what is wanted", () => {
  const now = planMasquerade([hidden, plain])!;
  test("nothing to do", () => {
    expect(changeTo(now, now)).toBeUndefined();
    expect(changeTo(now, { ...now, sets: now.sets.toReversed() })).toBeUndefined();
    expect(changeTo(undefined, "none")).toBeUndefined();
  });
  test("no table, or one with something in it that is none of ours: written whole", () => {
    for (const actual of ["none", "foreign"] as const) expect(changeTo(now, actual)).toEqual({ kind: "replace", table: now });
  });
  test("a table nobody wants is removed, whatever is in it", () => {
    for (const actual of ["foreign", now] as const) expect(changeTo(undefined, actual)).toEqual({ kind: "remove" });
  });
  test("a pool enlarged, a pool added: elements only", () => {
    const larger = planMasquerade([{ ...hidden, cidr: prefix("10.44.0.0/15") }, plain, pool({ name: "new", cidr: prefix("10.50.0.0/16") })])!;
    expect(changeTo(larger, now)).toEqual({
      kind: "elements",
      sets: [
        { name: "pools4", add: ["10.44.0.0/15", "10.50.0.0/16"], remove: ["10.43.0.0/16"] },
        { name: "masquerade4", add: ["10.44.0.0/15"], remove: ["10.43.0.0/16"] },
      ],
    });
    expect(changeTo(planMasquerade([hidden, { ...plain, masquerade: true }])!, now)).toEqual({
      kind: "elements",
      sets: [{ name: "masquerade4", add: ["10.42.0.0/16"], remove: [] }],
    });
  });
  test("a rule lost, a rule changed, a family more: written whole", () => {
    const [chain] = now.chains;
    const others: FilterTable[] = [
      { ...now, chains: [{ ...chain!, rules: chain!.rules.slice(1) }] },
      { ...now, chains: [{ ...chain!, rules: chain!.rules.toReversed() }] },
      { ...now, chains: [{ ...chain!, priority: 90 }] },
      { ...now, chains: [] },
      planMasquerade([hidden, plain, hidden6])!,
    ];
    for (const actual of others) expect(changeTo(now, actual)).toEqual({ kind: "replace", table: now });
  });
  test("what nftables is told: the whole table in one transaction, the old one gone within it", () => {
    const { nftables } = JSON.parse(encodeChange({ kind: "replace", table: now })) as { nftables: Record<string, Record<string, unknown>>[] };
    expect(nftables.map((command) => `${Object.keys(command)[0]} ${Object.keys(Object.values(command)[0]!)[0]}`)).toEqual([
      "add table",
      "delete table",
      "add table",
      "add set",
      "add set",
      "add chain",
      "add rule",
      "add rule",
    ]);
  });
});
