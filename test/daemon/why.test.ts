/** The sentences of `podway why` and `podway routes`, word by word. */
import { describe, expect, test } from "vitest";
import { type Ip, ipBytes } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { Instant } from "#base/time.ts";
import type { Bfd } from "#daemon/bfd-task.ts";
import type { KernelView, LeaseView, RouteQuery, RouteView, WhyView } from "#daemon/control.ts";
import { viewPeers } from "#daemon/peer-view.ts";
import { routeViewLimits, viewRoutes } from "#daemon/route-view.ts";
import { explainWhy } from "#daemon/why.ts";
import { encodeUpdate } from "#wire/bgp/update.ts";
import { peerOf } from "../bgp/settings-of.ts";
import { driverSettings } from "./lease-driver-settings.ts";
import { announcement } from "./messages.ts";
import { SpeakerBench } from "./speaker-bench.ts";

const byText = (a: readonly unknown[], b: readonly unknown[]): number => (String(a) < String(b) ? -1 : 1);

const families = ["ipv4"] as const;
const client = peerOf("n1", "10.0.0.11", { passive: true, families }),
  second = peerOf("n2", "10.0.0.12", { passive: true, families }),
  plain = peerOf("n3", "10.0.0.13", { passive: true, families, role: "non-client" }),
  down = peerOf("n4", "10.0.0.14", { passive: true, families }),
  tor = peerOf("tor", "192.0.2.1", { passive: true, families, remoteAs: 65_001, role: "external", multihop: 2, import: ["all"], export: ["pods"] });
const policies = {
  all: { name: "all", rules: [], otherwise: "accept" },
  pods: { name: "pods", rules: [{ when: { prefixes: [{ prefix: "10.42.0.0/16" as Prefix, ge: 16, le: 32 }] }, then: "accept", set: {} }], otherwise: "reject" },
} as const;
const settings = { ...driverSettings({ node: "rr", cidr: "10.42.0.0/16", holdSeconds: 60 }), policies };

function ready(): SpeakerBench {
  const bench = new SpeakerBench([client, second, plain, down, tor], policies);
  for (const peer of [client, second, plain, tor]) bench.connect(peer);
  bench.say(client.address, announcement("10.42.1.0/24", { nextHop: "10.0.0.21", localPref: 100 }));
  bench.say(second.address, announcement("10.42.1.0/24", { nextHop: "10.0.0.22", localPref: 90 }));
  bench.say(plain.address, announcement("10.42.3.0/24", { nextHop: "10.0.0.23", localPref: 100 }));
  bench.say(tor.address, announcement("0.0.0.0/0", { nextHop: "192.0.2.1", asPath: [65_001] }));
  bench.speaker.originate("10.42.9.0/24" as Prefix);
  bench.settle();
  return bench;
}

const noBfd: Bfd = { name: "bfd", follow: () => {}, watch: () => {}, unwatch: () => {}, view: () => null, run: () => Promise.resolve() };
const noKernel: KernelView = { tables: [] };
const kernelOf = (desired: string | null, actual: string | null, failure: string | null): KernelView => ({
  tables: [{ name: "route", entries: [{ key: "10.42.1.0/24 1024", desired, actual, failure }] }],
});
const lease: LeaseView = {
  pool: "routed",
  cidr: "10.42.1.0/24",
  node: "n1",
  own: false,
  state: "held",
  backend: "bgp",
  address: "10.0.0.21",
  vtepMac: null,
  expiresSeconds: null,
  reason: "held by node n1",
};
function why(subject: string, more: { readonly kernel?: KernelView; readonly leases?: readonly LeaseView[]; readonly bench?: SpeakerBench } = {}): WhyView {
  const bench = more.bench ?? ready();
  const peers = viewPeers(bench.speaker, noBfd, bench.now);
  const answer = explainWhy(subject, { speaker: bench.speaker, settings, peers, leases: more.leases ?? [], kernel: more.kernel ?? noKernel });
  if (!answer.ok) throw new Error(answer.fault.text);
  return answer.value;
}
const nothingElse = "The kernel has no route of ours for it. No lease covers it.";

