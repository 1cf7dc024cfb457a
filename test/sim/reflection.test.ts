import { describe, expect, test } from "vitest";
import type { Prefix } from "#base/prefix.ts";
import { Reflection, simulateReflection } from "./reflection.ts";
import { planOf, speakers } from "./reflection-plan.ts";

const second = 1000;

test("twenty speakers for half an hour each: after every event what was told is what should have been", { timeout: 120_000 }, () => {
  for (const seed of [3, 5]) {
    const { compared, sessionsLost, routesTold } = simulateReflection(seed, 0.5);
    expect(compared).toBeGreaterThan(1000);
    expect(routesTold).toBeGreaterThan(1000);
    expect(sessionsLost).toBeGreaterThan(50);
  }
});

test("the same seed is the same run", { timeout: 60_000 }, () => {
  const trace = (): string => {
    const world = new Reflection(4);
    world.network.run(10 * second);
    world.suffer(120 * second);
    return world.network.trace;
  };
  expect(trace()).toBe(trace());
});

test("every seed stands for twenty speakers, and among seven there are reflectors of reflectors, of one cluster, and each role", () => {
  const plans = Array.from({ length: 7 }, (_, i) => planOf(i + 1));
  for (const plan of plans) expect(plan).toHaveLength(speakers);
  const peers = plans.flat().flatMap(({ settings }) => settings.peers);
  expect(plans.flat().some(({ name, settings }) => name.startsWith("second") && settings.peers.some(({ role }) => role === "client"))).toBe(true);
  expect(plans.some((plan) => new Set(plan.map(({ settings }) => settings.clusterId)).size < speakers)).toBe(true);
  expect(new Set(peers.map(({ asRole }) => asRole))).toEqual(new Set([undefined, "customer", "provider", "peer"]));
  expect(new Set(peers.map(({ gracefulRestart }) => gracefulRestart?.longLivedSeconds))).toEqual(new Set([undefined, 240]));
});

describe("a breach is noticed", () => {
  const up = (): Reflection => {
    const world = new Reflection(1);
    world.network.run(30 * second);
    expect(world.unrest()).toEqual([]);
    return world;
  };
  /** A reflector of it, what it has told one of its clients, and who that is. */
  const top = (
    world: Reflection,
  ): { readonly router: NonNullable<NonNullable<Reflection["members"][0]["node"]>["speaker"]>; readonly told: Map<Prefix, string> } => {
    const router = world.members.find(({ plan }) => plan.name === "top1")!.node!.speaker!,
      { connection } = router.speaker.routes().find(({ peer }) => router.speaker.neighbours.byId(peer)!.role === "client")!;
    return { router, told: router.sessions.get(connection)!.told };
  };

  /** Something new is chosen and told everywhere. */
  const change = (world: Reflection): void => {
    world.toggle(
      world.members.find(({ plan }) => plan.name === "plain1")!,
      "10.81.0.0/24" as Prefix,
    );
    world.network.run(2 * second);
  };

  test("a route that a client was told and should not have been", () => {
    const world = up();
    top(world).told.set("192.0.2.0/24" as Prefix, "via 10.0.0.1");
    expect(() => change(world)).toThrow(/top1 to \w+: told 192\.0\.2\.0\/24 via 10\.0\.0\.1, and should not have been/);
  });

  test("a route that a client was not told, at rest too", () => {
    const world = up(),
      { told } = top(world),
      prefix = [...told.keys()][0]!;
    told.delete(prefix);
    expect(world.unrest().join()).toMatch(/holds .* of top1, which was never told or was taken back/);
    expect(() => change(world)).toThrow(/told .* nothing instead of/);
  });

  test("a route that is nobody's, and one that is missing", () => {
    const world = up(),
      { router } = top(world),
      stray = "192.0.2.0/24" as Prefix;
    router.speaker.originate(stray);
    router.turn(world.network.now);
    world.network.poke(world.members.find(({ plan }) => plan.name === "top1")!.node!);
    world.network.run(2 * second);
    expect(world.unrest()).toContain(`top1 has a route to ${stray}, which is nobody's`);
    const [owner] = world.members.filter(({ plan, announces }) => plan.name.startsWith("client") && announces.size > 0);
    for (const { announces } of world.members) announces.delete([...owner!.announces][0]!);
    expect(world.unrest().join()).toMatch(/which is nobody's/);
  });
});
