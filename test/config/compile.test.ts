import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { NodeSettings } from "#base/settings.ts";
import { compileNode } from "#config/compile.ts";
import { exampleDocument } from "#config/manual.ts";
import { parseDocument } from "#config/parse.ts";
import { goodDocument, problemsOf, quickstart, spoil } from "./topology.ts";

function settingsOf(text: string, node: string): NodeSettings {
  const settings = compileNode(goodDocument(text), node);
  if (!settings.ok) throw new Error(settings.fault.text);
  return settings.value;
}

/** `n2 dials 10.0.0.21:179 as non-client from 10.0.0.22`, one per session. */
const sessions = (settings: NodeSettings): readonly string[] =>
  settings.peers.map(
    (peer) => `${peer.passive ? "awaits" : "dials"} ${peer.name} ${peer.address}:${peer.port} as ${peer.role} from ${peer.source ?? "the link"}`,
  );

const session = {
  holdSeconds: 90,
  connectRetrySeconds: 5,
  families: ["ipv4", "ipv6"],
  passive: false,
  gracefulRestart: { restartSeconds: 360, staleSeconds: 300 },
  md5: undefined,
  multihop: undefined,
  ttlSecurityHops: undefined,
  nextHopSelf: true,
  import: [],
  export: [],
  maxPrefixes: undefined,
};
const pods = {
  alarmPercent: 90,
  coolDownSeconds: 30,
  dns: { nameservers: [], options: [], search: [] },
  exclude: [],
  keepSeconds: 86_400,
  namespaces: [],
  quota: {},
  ranges: [],
  reserve: [],
  roam: false,
  routes: [],
};
const pool = { pods, port: 4789, crossSubnet: true, masquerade: false, state: "active", reservations: {}, vni: undefined, mtu: undefined };

test("the quickstart document, for a node, to the last setting", () => {
  expect(settingsOf(quickstart, "n1")).toEqual({
    cluster: "quickstart",
    node: "n1",
    roles: ["node"],
    asn: 64512,
    routerId: "10.0.0.21",
    clusterId: "10.0.0.21",
    address: "10.0.0.21",
    address6: "fd00::21",
    labels: { rack: "a" },
    listen: undefined,
    store: {
      kind: "etcd",
      endpoints: ["http://10.0.0.2:2379"],
      prefix: "/podway/quickstart",
      ca: undefined,
      cert: undefined,
      key: undefined,
      username: undefined,
      password: undefined,
    },
    pools: [
      { ...pool, name: "routed", cidr: "10.42.0.0/16", family: 4, nodePrefix: 24, backend: "bgp" },
      { ...pool, name: "routed6", cidr: "fd42::/48", family: 6, nodePrefix: 64, backend: "bgp" },
      { ...pool, name: "overlay", cidr: "10.43.0.0/16", family: 4, nodePrefix: 24, backend: "vxlan", vni: 43 },
    ],
    peers: [
      { ...session, name: "rr1", address: "10.0.0.11", port: 179, source: "10.0.0.21", remoteAs: 64512, role: "non-client" },
      {
        ...session,
        name: "tor-a",
        address: "10.0.0.1",
        port: 179,
        source: undefined,
        remoteAs: 65001,
        role: "external",
        multihop: 1,
        import: ["default-route"],
        export: ["pods"],
      },
    ],
    ranges: [],
    reflection: {
      sessions: ["rr1"],
      reflectors: ["rr1"],
      reflecting: ["rr1"],
      nodes: ["rr1", "n1", "n2"],
      // n1 has the lower address and dials, but accepts too while there is no reflector.
      fallback: {
        peers: [{ ...session, name: "n2", address: "10.0.0.22", port: 179, source: "10.0.0.21", remoteAs: 64512, role: "non-client" }],
        listen: { addresses: [], port: 179 },
        afterSeconds: 20,
      },
    },
    policies: {
      "default-route": {
        name: "default-route",
        rules: [
          {
            when: {
              prefixes: [
                { prefix: "0.0.0.0/0", ge: 0, le: 0 },
                { prefix: "::/0", ge: 0, le: 0 },
              ],
            },
            then: "accept",
            set: {},
          },
        ],
        otherwise: "reject",
      },
      // The overlay pool's CIDR is not among them: iBGP never carries it, and no outside peer hears of it.
      pods: {
        name: "pods",
        rules: [
          {
            when: {
              prefixes: [
                { prefix: "10.42.0.0/16", ge: 16, le: 32 },
                { prefix: "fd42::/48", ge: 48, le: 128 },
              ],
            },
            then: "accept",
            set: {},
          },
        ],
        otherwise: "reject",
      },
    },
    kernel: { enabled: true, routeProtocol: 117, metric: 1024 },
    originValidation: false,
    lease: { holdSeconds: 86_400, livenessSeconds: 30, quarantineSeconds: 600 },
    monitoring: { bmp: [], mrt: [] },
    resolvesNextHops: false,
    nodes: {
      rr1: { address: "10.0.0.11", address6: "fd00::11", routerId: "10.0.0.11", roles: ["reflector"] },
      n1: { address: "10.0.0.21", address6: "fd00::21", routerId: "10.0.0.21", roles: ["node"] },
      n2: { address: "10.0.0.22", address6: "fd00::22", routerId: "10.0.0.22", roles: ["node"] },
    },
  });
});