describe("why", () => {
  test.each([
    [
      "a route with a rival",
      "10.42.1.0/24",
      `10.42.1.0/24: the best path is from n1, next hop 10.0.0.21. It wins over the path from n2 by highest LOCAL_PREF (RFC 4271 §9.1.1). Told to n2, n3, tor. Not told to n1: it is where the route came from (RFC 4456 §6). Not told to n4: its session is Active. ${nothingElse}`,
    ],
    [
      "an address within it",
      "10.42.1.77",
      `10.42.1.0/24: the best path is from n1, next hop 10.0.0.21. It wins over the path from n2 by highest LOCAL_PREF (RFC 4271 §9.1.1). Told to n2, n3, tor. Not told to n1: it is where the route came from (RFC 4456 §6). Not told to n4: its session is Active. ${nothingElse}`,
    ],
    [
      "a route of a non-client",
      "10.42.3.0/24",
      `10.42.3.0/24: the best path is from n3, next hop 10.0.0.23. It is the only one. Told to n1, n2, tor. Not told to n3: it is where the route came from (RFC 4456 §6). Not told to n4: its session is Active. ${nothingElse}`,
    ],
    [
      "a route an export policy holds back",
      "0.0.0.0/0",
      `0.0.0.0/0: the best path is from tor, next hop 192.0.2.1. It is the only one. Told to n1, n2, n3. Not told to n4: its session is Active. Not told to tor: it is where the route came from (RFC 4456 §6). ${nothingElse}`,
    ],
    [
      "a route of our own",
      "10.42.9.0/24",
      `10.42.9.0/24: the best path is originated here. It is the only one. Told to n1, n2, n3, tor. Not told to n4: its session is Active. ${nothingElse}`,
    ],
  ])("%s", (_what, subject, text) => {
    expect(why(subject).text).toBe(text);
  });

  test("nothing covers it", () => {
    expect(why("2001:db8::1").text).toBe(`No route covers 2001:db8::1. ${nothingElse}`);
    expect(why("2001:db8::1").kind).toBe("address");
  });

  test("a policy that refuses is named", () => {
    const bench = ready();
    bench.say(client.address, announcement("172.16.0.0/12", { nextHop: "10.0.0.21", localPref: 100 }));
    bench.settle();
    expect(why("172.16.0.0/12", { bench }).text).toContain("Not told to tor: no rule of pods matches, so it is rejected.");
  });

  test.each([
    [kernelOf("via 10.0.0.21", "via 10.0.0.21", null), "The kernel has it: via 10.0.0.21."],
    [kernelOf("via 10.0.0.21", null, null), "The kernel has nothing and should have via 10.0.0.21."],
    [kernelOf("via 10.0.0.21", "via 10.0.0.9", null), "The kernel has via 10.0.0.9 and should have via 10.0.0.21."],
    [kernelOf("via 10.0.0.21", null, "the network is unreachable"), "The kernel refused its route: the network is unreachable."],
  ])("what the kernel has", (kernel, sentence) => {
    expect(why("10.42.1.0/24", { kernel }).text).toContain(sentence);
  });

  test("which lease covers it", () => {
    expect(why("10.42.1.7", { leases: [lease] }).text).toContain("It lies in 10.42.1.0/24, which n1 leases from pool routed (held).");
  });

  test("a peer", () => {
    expect(why("n1").text).toBe(
      "n1 (10.0.0.11, AS 64512, client) is Established for 0 s: has not gone down since it was configured. It never went down; 1 route accepted, 0 refused, 3 told, 0 stale.",
    );
    const bench = ready();
    bench.disconnect(client.address);
    bench.settle();
    expect(why("10.0.0.11", { bench }).text).toContain("It went down once;");
  });

  test("a subject that is nothing", () => {
    const { speaker } = ready();
    for (const subject of ["nobody", "10.42.1", "10.42.1.0/33", ""])
      expect(explainWhy(subject, { speaker, settings, peers: [], leases: [], kernel: noKernel })).toMatchObject({
        ok: false,
        fault: { code: "api.no-such-subject" },
      });
  });

  test("while a prefix waits to be decided, the answer is the decision of now", () => {
    const bench = ready();
    bench.say(client.address, announcement("10.42.1.0/24", { nextHop: "10.0.0.21", localPref: 10 }));
    expect(why("10.42.1.0/24", { bench }).text).toMatch(/^10\.42\.1\.0\/24: the best path is from n2, next hop 10\.0\.0\.22\. It wins over the path from n1/);
  });
});

