/** What the kernel is to learn from BGP, and when all of it is known. */
import { describe, expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import type { Prefix } from "#base/prefix.ts";
import type { Instant } from "#base/time.ts";
import { LearnedRoutes } from "#daemon/learned-routes.ts";
import { RouteSync } from "#daemon/route-sync.ts";
import { peerOf } from "../bgp/settings-of.ts";
import { announcement, withdrawal } from "./messages.ts";
import { SpeakerBench } from "./speaker-bench.ts";

const a = peerOf("a", "10.0.0.11", { passive: true, families: ["ipv4"] }),
  b = peerOf("b", "10.0.0.12", { passive: true, families: ["ipv4"] }),
  ext = peerOf("ext", "192.0.2.1", { passive: true, families: ["ipv4"], remoteAs: 65_001, role: "external", multihop: 2, import: ["all"], export: ["all"] });
const all = { all: { name: "all", rules: [], otherwise: "accept" } } as const;
const prefix = "10.42.1.0/24" as Prefix;

function ready(): { readonly bench: SpeakerBench; readonly learned: LearnedRoutes; readonly hops: () => readonly Ip[] | undefined } {
  const bench = new SpeakerBench([a, b, ext], all);
  for (const peer of [a, b, ext]) bench.connect(peer);
  const learned = new LearnedRoutes(bench.speaker.rib);
  return {
    bench,
    learned,
    hops: () => {
      bench.settle();
      learned.update();
      return learned.routes.get(prefix);
    },
  };
}

describe("learned routes", () => {
  test("equal paths give all their next hops, sorted; a better one gives its own alone", () => {
    const { bench, hops } = ready();
    bench.say(b.address, announcement(prefix, { nextHop: "10.0.0.22", localPref: 100 }));
    bench.say(a.address, announcement(prefix, { nextHop: "10.0.0.21", localPref: 100 }));
    expect(hops()).toEqual(["10.0.0.21", "10.0.0.22"]);
    bench.say(b.address, announcement(prefix, { nextHop: "10.0.0.23", localPref: 200 }));
    expect(hops()).toEqual(["10.0.0.23"]);
    bench.say(b.address, withdrawal(prefix));
    expect(hops()).toEqual(["10.0.0.21"]);
    bench.say(a.address, withdrawal(prefix));
    expect(hops()).toBeUndefined();
  });

  test.each([
    ["LOCAL_PREF", { localPref: 90 }],
    ["AS_PATH length", { localPref: 100, asPath: [65_009] }],
    ["MED", { localPref: 100, med: 5 }],
  ])("paths that differ in %s are not equal", (_what, worse) => {
    const { bench, hops } = ready();
    bench.say(a.address, announcement(prefix, { nextHop: "10.0.0.21", localPref: 100 }));
    bench.say(b.address, announcement(prefix, { nextHop: "10.0.0.22", ...worse }));
    expect(hops()).toEqual(["10.0.0.21"]);
  });

  test("an external path wins over internal ones and stands alone", () => {
    const { bench, hops } = ready();
    bench.say(a.address, announcement(prefix, { nextHop: "10.0.0.21", localPref: 100, asPath: [65_001] }));
    bench.say(ext.address, announcement(prefix, { nextHop: "192.0.2.1", asPath: [65_001] }));
    expect(hops()).toEqual(["192.0.2.1"]);
  });

  test("one next hop told by two neighbours is one hop", () => {
    const { bench, hops } = ready();
    for (const peer of [a, b]) bench.say(peer.address, announcement(prefix, { nextHop: "10.0.0.21", localPref: 100 }));
    expect(hops()).toEqual(["10.0.0.21"]);
  });

  test("what we originate ourselves is never learned", () => {
    const { bench, hops } = ready();
    bench.say(a.address, announcement(prefix, { nextHop: "10.0.0.21", localPref: 100 }));
    expect(hops()).toEqual(["10.0.0.21"]);
    bench.speaker.originate(prefix);
    expect(hops()).toBeUndefined();
    bench.speaker.withdrawOwn(prefix);
    expect(hops()).toEqual(["10.0.0.21"]);
  });

  test("an update that changes nothing says so", () => {
    const { bench, learned, hops } = ready();
    bench.say(a.address, announcement(prefix, { nextHop: "10.0.0.21", localPref: 100 }));
    hops();
    bench.settle();
    expect(learned.update()).toBe(false);
  });
});

describe("whether BGP has told all it will", () => {
  const later = (bench: SpeakerBench, millis: number): Instant => (bench.now + millis) as Instant;

  test("without neighbours there is nothing to wait for", () => {
    expect(new RouteSync(new SpeakerBench([]).speaker).isInSync(0 as Instant)).toBe(true);
  });
  test("neighbours that are down tell nothing, however long it takes", () => {
    const bench = new SpeakerBench([a, b]),
      sync = new RouteSync(bench.speaker);
    expect(sync.isInSync(later(bench, 86_400_000))).toBe(false);
  });
  test("all have sent End-of-RIB: at once", () => {
    const bench = new SpeakerBench([a, b]),
      sync = new RouteSync(bench.speaker);
    for (const peer of [a, b]) bench.connect(peer);
    bench.tellAll(a.address);
    expect(sync.isInSync(bench.now)).toBe(false);
    bench.tellAll(b.address);
    expect(sync.isInSync(bench.now)).toBe(true);
  });
  test("one has: the others get three seconds more, and then it stays so", () => {
    const bench = new SpeakerBench([a, b]),
      sync = new RouteSync(bench.speaker);
    bench.connect(a);
    bench.tellAll(a.address);
    expect(sync.isInSync(bench.now)).toBe(false);
    expect(sync.nextDeadline()).toBe(bench.now + 3000);
    expect(sync.isInSync(later(bench, 2999))).toBe(false);
    expect(sync.isInSync(later(bench, 3000))).toBe(true);
    bench.disconnect(a.address);
    expect(sync.isInSync(later(bench, 3001))).toBe(true);
  });
  test("an external neighbour alone does not stand for the internal ones", () => {
    const bench = new SpeakerBench([a, ext], all),
      sync = new RouteSync(bench.speaker);
    bench.connect(ext);
    bench.tellAll(ext.address);
    expect(sync.isInSync(later(bench, 60_000))).toBe(false);
  });
  test("while the selection is deferred after a restart, nothing is told", () => {
    const bench = new SpeakerBench([a]),
      sync = new RouteSync(bench.speaker);
    bench.speaker.beginRestart({ restarting: true, forwarding: [0, 1] }, false, 60_000, bench.now);
    expect(sync.isInSync(bench.now)).toBe(false);
  });
});