test("the quickstart document, for its reflector: clients are awaited, nothing is leased or programmed", () => {
  const reflector = settingsOf(quickstart, "rr1");
  expect(sessions(reflector)).toEqual(["awaits n1 10.0.0.21:179 as client from 10.0.0.11", "awaits n2 10.0.0.22:179 as client from 10.0.0.11"]);
  expect(reflector).toMatchObject({ listen: { addresses: [], port: 179 }, clusterId: "10.0.0.11", kernel: { enabled: false }, policies: {} });
});

test("no mesh stands in for reflectors where the document has none, at their own place, for 0 seconds, or between nodes that only dial", () => {
  const fallbackOf = (text: string, name: string): unknown => settingsOf(text, name).reflection?.fallback;
  expect(fallbackOf(quickstart, "rr1")).toBe(undefined);
  expect(fallbackOf(quickstart.replace("nodes:\n", "timers: { fallback: 0 }\nnodes:\n"), "n1")).toBe(undefined);
  expect(fallbackOf(head + three, "n1")).toBe(undefined);
  const dialOnly = `${head}nodes:\n  rr: { address: 10.0.0.9, roles: [reflector] }\n  n1: { address: 10.0.0.1, listen: off }\n  n2: { address: 10.0.0.2, listen: off }\n  n3: { address: 10.0.0.3 }\n`;
  expect(fallbackOf(dialOnly, "n1")).toMatchObject({ peers: [{ name: "n3", passive: false }] });
  expect(fallbackOf(dialOnly, "n3")).toMatchObject({
    peers: [
      { name: "n1", passive: true },
      { name: "n2", passive: true },
    ],
  });
});

test("a peer is kept only by the nodes its selector selects", () => {
  expect(sessions(settingsOf(quickstart, "n2"))).toEqual(["dials rr1 10.0.0.11:179 as non-client from 10.0.0.22"]);
});

test("the reflector for measurements is what its contract says", () => {
  const file = new URL("../../topology/bench-reflector.yaml", import.meta.url);
  const text = readFileSync(file, "utf8");
  expect(problemsOf(text)).toEqual([]);
  expect(settingsOf(text, "rr")).toMatchObject({
    roles: ["reflector"],
    asn: 65000,
    routerId: "10.255.255.1",
    clusterId: "10.255.255.1",
    listen: { addresses: ["127.0.0.1"], port: 1799 },
    store: { kind: "none" },
    pools: [],
    peers: [],
    kernel: { enabled: false },
    ranges: [
      {
        range: "127.1.0.0/16",
        limit: 5000,
        remoteAs: 65000,
        role: "client",
        passive: true,
        families: ["ipv4", "ipv6"],
        gracefulRestart: { restartSeconds: 360, staleSeconds: 300 },
        import: [],
        export: [],
        maxPrefixes: undefined,
      },
    ],
  });
});

