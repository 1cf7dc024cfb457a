/**
 * What `podway plan` says a change of a peer costs is what it costs: every field of a peer, changed on a speaker whose sessions
 * run. A field without a row here fails: whoever adds one says what changing it does. Neighbours that know enhanced refresh (RFC 7313)
 * and neighbours that do not are treated alike.
 */
import { expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import type { NodeSettings } from "#base/settings.ts";
import { diffDocuments } from "#config/diff.ts";
import { parseDocument } from "#config/parse.ts";
import { type JsonSchema, documentJsonSchema } from "#config/schema.ts";
import { interpret } from "#daemon/document-text.ts";
import { SpeakerBench } from "./speaker-bench.ts";

type Who = "inner" | "outer" | "range";
/** Which peer, what it says before (beside its fixed part) and after. */
type Row = readonly [who: Who, before: string, after: string];

const fixed: Readonly<Record<Who, string>> = {
  inner: "name: inner, address: 10.0.0.2, asn: 64512, client: true, passive: true",
  outer: "name: outer, address: 10.0.0.3, asn: 65001, passive: true, multihop: 2",
  range: "name: range, range: 10.7.0.0/16, asn: 64512, client: true",
};
const rows: Readonly<Record<string, Row>> = {
  name: ["inner", "", "name: other"],
  address: ["inner", "", "address: 10.0.0.9"],
  range: ["range", "", "range: 10.9.0.0/16"],
  asn: ["outer", "", "asn: 65002"],
  nodes: ["inner", "nodes: node == 'rr'", "nodes: role == 'reflector'"],
  port: ["inner", "", "port: 1179"],
  source: ["inner", "", "source: 10.0.0.8"],
  passive: ["inner", "", "passive: false"],
  families: ["inner", "", "families: [ipv4, ipv6]"],
  password: ["inner", "", "password: { file: /etc/podway/no-such-key }"],
  "password: another": ["inner", "password: { file: /etc/podway/no-such-key }", "password: { file: /etc/podway/another }"],
  multihop: ["outer", "", "multihop: 3"],
  ttlSecurity: ["inner", "", "ttlSecurity: 4"],
  holdTime: ["inner", "", "holdTime: 30s"],
  connectRetry: ["inner", "", "connectRetry: 7s"],
  nextHopSelf: ["inner", "", "nextHopSelf: false"],
  role: ["outer", "", "role: peer"],
  strictRole: ["outer", "role: peer", "role: peer, strictRole: true"],
  localAs: ["outer", "", "localAs: 64999"],
  asOverride: ["outer", "", "asOverride: true"],
  allowAsIn: ["outer", "", "allowAsIn: 2"],
  gracefulShutdown: ["inner", "", "gracefulShutdown: true"],
  sendHold: ["inner", "", "sendHold: 600s"],
  import: ["outer", "import: [all]", "import: [none]"],
  export: ["outer", "export: [all]", "export: [pods]"],
  gracefulRestart: ["inner", "", "gracefulRestart: off"],
  "gracefulRestart: partial": ["inner", "gracefulRestart: { longLived: {} }", "gracefulRestart: { longLived: { partial: true } }"],
  maxPrefixes: ["inner", "", "maxPrefixes: 500"],
  attributes: ["inner", "", "attributes: []"],
  bfd: ["inner", "", "bfd: {}"],
  addPath: ["inner", "", "addPath: { receive: true }"],
  extendedNextHop: ["inner", "", "extendedNextHop: true"],
  client: ["inner", "", "client: false"],
  limit: ["range", "", "limit: 7"],
};

const peerFields = Object.keys((documentJsonSchema() as Required<JsonSchema>).properties["peers"]!.items!.properties!);

/** The document with one peer's line as given; later keys of a line take the place of earlier ones. */
function documentWith(who: Who, more: string): string {
  const lines = Object.entries(fixed).map(([name, text]) => `  - { ${name === who ? merged(text, more) : text} }`);
  return `podway: 1\nname: t\nasn: 64512\nstore: none\nreflection: off\nnodes:\n  rr: { address: 10.0.0.1, roles: [reflector] }\npeers:\n${lines.join("\n")}\n`;
}
function merged(text: string, more: string): string {
  if (more === "") return text;
  const keys = [...more.matchAll(/(?:^|, )(\w+): /g)].map((match) => match[1]!);
  const dropped = keys.includes("ttlSecurity") ? [...keys, "multihop"] : keys;
  return [...text.split(", ").filter((part) => !dropped.some((key) => part.startsWith(`${key}: `))), more].join(", ");
}
function settingsOf(text: string): NodeSettings {
  const read = interpret(text, "t.yaml", "rr");
  if (!read.ok) throw new Error(read.fault.text);
  return read.value.settings;
}

test("every field of a peer has a row, and no row is of a field that is gone", () => {
  expect(new Set(Object.keys(rows).map((row) => row.split(":")[0]))).toEqual(new Set(peerFields));
});

const cases = Object.entries(rows).flatMap(([field, row]) => [true, false].map((enhanced) => [field, enhanced, row] as const));
test.each(cases)("%s, enhanced refresh: %s", (field, enhancedRouteRefresh, [who, before, after]) => {
  const [old, young] = [documentWith(who, before), documentWith(who, after)];
  const parsed = [old, young].map((text) => parseDocument(text, "t.yaml"));
  for (const each of parsed) expect(each).toMatchObject({ ok: true });
  const [a, b] = parsed.map((each) => (each.ok ? each.value.document : undefined));
  const changes = diffDocuments(a!, b!, []);
  expect(changes.length).toBeGreaterThan(0);
  const resets = changes.some(({ effect }) => effect === "session reset");
  expect(changes.every(({ effect }) => effect !== "restart" && effect !== "refused")).toBe(true);

  const running = settingsOf(old),
    next = settingsOf(young);
  const bench = new SpeakerBench(running.peers, running.policies);
  bench.speaker.configure(running.peers, running.ranges, bench.now);
  const ends = [
    { address: "10.0.0.2" as Ip, remoteAs: 64_512 },
    { address: "10.0.0.3" as Ip, remoteAs: 65_001 },
    { address: "10.7.0.7" as Ip, remoteAs: 64_512 },
  ];
  for (const end of ends) bench.connect(end, { routeRefresh: true, enhancedRouteRefresh });
  bench.settle();
  const up = (): ReadonlyMap<string, number> =>
    new Map(
      bench.speaker.neighbours
        .info()
        .filter(({ state }) => state === "Established")
        .map(({ address, flaps }) => [address, flaps]),
    );
  expect([...up().keys()].toSorted()).toEqual(ends.map(({ address }) => address));
  bench.speaker.usePolicies(next.policies);
  bench.speaker.configure(next.peers, next.ranges, bench.now);
  bench.settle();
  const kept = up();
  const of = { inner: "10.0.0.2", outer: "10.0.0.3", range: "10.7.0.7" } as const;
  for (const name of ["inner", "outer", "range"] as const) {
    const isKept = kept.get(of[name]) === 0;
    expect(`${field}: session with ${name} ${isKept ? "stays" : "ends"}`).toBe(`${field}: session with ${name} ${name === who && resets ? "ends" : "stays"}`);
  }
});
