import { describe, expect, test } from "vitest";
import { parseIp } from "#base/ip.ts";
import type { Note } from "#base/note.ts";
import { type Prefix, parsePrefix } from "#base/prefix.ts";
import { Claims } from "#ipam/claims.ts";
import type { StoreEvent, StoredEntry } from "#ipam/exchange.ts";
import { encodeLease, leaseKey } from "#ipam/lease-record.ts";

const p = (text: string): Prefix => parsePrefix(text)!;
const a = p("10.42.0.0/24"),
  b = p("10.42.1.0/24");
const entry = (cidr: Prefix, node: string, modRevision: bigint, pool = "p"): StoredEntry => ({
  key: leaseKey(pool, cidr),
  value: encodeLease({ schema: 1, node, pool, cidr, identity: `id-${node}`, address: parseIp("10.0.0.1")! }),
  createRevision: modRevision,
  modRevision,
  lease: "1",
});
const put = (of: StoredEntry): StoreEvent => ({ kind: "put", entry: of });
const gone = (cidr: Prefix, revision: bigint): StoreEvent => ({ kind: "delete", key: leaseKey("p", cidr), revision });
const snapshot = (revision: bigint, ...entries: StoredEntry[]): StoreEvent => ({ kind: "snapshot", entries, revision });

function claims(...events: StoreEvent[]): { readonly claims: Claims; readonly notes: Note[]; holders(): Record<string, string> } {
  const made = new Claims("p"),
    notes: Note[] = [];
  for (const event of events) made.see(event, notes);
  return { claims: made, notes, holders: () => Object.fromEntries(Array.from(made.all(), ({ cidr, record }) => [cidr, record?.node ?? "unreadable"])) };
}

describe("what is known of a pool's claims", () => {
  test("is nothing before the first snapshot, and only this pool's", () => {
    expect(claims().claims.isSynced).toBe(false);
    const of = claims(snapshot(9n, entry(a, "n1", 5n), entry(b, "n2", 6n, "q")), put(entry(b, "n3", 10n, "q")));
    expect(of.claims.isSynced).toBe(true);
    expect(of.holders()).toEqual({ [a]: "n1" });
  });

  test("an answer that overtook the watch counts, and the watch that comes after it changes nothing", () => {
    const of = claims(snapshot(9n));
    of.claims.learn(leaseKey("p", a), entry(a, "n1", 12n), 12n);
    expect(of.holders()).toEqual({ [a]: "n1" });
    of.claims.see(put(entry(b, "n2", 11n)), []);
    of.claims.see(put(entry(a, "n1", 12n)), []);
    expect(of.holders()).toEqual({ [a]: "n1", [b]: "n2" });
  });

  test("an answer the watch has overtaken is old: a claim that was deleted since does not come back", () => {
    const of = claims(snapshot(9n), put(entry(a, "n1", 10n)), gone(a, 11n));
    of.claims.learn(leaseKey("p", a), entry(a, "n1", 10n), 10n);
    expect(of.holders()).toEqual({});
    const put2 = claims(snapshot(9n), put(entry(a, "n2", 12n)));
    put2.claims.learn(leaseKey("p", a), undefined, 11n);
    expect(put2.holders()).toEqual({ [a]: "n2" });
  });

  test("a delete and a put that are older than what is known are ignored; a newer one is told as room", () => {
    const of = claims(snapshot(9n));
    of.claims.learn(leaseKey("p", a), entry(a, "n2", 15n), 15n);
    expect(of.claims.see(gone(a, 14n), [])).toBe(false);
    expect(of.holders()).toEqual({ [a]: "n2" });
    expect(of.claims.see(gone(a, 16n), [])).toBe(true);
    expect(of.claims.see(gone(a, 17n), [])).toBe(false);
    expect(of.holders()).toEqual({});
  });

  test("a snapshot replaces all but what is newer than it, and one of a restored store replaces all", () => {
    const of = claims(snapshot(9n, entry(a, "n1", 5n)));
    of.claims.learn(leaseKey("p", b), entry(b, "n2", 14n), 14n);
    expect(of.claims.see(snapshot(12n), [])).toBe(true);
    expect(of.holders()).toEqual({ [b]: "n2" });
    of.claims.see(snapshot(3n, entry(a, "n9", 2n)), []);
    expect(of.holders()).toEqual({ [a]: "n9" });
  });

  test("a value that cannot be read takes its CIDR all the same, and is noted", () => {
    const of = claims(snapshot(9n, { ...entry(a, "n1", 5n), value: new Uint8Array() }));
    expect(of.holders()).toEqual({ [a]: "unreadable" });
    expect(of.notes).toHaveLength(1);
  });
});
