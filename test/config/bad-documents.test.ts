/** Every way to write a wrong document that we thought of, with the exact sentence and the exact place. */
import { describe, expect, test } from "vitest";
import { parseDocument } from "#config/parse.ts";
import { problemsOf, quickstart, spoil } from "./topology.ts";

const section = (from: string, to: string): string => quickstart.slice(quickstart.indexOf(`${from}:\n`), quickstart.indexOf(`${to}:\n`));

interface Row {
  readonly name: string;
  /** What of the good document is replaced, and by what. */
  readonly from: string;
  readonly to: string;
  /** What stands where the problem points, and the problem. */
  readonly says: readonly (readonly [string, string])[];
}

const rows: readonly Row[] = [
  {
    name: "a mistyped key",
    from: "n1:  { address",
    to: "n1:  { adress",
    says: [["adress", 'q.yaml:12:10: nodes.n1.adress: unknown key; did you mean "address"?']],
  },
  {
    name: "a key nobody knows",
    from: "name: quickstart",
    to: "name: quickstart\ncolour: green",
    says: [["colour", "q.yaml:3:1: colour: unknown key; the keys here are podway, name, asn, store, listen, reflection, timers, gracefulRestart and 12 more"]],
  },
  {
    name: "a missing key",
    from: "address: 10.0.0.22, ",
    to: "",
    says: [
      ["n2", "q.yaml:13:3: nodes.n2.address: is missing; add it (Address other nodes reach this node by, next hop of its routes; IPv6 on an IPv6-only node)"],
    ],
  },
  {
    name: "a missing section",
    from: section("nodes", "peers"),
    to: "",
    says: [["podway", "q.yaml:1:1: nodes: is missing; add it (Node name → node; the name is the host name, or what `--node` says)"]],
  },
  {
    name: "an attribute that every route has",
    from: "asn: 64512",
    to: "asn: 64512\nattributes: [{ type: 2, do: discard }]",
    says: [["2", "q.yaml:4:22: attributes[0].type: attribute 2 is mandatory: no route can be without it; filter the routes by a policy instead"]],
  },
  {
    name: "an attribute that guards against loops",
    from: "asn: 64512",
    to: "asn: 64512\nattributes: [{ type: 128, do: treat-as-withdraw }, { type: 10, do: discard }]",
    says: [
      [
        "10",
        "q.yaml:4:60: attributes[1].type: CLUSTER_LIST is mandatory or guards against loops within an AS and cannot be discarded; write do: treat-as-withdraw, or a policy",
      ],
    ],
  },
  {
    name: "an attribute named twice",
    from: "asn: 64512",
    to: "asn: 64512\nattributes: [{ type: 128, do: discard }, { type: 128, do: treat-as-withdraw }]",
    says: [["128", "q.yaml:4:50: attributes[1].type: attribute 128 is named twice; keep one of the two"]],
  },
  { name: "another format", from: "podway: 1", to: "podway: 2", says: [["2", "q.yaml:1:9: podway: expected 1, not 2"]] },
  {
    name: "a number in quotes",
    from: "asn: 64512",
    to: 'asn: "64512"',
    says: [['"64512"', "q.yaml:3:6: asn: expected a number, not text; write it without quotes"]],
  },
  { name: "a number where text stands", from: "name: quickstart", to: "name: 12", says: [["12", 'q.yaml:2:7: name: expected text, not 12; write "12"']] },
  { name: "AS 0", from: "asn: 64512", to: "asn: 0", says: [["0", "q.yaml:3:6: asn: expected at least 1, not 0"]] },
  {
    name: "AS_TRANS",
    from: "asn: 64512",
    to: "asn: 23456",
    says: [["23456", "q.yaml:3:6: asn: expected an AS number that may be used (23456, 65535 and 4294967295 are reserved), not 23456"]],
  },
  {
    name: "an AS number too large",
    from: "asn: 64512",
    to: "asn: 4294967296",
    says: [["4294967296", "q.yaml:3:6: asn: expected at most 4294967295, not 4294967296"]],
  },
  {
    name: "no address",
    from: "address: 10.0.0.21",
    to: "address: 10.0.0.300",
    says: [["10.0.0.300", 'q.yaml:12:19: nodes.n1.address: "10.0.0.300" is not an IP address; write one such as 10.0.0.21 or fd00::21']],
  },
  {
    name: "an ambiguous address",
    from: "address: 10.0.0.21",
    to: "address: 010.0.0.21",
    says: [
      ["010.0.0.21", 'q.yaml:12:19: nodes.n1.address: "010.0.0.21" is ambiguous; write four decimal numbers without leading zeros (it may mean 8.0.0.21)'],
    ],
  },
  {
    name: "an address with a length",
    from: "address: 10.0.0.21",
    to: "address: 10.0.0.21/24",
    says: [["10.0.0.21/24", 'q.yaml:12:19: nodes.n1.address: "10.0.0.21/24" has a length; write the address alone, such as "10.0.0.21"']],
  },
  {
    name: "a mapped address",
    from: "address: 10.0.0.21",
    to: 'address: "::ffff:10.0.0.21"',
    says: [['"::ffff:10.0.0.21"', 'q.yaml:12:19: nodes.n1.address: "::ffff:10.0.0.21" is an IPv4 address in IPv6 form; write 10.0.0.21']],
  },
  {
    name: "a zone",
    from: '"fd00::21"',
    to: '"fe80::21%eth0"',
    says: [
      ['"fe80::21%eth0"', 'q.yaml:12:40: nodes.n1.address6: "fe80::21%eth0" has a zone, which no other node can use; write a global or unique local address'],
    ],
  },
  {
    name: "IPv4 for IPv6",
    from: '"fd00::21"',
    to: "10.1.0.21",
    says: [["10.1.0.21", 'q.yaml:12:40: nodes.n1.address6: expected an IPv6 address such as fd00::21, not "10.1.0.21"']],
  },
  {
    name: "a multicast address",
    from: "address: 10.0.0.21",
    to: "address: 224.0.0.5",
    says: [["224.0.0.5", "q.yaml:12:19: nodes.n1.address: 224.0.0.5 is a multicast address; write a unicast address of the machine"]],
  },
  {
    name: "a link-local address",
    from: '"fd00::21"',
    to: '"fe80::21"',
    says: [
      [
        '"fe80::21"',
        "q.yaml:12:40: nodes.n1.address6: fe80::21 is a link-local address, which means something else on every link; write a unicast address of the machine",
      ],
    ],
  },
  {
    name: "a loopback address among many",
    from: "address: 10.0.0.21",
    to: "address: 127.0.0.1",
    says: [["127.0.0.1", "q.yaml:12:19: nodes.n1.address: 127.0.0.1 is a loopback address, which other nodes cannot reach; write one they can"]],
  },
  {
    name: "an address twice",
    from: "address: 10.0.0.22",
    to: "address: 10.0.0.21",
    says: [["10.0.0.21", "q.yaml:13:19: nodes.n2.address: 10.0.0.21 is the address of n1 already; give every node its own"]],
  },
  {
    name: "an IPv6 address twice, written otherwise",
    from: '"fd00::22"',
    to: '"FD00:0:0::21"',
    says: [['"FD00:0:0::21"', "q.yaml:13:40: nodes.n2.address6: fd00::21 is the address of n1 already; give every node its own"]],
  },
  {
    name: "host bits in a CIDR",
    from: "10.42.0.0/16, nodePrefix",
    to: "10.42.1.0/16, nodePrefix",
    says: [["10.42.1.0/16", 'q.yaml:7:28: pools[0].cidr: "10.42.1.0/16" has bits set beyond its length; write 10.42.0.0/16']],
  },
  {
    name: "a CIDR without a length",
    from: "10.42.0.0/16, nodePrefix",
    to: "10.42.0.0, nodePrefix",
    says: [["10.42.0.0", 'q.yaml:7:28: pools[0].cidr: "10.42.0.0" has no length; write one such as 10.42.0.0/16 or fd42::/48']],
  },
  {
    name: "pools that overlap",
    from: "10.43.0.0/16, nodePrefix",
    to: "10.42.128.0/17, nodePrefix",
    says: [["10.42.128.0/17", "q.yaml:9:28: pools[2].cidr: 10.42.128.0/17 overlaps 10.42.0.0/16 of pool routed; choose a CIDR beside it"]],
  },
  {
    name: "a pool over the nodes",
    from: "10.42.0.0/16, nodePrefix",
    to: "10.0.0.0/16, nodePrefix",
    says: [
      ["10.0.0.0/16", "q.yaml:7:28: pools[0].cidr: 10.0.0.0/16 contains 10.0.0.11, the address of node rr1; choose a CIDR beside the machines' own network"],
    ],
  },
  {
    name: "a multicast pool",
    from: "10.42.0.0/16, nodePrefix",
    to: "224.0.0.0/16, nodePrefix",
    says: [
      [
        "224.0.0.0/16",
        "q.yaml:7:28: pools[0].cidr: 224.0.0.0/16 is multicast space, which pods cannot use; choose private space such as 10.42.0.0/16 or fd42::/48",
      ],
    ],
  },
  {
    name: "a pool twice",
    from: "name: routed6",
    to: "name: routed",
    says: [["routed", "q.yaml:8:13: pools[1].name: there is a pool routed already; choose another name"]],
  },
  {
    name: "a reserved pool name",
    from: "name: overlay",
    to: "name: default",
    says: [["default", "q.yaml:9:13: pools[2].name: default means something else in commands; choose another name"]],
  },
  {
    name: "nodePrefix shorter than the pool",
    from: "nodePrefix: 24, backend: bgp",
    to: "nodePrefix: 8, backend: bgp",
    says: [["8", "q.yaml:7:54: pools[0].nodePrefix: one node's CIDR is a /8, which 10.42.0.0/16 cannot give; write a nodePrefix from 16 to 30"]],
  },
  {
    name: "nodePrefix without room",
    from: "nodePrefix: 24, backend: bgp",
    to: "nodePrefix: 31, backend: bgp",
    says: [["31", "q.yaml:7:54: pools[0].nodePrefix: one node's CIDR is a /31, which 10.42.0.0/16 cannot give; write a nodePrefix from 16 to 30"]],
  },
  {
    name: "a pool that is too small for every node",
    from: "10.42.0.0/16, nodePrefix",
    to: "10.42.0.0/24, nodePrefix",
    says: [
      ["10.42.0.0/24", "q.yaml:7:28: pools[0].cidr: warning: 10.42.0.0/24 gives 1 × /24 to 2 nodes, so some will get none; enlarge it or raise nodePrefix"],
    ],
  },
  {
    name: "no vni",
    from: ", vni: 43",
    to: "",
    says: [["{", "q.yaml:9:5: pools[2]: backend vxlan needs vni: a number from 1 to 16777215 that no other pool has"]],
  },
  {
    name: "a vni twice",
    from: "vni: 43 }",
    to: "vni: 43 }\n  - { name: more, cidr: 10.44.0.0/16, backend: vxlan, vni: 43 }",
    says: [["43", "q.yaml:10:60: pools[3].vni: 43 is the vni of pool overlay already; give every vxlan pool its own"]],
  },
  {
    name: "a vni without VXLAN",
    from: "nodePrefix: 24, backend: bgp",
    to: "nodePrefix: 24, backend: bgp, vni: 7",
    says: [["7", "q.yaml:7:77: pools[0].vni: only backend vxlan has a vni, and this is bgp; leave it out"]],
  },
  {
    name: "an unknown backend",
    from: "backend: vxlan",
    to: "backend: vxlna",
    says: [["vxlna", 'q.yaml:9:67: pools[2].backend: expected one of bgp, vxlan, host-gw, not "vxlna"; did you mean "vxlan"?']],
  },
  {
    name: "a routed IPv6 pool without IPv6 addresses",
    from: ', address6: "fd00::22"',
    to: "",
    says: [["n2", "q.yaml:13:3: nodes.n2: pool routed6 routes IPv6, and this node has no IPv6 address; add address6"]],
  },
  {
    name: "an unknown role",
    from: "roles: [reflector]",
    to: "roles: [reflectors]",
    says: [["reflectors", 'q.yaml:11:60: nodes.rr1.roles[0]: expected one of node, reflector, not "reflectors"; did you mean "reflector"?']],
  },
  {
    name: "an upper-case node name",
    from: "  n1: ",
    to: "  N1: ",
    says: [["N1", "q.yaml:12:3: nodes.N1: expected a host name label: lower-case letters, digits and hyphens, at most 63, such as n1; write n1"]],
  },
  {
    name: "a node name that is no label",
    from: "  n1: ",
    to: "  n_1: ",
    says: [["n_1", "q.yaml:12:3: nodes.n_1: expected a host name label: lower-case letters, digits and hyphens, at most 63, such as n1"]],
  },
  {
    name: "a reserved label",
    from: "labels: { rack: a }",
    to: "labels: { role: a }",
    says: [
      ["role", "q.yaml:12:62: nodes.n1.labels.role: the label role is set by Podway; choose another name"],
      ["\"rack == 'a'\"", "q.yaml:15:58: peers[0].nodes: warning: selects no node, so nobody keeps this session; compare it with the nodes' labels"],
    ],
  },
  {
    name: "a label that is no text",
    from: "labels: { rack: a }",
    to: "labels: { rack: 1 }",
    says: [["1", 'q.yaml:12:68: nodes.n1.labels.rack: expected text, not 1; write "1"']],
  },
  {
    name: "reservations that cannot be",
    from: "vni: 43 }",
    to: "vni: 43, reservations: { n3: 10.43.1.0/24, n2: 10.44.1.0/24, rr1: 10.43.2.0/24, n1: 10.43.0.0/20 } }",
    says: [
      ["n3", 'q.yaml:9:99: pools[2].reservations.n3: there is no node "n3"; did you mean "n1"?'],
      ["10.44.1.0/24", "q.yaml:9:121: pools[2].reservations.n2: 10.44.1.0/24 lies outside 10.43.0.0/16; choose a CIDR of this pool"],
      ["rr1", "q.yaml:9:135: pools[2].reservations.rr1: rr1 is a reflector alone and leases nothing; leave it out, or give it the role node"],
      ["10.43.0.0/20", "q.yaml:9:158: pools[2].reservations.n1: 10.43.0.0/20 is not as long as one node's CIDR; write one of length /24"],
    ],
  },
  {
    name: "a reservation twice",
    from: "vni: 43 }",
    to: "vni: 43, reservations: { n1: 10.43.1.0/24, n2: 10.43.1.0/24 } }",
    says: [["10.43.1.0/24", "q.yaml:9:121: pools[2].reservations.n2: 10.43.1.0/24 is reserved for n1 already; choose another CIDR"]],
  },
  {
    name: "an inline secret",
    from: "asn: 65001,",
    to: "asn: 65001, password: hunter2,",
    says: [
      ["hunter2", "q.yaml:15:61: peers[0].password: a secret is never written here; write { file: PATH } and put it there, or { credential: NAME } of systemd"],
    ],
  },
  {
    name: "an inline secret as a file",
    from: "asn: 65001,",
    to: "asn: 65001, password: { file: hunter2 },",
    says: [["hunter2", "q.yaml:15:69: peers[0].password.file: expected the absolute path of a file"]],
  },
  {
    name: "an inline secret in the wrong key",
    from: "asn: 65001,",
    to: "asn: 65001, password: { text: hunter2 },",
    says: [
      [
        "password",
        "q.yaml:15:51: peers[0].password.file: is missing; add it (File that holds the secret; read at the moment of use, a trailing newline is dropped)",
      ],
      ["text", "q.yaml:15:63: peers[0].password.text: unknown key; the keys here are file, credential"],
    ],
  },
  {
    name: "a password in an endpoint",
    from: "http://10.0.0.2:2379",
    to: "http://root:hunter2@10.0.0.2:2379",
    says: [
      [
        '"http://root:hunter2@10.0.0.2:2379"',
        "q.yaml:5:23: store.etcd.endpoints[0]: a password does not belong into an endpoint; write username and password beside endpoints",
      ],
    ],
  },
  {
    name: "a password without a user",
    from: "prefix: /podway/quickstart",
    to: "password: { file: /etc/podway/etcd }",
    says: [["etcd", "q.yaml:5:3: store.etcd: an etcd user takes both username and password"]],
  },
  {
    name: "a certificate without its key",
    from: "prefix: /podway/quickstart",
    to: "tls: { cert: /etc/podway/n1.crt }",
    says: [
      ['"http://10.0.0.2:2379"', "q.yaml:5:23: store.etcd.endpoints[0]: is http, and tls or another endpoint asks for https; write https for all"],
      ["{", "q.yaml:5:53: store.etcd.tls: a client certificate takes both cert and key"],
    ],
  },
  {
    name: "an embedded store for many",
    from: section("store", "pools"),
    to: "",
    says: [
      ["podway", "q.yaml:1:1: store: an embedded store serves one machine, and 2 nodes lease from these pools; write store: { etcd: { endpoints: [...] } }"],
    ],
  },
  {
    name: "no store for pools",
    from: section("store", "pools"),
    to: "store: none\n",
    says: [["none", "q.yaml:4:8: store: pools are leased from a store, and there is none; write { etcd: { endpoints: [...] } }, or embedded for one machine"]],
  },
  {
    name: "an unknown store",
    from: section("store", "pools"),
    to: "store: redis\n",
    says: [["redis", "q.yaml:4:8: store: expected embedded, none, or { etcd: { endpoints: [...] } }"]],
  },
  {
    name: "a port beyond the last",
    from: "asn: 64512",
    to: "listen: { port: 65536 }",
    says: [["65536", "q.yaml:3:17: listen.port: expected at most 65535, not 65536"]],
  },
  {
    name: "a reflector that does not listen",
    from: "asn: 64512",
    to: "listen: off",
    says: [["off", "q.yaml:3:9: listen: rr1 has to listen, since n1 dials it; leave listen out, or set an address and a port"]],
  },
  {
    name: "an unknown policy",
    from: "export: [pods]",
    to: "export: [pod]",
    says: [["pod", 'q.yaml:15:107: peers[0].export[0]: there is no policy "pod"; did you mean "pods"?']],
  },
  {
    name: "a policy of a built-in name",
    from: "  own:",
    to: "  pods:",
    says: [["pods", "q.yaml:17:3: policies.pods: pods is built in and stays as it is; choose another name"]],
  },
  {
    name: "a rule no route can match",
    from: "ge: 24",
    to: "ge: 33",
    says: [["{", "q.yaml:17:53: policies.own.rules[0].when.prefixes[1]: no route within 10.43.0.0/16 is /33 to /32 long; write 16 ≤ ge ≤ le ≤ 32"]],
  },
  {
    name: "a set on reject",
    from: "then: accept",
    to: "then: reject",
    says: [["{", "q.yaml:17:109: policies.own.rules[0].set: a rejected route has no attributes to set; leave set out, or accept"]],
  },
  {
    name: "no community",
    from: "64512:42",
    to: "64512:70000",
    says: [
      ['"64512:70000"', 'q.yaml:17:125: policies.own.rules[0].set.communities[0]: expected a community such as "65000:100" or no-export, not "64512:70000"'],
    ],
  },
  {
    name: "a selector with one =",
    from: "rack == 'a'",
    to: "rack = 'a'",
    says: [["=", "q.yaml:15:64: peers[0].nodes: at column 6 of the selector a single = means nothing; write =="]],
  },
  {
    name: "a selector that ends early",
    from: "rack == 'a'",
    to: "rack == 'a' &&",
    says: [['"', "q.yaml:15:73: peers[0].nodes: at column 15 of the selector: expected a label name, has(NAME), ! or ("]],
  },
  {
    name: "a selector that selects nobody",
    from: "rack == 'a'",
    to: "rack == 'c'",
    says: [["\"rack == 'c'\"", "q.yaml:15:58: peers[0].nodes: warning: selects no node, so nobody keeps this session; compare it with the nodes' labels"]],
  },
  {
    name: "a peer that is nobody",
    from: "address: 10.0.0.1, ",
    to: "",
    says: [["{", "q.yaml:15:5: peers[0]: names nobody; write address: IP for one neighbour, or range: CIDR for all that connect from it"]],
  },
  {
    name: "a peer that is a node",
    from: "address: 10.0.0.1,",
    to: "address: 10.0.0.22,",
    says: [["10.0.0.22", "q.yaml:15:29: peers[0].address: 10.0.0.22 is node n2, whose sessions reflection makes; leave this peer out, or set reflection: off"]],
  },
  {
    name: "a peer with a node's name",
    from: "name: tor-a, address",
    to: "name: n2, address",
    says: [["n2", "q.yaml:15:13: peers[0].name: n2 is the name of a node; choose another name"]],
  },
  {
    name: "an outside peer without policies",
    from: ", import: [default-route], export: [pods]",
    to: "",
    says: [
      ["{", "q.yaml:15:5: peers[0]: warning: an outside peer without import and export exchanges nothing (RFC 8212); add policies such as export: [pods]"],
    ],
  },
  {
    name: "hops counted twice",
    from: "asn: 65001,",
    to: "asn: 65001, multihop: 2, ttlSecurity: 2,",
    says: [["ttlSecurity", "q.yaml:15:64: peers[0].ttlSecurity: counts hops as multihop does; write one of the two (ttlSecurity is the safer)"]],
  },
  {
    name: "BFD without a unit",
    from: "asn: 65001,",
    to: "asn: 65001, bfd: { interval: 300 },",
    says: [["300", 'q.yaml:15:68: peers[0].bfd.interval: expected a time such as "300ms" or "1s", with its unit']],
  },
  {
    name: "BFD too fast for a thread under load",
    from: "asn: 65001,",
    to: "asn: 65001, bfd: { interval: 10ms },",
    says: [["10ms", 'q.yaml:15:68: peers[0].bfd.interval: expected a time from 50ms to 10000ms, not "10ms"']],
  },
  {
    name: "BFD that waits for no packet",
    from: "asn: 65001,",
    to: "asn: 65001, bfd: { multiplier: 0 },",
    says: [["0", "q.yaml:15:70: peers[0].bfd.multiplier: expected at least 1, not 0"]],
  },
  {
    name: "a strict role without a role",
    from: "address: 10.0.0.1,",
    to: "range: 10.9.0.0/24, strictRole: true,",
    says: [["strictRole", "q.yaml:15:40: peers[0].strictRole: insists on the counterpart of our role, and none is given; write role, or leave it out"]],
  },
  {
    name: "a hold time of 2",
    from: "asn: 64512",
    to: "timers: { hold: 2 }",
    says: [["2", "q.yaml:3:17: timers.hold: expected 0, or a duration from 3 to 65535 seconds, not 2"]],
  },
  {
    name: "no duration",
    from: "asn: 64512",
    to: "lease: { hold: 1w }",
    says: [["1w", 'q.yaml:3:16: lease.hold: expected a duration such as "30s", "5m" or "24h", or a number of seconds, not "1w"']],
  },
  {
    name: "a presence longer than the claim",
    from: "asn: 64512",
    to: "lease: { hold: 30s, liveness: 1m }",
    says: [["1m", "q.yaml:3:31: lease.liveness: is 60 s, and a claim is held for 30 s; presence ends first, so write less than hold"]],
  },
  {
    name: "a protocol number of BIRD",
    from: "asn: 64512",
    to: "routeProtocol: 12",
    says: [["12", "q.yaml:3:16: routeProtocol: expected a number that no other routing daemon uses, such as 117, not 12"]],
  },
  {
    name: "a key twice",
    from: "asn: 64512",
    to: "asn: 64512\nasn: 64513",
    says: [["asn", "q.yaml:4:1: asn: this key stands here a second time; keep one of them"]],
  },
  { name: "a tab", from: "store:\n  etcd", to: "store:\n\tetcd", says: [["\tetcd: {", "q.yaml:5:1: a tab cannot indent YAML; use spaces"]] },
  {
    name: "a bracket that is not closed",
    from: "roles: [reflector] }",
    to: "roles: [reflector }",
    says: [
      [
        "}",
        "q.yaml:11:70: this is not indented like its neighbours, or a bracket or quote before it is not closed; entries of one map or list start in one column",
      ],
    ],
  },
  {
    name: "two keys on one line",
    from: "name: quickstart",
    to: "name: quickstart: x",
    says: [["quickstart", 'q.yaml:2:7: a second key on one line; start a new line, or put the value in quotes if it contains ": "']],
  },
  {
    name: "two documents",
    from: "peers:\n",
    to: "---\npeers:\n",
    says: [["---", "q.yaml:14:1: a second document starts here (---); one file holds one document"]],
  },
  { name: "a tag", from: "name: quickstart", to: "name: !secret quickstart", says: [["!secret", "q.yaml:2:7: tags (!name) mean nothing here; leave it out"]] },
  {
    name: "an alias to nothing",
    from: "name: quickstart",
    to: "name: *nothing",
    says: [["*nothing", "q.yaml:2:7: name: an alias (*name) refers to an anchor (&name) that is not there; define it earlier or write the value out"]],
  },
  {
    name: "__proto__",
    from: "name: quickstart",
    to: "name: quickstart\n__proto__: { a: 1 }",
    says: [["__proto__", "q.yaml:3:1: __proto__: this name cannot be used as a key; choose another"]],
  },
  {
    name: "a lab kind",
    from: "kind: bridge",
    to: "kind: brige",
    says: [["brige", 'q.yaml:20:70: lab.nodes.sw0.kind: expected one of podway, etcd, bird, frr, host, bridge, router, not "brige"; did you mean "bridge"?']],
  },
  {
    name: "a lab link to nowhere",
    from: "sw0:p1",
    to: "sw1:p1",
    says: [['"sw1:p1"', 'q.yaml:21:37: lab.links[0].endpoints[1]: there is no machine "sw1" under nodes: or lab.nodes']],
  },
];

