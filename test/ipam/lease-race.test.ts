import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { countSubnets, parsePrefix } from "#base/prefix.ts";
import { LeaseWorld, type WorldNode, testPool } from "./lease-world.ts";

/** xorshift32: the seed that is printed is the run. */
function chance(seed: number): () => number {
  let x = seed | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

function expectNoDoubles(world: LeaseWorld): void {
  const holders = new Map<string, string>();
  for (const node of world.nodes) {
    if (node.holds === undefined) continue;
    expect(holders.get(node.holds), `${node.holds} is held by ${node.name} too`).toBeUndefined();
    holders.set(node.holds, node.name);
  }
}

/** One random thing that happens to one random node. */
function mishap(world: LeaseWorld, random: () => number, counts: Record<string, number>): void {
  const node = world.nodes[Math.floor(random() * world.nodes.length)]!;
  const what = random();
  const count = (name: string): void => void (counts[name] = (counts[name] ?? 0) + 1);
  if (what < 0.35) {
    node.isCut = !node.isCut || random() < 0.8;
    count(node.isCut ? "cut" : "mended");
  } else if (what < 0.5) {
    if (!node.isDead) world.kill(node);
    count("killed");
  } else if (what < 0.75) {
    world.restart(node, random() < 0.7);
    count("restarted");
  } else if (what < 0.85) {
    world.store.compact();
    count("compacted");
  }
}

async function live(seed: number, nodes: number, room: number): Promise<Record<string, number>> {
  const random = chance(seed),
    counts: Record<string, number> = {};
  const pool = testPool({ cidr: parsePrefix("10.42.0.0/20")!, nodePrefix: 20 + room });
  const world = await LeaseWorld.make(pool, random);
  const count = (name: string): void => void (counts[name] = (counts[name] ?? 0) + 1);
  for (let i = 1; i <= nodes; i++) world.start(`n${i}`);
  for (let tick = 0; tick < 600; tick++) {
    if (random() < 0.04) mishap(world, random, counts);
    await world.tick(100 + random() * 900, random() < 0.5);
    for (const { said } of world.nodes) for (const each of said.splice(0)) if (each.kind === "own") count(each.own.state);
    expectNoDoubles(world);
  }
  for (const node of world.nodes.slice()) {
    node.isCut = false;
    if (node.isDead) world.restart(node, true);
  }
  const capacity = Number(countSubnets(pool.cidr, pool.nodePrefix));
  const holding = (): WorldNode[] => world.nodes.filter((node) => node.lease.own.state === "held");
  // Long enough for every claim of a former life to lapse.
  const isDone = await world.until(() => holding().length === Math.min(capacity, nodes), 1200);
  expectNoDoubles(world);
  expect(
    isDone,
    `${holding().length} of ${nodes} hold: ${world.nodes.map(({ name, lease }) => `${name} ${lease.own.state} ${lease.own.reason}`).join("; ")}`,
  ).toBe(true);
  for (const node of world.nodes) world.kill(node);
  await world.store.close();
  return counts;
}

describe("nodes that race for the CIDRs of a pool", () => {
  test("never hold one twice, whatever is cut, lost, late, killed or restarted, and all hold one in the end if there is room", async () => {
    const counts: Record<string, number> = {};
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 }), fc.integer({ min: 2, max: 5 }), fc.integer({ min: 1, max: 3 }), async (seed, nodes, room) => {
        for (const [name, count] of Object.entries(await live(seed, nodes, room))) counts[name] = (counts[name] ?? 0) + count;
      }),
      { numRuns: 60, endOnFailure: true },
    );
    process.stdout.write(`lease races: ${JSON.stringify(counts)}\n`);
    // The faults were there, and the states that answer them.
    for (const name of ["cut", "mended", "killed", "restarted", "compacted", "held", "doubtful", "lost", "asking"])
      expect(counts[name], name).toBeGreaterThan(10);
  });
});