const head = "podway: 1\nname: lab\n";
const three = `nodes:\n  n1: { address: 10.0.0.21 }\n  n2: { address: 10.0.0.3 }\n  n3: { address: 10.0.0.100 }\n`;

describe("who peers with whom", () => {
  test("without a reflector: everyone with everyone, the lower address dials, and only who is dialled listens", () => {
    const all = ["n1", "n2", "n3"].map((name) => settingsOf(head + three, name));
    expect(all.map(sessions)).toEqual([
      ["awaits n2 10.0.0.3:179 as non-client from 10.0.0.21", "dials n3 10.0.0.100:179 as non-client from 10.0.0.21"],
      ["dials n1 10.0.0.21:179 as non-client from 10.0.0.3", "dials n3 10.0.0.100:179 as non-client from 10.0.0.3"],
      ["awaits n1 10.0.0.21:179 as non-client from 10.0.0.100", "awaits n2 10.0.0.3:179 as non-client from 10.0.0.100"],
    ]);
    expect(all.map((settings) => settings.listen !== undefined)).toEqual([true, false, true]);
  });

  test("with two reflectors: nodes dial both, reflectors are non-clients of each other, a node that reflects is one of them", () => {
    const nodes = `nodes:\n  a: { address: 10.0.0.9 }\n  b: { address: 10.0.0.2, roles: [node, reflector] }\n  c: { address: 10.0.0.1, roles: [reflector], listen: { port: 1179 } }\n`;
    expect(["a", "b", "c"].map((name) => sessions(settingsOf(head + nodes, name)))).toEqual([
      ["dials b 10.0.0.2:179 as non-client from 10.0.0.9", "dials c 10.0.0.1:1179 as non-client from 10.0.0.9"],
      ["awaits a 10.0.0.9:179 as client from 10.0.0.2", "awaits c 10.0.0.1:1179 as non-client from 10.0.0.2"],
      ["awaits a 10.0.0.9:179 as client from 10.0.0.1", "dials b 10.0.0.2:179 as non-client from 10.0.0.1"],
    ]);
  });

  test("both ends of every session agree on who it is between and who dials, whatever the addresses and roles", () => {
    const nodes = Array.from({ length: 12 }, (_, i) => {
      const roles = i % 4 === 0 ? ", roles: [reflector]" : i % 4 === 1 ? ", roles: [node, reflector]" : "";
      return `  m${i}: { address: 10.${(i * 7) % 12}.0.${i + 1}, address6: "fd00::${(i * 5) % 12}:1"${roles} }`;
    });
    for (const reflection of ["auto", "mesh"]) {
      const text = `${head}reflection: ${reflection}\nnodes:\n${nodes.join("\n")}\n`;
      const all = nodes.map((_, i) => settingsOf(text, `m${i}`));
      for (const self of all)
        for (const peer of self.peers) {
          const other = all.find((one) => one.node === peer.name)!;
          const back = other.peers.find((one) => one.name === self.node)!;
          expect({ local: back.address, remote: back.source, dials: back.passive }).toEqual({ local: peer.source, remote: peer.address, dials: !peer.passive });
          expect(peer.passive ? self.listen : other.listen).toBeDefined();
          if (peer.role === "client") expect(back.role).toBe("non-client");
        }
      expect(all.flatMap((one) => one.peers).length).toBe(reflection === "mesh" ? 12 * 11 : 12 * 11 - 6 * 5);
    }
  });

  test("reflection: mesh and off", () => {
    const reflector = spoil(three, "10.0.0.3 }", "10.0.0.3, roles: [reflector] }");
    expect(sessions(settingsOf(`${head}reflection: mesh\n${reflector}`, "n1"))).toHaveLength(2);
    expect(sessions(settingsOf(`${head}reflection: off\n${reflector}`, "n1"))).toEqual([]);
  });

  test("sessions run over IPv4 when both ends have it, else over IPv6", () => {
    const nodes = `nodes:
  a: { address: 10.0.0.1, address6: "fd00::1" }
  b: { address: 10.0.0.2, address6: "fd00::2" }
  c: { address: "fd00::3", routerId: 10.255.0.3 }
`;
    expect(sessions(settingsOf(head + nodes, "a"))).toEqual([
      "dials b 10.0.0.2:179 as non-client from 10.0.0.1",
      "dials c fd00::3:179 as non-client from fd00::1",
    ]);
    expect(settingsOf(head + nodes, "c")).toMatchObject({ address: "fd00::3", address6: "fd00::3", routerId: "10.255.0.3", clusterId: "10.255.0.3" });
  });

  test("nodes that cannot reach each other, or be told apart, are refused", () => {
    const nodes = `nodes:\n  a: { address: 10.0.0.1 }\n  b: { address: "fd00::2" }\n  c: { address: 10.0.0.3, routerId: 10.0.0.1 }\n`;
    expect(problemsOf(head + nodes)).toEqual([
      "q.yaml:5:3: nodes.b: has no IPv4 address to take its router id from; add routerId: with a number of its own, such as 10.255.0.1",
      "q.yaml:5:17: nodes.b.address: has IPv6 alone and a IPv4 alone, so they cannot keep their session; add address6 to a",
      "q.yaml:6:37: nodes.c.routerId: 10.0.0.1 is the router id of a already; give every node its own",
    ]);
  });

  test("nodes of another AS are outside peers that exchange everything", () => {
    const nodes = `nodes:\n  a: { address: 10.0.0.1 }\n  b: { address: 10.0.0.2, asn: 65010 }\n`;
    expect(settingsOf(head + nodes, "a").peers).toMatchObject([{ remoteAs: 65010, role: "external", multihop: 64, import: ["all"], export: ["all"] }]);
    expect(settingsOf(head + nodes, "b")).toMatchObject({
      asn: 65010,
      peers: [{ remoteAs: 64512, role: "external" }],
      policies: { all: { rules: [], otherwise: "accept" } },
    });
  });
});

