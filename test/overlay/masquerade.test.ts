import { describe, expect, test } from "vitest";
import type { FilterChange, FilterTable, SeenTable } from "#base/filter-table.ts";
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
          if (match.kind !== "address") return JSON.stringify(match);
          const within = typeof match.within === "string" ? match.within : `@${match.within.set}`;
          return `${address(match.family, match.side)} ${match.negated ? "!= " : ""}${within}`;
        });
        return `${name} ${priority}: ${[...words, typeof verdict === "string" ? verdict : `to ${verdict.address} port ${verdict.port}`].join(", ")}`;
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
  const now = planMasquerade([hidden, plain])!,
    both = planMasquerade([hidden, plain, hidden6])!;
  const seen = (table: FilterTable, change: Partial<SeenTable> = {}): SeenTable => ({ ...table, others: [], isReadable: true, rulesText: "rules", ...change });
  const [chain] = now.chains;

  test("nothing to do", () => {
    expect(changeTo(now, seen(now))).toBeUndefined();
    expect(changeTo(now, seen({ ...now, sets: now.sets.toReversed() }))).toBeUndefined();
    expect(changeTo(undefined, undefined)).toBeUndefined();
  });
  test("no table: first the sets, then the rules that ask them", () => {
    expect(changeTo(now, undefined)).toEqual({ kind: "sets", add: now.sets });
    expect(changeTo(now, seen({ sets: now.sets, chains: [] }))).toEqual({ kind: "rules", chains: now.chains });
  });
  test("a family more: sets, rules; a family less: rules, sets", () => {
    expect(changeTo(both, seen(now))).toEqual({ kind: "sets", add: both.sets.slice(2) });
    expect(changeTo(both, seen({ sets: both.sets, chains: now.chains }))).toEqual({ kind: "rules", chains: both.chains });
    expect(changeTo(now, seen(both))).toEqual({ kind: "rules", chains: now.chains });
    const left = both.sets.slice(2).map(({ name }) => ({ kind: "set", name }));
    expect(changeTo(now, seen({ sets: both.sets, chains: now.chains }))).toEqual({ kind: "objects", remove: left });
  });
  test("a pool enlarged, a pool added: elements only", () => {
    const larger = planMasquerade([{ ...hidden, cidr: prefix("10.44.0.0/15") }, plain, pool({ name: "new", cidr: prefix("10.50.0.0/16") })])!;
    expect(changeTo(larger, seen(now))).toEqual({
      kind: "elements",
      sets: [
        { name: "pools4", add: ["10.44.0.0/15", "10.50.0.0/16"], remove: ["10.43.0.0/16"] },
        { name: "masquerade4", add: ["10.44.0.0/15"], remove: ["10.43.0.0/16"] },
      ],
    });
    expect(changeTo(planMasquerade([hidden, { ...plain, masquerade: true }])!, seen(now))).toEqual({
      kind: "elements",
      sets: [{ name: "masquerade4", add: ["10.42.0.0/16"], remove: [] }],
    });
  });
  test("a rule lost, a rule changed, a rule nobody can read: the rules", () => {
    const rules = { kind: "rules", chains: now.chains } as const;
    expect(changeTo(now, seen({ ...now, chains: [{ ...chain!, rules: chain!.rules.slice(1) }] }))).toEqual(rules);
    expect(changeTo(now, seen({ ...now, chains: [{ ...chain!, rules: chain!.rules.toReversed() }] }))).toEqual(rules);
    expect(changeTo(now, seen(now, { isReadable: false }))).toEqual(rules);
    expect(changeTo(now, seen(now, { isReadable: false }), "other rules")).toEqual(rules);
  });
  test("rules known to be right, however they read, stay", () => {
    expect(changeTo(now, seen(now, { isReadable: false }), "rules")).toBeUndefined();
  });
  test("what nobody wants goes last", () => {
    const map = { kind: "map", name: "other" },
      extra = { name: "output", priority: 0, rules: [] } as const;
    expect(changeTo(now, seen(now, { others: [map], chains: [chain!, extra] }))).toEqual({ kind: "objects", remove: [map, { kind: "chain", name: "output" }] });
    expect(changeTo(now, seen(now, { others: [map], chains: [chain!, { ...extra, rules: chain!.rules }] }))).toEqual({ kind: "rules", chains: now.chains });
  });
  test("our names borne by something else: all of it anew", () => {
    const anew = { kind: "anew", table: now } as const;
    expect(changeTo(now, seen({ sets: now.sets.slice(1), chains: [] }, { others: [{ kind: "set", name: "pools4" }] }))).toEqual(anew);
    expect(changeTo(now, seen({ ...now, chains: [] }, { others: [{ kind: "chain", name: "postrouting" }] }))).toEqual(anew);
    expect(changeTo(now, seen({ ...now, chains: [{ ...chain!, priority: 90 }] }))).toEqual(anew);
    expect(changeTo(now, seen({ ...now, sets: now.sets.map((set) => ({ ...set, family: 6 as const })) }))).toEqual(anew);
  });
  test("a table nobody wants is removed, whatever is in it", () => {
    for (const table of [seen(now), seen(now, { isReadable: false })]) expect(changeTo(undefined, table)).toEqual({ kind: "remove" });
  });
  test("what nftables is told", () => {
    const told = (change: FilterChange): readonly string[] => {
      const { nftables } = JSON.parse(encodeChange(change)) as { nftables: Record<string, Record<string, { name?: string }>>[] };
      return nftables.flatMap((command) => Object.entries(command).flatMap(([verb, what]) => Object.keys(what).map((kind) => `${verb} ${kind}`)));
    };
    expect(told({ kind: "sets", add: now.sets })).toEqual(["add table", "add set", "add set"]);
    expect(told({ kind: "rules", chains: now.chains })).toEqual(["add table", "flush table", "add chain", "add rule", "add rule"]);
    expect(told({ kind: "elements", sets: [{ name: "pools4", add: [prefix("10.0.0.0/8")], remove: [prefix("10.42.0.0/16")] }] })).toEqual([
      "delete element",
      "add element",
    ]);
    const remove = ["chain", "counter", "map"].map((kind) => ({ kind, name: "x" }));
    expect(told({ kind: "objects", remove })).toEqual(["delete map", "delete chain", "delete counter"]);
    const whole = ["add table", "delete table", "add table", "add set", "add set", "add chain", "add rule", "add rule"];
    expect(told({ kind: "anew", table: now })).toEqual(whole);
    expect(told({ kind: "remove" })).toEqual(["add table", "delete table"]);
  });
});