describe("a bad document is answered with where, what and what instead", () => {
  test.each(rows)("$name", ({ from, to, says }) => {
    const text = spoil(quickstart, from, to);
    expect(problemsOf(text)).toEqual(says.map(([, sentence]) => sentence));
    for (const [at, sentence] of says) {
      const [, line, column] = /^q\.yaml:(\d+):(\d+)/.exec(sentence)!;
      expect(
        text
          .split("\n")
          [Number(line) - 1]!.slice(Number(column) - 1)
          .startsWith(at),
        `${sentence} points at ${at}`,
      ).toBe(true);
    }
  });
});

test("the good document has nothing to say", () => {
  expect(problemsOf(quickstart)).toEqual([]);
});

test("errors and warnings come together, in the order of the text", () => {
  const text = spoil(spoil(quickstart, "rack == 'a'", "rack == 'c'"), "10.43.0.0/16, nodePrefix", "10.42.0.0/16, nodePrefix");
  const parsed = parseDocument(text, "q.yaml");
  expect(parsed.ok).toBe(false);
  expect(problemsOf(text).map((problem) => problem.split(": ").slice(0, 3).join(": "))).toEqual([
    "q.yaml:9:28: pools[2].cidr: 10.42.0.0/16 overlaps 10.42.0.0/16 of pool routed; choose a CIDR beside it",
    "q.yaml:15:58: peers[0].nodes: warning",
  ]);
});