describe("peers", () => {
  const peer = (text: string): NodeSettings => settingsOf(`${head}${three}peers:\n  - { name: x, ${text} }\n`, "n1");

  test("every setting of a peer reaches the engine", () => {
    const text =
      "address: 10.9.0.1, asn: 65001, port: 1790, source: 10.9.0.2, passive: true, families: [ipv4], password: { file: /etc/podway/x.key }, " +
      "multihop: 3, holdTime: 30s, connectRetry: 1m, import: [all], export: [none, pods], gracefulRestart: off, maxPrefixes: 1000, " +
      "role: customer, strictRole: true, localAs: 64999, asOverride: true, allowAsIn: 2, gracefulShutdown: true, sendHold: 60s";
    expect(peer(text).peers.at(-1)).toEqual({
      name: "x",
      address: "10.9.0.1",
      port: 1790,
      source: "10.9.0.2",
      remoteAs: 65001,
      role: "external",
      holdSeconds: 30,
      connectRetrySeconds: 60,
      families: ["ipv4"],
      passive: true,
      gracefulRestart: undefined,
      md5: { file: "/etc/podway/x.key" },
      multihop: 3,
      ttlSecurityHops: undefined,
      nextHopSelf: true,
      import: ["all"],
      export: ["none", "pods"],
      maxPrefixes: 1000,
      asRole: "customer",
      strictRole: true,
      localAs: 64999,
      asOverride: true,
      allowAsIn: 2,
      gracefulShutdown: true,
      sendHoldSeconds: 60,
    });
    const other = peer(
      "address: 10.9.0.1, asn: 64512, nextHopSelf: force, gracefulRestart: { longLived: { staleTime: 2h } }, maxPrefixes: { most: 5, restart: 9m }",
    );
    expect(other.peers.at(-1)).toMatchObject({
      nextHopSelf: "force",
      gracefulRestart: { restartSeconds: 360, staleSeconds: 300, longLivedSeconds: 7200 },
      maxPrefixes: 5,
      prefixWarningPercent: undefined,
      prefixRestartSeconds: 540,
    });
    expect(peer(text).listen).toEqual({ addresses: [], port: 179 });
    expect(Object.keys(peer(text).policies)).toEqual(["all", "none", "pods"]);
  });

  test("the source of a session is the link's towards a neighbour on it, else the node's own address", () => {
    const source = (text: string): string | undefined => peer(`address: 10.9.0.1, import: [all], ${text}`).peers.at(-1)!.source;
    expect([source("asn: 65001"), source("asn: 65001, multihop: 2"), source("asn: 65001, ttlSecurity: 1"), source("asn: 64512")]).toEqual([
      undefined,
      "10.0.0.21",
      undefined,
      "10.0.0.21",
    ]);
  });

  test("several paths and next hops of another family: neither unless asked for, each direction by itself", () => {
    const of = (text: string): unknown[] => {
      const { addPath, extendedNextHop } = peer(`address: 10.9.0.1, asn: 64512${text}`).peers.at(-1)!;
      return [addPath, extendedNextHop];
    };
    expect([
      of(""),
      of(", addPath: { receive: true }"),
      of(", addPath: { send: 4 }, extendedNextHop: true"),
      of(", addPath: { receive: true, send: all }"),
    ]).toEqual([
      [undefined, undefined],
      [{ receive: true, send: 0 }, undefined],
      [{ receive: false, send: 4 }, true],
      [{ receive: true, send: "all" }, undefined],
    ]);
  });

  test("BFD: over the link or over routers as the session is, unless told otherwise, and the TTL that goes with it", () => {
    const bfd = (text: string): unknown => peer(`address: 10.9.0.1, import: [all], ${text}`).peers.at(-1)!.bfd;
    expect(bfd("asn: 65001")).toBeUndefined();
    expect([
      bfd("asn: 65001, bfd: {}"),
      bfd("asn: 64512, bfd: { interval: 1s, multiplier: 5 }"),
      bfd("asn: 64512, bfd: { multihop: false }"),
      bfd("asn: 65001, multihop: 3, bfd: { interval: 50ms }"),
      bfd("asn: 65001, ttlSecurity: 3, bfd: {}"),
      bfd("asn: 65001, ttlSecurity: 1, bfd: {}"),
    ]).toEqual([
      { intervalMillis: 300, multiplier: 3, multihop: false, minTtl: 255 },
      { intervalMillis: 1000, multiplier: 5, multihop: true, minTtl: 1 },
      { intervalMillis: 300, multiplier: 3, multihop: false, minTtl: 255 },
      { intervalMillis: 50, multiplier: 3, multihop: true, minTtl: 1 },
      { intervalMillis: 300, multiplier: 3, multihop: true, minTtl: 253 },
      { intervalMillis: 300, multiplier: 3, multihop: false, minTtl: 255 },
    ]);
  });

  test("hops: 1 to an outside neighbour, none within, and GTSM instead of either", () => {
    const hops = (text: string): unknown => {
      const { multihop, ttlSecurityHops } = peer(`address: 10.9.0.1, import: [all], ${text}`).peers.at(-1)!;
      return [multihop, ttlSecurityHops];
    };
    expect([hops("asn: 65001"), hops("asn: 64512"), hops("asn: 65001, ttlSecurity: 2")]).toEqual([
      [1, undefined],
      [undefined, undefined],
      [undefined, 2],
    ]);
  });

  test("a range makes its node listen; clients are for reflectors", () => {
    expect(peer("range: 10.9.0.0/24, asn: 64512, password: { credential: bgp }")).toMatchObject({
      listen: { addresses: [], port: 179 },
      ranges: [{ name: "x", range: "10.9.0.0/24", role: "non-client", passive: true, limit: 100, md5: { credential: "bgp" } }],
    });
    expect(problemsOf(`${head}${three}peers:\n  - { name: x, address: 10.9.0.1, asn: 64512, client: true }\n`)).toEqual([
      `q.yaml:8:55: peers[0].client: n1 is no reflector and has no clients; add nodes: "role == 'reflector'"`,
    ]);
    const reflecting = spoil(three, "10.0.0.3 }", "10.0.0.3, roles: [reflector] }");
    const text = `${head}${reflecting}peers:\n  - { name: x, address: 10.9.0.1, asn: 64512, client: true, nodes: "role == 'reflector'" }\n`;
    expect(settingsOf(text, "n2").peers.at(-1)).toMatchObject({ name: "x", role: "client" });
  });

  test("what cannot be one peer is refused", () => {
    const two = (a: string, b: string): readonly string[] =>
      problemsOf(`${head}${three}peers:\n  - { name: a, asn: 64512, ${a} }\n  - { name: b, asn: 64512, ${b} }\n`);
    expect(two("address: 10.9.0.1", "address: 10.9.0.1, nodes: \"node == 'n3'\"")).toEqual([
      "q.yaml:9:37: peers[1].address: 10.9.0.1 is peer a of node n3 already; keep one of the two",
    ]);
    expect(two("address: 10.9.0.1, nodes: \"node == 'n1'\"", "address: 10.9.0.1, nodes: \"node == 'n3'\"")).toEqual([]);
    expect(two("range: 10.9.0.0/24", "range: 10.9.0.0/24, address: 10.9.0.1")).toEqual([
      "q.yaml:9:28: peers[1].range: a peer has an address or a range, not both; write two peers",
    ]);
    expect(two("address: 10.9.0.1, limit: 5", "address: fd09::1")).toEqual([
      "q.yaml:8:47: peers[0].limit: counts the neighbours of a range, and this peer has an address; leave it out",
      "q.yaml:9:37: peers[1].address: n1 has no IPv6 address to speak from; add address6 to it, or write source",
    ]);
    expect(two("address: 10.9.0.1, multihop: 3", "address: 10.9.0.2, source: fd09::1")).toEqual([
      "q.yaml:8:57: peers[0].multihop: iBGP crosses any number of hops by itself; leave multihop out",
      "q.yaml:9:55: peers[1].source: fd09::1 and 10.9.0.2 are of two families; write a source of the neighbour's family",
    ]);
  });
});

