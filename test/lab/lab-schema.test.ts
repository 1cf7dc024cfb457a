import { expect, test } from "vitest";
import { parseDocument } from "#config/parse.ts";
import { labMachines, LabSection } from "#config/lab-schema.ts";

const head = `podway: 1
name: t
pools: [{ name: routed, cidr: 10.42.0.0/16, nodePrefix: 24, backend: bgp }]
nodes: { n1: { address: 10.0.0.21 } }
`;
const fault = (lab: string): string => {
  const parsed = parseDocument(`${head}lab:\n${lab}`, "t.yaml");
  return parsed.ok ? "" : parsed.fault.text;
};

test.each([
  ["a link to a machine that is not there", `  links: [{ endpoints: ["n1:eth1", "sw9:p1"] }]`, /t\.yaml:6:\d+: .*there is no machine "sw9"/],
  [
    "an interface used twice",
    `  links: [{ endpoints: ["n1:eth1", "n1:eth2"] }, { endpoints: ["n1:eth1", "n1:eth3"] }]`,
    /n1:eth1 is used by an earlier link already/,
  ],
  ["an interface name longer than the kernel takes", `  links: [{ endpoints: ["n1:abcdefghijklmnop", "n1:eth2"] }]`, /at most 15 characters/],
  ["an address of the wrong family", `  links: [{ endpoints: ["n1:eth1", "n1:eth2"], ipv4: ["fd00::1/64"] }]`, /fd00::1\/64 is no ipv4 address/],
  [
    "an address given twice",
    `  links: [{ endpoints: ["n1:eth1", "n1:eth2"], ipv4: [10.0.0.1/24, 10.0.0.1/24] }]`,
    /10\.0\.0\.1\/24 is the address of n1:eth1 already/,
  ],
  ["a machine without a kind", `  nodes: { x: {} }`, /x: has no kind; state one of podway, etcd/],
  ["a router daemon without its configuration", `  nodes: { x: { kind: bird } }`, /needs config: FILE/],
  ["a daemon that the document does not declare", `  nodes: { x: { kind: podway } }`, /must stand under nodes: as well/],
  ["a pod of an unknown pool", `  nodes: { x: { kind: host, node: n1, pool: rooted } }`, /there is no pool "rooted"; there are routed/],
  ["a pod of no node", `  nodes: { x: { kind: host, pool: routed } }`, /a pool's address needs node: NAME/],
  ["an unknown group", `  nodes: { n1: { group: left } }`, /there is no group "left"/],
  ["an expectation of an unknown machine", `  expect: { sessions: [{ node: n7, peers: [n1] }] }`, /there is no machine "n7"/],
  ["a key that is misspelt", `  nodes: { x: { kind: host, adresses: [] } }`, /unknown key; did you mean "addresses"/],
])("%s is refused in one sentence", (_what, lab, sentence) => {
  const text = fault(lab);
  expect(text).toMatch(sentence);
  expect(text.split("\n")).toHaveLength(1);
});

test("defaults, kind, group and machine are merged in that order: scalars first set wins, maps and lists add up", () => {
  const lab = LabSection.parse({
    defaults: { sysctls: { "net.a": 1, "net.b": 1 }, exec: ["d"], config: "defaults.conf" },
    kinds: { bird: { sysctls: { "net.b": 2 }, exec: ["k"], config: "kind.conf" } },
    groups: { left: { kind: "bird", sysctls: { "net.c": 3 }, exec: ["g"] } },
    nodes: { x: { group: "left", exec: ["n"], sysctls: { "net.b": 4 } } },
  });
  expect(labMachines(lab, { nodes: [], pools: [] })[0]).toMatchObject({
    name: "x",
    kind: "bird",
    config: "kind.conf",
    exec: ["d", "k", "g", "n"],
    sysctls: { "net.a": 1, "net.b": 4, "net.c": 3 },
  });
});
