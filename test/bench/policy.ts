/** What policies cost: 20 rules in each direction on every client, of which the last matches; the same as a filter of BIRD's. */
import { type Bench, compare } from "./measure.ts";
import { missing, type SpeakerName } from "./speakers.ts";
import type { Row, Scenario } from "./scenarios.ts";

const most = { ofWithout: 1.25, ofBird: 1 } as const;

export const policies: Scenario = {
  name: "policy",
  about: "20 rules each way on every client, five each of 1,000 prefixes, AS paths, large communities and communities; the last matches",
  rows: async (bench) => [...(await rowsOf(bench, "policy", 1)), ...(bench.quick ? [] : await rowsOf(bench, "policy-1x10", 10))],
};

async function rowsOf(bench: Bench, scenario: string, sinks: number): Promise<Row[]> {
  const argv = ["--table", `${bench.quick ? 200_000 : 1_000_000}`, "--injectors", "1", "--sinks", `${sinks}`];
  const peers: SpeakerName[] = ["ours-policy", ...(missing("bird-policy") ? [] : (["bird-policy"] as const))];
  const medians = await compare(bench, argv, peers),
    [without, ours, bird] = [medians.get("ours")!, medians.get("ours-policy")!, medians.get("bird-policy")];
  const error = without.error ?? ours.error;
  if (error !== undefined) return [{ scenario, what: `ours failed: ${error}`, ours: "", peers: {}, ratio: undefined, bar: "", ok: false }];
  const measures = [
    ["loadSeconds", "load s"],
    ["loadCpuSeconds", "load CPU s"],
    ["withdrawSeconds", "withdraw s"],
    ["loadedMegabytes", "memory MB"],
  ] as const;
  return measures.flatMap(([measure, what]): Row[] => {
    const value = ours.of(measure),
      plain = value / without.of(measure),
      theirs = bird && bird.error === undefined ? bird.of(measure) : undefined;
    const isBar = measure === "loadSeconds";
    return [
      {
        scenario,
        what: `${what}, with / without`,
        ours: value,
        peers: {},
        ratio: plain,
        bar: isBar ? `≤ ${most.ofWithout}` : "",
        ok: isBar ? plain <= most.ofWithout : undefined,
      },
      ...(theirs === undefined
        ? []
        : [
            {
              scenario,
              what,
              ours: value,
              peers: { bird: theirs },
              ratio: value / theirs,
              bar: isBar ? `≤ ${most.ofBird} × bird` : "",
              ok: isBar ? value <= theirs * most.ofBird : undefined,
            },
          ]),
    ];
  });
}
