import { describe, expect, test } from "vitest";
import type { Prefix } from "#base/prefix.ts";
import { effectOf } from "#config/change-effects.ts";
import { type DocumentChange, type HeldCidr, diffDocuments } from "#config/diff.ts";
import { type JsonSchema, documentJsonSchema } from "#config/schema.ts";
import { goodDocument, quickstart, spoil } from "./topology.ts";

const held = (pool: string, cidr: string, node: string): HeldCidr => ({ pool, cidr: cidr as Prefix, node });
const leases = [held("routed", "10.42.1.0/24", "n1"), held("routed", "10.42.2.0/24", "n2"), held("overlay", "10.43.7.0/24", "n2")];

function plan(from: string, to: string, claims: readonly HeldCidr[] = leases): readonly DocumentChange[] {
  return diffDocuments(goodDocument(quickstart), goodDocument(spoil(quickstart, from, to)), claims);
}
const lines = (changes: readonly DocumentChange[]): readonly string[] =>
  changes.map((one) => `${one.path}: ${one.before ?? "-"} → ${one.after ?? "-"}: ${one.effect}`);

describe("what a change costs", () => {
  test.each([
    ["name: quickstart", "name: slowstart", "name: quickstart → slowstart: refused"],
    ["asn: 64512", "asn: 64513", "asn: 64512 → 64513: restart"],
    ["10.0.0.2:2379", "10.0.0.3:2379", 'store.etcd.endpoints: ["http://10.0.0.2:2379"] → ["http://10.0.0.3:2379"]: restart'],
    ["asn: 64512", "timers: { hold: 30 }", "timers.hold: 90 → 30: session reset"],
    ["asn: 64512", "timers: { connectRetry: 30 }", "timers.connectRetry: 5 → 30: applied now"],
    ["asn: 64512", "gracefulRestart: { stale: 10m }", "gracefulRestart.stale: 300 → 600: applied now"],
    ["asn: 64512", "gracefulRestart: off", 'gracefulRestart: {"restart":360,"stale":300} → off: session reset'],
    ["asn: 64512", "lease: { hold: 12h }", "lease.hold: 86400 → 43200: restart"],
    ["asn: 64512", "routeProtocol: 118", "routeProtocol: 117 → 118: restart"],
    ["asn: 64512", "listen: { port: 1179 }", 'listen: - → {"port":1179}: applied now'],
    ["asn: 64512", "reflection: mesh", "reflection: auto → mesh: applied now"],
    ["labels: { rack: a }", "labels: { rack: b, gpu: yes }", "nodes.n1.labels.rack: a → b: applied now", "nodes.n1.labels.gpu: - → yes: applied now"],
    ["address: 10.0.0.22", "address: 10.0.0.23", "nodes.n2.address: 10.0.0.22 → 10.0.0.23: restart"],
    ["roles: [reflector]", "roles: [node, reflector]", 'nodes.rr1.roles: ["reflector"] → ["node","reflector"]: restart'],
    ["asn: 65001", "asn: 65002", "peers.tor-a.asn: 65001 → 65002: session reset"],
    ["asn: 65001", "asn: 65001, password: { file: /k }", 'peers.tor-a.password: - → {"file":"/k"}: session reset'],
    ["asn: 64512", "gracefulRestart: { longLived: {} }", 'gracefulRestart.longLived: - → {"staleTime":86400}: session reset'],
    ["asn: 65001", "asn: 65001, role: customer", "peers.tor-a.role: - → customer: session reset"],
    ["asn: 65001", "asn: 65001, localAs: 64999", "peers.tor-a.localAs: - → 64999: session reset"],
    ["asn: 65001", "asn: 65001, asOverride: true", "peers.tor-a.asOverride: - → true: route refresh"],
    ["asn: 65001", "asn: 65001, allowAsIn: 1", "peers.tor-a.allowAsIn: - → 1: route refresh"],
    ["asn: 65001", "asn: 65001, gracefulShutdown: true", "peers.tor-a.gracefulShutdown: - → true: route refresh"],
    ["asn: 65001", "asn: 65001, sendHold: 60s", "peers.tor-a.sendHold: - → 60: applied now"],
    ["asn: 65001", "asn: 65001, gracefulRestart: { stale: 10m }", 'peers.tor-a.gracefulRestart: - → {"restart":360,"stale":600}: session reset'],
    ["asn: 65001", "asn: 65001, maxPrefixes: { most: 10, warning: 80 }", 'peers.tor-a.maxPrefixes: - → {"most":10,"warning":80,"restart":60}: applied now'],
    ["asn: 65001", "asn: 65001, maxPrefixes: 10", "peers.tor-a.maxPrefixes: - → 10: applied now"],
    ["asn: 65001", "asn: 65001, bfd: {}", 'peers.tor-a.bfd: - → {"interval":300,"multiplier":3}: applied now'],
    ["rack == 'a'", "has(rack)", "peers.tor-a.nodes: rack == 'a' → has(rack): applied now"],
    ["import: [default-route]", "import: [all]", 'peers.tor-a.import: ["default-route"] → ["all"]: route refresh'],
    ["export: [pods]", "export: [own]", 'peers.tor-a.export: ["pods"] → ["own"]: route refresh'],
    ["vni: 43", "vni: 44", "pools.overlay.vni: 43 → 44: applied now"],
    ["vni: 43", "vni: 43, mtu: 1400", "pools.overlay.mtu: - → 1400: applied now"],
    ["vni: 43", "vni: 43, state: draining", "pools.overlay.state: active → draining: applied now"],
    ["vni: 43", "vni: 43, reservations: { n1: 10.43.1.0/24 }", "pools.overlay.reservations.n1: - → 10.43.1.0/24: applied now"],
    ["vni: 43", "vni: 43, reservations: { n2: 10.43.7.0/24 }", "pools.overlay.reservations.n2: - → 10.43.7.0/24: applied now"],
    ["vni: 43", "vni: 43, reservations: { n1: 10.43.7.0/24 }", "pools.overlay.reservations.n1: - → 10.43.7.0/24: refused"],
    ["bird-tor.conf", "tor.conf", "lab.kinds.bird.config: bird-tor.conf → tor.conf: applied now"],
  ])("%s → %s", (from, to, ...expected) => {
    // Rows that put another key in the place of `asn` have its default, 64512, which is no change.
    expect(lines(plan(from, to))).toEqual(expected);
  });

  test("policies are told rule by rule list", () => {
    const [change, ...others] = plan("ge: 24", "ge: 25");
    expect(others).toEqual([]);
    expect(change).toMatchObject({ path: "policies.own.rules", effect: "route refresh" });
  });
});

