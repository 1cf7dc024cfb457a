import { expect, test } from "vitest";
import { readLabDocument } from "#lab/document.ts";
import { mermaid } from "#lab/graph.ts";
import { type LabPlan, planLab } from "#lab/plan.ts";
import { attachLines } from "#lab/pod-plan.ts";

const places = (lab: string) => ({ topology: `/labs/${lab}.yaml`, home: `/run/podway/lab/${lab}`, node: "/opt/node", podwayd: "/opt/podwayd.ts" });
const planOf = (lab: string): LabPlan => planLab(readLabDocument(`topology/${lab}.yaml`), places(lab));
const labs = ["quickstart", "two-reflectors", "overlay-only"] as const;

test("the plan of quickstart is the one on file", async () => {
  await expect(`${JSON.stringify(planOf("quickstart"), undefined, 1)}\n`).toMatchFileSnapshot("fixtures/quickstart-plan.json");
});

test.each(labs)("%s: every namespace is named after the lab, every interface name fits the kernel", (lab) => {
  const plan = planOf(lab);
  for (const machine of plan.machines) expect(machine.namespace).toBe(`pw-${lab}-${machine.name}`);
  const namespaces = new Set(plan.machines.map((machine) => machine.namespace));
  const wires = [...plan.wires, ...plan.pods.map((pod) => attachLines(pod, ["10.42.0.2"]).wire)];
  for (const wire of wires) {
    const parts = /^link add (\S+) netns (\S+) type veth peer name (\S+) netns (\S+)$/.exec(wire)!;
    expect(parts[1]!.length).toBeLessThanOrEqual(15);
    expect(parts[3]!.length).toBeLessThanOrEqual(15);
    expect(namespaces.has(parts[2]!) && namespaces.has(parts[4]!)).toBe(true);
  }
});

test.each(labs)("%s: every machine an expectation speaks of is planned", (lab) => {
  const plan = planOf(lab);
  const names = new Set(plan.machines.map((machine) => machine.name));
  for (const one of plan.expectations) {
    const name = one.kind === "route" ? one.on : one.kind === "ping" ? one.from : one.node;
    expect(names).toContain(name);
  }
  expect(plan.expectations.length).toBeGreaterThan(10);
});

test("quickstart promises a ping between every two pods of a family, in both directions", () => {
  const plan = planOf("quickstart");
  const pings = plan.expectations.filter((one) => one.kind === "ping");
  const pods = (family: 4 | 6): number => plan.pods.filter((pod) => pod.family === family).length;
  const between = pings.filter((one) => one.from !== "server" && one.to !== "server");
  expect(between).toHaveLength(pods(4) * (pods(4) - 1) + pods(6) * (pods(6) - 1));
  expect(plan.pods).toHaveLength(9);
});

test("a second pod of the same node and pool gets the next address and the next device", () => {
  const document = readLabDocument("topology/overlay-only.yaml");
  const more = { ...document, lab: { ...document.lab, nodes: { ...document.lab.nodes, extra: { kind: "host" as const, node: "n1", pool: "overlay" } } } };
  const pods = planLab(more, places("overlay-only")).pods.filter((pod) => pod.node === "n1");
  expect(pods.map((pod) => [pod.device, "index" in pod.source && pod.source.index])).toEqual([
    ["pod1", 2],
    ["pod2", 3],
  ]);
});

test("a pod of both families gets a gateway of each, and a route on its node for each address", () => {
  const pod = planOf("quickstart").pods[0]!;
  const lines = attachLines(pod, ["10.42.0.2", "fd42::2"]);
  expect(lines.node).toEqual([
    "link set pod1 mtu 1500 up",
    "addr add 169.254.1.1/32 scope link dev pod1",
    "route add 10.42.0.2/32 dev pod1 src 10.0.0.21",
    "addr add fe80::1/64 nodad dev pod1",
    "route add fd42::2/128 dev pod1",
  ]);
  expect(lines.pod).toContain("route add 0.0.0.0/0 via 169.254.1.1 dev eth0");
  expect(lines.pod).toContain("route add ::/0 via fe80::1 dev eth0");
});

test("a graph names every machine and every link", () => {
  const document = readLabDocument("topology/overlay-only.yaml");
  const text = mermaid(document);
  expect(text.split("\n").filter((line) => line.includes("---|"))).toHaveLength(document.lab.links!.length);
  expect(text).toContain('m_n3["n3 (podway)"]');
});
