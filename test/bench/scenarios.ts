/** What is measured, and the bars. Each scenario answers rows of the table. */
import type { Answer, Measure } from "./generator.ts";
import { type Bench, compare, type Medians, mediansOf, type Metrics, runOnce } from "./measure.ts";
import { recordedFeed } from "./recorded-feed.ts";
import { missing, type SpeakerName } from "./speakers.ts";

export interface Row {
  readonly scenario: string;
  readonly what: string;
  /** Values by column; a text where there is no number. */
  readonly ours: number | string;
  readonly peers: Readonly<Partial<Record<SpeakerName, number | string>>>;
  /** What is judged, for example `0.62 of bird`. */
  readonly ratio: number | undefined;
  readonly bar: string;
  /** Undefined: nothing to judge. */
  readonly ok: boolean | undefined;
}

export interface Scenario {
  readonly name: string;
  readonly about: string;
  readonly rows: (bench: Bench) => Promise<readonly Row[]>;
}

/** At most `most` times what the peer needs; peer `limit`: at most `most` in all. */
interface Bar {
  readonly measure: Measure;
  readonly what: string;
  readonly most?: readonly (readonly [peer: SpeakerName | "limit", most: number])[];
}

const load = (...most: NonNullable<Bar["most"]>): Bar => ({ measure: "loadSeconds", what: "load s", most });
const withdraw = (...most: NonNullable<Bar["most"]>): Bar => ({ measure: "withdrawSeconds", what: "withdraw s", most });
const memory = (...most: NonNullable<Bar["most"]>): Bar => ({ measure: "loadedMegabytes", what: "memory MB", most });
const loadCpu: Bar = { measure: "loadCpuSeconds", what: "load CPU s" };
const withdrawCpu: Bar = { measure: "withdrawCpuSeconds", what: "withdraw CPU s" };

/** The same work on every speaker, judged by ratio. */
function ratios(name: string, about: string, argv: (quick: boolean) => readonly string[], bars: readonly Bar[]): Scenario {
  return {
    name,
    about,
    rows: async (bench) => {
      const medians = await compare(bench, argv(bench.quick));
      return [...failures(name, medians), ...bars.flatMap((bar) => barRows(name, bar, medians))];
    },
  };
}

function failures(scenario: string, medians: ReadonlyMap<SpeakerName, Medians>): Row[] {
  return [...medians].flatMap(([name, { error }]) =>
    error === undefined
      ? []
      : [{ scenario, what: `${name} failed: ${error}`, ours: "", peers: {}, ratio: undefined, bar: "", ok: name === "ours" ? false : undefined }],
  );
}

function barRows(scenario: string, { measure, what, most = [] }: Bar, medians: ReadonlyMap<SpeakerName, Medians>): Row[] {
  const own = medians.get("ours")!;
  if (own.error !== undefined) return [];
  const ours = own.of(measure),
    peers: Partial<Record<SpeakerName, number>> = {};
  for (const [name, of] of medians) if (name !== "ours" && of.error === undefined) peers[name] = of.of(measure);
  const judged = most.flatMap(([peer, limit]): Pick<Row, "ratio" | "bar" | "ok">[] => {
    if (peer === "limit") return [{ ratio: undefined, bar: `≤ ${limit}`, ok: ours <= limit }];
    const theirs = peers[peer];
    return theirs === undefined ? [] : [{ ratio: ours / theirs, bar: `≤ ${limit} × ${peer}`, ok: ours <= theirs * limit }];
  });
  if (judged.length === 0) return [{ scenario, what, ours, peers, ratio: peers.bird === undefined ? undefined : ours / peers.bird, bar: "", ok: undefined }];
  return judged.map((judgement) => ({ scenario, what, ours, peers, ...judgement }));
}

const table = (routes: number, injectors = 1, sinks = 1): string[] => ["--table", `${routes}`, "--injectors", `${injectors}`, "--sinks", `${sinks}`];
const mesh = (clients: number, perClient: number): string[] => ["--mesh", "--clients", `${clients}`, "--per-client", `${perClient}`];

/** A row about ours alone. */
function ownRow(scenario: string, what: string, ours: number | string, bar = "", ok?: boolean): Row {
  return { scenario, what, ours, peers: {}, ratio: undefined, bar, ok };
}
const failed = (scenario: string, answer: Answer): Row => ownRow(scenario, `ours failed: ${answer.error}`, "", "", false);

async function own(bench: Bench, argv: readonly string[], runs = bench.runs): Promise<Medians> {
  const answers: Answer[] = [];
  for (let run = 0; run < runs && !answers.at(-1)?.error; run++) answers.push((await runOnce(bench, "ours", argv)).answer);
  return mediansOf(answers);
}