test("policies: matches, what they set, and which are compiled", () => {
  const text = spoil(quickstart, "export: [pods]", "export: [own]");
  expect(settingsOf(text, "n1").policies["own"]).toEqual({
    name: "own",
    rules: [
      {
        when: {
          prefixes: [
            { prefix: "10.42.0.0/16", ge: 16, le: 16 },
            { prefix: "10.43.0.0/16", ge: 24, le: 32 },
          ],
        },
        then: "accept",
        set: { communities: { add: [[64512 * 65536 + 42], [0xffffff01]] } },
      },
    ],
    otherwise: "reject",
  });
  expect(Object.keys(settingsOf(text, "n1").policies)).toEqual(["default-route", "own"]);
});

test("listen: off, an address, a list, a node's own", () => {
  const listen = (text: string): unknown => settingsOf(`${head}reflection: off\n${text}`, "n1").listen;
  const node = (more: string): string => `nodes:\n  n1: { address: 10.0.0.21, roles: [reflector]${more} }\n`;
  expect(listen(`listen: off\n${node("")}`)).toBeUndefined();
  expect(listen(`listen: { address: 10.0.0.21 }\n${node("")}`)).toEqual({ addresses: ["10.0.0.21"], port: 179 });
  expect(listen(`listen: off\n${node(', listen: { address: [10.0.0.21, "fd00::21"], port: 1179 }')}`)).toEqual({
    addresses: ["10.0.0.21", "fd00::21"],
    port: 1179,
  });
  expect(listen(`listen: { port: 1179 }\nnodes:\n  n1: { address: 10.0.0.21 }\n`)).toBeUndefined();
  expect(listen(`nodes:\n  n1: { address: 10.0.0.21, listen: { port: 1179 } }\n`)).toEqual({ addresses: [], port: 1179 });
});

