/** The judge of `npm run faults` must see what is lost, and nothing else: two namespaces on one wire, and requests dropped for a known time. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Ip } from "#base/ip.ts";
import { inside, ipBatch, must, run } from "#lab/command.ts";
import type { ProbePair, ProbeReport } from "../faults/prober.ts";

const names = [`t-prober-a-${process.pid}`, `t-prober-b-${process.pid}`] as const;
const ends = [
  ["192.0.2.1/24", "2001:db8::1/64"],
  ["192.0.2.2/24", "2001:db8::2/64"],
] as const;

beforeAll(async () => {
  await ipBatch(
    "namespaces",
    names.map((name) => `netns add ${name}`),
  );
  await ipBatch("wire", [`link add e0 netns ${names[0]} type veth peer name e0 netns ${names[1]}`]);
  for (const [i, name] of names.entries())
    await ipBatch("addresses", [`addr add ${ends[i]![0]} dev e0`, `addr add ${ends[i]![1]} dev e0 nodad`, "link set lo up", "link set e0 up"], name);
});
afterAll(async () => {
  for (const name of names) await run(["ip", "netns", "del", name]);
});

const drop = `table inet cut {
  chain in {
    type filter hook input priority 0
    icmp type echo-request drop
    icmpv6 type echo-request drop
  }
}
`;
const pairs: readonly ProbePair[] = [
  { name: "dropped 4", namespace: names[0], to: "192.0.2.2" as Ip },
  { name: "dropped 6", namespace: names[0], to: "2001:db8::2" as Ip },
  { name: "whole", namespace: names[0], to: "127.0.0.1" as Ip },
];

test("what is sent while requests are dropped is lost, before and after nothing is", { timeout: 30_000 }, async () => {
  const prober = spawn(process.execPath, [fileURLToPath(new URL("../faults/prober.ts", import.meta.url)), JSON.stringify(pairs)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: prober.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe("ready");
  await sleep(500);
  const cut = Date.now();
  await must("drop", inside(names[1], ["nft", "-f", "-"]), { input: drop });
  await sleep(400);
  await must("heal", inside(names[1], ["nft", "delete", "table", "inet", "cut"]));
  const healed = Date.now();
  await sleep(1500);
  prober.stdin.end();
  const report = JSON.parse((await lines.next()).value as string) as ProbeReport;
  const whole = report.pairs[2]!;
  expect(whole).toMatchObject({ name: "whole", lost: 0, gaps: [] });
  expect(whole.sent).toBeGreaterThan(150);
  for (const { lost, gaps } of report.pairs.slice(0, 2)) {
    expect(gaps).toHaveLength(1);
    expect(lost).toBe(gaps[0]!.lost);
    expect(lost).toBeGreaterThanOrEqual(20);
    expect(lost).toBeLessThanOrEqual((healed - cut) / 10 + 2);
    expect(gaps[0]!.from).toBeGreaterThanOrEqual(cut - 5);
    expect(gaps[0]!.to).toBeLessThanOrEqual(healed);
  }
});
