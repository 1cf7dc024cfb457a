import { describe, expect, test } from "vitest";
import { parseIp, parseMac } from "#base/ip.ts";
import type { LeaseRecord } from "#base/lease.ts";
import { parsePrefix } from "#base/prefix.ts";
import { encodeLease, encodePresence, leaseKey, parseLease, parseLeaseKey, parsePresence, presenceKey } from "#ipam/lease-record.ts";

const octets = (text: string): Uint8Array => new TextEncoder().encode(text);
const entry = (key: string, value: Uint8Array, lease: string | undefined = "77") => ({ key, value, createRevision: 5n, modRevision: 9n, lease });
const record: LeaseRecord = {
  schema: 1,
  node: "n7",
  pool: "routed",
  cidr: parsePrefix("10.42.7.0/24")!,
  identity: "machine/nonce",
  address: parseIp("10.0.0.27")!,
  address6: parseIp("fd00::27")!,
  vtepMac: parseMac("02:00:00:00:00:07")!,
};
const key = leaseKey(record.pool, record.cidr);

describe("a claim in the store", () => {
  test("comes back as it was written, with the revision that made it", () => {
    expect(key).toBe("leases/routed/10.42.7.0-24");
    expect(parseLease(entry(key, encodeLease(record)))).toEqual({ ok: true, value: { ...record, createRevision: 5n } });
    const bare: LeaseRecord = { schema: 1, node: "n7", pool: "routed6", cidr: parsePrefix("fd42:0:0:7::/64")!, identity: "i", address: parseIp("10.0.0.27")! };
    const key6 = leaseKey(bare.pool, bare.cidr);
    expect(key6).toBe("leases/routed6/fd42:0:0:7::-64");
    expect(parseLease(entry(key6, encodeLease(bare)))).toEqual({ ok: true, value: { ...bare, createRevision: 5n } });
  });

  test("is a reservation exactly when no lease ends it", () => {
    const kept = parseLease({ ...entry(key, encodeLease(record)), lease: undefined });
    expect(kept.ok && kept.value.reserved).toBe(true);
  });

  test("keeps what this version does not know out, and what it cannot use", () => {
    const value = octets(JSON.stringify({ ...record, colour: "green", vtepMac: "no mac", address6: 6 }));
    const { vtepMac: _mac, address6: _six, ...rest } = record;
    expect(parseLease(entry(key, value))).toEqual({ ok: true, value: { ...rest, createRevision: 5n } });
  });

  test.each([
    ["no JSON", octets("{")],
    ["no object", octets("[1]")],
    ["null", octets("null")],
    ["no UTF-8", Uint8Array.of(0x7b, 0xff, 0x7d)],
    ["empty", octets("")],
    ["another schema", octets(JSON.stringify({ ...record, schema: 2 }))],
    ["another pool than its key", octets(JSON.stringify({ ...record, pool: "other" }))],
    ["another CIDR than its key", octets(JSON.stringify({ ...record, cidr: "10.42.8.0/24" }))],
    ["no node", octets(JSON.stringify({ ...record, node: "" }))],
    ["no identity", octets(JSON.stringify({ ...record, identity: 7 }))],
    ["no address", octets(JSON.stringify({ ...record, address: "10.0.0.300" }))],
  ])("that has %s counts as absent, with a note that names the key", (_, value) => {
    const parsed = parseLease(entry(key, value));
    expect(parsed).toMatchObject({ ok: false, fault: { level: "warn", event: "lease.unreadable", fields: { key } } });
    expect(!parsed.ok && parsed.fault.text.startsWith(`the store's key ${key} is ignored: `)).toBe(true);
  });

  test.each([
    "leases/routed",
    "leases/routed/",
    "leases/routed/10.42.7.0/24",
    "leases/routed/10.42.7.1-24",
    "leases/a/b/10.42.7.0-24",
    "leases/routed/x-24",
    "leases//10.42.7.0-24",
    "nodes/n7",
  ])("is not what stands under %s", (other) => {
    expect(parseLeaseKey(other)).toBeUndefined();
    expect(parseLease(entry(other, encodeLease(record))).ok).toBe(false);
  });
});

describe("presence in the store", () => {
  const presence = { schema: 1, node: "n7", identity: "i", address: parseIp("10.0.0.27")!, address6: parseIp("fd00::27")!, version: "0.1.0" } as const;
  test("comes back as it was written", () => {
    expect(parsePresence(entry(presenceKey("n7"), encodePresence(presence)))).toEqual({ ok: true, value: presence });
  });
  test.each([
    ["no JSON", octets("-")],
    ["another schema", octets(JSON.stringify({ ...presence, schema: 9 }))],
    ["another node than its key", octets(JSON.stringify({ ...presence, node: "n8" }))],
    ["no address", octets(JSON.stringify({ ...presence, address: 1 }))],
  ])("that has %s counts as absent", (_, value) => {
    expect(parsePresence(entry(presenceKey("n7"), value)).ok).toBe(false);
  });
});
