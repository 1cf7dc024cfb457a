import { describe, expect, test } from "vitest";
import { parseIp } from "#base/ip.ts";
import type { Lease } from "#base/lease.ts";
import { type Prefix, parsePrefix } from "#base/prefix.ts";
import type { Instant } from "#base/time.ts";
import { OriginLedger } from "#ipam/origin-ledger.ts";

const one = parsePrefix("10.42.1.0/24")!;
const t = (seconds: number): Instant => (seconds * 1000) as Instant;
const lease = (node: string, createRevision: bigint, more: Partial<Lease> = {}): Lease => ({
  schema: 1,
  node,
  pool: "p",
  cidr: one,
  identity: `id-${node}`,
  address: parseIp("10.0.0.1")!,
  createRevision,
  epoch: 1,
  ...more,
});
const holder = (ledger: OriginLedger, cidr: Prefix = one): string | undefined => ledger.holders.get(cidr)?.node;

describe("whose a CIDR is for those who take routes", () => {
  test("the later claim's, at once", () => {
    const ledger = new OriginLedger(60);
    expect([ledger.see([lease("a", 5n)], t(0)), holder(ledger)]).toEqual([true, "a"]);
    expect([ledger.see([lease("a", 5n)], t(1)), ledger.nextDeadline()]).toEqual([false, undefined]);
    expect([ledger.see([lease("b", 9n)], t(2)), holder(ledger)]).toEqual([true, "b"]);
    expect([ledger.see([lease("c", 3n, { epoch: 2 })], t(3)), holder(ledger)]).toEqual([true, "c"]);
  });

  test("the last holder's while no claim stands", () => {
    const ledger = new OriginLedger(60);
    ledger.see([lease("a", 5n)], t(0));
    expect([ledger.see([], t(1)), holder(ledger)]).toEqual([false, "a"]);
  });

  test("an older claim in a restored store counts only if nobody puts a later one back in time", () => {
    const ledger = new OriginLedger(60);
    ledger.see([lease("b", 9n)], t(0));
    expect([ledger.see([lease("a", 5n)], t(10)), holder(ledger), ledger.nextDeadline()]).toEqual([false, "b", t(70)]);
    expect([ledger.see([lease("a", 5n)], t(69)), holder(ledger)]).toEqual([false, "b"]);
    expect([ledger.see([lease("b", 12n, { made: 9n })], t(69)), ledger.nextDeadline()]).toEqual([false, undefined]);
    ledger.see([lease("a", 5n)], t(80));
    expect([ledger.see([lease("a", 5n)], t(140)), holder(ledger)]).toEqual([true, "a"]);
  });
});