async function ipv6(bench: Bench): Promise<Row[]> {
  const name = "ipv6-1m",
    routes = bench.quick ? 200_000 : 1_000_000;
  const four = await own(bench, table(routes)),
    six = await compare(bench, [...table(routes), "--family", "6"]);
  const rows = [...failures(name, six), ...[load(), loadCpu, withdraw(), memory()].flatMap((bar) => barRows(name, bar, six))];
  const own6 = six.get("ours")!;
  if (four.error !== undefined || own6.error !== undefined) return rows;
  const ratio = own6.of("loadSeconds") / four.of("loadSeconds");
  return [...rows, { ...ownRow(name, "load, IPv6 / IPv4", ratio, "≤ 1.3", ratio <= 1.3), ratio }];
}

async function addPath(bench: Bench): Promise<Row[]> {
  const name = "add-path",
    routes = bench.quick ? 50_000 : 500_000;
  const argv = [...table(routes, 4, 1), "--add-path"],
    rows: Row[] = [];
  const perPath = (answer: Answer): number => (answer.loadSeconds / answer.announced) * 1e6;
  const plain = await own(bench, table(routes)),
    ours = (await runOnce(bench, "ours", argv)).answer;
  if (ours.error) return [failed(name, ours)];
  if (ours.addPath === "not offered") rows.push(ownRow(name, "ours: ADD-PATH is not offered", "", "", undefined));
  else {
    const ratio = perPath(ours) / perPath(plain.last);
    rows.push({ ...ownRow(name, "µs a path, 4 paths / 1", perPath(ours), "≤ 1.5", ratio <= 1.5), ratio });
  }
  if (missing("bird-add-path")) return rows;
  const theirs = (await runOnce(bench, "bird-add-path", argv)).answer;
  if (theirs.error) return [...rows, { ...ownRow(name, `bird failed: ${theirs.error}`, "") }];
  return [...rows, { ...ownRow(name, "µs a path", ours.addPath === "offered" && !ours.error ? perPath(ours) : "-"), peers: { bird: perPath(theirs) } }];
}

/** One of 100 clients stops reading while two injectors tell everything twice over. */
async function stalled(bench: Bench): Promise<Row[]> {
  const name = "stalled-client";
  const argv = bench.quick ? table(100_000, 2, 20) : table(500_000, 2, 100),
    seconds = bench.quick ? "8" : "30";
  const without = await own(bench, [...argv, "--no-withdraw"]),
    stall = await own(bench, [...argv, "--no-withdraw", "--stall", seconds]);
  if (without.error !== undefined || stall.error !== undefined) return [failed(name, without.error === undefined ? stall.last : without.last)];
  const time = stall.of("loadSeconds") / without.of("loadSeconds"),
    space = stall.of("peakMegabytes") / without.of("peakMegabytes");
  const most = stall.of("mostTellings");
  return [
    { ...ownRow(name, "load of the others, with / without", stall.of("loadSeconds"), "≤ 1.1", time <= 1.1), ratio: time },
    { ...ownRow(name, "memory at its peak MB, with / without", stall.of("peakMegabytes"), "≤ 1.1", space <= 1.1), ratio: space },
    ownRow(name, "tellings of a prefix, most", most, "≤ 2", most <= 2),
    ownRow(name, "its table right after, s", stall.of("stalledSeconds")),
  ];
}

/** A client with a hold time of 3 s while a million routes load and 100 clients are dumped to. */
async function keepalive(bench: Bench): Promise<Row[]> {
  const name = "keepalive-under-load",
    argv = bench.quick ? table(200_000, 1, 20) : table(1_000_000, 1, 100);
  const { answer, samples } = await runOnce(bench, "ours", [...argv, "--watch-hold", "3", "--no-withdraw"], ["ready", "loaded"]); // read at "ready": the gauges begin anew
  if (answer.error) return [failed(name, answer)];
  const metrics = samples.loaded!,
    loopMax = (metrics.get('podway_event_loop_delay_seconds{quantile="1"}') ?? Number.NaN) * 1000;
  const turn = (metrics.get("podway_bgp_longest_turn_seconds") ?? Number.NaN) * 1000,
    turnCpu = (metrics.get("podway_bgp_longest_turn_cpu_seconds") ?? Number.NaN) * 1000;
  const pauses = [...metrics].flatMap(([metric, value]) => (metric.startsWith("podway_gc_pause_seconds") ? [value] : []));
  const collection = Math.max(...pauses) * 1000;
  return [
    ownRow(name, "longest wait for a KEEPALIVE s", answer.keepaliveGapSeconds, "≤ 1.05", answer.keepaliveGapSeconds <= 1.05),
    ownRow(name, "event loop delay, longest ms", loopMax, "≤ 50", loopMax <= 50),
    ownRow(name, "of that garbage collection, longest ms", collection),
    ownRow(name, "longest turn of the speaker ms", turn),
    ownRow(name, "most CPU time of a turn ms", turnCpu, "≤ 50", turnCpu <= 50), // what others of the machine take is not in it
    ownRow(name, "load s", answer.loadSeconds),
  ];
}