test("stores: etcd with everything, embedded when left out", () => {
  const etcd = `store:
  etcd:
    endpoints: ["https://[fd00::2]:2379/", "https://etcd.example:2379"]
    prefix: /podway/x/
    tls: { ca: /etc/podway/ca.crt, cert: /etc/podway/n1.crt, key: /etc/podway/n1.key }
    username: podway
    password: { credential: etcd }
`;
  expect(settingsOf(head + etcd + three, "n1").store).toEqual({
    kind: "etcd",
    endpoints: ["https://[fd00::2]:2379", "https://etcd.example:2379"],
    prefix: "/podway/x",
    ca: "/etc/podway/ca.crt",
    cert: "/etc/podway/n1.crt",
    key: "/etc/podway/n1.key",
    username: "podway",
    password: { credential: "etcd" },
  });
  expect(settingsOf(head + three, "n1").store).toEqual({ kind: "embedded" });
  expect(settingsOf(spoil(quickstart, ", prefix: /podway/quickstart", ""), "n1").store).toMatchObject({ prefix: "/podway/quickstart" });
});

test("durations are seconds, however they are written", () => {
  const text = `${head}lease: { hold: 2d, liveness: 15 }\ntimers: { hold: 0, connectRetry: 1m }\ngracefulRestart: off\n${three}`;
  expect(settingsOf(text, "n1")).toMatchObject({
    lease: { holdSeconds: 172_800, livenessSeconds: 15, quarantineSeconds: 600 },
    peers: [{ holdSeconds: 0, connectRetrySeconds: 60, gracefulRestart: undefined }, {}],
  });
});

