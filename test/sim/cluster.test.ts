import { describe, expect, test } from "vitest";
import type { Prefix } from "#base/prefix.ts";
import { Cluster, simulate } from "./cluster.ts";
import type { SimMachine } from "./cluster-agent.ts";
import { shapeOf } from "./cluster-document.ts";
import { type FaultKind, faultKinds } from "./faults.ts";

const second = 1000,
  minute = 60_000;

describe("a simulated cluster", () => {
  test("of two reflectors and twenty nodes is at rest five seconds after its first start", () => {
    for (let seed = 1; seed <= 2; seed++) {
      const cluster = new Cluster(seed, { reflectors: 2, nodes: 20, room: 256, ipv6: true, overlay: false });
      cluster.network.run(5 * second);
      expect(cluster.unrest(), `seed ${seed}`).toEqual([]);
    }
  });

  // `npm run sim -- --seeds 200` is the long way of this.
  test("keeps every promise for an hour with faults of every kind, each kind at least once in 12 seeds", { timeout: 240_000 }, () => {
    const struck = new Set<FaultKind>();
    for (let seed = 1; seed <= 12; seed++) {
      const { hours, counts } = simulate(seed, 1);
      expect(hours, `seed ${seed}`).toBeGreaterThanOrEqual(1);
      for (const kind of faultKinds) if (counts[kind] > 0) struck.add(kind);
    }
    expect(faultKinds.filter((kind) => !struck.has(kind))).toEqual([]);
  });

  test("has at least five speakers, and among 35 seeds every shape", () => {
    const shapes = Array.from({ length: 35 }, (_, seed) => shapeOf(seed));
    for (const { nodes } of shapes) expect(nodes).toBeGreaterThanOrEqual(5);
    expect(new Set(shapes.map(({ reflectors }) => reflectors))).toEqual(new Set([0, 1, 2, 3]));
    expect(shapes.some(({ room, nodes }) => room < nodes)).toBe(true);
  });

  test("tells the same story for the same seed, event by event, and another for another", () => {
    const story = (seed: number): string => {
      const cluster = new Cluster(seed),
        lines: string[] = [];
      cluster.network.onEvent = (line) => lines.push(line);
      cluster.come();
      cluster.suffer(5 * minute);
      return `${cluster.network.trace}\n${lines.join("\n")}`;
    };
    expect(story(3) === story(3)).toBe(true);
    expect(story(3) === story(4)).toBe(false);
  });
});

describe("the checkers see", () => {
  const machine = (cluster: Cluster, name: string): SimMachine => cluster.machines.find((one) => one.name === name)!;
  const cidrOf = ({ agent }: SimMachine): Prefix => agent!.leases!.machines[0]!.own.cidr!;
  /** At rest; `come` also begins to watch it as calm. */
  const rested = (isCalm: boolean): Cluster => {
    const cluster = new Cluster(1);
    if (isCalm) cluster.come();
    else cluster.network.run(minute);
    expect(cluster.unrest()).toEqual([]);
    return cluster;
  };

  test("a CIDR that two nodes use", () => {
    const cluster = rested(false),
      { own } = machine(cluster, "n1").agent!.leases!.machines[0]!;
    Object.defineProperty(machine(cluster, "n2").agent!.leases!.machines[0]!, "own", { value: own });
    expect(cluster.unrest()).toContain(`${own.cidr} is used by n1 and by n2 at once`);
  });

  test("a route that is missing, and one that is nobody's", () => {
    const cluster = rested(false),
      n3 = machine(cluster, "n3"),
      stray = "192.0.2.0/24" as Prefix;
    n3.agent!.speaker.withdrawOwn(cidrOf(n3));
    n3.agent!.speaker.originate(stray);
    cluster.wake(n3);
    cluster.network.run(5 * second);
    expect(cluster.unrest()).toEqual(expect.arrayContaining([`n1 has no route to ${cidrOf(n3)}`, `rr1 has a route to ${stray}, which is nobody's`]));
  });

  test("a peer that was not told what it should have been", () => {
    const cluster = rested(false),
      rr1 = machine(cluster, "rr1").agent!,
      { peer } = rr1.speaker.routes()[0]!;
    cluster.told(rr1, peer)!.told.delete(cidrOf(machine(cluster, "n3")));
    cluster.told(rr1, peer)!.told.delete(cidrOf(machine(cluster, "n4")));
    expect(cluster.unrest().join()).toMatch(/rr1 to n\d: told 10\.42\.\d+\.0\/24 nothing instead of via 10\.0\.0\.2[34] /);
  });

  test("a kernel that was meddled with, though its daemon does not know", () => {
    const cluster = rested(false),
      n1 = machine(cluster, "n1"),
      route = [...n1.kernel.tables.route].find(([, { prefix }]) => prefix === cidrOf(machine(cluster, "n3")))!;
    (n1.kernel.tables.route as Map<string, unknown>).delete(route[0]);
    expect(cluster.unrest()).toContain(`n1: its kernel has no route to ${route[1].prefix}`);
  });

  test("a route that is lost while all is calm", () => {
    const cluster = rested(true),
      n3 = machine(cluster, "n3");
    n3.agent!.speaker.withdrawOwn(cidrOf(n3));
    cluster.wake(n3);
    expect(() => cluster.network.run(5 * second)).toThrow(/lost its route to .* while all was calm/);
  });

  test("a session that ends while all is calm", () => {
    const cluster = rested(true);
    cluster.network.cut(machine(cluster, "rr1").settings.address, machine(cluster, "n1").settings.address);
    expect(() => cluster.network.run(5 * second)).toThrow(/a session ended while all was calm/);
  });

  test("a hold timer that expires though nothing was wrong", () => {
    const cluster = rested(true);
    cluster.network.hold(machine(cluster, "rr1").settings.address, machine(cluster, "n1").settings.address, 100 * second);
    expect(() => cluster.network.run(120 * second)).toThrow(/a hold timer expired though nothing was wrong/);
  });
});
