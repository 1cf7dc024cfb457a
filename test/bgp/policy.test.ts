import { describe, expect, test } from "vitest";
import type { Prefix } from "#base/prefix.ts";
import type { PolicyRule, PolicySettings } from "#base/settings.ts";
import { compilePolicies, explainPolicies } from "#bgp/policy.ts";
import { AttributeTable } from "#bgp/rib/attributes.ts";
import { LocRib } from "#bgp/rib/loc-rib.ts";
import { PeerTable, type Role, roleClient, roleExternal, roleLocal, roleNonClient } from "#bgp/rib/peer-table.ts";
import type { PathAttributes } from "#wire/bgp/attribute.ts";
import { prefixParts } from "#base/prefix.ts";
import { chance } from "../sim/chance.ts";
import { sequence, v4Hop, v6Hop } from "./rib-peers.ts";
import { bitsOf } from "./twins.ts";

const attributes = new AttributeTable({ asn: 65_000, routerId: 1, clusterId: 1, addresses: [] });
const peers = new PeerTable(),
  rib4 = new LocRib(0, attributes, peers),
  rib6 = new LocRib(1, attributes, peers);
const base: PathAttributes = { origin: 0, asPath: sequence(7), nextHop: v4Hop(1), communities: Uint32Array.of(9), med: 3 };
const rule = (more: Partial<PolicyRule>): PolicyRule => ({ when: {}, then: "accept", set: {}, ...more });
const within = (prefix: string, ge: number, le: number): PolicyRule["when"] => ({ prefixes: [{ prefix: prefix as Prefix, ge, le }] });
const policy = (otherwise: "accept" | "reject", ...rules: PolicyRule[]): PolicySettings => ({ name: "some", rules, otherwise });

function idOf(prefix: string): { readonly rib: LocRib; readonly id: number } {
  const { bytes, length } = prefixParts(prefix as Prefix),
    rib = bytes.length === 4 ? rib4 : rib6;
  return { rib, id: rib.prefixes.intern(bytes, 0, length) };
}
/** What becomes of a route: its attributes, or undefined. */
function apply(
  policies: readonly PolicySettings[],
  prefix: string,
  { from = roleClient as Role, way = "import" as "import" | "export", values = base } = {},
): PathAttributes | undefined {
  const { rib, id } = idOf(prefix),
    six = rib === rib6,
    { nextHop: _, ...others } = values;
  const set = six ? attributes.internValues(others, v6Hop(1)) : attributes.internValues(values, undefined);
  attributes.retain(set);
  const compiled = compilePolicies(policies, attributes, way),
    told = compiled.filter(rib, id, set, from);
  const out = told === 0 ? undefined : { ...attributes.decode(told), ...(six && { nextHop: attributes.nextHopOf(told) }) };
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
    const first = policy("reject", rule({ when: within("10.1.0.0/16", 16, 24), set: { med: 1 } })),
      second = policy("accept", rule({ when: within("10.0.0.0/8", 8, 32), then: "reject" }), rule({ set: { med: 2 } }));
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
    const set = { localPref: 200, med: 7, communities: [5, 9], prepend: 2 };
    expect(apply([policy("reject", rule({ set }))], "10.1.0.0/16")).toEqual({
      ...base,
      localPref: 200,
      med: 7,
      communities: Uint32Array.of(5, 9),
      asPath: sequence(65_000, 65_000, 7),
    });
    expect(apply([policy("reject", rule({ set }))], "fd00:1::/48")).toMatchObject({ med: 7, nextHop: v6Hop(1) });
  });

  test("on the way out LOCAL_PREF stays inside (RFC 4271 §5.1.5)", () => {
    expect(apply([policy("reject", rule({ set: { localPref: 200 } }))], "10.1.0.0/16", { way: "export" })).toEqual(base);
    expect(apply([policy("reject", rule({ set: { localPref: 200, med: 1 } }))], "10.1.0.0/16", { way: "export" })).toEqual({ ...base, med: 1 });
  });

  test("by source", () => {
    const policies = [
      policy(
        "reject",
        rule({ when: { source: "internal" }, set: { med: 1 } }),
        rule({ when: { source: "local" }, set: { med: 2 } }),
        rule({ when: { source: "external" }, set: { med: 4 } }),
      ),
    ];
    expect(([roleLocal, roleClient, roleNonClient, roleExternal] as const).map((from) => apply(policies, "10.1.0.0/16", { from })?.med)).toEqual([2, 1, 1, 4]);
  });

  test("10,000 prefixes against bits: within, and between the two lengths, of the same family", () => {
    const random = chance(8);
    let matched = 0;
    for (let n = 0; n < 10_000; n++) {
      const size = random() < 0.5 ? 4 : 16,
        octets = Uint8Array.from({ length: size }, (_, i) => (i === 0 ? 10 : Math.floor(random() * 2) * 128));
      const rib = size === 4 ? rib4 : rib6,
        length = Math.floor(random() * (size * 8 + 1)),
        id = rib.prefixes.intern(octets, 0, length);
      const outer =
        random() < 0.1
          ? "::/0"
          : size === 4
            ? (["10.0.0.0/8", "10.128.0.0/9", "10.128.0.0/10", "0.0.0.0/0"] as const)[Math.floor(random() * 4)]!
            : (["a00::/8", "a80::/16", "::/0"] as const)[Math.floor(random() * 3)]!;
      const ge = Math.floor(random() * 30),
        le = ge + Math.floor(random() * 60),
        { bytes, length: bits } = prefixParts(outer as Prefix);
      const want = bytes.length === size && length >= ge && length <= le && length >= bits && bitsOf(octets, length).startsWith(bitsOf(bytes, bits));
      const got = compilePolicies([policy("reject", rule({ when: within(outer, ge, le) }))], attributes, "import").filter(rib, id, 1, roleClient) === 1;
      if (got !== want) throw new Error(`${rib.prefixes.text(id)} within ${outer} ge ${ge} le ${le}: ${got}`);
      if (want) matched++;
    }
    expect(matched).toBeGreaterThan(1000);
  });

  test("nothing stays behind when it is closed", () => {
    expect(attributes.live).toBe(0);
  });

  test("says which rule decides", () => {
    const policies = [
      { ...policy("reject", rule({ when: within("10.1.0.0/16", 16, 24) })), name: "pods" },
      { ...policy("reject", rule({ when: { source: "local" }, then: "reject" })), name: "rest" },
    ];
    const said = (of: string, from: Role): string => explainPolicies(policies, idOf(of).rib, idOf(of).id, from);
    expect([said("10.1.2.0/24", roleClient), said("10.2.0.0/16", roleLocal), said("10.2.0.0/16", roleClient)]).toEqual([
      "accepted by policy pods, rule 1",
      "rejected by policy rest, rule 1",
      "no rule of pods, rest matches, so it is rejected",
    ]);
    expect(explainPolicies([], rib4, 0, roleClient)).toContain("RFC 8212");
  });
});
