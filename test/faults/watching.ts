/** What runs beside a fault: the prober, and monitors that note every deletion of a row of ours. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type FaultLab, nodes } from "./lab.ts";
import type { ProbePair, ProbeReport } from "./prober.ts";

const readyMillis = 20_000;

export interface Watching {
  /** Ends it all; the last packets get their second. */
  stop(): Promise<{ readonly probe: ProbeReport; readonly deletions: readonly string[] }>;
}

/** Returns once every pair has answered. */
export async function watch(lab: FaultLab, pairs: readonly ProbePair[]): Promise<Watching> {
  const monitors = nodes.flatMap((node) => {
    const at = ["-n", lab.namespace(node)];
    return [monitor(node, ["ip", ...at, "-N", "-o", "monitor", "route", "neigh", "link", "address"]), monitor(node, ["bridge", ...at, "monitor", "fdb"])];
  });
  const prober = spawn(process.execPath, [fileURLToPath(new URL("prober.ts", import.meta.url)), JSON.stringify(pairs)], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: prober.stdout })[Symbol.asyncIterator]();
  const late = setTimeout(() => prober.kill(), readyMillis);
  const first = await lines.next();
  clearTimeout(late);
  const stop = async (): Promise<string[]> => (await Promise.all(monitors.map((one) => one.stop()))).flat();
  if (first.value !== "ready") {
    await stop();
    throw new Error("not every pair of pods answers before the fault: the prober saw no round of answers");
  }
  return {
    async stop() {
      prober.stdin.end();
      const last = await lines.next();
      return { probe: JSON.parse(last.value as string) as ProbeReport, deletions: await stop() };
    },
  };
}

/** Rows of ours: routes with our protocol, whatever stands on our device, and the device itself. */
const ours = /proto 117|pw-vx43.*(permanent| inet |<BROADCAST)/i;

function monitor(node: string, argv: readonly string[]): { stop(): Promise<string[]> } {
  const child: ChildProcess = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "inherit"] }),
    seen: string[] = [];
  createInterface({ input: child.stdout! }).on("line", (line) => {
    if (/^Deleted/i.test(line) && ours.test(line)) seen.push(`${node}: ${line.replaceAll(/\s+/g, " ").trim()}`);
  });
  const ended = once(child, "close");
  return {
    async stop() {
      child.kill();
      await ended;
      return seen;
    },
  };
}