test("a node that is not declared is named, with those that are", () => {
  const fault = (name: string): unknown => compileNode(goodDocument(quickstart), name);
  expect(fault("n3")).toMatchObject({
    ok: false,
    fault: {
      whose: "caller",
      code: "config.unknown-node",
      text: 'there is no node "n3" in this document; did you mean "n1"? (choose with --node NAME, or add it under nodes:)',
    },
  });
  expect(fault("constructor")).toMatchObject({
    fault: { text: 'there is no node "constructor" in this document; it declares rr1, n1, n2 (choose with --node NAME, or add it under nodes:)' },
  });
});

test("names that JavaScript knows otherwise are names like all others", () => {
  const nodes = "nodes:\n  constructor: { address: 10.0.0.1 }\n  hasownproperty: { address: 10.0.0.2 }\n";
  expect(sessions(settingsOf(head + nodes, "constructor"))).toEqual(["dials hasownproperty 10.0.0.2:179 as non-client from 10.0.0.1"]);
  expect(problemsOf(`${head}${nodes}peers:\n  - { name: tostring, address: 10.9.0.1, asn: 65001, import: [valueof] }\n`)).toEqual([
    'q.yaml:7:63: peers[0].import[0]: there is no policy "valueof"; there are pods, default-route, all, none',
  ]);
});

test("the document of the manual works on every node", () => {
  const parsed = parseDocument(exampleDocument, "example.yaml");
  expect(parsed).toMatchObject({ ok: true, value: { warnings: [] } });
  for (const name of Object.keys(goodDocument(exampleDocument).nodes)) expect(settingsOf(exampleDocument, name).node).toBe(name);
});