describe("routes", () => {
  const shown = async (query: RouteQuery): Promise<readonly string[] | string> => {
    const answer = await viewRoutes(ready().speaker, query);
    return answer.ok ? answer.value.routes.map(({ prefix, peer, nextHop, best }) => `${prefix} ${peer} ${nextHop}${best ? " best" : ""}`) : answer.fault.text;
  };
  test.each([
    [{}, ["10.42.1.0/24 n1 10.0.0.21 best", "10.42.3.0/24 n3 10.0.0.23 best", "0.0.0.0/0 tor 192.0.2.1 best", "10.42.9.0/24 local 10.0.0.1 best"]],
    [{ prefix: "10.42.1.0/24", all: true }, ["10.42.1.0/24 n2 10.0.0.22", "10.42.1.0/24 n1 10.0.0.21 best"]],
    [{ prefix: "10.42.1.77/24" }, ["10.42.1.0/24 n1 10.0.0.21 best"]],
    [{ receivedFrom: "n2" }, ["10.42.1.0/24 n2 10.0.0.22"]],
    [{ sentTo: "tor" }, ["10.42.1.0/24 n1 10.0.0.1 best", "10.42.3.0/24 n3 10.0.0.1 best", "10.42.9.0/24 local 10.0.0.1 best"]],
    [{ family: "ipv6" }, []],
    [{ prefix: "10.99.0.0/16" }, []],
    [
      { prefix: "10.42.0.0/16", longer: true, family: "ipv4" },
      ["10.42.1.0/24 n1 10.0.0.21 best", "10.42.3.0/24 n3 10.0.0.23 best", "10.42.9.0/24 local 10.0.0.1 best"],
    ],
    [{ prefix: "::/0", longer: true }, []],
    [{ receivedFrom: "n2", best: true }, []],
    [{ receivedFrom: "n1", best: true }, ["10.42.1.0/24 n1 10.0.0.21 best"]],
    [{ offset: 2, limit: 1 }, ["0.0.0.0/0 tor 192.0.2.1 best"]],
  ] as const)("%j", async (query, lines) => {
    expect(await shown(query)).toEqual(lines);
  });
  test("an unknown peer and a bad prefix are one sentence", async () => {
    expect(await shown({ sentTo: "nobody" })).toBe('there is no peer "nobody"; `podway peers` lists them.');
    expect(await shown({ prefix: "10.42.0.0/33" })).toBe('"10.42.0.0/33" is no prefix; write it like 10.42.0.0/24.');
  });
  test("a long walk gives way to others, and there are few at a time", async () => {
    const { speaker } = ready();
    for (let n = 0; n < 40_000; n++) speaker.originate(`100.${64 + (n >> 12)}.${(n >> 4) & 255}.${(n & 15) * 16}/28` as Prefix);
    while (speaker.step(0 as Instant, 4096)) continue;
    let turns = 0,
      isOver = false;
    const count = (): void => void (turns++, isOver || setImmediate(count));
    setImmediate(count);
    const all = await Promise.all(Array.from({ length: routeViewLimits.walks + 1 }, () => viewRoutes(speaker, { limit: 1 })));
    isOver = true;
    expect(turns).toBeGreaterThanOrEqual(Math.floor(40_000 / routeViewLimits.slicePrefixes));
    expect(all.map((answer) => (answer.ok ? answer.value.total : answer.fault.code))).toEqual([
      ...Array<number>(routeViewLimits.walks).fill(40_004),
      "api.too-many-walks",
    ]);
  });
  test("the limit bounds what is shown, not what is counted", async () => {
    const answer = await viewRoutes(ready().speaker, { limit: 1 });
    expect(answer).toMatchObject({ ok: true, value: { total: 4, routes: [{ prefix: "10.42.1.0/24" }] } });
  });
});

