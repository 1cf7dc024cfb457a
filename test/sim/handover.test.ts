import { expect, test } from "vitest";
import { MovingNetwork, nodes, type Shape } from "./handover.ts";

/** From a mesh to reflectors, to others of which two are nodes, to one of the first, to one that takes another's place at once, and back. */
const shapes: readonly Shape["reflectors"][] = [[], ["rr1", "rr2"], ["n1", "n2"], ["rr1"], ["rr2"], ["rr1", "n5"], []];

function moved(seed: number, gracefulRestart: boolean, faults?: (world: MovingNetwork) => void): MovingNetwork {
  const world = new MovingNetwork(seed, { reflectors: [], gracefulRestart });
  expect(world.network.runUntil(() => world.isWhole && world.isSettled(), 120_000)).toBe(true);
  world.isWatched = true;
  for (const reflectors of shapes.slice(1)) {
    world.apply({ reflectors, gracefulRestart });
    world.network.run(9000);
    faults?.(world);
    expect(
      world.network.runUntil(() => world.isSettled(), 300_000),
      `seed ${seed}: ${reflectors.join() || "mesh"}`,
    ).toBe(true);
    expect(world.lost, `seed ${seed}: to ${reflectors.join() || "a mesh"}`).toEqual([]);
    world.network.run(120_000);
    expect(world.isSettled()).toBe(true);
  }
  return world;
}

test.each([1, 2, 3, 4])("no node is without a route at any moment, without graceful restart: seed %i", (seed) => {
  moved(seed, false);
});

test.each([21, 22, 23])("nor while links hold everything back and machines stand still for a while: seed %i", (seed) => {
  moved(seed, false, ({ network }) => {
    for (const from of ["10.0.0.1", "10.0.0.6", "10.0.0.7"] as const) network.hold(from as never, "10.0.0.3" as never, 20_000 * network.random());
    network.stall("10.0.0.2" as never, 20_000 * network.random());
  });
});

test.each([31, 32])("a reflector that the document drops at once, and that does not know, is kept until others have taken its place: seed %i", (seed) => {
  const world = new MovingNetwork(seed, { reflectors: ["rr1"], gracefulRestart: false });
  expect(world.network.runUntil(() => world.isWhole && world.isSettled(), 120_000)).toBe(true);
  world.isWatched = true;
  world.apply({ reflectors: ["rr2"], absent: ["rr1"], gracefulRestart: false });
  world.network.run(9000);
  const others = ["n1", "n2", "n3", "n4", "n5", "rr2"] as const;
  expect(world.network.runUntil(() => world.isSettled(others), 120_000)).toBe(true);
  expect(world.lost).toEqual([]);
});

test.each([41, 42, 43])("all reflectors gone for minutes: nodes peer among themselves, and stop when one is back: seed %i", (seed) => {
  const world = new MovingNetwork(seed, { reflectors: ["rr1", "rr2"], gracefulRestart: true });
  expect(world.network.runUntil(() => world.isWhole && world.isSettled(), 120_000)).toBe(true);
  world.isWatched = true;
  for (const name of ["rr1", "rr2"] as const) world.kill(name, 900_000);
  world.network.run(19_000);
  expect(world.agents.get("n1")!.speaker!.handover.isFallback).toBe(false);
  // What the reflectors told is kept for 360 s, and the mesh is there long before.
  expect(world.network.runUntil(() => nodes.every((name) => world.agents.get(name)!.speaker!.sessions().length === nodes.length - 1), 120_000)).toBe(true);
  world.network.run(700_000);
  expect(world.lost).toEqual([]);
  expect(world.network.runUntil(() => world.isSettled(), 300_000)).toBe(true);
  expect(world.lost).toEqual([]);
  const said = world.agents.get("n1")!.speaker!.said.map(({ event }) => event);
  expect(said.slice(0, 2)).toEqual(["bgp.reflectors-gone", "bgp.reflectors-back"]);
});

test("a time of 0 turns the mesh that stands in off", () => {
  const world = new MovingNetwork(51, { reflectors: ["rr1"], gracefulRestart: false, fallback: 0 });
  expect(world.network.runUntil(() => world.isWhole && world.isSettled(), 120_000)).toBe(true);
  world.kill("rr1", 200_000);
  world.network.run(150_000);
  expect(world.agents.get("n1")!.speaker!.sessions()).toEqual([]);
  expect(world.isWhole).toBe(false);
});