describe("nothing is taken from under a lease", () => {
  const routed = "  - { name: routed,  cidr: 10.42.0.0/16, nodePrefix: 24, backend: bgp }\n";
  const why = "leases are held in this pool (10.42.1.0/24 of n1, 10.42.2.0/24 of n2); set state: draining, move the pods, and change it when no lease is left";

  test.each([
    ["10.42.0.0/16, nodePrefix", "10.52.0.0/16, nodePrefix", "pools.routed.cidr"],
    ["10.42.0.0/16, nodePrefix", "10.42.0.0/17, nodePrefix", "pools.routed.cidr"],
    ["nodePrefix: 24, backend: bgp", "nodePrefix: 25, backend: bgp", "pools.routed.nodePrefix"],
  ])("%s → %s is refused while leases exist, and applied when none is left", (from, to, path) => {
    expect(plan(from, to)).toMatchObject([{ path, effect: "refused", text: why }]);
    expect(plan(from, to, [leases[2]!])).toMatchObject([{ path, effect: "applied now" }]);
  });

  test("another backend is taken node by node, with what belongs to it", () => {
    const text = "nodes take the new way one by one; until both ends have it packets go the old one, and every CIDR stays";
    expect(plan("nodePrefix: 24, backend: bgp", "nodePrefix: 24, backend: vxlan, vni: 44")).toEqual([
      { path: "pools.routed.backend", before: "bgp", after: "vxlan", effect: "applied now", text },
      { path: "pools.routed.vni", before: null, after: "44", effect: "applied now", text },
    ]);
  });

  test("removing a pool", () => {
    expect(plan(routed, "")).toMatchObject([{ path: "pools.routed", after: null, effect: "refused", text: why.replace("change it", "remove it") }]);
    expect(plan(routed, "", [leases[2]!])).toMatchObject([{ path: "pools.routed", after: null, effect: "applied now" }]);
  });

  test("enlarging is applied now", () => {
    expect(plan("fd42::/48", "fd42::/40", [held("routed6", "fd42::/64", "n1")])).toEqual([
      { path: "pools.routed6.cidr", before: "fd42::/48", after: "fd42::/40", effect: "applied now", text: "enlarged; every lease stays as it is" },
    ]);
  });

  test("removing a node says what becomes of its leases", () => {
    expect(plan('  n2:  { address: 10.0.0.22, address6: "fd00::22", labels: { rack: b } }\n', "")).toMatchObject([
      {
        path: "nodes.n2",
        after: null,
        effect: "applied now",
        text: "its sessions end; it keeps 10.42.2.0/24, 10.43.7.0/24 until its hold runs out, or until podway evict n2",
      },
    ]);
  });
});

