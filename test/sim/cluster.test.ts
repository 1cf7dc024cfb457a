import { expect, test } from "vitest";
import { type Cluster, cluster } from "./cluster.ts";
import { noFaults, someFaults } from "./network.ts";

const second = 1000, minute = 60_000;

/** Nodes announce and withdraw while faults happen. */
function churn({ network, nodes, announce, withdraw }: Cluster, rounds: number): void {
  for (let round = 0; round < rounds; round++) {
    const node = nodes[Math.floor(network.random() * nodes.length)]!;
    const prefix = `10.${42 + Math.floor(network.random() * 4)}.${nodes.indexOf(node)}.0/24`;
    if (network.random() < 0.6) announce(node, prefix);
    else withdraw(node, prefix);
    network.run(network.random() * 20 * second);
  }
}

const everywhere = ({ network, announced }: Cluster): boolean => {
  const wanted = announced().join();
  return network.nodes.every(({ speaker }) => speaker?.chosen().join() === wanted);
};

test("a cluster of 2 reflectors and 20 nodes is complete in two seconds", () => {
  for (let seed = 1; seed <= 3; seed++) {
    const all = cluster(seed, { reflectors: 2, nodes: 20 });
    all.nodes.forEach((node, i) => all.announce(node, `10.42.${i}.0/24`));
    expect(all.network.runUntil(() => everywhere(all), 2 * second), `seed ${seed}`).toBe(true);
  }
});

test("after ten minutes of faults and churn every speaker ends with exactly what is announced", () => {
  for (let seed = 1; seed <= 12; seed++) {
    const all = cluster(seed, { reflectors: 2, nodes: 6 });
    all.network.faults = someFaults;
    churn(all, 60);
    all.network.faults = noFaults;
    // Held links heal, half-open sessions expire, what is stale is swept: nothing may be left of the past.
    all.network.run(15 * minute);
    for (const { address, speaker } of all.network.nodes) {
      expect(speaker!.chosen(), `seed ${seed}, ${address}`).toEqual(all.announced());
    }
    expect(all.network.nodes.flatMap(({ notes }) => notes.filter(({ level }) => level === "error").map(({ text }) => text)), `seed ${seed}`).toEqual([]);
  }
});

test("one seed, one story", () => {
  const story = (seed: number): string => {
    const all = cluster(seed, { reflectors: 2, nodes: 4 });
    all.network.faults = someFaults;
    churn(all, 20);
    return all.network.trace;
  };
  expect(story(3)).toBe(story(3));
});
