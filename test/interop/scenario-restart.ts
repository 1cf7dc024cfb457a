/** Graceful restart (RFC 4724): who dies is missed by nobody, and what is not told again goes at End-of-RIB. */
import { awaitFact } from "#lab/command.ts";
import type { Bench } from "./bench.ts";
import { type Scenario, Theirs } from "./matrix.ts";
import { samplesOf, samplesOfSpeaker } from "./sample-routes.ts";
import { untilSame } from "./waiting.ts";

const restartSeconds = 60;
/** Announced before a restart and not after it. */
const forgotten = "10.200.5.5/32";

export const restart: Scenario = {
  rows: ["graceful restart, they restart", "graceful restart, we restart"],
  scene: (bench) => ({ setup: { restartSeconds, announces: samplesOfSpeaker(bench.network, "sp") } }),
  prepare: async (bench) => void (await bench.podwayd.established("speaker", 25_000)),
  trials: [theyRestart, weRestart],
};

async function theyRestart(bench: Bench): Promise<string> {
  const offered = bench.tap.open(bench.them)!.capabilities.gracefulRestart;
  if (!offered) throw new Theirs("no capability 64 in its OPEN");
  if (offered.families.length === 0) throw new Theirs("its capability 64 lists no family: it only promises End-of-RIB");
  const first = await bench.client(1),
    all = bench.setup.announces.flatMap(({ prefixes }) => prefixes);
  await first.until("all of its routes", () => all.every((prefix) => first.routes.has(prefix)));
  const updates = first.updates;
  await bench.speaker.stop("SIGKILL");
  await bench.podwayd.until("speaker", "is away with its routes kept", ({ state, stale }) => state !== "Established" && stale === all.length);
  if (first.updates !== updates) throw new Error("our client was told something while the routes were kept");
  bench.tap.forget();
  const fewer = bench.setup.announces.map((one) => ({ ...one, prefixes: one.prefixes.filter((prefix) => prefix !== forgotten) }));
  await bench.speaker.restart({ ...bench.setup, announces: fewer });
  await bench.podwayd.established("speaker", 40_000);
  const back = bench.tap.open(bench.them)!.capabilities.gracefulRestart;
  const kept = back?.families.every(({ forwarding }) => forwarding) && back.families.length > 0;
  await untilSame(
    "after its End-of-RIB",
    async () => {
      const { stale } = await bench.podwayd.peer("speaker"),
        wanted = all.filter((prefix) => prefix !== forgotten),
        out = stale > 0 ? [`${stale} routes are still stale`] : [];
      if (first.routes.has(forgotten)) out.push(`${forgotten}, which is not announced any more, is still there`);
      return [...out, ...wanted.filter((prefix) => !first.routes.has(prefix)).map((prefix) => `${prefix} is missing`)];
    },
    20_000,
  );
  const told = first.updates - updates;
  if (kept && told > 2) throw new Error(`our client was told ${told} UPDATEs where one withdrawal would do`);
  return kept
    ? "kept while it was away; the one that did not come back was withdrawn at its End-of-RIB, nobody heard of the others"
    : "kept while it was away; its F bit was clear on return, so they were dropped then as RFC 4724 §4.2 demands, and learned anew";
}

async function weRestart(bench: Bench): Promise<string> {
  const lacks = bench.speaker.lacks.helper;
  if (lacks !== undefined) throw new Theirs(lacks);
  await bench.set({ setup: { restartSeconds, announces: samplesOfSpeaker(bench.network, "sp") } });
  await bench.podwayd.established("speaker", 40_000);
  const all = samplesOf(bench.network, 1),
    prefixes = all.flatMap((one) => one.prefixes),
    first = await bench.client(1);
  for (const one of all) first.announce(one);
  first.endOfRib();
  const table = async (): Promise<Set<string>> =>
    new Set([...(await bench.speaker.rib("ipv4")), ...(await bench.speaker.rib("ipv6"))].map(({ prefix }) => prefix));
  const missing = async (wanted: readonly string[]): Promise<string[]> => {
    const there = await table();
    return wanted.filter((prefix) => !there.has(prefix)).map((prefix) => `${prefix} is missing`);
  };
  await untilSame("before", () => missing(prefixes));
  await bench.podwayd.stop("SIGKILL");
  const away = await awaitFact(async () => ((await bench.speaker.isEstablished()) ? undefined : true), { millis: 5000 });
  if (!away) throw new Error("it has not noticed that we are away");
  const lost = await missing(prefixes);
  if (lost.length > 0) throw new Error(`while we were away: ${lost.slice(0, 3).join("; ")}`);
  bench.forget(1);
  await bench.podwayd.resume();
  const again = all.slice(0, -1),
    kept = again.flatMap((one) => one.prefixes),
    gone = all.at(-1)!.prefixes[0]!,
    returned = await bench.client(1);
  for (const one of again) returned.announce(one);
  returned.endOfRib();
  await bench.podwayd.established("speaker", 40_000);
  const restarting = bench.tap.open(bench.us)!.capabilities.gracefulRestart;
  if (restarting?.families.length !== 2 || !restarting.families.every(({ forwarding }) => forwarding))
    throw new Error("our OPEN after the restart lacks an F bit");
  await untilSame(
    "after our End-of-RIB",
    async () => {
      const out = await missing(kept);
      if (out.length > 0) throw new Error(`during our return: ${out.slice(0, 3).join("; ")}`);
      return (await table()).has(gone) ? [`${gone}, which nobody announces any more, is still there`] : [];
    },
    20_000,
  );
  const stale = [...((await bench.speaker.stale?.("ipv4")) ?? []), ...((await bench.speaker.stale?.("ipv6")) ?? [])];
  if (stale.length > 0) throw new Error(`it still has ${stale.length} of ours as stale`);
  return `${kept.length} routes kept all the time, the one that did not come back was gone after our End-of-RIB${restarting.restarting ? "" : " (it came back when our restart was over: no R bit)"}`;
}