describe("several paths of one prefix (RFC 7911)", () => {
  const addPath = [{ afi: 1, safi: 1, receive: true, send: true }];
  const several = peerOf("n1", "10.0.0.11", { passive: true, families, addPath: { receive: true, send: 0 } }),
    reader = peerOf("n2", "10.0.0.12", { passive: true, families, addPath: { receive: false, send: "all" } });
  const path = (pathId: number, nextHop: string, localPref: number): Uint8Array =>
    encodeUpdate(
      { attributes: { origin: 0, asPath: [], nextHop: ipBytes(nextHop as Ip), localPref }, nlri: [{ prefix: "10.42.1.0/24" as Prefix, pathId }] },
      { fourOctetAs: true },
    );
  const made = (): SpeakerBench => {
    const bench = new SpeakerBench([several, reader, plain], policies);
    bench.connect(several, { addPath });
    bench.connect(reader, { addPath });
    bench.connect(plain);
    bench.say(several.address, path(0, "10.0.0.31", 100), path(7, "10.0.0.32", 90));
    bench.settle();
    return bench;
  };
  const routes = async (bench: SpeakerBench, query: RouteQuery): Promise<readonly RouteView[]> => {
    const answer = await viewRoutes(bench.speaker, query);
    if (!answer.ok) throw new Error(answer.fault.text);
    return answer.value.routes;
  };
  const shown = async (bench: SpeakerBench, query: RouteQuery): Promise<unknown[]> =>
    (await routes(bench, query)).map(({ pathId, nextHop, best }) => [pathId, nextHop, best]).toSorted(byText);

  test("routes: with the peer's identifiers as received, with ours as sent, without any where there are none", async () => {
    const bench = made();
    expect(await shown(bench, { receivedFrom: "n1" })).toEqual([
      [0, "10.0.0.31", true],
      [7, "10.0.0.32", false],
    ]);
    const sent = await routes(bench, { sentTo: "n2" });
    expect(sent.map(({ nextHop, best, peer }) => [nextHop, best, peer]).toSorted(byText)).toEqual([
      ["10.0.0.31", true, "n1"],
      ["10.0.0.32", false, "n1"],
    ]);
    expect(new Set(sent.map(({ pathId }) => pathId)).size).toBe(2);
    expect(sent.every(({ pathId }) => pathId !== null && pathId > 1)).toBe(true);
    expect(await shown(bench, { sentTo: "n3" })).toEqual([[null, "10.0.0.31", true]]);
  });

  test("why: which paths win over which, and who was told which", async () => {
    const bench = made(),
      [best, other] = (await routes(bench, { sentTo: "n2" })).toSorted((a, b) => Number(b.best) - Number(a.best)),
      { text } = why("10.42.1.0/24", { bench });
    expect(text).toContain("It wins over the path from n1 #7 by highest LOCAL_PREF (RFC 4271 §9.1.1).");
    expect(text).toMatch(new RegExp(`Told to n2 \\(2 paths (#${best!.pathId} #${other!.pathId}|#${other!.pathId} #${best!.pathId}), RFC 7911\\), n3\\.`));
    expect(text).toContain("Not told to n1: it is where the route came from (RFC 4456 §6).");
  });
});
