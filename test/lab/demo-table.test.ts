import { expect, test } from "vitest";
import type { Finding } from "#lab/check.ts";
import { demoTable } from "#lab/demo-table.ts";
import { describeExpectation, type Expectation } from "#lab/expectation.ts";
import type { LabRecord, MachineRecord } from "#lab/record.ts";

const machine = (name: string, kind: MachineRecord["kind"], more: Partial<MachineRecord> = {}): MachineRecord => ({
  name,
  kind,
  namespace: `pw-t-${name}`,
  home: `/run/podway/lab/t/${name}`,
  addresses: [],
  node: undefined,
  pool: undefined,
  ...more,
});
const record: LabRecord = {
  schema: 1,
  lab: "t",
  topology: "/labs/t.yaml",
  home: "/run/podway/lab/t",
  created: "2026-01-01T00:00:00Z",
  starting: undefined,
  processes: [],
  machines: [
    machine("n1", "podway", { addresses: ["10.0.0.21"] }),
    machine("sw0", "bridge"),
    machine("tor", "bird", { addresses: ["10.0.0.1", "fd00::1"] }),
    machine("p1", "host", { addresses: ["10.42.0.2"], node: "n1", pool: "routed" }),
    machine("p2", "host", { addresses: ["10.42.1.2"], node: "n2", pool: "routed" }),
  ],
};
const finding = (expectation: Expectation, seen: boolean, millis?: number): Finding => ({ expectation, seen, millis, text: describeExpectation(expectation) });

test("the demo shows who runs, who holds what, who talks to whom and who reaches whom", async () => {
  const findings = [
    finding({ kind: "session", node: "n1", peer: "rr1" }, true),
    finding({ kind: "session", node: "n1", peer: "tor" }, false),
    finding({ kind: "route", on: "tor", to: "n1/routed", via: "10.0.0.21", absent: false }, true),
    finding({ kind: "route", on: "tor", to: "n1/overlay", via: undefined, absent: true }, false),
    finding({ kind: "ping", from: "p1", to: "p2", family: 4 }, true, 0.123),
    finding({ kind: "ping", from: "p2", to: "p1", family: 4 }, false),
    finding({ kind: "ping", from: "p2", to: "tor", family: 4 }, true, 12.3),
  ];
  const report = { findings, missing: findings.filter((one) => !one.seen), seconds: 1 };
  const leases = [{ node: "n1", pool: "routed", cidr: "10.42.0.0/24", backend: "bgp" }];
  await expect(demoTable({ title: "t.yaml", record, report, leases })).toMatchFileSnapshot("fixtures/demo-table.txt");
});
