/** Tests that stand in a document: run by the engine, and what failed is named by line and column. */
import { expect, test } from "vitest";
import { interpret } from "#daemon/document-text.ts";

const document = (tests: readonly string[], rules = usualRules): string => `podway: 1
name: t
store: none
nodes:
  rr: { address: 10.0.0.1, roles: [reflector] }
peers:
  - { name: up, address: 10.0.0.9, asn: 65001, import: [inbound], export: [inbound] }
sets:
  prefixes: { bogons: [{ prefix: 10.0.0.0/8, ge: 8 }, 0.0.0.0/0, "::/0"] }
  asPaths: { ours: ["_64512_"] }
  extendedCommunities: { targets: ["target:65000:*", "target:10.0.0.1:5"] }
policies:
  inbound:
    rules:
${rules.map((rule) => `      - ${rule}`).join("\n")}
    tests:
${tests.map((one) => `      - ${one}`).join("\n")}
`;
const usualRules = [
  "{ when: { prefixes: [{ set: bogons }] }, then: reject }",
  "{ when: { asPath: [{ set: ours }] }, then: reject }",
  '{ when: { communities: ["65001:*"] }, then: accept, set: { localPref: { add: 50 }, weight: 7, communities: { remove: ["65001:*"], add: ["64512:1"] } } }',
  '{ when: { extendedCommunities: [{ set: targets }] }, then: accept, set: { extendedCommunities: { replace: ["target:65000:9"] }, largeCommunities: ["64512:1:2"] } }',
  "{ when: { from: [up] }, then: accept, set: { nextHop: self } }",
  "{ then: accept, set: { med: remove, prepend: { asn: 65009, times: 2 } } }",
];
const said = (text: string): string => {
  const read = interpret(text, "t.yaml", "rr");
  return read.ok ? "good" : read.fault.text;
};

test("every test as expected: the document is good", () => {
  const tests = [
    "{ route: { prefix: 10.1.0.0/16 }, expect: reject }",
    '{ route: { prefix: "::/0" }, expect: { then: reject, rule: 1 } }',
    '{ route: { prefix: 192.0.2.0/24, asPath: "65001 {64512,7}" }, expect: { then: reject, rule: 2 } }',
    '{ route: { prefix: 192.0.2.0/24, asPath: "65001", communities: ["65001:5", "65002:1"] }, expect: { then: accept, localPref: 150, weight: 7, communities: ["64512:1", "65002:1"] } }',
    '{ direction: export, route: { prefix: 192.0.2.0/24, communities: ["65001:5"] }, expect: { then: accept, weight: 0, communities: ["64512:1"] } }',
    '{ route: { prefix: 192.0.2.0/24, extendedCommunities: ["target:10.0.0.1:5", "origin:1:1"] }, expect: { then: accept, extendedCommunities: ["target:65000:9"], largeCommunities: ["64512:1:2"] } }',
    "{ route: { prefix: 192.0.2.0/24, from: up }, expect: { then: accept, nextHop: 192.0.2.254 } }",
    '{ route: { prefix: 192.0.2.0/24, asPath: "65001", med: 4 }, expect: { then: accept, med: none, asPath: "65009 65009 65001" } }',
  ];
  expect(said(document(tests))).toBe("good");
});

test("what is not as expected stands with its line and column, the value that is and the rule that decided", () => {
  expect(said(document(["{ route: { prefix: 10.1.0.0/16 }, expect: accept }"]))).toBe(
    "t.yaml:22:51: policies.inbound.tests[0].expect: expected accept, and it is rejected by rule 1",
  );
  const lines = said(
    document(['{ name: the rest, route: { prefix: 192.0.2.0/24, asPath: "65001", med: 4 }, expect: { then: accept, rule: 3, med: 4, asPath: "65001" } }']),
  ).split("\n");
  expect(lines.map((line) => line.replace(/^t\.yaml:22:\d+: policies\.inbound\.tests\[0\]\./, ""))).toEqual([
    "expect.rule: the rest: expected rule 3 to decide, and it is rule 6",
    "expect.med: the rest: expected med 4, and it is none after rule 6",
    'expect.asPath: the rest: expected asPath "65001", and it is "65009 65009 65001" after rule 6',
  ]);
});

test.each([
  [
    "{ when: { prefixes: [{ set: bogon }] }, then: reject }",
    'policies.inbound.rules[0].when.prefixes[0].set: there is no set "bogon" in sets.prefixes; did you mean "bogons"?',
  ],
  ["{ when: { communities: [{ set: x }] }, then: reject }", 'there is no set "x" in sets.communities; declare it under sets: { communities: { x: [...] } }'],
  ['{ when: { asPath: ["^65001 (2"] }, then: reject }', "t.yaml:15:37: policies.inbound.rules[0].when.asPath[0]: a ) is missing"],
  ['{ when: { asPath: ["65001 ^ 2"] }, then: reject }', "t.yaml:15:35: policies.inbound.rules[0].when.asPath[0]: ^ stands at the beginning of a pattern only"],
  ["{ when: { from: [upp] }, then: reject }", 'when.from[0]: there is no neighbour "upp"; did you mean "up"?'],
  ["{ when: { med: { ge: 9, le: 3 } }, then: reject }", "no number is at least 9 and at most 3; write ge ≤ le"],
  ['{ when: { largeCommunities: ["1:2"] }, then: reject }', 'expected a large community such as "65000:1:2", where * stands for any number, not "1:2"'],
  ["{ then: accept, set: { nextHop: here } }", "rules[0].set.nextHop"],
  ["{ then: accept, set: { localPref: { plus: 1 } } }", "rules[0].set.localPref"],
])("%s", (rule, sentence) => {
  expect(said(document(["{ route: { prefix: 10.1.0.0/16 }, expect: reject }"], [rule]))).toContain(sentence);
});
