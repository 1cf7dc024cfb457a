/** `npm run doors`: real runtimes at every door, and a table of what was exercised and seen. */
import { parseArgs } from "node:util";
import type { DoorRow } from "./docker.ts";

const parts = {
  cni: async (told: (row: DoorRow) => void) => (await import("./cni.ts")).judgeCni(told),
  docker: async (told: (row: DoorRow) => void) => (await import("./docker.ts")).judgeDocker(told),
  kills: async (told: (row: DoorRow) => void) => (await import("./kill.ts")).judgeKills(told),
  model: async (told: (row: DoorRow) => void) => (await import("./model.ts")).judgeModel(told),
} as const;

const { values } = parseArgs({ options: { only: { type: "string" } } });
const wanted = values.only === undefined ? Object.keys(parts) : values.only.split(",");
const rows: DoorRow[] = [];
for (const name of wanted) {
  const judge = Object.hasOwn(parts, name) ? parts[name as keyof typeof parts] : undefined;
  if (judge === undefined) {
    process.stderr.write(`there is no door ${name}; there are ${Object.keys(parts).join(", ")}\n`);
    process.exit(2);
  }
  rows.push(
    ...(await judge(({ passed, door, what, seen }) => process.stdout.write(`${passed ? "ok    " : "FAILED"} ${door.padEnd(8)} ${what}\n         ${seen}\n`))),
  );
}
const passed = rows.filter((row) => row.passed).length;
process.stdout.write(`\n${passed} of ${rows.length} as they should be\n`);
process.exitCode = passed === rows.length ? 0 : 1;
