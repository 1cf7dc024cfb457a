/** A lab without Podway (fixtures/plain.yaml), planned under a name of the test's own; also a program that brings it up. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { LabSection, labProblems } from "#config/lab-schema.ts";
import { checkLab } from "#lab/check.ts";
import { upLab } from "#lab/netns.ts";
import { type LabPlan, planLab } from "#lab/plan.ts";
import { labHome } from "#lab/record.ts";

const fixture = fileURLToPath(import.meta.resolve("./fixtures/plain.yaml"));

export function planPlain(name: string, change: (lab: LabSection) => void = () => undefined): LabPlan {
  const lab = LabSection.parse(parse(readFileSync(fixture, "utf8")));
  change(lab);
  const problems = labProblems(lab, { nodes: [], pools: [] });
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  const places = { topology: fixture, home: labHome(name), node: process.execPath, podwayd: "/nonexistent" };
  return planLab({ name, nodes: {}, pools: [], routeProtocol: 117, lab }, places);
}

if (import.meta.main) {
  const plan = planPlain(process.argv[2]!);
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const record = await upLab(plan, { say });
  const report = await checkLab(record, plan, { say });
  for (const missing of report.missing) say(missing.text);
  say(`${report.findings.length - report.missing.length} of ${report.findings.length} after ${report.seconds.toFixed(1)} s`);
}
