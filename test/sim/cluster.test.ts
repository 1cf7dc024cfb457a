import { describe, expect, test } from "vitest";
import { Cluster, simulate } from "./cluster.ts";
import { shapeOf } from "./cluster-document.ts";
import { type FaultKind, faultKinds } from "./faults.ts";

const second = 1000, minute = 60_000;

describe("a simulated cluster", () => {
  test("of two reflectors and twenty nodes is at rest five seconds after its first start", () => {
    for (let seed = 1; seed <= 2; seed++) {
      const cluster = new Cluster(seed, { reflectors: 2, nodes: 20, room: 256, ipv6: true, overlay: false });
      cluster.network.run(5 * second);
      expect(cluster.unrest(), `seed ${seed}`).toEqual([]);
    }
  });

  test("keeps every promise for an hour with faults of every kind, each kind at least once in 20 seeds", { timeout: 120_000 }, () => {
    const struck = new Set<FaultKind>();
    for (let seed = 1; seed <= 20; seed++) {
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
      const cluster = new Cluster(seed), lines: string[] = [];
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
  const calm = (): Cluster => {
    const cluster = new Cluster(2);
    cluster.come();
    return cluster;
  };

  test("a CIDR that two nodes use", () => {
    const cluster = calm(), [n1, n2] = [cluster.machines.find(({ name }) => name === "n1")!, cluster.machines.find(({ name }) => name === "n2")!];
    const own = n1.agent!.leases!.machines[0]!.own;
    Object.defineProperty(n2.agent!.leases!.machines[0]!, "own", { value: own });
    expect(cluster.unrest()).toContain(`${own.cidr} is used by n1 and by n2 at once`);
  });

  test("a route that is missing, one that is nobody's, and a peer that was not told of it", () => {
    const cluster = calm(), n3 = cluster.machines.find(({ name }) => name === "n3")!;
    const cidr = n3.agent!.leases!.machines[0]!.own.cidr!;
    n3.agent!.speaker.withdrawOwn(cidr);
    cluster.network.run(5 * second);
    expect(cluster.unrest()).toContain(`n1 has no route to ${cidr}`);
    n3.agent!.speaker.originate(cidr);
    n3.agent!.speaker.originate("192.0.2.0/24" as typeof cidr);
    cluster.wake(n3);
    cluster.network.run(5 * second);
    expect(cluster.unrest()).toContain("rr1 has a route to 192.0.2.0/24, which is nobody's");
  });

  test("a route lost while another machine restarts, if that gives its CIDR up", () => {
    const cluster = calm(), n3 = cluster.machines.find(({ name }) => name === "n3")!;
    const withdraws = (): void => {
      n3.agent!.speaker.withdrawOwn(n3.agent!.leases!.machines[0]!.own.cidr!);
      cluster.wake(n3);
      cluster.network.run(5 * second);
    };
    expect(withdraws).toThrow(/lost its route to .* while all was calm/);
  });

  test("a session that ends while all is calm", () => {
    const cluster = calm(), [a, b] = [cluster.machines.find(({ name }) => name === "rr1")!, cluster.machines.find(({ name }) => name === "n1")!];
    cluster.network.cut(a.settings.address, b.settings.address);
    expect(() => cluster.network.run(5 * second)).toThrow(/a session ended while all was calm/);
  });

  test("a hold timer that expires though nothing was wrong", () => {
    const cluster = calm(), [a, b] = [cluster.machines.find(({ name }) => name === "rr1")!, cluster.machines.find(({ name }) => name === "n1")!];
    cluster.network.hold(a.settings.address, b.settings.address, 100 * second);
    expect(() => cluster.network.run(120 * second)).toThrow(/a hold timer expired though nothing was wrong/);
  });
});
