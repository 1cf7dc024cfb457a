/** How time and memory grow with routes and with clients; bytes a route, a path and a client; the picture of it. */
import { writeFileSync } from "node:fs";
import type { Answer } from "./generator.ts";
import { drawGrowth } from "./growth-picture.ts";
import { type Bench, mediansOf, runOnce } from "./measure.ts";
import type { Row, Scenario } from "./scenarios.ts";

export interface GrowthPoint {
  readonly count: number;
  readonly loadSeconds: number;
  readonly megabytes: number;
}

const pictureFile = new URL("growth.svg", import.meta.url);
const routeCounts = [10_000, 100_000, 1_000_000];
const clientCounts = [10, 100, 1000, 2500];
const megabyte = 1024 * 1024;

export function growth(options: { readonly picture: boolean }): Scenario {
  return {
    name: "growth",
    about: "10,000 to 1,000,000 routes; 10 to 2,500 clients with 4 routes each",
    rows: async (bench) => {
      const routes = await points(bench, bench.quick ? routeCounts.slice(0, 2) : routeCounts, (count) => ["--table", `${count}`]);
      const clients = await points(bench, bench.quick ? clientCounts.slice(0, 3) : clientCounts, (count) => [
        "--mesh",
        "--clients",
        `${count}`,
        "--per-client",
        "4",
      ]);
      const path = await bytesPerPath(bench, routes.at(-1)!);
      if (options.picture) writeFileSync(pictureFile, drawGrowth(routes, clients));
      return [...rowsOf("routes", routes), ...rowsOf("clients", clients), ...verdicts(routes, clients), row("bytes a further path", path, "")];
    },
  };
}

async function points(bench: Bench, counts: readonly number[], argv: (count: number) => readonly string[]): Promise<GrowthPoint[]> {
  const out: GrowthPoint[] = [];
  for (const count of counts) {
    const answers: Answer[] = [];
    for (let run = 0; run < bench.runs; run++) answers.push((await runOnce(bench, "ours", [...argv(count), "--no-withdraw"])).answer);
    const medians = mediansOf(answers);
    if (medians.error !== undefined) throw new Error(`growth, ${count}: ${medians.error}`);
    out.push({ count, loadSeconds: medians.of("loadSeconds"), megabytes: medians.of("loadedMegabytes") });
  }
  return out;
}

/** Four paths of each prefix against one. */
async function bytesPerPath(bench: Bench, one: GrowthPoint): Promise<number> {
  const { answer } = await runOnce(bench, "ours", ["--table", `${one.count}`, "--injectors", "4", "--no-withdraw"]);
  if (answer.error) throw new Error(`growth, four paths: ${answer.error}`);
  return ((answer.loadedMegabytes - one.megabytes) * megabyte) / (3 * one.count);
}

const row = (what: string, ours: number, bar: string, ok?: boolean): Row => ({ scenario: "growth", what, ours, peers: {}, ratio: undefined, bar, ok });
const rowsOf = (of: string, given: readonly GrowthPoint[]): Row[] =>
  given.flatMap(({ count, loadSeconds, megabytes }) => [row(`${count} ${of}, load s`, loadSeconds, ""), row(`${count} ${of}, memory MB`, megabytes, "")]);

function verdicts(routes: readonly GrowthPoint[], clients: readonly GrowthPoint[]): Row[] {
  const [last, before] = [routes.at(-1)!, routes.at(-2)!],
    ratio = last.loadSeconds / before.loadSeconds;
  return [
    { ...row(`load of ${last.count} / ${before.count} routes`, ratio, "≤ 12", ratio <= 12), ratio },
    row("bytes a route", bytesEach(before, last), ""),
    row("bytes a client", bytesEach(clients[0]!, clients.at(-1)!), ""),
  ];
}
const bytesEach = (from: GrowthPoint, to: GrowthPoint): number => ((to.megabytes - from.megabytes) * megabyte) / (to.count - from.count);
