/**
 * Bugs somebody could make, each as one exact replacement in a source file, and the tests that must notice. A test that lets
 * one of them live checks less than it says.
 */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly text: string;
  readonly instead: string;
  /** Test files, any of which must fail. */
  readonly tests: readonly string[];
  /** Seeds of the cluster simulator, any of which must fail; asked instead of test files, where only a whole cluster shows it. */
  readonly seeds?: number;
}

const model = "test/bgp/rib-model.test.ts";

export const mutants: readonly Mutant[] = [
  {
    name: "hold timer not re-armed by an UPDATE",
    file: "src/bgp/session.ts",
    text: "    this.#lastHeard = now;\n    this.updatesIn++;",
    instead: "    this.updatesIn++;",
    tests: ["test/bgp/session.test.ts"],
  },
  {
    name: "KEEPALIVE timer not re-armed",
    file: "src/bgp/fsm/fsm.ts",
    text: 'return [{ type: "sendKeepalive" }, ...this.#nextKeepalive()];',
    instead: 'return [{ type: "sendKeepalive" }];',
    tests: ["test/bgp/fsm.test.ts", "test/bgp/session.test.ts"],
  },
  {
    name: "own CLUSTER_ID in CLUSTER_LIST not noticed",
    file: "src/bgp/rib/scan.ts",
    text: "if (u32(b, c) === self.clusterId) out.flags |= flagLoop;",
    instead: "u32(b, c);",
    tests: [model, "test/bgp/rib-scan.test.ts"],
  },
  {
    name: "own ORIGINATOR_ID not noticed",
    file: "src/bgp/rib/scan.ts",
    text: "if (out.originatorId === self.routerId) out.flags |= flagLoop;",
    instead: "",
    tests: [model, "test/bgp/rib-scan.test.ts"],
  },
  {
    name: "routes of non-clients told to non-clients",
    file: "src/bgp/reflector/reflect.ts",
    text: "  if (from === roleNonClient && to === roleNonClient) return false;",
    instead: "",
    tests: [model],
  },
  {
    name: "MED compared across neighbouring ASes",
    file: "src/bgp/rib/decision.ts",
    text: "set.med[y]! < set.med[x]! && set.neighborAs[x] === set.neighborAs[y]",
    instead: "set.med[y]! < set.med[x]!",
    tests: ["test/bgp/decision.test.ts"],
  },
  {
    name: "a withdrawal lost on its way out",
    file: "src/bgp/reflector/window.ts",
    text: "packer.withdraw(lane, table, this, head);",
    instead: "",
    tests: [model],
  },
  { name: "Adj-RIB-Out not written", file: "src/bgp/reflector/update-group.ts", text: "told.put(prefix, set, this.#from);", instead: "", tests: [model] },
  { name: "stale paths not swept", file: "src/bgp/rib/sweep.ts", text: "    this.#next.set(peer, olderThan);", instead: "", tests: [model] },
  {
    name: "a gap in the prefix index closed wrongly",
    file: "src/bgp/rib/prefixes.ts",
    text: "      if (((s - hash) & mask) < ((s - hole) & mask)) continue;",
    instead: "",
    tests: ["test/bgp/rib-tables.test.ts"],
  },
  {
    name: "own AS not put in front towards the outside",
    file: "src/bgp/reflector/export.ts",
    text: "asPath: prependAs(values.asPath ?? [], asn)",
    instead: "asPath: asn === 0 ? prependAs([], asn) : (values.asPath ?? [])",
    tests: [model],
  },
  {
    name: "idle hold without back-off",
    file: "src/bgp/fsm/back-off.ts",
    text: "firstIdleHoldMillis * 2 ** Math.min(this.#falls++, 16)",
    instead: "firstIdleHoldMillis * 2 ** Math.min(this.#falls, 0)",
    tests: ["test/bgp/fsm.test.ts", "test/bgp/neighbours.test.ts", "test/bgp/session.test.ts"],
  },
  {
    name: "of two connections that cross, both stay",
    file: "src/bgp/fsm/collision.ts",
    text: '  if (isSenior(us, them)) return newer.outgoing ? "older" : "newer";\n  return newer.outgoing ? "newer" : undefined;',
    instead: "  return undefined;",
    tests: ["test/bgp/neighbours.test.ts", "test/bgp/session.test.ts"],
  },
  {
    name: "routes kept after a hard reset",
    file: "src/bgp/fsm/retention.ts",
    text: "return restart.notification && !(code === errorCode.cease && subcode === ceaseSubcode.hardReset);",
    instead: "return restart.notification || (code === errorCode.cease && subcode === ceaseSubcode.hardReset);",
    tests: ["test/bgp/fsm-retention.test.ts"],
  },
  {
    name: "a claim held beyond 0.9 of hold",
    file: "src/ipam/lease.ts",
    text: "const fenceShare = 0.9;",
    instead: "const fenceShare = 1.1;",
    tests: ["test/ipam/lease.test.ts"],
  },
  {
    name: "create without compare",
    file: "src/adapters/memory-store.ts",
    text: 'return this.#swap({ key, is: "absent" }, {',
    instead: 'return this.#swap({ key: `${key}\\0`, is: "absent" }, {',
    tests: ["test/contract/store-memory.test.ts"],
  },
  {
    name: "a watch resumed one revision late",
    file: "src/adapters/etcd-watch.ts",
    text: "String(seen.revision + 1n)",
    instead: "String(seen.revision + 2n)",
    tests: ["test/contract/store-etcd.test.ts"],
  },
  {
    name: "kernel rows removed before every source is in sync",
    file: "src/daemon/reconcile.ts",
    text: "await this.#write(wanted.inSync);",
    instead: "await this.#write(true);",
    tests: ["test/overlay/reconcile.test.ts"],
  },
  {
    name: "overlapping pools accepted",
    file: "src/config/check-pools.ts",
    text: "earlier.find((one) => overlaps(one.cidr, pool.cidr))",
    instead: "earlier.find((one) => overlaps(one.cidr, pool.cidr) && one.name === pool.name)",
    tests: ["test/config/bad-documents.test.ts"],
  },
  {
    name: "hold timer not re-armed by a KEEPALIVE",
    file: "src/bgp/fsm/fsm.ts",
    text: '      case "routeRefreshReceived":\n        return [this.#heard()];',
    instead: '      case "routeRefreshReceived":\n        return event.type === "keepaliveReceived" ? [] : [this.#heard()];',
    tests: [],
    seeds: 2,
  },
  {
    name: "ORIGINATOR_ID is the reflector's cluster, not who it came from",
    file: "src/bgp/reflector/pack.ts",
    text: "table.originatorId[set]! || reflection.originatorId",
    instead: "table.originatorId[set]! || reflection.clusterId",
    tests: [],
    seeds: 2,
  },
  {
    name: "End-of-RIB before what there is to tell",
    file: "src/bgp/reflector/update-group.ts",
    text: '    if (tells && member.waits !== "for nothing" && this.#mayEnd(member)) {',
    instead: '    if (member.waits !== "for nothing") {',
    tests: [],
    seeds: 4,
  },
  {
    name: "the source is not told that its route took the place of another's",
    file: "src/bgp/reflector/window.ts",
    text: "    if (held === none) return undefined;\n    const chain",
    instead: "    if (held !== none - 1) return undefined;\n    const chain",
    tests: [],
    seeds: 6,
  },
  {
    name: "what changed while a new peer was told everything is not told to it",
    file: "src/bgp/reflector/catch-up.ts",
    text: "    } else window.tell();",
    instead: "    }",
    tests: [model, "test/bgp/lanes.test.ts"],
  },
  {
    name: "stale paths of a peer that came back stay after its End-of-RIB",
    file: "src/bgp/rib/stale.ts",
    text: "    complete.add(family);\n    this.#sweepOld(peer, family);",
    instead: "    complete.add(family);",
    tests: [],
    seeds: 2,
  },
  {
    name: "a restarting speaker selects routes as soon as nobody owes it End-of-RIB",
    file: "src/bgp/rib/deferral.ts",
    text: "const quietMillis = 6000;",
    instead: "const quietMillis = 10;",
    tests: [],
    seeds: 6,
  },
  {
    name: "peers are told of a restart long after it",
    file: "src/bgp/speaker.ts",
    text: "    if (this.#isRestarting && !this.rib.deferral.isDeferring(now)) {",
    instead: "    if (this.#isRestarting && now < 0) {",
    tests: [],
    seeds: 2,
  },
  {
    name: "forwarding state disowned whenever a session comes back",
    file: "src/bgp/speaker.ts",
    text: "const running: RestartState = { restarting: false, forwarding: [0, 1] };",
    instead: "const running: RestartState = { restarting: false, forwarding: [] };",
    tests: [],
    seeds: 6,
  },
  {
    name: "the kernel keeps a next hop that is as good no more",
    file: "src/bgp/rib/rib.ts",
    text: "    if (this.#settings.observes) this.#changes.add(rib.prefixes.text(prefix));\n    if (!rib.settle(prefix)) {",
    instead: "    if (rib.settle(prefix)) {\n      if (this.#settings.observes) this.#changes.add(rib.prefixes.text(prefix));\n    } else {",
    tests: [],
    seeds: 7,
  },
  {
    name: "own routes that come back by another reflector are called malformed",
    file: "src/bgp/rib/ingest.ts",
    text: "(flagOwnNextHop | flagLoop)) === flagOwnNextHop",
    instead: "flagOwnNextHop) === flagOwnNextHop",
    tests: [],
    seeds: 4,
  },
  {
    name: "who lost a race for a CIDR does not learn whose it is",
    file: "src/ipam/lease.ts",
    text: "    if (!answer.done) return this.#claims.learn(job.key, answer.current, answer.revision);",
    instead: "    if (!answer.done) return;",
    tests: ["test/ipam/lease.test.ts", "test/ipam/lease-race.test.ts"],
  },
  {
    name: "a claim is confirmed from when the answer came, not from when it was asked for",
    file: "src/ipam/lease.ts",
    text: "ttlMillis: answer.ttlSeconds * 1000, confirmedAt: beat.at }",
    instead: "ttlMillis: answer.ttlSeconds * 1000, confirmedAt: now }",
    tests: ["test/ipam/lease.test.ts"],
  },
  {
    name: "two machines of one name both write claims",
    file: "src/ipam/lease.ts",
    text: "    if (this.#presence !== holder.identity) return this.#wait(nameTaken(holder.node, this.#presence));",
    instead: "",
    tests: ["test/ipam/lease.test.ts"],
  },
  {
    name: "a node that starts sweeps its kernel before it knows the routes",
    file: "src/overlay/plan.ts",
    text: "  if (!maySweep) return;\n",
    instead: "",
    tests: [],
    seeds: 2,
  },
  {
    name: "a route goes back to the peer it came from",
    file: "src/bgp/reflector/lane.ts",
    text: "soleReader(readers) === member : readers !== member",
    instead: "soleReader(readers) === member : readers !== -10",
    tests: [],
    seeds: 2,
  },
];
