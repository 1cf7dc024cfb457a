import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Prefix, contains, countSubnets, overlaps, parsePrefix, prefixParts } from "#base/prefix.ts";
import { type Candidate, nextCidr } from "#ipam/pool.ts";
import { testPool } from "./lease-world.ts";

const p = (text: string): Prefix => parsePrefix(text)!;
const cidrOf = (candidate: Candidate): Prefix | undefined => (candidate.kind === "exhausted" ? undefined : candidate.cidr);
const small = testPool({ cidr: p("10.42.0.0/20"), nodePrefix: 24 });
const ask = (node: string, taken: Iterable<Prefix> = [], former?: Prefix): Candidate => nextCidr(small, { node, former, taken });

describe("the CIDR a node tries next", () => {
  test("is its former one while that is free, another when it is taken or no longer of the pool", () => {
    expect(ask("n1", [], p("10.42.7.0/24"))).toEqual({ kind: "try", cidr: "10.42.7.0/24" });
    expect(cidrOf(ask("n1", [p("10.42.7.0/24")], p("10.42.7.0/24")))).not.toBe("10.42.7.0/24");
    for (const foreign of ["10.43.7.0/24", "10.42.6.0/23", "fd42::/64"]) expect(cidrOf(ask("n1", [], p(foreign)))).toBe(cidrOf(ask("n1")));
  });

  test("is the same at every start, and differs between nodes more often than not", () => {
    expect(ask("n1")).toEqual(ask("n1"));
    const wide = testPool({ cidr: p("10.0.0.0/8"), nodePrefix: 24 });
    const first = new Set(Array.from({ length: 100 }, (_, i) => cidrOf(nextCidr(wide, { node: `n${i}`, former: undefined, taken: [] }))));
    expect(first.size).toBeGreaterThan(95);
  });

  test("visits every CIDR once until the pool is exhausted, exactly", () => {
    const taken: Prefix[] = [];
    for (let i = 0; i < 16; i++) {
      const cidr = cidrOf(ask("n1", taken))!;
      expect(taken).not.toContain(cidr);
      expect(contains(small.cidr, cidr) && prefixParts(cidr).length === 24).toBe(true);
      taken.push(cidr);
    }
    expect(ask("n1", taken)).toEqual({ kind: "exhausted", total: 16n });
    expect(ask("n1", taken, taken[3])).toEqual({ kind: "exhausted", total: 16n });
    expect(ask("n1", taken.toSpliced(9, 1))).toEqual({ kind: "try", cidr: taken[9] });
  });

  test("skips claims of another length that overlap it", () => {
    const half = [p("10.42.0.0/21")];
    for (let i = 0; i < 50; i++) expect(contains(half[0]!, cidrOf(ask(`n${i}`, half))!)).toBe(false);
    expect(ask("n1", [p("10.42.0.0/16")]).kind).toBe("exhausted");
    expect(ask("n1", [p("10.42.0.0/21"), p("10.42.8.0/21")]).kind).toBe("exhausted");
    expect(cidrOf(ask("n1", [p("10.42.0.0/21"), p("10.42.8.0/22"), p("10.42.12.0/23"), p("10.42.14.128/25")]))).toBe("10.42.15.0/24");
  });

  test("is a reservation for the node that has it and for nobody else", () => {
    const pool = testPool({ ...small, reservations: { n7: p("10.42.3.0/24") } });
    expect(nextCidr(pool, { node: "n7", former: p("10.42.9.0/24"), taken: [] })).toEqual({ kind: "try", cidr: "10.42.3.0/24" });
    expect(nextCidr(pool, { node: "n7", former: undefined, taken: [p("10.42.3.0/24")] })).toEqual({ kind: "reservation-taken", cidr: "10.42.3.0/24" });
    expect(cidrOf(nextCidr(pool, { node: "n1", former: p("10.42.3.0/24"), taken: [] }))).not.toBe("10.42.3.0/24");
    const others = Array.from({ length: 16 }, (_, i) => p(`10.42.${i}.0/24`)).filter((cidr) => cidr !== "10.42.3.0/24");
    expect(nextCidr(pool, { node: "n1", former: undefined, taken: others }).kind).toBe("exhausted");
  });

  test("is found in a large IPv6 pool without walking it", () => {
    const pool = testPool({ cidr: p("fd42::/48"), nodePrefix: 64 });
    const taken: Prefix[] = [];
    for (let i = 0; i < 300; i++) taken.push(cidrOf(nextCidr(pool, { node: `n${i % 7}`, former: undefined, taken }))!);
    expect(new Set(taken).size).toBe(300);
    expect(countSubnets(pool.cidr, 64)).toBe(65536n);
    const vast = testPool({ cidr: p("fd00::/8"), nodePrefix: 64 });
    expect(nextCidr(vast, { node: "n1", former: undefined, taken: [p("fd00::/9")] }).kind).toBe("try");
    expect(nextCidr(vast, { node: "n1", former: undefined, taken: [p("fd00::/8")] }).kind).toBe("exhausted");
  });

  test("is of the pool and free, or there is none: against the obvious way, on random pools", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 18, max: 24 }),
        fc.integer({ min: 0, max: 6 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 17, max: 32 }))),
        fc.string(),
        (length, bits, blocks, node) => {
          const pool = testPool({ cidr: p(`10.42.0.0/${length}`), nodePrefix: length + bits });
          const taken = blocks.map(([octet, each]) => parsePrefix(`10.42.${octet}.0/${each}`, true)!);
          const all = Array.from({ length: 2 ** bits }, (_, i) => i).map((i) =>
            parsePrefix(`10.42.${(i << (32 - length - bits)) >> 8}.${(i << (32 - length - bits)) & 255}/${length + bits}`)!,
          );
          const free = all.filter((cidr) => !taken.some((other) => overlaps(other, cidr)));
          const candidate = nextCidr(pool, { node, former: undefined, taken });
          if (candidate.kind === "exhausted") return free.length === 0;
          return free.includes(candidate.cidr);
        },
      ),
    );
  });
});