const counted = ['podway_bgp_routes{family="ipv4"}', 'podway_bgp_paths{family="ipv4"}', "podway_bgp_attribute_sets"];

function backExactly(before: Metrics, after: Metrics): boolean {
  return counted.every((name) => before.get(name) !== undefined && before.get(name) === after.get(name));
}

/** Seeded churn over what `argv` loads, undone at the end: tables right, counters back, memory kept. */
async function churned(bench: Bench, name: string, argv: readonly string[]): Promise<Row[]> {
  const seconds = bench.quick ? "5" : "60";
  const { answer, samples } = await runOnce(bench, "ours", [...argv, "--churn", seconds, "--churn-rate", "0.01"], ["loaded", "undone", "withdrawn"]);
  if (answer.error) return [failed(name, answer)];
  const memoryRatio = answer.churnedMegabytes / answer.loadedMegabytes,
    back = backExactly(samples.loaded!, samples.undone!);
  const objects = (metrics: Metrics): string => counted.map((counter) => metrics.get(counter)).join(" ");
  return [
    ownRow(name, `${answer.routes} prefixes to ${answer.clients - 2} clients, load s`, answer.loadSeconds),
    ownRow(name, "digests as computed apart, after load and churn", answer.digest, "equal", true),
    ownRow(name, `${answer.churnChanges} changes, settled after s`, answer.churnSettleSeconds),
    ownRow(name, "routes, paths and sets back", objects(samples.undone!), objects(samples.loaded!), back),
    { ...ownRow(name, "memory after / before", answer.churnedMegabytes, "≤ 1.1", memoryRatio <= 1.1), ratio: memoryRatio },
  ];
}

async function feed(bench: Bench): Promise<Row[]> {
  const name = "feed",
    found = recordedFeed(process.env.PODWAY_FEED);
  if ("skipped" in found) return [ownRow(name, found.skipped, "")];
  try {
    return await churned(bench, name, ["--feed", found.file, "--injectors", "2", "--sinks", bench.quick ? "10" : "100"]);
  } finally {
    found.remove();
  }
}

export const scenarios: readonly Scenario[] = [
  ratios("quick-100k", "100,000 routes from one client to one", () => table(100_000), [load(["bird", 0.75]), withdraw(["bird", 1]), loadCpu, memory()]),
  ratios("full-1x1", "1,000,000 routes from one client to one", (quick) => table(quick ? 200_000 : 1_000_000), [
    load(["bird", 0.75]),
    loadCpu,
    withdraw(["bird", 1]),
    withdrawCpu,
    memory(["bird", 2]),
  ]),
  ratios("full-1x10", "1,000,000 routes from one client to ten", (quick) => table(quick ? 200_000 : 1_000_000, 1, 10), [
    load(["bird", 0.2]),
    loadCpu,
    withdraw(["bird", 0.5]),
    withdrawCpu,
    memory(["bird", 2]),
  ]),
  ratios(
    "multi-4x4",
    "500,000 prefixes from each of four clients to four; then the best path of each goes",
    (quick) => table(quick ? 100_000 : 500_000, 4, 4),
    [load(["bird", 0.75]), loadCpu, withdraw(["bird", 1]), withdrawCpu, memory(["bird", 2])],
  ),
  ratios("mesh-200", "200 clients, 10 routes of each to all others; then one in ten withdraws", () => mesh(200, 10), [
    load(["bird", 0.35], ["frr", 0.6]),
    withdraw(["bird", 1]),
    memory(["limit", 150]),
  ]),
  ratios("mesh-1000", "1,000 clients, 4 routes of each to all others; then one in ten withdraws", () => mesh(1000, 4), [
    load(["frr", 0.4]),
    withdraw(["frr", 0.5]),
    memory(["limit", 150]),
  ]),
  ratios("clients-2500", "2,500 clients, 4 routes of each to all others", (quick) => mesh(quick ? 1500 : 2500, 4), [
    { measure: "upSeconds", what: "sessions up s", most: [["frr", 1]] },
    load(["frr", 0.4]),
    withdraw(),
    memory(),
  ]),
  { name: "ipv6-1m", about: "1,000,000 of /48 from one client to one", rows: ipv6 },
  { name: "add-path", about: "four paths of each prefix told, where ADD-PATH is offered", rows: addPath },
  { name: "stalled-client", about: "one client of 100 reads nothing for 30 s", rows: stalled },
  { name: "keepalive-under-load", about: "a client with a hold time of 3 s beside a million routes to 100 clients", rows: keepalive },
  {
    name: "churn",
    about: "1 % of 500,000 prefixes a second withdrawn, announced again or changed, for 60 s",
    rows: (bench) => churned(bench, "churn", table(bench.quick ? 100_000 : 500_000, 2, 10)),
  },
  { name: "feed", about: "a recorded full feed (PODWAY_FEED) and a second view of it to 100 clients, then churn", rows: feed },
];