test("the fault is a caller's, with every problem on a line of its own", () => {
  const parsed = parseDocument(spoil(spoil(quickstart, "asn: 64512", "asn: 0"), "backend: vxlan", "backend: vlan"), "topology/q.yaml");
  expect(parsed).toMatchObject({
    ok: false,
    fault: {
      whose: "caller",
      code: "config.bad-document",
      text:
        "topology/q.yaml:3:6: asn: expected at least 1, not 0\n" +
        'topology/q.yaml:9:67: pools[2].backend: expected one of bgp, vxlan, host-gw, not "vlan"; did you mean "vxlan"?',
      problems: [
        { severity: "error", file: "topology/q.yaml", line: 3, column: 6, path: "asn", text: "expected at least 1, not 0" },
        { path: "pools[2].backend" },
      ],
    },
  });
});

test.each([
  ["nothing", ""],
  ["a comment", "# nothing\n"],
  ["null", "null\n"],
])("an empty document (%s) says what to start with", (_name, text) => {
  expect(problemsOf(text)).toEqual([expect.stringMatching(/^q\.yaml:1:1: the document is empty; it starts with podway: 1, name: NAME and nodes:$/)]);
});

test("a document that is no map at all", () => {
  expect(problemsOf("- a\n- b\n")).toEqual(["q.yaml:1:1: expected a map of keys, not a list"]);
  expect(problemsOf("hello\n")).toEqual(["q.yaml:1:1: expected a map of keys, not text"]);
});