describe("what is no change", () => {
  test.each([
    ["a comment", "asn: 64512", "asn: 64512 # ours"],
    ["quotes", "name: quickstart", 'name: "quickstart"'],
    ["another notation of an address", '"fd00::21"', '"FD00:0::21"'],
    ["another notation of a duration", "asn: 64512", "asn: 64512\nlease: { hold: 1440m }"],
    ["a default written out", "vni: 43", "vni: 43, port: 4789, state: active"],
    ["the order of keys", "{ name: overlay, cidr: 10.43.0.0/16,", "{ cidr: 10.43.0.0/16, name: overlay,"],
    ["the order of nodes", "nodes:\n", 'nodes:\n  n1:  { address: 10.0.0.21, address6: "fd00::21", labels: { rack: a } }\n'],
  ])("%s", (_name, from, to) => {
    const text = spoil(quickstart, from, to);
    const once = to.startsWith("nodes:") ? text.replace(/(n1: .*\n)([^]*?)  n1: .*\n/, "$1$2") : text;
    expect(diffDocuments(goodDocument(quickstart), goodDocument(once), leases)).toEqual([]);
  });

  test("nodePrefix left out is its default", () => {
    expect(plan("nodePrefix: 24, backend: bgp", "backend: bgp")).toMatchObject([{ path: "pools.routed.nodePrefix", effect: "applied now" }]);
  });
});

test("entries that come and go", () => {
  expect(lines(plan("nodes:\n", "nodes:\n  rr2: { address: 10.0.0.12, roles: [reflector] }\n"))).toEqual([
    'nodes.rr2: - → {"address":"10.0.0.12","roles":["reflector"],"labels":{},"nextHopResolution":"off","originValidation":"lease"}: applied now',
  ]);
  const gone = plan(/ {2}- \{ name: tor-a.*\n/.exec(quickstart)![0], "  - { name: tor-b, address: 10.0.0.1, asn: 65001, import: [all] }\n");
  expect(gone.map(({ path, effect }) => [path, effect])).toEqual([
    ["peers.tor-a", "session reset"],
    ["peers.tor-b", "applied now"],
  ]);
});

test("the order of pools counts, since the first is the default", () => {
  const [first, second] = quickstart.split("\n").slice(6, 8) as [string, string];
  expect(plan(`${first}\n${second}`, `${second}\n${first}`)).toEqual([
    {
      path: "pools",
      before: "routed, routed6, overlay",
      after: "routed6, routed, overlay",
      effect: "applied now",
      text: "another order; pods that name no pool take the first from now on",
    },
  ]);
});

test("every key of the schema has a row that says what changing it costs", () => {
  const unknown = effectOf(["no", "such", "key"], "changed");
  const walk = (schema: JsonSchema, path: readonly string[]): readonly string[] => {
    const maps = [schema, ...(schema.anyOf ?? [])];
    const inner = maps.flatMap((one) => [
      ...Object.entries(one.properties ?? {}).flatMap(([key, child]) => walk(child, [...path, key])),
      ...(typeof one.additionalProperties === "object" ? walk(one.additionalProperties, [...path, "x"]) : []),
      ...(path.length === 1 && one.items ? walk(one.items, [...path, "x"]) : []),
    ]);
    return inner.length > 0 ? inner : [path.join(".")];
  };
  const leaves = walk(documentJsonSchema(), []);
  expect(leaves.length).toBeGreaterThan(70);
  expect(leaves.filter((path) => effectOf(path.split("."), "changed").text === unknown.text && !path.startsWith("store"))).toEqual([]);
});