test("a document too large for the store is refused before it is read", () => {
  const text = `${quickstart}# ${"x".repeat(1_048_576)}\n`;
  expect(problemsOf(text)).toEqual(["q.yaml:1:1: more than 1048576 octets; a document has to fit into one key of the store"]);
});

test("nesting without end and aliases that multiply are refused, not followed", () => {
  const deep = "maps and lists are nested more than 24 deep; a topology needs no more than 8";
  expect(problemsOf(`a: ${"[".repeat(30)}${"]".repeat(30)}\n`)[0]).toContain(deep);
  expect(problemsOf(`a: ${"[".repeat(20_000)}`)[0]).toContain(deep);
  expect(problemsOf("podway: 1\nname: x\nnodes: &a { n1: *a }\n").length).toBeGreaterThan(0);
  const bomb = `a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [${"*a, ".repeat(10)}]\nc: &c [${"*b, ".repeat(10)}]\nd: [${"*c, ".repeat(10)}]\n`;
  expect(problemsOf(bomb)).toEqual(["q.yaml:1:1: too many aliases (*name), or one that contains itself; write the values out"]);
});

test("a full mesh ends at 100 nodes, and says how to go on", () => {
  const nodes = (count: number): string => Array.from({ length: count }, (_, i) => `  n${i}: { address: 10.1.${i >> 8}.${i & 255} }`).join("\n");
  const document = (count: number, more = ""): string => `podway: 1\nname: big\n${more}nodes:\n${nodes(count)}\n`;
  expect(problemsOf(document(100).replace("10.1.0.0 ", "10.2.0.1 "))).toEqual([]);
  expect(problemsOf(document(101))).toContain(
    "q.yaml:3:1: nodes: 101 nodes would keep a full mesh, which ends at 100; give two nodes roles: [node, reflector]",
  );
  expect(problemsOf(document(101, "reflection: mesh\n"))).toContain(
    "q.yaml:3:1: reflection: 101 nodes would keep a full mesh, which ends at 100; set reflection: auto and give two nodes roles: [node, reflector]",
  );
  expect(problemsOf(document(101, "reflection: off\n"))).toEqual([]);
});

test("more than 50 problems are counted, not printed", () => {
  const text = `podway: 1\nname: x\nnodes:\n${Array.from({ length: 60 }, (_, i) => `  n${i}: { addres: 10.0.0.${i} }`).join("\n")}\n`;
  const problems = problemsOf(text);
  expect(problems).toHaveLength(51);
  expect(problems[50]).toBe("q.yaml:1:1: and 10 more problems; repair these first");
});

test("no problem ever repeats what was written as a password", () => {
  for (const to of [
    "hunter2",
    "{ file: hunter2 }",
    "{ credential: 'hunter 2' }",
    "[hunter2]",
    "hunter2 }, { name: hunter2",
    "'hunter2",
    '"\\hunter2"',
    "hunter2: hunter2",
    "!hunter2 x",
  ]) {
    const problems = problemsOf(spoil(quickstart, "asn: 65001,", `asn: 65001, password: ${to},`));
    expect(problems.length, to).toBeGreaterThan(0);
    if (!to.includes("name: hunter2")) expect(problems.join("\n"), to).not.toContain("hunter");
  }
});
